/*
 * alloc_testing.h - the heap as the C tests see it: counted, and failing on
 * demand. Included by alloc.h, in whose place it stands.
 *
 * Each call of ws_malloc and its kin in a source is a place of its own, known
 * to the program whether it was ever reached or not. So a test can show that
 * every one of them has failed.
 *
 * Threads: any, together with those that allocate.
 */
#ifndef WS_CORE_ALLOC_TESTING_H
#define WS_CORE_ALLOC_TESTING_H

#include <stdatomic.h>
#include <stddef.h>

/* A place in a source that allocates. */
typedef struct ws_alloc_site {
    const char *file; /* as the compiler was given it */
    int line;
    atomic_long calls;    /* since the last ws_alloc_fail_in */
    atomic_long failures; /* ever */
} ws_alloc_site;

/* The place where it stands. The pointer goes to a section of its own, which
   the linker makes one array of. */
#define WS_ALLOC_SITE                                                      \
    (__extension__({                                                       \
        static ws_alloc_site site_ = {.file = __FILE__, .line = __LINE__}; \
        static ws_alloc_site *const listed_                                \
            __attribute__((used, section("ws_alloc_places"))) = &site_;    \
        listed_;                                                           \
    }))

// NOLINTBEGIN(readability-identifier-naming): called as functions are
#define ws_malloc(size) ws_malloc_at(WS_ALLOC_SITE, (size))
#define ws_calloc(count, size) ws_calloc_at(WS_ALLOC_SITE, (count), (size))
#define ws_realloc(ptr, size) ws_realloc_at(WS_ALLOC_SITE, (ptr), (size))
#define ws_strndup(text, size) ws_strndup_at(WS_ALLOC_SITE, (text), (size))
// NOLINTEND(readability-identifier-naming)

void *ws_malloc_at(ws_alloc_site *site, size_t size);
void *ws_calloc_at(ws_alloc_site *site, size_t count, size_t size);
void *ws_realloc_at(ws_alloc_site *site, void *ptr, size_t size);
char *ws_strndup_at(ws_alloc_site *site, const char *text, size_t size);
void ws_free(void *ptr);

/* Each of the following replaces what another has asked for. */

/* Fails the n-th allocation from now (0: the next); a negative n, none. */
void ws_alloc_fail_at(long n);

/* Fails each n-th allocation from now (1: all); 0: none. */
void ws_alloc_fail_every(long n);

/* Fails the n-th allocation in one place (0: the next); NULL: none. */
void ws_alloc_fail_in(ws_alloc_site *site, long n);

/* How many allocations have failed since the last of these calls. */
long ws_alloc_failed(void);

/* Blocks handed out and not yet freed. */
long ws_alloc_live(void);

/* Their bytes, as the heap rounds them up; and the most that there were since
   the last reset. */
long ws_alloc_bytes(void);
long ws_alloc_peak(void);
void ws_alloc_reset_peak(void);

/* All places that the program has. */
ws_alloc_site *const *ws_alloc_sites(size_t *count);

#endif

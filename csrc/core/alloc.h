/*
 * alloc.h - the one door to the heap, so that tests can shut it.
 *
 * Threads: any.
 */
#ifndef WS_CORE_ALLOC_H
#define WS_CORE_ALLOC_H

#include <stddef.h>

/* Each returns NULL when out of memory; ws_free(NULL) does nothing. A failed
   ws_realloc leaves the old block as it was; size is never 0. */
void *ws_malloc(size_t size);
void *ws_calloc(size_t count, size_t size);
void *ws_realloc(void *ptr, size_t size);
void ws_free(void *ptr);

/* A copy of `size` bytes with a NUL behind them; NULL: no memory. */
char *ws_strndup(const char *text, size_t size);

#ifdef WS_TESTING
/* Fails the n-th allocation from now (0: the next); a negative n, none. */
void ws_alloc_fail_at(long n);

/* Blocks handed out and not yet freed. */
long ws_alloc_live(void);

/* Their bytes, as the heap rounds them up; and the most that there were since
   the last reset. */
long ws_alloc_bytes(void);
long ws_alloc_peak(void);
void ws_alloc_reset_peak(void);
#endif

#endif

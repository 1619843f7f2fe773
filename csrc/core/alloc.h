/*
 * alloc.h - the one door to the heap, so that tests can shut it.
 *
 * Threads: any.
 */
#ifndef WS_CORE_ALLOC_H
#define WS_CORE_ALLOC_H

#include <stddef.h>

#ifdef WS_TESTING
#include "alloc_testing.h"
#else

/* Each returns NULL when out of memory; ws_free(NULL) does nothing. A failed
   ws_realloc leaves the old block as it was; size is never 0. */
void *ws_malloc(size_t size);
void *ws_calloc(size_t count, size_t size);
void *ws_realloc(void *ptr, size_t size);
void ws_free(void *ptr);

/* A copy of `size` bytes with a NUL behind them; NULL: no memory. */
char *ws_strndup(const char *text, size_t size);

#endif

#endif

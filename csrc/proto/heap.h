/*
 * heap.h - where a part of this layer that needs memory has it from: it comes
 * with the call, so that the caller's tests can count it and run out of it.
 *
 * Threads: any; a constant.
 */
#ifndef WS_PROTO_HEAP_H
#define WS_PROTO_HEAP_H

#include <stddef.h>

typedef struct ws_heap {
    void *(*alloc)(size_t size); /* NULL: no memory */
    void (*free)(void *ptr);     /* NULL does nothing */
} ws_heap;

/* In the forms that zlib wants, with the heap as its opaque. */
static inline void *
ws_heap_zalloc(void *heap, unsigned count, unsigned size)
{
    return ((const ws_heap *)heap)->alloc((size_t)count * size);
}

static inline void
ws_heap_zfree(void *heap, void *ptr)
{
    ((const ws_heap *)heap)->free(ptr);
}

#endif

#include "alloc.h"

#include <stdlib.h>
#include <string.h>

#ifdef WS_TESTING
#include <stdatomic.h>
#include <stdbool.h>

static atomic_long live_blocks;
static atomic_long until_failure = -1;

void
ws_alloc_fail_at(long n)
{
    atomic_store(&until_failure, n < 0 ? -1 : n);
}

long
ws_alloc_live(void)
{
    return atomic_load(&live_blocks);
}

static bool
fails_now(void)
{
    if (atomic_load(&until_failure) < 0) {
        return false;
    }
    return atomic_fetch_sub(&until_failure, 1) == 0;
}

static void *
counted(void *ptr)
{
    if (ptr != NULL) {
        atomic_fetch_add(&live_blocks, 1);
    }
    return ptr;
}

void *
ws_malloc(size_t size)
{
    return fails_now() ? NULL : counted(malloc(size));
}

void *
ws_calloc(size_t count, size_t size)
{
    return fails_now() ? NULL : counted(calloc(count, size));
}

void *
ws_realloc(void *ptr, size_t size)
{
    if (fails_now()) {
        return NULL;
    }
    return ptr == NULL ? counted(malloc(size)) : realloc(ptr, size);
}

void
ws_free(void *ptr)
{
    if (ptr != NULL) {
        atomic_fetch_sub(&live_blocks, 1);
    }
    free(ptr);
}

#else

void *
ws_malloc(size_t size)
{
    return malloc(size);
}

void *
ws_calloc(size_t count, size_t size)
{
    return calloc(count, size);
}

void *
ws_realloc(void *ptr, size_t size)
{
    return realloc(ptr, size);
}

void
ws_free(void *ptr)
{
    free(ptr);
}

#endif

char *
ws_strndup(const char *text, size_t size)
{
    char *copy = ws_malloc(size + 1);
    if (copy != NULL) {
        if (size > 0) {
            memcpy(copy, text, size);
        }
        copy[size] = '\0';
    }
    return copy;
}

#include "alloc.h"

#include <stdlib.h>
#include <string.h>

#ifdef WS_TESTING
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>

static atomic_long live_blocks;
static atomic_long live_bytes;
static atomic_long peak_bytes;
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

long
ws_alloc_bytes(void)
{
    return atomic_load(&live_bytes);
}

long
ws_alloc_peak(void)
{
    return atomic_load(&peak_bytes);
}

void
ws_alloc_reset_peak(void)
{
    atomic_store(&peak_bytes, atomic_load(&live_bytes));
}

static void
count_bytes(long change)
{
    long now = atomic_fetch_add(&live_bytes, change) + change;
    long peak = atomic_load(&peak_bytes);
    while (now > peak &&
           !atomic_compare_exchange_weak(&peak_bytes, &peak, now)) {
    }
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
        count_bytes((long)malloc_usable_size(ptr));
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
    if (ptr == NULL) {
        return counted(malloc(size));
    }
    long before = (long)malloc_usable_size(ptr);
    void *grown = realloc(ptr, size);
    if (grown != NULL) {
        count_bytes((long)malloc_usable_size(grown) - before);
    }
    return grown;
}

void
ws_free(void *ptr)
{
    if (ptr != NULL) {
        atomic_fetch_sub(&live_blocks, 1);
        count_bytes(-(long)malloc_usable_size(ptr));
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

#include "alloc.h"

#include <stdlib.h>
#include <string.h>

/* Copies into a new block, if there was memory for it. */
static char *
filled(char *copy, const char *text, size_t size)
{
    if (copy != NULL) {
        if (size > 0) {
            memcpy(copy, text, size);
        }
        copy[size] = '\0';
    }
    return copy;
}

#ifdef WS_TESTING
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>

enum mode { NEVER, AT, EVERY, IN };

static atomic_int mode;
static atomic_long number; // AT, EVERY, IN: what is asked for
static _Atomic(ws_alloc_site *) failing_site;
static atomic_long calls;    // since it was asked for
static atomic_long failures; // since it was asked for
static atomic_long live_blocks;
static atomic_long live_bytes;
static atomic_long peak_bytes;

/* Where the linker has put the list; weak, for a program without any. */
extern ws_alloc_site *const first_site[] __asm__("__start_ws_alloc_places")
    __attribute__((weak));
extern ws_alloc_site *const last_site[] __asm__("__stop_ws_alloc_places")
    __attribute__((weak));

static void
ask_for(enum mode what, long n, ws_alloc_site *site)
{
    atomic_store(&mode, NEVER);
    atomic_store(&number, n);
    atomic_store(&failing_site, site);
    atomic_store(&calls, 0);
    atomic_store(&failures, 0);
    atomic_store(&mode, what);
}

void
ws_alloc_fail_at(long n)
{
    ask_for(n < 0 ? NEVER : AT, n, NULL);
}

void
ws_alloc_fail_every(long n)
{
    ask_for(n == 0 ? NEVER : EVERY, n, NULL);
}

void
ws_alloc_fail_in(ws_alloc_site *site, long n)
{
    if (site != NULL) {
        atomic_store(&site->calls, 0);
    }
    ask_for(site == NULL ? NEVER : IN, n, site);
}

long
ws_alloc_failed(void)
{
    return atomic_load(&failures);
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

ws_alloc_site *const *
ws_alloc_sites(size_t *count)
{
    *count = (size_t)(last_site - first_site);
    return first_site;
}

static bool
is_chosen(const ws_alloc_site *site, long call, long call_here)
{
    long n = atomic_load(&number);
    switch (atomic_load(&mode)) {
    case AT:
        return call == n;
    case EVERY:
        return (call + 1) % n == 0;
    case IN:
        return site == atomic_load(&failing_site) && call_here == n;
    default:
        return false;
    }
}

static bool
fails_now(ws_alloc_site *site)
{
    long call = atomic_fetch_add(&calls, 1);
    long call_here = atomic_fetch_add(&site->calls, 1);
    if (!is_chosen(site, call, call_here)) {
        return false;
    }
    atomic_fetch_add(&failures, 1);
    atomic_fetch_add(&site->failures, 1);
    return true;
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
ws_malloc_at(ws_alloc_site *site, size_t size)
{
    return fails_now(site) ? NULL : counted(malloc(size));
}

void *
ws_calloc_at(ws_alloc_site *site, size_t count, size_t size)
{
    return fails_now(site) ? NULL : counted(calloc(count, size));
}

void *
ws_realloc_at(ws_alloc_site *site, void *ptr, size_t size)
{
    if (fails_now(site)) {
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

char *
ws_strndup_at(ws_alloc_site *site, const char *text, size_t size)
{
    return filled(ws_malloc_at(site, size + 1), text, size);
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

char *
ws_strndup(const char *text, size_t size)
{
    return filled(ws_malloc(size + 1), text, size);
}

#endif

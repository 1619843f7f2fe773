/*
 * lock.h - a mutex and a condition whose errors abort, and the clock.
 *
 * Lock and unlock can fail only through a bug of ours, so they return
 * nothing and the check stays in release builds. What POSIX leaves undefined
 * (locking twice, unlocking another's) is for ThreadSanitizer to find.
 */
#ifndef WS_CORE_LOCK_H
#define WS_CORE_LOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include "err.h"

#define WS_NS_PER_S UINT64_C(1000000000)
#define WS_NS_PER_MS UINT64_C(1000000)

typedef struct ws_lock {
    pthread_mutex_t mutex;
} ws_lock;

WS_MUST_CHECK static inline ws_err
ws_lock_init(ws_lock *lock)
{
    return pthread_mutex_init(&lock->mutex, NULL) ? WS_ERR_NOMEM : WS_OK;
}

static inline void
ws_lock_destroy(ws_lock *lock)
{
    if (pthread_mutex_destroy(&lock->mutex) != 0) {
        abort();
    }
}

static inline void
ws_lock_acquire(ws_lock *lock)
{
    if (pthread_mutex_lock(&lock->mutex) != 0) {
        abort();
    }
}

/* False: somebody else has it. */
WS_MUST_CHECK static inline bool
ws_lock_try(ws_lock *lock)
{
    int rc = pthread_mutex_trylock(&lock->mutex);
    if (rc != 0 && rc != EBUSY) {
        abort();
    }
    return rc == 0;
}

static inline void
ws_lock_release(ws_lock *lock)
{
    if (pthread_mutex_unlock(&lock->mutex) != 0) {
        abort();
    }
}

/* CLOCK_MONOTONIC, in nanoseconds. */
static inline uint64_t
ws_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * WS_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The same clock, some milliseconds behind, at a fifth of the price. */
static inline uint64_t
ws_now_coarse_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * WS_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* A condition that waits on CLOCK_MONOTONIC. */
WS_MUST_CHECK static inline ws_err
ws_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0) {
        return WS_ERR_NOMEM;
    }
    int rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (rc == 0) {
        rc = pthread_cond_init(cond, &attr);
    }
    (void)pthread_condattr_destroy(&attr);
    return rc == 0 ? WS_OK : WS_ERR_NOMEM;
}

/* False once CLOCK_MONOTONIC has passed `until_ns`; true may be spurious. */
static inline bool
ws_cond_wait_until(pthread_cond_t *cond, ws_lock *lock, uint64_t until_ns)
{
    struct timespec until = {
        .tv_sec = (time_t)(until_ns / WS_NS_PER_S),
        .tv_nsec = (long)(until_ns % WS_NS_PER_S),
    };
    int rc = pthread_cond_timedwait(cond, &lock->mutex, &until);
    if (rc != 0 && rc != ETIMEDOUT) {
        abort();
    }
    return rc == 0;
}

#endif

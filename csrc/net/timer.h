/*
 * timer.h - the wheel that all deadlines live on.
 *
 * Setting and cancelling are O(1) however many timers there are, and so is
 * the question when to wake next. A timer is a node inside its owner, so it
 * costs no allocation. The resolution is WS_TIMER_TICK_MS: a timer fires up
 * to that much late and never early. The clock is an argument: nanoseconds of
 * CLOCK_MONOTONIC, or whatever a test likes.
 *
 * Threads: one at a time, in practice the pump.
 * Owns:    its slots; the timers belong to whoever embeds them.
 * Locks:   none.
 */
#ifndef WS_NET_TIMER_H
#define WS_NET_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_TIMER_TICK_MS 10

/* A zeroed timer is a valid one that is not set. It must be cancelled (or
   have fired) before its memory goes. */
typedef struct ws_timer {
    struct ws_timer *next;
    struct ws_timer **link; /* what points to this timer; NULL: not set */
    uint32_t due;           /* the wheel's tick, modulo 2^32 */
    uint8_t kind;           /* the owner's, to tell its timers apart */
} ws_timer;

typedef struct ws_timer_wheel ws_timer_wheel;

/* Called for each due timer, which is no longer set: it may be set again or
   freed, as may any other timer, those due at the same moment included. */
typedef void ws_timer_fn(void *user, ws_timer *timer);

/* The caller's to free; NULL: no memory. */
ws_timer_wheel *ws_timer_wheel_new(uint64_t now_ns);

/* Forgets the timers that are still set. NULL does nothing. */
void ws_timer_wheel_free(ws_timer_wheel *wheel);

/* Makes the timer fire once `due_ns` has passed, instead of when it was set
   for before. A moment that is already past fires at the next tick; one more
   than 240 days ahead, after 240 days. */
void ws_timer_set(ws_timer_wheel *wheel, ws_timer *timer, uint64_t due_ns);

/* Does nothing when the timer is not set. */
void ws_timer_cancel(ws_timer_wheel *wheel, ws_timer *timer);

static inline bool
ws_timer_is_set(const ws_timer *timer)
{
    return timer->link != NULL;
}

/* Milliseconds, rounded up, that may be slept without missing a timer; 0:
   some may be due now; -1: none is set. Far timers now and then cause a wake
   at which nothing is due. */
int ws_timer_wheel_next(const ws_timer_wheel *wheel, uint64_t now_ns);

/* Calls `fn` for each timer that is due at `now_ns`, but for at most `most`,
   the earlier tick first, and returns how many. Those left over are due at
   once. One set by `fn` itself fires at a later tick. */
size_t ws_timer_wheel_expire(ws_timer_wheel *wheel, uint64_t now_ns,
                             size_t most, ws_timer_fn *fn, void *user);

#endif

/*
 * waiter.h - somebody who waits for a channel to be written out.
 *
 * A waiter is put on a channel (ws_chan_wait) and fires once: when what it
 * waits for is there, or when the channel ends without it. Firing is a
 * callback without any lock held. See flush.h for a thread that sleeps, and
 * ws_hub_notify for one that takes events.
 *
 * Threads: a waiter belongs to who made it until it is put on a channel, and
 *          again once it has fired or was taken off.
 * Owns:    nothing.
 */
#ifndef WS_CORE_WAITER_H
#define WS_CORE_WAITER_H

#include <stdint.h>

#include "err.h"

typedef enum ws_wait_kind {
    WS_WAIT_FLUSH, /* all that was queued at the call has been written */
    WS_WAIT_ROOM,  /* the channel is at most half full, messages and bytes */
} ws_wait_kind;

typedef struct ws_waiter ws_waiter;

struct ws_waiter {
    ws_waiter *next; /* the channel's */
    ws_wait_kind kind;
    uint64_t target; /* the channel's: messages that must have left */
    uint64_t token;  /* its name for ws_chan_unwait_token; 0: none */
    /* Called once, by the pump, with no lock held: WS_OK, or WS_ERR_CLOSED
       when messages were lost before. May free the waiter. */
    void (*fire)(ws_waiter *waiter, ws_err result);
};

#endif

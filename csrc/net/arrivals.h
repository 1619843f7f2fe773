/*
 * arrivals.h - connections on their way from the pump that accepts to the one
 * that is to have them.
 *
 * A pump takes a bounded number of them in a turn, so that a crowd at the door
 * does not hold up those who are in; and of TLS, where each brings a
 * handshake, as many as their time in a turn allows. What waits is bounded by
 * the one that accepts: it looks at ws_arrivals_are_many before.
 *
 * Threads: push and are_many, the pump that accepts; the rest the one that has
 *          them, except where a function says otherwise. Both only in their
 *          turns: a fork, for which all pumps rest, finds everything in order.
 * Owns:    the connections in it.
 * Locks:   its own, a leaf.
 */
#ifndef WS_NET_ARRIVALS_H
#define WS_NET_ARRIVALS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "core/err.h"
#include "core/lock.h"

typedef struct ws_conn ws_conn;
typedef struct ws_pump ws_pump;

enum {
    WS_ARRIVALS_BATCH = 64, /* taken in a turn */
    WS_ARRIVALS_MANY = 128, /* waiting */
};

/* Part of a pump. */
typedef struct ws_arrivals {
    atomic_uint count; /* of those in it */
    ws_lock lock;      /* guards all below */
    bool closed;
    ws_conn *first, **end;
} ws_arrivals;

/* Whoever makes and frees the pump. It must be closed, or empty, in the end.
 */
WS_MUST_CHECK ws_err ws_arrivals_init(ws_arrivals *arrivals);
void ws_arrivals_destroy(ws_arrivals *arrivals);

/* Hands a fresh connection to its pump, and wakes it. False: it takes no more,
   and the connection is still the caller's. */
WS_MUST_CHECK bool ws_arrivals_push(ws_conn *conn);

/* Any: whether none should be added for now. */
bool ws_arrivals_are_many(const ws_pump *pump);

/* Any: whether there are some. */
bool ws_arrivals_wait(const ws_pump *pump);

/* Takes as many as a turn allows; and all. */
void ws_arrivals_serve(ws_pump *pump);
void ws_arrivals_serve_all(ws_pump *pump);

/* No more are taken; those who wait are cut. Idempotent. */
void ws_arrivals_close(ws_pump *pump);

/* In a forked child: closes its copies of their sockets. Async-signal-safe. */
void ws_arrivals_close_after_fork(ws_arrivals *arrivals);

#endif

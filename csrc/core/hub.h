/*
 * hub.h - all clients of a server: by id, by user, by topic, and together.
 *
 * Threads: any, except where a function says that it is the pump's.
 * Owns:    a reference to each present client (from join to end), the named
 *          groups, the event queue, a reference to each pump's doorbell.
 * Locks:   its own, before a channel's or the event queue's. Never held for
 *          more than a chunk of 256 clients.
 *
 * A client holds a reference to its hub, so the two keep each other while the
 * client is present or an event names it: whoever owns the hub ends every
 * client and drops the events before the last unref.
 */
#ifndef WS_CORE_HUB_H
#define WS_CORE_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chan.h"
#include "client.h"
#include "err.h"
#include "evq.h"
#include "stats.h"
#include "wake.h"

typedef struct ws_hub_limits {
    ws_chan_limits send;   /* of each client's channel */
    ws_evq_limits inbound; /* of the event queue */
    size_t max_clients;    /* present at once; 0: no limit */
    size_t max_handshakes; /* that may wait for a decision at once */
} ws_hub_limits;

/* NOMEM; SYSTEM: no descriptor, errno tells. */
WS_MUST_CHECK ws_err ws_hub_new(const ws_hub_limits *limits, ws_hub **out);
ws_hub *ws_hub_ref(ws_hub *hub);
void ws_hub_unref(ws_hub *hub); /* NULL does nothing */

const ws_chan_limits *ws_hub_send_limits(const ws_hub *hub);
ws_wake *ws_hub_wake(const ws_hub *hub);  /* borrowed; the first pump's */
ws_evq *ws_hub_events(const ws_hub *hub); /* borrowed */
ws_pump_counters *ws_hub_counters(ws_hub *hub); /* borrowed */

/* Several pumps may serve a hub. The first uses the hub's own doorbell and
   counters; what the hub has of each other one is this. No two of them share a
   cache line, since each pump counts with every write. */
typedef struct ws_hub_pump {
    ws_wake *wake; /* a reference; its number is not 0 */
    ws_pump_counters counters;
    char apart[64];
} ws_hub_pump;

/* Makes the pumps beside the first known, once, when they are about to serve.
   Takes over the array, made by ws_calloc, and the references in it. */
void ws_hub_add_pumps(ws_hub *hub, ws_hub_pump *others, size_t count);

/* What all pumps have counted together. */
void ws_hub_sum_counters(ws_hub *hub, ws_pump_counters *sum);

/* The sockets of one pump, by its number; 0 where there is none. */
uint64_t ws_hub_connections(ws_hub *hub, size_t pump);

/* The pump: makes a new client known. HUB_CLOSED, IN_USE (the id), TOO_MANY,
   NOMEM: it is not. Queues Connected where events are taken. */
WS_MUST_CHECK ws_err ws_hub_join(ws_hub *hub, ws_client *client);

/* With what a client may join. */
typedef struct ws_join {
    ws_text topics;      /* their names, each with a NUL behind it */
    bool replace;        /* an open client that has the id is closed, */
    uint16_t close_code; /* with these: see ws_hub_close_client */
    ws_text close_reason;
} ws_join;

/* The same, at once with all of this: nobody sees it without its topics, or
   two with its id. The Disconnected of a client that is replaced is queued
   before the Connected, though its connection has yet to end. */
WS_MUST_CHECK ws_err ws_hub_join_as(ws_hub *hub, ws_client *client,
                                    const ws_join *how);

/* A pump: counts a handshake that is to wait for a decision, until let go;
   false: there are as many as there may be. */
WS_MUST_CHECK bool ws_hub_hold(ws_hub *hub);
void ws_hub_let_go(ws_hub *hub);

/*
 * Starts the closing of a client: it leaves the id table, its user and its
 * topics, and its channel refuses from now on. `reason` (UTF-8, at most 123
 * bytes) is copied; the first closing wins. Wakes the pump.
 * CLOSED: it was closing already. NOMEM: nothing has changed.
 */
WS_MUST_CHECK ws_err ws_hub_close_client(ws_client *client, uint16_t code,
                                         ws_text reason);

/* The pump: the connection is over. What is queued is lost; a client that was
   still open gets `code` and no reason (or `reason`, where there is memory).
   Queues Disconnected and drops the hub's reference; the caller's stays. */
void ws_hub_end_client(ws_client *client, uint16_t code, ws_text reason,
                       bool clean);

/* Refuses every later join. */
void ws_hub_shut(ws_hub *hub);

/* Drops every event that nobody took. */
void ws_hub_drop_events(ws_hub *hub);

/* The open client of that id, a reference; NULL: none. */
ws_client *ws_hub_get(ws_hub *hub, ws_text id);

/* Open clients; and present ones, those that are closing included. */
size_t ws_hub_size(ws_hub *hub);
size_t ws_hub_present(ws_hub *hub);

/* Whom a call is for. */
typedef enum ws_target_kind {
    WS_TO_ALL,     /* every open client */
    WS_TO_TOPIC,   /* the subscribers of `name` */
    WS_TO_USER,    /* the connections of user `name` */
    WS_TO_PRESENT, /* every client not yet ended, closing ones included */
} ws_target_kind;

typedef struct ws_target {
    ws_target_kind kind;
    ws_text name;
} ws_target;

/*
 * A walk over a target's clients that lets the lock go between chunks: whoever
 * is a member throughout is met exactly once, whoever came after the walk
 * began is not met.
 */
typedef struct ws_walk {
    ws_target target; /* `name` is borrowed */
    uint32_t chunk;
    uint64_t before;
} ws_walk;

ws_walk ws_hub_walk(ws_hub *hub, ws_target target);

/* The next members, with a reference each, into out[WS_GROUP_CHUNK].
   Returns how many; 0: the walk is over. */
size_t ws_hub_walk_next(ws_hub *hub, ws_walk *walk, ws_client **out);

/* A snapshot: a reference to each member, in an array to be freed with
   ws_free. NOMEM: nothing is held. Not for the pump: in a large hub it sleeps
   for moments, to let others in. */
WS_MUST_CHECK ws_err ws_hub_list(ws_hub *hub, ws_target target,
                                 ws_client ***out, size_t *count);

/* Only an open client can subscribe: CLOSED. NOMEM: nothing has changed.
   Subscribing twice is once. */
WS_MUST_CHECK ws_err ws_hub_subscribe(ws_client *client, ws_text topic);

/* False when it was not subscribed. */
bool ws_hub_unsubscribe(ws_client *client, ws_text topic);

/* The client's topics: each name NUL-terminated behind the other, in one block
   to be freed with ws_free, *size bytes in all. NOMEM: nothing is held. */
WS_MUST_CHECK ws_err ws_hub_topics(ws_client *client, char **names,
                                   size_t *size);

/* Asks for a notice event once the channel is flushed or has room again; it
   carries `token`. NOMEM: it will not come. */
WS_MUST_CHECK ws_err ws_hub_notify(ws_client *client, ws_wait_kind kind,
                                   uint64_t token);

/* Starts storing events, and announces every client that is open. */
void ws_hub_start_events(ws_hub *hub);

/* Takes an event (see ws_evq_take), and wakes the pumps when there is room for
   those that they paused. */
bool ws_hub_take_event(ws_hub *hub, ws_event *out);

/* A pump: whether room has appeared for messages that were refused, since it
   last asked. *seen is its own, 0 at first. */
bool ws_hub_take_room(ws_hub *hub, unsigned *seen);

/* Exact totals: those of the living and of the gone. Not for the pump, as
   ws_hub_list. */
ws_hub_stats ws_hub_get_stats(ws_hub *hub);

/* In a forked child: closes this process's copies of the descriptors; nothing
   else of the hub may be touched again. Async-signal-safe. */
void ws_hub_close_after_fork(ws_hub *hub);

#endif

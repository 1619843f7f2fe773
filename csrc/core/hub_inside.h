/*
 * hub_inside.h - what a hub is made of, for the files that make it up:
 *     hub.c           its life, and clients closing and ending
 *     hub_join.c      clients joining; how many handshakes wait
 *     hub_walk.c      going over its clients
 *     hub_topics.c    subscribing
 *     hub_events.c    taking events, asking for notices
 *     hub_pumps.c     what is kept for each pump
 *     hub_totals.c    sums over the living and the gone
 */
#ifndef WS_CORE_HUB_INSIDE_H
#define WS_CORE_HUB_INSIDE_H

#include "hub.h"
#include "lock.h"

/* A sum over all present clients that is under way: whoever ends meanwhile
   and was not met yet is added by whoever ends it. */
typedef struct ws_tally {
    struct ws_tally *next;
    uint32_t chunk; /* the next to be met */
    uint64_t before;
    ws_hub_stats sum;
} ws_tally;

struct ws_hub {
    atomic_uint refs;
    ws_hub_limits limits;
    ws_wake *wake;
    ws_evq *events;
    atomic_ullong late;       /* refusals of clients that have ended */
    atomic_size_t handshakes; /* that wait for a decision */
    atomic_uint room; /* how often there was some for messages that were
                         refused before */
    char apart[64];   /* or whoever takes the lock would wait for a pump's
                         counting, and the other way round */
    ws_pump_counters counters; /* of the first pump, and of senders */
    char apart_too[64];
    _Atomic(ws_hub_pump *) others; /* NULL: there are none */
    size_t other_count;            /* written before `others` */

    ws_lock lock; /* guards all below */
    bool shut;
    uint64_t memberships; /* numbers them */
    uint64_t joined;
    ws_table *ids, *users, *topics;
    ws_group open, present;
    ws_chan_counts gone;
    ws_tally *tallies;
};

/* hub_walk.c: between two chunks of a walk that does little else than hold the
   lock. Whoever has just released a lock wins it back from those who sleep on
   it: to let them in takes a moment of absence now and then. */
void ws_hub_rest(uint32_t chunk);

/* hub.c: OPEN -> CLOSING. Takes over `reason`. */
void ws_hub_start_closing_locked(ws_hub *hub, ws_client *client, uint16_t code,
                                 char *reason, size_t reason_size);

/* hub_pumps.c */
void ws_hub_ring_pumps(ws_hub *hub);
void ws_hub_drop_pumps(ws_hub *hub);

/* hub_totals.c: moves an ended client's counts to those of the gone. */
void ws_hub_retire_locked(ws_hub *hub, ws_client *client);

#endif

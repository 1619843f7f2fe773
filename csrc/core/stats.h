/*
 * stats.h - what can be read off a hub at any time.
 *
 * Threads: values only.
 */
#ifndef WS_CORE_STATS_H
#define WS_CORE_STATS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "chan.h"
#include "evq.h"

/* What pumps count, and of the senders `compressed`. All accesses are relaxed:
   these are counters, nothing is ordered by them. */
typedef struct ws_pump_counters {
    atomic_ullong connections;              /* sockets that it has now */
    atomic_ullong accepted_connections;     /* sockets taken from listeners */
    atomic_ullong refused_handshakes;       /* answered, but not with a 101 */
    atomic_ullong failed_handshakes;        /* cut or gone before an answer */
    atomic_ullong served_pages;             /* plain HTTP answers */
    atomic_ullong turns;                    /* of the pump's loop */
    atomic_ullong writes;                   /* send calls with data in them */
    atomic_ullong short_writes;             /* of those, not taken whole */
    atomic_ullong wire_bytes;               /* that the kernel took */
    atomic_ullong compressed;               /* times that a form was made */
    atomic_ullong pings, pongs;             /* sent; received */
    atomic_ullong timeouts;                 /* clients cut by a deadline */
    atomic_ullong received, received_bytes; /* whole messages, payload */
} ws_pump_counters;

static inline void
ws_count(atomic_ullong *counter, uint64_t by)
{
    (void)atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static inline void
ws_uncount(atomic_ullong *counter, uint64_t by)
{
    (void)atomic_fetch_sub_explicit(counter, by, memory_order_relaxed);
}

static inline uint64_t
ws_counted(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

typedef struct ws_hub_stats {
    ws_chan_counts counts; /* of all clients that ever were */
    uint64_t queued;       /* messages in all channels now */
    uint64_t queued_bytes; /* their payload */
    uint64_t clients;      /* open */
    uint64_t closing;      /* not open, not ended */
    uint64_t joined;       /* clients that ever were */
    uint64_t topics;       /* with a subscriber */
    uint64_t users;        /* with a connection */
    uint64_t handshakes;   /* that wait for a decision */
    ws_evq_stats events;
} ws_hub_stats;

#endif

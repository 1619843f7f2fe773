/*
 * chan.h - the bounded send channel between the senders and the pump.
 *
 * Holds what one client has accepted and the kernel has not yet taken. It is
 * bounded by messages and by payload bytes, and it refuses at once: a push
 * waits for the lock, never for room.
 *
 * The pump does not take messages out and then write them: it peeks a batch,
 * writes, and commits the bytes that the kernel took. What is in flight stays
 * queued and charged, so that at every moment
 *     accepted = written + queued + dropped + lost.
 *
 * Threads: push, refuse, close, wait, unwaits and stats, any; prefetch, peek,
 *          commit and end, the pump only. Destroy: whoever can show that
 *          nobody else still has the channel.
 * Owns:    one reference to each queued message.
 * Locks:   its own, a leaf: no other lock, no callback, no I/O under it.
 */
#ifndef WS_CORE_CHAN_H
#define WS_CORE_CHAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "lock.h"
#include "msg.h"
#include "waiter.h"

#define WS_CHAN_MAX_MSGS (UINT32_C(1) << 20)

/* What a peek hands out at most. */
#define WS_CHAN_BATCH 64

typedef struct ws_chan_limits {
    uint32_t max_msgs; /* 1 to WS_CHAN_MAX_MSGS */
    size_t max_bytes;  /* payload bytes, summed; at least 1 */
} ws_chan_limits;

/* How often each thing has happened, in messages unless it says bytes. */
typedef struct ws_chan_counts {
    uint64_t accepted;
    uint64_t written;       /* the kernel took the last byte */
    uint64_t written_bytes; /* payload bytes of those */
    uint64_t dropped;       /* by a policy the user chose; none so far */
    uint64_t lost;          /* queued when the connection ended */
    uint64_t refused_full;
    uint64_t refused_closed;
    uint64_t refused_too_large;
    uint64_t refused_nomem;
} ws_chan_counts;

typedef struct ws_chan_stats {
    ws_chan_counts counts;
    uint32_t queued;        /* messages now, those in flight included */
    size_t queued_bytes;    /* their payload bytes */
    uint64_t oldest_age_ns; /* how long the oldest of them waits; 0: none */
} ws_chan_stats;

typedef struct ws_chan_entry {
    ws_msg *msg;
    uint64_t since_ns; /* coarse CLOCK_MONOTONIC of its push */
} ws_chan_entry;

/* Laid open so that a client can embed it; the fields are chan.c's alone. What
   a push, a peek and a commit touch stands together, up to written_bytes in
   `counts`. */
typedef struct ws_chan {
    const ws_chan_limits *limits; /* borrowed, fixed, outlives the channel */

    ws_lock lock; /* guards all below */
    ws_chan_entry *ring;
    uint32_t cap;       /* slots: 0, or a power of two */
    uint32_t head;      /* slot of the oldest message */
    uint32_t len;       /* messages queued */
    uint32_t peeked;    /* of those, handed to the pump and not committed */
    size_t bytes;       /* payload queued */
    size_t offset;      /* frame bytes of the oldest that the kernel has */
    ws_waiter *waiters; /* unordered */
    bool closed;
    ws_chan_counts counts;
    atomic_ullong *late; /* also counts refusals once retired; else NULL */
} ws_chan;

/* The bytes of it that are touched for every message. */
#define WS_CHAN_HOT offsetof(ws_chan, counts.dropped)

/* Makes an open, empty channel. The ring is allocated by the first push: an
   idle client costs no slots. NOMEM: nothing to destroy. */
WS_MUST_CHECK ws_err ws_chan_init(ws_chan *ch, const ws_chan_limits *limits);

/* Drops what is still queued. No waiter may be left. */
void ws_chan_destroy(ws_chan *ch);

/*
 * Queues `msg` behind all others, adding a reference of the channel's own;
 * the caller keeps the one it has.
 *
 * On any error the refusal is counted and nothing else has changed:
 *   CLOSED   closed, also when it is full besides
 *   TOO_BIG  larger than max_bytes: trying again can never help
 *   FULL     no room now
 *   NOMEM    the ring could not grow
 */
WS_MUST_CHECK ws_err ws_chan_push(ws_chan *ch, ws_msg *msg);

/* Whether a message of so many payload bytes would be taken just now; a hint
   like ws_chan_is_contended, and nothing is counted. */
bool ws_chan_would_take(ws_chan *ch, size_t size);

/* Counts an attempt that failed before there was a message. Returns CLOSED
   for a closed channel (closed wins over everything), otherwise `err`, which
   is NOMEM or TOO_BIG. */
WS_MUST_CHECK ws_err ws_chan_refuse(ws_chan *ch, ws_err err);

/* Has the place where the next peek will look brought into the cache; does
   nothing while somebody else has the lock. */
void ws_chan_prefetch(ws_chan *ch);

/*
 * Lends the oldest messages, in order, to the pump: up to WS_CHAN_BATCH, and
 * no further message once `max_bytes` of frames are passed. They stay queued,
 * and valid until the commit. *offset becomes the number of frame bytes of
 * out[0] that have been written already. Returns how many.
 */
size_t ws_chan_peek(ws_chan *ch, ws_msg **out, size_t max_bytes,
                    size_t *offset);

/*
 * Tells that the kernel took the next `size` frame bytes of what was peeked.
 * Returns how many of the peeked messages are now written whole: they have
 * left the channel, and the references of out[0..n-1] pass to the pump.
 * Fires what was waiting for them, before it returns.
 */
size_t ws_chan_commit(ws_chan *ch, size_t size);

/* Refuses every later push; what is queued can still be peeked. Idempotent. */
void ws_chan_close(ws_chan *ch);

/* The connection is over: closes, counts what is queued as lost and drops it,
   and fires every waiter. Idempotent. */
void ws_chan_end(ws_chan *ch);

/* The counts of an ended channel, for the totals of those that are gone; what
   it refuses from now on is counted in *late as well, which is borrowed for
   the rest of its life. */
ws_chan_counts ws_chan_retire(ws_chan *ch, atomic_ullong *late);

/*
 * Puts `waiter` (kind and fire set) on the channel. WS_OK: what it waits for
 * is there already, it is not put on and will not fire. WS_ERR_TIMEOUT: it
 * will fire. WS_ERR_CLOSED: it never can, messages were lost.
 */
WS_MUST_CHECK ws_err ws_chan_wait(ws_chan *ch, ws_waiter *waiter);

/* Takes it off again: true, it will not fire; false, it has fired or is
   firing just now. */
bool ws_chan_unwait(ws_chan *ch, ws_waiter *waiter);

/* The same for the one of that token, which is not 0. NULL: there is none (any
   more). */
ws_waiter *ws_chan_unwait_token(ws_chan *ch, uint64_t token);

/* A hint, past as soon as it is given: whether somebody has the lock just now,
   so that a push might have to wait. */
bool ws_chan_is_contended(ws_chan *ch);

/* True when nothing is queued. */
bool ws_chan_is_empty(ws_chan *ch);

ws_chan_stats ws_chan_get_stats(ws_chan *ch);

/* Sums, for the totals of many channels; `into` and `from` differ. */
void ws_chan_counts_add(ws_chan_counts *into, const ws_chan_counts *from);

#endif

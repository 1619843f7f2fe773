/*
 * client.h - one connection, as senders see it.
 *
 * OPEN -> CLOSING -> CLOSED, one way. Anyone may start the closing; only the
 * pump ends it. On leaving OPEN the hub lets go of the id, the user and the
 * topics, and the channel refuses; what is queued still goes out.
 *
 * Threads: any, except where a function or field says otherwise.
 * Owns:    its channel, a reference to its pump's doorbell, to its hub and to
 *          its encoder.
 *          References to it are held by the hub while it is present, by its
 *          connection, by the binding, and by each list and event naming it.
 * Locks:   the hub's for its state, the channel's for its queue.
 */
#ifndef WS_CORE_CLIENT_H
#define WS_CORE_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chan.h"
#include "encoder.h"
#include "err.h"
#include "evq.h"
#include "group.h"
#include "msg.h"
#include "table.h"
#include "wake.h"

typedef struct ws_hub ws_hub;
typedef struct ws_named ws_named;
typedef struct ws_subscription ws_subscription;

typedef enum ws_client_state {
    WS_CLIENT_OPEN,
    WS_CLIENT_CLOSING,
    WS_CLIENT_CLOSED,
} ws_client_state;

/* A borrowed string; also NUL-terminated where a client owns it. */
typedef struct ws_text {
    const char *data; /* NULL: none */
    size_t size;
} ws_text;

/* What is fixed at birth; a client keeps copies. */
typedef struct ws_client_info {
    ws_text id;          /* 1 to WS_CLIENT_ID_MAX bytes of UTF-8 */
    ws_text user;        /* or none */
    ws_text remote;      /* the client's address */
    ws_text peer;        /* the socket's peer */
    ws_text subprotocol; /* or none */
    ws_text request;     /* the head of its HTTP request, as it came */
} ws_client_info;

#define WS_CLIENT_ID_MAX 255

struct ws_client {
    /* What is touched for every message stands together, WS_CLIENT_HOT bytes
       of it. */
    atomic_uint refs;
    atomic_uchar state; /* a ws_client_state, see below */
    uint8_t pump;       /* its wake's number */
    ws_wake_link link;
    ws_wake *wake;       /* its pump's */
    void *conn;          /* the pump's alone: its connection, NULL once
                            ended */
    ws_encoder *encoder; /* set before anybody else knows it; NULL: none */
    ws_hub *hub;
    ws_chan chan;

    ws_client_info info;
    uint64_t since_ns; /* CLOCK_MONOTONIC of its birth */

    /* The hub's lock, and the state is written under it, too. The state may be
       read by anyone; the close fields, by whoever has seen a state past OPEN
       or a CLOSED from the channel: they are written once, before either. */
    bool clean; /* both Close frames were exchanged; valid when CLOSED */
    uint16_t close_code;
    uint16_t close_reason_size;
    char *close_reason;
    ws_table_node by_id;
    ws_named *user;
    ws_group_place user_place, open_place, present_place;
    uint64_t present_since;
    ws_subscription *subscriptions;

    ws_event_slots events; /* the event queue's */

    /* Written by the pump, read by anyone: counters, nothing is ordered by
       them, so all accesses are relaxed. */
    atomic_uint rtt_us; /* of the last ping; 0: none yet */
    atomic_ullong received, received_bytes, received_dropped;

    void *binding; /* the binding's alone, under its own lock */

    char text[]; /* the bytes of `info` */
};

#define WS_CLIENT_HOT (offsetof(ws_client, chan) + WS_CHAN_HOT)

/* Has the hot part brought into the cache, for use soon: a client is seldom
   there when there are thousands, and waiting for it takes longer than all
   that is then done with it. */
static inline void
ws_client_prefetch(const ws_client *client)
{
    enum { LINE = 64 };
    const char *at = (const char *)client;
    for (size_t i = 0; i < WS_CLIENT_HOT; i += LINE) {
        __builtin_prefetch(at + i, 1);
    }
    __builtin_prefetch(at + WS_CLIENT_HOT - 1, 1);
}

/* A client with one reference, not yet in the hub. NULL: no memory. */
ws_client *ws_client_new(ws_hub *hub, ws_wake *wake,
                         const ws_client_info *info);
ws_client *ws_client_ref(ws_client *client);
void ws_client_unref(ws_client *client); /* NULL does nothing */

/* The pump: a client that was never in a hub, and never will be, goes to
   CLOSING at once; code and reason as for ws_hub_close_client. NOMEM: nothing
   has changed. */
WS_MUST_CHECK ws_err ws_client_dismiss(ws_client *client, uint16_t code,
                                       ws_text reason);

/* Whether a message of so many payload bytes would be sent in another form
   than its own, which can take a while to make. */
bool ws_client_encodes(const ws_client *client, size_t size);

/*
 * Queues `msg`, in the form that the client's encoder wants, and wakes the
 * pump. The caller keeps its reference. The form is made first where nobody
 * has made it yet, but not for a client that would refuse it; when there is no
 * memory for it, the message goes as it is.
 * CLOSED, TOO_BIG, FULL, NOMEM: see ws_chan_push; nothing was queued.
 */
WS_MUST_CHECK ws_err ws_client_send(ws_client *client, ws_msg *msg);

/* The same for many clients: links the client to `chain`, for one
   ws_wake_add, instead of waking the pump itself. */
WS_MUST_CHECK ws_err ws_client_send_chained(ws_client *client, ws_msg *msg,
                                            ws_wake_chain *chain);

/* Puts a chain of one pump's clients on its list and rings. Where the pump has
   ended, the clients' references are dropped: their channels have ended too,
   and what was queued is counted as lost. */
void ws_client_wake_chain(ws_wake *wake, ws_wake_chain *chain);

/* Makes the pump look at the client. */
void ws_client_kick(ws_client *client);

/* The client a taken link belongs to; the list's reference comes with it. */
ws_client *ws_client_of_link(ws_wake_link *link);

ws_client_state ws_client_get_state(ws_client *client);

#endif

/*
 * held.h - a handshake that waits for a decision.
 *
 * The pump makes it and keeps the connection unanswered; an event carries it
 * to the drainer, and whoever has it decides, once. The decision goes to the
 * pump by its doorbell, and the pump does what it says. Meanwhile the client
 * may leave, or its time may run out: then nothing is done. Of the two,
 * whoever comes first has it: `state` goes from PENDING to one other, for
 * good.
 *
 * Threads: new and end: the pump. decide, drop and get_state: any. ref and
 *          unref: any.
 * Owns:    copies of what is known of the client, a reference to its pump's
 *          doorbell, and the decision. References to it are held by its
 *          connection, by its event, by the binding, and by the pump's list
 *          while a decision is on its way.
 * Locks:   none of its own; the event queue's for its event.
 */
#ifndef WS_CORE_HELD_H
#define WS_CORE_HELD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"
#include "evq.h"
#include "wake.h"

typedef enum ws_held_state {
    WS_HELD_PENDING,
    WS_HELD_ACCEPTED,
    WS_HELD_REJECTED,
    WS_HELD_EXPIRED, /* nobody decided in time */
    WS_HELD_GONE,    /* the client has left, or the hub has closed */
} ws_held_state;

/* What is to be done: one block, made by ws_decision_new. Texts are also
   NUL-terminated. */
typedef struct ws_decision {
    bool accept;
    ws_text headers; /* more header lines, each with its CRLF; or none */

    /* accept */
    ws_text id;          /* none: one that nobody has had before */
    ws_text user;        /* or none */
    ws_text subprotocol; /* none: as the pumps are configured */
    ws_text topics;      /* their names, each with a NUL behind it; or none */
    bool replace;        /* closes a client that has the id already */

    /* reject */
    uint16_t status;      /* of HTTP */
    uint16_t close_code;  /* not 0: opens the WebSocket and closes it */
    ws_text content_type; /* none: plain text */
    ws_text body;         /* or the reason of the Close */
} ws_decision;

/* A copy of it with all its texts; NULL: no memory. */
ws_decision *ws_decision_new(const ws_decision *what);
void ws_decision_free(ws_decision *decision); /* NULL does nothing */

/* What is fixed at birth. */
typedef struct ws_held_info {
    ws_text remote;       /* the client's address */
    ws_text peer;         /* the socket's peer */
    ws_text request;      /* the head of its HTTP request, as it came */
    ws_text subprotocols; /* those it offers, each with a NUL behind it */
} ws_held_info;

typedef struct ws_held {
    ws_task task; /* the first field: brings the decision to the pump */
    atomic_uint refs;
    atomic_uint state;     /* a ws_held_state */
    ws_wake *wake;         /* its pump's */
    void *conn;            /* the pump's alone: its connection, or NULL */
    ws_decision *decision; /* the pump's, once the task runs; NULL: a plain
                              refusal, for which no memory is needed */
    ws_held_info info;

    /* the event queue's */
    ws_event_node node;
    bool queued;

    char text[]; /* the bytes of `info` */
} ws_held;

/* One reference, the caller's. `run` is called on the pump with the decision;
   it gives back the reference that comes with it. NULL: no memory. */
ws_held *ws_held_new(ws_wake *wake, const ws_held_info *info,
                     void (*run)(ws_task *task, void *pump));
ws_held *ws_held_ref(ws_held *held);
void ws_held_unref(ws_held *held); /* NULL does nothing */

ws_held_state ws_held_get_state(const ws_held *held);

/*
 * Decides. PENDING: it was, until now; the decision belongs to the pump.
 * Otherwise that is how it stands, nothing was done, and the decision is still
 * the caller's. GONE also where the pump has ended.
 */
WS_MUST_CHECK ws_held_state ws_held_decide(ws_held *held,
                                           ws_decision *decision);

/* Nobody will decide: it is refused, unless somebody has. */
void ws_held_drop(ws_held *held);

/* The pump decides by itself, with EXPIRED or GONE. False: a decision is on
   its way already, and will surely come. */
WS_MUST_CHECK bool ws_held_end(ws_held *held, ws_held_state how);

#endif

/*
 * evq.h - what has happened to clients, on its way to Python.
 *
 * One queue a hub, filled by the pump and emptied by one drainer, with a
 * descriptor that is readable while something waits. Messages are bounded by
 * number and by bytes, and shared out: a client may hold as much as is still
 * free, so that one who floods never takes the last place. A message larger
 * than all the bytes there are is queued when it is the only one. Connected
 * and Disconnected use slots that live in the client: they need no memory and
 * are never lost, and a pair that nobody took vanishes together. So it is with
 * Authorize, whose slot is in the handshake that it is about.
 *
 * Until the first ws_evq_start nothing else is stored, and messages are
 * counted as dropped: a program that only pushes needs no drainer.
 *
 * Threads: message, authorize, withdraw, disconnected and count_dropped: the
 *          pump (any pump).
 *          start, takes, announce, notice, take, put_back, stats and fd: any.
 * Owns:    the messages, and a reference to the client or the handshake of
 *          each event.
 * Locks:   its own, a leaf; no system call is made under it.
 */
#ifndef WS_CORE_EVQ_H
#define WS_CORE_EVQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

typedef struct ws_client ws_client;
typedef struct ws_held ws_held;
typedef struct ws_evq ws_evq;

typedef enum ws_event_kind {
    WS_EVENT_CONNECTED,
    WS_EVENT_MESSAGE,
    WS_EVENT_DISCONNECTED,
    WS_EVENT_NOTICE, /* asked for by ws_hub_notify */
    WS_EVENT_AUTHORIZE,
} ws_event_kind;

/* A link of the queue; lives in the client or at the head of a message. */
typedef struct ws_event_node ws_event_node;
struct ws_event_node {
    ws_event_node *prev, *next;
    ws_event_kind kind;
};

/* What a client keeps for the queue; zeroed at birth, evq.c's alone. */
typedef struct ws_event_slots {
    ws_event_node connected, disconnected;
    enum {
        WS_UNANNOUNCED = 0, /* no Connected was queued */
        WS_ANNOUNCED,       /* Connected is queued */
        WS_KNOWN,           /* Connected was taken */
        WS_LEAVING,         /* Connected and Disconnected are queued */
        WS_GONE,            /* Disconnected was queued, or needs not be */
    } phase;
    uint32_t messages; /* queued now */
    size_t bytes;      /* their payload */
} ws_event_slots;

/* An inbound message: one block, made by ws_inbound_new. */
typedef struct ws_inbound ws_inbound;

/* Room for `cap` bytes; NULL: no memory. */
ws_inbound *ws_inbound_new(size_t cap);
/* The same with more room, contents kept; NULL: no memory, `in` as it was. */
ws_inbound *ws_inbound_grow(ws_inbound *in, size_t cap);
void ws_inbound_free(ws_inbound *in); /* NULL does nothing */
uint8_t *ws_inbound_data(ws_inbound *in);

/* An event as taken: everything in it is the drainer's to release. */
typedef struct ws_event {
    ws_event_kind kind;
    ws_client *client;   /* a reference; AUTHORIZE: NULL */
    ws_held *held;       /* AUTHORIZE: a reference */
    ws_inbound *message; /* MESSAGE; free with ws_inbound_free */
    size_t size;         /* MESSAGE: payload bytes */
    bool text;           /* MESSAGE: valid UTF-8, sent as text */
    uint64_t token;      /* NOTICE */
    ws_err result;       /* NOTICE: WS_OK, or WS_ERR_CLOSED */
} ws_event;

typedef struct ws_evq_limits {
    uint32_t max_messages; /* 0: never store a message */
    size_t max_bytes;      /* payload bytes, summed, of more than one */
} ws_evq_limits;

typedef struct ws_evq_stats {
    uint32_t messages; /* queued now */
    size_t bytes;      /* their payload */
    uint64_t queued;   /* messages ever queued */
    uint64_t dropped;  /* messages dropped because nobody takes events */
} ws_evq_stats;

/* SYSTEM: no descriptor, errno tells. */
WS_MUST_CHECK ws_err ws_evq_new(ws_evq_limits limits, ws_evq **out);
void ws_evq_free(ws_evq *evq); /* drops what is queued; NULL does nothing */

/* Readable when events wait; now and then once more than that. */
int ws_evq_fd(const ws_evq *evq);

/* From now on events are stored. True for the first call: the caller then
   announces every open client. */
bool ws_evq_start(ws_evq *evq);

/* Whether messages are stored; and counts one that was not even collected. */
bool ws_evq_takes(ws_evq *evq);
void ws_evq_count_dropped(ws_evq *evq);

/* Queues Connected, where events are stored at all, for a client that has none
   yet and has not ended. */
void ws_evq_announce(ws_evq *evq, ws_client *client);

/* Queues Authorize, whether events are stored yet or not; once. */
void ws_evq_authorize(ws_evq *evq, ws_held *held);

/* Takes it out, if it is still there. It must not be PENDING any more: then it
   does not come back, either. */
void ws_evq_withdraw(ws_evq *evq, ws_held *held);

/*
 * Queues a message, which then belongs to the queue. WS_OK also when it was
 * dropped and counted, because nobody takes events or because it comes behind
 * its client's Disconnected. FULL: no room now, the
 * message is still the caller's, who stops reading; when room appears,
 * ws_evq_take says so.
 */
WS_MUST_CHECK ws_err ws_evq_message(ws_evq *evq, ws_client *client,
                                    ws_inbound *in, size_t size, bool text);

/* The client has ended, or will; nothing more comes from it. Only the first
   call for a client counts. */
void ws_evq_disconnected(ws_evq *evq, ws_client *client);

/* A notice: one block, made before it is needed, so that queueing it cannot
   fail. Given up to the queue by ws_evq_notice. */
typedef struct ws_notice ws_notice;
ws_notice *ws_notice_new(ws_client *client, uint64_t token);
void ws_notice_free(ws_notice *notice);
void ws_evq_notice(ws_evq *evq, ws_notice *notice, ws_err result);

/* Takes the oldest event; false: none. *room becomes true when somebody was
   refused before and should be asked again: wake the pumps. */
bool ws_evq_take(ws_evq *evq, ws_event *out, bool *room);

/* Puts an event just taken back to the front, and empties it: for a drainer
   who could not make use of it. There is always room for it. False, and the
   event as it was, where that needs memory and there is none. */
WS_MUST_CHECK bool ws_evq_put_back(ws_evq *evq, ws_event *event);

/* Releases what is in a taken event. */
void ws_event_release(ws_event *event);

ws_evq_stats ws_evq_get_stats(ws_evq *evq);

/* In a forked child: closes this process's copy of the descriptor.
   Async-signal-safe. */
void ws_evq_close_after_fork(ws_evq *evq);

#endif

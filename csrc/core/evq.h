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
 * A drainer that keeps a queue of its own for each client can have each
 * client's share bounded (ws_evq_set_share): what it has taken and not given
 * back counts as well, and a client that has used up its share is refused,
 * however much room there is for the others.
 *
 * Threads: message, authorize, withdraw, disconnected and count_dropped: the
 *          pump (any pump).
 *          start, takes, announce, notice, set_share, take, put_back,
 *          give_back, stats and fd: any.
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
    bool waits;        /* was refused for its share */
    uint32_t messages; /* queued now */
    uint32_t lent;     /* taken, and not given back; where there are shares */
    size_t bytes;      /* the payload of those queued */
    size_t lent_bytes; /* ... and of those lent */
} ws_event_slots;

/* An inbound message: one block, made by ws_inbound_new. */
typedef struct ws_inbound ws_inbound;

/* Room for `cap` bytes; NULL: no memory. */
ws_inbound *ws_inbound_new(size_t cap);
/* The same with more room, contents kept; NULL: no memory, `in` as it was. */
ws_inbound *ws_inbound_grow(ws_inbound *in, size_t cap);
void ws_inbound_free(ws_inbound *in); /* NULL does nothing */
uint8_t *ws_inbound_data(ws_inbound *in);

/* A notice: one block, made before it is needed, so that queueing it cannot
   fail. */
typedef struct ws_notice ws_notice;

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
    ws_notice *notice;   /* NOTICE: its block */
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

/* From now on each client's messages, queued and lent, are bounded, but for
   one of any size that is alone; max_messages 0: no longer. */
void ws_evq_set_share(ws_evq *evq, ws_evq_limits share);

/*
 * Queues a message, which then belongs to the queue. WS_OK also when it was
 * dropped and counted, because nobody takes events or because it comes behind
 * its client's Disconnected. FULL: no room now, the
 * message is still the caller's, who stops reading; when room appears,
 * ws_evq_take says so, or for a client that had used up its share,
 * ws_evq_give_back.
 */
WS_MUST_CHECK ws_err ws_evq_message(ws_evq *evq, ws_client *client,
                                    ws_inbound *in, size_t size, bool text);

/* The client has ended, or will; nothing more comes from it. Only the first
   call for a client counts. */
void ws_evq_disconnected(ws_evq *evq, ws_client *client);

/* Made by whoever will queue it, given up to the queue by ws_evq_notice. */
ws_notice *ws_notice_new(ws_client *client, uint64_t token);
void ws_notice_free(ws_notice *notice);
void ws_evq_notice(ws_evq *evq, ws_notice *notice, ws_err result);

/* Takes the oldest event; false: none. *room becomes true when somebody was
   refused before and should be asked again: wake the pumps. */
bool ws_evq_take(ws_evq *evq, ws_event *out, bool *room);

/* Puts an event just taken back to the front, and empties it: for a drainer
   who could not make use of it. There is always room for it. */
void ws_evq_put_back(ws_evq *evq, ws_event *event);

/* All that was taken of this client is used up. True when it was refused for
   its share meanwhile, and should be asked again. */
WS_MUST_CHECK bool ws_evq_give_back(ws_evq *evq, ws_client *client);

/* Releases what is in a taken event. */
void ws_event_release(ws_event *event);

ws_evq_stats ws_evq_get_stats(ws_evq *evq);

/* In a forked child: closes this process's copy of the descriptor.
   Async-signal-safe. */
void ws_evq_close_after_fork(ws_evq *evq);

#endif

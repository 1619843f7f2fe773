/*
 * conn.h - one socket, from accept to the end of TCP.
 *
 * libwebsockets brings bytes and tells when it can be written; the pump brings
 * deadlines and what senders have queued. The parts stand in files of their
 * own, over one struct:
 *     conn.c        lws callbacks, deadlines, the end
 *     opening.c     the HTTP request and its answer
 *     hold.c        waiting for somebody's decision on it
 *     admit.c       from the request to the client
 *     inbox.c       frames from the client; pausing
 *     unpack.c      its compressed messages
 *     outbox.c      bytes to the client
 *
 * Nothing frees a connection while one of its functions runs: whoever finds a
 * reason to end it notes that (ws_conn_doom), and the outermost caller acts on
 * it: a callback by returning -1 to lws, everything else by ws_conn_reap.
 *
 * Threads: the pump.
 * Owns:    its buffers, a reference to its client, its timer.
 * Locks:   none.
 */
#ifndef WS_NET_CONN_H
#define WS_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/client.h"
#include "crowd.h"
#include "listener.h"
#include "pages.h"
#include "proto/frame_decode.h"
#include "proto/handshake_response.h"
#include "proto/http_request.h"
#include "proto/inflate.h"
#include "proto/utf8.h"
#include "timer.h"
#include "tls.h"

struct lws;
struct lws_protocols;
typedef struct ws_conn ws_conn;
typedef struct ws_pump ws_pump;
typedef struct ws_port ws_port;

typedef enum ws_conn_phase {
    WS_CONN_OPENING,   /* reading the request */
    WS_CONN_HELD,      /* it waits for a decision, see hold.h */
    WS_CONN_ANSWERING, /* writing an answer that is no 101 */
    WS_CONN_FRAMES,    /* a WebSocket: 101 on its way or out */
    WS_CONN_LINGERING, /* all said, our FIN sent; waits for the peer's */
    WS_CONN_ENDED,     /* lws has let go of it */
} ws_conn_phase;

/* What is kept while it waits, see hold.c. */
typedef struct ws_hold ws_hold;

/* The request while it comes in; freed with the answer. */
typedef struct ws_opening {
    ws_http_request request;
    uint16_t size, cap; /* bytes of the head so far; room for them */
    char head[];
} ws_opening;

/* What goes out beside the channel, at message boundaries, before data: the
   answer to the request, pings, pongs, the Close. */
typedef struct ws_ctl {
    uint8_t *data;
    uint32_t size, cap;
    uint32_t offset; /* bytes of it that the kernel has */
} ws_ctl;

/* What is to be tried again as it is, see outbox.c. */
typedef struct ws_sealed ws_sealed;

/* Paused connections, the longest waiting first. */
typedef struct ws_conn_line {
    ws_conn *first, *last;
} ws_conn_line;

struct ws_conn {
    /* What is touched for every message stands together, up to `doom`. */
    ws_pump *pump;
    ws_client *client; /* a reference, from the upgrade on */
    struct lws *wsi;   /* NULL before adoption and once ended */
    ws_conn_phase phase;
    int fd; /* its socket, lws's to close from the adoption on */

    /* outbox.c */
    ws_ctl ctl;
    ws_sealed *sealed;   /* TLS: refused for now, comes again as it is */
    const ws_page *page; /* ANSWERING: the body behind ctl, a reference */
    ws_tls *tls;         /* a reference; NULL: plain */
    bool blocked;        /* a short write: waits for the socket */
    bool starved;        /* ... or for the kernel to have memory again */
    bool mid_message;    /* the kernel has part of the oldest message */
    bool pong_due;       /* pong[] waits for room in ctl */
    uint8_t pong_size;

    /* the end of the conversation */
    bool closing;        /* someone has begun to close */
    bool rest_lost;      /* what is queued will not be written any more */
    bool close_queued;   /* our Close is in ctl */
    bool close_sent;     /* ... and with the kernel */
    bool close_received; /* the client's has come */
    bool failed;         /* the client broke the protocol: no waiting for it */
    bool ping_unsent;    /* a ping is not with the kernel yet */
    uint16_t echo_code;  /* what the client's Close said */
    const char *doom;    /* static text: why it must end; NULL: it lives */

    bool is_unix;         /* its socket */
    bool stranger;        /* its client never was in the hub, nor will be */
    ws_port *port;        /* a reference */
    ws_conn *prev, *next; /* of all; `next` also of those to be freed, or still
                             on their way to their pump */

    /* outbox.c, what is seldom used */
    uint8_t *pong; /* WS_FRAME_CONTROL_PAYLOAD_MAX bytes, made when needed */
    size_t page_offset;
    ws_conn *starved_prev, *starved_next;

    /* inbox.c */
    bool paused;  /* no room for events, or resting: not reading */
    bool resting; /* has had its share of a turn: until it is asked again */
    bool ready;   /* in_data holds a whole message without a place */
    bool discard; /* the message coming in has no taker */
    bool in_text; /* it is text */
    bool compression; /* agreed on */
    ws_conn *paused_prev, *paused_next;
    ws_inflater *inflater; /* while a compressed message comes in */
    ws_utf8 in_utf8;       /* of its text */
    size_t inflated;       /* bytes, since it was last asked or read from */
    ws_frame_decoder decoder;
    ws_inbound *in; /* the message so far */
    size_t in_size, in_cap;
    uint8_t *carry; /* bytes read and not decoded when it was paused */
    size_t carry_size, carry_offset;

    /* deadlines */
    ws_timer timer;    /* one: what for follows from phase and closing */
    bool ping_waits;   /* a ping is without its pong, and the clock runs */
    uint64_t alive_ns; /* when the client last gave a sign, while a ping or
                          an answer waits for one */
    uint64_t ping_ns;  /* when the ping was made, its payload; 0: it has its
                          pong, or there is none */

    union {
        ws_opening *opening; /* OPENING, or NULL */
        ws_hold *hold;       /* HELD, or NULL */
    };
    ws_crowd_entry *crowd; /* counted from accept; behind a proxy, from the
                              upgrade; NULL: it is not counted */
    char *peer; /* the socket's peer as text; until HELD or FRAMES */
};

/* Has that part brought into the cache, see ws_client_prefetch. */
static inline void
ws_conn_prefetch(const ws_conn *conn)
{
    __builtin_prefetch(&conn->pump, 1);
    __builtin_prefetch(&conn->sealed, 1);
    __builtin_prefetch(&conn->doom, 1);
}

/* conn.c */

/* What lws calls, with the ws_conn as opaque user data; a static table. */
const struct lws_protocols *ws_conn_protocols(void);

/* A connection that `pump` is to have, made by the one that accepts. Takes
   over the socket and the place in the crowd (or NULL); with no memory they
   are given back at once, and it is NULL. */
ws_conn *ws_conn_new(ws_pump *pump, ws_port *port, int fd, const ws_addr *peer,
                     ws_crowd_entry *crowd);

/* Begins to serve it. */
void ws_conn_start(ws_conn *conn);

/* Closes and frees one that was never started. Any pump. */
void ws_conn_turn_back(ws_conn *conn);

/* Notes that it must end; the first reason counts. */
void ws_conn_doom(ws_conn *conn, const char *why);

/* Outside lws's callbacks: ends it if it is doomed. `conn` stays valid until
   the pump frees the ended ones at the end of its turn. */
void ws_conn_reap(ws_conn *conn);

/* Its client has something queued, or is closing. */
void ws_conn_serve(ws_conn *conn);

void ws_conn_expired(ws_conn *conn);
void ws_conn_hung_up(ws_conn *conn, bool dead);

/* An answer that is no 101 goes out; its deadline begins, and begins again
   with each byte that the client takes. */
void ws_conn_begin_answer(ws_conn *conn);

/* The handshake is done: keepalive begins. */
void ws_conn_opened(ws_conn *conn);

/* Starts the closing of a client, unless it is closing already; without the
   reason where there is no memory for it. */
void ws_conn_close_client(ws_client *client, uint16_t code, ws_text reason);

/* Begins the close deadline; on the first call for this connection. */
void ws_conn_begin_closing(ws_conn *conn);

/* The conversation is over: our FIN, and a while for the peer's. */
void ws_conn_linger(ws_conn *conn);

/* The pump is going to stop: no more requests, and no long answers. */
void ws_conn_drain(ws_conn *conn);

/* Frees an ended connection. */
void ws_conn_free(ws_conn *conn);

/* opening.c */

/* Takes bytes of the request; returns how many of them belonged to it. What
   follows once it is a WebSocket are frames. */
size_t ws_opening_feed(ws_conn *conn, const uint8_t *data, size_t size);

/* Answers with an error of HTTP and closes. */
void ws_opening_refuse(ws_conn *conn, int status, const char *text,
                       const char *headers);

/* Answers with that and closes. */
void ws_opening_answer(ws_conn *conn, const ws_handshake_answer *what);

/* inbox.c */

/* Decodes what the client sent; `data` is changed. */
void ws_inbox_feed(ws_conn *conn, uint8_t *data, size_t size);

/* Keeps bytes that may not be decoded now, behind those that it keeps already.
   False: no memory. */
bool ws_inbox_keep(ws_conn *conn, const uint8_t *data, size_t size);

/* Decodes what was kept while it was no WebSocket yet. */
void ws_inbox_feed_carry(ws_conn *conn);

/* There may be room for events again, or a rest is over. True: it reads on. */
bool ws_inbox_resume(ws_conn *conn);

/* Goes on with those that rest: one at least, more as far as the time of this
   turn goes. */
void ws_inbox_serve_resting(ws_pump *pump);

/* The client broke a rule, or there is no memory for what it sends. */
void ws_inbox_fail(ws_conn *conn, uint16_t code, const char *text);

/* The message coming in goes on with these bytes; `ahead` more will surely
   follow, and with `last` no others. False: it has failed, for want of
   memory. */
bool ws_inbox_add(ws_conn *conn, const uint8_t *data, size_t size,
                  uint64_t ahead, bool last);

void ws_inbox_free(ws_conn *conn);

/* unpack.c */

/* Inflates a piece of a compressed message, and checks and adds what comes out
   of it. False: it has failed. */
bool ws_unpack(ws_conn *conn, const ws_decode_event *event);

/* The compressed message coming in, if there is one, is over. */
void ws_unpack_drop(ws_conn *conn);

/* outbox.c */

/* Writes what there is, as far as the socket and the turn's share go. */
void ws_outbox_write(ws_conn *conn);

/* Appends bytes to ctl; false: no memory, nothing has changed. */
bool ws_outbox_put(ws_conn *conn, const void *data, size_t size);

/* Makes a Pong, or keeps the latest where there is no room now. */
void ws_outbox_pong(ws_conn *conn, const uint8_t *payload, size_t size);

/* Makes a Ping; false: there is no memory, or no more Ping may be sent. */
bool ws_outbox_ping(ws_conn *conn, uint64_t payload);

/* The kernel may have memory again for those that it had none for. */
void ws_outbox_retry(ws_pump *pump);

void ws_outbox_free(ws_conn *conn);

#endif

/*
 * guest.h - for tests of faults: a client that puts up with being turned away
 * or cut at any moment, but not with nonsense.
 *
 * Unlike a peer (wire.h) it never waits for what it reads, except for a TLS
 * handshake, which the first sending makes. What comes in is checked as far as
 * it goes: whole frames, and compressed ones that hold zeros.
 */
#ifndef WS_TESTS_GUEST_H
#define WS_TESTS_GUEST_H

#include "deflate_kit.h"
#include "proto/deflate.h"
#include "wire.h"

enum { GUEST_MESSAGE_MAX = 1 << 17 }; /* bytes */

typedef struct guest {
    const char *name;
    int fd;          /* -1: not connected, or closed */
    SSL *ssl;        /* NULL: plain, or closed */
    bool asleep;     /* does not read */
    bool opened;     /* has its 101, */
    bool compressed; /* which agreed on permessage-deflate */
    bool notified;   /* the server's close_notify was seen, */
    bool ended;      /* its end, */
    bool cleanly;    /* which was a FIN, under TLS behind a close_notify */
    bool broken;     /* something could not be sent any more */
    bool said_close;
    ws_client *client; /* a reference; NULL: never found */
    size_t frames;     /* whole messages received, */
    size_t inflated;   /* of them compressed */
    size_t heard;      /* messages that the server took from it */
    size_t unanswered; /* of those, whose echo was refused */
    uint8_t *in;
    size_t at, end, cap;
} guest;

/* Who the guests are, if somebody asks: their certificate, which vouches for
   itself, and its key. Made by the first, for good. */
static inline const pem_pair *
guest_identity(void)
{
    static pem_pair pair;
    if (pair.cert == NULL) {
        pair = pem_make("guest", NULL, true);
    }
    return &pair;
}

/* What they share for each version of TLS, likewise. */
static inline SSL_CTX *
guest_ctx(int version)
{
    static SSL_CTX *all[2];
    SSL_CTX **ctx = &all[version == TLS1_3_VERSION];
    if (*ctx == NULL) {
        *ctx = SSL_CTX_new(TLS_client_method());
        CHECK(*ctx != NULL);
        CHECK_EQ(SSL_CTX_set_max_proto_version(*ctx, version), 1);
        CHECK_EQ(SSL_CTX_use_certificate(*ctx, guest_identity()->cert), 1);
        CHECK_EQ(SSL_CTX_use_PrivateKey(*ctx, guest_identity()->key), 1);
    }
    return *ctx;
}

/* Nothing more will come of it. One that sleeps does not see the end, and may
   keep the server's Close from going out. */
static inline bool
guest_is_gone(const guest *g)
{
    return g->ended || g->broken ||
           (g->client != NULL &&
            ws_client_get_state(g->client) >=
                (g->asleep ? WS_CLIENT_CLOSING : WS_CLIENT_CLOSED));
}

static inline peer
guest_peer(const guest *g)
{
    return (peer){.fd = g->fd, .ssl = g->ssl};
}

static inline void
guest_hang_up(guest *g)
{
    SSL_free(g->ssl);
    g->ssl = NULL;
    CHECK_EQ(close(g->fd), 0);
    g->fd = -1;
}

static inline void
guest_say(guest *g, const void *data, size_t size)
{
    const uint8_t *at = data;
    peer p = guest_peer(g);
    while (size > 0 && !g->broken && !g->ended) {
        peer_wait(&p, POLLOUT);
        ssize_t sent = peer_try_send(&p, at, size);
        g->broken = sent < 0;
        at += g->broken ? 0 : sent;
        size -= g->broken ? 0 : (size_t)sent;
    }
}

static inline void
guest_frame(guest *g, unsigned first, const void *data, size_t size)
{
    uint8_t *frame = malloc(PEER_HEADER_MAX + size);
    CHECK(frame != NULL);
    guest_say(g, frame, peer_make(frame, first, data, size));
    free(frame);
}

static inline void
guest_say_close(guest *g, const char *reason)
{
    uint8_t body[125] = {0x03, 0xe8};
    memcpy(body + 2, reason, strlen(reason));
    if (!g->said_close) {
        g->said_close = true;
        guest_frame(g, PEER_CLOSE, body, 2 + strlen(reason));
    }
}

/* What has come in, if it is a whole head. */
static inline void
guest_take_head(guest *g)
{
    size_t size = g->end - g->at;
    const uint8_t *end = memmem(g->in + g->at, size, "\r\n\r\n", 4);
    if (end == NULL) {
        return;
    }
    CHECK(size > 13 && memcmp(g->in + g->at, "HTTP/1.1 ", 9) == 0);
    g->opened = memcmp(g->in + g->at, "HTTP/1.1 101 ", 13) == 0;
    if (g->opened) {
        const char extensions[] = "\r\nSec-WebSocket-Extensions: ";
        g->at = (size_t)(end - g->in) + 4;
        g->compressed =
            memmem(g->in, g->at, extensions, sizeof extensions - 1) != NULL;
    }
}

/* The size of a whole frame that stands at `data`; 0: it is not there yet. */
static inline size_t
guest_frame_size(const uint8_t *data, size_t size, size_t *header)
{
    *header = 2;
    if (size < 2) {
        return 0;
    }
    CHECK(data[1] <= 127);
    uint64_t payload = data[1];
    if (payload >= 126) {
        *header = payload == 126 ? 4 : 10;
        payload = 0;
        for (size_t i = 2; i < *header && i < size; i++) {
            payload = payload << 8 | data[i];
        }
    }
    return size < *header || size - *header < payload
               ? 0
               : *header + (size_t)payload;
}

/* All that is compressed in a life are zeros. */
static inline void
guest_check_compressed(guest *g, const uint8_t *payload, size_t size)
{
    static uint8_t out[GUEST_MESSAGE_MAX];
    CHECK(g->compressed);
    size_t made = deflate_kit_inflate(payload, size, WS_DEFLATE_BITS_MAX, out,
                                      sizeof out);
    CHECK(made > size);
    for (size_t i = 0; i < made; i++) {
        CHECK_EQ(out[i], 0);
    }
    g->inflated++;
}

static inline void
guest_take_frame(guest *g, const uint8_t *frame, size_t header, size_t size)
{
    switch (frame[0]) {
    case PEER_BINARY | WS_FRAME_RSV1:
        guest_check_compressed(g, frame + header, size - header);
        g->frames++;
        break;
    case PEER_TEXT:
    case PEER_BINARY:
        g->frames++;
        break;
    case PEER_PING:
        guest_frame(g, PEER_PONG, frame + header, size - header);
        break;
    case PEER_PONG:
        break;
    default:
        CHECK_EQ(frame[0], PEER_CLOSE);
        guest_say_close(g, "");
    }
}

static inline void
guest_take_frames(guest *g)
{
    size_t header = 0;
    size_t size = 0;
    while ((size = guest_frame_size(g->in + g->at, g->end - g->at, &header)) >
           0) {
        guest_take_frame(g, g->in + g->at, header, size);
        g->at += size;
    }
}

/* Set where the server's OpenSSL fails in the middle of a record, or of a
   change of keys: the alert that follows is then sealed with a number or a key
   that its reader has not. */
static bool guest_expects_odd_alerts;

/* An end without a close_notify, or an alert, may come at any time; anything
   else would be our mistake. */
static inline bool
guest_was_cut(int error)
{
    int reason = ERR_GET_REASON(ERR_peek_error());
    return error == SSL_ERROR_SYSCALL ||
           (error == SSL_ERROR_SSL &&
            (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING ||
             reason > SSL_AD_REASON_OFFSET ||
             (guest_expects_odd_alerts &&
              reason == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC)));
}

/* As recv without waiting, where a close_notify is an end like any other. */
static inline ssize_t
guest_recv(guest *g, void *into, size_t size)
{
    if (g->ssl == NULL || g->notified) {
        return recv(g->fd, into, size, MSG_DONTWAIT);
    }
    ERR_clear_error();
    int got = SSL_read(g->ssl, into, (int)size);
    int error = SSL_get_error(g->ssl, got);
    if (error == SSL_ERROR_NONE) {
        return got;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        g->notified = true;
        return recv(g->fd, into, size, MSG_DONTWAIT);
    }
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE &&
        !g->broken && !guest_was_cut(error)) {
        ERR_print_errors_fp(stderr);
        check_failed(__FILE__, __LINE__, "what came is no TLS");
    }
    bool waits = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    errno = waits ? EAGAIN : ECONNRESET;
    return -1;
}

/* Takes all that has come in. */
static inline void
guest_read(guest *g)
{
    ssize_t got = 1;
    while (got > 0) {
        if (g->cap - g->end < 65536) {
            g->cap = g->cap * 2 + 65536;
            g->in = realloc(g->in, g->cap);
            CHECK(g->in != NULL);
        }
        got = guest_recv(g, g->in + g->end, g->cap - g->end);
        g->end += got > 0 ? (size_t)got : 0;
    }
    g->ended = got == 0 || errno != EAGAIN;
    g->cleanly = got == 0;
    CHECK(got == 0 || !g->ended || errno == ECONNRESET);
    if (!g->opened) {
        guest_take_head(g);
    }
    if (g->opened) {
        guest_take_frames(g);
    }
    if (g->ended) {
        guest_hang_up(g);
    }
}

#endif

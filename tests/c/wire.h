/*
 * wire.h - for tests of the network layer: a served hub, and clients that talk
 * to it over real sockets and may do so as badly as they like.
 *
 * Clients are driven by the test's own thread; the pump has its own. Every
 * wait is bounded, and one that is not over in time fails the test.
 *
 * With WSSEND_WIRE=tls1.2 or tls1.3 in the environment all of it speaks TLS,
 * and an end without a close_notify counts as a reset. With
 * WSSEND_TEST_PUMPS=3 three pumps serve it, where a test does not say how
 * many.
 */
#ifndef WS_TESTS_WIRE_H
#define WS_TESTS_WIRE_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "core/alloc.h"
#include "core/fanout.h"
#include "core/hub.h"
#include "net/crew.h"
#include "net/identity.h"
#include "net/listener.h"
#include "net/message.h"
#include "net/pages.h"
#include "pem.h"
#include "proto/frame.h"

enum { WIRE_PATIENCE_MS = 10000 };

#define WIRE_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The TLS version that all speak; 0: none. */
static inline int
wire_tls(void)
{
    const char *wire = getenv("WSSEND_WIRE");
    return wire == NULL || strcmp(wire, "plain") == 0 ? 0
           : strcmp(wire, "tls1.2") == 0              ? TLS1_2_VERSION
                                                      : TLS1_3_VERSION;
}

/* ---- the server */

typedef struct wire_setup {
    ws_hub_limits limits;
    ws_pump_config config;
    const char *path; /* of the port; NULL: any */
    bool unix_socket; /* instead of TCP */
    bool events;      /* stored from the beginning */
} wire_setup;

typedef struct wire {
    ws_hub *hub;
    ws_pages *pages;
    ws_crew *crew;
    ws_port *port;
} wire;

/* How many pumps there are where nothing is said. */
static inline size_t
wire_pumps(void)
{
    const char *pumps = getenv("WSSEND_TEST_PUMPS");
    return pumps == NULL ? 1 : (size_t)strtoul(pumps, NULL, 10);
}

/* Roomy, without keepalive; ids and users are taken from the query. */
static inline wire_setup
wire_defaults(void)
{
    return (wire_setup){
        .limits =
            {
                .send = {.max_msgs = 10000, .max_bytes = 16 << 20},
                .inbound = {.max_messages = 10000, .max_bytes = 16 << 20},
            },
        .config =
            {
                .pumps = wire_pumps(),
                .open_timeout_ns = WIRE_PATIENCE_MS * WS_NS_PER_MS,
                .close_timeout_ns = WIRE_PATIENCE_MS * WS_NS_PER_MS,
                .max_message_size = 2 << 20,
                .send_buffer = 65536,
                .id_query = "id",
                .user_query = "user",
            },
    };
}

static inline ws_listener *
wire_listener(bool unix_socket)
{
    ws_listener_error error = {0};
    char path[64];
    (void)snprintf(path, sizeof path, "/tmp/wssend-wire-%d", (int)getpid());
    ws_listener *listener =
        unix_socket ? ws_listener_new_unix(path, 0600, 1000, &error)
                    : ws_listener_new_tcp("127.0.0.1", 0, 1000, &error);
    if (listener == NULL && error.err != ENOMEM) {
        fprintf(stderr, "%s: %s\n", error.what, strerror(error.err));
    }
    return listener;
}

/* Who the server is when all speak TLS. */
static inline ws_identity *
wire_identity(void)
{
    static char path[96]; // made by the first, which is alone
    if (wire_tls() == 0) {
        return NULL;
    }
    if (path[0] == '\0') {
        pem_pair pair = pem_make("localhost", NULL, false);
        (void)snprintf(path, sizeof path, "%s",
                       pem_write_pair("wire.pem", &pair));
        pem_free(&pair);
    }
    ws_identity_files files = {.cert = path};
    ws_identity_error error;
    ws_identity *identity = ws_identity_load(&files, &error);
    CHECK(identity != NULL);
    return identity;
}

static inline wire
wire_open(const wire_setup *setup)
{
    wire w = {0};
    CHECK_EQ(ws_hub_new(&setup->limits, &w.hub), WS_OK);
    w.pages = ws_pages_new();
    CHECK(w.pages != NULL);
    if (setup->events) {
        ws_hub_start_events(w.hub);
    }
    CHECK_EQ(ws_crew_new(w.hub, w.pages, &setup->config, &w.crew), WS_OK);
    ws_listener *listener = wire_listener(setup->unix_socket);
    CHECK(listener != NULL);
    CHECK_EQ(ws_crew_listen_tls(w.crew, listener, setup->path, wire_identity(),
                                &w.port),
             WS_OK);
    return w;
}

static inline wire
wire_open_default(void)
{
    wire_setup setup = wire_defaults();
    return wire_open(&setup);
}

/* The law of all channels, the living and the gone, at any moment. */
static inline ws_hub_stats
wire_check_law(const wire *w)
{
    ws_hub_stats stats = ws_hub_get_stats(w->hub);
    CHECK_EQ(stats.counts.accepted, stats.counts.written + stats.queued +
                                        stats.counts.dropped +
                                        stats.counts.lost);
    return stats;
}

/* Ends everything; nothing may be left. Returns the last figures. */
static inline ws_hub_stats
wire_close(wire *w)
{
    ws_crew_free(w->crew);
    ws_port_close(w->port);
    ws_port_unref(w->port);
    ws_hub_drop_events(w->hub);
    ws_hub_stats stats = wire_check_law(w);
    CHECK_EQ(stats.queued, 0);
    CHECK_EQ(stats.clients + stats.closing, 0);
    ws_pages_unref(w->pages);
    ws_hub_unref(w->hub);
    CHECK_EQ(ws_alloc_live(), 0);
    return stats;
}

/* What all pumps have counted. */
static inline ws_pump_counters
wire_counters(const wire *w)
{
    ws_pump_counters sum;
    ws_hub_sum_counters(w->hub, &sum);
    return sum;
}

/* One of the pumps' counters, together. */
#define WIRE_COUNTED(w, field) \
    ws_counted(&(ws_pump_counters[]){wire_counters(w)}[0].field)

static inline uint64_t
wire_deadline(void)
{
    return ws_now_ns() + WIRE_PATIENCE_MS * WS_NS_PER_MS;
}

static inline ws_text
wire_text(const char *text)
{
    return (ws_text){text, strlen(text)};
}

/* The client of that id, waited for; a reference. */
static inline ws_client *
wire_client(const wire *w, const char *id)
{
    ws_client *client = NULL;
    WITHIN((client = ws_hub_get(w->hub, wire_text(id))) != NULL, 10);
    return client;
}

static inline ws_err
wire_send(ws_client *client, ws_message_kind kind, const void *data,
          size_t size)
{
    ws_msg *msg = ws_message_new(kind, data, size, NULL);
    if (msg == NULL) {
        return ws_chan_refuse(&client->chan, WS_ERR_NOMEM);
    }
    ws_err err = ws_client_send(client, msg);
    ws_msg_unref(msg);
    return err;
}

static inline ws_err
wire_send_text(ws_client *client, const char *text)
{
    return wire_send(client, WS_MESSAGE_TEXT, text, strlen(text));
}

static inline bool
wire_is_closed(ws_client *client)
{
    return ws_client_get_state(client) == WS_CLIENT_CLOSED;
}

/* Waits for the end of a client, checks how it ended, gives it back. */
static inline void
wire_expect_ended(ws_client *client, uint16_t code, bool clean)
{
    WITHIN(wire_is_closed(client), 10);
    CHECK_EQ(client->close_code, code);
    CHECK_EQ(client->clean, clean);
    ws_client_unref(client);
}

static inline ws_event
wire_event(const wire *w, ws_event_kind kind)
{
    ws_event event;
    WITHIN(ws_hub_take_event(w->hub, &event), 10);
    CHECK_EQ(event.kind, kind);
    return event;
}

static inline void
wire_expect_event(const wire *w, ws_event_kind kind)
{
    ws_event event = wire_event(w, kind);
    ws_event_release(&event);
}

static inline void
wire_expect_message(const wire *w, const void *data, size_t size, bool text)
{
    ws_event event = wire_event(w, WS_EVENT_MESSAGE);
    CHECK_EQ(event.size, size);
    CHECK_EQ(event.text, text);
    CHECK_MEM_EQ(ws_inbound_data(event.message), data, size);
    ws_event_release(&event);
}

/* A child that does nothing, for so long, and is waited for. */
static inline void
wire_fork(int ms)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        (void)poll(NULL, 0, ms);
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* ---- a client */

typedef struct peer {
    int fd;
    SSL *ssl;    /* NULL: plain */
    uint8_t *in; /* received; used up to `at` */
    size_t at, end, cap;
} peer;

typedef struct peer_frame {
    uint8_t first; /* FIN, reserved bits and opcode */
    size_t size;
    const uint8_t *data; /* until the next read */
} peer_frame;

static inline void
peer_wait(const peer *p, short events)
{
    struct pollfd one = {.fd = p->fd, .events = events};
    CHECK_EQ(poll(&one, 1, WIRE_PATIENCE_MS), 1);
}

/* Waits for what TLS waits for; false: it is over. */
static inline bool
peer_tls_wait(const peer *p, int result)
{
    int error = SSL_get_error(p->ssl, result);
    if (error == SSL_ERROR_WANT_READ) {
        peer_wait(p, POLLIN);
    } else if (error == SSL_ERROR_WANT_WRITE) {
        peer_wait(p, POLLOUT);
    }
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* Makes TLS of it: a session without a handshake yet. */
static inline void
peer_tls_begin(peer *p, SSL_CTX *ctx)
{
    (void)signal(SIGPIPE, SIG_IGN); // OpenSSL raises it
    static const unsigned char alpn[] = "\x02h2\x08http/1.1";
    p->ssl = SSL_new(ctx);
    CHECK(p->ssl != NULL);
    CHECK_EQ(SSL_set_fd(p->ssl, p->fd), 1);
    CHECK_EQ(SSL_set_tlsext_host_name(p->ssl, "localhost"), 1);
    CHECK_EQ(SSL_set_alpn_protos(p->ssl, alpn, sizeof alpn - 1), 0);
    SSL_set_connect_state(p->ssl);
    (void)SSL_set_mode(p->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

/* Waits for the end of the handshake; false: it failed. */
static inline bool
peer_tls_shake(peer *p)
{
    int done = 0;
    do {
        ERR_clear_error();
        done = SSL_connect(p->ssl);
    } while (done != 1 && peer_tls_wait(p, done));
    return done == 1;
}

/* With a handshake that is made by the first sending or receiving. */
static inline void
peer_tls_default(peer *p, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    CHECK(ctx != NULL);
    CHECK_EQ(SSL_CTX_set_max_proto_version(ctx, version), 1);
    peer_tls_begin(p, ctx);
    SSL_CTX_free(ctx);
}

/* TCP or unix alone, whatever all speak. */
static inline peer
peer_connect_bare(const struct sockaddr *address, socklen_t size, int buffer)
{
    peer p = {.fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    CHECK(p.fd >= 0);
    if (buffer > 0) {
        CHECK_EQ(
            setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer),
            0);
    }
    CHECK_EQ(connect(p.fd, address, size), 0);
    if (address->sa_family != AF_UNIX) {
        int on = 1; // each send is a segment
        CHECK_EQ(setsockopt(p.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on),
                 0);
    }
    CHECK_EQ(fcntl(p.fd, F_SETFL, O_NONBLOCK), 0);
    return p;
}

static inline peer
peer_connect(const struct sockaddr *address, socklen_t size, int buffer)
{
    peer p = peer_connect_bare(address, size, buffer);
    if (wire_tls() != 0) {
        peer_tls_default(&p, wire_tls());
    }
    return p;
}

/* `buffer` bytes of receive buffer (about; 0: the kernel's choice). */
static inline peer
peer_dial_port(const ws_port *port, int buffer)
{
    const ws_addr *addr = ws_port_addr(port);
    if (addr->family == AF_UNIX) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        const char *path = addr->text + strlen("unix:");
        memcpy(address.sun_path, path, strlen(path));
        return peer_connect((struct sockaddr *)&address, sizeof address,
                            buffer);
    }
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(addr->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    return peer_connect((struct sockaddr *)&address, sizeof address, buffer);
}

static inline peer
peer_dial(const wire *w)
{
    return peer_dial_port(w->port, 0);
}

static inline void
peer_close(peer *p)
{
    SSL_free(p->ssl);
    CHECK_EQ(close(p->fd), 0);
    free(p->in);
    *p = (peer){.fd = -1};
}

/* With a reset instead of a FIN. */
static inline void
peer_reset(peer *p)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    CHECK_EQ(setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    peer_close(p);
}

/* Sends no more, but reads on. */
static inline void
peer_shut(const peer *p)
{
    if (p->ssl != NULL) {
        CHECK(SSL_shutdown(p->ssl) >= 0);
    }
    CHECK_EQ(shutdown(p->fd, SHUT_WR), 0);
}

/* As peer_try_send, but it waits for the handshake. */
static inline ssize_t
peer_tls_try_send(const peer *p, const void *data, size_t size)
{
    int done = 0;
    int error = SSL_ERROR_NONE;
    do {
        ERR_clear_error();
        done = SSL_write(p->ssl, data, (int)size);
        error = SSL_get_error(p->ssl, done);
    } while (error == SSL_ERROR_WANT_READ && peer_tls_wait(p, done));
    return done > 0 ? done : error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* What the socket takes without waiting; -1: it broke. */
static inline ssize_t
peer_try_send(const peer *p, const void *data, size_t size)
{
    if (p->ssl != NULL) {
        return peer_tls_try_send(p, data, size);
    }
    ssize_t sent = send(p->fd, data, size, MSG_NOSIGNAL);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

static inline void
peer_send(const peer *p, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        peer_wait(p, POLLOUT);
        ssize_t sent = peer_try_send(p, at, size);
        CHECK(sent >= 0);
        at += sent;
        size -= (size_t)sent;
    }
}

static inline void
peer_say(const peer *p, const char *text)
{
    peer_send(p, text, strlen(text));
}

/* Each byte in a segment of its own. */
static inline void
peer_dribble(const peer *p, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        peer_send(p, (const uint8_t *)data + i, 1);
    }
}

/* What is there for one read, waited for. */
static inline ssize_t
peer_read_some(const peer *p, void *into, size_t size)
{
    int got = 0;
    if (p->ssl == NULL) {
        peer_wait(p, POLLIN);
        return recv(p->fd, into, size, 0);
    }
    do {
        ERR_clear_error();
        got = SSL_read(p->ssl, into, (int)size);
    } while (got <= 0 && peer_tls_wait(p, got));
    bool is_end =
        got <= 0 && SSL_get_error(p->ssl, got) == SSL_ERROR_ZERO_RETURN;
    if (is_end) { // the close_notify: the FIN follows
        peer_wait(p, POLLIN);
        return recv(p->fd, into, size, 0);
    }
    return got > 0 ? got : -1;
}

/* Reads once; 0: the end, -1: reset, else how many bytes. */
static inline ssize_t
peer_receive(peer *p)
{
    if (p->cap - p->end < 65536) {
        p->cap = p->cap * 2 + 65536;
        p->in = realloc(p->in, p->cap);
        CHECK(p->in != NULL);
    }
    ssize_t got = peer_read_some(p, p->in + p->end, p->cap - p->end);
    p->end += got > 0 ? (size_t)got : 0;
    return got;
}

/* Waits until `size` bytes are there. */
static inline const uint8_t *
peer_need(peer *p, size_t size)
{
    if (p->at > 0 && p->at == p->end) {
        p->at = p->end = 0;
    }
    while (p->end - p->at < size) {
        CHECK(peer_receive(p) > 0);
    }
    return p->in + p->at;
}

/* Everything has been read, and then comes the server's FIN, no reset. */
static inline void
peer_expect_eof(peer *p)
{
    CHECK_EQ(p->end - p->at, 0);
    CHECK_EQ(peer_receive(p), 0);
}

/* The connection ends, in whatever way; what comes before is thrown away. */
static inline void
peer_expect_end(peer *p)
{
    while (peer_receive(p) > 0) {
        p->at = p->end = 0;
    }
}

/* Whether anything comes within `ms`. */
static inline bool
peer_hears(const peer *p, int ms)
{
    struct pollfd one = {.fd = p->fd, .events = POLLIN};
    return p->end > p->at || (p->ssl != NULL && SSL_pending(p->ssl) > 0) ||
           poll(&one, 1, ms) == 1;
}

/* ---- its handshake */

#define PEER_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define PEER_ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

/* A request for a WebSocket, with further header lines. */
static inline const char *
peer_request(const char *target, const char *headers)
{
    static char text[16384];
    int size = snprintf(text, sizeof text,
                        "GET %s HTTP/1.1\r\nHost: localhost\r\n"
                        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: " PEER_KEY "\r\n%s\r\n",
                        target, headers);
    CHECK(size > 0 && (size_t)size < sizeof text);
    return text;
}

/* Reads a head up to its empty line, NUL-terminated, until the next read. */
static inline const char *
peer_head(peer *p)
{
    static char head[4096];
    size_t size = 0;
    do {
        CHECK(size < sizeof head - 1);
        head[size] = (char)peer_need(p, size + 1)[size];
        head[++size] = '\0';
    } while (size < 4 || strcmp(head + size - 4, "\r\n\r\n") != 0);
    p->at += size;
    return head;
}

static inline const char *
peer_expect_switch(peer *p)
{
    const char *head = peer_head(p);
    CHECK(strncmp(head, "HTTP/1.1 101 ", 13) == 0);
    CHECK(strstr(head, PEER_ACCEPT) != NULL);
    return head;
}

static inline peer
peer_open_small(const wire *w, const char *target, int buffer)
{
    peer p = peer_dial_port(w->port, buffer);
    peer_say(&p, peer_request(target, ""));
    (void)peer_expect_switch(&p);
    return p;
}

static inline peer
peer_open(const wire *w, const char *target)
{
    return peer_open_small(w, target, 0);
}

/* An answer that is no 101: complete, and then the end. Returns its status;
 *body, until the next read, is NUL-terminated. */
static inline int
peer_answer(peer *p, bool head_only, const char **head, const char **body)
{
    const char *got = peer_head(p);
    const char *length = strstr(got, "Content-Length: ");
    CHECK(strncmp(got, "HTTP/1.1 ", 9) == 0 && length != NULL);
    size_t size = strtoul(length + strlen("Content-Length: "), NULL, 10);
    while (peer_receive(p) > 0) {
    }
    CHECK_EQ(recv(p->fd, p->in, 1, 0), 0); // a FIN; a reset shows as an error
    CHECK_EQ(p->end - p->at, head_only ? 0 : size);
    p->in[p->end] = '\0';
    if (head != NULL) {
        *head = got;
    }
    if (body != NULL) {
        *body = (const char *)p->in + p->at;
    }
    return (int)strtol(got + 9, NULL, 10);
}

/* ---- its frames */

#define PEER_TEXT (WS_FRAME_FIN | WS_OPCODE_TEXT)
#define PEER_BINARY (WS_FRAME_FIN | WS_OPCODE_BINARY)
#define PEER_CLOSE (WS_FRAME_FIN | WS_OPCODE_CLOSE)
#define PEER_PING (WS_FRAME_FIN | WS_OPCODE_PING)
#define PEER_PONG (WS_FRAME_FIN | WS_OPCODE_PONG)

enum { PEER_HEADER_MAX = 14 };

/* Writes a masked frame into out[PEER_HEADER_MAX + size]. */
static inline size_t
peer_make(uint8_t *out, unsigned first, const void *data, size_t size)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};
    size_t at = 2;
    out[0] = (uint8_t)first;
    out[1] = (uint8_t)(0x80 | (size < 126 ? size : size < 65536 ? 126 : 127));
    for (int shift = size < 126 ? 0 : size < 65536 ? 16 : 64; shift > 0;) {
        shift -= 8;
        out[at++] = (uint8_t)((uint64_t)size >> shift);
    }
    memcpy(out + at, key, sizeof key);
    at += sizeof key;
    for (size_t i = 0; i < size; i++) {
        out[at + i] = ((const uint8_t *)data)[i] ^ key[i % 4];
    }
    return at + size;
}

static inline void
peer_frame_out(const peer *p, unsigned first, const void *data, size_t size)
{
    uint8_t *frame = malloc(PEER_HEADER_MAX + size);
    CHECK(frame != NULL);
    peer_send(p, frame, peer_make(frame, first, data, size));
    free(frame);
}

static inline void
peer_text(const peer *p, const char *text)
{
    peer_frame_out(p, PEER_TEXT, text, strlen(text));
}

static inline void
peer_close_frame(const peer *p, uint16_t code, const char *reason)
{
    uint8_t body[125] = {(uint8_t)(code >> 8), (uint8_t)code};
    memcpy(body + 2, reason, strlen(reason));
    peer_frame_out(p, PEER_CLOSE, body, 2 + strlen(reason));
}

static inline peer_frame
peer_read(peer *p)
{
    size_t header = 2;
    const uint8_t *at = peer_need(p, header);
    peer_frame frame = {.first = at[0], .size = at[1]};
    CHECK(at[1] <= 127); // a server masks nothing
    if (at[1] >= 126) {
        header = at[1] == 126 ? 4 : 10;
        at = peer_need(p, header);
        frame.size = 0;
        for (size_t i = 2; i < header; i++) {
            frame.size = frame.size << 8 | at[i];
        }
    }
    frame.data = peer_need(p, header + frame.size) + header;
    p->at += header + frame.size;
    return frame;
}

static inline void
peer_expect(peer *p, unsigned first, const void *data, size_t size)
{
    peer_frame frame = peer_read(p);
    CHECK_EQ(frame.first, first);
    CHECK_EQ(frame.size, size);
    CHECK_MEM_EQ(frame.data, data, size);
}

static inline void
peer_expect_text(peer *p, const char *text)
{
    peer_expect(p, PEER_TEXT, text, strlen(text));
}

static inline void
peer_expect_close(peer *p, uint16_t code, const char *reason)
{
    uint8_t body[125] = {(uint8_t)(code >> 8), (uint8_t)code};
    memcpy(body + 2, reason, strlen(reason));
    peer_expect(p, PEER_CLOSE, body, 2 + strlen(reason));
}

/* The whole closing, begun by the client. */
static inline void
peer_leave(peer *p)
{
    peer_close_frame(p, 1000, "");
    peer_expect_close(p, 1000, "");
    peer_expect_eof(p);
    peer_close(p);
}

#endif

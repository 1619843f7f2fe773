/*
 * echo_server.h - for tests of the network layer: a loop whose connections
 * send back what they receive, and clients to drive it from the same thread.
 *
 * Every wait is bounded; one that is not over in time fails the test.
 */
#ifndef WS_TESTS_ECHO_SERVER_H
#define WS_TESTS_ECHO_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libwebsockets.h>

#include "check.h"
#include "core/lock.h"
#include "net/context.h"
#include "net/loop.h"

enum { WAIT_MS = 5000 };

/* What happened to a connection; its opaque user data. */
typedef struct conn {
    struct lws *wsi;
    unsigned adopted, closed, writeable;
    unsigned fins, deaths; /* reported while paused */
    size_t received;       /* bytes */
    char first[64];        /* of them */
    bool mute;             /* receives and does not answer */
    bool pause_in_rx;      /* stops reading from within the callback */
} conn;

typedef struct server {
    ws_loop *loop;
    struct lws_vhost *plain;
} server;

static inline void
echo(const conn *c, const void *data, size_t size)
{
    SSL *ssl = lws_get_ssl(c->wsi);

    if (ssl != NULL) {
        CHECK_EQ(SSL_write(ssl, data, (int)size), size);
    } else {
        CHECK_EQ(send(lws_get_socket_fd(c->wsi), data, size, MSG_NOSIGNAL),
                 size);
    }
}

static inline int
receive(conn *c, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++, c->received++) {
        if (c->received < sizeof c->first) {
            c->first[c->received] = data[i];
        }
    }
    if (!c->mute) {
        echo(c, data, size);
    }
    if (c->pause_in_rx) {
        CHECK_EQ(lws_rx_flow_control(c->wsi, 0), 0);
    }
    return 0;
}

static inline int
echo_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
              void *in, size_t size)
{
    conn *c = wsi != NULL ? lws_get_opaque_user_data(wsi) : NULL;

    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        SSL_CTX_set_tlsext_servername_callback((SSL_CTX *)user, NULL);
    } else if (reason == LWS_CALLBACK_RAW_ADOPT) {
        c->wsi = wsi;
        c->adopted++;
        lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    } else if (reason == LWS_CALLBACK_RAW_RX) {
        return receive(c, in, size);
    } else if (reason == LWS_CALLBACK_RAW_WRITEABLE) {
        c->writeable++;
    } else if (reason == LWS_CALLBACK_RAW_CLOSE) {
        c->closed++;
    }
    return 0;
}

static inline void
count_hangup(void *user, struct lws *wsi, bool dead)
{
    conn *c = lws_get_opaque_user_data(wsi);

    (void)user;
    c->fins += !dead;
    c->deaths += dead;
}

/* With TLS when `cert` and `key` (PEM, in memory) are given. NULL: no memory.
 */
static inline struct lws_vhost *
try_vhost(ws_loop *loop, const char *name, const char *cert, const char *key)
{
    static const struct lws_protocols protocols[] = {
        {.name = "echo", .callback = echo_callback},
        {0},
    };
    struct lws_context_creation_info info = {
        .vhost_name = name,
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = protocols,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
    };

    if (cert != NULL) {
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.server_ssl_cert_mem = cert;
        info.server_ssl_cert_mem_len = (unsigned)strlen(cert);
        info.server_ssl_private_key_mem = key;
        info.server_ssl_private_key_mem_len = (unsigned)strlen(key);
    }
    return ws_context_new_vhost(ws_loop_context(loop), &info);
}

static inline struct lws_vhost *
new_vhost(ws_loop *loop, const char *name, const char *cert, const char *key)
{
    struct lws_vhost *vhost = try_vhost(loop, name, cert, key);
    CHECK(vhost != NULL);
    return vhost;
}

/* Without a vhost. */
static inline server
bare_server(void)
{
    static const ws_loop_config config = {.on_hangup = count_hangup};
    server s = {0};
    sigset_t pipe;

    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &pipe, NULL), 0);
    CHECK_EQ(ws_loop_new(&config, &s.loop), WS_OK);
    ws_loop_enter(s.loop);
    return s;
}

static inline server
new_server(void)
{
    server s = bare_server();

    s.plain = new_vhost(s.loop, "plain", NULL, NULL);
    (void)ws_loop_turn(s.loop, 0); // an event that lws raises for itself
    return s;
}

static inline void
free_server(server *s)
{
    ws_loop_leave(s->loop);
    ws_loop_free(s->loop);
}

/* Turns the loop until `cond` holds. */
#define TURN_UNTIL(s, cond)                                   \
    do {                                                      \
        uint64_t end_ = ws_now_ns() + WAIT_MS * WS_NS_PER_MS; \
        while (!(cond)) {                                     \
            CHECK(ws_now_ns() < end_);                        \
            (void)ws_loop_turn((s)->loop, 5);                 \
        }                                                     \
    } while (0)

/* Turns the loop for a while and returns how many events there were. */
static inline int
turn_for(server *s, unsigned ms)
{
    uint64_t end = ws_now_ns() + ms * WS_NS_PER_MS;
    int events = 0;

    while (ws_now_ns() < end) {
        events += ws_loop_turn(s->loop, 5);
    }
    return events;
}

/* A connected pair: [0] is to be adopted, [1] is the client's. */
static inline void
tcp_pair(int pair[2])
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t size = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_EQ(bind(listening, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(listen(listening, 1), 0);
    CHECK_EQ(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    pair[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(pair[1], (struct sockaddr *)&address, size), 0);
    pair[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    CHECK(pair[0] >= 0);
    CHECK_EQ(close(listening), 0);
}

/* A new connection of the vhost; returns the client's end. Lets the one event
   pass that lws raises for itself at each adoption. */
static inline int
connect_to(server *s, struct lws_vhost *vhost, conn *c)
{
    int pair[2];

    tcp_pair(pair);
    CHECK(ws_loop_adopt(s->loop, vhost, "echo", pair[0], c) == c->wsi);
    CHECK_EQ(c->adopted, 1);
    CHECK_EQ(ws_loop_turn(s->loop, WAIT_MS), 1);
    return pair[1];
}

static inline bool
readable(int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};

    return poll(&ready, 1, 0) == 1;
}

static inline bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Sends `text` and waits for it to come back. */
static inline void
expect_echo(server *s, int fd, const char *text)
{
    char answer[64];
    size_t size = strlen(text);

    CHECK_EQ(send(fd, text, size, MSG_NOSIGNAL), size);
    TURN_UNTIL(s, readable(fd));
    CHECK_EQ(recv(fd, answer, sizeof answer, 0), size);
    CHECK(memcmp(answer, text, size) == 0);
}

/* Makes close() send a reset. */
static inline void
reset(int fd)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    CHECK_EQ(close(fd), 0);
}

/* The lowest free number, which rises when descriptors leak. */
static inline int
lowest_free_fd(void)
{
    int fd = dup(STDERR_FILENO);

    CHECK_EQ(close(fd), 0);
    return fd;
}

#endif

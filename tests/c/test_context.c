/* What libwebsockets does with the connections that we hand to it, as far as
   the product depends on it. */
#include "net/context.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "check.h"
#include "core/alloc.h"
#include "echo_server.h"
#include "tls_pair.h"

static void
a_plain_connection_echoes(void)
{
    server s = new_server();
    conn c = {0};
    int fd = connect_to(&s, s.plain, &c);

    CHECK(lws_get_ssl(c.wsi) == NULL);
    expect_echo(&s, fd, "hello");
    expect_echo(&s, fd, "again");
    CHECK_EQ(close(fd), 0);
    TURN_UNTIL(&s, c.closed);
    CHECK_EQ(c.closed, 1);
    CHECK_EQ(c.received, 10);
    free_server(&s);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* What waits in the socket already comes with the first turn, not from
   within the adopting. */
static void
adopting_reads_nothing(void)
{
    server s = new_server();
    conn c = {.mute = true};
    int pair[2];

    tcp_pair(pair);
    CHECK_EQ(send(pair[1], "early", 5, 0), 5);
    CHECK(ws_loop_adopt(s.loop, s.plain, "echo", pair[0], &c) != NULL);
    CHECK_EQ(c.received, 0);
    TURN_UNTIL(&s, c.received == 5);
    CHECK(memcmp(c.first, "early", 5) == 0);
    CHECK_EQ(close(pair[1]), 0);
    free_server(&s);
    CHECK_EQ(c.closed, 1);
}

static void
a_unix_connection_echoes(void)
{
    server s = new_server();
    conn c = {0};
    int pair[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    CHECK(ws_loop_adopt(s.loop, s.plain, "echo", pair[0], &c) != NULL);
    expect_echo(&s, pair[1], "hello");
    CHECK_EQ(close(pair[1]), 0);
    TURN_UNTIL(&s, c.closed);
    free_server(&s);
}

static void
tls_connections_get_the_certificate_of_their_vhost(void)
{
    static identity ids[2];
    static const char *const names[] = {"one.test", "two.test"};
    struct lws_vhost *vhosts[2];
    server s = bare_server();

    for (size_t i = 0; i < 2; i++) {
        make_identity(&ids[i], names[i]);
        vhosts[i] = new_vhost(s.loop, names[i], ids[i].cert, ids[i].key);
    }
    for (size_t i = 0; i < 4; i++) {
        conn c = {0};
        // Also when a client asks for the name of the other.
        const char *asked = names[i / 2];
        int fd = connect_to(&s, vhosts[i % 2], &c);
        tls_client client = tls_start(fd, asked);
        tls_handshake(&s, &client);
        CHECK(tls_server_is(&client, names[i % 2]));
        tls_expect_echo(&s, &client, "hello");
        tls_close(&client);
        TURN_UNTIL(&s, c.closed);
        CHECK_EQ(c.adopted, 1);
    }
    free_server(&s);
}

/* SSL_accept is tried before RAW_ADOPT: what fails at once is closed without
   one. */
static void
garbage_that_waits_on_a_tls_port_is_refused_at_once(void)
{
    static identity id;
    server s = new_server();
    conn c = {0};
    int pair[2];

    make_identity(&id, "one.test");
    struct lws_vhost *vhost = new_vhost(s.loop, "tls", id.cert, id.key);
    tcp_pair(pair);
    CHECK_EQ(send(pair[1], "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    CHECK(ws_loop_adopt(s.loop, vhost, "echo", pair[0], &c) == NULL);
    CHECK_EQ(c.adopted, 0);
    CHECK_EQ(c.closed, 1);
    CHECK(!is_open(pair[0]));
    CHECK_EQ(close(pair[1]), 0);
    free_server(&s);
    CHECK_EQ(c.closed, 1);
}

static void
garbage_that_comes_later_on_a_tls_port_is_closed(void)
{
    static identity id;
    server s = new_server();
    conn c = {0};

    make_identity(&id, "one.test");
    struct lws_vhost *vhost = new_vhost(s.loop, "tls", id.cert, id.key);
    int fd = connect_to(&s, vhost, &c);
    CHECK_EQ(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    TURN_UNTIL(&s, c.closed);
    CHECK_EQ(c.received, 0);
    CHECK_EQ(close(fd), 0);
    free_server(&s);
}

static void
reading_is_switched_off_and_on_from_outside(void)
{
    server s = new_server();
    conn c = {.mute = true};
    int fd = connect_to(&s, s.plain, &c);

    CHECK_EQ(lws_rx_flow_control(c.wsi, 0), 0);
    CHECK_EQ(send(fd, "one", 3, 0), 3);
    CHECK_EQ(turn_for(&s, 30), 0);
    CHECK_EQ(c.received, 0);
    CHECK_EQ(lws_rx_flow_control(c.wsi, 1), 0);
    TURN_UNTIL(&s, c.received == 3);

    c.pause_in_rx = true;
    CHECK_EQ(send(fd, "two", 3, 0), 3);
    TURN_UNTIL(&s, c.received == 6);
    CHECK_EQ(send(fd, "three", 5, 0), 5);
    CHECK_EQ(turn_for(&s, 30), 0);
    CHECK_EQ(c.received, 6);
    CHECK_EQ(lws_rx_flow_control(c.wsi, 1), 0);
    TURN_UNTIL(&s, c.received == 11);
    CHECK_EQ(close(fd), 0);
    free_server(&s);
    CHECK_EQ(c.closed, 1);
}

enum { MUCH = 200000 };

/* No decrypted byte is left where no event tells of it. */
static void
a_tls_pause_loses_nothing(void)
{
    static identity id;
    static char data[MUCH];
    server s = new_server();
    conn c = {.mute = true, .pause_in_rx = true};
    size_t sent = 0;

    make_identity(&id, "one.test");
    struct lws_vhost *vhost = new_vhost(s.loop, "tls", id.cert, id.key);
    tls_client client = tls_start(connect_to(&s, vhost, &c), "one.test");
    tls_handshake(&s, &client);
    SSL_set_mode(client.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    while (c.received < MUCH) {
        size_t before = c.received;
        if (sent < MUCH) {
            int n = SSL_write(client.ssl, data + sent, (int)(MUCH - sent));
            sent += n > 0 ? (size_t)n : 0;
        }
        CHECK_EQ(lws_rx_flow_control(c.wsi, 1), 0);
        TURN_UNTIL(&s, c.received > before);
    }
    CHECK_EQ(c.received, MUCH);
    tls_close(&client);
    free_server(&s);
}

static void
a_connection_is_killed_from_outside(void)
{
    server s = new_server();
    conn c = {0};
    char byte;
    int fd = connect_to(&s, s.plain, &c);

    lws_wsi_close(c.wsi, LWS_TO_KILL_SYNC);
    CHECK_EQ(c.closed, 1);
    CHECK_EQ(recv(fd, &byte, 1, 0), 0);
    CHECK_EQ(close(fd), 0);
    free_server(&s);
    CHECK_EQ(c.closed, 1);
}

static void
after_our_half_close_the_peers_fin_ends_it(void)
{
    server s = new_server();
    conn c = {.mute = true};
    char byte;
    int fd = connect_to(&s, s.plain, &c);

    CHECK_EQ(shutdown(lws_get_socket_fd(c.wsi), SHUT_WR), 0);
    CHECK_EQ(recv(fd, &byte, 1, 0), 0);
    CHECK_EQ(send(fd, "late", 4, 0), 4);
    TURN_UNTIL(&s, c.received == 4);
    CHECK_EQ(c.closed, 0);
    CHECK_EQ(close(fd), 0);
    TURN_UNTIL(&s, c.closed);
    free_server(&s);
}

static void
a_reset_ends_it(void)
{
    server s = new_server();
    conn c = {.mute = true};

    reset(connect_to(&s, s.plain, &c));
    TURN_UNTIL(&s, c.closed);
    CHECK_EQ(c.closed, 1);
    free_server(&s);
}

static void
a_full_socket_tells_when_there_is_room(void)
{
    static char data[65536];
    server s = new_server();
    conn c = {0};
    int fd = connect_to(&s, s.plain, &c);
    int own = lws_get_socket_fd(c.wsi);

    while (send(own, data, sizeof data, MSG_NOSIGNAL) > 0) {
    }
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(lws_callback_on_writable(c.wsi), 1);
    CHECK_EQ(turn_for(&s, 30), 0);
    while (c.writeable == 0) {
        CHECK(recv(fd, data, sizeof data, 0) > 0);
        (void)ws_loop_turn(s.loop, 0);
    }
    CHECK_EQ(turn_for(&s, 30), 0); // asked once, told once
    CHECK_EQ(c.writeable, 1);
    CHECK_EQ(close(fd), 0);
    free_server(&s);
}

enum { OPEN = 50 };

static void
the_end_of_the_context_closes_what_is_open(void)
{
    static identity id;
    int before = lowest_free_fd();
    server s = new_server();
    conn conns[OPEN] = {0};
    int fds[OPEN];

    make_identity(&id, "one.test");
    struct lws_vhost *vhost = new_vhost(s.loop, "tls", id.cert, id.key);
    for (size_t i = 0; i < OPEN; i++) {
        fds[i] = connect_to(&s, i % 2 == 0 ? s.plain : vhost, &conns[i]);
    }
    CHECK_EQ(lws_rx_flow_control(conns[0].wsi, 0), 0);
    free_server(&s);
    for (size_t i = 0; i < OPEN; i++) {
        CHECK_EQ(conns[i].closed, 1);
        CHECK_EQ(close(fds[i]), 0);
    }
    CHECK_EQ(lowest_free_fd(), before);
    CHECK_EQ(ws_alloc_live(), 0);
}

enum { ROUNDS = 2000 };

static void
no_descriptor_leaks(void)
{
    server s = new_server();
    conn first = {0};
    CHECK_EQ(close(connect_to(&s, s.plain, &first)), 0);
    TURN_UNTIL(&s, first.closed);
    int before = lowest_free_fd();

    for (size_t i = 0; i < ROUNDS; i++) {
        conn c = {0};
        int fd = connect_to(&s, s.plain, &c);
        if (i % 3 == 0) {
            reset(fd);
        } else if (i % 3 == 1) {
            CHECK_EQ(close(fd), 0);
        } else {
            lws_wsi_close(c.wsi, LWS_TO_KILL_SYNC);
            CHECK_EQ(close(fd), 0);
        }
        TURN_UNTIL(&s, c.closed);
    }
    CHECK_EQ(lowest_free_fd(), before);
    free_server(&s);
}

/* lws would write behind its tables. */
static void
a_descriptor_over_the_limit_is_refused(void)
{
    struct rlimit old, low;
    conn c = {0};
    int pair[2];

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){.rlim_cur = 40, .rlim_max = old.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    server s = new_server();
    CHECK_EQ(ws_context_fd_limit(), 40);
    CHECK_EQ(ws_loop_fd_limit(s.loop), 40);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);

    tcp_pair(pair);
    int high = fcntl(pair[0], F_DUPFD_CLOEXEC, 40);
    CHECK(ws_loop_adopt(s.loop, s.plain, "echo", high, &c) == NULL);
    CHECK(!is_open(high));
    CHECK_EQ(c.closed, 0);
    CHECK_EQ(close(pair[0]), 0);
    CHECK_EQ(close(pair[1]), 0);
    free_server(&s);
}

/* ---- without memory */

static ws_err
new_loop(void)
{
    const ws_loop_config config = {.on_hangup = NULL};
    ws_loop *loop = NULL;
    ws_err err = ws_loop_new(&config, &loop);
    ws_loop_free(loop);
    return err;
}

/* lws takes an unset descriptor for its own, and closes number 0. */
static void
a_context_that_cannot_be_made_leaves_descriptor_0_alone(void)
{
    struct stat before;
    struct stat after;
    ws_err err = WS_ERR_NOMEM;
    int null = open("/dev/null", O_RDONLY);
    CHECK(null >= 0);
    CHECK_EQ(dup2(null, STDIN_FILENO), STDIN_FILENO);
    CHECK_EQ(fstat(STDIN_FILENO, &before), 0);
    for (long n = 0; err != WS_OK; n++) {
        ws_alloc_fail_at(n);
        err = new_loop();
        ws_alloc_fail_at(-1);
        CHECK(err == WS_OK || err == WS_ERR_NOMEM);
        CHECK_EQ(fstat(STDIN_FILENO, &after), 0);
        CHECK_EQ(after.st_ino, before.st_ino);
    }
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
a_vhost_is_whole_or_none(void)
{
    server s = bare_server();
    struct lws_vhost *vhost = NULL;
    conn c = {0};
    for (long n = 0; vhost == NULL; n++) {
        ws_alloc_fail_at(n);
        vhost = try_vhost(s.loop, "whole", NULL, NULL);
        CHECK_EQ(vhost == NULL, ws_alloc_failed() > 0);
        ws_alloc_fail_at(-1);
    }
    int fd = connect_to(&s, vhost, &c);
    expect_echo(&s, fd, "hello");
    CHECK_EQ(close(fd), 0);
    TURN_UNTIL(&s, c.closed);
    free_server(&s);
}

static const ws_test tests[] = {
    TEST(a_plain_connection_echoes),
    TEST(adopting_reads_nothing),
    TEST(a_unix_connection_echoes),
    TEST(tls_connections_get_the_certificate_of_their_vhost),
    TEST(garbage_that_waits_on_a_tls_port_is_refused_at_once),
    TEST(garbage_that_comes_later_on_a_tls_port_is_closed),
    TEST(reading_is_switched_off_and_on_from_outside),
    TEST(a_tls_pause_loses_nothing),
    TEST(a_connection_is_killed_from_outside),
    TEST(after_our_half_close_the_peers_fin_ends_it),
    TEST(a_reset_ends_it),
    TEST(a_full_socket_tells_when_there_is_room),
    TEST(the_end_of_the_context_closes_what_is_open),
    TEST(no_descriptor_leaks),
    TEST(a_descriptor_over_the_limit_is_refused),
    TEST(a_context_that_cannot_be_made_leaves_descriptor_0_alone),
    TEST(a_vhost_is_whole_or_none),
};

TEST_MAIN(tests)

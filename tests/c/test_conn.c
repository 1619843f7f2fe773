#include "wire.h"

#define MS WS_NS_PER_MS

static wire_setup
with_keepalive(uint64_t interval_ms, uint64_t timeout_ms)
{
    wire_setup setup = wire_defaults();
    setup.config.ping_interval_ns = interval_ms * MS;
    setup.config.ping_timeout_ns = timeout_ms * MS;
    return setup;
}

/* A client that takes part and does not answer by itself. */
static wire
open_with(const wire_setup *setup, peer *p, ws_client **client, int buffer)
{
    wire w = wire_open(setup);
    *p = peer_open_small(&w, "/?id=a", buffer);
    *client = wire_client(&w, "a");
    return w;
}

/* A ping of the server's; its payload to be sent back. */
static peer_frame
read_ping(peer *p)
{
    peer_frame ping = peer_read(p);
    CHECK_EQ(ping.first, PEER_PING);
    CHECK(ping.size > 0);
    return ping;
}

/* ---- keepalive */

static void
a_pong_gives_the_round_trip_and_the_next_ping_its_time(void)
{
    wire_setup setup = with_keepalive(50, 5000);
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 0);
    CHECK_EQ(atomic_load(&client->rtt_us), 0);
    uint64_t begin = ws_now_ns();
    for (int i = 0; i < 3; i++) {
        peer_frame ping = read_ping(&p);
        peer_frame_out(&p, PEER_PONG, ping.data, ping.size);
        WITHIN(WIRE_COUNTED(&w, pongs) == (uint64_t)i + 1, 10);
    }
    CHECK(ws_now_ns() - begin >= 2 * 50 * MS);
    unsigned rtt = atomic_load(&client->rtt_us);
    CHECK(rtt > 0 && rtt < 5000 * 1000);
    CHECK_EQ(WIRE_COUNTED(&w, pings), 3);
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 0);
    ws_client_unref(client);
    peer_close(&p);
    (void)wire_close(&w);
}

static void
the_round_trip_is_known_without_a_ping_timeout_too(void)
{
    wire_setup setup = with_keepalive(50, 0);
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 0);
    (void)read_ping(&p);
    while (atomic_load(&client->rtt_us) == 0) { // the first stays unanswered
        peer_frame ping = read_ping(&p);
        peer_frame_out(&p, PEER_PONG, ping.data, ping.size);
    }
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 0);
    ws_client_unref(client);
    peer_close(&p);
    (void)wire_close(&w);
}

static void
a_client_that_answers_no_ping_is_cut_after_interval_and_timeout(void)
{
    wire_setup setup = with_keepalive(100, 150);
    peer p;
    ws_client *client;
    uint64_t begin = ws_now_ns();
    wire w = open_with(&setup, &p, &client, 0);
    (void)read_ping(&p);
    peer_expect_end(&p);
    uint64_t took = ws_now_ns() - begin;
    CHECK(took >= 250 * MS && took < 2000 * MS);
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 1);
    CHECK_EQ(WIRE_COUNTED(&w, pings), 1);
    WITHIN(wire_is_closed(client), 10);
    CHECK_STR_EQ(client->close_reason, "keepalive: no pong in time");
    wire_expect_ended(client, 1006, false);
    peer_close(&p);
    (void)wire_close(&w);
}

/* A pong of something else is no answer, but a sign of life like any byte. */
static void
whatever_comes_in_postpones_the_timeout(void)
{
    wire_setup setup = with_keepalive(50, 500);
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 0);
    (void)read_ping(&p);
    for (int i = 0; i < 14; i++) {
        (void)usleep(50 * 1000);
        peer_frame_out(&p, i % 2 == 0 ? PEER_PONG : PEER_TEXT, "12345678", 8);
    }
    CHECK(!wire_is_closed(client));
    CHECK_EQ(atomic_load(&client->rtt_us), 0);
    uint64_t begin = ws_now_ns();
    peer_expect_end(&p);
    CHECK(ws_now_ns() - begin >= 400 * MS);
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 1);
    ws_client_unref(client);
    peer_close(&p);
    (void)wire_close(&w);
}

static void
a_client_that_never_reads_is_cut_after_interval_and_timeout(void)
{
    static char big[1 << 20];
    wire_setup setup = with_keepalive(100, 150);
    peer p;
    ws_client *client;
    uint64_t begin = ws_now_ns();
    wire w = open_with(&setup, &p, &client, 4096);
    while (!wire_is_closed(client)) {
        CHECK(ws_now_ns() - begin < 5000 * MS);
        (void)wire_send(client, WS_MESSAGE_BINARY, big, sizeof big);
        (void)usleep(2000);
    }
    uint64_t took = ws_now_ns() - begin;
    CHECK(took >= 250 * MS && took < 2000 * MS);
    wire_expect_ended(client, 1006, false);
    peer_close(&p);
    ws_hub_stats stats = wire_close(&w);
    CHECK(stats.counts.lost > 0);
}

/* The ping stands behind a long message that gets through, slowly. */
static void
progress_of_what_stands_before_the_ping_postpones_the_timeout(void)
{
    static char big[16 << 20];
    wire_setup setup = with_keepalive(400, 700);
    peer p;
    ws_client *client;
    ws_msg *msg = ws_message_new(WS_MESSAGE_BINARY, big, sizeof big, NULL);
    wire w = open_with(&setup, &p, &client, 32768);
    uint64_t begin = ws_now_ns();
    CHECK_EQ(ws_client_send(client, msg), WS_OK); // before the first ping
    ws_msg_unref(msg);
    while (ws_now_ns() - begin < 1400 * MS) {
        CHECK(peer_receive(&p) > 0);
        p.at = p.end = 0;
        (void)usleep(10 * 1000);
    }
    CHECK(!ws_chan_is_empty(&client->chan));
    CHECK_EQ(WIRE_COUNTED(&w, pings), 1);
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 0);
    ws_client_unref(client);
    peer_reset(&p);
    (void)wire_close(&w);
}

/* It may have answered long ago: we do not listen. */
static void
a_client_that_we_paused_is_not_cut(void)
{
    wire_setup setup = with_keepalive(50, 50);
    setup.events = true;
    setup.limits.inbound.max_messages = 1;
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 0);
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    peer_text(&p, "1");
    peer_text(&p, "2");
    (void)read_ping(&p);
    (void)usleep(400 * 1000);
    CHECK(!wire_is_closed(client));
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 0);

    // Once it is heard again it has its time again, and no more.
    uint64_t begin = ws_now_ns();
    wire_expect_message(&w, "1", 1, true);
    wire_expect_message(&w, "2", 1, true);
    peer_expect_end(&p);
    CHECK(ws_now_ns() - begin >= 50 * MS);
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 1);
    ws_client_unref(client);
    peer_close(&p);
    (void)wire_close(&w);
}

/* What stays unacknowledged shows the kernel that a client has vanished, and
   nobody else can while its pongs are not read. */
static void
a_client_that_we_paused_is_pinged_on(void)
{
    wire_setup setup = with_keepalive(50, 50);
    setup.events = true;
    setup.limits.inbound.max_messages = 1;
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 0);
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    peer_text(&p, "1");
    peer_text(&p, "2");
    for (int i = 0; i < 6; i++) {
        (void)read_ping(&p); // unanswered
    }
    CHECK(!wire_is_closed(client));
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 0);
    ws_client_unref(client);
    peer_close(&p);
    (void)wire_close(&w);
}

/* Nothing turns the loop between accept and ping but the clock. */
static void
an_idle_pump_keeps_time(void)
{
    wire_setup setup = with_keepalive(300, 300);
    wire w = wire_open(&setup);
    (void)usleep(400 * 1000);
    uint64_t begin = ws_now_ns();
    peer p = peer_open(&w, "/");
    (void)read_ping(&p);
    CHECK(ws_now_ns() - begin >= 300 * MS);
    peer_close(&p);
    (void)wire_close(&w);
}

/* ---- the end of a closing */

static void
a_client_that_answers_no_close_is_cut_after_close_timeout(void)
{
    wire_setup setup = wire_defaults();
    setup.config.close_timeout_ns = 150 * MS;
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 0);
    uint64_t begin = ws_now_ns();
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    peer_expect_close(&p, 1000, "");
    peer_expect_end(&p);
    uint64_t took = ws_now_ns() - begin;
    CHECK(took >= 150 * MS && took < 2000 * MS);
    CHECK_EQ(WIRE_COUNTED(&w, timeouts), 1);
    wire_expect_ended(client, 1000, false);
    peer_close(&p);
    (void)wire_close(&w);
}

/* However much it says, and whatever it does not read. */
static void
close_timeout_is_not_postponed_by_anything(void)
{
    static char big[1 << 20];
    wire_setup setup = wire_defaults();
    setup.config.close_timeout_ns = 200 * MS;
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 4096);
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    }
    uint64_t begin = ws_now_ns();
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    uint8_t frame[32];
    size_t size = peer_make(frame, PEER_PING, "x", 1);
    while (!wire_is_closed(client)) {
        CHECK(ws_now_ns() - begin < 5000 * MS);
        (void)peer_try_send(&p, frame, size);
        (void)usleep(2000);
    }
    uint64_t took = ws_now_ns() - begin;
    CHECK(took >= 200 * MS && took < 2000 * MS);
    wire_expect_ended(client, 1000, false);
    peer_close(&p);
    ws_hub_stats stats = wire_close(&w);
    CHECK(stats.counts.lost > 0);
}

/* From the first Close on, all of it: the wait for the FIN, too. */
static void
a_client_that_keeps_its_side_open_is_cut_after_close_timeout(void)
{
    wire_setup setup = wire_defaults();
    setup.config.close_timeout_ns = 200 * MS;
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 0);
    uint64_t begin = ws_now_ns();
    peer_close_frame(&p, 1000, "");
    peer_expect_close(&p, 1000, "");
    peer_expect_eof(&p);
    CHECK(!wire_is_closed(client));
    WITHIN(wire_is_closed(client), 10);
    uint64_t took = ws_now_ns() - begin;
    CHECK(took >= 200 * MS && took < 2000 * MS);
    wire_expect_ended(client, 1000, true);
    peer_close(&p);
    (void)wire_close(&w);
}

static void
without_a_close_timeout_the_client_has_all_its_time(void)
{
    wire_setup setup = with_keepalive(30, 30);
    setup.config.close_timeout_ns = 0;
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 0);
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    while (peer_read(&p).first != PEER_CLOSE) {
    }
    (void)usleep(150 * 1000);
    CHECK(!wire_is_closed(client));
    peer_close_frame(&p, 1000, "");
    peer_expect_eof(&p);
    peer_close(&p);
    wire_expect_ended(client, 1000, true);
    (void)wire_close(&w);
}

/* The server's end of a connection, in this very process. */
static int
server_end_of(const peer *p)
{
    struct sockaddr_in own, other;
    socklen_t size = sizeof own;
    CHECK_EQ(getsockname(p->fd, (struct sockaddr *)&own, &size), 0);
    for (int fd = 0; fd < 1000; fd++) {
        size = sizeof other;
        if (fd != p->fd &&
            getpeername(fd, (struct sockaddr *)&other, &size) == 0 &&
            other.sin_family == AF_INET && other.sin_port == own.sin_port) {
            return fd;
        }
    }
    check_failed(__FILE__, __LINE__, "no server's end");
}

static int
option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;
    CHECK_EQ(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

/* Goes without a word, as a machine does whose plug is pulled. */
static bool
vanish(peer *p)
{
    int on = 1;
    if (setsockopt(p->fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) != 0) {
        return false; // takes a privilege
    }
    peer_close(p);
    return true;
}

static void
without_a_close_timeout_the_kernel_looks_for_vanished_clients(void)
{
    wire_setup setup = wire_defaults();
    setup.config.close_timeout_ns = 0;
    peer p;
    ws_client *client;
    wire w = open_with(&setup, &p, &client, 0);
    int fd = server_end_of(&p);
    CHECK_EQ(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    peer_expect_close(&p, 1000, "");
    WITHIN(option_of(fd, SOL_SOCKET, SO_KEEPALIVE) == 1, 10);
    CHECK_EQ(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    int soon = 1;
    CHECK_EQ(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &soon, sizeof soon), 0);
    if (vanish(&p)) {
        wire_expect_ended(client, 1000, false);
    } else {
        peer_close_frame(&p, 1000, "");
        peer_expect_eof(&p);
        peer_close(&p);
        wire_expect_ended(client, 1000, true);
    }
    (void)wire_close(&w);
}

/* ---- breaking off */

/* Resets at every stage of a connection's life, many at once. */
static void
resets_at_any_moment_leave_nothing_behind(void)
{
    static char big[100 * 1000];
    static const char *const beginnings[] = {"", "GET / HTTP/1.1\r\nHost: l"};
    wire w = wire_open_default();
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < WIRE_COUNT_OF(beginnings); i++) {
            peer p = peer_dial(&w);
            peer_say(&p, beginnings[i]);
            peer_reset(&p);
        }
        peer p = peer_dial(&w);
        peer_say(&p, peer_request("/", ""));
        peer_reset(&p);
        p = peer_open(&w, "/?id=a");
        ws_client *client = wire_client(&w, "a");
        for (int i = 0; i < 10; i++) {
            CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big),
                     WS_OK);
        }
        if (round % 2 == 0) {
            CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
        }
        peer_reset(&p);
        wire_expect_ended(client, round % 2 == 0 ? 1000 : 1006, false);
    }
    WITHIN(ws_hub_present(w.hub) == 0, 10);
    (void)wire_close(&w);
}

static void
connections_cost_no_memory_once_they_are_gone(void)
{
    wire w = wire_open_default();
    peer warm = peer_open(&w, "/");
    peer_leave(&warm);
    WITHIN(ws_hub_present(w.hub) == 0, 10);
    long before = ws_alloc_live();
    for (int i = 0; i < 100; i++) {
        peer p = peer_open(&w, "/");
        peer_leave(&p);
    }
    WITHIN(ws_alloc_live() <= before, 10);
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(a_pong_gives_the_round_trip_and_the_next_ping_its_time),
    TEST(the_round_trip_is_known_without_a_ping_timeout_too),
    TEST(a_client_that_answers_no_ping_is_cut_after_interval_and_timeout),
    TEST(whatever_comes_in_postpones_the_timeout),
    TEST(a_client_that_never_reads_is_cut_after_interval_and_timeout),
    TEST(progress_of_what_stands_before_the_ping_postpones_the_timeout),
    TEST(a_client_that_we_paused_is_not_cut),
    TEST(a_client_that_we_paused_is_pinged_on),
    TEST(an_idle_pump_keeps_time),
    TEST(a_client_that_answers_no_close_is_cut_after_close_timeout),
    TEST(close_timeout_is_not_postponed_by_anything),
    TEST(a_client_that_keeps_its_side_open_is_cut_after_close_timeout),
    TEST(without_a_close_timeout_the_client_has_all_its_time),
    TEST(without_a_close_timeout_the_kernel_looks_for_vanished_clients),
    TEST(resets_at_any_moment_leave_nothing_behind),
    TEST(connections_cost_no_memory_once_they_are_gone),
};

TEST_MAIN(tests)

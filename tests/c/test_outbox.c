#include "wire.h"

static uint8_t *
pattern(size_t size)
{
    uint8_t *data = malloc(size + 1);
    CHECK(data != NULL);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    return data;
}

static wire
open_default(peer *p, ws_client **client, int buffer)
{
    wire w = wire_open_default();
    *p = peer_open_small(&w, "/?id=a", buffer);
    *client = wire_client(&w, "a");
    return w;
}

static void
send_bytes(ws_client *client, const void *data, size_t size)
{
    CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, data, size), WS_OK);
}

static bool
is_written(ws_client *client)
{
    return ws_chan_is_empty(&client->chan);
}

/* ---- order and integrity */

static const size_t sizes[] = {0,    1,     125,   126,   127,    2048,
                               2049, 16384, 65535, 65536, 1 << 20};

static void
messages_of_all_sizes_arrive_whole(void)
{
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 0);
    uint8_t *data = pattern(1 << 20);
    for (size_t i = 0; i < WIRE_COUNT_OF(sizes); i++) {
        send_bytes(client, data, sizes[i]);
        peer_expect(&p, PEER_BINARY, data, sizes[i]);
    }
    CHECK_EQ(wire_send_text(client, "gr\xc3\xbc\xc3\x9f"), WS_OK);
    peer_expect_text(&p, "gr\xc3\xbc\xc3\x9f");
    free(data);
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

/* All sizes mixed, through a keyhole: every way to cut a batch comes up. */
static void
order_and_bytes_survive_short_writes(void)
{
    enum { COUNT = 600 };
    static const size_t some[] = {0,    5,    125,   126,  700,
                                  2048, 2049, 17000, 70000};
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 4096);
    uint8_t *data = pattern(70000 + COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        send_bytes(client, data + i, some[i * 5 % WIRE_COUNT_OF(some)]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        peer_expect(&p, PEER_BINARY, data + i,
                    some[i * 5 % WIRE_COUNT_OF(some)]);
    }
    WITHIN(is_written(client), 10);
    CHECK(WIRE_COUNTED(&w, short_writes) > 0);
    free(data);
    ws_client_unref(client);
    peer_leave(&p);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.written, COUNT);
}

typedef struct sender {
    ws_client *client;
    uint8_t mark;
    pthread_t thread;
} sender;

enum { EACH = 500 };

static void *
send_marked(void *arg)
{
    const sender *s = arg;
    for (unsigned i = 0; i < EACH; i++) {
        uint8_t data[3] = {s->mark, (uint8_t)(i >> 8), (uint8_t)i};
        send_bytes(s->client, data, sizeof data);
    }
    return NULL;
}

static void
each_senders_order_is_kept(void)
{
    enum { SENDERS = 4 };
    sender senders[SENDERS];
    int next[SENDERS] = {0};
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (sender){.client = client, .mark = (uint8_t)i};
        CHECK_EQ(
            pthread_create(&senders[i].thread, NULL, send_marked, &senders[i]),
            0);
    }
    for (int i = 0; i < SENDERS * EACH; i++) {
        peer_frame frame = peer_read(&p);
        CHECK_EQ(frame.size, 3);
        CHECK_EQ(frame.data[1] << 8 | frame.data[2], next[frame.data[0]]++);
    }
    for (int i = 0; i < SENDERS; i++) {
        CHECK_EQ(pthread_join(senders[i].thread, NULL), 0);
    }
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

/* ---- coalescing and fairness */

static void
small_messages_leave_in_few_writes(void)
{
    enum { COUNT = 2000 };
    char text[16];
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 4096);
    uint8_t *big = pattern(6 << 20); // behind this they pile up
    send_bytes(client, big, 6 << 20);
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        CHECK_EQ(wire_send_text(client, text), WS_OK);
    }
    peer_expect(&p, PEER_BINARY, big, 6 << 20);
    WITHIN(ws_chan_get_stats(&client->chan).queued <= COUNT, 10);
    uint64_t writes = WIRE_COUNTED(&w, writes);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        peer_expect_text(&p, text);
    }
    WITHIN(is_written(client), 10);
    CHECK(WIRE_COUNTED(&w, writes) - writes <= COUNT / 20);
    free(big);
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

/* Discards all that comes, as fast as it comes, until the end. */
static void *
swallow(void *arg)
{
    static _Thread_local uint8_t buffer[256 * 1024];
    const peer *p = arg;
    for (ssize_t got = 1; got > 0;) {
        peer_wait(p, POLLIN);
        got = recv(p->fd, buffer, sizeof buffer, 0);
    }
    return NULL;
}

/* One client reads megabytes as fast as they come; the other's few bytes do
   not wait for their end. */
static void
a_client_with_much_to_get_leaves_turns_to_others(void)
{
    enum { COUNT = 15 };
    peer greedy;
    ws_client *client;
    pthread_t thread;
    wire w = open_default(&greedy, &client, 0);
    peer modest = peer_open(&w, "/?id=b");
    ws_client *other = wire_client(&w, "b");
    uint8_t *big = pattern(1 << 20);
    uint64_t turns = WIRE_COUNTED(&w, turns);
    CHECK_EQ(pthread_create(&thread, NULL, swallow, &greedy), 0);
    for (int i = 0; i < COUNT; i++) {
        send_bytes(client, big, 1 << 20);
    }
    CHECK_EQ(wire_send_text(other, "me too"), WS_OK);
    peer_expect_text(&modest, "me too");
    WITHIN(is_written(client), 10);
    // 256 kB a turn.
    CHECK(WIRE_COUNTED(&w, turns) - turns >= COUNT * 4 - 4);
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    peer_close_frame(&greedy, 1000, "");
    CHECK_EQ(pthread_join(thread, NULL), 0);
    free(big);
    ws_client_unref(client);
    ws_client_unref(other);
    peer_close(&greedy);
    peer_leave(&modest);
    (void)wire_close(&w);
}

/* ---- control frames and messages */

static void
control_frames_go_between_messages_only(void)
{
    static const size_t big = 300 * 1000;
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 4096);
    uint8_t *data = pattern(big);
    for (int i = 0; i < 20; i++) {
        send_bytes(client, data, big);
    }
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    int pongs = 0;
    int messages = 0;
    while (messages < 20 || pongs == 0) {
        if (messages < 18) {
            peer_frame_out(&p, PEER_PING, "x", 1);
        }
        peer_frame frame = peer_read(&p);
        if (frame.first == PEER_PONG) {
            CHECK_EQ(frame.size, 1);
            pongs++;
        } else {
            CHECK_EQ(frame.first, PEER_BINARY);
            CHECK_EQ(frame.size, big);
            CHECK_MEM_EQ(frame.data, data, big);
            messages++;
        }
    }
    free(data);
    ws_client_unref(client);
    peer_close(&p);
    (void)wire_close(&w);
}

/* ---- a stalled client */

typedef struct watch {
    const wire *w;
    ws_client *client;
    atomic_bool stop;
} watch;

/* Samples the law, of the hub and of one channel, as often as it can. */
static void *
watch_law(void *arg)
{
    watch *on = arg;
    while (!atomic_load(&on->stop)) {
        (void)wire_check_law(on->w);
        ws_chan_stats stats = ws_chan_get_stats(&on->client->chan);
        CHECK_EQ(stats.counts.accepted,
                 stats.counts.written + stats.queued + stats.counts.lost);
    }
    return NULL;
}

static void
the_law_holds_at_every_moment_of_a_flood(void)
{
    static char kilobyte[1024];
    wire_setup setup = wire_defaults();
    setup.limits.send = (ws_chan_limits){.max_msgs = 64, .max_bytes = 65536};
    wire w = wire_open(&setup);
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    watch on = {.w = &w, .client = client};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, watch_law, &on), 0);
    uint64_t accepted = 0;
    uint64_t refused = 0;
    for (uint64_t end = ws_now_ns() + 200 * WS_NS_PER_MS; ws_now_ns() < end;) {
        ws_err err =
            wire_send(client, WS_MESSAGE_BINARY, kilobyte, sizeof kilobyte);
        CHECK(err == WS_OK || err == WS_ERR_FULL);
        accepted += err == WS_OK;
        refused += err == WS_ERR_FULL;
    }
    for (uint64_t i = 0; i < accepted / 2; i++) {
        CHECK_EQ(peer_read(&p).size, sizeof kilobyte);
    }
    peer_reset(&p);
    WITHIN(wire_is_closed(client), 10);
    atomic_store(&on.stop, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    ws_client_unref(client);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.accepted, accepted);
    CHECK_EQ(stats.counts.refused_full, refused);
    CHECK(refused > 0);
    CHECK_EQ(accepted, stats.counts.written + stats.counts.lost);
}

/* While it is stalled the pump does not even look at it. */
static void
a_stalled_client_costs_nobody_anything(void)
{
    static char big[1 << 20];
    peer stalled;
    ws_client *client;
    wire w = open_default(&stalled, &client, 4096);
    peer p = peer_open(&w, "/?id=b");
    ws_client *other = wire_client(&w, "b");
    while (wire_send(client, WS_MESSAGE_BINARY, big, sizeof big) == WS_OK) {
    }
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    uint64_t turns = WIRE_COUNTED(&w, turns);
    (void)usleep(100 * 1000);
    CHECK(WIRE_COUNTED(&w, turns) - turns < 5);
    uint64_t shorts = WIRE_COUNTED(&w, short_writes);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(wire_send_text(other, "tick"), WS_OK);
        peer_expect_text(&p, "tick");
    }
    CHECK_EQ(WIRE_COUNTED(&w, short_writes), shorts);
    ws_client_unref(client);
    ws_client_unref(other);
    peer_close(&stalled);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
memory_is_given_back_once_all_is_written(void)
{
    static char kilobyte[1024];
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 4096);
    long before = ws_alloc_live();
    for (int i = 0; i < 9000; i++) {
        send_bytes(client, kilobyte, sizeof kilobyte);
    }
    CHECK(ws_alloc_live() > before + 1000);
    for (int i = 0; i < 9000; i++) {
        CHECK_EQ(peer_read(&p).size, sizeof kilobyte);
    }
    WITHIN(is_written(client), 10);
    WITHIN(ws_alloc_live() <= before + 1, 10);
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

/* The kernel holds what it was asked to and no more, so that what is queued
   here is known here. */
static void
the_kernel_holds_little_for_a_stalled_client(void)
{
    static char kilobyte[1024];
    wire_setup setup = wire_defaults();
    setup.config.send_buffer = 16384;
    wire w = wire_open(&setup);
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    for (int i = 0; i < 5000; i++) {
        send_bytes(client, kilobyte, sizeof kilobyte);
    }
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    CHECK(ws_chan_get_stats(&client->chan).queued > 4000);
    ws_client_unref(client);
    peer_reset(&p);
    (void)wire_close(&w);
}

/* ---- our Close */

static void
close_goes_behind_what_is_queued(void)
{
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 4096);
    uint8_t *data = pattern(1 << 20);
    for (int i = 0; i < 6; i++) {
        send_bytes(client, data, 1 << 20);
    }
    CHECK_EQ(ws_hub_close_client(client, 4001, wire_text("enough")), WS_OK);
    CHECK_EQ(wire_send_text(client, "late"), WS_ERR_CLOSED);
    for (int i = 0; i < 6; i++) {
        peer_expect(&p, PEER_BINARY, data, 1 << 20);
    }
    peer_expect_close(&p, 4001, "enough");
    CHECK(!wire_is_closed(client));
    peer_close_frame(&p, 4001, "");
    peer_expect_eof(&p);
    peer_close(&p);
    WITHIN(wire_is_closed(client), 10);
    CHECK_STR_EQ(client->close_reason, "enough");
    wire_expect_ended(client, 4001, true);
    free(data);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.written, 6);
    CHECK_EQ(stats.counts.refused_closed, 1);
}

static void
after_our_close_nothing_is_sent(void)
{
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 0);
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    CHECK_EQ(ws_hub_close_client(client, 1001, wire_text("")), WS_ERR_CLOSED);
    peer_expect_close(&p, 1000, "");
    peer_frame_out(&p, PEER_PING, "x", 1);
    peer_text(&p, "what?");
    CHECK(!peer_hears(&p, 50));
    peer_close_frame(&p, 1000, "");
    peer_expect_eof(&p);
    peer_close(&p);
    wire_expect_ended(client, 1000, true);
    (void)wire_close(&w);
}

/* Both begin at once: each side's Close is the answer to the other's. */
static void
closes_that_cross_are_one_closing(void)
{
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 0);
    for (int i = 0; i < 50; i++) {
        char target[32];
        (void)snprintf(target, sizeof target, "/?id=%d", i);
        peer q = peer_open(&w, target);
        ws_client *one = wire_client(&w, target + 5);
        peer_close_frame(&q, 3000, "");
        ws_err err = ws_hub_close_client(one, 4000, wire_text(""));
        peer_frame frame = peer_read(&q);
        CHECK_EQ(frame.first, PEER_CLOSE);
        peer_expect_eof(&q);
        peer_close(&q);
        wire_expect_ended(one, err == WS_OK ? 4000 : 3000, true);
    }
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_code_that_is_not_for_the_wire_is_an_empty_close(void)
{
    peer p;
    ws_client *client;
    wire w = open_default(&p, &client, 0);
    CHECK_EQ(ws_hub_close_client(client, 1006, wire_text("")), WS_OK);
    peer_expect(&p, PEER_CLOSE, "", 0);
    ws_client_unref(client);
    peer_close(&p);
    (void)wire_close(&w);
}

/* ---- waiting for it */

static void
a_broken_connection_ends_while_it_is_written_to(void)
{
    enum { PEERS = 40 };
    static char data[4096];
    wire w = wire_open_default();
    peer peers[PEERS];
    peer witness = peer_open(&w, "/?id=w");
    for (int i = 0; i < PEERS; i++) {
        peers[i] = peer_open_small(&w, "/", 4096);
    }
    WITHIN(ws_hub_size(w.hub) == PEERS + 1, 10);
    ws_msg *msg = ws_message_new(WS_MESSAGE_BINARY, data, sizeof data, NULL);
    for (int i = 0; i < 200; i++) {
        ws_report report = {0};
        ws_fan_out(w.hub, (ws_target){.kind = WS_TO_ALL}, msg,
                   &(ws_exclude){NULL, 0}, &report);
        CHECK_EQ(report.full_count + report.failed, 0);
        ws_report_release(&report);
        if (i % 5 == 4) {
            peer_reset(&peers[i / 5]);
        }
        (void)wire_check_law(&w);
    }
    ws_msg_unref(msg);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(peer_read(&witness).size, sizeof data);
    }
    WITHIN(ws_hub_present(w.hub) == 1, 10);
    peer_leave(&witness);
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(messages_of_all_sizes_arrive_whole),
    TEST(order_and_bytes_survive_short_writes),
    TEST(each_senders_order_is_kept),
    TEST(small_messages_leave_in_few_writes),
    TEST(a_client_with_much_to_get_leaves_turns_to_others),
    TEST(control_frames_go_between_messages_only),
    TEST(the_law_holds_at_every_moment_of_a_flood),
    TEST(a_stalled_client_costs_nobody_anything),
    TEST(memory_is_given_back_once_all_is_written),
    TEST(the_kernel_holds_little_for_a_stalled_client),
    TEST(close_goes_behind_what_is_queued),
    TEST(after_our_close_nothing_is_sent),
    TEST(closes_that_cross_are_one_closing),
    TEST(a_code_that_is_not_for_the_wire_is_an_empty_close),
    TEST(a_broken_connection_ends_while_it_is_written_to),
};

TEST_MAIN(tests)

#include "wire.h"

#define MS WS_NS_PER_MS

static char big[1 << 20];

static bool
has_ended(const wire *w)
{
    return ws_crew_wait(w->crew, 0) == WS_OK;
}

static void
an_idle_pump_ends_at_once(void)
{
    wire w = wire_open_default();
    CHECK_EQ(ws_crew_wait(w.crew, ws_now_ns() + 20 * MS), WS_ERR_TIMEOUT);
    ws_crew_close(w.crew, 1001, wire_text("bye"));
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    CHECK_EQ(ws_crew_wait(w.crew, 0), WS_OK);
    (void)wire_close(&w);
}

/* What is queued goes out first; then the Close; the pump waits for the
   answers. */
static void
every_client_gets_what_is_queued_and_then_its_close(void)
{
    enum { PEERS = 300 };
    static peer peers[PEERS];
    wire w = wire_open_default();
    for (int i = 0; i < PEERS; i++) {
        peers[i] = peer_open(&w, "/");
    }
    WITHIN(ws_hub_size(w.hub) == PEERS, 10);
    ws_msg *msg = ws_message_new(WS_MESSAGE_TEXT, "last", 4, NULL);
    ws_report report = {0};
    ws_fan_out(w.hub, (ws_target){.kind = WS_TO_ALL}, msg,
               &(ws_exclude){NULL, 0}, &report);
    ws_msg_unref(msg);
    ws_report_release(&report);
    ws_crew_close(w.crew, 1001, wire_text("maintenance"));
    ws_crew_close(w.crew, 1011, wire_text("the first counts"));
    for (int i = 0; i < PEERS; i++) {
        peer_expect_text(&peers[i], "last");
        peer_expect_close(&peers[i], 1001, "maintenance");
        CHECK(!has_ended(&w));
        peer_close_frame(&peers[i], 1001, "");
        peer_expect_eof(&peers[i]);
        peer_close(&peers[i]);
    }
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.written, PEERS);
    CHECK_EQ(stats.counts.lost, 0);
}

static void
a_slow_reader_has_the_close_timeout(void)
{
    wire_setup setup = wire_defaults();
    setup.config.close_timeout_ns = 5000 * MS;
    wire w = wire_open(&setup);
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    }
    ws_crew_close(w.crew, 1001, wire_text(""));
    CHECK_EQ(ws_crew_wait(w.crew, ws_now_ns() + 50 * MS), WS_ERR_TIMEOUT);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(peer_read(&p).size, sizeof big);
    }
    peer_expect_close(&p, 1001, "");
    peer_close_frame(&p, 1001, "");
    peer_expect_eof(&p);
    peer_close(&p);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    wire_expect_ended(client, 1001, true);
    (void)wire_close(&w);
}

/* Neither who does not read, nor who does not answer, nor who has not even
   asked, nor who has his answer and does not leave, holds the end up. */
static void
nobody_holds_the_end_up_beyond_close_timeout(void)
{
    wire_setup setup = wire_defaults();
    setup.config.close_timeout_ns = 200 * MS;
    setup.config.open_timeout_ns = 0;
    wire w = wire_open(&setup);
    CHECK_EQ(ws_pages_put(w.pages, (ws_text){"/", 1},
                          (ws_text){"text/plain", 10}, big, sizeof big),
             WS_OK);
    peer stalled = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    }
    peer mute = peer_open(&w, "/");
    peer silent = peer_dial(&w);
    peer staying = peer_dial(&w);
    peer_say(&staying, "GET /?x HTTP/1.0\r\nbad\r\n\r\n");
    peer reading = peer_dial_port(w.port, 4096);
    peer_say(&reading, "GET / HTTP/1.0\r\n\r\n");
    (void)peer_need(&staying, 1);
    (void)peer_need(&reading, 1);
    WITHIN(WIRE_COUNTED(&w, accepted_connections) == 5, 10);

    uint64_t begin = ws_now_ns();
    ws_crew_close(w.crew, 1001, wire_text(""));
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    uint64_t took = ws_now_ns() - begin;
    CHECK(took >= 200 * MS && took < 2000 * MS);
    wire_expect_ended(client, 1001, false);
    peer_close(&stalled);
    peer_close(&mute);
    peer_close(&silent);
    peer_close(&staying);
    peer_close(&reading);
    (void)wire_close(&w);
}

static void
new_clients_are_refused_while_draining(void)
{
    wire w = wire_open_default();
    peer p = peer_open(&w, "/");
    peer half = peer_dial(&w);
    peer_say(&half, "GET / HTTP/1.1\r\n");
    WITHIN(WIRE_COUNTED(&w, accepted_connections) == 2, 10);
    ws_crew_close(w.crew, 1001, wire_text(""));
    peer_expect_end(&half);
    peer_close(&half);
    peer_expect_close(&p, 1001, "");
    peer_close_frame(&p, 1001, "");
    peer_expect_eof(&p);
    peer_close(&p);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    CHECK_EQ(ws_hub_get_stats(w.hub).joined, 1);
    (void)wire_close(&w);
}

static void
a_client_that_is_closing_already_keeps_its_code(void)
{
    wire w = wire_open_default();
    peer p = peer_open(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    CHECK_EQ(ws_hub_close_client(client, 4000, wire_text("own")), WS_OK);
    ws_crew_close(w.crew, 1001, wire_text(""));
    peer_expect_close(&p, 4000, "own");
    peer_close_frame(&p, 4000, "");
    peer_expect_eof(&p);
    peer_close(&p);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    wire_expect_ended(client, 4000, true);
    (void)wire_close(&w);
}

static void
kill_cuts_whatever_is_open(void)
{
    wire w = wire_open_default();
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    }
    peer half = peer_dial(&w);
    ws_crew_close(w.crew, 1001, wire_text(""));
    ws_crew_kill(w.crew);
    ws_crew_kill(w.crew);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    ws_crew_close(w.crew, 1001, wire_text("")); // too late, no harm
    peer_expect_end(&p);
    peer_expect_end(&half);
    peer_close(&p);
    peer_close(&half);
    wire_expect_ended(client, 1001, false);
    CHECK_EQ(ws_hub_present(w.hub), 0);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.lost, 5);
}

static void
freeing_a_pump_ends_its_clients(void)
{
    wire_setup setup = wire_defaults();
    setup.events = true;
    wire w = wire_open(&setup);
    peer p = peer_open(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    ws_crew_free(w.crew);
    w.crew = NULL;
    CHECK(wire_is_closed(client));
    CHECK_EQ(wire_send_text(client, "late"), WS_ERR_CLOSED);
    wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    peer_expect_end(&p);
    peer_close(&p);
    wire_expect_ended(client, 1006, false);
    (void)wire_close(&w);
}

static void
a_hub_that_is_shut_answers_503(void)
{
    wire w = wire_open_default();
    ws_hub_shut(w.hub);
    peer p = peer_dial(&w);
    peer_say(&p, peer_request("/", ""));
    CHECK_EQ(peer_answer(&p, false, NULL, NULL), 503);
    peer_close(&p);
    (void)wire_close(&w);
}

/* ---- senders that go on */

typedef struct sender {
    ws_hub *hub;
    ws_client *client;
    uint64_t attempts, queued;
    pthread_t thread;
} sender;

/* Unicast and broadcast in turn until the client is closed. */
static void *
send_on(void *arg)
{
    sender *s = arg;
    ws_msg *msg = ws_message_new(WS_MESSAGE_BINARY, big, 100, NULL);
    for (ws_err err = WS_OK; err != WS_ERR_CLOSED; s->attempts++) {
        err = ws_client_send(s->client, msg);
        s->queued += err == WS_OK;
        if (s->attempts % 8 == 0) {
            ws_report report = {0};
            ws_fan_out(s->hub, (ws_target){.kind = WS_TO_ALL}, msg,
                       &(ws_exclude){NULL, 0}, &report);
            s->attempts += report.tried;
            s->queued += report.queued;
            ws_report_release(&report);
        }
    }
    ws_msg_unref(msg);
    return NULL;
}

static void
race(bool kill)
{
    enum { PEERS = 3 };
    wire_setup setup = wire_defaults();
    setup.config.close_timeout_ns = 100 * MS;
    setup.limits.send.max_msgs = 500;
    wire w = wire_open(&setup);
    peer peers[PEERS];
    sender senders[PEERS];
    for (int i = 0; i < PEERS; i++) {
        char target[] = "/?id=x";
        target[5] = (char)('a' + i);
        peers[i] = peer_open_small(&w, target, i == 0 ? 4096 : 0);
        senders[i] =
            (sender){.hub = w.hub, .client = wire_client(&w, target + 5)};
    }
    for (int i = 0; i < PEERS; i++) {
        CHECK_EQ(
            pthread_create(&senders[i].thread, NULL, send_on, &senders[i]), 0);
    }
    (void)usleep(10 * 1000);
    if (kill) {
        ws_crew_kill(w.crew);
    } else {
        ws_crew_close(w.crew, 1001, wire_text(""));
    }
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    uint64_t attempts = 0;
    uint64_t queued = 0;
    for (int i = 0; i < PEERS; i++) {
        CHECK_EQ(pthread_join(senders[i].thread, NULL), 0);
        attempts += senders[i].attempts;
        queued += senders[i].queued;
        peer_close(&peers[i]);
        ws_client_unref(senders[i].client);
    }
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.accepted, queued);
    CHECK_EQ(stats.counts.accepted + stats.counts.refused_full +
                 stats.counts.refused_closed,
             attempts);
}

static void
senders_that_race_with_the_end_are_counted_exactly(void)
{
    for (int i = 0; i < 4; i++) {
        race(true);
    }
    race(false);
}

static const ws_test tests[] = {
    TEST(an_idle_pump_ends_at_once),
    TEST(every_client_gets_what_is_queued_and_then_its_close),
    TEST(a_slow_reader_has_the_close_timeout),
    TEST(nobody_holds_the_end_up_beyond_close_timeout),
    TEST(new_clients_are_refused_while_draining),
    TEST(a_client_that_is_closing_already_keeps_its_code),
    TEST(kill_cuts_whatever_is_open),
    TEST(freeing_a_pump_ends_its_clients),
    TEST(a_hub_that_is_shut_answers_503),
    TEST(senders_that_race_with_the_end_are_counted_exactly),
};

TEST_MAIN(tests)

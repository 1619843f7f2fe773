/* Connections on their way from one pump to another, in crowds. */
#include "net/arrivals.h"

#include <semaphore.h>

#include "wire.h"

enum { PUMPS = 3, CROWD = 300 };

static peer peers[CROWD];
static atomic_uint taken; // from the listeners of all tests

#define WRAP(type, name, parameters) \
    type __real_##name parameters;   \
    type __wrap_##name parameters;   \
    type __wrap_##name parameters

WRAP(int, accept4, (int fd, struct sockaddr *addr, socklen_t *size, int flags))
{
    int accepted = __real_accept4(fd, addr, size, flags);
    (void)atomic_fetch_add(&taken, accepted >= 0);
    return accepted;
}

static wire
open_crew(void)
{
    wire_setup setup = wire_defaults();
    setup.config.pumps = PUMPS;
    return wire_open(&setup);
}

/* Connects without a word more than TCP needs. */
static peer
dial(const wire *w)
{
    const ws_addr *addr = ws_port_addr(w->port);
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(addr->port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    return peer_connect_bare((struct sockaddr *)&to, sizeof to, 0);
}

static void
dial_crowd(const wire *w)
{
    for (size_t i = 0; i < CROWD; i++) {
        peers[i] = dial(w);
    }
}

static void
hang_up_crowd(void)
{
    for (size_t i = 0; i < CROWD; i++) {
        peer_reset(&peers[i]);
    }
}

static void
wait_until_all_are_gone(const wire *w)
{
    WITHIN(WIRE_COUNTED(w, connections) == 0, 10);
}

static void
a_crowd_is_let_in_and_spread(void)
{
    wire w = open_crew();
    dial_crowd(&w);
    WITHIN(WIRE_COUNTED(&w, connections) == CROWD, 10);
    for (size_t i = 0; i < PUMPS; i++) {
        CHECK_EQ(ws_hub_connections(w.hub, i), CROWD / PUMPS);
    }
    WITHIN(WIRE_COUNTED(&w, accepted_connections) == CROWD, 10);
    hang_up_crowd();
    wait_until_all_are_gone(&w);
    CHECK_EQ(WIRE_COUNTED(&w, failed_handshakes), CROWD);
    (void)wire_close(&w);
}

/* Something that a pump does not get on with. */
typedef struct burden {
    ws_task task; // the first field
    sem_t begun, over;
} burden;

static void
bear(ws_task *task, void *pump)
{
    burden *b = (burden *)task;
    (void)pump;
    CHECK_EQ(sem_post(&b->begun), 0);
    CHECK_EQ(sem_wait(&b->over), 0);
}

/* Burdens the pump that has the client. */
static void
burden_pump(burden *b, const ws_client *client)
{
    b->task.run = bear;
    CHECK_EQ(sem_init(&b->begun, 0, 0), 0);
    CHECK_EQ(sem_init(&b->over, 0, 0), 0);
    CHECK(ws_wake_post(client->wake, &b->task));
    CHECK_EQ(sem_wait(&b->begun), 0);
}

/* One that stands still has as many on their way to it as there may be; more
   wait outside, and the other pumps for nothing. */
static void
accepting_alone_waits_for_a_pump_that_stands_still(void)
{
    enum { IN = PUMPS * WS_ARRIVALS_MANY + 1, ALL_OF_THEM = IN + 50 };
    static peer silent[ALL_OF_THEM];
    peer own[PUMPS];
    burden b;
    wire w = open_crew();
    for (size_t i = 0; i < PUMPS; i++) {
        own[i] = peer_open(&w, i == 1 ? "/?id=1" : "/");
    }
    ws_client *client = wire_client(&w, "1");
    CHECK_EQ(client->pump, 1);
    burden_pump(&b, client);
    for (size_t i = 0; i < ALL_OF_THEM; i++) {
        silent[i] = dial(&w);
    }
    WITHIN(WIRE_COUNTED(&w, connections) == PUMPS + IN, 10);
    for (int times = 0; times < 5; times++) {
        ws_msg *msg = ws_message_new(WS_MESSAGE_TEXT, "on", 2, NULL);
        ws_report report = {0};
        ws_fan_out(w.hub, (ws_target){.kind = WS_TO_ALL}, msg,
                   &(ws_exclude){NULL, 0}, &report);
        ws_msg_unref(msg);
        CHECK_EQ(report.queued, PUMPS);
        peer_expect_text(&own[0], "on");
        peer_expect_text(&own[2], "on");
    }
    CHECK_EQ(WIRE_COUNTED(&w, connections), PUMPS + IN);
    CHECK_EQ(sem_post(&b.over), 0);
    for (int times = 0; times < 5; times++) {
        peer_expect_text(&own[1], "on");
    }
    WITHIN(WIRE_COUNTED(&w, connections) == PUMPS + ALL_OF_THEM, 10);
    for (size_t i = 0; i < ALL_OF_THEM; i++) {
        peer_reset(&silent[i]);
    }
    for (size_t i = 0; i < PUMPS; i++) {
        peer_leave(&own[i]);
    }
    ws_client_unref(client);
    wait_until_all_are_gone(&w);
    CHECK_EQ(sem_destroy(&b.begun), 0);
    CHECK_EQ(sem_destroy(&b.over), 0);
    (void)wire_close(&w);
}

/* ... and with those on their way to it. */
static void
the_others_end_without_a_pump_that_stands_still(void)
{
    enum { SILENT = 60 };
    peer own[PUMPS];
    burden b;
    wire w = open_crew();
    for (size_t i = 0; i < PUMPS; i++) {
        own[i] = peer_open(&w, i == 1 ? "/?id=1" : "/");
    }
    ws_client *client = wire_client(&w, "1");
    burden_pump(&b, client);
    for (size_t i = 0; i < SILENT; i++) {
        peers[i] = dial(&w);
    }
    WITHIN(WIRE_COUNTED(&w, connections) == PUMPS + SILENT, 10);
    ws_crew_close(w.crew, 1001, wire_text("bye"));
    for (size_t i = 0; i < PUMPS; i += 2) {
        peer_expect_close(&own[i], 1001, "bye");
        peer_close_frame(&own[i], 1001, "");
        peer_expect_eof(&own[i]);
        peer_close(&own[i]);
    }
    WITHIN(WIRE_COUNTED(&w, connections) == 1 + SILENT / PUMPS, 10);
    CHECK_EQ(ws_crew_wait(w.crew, ws_now_ns()), WS_ERR_TIMEOUT);
    CHECK_EQ(sem_post(&b.over), 0);
    peer_expect_close(&own[1], 1001, "bye");
    peer_close_frame(&own[1], 1001, "");
    peer_expect_eof(&own[1]);
    peer_close(&own[1]);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    for (size_t i = 0; i < SILENT; i++) {
        peer_expect_end(&peers[i]);
        peer_close(&peers[i]);
    }
    ws_client_unref(client);
    CHECK_EQ(WIRE_COUNTED(&w, failed_handshakes), SILENT);
    CHECK_EQ(sem_destroy(&b.begun), 0);
    CHECK_EQ(sem_destroy(&b.over), 0);
    (void)wire_close(&w);
}

/* Whatever pumps they are on, or on their way to. */
static void
no_more_are_let_in_than_the_limit_on_all_pumps(void)
{
    enum { MOST = 100 };
    wire_setup setup = wire_defaults();
    setup.config.pumps = PUMPS;
    setup.config.max_connections = MOST;
    wire w = wire_open(&setup);
    for (uint64_t times = 1; times <= 5; times++) {
        dial_crowd(&w);
        WITHIN(WIRE_COUNTED(&w, refused_handshakes) == times * (CROWD - MOST),
               10);
        CHECK_EQ(WIRE_COUNTED(&w, connections), MOST);
        hang_up_crowd();
        wait_until_all_are_gone(&w);
    }
    CHECK_EQ(WIRE_COUNTED(&w, failed_handshakes), 5 * MOST);
    (void)wire_close(&w);
}

static void
who_is_let_in_is_served_whichever_pump_it_is(void)
{
    wire w = open_crew();
    for (size_t i = 0; i < CROWD; i++) {
        peers[i] = peer_dial(&w);
        peer_say(&peers[i], peer_request("/", ""));
    }
    for (size_t i = 0; i < CROWD; i++) {
        (void)peer_expect_switch(&peers[i]);
    }
    CHECK_EQ(ws_hub_size(w.hub), CROWD);
    hang_up_crowd();
    WITHIN(ws_hub_present(w.hub) == 0, 10);
    (void)wire_close(&w);
}

/* At whatever moment it comes, nobody is kept waiting and nothing is left. */
static void
a_crew_may_end_amid_a_crowd(void)
{
    for (int times = 0; times < 10; times++) {
        wire w = open_crew();
        atomic_store(&taken, 0);
        dial_crowd(&w);
        if (times % 2 == 0) {
            ws_crew_kill(w.crew);
        } else {
            ws_crew_close(w.crew, 1001, wire_text(""));
        }
        CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
        CHECK_EQ(WIRE_COUNTED(&w, connections), 0);
        CHECK_EQ(WIRE_COUNTED(&w, accepted_connections), atomic_load(&taken));
        CHECK_EQ(WIRE_COUNTED(&w, failed_handshakes), atomic_load(&taken));
        for (size_t i = 0; i < CROWD; i++) {
            peer_expect_end(&peers[i]);
            peer_close(&peers[i]);
        }
        (void)wire_close(&w);
    }
}

/* Who was accepted before is served as if nothing had happened. */
static void
a_port_may_be_closed_amid_a_crowd(void)
{
    for (int times = 0; times < 5; times++) {
        wire w = open_crew();
        dial_crowd(&w);
        WITHIN(WIRE_COUNTED(&w, connections) > 0, 10);
        ws_port_close(w.port);
        uint64_t in = WIRE_COUNTED(&w, connections);
        CHECK_EQ(WIRE_COUNTED(&w, accepted_connections), in);
        hang_up_crowd();
        wait_until_all_are_gone(&w);
        CHECK_EQ(WIRE_COUNTED(&w, failed_handshakes), in);
        (void)wire_close(&w);
    }
}

static void *
fork_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 30; i++) {
        wire_fork(20);
    }
    return NULL;
}

/* A child that kept a socket on its way would keep its peer waiting. */
static void
forks_amid_a_crowd_do_no_harm(void)
{
    wire w = open_crew();
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, fork_often, NULL), 0);
    for (int times = 0; times < 5; times++) {
        dial_crowd(&w);
        WITHIN(WIRE_COUNTED(&w, connections) == CROWD, 10);
        hang_up_crowd();
        wait_until_all_are_gone(&w);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    (void)wire_close(&w);
}

/* No memory for one at the door: he is not let in, the others are, and he has
   no place among those of his address. */
static void
without_memory_one_is_turned_away(void)
{
    wire_setup setup = wire_defaults();
    setup.config.pumps = PUMPS;
    setup.config.max_clients_per_ip = 1;
    wire w = wire_open(&setup);
    for (long n = 0; n < 12; n++) {
        ws_alloc_fail_at(n);
        peer p = dial(&w);
        struct pollfd end = {.fd = p.fd, .events = POLLIN};
        WITHIN(WIRE_COUNTED(&w, connections) == 1 || poll(&end, 1, 0) == 1,
               10);
        ws_alloc_fail_at(-1);
        peer_close(&p);
        wait_until_all_are_gone(&w);
    }
    peer p = peer_open(&w, "/");
    peer_leave(&p);
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(a_crowd_is_let_in_and_spread),
    TEST(accepting_alone_waits_for_a_pump_that_stands_still),
    TEST(the_others_end_without_a_pump_that_stands_still),
    TEST(no_more_are_let_in_than_the_limit_on_all_pumps),
    TEST(who_is_let_in_is_served_whichever_pump_it_is),
    TEST(a_crew_may_end_amid_a_crowd),
    TEST(a_port_may_be_closed_amid_a_crowd),
    TEST(forks_amid_a_crowd_do_no_harm),
    TEST(without_memory_one_is_turned_away),
};

TEST_MAIN(tests)

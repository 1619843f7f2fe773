#include "net/loop.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "check.h"
#include "core/alloc.h"
#include "echo_server.h"
#include "tls_pair.h"

/* ---- the peer of a paused connection goes */

/* Pauses, watches, lets the peer go as `leave` says, and expects the report
   once, without a single event after it. */
static void
expect_hangup(server *s, conn *c, int fd, void (*leave)(int fd), bool dead)
{
    CHECK_EQ(lws_rx_flow_control(c->wsi, 0), 0);
    ws_loop_watch_hangup(s->loop, c->wsi, true);
    CHECK_EQ(send(fd, "last words", 10, 0), 10);
    CHECK_EQ(turn_for(s, 20), 0);
    leave(fd);
    TURN_UNTIL(s, c->fins + c->deaths > 0);
    CHECK(turn_for(s, 50) <= 1);
    CHECK_EQ(c->fins, dead ? 0 : 1);
    CHECK_EQ(c->deaths, dead ? 1 : 0);
    CHECK_EQ(c->closed, 0);
}

static void
end_writing(int fd)
{
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
}

static void
end_it(int fd)
{
    CHECK_EQ(close(fd), 0);
}

static void
a_paused_peers_fin_is_told_once_and_its_data_kept(void)
{
    server s = new_server();
    conn c = {.mute = true};
    int fd = connect_to(&s, s.plain, &c);

    expect_hangup(&s, &c, fd, end_writing, false);
    CHECK_EQ(lws_rx_flow_control(c.wsi, 1), 0);
    TURN_UNTIL(&s, c.closed);
    CHECK_EQ(c.received, 10);
    CHECK_EQ(close(fd), 0);
    free_server(&s);
}

static void
a_fin_is_told_again_in_the_next_pause(void)
{
    server s = new_server();
    conn c = {.mute = true, .pause_in_rx = true};
    int fd = connect_to(&s, s.plain, &c);

    expect_hangup(&s, &c, fd, end_writing, false);
    CHECK_EQ(lws_rx_flow_control(c.wsi, 1), 0);
    TURN_UNTIL(&s, c.received == 10); // and paused by it
    TURN_UNTIL(&s, c.fins == 2);
    CHECK_EQ(c.closed, 0);
    reset(fd);
    TURN_UNTIL(&s, c.deaths == 1);
    CHECK(turn_for(&s, 50) <= 1);
    CHECK_EQ(c.deaths, 1);
    free_server(&s);
    CHECK_EQ(c.closed, 1);
}

static void
a_paused_peers_reset_is_told_once(void)
{
    server s = new_server();
    conn c = {.mute = true};

    expect_hangup(&s, &c, connect_to(&s, s.plain, &c), reset, true);
    CHECK_EQ(lws_rx_flow_control(c.wsi, 1), 0);
    TURN_UNTIL(&s, c.closed);
    free_server(&s);
}

static void
a_paused_unix_peers_end_is_told_and_its_data_kept(void)
{
    server s = new_server();
    conn c = {.mute = true};
    int pair[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    CHECK(ws_loop_adopt(s.loop, s.plain, "echo", pair[0], &c) != NULL);
    CHECK_EQ(ws_loop_turn(s.loop, WAIT_MS), 1);
    expect_hangup(&s, &c, pair[1], end_it, true);
    CHECK_EQ(lws_rx_flow_control(c.wsi, 1), 0);
    TURN_UNTIL(&s, c.closed);
    CHECK_EQ(c.received, 10);
    free_server(&s);
}

/* Blocked for writing and paused for reading: both are reported. */
static void
a_paused_connection_is_told_of_room(void)
{
    static char data[65536];
    server s = new_server();
    conn c = {.mute = true};
    int fd = connect_to(&s, s.plain, &c);
    int own = lws_get_socket_fd(c.wsi);

    CHECK_EQ(lws_rx_flow_control(c.wsi, 0), 0);
    ws_loop_watch_hangup(s.loop, c.wsi, true);
    for (unsigned round = 1; round <= 3; round++) {
        while (send(own, data, sizeof data, MSG_NOSIGNAL) > 0) {
        }
        CHECK_EQ(lws_callback_on_writable(c.wsi), 1);
        while (c.writeable < round) {
            CHECK(recv(fd, data, sizeof data, 0) > 0);
            (void)ws_loop_turn(s.loop, 0);
        }
    }
    CHECK_EQ(lws_callback_on_writable(c.wsi), 1);
    while (c.writeable < 4) {
        CHECK(recv(fd, data, sizeof data, 0) > 0);
        (void)ws_loop_turn(s.loop, 0);
    }
    CHECK_EQ(c.fins + c.deaths, 0);
    end_writing(fd);
    TURN_UNTIL(&s, c.fins == 1);
    CHECK_EQ(close(fd), 0);
    free_server(&s);
}

static void
unwatched_a_broken_pause_is_closed_by_lws(void)
{
    server s = new_server();
    conn c = {.mute = true};
    int fd = connect_to(&s, s.plain, &c);

    CHECK_EQ(lws_rx_flow_control(c.wsi, 0), 0);
    end_writing(fd);
    CHECK_EQ(turn_for(&s, 30), 0);
    reset(fd);
    TURN_UNTIL(&s, c.closed);
    CHECK_EQ(c.fins + c.deaths, 0);
    free_server(&s);
}

static void
kill_on_hangup(void *user, struct lws *wsi, bool dead)
{
    (void)user;
    (void)dead;
    lws_wsi_close(wsi, LWS_TO_KILL_SYNC);
}

static void
the_report_may_kill(void)
{
    static const ws_loop_config config = {.on_hangup = kill_on_hangup};
    server s = {0};
    conn c = {0};

    CHECK_EQ(ws_loop_new(&config, &s.loop), WS_OK);
    s.plain = new_vhost(s.loop, "plain", NULL, NULL);
    ws_loop_enter(s.loop);
    int fd = connect_to(&s, s.plain, &c);
    CHECK_EQ(lws_rx_flow_control(c.wsi, 0), 0);
    ws_loop_watch_hangup(s.loop, c.wsi, true);
    CHECK_EQ(close(fd), 0);
    TURN_UNTIL(&s, c.closed);
    free_server(&s);
}

/* ---- the end */

static void
a_loop_that_ends_where_descriptors_have_run_out_leaves_none(void)
{
    enum { HOARD = 64 };
    const ws_loop_config config = {NULL, NULL};
    struct rlimit old;
    ws_loop *loop = NULL;
    int hoard[HOARD];
    int count = 0;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit few = {.rlim_cur = HOARD, .rlim_max = old.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    int before = check_open_descriptors();
    CHECK_EQ(ws_loop_new(&config, &loop), WS_OK);
    CHECK(check_open_descriptors() > before);
    while ((hoard[count] = dup(STDERR_FILENO)) >= 0) {
        count++;
        CHECK(count < HOARD);
    }
    ws_loop_free(loop);
    while (count > 0) {
        CHECK_EQ(close(hoard[--count]), 0);
    }
    CHECK_EQ(check_open_descriptors(), before);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* ---- descriptors of our own */

typedef struct bell {
    server *s;
    int fd;
    unsigned rung;
    int events;
} bell;

static void
count_ring(void *user, int fd, int events)
{
    bell *b = user;
    uint64_t value;

    CHECK_EQ(fd, b->fd);
    if ((events & WS_LOOP_READ) != 0) {
        CHECK_EQ(read(fd, &value, sizeof value), sizeof value);
    }
    b->events |= events;
    b->rung++;
}

static void
ring(int fd)
{
    uint64_t one = 1;

    CHECK_EQ(write(fd, &one, sizeof one), sizeof one);
}

static void
a_watched_descriptor_calls_while_there_is_interest(void)
{
    server s = new_server();
    bell b = {.s = &s, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};

    CHECK_EQ(ws_loop_watch(s.loop, b.fd, WS_LOOP_READ, count_ring, &b), WS_OK);
    ring(b.fd);
    CHECK_EQ(ws_loop_turn(s.loop, WAIT_MS), 1);
    CHECK_EQ(b.rung, 1);
    CHECK_EQ(b.events, WS_LOOP_READ);

    CHECK_EQ(ws_loop_rewatch(s.loop, b.fd, 0), WS_OK);
    ring(b.fd);
    CHECK_EQ(turn_for(&s, 20), 0);
    CHECK_EQ(ws_loop_rewatch(s.loop, b.fd, WS_LOOP_READ), WS_OK);
    CHECK_EQ(ws_loop_turn(s.loop, WAIT_MS), 1);
    CHECK_EQ(b.rung, 2);

    CHECK_EQ(ws_loop_rewatch(s.loop, b.fd, WS_LOOP_WRITE), WS_OK);
    CHECK_EQ(ws_loop_turn(s.loop, WAIT_MS), 1);
    CHECK_EQ(b.events, WS_LOOP_READ | WS_LOOP_WRITE);

    ws_loop_unwatch(s.loop, b.fd);
    ws_loop_unwatch(s.loop, b.fd);
    ring(b.fd);
    CHECK_EQ(turn_for(&s, 20), 0);
    CHECK_EQ(b.rung, 3);
    CHECK_EQ(close(b.fd), 0);
    free_server(&s);
}

static void
what_cannot_be_watched_is_an_error(void)
{
    server s = new_server();
    bell b = {0};
    char name[] = "/tmp/wssend-test-XXXXXX";
    int file = mkstemp(name);

    CHECK_EQ(unlink(name), 0);
    errno = 0;
    CHECK_EQ(ws_loop_watch(s.loop, file, WS_LOOP_READ, count_ring, &b),
             WS_ERR_SYSTEM);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(ws_loop_watch(s.loop, ws_loop_fd_limit(s.loop), WS_LOOP_READ,
                           count_ring, &b),
             WS_ERR_SYSTEM);
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(close(file), 0);
    free_server(&s);
}

enum { TWINS = 2 };

typedef struct twins {
    ws_loop *loop;
    int fds[TWINS];
    unsigned calls, stale;
} twins;

static void
count_stale(void *user, int fd, int events)
{
    twins *t = user;

    (void)fd;
    (void)events;
    t->stale++;
}

/* Whichever comes first replaces the other by a new one of its number, on
   which nothing has happened. */
static void
replace_other(void *user, int fd, int events)
{
    twins *t = user;
    int other = t->fds[0] == fd ? t->fds[1] : t->fds[0];

    (void)events;
    t->calls++;
    ws_loop_unwatch(t->loop, other);
    CHECK_EQ(close(other), 0);
    CHECK_EQ(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), other);
    CHECK_EQ(ws_loop_watch(t->loop, other, WS_LOOP_READ, count_stale, t),
             WS_OK);
    ws_loop_unwatch(t->loop, fd);
}

static void
a_stale_event_does_not_hit_a_reused_number(void)
{
    server s = new_server();
    twins t = {.loop = s.loop};

    for (size_t i = 0; i < TWINS; i++) {
        t.fds[i] = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        CHECK_EQ(
            ws_loop_watch(s.loop, t.fds[i], WS_LOOP_READ, replace_other, &t),
            WS_OK);
    }
    CHECK_EQ(ws_loop_turn(s.loop, WAIT_MS), TWINS);
    CHECK_EQ(t.calls, 1);
    CHECK_EQ(t.stale, 0);
    for (size_t i = 0; i < TWINS; i++) {
        ws_loop_unwatch(s.loop, t.fds[i]);
        CHECK_EQ(close(t.fds[i]), 0);
    }
    free_server(&s);
}

/* ---- waiting */

static void
a_turn_waits_as_long_as_it_may(void)
{
    server s = new_server();
    (void)ws_loop_turn(s.loop, 0);
    uint64_t start = ws_now_ns();

    CHECK_EQ(ws_loop_turn(s.loop, 60), 0);
    uint64_t took = ws_now_ns() - start;
    CHECK(took >= 59 * WS_NS_PER_MS);
    CHECK(took < 1000 * WS_NS_PER_MS);
    free_server(&s);
}

static void
on_alarm(int number)
{
    (void)number;
}

static void
a_signal_only_cuts_the_wait_short(void)
{
    server s = new_server();
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval soon = {.it_value.tv_usec = 20000};

    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
    CHECK_EQ(ws_loop_turn(s.loop, WAIT_MS), 0);
    free_server(&s);
}

/* ---- fork */

typedef struct pump {
    server *s;
    bell stop;
    conn c;
    int client;
} pump;

static void *
run_pump(void *arg)
{
    pump *p = arg;

    ws_loop_enter(p->s->loop);
    while (p->stop.rung == 0) {
        (void)ws_loop_turn(p->s->loop, WAIT_MS);
    }
    ws_loop_leave(p->s->loop);
    return NULL;
}

static void
check_closed(int fd, void *arg)
{
    if (is_open(fd)) {
        _exit(fd + 1);
    }
    ++*(int *)arg;
}

/* In the child: closed is what the loop knows, and nothing else. */
static _Noreturn void
be_child(const pump *p)
{
    int known = 0;

    ws_loop_fork_child(p->s->loop);
    ws_loop_each_fd(p->s->loop, check_closed, &known);
    // The connection, the stop bell, lws's event descriptor, the epoll one.
    _exit(known >= 4 && is_open(p->client) ? 0 : 255);
}

static void
wait_for_child(pid_t child)
{
    int status = 0;

    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static void
a_fork_finds_the_pump_at_rest_and_leaves_the_parent_alone(void)
{
    server s = new_server();
    pump p = {.s = &s};
    pthread_t thread;
    char answer[8];

    p.stop = (bell){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    CHECK_EQ(
        ws_loop_watch(s.loop, p.stop.fd, WS_LOOP_READ, count_ring, &p.stop),
        WS_OK);
    p.client = connect_to(&s, s.plain, &p.c);
    ws_loop_leave(s.loop);
    CHECK_EQ(pthread_create(&thread, NULL, run_pump, &p), 0);

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(send(p.client, "ping", 4, 0), 4);
        ws_loop_fork_prepare(s.loop);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            be_child(&p);
        }
        ws_loop_fork_parent(s.loop);
        wait_for_child(child);
        CHECK_EQ(recv(p.client, answer, sizeof answer, 0), 4);
    }
    ring(p.stop.fd);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(p.c.closed, 0);
    ws_loop_enter(s.loop);
    CHECK_EQ(close(p.client), 0);
    free_server(&s);
    CHECK_EQ(close(p.stop.fd), 0);
}

/* However busy the pump is, whoever waits for it goes next. */
static void
a_busy_pump_does_not_starve_a_fork(void)
{
    server s = new_server();
    pump p = {.s = &s};
    bell busy = {.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)};
    pthread_t thread;

    p.stop = (bell){.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    CHECK_EQ(
        ws_loop_watch(s.loop, p.stop.fd, WS_LOOP_READ, count_ring, &p.stop),
        WS_OK);
    // Always ready for writing.
    CHECK_EQ(ws_loop_watch(s.loop, busy.fd, WS_LOOP_WRITE, count_ring, &busy),
             WS_OK);
    ws_loop_leave(s.loop);
    CHECK_EQ(pthread_create(&thread, NULL, run_pump, &p), 0);
    uint64_t start = ws_now_ns();
    for (int i = 0; i < 1000; i++) {
        ws_loop_fork_prepare(s.loop);
        ws_loop_fork_parent(s.loop);
    }
    CHECK(ws_now_ns() - start < WAIT_MS * WS_NS_PER_MS);
    ring(p.stop.fd);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    ws_loop_enter(s.loop);
    free_server(&s);
    CHECK_EQ(close(busy.fd), 0);
    CHECK_EQ(close(p.stop.fd), 0);
}

/* ---- running out */

/* ---- many peers go at once */

enum { GOING = 450 }; // with both ends within the usual 1024 descriptors

typedef struct departure {
    conn conns[GOING];
    int fds[GOING];
} departure;

static unsigned
count_closed(const departure *all)
{
    unsigned closed = 0;
    for (size_t i = 0; i < GOING; i++) {
        closed += all->conns[i].closed;
    }
    return closed;
}

static void
whoever_stays_does_not_wait_for_those_who_go(void)
{
    static departure all;
    server s = new_server();
    conn other = {0};
    char byte;
    int fd = connect_to(&s, s.plain, &other);
    for (size_t i = 0; i < GOING; i++) {
        all.conns[i].mute = true;
        all.fds[i] = connect_to(&s, s.plain, &all.conns[i]);
    }
    for (size_t i = 0; i < GOING; i++) {
        CHECK_EQ(send(all.fds[i], "last words", 10, 0), 10);
        if (i % 2 == 0) {
            CHECK_EQ(close(all.fds[i]), 0);
        } else {
            reset(all.fds[i]);
        }
    }
    // It stands behind all of them.
    CHECK_EQ(send(fd, "x", 1, 0), 1);
    TURN_UNTIL(&s, readable(fd));
    CHECK_EQ(recv(fd, &byte, 1, 0), 1);
    CHECK(count_closed(&all) < GOING / 2);
    TURN_UNTIL(&s, count_closed(&all) == GOING);
    for (size_t i = 0; i < GOING; i += 2) {
        CHECK_EQ(all.conns[i].received, 10);
    }
    CHECK_EQ(turn_for(&s, 30), 0);
    CHECK_EQ(close(fd), 0);
    free_server(&s);
}

/* More than is read at once. */
static void
what_stands_before_the_end_is_read(void)
{
    enum { SIZE = 100 * 1000 };
    static char data[SIZE];
    server s = new_server();
    conn c = {.mute = true};
    int fd = connect_to(&s, s.plain, &c);
    CHECK_EQ(send(fd, data, SIZE, MSG_NOSIGNAL), SIZE);
    CHECK_EQ(close(fd), 0);
    TURN_UNTIL(&s, c.closed);
    CHECK_EQ(c.received, SIZE);
    free_server(&s);
}

/* So many that but one of them has its turn in the first. */
static void
one_that_goes_may_be_paused_or_killed_before_its_turn(void)
{
    static departure all;
    server s = new_server();
    conn *paused = &all.conns[100];
    conn *killed = &all.conns[101];
    for (size_t i = 0; i < GOING; i++) {
        all.conns[i].mute = true;
        all.fds[i] = connect_to(&s, s.plain, &all.conns[i]);
    }
    for (size_t i = 0; i < GOING; i++) {
        CHECK_EQ(send(all.fds[i], "last words", 10, 0), 10);
        CHECK_EQ(close(all.fds[i]), 0);
    }
    (void)ws_loop_turn(s.loop, WAIT_MS);
    CHECK(paused->closed + killed->closed == 0);
    CHECK_EQ(lws_rx_flow_control(paused->wsi, 0), 0);
    ws_loop_watch_hangup(s.loop, paused->wsi, true);
    lws_wsi_close(killed->wsi, LWS_TO_KILL_SYNC);
    CHECK_EQ(killed->closed, 1);
    TURN_UNTIL(&s, count_closed(&all) == GOING - 1 && paused->fins == 1);
    CHECK_EQ(paused->received, 0);
    CHECK_EQ(turn_for(&s, 30), 0);
    CHECK_EQ(lws_rx_flow_control(paused->wsi, 1), 0);
    TURN_UNTIL(&s, paused->closed);
    CHECK_EQ(paused->received, 10);
    CHECK_EQ(killed->closed, 1);
    free_server(&s);
}

static void
a_loop_that_cannot_be_made_leaves_nothing(void)
{
    int before = lowest_free_fd();
    ws_loop *loop;

    ws_alloc_fail_at(0);
    CHECK_EQ(ws_loop_new(&(ws_loop_config){0}, &loop), WS_ERR_NOMEM);
    CHECK(loop == NULL);
    ws_alloc_fail_at(-1);
    ws_loop_free(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
    CHECK_EQ(lowest_free_fd(), before);
}

/* ---- TLS handshakes */

enum { SHAKING = 64 };

/* Connections whose clients have all sent their hello. */
typedef struct crowd {
    identity id;
    conn conns[SHAKING];
    tls_client clients[SHAKING];
} crowd;

static void
gather(server *s, crowd *all)
{
    make_identity(&all->id, "one.test");
    struct lws_vhost *vhost =
        new_vhost(s->loop, "tls", all->id.cert, all->id.key);
    for (size_t i = 0; i < SHAKING; i++) {
        int fd = connect_to(s, vhost, &all->conns[i]);
        all->clients[i] = tls_start(fd, "one.test");
    }
    for (size_t i = 0; i < SHAKING; i++) {
        CHECK(SSL_connect(all->clients[i].ssl) < 0);
    }
}

static size_t
count_answered(const crowd *all)
{
    size_t count = 0;
    for (size_t i = 0; i < SHAKING; i++) {
        count += readable(all->clients[i].fd);
    }
    return count;
}

static void
handshakes_take_turns_with_others(void)
{
    static crowd all;
    server s = new_server();
    conn other = {0};
    char byte;
    size_t turns = 0;
    int fd = connect_to(&s, s.plain, &other);
    gather(&s, &all);
    CHECK(!ws_loop_is_shaking(s.loop));
    for (size_t before = 0; before < SHAKING; turns++) {
        CHECK_EQ(send(fd, "x", 1, 0), 1);
        (void)ws_loop_turn(s.loop, WAIT_MS);
        CHECK_EQ(recv(fd, &byte, 1, MSG_DONTWAIT), 1); // not one turn late
        size_t now = count_answered(&all);
        CHECK(now > before); // nor do they stand still
        CHECK(now == SHAKING || ws_loop_is_shaking(s.loop));
        before = now;
    }
    CHECK(turns > 1);
    for (size_t i = 0; i < SHAKING; i++) {
        tls_handshake(&s, &all.clients[i]);
        tls_expect_echo(&s, &all.clients[i], "hello");
    }
    CHECK_EQ(turn_for(&s, 30), 0);
    CHECK(!ws_loop_is_shaking(s.loop));
    for (size_t i = 0; i < SHAKING; i++) {
        tls_close(&all.clients[i]);
        TURN_UNTIL(&s, all.conns[i].closed);
    }
    CHECK_EQ(close(fd), 0);
    free_server(&s);
}

static void
a_handshake_may_end_while_it_waits(void)
{
    static crowd all;
    server s = new_server();
    gather(&s, &all);
    (void)ws_loop_turn(s.loop, WAIT_MS);
    CHECK(ws_loop_is_shaking(s.loop));
    for (size_t i = 0; i < SHAKING; i += 2) { // of some the wait, of some not
        lws_wsi_close(all.conns[i].wsi, LWS_TO_KILL_SYNC);
        CHECK_EQ(all.conns[i].closed, 1);
    }
    conn late = {0}; // with a number that has become free
    int pair[2];
    tcp_pair(pair);
    CHECK(ws_loop_adopt(s.loop, s.plain, "echo", pair[0], &late) != NULL);
    for (size_t i = 1; i < SHAKING; i += 2) {
        tls_handshake(&s, &all.clients[i]);
        tls_expect_echo(&s, &all.clients[i], "hello");
    }
    expect_echo(&s, pair[1], "hello");
    for (size_t i = 0; i < SHAKING; i++) {
        tls_close(&all.clients[i]);
        TURN_UNTIL(&s, all.conns[i].closed);
    }
    CHECK_EQ(close(pair[1]), 0);
    free_server(&s);
}

static const ws_test tests[] = {
    TEST(a_loop_that_ends_where_descriptors_have_run_out_leaves_none),
    TEST(a_paused_peers_fin_is_told_once_and_its_data_kept),
    TEST(a_fin_is_told_again_in_the_next_pause),
    TEST(a_paused_peers_reset_is_told_once),
    TEST(a_paused_unix_peers_end_is_told_and_its_data_kept),
    TEST(a_paused_connection_is_told_of_room),
    TEST(unwatched_a_broken_pause_is_closed_by_lws),
    TEST(the_report_may_kill),
    TEST(a_watched_descriptor_calls_while_there_is_interest),
    TEST(what_cannot_be_watched_is_an_error),
    TEST(a_stale_event_does_not_hit_a_reused_number),
    TEST(a_turn_waits_as_long_as_it_may),
    TEST(a_signal_only_cuts_the_wait_short),
    TEST(a_fork_finds_the_pump_at_rest_and_leaves_the_parent_alone),
    TEST(a_busy_pump_does_not_starve_a_fork),
    TEST(handshakes_take_turns_with_others),
    TEST(a_handshake_may_end_while_it_waits),
    TEST(whoever_stays_does_not_wait_for_those_who_go),
    TEST(what_stands_before_the_end_is_read),
    TEST(one_that_goes_may_be_paused_or_killed_before_its_turn),
    TEST(a_loop_that_cannot_be_made_leaves_nothing),
};

TEST_MAIN(tests)

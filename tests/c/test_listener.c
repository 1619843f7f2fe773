#include "net/listener.h"

#include <netinet/tcp.h>
#include <sys/resource.h>

#include "check.h"
#include "core/alloc.h"
#include "echo_server.h"
#include "net/log.h"

enum { TIMER_KIND = 7, BACKLOG = 200 };

/* A loop with a wheel and one listener that takes what comes. */
typedef struct gate {
    ws_loop *loop;
    ws_timer_wheel *wheel;
    ws_listener *listener;
    unsigned accepted;
    unsigned stop_after; /* accepted; 0: never */
    ws_listener_room room;
    unsigned many_until; /* accepted; from there on `room`; 0: at once */
    unsigned asked;      /* for room */
    unsigned timers;     /* that have fired */
    bool keep;           /* does not close them */
    int last;            /* its descriptor */
    ws_addr peer;        /* of the last */
} gate;

static void
take(void *user, int fd, const ws_addr *peer)
{
    gate *g = user;

    g->accepted++;
    g->last = fd;
    g->peer = *peer;
    if (!g->keep) {
        CHECK_EQ(close(fd), 0);
    }
    if (g->accepted == g->stop_after) {
        ws_listener_stop(g->listener);
    }
}

static ws_listener_room
tell_room(void *user)
{
    gate *g = user;

    g->asked++;
    return g->accepted < g->many_until ? WS_ROOM_FOR_MANY : g->room;
}

static void
on_timer(void *user, ws_timer *timer)
{
    ((gate *)user)->timers++;
    CHECK_EQ(timer->kind, TIMER_KIND);
    ws_listener_timer(timer);
}

static int
turn(gate *g)
{
    int events = ws_loop_turn(g->loop, 5);

    (void)ws_timer_wheel_expire(g->wheel, ws_now_ns(), SIZE_MAX, on_timer, g);
    return events;
}

#define GATE_UNTIL(g, cond)                                   \
    do {                                                      \
        uint64_t end_ = ws_now_ns() + WAIT_MS * WS_NS_PER_MS; \
        while (!(cond)) {                                     \
            CHECK(ws_now_ns() < end_);                        \
            (void)turn(g);                                    \
        }                                                     \
    } while (0)

/* With a listener that the caller has just made. */
static gate
open_gate(ws_listener *listener)
{
    gate g = {.listener = listener, .wheel = ws_timer_wheel_new(ws_now_ns())};

    CHECK(listener != NULL);
    CHECK_EQ(ws_loop_new(&(ws_loop_config){0}, &g.loop), WS_OK);
    ws_loop_enter(g.loop);
    return g;
}

static void
start(gate *g, int send_buffer)
{
    ws_listener_hooks hooks = {
        .on_accept = take,
        .room = tell_room,
        .user = g,
        .send_buffer = send_buffer,
        .timer_kind = TIMER_KIND,
    };

    CHECK_EQ(ws_listener_start(g->listener, g->loop, g->wheel, &hooks), WS_OK);
}

static void
close_gate(gate *g)
{
    ws_listener_stop(g->listener);
    ws_listener_stop(g->listener);
    ws_listener_free(g->listener);
    ws_loop_leave(g->loop);
    ws_loop_free(g->loop);
    ws_timer_wheel_free(g->wheel);
    CHECK_EQ(ws_alloc_live(), 0);
}

static ws_listener *
listen_on(const char *host, uint16_t port)
{
    ws_listener_error error = {0};
    ws_listener *listener = ws_listener_new_tcp(host, port, BACKLOG, &error);

    if (listener == NULL) {
        fprintf(stderr, "%s: %s\n", error.what, strerror(error.err));
    }
    return listener;
}

/* Where the kernel says that it is bound; loopback is where one connects. */
static struct sockaddr_storage
bound(const ws_listener *listener, socklen_t *size)
{
    struct sockaddr_storage address;

    *size = sizeof address;
    CHECK_EQ(getsockname(ws_listener_fd(listener), (struct sockaddr *)&address,
                         size),
             0);
    return address;
}

static int
dial(const ws_listener *listener)
{
    socklen_t size;
    struct sockaddr_storage address = bound(listener, &size);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, size), 0);
    return fd;
}

static int
option(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof value;

    CHECK_EQ(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

/* ---- TCP */

static void
an_ipv4_listener_is_bound_there_and_tunes_what_it_accepts(void)
{
    gate g = open_gate(listen_on("127.0.0.1", 0));
    const ws_addr *addr = ws_listener_addr(g.listener);
    socklen_t size;
    struct sockaddr_storage where = bound(g.listener, &size);
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&where;

    CHECK_EQ(v4->sin_family, AF_INET);
    CHECK_EQ(ntohl(v4->sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK_EQ(ntohs(v4->sin_port), addr->port);
    CHECK(addr->port != 0);
    CHECK_EQ(addr->family, AF_INET);
    CHECK_STR_EQ(addr->text, "127.0.0.1");

    g.keep = true;
    start(&g, 65536);
    int fd = dial(g.listener);
    GATE_UNTIL(&g, g.accepted == 1);
    CHECK_STR_EQ(g.peer.text, "127.0.0.1");
    CHECK(g.peer.port != 0);
    CHECK_EQ(option(g.last, IPPROTO_TCP, TCP_NODELAY), 1);
    CHECK_EQ(option(g.last, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 65536);
    CHECK((fcntl(g.last, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(g.last, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((fcntl(ws_listener_fd(g.listener), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_EQ(close(g.last), 0);
    CHECK_EQ(close(fd), 0);
    close_gate(&g);
}

static bool
has_ipv6(void)
{
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6,
        .sin6_addr = IN6ADDR_LOOPBACK_INIT,
    };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has =
        fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) {
        CHECK_EQ(close(fd), 0);
    }
    if (!has) {
        puts("skipped: this machine has no IPv6 loopback");
    }
    return has;
}

static void
an_ipv6_listener_takes_ipv6_only(void)
{
    static const char *const hosts[] = {"::1", "::"};

    for (size_t i = 0; has_ipv6() && i < 2; i++) {
        gate g = open_gate(listen_on(hosts[i], 0));
        const ws_addr *addr = ws_listener_addr(g.listener);
        CHECK_EQ(addr->family, AF_INET6);
        CHECK_STR_EQ(addr->text, hosts[i]);
        CHECK_EQ(option(ws_listener_fd(g.listener), IPPROTO_IPV6, IPV6_V6ONLY),
                 1);
        start(&g, 0);
        int fd = dial(g.listener);
        GATE_UNTIL(&g, g.accepted == 1);
        CHECK_STR_EQ(g.peer.text, "::1");
        CHECK_EQ(close(fd), 0);
        close_gate(&g);
    }
}

/* ---- unix paths */

static char folder[64];
static char path[80];

static void
make_folder(void)
{
    (void)strcpy(folder, "/tmp/wssend-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/socket", folder);
}

static void
remove_folder(void)
{
    CHECK_EQ(rmdir(folder), 0);
}

static ws_listener *
listen_on_path(int *err)
{
    ws_listener_error error = {0};
    ws_listener *listener = ws_listener_new_unix(path, 0660, 8, &error);

    *err = error.err;
    return listener;
}

static void
a_unix_listener_serves_and_takes_its_file_away(void)
{
    struct stat file;
    char text[96];
    int err;

    make_folder();
    mode_t old = umask(077);
    gate g = open_gate(listen_on_path(&err));
    (void)umask(old);
    CHECK_EQ(lstat(path, &file), 0);
    CHECK_EQ(file.st_mode & 0777, 0660);
    (void)snprintf(text, sizeof text, "unix:%s", path);
    CHECK_STR_EQ(ws_listener_addr(g.listener)->text, text);
    start(&g, 65536);
    int fd = dial(g.listener);
    GATE_UNTIL(&g, g.accepted == 1);
    CHECK_STR_EQ(g.peer.text, "unix:");
    CHECK_EQ(close(fd), 0);
    close_gate(&g);
    CHECK_EQ(lstat(path, &file), -1);
    remove_folder();
}

static void
a_file_that_is_anothers_by_now_stays(void)
{
    int err;

    make_folder();
    ws_listener *first = listen_on_path(&err);
    CHECK_EQ(unlink(path), 0);
    ws_listener *second = listen_on_path(&err);
    CHECK(second != NULL);
    ws_listener_free(first);
    CHECK_EQ(close(dial(second)), 0);
    ws_listener_free(second);
    remove_folder();
}

/* ---- the caller's socket */

static void
a_callers_socket_is_duplicated(void)
{
    ws_listener *source = listen_on("127.0.0.1", 0);
    ws_listener_error error;
    uint16_t port = ws_listener_addr(source)->port;
    gate g = open_gate(ws_listener_new_fd(ws_listener_fd(source), &error));

    CHECK(ws_listener_fd(g.listener) != ws_listener_fd(source));
    ws_listener_free(source);
    CHECK_EQ(ws_listener_addr(g.listener)->port, port);
    start(&g, 0);
    int fd = dial(g.listener);
    GATE_UNTIL(&g, g.accepted == 1);
    CHECK_EQ(close(fd), 0);
    close_gate(&g);
}

/* ---- accepting */

enum { CROWD = 100 };

static void
dial_crowd(const gate *g, int fds[CROWD])
{
    for (size_t i = 0; i < CROWD; i++) {
        fds[i] = dial(g->listener);
    }
}

static void
hang_up_crowd(const int fds[CROWD])
{
    for (size_t i = 0; i < CROWD; i++) {
        CHECK_EQ(close(fds[i]), 0);
    }
}

static void
a_turn_accepts_a_batch_and_no_more(void)
{
    gate g = open_gate(listen_on("127.0.0.1", 0));
    int fds[CROWD];

    dial_crowd(&g, fds);
    start(&g, 0);
    while (g.accepted == 0) {
        (void)turn(&g);
    }
    CHECK_EQ(g.accepted, WS_LISTENER_BATCH);
    GATE_UNTIL(&g, g.accepted == CROWD);
    hang_up_crowd(fds);
    close_gate(&g);
}

static void
with_room_for_one_a_turn_accepts_one(void)
{
    gate g = open_gate(listen_on("127.0.0.1", 0));
    int fds[CROWD];

    g.room = WS_ROOM_FOR_ONE;
    g.many_until = 10;
    dial_crowd(&g, fds);
    start(&g, 0);
    GATE_UNTIL(&g, g.accepted > 0);
    CHECK_EQ(g.accepted, 10); // they were many before
    for (unsigned i = 1; i <= 5; i++) {
        CHECK_EQ(turn(&g), 1);
        CHECK_EQ(g.accepted, 10 + i);
    }
    g.room = WS_ROOM_FOR_MANY;
    GATE_UNTIL(&g, g.accepted == CROWD);
    hang_up_crowd(fds);
    close_gate(&g);
}

/* It asks again and again, but does not spin; and it may be stopped. */
static void
without_room_the_listener_waits(void)
{
    gate g = open_gate(listen_on("127.0.0.1", 0));
    int fds[CROWD];

    g.room = WS_ROOM_LATER;
    g.many_until = 10;
    dial_crowd(&g, fds);
    start(&g, 0);
    GATE_UNTIL(&g, g.accepted == 10);
    unsigned asked = g.asked;
    unsigned timers = g.timers;
    GATE_UNTIL(&g, g.asked >= asked + 5);
    CHECK_EQ(g.accepted, 10);
    CHECK(g.timers - timers >= 5); // each time one had to fire
    ws_listener_stop(g.listener);
    start(&g, 0);
    asked = g.asked;
    GATE_UNTIL(&g, g.asked > asked);
    g.room = WS_ROOM_FOR_MANY;
    GATE_UNTIL(&g, g.accepted == CROWD);
    hang_up_crowd(fds);
    close_gate(&g);
}

static void
the_callback_may_stop_the_listener(void)
{
    gate g = open_gate(listen_on("127.0.0.1", 0));
    int fds[CROWD];

    g.stop_after = 10;
    dial_crowd(&g, fds);
    start(&g, 0);
    GATE_UNTIL(&g, g.accepted == 10);
    for (int i = 0; i < 5; i++) {
        (void)turn(&g);
    }
    CHECK_EQ(g.accepted, 10);
    g.stop_after = 0;
    start(&g, 0); // and go on later
    GATE_UNTIL(&g, g.accepted == CROWD);
    hang_up_crowd(fds);
    close_gate(&g);
}

static unsigned lines;

static void
count_lines(ws_log_level level, const char *line)
{
    CHECK_EQ(level, WS_LOG_WARNING);
    CHECK(strstr(line, "accept") != NULL);
    lines++;
}

/* Sets the soft limit so that no descriptor is free; returns the old one. */
static struct rlimit
use_up_descriptors(void)
{
    struct rlimit old;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit low = {
        .rlim_cur = (rlim_t)lowest_free_fd(),
        .rlim_max = old.rlim_max,
    };
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
    return old;
}

static void
without_descriptors_it_waits_and_does_not_spin(void)
{
    gate g = open_gate(listen_on("127.0.0.1", 0));
    int fd = dial(g.listener);
    int events = 0;

    (void)turn(&g);
    lines = 0;
    ws_log_set_sink(count_lines);
    struct rlimit old = use_up_descriptors();
    start(&g, 0);
    uint64_t end = ws_now_ns() + 450 * WS_NS_PER_MS;
    while (ws_now_ns() < end) {
        events += turn(&g);
    }
    CHECK_EQ(g.accepted, 0);
    CHECK(events >= 2 && events <= 6); // one each 100 ms
    CHECK_EQ(lines, 1);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    GATE_UNTIL(&g, g.accepted == 1);
    ws_log_set_sink(NULL);
    CHECK_EQ(close(fd), 0);
    close_gate(&g);
}

static void
stopping_in_a_pause_forgets_the_timer(void)
{
    gate g = open_gate(listen_on("127.0.0.1", 0));
    int fd = dial(g.listener);

    lines = 0;
    ws_log_set_sink(count_lines);
    struct rlimit old = use_up_descriptors();
    start(&g, 0);
    GATE_UNTIL(&g, lines == 1);
    CHECK(ws_timer_wheel_next(g.wheel, ws_now_ns()) >= 0);
    ws_listener_stop(g.listener);
    CHECK_EQ(ws_timer_wheel_next(g.wheel, ws_now_ns()), -1);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    ws_log_set_sink(NULL);
    CHECK_EQ(close(fd), 0);
    close_gate(&g);
}

/* ---- running out of memory */

static void
without_memory_nothing_is_left_behind(void)
{
    int before = lowest_free_fd();
    ws_listener_error error;
    struct stat file;

    make_folder();
    ws_alloc_fail_at(0);
    CHECK(ws_listener_new_tcp("127.0.0.1", 0, 8, &error) == NULL);
    CHECK_EQ(error.err, ENOMEM);
    for (long n = 0; n < 2; n++) {
        ws_alloc_fail_at(n);
        CHECK(ws_listener_new_unix(path, 0600, 8, &error) == NULL);
        CHECK_EQ(error.err, ENOMEM);
        CHECK_EQ(lstat(path, &file), -1);
    }
    ws_alloc_fail_at(-1);
    CHECK_EQ(lowest_free_fd(), before);
    CHECK_EQ(ws_alloc_live(), 0);
    ws_listener_free(NULL);
    remove_folder();
}

static const ws_test tests[] = {
    TEST(an_ipv4_listener_is_bound_there_and_tunes_what_it_accepts),
    TEST(an_ipv6_listener_takes_ipv6_only),
    TEST(a_unix_listener_serves_and_takes_its_file_away),
    TEST(a_file_that_is_anothers_by_now_stays),
    TEST(a_callers_socket_is_duplicated),
    TEST(a_turn_accepts_a_batch_and_no_more),
    TEST(with_room_for_one_a_turn_accepts_one),
    TEST(without_room_the_listener_waits),
    TEST(the_callback_may_stop_the_listener),
    TEST(without_descriptors_it_waits_and_does_not_spin),
    TEST(stopping_in_a_pause_forgets_the_timer),
    TEST(without_memory_nothing_is_left_behind),
};

TEST_MAIN(tests)

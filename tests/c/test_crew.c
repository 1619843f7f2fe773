/* Several pumps that serve one hub. */
#include "net/crew.h"

#include <dirent.h>
#include <sys/wait.h>

#include "core/flush.h"
#include "wire.h"

#define MS WS_NS_PER_MS

enum { PUMPS = 3 };

static const ws_target ALL = {.kind = WS_TO_ALL};

static wire_setup
defaults(void)
{
    wire_setup setup = wire_defaults();
    setup.config.pumps = PUMPS;
    return setup;
}

static wire
open_crew(void)
{
    wire_setup setup = defaults();
    return wire_open(&setup);
}

/* The i-th client, with its number as its id. */
static peer
open_nth(const wire *w, size_t i)
{
    char target[32];
    (void)snprintf(target, sizeof target, "/?id=%zu", i);
    return peer_open(w, target);
}

static ws_client *
client_nth(const wire *w, size_t i)
{
    char id[16];
    (void)snprintf(id, sizeof id, "%zu", i);
    return wire_client(w, id);
}

/* Sends a number to all; those who were excluded, there are none. */
static ws_report
cast(const wire *w, uint64_t number)
{
    ws_report report = {0};
    ws_msg *msg =
        ws_message_new(WS_MESSAGE_BINARY, &number, sizeof number, NULL);
    CHECK(msg != NULL);
    ws_fan_out(w->hub, ALL, msg, &(ws_exclude){NULL, 0}, &report);
    ws_msg_unref(msg);
    CHECK_EQ(report.tried, report.queued + report.full_count + report.closed +
                               report.failed);
    return report;
}

static void
expect_number(peer *p, uint64_t number)
{
    peer_expect(p, PEER_BINARY, &number, sizeof number);
}

static void
leave_all(peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        peer_leave(&peers[i]);
    }
}

/* ---- the spread */

static void
connections_are_spread_evenly(void)
{
    enum { EACH = 8, ALL_OF_THEM = PUMPS * EACH };
    peer peers[ALL_OF_THEM];
    wire w = open_crew();
    for (size_t i = 0; i < ALL_OF_THEM; i++) {
        peers[i] = open_nth(&w, i);
        CHECK(ws_hub_connections(w.hub, i % PUMPS) == i / PUMPS + 1);
    }
    for (size_t i = 0; i < ALL_OF_THEM; i++) {
        ws_client *client = client_nth(&w, i);
        CHECK_EQ(client->pump, i % PUMPS);
        ws_client_unref(client);
    }
    CHECK_EQ(ws_hub_connections(w.hub, PUMPS), 0);
    leave_all(peers, ALL_OF_THEM);
    for (size_t i = 0; i < PUMPS; i++) {
        WITHIN(ws_hub_connections(w.hub, i) == 0, 10);
    }
    (void)wire_close(&w);
}

/* Who leaves makes room on his pump, and there the next ones go. */
static void
the_pump_with_the_fewest_gets_the_next(void)
{
    enum { COUNT = 12 };
    peer peers[COUNT];
    wire w = open_crew();
    for (size_t i = 0; i < COUNT; i++) {
        peers[i] = open_nth(&w, i);
    }
    for (size_t i = 1; i < COUNT; i += PUMPS) {
        peer_leave(&peers[i]);
    }
    WITHIN(ws_hub_connections(w.hub, 1) == 0, 10);
    for (size_t i = 1; i < COUNT; i += PUMPS) {
        peers[i] = open_nth(&w, i);
        ws_client *client = client_nth(&w, i);
        CHECK_EQ(client->pump, 1);
        ws_client_unref(client);
    }
    leave_all(peers, COUNT);
    (void)wire_close(&w);
}

static void
each_pump_has_a_thread_and_a_name(void)
{
    bool found[PUMPS] = {false};
    char path[300];
    char name[32];
    wire w = open_crew();
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (struct dirent *one; (one = readdir(dir)) != NULL;) {
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm",
                       one->d_name);
        FILE *comm = fopen(path, "r");
        if (comm != NULL && fgets(name, sizeof name, comm) != NULL) {
            found[0] |= strcmp(name, "wssend-pump\n") == 0;
            found[1] |= strcmp(name, "wssend-pump-1\n") == 0;
            found[2] |= strcmp(name, "wssend-pump-2\n") == 0;
        }
        CHECK(comm == NULL || fclose(comm) == 0);
    }
    CHECK_EQ(closedir(dir), 0);
    CHECK(found[0] && found[1] && found[2]);
    (void)wire_close(&w);
}

static void
there_may_be_as_many_as_the_limit(void)
{
    wire_setup setup = wire_defaults();
    setup.config.pumps = WS_PUMPS_MAX;
    int before = check_open_descriptors();
    wire w = wire_open(&setup);
    peer peers[WS_PUMPS_MAX];
    for (size_t i = 0; i < WS_PUMPS_MAX; i++) {
        peers[i] = open_nth(&w, i);
    }
    CHECK_EQ(ws_hub_connections(w.hub, WS_PUMPS_MAX - 1), 1);
    ws_report report = cast(&w, 1);
    CHECK_EQ(report.queued, WS_PUMPS_MAX);
    for (size_t i = 0; i < WS_PUMPS_MAX; i++) {
        expect_number(&peers[i], 1);
    }
    leave_all(peers, WS_PUMPS_MAX);
    (void)wire_close(&w);
    CHECK_EQ(check_open_descriptors(), before);
}

/* ---- sending */

/* Clients that come and go while another thread casts. */
typedef struct passers {
    const wire *w;
    atomic_bool enough;
    size_t count;
} passers;

static void *
come_and_go(void *arg)
{
    passers *all = arg;
    while (!atomic_load(&all->enough)) {
        peer p = peer_open(all->w, "/");
        if (all->count++ % 2 == 0) {
            peer_reset(&p);
        } else {
            peer_close(&p);
        }
    }
    return NULL;
}

static void
reports_and_orders_are_exact_while_clients_come_and_go(void)
{
    enum { STEADY = 2 * PUMPS, CASTS = 1500 };
    peer steady[STEADY];
    wire w = open_crew();
    passers all = {.w = &w};
    pthread_t thread;
    uint64_t queued = 0;
    for (size_t i = 0; i < STEADY; i++) {
        steady[i] = open_nth(&w, i);
    }
    CHECK_EQ(pthread_create(&thread, NULL, come_and_go, &all), 0);
    for (uint64_t n = 0; n < CASTS; n++) {
        ws_report report = cast(&w, n);
        CHECK(report.queued >= STEADY);
        CHECK_EQ(report.full_count + report.failed, 0);
        queued += report.queued;
        for (size_t i = 0; n % 100 == 99 && i < STEADY; i++) {
            for (uint64_t k = n - 99; k <= n; k++) {
                expect_number(&steady[i], k);
            }
        }
    }
    atomic_store(&all.enough, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(all.count > 0);
    leave_all(steady, STEADY);
    WITHIN(ws_hub_present(w.hub) == 0, 10);
    ws_hub_stats stats = wire_check_law(&w);
    CHECK_EQ(stats.counts.accepted, queued);
    CHECK_EQ(stats.joined, STEADY + all.count);
    (void)wire_close(&w);
}

static void
what_the_pumps_count_is_added_up(void)
{
    enum { COUNT = 2 * PUMPS };
    peer peers[COUNT];
    wire w = open_crew();
    for (size_t i = 0; i < COUNT; i++) {
        peers[i] = open_nth(&w, i);
        peer_text(&peers[i], "hello");
    }
    WITHIN(WIRE_COUNTED(&w, received) == COUNT, 10);
    CHECK_EQ(WIRE_COUNTED(&w, received_bytes), COUNT * strlen("hello"));
    CHECK_EQ(WIRE_COUNTED(&w, accepted_connections), COUNT);
    CHECK_EQ(WIRE_COUNTED(&w, connections), COUNT);
    CHECK_EQ(ws_counted(&ws_hub_counters(w.hub)->received), COUNT / PUMPS);
    leave_all(peers, COUNT);
    (void)wire_close(&w);
}

static void
a_flush_waits_for_the_clients_of_all_pumps(void)
{
    static const uint8_t big[8 << 20];
    wire w = open_crew();
    peer peers[PUMPS];
    ws_flush *flush = NULL;
    for (size_t i = 0; i < PUMPS; i++) {
        peers[i] = open_nth(&w, i);
    }
    ws_client *last = client_nth(&w, PUMPS - 1);
    CHECK_EQ(wire_send(last, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    CHECK_EQ(cast(&w, 7).queued, PUMPS);
    CHECK_EQ(ws_flush_hub(w.hub, &flush), WS_OK);
    CHECK_EQ(ws_flush_wait(flush, ws_now_ns() + 50 * MS), WS_ERR_TIMEOUT);
    peer_expect(&peers[PUMPS - 1], PEER_BINARY, big, sizeof big);
    CHECK_EQ(ws_flush_wait(flush, wire_deadline()), WS_OK);
    ws_flush_free(flush);
    for (size_t i = 0; i < PUMPS; i++) {
        expect_number(&peers[i], 7);
    }
    ws_client_unref(last);
    leave_all(peers, PUMPS);
    (void)wire_close(&w);
}

/* ---- events */

/* Each of them says more than there is room for; all of it is taken, in each
   one's order, so none stays paused, whichever pump has him. */
static void
those_paused_on_each_pump_go_on(void)
{
    enum { COUNT = 2 * PUMPS, SAID = 200 };
    wire_setup setup = defaults();
    setup.events = true;
    setup.limits.inbound.max_messages = 10;
    wire w = wire_open(&setup);
    peer peers[COUNT];
    uint64_t heard[COUNT] = {0};
    for (size_t i = 0; i < COUNT; i++) {
        peers[i] = open_nth(&w, i);
        wire_expect_event(&w, WS_EVENT_CONNECTED);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (uint64_t n = 0; n < SAID; n++) {
            peer_frame_out(&peers[i], PEER_BINARY, &n, sizeof n);
        }
    }
    for (size_t n = 0; n < COUNT * SAID; n++) {
        ws_event event = wire_event(&w, WS_EVENT_MESSAGE);
        size_t i = (size_t)strtoul(event.client->info.id.data, NULL, 10);
        CHECK_EQ(event.size, sizeof heard[i]);
        CHECK_MEM_EQ(ws_inbound_data(event.message), &heard[i], event.size);
        heard[i]++;
        ws_event_release(&event);
    }
    leave_all(peers, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    }
    (void)wire_close(&w);
}

/* ---- limits */

/* Behind a proxy clients are counted by their own pumps. */
static void
an_address_has_no_more_clients_than_its_limit_on_all_pumps(void)
{
    enum { COUNT = 60, MOST = 7 };
    static const char *const proxies[] = {"127.0.0.1"};
    wire_setup setup = defaults();
    setup.config.trusted_proxies = proxies;
    setup.config.trusted_proxy_count = 1;
    setup.config.max_clients_per_ip = MOST;
    wire w = wire_open(&setup);
    peer peers[COUNT];
    size_t in = 0;
    for (int times = 0; times < 5; times++) {
        for (size_t i = 0; i < COUNT; i++) {
            peers[i] = peer_dial(&w);
        }
        for (size_t i = 0; i < COUNT; i++) {
            peer_say(&peers[i],
                     peer_request("/", "X-Forwarded-For: 10.0.0.1\r\n"));
        }
        in = 0;
        for (size_t i = 0; i < COUNT; i++) {
            in += strncmp(peer_head(&peers[i]), "HTTP/1.1 101 ", 13) == 0;
        }
        CHECK_EQ(in, MOST);
        CHECK_EQ(ws_hub_size(w.hub), MOST);
        for (size_t i = 0; i < COUNT; i++) {
            peer_reset(&peers[i]);
        }
        WITHIN(WIRE_COUNTED(&w, connections) == 0, 10);
    }
    CHECK_EQ(ws_hub_get_stats(w.hub).joined, 5 * MOST);
    (void)wire_close(&w);
}

/* ---- the end */

static void
a_close_drains_the_clients_of_all_pumps(void)
{
    enum { COUNT = 2 * PUMPS };
    static const uint8_t big[1 << 20];
    wire w = open_crew();
    peer peers[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        peers[i] = open_nth(&w, i);
        ws_client *client = client_nth(&w, i);
        for (int k = 0; k < 5; k++) {
            CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big),
                     WS_OK);
        }
        ws_client_unref(client);
    }
    ws_crew_close(w.crew, 1001, wire_text("bye"));
    ws_crew_close(w.crew, 1011, wire_text("the first counts"));
    CHECK_EQ(ws_crew_wait(w.crew, ws_now_ns() + 20 * MS), WS_ERR_TIMEOUT);
    for (size_t i = 0; i < COUNT; i++) {
        for (int k = 0; k < 5; k++) {
            peer_expect(&peers[i], PEER_BINARY, big, sizeof big);
        }
        peer_expect_close(&peers[i], 1001, "bye");
        peer_close_frame(&peers[i], 1001, "bye");
        peer_expect_eof(&peers[i]);
        peer_close(&peers[i]);
    }
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.written, COUNT * 5);
    CHECK_EQ(stats.counts.lost, 0);
}

static void *
cast_until_nobody_is_left(void *arg)
{
    const wire *w = arg;
    uint64_t queued = 0;
    ws_report report;
    do {
        report = cast(w, queued);
        queued += report.queued;
        ws_report_release(&report);
    } while (report.tried > 0);
    return (void *)(uintptr_t)queued;
}

static void
a_crew_may_be_killed_while_others_send(void)
{
    enum { COUNT = 2 * PUMPS, SENDERS = 3 };
    wire w = open_crew();
    peer peers[COUNT];
    pthread_t senders[SENDERS];
    uint64_t queued = 0;
    for (size_t i = 0; i < COUNT; i++) {
        peers[i] = open_nth(&w, i);
    }
    for (int i = 0; i < SENDERS; i++) {
        CHECK_EQ(
            pthread_create(&senders[i], NULL, cast_until_nobody_is_left, &w),
            0);
    }
    expect_number(&peers[COUNT - 1], 0);
    ws_crew_kill(w.crew);
    for (int i = 0; i < SENDERS; i++) {
        void *own = NULL;
        CHECK_EQ(pthread_join(senders[i], &own), 0);
        queued += (uintptr_t)own;
    }
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    for (size_t i = 0; i < COUNT; i++) {
        peer_reset(&peers[i]);
    }
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.accepted, queued);
}

static void
a_closed_port_takes_nobody_and_cuts_nobody(void)
{
    wire w = open_crew();
    peer peers[PUMPS];
    for (size_t i = 0; i < PUMPS; i++) {
        peers[i] = open_nth(&w, i);
    }
    ws_port_close(w.port);
    ws_port_close(w.port);
    CHECK_EQ(cast(&w, 3).queued, PUMPS);
    for (size_t i = 0; i < PUMPS; i++) {
        expect_number(&peers[i], 3);
    }
    leave_all(peers, PUMPS);
    (void)wire_close(&w);
}

static void
after_the_end_nothing_can_be_listened_on(void)
{
    wire w = open_crew();
    ws_port *port = NULL;
    ws_crew_kill(w.crew);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    CHECK_EQ(ws_crew_listen_tls(w.crew, wire_listener(false), NULL,
                                wire_identity(), &port),
             WS_ERR_HUB_CLOSED);
    (void)wire_close(&w);
}

/* ---- fork */

/* Sockets, and what waits for something. (A context of lws has a source of
   randomness besides, which holds up nobody.) */
static int
working_descriptors(void)
{
    int count = 0;
    char to[64];
    DIR *dir = opendir("/proc/self/fd");
    CHECK(dir != NULL);
    for (struct dirent *one; (one = readdir(dir)) != NULL;) {
        ssize_t size = readlinkat(dirfd(dir), one->d_name, to, sizeof to - 1);
        to[size < 0 ? 0 : size] = '\0';
        count += strncmp(to, "socket:", 7) == 0 ||
                 strncmp(to, "anon_inode:", 11) == 0;
    }
    CHECK_EQ(closedir(dir), 0);
    return count;
}

static void
a_forked_child_holds_nothing_of_any_pump(void)
{
    int go[2];
    CHECK_EQ(pipe(go), 0);
    int before = working_descriptors();
    wire w = open_crew();
    peer peers[PUMPS];
    for (size_t i = 0; i < PUMPS; i++) {
        peers[i] = open_nth(&w, i);
    }
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char byte;
        ssize_t got = read(go[0], &byte, 1);
        (void)got;
        // The peers' own ends.
        _exit(working_descriptors() != before + PUMPS);
    }
    CHECK_EQ(cast(&w, 5).queued, PUMPS);
    for (size_t i = 0; i < PUMPS; i++) {
        expect_number(&peers[i], 5);
        ws_client *client = client_nth(&w, i);
        CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
        peer_expect_close(&peers[i], 1000, "");
        peer_close_frame(&peers[i], 1000, "");
        peer_expect_eof(&peers[i]); // although the child lives
        peer_shut(&peers[i]);
        peer_close(&peers[i]);
        wire_expect_ended(client, 1000, true);
    }
    int status;
    CHECK_EQ(write(go[1], "x", 1), 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(close(go[0]), 0);
    CHECK_EQ(close(go[1]), 0);
    (void)wire_close(&w);
}

/* ---- what there is not */

#define WRAP(type, name, parameters) \
    type __real_##name parameters;   \
    type __wrap_##name parameters;   \
    type __wrap_##name parameters

/* A hub whose crew could not be started has nothing of it, and can have
   another. */
static void
no_memory_for_a_pump_leaves_nothing_of_the_others(void)
{
    wire_setup setup = defaults();
    setup.config.compression = true;
    ws_err err = WS_ERR_NOMEM;
    for (long n = 0; err != WS_OK; n++) {
        int before = check_open_descriptors();
        ws_hub *hub = NULL;
        ws_crew *crew = NULL;
        CHECK_EQ(ws_hub_new(&setup.limits, &hub), WS_OK);
        ws_pages *pages = ws_pages_new();
        ws_alloc_fail_at(n);
        err = ws_crew_new(hub, pages, &setup.config, &crew);
        ws_alloc_fail_at(-1);
        CHECK(err == WS_OK || err == WS_ERR_NOMEM);
        if (err != WS_OK) {
            CHECK_EQ(ws_crew_new(hub, pages, &setup.config, &crew), WS_OK);
        }
        ws_crew_free(crew);
        ws_pages_unref(pages);
        ws_hub_unref(hub);
        CHECK_EQ(ws_alloc_live(), 0);
        CHECK_EQ(check_open_descriptors(), before);
    }
}

static atomic_int threads_left = -1; // none fails

WRAP(int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *),
      void *arg))
{
    return atomic_fetch_sub(&threads_left, 1) == 0
               ? EAGAIN
               : __real_pthread_create(thread, attr, run, arg);
}

static void
each_thread_may_be_the_one_that_cannot_start(void)
{
    for (int n = 0; n < PUMPS; n++) {
        wire_setup setup = defaults();
        wire w = {0};
        CHECK_EQ(ws_hub_new(&setup.limits, &w.hub), WS_OK);
        w.pages = ws_pages_new();
        int before = check_open_descriptors();
        atomic_store(&threads_left, n);
        CHECK_EQ(ws_crew_new(w.hub, w.pages, &setup.config, &w.crew),
                 WS_ERR_SYSTEM);
        CHECK_EQ(errno, EAGAIN);
        CHECK_EQ(check_open_descriptors(), before);

        // Now they can, and the hub is as good as new.
        CHECK_EQ(ws_crew_new(w.hub, w.pages, &setup.config, &w.crew), WS_OK);
        CHECK_EQ(ws_crew_listen_tls(w.crew, wire_listener(false), NULL,
                                    wire_identity(), &w.port),
                 WS_OK);
        peer peers[PUMPS];
        for (size_t i = 0; i < PUMPS; i++) {
            peers[i] = open_nth(&w, i);
        }
        CHECK_EQ(cast(&w, 9).queued, PUMPS);
        for (size_t i = 0; i < PUMPS; i++) {
            expect_number(&peers[i], 9);
        }
        leave_all(peers, PUMPS);
        (void)wire_close(&w);
    }
}

static atomic_int polls_left = -1; // none fails

WRAP(int, epoll_create1, (int flags))
{
    if (atomic_fetch_sub(&polls_left, 1) == 0) {
        errno = EMFILE;
        return -1;
    }
    return __real_epoll_create1(flags);
}

static void
a_pump_without_a_descriptor_leaves_nothing_of_the_others(void)
{
    wire_setup setup = defaults();
    for (int n = 0; n < PUMPS; n++) {
        ws_hub *hub = NULL;
        ws_crew *crew = NULL;
        CHECK_EQ(ws_hub_new(&setup.limits, &hub), WS_OK);
        ws_pages *pages = ws_pages_new();
        int before = check_open_descriptors();
        long live = ws_alloc_live();
        atomic_store(&polls_left, n);
        CHECK_EQ(ws_crew_new(hub, pages, &setup.config, &crew), WS_ERR_SYSTEM);
        CHECK_EQ(errno, EMFILE);
        CHECK_EQ(check_open_descriptors(), before);
        CHECK_EQ(ws_alloc_live(), live);
        CHECK_EQ(ws_crew_new(hub, pages, &setup.config, &crew), WS_OK);
        ws_crew_free(crew);
        ws_pages_unref(pages);
        ws_hub_unref(hub);
        CHECK_EQ(ws_alloc_live(), 0);
    }
}

/* ---- all of it at once */

typedef struct crowd {
    const wire *w;
    SSL_CTX *tls; /* NULL: none is spoken */
    struct sockaddr_in at;
    atomic_bool enough;
} crowd;

/* A client that takes whatever comes: the end may come at any moment. */
static void
visit(const crowd *c)
{
    const char *request = "GET / HTTP/1.1\r\nHost: localhost\r\n"
                          "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: " PEER_KEY "\r\n\r\n";
    int size = (int)strlen(request);
    char answer[512];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&c->at, sizeof c->at) != 0) {
        CHECK_EQ(close(fd), 0);
        return;
    }
    if (c->tls == NULL) {
        (void)!send(fd, request, (size_t)size, MSG_NOSIGNAL);
        (void)!recv(fd, answer, sizeof answer, 0);
    } else {
        SSL *ssl = SSL_new(c->tls);
        CHECK(ssl != NULL && SSL_set_fd(ssl, fd) == 1);
        if (SSL_connect(ssl) == 1 && SSL_write(ssl, request, size) > 0) {
            (void)!SSL_read(ssl, answer, sizeof answer);
        }
        ERR_clear_error();
        SSL_free(ssl);
    }
    CHECK_EQ(close(fd), 0);
}

static void *
keep_visiting(void *arg)
{
    const crowd *c = arg;
    while (!atomic_load(&c->enough)) {
        visit(c);
    }
    return NULL;
}

static void *
keep_opening_and_closing_ports(void *arg)
{
    const crowd *c = arg;
    while (!atomic_load(&c->enough)) {
        ws_port *port = NULL;
        ws_err err = ws_crew_listen_tls(c->w->crew, wire_listener(false), NULL,
                                        wire_identity(), &port);
        CHECK(err == WS_OK || err == WS_ERR_HUB_CLOSED);
        if (err == WS_OK) {
            ws_port_close(port);
            ws_port_unref(port);
        }
    }
    return NULL;
}

static void *
keep_changing_identities(void *arg)
{
    const crowd *c = arg;
    while (c->tls != NULL && !atomic_load(&c->enough)) {
        ws_err err = ws_port_set_identity(c->w->port, wire_identity());
        CHECK(err == WS_OK || err == WS_ERR_HUB_CLOSED ||
              err == WS_ERR_NOT_FOUND);
    }
    return NULL;
}

static void *
keep_casting_and_counting(void *arg)
{
    const crowd *c = arg;
    while (!atomic_load(&c->enough)) {
        ws_report report = cast(c->w, 1);
        ws_report_release(&report);
        (void)wire_check_law(c->w);
        for (size_t i = 0; i <= PUMPS; i++) {
            (void)ws_hub_connections(c->w->hub, i);
        }
    }
    return NULL;
}

static void
end_in_one_of_many_ways(const wire *w, int way)
{
    if (way % 4 == 0) {
        ws_port_close(w->port);
    }
    if (way % 2 == 0) {
        ws_crew_close(w->crew, 1001, wire_text("bye"));
    }
    if (way % 3 != 0 || way % 2 != 0) {
        ws_crew_kill(w->crew);
    }
}

static void
a_crew_may_end_while_everything_else_is_done(void)
{
    static void *(*const jobs[])(void *) = {
        keep_visiting,
        keep_visiting,
        keep_visiting,
        keep_opening_and_closing_ports,
        keep_changing_identities,
        keep_casting_and_counting,
    };
    enum { JOBS = WIRE_COUNT_OF(jobs) };
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR); // OpenSSL raises it
    int before = check_open_descriptors();
    for (int way = 0; way < 12; way++) {
        pthread_t threads[JOBS];
        wire w = open_crew();
        crowd c = {.w = &w,
                   .at = {.sin_family = AF_INET,
                          .sin_port = htons(ws_port_addr(w.port)->port),
                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
        c.tls = wire_tls() == 0 ? NULL : SSL_CTX_new(TLS_client_method());
        for (size_t i = 0; i < JOBS; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, jobs[i], &c), 0);
        }
        WITHIN(WIRE_COUNTED(&w, accepted_connections) >= 20 &&
                   ws_hub_get_stats(w.hub).joined > 5,
               10);
        end_in_one_of_many_ways(&w, way);
        CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
        CHECK_EQ(WIRE_COUNTED(&w, connections), 0);
        atomic_store(&c.enough, true);
        for (size_t i = 0; i < JOBS; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        SSL_CTX_free(c.tls);
        (void)wire_close(&w);
    }
    CHECK_EQ(check_open_descriptors(), before);
}

static const ws_test tests[] = {
    TEST(connections_are_spread_evenly),
    TEST(the_pump_with_the_fewest_gets_the_next),
    TEST(each_pump_has_a_thread_and_a_name),
    TEST(there_may_be_as_many_as_the_limit),
    TEST(reports_and_orders_are_exact_while_clients_come_and_go),
    TEST(what_the_pumps_count_is_added_up),
    TEST(a_flush_waits_for_the_clients_of_all_pumps),
    TEST(those_paused_on_each_pump_go_on),
    TEST(an_address_has_no_more_clients_than_its_limit_on_all_pumps),
    TEST(a_close_drains_the_clients_of_all_pumps),
    TEST(a_crew_may_be_killed_while_others_send),
    TEST(a_crew_may_end_while_everything_else_is_done),
    TEST(a_closed_port_takes_nobody_and_cuts_nobody),
    TEST(after_the_end_nothing_can_be_listened_on),
    TEST(a_forked_child_holds_nothing_of_any_pump),
    TEST(no_memory_for_a_pump_leaves_nothing_of_the_others),
    TEST(each_thread_may_be_the_one_that_cannot_start),
    TEST(a_pump_without_a_descriptor_leaves_nothing_of_the_others),
};

TEST_MAIN(tests)

#include "wire.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "net/log.h"

#define MS WS_NS_PER_MS

/* ---- the thread */

/* Reads a mask of this process's pump thread out of /proc. */
static uint64_t
pump_mask(const char *field)
{
    char path[300];
    char line[256];
    uint64_t mask = 0;
    bool found = false;
    DIR *dir = opendir("/proc/self/task");
    CHECK(dir != NULL);
    for (struct dirent *one; (one = readdir(dir)) != NULL;) {
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/status",
                       one->d_name);
        FILE *status = fopen(path, "r");
        bool is_pump = false;
        while (status != NULL && fgets(line, sizeof line, status) != NULL) {
            is_pump |= strcmp(line, "Name:\twssend-pump\n") == 0;
            if (is_pump && strncmp(line, field, strlen(field)) == 0) {
                mask = strtoull(line + strlen(field), NULL, 16);
                found = true;
            }
        }
        if (status != NULL) {
            CHECK_EQ(fclose(status), 0);
        }
    }
    CHECK_EQ(closedir(dir), 0);
    CHECK(found);
    return mask;
}

static bool
has_signal(uint64_t mask, int signal)
{
    return (mask >> (signal - 1) & 1) != 0;
}

/* What the process is told goes to its own threads; what the pump does wrong
   itself must still be reported by whoever handles crashes. */
static void
the_pump_takes_no_signals_but_those_it_causes_itself(void)
{
    static const int blocked[] = {SIGINT,  SIGTERM, SIGPIPE, SIGHUP,
                                  SIGALRM, SIGCHLD, SIGUSR1, SIGPROF};
    static const int open[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                               SIGABRT, SIGTRAP, SIGSYS};
    sigset_t before;
    sigset_t after;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    wire w = wire_open_default();
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    WITHIN(access("/proc/self/task", R_OK) == 0, 1);
    peer p = peer_open(&w, "/"); // it runs, and has its name
    uint64_t mask = pump_mask("SigBlk:");
    for (size_t i = 0; i < WIRE_COUNT_OF(blocked); i++) {
        CHECK(has_signal(mask, blocked[i]));
        CHECK_EQ(sigismember(&after, blocked[i]),
                 sigismember(&before, blocked[i]));
    }
    for (size_t i = 0; i < WIRE_COUNT_OF(open); i++) {
        CHECK(!has_signal(mask, open[i]));
    }
    peer_leave(&p);
    (void)wire_close(&w);
}

static atomic_int alarms;

static void
count_alarm(int signal)
{
    (void)signal;
    (void)atomic_fetch_add(&alarms, 1);
}

static void
signals_of_the_process_do_not_disturb(void)
{
    wire w = wire_open_default();
    struct sigaction count = {.sa_handler = count_alarm};
    CHECK_EQ(sigaction(SIGALRM, &count, NULL), 0);
    peer p = peer_open(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(kill(getpid(), SIGALRM), 0);
        CHECK_EQ(wire_send_text(client, "x"), WS_OK);
        peer_expect_text(&p, "x");
    }
    CHECK(atomic_load(&alarms) > 0);
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
an_idle_pump_sleeps(void)
{
    wire w = wire_open_default();
    peer p = peer_open(&w, "/");
    (void)usleep(50 * 1000);
    uint64_t turns = WIRE_COUNTED(&w, turns);
    (void)usleep(200 * 1000);
    CHECK(WIRE_COUNTED(&w, turns) - turns <= 3);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
two_hubs_in_a_process_are_strangers(void)
{
    wire one = wire_open_default();
    wire two = wire_open_default();
    peer p = peer_open(&one, "/?id=a");
    peer q = peer_open(&two, "/?id=a");
    ws_client *client = wire_client(&two, "a");
    CHECK_EQ(wire_send_text(client, "two"), WS_OK);
    peer_expect_text(&q, "two");
    CHECK(!peer_hears(&p, 20));
    ws_client_unref(client);
    ws_crew_free(one.crew);
    one.crew = NULL;
    peer_expect_end(&p);
    peer_close(&p);
    peer_leave(&q);
    ws_crew_free(two.crew);
    two.crew = NULL;
    ws_hub_drop_events(two.hub);
    ws_port_unref(two.port);
    ws_pages_unref(two.pages);
    ws_hub_unref(two.hub);
    (void)wire_close(&one);
}

static void
networks_are_checked_before_they_are_used(void)
{
    CHECK(ws_pump_network_error("10.0.0.0/8") == NULL);
    CHECK(ws_pump_network_error("localhost") != NULL);
}

/* ---- descriptors */

static void
descriptors_are_given_back(void)
{
    enum { TIMES = 1000, AT_ONCE = 50 };
    static peer peers[AT_ONCE];
    int before = check_open_descriptors();
    wire w = wire_open_default();
    int open = check_open_descriptors();
    for (int i = 0; i < TIMES; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++) {
            peers[k] = peer_dial(&w);
            peer_say(&peers[k], peer_request("/", ""));
        }
        for (int k = 0; k < AT_ONCE; k++) {
            (void)peer_expect_switch(&peers[k]);
            if (k % 3 == 0) {
                peer_leave(&peers[k]);
            } else if (k % 3 == 1) {
                peer_reset(&peers[k]);
            } else {
                peer_close(&peers[k]);
            }
        }
    }
    WITHIN(ws_hub_present(w.hub) == 0, 10);
    WITHIN(check_open_descriptors() == open, 10);
    CHECK_EQ(ws_hub_get_stats(w.hub).joined, TIMES);
    (void)wire_close(&w);
    CHECK_EQ(check_open_descriptors(), before);
}

static atomic_int log_lines;

static void
count_line(ws_log_level level, const char *line)
{
    (void)level;
    (void)line;
    atomic_fetch_add(&log_lines, 1);
}

/* Out of descriptors, those who are there go on, and the pump does not spin or
   say so again and again; once there are some, those who waited come in. */
static void
without_descriptors_the_waiting_come_in_later(void)
{
    enum { HOARD = 64 };
    static int hoard[HOARD];
    struct rlimit old;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit few = {.rlim_cur = 64, .rlim_max = old.rlim_max};
    wire w = wire_open_default();
    peer p = peer_open(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    ws_log_set_sink(count_line);
    int count = 0;
    while ((hoard[count] = dup(STDERR_FILENO)) >= 0) {
        count++;
        CHECK(count < HOARD);
    }
    CHECK_EQ(close(hoard[--count]), 0);
    peer late = peer_dial(&w); // takes the last one
    peer_say(&late, peer_request("/", ""));
    (void)usleep(50 * 1000);
    uint64_t turns = WIRE_COUNTED(&w, turns);
    CHECK(!peer_hears(&late, 250));
    CHECK(WIRE_COUNTED(&w, turns) - turns < 20);
    CHECK_EQ(wire_send_text(client, "still here"), WS_OK);
    peer_expect_text(&p, "still here");
    while (count > 0) {
        CHECK_EQ(close(hoard[--count]), 0);
    }
    (void)peer_expect_switch(&late);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    ws_log_set_sink(NULL);
    CHECK_EQ(atomic_load(&log_lines), 1);
    ws_client_unref(client);
    peer_leave(&late);
    peer_leave(&p);
    (void)wire_close(&w);
}

/* ---- fork */

/* A child that lives on, until a byte comes. */
static pid_t
fork_idler(int go)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        char byte;
        ssize_t got = read(go, &byte, 1);
        (void)got;
        _exit(check_open_descriptors() > 20); // its own few
    }
    return pid;
}

static void
a_forked_child_holds_no_connection_open(void)
{
    int go[2];
    CHECK_EQ(pipe(go), 0);
    wire w = wire_open_default();
    peer p = peer_open(&w, "/?id=a");
    peer q = peer_open(&w, "/?id=b");
    ws_client *client = wire_client(&w, "a");
    pid_t pid = fork_idler(go[0]);

    // The parent goes on as if nothing had happened.
    CHECK_EQ(wire_send_text(client, "after"), WS_OK);
    peer_expect_text(&p, "after");
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    peer_expect_close(&p, 1000, "");
    peer_close_frame(&p, 1000, "");
    peer_expect_eof(&p); // the FIN comes although the child lives
    peer_shut(&p);       // the child has a copy of this side
    peer_close(&p);
    wire_expect_ended(client, 1000, true);
    ws_crew_kill(w.crew);
    CHECK_EQ(ws_crew_wait(w.crew, wire_deadline()), WS_OK);
    peer_expect_end(&q);
    peer_close(&q);
    uint16_t port = ws_port_addr(w.port)->port;
    ws_listener_error error;
    ws_listener *again = ws_listener_new_tcp("127.0.0.1", port, 1, &error);
    CHECK(again != NULL); // nor does the child hold the port
    ws_listener_free(again);

    int status;
    CHECK_EQ(write(go[1], "x", 1), 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(close(go[0]), 0);
    CHECK_EQ(close(go[1]), 0);
    (void)wire_close(&w);
}

static void *
fork_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        wire_fork(0);
    }
    return NULL;
}

static void
forks_in_the_middle_of_everything_do_no_harm(void)
{
    wire w = wire_open_default();
    peer p = peer_open(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, fork_often, NULL), 0);
    for (int i = 0; i < 500; i++) {
        CHECK_EQ(wire_send_text(client, "x"), WS_OK);
        peer_expect_text(&p, "x");
        if (i % 50 == 0) {
            peer q = peer_open(&w, "/");
            peer_leave(&q);
        }
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

/* ---- no memory */

static void
no_memory_for_a_pump_leaves_nothing_behind(void)
{
    wire_setup setup = wire_defaults();
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
        ws_crew_free(err == WS_OK ? crew : NULL);
        ws_pages_unref(pages);
        ws_hub_unref(hub);
        CHECK_EQ(ws_alloc_live(), 0);
        CHECK_EQ(check_open_descriptors(), before);
    }
}

/* Speaks with a server that may break off at any moment. */
static void
try_session(const wire *w, const char *target)
{
    static const char big[20000];
    uint8_t all[8192];
    peer p = peer_dial(w);
    const char *request = peer_request(target, "");
    size_t size = strlen(request);
    memcpy(all, request, size);
    size += peer_make(all + size, PEER_TEXT, "hello", 5);
    size += peer_make(all + size, WS_OPCODE_BINARY, "more", 4);
    size += peer_make(all + size, PEER_PING, "ping", 4);
    size += peer_make(all + size, WS_FRAME_FIN, "more", 4);
    (void)peer_try_send(&p, all, size / 2);
    ws_msg *msg = ws_message_new(WS_MESSAGE_BINARY, big, sizeof big, NULL);
    ws_report report = {0};
    (void)usleep(200);
    (void)peer_try_send(&p, all + size / 2, size - size / 2);
    if (msg != NULL) {
        ws_fan_out(w->hub, (ws_target){.kind = WS_TO_ALL}, msg,
                   &(ws_exclude){NULL, 0}, &report);
        ws_report_release(&report);
        ws_msg_unref(msg);
    }
    size = peer_make(all, PEER_CLOSE, "\x03\xe8 bye", 6);
    (void)peer_try_send(&p, all, size);
    peer_expect_end(&p);
    peer_close(&p);
}

static void
take_all(const wire *w)
{
    ws_event event;
    while (ws_hub_take_event(w->hub, &event)) {
        ws_event_release(&event);
    }
}

/* A stage at which one allocation fails: the pump lives, nothing is lost. */
static void
try_with_failure(const wire *w, long n)
{
    ws_alloc_fail_at(n);
    try_session(w, "/?id=a");
    take_all(w);
    ws_alloc_fail_at(-1);
    WITHIN((take_all(w), ws_hub_present(w->hub) == 0), 10);
    (void)wire_check_law(w);
}

static void
each_allocation_may_fail_and_the_pump_lives_on(void)
{
    enum { ALLOCATIONS = 40 };
    wire_setup setup = wire_defaults();
    setup.events = true;
    setup.config.max_clients_per_ip = 5;
    wire w = wire_open(&setup);
    for (long n = 0; n < ALLOCATIONS; n++) {
        try_with_failure(&w, n);
    }
    peer p = peer_open(&w, "/?id=a");
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    peer_text(&p, "well?");
    wire_expect_message(&w, "well?", 5, true);
    peer_leave(&p);
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(the_pump_takes_no_signals_but_those_it_causes_itself),
    TEST(signals_of_the_process_do_not_disturb),
    TEST(an_idle_pump_sleeps),
    TEST(two_hubs_in_a_process_are_strangers),
    TEST(networks_are_checked_before_they_are_used),
    TEST(descriptors_are_given_back),
    TEST(without_descriptors_the_waiting_come_in_later),
    TEST(a_forked_child_holds_no_connection_open),
    TEST(forks_in_the_middle_of_everything_do_no_harm),
    TEST(no_memory_for_a_pump_leaves_nothing_behind),
    TEST(each_allocation_may_fail_and_the_pump_lives_on),
};

TEST_MAIN(tests)

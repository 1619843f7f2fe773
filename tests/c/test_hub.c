#include "core/hub.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "core_kit.h"

static const ws_target ALL = {.kind = WS_TO_ALL};
static const ws_target PRESENT = {.kind = WS_TO_PRESENT};

static ws_target
user(const char *name)
{
    return (ws_target){WS_TO_USER, kit_text(name)};
}

static ws_target
topic(const char *name)
{
    return (ws_target){WS_TO_TOPIC, kit_text(name)};
}

static size_t
count(ws_hub *hub, ws_target target)
{
    ws_client **all = NULL;
    size_t n = 0;
    CHECK_EQ(ws_hub_list(hub, target, &all, &n), WS_OK);
    for (size_t i = 0; i < n; i++) {
        ws_client_unref(all[i]);
    }
    ws_free(all);
    return n;
}

static bool
knows(ws_hub *hub, const char *id)
{
    ws_client *client = ws_hub_get(hub, kit_text(id));
    ws_client_unref(client);
    return client != NULL;
}

static void
close_it(ws_client *client)
{
    CHECK_EQ(ws_hub_close_client(client, 1000, kit_text("")), WS_OK);
}

static void
end_it(ws_client *client)
{
    ws_hub_end_client(client, 1006, kit_text(""), false);
    ws_client_unref(client);
}

static void
a_client_is_found_by_its_id_while_it_is_open(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    CHECK(ws_hub_get(hub, kit_text("a")) == NULL);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    ws_client *found = ws_hub_get(hub, kit_text("a"));
    CHECK(found == client);
    ws_client_unref(found);
    CHECK(!knows(hub, "b"));
    close_it(client);
    CHECK(!knows(hub, "a"));
    end_it(client);
    CHECK(!knows(hub, "a"));
    kit_hub_free(hub);
}

/* What stands in the way of one more, and which of two reasons is told. */
static void
a_join_is_refused_and_nothing_has_changed(void)
{
    static const struct {
        const char *what;
        const char *id;
        size_t max_clients;
        bool shut;
        ws_err want;
    } cases[] = {
        {"the id is taken", "a", 0, false, WS_ERR_IN_USE},
        {"too many, the closing one included", "c", 2, false, WS_ERR_TOO_MANY},
        {"the hub is shut", "c", 0, true, WS_ERR_HUB_CLOSED},
        {"shut beats taken", "a", 2, true, WS_ERR_HUB_CLOSED},
        {"taken beats too many", "a", 2, false, WS_ERR_IN_USE},
        {"room for one more", "c", 3, false, WS_OK},
        {"the id of one that is closing", "b", 0, false, WS_OK},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub_limits limits = KIT_ROOMY;
        limits.max_clients = cases[i].max_clients;
        ws_hub *hub = kit_hub(limits);
        ws_client *open = kit_join_hub(hub, "a", NULL);
        ws_client *closing = kit_join_hub(hub, "b", NULL);
        close_it(closing);
        if (cases[i].shut) {
            ws_hub_shut(hub);
        }
        ws_client *more = kit_client(hub, cases[i].id, "someone");
        ws_err err = ws_hub_join(hub, more);
        kit_case(cases[i].what, err == cases[i].want);
        CHECK_EQ(err, cases[i].want);
        CHECK_EQ(ws_hub_size(hub), err == WS_OK ? 2 : 1);
        CHECK_EQ(ws_hub_present(hub), err == WS_OK ? 3 : 2);
        CHECK_EQ(ws_hub_get_stats(hub).users, err == WS_OK ? 1 : 0);
        CHECK_EQ(more->refs, err == WS_OK ? 2 : 1);
        ws_client_unref(open);
        ws_client_unref(closing);
        ws_client_unref(more);
        kit_hub_free(hub);
    }
}

static void
an_end_makes_room_for_another(void)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.max_clients = 1;
    ws_hub *hub = kit_hub(limits);
    for (int i = 0; i < 3; i++) {
        end_it(kit_join_hub(hub, "a", NULL));
    }
    CHECK_EQ(ws_hub_get_stats(hub).joined, 3);
    kit_hub_free(hub);
}

static void
on_closing_a_client_leaves_all_but_the_present(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", "42");
    CHECK_EQ(ws_hub_subscribe(client, kit_text("news")), WS_OK);
    CHECK_EQ(kit_send(client, 1), WS_OK);
    char reason[] = "bye for now";
    CHECK_EQ(ws_hub_close_client(client, 4000, (ws_text){reason, 3}), WS_OK);
    memset(reason, '-', sizeof reason);

    CHECK_EQ(ws_client_get_state(client), WS_CLIENT_CLOSING);
    CHECK_EQ(client->close_code, 4000);
    CHECK_EQ(client->close_reason_size, 3);
    CHECK_MEM_EQ(client->close_reason, "bye", 3);
    CHECK_EQ(ws_hub_size(hub), 0);
    CHECK_EQ(count(hub, ALL), 0);
    CHECK_EQ(count(hub, user("42")), 0);
    CHECK_EQ(count(hub, topic("news")), 0);
    CHECK_EQ(count(hub, PRESENT), 1);
    CHECK_EQ(ws_hub_subscribe(client, kit_text("more")), WS_ERR_CLOSED);
    CHECK(!ws_hub_unsubscribe(client, kit_text("news")));
    CHECK_EQ(kit_send(client, 1), WS_ERR_CLOSED);
    CHECK_EQ(kit_write(client, 100), 1); // what is queued still goes out
    CHECK(kit_readable(ws_wake_fd(ws_hub_wake(hub)), 0));
    ws_client_unref(client);
    kit_hub_free(hub);
}

/* How a client is closed and how it ends, and what remains of it. */
static void
the_first_closing_wins(void)
{
    static const struct {
        const char *what;
        uint16_t close[2]; // 0: not closed
        uint16_t end;
        uint16_t code;
        const char *reason;
    } cases[] = {
        {"closed by us", {4001, 0}, 1006, 4001, "first"},
        {"closed twice", {4001, 4002}, 1006, 4001, "first"},
        {"the connection broke", {0, 0}, 1006, 1006, "the end"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static const char *const reasons[] = {"first", "second"};
        ws_hub *hub = kit_hub(KIT_ROOMY);
        ws_client *client = kit_join_hub(hub, "a", NULL);
        for (size_t k = 0; k < 2 && cases[i].close[k] != 0; k++) {
            ws_err err = ws_hub_close_client(client, cases[i].close[k],
                                             kit_text(reasons[k]));
            CHECK_EQ(err, k == 0 ? WS_OK : WS_ERR_CLOSED);
        }
        ws_hub_end_client(client, cases[i].end, kit_text("the end"), i == 0);
        kit_case(cases[i].what, client->close_code == cases[i].code);
        CHECK_EQ(client->close_code, cases[i].code);
        CHECK_STR_EQ(client->close_reason, cases[i].reason);
        CHECK_EQ(client->close_reason_size, strlen(cases[i].reason));
        CHECK_EQ(client->clean, i == 0);
        CHECK_EQ(ws_client_get_state(client), WS_CLIENT_CLOSED);
        CHECK_EQ(ws_hub_close_client(client, 1000, kit_text("")),
                 WS_ERR_CLOSED);
        CHECK_EQ(ws_hub_present(hub), 0);
        ws_client_unref(client);
        kit_hub_free(hub);
    }
}

static void
closing_and_ending_without_memory(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    ws_alloc_fail_at(0);
    CHECK_EQ(ws_hub_close_client(client, 1000, kit_text("bye")), WS_ERR_NOMEM);
    CHECK_EQ(ws_client_get_state(client), WS_CLIENT_OPEN);
    CHECK(knows(hub, "a"));
    CHECK_EQ(kit_send(client, 1), WS_OK);
    ws_alloc_fail_at(0);
    ws_hub_end_client(client, 1006, kit_text("gone"), false); // it cannot fail
    ws_alloc_fail_at(-1);
    CHECK_EQ(client->close_code, 1006);
    CHECK(client->close_reason == NULL);
    CHECK_EQ(client->close_reason_size, 0);
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
a_user_may_have_many_connections(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *tabs[] = {kit_join_hub(hub, "a", "42"),
                         kit_join_hub(hub, "b", "42"),
                         kit_join_hub(hub, "c", "43")};
    ws_client *nobody = kit_join_hub(hub, "d", NULL);
    CHECK_EQ(count(hub, user("42")), 2);
    CHECK_EQ(count(hub, user("43")), 1);
    CHECK_EQ(count(hub, user("44")), 0);
    CHECK_EQ(ws_hub_get_stats(hub).users, 2);
    close_it(tabs[0]);
    CHECK_EQ(count(hub, user("42")), 1);
    end_it(tabs[1]);
    CHECK_EQ(count(hub, user("42")), 0);
    CHECK_EQ(ws_hub_get_stats(hub).users, 1);
    ws_client_unref(tabs[0]);
    ws_client_unref(tabs[2]);
    ws_client_unref(nobody);
    kit_hub_free(hub);
}

/* The client's topics, sorted by nothing: as "a b " in the hub's order. */
static void
topics_of(ws_client *client, char *out, size_t room)
{
    char *names = NULL;
    size_t size = 0;
    CHECK_EQ(ws_hub_topics(client, &names, &size), WS_OK);
    CHECK(size < room);
    memcpy(out, names, size);
    out[size] = '\0';
    for (size_t i = 0; i < size; i++) {
        out[i] = out[i] == '\0' ? ' ' : out[i];
    }
    ws_free(names);
}

static void
topics_are_subscribed_once_and_listed(void)
{
    char got[64];
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    topics_of(client, got, sizeof got);
    CHECK_STR_EQ(got, "");
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(ws_hub_subscribe(client, kit_text("news")), WS_OK);
        CHECK_EQ(ws_hub_subscribe(client, kit_text("sport")), WS_OK);
        CHECK_EQ(count(hub, topic("news")), 1);
    }
    CHECK_EQ(ws_hub_get_stats(hub).topics, 2);
    topics_of(client, got, sizeof got);
    CHECK(strcmp(got, "news sport ") == 0 || strcmp(got, "sport news ") == 0);
    CHECK(ws_hub_unsubscribe(client, kit_text("news")));
    CHECK(!ws_hub_unsubscribe(client, kit_text("news")));
    topics_of(client, got, sizeof got);
    CHECK_STR_EQ(got, "sport ");
    CHECK_EQ(count(hub, topic("news")), 0);
    end_it(client);
    CHECK_EQ(ws_hub_get_stats(hub).topics, 0);
    kit_hub_free(hub);
}

static void
a_walk_meets_whoever_was_there_and_stayed(void)
{
    enum { CLIENTS = 1200 };
    ws_hub *hub = kit_hub(KIT_ROOMY);
    static ws_client *clients[CLIENTS + 1];
    static unsigned met[CLIENTS + 1];
    memset(met, 0, sizeof met);
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i] = kit_join_number(hub, i, NULL);
        CHECK_EQ(ws_hub_subscribe(clients[i], kit_text("news")), WS_OK);
    }
    ws_walk walk = ws_hub_walk(hub, topic("news"));
    clients[CLIENTS] = kit_join_hub(hub, "late", NULL);
    CHECK_EQ(ws_hub_subscribe(clients[CLIENTS], kit_text("news")), WS_OK);
    ws_client *out[WS_GROUP_CHUNK];
    size_t n = 0;
    size_t at = 0;
    while ((n = ws_hub_walk_next(hub, &walk, out)) > 0) {
        for (size_t i = 0; i < n; i++) {
            size_t who = 0;
            while (clients[who] != out[i]) {
                who++;
            }
            met[who]++;
            ws_client_unref(out[i]);
        }
        // Between the steps every third leaves, and one of them comes back.
        for (size_t i = 0; i < 150; i++, at = (at + 3) % CLIENTS) {
            (void)ws_hub_unsubscribe(clients[at], kit_text("news"));
        }
        CHECK_EQ(ws_hub_subscribe(clients[0], kit_text("news")), WS_OK);
    }
    CHECK_EQ(ws_hub_walk_next(hub, &walk, out), 0); // over is over
    CHECK_EQ(met[CLIENTS], 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        CHECK(i % 3 == 0 ? met[i] <= 1 : met[i] == 1);
    }
    for (size_t i = 0; i <= CLIENTS; i++) {
        ws_client_unref(clients[i]);
    }
    kit_hub_free(hub);
}

static void
a_list_is_a_snapshot_with_references(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    enum { CLIENTS = 700 };
    ws_client **all = NULL;
    size_t n = 99;
    CHECK_EQ(ws_hub_list(hub, ALL, &all, &n), WS_OK);
    CHECK_EQ(n, 0);
    ws_free(all);
    for (size_t i = 0; i < CLIENTS; i++) {
        ws_client_unref(kit_join_number(hub, i, NULL));
    }
    CHECK_EQ(ws_hub_list(hub, ALL, &all, &n), WS_OK);
    CHECK_EQ(n, CLIENTS);
    kit_end_all(hub);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(all[i]->refs, 1); // ours is the last
        ws_client_unref(all[i]);
    }
    ws_free(all);
    kit_hub_free(hub);
}

/* ---- notices */

static bool
take_notice(ws_hub *hub, uint64_t *token, ws_err *result)
{
    ws_event event;
    if (!ws_hub_take_event(hub, &event)) {
        return false;
    }
    CHECK_EQ(event.kind, WS_EVENT_NOTICE);
    *token = event.token;
    *result = event.result;
    ws_event_release(&event);
    return true;
}

static void
a_notice_comes_once_what_it_waits_for_is_there(void)
{
    static const struct {
        const char *what;
        ws_wait_kind kind;
        size_t queued;  // messages, of 4 that fit
        size_t written; // until it comes; 0: at once
        ws_err result;
        bool ends; // instead of writing
    } cases[] = {
        {"nothing to flush", WS_WAIT_FLUSH, 0, 0, WS_OK, false},
        {"room at once", WS_WAIT_ROOM, 2, 0, WS_OK, false},
        {"flushed", WS_WAIT_FLUSH, 3, 3, WS_OK, false},
        {"room again", WS_WAIT_ROOM, 4, 2, WS_OK, false},
        {"lost before it was flushed", WS_WAIT_FLUSH, 1, 0, WS_ERR_CLOSED,
         true},
        {"ended before there was room", WS_WAIT_ROOM, 3, 0, WS_ERR_CLOSED,
         true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub_limits limits = KIT_ROOMY;
        limits.send.max_msgs = 4;
        ws_hub *hub = kit_hub(limits);
        ws_client *client = kit_join_hub(hub, "a", NULL);
        uint64_t token = 0;
        ws_err result = WS_ERR_SYSTEM;
        for (size_t k = 0; k < cases[i].queued; k++) {
            CHECK_EQ(kit_send(client, 1), WS_OK);
        }
        CHECK_EQ(ws_hub_notify(client, cases[i].kind, 70 + i), WS_OK);
        if (cases[i].ends) {
            CHECK(!take_notice(hub, &token, &result));
            ws_hub_end_client(client, 1006, kit_text(""), false);
        }
        for (size_t k = 0; k < cases[i].written; k++) {
            CHECK(!take_notice(hub, &token, &result));
            CHECK_EQ(kit_write(client, 3), 1);
        }
        CHECK(take_notice(hub, &token, &result));
        kit_case(cases[i].what, result == cases[i].result);
        CHECK_EQ(token, 70 + i);
        CHECK_EQ(result, cases[i].result);
        CHECK(!take_notice(hub, &token, &result));
        ws_client_unref(client);
        kit_hub_free(hub);
    }
}

static void
a_notice_without_memory_is_refused(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(kit_send(client, 1), WS_OK);
    for (long n = 0; n < 2; n++) {
        long before = ws_alloc_live();
        ws_alloc_fail_at(n);
        CHECK_EQ(ws_hub_notify(client, WS_WAIT_FLUSH, 1), WS_ERR_NOMEM);
        ws_alloc_fail_at(-1);
        CHECK_EQ(ws_alloc_live(), before);
        CHECK_EQ(client->refs, 3); // ours, the hub's, the list's
    }
    ws_client_unref(client);
    kit_hub_free(hub);
}

/* A notice nobody took keeps client and hub; dropping the events frees both.
   kit_hub_free does so, and checks. */
static void
an_untaken_notice_is_dropped_with_the_events(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(kit_send(client, 1), WS_OK);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_EQ(ws_hub_notify(client, WS_WAIT_FLUSH, i), WS_OK);
    }
    ws_client_unref(client);
    kit_hub_free(hub);
}

/* ---- totals */

static void
totals_are_those_of_the_living_and_of_the_gone(void)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.send = (ws_chan_limits){.max_msgs = 3, .max_bytes = 100};
    ws_hub *hub = kit_hub(limits);
    ws_client *gone = kit_join_hub(hub, "gone", NULL);
    ws_client *lives = kit_join_hub(hub, "lives", "42");
    ws_client *clients[] = {gone, lives};
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        for (int k = 0; k < 5; k++) { // 3 fit, 2 do not
            (void)!kit_send(clients[i], 10);
        }
        (void)!kit_send(clients[i], 101);
        CHECK_EQ(kit_write(clients[i], 12), 1);
    }
    ws_hub_end_client(gone, 1006, kit_text(""), false);
    (void)!kit_send(gone, 1); // after the end, yet counted
    ws_hub_stats stats = ws_hub_get_stats(hub);
    CHECK_EQ(stats.counts.accepted, 6);
    CHECK_EQ(stats.counts.written, 2);
    CHECK_EQ(stats.counts.written_bytes, 20);
    CHECK_EQ(stats.counts.lost, 2);
    CHECK_EQ(stats.counts.dropped, 0);
    CHECK_EQ(stats.counts.refused_full, 4);
    CHECK_EQ(stats.counts.refused_too_large, 2);
    CHECK_EQ(stats.counts.refused_closed, 1);
    CHECK_EQ(stats.counts.refused_nomem, 0);
    CHECK_EQ(stats.queued, 2);
    CHECK_EQ(stats.queued_bytes, 20);
    CHECK_EQ(stats.clients, 1);
    CHECK_EQ(stats.closing, 0);
    CHECK_EQ(stats.joined, 2);
    CHECK_EQ(stats.users, 1);
    CHECK_EQ(stats.topics, 0);
    close_it(lives);
    CHECK_EQ(ws_hub_get_stats(hub).clients, 0);
    CHECK_EQ(ws_hub_get_stats(hub).closing, 1);
    ws_client_unref(gone);
    CHECK_EQ(kit_send(lives, 1), WS_ERR_CLOSED);
    CHECK_EQ(ws_hub_get_stats(hub).counts.refused_closed, 2);
    end_it(lives);
    CHECK_EQ(ws_hub_get_stats(hub).counts.refused_closed, 2);
    kit_hub_free(hub);
}

/* ---- failures */

/* A small life, step by step, until memory fails. */
static ws_err
live(ws_hub *hub, ws_client **client)
{
    *client = kit_client(hub, "a", "42");
    if (*client == NULL) {
        return WS_ERR_NOMEM;
    }
    ws_err err = ws_hub_join(hub, *client);
    for (int i = 0; i < 3 && err == WS_OK; i++) {
        char name[] = {(char)('a' + i), '\0'};
        err = ws_hub_subscribe(*client, kit_text(name));
    }
    char *names = NULL;
    size_t size = 0;
    if (err == WS_OK) {
        err = ws_hub_topics(*client, &names, &size);
        ws_free(names);
    }
    ws_client **all = NULL;
    if (err == WS_OK && (err = ws_hub_list(hub, ALL, &all, &size)) == WS_OK) {
        ws_client_unref(all[0]);
        ws_free(all);
    }
    if (err == WS_OK) {
        err = kit_send(*client, 1);
    }
    if (err == WS_OK) {
        err = ws_hub_close_client(*client, 1000, kit_text("bye"));
    }
    return err;
}

static void
every_allocation_may_fail(void)
{
    bool done = false;
    for (long n = 0; !done; n++) {
        ws_hub *hub = kit_hub(KIT_ROOMY);
        ws_client *client = NULL;
        ws_hub_start_events(hub);
        ws_alloc_fail_at(n);
        ws_err err = live(hub, &client);
        ws_alloc_fail_at(-1);
        CHECK(err == WS_OK || err == WS_ERR_NOMEM);
        ws_hub_stats stats = ws_hub_get_stats(hub);
        kit_check_law(&stats.counts, stats.queued);
        CHECK_EQ(stats.joined, stats.clients + stats.closing);
        done = err == WS_OK;
        ws_client_unref(client);
        kit_hub_free(hub);
    }
}

static void
a_hub_without_memory_is_none(void)
{
    ws_hub *hub = NULL;
    ws_err err = WS_ERR_NOMEM;
    for (long n = 0; err != WS_OK; n++) {
        CHECK_EQ(err, WS_ERR_NOMEM);
        CHECK_EQ(ws_alloc_live(), 0);
        ws_alloc_fail_at(n);
        err = ws_hub_new(&KIT_ROOMY, &hub);
        ws_alloc_fail_at(-1);
    }
    kit_hub_free(hub);
    ws_hub_unref(NULL);
}

/* The lowest descriptor that is free. */
static int
free_fd(void)
{
    int fd = dup(STDERR_FILENO);
    CHECK(fd >= 0);
    CHECK_EQ(close(fd), 0);
    return fd;
}

static void
a_hub_without_descriptors_is_none_and_errno_tells(void)
{
    struct rlimit before;
    int fd = free_fd();
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t room = 0; room < 2; room++) {
        struct rlimit tight = {(rlim_t)fd + room, before.rlim_max};
        ws_hub *hub = NULL;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
        errno = 0;
        CHECK_EQ(ws_hub_new(&KIT_ROOMY, &hub), WS_ERR_SYSTEM);
        CHECK_EQ(errno, EMFILE);
        CHECK_EQ(ws_alloc_live(), 0);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        CHECK_EQ(free_fd(), fd); // none has leaked
    }
}

static void
after_a_fork_the_childs_copies_are_closed(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    int fds[] = {ws_wake_fd(ws_hub_wake(hub)), ws_evq_fd(ws_hub_events(hub))};
    ws_hub_close_after_fork(hub);
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        CHECK_EQ(fcntl(fds[i], F_GETFD), -1);
    }
    kit_hub_free(hub);
}

/* ---- several pumps */

/* Two pumps beside the first. */
static ws_hub_pump *
add_pumps(ws_hub *hub)
{
    ws_hub_pump *others = ws_calloc(2, sizeof *others);
    CHECK(others != NULL);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(ws_wake_new(&others[i].wake), WS_OK);
        ws_wake_set_number(others[i].wake, i + 1);
    }
    ws_hub_add_pumps(hub, others, 2);
    return others;
}

static void
what_pumps_count_is_added_up(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_pump_counters sum;
    ws_count(&ws_hub_counters(hub)->writes, 1);
    ws_count(&ws_hub_counters(hub)->connections, 5);
    ws_hub_sum_counters(hub, &sum);
    CHECK_EQ(ws_counted(&sum.writes), 1);
    CHECK_EQ(ws_hub_connections(hub, 0), 5);
    CHECK_EQ(ws_hub_connections(hub, 1), 0);

    ws_hub_pump *others = add_pumps(hub);
    ws_count(&others[0].counters.writes, 10);
    ws_count(&others[1].counters.writes, 100);
    ws_count(&others[1].counters.received_bytes, 7); // the last field
    ws_count(&others[1].counters.connections, 3);
    ws_uncount(&others[1].counters.connections, 1);
    ws_hub_sum_counters(hub, &sum);
    CHECK_EQ(ws_counted(&sum.writes), 111);
    CHECK_EQ(ws_counted(&sum.received_bytes), 7);
    CHECK_EQ(ws_counted(&sum.connections), 7);
    CHECK_EQ(ws_hub_connections(hub, 1), 0);
    CHECK_EQ(ws_hub_connections(hub, 2), 2);
    CHECK_EQ(ws_hub_connections(hub, 3), 0);
    kit_hub_free(hub);
}

static void
what_two_pumps_count_shares_no_cache_line(void)
{
    enum { LINE = 64 };
    const ws_hub_pump two[2];
    const char *end = (const char *)(&two[0].counters + 1);
    CHECK((const char *)&two[1].counters - end >= LINE);
}

/* Any of them may have refused something. */
static void
each_pump_is_told_of_room_once(void)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.inbound.max_messages = 1;
    ws_hub *hub = kit_hub(limits);
    ws_hub_pump *others = add_pumps(hub);
    ws_wake *wakes[] = {ws_hub_wake(hub), others[0].wake, others[1].wake};
    unsigned seen[COUNT_OF(wakes)] = {0};
    ws_event event;
    ws_hub_start_events(hub);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    ws_inbound *first = ws_inbound_new(1);
    ws_inbound *second = ws_inbound_new(1);
    CHECK_EQ(ws_evq_message(ws_hub_events(hub), client, first, 1, false),
             WS_OK);
    CHECK_EQ(ws_evq_message(ws_hub_events(hub), client, second, 1, false),
             WS_ERR_FULL);
    ws_inbound_free(second);
    for (size_t i = 0; i < COUNT_OF(wakes); i++) {
        CHECK(!ws_hub_take_room(hub, &seen[i]));
        CHECK(!kit_readable(ws_wake_fd(wakes[i]), 0));
    }
    for (int i = 0; i < 2; i++) { // Connected, and the message
        CHECK(ws_hub_take_event(hub, &event));
        ws_event_release(&event);
    }
    for (size_t i = 0; i < COUNT_OF(wakes); i++) {
        CHECK(kit_readable(ws_wake_fd(wakes[i]), 0));
        CHECK(ws_hub_take_room(hub, &seen[i]));
        CHECK(!ws_hub_take_room(hub, &seen[i]));
    }
    kit_end_all(hub);
    ws_client_unref(client);
    kit_hub_free(hub);
}

/* ---- races */

enum { CROWD = 900, EACH = 3, MORE = 300 };

typedef struct race {
    ws_hub *hub;
    ws_client *clients[CROWD];
    atomic_bool done;
} race;

static race *
make_race(ws_hub_limits limits)
{
    static race r;
    memset(&r, 0, sizeof r);
    r.hub = kit_hub(limits);
    return &r;
}

static void
fill(race *r)
{
    for (size_t i = 0; i < CROWD; i++) {
        r->clients[i] = kit_join_number(r->hub, i, NULL);
        for (int k = 0; k < EACH; k++) {
            CHECK_EQ(kit_send(r->clients[i], 1), WS_OK);
        }
        CHECK_EQ(kit_write(r->clients[i], 3), 1);
    }
}

/* Ends one client after the other, the places of others being filled again. */
static void *
end_and_join(void *arg)
{
    race *r = arg;
    uint32_t random = 99;
    size_t order[CROWD];
    for (size_t i = 0; i < CROWD; i++) {
        order[i] = i;
    }
    for (size_t i = 0; i < CROWD; i++) {
        size_t k = i + kit_random(&random) % (CROWD - i);
        size_t who = order[k];
        order[k] = order[i];
        end_it(r->clients[who]);
        if (i < MORE) {
            ws_client_unref(kit_join_number(r->hub, CROWD + i, NULL));
        }
    }
    atomic_store(&r->done, true);
    return NULL;
}

/* Nobody sends any more, so the totals must stand still to the message, while
   clients move from the living to the gone under the samplers' feet. */
static void *
sample_until_done(void *arg)
{
    race *r = arg;
    uint64_t last_lost = 0;
    bool last = false;
    while (!last) {
        last = atomic_load(&r->done);
        ws_hub_stats stats = ws_hub_get_stats(r->hub);
        CHECK_EQ(stats.counts.accepted, CROWD * EACH);
        CHECK_EQ(stats.counts.written, CROWD);
        kit_check_law(&stats.counts, stats.queued);
        CHECK_EQ(stats.queued_bytes, stats.queued);
        CHECK(stats.counts.lost >= last_lost);
        last_lost = stats.counts.lost;
    }
    CHECK_EQ(last_lost, CROWD * (EACH - 1));
    return NULL;
}

static void
totals_are_exact_while_clients_end(void)
{
    race *r = make_race(KIT_ROOMY);
    fill(r);
    pthread_t pump = kit_spawn(end_and_join, r);
    pthread_t other = kit_spawn(sample_until_done, r);
    (void)sample_until_done(r);
    kit_join(pump);
    kit_join(other);
    kit_hub_free(r->hub);
}

static void *
send_to_all(void *arg)
{
    race *r = arg;
    for (size_t i = 0; i < 5 * CROWD; i++) {
        ws_err err = kit_send(r->clients[i % CROWD], 1);
        CHECK(err == WS_OK || err == WS_ERR_CLOSED || err == WS_ERR_FULL);
    }
    return NULL;
}

static void *
end_each(void *arg)
{
    race *r = arg;
    for (size_t i = 0; i < CROWD; i++) {
        if (i % 2 == 0) {
            (void)kit_write(r->clients[i], 20);
        }
        ws_hub_end_client(r->clients[i], 1006, kit_text(""), false);
    }
    atomic_store(&r->done, true);
    return NULL;
}

/* With senders, too: every attempt is in the totals, none twice. */
static void
no_attempt_is_missed_by_the_totals(void)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.send.max_msgs = 5;
    race *r = make_race(limits);
    uint64_t last = 0;
    fill(r);
    pthread_t senders[] = {kit_spawn(send_to_all, r),
                           kit_spawn(send_to_all, r)};
    pthread_t pump = kit_spawn(end_each, r);
    while (!atomic_load(&r->done)) {
        ws_hub_stats stats = ws_hub_get_stats(r->hub);
        kit_check_law(&stats.counts, stats.queued);
        CHECK(kit_attempted(&stats.counts) >= last);
        last = kit_attempted(&stats.counts);
        sched_yield();
    }
    kit_join(senders[0]);
    kit_join(senders[1]);
    kit_join(pump);
    ws_hub_stats stats = ws_hub_get_stats(r->hub);
    CHECK_EQ(kit_attempted(&stats.counts), CROWD * EACH + 10 * CROWD);
    CHECK_EQ(stats.queued, 0);
    for (size_t i = 0; i < CROWD; i++) {
        ws_client_unref(r->clients[i]);
    }
    kit_hub_free(r->hub);
}

static void *
send_until_closed(void *arg)
{
    ws_client *client = arg;
    ws_err err = WS_OK;
    while (err != WS_ERR_CLOSED) {
        err = kit_send(client, 1);
    }
    return NULL;
}

/* Ends the client as soon as it is closing and nothing is queued. */
static void *
write_until_closed(void *arg)
{
    ws_client *client = arg;
    uint64_t until = kit_deadline();
    bool closing = false;
    bool over = false;
    while (!over) {
        CHECK(ws_now_ns() < until);
        closing = ws_client_get_state(client) != WS_CLIENT_OPEN;
        over = kit_write(client, SIZE_MAX) == 0 && closing;
    }
    ws_hub_end_client(client, 1000, kit_text(""), true);
    return NULL;
}

/* "What is queued goes out first, then the close frame": once a client is
   seen to be closing, nothing can be queued behind that frame. */
static void
whatever_was_accepted_before_the_closing_goes_out(void)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.send.max_msgs = 4;
    ws_hub *hub = kit_hub(limits);
    for (size_t i = 0; i < 200; i++) {
        ws_client *client = kit_join_number(hub, i, NULL);
        pthread_t pump = kit_spawn(write_until_closed, client);
        pthread_t sender = kit_spawn(send_until_closed, client);
        if (i % 2 == 0) {
            sched_yield();
        }
        CHECK_EQ(ws_hub_close_client(client, 1000, kit_text("")), WS_OK);
        kit_join(sender);
        kit_join(pump);
        ws_client_unref(client);
    }
    CHECK_EQ(ws_hub_get_stats(hub).counts.lost, 0);
    kit_hub_free(hub);
}

enum { IDS = 30, ROUNDS = 1500 };

static const char *
some_name(char *out, size_t room, uint32_t number)
{
    snprintf(out, room, "%u", number % IDS);
    return out;
}

/* The pump's part: joins under a few ids, and ends what has begun closing. */
static void *
join_and_end(void *arg)
{
    race *r = arg;
    ws_client *mine[IDS] = {NULL};
    for (uint32_t i = 0; i < ROUNDS; i++) {
        char id[16];
        ws_client **at = &mine[i % IDS];
        if (*at != NULL) {
            ws_hub_end_client(*at, 1006, kit_text("gone"), false);
            ws_client_unref(*at);
        }
        *at = kit_client(r->hub, some_name(id, sizeof id, i), "42");
        CHECK(*at != NULL);
        CHECK_EQ(ws_hub_join(r->hub, *at), WS_OK);
    }
    for (size_t i = 0; i < IDS; i++) {
        ws_hub_end_client(mine[i], 1006, kit_text("gone"), false);
        ws_client_unref(mine[i]);
    }
    atomic_store(&r->done, true);
    return NULL;
}

static void *
get_and_act(void *arg)
{
    race *r = arg;
    uint32_t random = (uint32_t)(uintptr_t)&random | 1;
    while (!atomic_load(&r->done)) {
        char name[16];
        uint32_t number = kit_random(&random);
        ws_client *client =
            ws_hub_get(r->hub, kit_text(some_name(name, sizeof name, number)));
        if (client == NULL) {
            sched_yield();
            continue;
        }
        ws_err err = WS_OK;
        switch (number >> 29) {
        case 0:
            err = ws_hub_close_client(client, 1000, kit_text("bye"));
            break;
        case 1:
            (void)ws_hub_unsubscribe(client, kit_text(name));
            break;
        case 2:
            err = ws_hub_notify(client, WS_WAIT_FLUSH, number);
            break;
        case 3:
            err = kit_send(client, 1);
            break;
        default:
            err = ws_hub_subscribe(client, kit_text(name));
        }
        CHECK(err == WS_OK || err == WS_ERR_CLOSED);
        ws_client_unref(client);
    }
    return NULL;
}

static void *
take_events(void *arg)
{
    race *r = arg;
    while (!atomic_load(&r->done)) {
        ws_hub_drop_events(r->hub);
        (void)count(r->hub, user("42"));
        (void)count(r->hub, topic("7"));
        sched_yield();
    }
    return NULL;
}

/* Everything at once; what is checked is that all of it is freed, and that
   the sanitizers have nothing to say. */
static void
everybody_does_everything_and_nothing_leaks(void)
{
    race *r = make_race(KIT_ROOMY);
    ws_hub_start_events(r->hub);
    pthread_t threads[] = {
        kit_spawn(join_and_end, r),
        kit_spawn(get_and_act, r),
        kit_spawn(get_and_act, r),
        kit_spawn(take_events, r),
    };
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        kit_join(threads[i]);
    }
    ws_hub_stats stats = ws_hub_get_stats(r->hub);
    CHECK_EQ(stats.joined, ROUNDS);
    CHECK_EQ(stats.clients + stats.closing, 0);
    CHECK_EQ(stats.topics, 0);
    CHECK_EQ(stats.users, 0);
    kit_check_law(&stats.counts, 0);
    kit_hub_free(r->hub);
}

/* ---- joining with all that was decided */

static const char TOPICS[] = "news\0sport";
static const ws_join REPLACING = {
    .topics = {TOPICS, sizeof TOPICS},
    .replace = true,
    .close_code = 4409,
    .close_reason = {"replaced", 8},
};

static size_t
members(ws_hub *hub, const char *topic)
{
    ws_client **all = NULL;
    size_t count = 0;
    CHECK_EQ(ws_hub_list(hub, (ws_target){WS_TO_TOPIC, kit_text(topic)}, &all,
                         &count),
             WS_OK);
    for (size_t i = 0; i < count; i++) {
        ws_client_unref(all[i]);
    }
    ws_free(all);
    return count;
}

static void
a_client_joins_with_its_topics(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_client(hub, "a", "u");
    CHECK_EQ(ws_hub_join_as(hub, client, &REPLACING), WS_OK);
    CHECK_EQ(members(hub, "news"), 1);
    CHECK_EQ(members(hub, "sport"), 1);
    CHECK_EQ(ws_hub_get_stats(hub).topics, 2);
    end_it(client);
    CHECK_EQ(ws_hub_get_stats(hub).topics, 0);
    kit_hub_free(hub);
}

static void
who_replaces_takes_the_id_in_one_moment(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *old = kit_client(hub, "a", "u");
    CHECK_EQ(ws_hub_join_as(hub, old, &REPLACING), WS_OK);
    ws_client *other = kit_client(hub, "a", "u");
    CHECK_EQ(ws_hub_join(hub, other), WS_ERR_IN_USE);
    CHECK_EQ(ws_hub_join_as(hub, other, &REPLACING), WS_OK);
    ws_client *found = ws_hub_get(hub, kit_text("a"));
    CHECK(found == other);
    ws_client_unref(found);
    CHECK_EQ(ws_client_get_state(old), WS_CLIENT_CLOSING);
    CHECK_EQ(old->close_code, 4409);
    CHECK_EQ(old->close_reason_size, 8);
    CHECK_EQ(members(hub, "news"), 1);
    CHECK_EQ(ws_hub_size(hub), 1);
    CHECK_EQ(ws_hub_present(hub), 2);
    CHECK_EQ(ws_hub_get_stats(hub).users, 1);
    end_it(old);
    end_it(other);
    kit_hub_free(hub);
}

/* Each allocation of a join fails once: then nothing has changed, but that the
   reason may be missing. */
static void
without_memory_nobody_joins_and_nobody_is_replaced(void)
{
    for (long n = 0, failed = 1; failed > 0; n++) {
        ws_hub *hub = kit_hub(KIT_ROOMY);
        ws_client *old = kit_join_hub(hub, "a", NULL);
        ws_client *client = kit_client(hub, "a", "u");
        ws_alloc_fail_at(n);
        ws_err err = ws_hub_join_as(hub, client, &REPLACING);
        failed = ws_alloc_failed();
        ws_alloc_fail_at(-1);
        ws_client *found = ws_hub_get(hub, kit_text("a"));
        if (err == WS_OK) {
            CHECK(found == client);
            CHECK_EQ(old->close_reason_size, failed > 0 ? 0 : 8);
            end_it(client);
        } else {
            CHECK_EQ(err, WS_ERR_NOMEM);
            CHECK(found == old);
            CHECK_EQ(ws_client_get_state(old), WS_CLIENT_OPEN);
            CHECK_EQ(ws_hub_present(hub), 1);
            ws_hub_stats stats = ws_hub_get_stats(hub);
            CHECK_EQ(stats.topics + stats.users, 0);
            CHECK_EQ(stats.joined, 1);
            ws_client_unref(client);
        }
        ws_client_unref(found);
        end_it(old);
        kit_hub_free(hub);
    }
}

static void
nobody_is_replaced_by_one_that_does_not_join(void)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.max_clients = 1;
    ws_hub *hub = kit_hub(limits);
    ws_client *old = kit_join_hub(hub, "a", NULL);
    ws_client *client = kit_client(hub, "a", NULL);
    CHECK_EQ(ws_hub_join_as(hub, client, &REPLACING), WS_ERR_TOO_MANY);
    ws_hub_shut(hub);
    CHECK_EQ(ws_hub_join_as(hub, client, &REPLACING), WS_ERR_HUB_CLOSED);
    CHECK_EQ(ws_client_get_state(old), WS_CLIENT_OPEN);
    CHECK_EQ(members(hub, "news"), 0);
    ws_client_unref(client);
    end_it(old);
    kit_hub_free(hub);
}

static void
so_many_handshakes_are_held_and_no_more(void)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.max_handshakes = 2;
    ws_hub *hub = kit_hub(limits);
    CHECK(ws_hub_hold(hub));
    CHECK(ws_hub_hold(hub));
    CHECK(!ws_hub_hold(hub));
    CHECK_EQ(ws_hub_get_stats(hub).handshakes, 2);
    ws_hub_let_go(hub);
    CHECK(ws_hub_hold(hub));
    ws_hub_let_go(hub);
    ws_hub_let_go(hub);
    CHECK_EQ(ws_hub_get_stats(hub).handshakes, 0);
    kit_hub_free(hub);
}

static const ws_test tests[] = {
    TEST(a_client_joins_with_its_topics),
    TEST(who_replaces_takes_the_id_in_one_moment),
    TEST(without_memory_nobody_joins_and_nobody_is_replaced),
    TEST(nobody_is_replaced_by_one_that_does_not_join),
    TEST(so_many_handshakes_are_held_and_no_more),
    TEST(a_client_is_found_by_its_id_while_it_is_open),
    TEST(a_join_is_refused_and_nothing_has_changed),
    TEST(an_end_makes_room_for_another),
    TEST(on_closing_a_client_leaves_all_but_the_present),
    TEST(the_first_closing_wins),
    TEST(closing_and_ending_without_memory),
    TEST(a_user_may_have_many_connections),
    TEST(topics_are_subscribed_once_and_listed),
    TEST(a_walk_meets_whoever_was_there_and_stayed),
    TEST(a_list_is_a_snapshot_with_references),
    TEST(a_notice_comes_once_what_it_waits_for_is_there),
    TEST(a_notice_without_memory_is_refused),
    TEST(an_untaken_notice_is_dropped_with_the_events),
    TEST(totals_are_those_of_the_living_and_of_the_gone),
    TEST(every_allocation_may_fail),
    TEST(a_hub_without_memory_is_none),
    TEST(a_hub_without_descriptors_is_none_and_errno_tells),
    TEST(after_a_fork_the_childs_copies_are_closed),
    TEST(what_pumps_count_is_added_up),
    TEST(what_two_pumps_count_shares_no_cache_line),
    TEST(each_pump_is_told_of_room_once),
    TEST(totals_are_exact_while_clients_end),
    TEST(no_attempt_is_missed_by_the_totals),
    TEST(whatever_was_accepted_before_the_closing_goes_out),
    TEST(everybody_does_everything_and_nothing_leaks),
};

TEST_MAIN(tests)

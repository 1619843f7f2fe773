#include "core/fanout.h"

#include <sched.h>

#include "check.h"
#include "core_kit.h"

static const ws_target ALL = {.kind = WS_TO_ALL};
static const ws_exclude NOBODY = {NULL, 0};

static void
check_sum(const ws_report *report)
{
    CHECK_EQ(report->queued + report->full_count + report->closed +
                 report->failed,
             report->tried);
}

static ws_report
cast(ws_hub *hub, ws_target target, size_t size, const ws_exclude *exclude)
{
    ws_report report = {0};
    ws_msg *msg = kit_msg(size);
    CHECK(msg != NULL);
    ws_fan_out(hub, target, msg, exclude, &report);
    ws_msg_unref(msg);
    check_sum(&report);
    return report;
}

/* A hub whose channels hold three messages and ten bytes, with `count`
   clients whose references are the test's. */
static ws_hub *
crowd(ws_client **clients, size_t count)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.send = (ws_chan_limits){.max_msgs = 3, .max_bytes = 10};
    ws_hub *hub = kit_hub(limits);
    for (size_t i = 0; i < count; i++) {
        clients[i] = kit_join_number(hub, i, i % 2 == 0 ? "even" : "odd");
    }
    return hub;
}

static void
disperse(ws_hub *hub, ws_client **clients, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ws_client_unref(clients[i]);
    }
    kit_hub_free(hub);
}

/* Five clients: 1 is full, 3 is closing, 4 follows the news. */
static void
the_report_is_exact(void)
{
    static const struct {
        const char *what;
        ws_target target;
        size_t size;
        size_t tried, queued, full, failed;
    } cases[] = {
        {"everybody open", {WS_TO_ALL, {NULL, 0}}, 1, 4, 3, 1, 0},
        {"a user", {WS_TO_USER, {"even", 4}}, 1, 3, 3, 0, 0},
        {"another user", {WS_TO_USER, {"odd", 3}}, 1, 1, 0, 1, 0},
        {"a topic", {WS_TO_TOPIC, {"news", 4}}, 1, 1, 1, 0, 0},
        {"no such topic", {WS_TO_TOPIC, {"old", 3}}, 1, 0, 0, 0, 0},
        {"too large for all", {WS_TO_ALL, {NULL, 0}}, 11, 4, 0, 0, 4},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_client *clients[5];
        ws_hub *hub = crowd(clients, 5);
        for (int k = 0; k < 3; k++) {
            CHECK_EQ(kit_send(clients[1], 1), WS_OK);
        }
        CHECK_EQ(ws_hub_close_client(clients[3], 1000, kit_text("")), WS_OK);
        CHECK_EQ(ws_hub_subscribe(clients[4], kit_text("news")), WS_OK);
        ws_report report = cast(hub, cases[i].target, cases[i].size, &NOBODY);
        kit_case(cases[i].what, report.tried == cases[i].tried &&
                                    report.queued == cases[i].queued);
        CHECK_EQ(report.tried, cases[i].tried);
        CHECK_EQ(report.queued, cases[i].queued);
        CHECK_EQ(report.full_count, cases[i].full);
        CHECK_EQ(report.failed, cases[i].failed);
        CHECK_EQ(report.closed, 0);
        if (report.full_count > 0) {
            CHECK(report.full[0] == clients[1]);
        }
        ws_report_release(&report);
        CHECK(report.full == NULL);
        disperse(hub, clients, 5);
    }
}

/* The present include those that are closing, who refuse. */
static void
closing_clients_are_reported_as_closed(void)
{
    ws_client *clients[3];
    ws_hub *hub = crowd(clients, 3);
    CHECK_EQ(ws_hub_close_client(clients[1], 1000, kit_text("")), WS_OK);
    ws_report report =
        cast(hub, (ws_target){.kind = WS_TO_PRESENT}, 1, &NOBODY);
    CHECK_EQ(report.tried, 3);
    CHECK_EQ(report.queued, 2);
    CHECK_EQ(report.closed, 1);
    ws_report_release(&report);
    disperse(hub, clients, 3);
}

static void
the_excluded_are_not_tried(void)
{
    for (size_t out = 0; out <= 6; out++) {
        ws_client *clients[6];
        ws_client *excluded[6];
        ws_hub *hub = crowd(clients, 6);
        for (size_t i = 0; i < out; i++) {
            excluded[i] = clients[(i * 5 + 2) % 6]; // in no order
        }
        ws_exclude exclude = {excluded, out};
        ws_exclude_sort(&exclude);
        ws_report report = cast(hub, ALL, 1, &exclude);
        CHECK_EQ(report.tried, 6 - out);
        CHECK_EQ(report.queued, 6 - out);
        for (size_t i = 0; i < out; i++) {
            ws_chan_stats stats = ws_chan_get_stats(&excluded[i]->chan);
            CHECK_EQ(kit_attempted(&stats.counts), 0);
        }
        ws_report_release(&report);
        disperse(hub, clients, 6);
    }
}

static void
excluding_twice_or_a_stranger_is_harmless(void)
{
    ws_client *clients[3];
    ws_hub *hub = crowd(clients, 3);
    ws_client *stranger = kit_client(hub, "stranger", NULL);
    ws_client *excluded[] = {clients[2], stranger, clients[2]};
    ws_exclude exclude = {excluded, COUNT_OF(excluded)};
    ws_exclude_sort(&exclude);
    ws_report report = cast(hub, ALL, 1, &exclude);
    CHECK_EQ(report.tried, 2);
    ws_report_release(&report);
    ws_client_unref(stranger);
    disperse(hub, clients, 3);
}

/* More clients than a chunk holds, each with its copy of the same message. */
static void
all_chunks_get_one_shared_message(void)
{
    enum { MANY = 1100 };
    static ws_client *clients[MANY];
    ws_hub *hub = crowd(clients, MANY);
    long before = ws_alloc_live();
    ws_report report = cast(hub, ALL, 1, &NOBODY);
    CHECK_EQ(report.queued, MANY);
    CHECK_EQ(ws_alloc_live(), before + MANY + 1); // the rings and one message

    ws_wake_chain dirty;
    ws_task *tasks;
    size_t linked = 0;
    CHECK(kit_readable(ws_wake_fd(ws_hub_wake(hub)), 0));
    ws_wake_take(ws_hub_wake(hub), &dirty, &tasks);
    for (ws_wake_link *link = dirty.head; link != NULL; link = link->next) {
        linked++;
    }
    CHECK_EQ(linked, MANY);
    kit_drop_dirty(&dirty);
    for (size_t i = 0; i < MANY; i++) {
        CHECK_EQ(ws_chan_get_stats(&clients[i]->chan).queued, 1);
        CHECK_EQ(kit_write(clients[i], 100), 1);
    }
    ws_report_release(&report);
    disperse(hub, clients, MANY);
}

/* Several pumps: each is rung for its own clients, once a chunk however they
   alternate. */
static void
each_pump_is_told_of_its_own_clients(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_wake *wakes[2] = {ws_hub_wake(hub), NULL};
    ws_client *clients[7];
    CHECK_EQ(ws_wake_new(&wakes[1]), WS_OK);
    ws_wake_set_number(wakes[1], WS_WAKE_NUMBERS - 1);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        char id[] = {(char)('a' + i), '\0'};
        ws_client_info info = {.id = {id, 1}};
        clients[i] = ws_client_new(hub, wakes[i % 3 == 0], &info);
        CHECK_EQ(ws_hub_join(hub, clients[i]), WS_OK);
    }
    ws_report report = cast(hub, ALL, 1, &NOBODY);
    CHECK_EQ(report.queued, COUNT_OF(clients));
    for (size_t w = 0; w < 2; w++) {
        ws_wake_chain dirty;
        ws_task *tasks;
        size_t linked = 0;
        CHECK(kit_readable(ws_wake_fd(wakes[w]), 0));
        ws_wake_take(wakes[w], &dirty, &tasks);
        for (ws_wake_link *link = dirty.head; link != NULL;
             link = link->next) {
            CHECK(ws_client_of_link(link)->wake == wakes[w]);
            linked++;
        }
        CHECK_EQ(linked, w == 1 ? 3 : 4);
        kit_drop_dirty(&dirty);
    }
    ws_report_release(&report);
    ws_wake_unref(wakes[1]);
    disperse(hub, clients, COUNT_OF(clients));
}

static void
each_full_client_is_listed_once_with_a_reference(void)
{
    enum { MANY = 600 };
    static ws_client *clients[MANY];
    ws_hub *hub = crowd(clients, MANY);
    for (int i = 0; i < 3; i++) {
        ws_report report = cast(hub, ALL, 1, &NOBODY);
        CHECK_EQ(report.full_count, 0);
        ws_report_release(&report);
    }
    for (size_t i = 0; i < MANY; i += 3) {
        CHECK_EQ(kit_write(clients[i], 3), 1);
    }
    ws_report report = cast(hub, ALL, 1, &NOBODY);
    CHECK_EQ(report.full_count, MANY - MANY / 3);
    for (size_t i = 0; i < report.full_count; i++) {
        for (size_t k = 0; k < i; k++) {
            CHECK(report.full[i] != report.full[k]);
        }
    }
    kit_end_all(hub);
    for (size_t i = 0; i < report.full_count; i++) {
        CHECK(report.full[i]->info.id.size > 0); // still there
    }
    ws_report_release(&report);
    disperse(hub, clients, MANY);
}

/* Twenty full clients; the list of them grows twice. */
static void
what_the_report_has_no_memory_for_is_failed(void)
{
    bool done = false;
    for (long n = 0; !done; n++) {
        ws_client *clients[20];
        ws_hub *hub = crowd(clients, 20);
        for (size_t i = 0; i < 20; i++) {
            for (int k = 0; k < 3; k++) {
                CHECK_EQ(kit_send(clients[i], 1), WS_OK);
            }
        }
        ws_msg *msg = kit_msg(1);
        ws_report report = {0};
        ws_alloc_fail_at(n);
        ws_fan_out(hub, ALL, msg, &NOBODY, &report);
        ws_alloc_fail_at(-1);
        check_sum(&report);
        CHECK_EQ(report.tried, 20);
        CHECK_EQ(report.queued, 0);
        CHECK(report.failed <= 1); // memory fails once
        done = report.failed == 0;
        ws_hub_stats stats = ws_hub_get_stats(hub);
        CHECK_EQ(stats.counts.refused_full, 20); // whatever could be noted
        ws_msg_unref(msg);
        ws_report_release(&report);
        disperse(hub, clients, 20);
    }
}

static void
a_channel_without_memory_is_failed(void)
{
    ws_client *clients[5];
    ws_hub *hub = crowd(clients, 5);
    ws_msg *msg = kit_msg(1);
    ws_report report = {0};
    ws_alloc_fail_at(2); // the third client's ring
    ws_fan_out(hub, ALL, msg, &NOBODY, &report);
    ws_alloc_fail_at(-1);
    check_sum(&report);
    CHECK_EQ(report.queued, 4);
    CHECK_EQ(report.failed, 1);
    CHECK_EQ(ws_hub_get_stats(hub).counts.refused_nomem, 1);
    ws_msg_unref(msg);
    ws_report_release(&report);
    disperse(hub, clients, 5);
}

static void
an_attempt_without_a_message_is_counted_at_each(void)
{
    static const ws_err refusals[] = {WS_ERR_NOMEM, WS_ERR_TOO_BIG};
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        ws_client *clients[4];
        ws_hub *hub = crowd(clients, 4);
        ws_report report = {0};
        ws_exclude exclude = {&clients[0], 1};
        CHECK_EQ(ws_hub_close_client(clients[1], 1000, kit_text("")), WS_OK);
        ws_fan_out_refused(hub, (ws_target){.kind = WS_TO_PRESENT},
                           refusals[i], &exclude, &report);
        check_sum(&report);
        CHECK_EQ(report.tried, 3);
        CHECK_EQ(report.failed, 2);
        CHECK_EQ(report.closed, 1); // closed wins here, too
        ws_chan_counts counts = ws_hub_get_stats(hub).counts;
        CHECK_EQ(counts.refused_nomem, i == 0 ? 2 : 0);
        CHECK_EQ(counts.refused_too_large, i == 1 ? 2 : 0);
        CHECK_EQ(counts.refused_closed, 1);
        ws_report_release(&report);
        disperse(hub, clients, 4);
    }
}

/* ---- races */

enum { CLIENTS = 400, CASTERS = 3, CASTS = 60 };

typedef struct race {
    ws_hub *hub;
    ws_client *clients[CLIENTS];
    atomic_ullong tried, queued, full, closed;
    atomic_bool done;
} race;

static void *
cast_often(void *arg)
{
    race *r = arg;
    for (int i = 0; i < CASTS; i++) {
        ws_report report = cast(r->hub, ALL, 8, &NOBODY);
        CHECK_EQ(report.failed, 0);
        CHECK(report.tried <= CLIENTS);
        // The last third stays open throughout: each was tried.
        CHECK(report.tried >= CLIENTS / 3);
        atomic_fetch_add(&r->tried, report.tried);
        atomic_fetch_add(&r->queued, report.queued);
        atomic_fetch_add(&r->full, report.full_count);
        atomic_fetch_add(&r->closed, report.closed);
        ws_report_release(&report);
    }
    return NULL;
}

static void *
close_two_thirds(void *arg)
{
    race *r = arg;
    for (size_t i = 0; i < CLIENTS - CLIENTS / 3 - 1; i++) {
        CHECK_EQ(ws_hub_close_client(r->clients[i], 1000, kit_text("")),
                 WS_OK);
        if (i % 8 == 0) {
            sched_yield();
        }
    }
    return NULL;
}

static void *
sample_totals(void *arg)
{
    race *r = arg;
    while (!atomic_load(&r->done)) {
        ws_hub_stats stats = ws_hub_get_stats(r->hub);
        kit_check_law(&stats.counts, stats.queued);
        sched_yield();
    }
    return NULL;
}

/* Many broadcasts against closers and a pump: the reports' sums are the hub's
   totals, to the message. */
static void
reports_and_totals_agree_after_a_battle(void)
{
    static race r;
    memset(&r, 0, sizeof r);
    ws_hub_limits limits = KIT_ROOMY;
    limits.send.max_msgs = 8;
    kit_pump pump = {0};
    pthread_t casters[CASTERS];

    r.hub = kit_hub(limits);
    for (size_t i = 0; i < CLIENTS; i++) {
        r.clients[i] = kit_join_number(r.hub, i, NULL);
    }
    kit_pump_start(&pump, r.hub);
    pthread_t sampler = kit_spawn(sample_totals, &r);
    for (size_t i = 0; i < CASTERS; i++) {
        casters[i] = kit_spawn(cast_often, &r);
    }
    pthread_t closer = kit_spawn(close_two_thirds, &r);
    for (size_t i = 0; i < CASTERS; i++) {
        kit_join(casters[i]);
    }
    kit_join(closer);
    atomic_store(&r.done, true);
    kit_join(sampler);
    kit_pump_stop(&pump);

    ws_hub_stats stats = ws_hub_get_stats(r.hub);
    CHECK_EQ(stats.counts.accepted, r.queued);
    CHECK_EQ(stats.counts.refused_full, r.full);
    CHECK_EQ(stats.counts.refused_closed, r.closed);
    CHECK_EQ(kit_attempted(&stats.counts), r.tried);
    for (size_t i = 0; i < CLIENTS; i++) {
        ws_client_unref(r.clients[i]);
    }
    kit_hub_free(r.hub);
}

static const ws_test tests[] = {
    TEST(the_report_is_exact),
    TEST(closing_clients_are_reported_as_closed),
    TEST(the_excluded_are_not_tried),
    TEST(excluding_twice_or_a_stranger_is_harmless),
    TEST(all_chunks_get_one_shared_message),
    TEST(each_pump_is_told_of_its_own_clients),
    TEST(each_full_client_is_listed_once_with_a_reference),
    TEST(what_the_report_has_no_memory_for_is_failed),
    TEST(a_channel_without_memory_is_failed),
    TEST(an_attempt_without_a_message_is_counted_at_each),
    TEST(reports_and_totals_agree_after_a_battle),
};

TEST_MAIN(tests)

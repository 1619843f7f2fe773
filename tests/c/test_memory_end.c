#include "core/memory_end.h"

#include <sched.h>
#include <stdatomic.h>

#include "check.h"
#include "core/alloc.h"
#include "core/fanout.h"
#include "core/flush.h"
#include "core_kit.h"

static const ws_hub_limits SMALL = {
    .send = {.max_msgs = 2, .max_bytes = 1000},
    .inbound = {.max_messages = 2, .max_bytes = 1000},
};

static ws_memory_end *
join(ws_hub *hub, const char *id)
{
    ws_memory_end *end = NULL;
    ws_client_info info = {.id = kit_text(id)};
    CHECK_EQ(ws_memory_end_new(hub, &info, &end), WS_OK);
    return end;
}

/* What has come since the last call, dropped. */
static size_t
take(ws_memory_end *end)
{
    ws_msg **messages = NULL;
    size_t count = ws_memory_end_take(end, &messages);
    CHECK_EQ(messages == NULL, count == 0);
    for (size_t i = 0; i < count; i++) {
        ws_msg_unref(messages[i]);
    }
    ws_free(messages);
    return count;
}

static void
check_law(ws_hub *hub)
{
    ws_hub_stats stats = ws_hub_get_stats(hub);
    kit_check_law(&stats.counts, stats.queued);
}

static void
what_one_sender_sends_is_there_when_the_call_returns(void)
{
    ws_hub *hub = kit_hub(SMALL);
    ws_memory_end *end = join(hub, "a");
    ws_client *client = ws_memory_end_client(end);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(kit_send(client, 10), WS_OK);
        CHECK(ws_chan_is_empty(&client->chan));
    }
    CHECK_EQ(take(end), 1000);
    CHECK_EQ(take(end), 0);
    check_law(hub);
    ws_memory_end_free(end);
    kit_hub_free(hub);
}

static void
a_stalled_end_fills_its_channel_and_takes_all_of_it_later(void)
{
    ws_hub *hub = kit_hub(SMALL);
    ws_memory_end *end = join(hub, "a");
    ws_client *client = ws_memory_end_client(end);
    ws_memory_end_stall(end, true);
    CHECK_EQ(kit_send(client, 10), WS_OK);
    CHECK_EQ(kit_send(client, 10), WS_OK);
    CHECK_EQ(kit_send(client, 10), WS_ERR_FULL);
    CHECK_EQ(take(end), 0);
    CHECK_EQ(ws_memory_end_wait(end, 0, 0), WS_ERR_TIMEOUT);
    ws_memory_end_stall(end, false);
    CHECK_EQ(ws_memory_end_wait(end, 1, 0), WS_OK);
    CHECK_EQ(take(end), 2);
    CHECK_EQ(kit_send(client, 10), WS_OK);
    CHECK_EQ(take(end), 1);
    check_law(hub);
    ws_memory_end_free(end);
    kit_hub_free(hub);
}

static void
a_broadcast_reaches_ends_and_sockets_alike(void)
{
    enum { ENDS = 300 };
    static ws_memory_end *ends[ENDS];
    ws_exclude none = {NULL, 0};
    ws_report report = {0};
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *other = kit_join_hub(hub, "socket", NULL);
    for (int i = 0; i < ENDS; i++) {
        char id[24];
        snprintf(id, sizeof id, "%d", i);
        ends[i] = join(hub, id);
    }
    ws_msg *msg = kit_msg(5);
    CHECK(msg != NULL);
    ws_fan_out(hub, (ws_target){.kind = WS_TO_ALL}, msg, &none, &report);
    ws_msg_unref(msg);
    CHECK_EQ(report.queued, ENDS + 1);
    ws_report_release(&report);
    CHECK(!ws_chan_is_empty(&other->chan));
    CHECK(kit_readable(ws_wake_fd(ws_hub_wake(hub)), 0));
    for (int i = 0; i < ENDS; i++) {
        CHECK_EQ(take(ends[i]), 1);
        ws_memory_end_free(ends[i]);
    }
    ws_client_unref(other);
    kit_hub_free(hub);
}

static void
the_hub_closes_it_behind_what_is_queued(void)
{
    ws_hub *hub = kit_hub(SMALL);
    ws_memory_end *end = join(hub, "a");
    ws_client *client = ws_memory_end_client(end);
    ws_memory_end_stall(end, true);
    CHECK_EQ(kit_send(client, 10), WS_OK);
    CHECK_EQ(ws_hub_close_client(client, 4001, kit_text("bye")), WS_OK);
    CHECK_EQ(ws_client_get_state(client), WS_CLIENT_CLOSING);
    CHECK(!ws_memory_end_is_over(end));
    ws_memory_end_stall(end, false);
    CHECK(ws_memory_end_is_over(end));
    CHECK_EQ(ws_client_get_state(client), WS_CLIENT_CLOSED);
    CHECK_EQ(client->close_code, 4001);
    CHECK(client->clean);
    CHECK_EQ(take(end), 1);
    CHECK_EQ(client->chan.counts.lost, 0);
    CHECK_EQ(ws_memory_end_wait(end, 1000, UINT64_MAX), WS_OK);
    CHECK_EQ(ws_memory_end_send(end, "a", 1, true), WS_ERR_CLOSED);
    ws_memory_end_close(end, 1000, kit_text(""), true); // does nothing
    CHECK_EQ(client->close_code, 4001);
    ws_memory_end_free(end);
    kit_hub_free(hub);
}

static void
it_leaves_and_what_it_has_not_taken_is_lost(void)
{
    ws_hub *hub = kit_hub(SMALL);
    ws_hub_start_events(hub);
    ws_memory_end *end = join(hub, "a");
    ws_client *client = ws_client_ref(ws_memory_end_client(end));
    ws_memory_end_stall(end, true);
    CHECK_EQ(kit_send(client, 10), WS_OK);
    CHECK_EQ(ws_memory_end_send(end, "hi", 2, true), WS_OK);
    ws_memory_end_close(end, 4002, kit_text("done"), true);
    CHECK_EQ(client->chan.counts.lost, 1);
    CHECK_EQ(kit_send(client, 10), WS_ERR_CLOSED);
    static const ws_event_kind kinds[] = {WS_EVENT_CONNECTED, WS_EVENT_MESSAGE,
                                          WS_EVENT_DISCONNECTED};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        ws_event event;
        CHECK(ws_hub_take_event(hub, &event));
        CHECK_EQ(event.kind, kinds[i]);
        ws_event_release(&event);
    }
    CHECK_EQ(client->close_code, 4002);
    CHECK_STR_EQ(client->close_reason, "done");
    ws_client_unref(client);
    ws_memory_end_free(end);
    check_law(hub);
    kit_hub_free(hub);
}

static void
one_that_is_freed_vanishes(void)
{
    ws_hub *hub = kit_hub(SMALL);
    ws_memory_end *end = join(hub, "a");
    ws_client *client = ws_client_ref(ws_memory_end_client(end));
    CHECK_EQ(kit_send(client, 10), WS_OK); // never asked for
    ws_memory_end_free(end);
    CHECK_EQ(client->close_code, 1006);
    CHECK(!client->clean);
    CHECK_EQ(ws_hub_present(hub), 0);
    CHECK_EQ(kit_send(client, 10), WS_ERR_CLOSED);
    ws_client_kick(client); // there is nobody any more
    ws_client_unref(client);
    ws_memory_end_free(NULL);
    kit_hub_free(hub);
}

static void
inbound_messages_keep_to_the_limits_of_the_events(void)
{
    ws_hub *hub = kit_hub(SMALL);
    ws_memory_end *end = join(hub, "a");
    ws_client *client = ws_memory_end_client(end);
    ws_event event;
    CHECK_EQ(ws_memory_end_send(end, NULL, 0, true), WS_OK); // dropped
    CHECK_EQ(client->received_dropped, 1);
    ws_hub_start_events(hub);
    CHECK_EQ(ws_memory_end_send(end, "1", 1, true), WS_OK);
    CHECK_EQ(ws_memory_end_send(end, "2", 1, true), WS_ERR_FULL);
    CHECK(ws_hub_take_event(hub, &event)); // Connected
    ws_event_release(&event);
    CHECK(ws_hub_take_event(hub, &event));
    ws_event_release(&event);
    CHECK_EQ(ws_memory_end_send(end, "2", 1, true), WS_OK);
    CHECK_EQ(client->received, 3);
    CHECK_EQ(client->received_bytes, 2);
    ws_memory_end_stall(end, true);
    CHECK_EQ(kit_send(client, 1), WS_OK);
    CHECK_EQ(ws_hub_close_client(client, 1000, kit_text("")), WS_OK);
    CHECK_EQ(ws_memory_end_send(end, "3", 1, true), WS_OK); // dropped
    CHECK_EQ(client->received_dropped, 2);
    ws_memory_end_free(end);
    kit_hub_free(hub);
}

static void
a_flush_finds_nothing_left_or_waits_for_a_stalled_end(void)
{
    ws_hub *hub = kit_hub(SMALL);
    ws_memory_end *end = join(hub, "a");
    ws_client *client = ws_memory_end_client(end);
    ws_flush *flush = NULL;
    CHECK_EQ(kit_send(client, 10), WS_OK);
    CHECK_EQ(ws_flush_client(client, &flush), WS_OK);
    CHECK_EQ(ws_flush_wait(flush, 0), WS_OK);
    ws_flush_free(flush);
    ws_memory_end_stall(end, true);
    CHECK_EQ(kit_send(client, 10), WS_OK);
    CHECK_EQ(ws_flush_hub(hub, &flush), WS_OK);
    CHECK_EQ(ws_flush_wait(flush, 0), WS_ERR_TIMEOUT);
    ws_memory_end_stall(end, false);
    CHECK_EQ(ws_flush_wait(flush, 0), WS_OK);
    ws_flush_free(flush);
    ws_memory_end_free(end);
    kit_hub_free(hub);
}

static void
a_hub_that_closes_waits_for_none_of_them(void)
{
    ws_hub *hub = kit_hub(SMALL);
    ws_client *other = kit_join_hub(hub, "socket", NULL);
    ws_memory_end *reads = join(hub, "reads");
    ws_memory_end *stalled = join(hub, "stalled");
    ws_memory_end_stall(stalled, true);
    CHECK_EQ(kit_send(ws_memory_end_client(stalled), 10), WS_OK);
    ws_memory_end_close_all(hub, 1001, kit_text("going"));
    CHECK(ws_memory_end_is_over(reads));
    CHECK(!ws_memory_end_is_over(stalled));
    CHECK_EQ(ws_client_get_state(other), WS_CLIENT_OPEN);
    ws_hub_shut(hub);
    ws_memory_end_cut_all(hub);
    CHECK(ws_memory_end_is_over(stalled));
    CHECK_EQ(ws_memory_end_client(stalled)->close_code, 1001);
    CHECK_EQ(ws_memory_end_client(stalled)->chan.counts.lost, 1);
    CHECK_EQ(ws_hub_present(hub), 1);
    check_law(hub);
    ws_memory_end *late = NULL;
    ws_client_info info = {.id = kit_text("late")};
    CHECK_EQ(ws_memory_end_new(hub, &info, &late), WS_ERR_HUB_CLOSED);
    ws_memory_end_free(reads);
    ws_memory_end_free(stalled);
    ws_client_unref(other);
    kit_hub_free(hub);
}

static void
without_memory_nothing_is_made_and_nothing_is_lost(void)
{
    ws_hub *hub = kit_hub(SMALL);
    ws_client_info info = {.id = kit_text("a")};
    ws_memory_end *end = NULL;
    ws_err err = WS_ERR_NOMEM;
    for (long n = 0; err != WS_OK; n++) {
        ws_alloc_fail_at(n);
        err = ws_memory_end_new(hub, &info, &end);
        CHECK(err == WS_OK || ws_hub_present(hub) == 0);
    }
    ws_alloc_fail_at(-1);
    ws_client *client = ws_memory_end_client(end);
    CHECK_EQ(kit_send(client, 10), WS_OK); // the ring and the array are there
    CHECK_EQ(take(end), 1);
    ws_alloc_fail_at(1); // the array; the message is there
    CHECK_EQ(kit_send(client, 10), WS_OK);
    CHECK_EQ(ws_alloc_failed(), 1);
    ws_alloc_fail_at(-1);
    CHECK_EQ(client->chan.len, 1);
    CHECK_EQ(take(end), 1);
    ws_alloc_fail_at(0);
    CHECK_EQ(ws_memory_end_send(end, "a", 1, true), WS_ERR_NOMEM);
    ws_alloc_fail_at(-1);
    check_law(hub);
    ws_memory_end_free(end);
    kit_hub_free(hub);
}

/* ---- many threads */

enum { SENDERS = 4, EACH = 2000 };

typedef struct race {
    ws_hub *hub;
    ws_memory_end *end;
    atomic_uint accepted;
    atomic_bool stop;
} race;

static void *
send_each(void *arg)
{
    race *r = arg;
    for (int i = 0; i < EACH; i++) {
        if (kit_send(ws_memory_end_client(r->end), 10) == WS_OK) {
            atomic_fetch_add(&r->accepted, 1);
        }
    }
    return NULL;
}

static void *
stall_and_go_on(void *arg)
{
    race *r = arg;
    while (!atomic_load(&r->stop)) {
        ws_memory_end_stall(r->end, true);
        sched_yield();
        ws_memory_end_stall(r->end, false);
        check_law(r->hub);
    }
    return NULL;
}

static void
all_that_many_threads_have_sent_comes(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    race r = {.hub = hub, .end = join(hub, "a")};
    pthread_t threads[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        threads[i] = kit_spawn(send_each, &r);
    }
    pthread_t other = kit_spawn(stall_and_go_on, &r);
    size_t came = 0;
    for (int i = 0; i < SENDERS; i++) {
        came += take(r.end);
        kit_join(threads[i]);
    }
    atomic_store(&r.stop, true);
    kit_join(other);
    came += take(r.end);
    CHECK_EQ(came, r.accepted);
    CHECK_EQ(ws_memory_end_client(r.end)->chan.counts.written, came);
    ws_memory_end_free(r.end);
    kit_hub_free(hub);
}

static void
a_sleeper_is_woken_by_each_message_and_by_the_end(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    race r = {.hub = hub, .end = join(hub, "a")};
    pthread_t sender = kit_spawn(send_each, &r);
    for (uint64_t seen = 0; seen < EACH; seen++) {
        CHECK_EQ(ws_memory_end_wait(r.end, seen, kit_deadline()), WS_OK);
    }
    kit_join(sender);
    ws_memory_end_close_all(hub, 1001, kit_text(""));
    CHECK_EQ(ws_memory_end_wait(r.end, EACH, kit_deadline()), WS_OK);
    ws_memory_end_free(r.end);
    kit_hub_free(hub);
}

static void *
broadcast_until_told(void *arg)
{
    race *r = arg;
    ws_exclude none = {NULL, 0};
    ws_msg *msg = kit_msg(10);
    while (!atomic_load(&r->stop)) {
        ws_report report = {0};
        ws_fan_out(r->hub, (ws_target){.kind = WS_TO_ALL}, msg, &none,
                   &report);
        ws_report_release(&report);
    }
    ws_msg_unref(msg);
    return NULL;
}

static void
ends_come_and_go_amid_broadcasts(void)
{
    enum { ROUNDS = 300 };
    ws_hub *hub = kit_hub(KIT_ROOMY);
    race r = {.hub = hub};
    pthread_t threads[2] = {kit_spawn(broadcast_until_told, &r),
                            kit_spawn(broadcast_until_told, &r)};
    for (int i = 0; i < ROUNDS; i++) {
        ws_memory_end *end = join(hub, "a");
        CHECK_EQ(ws_memory_end_wait(end, 0, kit_deadline()), WS_OK);
        if (i % 3 == 0) {
            ws_memory_end_close_all(hub, 1001, kit_text("x"));
            CHECK(ws_memory_end_is_over(end));
        } else if (i % 3 == 1) {
            ws_memory_end_close(end, 1000, kit_text(""), true);
        }
        ws_memory_end_free(end);
    }
    atomic_store(&r.stop, true);
    kit_join(threads[0]);
    kit_join(threads[1]);
    check_law(hub);
    kit_hub_free(hub);
}

static const ws_test tests[] = {
    TEST(what_one_sender_sends_is_there_when_the_call_returns),
    TEST(a_stalled_end_fills_its_channel_and_takes_all_of_it_later),
    TEST(a_broadcast_reaches_ends_and_sockets_alike),
    TEST(the_hub_closes_it_behind_what_is_queued),
    TEST(it_leaves_and_what_it_has_not_taken_is_lost),
    TEST(one_that_is_freed_vanishes),
    TEST(inbound_messages_keep_to_the_limits_of_the_events),
    TEST(a_flush_finds_nothing_left_or_waits_for_a_stalled_end),
    TEST(a_hub_that_closes_waits_for_none_of_them),
    TEST(without_memory_nothing_is_made_and_nothing_is_lost),
    TEST(all_that_many_threads_have_sent_comes),
    TEST(a_sleeper_is_woken_by_each_message_and_by_the_end),
    TEST(ends_come_and_go_amid_broadcasts),
};

TEST_MAIN(tests)

#include "core/flush.h"

#include <sched.h>

#include "check.h"
#include "core_kit.h"

static ws_flush *
flush_of(ws_client *client)
{
    ws_flush *flush = NULL;
    CHECK_EQ(ws_flush_client(client, &flush), WS_OK);
    return flush;
}

static void
nothing_queued_is_flushed_at_once(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    ws_flush *flush = flush_of(client);
    CHECK_EQ(ws_flush_wait(flush, 0), WS_OK); // long past: it does not sleep
    ws_flush_free(flush);
    ws_flush_free(NULL);
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
an_empty_hub_is_flushed_at_once(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_flush *flush = NULL;
    CHECK_EQ(ws_flush_hub(hub, &flush), WS_OK);
    CHECK_EQ(ws_flush_wait(flush, 0), WS_OK);
    ws_flush_free(flush);
    kit_hub_free(hub);
}

static void
it_times_out_and_may_be_waited_for_again(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(kit_send(client, 1), WS_OK);
    ws_flush *flush = flush_of(client);
    uint64_t until = ws_now_ns() + 20 * WS_NS_PER_MS;
    CHECK_EQ(ws_flush_wait(flush, until), WS_ERR_TIMEOUT);
    CHECK(ws_now_ns() >= until);
    CHECK_EQ(ws_flush_wait(flush, 0), WS_ERR_TIMEOUT);
    CHECK_EQ(kit_write(client, 100), 1);
    CHECK_EQ(ws_flush_wait(flush, 0), WS_OK);
    ws_flush_free(flush);
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
later_messages_are_not_waited_for(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(kit_send(client, 1), WS_OK);
    ws_flush *flush = flush_of(client);
    CHECK_EQ(kit_send(client, 1), WS_OK);
    CHECK_EQ(kit_write(client, 3), 1);
    CHECK_EQ(ws_flush_wait(flush, 0), WS_OK);
    ws_flush_free(flush);
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
several_may_wait_for_one_client(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    ws_flush *flushes[3];
    for (size_t i = 0; i < COUNT_OF(flushes); i++) {
        CHECK_EQ(kit_send(client, 1), WS_OK);
        flushes[i] = flush_of(client);
    }
    for (size_t i = 0; i < COUNT_OF(flushes); i++) {
        CHECK_EQ(kit_write(client, 3), 1);
        for (size_t k = 0; k < COUNT_OF(flushes); k++) {
            CHECK_EQ(ws_flush_wait(flushes[k], 0),
                     k <= i ? WS_OK : WS_ERR_TIMEOUT);
        }
    }
    for (size_t i = 0; i < COUNT_OF(flushes); i++) {
        ws_flush_free(flushes[i]);
    }
    ws_client_unref(client);
    kit_hub_free(hub);
}

/* How two clients end, and what a flush of the hub makes of it. */
static void
a_flush_of_the_hub_tells_losses(void)
{
    static const struct {
        const char *what;
        bool first_written, second_written;
        ws_err want;
    } cases[] = {
        {"both written, then ended", true, true, WS_OK},
        {"one lost", true, false, WS_ERR_CLOSED},
        {"both lost", false, false, WS_ERR_CLOSED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub *hub = kit_hub(KIT_ROOMY);
        ws_client *first = kit_join_hub(hub, "a", NULL);
        ws_client *second = kit_join_hub(hub, "b", NULL);
        ws_flush *flush = NULL;
        CHECK_EQ(kit_send(first, 1), WS_OK);
        CHECK_EQ(kit_send(second, 1), WS_OK);
        // One that is closing is waited for, too.
        CHECK_EQ(ws_hub_close_client(second, 1000, kit_text("")), WS_OK);
        CHECK_EQ(ws_flush_hub(hub, &flush), WS_OK);
        CHECK_EQ(ws_flush_wait(flush, 0), WS_ERR_TIMEOUT);
        CHECK_EQ(kit_write(first, cases[i].first_written ? 9 : 1),
                 cases[i].first_written);
        ws_hub_end_client(first, 1006, kit_text(""), false);
        CHECK_EQ(ws_flush_wait(flush, 0), WS_ERR_TIMEOUT);
        CHECK_EQ(kit_write(second, cases[i].second_written ? 9 : 1),
                 cases[i].second_written);
        ws_hub_end_client(second, 1000, kit_text(""), true);
        ws_err err = ws_flush_wait(flush, 0);
        kit_case(cases[i].what, err == cases[i].want);
        CHECK_EQ(err, cases[i].want);
        ws_flush_free(flush);
        ws_client_unref(first);
        ws_client_unref(second);
        kit_hub_free(hub);
    }
}

static void
giving_up_takes_every_waiter_off(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *first = kit_join_hub(hub, "a", NULL);
    ws_client *second = kit_join_hub(hub, "b", NULL);
    ws_flush *flush = NULL;
    CHECK_EQ(kit_send(first, 1), WS_OK);
    CHECK_EQ(kit_send(second, 1), WS_OK);
    CHECK_EQ(ws_flush_hub(hub, &flush), WS_OK);
    CHECK_EQ(kit_write(first, 100), 1); // one has fired, the other has not
    ws_flush_free(flush);
    CHECK(second->chan.waiters == NULL);
    CHECK_EQ(kit_write(second, 100), 1); // nobody is there to be told
    ws_client_unref(first);
    ws_client_unref(second);
    kit_hub_free(hub);
}

static void
every_allocation_may_fail(void)
{
    bool done = false;
    for (long n = 0; !done; n++) {
        ws_hub *hub = kit_hub(KIT_ROOMY);
        ws_client *client = kit_join_hub(hub, "a", NULL);
        ws_flush *flush = NULL;
        CHECK_EQ(kit_send(client, 1), WS_OK);
        long before = ws_alloc_live();
        ws_alloc_fail_at(n);
        ws_err err = n % 2 == 0 ? ws_flush_hub(hub, &flush)
                                : ws_flush_client(client, &flush);
        ws_alloc_fail_at(-1);
        done = err == WS_OK && n > 3;
        if (err == WS_OK) {
            ws_flush_free(flush);
        } else {
            CHECK_EQ(err, WS_ERR_NOMEM);
        }
        CHECK_EQ(ws_alloc_live(), before);
        CHECK_EQ(client->refs, 3); // ours, the hub's, the list's
        ws_client_unref(client);
        kit_hub_free(hub);
    }
}

/* ---- races */

enum { FLUSHERS = 3, ROUNDS = 300 };

typedef struct race {
    ws_hub *hub;
    ws_client *client;
} race;

static void *
send_and_flush(void *arg)
{
    const race *r = arg;
    for (int i = 0; i < ROUNDS; i++) {
        ws_flush *flush = NULL;
        CHECK_EQ(kit_send(r->client, 8), WS_OK);
        CHECK_EQ(i % 2 == 0 ? ws_flush_client(r->client, &flush)
                            : ws_flush_hub(r->hub, &flush),
                 WS_OK);
        CHECK_EQ(ws_flush_wait(flush, kit_deadline()), WS_OK);
        ws_flush_free(flush);
    }
    return NULL;
}

static void
every_flush_ends_while_the_pump_writes(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    kit_pump pump = {0};
    race r = {hub, kit_join_hub(hub, "a", NULL)};
    pthread_t threads[FLUSHERS];
    kit_pump_start(&pump, hub);
    for (int i = 0; i < FLUSHERS; i++) {
        threads[i] = kit_spawn(send_and_flush, &r);
    }
    for (int i = 0; i < FLUSHERS; i++) {
        kit_join(threads[i]);
    }
    kit_pump_stop(&pump);
    ws_client_unref(r.client);
    kit_hub_free(hub);
}

static void *
send_and_give_up(void *arg)
{
    const race *r = arg;
    for (int i = 0; i < 4 * ROUNDS; i++) {
        ws_flush *flush = NULL;
        ws_err err = kit_send(r->client, 8);
        CHECK(err == WS_OK || err == WS_ERR_FULL || err == WS_ERR_CLOSED);
        CHECK_EQ(ws_flush_client(r->client, &flush), WS_OK);
        if (i % 3 == 0) {
            sched_yield();
        }
        ws_flush_free(flush); // perhaps while it fires
    }
    return NULL;
}

static void
giving_up_races_the_firing_and_the_end(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    kit_pump pump = {0};
    race r = {hub, kit_join_hub(hub, "a", NULL)};
    pthread_t threads[FLUSHERS];
    kit_pump_start(&pump, hub);
    for (int i = 0; i < FLUSHERS; i++) {
        threads[i] = kit_spawn(send_and_give_up, &r);
    }
    kit_join(threads[0]);
    CHECK_EQ(ws_hub_close_client(r.client, 1000, kit_text("")), WS_OK);
    for (int i = 1; i < FLUSHERS; i++) {
        kit_join(threads[i]);
    }
    kit_pump_stop(&pump);
    ws_client_unref(r.client);
    kit_hub_free(hub);
}

static const ws_test tests[] = {
    TEST(nothing_queued_is_flushed_at_once),
    TEST(an_empty_hub_is_flushed_at_once),
    TEST(it_times_out_and_may_be_waited_for_again),
    TEST(later_messages_are_not_waited_for),
    TEST(several_may_wait_for_one_client),
    TEST(a_flush_of_the_hub_tells_losses),
    TEST(giving_up_takes_every_waiter_off),
    TEST(every_allocation_may_fail),
    TEST(every_flush_ends_while_the_pump_writes),
    TEST(giving_up_races_the_firing_and_the_end),
};

TEST_MAIN(tests)

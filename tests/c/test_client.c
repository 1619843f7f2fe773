#include "core/client.h"

#include <sched.h>

#include "check.h"
#include "core_kit.h"

static void
what_is_fixed_at_birth_is_copied(void)
{
    char id[] = "user-42";
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client_info info = {
        .id = {id, 7},
        .user = {"4\0 2", 4},
        .remote = {"192.0.2.1, and more of it", 9},
        .peer = kit_text("127.0.0.1"),
        .subprotocol = {"", 0},
    };
    ws_client *client = ws_client_new(hub, ws_hub_wake(hub), &info);
    CHECK(client != NULL);
    memset(id, '-', 7);

    const ws_client_info *got = &client->info;
    CHECK_STR_EQ(got->id.data, "user-42");
    CHECK_EQ(got->id.size, 7);
    CHECK_EQ(got->user.size, 4);
    CHECK_MEM_EQ(got->user.data, "4\0 2", 5);
    CHECK_STR_EQ(got->remote.data, "192.0.2.1");
    CHECK_STR_EQ(got->peer.data, "127.0.0.1");
    CHECK_STR_EQ(got->subprotocol.data, ""); // empty is not none
    CHECK(got->request.data == NULL);
    CHECK_EQ(got->request.size, 0);
    CHECK_EQ(ws_client_get_state(client), WS_CLIENT_OPEN);
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
it_keeps_its_hub_and_its_doorbell_alive(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_client(hub, "a", NULL);
    ws_hub_unref(hub);
    CHECK_EQ(kit_send(client, 1), WS_OK);
    ws_wake_chain dirty;
    ws_task *tasks;
    ws_wake_end(client->wake, &dirty, &tasks);
    CHECK(dirty.head == &client->link);
    kit_drop_dirty(&dirty);
    ws_client_unref(client);
    ws_client_unref(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* How often a client stands on its pump's list. */
static size_t
take_dirty(ws_hub *hub, const ws_client *client)
{
    ws_wake_chain dirty;
    ws_task *tasks;
    size_t found = 0;
    ws_wake_take(ws_hub_wake(hub), &dirty, &tasks);
    for (ws_wake_link *link = dirty.head; link != NULL; link = link->next) {
        found += ws_client_of_link(link) == client ? 1 : 0;
    }
    kit_drop_dirty(&dirty);
    return found;
}

static void
many_sends_put_it_on_the_list_once(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *client = kit_join_hub(hub, "a", NULL);
    CHECK_EQ(take_dirty(hub, client), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(kit_send(client, 1), WS_OK);
    }
    ws_client_kick(client);
    CHECK(kit_readable(ws_wake_fd(ws_hub_wake(hub)), 0));
    CHECK_EQ(take_dirty(hub, client), 1);
    // Linking depends on the mark, never on the channel being empty.
    CHECK_EQ(kit_send(client, 1), WS_OK);
    CHECK_EQ(take_dirty(hub, client), 1);
    ws_client_kick(client);
    CHECK_EQ(take_dirty(hub, client), 1);
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
a_refused_send_wakes_nobody(void)
{
    static const struct {
        const char *what;
        size_t size;
        bool close;
        ws_err want;
    } cases[] = {
        {"full", 4, false, WS_ERR_FULL},
        {"too large", 11, false, WS_ERR_TOO_BIG},
        {"closed", 1, true, WS_ERR_CLOSED},
    };
    ws_hub_limits limits = KIT_ROOMY;
    limits.send.max_bytes = 10;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_hub *hub = kit_hub(limits);
        ws_client *client = kit_join_hub(hub, "a", NULL);
        CHECK_EQ(kit_send(client, 7), WS_OK);
        if (cases[i].close) {
            CHECK_EQ(ws_hub_close_client(client, 1000, kit_text("")), WS_OK);
        }
        (void)take_dirty(hub, client);
        ws_err err = kit_send(client, cases[i].size);
        kit_case(cases[i].what, err == cases[i].want);
        CHECK_EQ(err, cases[i].want);
        CHECK_EQ(take_dirty(hub, client), 0);
        CHECK(!kit_readable(ws_wake_fd(ws_hub_wake(hub)), 0));
        ws_client_unref(client);
        kit_hub_free(hub);
    }
}

static void
a_chain_rings_once_for_many(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *clients[] = {kit_join_hub(hub, "a", NULL),
                            kit_join_hub(hub, "b", NULL),
                            kit_join_hub(hub, "c", NULL)};
    ws_wake_chain chain = {NULL, NULL};
    ws_msg *msg = kit_msg(1);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT_OF(clients); i++) {
            CHECK_EQ(ws_client_send_chained(clients[i], msg, &chain), WS_OK);
        }
    }
    CHECK(!kit_readable(ws_wake_fd(ws_hub_wake(hub)), 0));
    ws_client_wake_chain(ws_hub_wake(hub), &chain);
    CHECK(chain.head == NULL);
    CHECK(kit_readable(ws_wake_fd(ws_hub_wake(hub)), 0));

    ws_wake_chain dirty;
    ws_task *tasks;
    ws_wake_take(ws_hub_wake(hub), &dirty, &tasks);
    ws_wake_link *link = dirty.head;
    for (size_t i = 0; i < COUNT_OF(clients); i++, link = link->next) {
        CHECK(ws_client_of_link(link) == clients[i]);
    }
    CHECK(link == NULL);
    kit_drop_dirty(&dirty);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        ws_client_unref(clients[i]);
    }
    ws_msg_unref(msg);
    kit_hub_free(hub);
}

static void
without_a_pump_the_lists_references_are_dropped(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    ws_client *clients[] = {kit_join_hub(hub, "a", NULL),
                            kit_join_hub(hub, "b", NULL)};
    ws_wake_chain chain = {NULL, NULL};
    ws_task *tasks;
    ws_wake_chain dirty;
    ws_msg *msg = kit_msg(1);

    ws_wake_end(ws_hub_wake(hub), &dirty, &tasks);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        CHECK_EQ(ws_client_send_chained(clients[i], msg, &chain), WS_OK);
    }
    ws_client_wake_chain(ws_hub_wake(hub), &chain);
    CHECK(chain.head == NULL);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        ws_client_kick(clients[i]);
        CHECK_EQ(clients[i]->refs, 2); // the hub's and ours
        ws_client_unref(clients[i]);
    }
    ws_msg_unref(msg);
    kit_hub_free(hub);
}

static void
a_client_without_memory_is_none(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    long before = ws_alloc_live();
    ws_alloc_fail_at(0);
    CHECK(kit_client(hub, "a", "b") == NULL);
    CHECK_EQ(ws_alloc_live(), before);
    kit_hub_free(hub);
}

/* The memory of an idle connection is a promise; this is its largest part. */
static void
an_idle_client_is_small(void)
{
    CHECK(sizeof(ws_client) <= 576);
}

enum { SENDERS = 3, CLIENTS = 20, ROUNDS = 1500 };

typedef struct race {
    ws_client *clients[CLIENTS];
    atomic_ullong attempts;
} race;

static void *
send_round_robin(void *arg)
{
    race *r = arg;
    for (int i = 0; i < ROUNDS; i++) {
        ws_err err = kit_send(r->clients[i % CLIENTS], 8);
        CHECK(err == WS_OK || err == WS_ERR_FULL || err == WS_ERR_CLOSED);
        atomic_fetch_add(&r->attempts, 1);
    }
    return NULL;
}

static void *
close_some(void *arg)
{
    race *r = arg;
    for (int i = 0; i < CLIENTS; i += 2) {
        CHECK_EQ(ws_hub_close_client(r->clients[i], 1000, kit_text("bye")),
                 WS_OK);
        sched_yield();
    }
    return NULL;
}

/* Senders, closers and the pump: each attempt is counted, all that stays open
   is written, and every reference comes back. */
static void
senders_race_closers_and_the_pump(void)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.send.max_msgs = 16;
    ws_hub *hub = kit_hub(limits);
    kit_pump pump = {0};
    race r = {.attempts = 0};
    pthread_t senders[SENDERS];

    for (int i = 0; i < CLIENTS; i++) {
        r.clients[i] = kit_join_number(hub, (size_t)i, NULL);
    }
    kit_pump_start(&pump, hub);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = kit_spawn(send_round_robin, &r);
    }
    pthread_t closer = kit_spawn(close_some, &r);
    for (int i = 0; i < SENDERS; i++) {
        kit_join(senders[i]);
    }
    kit_join(closer);
    for (int i = 0; i < CLIENTS; i++) {
        WITHIN(ws_chan_is_empty(&r.clients[i]->chan), 10);
    }
    kit_pump_stop(&pump);
    ws_hub_stats stats = ws_hub_get_stats(hub);
    kit_check_law(&stats.counts, stats.queued);
    CHECK_EQ(kit_attempted(&stats.counts), r.attempts);
    CHECK_EQ(stats.counts.lost, 0); // a fair pump loses nothing
    CHECK_EQ(stats.queued, 0);
    for (int i = 0; i < CLIENTS; i++) {
        ws_client_unref(r.clients[i]);
    }
    kit_hub_free(hub);
}

/* An encoder whose forms are half as long, and which counts what it is asked
   for; messages under ten bytes go as they are. */
typedef struct halver {
    ws_encoder base;
    unsigned key;
    int made, released;
    enum { HALVES, IS_NOT_WORTH_IT, HAS_NO_MEMORY } mood;
} halver;

static unsigned
halver_key(const ws_encoder *base, size_t size)
{
    return size < 10 ? 0 : ((const halver *)base)->key;
}

static ws_msg *
halver_encode(ws_encoder *base, ws_msg *msg, unsigned key)
{
    halver *h = (halver *)base;
    CHECK_EQ(key, h->key);
    h->made++;
    if (h->mood == HAS_NO_MEMORY) {
        return NULL;
    }
    if (h->mood == IS_NOT_WORTH_IT) {
        return ws_msg_ref(msg);
    }
    return ws_msg_new_form((const uint8_t *)"f", 1, ws_msg_payload(msg),
                           ws_msg_size(msg) / 2, ws_msg_size(msg));
}

static void
halver_unref(ws_encoder *base)
{
    ((halver *)base)->released++;
}

static halver
make_halver(unsigned key)
{
    return (halver){
        .base = {halver_key, halver_encode, halver_unref},
        .key = key,
    };
}

static ws_client *
join_encoding(ws_hub *hub, const char *id, halver *h)
{
    ws_client *client = kit_client(hub, id, NULL);
    client->encoder = &h->base;
    CHECK_EQ(ws_hub_join(hub, client), WS_OK);
    return client;
}

/* Frame bytes of the oldest message in the channel. */
static size_t
peek_size(ws_client *client)
{
    ws_msg *out[WS_CHAN_BATCH];
    size_t offset = 0;
    CHECK(ws_chan_peek(&client->chan, out, 1, &offset) > 0);
    return ws_msg_frame_size(out[0]);
}

static void
a_form_is_made_once_and_charged_as_the_original(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    halver h = make_halver(7);
    ws_client *a = join_encoding(hub, "a", &h);
    ws_client *b = join_encoding(hub, "b", &h);
    ws_client *plain = kit_join_hub(hub, "c", NULL);
    ws_msg *msg = kit_msg(100);
    CHECK(ws_client_encodes(a, 100));
    CHECK(!ws_client_encodes(a, 9));
    CHECK(!ws_client_encodes(plain, 100));
    CHECK_EQ(ws_client_send(a, msg), WS_OK);
    CHECK_EQ(ws_client_send(a, msg), WS_OK);
    CHECK_EQ(ws_client_send(b, msg), WS_OK);
    CHECK_EQ(ws_client_send(plain, msg), WS_OK);
    CHECK_EQ(h.made, 1);
    CHECK_EQ(ws_counted(&ws_hub_counters(hub)->compressed), 1);
    CHECK_EQ(peek_size(a), 51);
    CHECK_EQ(peek_size(plain), 102);
    ws_chan_stats stats = ws_chan_get_stats(&a->chan);
    CHECK_EQ(stats.queued_bytes, 200);
    CHECK_EQ(kit_write(a, 102), 2);
    stats = ws_chan_get_stats(&a->chan);
    CHECK_EQ(stats.counts.written_bytes, 200);
    CHECK_EQ(stats.queued_bytes, 0);
    kit_check_law(&stats.counts, stats.queued);
    ws_msg_unref(msg);

    CHECK_EQ(kit_send(a, 9), WS_OK);
    CHECK_EQ(h.made, 1);
    CHECK_EQ(peek_size(a), 11);
    ws_client_unref(a);
    ws_client_unref(b);
    ws_client_unref(plain);
    kit_hub_free(hub);
    CHECK_EQ(h.released, 2);
}

static void
what_is_not_worth_it_or_has_no_memory_goes_as_it_is(void)
{
    ws_hub *hub = kit_hub(KIT_ROOMY);
    halver h = make_halver(7);
    ws_client *client = join_encoding(hub, "a", &h);
    ws_msg *msg = kit_msg(100);
    h.mood = HAS_NO_MEMORY;
    CHECK_EQ(ws_client_send(client, msg), WS_OK);
    CHECK_EQ(peek_size(client), 102);
    h.mood = IS_NOT_WORTH_IT;
    CHECK_EQ(ws_client_send(client, msg), WS_OK); // tries again
    CHECK_EQ(ws_client_send(client, msg), WS_OK); // and remembers that
    CHECK_EQ(h.made, 2);
    CHECK_EQ(ws_counted(&ws_hub_counters(hub)->compressed), 0);
    CHECK_EQ(kit_write(client, 306), 3);
    ws_msg_unref(msg);
    ws_client_unref(client);
    kit_hub_free(hub);
}

static void
for_a_client_that_refuses_no_form_is_made(void)
{
    ws_hub_limits limits = KIT_ROOMY;
    limits.send = (ws_chan_limits){.max_msgs = 2, .max_bytes = 150};
    ws_hub *hub = kit_hub(limits);
    halver h = make_halver(7);
    ws_client *client = join_encoding(hub, "a", &h);
    CHECK_EQ(kit_send(client, 100), WS_OK);
    CHECK_EQ(h.made, 1);
    CHECK_EQ(kit_send(client, 51), WS_ERR_FULL); // though its form would fit
    CHECK_EQ(kit_send(client, 151), WS_ERR_TOO_BIG);
    CHECK_EQ(kit_send(client, 50), WS_OK);
    CHECK_EQ(h.made, 2);
    CHECK_EQ(kit_send(client, 10), WS_ERR_FULL);
    CHECK_EQ(ws_hub_close_client(client, 1000, kit_text("")), WS_OK);
    CHECK_EQ(kit_send(client, 10), WS_ERR_CLOSED);
    CHECK_EQ(h.made, 2);
    ws_chan_stats stats = ws_chan_get_stats(&client->chan);
    CHECK_EQ(stats.counts.refused_full, 2);
    CHECK_EQ(stats.counts.refused_too_large, 1);
    CHECK_EQ(stats.counts.refused_closed, 1);
    CHECK_EQ(kit_attempted(&stats.counts), 6);
    ws_client_unref(client);
    kit_hub_free(hub);
}

static const ws_test tests[] = {
    TEST(a_form_is_made_once_and_charged_as_the_original),
    TEST(what_is_not_worth_it_or_has_no_memory_goes_as_it_is),
    TEST(for_a_client_that_refuses_no_form_is_made),
    TEST(what_is_fixed_at_birth_is_copied),
    TEST(it_keeps_its_hub_and_its_doorbell_alive),
    TEST(many_sends_put_it_on_the_list_once),
    TEST(a_refused_send_wakes_nobody),
    TEST(a_chain_rings_once_for_many),
    TEST(without_a_pump_the_lists_references_are_dropped),
    TEST(a_client_without_memory_is_none),
    TEST(an_idle_client_is_small),
    TEST(senders_race_closers_and_the_pump),
};

TEST_MAIN(tests)

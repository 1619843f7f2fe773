#include "core/topic.h"

#include "check.h"
#include "core_kit.h"

/* The tables are the test's own, so that nothing but topic.c touches them. */
typedef struct world {
    ws_hub *hub; // only to make clients with
    ws_table *table;
    ws_client *clients[3];
    uint64_t numbers;
} world;

static world
make_world(void)
{
    world w = {.hub = kit_hub(KIT_ROOMY), .table = ws_table_new()};
    CHECK(w.table != NULL);
    for (size_t i = 0; i < COUNT_OF(w.clients); i++) {
        w.clients[i] = kit_client(w.hub, "x", NULL);
        CHECK(w.clients[i] != NULL);
    }
    return w;
}

static void
free_world(world *w)
{
    for (size_t i = 0; i < COUNT_OF(w->clients); i++) {
        CHECK(w->clients[i]->subscriptions == NULL);
        ws_client_unref(w->clients[i]);
    }
    CHECK_EQ(ws_table_size(w->table), 0);
    ws_table_free(w->table);
    kit_hub_free(w->hub);
}

static ws_err
subscribe(world *w, size_t i, const char *name, bool *added)
{
    return ws_topic_subscribe(w->table, w->clients[i], kit_text(name),
                              w->numbers++, added);
}

static size_t
members(const world *w, const char *name)
{
    const ws_named *named = ws_named_get(w->table, kit_text(name));
    return named == NULL ? 0 : named->group.size;
}

static void
a_named_group_lives_while_it_has_members(void)
{
    world w = make_world();
    ws_named *named[3];
    ws_group_place places[3];

    CHECK(ws_named_get(w.table, kit_text("a")) == NULL);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(ws_named_join(w.table, kit_text("a"), w.clients[i], i,
                               &named[i], &places[i]),
                 WS_OK);
        CHECK(named[i] == named[0]);
        CHECK(ws_named_get(w.table, kit_text("a")) == named[0]);
    }
    CHECK_STR_EQ(named[0]->name, "a");
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQ(members(&w, "a"), 3 - i);
        ws_named_leave(w.table, named[i], places[i]);
    }
    CHECK(ws_named_get(w.table, kit_text("a")) == NULL);
    free_world(&w);
}

static void
names_are_bytes_of_a_length(void)
{
    static const ws_text names[] = {
        {"", 0}, {"a", 1}, {"a\0", 2}, {"a\0b", 3}, {"aa", 2}, {"\xc3\xa4", 2},
    };
    world w = make_world();
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        bool added = false;
        CHECK_EQ(
            ws_topic_subscribe(w.table, w.clients[0], names[i], i, &added),
            WS_OK);
        CHECK(added);
    }
    CHECK_EQ(ws_table_size(w.table), COUNT_OF(names));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        CHECK(ws_topic_unsubscribe(w.table, w.clients[0], names[i]));
    }
    free_world(&w);
}

static void
subscribing_twice_is_once(void)
{
    world w = make_world();
    bool added = false;
    CHECK_EQ(subscribe(&w, 0, "news", &added), WS_OK);
    CHECK(added);
    CHECK_EQ(subscribe(&w, 0, "news", &added), WS_OK);
    CHECK(!added);
    CHECK_EQ(subscribe(&w, 1, "news", &added), WS_OK);
    CHECK(added);
    CHECK_EQ(members(&w, "news"), 2);
    CHECK(ws_topic_unsubscribe(w.table, w.clients[0], kit_text("news")));
    CHECK(!ws_topic_unsubscribe(w.table, w.clients[0], kit_text("news")));
    CHECK_EQ(members(&w, "news"), 1);
    ws_topic_unsubscribe_all(w.table, w.clients[1]);
    free_world(&w);
}

static void
leaving_one_topic_keeps_the_others(void)
{
    static const char *const names[] = {"a", "b", "c"};
    for (size_t gone = 0; gone < COUNT_OF(names); gone++) {
        world w = make_world();
        bool added = false;
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            CHECK_EQ(subscribe(&w, 0, names[i], &added), WS_OK);
        }
        CHECK(ws_topic_unsubscribe(w.table, w.clients[0],
                                   kit_text(names[gone])));
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            CHECK_EQ(members(&w, names[i]), i == gone ? 0 : 1);
        }
        ws_topic_unsubscribe_all(w.table, w.clients[0]);
        ws_topic_unsubscribe_all(w.table, w.clients[0]); // none left
        free_world(&w);
    }
}

static void
every_allocation_may_fail(void)
{
    bool done = false;
    for (long n = 0; !done; n++) {
        world w = make_world();
        bool added = false;
        CHECK_EQ(subscribe(&w, 0, "old", &added), WS_OK);
        long before = ws_alloc_live();
        ws_alloc_fail_at(n);
        ws_err err = subscribe(&w, 0, "new", &added);
        ws_alloc_fail_at(-1);
        done = err == WS_OK;
        CHECK_EQ(added, done);
        CHECK_EQ(members(&w, "new"), done ? 1 : 0);
        if (!done) {
            CHECK_EQ(err, WS_ERR_NOMEM);
            CHECK_EQ(ws_alloc_live(), before);
        }
        CHECK_EQ(members(&w, "old"), 1);
        ws_topic_unsubscribe_all(w.table, w.clients[0]);
        free_world(&w);
    }
}

static const ws_test tests[] = {
    TEST(a_named_group_lives_while_it_has_members),
    TEST(names_are_bytes_of_a_length),
    TEST(subscribing_twice_is_once),
    TEST(leaving_one_topic_keeps_the_others),
    TEST(every_allocation_may_fail),
};

TEST_MAIN(tests)

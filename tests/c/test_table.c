#include "core/table.h"

#include <stdbool.h>

#include "check.h"
#include "core/alloc.h"

enum { KEYS = 6000 };

typedef struct item {
    ws_table_node node;
    char key[16];
    bool in; // the model: what the table should know
} item;

static item items[KEYS];

static void
name_items(void)
{
    for (size_t i = 0; i < KEYS; i++) {
        int size = snprintf(items[i].key, sizeof items[i].key, "key-%zu", i);
        items[i].node.key = items[i].key;
        items[i].node.key_size = (size_t)size;
        items[i].in = false;
    }
}

static void
put(ws_table *table, size_t i)
{
    ws_table_put(table, &items[i].node);
    items[i].in = true;
}

static void
take_out(ws_table *table, size_t i)
{
    ws_table_remove(table, &items[i].node);
    items[i].in = false;
}

/* Every key is found exactly when the model says that it is in. */
static void
check_model(const ws_table *table)
{
    size_t in = 0;
    for (size_t i = 0; i < KEYS; i++) {
        const ws_table_node *want = items[i].in ? &items[i].node : NULL;
        CHECK(ws_table_get(table, items[i].key, strlen(items[i].key)) == want);
        in += items[i].in ? 1 : 0;
    }
    CHECK_EQ(ws_table_size(table), in);
}

static void
empty_out(ws_table *table)
{
    for (size_t i = 0; i < KEYS; i++) {
        if (items[i].in) {
            take_out(table, i);
        }
    }
    ws_table_free(table);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
thousands_of_keys_are_found_while_it_grows(void)
{
    ws_table *table = ws_table_new();
    name_items();
    for (size_t i = 0; i < KEYS; i++) {
        put(table, i);
        if (i % 499 == 0) {
            check_model(table);
        }
    }
    check_model(table);
    for (size_t i = 0; i < KEYS; i += 3) {
        take_out(table, i);
    }
    check_model(table);
    empty_out(table);
}

static void
putting_and_removing_agree_with_a_model(void)
{
    ws_table *table = ws_table_new();
    uint32_t random = 1;
    name_items();
    for (int round = 0; round < 40000; round++) {
        random = random * 1664525u + 1013904223u;
        size_t i = (random >> 8) % KEYS;
        if (items[i].in) {
            take_out(table, i);
        } else {
            put(table, i);
        }
        if (round % 8000 == 0) {
            check_model(table);
        }
    }
    check_model(table);
    empty_out(table);
}

static void
keys_are_bytes_and_all_of_them(void)
{
    static const struct {
        const char *what;
        const char *key;
        size_t size;
    } cases[] = {
        {"a word", "a", 1},          {"longer", "aa", 2},
        {"a NUL inside", "a\0a", 3}, {"another behind it", "a\0b", 3},
        {"only a NUL", "\0", 1},     {"empty", "", 0},
        {"UTF-8", "\xc3\xa4", 2},
    };
    enum { CASES = sizeof cases / sizeof cases[0] };
    ws_table_node nodes[CASES];
    ws_table *table = ws_table_new();

    for (size_t i = 0; i < CASES; i++) {
        CHECK(ws_table_get(table, cases[i].key, cases[i].size) == NULL);
        nodes[i] =
            (ws_table_node){.key = cases[i].key, .key_size = cases[i].size};
        ws_table_put(table, &nodes[i]);
    }
    for (size_t i = 0; i < CASES; i++) {
        CHECK(ws_table_get(table, cases[i].key, cases[i].size) == &nodes[i]);
    }
    for (size_t i = 0; i < CASES; i++) {
        ws_table_remove(table, &nodes[i]);
    }
    ws_table_free(table);
}

/* Growth that fails makes chains longer and is made up for later. */
static void
every_failing_growth_is_harmless(void)
{
    name_items();
    for (long n = 0; n < 12; n++) {
        ws_table *table = ws_table_new();
        CHECK(table != NULL);
        ws_alloc_fail_at(n);
        for (size_t i = 0; i < 400; i++) {
            put(table, i);
        }
        ws_alloc_fail_at(-1);
        check_model(table);
        empty_out(table);
    }
}

static void
a_table_that_can_never_grow_still_works(void)
{
    ws_table *table = ws_table_new();
    name_items();
    for (size_t i = 0; i < 2000; i++) {
        ws_alloc_fail_at(0);
        put(table, i);
    }
    ws_alloc_fail_at(-1);
    check_model(table);
    for (size_t i = 2000; i < KEYS; i++) { // memory is back: it catches up
        put(table, i);
    }
    check_model(table);
    empty_out(table);
}

static void
a_table_without_memory_is_none(void)
{
    ws_table *table = NULL;
    for (long n = 0; table == NULL; n++) {
        CHECK_EQ(ws_alloc_live(), 0);
        ws_alloc_fail_at(n);
        table = ws_table_new();
    }
    ws_alloc_fail_at(-1);
    CHECK_EQ(ws_alloc_live(), 3);
    ws_table_free(table);
    ws_table_free(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static const ws_test tests[] = {
    TEST(thousands_of_keys_are_found_while_it_grows),
    TEST(putting_and_removing_agree_with_a_model),
    TEST(keys_are_bytes_and_all_of_them),
    TEST(every_failing_growth_is_harmless),
    TEST(a_table_that_can_never_grow_still_works),
    TEST(a_table_without_memory_is_none),
};

TEST_MAIN(tests)

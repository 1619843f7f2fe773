#include "net/crowd.h"

#include <pthread.h>
#include <stdatomic.h>

#include "check.h"
#include "core/alloc.h"

static const ws_network *
at(const char *text)
{
    static ws_network addr;
    CHECK(ws_network_parse_addr(ws_slice_of(text), &addr));
    return &addr;
}

/* One more of that address, where nothing is in the way. */
static ws_crowd_entry *
enter(ws_crowd *crowd, const char *addr)
{
    ws_crowd_entry *entry = NULL;
    CHECK_EQ(ws_crowd_enter(crowd, at(addr), SIZE_MAX, &entry), WS_OK);
    return entry;
}

static void
each_address_is_counted_by_itself(void)
{
    ws_crowd *crowd = ws_crowd_new();
    ws_crowd_entry *one = enter(crowd, "10.0.0.1");
    ws_crowd_entry *same = enter(crowd, "::ffff:10.0.0.1");
    ws_crowd_entry *other = enter(crowd, "::1");

    CHECK(one == same && one != other);
    CHECK_EQ(ws_crowd_count(crowd, at("10.0.0.1")), 2);
    CHECK_EQ(ws_crowd_count(crowd, at("::1")), 1);
    CHECK_EQ(ws_crowd_count(crowd, at("10.0.0.9")), 0);
    ws_crowd_leave(crowd, one);
    CHECK_EQ(ws_crowd_count(crowd, at("10.0.0.1")), 1);
    ws_crowd_leave(crowd, same);
    ws_crowd_leave(crowd, other);
    ws_crowd_leave(crowd, NULL);
    CHECK_EQ(ws_crowd_count(crowd, at("10.0.0.1")), 0);
    ws_crowd_free(crowd);
    ws_crowd_free(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
ipv6_is_counted_by_networks_of_64_bits(void)
{
    static const struct {
        const char *what, *addr;
        size_t count;
    } cases[] = {
        {"another interface", "2001:db8:0:1:ffff::7", 1},
        {"the network itself", "2001:db8:0:1::", 1},
        {"the next network", "2001:db8:0:2::7", 0},
        {"the network before", "2001:db8::7", 0},
        {"IPv4", "0.0.0.0", 0},
    };
    ws_crowd *crowd = ws_crowd_new();
    ws_crowd_entry *entry = enter(crowd, "2001:db8:0:1::7");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t count = ws_crowd_count(crowd, at(cases[i].addr));
        if (count != cases[i].count) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(count, cases[i].count);
    }
    ws_crowd_leave(crowd, entry);
    // The network of all IPv4 addresses is not one.
    entry = enter(crowd, "::5");
    CHECK_EQ(ws_crowd_count(crowd, at("10.0.0.1")), 0);
    ws_crowd_leave(crowd, entry);
    ws_crowd_free(crowd);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
many_addresses_cost_nothing_once_they_have_left(void)
{
    enum { MANY = 2000 };
    static ws_crowd_entry *entries[MANY];
    ws_crowd *crowd = ws_crowd_new();
    long before = ws_alloc_live();
    char addr[32];

    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(addr, sizeof addr, "10.0.%zu.%zu", i / 256, i % 256);
        entries[i] = enter(crowd, addr);
    }
    CHECK_EQ(ws_crowd_count(crowd, at("10.0.7.1")), 1);
    for (size_t i = 0; i < MANY; i++) {
        ws_crowd_leave(crowd, entries[i]);
    }
    CHECK(ws_alloc_live() < before + MANY / 10); // the table's own arrays
    ws_crowd_free(crowd);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
no_memory_changes_nothing(void)
{
    for (long n = 0; n < 2; n++) {
        ws_alloc_fail_at(n);
        CHECK(ws_crowd_new() == NULL);
        CHECK_EQ(ws_alloc_live(), 0);
    }
    ws_alloc_fail_at(-1);
    ws_crowd *crowd = ws_crowd_new();
    ws_alloc_fail_at(0);
    ws_crowd_entry *entry = NULL;
    CHECK_EQ(ws_crowd_enter(crowd, at("::1"), 1, &entry), WS_ERR_NOMEM);
    CHECK(entry == NULL);
    CHECK_EQ(ws_crowd_count(crowd, at("::1")), 0);
    ws_crowd_free(crowd);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
one_more_than_the_limit_is_too_many(void)
{
    ws_crowd *crowd = ws_crowd_new();
    ws_crowd_entry *first = NULL;
    ws_crowd_entry *second = NULL;
    CHECK_EQ(ws_crowd_enter(crowd, at("::1"), 0, &first), WS_ERR_TOO_MANY);
    CHECK_EQ(ws_crowd_enter(crowd, at("::1"), 1, &first), WS_OK);
    CHECK_EQ(ws_crowd_enter(crowd, at("::1"), 1, &second), WS_ERR_TOO_MANY);
    CHECK(second == NULL);
    CHECK_EQ(ws_crowd_count(crowd, at("::1")), 1);
    CHECK_EQ(ws_crowd_enter(crowd, at("10.0.0.1"), 1, &second), WS_OK);
    ws_crowd_leave(crowd, first);
    CHECK_EQ(ws_crowd_enter(crowd, at("::1"), 1, &first), WS_OK);
    ws_crowd_leave(crowd, first);
    ws_crowd_leave(crowd, second);
    ws_crowd_free(crowd);
    CHECK_EQ(ws_alloc_live(), 0);
}

enum { THREADS = 4, TIMES = 20000, ROOM = 2 };

static atomic_uint inside;

/* In and out again; there are never more inside than there is room for. */
static void *
come_and_go(void *crowd)
{
    ws_network addr; // at() has one for all
    CHECK(ws_network_parse_addr(ws_slice_of("::1"), &addr));
    for (int i = 0; i < TIMES; i++) {
        ws_crowd_entry *entry = NULL;
        ws_err err = ws_crowd_enter(crowd, &addr, ROOM, &entry);
        CHECK(err == WS_OK || err == WS_ERR_TOO_MANY);
        if (err == WS_OK) {
            CHECK(atomic_fetch_add(&inside, 1) < ROOM);
            (void)atomic_fetch_sub(&inside, 1);
            ws_crowd_leave(crowd, entry);
        }
    }
    return NULL;
}

static void
the_limit_is_exact_for_many_threads(void)
{
    pthread_t threads[THREADS];
    ws_crowd *crowd = ws_crowd_new();
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, come_and_go, crowd), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(ws_crowd_count(crowd, at("::1")), 0);
    ws_crowd_free(crowd);
    CHECK_EQ(ws_alloc_live(), 0);
}

static const ws_test tests[] = {
    TEST(each_address_is_counted_by_itself),
    TEST(ipv6_is_counted_by_networks_of_64_bits),
    TEST(many_addresses_cost_nothing_once_they_have_left),
    TEST(one_more_than_the_limit_is_too_many),
    TEST(the_limit_is_exact_for_many_threads),
    TEST(no_memory_changes_nothing),
};

TEST_MAIN(tests)

#include "core/group.h"

#include <stdbool.h>

#include "check.h"
#include "core/alloc.h"

enum { MEMBERS = 2000 };

/* A group never looks into a client, so any distinct address will do. */
static char clients[MEMBERS];
static ws_group_place places[MEMBERS];
static unsigned met[MEMBERS];
static uint64_t numbers; // of memberships, as the hub counts them

static ws_client *
client(size_t i)
{
    return (ws_client *)(void *)&clients[i];
}

static void
add(ws_group *group, size_t i)
{
    CHECK_EQ(ws_group_add(group, client(i), numbers++, &places[i]), WS_OK);
}

static void
start(void)
{
    memset(met, 0, sizeof met);
    numbers = 7;
}

static size_t
step(const ws_group *group, uint32_t chunk, uint64_t before)
{
    ws_client *out[WS_GROUP_CHUNK];
    size_t n = ws_group_list(group, chunk, before, out);
    CHECK(n <= WS_GROUP_CHUNK);
    for (size_t i = 0; i < n; i++) {
        met[(char *)out[i] - clients]++;
    }
    return n;
}

static void
a_walk_meets_each_member_once(void)
{
    static const size_t sizes[] = {0,  1,   3,   4,   5,    11,   12,
                                   13, 252, 508, 509, 1020, 1021, MEMBERS};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        ws_group group = {0};
        start();
        for (size_t i = 0; i < sizes[s]; i++) {
            add(&group, i);
        }
        CHECK_EQ(group.size, sizes[s]);
        for (uint32_t c = 0; c < group.chunk_count; c++) {
            CHECK(step(&group, c, numbers) > 0); // no chunk stands empty
        }
        for (size_t i = 0; i < MEMBERS; i++) {
            CHECK_EQ(met[i], i < sizes[s] ? 1 : 0);
        }
        for (size_t i = 0; i < sizes[s]; i++) {
            ws_group_remove(&group, places[i]);
        }
        CHECK_EQ(group.chunk_count, 0);
        CHECK_EQ(ws_alloc_live(), 0);
    }
}

static void
whoever_came_after_the_start_is_not_met(void)
{
    ws_group group = {0};
    start();
    for (size_t i = 0; i < 10; i++) {
        add(&group, i);
    }
    uint64_t before = numbers;
    ws_group_remove(&group, places[3]);
    add(&group, 3); // left and came back
    ws_group_remove(&group, places[4]);
    add(&group, 10); // stands where another stood
    for (uint32_t c = 0; c < group.chunk_count; c++) {
        (void)step(&group, c, before);
    }
    for (size_t i = 0; i <= 10; i++) {
        CHECK_EQ(met[i], i == 3 || i == 4 || i == 10 ? 0 : 1);
    }
    for (size_t i = 0; i <= 10; i++) {
        if (i != 4) {
            ws_group_remove(&group, places[i]);
        }
    }
    CHECK_EQ(ws_alloc_live(), 0);
}

/* Members 0, 3, 6 ... stay; the others come and go between the steps. */
static void
members_throughout_are_met_once_and_others_at_most_once(void)
{
    for (uint32_t seed = 1; seed <= 20; seed++) {
        ws_group group = {0};
        bool in[MEMBERS];
        uint32_t random = seed;
        start();
        for (size_t i = 0; i < MEMBERS; i++) {
            add(&group, i);
            in[i] = true;
        }
        uint64_t before = numbers;
        for (uint32_t c = 0; c < group.chunk_count; c++) {
            (void)step(&group, c, before);
            for (int change = 0; change < 300; change++) {
                random = random * 1664525u + 1013904223u;
                size_t i = (random >> 8) % MEMBERS;
                if (i % 3 == 0) {
                    continue;
                }
                if (in[i]) {
                    ws_group_remove(&group, places[i]);
                } else {
                    add(&group, i);
                }
                in[i] = !in[i];
            }
        }
        for (size_t i = 0; i < MEMBERS; i++) {
            if (i % 3 == 0) {
                CHECK_EQ(met[i], 1);
            } else {
                CHECK(met[i] <= 1);
            }
            if (in[i]) {
                ws_group_remove(&group, places[i]);
            }
        }
        CHECK_EQ(ws_alloc_live(), 0);
    }
}

static void
room_that_was_left_is_used_again(void)
{
    ws_group group = {0};
    start();
    for (size_t i = 0; i < MEMBERS; i++) {
        add(&group, i);
    }
    uint32_t chunks = group.chunk_count;
    for (size_t i = 0; i < MEMBERS; i += 2) {
        ws_group_remove(&group, places[i]);
    }
    for (size_t i = 0; i < MEMBERS; i += 2) {
        add(&group, i);
    }
    CHECK_EQ(group.chunk_count, chunks);
    CHECK_EQ(group.size, MEMBERS);
    for (size_t i = 0; i < MEMBERS; i++) {
        ws_group_remove(&group, places[i]);
    }
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
the_last_member_takes_the_chunks_along_and_they_are_made_anew(void)
{
    ws_group group = {0};
    start();
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 100; i++) {
            add(&group, i);
        }
        CHECK(group.chunk_count > 1);
        for (size_t i = 0; i < 100; i++) {
            ws_group_remove(&group, places[i]);
        }
        CHECK_EQ(group.chunk_count, 0);
        CHECK_EQ(group.size, 0);
        CHECK_EQ(ws_alloc_live(), 0);
    }
}

static void
a_walk_outlives_the_chunks_it_was_in(void)
{
    ws_group group = {0};
    start();
    for (size_t i = 0; i < 100; i++) {
        add(&group, i);
    }
    uint64_t before = numbers;
    (void)step(&group, 0, before);
    for (size_t i = 0; i < 100; i++) {
        ws_group_remove(&group, places[i]);
    }
    CHECK_EQ(step(&group, 1, before), 0); // none there
    for (size_t i = 0; i < 100; i++) {
        add(&group, i);
    }
    for (uint32_t c = 1; c < group.chunk_count; c++) {
        CHECK_EQ(step(&group, c, before), 0); // all of them came later
    }
    for (size_t i = 0; i < 100; i++) {
        ws_group_remove(&group, places[i]);
    }
}

static void
every_allocation_may_fail(void)
{
    bool done = false;
    for (long n = 0; !done; n++) {
        ws_group group = {0};
        ws_err err = WS_OK;
        size_t in = 0;
        start();
        ws_alloc_fail_at(n);
        while (in < MEMBERS && err == WS_OK) {
            err = ws_group_add(&group, client(in), numbers++, &places[in]);
            in += err == WS_OK ? 1 : 0;
        }
        CHECK_EQ(group.size, in);
        done = err == WS_OK;
        if (!done) {
            CHECK_EQ(err, WS_ERR_NOMEM);
            if (in == 0) {
                CHECK_EQ(ws_alloc_live(), 0); // an empty group holds nothing
            }
            add(&group, in++); // memory is back
        }
        ws_alloc_fail_at(-1);
        for (uint32_t c = 0; c < group.chunk_count; c++) {
            (void)step(&group, c, numbers);
        }
        for (size_t i = 0; i < in; i++) {
            CHECK_EQ(met[i], 1);
            ws_group_remove(&group, places[i]);
        }
        CHECK_EQ(ws_alloc_live(), 0);
    }
}

static const ws_test tests[] = {
    TEST(a_walk_meets_each_member_once),
    TEST(whoever_came_after_the_start_is_not_met),
    TEST(members_throughout_are_met_once_and_others_at_most_once),
    TEST(room_that_was_left_is_used_again),
    TEST(the_last_member_takes_the_chunks_along_and_they_are_made_anew),
    TEST(a_walk_outlives_the_chunks_it_was_in),
    TEST(every_allocation_may_fail),
};

TEST_MAIN(tests)

#include "core/alloc.h"

#include "check.h"

static void
the_chosen_allocation_fails_and_only_that(void)
{
    for (long n = 0; n < 4; n++) {
        ws_alloc_fail_at(n);
        for (long i = 0; i < 4; i++) {
            void *block = i % 2 == 0 ? ws_malloc(8) : ws_calloc(2, 4);
            CHECK_EQ(block == NULL, i == n);
            ws_free(block);
        }
    }
    ws_alloc_fail_at(0);
    ws_alloc_fail_at(-1);
    void *block = ws_malloc(1);
    CHECK(block != NULL);
    ws_free(block);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
each_nth_allocation_fails(void)
{
    ws_alloc_fail_every(3);
    for (long i = 0; i < 9; i++) {
        void *block = ws_malloc(8);
        CHECK_EQ(block == NULL, i % 3 == 2);
        ws_free(block);
    }
    CHECK_EQ(ws_alloc_failed(), 3);
    ws_alloc_fail_every(0);
    CHECK_EQ(ws_alloc_failed(), 0);
    void *block = ws_malloc(8);
    CHECK(block != NULL);
    ws_free(block);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void *
allocate_here(void)
{
    return ws_malloc(8);
}

/* The place that the call above is; its line is in no other test. */
static ws_alloc_site *
site_here(void)
{
    size_t count = 0;
    ws_alloc_site *const *sites = ws_alloc_sites(&count);
    ws_alloc_site *found = NULL;
    ws_alloc_fail_every(1);
    CHECK(allocate_here() == NULL);
    for (size_t i = 0; i < count; i++) {
        if (atomic_load(&sites[i]->failures) > 0) {
            CHECK(found == NULL);
            found = sites[i];
        }
    }
    CHECK(found != NULL);
    CHECK(strstr(found->file, "test_alloc.c") != NULL);
    return found;
}

static void
one_place_fails_and_no_other(void)
{
    ws_alloc_site *site = site_here();
    ws_alloc_fail_in(site, 1);
    for (long i = 0; i < 3; i++) {
        void *here = allocate_here();
        void *there = ws_malloc(8);
        CHECK_EQ(here == NULL, i == 1);
        CHECK(there != NULL);
        ws_free(here);
        ws_free(there);
    }
    CHECK_EQ(ws_alloc_failed(), 1);
    CHECK_EQ(atomic_load(&site->failures), 2);
    ws_alloc_fail_in(NULL, 0);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
a_failed_realloc_keeps_the_block(void)
{
    char *block = ws_realloc(NULL, 4);
    CHECK(block != NULL);
    memcpy(block, "abc", 4);
    ws_alloc_fail_at(0);
    CHECK(ws_realloc(block, 1000) == NULL);
    CHECK_STR_EQ(block, "abc");
    block = ws_realloc(block, 1000);
    CHECK(block != NULL);
    CHECK_STR_EQ(block, "abc");
    CHECK_EQ(ws_alloc_live(), 1);
    ws_free(block);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
live_counts_each_block_once(void)
{
    void *blocks[] = {ws_malloc(1), ws_calloc(1, 1), ws_realloc(NULL, 1),
                      ws_strndup("", 0)};
    CHECK_EQ(ws_alloc_live(), 4);
    for (size_t i = 0; i < 4; i++) {
        ws_free(blocks[i]);
    }
    ws_free(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
bytes_follow_each_block_and_the_peak_stays(void)
{
    CHECK_EQ(ws_alloc_bytes(), 0);
    ws_alloc_reset_peak();
    char *block = ws_malloc(1000);
    CHECK(ws_alloc_bytes() >= 1000 && ws_alloc_bytes() < 1100);
    block = ws_realloc(block, 5000);
    CHECK(ws_alloc_bytes() >= 5000 && ws_alloc_bytes() < 5100);
    block = ws_realloc(block, 100);
    CHECK(ws_alloc_bytes() >= 100 && ws_alloc_bytes() < 5000);
    ws_free(block);
    CHECK_EQ(ws_alloc_bytes(), 0);
    CHECK(ws_alloc_peak() >= 5000);
    ws_alloc_reset_peak();
    CHECK_EQ(ws_alloc_peak(), 0);
}

static void
strndup_copies_exactly_and_terminates(void)
{
    static const struct {
        const char *what;
        const char *text;
        size_t size;
    } cases[] = {
        {"a part", "abcdef", 3},
        {"a NUL inside", "a\0b", 3},
        {"nothing", "", 0},
        {"nothing at all", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *copy = ws_strndup(cases[i].text, cases[i].size);
        CHECK(copy != NULL);
        CHECK_EQ(copy[cases[i].size], 0);
        if (cases[i].size > 0) {
            CHECK_MEM_EQ(copy, cases[i].text, cases[i].size);
        }
        ws_free(copy);
    }
    ws_alloc_fail_at(0);
    CHECK(ws_strndup("abc", 3) == NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static const ws_test tests[] = {
    TEST(the_chosen_allocation_fails_and_only_that),
    TEST(each_nth_allocation_fails),
    TEST(one_place_fails_and_no_other),
    TEST(a_failed_realloc_keeps_the_block),
    TEST(live_counts_each_block_once),
    TEST(bytes_follow_each_block_and_the_peak_stays),
    TEST(strndup_copies_exactly_and_terminates),
};

TEST_MAIN(tests)

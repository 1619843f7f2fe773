/* Memory runs out at every moment of a server's life. */
#include "life.h"

static const life_setup PLAIN = {.unix_socket = true};

/* With all that is there besides. */
static const life_setup FULL = {
    .unix_socket = true,
    .tls = TLS1_3_VERSION,
    .compression = true,
};

static void
live_without_faults(const life_setup *setup)
{
    static life l;
    CHECK(life_begin(&l, setup));
    life_run(&l);
    size_t guests = setup->authorize ? LIFE_GUESTS : LIFE_ASKED;
    for (size_t i = 0; i < guests; i++) {
        const guest *g = &l.guests[i];
        CHECK(i == BREAKER || (g->ended && g->cleanly && !g->broken));
        CHECK(i == READER || i == STRANGER || g->client != NULL);
    }
    CHECK_EQ(l.guests[TALKER].heard, setup->compression ? 26 : 24);
    CHECK_EQ(l.guests[TALKER].inflated, setup->compression ? 4 : 0);
    CHECK_EQ(l.guests[LEAVER].inflated, setup->compression ? 1 : 0);
    CHECK_EQ(l.notices, 1);
    CHECK(WIRE_COUNTED(&l.w, short_writes) > 0);
    life_end(&l);
}

static void
a_life_without_faults_is_complete(void)
{
    static const life_setup setups[] = {
        {.unix_socket = true},
        {.unix_socket = true, .compression = true},
        {.unix_socket = true, .tls = TLS1_2_VERSION},
        {.unix_socket = true, .tls = TLS1_3_VERSION, .compression = true},
        {.unix_socket = true, .pumps = 3},
        {.unix_socket = true, .tls = TLS1_3_VERSION, .pumps = 2},
        {.unix_socket = true, .authorize = true},
        {.unix_socket = true, .authorize = true, .tls = TLS1_3_VERSION},
    };
    for (size_t i = 0; i < WIRE_COUNT_OF(setups); i++) {
        live_without_faults(&setups[i]);
    }
}

/* ---- the n-th allocation, whichever it is */

enum { SHARES = 4 };

/* Each n-th life of them all, so that the work can be shared. */
static void
live_without_the_nth(const life_setup *setup, long first)
{
    long failed = 1;
    for (long n = first; failed > 0; n += SHARES) {
        ws_alloc_fail_at(n);
        life_live(setup);
        failed = ws_alloc_failed();
    }
    ws_alloc_fail_at(-1);
}

static void
each_allocation_may_fail_the_first_share(void)
{
    live_without_the_nth(&PLAIN, 0);
}

static void
each_allocation_may_fail_the_second_share(void)
{
    live_without_the_nth(&PLAIN, 1);
}

static void
each_allocation_may_fail_the_third_share(void)
{
    live_without_the_nth(&PLAIN, 2);
}

static void
each_allocation_may_fail_the_last_share(void)
{
    live_without_the_nth(&PLAIN, 3);
}

static void
each_allocation_may_fail_under_tls_and_compression_the_first_share(void)
{
    live_without_the_nth(&FULL, 0);
}

static void
each_allocation_may_fail_under_tls_and_compression_the_second_share(void)
{
    live_without_the_nth(&FULL, 1);
}

static void
each_allocation_may_fail_under_tls_and_compression_the_third_share(void)
{
    live_without_the_nth(&FULL, 2);
}

static void
each_allocation_may_fail_under_tls_and_compression_the_last_share(void)
{
    live_without_the_nth(&FULL, 3);
}

/* ---- the place */

static const life_setup LIVES[] = {
    {.unix_socket = true, .many_topics = true, .memory_end = true},
    {.unix_socket = true, .abrupt = true},
    {.unix_socket = true,
     .tls = TLS1_3_VERSION,
     .compression = true,
     .pumps = 2},
    {.unix_socket = true, .authorize = true},
};

/* Has the place fail at its first, second, ... call in lives of that kind. */
static void
live_without(ws_alloc_site *site, const life_setup *setup)
{
    enum { TIMES = 3 };
    long failed = 1;
    for (long n = 0; n < TIMES && failed > 0; n++) {
        ws_alloc_fail_in(site, n);
        life_live(setup);
        failed = ws_alloc_failed();
    }
    ws_alloc_fail_in(NULL, 0);
}

static bool
has_failed(ws_alloc_site *site)
{
    for (size_t i = 0; i < WIRE_COUNT_OF(LIVES); i++) {
        live_without(site, &LIVES[i]);
    }
    return atomic_load(&site->failures) > 0;
}

/* Also those that no life reaches so far: the list is the linker's. */
static void
every_place_that_allocates_has_failed(void)
{
    size_t count = 0;
    size_t ours = 0;
    size_t missed = 0;
    ws_alloc_site *const *sites = ws_alloc_sites(&count);
    for (size_t i = 0; i < count; i++) {
        if (strstr(sites[i]->file, "csrc/") == NULL) {
            continue; // a test's
        }
        ours++;
        if (!has_failed(sites[i])) {
            fprintf(stderr, "%s:%d has never failed\n", sites[i]->file,
                    sites[i]->line);
            missed++;
        }
    }
    CHECK(ours > 30);
    CHECK_EQ(missed, 0);
}

/* ---- many */

static long part;

static void
fail_part(void)
{
    ws_alloc_fail_every(part);
}

static void
any_part_of_all_allocations_may_fail(void)
{
    const life_setup setups[] = {
        {.unix_socket = true, .on_begun = fail_part},
        {.unix_socket = true,
         .tls = TLS1_2_VERSION,
         .compression = true,
         .on_begun = fail_part},
        {.unix_socket = true,
         .tls = TLS1_3_VERSION,
         .pumps = 3,
         .on_begun = fail_part},
        {.unix_socket = true, .authorize = true, .on_begun = fail_part},
    };
    static const long parts[] = {1,  2,  3,  4,  5,  7,  11, 13, 17,
                                 19, 23, 29, 31, 37, 41, 43, 47, 53};
    for (size_t i = 0; i < WIRE_COUNT_OF(parts); i++) {
        part = parts[i];
        for (size_t s = 0; s < WIRE_COUNT_OF(setups); s++) {
            life_live(&setups[s]);
            ws_alloc_fail_every(0);
        }
    }
}

static const ws_test tests[] = {
    TEST(a_life_without_faults_is_complete),
    TEST(each_allocation_may_fail_the_first_share),
    TEST(each_allocation_may_fail_the_second_share),
    TEST(each_allocation_may_fail_the_third_share),
    TEST(each_allocation_may_fail_the_last_share),
    TEST(each_allocation_may_fail_under_tls_and_compression_the_first_share),
    TEST(each_allocation_may_fail_under_tls_and_compression_the_second_share),
    TEST(each_allocation_may_fail_under_tls_and_compression_the_third_share),
    TEST(each_allocation_may_fail_under_tls_and_compression_the_last_share),
    TEST(every_place_that_allocates_has_failed),
    TEST(any_part_of_all_allocations_may_fail),
};

TEST_MAIN(tests)

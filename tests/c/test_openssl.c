/* OpenSSL runs out of memory at every place where it asks for some, while the
   server works with it. */
#include <openssl/crypto.h>

#include "life.h"

/* ---- its heap */

/* A place in OpenSSL that allocates. */
typedef struct place {
    const char *file; /* NULL: it is none */
    int line;
    long calls; /* by the server, in this life */
} place;

enum { PLACES = 4096, EVERY_CALL = -1 };

static struct {
    pthread_mutex_t lock; /* guards all of it */
    place all[PLACES];    /* at its line, or behind it */
    size_t count;
    const place *failing; /* NULL: none */
    long nth;
    long failed;
    long live; /* blocks */
} heap = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Guests use OpenSSL, too, in the test's thread. */
static _Thread_local bool is_guest;

/* The text of `file` is the compiler's, the same at each call. */
static place *
find_place(const char *file, int line)
{
    size_t i = (size_t)line % PLACES;
    while (heap.all[i].file != NULL &&
           (heap.all[i].file != file || heap.all[i].line != line)) {
        i = (i + 1) % PLACES;
    }
    if (heap.all[i].file == NULL) {
        CHECK(++heap.count < PLACES);
        heap.all[i].file = file;
        heap.all[i].line = line;
    }
    return &heap.all[i];
}

/* Counts the call; whether it shall fail. */
static bool
fails_here(const char *file, int line)
{
    bool failed = false;
    CHECK_EQ(pthread_mutex_lock(&heap.lock), 0);
    if (!is_guest) {
        place *here = find_place(file, line);
        failed = here == heap.failing &&
                 (heap.nth == EVERY_CALL || here->calls == heap.nth);
        here->calls++;
        heap.failed += failed;
    }
    CHECK_EQ(pthread_mutex_unlock(&heap.lock), 0);
    return failed;
}

static void
count_live(long change)
{
    CHECK_EQ(pthread_mutex_lock(&heap.lock), 0);
    heap.live += change;
    CHECK_EQ(pthread_mutex_unlock(&heap.lock), 0);
}

static void *
allocate(size_t size, const char *file, int line)
{
    if (size == 0 || fails_here(file, line)) {
        return NULL;
    }
    void *block = malloc(size);
    count_live(block != NULL);
    return block;
}

static void
release(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    count_live(block == NULL ? 0 : -1);
    free(block);
}

static void *
reallocate(void *block, size_t size, const char *file, int line)
{
    if (block == NULL) {
        return allocate(size, file, line);
    }
    if (size == 0) {
        release(block, file, line);
        return NULL;
    }
    return fails_here(file, line) ? NULL : realloc(block, size);
}

__attribute__((constructor)) static void
take_over(void)
{
    is_guest = true;
    guest_expects_odd_alerts = true;
    CHECK_EQ(CRYPTO_set_mem_functions(allocate, reallocate, release), 1);
}

static void
plan_failure(const place *at, long nth)
{
    CHECK_EQ(pthread_mutex_lock(&heap.lock), 0);
    for (size_t i = 0; i < PLACES; i++) {
        heap.all[i].calls = 0;
    }
    heap.failing = at;
    heap.nth = nth;
    heap.failed = 0;
    CHECK_EQ(pthread_mutex_unlock(&heap.lock), 0);
}

/* Once there is nothing left of what a thread has for itself. */
static long
live_blocks(void)
{
    OPENSSL_thread_stop();
    return heap.live;
}

/* What is done with the place failing leaves nothing: what has grown after the
   first time, which may fill some cache, must not have after the next. */
static bool
leaks(void (*act)(const place *at, long nth, int version), const place *at,
      long nth, int version)
{
    enum { TIMES = 3 };
    long before = live_blocks();
    long grown = 1;
    for (int i = 0; i < TIMES && grown > 0; i++) {
        act(at, nth, version);
        long now = live_blocks();
        grown = now - before;
        before = now;
    }
    if (grown > 0) {
        fprintf(stderr, "%s:%d, %ld: leaks %ld\n", at->file, at->line, nth,
                grown);
    }
    return grown > 0;
}

/* ---- a short life with all of TLS in it */

static void
run(life *l)
{
    guest *g = life_visit(l, TALKER, "talker", l->tcp, 0);
    if (g->client != NULL) {
        guest_frame(g, PEER_BINARY, "hello", 5);
        LIFE_UNTIL(l, LIFE_ANSWERED(g, 1));
    }
    is_guest = false;
    life_reload(l);
    is_guest = true;
    (void)life_visit(l, LEAVER, "leaver", l->tcp, 0);
    (void)life_visit(l, BREAKER, "breaker", l->tcp, 0);
    life_part(l);
    life_close(l);
}

/* OpenSSL may take its want of memory for something in the file. */
static bool
is_blame(int err)
{
    return err == 0;
}

static void
live(const place *at, long nth, int version)
{
    static life l;
    const life_setup setup = {
        .tls = version, .excuses = is_blame, .turns_most = 2000};
    int before = check_open_descriptors();
    plan_failure(at, nth);
    is_guest = false;
    bool begun = life_begin(&l, &setup);
    is_guest = true;
    if (begun) {
        run(&l);
    }
    life_end(&l);
    CHECK_EQ(check_open_descriptors(), before);
}

/* Which of its calls fail in one life each: of so many there are too many for
   a life of each. */
static size_t
choose_calls(long calls, long chosen[3])
{
    const long all[] = {0, calls - 1, EVERY_CALL};
    size_t count = 0;
    for (size_t i = 0; i < WIRE_COUNT_OF(all) && calls > 0; i++) {
        if (count == 0 || all[i] != chosen[count - 1]) {
            chosen[count++] = all[i];
        }
    }
    return count;
}

static void
each_place_in_openssl_may_fail(int version)
{
    // What is made once for the process is there when the first has ended.
    live(NULL, 0, version);
    live(NULL, 0, version);
    static long calls[PLACES];
    size_t leaky = 0;
    CHECK(heap.count > 100);
    for (size_t i = 0; i < PLACES; i++) {
        calls[i] = heap.all[i].calls;
    }
    for (size_t i = 0; i < PLACES; i++) {
        long chosen[3];
        size_t n = choose_calls(calls[i], chosen);
        for (size_t c = 0; c < n; c++) {
            leaky += leaks(live, &heap.all[i], chosen[c], version);
        }
    }
    CHECK_EQ(leaky, 0);
}

static void
each_place_in_openssl_may_fail_in_tls_1_2(void)
{
    each_place_in_openssl_may_fail(TLS1_2_VERSION);
}

static void
each_place_in_openssl_may_fail_in_tls_1_3(void)
{
    each_place_in_openssl_may_fail(TLS1_3_VERSION);
}

/* lws does not look whether OpenSSL has got the socket, and when it fails
   later closes none. Which of the calls that is, nobody can tell: so all of
   them. */
static void
a_socket_that_openssl_has_not_got_is_closed_too(void)
{
    long failed = 0;
    live(NULL, 0, TLS1_3_VERSION);
    live(NULL, 0, TLS1_3_VERSION);
    for (size_t i = 0; i < PLACES; i++) {
        const char *file = heap.all[i].file;
        bool more = file != NULL && strstr(file, "bio_lib.c") != NULL;
        for (long n = 0; more; n++) {
            live(&heap.all[i], n, TLS1_3_VERSION);
            more = heap.failed > 0;
            failed += more;
        }
    }
    CHECK(failed > 10);
}

/* ---- what is said of it */

/* There OpenSSL 3.0 finds that a key is too short whose size it has no memory
   to reckon. */
static bool
is_vague(const place *at)
{
    return strstr(at->file, "bn_ctx.c") != NULL;
}

static void
load(const place *at, long nth, int version)
{
    ws_identity_error error = {0};
    (void)version;
    plan_failure(at, nth);
    is_guest = false;
    ws_identity *identity =
        ws_identity_load(life_identity_files(true), &error);
    is_guest = true;
    if (identity == NULL && error.err != ENOMEM) {
        fprintf(stderr, "%s:%d, %ld: %s %s\n", at->file, at->line, nth,
                error.argument, error.text);
    }
    CHECK(identity != NULL || error.err == ENOMEM || is_vague(at));
    ws_identity_free(identity);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* And blames no file for it, at the first calls and at some of the later. */
static void
without_memory_an_identity_says_so(void)
{
    load(NULL, 0, 0);
    load(NULL, 0, 0);
    size_t failed = 0;
    size_t leaky = 0;
    for (size_t i = 0; i < PLACES; i++) {
        bool more = heap.all[i].file != NULL;
        for (long n = 0; more; n = n < 200 ? n + 1 : 2 * n) {
            leaky += leaks(load, &heap.all[i], n, 0);
            more = heap.failed > 0;
            failed += more;
        }
    }
    CHECK(failed > 100);
    CHECK_EQ(leaky, 0);
}

static const ws_test tests[] = {
    TEST(each_place_in_openssl_may_fail_in_tls_1_2),
    TEST(each_place_in_openssl_may_fail_in_tls_1_3),
    TEST(a_socket_that_openssl_has_not_got_is_closed_too),
    TEST(without_memory_an_identity_says_so),
};

TEST_MAIN(tests)

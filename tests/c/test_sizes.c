/* What the structures weigh that there are many of, and a connection that says
   nothing: bounds, so that growth is seen, and decided on. */
#include "wire.h"

#include <sys/resource.h>

#include "core/hub_inside.h"
#include "net/conn.h"

static void
no_structure_grows_unseen(void)
{
    const struct {
        const char *what;
        size_t size, most;
    } rows[] = {
        {"a client, without its texts", sizeof(ws_client), 544},
        {"... its channel", sizeof(ws_chan), 184},
        {"... what each message touches of it", WS_CLIENT_HOT, 184},
        {"a connection", sizeof(ws_conn), 400},
        {"... what each message touches of it", offsetof(ws_conn, doom) + 8,
         104},
        {"... its decoder", sizeof(ws_frame_decoder), 64},
        {"a message's place in a channel", sizeof(ws_chan_entry), 16},
        {"a handshake that is under way", sizeof(ws_opening), 568},
    };
    for (size_t i = 0; i < WIRE_COUNT_OF(rows); i++) {
        printf("%4zu of %4zu bytes: %s\n", rows[i].size, rows[i].most,
               rows[i].what);
        CHECK(rows[i].size <= rows[i].most);
    }
}

/* Wherever the block that they stand in begins. */
static void
what_a_pump_counts_shares_no_cache_line(void)
{
    enum { LINE = 64 };
    const struct {
        const char *what;
        size_t end, begin; // of one thing, and of the next
    } gaps[] = {
        {"before the first pump's",
         offsetof(struct ws_hub, room) + sizeof(atomic_uint),
         offsetof(struct ws_hub, counters)},
        {"behind the first pump's",
         offsetof(struct ws_hub, counters) + sizeof(ws_pump_counters),
         offsetof(struct ws_hub, others)},
        {"between two others'",
         offsetof(ws_hub_pump, counters) + sizeof(ws_pump_counters),
         sizeof(ws_hub_pump)},
    };
    for (size_t i = 0; i < WIRE_COUNT_OF(gaps); i++) {
        printf("%zu bytes: %s\n", gaps[i].begin - gaps[i].end, gaps[i].what);
        CHECK(gaps[i].begin - gaps[i].end >= LINE - 1);
    }
}

/* A message beside its payload and its frame's header. */
static void
a_message_adds_little_to_its_payload(void)
{
    static const uint8_t payload[100];
    long before = ws_alloc_bytes();
    ws_msg *msg =
        ws_message_new(WS_MESSAGE_BINARY, payload, sizeof payload, NULL);
    CHECK(msg != NULL);
    long more = ws_alloc_bytes() - before - (long)sizeof payload - 2;
    printf("%ld bytes a message\n", more);
    CHECK(more <= 32 + 16); // what the allocator rounds up included
    ws_msg_unref(msg);
}

enum { MANY = 1000 };

/* So many clients, or fewer, as there may be descriptors: two for each, since
   the server is in this process, too. */
static size_t
as_many_as_may_be(void)
{
    enum { OTHERS = 100 };
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK(limit.rlim_cur > (rlim_t)OTHERS + 100);
    return limit.rlim_cur > (rlim_t)2 * MANY + OTHERS
               ? MANY
               : (limit.rlim_cur - OTHERS) / 2;
}

static void
greet_all(const wire *w, size_t count)
{
    ws_msg *msg = ws_message_new(WS_MESSAGE_TEXT, "hello", 5, NULL);
    ws_exclude nobody = {NULL, 0};
    ws_report report = {0};
    CHECK(msg != NULL);
    ws_fan_out(w->hub, (ws_target){.kind = WS_TO_ALL}, msg, &nobody, &report);
    CHECK_EQ(report.queued, count);
    ws_report_release(&report);
    ws_msg_unref(msg);
    WITHIN(ws_hub_get_stats(w->hub).counts.written == count, 10);
}

/* How far they have come. */
enum stage { ACCEPTED, HELD, OPEN, GREETED };

/* Bytes for each of many connections that have come so far, libwebsockets' own
   among them; without the head of the request, which a client keeps for
   whoever asks. */
static long
idle_bytes(enum stage stage)
{
    static peer peers[MANY];
    size_t count = as_many_as_may_be();
    wire_setup setup = wire_defaults();
    setup.config.authorize = stage == HELD;
    setup.limits.max_handshakes = MANY;
    wire w = wire_open(&setup);
    const char *request = peer_request("/", "");
    long before = ws_alloc_bytes();
    for (size_t i = 0; i < count; i++) {
        peers[i] = peer_dial(&w);
        if (stage > ACCEPTED) {
            peer_say(&peers[i], request);
        }
        if (stage > HELD) {
            (void)peer_expect_switch(&peers[i]);
        }
    }
    WITHIN(WIRE_COUNTED(&w, accepted_connections) == count, 10);
    if (stage == HELD) {
        WITHIN(ws_hub_get_stats(w.hub).handshakes == count, 10);
    } else if (stage > HELD) {
        WITHIN(ws_hub_size(w.hub) == count, 10);
    }
    if (stage == GREETED) {
        greet_all(&w, count);
    }
    long all = ws_alloc_bytes() - before;
    for (size_t i = 0; i < count; i++) {
        peer_close(&peers[i]);
    }
    (void)wire_close(&w);
    long head = stage > ACCEPTED ? (long)strlen(request) : 0;
    return all / (long)count - head;
}

/* What the allocator makes of it. */
static long
block(size_t size)
{
    long before = ws_alloc_bytes();
    void *one = ws_malloc(size);
    CHECK(one != NULL);
    long bytes = ws_alloc_bytes() - before;
    ws_free(one);
    return bytes;
}

static void
an_idle_connection_takes_little_memory(void)
{
    // All that is ours of one that has said nothing yet, and its address.
    long lws = idle_bytes(ACCEPTED) - block(sizeof(ws_conn)) -
               block(sizeof "127.0.0.1:12345");
    long open = idle_bytes(OPEN);
    long greeted = idle_bytes(GREETED);
    printf("%ld bytes of libwebsockets', %ld of ours, %ld once it was sent "
           "something\n",
           lws, open - lws, greeted - lws);
    CHECK(lws > 0);
    CHECK(greeted >= open);
    CHECK(greeted - lws <= 1200);
}

static void
a_handshake_that_waits_takes_little_memory(void)
{
    long lws = idle_bytes(ACCEPTED) - block(sizeof(ws_conn)) -
               block(sizeof "127.0.0.1:12345");
    long held = idle_bytes(HELD);
    printf("%ld bytes of libwebsockets', %ld of ours\n", lws, held - lws);
    CHECK(lws > 0);
    CHECK(held - lws <= 800);
}

static const ws_test tests[] = {
    TEST(a_handshake_that_waits_takes_little_memory),
    TEST(no_structure_grows_unseen),
    TEST(what_a_pump_counts_shares_no_cache_line),
    TEST(a_message_adds_little_to_its_payload),
    TEST(an_idle_connection_takes_little_memory),
};

TEST_MAIN(tests)

#include "core/chan.h"

#include <sched.h>

#include "check.h"
#include "core_kit.h"

static const ws_chan_limits ROOMY = {.max_msgs = 1000, .max_bytes = 1 << 20};

static void
make(ws_chan *ch, const ws_chan_limits *limits)
{
    CHECK_EQ(ws_chan_init(ch, limits), WS_OK);
}

static void
destroy(ws_chan *ch)
{
    ws_chan_destroy(ch);
    CHECK_EQ(ws_alloc_live(), 0);
}

static ws_err
push_bytes(ws_chan *ch, const void *data, size_t size)
{
    ws_msg *msg = ws_msg_new((const uint8_t *)"hh", 2, data, size);
    if (msg == NULL) {
        return ws_chan_refuse(ch, WS_ERR_NOMEM);
    }
    ws_err err = ws_chan_push(ch, msg);
    ws_msg_unref(msg);
    return err;
}

static ws_err
push_size(ws_chan *ch, size_t size)
{
    static const char zeros[256];
    CHECK(size <= sizeof zeros);
    return push_bytes(ch, zeros, size);
}

/* Writes up to `size` frame bytes, into `wire` where that is not NULL, as one
   turn of a pump does. Returns the messages that left. */
static size_t
write_some(ws_chan *ch, size_t size, size_t max_bytes, uint8_t **wire)
{
    ws_msg *out[WS_CHAN_BATCH];
    size_t offset = 0;
    size_t written = 0;
    size_t n = ws_chan_peek(ch, out, max_bytes, &offset);
    for (size_t i = 0; i < n && written < size; i++) {
        size_t part = ws_msg_frame_size(out[i]) - offset;
        part = part < size - written ? part : size - written;
        if (wire != NULL) {
            memcpy(*wire, ws_msg_frame(out[i]) + offset, part);
            *wire += part;
        }
        written += part;
        offset = 0;
    }
    size_t gone = ws_chan_commit(ch, written);
    for (size_t i = 0; i < gone; i++) {
        ws_msg_unref(out[i]);
    }
    return gone;
}

static size_t
write_all(ws_chan *ch)
{
    size_t gone = 0;
    while (!ws_chan_is_empty(ch)) {
        gone += write_some(ch, SIZE_MAX, SIZE_MAX, NULL);
    }
    return gone;
}

static void
check_stats(ws_chan *ch)
{
    ws_chan_stats stats = ws_chan_get_stats(ch);
    kit_check_law(&stats.counts, stats.queued);
}

/* What the last of some pushes answers, under some limits. */
static void
limits_hold(void)
{
    static const struct {
        const char *what;
        ws_chan_limits limits;
        size_t sizes[3];
        size_t count;
        ws_err last;
    } cases[] = {
        {"fits", {2, 20}, {10, 10}, 2, WS_OK},
        {"one message too many", {1, 20}, {5, 5}, 2, WS_ERR_FULL},
        {"one byte too many", {9, 20}, {10, 11}, 2, WS_ERR_FULL},
        {"empty messages still count", {2, 20}, {0, 0, 0}, 3, WS_ERR_FULL},
        {"empty ones fit beside all bytes", {9, 20}, {20, 0}, 2, WS_OK},
        {"exactly the whole channel", {9, 20}, {20}, 1, WS_OK},
        {"the header is not charged", {9, 1}, {1}, 1, WS_OK},
        {"more than the whole channel", {9, 20}, {21}, 1, WS_ERR_TOO_BIG},
        {"too big beats full", {1, 20}, {20, 21}, 2, WS_ERR_TOO_BIG},
        {"a limit that is no power of two", {3, 20}, {1, 1, 1}, 3, WS_OK},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_chan ch;
        make(&ch, &cases[i].limits);
        ws_err err = WS_OK;
        for (size_t k = 0; k < cases[i].count; k++) {
            CHECK_EQ(err, WS_OK);
            err = push_size(&ch, cases[i].sizes[k]);
        }
        kit_case(cases[i].what, err == cases[i].last);
        CHECK_EQ(err, cases[i].last);
        check_stats(&ch);
        destroy(&ch);
    }
}

static void
whether_it_would_take_a_message_is_told_and_not_counted(void)
{
    ws_chan ch;
    ws_chan_limits limits = {.max_msgs = 2, .max_bytes = 10};
    CHECK_EQ(ws_chan_init(&ch, &limits), WS_OK);
    CHECK(ws_chan_would_take(&ch, 10));
    CHECK(!ws_chan_would_take(&ch, 11));
    ws_msg *msg = kit_msg(6);
    CHECK_EQ(ws_chan_push(&ch, msg), WS_OK);
    CHECK(ws_chan_would_take(&ch, 4));
    CHECK(!ws_chan_would_take(&ch, 5));
    CHECK(!ws_chan_would_take(&ch, SIZE_MAX));
    ws_msg_unref(msg);
    msg = kit_msg(0);
    CHECK_EQ(ws_chan_push(&ch, msg), WS_OK);
    ws_msg_unref(msg);
    CHECK(!ws_chan_would_take(&ch, 0));
    ws_chan_counts counts = ws_chan_get_stats(&ch).counts;
    CHECK_EQ(kit_attempted(&counts), 2);
    ws_chan_end(&ch);
    CHECK(!ws_chan_would_take(&ch, 0));
    ws_chan_destroy(&ch);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
closed_wins_over_everything(void)
{
    static const ws_chan_limits limits = {1, 20};
    ws_chan ch;

    make(&ch, &limits);
    CHECK_EQ(push_size(&ch, 3), WS_OK);
    ws_chan_close(&ch);
    ws_chan_close(&ch);
    CHECK_EQ(push_size(&ch, 3), WS_ERR_CLOSED);  // full besides
    CHECK_EQ(push_size(&ch, 21), WS_ERR_CLOSED); // too large besides
    CHECK_EQ(ws_chan_refuse(&ch, WS_ERR_NOMEM), WS_ERR_CLOSED);
    CHECK_EQ(ws_chan_refuse(&ch, WS_ERR_TOO_BIG), WS_ERR_CLOSED);

    ws_chan_stats stats = ws_chan_get_stats(&ch);
    CHECK_EQ(stats.counts.refused_closed, 4);
    CHECK_EQ(kit_attempted(&stats.counts), 5);
    CHECK_EQ(stats.queued, 1);
    CHECK_EQ(write_all(&ch), 1); // what it has still goes out
    destroy(&ch);
}

static void
each_refusal_is_counted_as_what_it_is(void)
{
    static const ws_chan_limits limits = {1, 20};
    ws_chan ch;

    make(&ch, &limits);
    ws_msg *msg = kit_msg(1);
    ws_alloc_fail_at(0);
    CHECK_EQ(ws_chan_push(&ch, msg), WS_ERR_NOMEM); // no ring
    CHECK_EQ(ws_chan_push(&ch, msg), WS_OK);
    CHECK_EQ(ws_chan_push(&ch, msg), WS_ERR_FULL);
    CHECK_EQ(push_size(&ch, 21), WS_ERR_TOO_BIG);
    CHECK_EQ(ws_chan_refuse(&ch, WS_ERR_TOO_BIG), WS_ERR_TOO_BIG);
    CHECK_EQ(ws_chan_refuse(&ch, WS_ERR_NOMEM), WS_ERR_NOMEM);
    ws_chan_end(&ch);
    CHECK_EQ(ws_chan_push(&ch, msg), WS_ERR_CLOSED);
    ws_msg_unref(msg);

    ws_chan_counts counts = ws_chan_get_stats(&ch).counts;
    CHECK_EQ(counts.accepted, 1);
    CHECK_EQ(counts.lost, 1);
    CHECK_EQ(counts.written, 0);
    CHECK_EQ(counts.refused_full, 1);
    CHECK_EQ(counts.refused_too_large, 2);
    CHECK_EQ(counts.refused_nomem, 2);
    CHECK_EQ(counts.refused_closed, 1);
    destroy(&ch);
}

/* Whatever the kernel takes at a time, the wire shows the frames in order. */
static void
every_split_of_the_bytes_is_the_same_stream(void)
{
    static const size_t sizes[] = {5, 0, 1, 130, 0, 7};
    static const size_t max_bytes[] = {1, 2, 8, 140, 16384};
    uint8_t want[256];
    uint8_t *end = want;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        memcpy(end, "hh", 2);
        memset(end + 2, (int)i + 1, sizes[i]);
        end += 2 + sizes[i];
    }
    size_t total = (size_t)(end - want);
    for (size_t part = 1; part <= total; part++) {
        for (size_t m = 0; m < COUNT_OF(max_bytes); m++) {
            uint8_t got[256];
            uint8_t *wire = got;
            ws_chan ch;
            make(&ch, &ROOMY);
            for (size_t i = 0; i < COUNT_OF(sizes); i++) {
                char data[256];
                memset(data, (int)i + 1, sizeof data);
                CHECK_EQ(push_bytes(&ch, data, sizes[i]), WS_OK);
            }
            size_t gone = 0;
            for (size_t turn = 0; turn <= total && gone < COUNT_OF(sizes);
                 turn++) {
                gone += write_some(&ch, part, max_bytes[m], &wire);
                check_stats(&ch);
            }
            CHECK_EQ(gone, COUNT_OF(sizes));
            CHECK_EQ(wire - got, total);
            CHECK_MEM_EQ(got, want, total);
            destroy(&ch);
        }
    }
}

/* Two cuts anywhere: what has left, what is charged, where to go on. */
static void
a_commit_counts_only_whole_messages(void)
{
    static const size_t frames[] = {2 + 3, 2 + 0, 2 + 4};
    for (size_t first = 0; first <= 13; first++) {
        for (size_t second = first; second <= 13; second++) {
            ws_chan ch;
            make(&ch, &ROOMY);
            CHECK_EQ(push_size(&ch, 3), WS_OK);
            CHECK_EQ(push_size(&ch, 0), WS_OK);
            CHECK_EQ(push_size(&ch, 4), WS_OK);
            size_t gone = write_some(&ch, first, SIZE_MAX, NULL);
            gone += write_some(&ch, second - first, SIZE_MAX, NULL);

            size_t whole = 0;
            size_t bytes = 0;
            size_t rest = second;
            while (whole < 3 && rest >= frames[whole]) {
                rest -= frames[whole];
                bytes += frames[whole++] - 2;
            }
            ws_chan_stats stats = ws_chan_get_stats(&ch);
            CHECK_EQ(gone, whole);
            CHECK_EQ(stats.counts.written, whole);
            CHECK_EQ(stats.counts.written_bytes, bytes);
            CHECK_EQ(stats.queued, 3 - whole);
            CHECK_EQ(stats.queued_bytes, 7 - bytes); // in flight is charged
            ws_msg *out[WS_CHAN_BATCH];
            size_t offset = 99;
            CHECK_EQ(ws_chan_peek(&ch, out, SIZE_MAX, &offset), 3 - whole);
            CHECK_EQ(offset, rest);
            destroy(&ch);
        }
    }
}

static void
a_peek_is_bounded_by_messages_and_bytes(void)
{
    static const struct {
        const char *what;
        size_t count, size, max_bytes, peeked;
    } cases[] = {
        {"nothing there", 0, 0, 16384, 0},
        {"all of it", 5, 10, 16384, 5},
        {"a batch of it", WS_CHAN_BATCH + 1, 0, 16384, WS_CHAN_BATCH},
        {"up to the bytes", 5, 10, 24, 2},
        {"the one that passes the bytes comes along", 5, 10, 25, 3},
        {"at least one", 5, 10, 1, 1},
        {"none wanted", 5, 10, 0, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_msg *out[WS_CHAN_BATCH];
        size_t offset = 99;
        ws_chan ch;
        make(&ch, &ROOMY);
        for (size_t k = 0; k < cases[i].count; k++) {
            CHECK_EQ(push_size(&ch, cases[i].size), WS_OK);
        }
        size_t n = ws_chan_peek(&ch, out, cases[i].max_bytes, &offset);
        kit_case(cases[i].what, n == cases[i].peeked);
        CHECK_EQ(n, cases[i].peeked);
        CHECK_EQ(offset, 0);
        CHECK_EQ(ws_chan_commit(&ch, 0), 0);
        destroy(&ch);
    }
}

/* What is peeked stays valid and first while senders push and it grows. */
static void
pushing_does_not_disturb_what_is_peeked(void)
{
    ws_chan ch;
    ws_msg *out[WS_CHAN_BATCH];
    size_t offset = 0;

    make(&ch, &ROOMY);
    CHECK_EQ(push_bytes(&ch, "a", 1), WS_OK);
    CHECK_EQ(push_bytes(&ch, "b", 1), WS_OK);
    CHECK_EQ(ws_chan_peek(&ch, out, 16384, &offset), 2);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(push_bytes(&ch, "c", 1), WS_OK);
    }
    CHECK_EQ(ws_msg_payload(out[0])[0], 'a');
    CHECK_EQ(ws_chan_commit(&ch, 6), 2);
    CHECK_EQ(ws_msg_payload(out[1])[0], 'b'); // ours now
    ws_msg_unref(out[0]);
    ws_msg_unref(out[1]);
    CHECK_EQ(ws_chan_peek(&ch, out, 1, &offset), 1);
    CHECK_EQ(ws_msg_payload(out[0])[0], 'c');
    CHECK_EQ(offset, 0);
    destroy(&ch);
}

/* Order and byte count survive wrapping and growing at every offset. */
static void
order_survives_wrap_and_growth(void)
{
    for (unsigned start = 0; start < 8; start++) {
        ws_chan ch;
        unsigned char in = 0;
        unsigned char out = 0;
        make(&ch, &ROOMY);
        for (unsigned i = 0; i < start; i++, in++) {
            CHECK_EQ(push_bytes(&ch, &in, 1), WS_OK);
        }
        for (size_t batch = 1; batch < 80; batch++) {
            uint8_t got[3 * 80];
            uint8_t *wire = got;
            for (size_t i = 0; i < batch; i++, in++) {
                CHECK_EQ(push_bytes(&ch, &in, 1), WS_OK);
            }
            CHECK_EQ(ws_chan_get_stats(&ch).queued_bytes, batch + start);
            size_t gone = 0;
            while (gone < batch) {
                gone += write_some(&ch, 3 * (batch - gone), SIZE_MAX, &wire);
            }
            CHECK_EQ(gone, batch);
            for (size_t i = 0; i < batch; i++, out++) {
                CHECK_EQ(got[3 * i + 2], out);
            }
        }
        destroy(&ch); // with `start` messages still inside
    }
}

static void
a_large_ring_that_runs_empty_is_given_back(void)
{
    ws_chan ch;
    make(&ch, &ROOMY);
    CHECK_EQ(ws_alloc_live(), 0); // an idle client costs no slots
    for (int i = 0; i < 32; i++) {
        CHECK_EQ(push_size(&ch, 1), WS_OK);
    }
    CHECK_EQ(write_all(&ch), 32);
    CHECK_EQ(ws_alloc_live(), 1); // kept: it will be needed again
    for (int i = 0; i < 33; i++) {
        CHECK_EQ(push_size(&ch, 1), WS_OK);
    }
    CHECK_EQ(write_some(&ch, 3 * 32, SIZE_MAX, NULL), 32);
    CHECK_EQ(ws_alloc_live(), 2); // not empty: the ring and a message
    CHECK_EQ(write_all(&ch), 1);
    CHECK_EQ(ws_alloc_live(), 0);
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    CHECK_EQ(write_all(&ch), 1);
    destroy(&ch);
}

static void
the_oldest_age_is_that_of_the_head(void)
{
    ws_chan ch;
    make(&ch, &ROOMY);
    CHECK_EQ(ws_chan_get_stats(&ch).oldest_age_ns, 0);
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    WITHIN(ws_chan_get_stats(&ch).oldest_age_ns > 0, 10);
    uint64_t second = ws_now_ns();
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    CHECK_EQ(write_some(&ch, 3, SIZE_MAX, NULL), 1);
    // The coarse clock runs some milliseconds behind the other.
    CHECK(ws_chan_get_stats(&ch).oldest_age_ns <=
          ws_now_ns() - second + 100 * WS_NS_PER_MS);
    CHECK_EQ(write_all(&ch), 1);
    CHECK_EQ(ws_chan_get_stats(&ch).oldest_age_ns, 0);
    destroy(&ch);
}

/* ---- waiters */

typedef struct probe {
    ws_waiter waiter;
    atomic_int fired;
    ws_err result;
} probe;

static void
fire_probe(ws_waiter *waiter, ws_err result)
{
    probe *me = (probe *)waiter;
    me->result = result;
    atomic_fetch_add(&me->fired, 1);
}

static ws_err
put_on(ws_chan *ch, probe *me, ws_wait_kind kind)
{
    *me = (probe){.waiter = {.kind = kind, .fire = fire_probe}};
    return ws_chan_wait(ch, &me->waiter);
}

static void
a_flush_waits_for_what_was_queued_at_the_call_and_no_more(void)
{
    ws_chan ch;
    probe flush;
    make(&ch, &ROOMY);
    CHECK_EQ(put_on(&ch, &flush, WS_WAIT_FLUSH), WS_OK); // nothing queued
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    CHECK_EQ(put_on(&ch, &flush, WS_WAIT_FLUSH), WS_ERR_TIMEOUT);
    CHECK_EQ(push_size(&ch, 1), WS_OK); // later: not waited for
    CHECK_EQ(write_some(&ch, 5, SIZE_MAX, NULL), 1);
    CHECK_EQ(flush.fired, 0); // one byte is missing
    CHECK_EQ(write_some(&ch, 1, SIZE_MAX, NULL), 1);
    CHECK_EQ(flush.fired, 1);
    CHECK_EQ(flush.result, WS_OK);
    CHECK_EQ(write_all(&ch), 1);
    CHECK_EQ(flush.fired, 1); // once
    destroy(&ch);
}

static void
room_is_half_of_both_limits(void)
{
    static const struct {
        const char *what;
        ws_chan_limits limits;
        size_t size;    // of each message
        size_t count;   // pushed
        size_t written; // when the waiter fires; 0: at once
    } cases[] = {
        {"half the messages", {10, 1000}, 1, 10, 5},
        {"half the bytes", {10, 100}, 20, 5, 3},
        {"exactly half is room", {10, 100}, 10, 5, 0},
        {"an odd limit rounds down", {5, 100}, 1, 5, 3},
        {"one message at most", {1, 100}, 1, 1, 1},
        {"one byte at most", {10, 1}, 1, 1, 1},
        {"one byte at most, none queued", {10, 1}, 0, 5, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        ws_chan ch;
        probe room;
        make(&ch, &cases[i].limits);
        for (size_t k = 0; k < cases[i].count; k++) {
            CHECK_EQ(push_size(&ch, cases[i].size), WS_OK);
        }
        ws_err err = put_on(&ch, &room, WS_WAIT_ROOM);
        size_t written = 0;
        while (err != WS_OK && room.fired == 0) {
            written += write_some(&ch, cases[i].size + 2, SIZE_MAX, NULL);
        }
        kit_case(cases[i].what, written == cases[i].written);
        CHECK_EQ(written, cases[i].written);
        destroy(&ch);
    }
}

static void
the_end_fires_every_waiter_once_with_closed(void)
{
    static const ws_chan_limits limits = {2, 100};
    ws_chan ch;
    probe waiters[3];
    make(&ch, &limits);
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    CHECK_EQ(put_on(&ch, &waiters[0], WS_WAIT_FLUSH), WS_ERR_TIMEOUT);
    CHECK_EQ(put_on(&ch, &waiters[1], WS_WAIT_ROOM), WS_ERR_TIMEOUT);
    CHECK_EQ(put_on(&ch, &waiters[2], WS_WAIT_FLUSH), WS_ERR_TIMEOUT);
    ws_chan_close(&ch); // closing alone loses nothing
    CHECK_EQ(waiters[0].fired + waiters[1].fired + waiters[2].fired, 0);
    ws_chan_end(&ch);
    ws_chan_end(&ch);
    for (size_t i = 0; i < COUNT_OF(waiters); i++) {
        CHECK_EQ(waiters[i].fired, 1);
        CHECK_EQ(waiters[i].result, WS_ERR_CLOSED);
    }
    CHECK_EQ(ws_chan_get_stats(&ch).counts.lost, 2);
    CHECK_EQ(put_on(&ch, &waiters[0], WS_WAIT_FLUSH), WS_ERR_CLOSED);
    destroy(&ch);
}

static void
an_end_without_losses_is_a_good_flush(void)
{
    ws_chan ch;
    probe flush;
    make(&ch, &ROOMY);
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    CHECK_EQ(put_on(&ch, &flush, WS_WAIT_FLUSH), WS_ERR_TIMEOUT);
    CHECK_EQ(write_all(&ch), 1);
    ws_chan_end(&ch);
    CHECK_EQ(flush.fired, 1);
    CHECK_EQ(flush.result, WS_OK);
    CHECK_EQ(put_on(&ch, &flush, WS_WAIT_FLUSH), WS_OK);
    destroy(&ch);
}

static void
a_waiter_taken_off_never_fires(void)
{
    ws_chan ch;
    probe waiters[3];
    make(&ch, &ROOMY);
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    for (size_t i = 0; i < COUNT_OF(waiters); i++) {
        CHECK_EQ(put_on(&ch, &waiters[i], WS_WAIT_FLUSH), WS_ERR_TIMEOUT);
    }
    CHECK(ws_chan_unwait(&ch, &waiters[1].waiter)); // from the middle
    CHECK(!ws_chan_unwait(&ch, &waiters[1].waiter));
    CHECK_EQ(write_all(&ch), 1);
    CHECK_EQ(waiters[0].fired, 1);
    CHECK_EQ(waiters[1].fired, 0);
    CHECK_EQ(waiters[2].fired, 1);
    CHECK(!ws_chan_unwait(&ch, &waiters[0].waiter));
    destroy(&ch);
}

static void
what_an_ended_channel_refuses_is_counted_late_too(void)
{
    ws_chan ch;
    atomic_ullong late = 0;
    make(&ch, &ROOMY);
    CHECK_EQ(push_size(&ch, 1), WS_OK);
    ws_chan_end(&ch);
    CHECK_EQ(push_size(&ch, 1), WS_ERR_CLOSED);
    ws_chan_counts counts = ws_chan_retire(&ch, &late);
    CHECK_EQ(counts.lost, 1);
    CHECK_EQ(counts.refused_closed, 1);
    CHECK_EQ(push_size(&ch, 1), WS_ERR_CLOSED);
    CHECK_EQ(ws_chan_refuse(&ch, WS_ERR_NOMEM), WS_ERR_CLOSED);
    CHECK_EQ(late, 2);
    CHECK_EQ(ws_chan_get_stats(&ch).counts.refused_closed, 3);
    destroy(&ch);
}

static void
sums_add_up_field_by_field(void)
{
    ws_chan_counts sum = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    ws_chan_counts more = {10, 20, 30, 40, 50, 60, 70, 80, 90};
    ws_chan_counts want = {11, 22, 33, 44, 55, 66, 77, 88, 99};
    ws_chan_counts_add(&sum, &more);
    CHECK_MEM_EQ(&sum, &want, sizeof sum);
}

/* Fails each allocation of a small life in turn: nothing leaks or breaks. */
static void
every_allocation_may_fail(void)
{
    bool done = false;

    for (long n = 0; !done; n++) {
        ws_chan ch;
        make(&ch, &ROOMY);
        ws_alloc_fail_at(n);
        ws_err err = WS_OK;
        for (uint32_t i = 0; i < 40 && err == WS_OK; i++) {
            err = push_size(&ch, 1);
            CHECK_EQ(ws_chan_get_stats(&ch).queued, i + (err == WS_OK));
        }
        ws_alloc_fail_at(-1);
        CHECK(err == WS_OK || err == WS_ERR_NOMEM);
        CHECK_EQ(ws_chan_get_stats(&ch).counts.refused_nomem, err != WS_OK);
        CHECK_EQ(push_size(&ch, 1), WS_OK); // memory is back
        check_stats(&ch);
        done = err == WS_OK;
        destroy(&ch);
    }
}

/* ---- races */

enum { SENDERS = 3, PER_SENDER = 3000, FLUSHES = 2000 };

typedef struct race {
    ws_chan ch;
    atomic_int senders_left;
    atomic_bool done;
    uint64_t refused[SENDERS]; // each its thread's
    uint64_t sampled;
} race;

typedef struct sender {
    race *race;
    uint32_t id;
} sender;

static void *
send_all(void *arg)
{
    const sender *me = arg;
    uint32_t word[2] = {me->id, 0};

    while (word[1] < PER_SENDER) {
        ws_err err = push_bytes(&me->race->ch, word, sizeof word);
        if (err == WS_ERR_CLOSED) {
            me->race->refused[me->id]++;
            break;
        }
        CHECK(err == WS_OK || err == WS_ERR_FULL);
        if (err == WS_OK) {
            word[1]++;
        } else {
            me->race->refused[me->id]++;
            sched_yield();
        }
    }
    atomic_fetch_sub(&me->race->senders_left, 1);
    return NULL;
}

/* Reads the law off while everything moves. */
static void *
sample(void *arg)
{
    race *r = arg;
    ws_chan_stats last = {0};
    while (!atomic_load(&r->done)) {
        ws_chan_stats now = ws_chan_get_stats(&r->ch);
        kit_check_law(&now.counts, now.queued);
        CHECK(now.queued <= r->ch.limits->max_msgs);
        CHECK(now.queued_bytes <= r->ch.limits->max_bytes);
        CHECK(now.counts.written >= last.counts.written);
        CHECK(kit_attempted(&now.counts) >= kit_attempted(&last.counts));
        last = now;
        r->sampled++;
        sched_yield();
    }
    return NULL;
}

/* Checks that each sender's words come in order and without a gap. */
static void
read_words(const uint8_t *from, const uint8_t *to, uint32_t next[SENDERS])
{
    for (; from < to; from += 10) {
        uint32_t word[2];
        memcpy(word, from + 2, sizeof word);
        CHECK(word[0] < SENDERS);
        CHECK_EQ(word[1], next[word[0]]++);
    }
}

/* Under contention, with any split of the writes, nothing is lost, doubled or
   reordered within a sender; `end_after` messages cut it short. */
static void
race_senders(uint64_t end_after)
{
    static const ws_chan_limits limits = {64, 400};
    static uint8_t wire[SENDERS * PER_SENDER * 10];
    race r = {.senders_left = SENDERS};
    sender senders[SENDERS];
    pthread_t threads[SENDERS];
    uint32_t next[SENDERS] = {0};
    uint32_t random = 1;
    uint8_t *at = wire;
    uint64_t written = 0;

    make(&r.ch, &limits);
    pthread_t sampler = kit_spawn(sample, &r);
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (sender){&r, i};
        threads[i] = kit_spawn(send_all, &senders[i]);
    }
    while (written < end_after &&
           (atomic_load(&r.senders_left) > 0 || !ws_chan_is_empty(&r.ch))) {
        size_t n = write_some(&r.ch, kit_random(&random) % 200, 100, &at);
        written += n;
        if (n == 0) {
            sched_yield();
        }
    }
    ws_chan_end(&r.ch);
    uint64_t refused = 0;
    for (uint32_t i = 0; i < SENDERS; i++) {
        kit_join(threads[i]);
        refused += r.refused[i];
    }
    atomic_store(&r.done, true);
    kit_join(sampler);
    read_words(wire, wire + written * 10, next);

    ws_chan_counts counts = ws_chan_get_stats(&r.ch).counts;
    CHECK_EQ(counts.written, written);
    CHECK_EQ(counts.written_bytes, written * 8);
    CHECK_EQ(counts.refused_full + counts.refused_closed, refused);
    CHECK_EQ(counts.accepted, counts.written + counts.lost);
    if (end_after == UINT64_MAX) {
        CHECK_EQ(written, SENDERS * PER_SENDER);
        CHECK_EQ(counts.lost, 0);
    }
    destroy(&r.ch);
}

static void
senders_race_the_pump(void)
{
    race_senders(UINT64_MAX);
}

static void
the_law_holds_while_the_channel_ends_under_its_senders(void)
{
    for (uint64_t after = 0; after < 1000; after += 150) {
        race_senders(after);
    }
}

static void *
push_and_write(void *arg)
{
    race *r = arg;
    while (!atomic_load(&r->done)) {
        CHECK_EQ(push_size(&r->ch, 1), WS_OK);
        CHECK_EQ(write_all(&r->ch), 1);
    }
    return NULL;
}

/* Either the waiter comes off or it fires, never both and never neither. */
static void
taking_a_waiter_off_races_its_firing(void)
{
    race r = {0};
    int off = 0;
    make(&r.ch, &ROOMY);
    pthread_t pump = kit_spawn(push_and_write, &r);
    for (int i = 0; i < FLUSHES; i++) {
        probe flush;
        ws_err err = put_on(&r.ch, &flush, WS_WAIT_FLUSH);
        if (err == WS_OK) {
            continue;
        }
        CHECK_EQ(err, WS_ERR_TIMEOUT);
        if (ws_chan_unwait(&r.ch, &flush.waiter)) {
            CHECK_EQ(flush.fired, 0);
            off++;
        } else {
            uint64_t until = kit_deadline();
            while (atomic_load(&flush.fired) == 0) {
                CHECK(ws_now_ns() < until);
                sched_yield();
            }
        }
    }
    atomic_store(&r.done, true);
    kit_join(pump);
    CHECK(off <= FLUSHES);
    destroy(&r.ch);
}

static void *
look_at_contention(void *arg)
{
    return ws_chan_is_contended(arg) ? arg : NULL;
}

static void
prefetching_changes_nothing_and_waits_for_nobody(void)
{
    ws_chan ch;
    make(&ch, &ROOMY);
    ws_chan_prefetch(&ch); // no ring yet
    CHECK_EQ(push_size(&ch, 10), WS_OK);
    CHECK_EQ(push_size(&ch, 20), WS_OK);
    ws_chan_prefetch(&ch);
    CHECK_EQ(ws_chan_get_stats(&ch).queued, 2);

    ws_lock_acquire(&ch.lock); // waiting for it here would be for ever
    ws_chan_prefetch(&ch);
    ws_lock_release(&ch.lock);
    ws_chan_prefetch(&ch);
    CHECK_EQ(write_all(&ch), 2);
    ws_chan_prefetch(&ch); // a ring with nothing in it
    destroy(&ch);
}

static void
contention_is_seen_while_another_thread_has_the_lock(void)
{
    ws_chan ch;
    ws_chan_limits limits = {.max_msgs = 1, .max_bytes = 1};
    pthread_t thread;
    void *seen = NULL;
    CHECK_EQ(ws_chan_init(&ch, &limits), WS_OK);
    CHECK(!ws_chan_is_contended(&ch));
    ws_lock_acquire(&ch.lock);
    CHECK_EQ(pthread_create(&thread, NULL, look_at_contention, &ch), 0);
    CHECK_EQ(pthread_join(thread, &seen), 0);
    ws_lock_release(&ch.lock);
    CHECK(seen == &ch);
    CHECK(!ws_chan_is_contended(&ch));
    ws_chan_destroy(&ch);
}

static const ws_test tests[] = {
    TEST(prefetching_changes_nothing_and_waits_for_nobody),
    TEST(contention_is_seen_while_another_thread_has_the_lock),
    TEST(limits_hold),
    TEST(whether_it_would_take_a_message_is_told_and_not_counted),
    TEST(closed_wins_over_everything),
    TEST(each_refusal_is_counted_as_what_it_is),
    TEST(every_split_of_the_bytes_is_the_same_stream),
    TEST(a_commit_counts_only_whole_messages),
    TEST(a_peek_is_bounded_by_messages_and_bytes),
    TEST(pushing_does_not_disturb_what_is_peeked),
    TEST(order_survives_wrap_and_growth),
    TEST(a_large_ring_that_runs_empty_is_given_back),
    TEST(the_oldest_age_is_that_of_the_head),
    TEST(a_flush_waits_for_what_was_queued_at_the_call_and_no_more),
    TEST(room_is_half_of_both_limits),
    TEST(the_end_fires_every_waiter_once_with_closed),
    TEST(an_end_without_losses_is_a_good_flush),
    TEST(a_waiter_taken_off_never_fires),
    TEST(what_an_ended_channel_refuses_is_counted_late_too),
    TEST(sums_add_up_field_by_field),
    TEST(every_allocation_may_fail),
    TEST(senders_race_the_pump),
    TEST(the_law_holds_while_the_channel_ends_under_its_senders),
    TEST(taking_a_waiter_off_races_its_firing),
};

TEST_MAIN(tests)

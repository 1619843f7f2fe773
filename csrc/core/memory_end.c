#include "memory_end.h"

#include <assert.h>
#include <string.h>

#include "alloc.h"
#include "hub_inside.h"

enum { FIRST_CAP = 16 };

static const ws_text NO_REASON = {NULL, 0};

struct ws_memory_end {
    ws_client *client;   // a reference; its conn is this end
    ws_lock *turn;       // the hub's, guards all below
    pthread_cond_t cond; // something has come, or it is over
    bool stalled;
    bool over;
    ws_msg **taken; // and not yet asked for
    size_t count;
    size_t cap;
    uint64_t arrived; // messages in all
};

/* Room for `more` messages; false: no memory. */
static bool
reserve_locked(ws_memory_end *end, size_t more)
{
    if (end->cap - end->count >= more) {
        return true;
    }
    size_t cap = end->cap == 0 ? FIRST_CAP : end->cap * 2;
    cap = cap < end->count + more ? end->count + more : cap;
    ws_msg **grown = ws_realloc(end->taken, cap * sizeof(ws_msg *));
    if (grown == NULL) {
        return false;
    }
    end->taken = grown;
    end->cap = cap;
    return true;
}

/* Takes what the channel lends, up to a batch. Returns how many. */
static size_t
take_batch_locked(ws_memory_end *end)
{
    ws_msg *batch[WS_CHAN_BATCH];
    size_t offset = 0;
    size_t size = 0;
    ws_chan *chan = &end->client->chan;
    size_t n = ws_chan_peek(chan, batch, SIZE_MAX, &offset);
    if (n == 0 || !reserve_locked(end, n)) {
        return 0; // without memory it stays queued
    }
    assert(offset == 0);
    for (size_t i = 0; i < n; i++) {
        size += ws_msg_frame_size(batch[i]);
    }
    // The references pass to us before others learn that all is written.
    memcpy(end->taken + end->count, batch, n * sizeof batch[0]);
    end->count += n;
    end->arrived += n;
    size_t gone = ws_chan_commit(chan, size);
    assert(gone == n);
    (void)gone;
    return n;
}

static void
finish_locked(ws_memory_end *end, uint16_t code, ws_text reason, bool clean)
{
    end->over = true;
    ws_hub_end_client(end->client, code, reason, clean);
    (void)pthread_cond_broadcast(&end->cond);
}

/* What a pump does for a client in its turn. */
static void
turn_locked(ws_memory_end *end)
{
    ws_client *client = end->client;
    if (end->stalled || end->over) {
        return;
    }
    // In this order: who is closing accepts no more, so empty stays empty.
    bool closing = ws_client_get_state(client) != WS_CLIENT_OPEN;
    uint64_t before = end->arrived;
    // What is pushed behind less than a batch brings a turn of its own.
    while (take_batch_locked(end) == WS_CHAN_BATCH) {
    }
    if (end->arrived > before) {
        (void)pthread_cond_broadcast(&end->cond);
    }
    if (closing && ws_chan_is_empty(&client->chan)) {
        finish_locked(end, client->close_code, NO_REASON, true);
    }
}

static void
serve(ws_wake_link *link)
{
    ws_client *client = ws_client_of_link(link);
    ws_lock *turn = &client->hub->memory_turn;
    ws_lock_acquire(turn);
    ws_wake_clear(link);
    if (client->conn != NULL) {
        turn_locked(client->conn);
    }
    ws_lock_release(turn);
    ws_client_unref(client); // the list's
}

ws_wake *
ws_hub_new_memory_wake(void)
{
    ws_wake *wake = ws_wake_new_direct(serve);
    if (wake != NULL) {
        ws_wake_set_number(wake, WS_MEMORY_NUMBER);
    }
    return wake;
}

ws_err
ws_memory_end_new(ws_hub *hub, const ws_client_info *info, ws_memory_end **out)
{
    ws_err err = WS_ERR_NOMEM;
    ws_memory_end *end = ws_calloc(1, sizeof *end);
    if (end == NULL) {
        return err;
    }
    if (ws_cond_init(&end->cond) != WS_OK) {
        goto no_cond;
    }
    end->turn = &hub->memory_turn;
    end->client = ws_client_new(hub, hub->memory_wake, info);
    if (end->client == NULL) {
        goto no_client;
    }
    end->client->conn = end; // nobody knows it yet
    err = ws_hub_join(hub, end->client);
    if (err != WS_OK) {
        goto no_join;
    }
    *out = end;
    return WS_OK;

no_join:
    ws_client_unref(end->client);
no_client:
    (void)pthread_cond_destroy(&end->cond);
no_cond:
    ws_free(end);
    return err;
}

void
ws_memory_end_free(ws_memory_end *end)
{
    if (end == NULL) {
        return;
    }
    ws_lock_acquire(end->turn);
    if (!end->over) {
        finish_locked(end, 1006, NO_REASON, false);
    }
    end->client->conn = NULL;
    ws_lock_release(end->turn);
    for (size_t i = 0; i < end->count; i++) {
        ws_msg_unref(end->taken[i]);
    }
    ws_free(end->taken);
    (void)pthread_cond_destroy(&end->cond);
    ws_client_unref(end->client);
    ws_free(end);
}

ws_client *
ws_memory_end_client(const ws_memory_end *end)
{
    return end->client;
}

void
ws_memory_end_stall(ws_memory_end *end, bool stalled)
{
    ws_lock_acquire(end->turn);
    end->stalled = stalled;
    turn_locked(end);
    ws_lock_release(end->turn);
}

size_t
ws_memory_end_take(ws_memory_end *end, ws_msg ***out)
{
    ws_lock_acquire(end->turn);
    turn_locked(end);
    size_t count = end->count;
    *out = end->taken;
    end->taken = NULL;
    end->count = end->cap = 0;
    ws_lock_release(end->turn);
    return count;
}

ws_err
ws_memory_end_wait(ws_memory_end *end, uint64_t seen, uint64_t until_ns)
{
    bool in_time = true;
    ws_lock_acquire(end->turn);
    turn_locked(end);
    while (end->arrived <= seen && !end->over && in_time) {
        in_time = ws_cond_wait_until(&end->cond, end->turn, until_ns);
    }
    ws_err err = end->arrived > seen || end->over ? WS_OK : WS_ERR_TIMEOUT;
    ws_lock_release(end->turn);
    return err;
}

static void
count_received(ws_client *client, size_t size, bool kept)
{
    ws_pump_counters *counters = ws_hub_counters(client->hub);
    ws_count(&client->received, 1);
    ws_count(&client->received_bytes, size);
    ws_count(&client->received_dropped, kept ? 0 : 1);
    ws_count(&counters->received, 1);
    ws_count(&counters->received_bytes, size);
}

/* Uses up `in` where it returns WS_OK. */
static ws_err
hand_over_locked(ws_memory_end *end, ws_inbound *in, size_t size, bool text)
{
    ws_client *client = end->client;
    ws_hub *hub = client->hub;
    if (end->over) {
        return WS_ERR_CLOSED;
    }
    if (ws_client_get_state(client) != WS_CLIENT_OPEN) {
        count_received(client, size, false);
        ws_inbound_free(in);
        return WS_OK;
    }
    bool takes = ws_evq_takes(hub->events);
    ws_err err = ws_evq_message(hub->events, client, in, size, text);
    if (err == WS_OK) {
        count_received(client, size, takes);
    }
    return err;
}

ws_err
ws_memory_end_send(ws_memory_end *end, const void *data, size_t size,
                   bool text)
{
    ws_inbound *in = ws_inbound_new(size);
    if (in == NULL) {
        return WS_ERR_NOMEM;
    }
    if (size > 0) {
        memcpy(ws_inbound_data(in), data, size);
    }
    ws_lock_acquire(end->turn);
    ws_err err = hand_over_locked(end, in, size, text);
    ws_lock_release(end->turn);
    if (err != WS_OK) {
        ws_inbound_free(in);
    }
    return err;
}

void
ws_memory_end_close(ws_memory_end *end, uint16_t code, ws_text reason,
                    bool clean)
{
    ws_lock_acquire(end->turn);
    turn_locked(end);
    if (!end->over) {
        finish_locked(end, code, reason, clean);
    }
    ws_lock_release(end->turn);
}

bool
ws_memory_end_is_over(ws_memory_end *end)
{
    ws_lock_acquire(end->turn);
    turn_locked(end);
    bool over = end->over;
    ws_lock_release(end->turn);
    return over;
}

static void
cut(ws_client *client)
{
    ws_lock *turn = &client->hub->memory_turn;
    ws_lock_acquire(turn);
    ws_memory_end *end = client->conn;
    if (end != NULL && !end->over) {
        finish_locked(end, 1006, NO_REASON, false);
    }
    ws_lock_release(turn);
}

typedef void visit(ws_client *client, const void *arg);

/* Where it is one without a socket; uses up the reference. */
static void
visit_one(ws_client *client, visit *call, const void *arg)
{
    if (client->wake == client->hub->memory_wake) {
        call(client, arg);
    }
    ws_client_unref(client);
}

/* Calls it for each such client that is present. */
static void
for_each(ws_hub *hub, visit *call, const void *arg)
{
    ws_client *some[WS_GROUP_CHUNK];
    size_t n = 0;
    ws_walk walk = ws_hub_walk(hub, (ws_target){.kind = WS_TO_PRESENT});
    while ((n = ws_hub_walk_next(hub, &walk, some)) > 0) {
        for (size_t i = 0; i < n; i++) {
            visit_one(some[i], call, arg);
        }
    }
}

typedef struct farewell {
    uint16_t code;
    ws_text reason;
} farewell;

static void
close_one(ws_client *client, const void *arg)
{
    const farewell *say = arg;
    // CLOSED: it is closing already. NOMEM: it is cut later.
    ws_err err = ws_hub_close_client(client, say->code, say->reason);
    (void)err;
}

void
ws_memory_end_close_all(ws_hub *hub, uint16_t code, ws_text reason)
{
    farewell say = {code, reason};
    for_each(hub, close_one, &say);
}

static void
cut_one(ws_client *client, const void *ignored)
{
    (void)ignored;
    cut(client);
}

void
ws_memory_end_cut_all(ws_hub *hub)
{
    for_each(hub, cut_one, NULL);
}

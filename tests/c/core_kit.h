/*
 * core_kit.h - what the core's tests share: hubs, clients, messages, and a
 * pump that has no sockets.
 *
 * The pump sleeps in poll() on the doorbell. "The kernel" takes a random part
 * of what it peeks, so that every split of a batch comes up. A wake-up that
 * got lost shows as a poll that runs into WS_KIT_PATIENCE_MS.
 */
#ifndef WS_TESTS_CORE_KIT_H
#define WS_TESTS_CORE_KIT_H

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "core/alloc.h"
#include "core/client.h"
#include "core/hub.h"
#include "core/msg.h"
#include "core/wake.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* No bounded wait of a test takes this long unless something is broken. */
enum { WS_KIT_PATIENCE_MS = 10000 };

static const ws_hub_limits KIT_ROOMY = {
    .send = {.max_msgs = 1000, .max_bytes = 1 << 20},
    .inbound = {.max_messages = 1000, .max_bytes = 1 << 20},
};

/* Says which row of a table a failed check belongs to. */
static inline void
kit_case(const char *what, bool good)
{
    if (!good) {
        fprintf(stderr, "case: %s\n", what);
    }
}

static inline ws_text
kit_text(const char *text)
{
    return (ws_text){text, strlen(text)};
}

/* A small pseudo-random sequence (xorshift32); *state is never 0. */
static inline uint32_t
kit_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static inline bool
kit_readable(int fd, int timeout_ms)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, timeout_ms) == 1;
}

static inline uint64_t
kit_deadline(void)
{
    return ws_now_ns() + WS_KIT_PATIENCE_MS * WS_NS_PER_MS;
}

static inline pthread_t
kit_spawn(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, run, arg), 0);
    return thread;
}

static inline void
kit_join(pthread_t thread)
{
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* A message of `size` zero bytes behind a header of two; NULL: no memory. */
static inline ws_msg *
kit_msg(size_t size)
{
    static const uint8_t header[2] = {0x82, 0x7e};
    static const char zeros[4096];
    CHECK(size <= sizeof zeros);
    return ws_msg_new(header, sizeof header, zeros, size);
}

/* The law of the channel, for one or for many. */
static inline void
kit_check_law(const ws_chan_counts *counts, uint64_t queued)
{
    CHECK_EQ(counts->accepted,
             counts->written + queued + counts->dropped + counts->lost);
}

static inline uint64_t
kit_attempted(const ws_chan_counts *counts)
{
    return counts->accepted + counts->refused_full + counts->refused_closed +
           counts->refused_too_large + counts->refused_nomem;
}

static inline ws_hub *
kit_hub(ws_hub_limits limits)
{
    ws_hub *hub = NULL;
    CHECK_EQ(ws_hub_new(&limits, &hub), WS_OK);
    return hub;
}

/* A client that is not in the hub; `user` may be NULL. NULL: no memory. */
static inline ws_client *
kit_client(ws_hub *hub, const char *id, const char *user)
{
    ws_client_info info = {.id = kit_text(id)};
    if (user != NULL) {
        info.user = kit_text(user);
    }
    return ws_client_new(hub, ws_hub_wake(hub), &info);
}

/* One that is; the reference is the caller's. */
static inline ws_client *
kit_join_hub(ws_hub *hub, const char *id, const char *user)
{
    ws_client *client = kit_client(hub, id, user);
    CHECK(client != NULL);
    CHECK_EQ(ws_hub_join(hub, client), WS_OK);
    return client;
}

/* One whose id is a number. */
static inline ws_client *
kit_join_number(ws_hub *hub, size_t number, const char *user)
{
    char id[24];
    snprintf(id, sizeof id, "%zu", number);
    return kit_join_hub(hub, id, user);
}

static inline ws_err
kit_send(ws_client *client, size_t size)
{
    ws_msg *msg = kit_msg(size);
    if (msg == NULL) {
        return ws_chan_refuse(&client->chan, WS_ERR_NOMEM);
    }
    ws_err err = ws_client_send(client, msg);
    ws_msg_unref(msg);
    return err;
}

/* Lets "the kernel" take up to `size` frame bytes of a client's channel.
   Returns the messages that left whole. */
static inline size_t
kit_write(ws_client *client, size_t size)
{
    ws_msg *out[WS_CHAN_BATCH];
    size_t offset = 0;
    size_t total = 0;
    size_t n = ws_chan_peek(&client->chan, out, 16384, &offset);
    for (size_t i = 0; i < n; i++) {
        total += ws_msg_frame_size(out[i]);
    }
    total -= offset;
    size_t gone = ws_chan_commit(&client->chan, size < total ? size : total);
    for (size_t i = 0; i < gone; i++) {
        ws_msg_unref(out[i]);
    }
    return gone;
}

/* Takes the whole list off the doorbell, without doing its work. */
static inline void
kit_drop_dirty(ws_wake_chain *chain)
{
    ws_wake_link *link = chain->head;
    while (link != NULL) {
        ws_wake_link *next = link->next;
        ws_wake_clear(link);
        ws_client_unref(ws_client_of_link(link));
        link = next;
    }
}

/* Ends every client that is present, as a pump does. */
static inline void
kit_end_all(ws_hub *hub)
{
    ws_client **all = NULL;
    size_t count = 0;
    CHECK_EQ(
        ws_hub_list(hub, (ws_target){.kind = WS_TO_PRESENT}, &all, &count),
        WS_OK);
    for (size_t i = 0; i < count; i++) {
        ws_hub_end_client(all[i], 1001, kit_text(""), false);
        ws_client_unref(all[i]);
    }
    ws_free(all);
}

/* The end of a hub: clients, doorbell, events, and all memory. */
static inline void
kit_hub_free(ws_hub *hub)
{
    ws_wake_chain dirty;
    ws_task *tasks;
    kit_end_all(hub);
    ws_wake_end(ws_hub_wake(hub), &dirty, &tasks);
    CHECK(tasks == NULL);
    kit_drop_dirty(&dirty);
    ws_hub_drop_events(hub);
    ws_hub_unref(hub);
    CHECK_EQ(ws_alloc_live(), 0);
}

typedef struct kit_pump {
    ws_task stop_task; /* first: run gets its address */
    ws_hub *hub;
    bool stalls;    /* never writes */
    bool stopped;   /* the pump's own */
    uint32_t seed;  /* the pump's own */
    uint64_t turns; /* the pump's own; read it after the join */
    pthread_t thread;
} kit_pump;

static inline void
kit_pump_serve(kit_pump *pump, ws_client *client, ws_wake_chain *again)
{
    ws_wake_clear(&client->link);
    // In this order: who is closing accepts no more, so empty stays empty.
    bool closing = ws_client_get_state(client) != WS_CLIENT_OPEN;
    if (!pump->stalls) {
        (void)kit_write(client, kit_random(&pump->seed) % 512);
    }
    bool empty = ws_chan_is_empty(&client->chan);
    if (closing && ws_client_get_state(client) != WS_CLIENT_CLOSED &&
        (empty || pump->stalls)) {
        ws_hub_end_client(client, 1000, kit_text(""), true);
    } else if (!empty && !pump->stalls && ws_wake_mark(&client->link)) {
        ws_wake_chain_add(again, &client->link);
        return; // the list's reference goes with it
    }
    ws_client_unref(client);
}

static inline void
kit_pump_turn(kit_pump *pump)
{
    ws_wake *wake = ws_hub_wake(pump->hub);
    ws_wake_chain dirty;
    ws_wake_chain again = {NULL, NULL};
    ws_task *task;

    CHECK(kit_readable(ws_wake_fd(wake), WS_KIT_PATIENCE_MS));
    ws_wake_take(wake, &dirty, &task);
    for (ws_wake_link *link = dirty.head; link != NULL;) {
        ws_wake_link *next = link->next;
        kit_pump_serve(pump, ws_client_of_link(link), &again);
        link = next;
    }
    CHECK(ws_wake_add(wake, &again));
    while (task != NULL) {
        ws_task *next = task->next;
        task->run(task, pump);
        task = next;
    }
    pump->turns++;
}

static inline void
kit_pump_stop_task(ws_task *task, void *pump)
{
    CHECK(task == &((kit_pump *)pump)->stop_task);
    ((kit_pump *)pump)->stopped = true;
}

static inline void *
kit_pump_run(void *arg)
{
    kit_pump *pump = arg;
    while (!pump->stopped) {
        kit_pump_turn(pump);
    }
    return NULL;
}

static inline void
kit_pump_start(kit_pump *pump, ws_hub *hub)
{
    pump->hub = hub;
    pump->seed = 2463534242u;
    pump->stop_task.run = kit_pump_stop_task;
    pump->thread = kit_spawn(kit_pump_run, pump);
}

/* Joins the pump; the doorbell still takes what comes. */
static inline void
kit_pump_stop(kit_pump *pump)
{
    CHECK(ws_wake_post(ws_hub_wake(pump->hub), &pump->stop_task));
    kit_join(pump->thread);
}

#endif

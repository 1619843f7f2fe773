/*
 * micro.c - what the core costs by itself: no sockets, no Python.
 *
 *     micro send [ROUNDS]          a message made and sent, one client
 *     micro fanout CLIENTS [ROUNDS]   the same message to many, and what the
 *                                  pump does with it but for the system call;
 *                                  with warm caches, and after something else
 *                                  has been in them
 *     micro hold CLIENTS [ROUNDS]  how long the hub's lock is held in one
 *                                  piece while a fan-out goes on
 *     micro chunk CLIENTS ROUNDS   the fan-out and nothing else, for a
 *                                  profiler: its instructions are those of
 *                                  two numbers of rounds, subtracted
 *
 * Prints one JSON object. Each round is timed by itself; a figure is the
 * median over the rounds, with the smallest beside it, for the machine may be
 * shared. The clients lie apart in memory, as those of a server do, whose
 * connections stand in between. A second thread sleeps, for in a process that
 * has one only, the C library leaves out what makes its locks safe.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/client.h"
#include "core/fanout.h"
#include "core/hub.h"
#include "core/lock.h"
#include "core/wake.h"
#include "net/message.h"

enum {
    BURST = 128,   // sends between two visits of the pump
    APART = 2048,  // bytes between two clients
    PAYLOAD = 128, // bytes of a message
    MOST_ROUNDS = 100000,
    SWEEP = 64 << 20, // bytes, more than the caches hold
};

/* One figure of each round. */
typedef struct series {
    double *values;
    size_t count;
} series;

static void
die(const char *what)
{
    fprintf(stderr, "micro: %s\n", what);
    exit(1);
}

static void *
allocate(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (block == NULL) {
        die("out of memory");
    }
    return block;
}

static series
series_of(size_t rounds)
{
    return (series){allocate(rounds, sizeof(double)), 0};
}

static void
note(series *s, uint64_t ns, size_t things)
{
    s->values[s->count++] = (double)ns / (double)things;
}

static int
by_size(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Prints the series as a member of an object. */
static void
print_series(const char *name, series *s, const char *behind)
{
    qsort(s->values, s->count, sizeof(double), by_size);
    printf("\"%s\": {\"median\": %.1f, \"min\": %.1f, \"p99\": %.1f}%s", name,
           s->values[s->count / 2], s->values[0],
           s->values[s->count * 99 / 100], behind);
    free(s->values);
}

/* ---- clients */

typedef struct crowd {
    ws_hub *hub;
    ws_client **clients;
    void **apart;
    size_t count;
} crowd;

static ws_client *
join(ws_hub *hub, size_t number)
{
    char id[24];
    int size = snprintf(id, sizeof id, "%zu", number);
    ws_client_info info = {.id = {id, (size_t)size}};
    ws_client *client = ws_client_new(hub, ws_hub_wake(hub), &info);
    if (client == NULL || ws_hub_join(hub, client) != WS_OK) {
        die("a client could not join");
    }
    return client;
}

static crowd
crowd_of(size_t count)
{
    const ws_hub_limits limits = {
        .send = {.max_msgs = 256, .max_bytes = 1 << 20},
        .inbound = {.max_messages = 16, .max_bytes = 1 << 20},
    };
    crowd c = {
        .clients = allocate(count, sizeof(ws_client *)),
        .apart = allocate(count, sizeof(void *)),
        .count = count,
    };
    if (ws_hub_new(&limits, &c.hub) != WS_OK) {
        die("no hub");
    }
    for (size_t i = 0; i < count; i++) {
        c.clients[i] = join(c.hub, i);
        c.apart[i] = allocate(1, APART);
    }
    return c;
}

static void
crowd_free(crowd *c)
{
    for (size_t i = 0; i < c->count; i++) {
        ws_hub_end_client(c->clients[i], 1001, (ws_text){"", 0}, false);
        ws_client_unref(c->clients[i]);
        free(c->apart[i]);
    }
    free(c->clients);
    free(c->apart);
    ws_hub_drop_events(c->hub);
    ws_hub_unref(c->hub);
}

/* ---- what the pump does, without the system call */

static void
write_out(ws_client *client)
{
    ws_msg *msgs[WS_CHAN_BATCH];
    size_t offset = 0;
    size_t size = 0;
    size_t n = 0;
    while ((n = ws_chan_peek(&client->chan, msgs, 128 * 1024, &offset)) > 0) {
        size = 0;
        for (size_t i = 0; i < n; i++) {
            size += ws_msg_frame_size(msgs[i]);
        }
        n = ws_chan_commit(&client->chan, size);
        for (size_t i = 0; i < n; i++) {
            ws_msg_unref(msgs[i]);
        }
    }
}

/* As the pump does, which has its connections besides. */
static void
prefetch(ws_wake_link *next)
{
    if (next == NULL) {
        return;
    }
    ws_chan_prefetch(&ws_client_of_link(next)->chan);
    if (next->next != NULL) {
        ws_client_prefetch(ws_client_of_link(next->next));
    }
}

/* Returns how many clients there were. */
static size_t
serve(ws_hub *hub)
{
    ws_wake_chain chain;
    ws_task *tasks = NULL;
    size_t served = 0;
    ws_wake_take(ws_hub_wake(hub), &chain, &tasks);
    for (ws_wake_link *link = chain.head; link != NULL; served++) {
        ws_wake_link *next = link->next;
        prefetch(next);
        ws_client *client = ws_client_of_link(link);
        ws_wake_clear(link);
        write_out(client);
        ws_client_unref(client);
        link = next;
    }
    return served;
}

/* ---- the benchmarks */

static ws_msg *
make_msg(void)
{
    static const char payload[PAYLOAD];
    ws_msg *msg =
        ws_message_new(WS_MESSAGE_BINARY, payload, sizeof payload, NULL);
    if (msg == NULL) {
        die("out of memory");
    }
    return msg;
}

static void
send_one(ws_client *client, ws_msg *msg)
{
    if (ws_client_send(client, msg) != WS_OK) {
        die("a send was refused");
    }
}

/* The bell is rung and the client linked by the first send, outside of what is
   timed, as for a pump that is awake. */
static void
run_send(size_t rounds)
{
    crowd c = crowd_of(1);
    series made = series_of(rounds);
    series sent = series_of(rounds);
    series both = series_of(rounds);
    for (size_t r = 0; r < rounds; r++) {
        ws_msg *msgs[BURST];
        ws_msg *first = make_msg();
        send_one(c.clients[0], first);
        ws_msg_unref(first);
        uint64_t start = ws_now_ns();
        for (size_t i = 0; i < BURST; i++) {
            msgs[i] = make_msg();
        }
        uint64_t middle = ws_now_ns();
        for (size_t i = 0; i < BURST; i++) {
            send_one(c.clients[0], msgs[i]);
            ws_msg_unref(msgs[i]);
        }
        uint64_t end = ws_now_ns();
        note(&made, middle - start, BURST);
        note(&sent, end - middle, BURST);
        note(&both, end - start, BURST);
        (void)serve(c.hub);
    }
    printf("{\"what\": \"send\", ");
    print_series("make_ns", &made, ", ");
    print_series("send_ns", &sent, ", ");
    print_series("both_ns", &both, "}\n");
    crowd_free(&c);
}

static void
fan_out(crowd *c)
{
    ws_exclude nobody = {NULL, 0};
    ws_report report = {0};
    ws_msg *msg = make_msg();
    ws_fan_out(c->hub, (ws_target){.kind = WS_TO_ALL}, msg, &nobody, &report);
    ws_msg_unref(msg);
    if (report.queued != c->count) {
        die("not everybody took the message");
    }
    ws_report_release(&report);
}

/* Leaves nothing of what was touched before in the caches. */
static void
sweep(uint8_t *bytes)
{
    for (size_t i = 0; i < SWEEP; i += 64) {
        bytes[i]++;
    }
}

static void
fan_out_once(crowd *c, series *fanned, series *pumped, uint8_t *bytes)
{
    if (bytes != NULL) {
        sweep(bytes);
    }
    uint64_t start = ws_now_ns();
    fan_out(c);
    note(fanned, ws_now_ns() - start, c->count);
    if (bytes != NULL) {
        sweep(bytes);
    }
    start = ws_now_ns();
    if (serve(c->hub) != c->count) {
        die("the pump did not meet everybody");
    }
    note(pumped, ws_now_ns() - start, c->count);
}

static void
run_fanout(size_t count, size_t rounds)
{
    crowd c = crowd_of(count);
    uint8_t *bytes = allocate(1, SWEEP);
    size_t cold_rounds = rounds / 10 + 1;
    series fanned = series_of(rounds);
    series pumped = series_of(rounds);
    series fanned_cold = series_of(cold_rounds);
    series pumped_cold = series_of(cold_rounds);
    for (size_t r = 0; r < rounds; r++) {
        fan_out_once(&c, &fanned, &pumped, NULL);
    }
    for (size_t r = 0; r < cold_rounds; r++) {
        fan_out_once(&c, &fanned_cold, &pumped_cold, bytes);
    }
    printf("{\"what\": \"fanout\", \"clients\": %zu, ", count);
    print_series("fanout_ns_per_client", &fanned, ", ");
    print_series("pump_ns_per_client", &pumped, ", ");
    print_series("fanout_cold_ns_per_client", &fanned_cold, ", ");
    print_series("pump_cold_ns_per_client", &pumped_cold, "}\n");
    free(bytes);
    crowd_free(&c);
}

/* A step of the walk is: the lock taken, a chunk's references taken, the lock
   let go. So the longest step is no shorter than the longest hold. */
static void
run_hold(size_t count, size_t rounds)
{
    crowd c = crowd_of(count);
    series longest = series_of(rounds);
    series steps = series_of(rounds * (count / WS_GROUP_CHUNK + 8));
    for (size_t r = 0; r < rounds; r++) {
        ws_client *some[WS_GROUP_CHUNK];
        ws_walk walk = ws_hub_walk(c.hub, (ws_target){.kind = WS_TO_ALL});
        uint64_t most = 0;
        size_t n = 0;
        fan_out(&c); // others' work lies between two steps, and in the caches
        (void)serve(c.hub);
        do {
            uint64_t start = ws_now_ns();
            n = ws_hub_walk_next(c.hub, &walk, some);
            uint64_t took = ws_now_ns() - start;
            most = took > most ? took : most;
            if (n > 0) {
                note(&steps, took, 1);
            }
            for (size_t i = 0; i < n; i++) {
                ws_client_unref(some[i]);
            }
        } while (n > 0);
        note(&longest, most, 1);
    }
    printf("{\"what\": \"hold\", \"clients\": %zu, ", count);
    print_series("step_ns", &steps, ", ");
    print_series("longest_ns", &longest, "}\n");
    crowd_free(&c);
}

static void
run_chunk(size_t count, size_t rounds)
{
    crowd c = crowd_of(count);
    for (size_t r = 0; r < rounds; r++) {
        fan_out(&c);
        (void)serve(c.hub);
    }
    printf("{\"what\": \"chunk\", \"clients\": %zu, \"rounds\": %zu}\n", count,
           rounds);
    crowd_free(&c);
}

static size_t
number_at(int argc, char **argv, int at, size_t otherwise)
{
    if (at >= argc) {
        return otherwise;
    }
    char *end = NULL;
    unsigned long number = strtoul(argv[at], &end, 10);
    if (*end != '\0' || number == 0 || number > MOST_ROUNDS) {
        die("a number from 1 to 100000 is wanted");
    }
    return number;
}

static void *
sleep_on(void *arg)
{
    (void)arg;
    for (;;) {
        (void)pause();
    }
    return NULL;
}

int
main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    pthread_t other;
    if (pthread_create(&other, NULL, sleep_on, NULL) != 0) {
        die("no second thread");
    }
    if (strcmp(what, "send") == 0) {
        run_send(number_at(argc, argv, 2, 2000));
    } else if (strcmp(what, "fanout") == 0) {
        run_fanout(number_at(argc, argv, 2, 1000),
                   number_at(argc, argv, 3, 200));
    } else if (strcmp(what, "hold") == 0) {
        run_hold(number_at(argc, argv, 2, 10000),
                 number_at(argc, argv, 3, 100));
    } else if (strcmp(what, "chunk") == 0) {
        run_chunk(number_at(argc, argv, 2, 1000),
                  number_at(argc, argv, 3, 10));
    } else {
        die("send, fanout, hold or chunk; see the head of micro.c");
    }
    return 0;
}

/*
 * life.h - for tests of faults: the whole life of a server with guests, in
 * which anything may fail at any moment.
 *
 * A life has a hub, pages, a pump, two listeners and clients who talk, listen,
 * stall, leave and break off. Guests put up with being turned away or cut, but
 * not with silence: each step ends when what it is about has come about, or
 * when the connection has ended or the call was refused. In between and in the
 * end the accounts must be right to the message.
 *
 * To have lives with other listeners or options, add to life_setup and to
 * life_begin; to have something else happen in them, add a step to life_run.
 */
#ifndef WS_TESTS_LIFE_H
#define WS_TESTS_LIFE_H

#include "core/flush.h"
#include "core/held.h"
#include "core/memory_end.h"
#include "guest.h"

typedef struct life_setup {
    bool memory_end;  /* a client without a socket comes, too */
    bool many_topics; /* so many that tables grow */
    bool unix_socket; /* a second listener, and a guest there */
    int tls;          /* version, on TCP; 0: none */
    bool compression; /* permessage-deflate, for some guests */
    size_t pumps;     /* 0: one */
    bool authorize;   /* all are asked about, and two guests more come */
    bool abrupt;      /* what is open in the end is cut */
    /* Whether loading an identity may fail with that errno or, 0, for what is
       in the file; NULL: with ENOMEM alone. */
    bool (*excuses)(int err);
    void (*on_begun)(void);   /* once the server runs; NULL */
    unsigned long turns_most; /* of the pump, in all; 0: unchecked */
} life_setup;

enum {
    LIFE_SLOW_BUFFER = 4096,
    LIFE_MAX_MSGS = 40,
    LIFE_MESSAGE = 8192, /* bytes, of what stalls a guest */
    LIFE_MAX_EVENTS = 6,
    LIFE_GUESTS = 9,
    LIFE_ASKED = 7, /* from here on: those that come with `authorize` */
};

typedef struct life {
    const life_setup *setup;
    wire w; /* without its port */
    ws_port *tcp, *un;
    guest guests[LIFE_GUESTS];
    bool deaf; /* takes no events */
    bool put_back;
    size_t notices; /* taken */
    /* Outcomes of all attempts to send, as the sender was told. */
    uint64_t accepted, refused, refused_closed;
} life;

enum {
    TALKER,
    SLEEPER,
    LEAVER,
    BREAKER,
    READER,
    NEIGHBOUR,
    LATE,
    STRANGER,
    AGAIN,
};

/* The files of the server's two identities, the second of which asks clients
   for certificates; made by the first life, for good. */
static inline const ws_identity_files *
life_identity_files(bool second)
{
    static char paths[4][96];
    static const ws_identity_files files[] = {
        {.cert = paths[0]},
        {.cert = paths[1], .key = paths[2], .client_ca = paths[3]},
    };
    if (paths[0][0] == '\0') {
        pem_pair one = pem_make("one", NULL, false);
        pem_pair two = pem_make("two", NULL, false);
        const char *made[] = {
            pem_write_pair("one.pem", &one),
            pem_write_cert("two.pem", "w", two.cert),
            pem_write_key("two.key", "w", two.key, NULL),
            pem_write_cert("guests.pem", "w", guest_identity()->cert),
        };
        for (size_t i = 0; i < WIRE_COUNT_OF(made); i++) {
            (void)snprintf(paths[i], sizeof paths[i], "%s", made[i]);
        }
        pem_free(&one);
        pem_free(&two);
    }
    return &files[second];
}

/* NULL: it could not be loaded, for a reason that is excused. */
static inline ws_identity *
life_identity(const life_setup *setup, bool second)
{
    ws_identity_error error = {0};
    ws_identity *identity =
        ws_identity_load(life_identity_files(second), &error);
    bool excused = error.err == ENOMEM ||
                   (setup->excuses != NULL && setup->excuses(error.err));
    if (identity == NULL && !excused) {
        fprintf(stderr, "%s: %s %s\n", error.file, error.text,
                error.err == 0 ? "" : strerror(error.err));
        check_failed(__FILE__, __LINE__, "an identity cannot be loaded");
    }
    return identity;
}

/* ---- sending, and its account */

static inline void
life_note(life *l, ws_err err)
{
    CHECK(err == WS_OK || err == WS_ERR_FULL || err == WS_ERR_CLOSED ||
          err == WS_ERR_NOMEM);
    l->accepted += err == WS_OK;
    l->refused_closed += err == WS_ERR_CLOSED;
    l->refused += err == WS_ERR_FULL || err == WS_ERR_NOMEM;
}

static inline ws_err
life_send(life *l, ws_client *client, const void *data, size_t size)
{
    ws_err err = wire_send(client, WS_MESSAGE_BINARY, data, size);
    life_note(l, err);
    return err;
}

static inline void
life_fan_out_data(life *l, ws_target target, const uint8_t *data, size_t size)
{
    ws_report report = {0};
    ws_exclude nobody = {NULL, 0};
    ws_msg *msg = ws_message_new(WS_MESSAGE_BINARY, data, size, NULL);
    if (msg == NULL) {
        ws_fan_out_refused(l->w.hub, target, WS_ERR_NOMEM, &nobody, &report);
        CHECK_EQ(report.queued + report.full_count, 0);
    } else {
        ws_fan_out(l->w.hub, target, msg, &nobody, &report);
    }
    ws_msg_unref(msg);
    CHECK_EQ(report.queued + report.full_count + report.closed + report.failed,
             report.tried);
    l->accepted += report.queued;
    l->refused_closed += report.closed;
    l->refused += report.full_count + report.failed;
    ws_report_release(&report);
}

static inline void
life_fan_out(life *l, ws_target target, size_t size)
{
    static const uint8_t data[LIFE_MESSAGE];
    life_fan_out_data(l, target, data, size);
}

/* What compression makes no smaller. */
static inline void
life_fan_out_noise(life *l)
{
    enum { SIZE = 1000 };
    uint8_t *noise = deflate_kit_noise(SIZE);
    life_fan_out_data(l, (ws_target){.kind = WS_TO_ALL}, noise, SIZE);
    free(noise);
}

/* ---- events */

static inline guest *
life_guest_of(life *l, const ws_client *client)
{
    for (size_t i = 0; i < LIFE_GUESTS; i++) {
        if (client->info.id.data != NULL && l->guests[i].name != NULL &&
            strcmp(client->info.id.data, l->guests[i].name) == 0) {
            return &l->guests[i];
        }
    }
    check_failed(__FILE__, __LINE__, "an event of an unknown client");
}

/* Every message comes back to who sent it. */
static inline void
life_answer(life *l, const ws_event *event)
{
    guest *g = life_guest_of(l, event->client);
    if (event->kind == WS_EVENT_NOTICE) {
        l->notices++;
    } else if (event->kind == WS_EVENT_MESSAGE) {
        g->heard++;
        ws_err err = life_send(l, event->client,
                               ws_inbound_data(event->message), event->size);
        g->unanswered += err != WS_OK;
    }
}

/* What the request calls itself is what it is called; and a stranger is shown
   the door. */
static inline void
life_decide(const ws_held *held, ws_decision *what, char name[16])
{
    static const char topics[] = "asked\0news";
    CHECK(held->info.request.data != NULL);
    CHECK_EQ(sscanf(held->info.request.data, "GET /?id=%15[a-z]", name), 1);
    if (strcmp(name, "stranger") == 0) {
        *what = (ws_decision){
            .status = 403,
            .close_code = 4403,
            .body = wire_text("not for you"),
        };
    } else {
        *what = (ws_decision){
            .accept = true,
            .id = wire_text(name),
            .user = wire_text("u"),
            .topics = {topics, sizeof topics},
            .headers = wire_text("X-Asked: yes\r\n"),
            .replace = true,
        };
    }
}

static inline void
life_ask(ws_held *held)
{
    char name[16];
    ws_decision what;
    life_decide(held, &what, name);
    ws_decision *decision = ws_decision_new(&what);
    if (decision == NULL) {
        ws_held_drop(held);
    } else if (ws_held_decide(held, decision) != WS_HELD_PENDING) {
        ws_decision_free(decision); // it has gone
    }
}

/* A drainer that sleeps until the descriptor calls: a lost call shows. */
static inline void
life_take_events(life *l)
{
    struct pollfd bell = {.fd = ws_evq_fd(ws_hub_events(l->w.hub)),
                          .events = POLLIN};
    ws_event event;
    if (poll(&bell, 1, 0) == 0) {
        return;
    }
    while (ws_hub_take_event(l->w.hub, &event)) {
        bool back = l->put_back && event.kind == WS_EVENT_NOTICE;
        if (back) {
            l->put_back = false;
            ws_evq_put_back(ws_hub_events(l->w.hub), &event);
        }
        if (!back && event.kind == WS_EVENT_AUTHORIZE) {
            life_ask(event.held);
        } else if (!back) {
            life_answer(l, &event);
        }
        if (!back) {
            ws_event_release(&event);
        }
    }
}

/* Lets everybody do what there is to do. */
static inline void
life_turn(life *l)
{
    if (!l->deaf) {
        life_take_events(l);
    }
    for (size_t i = 0; i < LIFE_GUESTS; i++) {
        guest *g = &l->guests[i];
        if (g->fd >= 0 && !g->asleep && !g->ended) {
            guest_read(g);
        }
    }
    ws_hub_stats stats = wire_check_law(&l->w);
    CHECK_EQ(stats.counts.dropped, 0);
}

#define LIFE_UNTIL(l, cond)                                             \
    do {                                                                \
        uint64_t give_up_ = wire_deadline();                            \
        while (life_turn(l), !(cond)) {                                 \
            if (ws_now_ns() > give_up_) {                               \
                check_failed(__FILE__, __LINE__, #cond);                \
            }                                                           \
            nanosleep(&(struct timespec){.tv_nsec = 100 * 1000}, NULL); \
        }                                                               \
    } while (0)

/* ---- the steps */

static inline guest *
life_dial(life *l, int who, const char *name, const ws_port *port, int buffer)
{
    guest *g = &l->guests[who];
    peer p = peer_dial_port(port, buffer);
    if (ws_port_is_tls(port)) {
        peer_tls_begin(&p, guest_ctx(l->setup->tls));
    }
    g->name = name;
    g->fd = p.fd;
    g->ssl = p.ssl;
    return g;
}

/* Of compression, so that one has a smaller window; the sleeper and others,
   who are to be sent much, offer none. */
static inline const char *
life_offer(int who)
{
#define LIFE_OFFER "Sec-WebSocket-Extensions: permessage-deflate"
    return who == TALKER   ? LIFE_OFFER "; client_max_window_bits\r\n"
           : who == LEAVER ? LIFE_OFFER "; server_max_window_bits=9\r\n"
           : who == NEIGHBOUR || who == LATE ? LIFE_OFFER "\r\n"
                                             : "";
#undef LIFE_OFFER
}

static inline guest *
life_visit(life *l, int who, const char *name, const ws_port *port, int buffer)
{
    char target[32];
    char headers[256];
    guest *g = life_dial(l, who, name, port, buffer);
    (void)snprintf(target, sizeof target, "/?id=%s&user=u", name);
    (void)snprintf(headers, sizeof headers,
                   "Origin: https://example.com\r\n"
                   "X-Forwarded-For: 10.0.0.1\r\n"
                   "Sec-WebSocket-Protocol: chat\r\n%s",
                   l->setup->compression ? life_offer(who) : "");
    const char *request = peer_request(target, headers);
    guest_say(g, request, strlen(request));
    LIFE_UNTIL(l, g->opened || guest_is_gone(g));
    if (g->opened) {
        LIFE_UNTIL(l, (g->client = ws_hub_get(l->w.hub, wire_text(name))) !=
                              NULL ||
                          guest_is_gone(g));
    }
    return g;
}

static inline void
life_arrive(life *l)
{
    (void)life_visit(l, TALKER, "talker", l->tcp, 0);
    guest *g = life_visit(l, SLEEPER, "sleeper", l->tcp, LIFE_SLOW_BUFFER);
    g->asleep = g->client != NULL;
    (void)life_visit(l, LEAVER, "leaver", l->tcp, 0);
    (void)life_visit(l, BREAKER, "breaker", l->tcp, 0);
    if (l->un != NULL) {
        (void)life_visit(l, NEIGHBOUR, "neighbour", l->un, 0);
    }
}

static inline void
life_read_page(life *l)
{
    guest *g = life_dial(l, READER, "reader", l->tcp, 0);
    const char *request = "GET /page HTTP/1.1\r\nHost: localhost\r\n\r\n";
    guest_say(g, request, strlen(request));
    LIFE_UNTIL(l, g->ended || g->broken);
    if (g->end > 0 && g->cleanly && memcmp(g->in, "HTTP/1.1 200 ", 13) == 0) {
        CHECK(memmem(g->in, g->end, "\r\n\r\nA page.\n", 12) != NULL);
    }
}

/* All that the talker said was taken, and what came back has come. */
#define LIFE_ANSWERED(g, count) \
    (guest_is_gone(g) ||        \
     ((g)->heard >= (count) && (g)->frames + (g)->unanswered >= (count)))

static inline void
life_talk(life *l)
{
    static const uint8_t data[100000];
    uint8_t out[1024];
    guest *g = &l->guests[TALKER];
    if (g->client == NULL) {
        return;
    }
    guest_frame(g, PEER_BINARY, "hello", 5);
    LIFE_UNTIL(l, LIFE_ANSWERED(g, 1));

    guest_frame(g, WS_OPCODE_BINARY, data, 70000);
    guest_frame(g, 0, data, 100);
    guest_frame(g, WS_FRAME_FIN, data, 30000);
    LIFE_UNTIL(l, LIFE_ANSWERED(g, 2));

    // A ping whose last bytes come by themselves, once the first were read.
    size_t size = peer_make(out, PEER_PING, "one", 3);
    size += peer_make(out + size, PEER_BINARY, "mark", 4);
    size_t ping = peer_make(out + size, PEER_PING, "halves", 6);
    guest_say(g, out, size + ping - 2);
    g->asleep = true; // a pong of its own would break the frame
    LIFE_UNTIL(l, g->heard >= 3 || guest_is_gone(g));
    g->asleep = false;
    guest_say(g, out + size + ping - 2, 2);
    guest_frame(g, PEER_BINARY, "mark", 4);
    LIFE_UNTIL(l, LIFE_ANSWERED(g, 4));
}

/* Two messages, so that what the first was taken apart with is used again. */
static inline void
life_talk_compressed(life *l)
{
    enum { SIZE = 70000 };
    static const uint8_t data[SIZE];
    guest *g = &l->guests[TALKER];
    if (!g->compressed || g->client == NULL) {
        return;
    }
    size_t size = 0;
    uint8_t *payload =
        deflate_kit_compress(data, SIZE, 6, 15, Z_SYNC_FLUSH, &size);
    for (int i = 0; i < 2; i++) {
        size_t want = g->heard + 1;
        guest_frame(g, WS_FRAME_RSV1 | WS_OPCODE_BINARY, payload, size / 2);
        guest_frame(g, WS_FRAME_FIN, payload + size / 2, size - size / 2);
        LIFE_UNTIL(l, LIFE_ANSWERED(g, want));
    }
    free(payload);
}

static inline void
life_subscribe(life *l, guest *g, const char *topic)
{
    if (g->client != NULL) {
        ws_err err = ws_hub_subscribe(g->client, wire_text(topic));
        CHECK(err == WS_OK || err == WS_ERR_NOMEM || err == WS_ERR_CLOSED);
    }
    (void)l;
}

static inline void
life_topics(life *l)
{
    enum { MANY = 70 };
    char name[16];
    guest *g = &l->guests[TALKER];
    for (int i = 0; l->setup->many_topics && i < MANY; i++) {
        (void)snprintf(name, sizeof name, "topic %d", i);
        life_subscribe(l, g, name);
    }
    life_subscribe(l, g, "news");
    life_subscribe(l, &l->guests[LEAVER], "news");
    life_fan_out(l, (ws_target){WS_TO_TOPIC, wire_text("news")}, 100);
    if (g->client != NULL) {
        char *names = NULL;
        size_t size = 0;
        ws_err err = ws_hub_topics(g->client, &names, &size);
        CHECK(err == WS_OK || err == WS_ERR_NOMEM);
        ws_free(err == WS_OK ? names : NULL);
        (void)ws_hub_unsubscribe(g->client, wire_text("news"));
    }
}

/* Fills the sleeper's channel, and has it ask for more pongs than fit. */
static inline void
life_stall(life *l)
{
    enum { PINGS = 12, PING = 125, SURE = 3 };
    static const uint8_t data[LIFE_MESSAGE];
    static uint8_t out[PINGS * (PING + PEER_HEADER_MAX) + 32];
    guest *g = &l->guests[SLEEPER];
    int full = 0;
    for (int i = 0; i < 400 && full < SURE && g->client != NULL; i++) {
        ws_err err = life_send(l, g->client, data, sizeof data);
        full += err == WS_ERR_FULL || err == WS_ERR_CLOSED;
        if (err == WS_ERR_FULL) {
            (void)usleep(500); // perhaps the kernel takes more
        }
    }
    if (g->client == NULL) {
        return;
    }
    size_t size = 0;
    for (int i = 0; i < PINGS; i++) {
        size += peer_make(out + size, PEER_PING, data, PING);
    }
    size += peer_make(out + size, PEER_BINARY, "mark", 4);
    guest_say(g, out, size);
    LIFE_UNTIL(l, g->heard >= 1 || guest_is_gone(g));
}

static inline void
life_broadcast(life *l)
{
    ws_client **all = NULL;
    size_t count = 0;
    life_fan_out(l, (ws_target){.kind = WS_TO_ALL}, LIFE_MESSAGE);
    life_fan_out_noise(l);
    life_fan_out(l, (ws_target){WS_TO_USER, wire_text("u")}, 10);
    if (ws_hub_list(l->w.hub, (ws_target){.kind = WS_TO_ALL}, &all, &count) ==
        WS_OK) {
        for (size_t i = 0; i < count; i++) {
            ws_client_unref(all[i]);
        }
        ws_free(all);
    }
}

static inline void
life_flush(life *l)
{
    guest *g = &l->guests[TALKER];
    ws_flush *flush = NULL;
    if (g->client == NULL) {
        return;
    }
    if (ws_flush_client(g->client, &flush) == WS_OK) {
        ws_err err = ws_flush_wait(flush, wire_deadline());
        CHECK(err == WS_OK || err == WS_ERR_CLOSED);
        ws_flush_free(flush);
    }
    if (ws_flush_hub(l->w.hub, &flush) == WS_OK) {
        ws_err err = ws_flush_wait(flush, ws_now_ns());
        CHECK(err == WS_OK || err == WS_ERR_CLOSED || err == WS_ERR_TIMEOUT);
        ws_flush_free(flush);
    }
    l->put_back = true;
    ws_err noted = ws_hub_notify(g->client, WS_WAIT_FLUSH, 7);
    if (noted == WS_OK) {
        l->notices++; // it would have come
    } else if (noted == WS_ERR_TIMEOUT) {
        LIFE_UNTIL(l, l->notices > 0);
    }
}

/* The pump has ended a turn that began after this was called. */
static inline void
life_pass_turn(life *l, ws_client *client)
{
    for (int i = 0; i < 2; i++) {
        uint64_t turns = WIRE_COUNTED(&l->w, turns);
        ws_client_kick(client);
        LIFE_UNTIL(l, WIRE_COUNTED(&l->w, turns) > turns);
    }
}

/* More at once than there is room for, while nobody takes it. */
static inline void
life_flood(life *l)
{
    enum { MESSAGES = 20 };
    uint8_t out[MESSAGES * 16];
    guest *g = &l->guests[TALKER];
    if (g->client == NULL || guest_is_gone(g)) {
        return;
    }
    size_t size = 0;
    size_t want = g->heard + MESSAGES;
    for (int i = 0; i < MESSAGES; i++) {
        size += peer_make(out + size, PEER_BINARY, "flood", 5);
    }
    l->deaf = true;
    guest_say(g, out, size);
    LIFE_UNTIL(l, ws_hub_get_stats(l->w.hub).events.messages >= 2 ||
                      guest_is_gone(g));
    life_pass_turn(l, g->client);
    l->deaf = false;
    LIFE_UNTIL(l, LIFE_ANSWERED(g, want));
}

/* Who comes from here on is shown another certificate, and asked for one. */
static inline void
life_reload(life *l)
{
    ws_identity *identity = NULL;
    if (ws_port_is_tls(l->tcp) &&
        (identity = life_identity(l->setup, true)) != NULL) {
        ws_err err = ws_port_set_identity(l->tcp, identity);
        CHECK(err == WS_OK || err == WS_ERR_NOMEM);
    }
}

static inline void
life_wake_up(life *l)
{
    guest *g = &l->guests[SLEEPER];
    g->asleep = false;
    if (g->client != NULL) {
        LIFE_UNTIL(l, ws_chan_is_empty(&g->client->chan) || guest_is_gone(g));
    }
    LIFE_UNTIL(l,
               WIRE_COUNTED(&l->w, pings) > 0 || ws_hub_size(l->w.hub) == 0);
}

static inline void
life_part(life *l)
{
    guest *leaver = &l->guests[LEAVER];
    guest *breaker = &l->guests[BREAKER];
    guest *talker = &l->guests[TALKER];
    if (leaver->fd >= 0 && leaver->client != NULL) {
        guest_say_close(leaver, "I must go");
        LIFE_UNTIL(l, leaver->ended || leaver->broken);
    }
    if (breaker->fd >= 0) {
        peer p = guest_peer(breaker);
        breaker->fd = -1;
        breaker->ssl = NULL;
        peer_reset(&p);
    }
    if (breaker->client != NULL) {
        LIFE_UNTIL(l, wire_is_closed(breaker->client));
    }
    if (talker->client != NULL) {
        ws_err err =
            ws_hub_close_client(talker->client, 1000, wire_text("enough"));
        if (err == WS_ERR_NOMEM) {
            err = ws_hub_close_client(talker->client, 1000, wire_text(""));
        }
        CHECK(err == WS_OK || err == WS_ERR_CLOSED || err == WS_ERR_NOMEM);
        LIFE_UNTIL(l, talker->ended || talker->broken || err == WS_ERR_NOMEM);
    }
}

/* One that is turned away, one that has spoken before it was let in, and one
   that takes its place. */
static inline void
life_come_again(life *l)
{
    uint8_t early[32];
    guest *late = &l->guests[LATE];
    (void)life_visit(l, STRANGER, "stranger", l->tcp, 0);
    guest *again = life_dial(l, AGAIN, "late", l->tcp, 0);
    char all[1024];
    int size =
        snprintf(all, sizeof all, "%s",
                 peer_request("/?id=late", "Origin: https://example.com\r\n"
                                           "X-Forwarded-For: 10.0.0.1\r\n"));
    size_t frame = peer_make(early, PEER_PING, "early", 5);
    memcpy(all + size, early, frame);
    guest_say(again, all, (size_t)size + frame);
    LIFE_UNTIL(l, again->opened || guest_is_gone(again));
    if (again->opened && late->client != NULL) {
        LIFE_UNTIL(l, wire_is_closed(late->client) || guest_is_gone(again));
    }
    if (again->opened) {
        LIFE_UNTIL(l, (again->client =
                           ws_hub_get(l->w.hub, wire_text("late"))) != NULL ||
                          guest_is_gone(again));
    }
}

/* The hub closes amid guests, and the pump ends by itself. */
static inline void
life_close(life *l)
{
    (void)life_visit(l, LATE, "late", l->tcp, 0);
    if (l->setup->authorize) {
        life_come_again(l);
    }
    life_fan_out(l, (ws_target){.kind = WS_TO_ALL}, 100);
    if (l->setup->abrupt) {
        return; // freeing the pump does it
    }
    ws_port_close(l->tcp);
    ws_crew_close(l->w.crew, 1001, wire_text("bye"));
    LIFE_UNTIL(l, ws_crew_wait(l->w.crew, ws_now_ns()) == WS_OK);
}

/* A client without a socket comes, is told something, and leaves. */
static inline void
life_without_socket(life *l)
{
    ws_client_info info = {.id = wire_text("socketless")};
    ws_memory_end *end = NULL;
    ws_msg **messages = NULL;
    if (!l->setup->memory_end ||
        ws_memory_end_new(l->w.hub, &info, &end) != WS_OK) {
        return;
    }
    ws_err err = life_send(l, ws_memory_end_client(end), "x", 1);
    CHECK(err == WS_OK || err == WS_ERR_NOMEM);
    size_t count = ws_memory_end_take(end, &messages);
    CHECK(count <= 1);
    if (count == 1) {
        ws_msg_unref(messages[0]);
    }
    ws_free(messages);
    ws_memory_end_free(end);
}

static inline void
life_run(life *l)
{
    life_arrive(l);
    life_read_page(l);
    life_talk(l);
    life_talk_compressed(l);
    life_topics(l);
    life_stall(l);
    life_broadcast(l);
    life_flush(l);
    life_flood(l);
    life_without_socket(l);
    life_reload(l);
    life_wake_up(l);
    life_part(l);
    life_close(l);
}

/* ---- the beginning and the end */

static inline bool
life_refused(ws_err err)
{
    CHECK(err == WS_OK || err == WS_ERR_NOMEM || err == WS_ERR_SYSTEM);
    return err != WS_OK;
}

static inline wire_setup
life_options(bool compression)
{
    static const char *const proxies[] = {"127.0.0.1"};
    static const char *const origins[] = {"https://example.com"};
    static const char *const subprotocols[] = {"chat"};
    wire_setup setup = wire_defaults();
    setup.limits.send.max_msgs = LIFE_MAX_MSGS;
    setup.limits.inbound.max_messages = LIFE_MAX_EVENTS;
    setup.config.ping_interval_ns = 20 * WS_NS_PER_MS;
    setup.config.ping_timeout_ns = WIRE_PATIENCE_MS * WS_NS_PER_MS;
    setup.config.trusted_proxies = proxies;
    setup.config.trusted_proxy_count = 1;
    setup.config.origins = origins;
    setup.config.origin_count = 1;
    setup.config.subprotocols = subprotocols;
    setup.config.subprotocol_count = 1;
    setup.config.max_clients_per_ip = 100;
    setup.config.compression = compression;
    return setup;
}

static inline bool
life_listen(life *l, bool unix_socket, ws_port **port)
{
    ws_identity *identity = NULL;
    if (l->setup->tls != 0 && !unix_socket &&
        (identity = life_identity(l->setup, false)) == NULL) {
        return false;
    }
    ws_listener *listener = wire_listener(unix_socket);
    if (listener == NULL) {
        ws_identity_free(identity);
        return false;
    }
    return !life_refused(
        ws_crew_listen_tls(l->w.crew, listener, "/", identity, port));
}

/* False: something was refused. Whatever there is then must be ended. */
static inline bool
life_begin(life *l, const life_setup *setup)
{
    wire_setup options = life_options(setup->compression);
    options.config.pumps = setup->pumps;
    options.config.authorize = setup->authorize;
    options.limits.max_handshakes = LIFE_GUESTS;
    CHECK_EQ(wire_tls(), 0); // whether there is TLS says the setup
    *l = (life){.setup = setup};
    for (size_t i = 0; i < LIFE_GUESTS; i++) {
        l->guests[i].fd = -1;
    }
    if (life_refused(ws_hub_new(&options.limits, &l->w.hub))) {
        return false;
    }
    ws_hub_start_events(l->w.hub);
    l->w.pages = ws_pages_new();
    if (l->w.pages == NULL ||
        life_refused(ws_pages_put(l->w.pages, wire_text("/page"),
                                  wire_text("text/plain"), "A page.\n", 8)) ||
        life_refused(
            ws_crew_new(l->w.hub, l->w.pages, &options.config, &l->w.crew))) {
        return false;
    }
    return life_listen(l, false, &l->tcp) &&
           (!setup->unix_socket || life_listen(l, true, &l->un));
}

/* What arrived is what the kernel took, where it could arrive at all. */
static inline void
life_end_guest(guest *g)
{
    if (g->client != NULL) {
        ws_chan_stats stats = ws_chan_get_stats(&g->client->chan);
        CHECK(wire_is_closed(g->client));
        CHECK_EQ(stats.queued, 0);
        CHECK(g->frames <= stats.counts.written);
        if (g->ended && g->cleanly) {
            CHECK_EQ(g->frames, stats.counts.written);
        }
        ws_client_unref(g->client);
    }
    if (g->fd >= 0) {
        guest_hang_up(g);
    }
    free(g->in);
}

static inline void
life_check_account(const life *l)
{
    ws_hub_stats stats = wire_check_law(&l->w);
    const ws_chan_counts *counts = &stats.counts;
    CHECK_EQ(stats.queued + stats.clients + stats.closing, 0);
    CHECK_EQ(counts->accepted, l->accepted);
    CHECK_EQ(counts->refused_closed, l->refused_closed);
    CHECK_EQ(counts->refused_full + counts->refused_nomem +
                 counts->refused_too_large,
             l->refused);
    if (l->setup->turns_most > 0) {
        CHECK(WIRE_COUNTED(&l->w, turns) <= l->setup->turns_most);
    }
}

static inline void
life_end(life *l)
{
    ws_crew_free(l->w.crew);
    ws_port_unref(l->tcp);
    ws_port_unref(l->un);
    if (l->w.hub != NULL) {
        life_turn(l);
        ws_hub_drop_events(l->w.hub);
        life_check_account(l);
    }
    for (size_t i = 0; i < LIFE_GUESTS; i++) {
        life_end_guest(&l->guests[i]);
    }
    ws_pages_unref(l->w.pages);
    ws_hub_unref(l->w.hub);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* A whole life; everything must be back afterwards. */
static inline void
life_live(const life_setup *setup)
{
    static life l;
    int before = check_open_descriptors();
    bool begun = life_begin(&l, setup);
    if (setup->on_begun != NULL) {
        setup->on_begun();
    }
    if (begun) {
        life_run(&l);
    }
    life_end(&l);
    CHECK_EQ(check_open_descriptors(), before);
}

#endif

/*
 * A whole connection: a real pump and a real socket, and a client that says
 * anything in any pieces. What reaches the events is compared with the second
 * opinion on frames; what comes back must be HTTP and frames to the last byte.
 */
#include <pthread.h>
#include <signal.h>

#include "fuzz.h"
#include "reference_frames.h"
#include "wire.h"

enum {
    MESSAGE_MAX = 600, // bytes of an inbound message
    SENDS_MAX = 3,     // messages of ours
    LIVE_MAX = 1000,   // blocks that one connection and the server may hold
};

/* Whether the input begins with the request; the 101 is waited for; the client
   goes without reading. */
enum { RAW = 1, PATIENT = 2, LEAVES = 4, SENDS_SHIFT = 3 };

static const ws_decode_limits limits = {
    .max_message_size = MESSAGE_MAX,
    .max_fragments = WS_DECODE_MAX_FRAGMENTS,
};

/* ---- the server, one for all inputs */

static wire server;

/* Nothing is left, not even a block of memory. */
static void
stop_server(void)
{
    (void)wire_close(&server);
}

static void
start_server(void)
{
    if (server.pump == NULL) {
        wire_setup setup = wire_defaults();
        setup.unix_socket = true;
        setup.events = true;
        setup.config.max_message_size = MESSAGE_MAX;
        setup.config.id_query = NULL; // or one could be in use
        server = wire_open(&setup);
        CHECK_EQ(atexit(stop_server), 0);
    }
}

/* ---- what comes back */

typedef struct {
    const uint8_t *at;
    size_t left;
} answer;

/* The head of a response; its status. */
static int
take_head(answer *in, size_t *body)
{
    const uint8_t *end = memmem(in->at, in->left, "\r\n\r\n", 4);
    char head[2048];

    CHECK(end != NULL);
    size_t size = (size_t)(end - in->at) + 4;
    CHECK(size < sizeof head);
    memcpy(head, in->at, size);
    head[size] = '\0';
    in->at += size;
    in->left -= size;
    CHECK(strncmp(head, "HTTP/1.1 ", 9) == 0);
    const char *length = strstr(head, "\r\nContent-Length: ");
    *body = length == NULL ? 0 : strtoul(length + 18, NULL, 10);
    return (int)strtol(head + 9, NULL, 10);
}

/* What the client sent in a control frame must come from its log. */
static bool
was_sent(const frame_log *log, char kind, const uint8_t *data, size_t size)
{
    size_t at = 0;

    while (at < log->records.size) {
        uint64_t sizes[2];
        memcpy(sizes, log->records.data + at, sizeof sizes);
        const uint8_t *record = log->records.data + at + sizeof sizes;
        if (record[0] == (uint8_t)kind && sizes[1] == size &&
            memcmp(record + 1, data, size) == 0) {
            return true;
        }
        at += sizeof sizes + 1 + sizes[1];
    }
    return false;
}

/* Server's frames: whole, not masked, a Close last. Returns its code, or 0. */
static unsigned
check_frames(answer in, const frame_log *log)
{
    static const uint8_t ours[SENDS_MAX][2] = {"a", "b", "c"};
    unsigned code = 0;
    size_t sent = 0;

    while (in.left > 0) {
        CHECK(code == 0 && in.left >= 2);
        size_t size = in.at[1];
        const uint8_t *data = in.at + 2;
        CHECK(size <= WS_FRAME_CONTROL_PAYLOAD_MAX && in.left >= 2 + size);
        if (in.at[0] == PEER_CLOSE) {
            code = size == 0 ? 1005 : data[0] * 256U + data[1];
        } else if (in.at[0] == PEER_TEXT) {
            CHECK(sent < SENDS_MAX && size == 1 && data[0] == *ours[sent]);
            sent++;
        } else {
            CHECK_EQ(in.at[0], PEER_PONG);
            CHECK(log == NULL || was_sent(log, 'P', data, size));
        }
        in.at += 2 + size;
        in.left -= 2 + size;
    }
    return code;
}

/* ---- what the application saw */

/* The next message of a log; false: there is none. */
static bool
next_message(const frame_log *log, size_t *at, const uint8_t **data,
             size_t *size)
{
    while (*at < log->records.size) {
        uint64_t sizes[2];
        memcpy(sizes, log->records.data + *at, sizeof sizes);
        const uint8_t *record = log->records.data + *at + sizeof sizes;
        *at += sizeof sizes + 1 + sizes[1];
        if (record[0] == 'M') {
            *data = record + 1;
            *size = sizes[1];
            return true;
        }
    }
    return false;
}

static void
check_message(ws_event *event, const frame_log *log, size_t *at)
{
    const uint8_t *want = NULL;
    size_t size = 0;

    CHECK(next_message(log, at, &want, &size));
    CHECK_EQ(event->text, want[0] == WS_OPCODE_TEXT);
    CHECK_EQ(event->size, size - 2); // behind opcode and compression
    CHECK_MEM_EQ(ws_inbound_data(event->message), want + 2, event->size);
}

/* The code that the client's frames ask for; 0: they asked for no end. */
static unsigned
code_of(const frame_log *log)
{
    const uint8_t *records = log->records.data;
    uint64_t sizes[2];
    unsigned code = 0;

    for (size_t at = 0; at < log->records.size;
         at += sizeof sizes + 1 + sizes[1]) {
        memcpy(sizes, records + at, sizeof sizes);
        const uint8_t *record = records + at + sizeof sizes;
        if (record[0] == 'C' || record[0] == 'X') {
            code = record[1] * 256U + record[2];
        }
    }
    return code;
}

/* All that is queued. `log` NULL: what it should be is not known. */
static void
check_events(const frame_log *log, bool whole)
{
    size_t at = 0;
    ws_event event;

    while (ws_hub_take_event(server.hub, &event)) {
        if (event.kind == WS_EVENT_MESSAGE && log != NULL) {
            check_message(&event, log, &at);
        } else if (event.kind == WS_EVENT_DISCONNECTED && log != NULL &&
                   whole) {
            unsigned code = code_of(log);
            CHECK_EQ(event.client->close_code, code == 0 ? 1006 : code);
        }
        ws_event_release(&event);
    }
    if (log != NULL && whole) {
        const uint8_t *data = NULL;
        size_t size = 0;
        CHECK(!next_message(log, &at, &data, &size));
    }
}

/* ---- the client */

/* In pieces, as long as the server listens. */
static void
say(const peer *p, fuzz_input in, fuzz_cuts cuts)
{
    size_t at = 0;

    while (at < in.size) {
        size_t size = fuzz_next_piece(&cuts, in.size - at);
        ssize_t sent = size == 0 ? 0 : peer_try_send(p, in.data + at, size);
        if (sent < 0) {
            return; // it has gone
        }
        if (size > 0 && sent == 0) {
            peer_wait(p, POLLOUT);
        }
        at += (size_t)sent;
    }
}

/* To the client that has just connected, if it is still there. */
static void
send_some(unsigned count)
{
    ws_event event;

    if (ws_hub_take_event(server.hub, &event)) {
        CHECK_EQ(event.kind, WS_EVENT_CONNECTED);
        for (unsigned i = 0; i < count; i++) {
            char text[] = {(char)('a' + i), '\0'};
            ws_err err = wire_send_text(event.client, text);
            CHECK(err == WS_OK || err == WS_ERR_CLOSED);
        }
        ws_event_release(&event);
    }
}

/* An answer to a request that may be anything: none, while it is unfinished;
   one in HTTP; or a switch of protocols, and frames. */
static void
check_raw(answer in)
{
    size_t body = 0;

    if (in.left > 0 && take_head(&in, &body) == 101) {
        (void)check_frames(in, NULL);
    } else {
        CHECK(in.left == 0 || in.left == body);
    }
}

static void
converse(peer *p, fuzz_input in, fuzz_cuts cuts, uint8_t manner)
{
    answer got = {NULL, 0};
    bool raw = (manner & RAW) != 0;
    frame_log log = {.used = 0};

    if (!raw) {
        log = reference_frames(in.data, in.size, &limits);
        peer_say(p, peer_request("/", ""));
    }
    if (!raw && (manner & PATIENT) != 0) {
        (void)peer_expect_switch(p);
        send_some((unsigned)(manner >> SENDS_SHIFT) % (SENDS_MAX + 1));
    }
    say(p, in, cuts);
    bool whole = !raw && (manner & LEAVES) == 0;
    if ((manner & LEAVES) == 0) {
        peer_shut(p);
        while (peer_receive(p) > 0) {
        }
        got = (answer){p->in + p->at, p->end - p->at};
    }
    if (raw) {
        check_raw(got);
    } else if (whole) {
        size_t body = 0;
        if ((manner & PATIENT) == 0) {
            CHECK_EQ(take_head(&got, &body), 101);
        }
        CHECK_EQ(check_frames(got, &log), code_of(&log));
    }
    peer_close(p);
    WITHIN(ws_hub_present(server.hub) == 0, 10);
    check_events(raw ? NULL : &log, whole);
    frame_log_free(&log);
}

/* libFuzzer's timer would interrupt the waiting; here every wait has a limit
   of its own, and the signal comes between two inputs. */
static void
hold_timer(int how)
{
    sigset_t timer;

    CHECK_EQ(sigemptyset(&timer), 0);
    CHECK_EQ(sigaddset(&timer, SIGALRM), 0);
    CHECK_EQ(pthread_sigmask(how, &timer, NULL), 0);
}

static void
run(fuzz_input in)
{
    uint8_t manner = fuzz_take_byte(&in);
    fuzz_cuts cuts = fuzz_take_cuts(&in);

    hold_timer(SIG_BLOCK);
    start_server();
    peer p = peer_dial(&server);
    converse(&p, in, cuts, manner);
    (void)wire_check_law(&server);
    CHECK(ws_alloc_live() < LIVE_MAX);
    hold_timer(SIG_UNBLOCK);
}

FUZZ_MAIN(run)

/*
 * A whole connection: a real pump and a real socket, and a client that says
 * anything in any pieces, compressed or not. What reaches the events is
 * compared with the second opinions on frames and on compressed messages; what
 * comes back must be HTTP and frames to the last byte.
 */
#include <pthread.h>
#include <signal.h>

#include "fuzz.h"
#include "reference_frames.h"
#include "reference_inflate.h"
#include "wire.h"

enum {
    MESSAGE_MAX = 4000, // bytes of an inbound message
    SENDS_MAX = 3,      // messages of ours
    LARGE = 300,        // bytes of one that is worth compressing
    LIVE_MAX = 1000,    // blocks that one connection and the server may hold
};

/* Whether the input begins with the request; the 101 is waited for; the client
   goes without reading; compression is agreed on, with the least window; our
   messages are large. */
enum {
    RAW = 1,
    PATIENT = 2,
    LEAVES = 4,
    SENDS_SHIFT = 3, // of two bits
    COMPRESSED = 32,
    NARROW = 64,
    LARGE_SENDS = 128,
};

static const ws_decode_limits plain_limits = {
    .max_message_size = MESSAGE_MAX,
    .max_fragments = WS_DECODE_MAX_FRAGMENTS,
};
static const ws_decode_limits compressed_limits = {
    .max_message_size = MESSAGE_MAX,
    .max_fragments = WS_DECODE_MAX_FRAGMENTS,
    .max_compressed_size =
        MESSAGE_MAX + MESSAGE_MAX / 8 + MESSAGE_MAX / 64 + 64,
    .compressed_frame_extra = 16,
};

/* ---- the server, one for all inputs */

static wire server;
static uint64_t dials; // connections that there were

/* Nothing is left, not even a block of memory. */
static void
stop_server(void)
{
    (void)wire_close(&server);
}

static void
start_server(void)
{
    if (server.crew == NULL) {
        wire_setup setup = wire_defaults();
        setup.unix_socket = true;
        setup.events = true;
        setup.config.max_message_size = MESSAGE_MAX;
        setup.config.compression = true;
        setup.config.id_query = NULL; // or one could be in use
        server = wire_open(&setup);
        CHECK_EQ(atexit(stop_server), 0);
    }
}

/* What became of every connection is known. */
static bool
is_decided(void)
{
    return WIRE_COUNTED(&server, refused_handshakes) +
               WIRE_COUNTED(&server, failed_handshakes) +
               WIRE_COUNTED(&server, served_pages) +
               ws_hub_get_stats(server.hub).joined ==
           dials;
}

/* The pump has done with all of them, and its events are queued. */
static void
settle(void)
{
    WITHIN(is_decided() && ws_hub_present(server.hub) == 0, 10);
    uint64_t turns = WIRE_COUNTED(&server, turns);
    ws_wake_ring(ws_hub_wake(server.hub));
    WITHIN(WIRE_COUNTED(&server, turns) > turns, 10);
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

/* A message of ours: so many of one letter, compressed where that was agreed
   on and is worth it. */
static void
check_ours(uint8_t first, const uint8_t *data, size_t size, char letter,
           uint8_t manner)
{
    size_t want = (manner & LARGE_SENDS) != 0 ? LARGE : 1;
    bool packed = want == LARGE && (manner & COMPRESSED) != 0;
    reference_inflated got = {.size = 0};

    CHECK_EQ(first, PEER_TEXT | (packed ? WS_FRAME_RSV1 : 0U));
    if (packed) {
        got = reference_inflate(data, size, true, LARGE);
        CHECK(!got.bad && !got.over);
        data = got.data;
        size = got.size;
    }
    CHECK_EQ(size, want);
    for (size_t i = 0; i < size; i++) {
        CHECK_EQ(data[i], letter);
    }
    reference_inflated_free(&got);
}

/* Server's frames: whole, not masked, a Close last. Returns its code, or 0.
   `log` NULL: what the client sent is not known. */
static unsigned
check_frames(answer in, const frame_log *log, uint8_t manner)
{
    unsigned code = 0;
    size_t sent = 0;

    while (in.left > 0) {
        CHECK(code == 0 && in.left >= 2);
        size_t size = in.at[1];
        size_t head = size < 126 ? 2 : 4;
        CHECK(size <= 126 && in.left >= head);
        size = head == 2 ? size : in.at[2] * 256U + in.at[3];
        const uint8_t *data = in.at + head;
        CHECK(in.left >= head + size);
        if ((in.at[0] & 0x0F) == WS_OPCODE_TEXT) {
            CHECK(sent < SENDS_MAX);
            check_ours(in.at[0], data, size, (char)('a' + sent++), manner);
        } else if (in.at[0] == PEER_CLOSE) {
            code = size == 0 ? 1005 : data[0] * 256U + data[1];
            CHECK_EQ(head, 2);
        } else {
            CHECK_EQ(in.at[0], PEER_PONG);
            CHECK_EQ(head, 2);
            CHECK(log == NULL || was_sent(log, 'P', data, size));
        }
        in.at += head + size;
        in.left -= head + size;
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

/* What the client's compressed messages say. Where one is too large, and of
   bad text before that, it depends on the pieces what is seen first. */
static uint16_t
unpack(frame_log *log, unsigned opcode, const frame_bytes *packed,
       bool complete, frame_bytes *out)
{
    reference_inflated got =
        reference_inflate(packed->data, packed->size, complete, MESSAGE_MAX);
    bool over = got.over;
    bool bad = got.bad;
    reference_utf8 look = {.valid = true};

    if (opcode == WS_OPCODE_TEXT) {
        look = reference_utf8_look(got.data, over ? MESSAGE_MAX : got.size);
    }
    frame_bytes_put(out, got.data, got.size);
    reference_inflated_free(&got);
    log->or_too_big = over && look.bad;
    if (over && !look.bad) {
        return 1009;
    }
    return look.bad || bad || (complete && !look.valid) ? 1007 : 0;
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

static void
check_code(unsigned code, const frame_log *log, unsigned otherwise)
{
    unsigned want = code_of(log);

    if (!log->or_too_big || code != 1009) {
        CHECK_EQ(code, want == 0 ? otherwise : want);
    }
}

/* All that is queued. `log` NULL: what it should be is not
 * known. */
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
            check_code(event.client->close_code, log, 1006);
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
send_some(uint8_t manner)
{
    unsigned count = (unsigned)(manner >> SENDS_SHIFT) % (SENDS_MAX + 1);
    char text[LARGE + 1];
    ws_event event;

    if (ws_hub_take_event(server.hub, &event)) {
        CHECK_EQ(event.kind, WS_EVENT_CONNECTED);
        for (unsigned i = 0; i < count; i++) {
            memset(text, (char)('a' + i), LARGE);
            text[(manner & LARGE_SENDS) != 0 ? LARGE : 1] = '\0';
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
        (void)check_frames(in, NULL, 0);
    } else {
        CHECK(in.left == 0 || in.left == body);
    }
}

static const char *
headers_of(uint8_t manner)
{
    if ((manner & COMPRESSED) == 0) {
        return "";
    }
    return (manner & NARROW) != 0
               ? "Sec-WebSocket-Extensions: permessage-deflate; "
                 "server_max_window_bits=9\r\n"
               : "Sec-WebSocket-Extensions: permessage-deflate\r\n";
}

/* The opening, and with a patient client all of it before anything else. */
static void
open_client(peer *p, uint8_t manner)
{
    peer_say(p, peer_request("/", headers_of(manner)));
    if ((manner & PATIENT) != 0) {
        const char *head = peer_expect_switch(p);
        CHECK_EQ(strstr(head, "permessage-deflate; ") != NULL,
                 (manner & COMPRESSED) != 0);
        send_some(manner);
    }
}

/* What came back to a client whose frames are known. */
static void
check_answer(answer got, const frame_log *log, uint8_t manner)
{
    size_t body = 0;

    if ((manner & PATIENT) == 0) {
        CHECK_EQ(take_head(&got, &body), 101);
    }
    check_code(check_frames(got, log, manner), log, 0);
}

static void
converse(peer *p, fuzz_input in, fuzz_cuts cuts, uint8_t manner)
{
    answer got = {NULL, 0};
    bool raw = (manner & RAW) != 0;
    bool whole = !raw && (manner & LEAVES) == 0;
    frame_log log = {.used = 0};

    if (!raw) {
        log = reference_frames(in.data, in.size,
                               (manner & COMPRESSED) != 0 ? &compressed_limits
                                                          : &plain_limits,
                               unpack);
        open_client(p, manner);
    }
    say(p, in, cuts);
    if ((manner & LEAVES) == 0) {
        peer_shut(p);
        while (peer_receive(p) > 0) {
        }
        got = (answer){p->in + p->at, p->end - p->at};
    }
    if (raw) {
        check_raw(got);
    } else if (whole) {
        check_answer(got, &log, manner);
    }
    peer_close(p);
    settle();
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
    dials++;
    converse(&p, in, cuts, manner);
    (void)wire_check_law(&server);
    CHECK(ws_alloc_live() < LIVE_MAX);
    hold_timer(SIG_UNBLOCK);
}

FUZZ_MAIN(run)

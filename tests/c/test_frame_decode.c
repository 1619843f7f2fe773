#include "proto/frame_decode.h"

#include <stdarg.h>

#include "check.h"
#include "proto/close_code.h"

/* For tables: a string literal with NULs in it, and its size. */
#define BYTES(literal) literal, sizeof(literal) - 1

/* A key of zeros leaves the payload readable in the tables. */
#define KEY0 "\0\0\0\0"

static const ws_decode_limits ROOMY = {
    .max_message_size = 1 << 20,
    .max_fragments = WS_DECODE_MAX_FRAGMENTS,
};

/*
 * What came out of a stream, as text: whole messages and control frames, each
 * as "kind(payload) ", and how it ended. A message that was broken off by an
 * error leaves no trace: how much of it came out depends on the cuts.
 */
typedef struct {
    char *text;
    size_t size, room;
    size_t message_at; // where the open message begins; SIZE_MAX: none
    size_t promised;   // frame_left of the last piece
} script;

static void
script_add(script *s, const void *data, size_t size)
{
    if (s->room - s->size < size + 1) {
        s->room = (s->size + size + 1) * 2;
        s->text = realloc(s->text, s->room);
        CHECK(s->text != NULL);
    }
    if (size > 0) {
        memcpy(s->text + s->size, data, size);
    }
    s->size += size;
    s->text[s->size] = '\0';
}

static void
script_say(script *s, const char *format, ...)
{
    char line[80];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    CHECK(size >= 0 && (size_t)size < sizeof line);
    script_add(s, line, (size_t)size);
}

static void
script_init(script *s)
{
    *s = (script){.message_at = SIZE_MAX};
    script_add(s, "", 0);
}

static void
script_data(script *s, const ws_decode_event *event)
{
    CHECK_EQ(event->first, s->message_at == SIZE_MAX);
    CHECK(event->size > 0 || event->last);
    CHECK(!event->last || event->frame_left == 0);
    if (s->promised > 0) { // inside a frame, a piece takes from its rest
        CHECK_EQ(event->size + event->frame_left, s->promised);
    }
    s->promised = (size_t)event->frame_left;
    if (event->first) {
        s->message_at = s->size;
        script_say(s, "%s%s(", event->compressed ? "compressed " : "",
                   event->opcode == WS_OPCODE_TEXT ? "text" : "binary");
    }
    script_add(s, event->data, event->size);
    if (event->last) {
        script_say(s, ") ");
        s->message_at = SIZE_MAX;
    }
}

static void
script_control(script *s, const char *name, const ws_decode_event *event)
{
    script whole = {.message_at = s->message_at};
    size_t open = s->message_at == SIZE_MAX ? s->size : s->message_at;

    // It goes in front of the message that it interrupts.
    script_say(&whole, "%s(", name);
    script_add(&whole, event->data, event->size);
    script_say(&whole, ") ");
    script_add(&whole, s->text + open, s->size - open);
    s->size = open;
    script_add(s, whole.text, whole.size);
    if (s->message_at != SIZE_MAX) {
        s->message_at = open + strlen(name) + event->size + 3;
    }
    free(whole.text);
}

static void
script_end(script *s, const char *name, const ws_decode_event *event)
{
    if (s->message_at != SIZE_MAX) {
        s->size = s->message_at;
    }
    script_say(s, "%s %u ", name, event->code);
    CHECK((event->text != NULL) == (name[0] == 'e'));
}

/* Notes one event; false: there is nothing more to get from these bytes. */
static bool
script_event(script *s, ws_decode_kind kind, const ws_decode_event *event)
{
    switch (kind) {
    case WS_DECODE_DATA:
        script_data(s, event);
        return true;
    case WS_DECODE_PING:
        script_control(s, "ping", event);
        return true;
    case WS_DECODE_PONG:
        script_control(s, "pong", event);
        return true;
    case WS_DECODE_CLOSE:
        script_control(s, "reason", event);
        script_end(s, "close", event);
        return true;
    case WS_DECODE_ERROR:
        script_end(s, "error", event);
        return true;
    case WS_DECODE_NEED_BUFFER:
    case WS_DECODE_NEED_MORE:
    case WS_DECODE_DONE:
        break;
    }
    return false;
}

/* A decoder, its lender, and what came out so far. */
typedef struct {
    ws_frame_decoder dec;
    script said;
} session;

static void
session_init(session *s, const ws_decode_limits *limits)
{
    ws_frame_decoder_init(&s->dec, limits);
    script_init(&s->said);
}

static void
session_free(session *s)
{
    free(ws_frame_decoder_finish(&s->dec));
    free(s->said.text);
}

/* A block of exactly that size, so that the sanitizer sees any byte beyond. */
static uint8_t *
copy_of(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

/* Feeds one chunk as a paused reader would: after each event the rest moves
   to a new block. */
static void
session_feed(session *s, const uint8_t *data, size_t size)
{
    uint8_t *block = copy_of(data, size);
    uint8_t *rest = block;

    for (;;) {
        ws_decode_event event;
        size_t before = size;
        ws_decode_kind kind = ws_frame_decode(&s->dec, &rest, &size, &event);
        CHECK(size <= before);
        if (kind == WS_DECODE_NEED_BUFFER) {
            uint8_t *lent = malloc(WS_FRAME_CONTROL_PAYLOAD_MAX);
            CHECK(lent != NULL);
            ws_frame_decoder_lend(&s->dec, lent);
            continue;
        }
        if (!script_event(&s->said, kind, &event)) {
            CHECK(kind == WS_DECODE_DONE || size == 0);
            break;
        }
        free(ws_frame_decoder_reclaim(&s->dec));
        uint8_t *moved = copy_of(rest, size);
        free(block);
        block = rest = moved;
    }
    free(block);
}

static void
check_said(const session *s, const char *what, const char *want, size_t size)
{
    if (s->said.size != size || memcmp(s->said.text, want, size) != 0) {
        fprintf(stderr, "case: %s\n got: %s\nwant: %s\n", what, s->said.text,
                want);
        check_failed(__FILE__, __LINE__, "the same events");
    }
}

/* Fed in three parts, then byte by byte: always the same. */
static void
check_all_cuts(const char *what, const uint8_t *data, size_t size,
               const ws_decode_limits *limits, const char *want)
{
    session s;

    for (size_t a = 0; a <= size; a++) {
        for (size_t b = a; b <= size; b++) {
            session_init(&s, limits);
            session_feed(&s, data, a);
            session_feed(&s, data + a, b - a);
            session_feed(&s, data + b, size - b);
            check_said(&s, what, want, strlen(want));
            session_free(&s);
        }
    }
    session_init(&s, limits);
    for (size_t i = 0; i < size; i++) {
        session_feed(&s, data + i, 1);
    }
    check_said(&s, what, want, strlen(want));
    session_free(&s);
}

typedef struct {
    const char *what;
    const char *stream;
    size_t size;
    const char *want;
} stream_case;

static void
check_cases(const stream_case *cases, size_t count,
            const ws_decode_limits *limits)
{
    for (size_t i = 0; i < count; i++) {
        check_all_cuts(cases[i].what, (const uint8_t *)cases[i].stream,
                       cases[i].size, limits, cases[i].want);
    }
}

#define CHECK_CASES(cases, limits) \
    check_cases(cases, sizeof(cases) / sizeof((cases)[0]), limits)

static void
good_frames_come_out_however_they_are_cut(void)
{
    static const stream_case cases[] = {
        {"nothing", BYTES(""), ""},
        {"RFC 5.7, a masked text",
         BYTES("\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"),
         "text(Hello) "},
        {"RFC 5.7, a masked pong",
         BYTES("\x8A\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"),
         "pong(Hello) "},
        {"an empty text", BYTES("\x81\x80" KEY0), "text() "},
        {"an empty binary", BYTES("\x82\x80" KEY0), "binary() "},
        {"binary need not be UTF-8", BYTES("\x82\x82" KEY0 "\xFF\xFE"),
         "binary(\xFF\xFE) "},
        {"two messages",
         BYTES("\x81\x81" KEY0 "a"
               "\x82\x81" KEY0 "b"),
         "text(a) binary(b) "},
        {"RFC 5.7, two fragments",
         BYTES("\x01\x83" KEY0 "Hel"
               "\x80\x82" KEY0 "lo"),
         "text(Hello) "},
        {"empty fragments",
         BYTES("\x01\x80" KEY0 "\x00\x80" KEY0 "\x00\x81" KEY0 "x"
               "\x80\x80" KEY0),
         "text(x) "},
        {"only empty fragments",
         BYTES("\x02\x80" KEY0 "\x00\x80" KEY0 "\x80\x80" KEY0), "binary() "},
        {"a ping inside a message",
         BYTES("\x01\x81" KEY0 "a"
               "\x89\x82" KEY0 "hi"
               "\x80\x81" KEY0 "b"),
         "ping(hi) text(ab) "},
        {"an empty ping", BYTES("\x89\x80" KEY0), "ping() "},
        {"a character cut by a ping and fragments",
         BYTES("\x01\x81" KEY0 "\xE2"
               "\x89\x80" KEY0 "\x00\x81" KEY0 "\x82"
               "\x80\x81" KEY0 "\xAC"),
         "ping() text(\xE2\x82\xAC) "},
        {"a close", BYTES("\x88\x82" KEY0 "\x03\xE8"), "reason() close 1000 "},
        {"a close with a reason",
         BYTES("\x88\x85" KEY0 "\x0F\xA0"
               "bye"),
         "reason(bye) close 4000 "},
        {"an empty close", BYTES("\x88\x80" KEY0), "reason() close 1005 "},
        {"a close inside a message",
         BYTES("\x01\x81" KEY0 "a"
               "\x88\x80" KEY0),
         "reason() close 1005 "},
        {"nothing counts behind a close",
         BYTES("\x88\x80" KEY0 "\x81\x81" KEY0 "a\xFF\xFF"),
         "reason() close 1005 "},
        {"126 in 16 bits", BYTES("\x82\xFE\x00\x7E" KEY0), ""},
        {"65535 in 16 bits", BYTES("\x82\xFE\xFF\xFF" KEY0), ""},
        {"65536 in 64 bits", BYTES("\x82\xFF\0\0\0\0\0\x01\0\0" KEY0), ""},
        {"an unfinished ping", BYTES("\x82\x80" KEY0 "\x89\x85" KEY0 "hel"),
         "binary() "},
    };

    CHECK_CASES(cases, &ROOMY);
}

static void
each_broken_rule_has_its_code(void)
{
    static const stream_case cases[] = {
        {"not masked",
         BYTES("\x81\x01"
               "a"),
         "error 1002 "},
        {"a control frame not masked", BYTES("\x89\x00"), "error 1002 "},
        {"RSV1 without compression", BYTES("\xC1\x80" KEY0), "error 1002 "},
        {"RSV2", BYTES("\xA1\x80" KEY0), "error 1002 "},
        {"RSV3", BYTES("\x91\x80" KEY0), "error 1002 "},
        {"RSV1 on a ping", BYTES("\xC9\x80" KEY0), "error 1002 "},
        {"opcode 3", BYTES("\x83\x80" KEY0), "error 1002 "},
        {"opcode 7", BYTES("\x87\x80" KEY0), "error 1002 "},
        {"opcode 11", BYTES("\x8B\x80" KEY0), "error 1002 "},
        {"opcode 15", BYTES("\x8F\x80" KEY0), "error 1002 "},
        {"opcode 3, not final", BYTES("\x03\x80" KEY0), "error 1002 "},
        {"a ping of 126 bytes", BYTES("\x89\xFE\x00\x7E" KEY0), "error 1002 "},
        {"a ping with 64 bits of length", BYTES("\x89\xFF\0\0\0\0\0\0\0\x05"),
         "error 1002 "},
        {"a fragmented ping", BYTES("\x09\x80" KEY0), "error 1002 "},
        {"a fragmented close", BYTES("\x08\x80" KEY0), "error 1002 "},
        {"a continuation of nothing", BYTES("\x80\x81" KEY0 "a"),
         "error 1002 "},
        {"a continuation after a message",
         BYTES("\x81\x81" KEY0 "a"
               "\x00\x81" KEY0 "b"),
         "text(a) error 1002 "},
        {"a text inside a text",
         BYTES("\x01\x81" KEY0 "a"
               "\x81\x81" KEY0 "b"),
         "error 1002 "},
        {"a binary inside a text", BYTES("\x01\x80" KEY0 "\x02\x81" KEY0 "b"),
         "error 1002 "},
        {"125 in 16 bits", BYTES("\x82\xFE\x00\x7D"), "error 1002 "},
        {"0 in 16 bits", BYTES("\x82\xFE\x00\x00"), "error 1002 "},
        {"65535 in 64 bits", BYTES("\x82\xFF\0\0\0\0\0\0\xFF\xFF"),
         "error 1002 "},
        {"the top bit of 64", BYTES("\x82\xFF\x80\0\0\0\0\x01\0\0"),
         "error 1002 "},
        {"all bits of 64", BYTES("\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
         "error 1002 "},
        {"a byte that no text has",
         BYTES("\x81\x83" KEY0 "a\xFF"
               "b"),
         "error 1007 "},
        {"text cut short", BYTES("\x81\x82" KEY0 "a\xC3"), "error 1007 "},
        {"text cut short by an empty last fragment",
         BYTES("\x01\x82" KEY0 "a\xC3"
               "\x80\x80" KEY0),
         "error 1007 "},
        {"a surrogate over two fragments",
         BYTES("\x01\x81" KEY0 "\xED"
               "\x80\x82" KEY0 "\xA0\x80"),
         "error 1007 "},
        {"a broken sequence before the message's end",
         BYTES("\x01\x81" KEY0 "\xC3"
               "\x00\x81" KEY0 "a"),
         "error 1007 "},
        {"a close of one byte", BYTES("\x88\x81" KEY0 "\x03"), "error 1002 "},
        {"a close with 1005", BYTES("\x88\x82" KEY0 "\x03\xED"),
         "error 1002 "},
        {"a close with 2999", BYTES("\x88\x82" KEY0 "\x0B\xB7"),
         "error 1002 "},
        {"a close with a bad reason", BYTES("\x88\x83" KEY0 "\x03\xE8\xFF"),
         "error 1007 "},
        {"nothing counts behind an error",
         BYTES("\x81\x01"
               "a"
               "\x81\x81" KEY0 "b"),
         "error 1002 "},
        {"over the limit by one", BYTES("\x82\xFF\0\0\0\0\0\x10\0\x01"),
         "error 1009 "},
        {"over the limit by far",
         BYTES("\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), "error 1009 "},
    };

    CHECK_CASES(cases, &ROOMY);
}

static void
size_and_fragments_are_bounded_per_message(void)
{
    static const ws_decode_limits tight = {.max_message_size = 4,
                                           .max_fragments = 3};
    static const stream_case cases[] = {
        {"the largest, twice",
         BYTES("\x82\x84" KEY0 "1234"
               "\x82\x84" KEY0 "5678"),
         "binary(1234) binary(5678) "},
        {"a byte more", BYTES("\x82\x85"), "error 1009 "},
        {"a byte more, and all of it here", BYTES("\x82\x85" KEY0 "12345"),
         "error 1009 "},
        {"a byte more in fragments",
         BYTES("\x02\x82" KEY0 "12"
               "\x00\x82" KEY0 "34"
               "\x80\x81"),
         "error 1009 "},
        {"a sum that would wrap",
         BYTES("\x02\x82" KEY0 "12"
               "\x80\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
         "error 1009 "},
        {"the most fragments, twice",
         BYTES("\x02\x80" KEY0 "\x00\x80" KEY0 "\x80\x81" KEY0 "a"
               "\x02\x80" KEY0 "\x00\x80" KEY0 "\x80\x80" KEY0),
         "binary(a) binary() "},
        {"a fragment more",
         BYTES("\x02\x80" KEY0 "\x00\x80" KEY0 "\x00\x80" KEY0 "\x80\x80"),
         "error 1008 "},
        {"a fragment more, and all of it here",
         BYTES("\x02\x80" KEY0 "\x00\x80" KEY0 "\x00\x80" KEY0 "\x80\x81" KEY0
               "a"),
         "error 1008 "},
        {"too big beats too many",
         BYTES("\x02\x80" KEY0 "\x00\x80" KEY0 "\x00\x80" KEY0 "\x80\x85"),
         "error 1009 "},
        {"control frames are no fragments, and have a limit of their own",
         BYTES("\x02\x80" KEY0 "\x00\x80" KEY0 "\x89\x85" KEY0 "12345"
               "\x8A\x80" KEY0 "\x80\x81" KEY0 "a"),
         "ping(12345) pong() binary(a) "},
    };

    CHECK_CASES(cases, &tight);
}

static void
compressed_messages_are_marked_and_their_text_left_alone(void)
{
    static const ws_decode_limits limits = {.max_message_size = 100,
                                            .max_fragments = 9,
                                            .max_compressed_size = 1 << 20};
    static const stream_case cases[] = {
        {"one frame", BYTES("\xC1\x81" KEY0 "\xFF"), "compressed text(\xFF) "},
        {"two frames",
         BYTES("\x42\x81" KEY0 "\xFF"
               "\x80\x81" KEY0 "\xFE"),
         "compressed binary(\xFF\xFE) "},
        {"the mark ends with its message",
         BYTES("\xC1\x81" KEY0 "\xFF"
               "\x81\x81" KEY0 "a"),
         "compressed text(\xFF) text(a) "},
        {"an unmarked message is checked", BYTES("\x81\x81" KEY0 "\xFF"),
         "error 1007 "},
        {"a mark on a continuation",
         BYTES("\x41\x81" KEY0 "a"
               "\xC0\x81" KEY0 "b"),
         "error 1002 "},
        {"a mark on a ping", BYTES("\xC9\x80" KEY0), "error 1002 "},
        {"RSV2 beside it", BYTES("\xE1\x80" KEY0), "error 1002 "},
    };

    CHECK_CASES(cases, &limits);
}

static void
compressed_messages_have_a_limit_of_their_own(void)
{
    static const ws_decode_limits limits = {
        .max_message_size = 2, .max_fragments = 9, .max_compressed_size = 4};
    static const stream_case cases[] = {
        {"each its largest",
         BYTES("\x82\x82" KEY0 "12"
               "\xC2\x84" KEY0 "1234"
               "\x82\x82" KEY0 "34"),
         "binary(12) compressed binary(1234) binary(34) "},
        {"a compressed byte more", BYTES("\xC2\x85"), "error 1009 "},
        {"a plain byte more", BYTES("\x82\x83"), "error 1009 "},
        {"in fragments",
         BYTES("\x42\x82" KEY0 "12"
               "\x80\x82" KEY0 "34"),
         "compressed binary(1234) "},
        {"a byte more in fragments",
         BYTES("\x42\x82" KEY0 "12"
               "\x00\x82" KEY0 "34"
               "\x80\x81"),
         "error 1009 "},
        {"a plain byte more behind a compressed message",
         BYTES("\xC2\x84" KEY0 "1234"
               "\x02\x82" KEY0 "12"
               "\x80\x81"),
         "compressed binary(1234) error 1009 "},
    };

    CHECK_CASES(cases, &limits);
}

static void
each_frame_of_a_compressed_message_may_have_some_bytes_more(void)
{
    static const ws_decode_limits limits = {.max_message_size = 2,
                                            .max_fragments = 3,
                                            .max_compressed_size = 4,
                                            .compressed_frame_extra = 2};
    static const stream_case cases[] = {
        {"one", BYTES("\xC2\x86" KEY0 "123456"), "compressed binary(123456) "},
        {"a byte more", BYTES("\xC2\x87"), "error 1009 "},
        {"three",
         BYTES("\x42\x84" KEY0 "1234"
               "\x00\x80" KEY0 "\x80\x86" KEY0 "567890"),
         "compressed binary(1234567890) "},
        {"three and a byte more",
         BYTES("\x42\x84" KEY0 "1234"
               "\x00\x80" KEY0 "\x80\x87"),
         "error 1009 "},
        {"plain", BYTES("\x02\x82" KEY0 "12\x80\x81"), "error 1009 "},
    };

    CHECK_CASES(cases, &limits);
}

static uint32_t
dice(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* A growing stream of client frames. */
typedef struct {
    script bytes; // only its text and size
    uint32_t seed;
} stream;

static void
stream_frame(stream *s, unsigned first, const uint8_t *payload, size_t size)
{
    uint8_t header[14] = {(uint8_t)first};
    size_t extended = size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8;
    uint8_t *masked = copy_of(payload, size);
    uint8_t *key = header + 2 + extended;

    header[1] = (uint8_t)(0x80 | (extended == 0   ? size
                                  : extended == 2 ? 126
                                                  : 127));
    for (size_t i = 0; i < extended; i++) {
        header[1 + extended - i] = (uint8_t)((uint64_t)size >> (8 * i));
    }
    for (size_t i = 0; i < 4; i++) {
        key[i] = (uint8_t)dice(&s->seed);
    }
    for (size_t i = 0; i < size; i++) {
        masked[i] = (uint8_t)(masked[i] ^ key[i % 4]);
    }
    script_add(&s->bytes, header, 2 + extended + 4);
    script_add(&s->bytes, masked, size);
    free(masked);
}

/* A random message in random fragments with random pings between them, and
   what should be said about it. */
static void
stream_message(stream *s, script *want)
{
    static const uint32_t sizes[] = {3, 125, 200, 3000, 80000};
    size_t size = dice(&s->seed) % sizes[dice(&s->seed) % 5];
    bool text = dice(&s->seed) % 2 == 0;
    script message = {.room = 0}, pings = {.room = 0};

    script_say(&message, text ? "text(" : "binary(");
    unsigned opcode = text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY;
    for (size_t left = size; opcode != 0x80;) {
        size_t part = dice(&s->seed) % 3 == 0 ? left / 2 : left;
        unsigned last = part == left && dice(&s->seed) % 4 > 0 ? 0x80 : 0;
        uint8_t *payload = copy_of(NULL, 0);
        payload = realloc(payload, part + 1);
        CHECK(payload != NULL);
        for (size_t i = 0; i < part; i++) {
            payload[i] =
                (uint8_t)(text ? 'a' + dice(&s->seed) % 26 : dice(&s->seed));
        }
        stream_frame(s, opcode | last, payload, part);
        script_add(&message, payload, part);
        left -= part;
        opcode = last;
        if (last == 0 && dice(&s->seed) % 2 == 0) {
            size_t ping = part < 125 ? part : 125;
            stream_frame(s, 0x89, payload, ping);
            script_say(&pings, "ping(");
            script_add(&pings, payload, ping);
            script_say(&pings, ") ");
        }
        free(payload);
    }
    script_say(&message, ") ");
    script_add(want, pings.text, pings.size);
    script_add(want, message.text, message.size);
    free(pings.text);
    free(message.text);
}

static void
long_streams_come_out_in_any_random_chunking(void)
{
    static const size_t chunks[] = {1 << 30, 1, 7, 64, 1500, 17000};

    for (uint32_t round = 0; round < 12; round++) {
        stream in = {.seed = round * 7919 + 1};
        script want;
        script_init(&want);
        for (int i = 0; i < 20; i++) {
            stream_message(&in, &want);
        }
        for (size_t k = 0; k < sizeof chunks / sizeof chunks[0]; k++) {
            session s;
            session_init(&s, &ROOMY);
            for (size_t at = 0; at < in.bytes.size;) {
                size_t left = in.bytes.size - at;
                size_t part = 1 + dice(&in.seed) % chunks[k];
                part = k == 0 || part > left ? left : part;
                session_feed(&s, (uint8_t *)in.bytes.text + at, part);
                at += part;
            }
            check_said(&s, "random", want.text, want.size);
            session_free(&s);
        }
        free(in.bytes.text);
        free(want.text);
    }
}

/* The key goes on over every cut and from every address. */
static void
payload_is_unmasked_at_any_alignment(void)
{
    uint8_t payload[64];
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i * 5);
    }
    for (size_t offset = 0; offset < 8; offset++) {
        for (size_t cut = 0; cut <= sizeof payload; cut++) {
            stream in = {.seed = (uint32_t)(offset * 100 + cut)};
            stream_frame(&in, 0x82, payload, sizeof payload);
            uint8_t *block = malloc(offset + in.bytes.size);
            CHECK(block != NULL);
            memcpy(block + offset, in.bytes.text, in.bytes.size);

            ws_frame_decoder dec;
            ws_decode_event event;
            uint8_t *data = block + offset;
            ws_frame_decoder_init(&dec, &ROOMY);
            for (size_t left = 6 + cut; left > 0;) {
                (void)ws_frame_decode(&dec, &data, &left, &event);
            }
            size_t rest = in.bytes.size - 6 - cut;
            (void)ws_frame_decode(&dec, &data, &rest, &event);
            CHECK(memcmp(block + offset + 6, payload, sizeof payload) == 0);
            free(block);
            free(in.bytes.text);
        }
    }
}

static void
the_first_piece_tells_how_much_room_to_make(void)
{
    uint8_t header[] = {0x02, 0xFE, 0x03, 0xE8, 0, 0, 0, 0, 'a', 'b'};
    uint8_t *data = header;
    size_t size = sizeof header;
    ws_frame_decoder dec;
    ws_decode_event event;

    ws_frame_decoder_init(&dec, &ROOMY);
    CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), WS_DECODE_DATA);
    CHECK_EQ(event.opcode, WS_OPCODE_BINARY);
    CHECK(event.first && !event.last);
    CHECK_EQ(event.size, 2);
    CHECK_EQ(event.frame_left, 998);
    CHECK(event.data == header + 8);
    CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), WS_DECODE_NEED_MORE);
}

/* The limit speaks before a single byte of payload, or even the key. */
static void
a_declared_size_fails_before_its_payload(void)
{
    uint8_t header[] = {0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 1};
    uint8_t *data = header;
    size_t size = sizeof header;
    ws_frame_decoder dec;
    ws_decode_event event;

    ws_frame_decoder_init(&dec, &ROOMY);
    CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), WS_DECODE_ERROR);
    CHECK_EQ(event.code, WS_CLOSE_TOO_BIG);
    CHECK(event.text != NULL && event.data == NULL);
}

static void
the_end_is_the_end(void)
{
    static const struct {
        const char *what;
        const char *stream;
        size_t size;
        ws_decode_kind kind;
    } cases[] = {
        {"after a close", BYTES("\x88\x80" KEY0), WS_DECODE_CLOSE},
        {"after an error", BYTES("\x81\x00"), WS_DECODE_ERROR},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t block[32] = {0};
        uint8_t *data = block;
        size_t size = sizeof block;
        ws_frame_decoder dec;
        ws_decode_event event;

        memcpy(block, cases[i].stream, cases[i].size);
        ws_frame_decoder_init(&dec, &ROOMY);
        CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), cases[i].kind);
        for (int k = 0; k < 3; k++) {
            uint8_t *before = data;
            CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event),
                     WS_DECODE_DONE);
            CHECK(data == before);
            CHECK(event.data == NULL && event.code == 0);
        }
    }
}

static void
a_cut_control_frame_asks_for_a_buffer_until_it_has_one(void)
{
    uint8_t bytes[] = {0x89, 0x82, 1, 2, 3, 4, 'h' ^ 1, 'i' ^ 2};
    uint8_t lent[WS_FRAME_CONTROL_PAYLOAD_MAX];
    uint8_t *data = bytes;
    size_t size = sizeof bytes - 1;
    ws_frame_decoder dec;
    ws_decode_event event;

    ws_frame_decoder_init(&dec, &ROOMY);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event),
                 WS_DECODE_NEED_BUFFER);
        CHECK_EQ(size, 1);
        CHECK(ws_frame_decoder_reclaim(&dec) == NULL);
    }
    ws_frame_decoder_lend(&dec, lent);
    CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), WS_DECODE_NEED_MORE);
    CHECK(ws_frame_decoder_reclaim(&dec) == NULL); // it holds the 'h'
    size = 1;
    CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), WS_DECODE_PING);
    CHECK(event.data == lent && event.size == 2);
    CHECK(memcmp(lent, "hi", 2) == 0);
    CHECK(ws_frame_decoder_reclaim(&dec) == lent);
    CHECK(ws_frame_decoder_reclaim(&dec) == NULL);
}

static void
a_whole_control_frame_needs_no_buffer(void)
{
    uint8_t bytes[6 + WS_FRAME_CONTROL_PAYLOAD_MAX] = {0x8A, 0xFD};
    uint8_t *data = bytes;
    size_t size = 6;
    ws_frame_decoder dec;
    ws_decode_event event;

    ws_frame_decoder_init(&dec, &ROOMY);
    CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), WS_DECODE_NEED_MORE);
    size = WS_FRAME_CONTROL_PAYLOAD_MAX;
    CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), WS_DECODE_PONG);
    CHECK(event.data == bytes + 6);
    CHECK_EQ(event.size, WS_FRAME_CONTROL_PAYLOAD_MAX);
}

static void
a_finished_decoder_gives_its_buffer_back_and_takes_nothing(void)
{
    uint8_t bytes[] = {0x89, 0x82, 0, 0, 0, 0, 'h', 'i'};
    uint8_t lent[WS_FRAME_CONTROL_PAYLOAD_MAX];
    uint8_t *data = bytes;
    size_t size = sizeof bytes - 1;
    ws_frame_decoder dec;
    ws_decode_event event;

    ws_frame_decoder_init(&dec, &ROOMY);
    ws_frame_decoder_lend(&dec, lent);
    CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), WS_DECODE_NEED_MORE);
    CHECK(ws_frame_decoder_finish(&dec) == lent);
    CHECK(ws_frame_decoder_finish(&dec) == NULL);
    size = 1;
    CHECK_EQ(ws_frame_decode(&dec, &data, &size, &event), WS_DECODE_DONE);
    CHECK_EQ(size, 1);
}

/* Thousands of connections embed it. */
static void
a_decoder_is_small(void)
{
    CHECK(sizeof(ws_frame_decoder) <= 72);
}

/* Noise, and good streams with a few bits turned: whole and in bytes they
   end alike, and the sanitizers have nothing to say. */
static void
random_bytes_end_alike_in_any_chunking(void)
{
    static const ws_decode_limits limits = {.max_message_size = 300,
                                            .max_fragments = 4,
                                            .max_compressed_size = 1 << 20};

    for (uint32_t round = 0; round < 5000; round++) {
        stream in = {.seed = round};
        uint8_t noise[40];
        while (in.bytes.size < 200) {
            static const uint8_t firsts[] = {0x81, 0x82, 0x01, 0x80,
                                             0x00, 0x89, 0x8A, 0xC1};
            size_t size = dice(&in.seed) % sizeof noise;
            for (size_t i = 0; i < size; i++) {
                noise[i] = (uint8_t)('a' + dice(&in.seed) % 26);
            }
            stream_frame(&in, firsts[dice(&in.seed) % 8], noise, size);
        }
        for (uint32_t i = dice(&in.seed) % 4; i > 0; i--) {
            size_t at = dice(&in.seed) % in.bytes.size;
            in.bytes.text[at] = (char)dice(&in.seed);
        }
        const uint8_t *data = (uint8_t *)in.bytes.text;
        session whole, bytes;
        session_init(&whole, &limits);
        session_init(&bytes, &limits);
        session_feed(&whole, data, in.bytes.size);
        for (size_t i = 0; i < in.bytes.size; i++) {
            session_feed(&bytes, data + i, 1);
        }
        check_said(&bytes, "noise", whole.said.text, whole.said.size);
        session_free(&whole);
        session_free(&bytes);
        free(in.bytes.text);
    }
}

static const ws_test TESTS[] = {
    TEST(good_frames_come_out_however_they_are_cut),
    TEST(each_broken_rule_has_its_code),
    TEST(size_and_fragments_are_bounded_per_message),
    TEST(compressed_messages_are_marked_and_their_text_left_alone),
    TEST(compressed_messages_have_a_limit_of_their_own),
    TEST(each_frame_of_a_compressed_message_may_have_some_bytes_more),
    TEST(long_streams_come_out_in_any_random_chunking),
    TEST(payload_is_unmasked_at_any_alignment),
    TEST(the_first_piece_tells_how_much_room_to_make),
    TEST(a_declared_size_fails_before_its_payload),
    TEST(the_end_is_the_end),
    TEST(a_cut_control_frame_asks_for_a_buffer_until_it_has_one),
    TEST(a_whole_control_frame_needs_no_buffer),
    TEST(a_finished_decoder_gives_its_buffer_back_and_takes_nothing),
    TEST(a_decoder_is_small),
    TEST(random_bytes_end_alike_in_any_chunking),
};

TEST_MAIN(TESTS)

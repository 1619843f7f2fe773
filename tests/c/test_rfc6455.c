/*
 * The rules of RFC 6455 on the wire: each request and each frame in one piece,
 * byte by byte, and with what follows or precedes it in the same segment.
 */
#include "wire.h"

#include <signal.h>

#include "proto/frame_decode.h"
#include "proto/http_request.h"

typedef enum way { WHOLE, BYTEWISE, PIPELINED, WAYS } way;

static const char *const way_names[WAYS] = {
    "in one piece",
    "byte by byte",
    "with frames in the same segment",
};

/* The case that is being tried; told when a check fails. */
static char trying[128];

static void
tell(int number)
{
    (void)number;
    (void)!write(STDERR_FILENO, trying, strlen(trying));
}

static void
try(const char *what, way how)
{
    (void)snprintf(trying, sizeof trying, "case: %s, %s\n", what,
                   way_names[how]);
    (void)signal(SIGABRT, tell);
}

static void
feed(const peer *p, way how, const void *data, size_t size)
{
    if (how == BYTEWISE) {
        peer_dribble(p, data, size);
    } else {
        peer_send(p, data, size);
    }
}

/* ---- the handshake */

#define GET "GET /ws HTTP/1.1\r\n"
#define HOST "Host: localhost\r\n"
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: " PEER_KEY "\r\n"
#define ORIGIN "Origin: https://good.example\r\n"
#define BEHIND_GET HOST UPGRADE CONNECTION VERSION KEY ORIGIN
#define ALL GET BEHIND_GET

typedef struct request_row {
    const char *what;
    const char *bytes;
    size_t size;
    int status;        /* 101: it opens */
    const char *has;   /* a line of the answer's head, or NULL */
    const char *hasnt; /* what is not in the head, or NULL */
} request_row;

#define OPENS(what, head, has, hasnt)                               \
    {                                                               \
        what, head "\r\n", sizeof(head "\r\n") - 1, 101, has, hasnt \
    }
#define REFUSED(what, head, status, has)                         \
    {                                                            \
        what, head "\r\n", sizeof(head "\r\n") - 1, status, has, \
            "Sec-WebSocket-Accept"                               \
    }

#define V13 "\r\nSec-WebSocket-Version: 13\r\n"
#define EXTENSIONS "Sec-WebSocket-Extensions"
#define PROTOCOL "Sec-WebSocket-Protocol"

static const request_row requests[] = {
    OPENS("all there is to it", ALL, "\r\nUpgrade: websocket\r\n", EXTENSIONS),
    OPENS("any case",
          "GET /ws HTTP/1.1\r\nHOST: localhost\r\nUPGRADE: WebSocket\r\n"
          "connection: UPGRADE\r\nSEC-WEBSOCKET-VERSION: 13\r\n"
          "sec-websocket-key: " PEER_KEY "\r\n" ORIGIN,
          "\r\nConnection: Upgrade\r\n", NULL),
    OPENS("lists of tokens",
          GET HOST VERSION KEY ORIGIN
          "Upgrade: h2c, websocket\r\nConnection: keep-alive, Upgrade\r\n",
          NULL, NULL),
    OPENS("lists over lines", ALL "Upgrade: h2c\r\nConnection: keep-alive\r\n",
          NULL, NULL),
    OPENS("no blanks",
          GET "Host:localhost\r\nUpgrade:websocket\r\nConnection:Upgrade\r\n"
              "Sec-WebSocket-Version:13\r\nSec-WebSocket-Key:" PEER_KEY
              "\r\nOrigin:https://good.example\r\n",
          NULL, NULL),
    OPENS("names that known ones begin with",
          ALL "A: b\r\nSec: c\r\nOrig: d\r\nHo: e\r\nX-Auth: f\r\n", NULL,
          NULL),
    OPENS("a URL as the target",
          "GET http://localhost/ws HTTP/1.1\r\n" BEHIND_GET, NULL, NULL),
    OPENS("a body of nothing", ALL "Content-Length: 0\r\n", NULL, NULL),
    OPENS("a subprotocol of ours", ALL PROTOCOL ": v0, v1\r\n",
          "\r\nSec-WebSocket-Protocol: v1\r\n", NULL),
    OPENS("none of our subprotocols", ALL PROTOCOL ": v0\r\n", NULL, PROTOCOL),
    OPENS("an extension that nobody has", ALL EXTENSIONS ": x-none\r\n", NULL,
          EXTENSIONS),

    REFUSED("POST", "POST /ws HTTP/1.1\r\n" BEHIND_GET, 405,
            "\r\nAllow: GET\r\n"),
    REFUSED("HEAD", "HEAD /ws HTTP/1.1\r\n" BEHIND_GET, 405,
            "\r\nAllow: GET\r\n"),
    REFUSED("get", "get /ws HTTP/1.1\r\n" BEHIND_GET, 405, NULL),
    REFUSED("CONNECT", "CONNECT a:443 HTTP/1.1\r\n" BEHIND_GET, 400, NULL),
    REFUSED("HTTP/1.0", "GET /ws HTTP/1.0\r\n" BEHIND_GET, 400, NULL),
    REFUSED("HTTP/1.2", "GET /ws HTTP/1.2\r\n" BEHIND_GET, 505, NULL),
    REFUSED("HTTP/2.0", "GET /ws HTTP/2.0\r\n" BEHIND_GET, 505, NULL),
    REFUSED("no version of HTTP", "GET /ws\r\n" BEHIND_GET, 400, NULL),
    REFUSED("no Host", GET UPGRADE CONNECTION VERSION KEY ORIGIN, 400, NULL),
    REFUSED("two Hosts", ALL HOST, 400, NULL),
    REFUSED("an empty Host",
            GET "Host:\r\n" UPGRADE CONNECTION VERSION KEY ORIGIN, 400, NULL),
    REFUSED("no Upgrade", GET HOST CONNECTION VERSION KEY ORIGIN, 426,
            "\r\nUpgrade: websocket\r\n"),
    REFUSED("another Upgrade",
            GET HOST "Upgrade: websockets\r\n" CONNECTION VERSION KEY ORIGIN,
            426, "\r\nUpgrade: websocket\r\n"),
    REFUSED("no Connection", GET HOST UPGRADE VERSION KEY ORIGIN, 400, NULL),
    REFUSED("another Connection",
            GET HOST UPGRADE "Connection: close\r\n" VERSION KEY ORIGIN, 400,
            NULL),
    REFUSED("no version", GET HOST UPGRADE CONNECTION KEY ORIGIN, 426, V13),
    REFUSED("version 8",
            GET HOST UPGRADE CONNECTION
            "Sec-WebSocket-Version: 8\r\n" KEY ORIGIN,
            426, V13),
    REFUSED("a list of versions",
            GET HOST UPGRADE CONNECTION
            "Sec-WebSocket-Version: 13, 8\r\n" KEY ORIGIN,
            426, V13),
    REFUSED("the version twice", ALL VERSION, 426, V13),
    REFUSED("no key", GET HOST UPGRADE CONNECTION VERSION ORIGIN, 400, NULL),
    REFUSED("an empty key",
            GET HOST UPGRADE CONNECTION VERSION ORIGIN
            "Sec-WebSocket-Key:\r\n",
            400, NULL),
    REFUSED("a key of 15 bytes",
            GET HOST UPGRADE CONNECTION VERSION ORIGIN
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n",
            400, NULL),
    REFUSED("a key that is no base64",
            GET HOST UPGRADE CONNECTION VERSION ORIGIN
            "Sec-WebSocket-Key: *AAAAAAAAAAAAAAAAAAAAA==\r\n",
            400, NULL),
    REFUSED("the key twice", ALL KEY, 400, NULL),
    REFUSED("a body", ALL "Content-Length: 1\r\n", 400, NULL),
    REFUSED("a length that is none", ALL "Content-Length: x\r\n", 400, NULL),
    REFUSED("two lengths", ALL "Content-Length: 0\r\nContent-Length: 0\r\n",
            400, NULL),
    REFUSED("chunks", ALL "Transfer-Encoding: chunked\r\n", 400, NULL),
    REFUSED("a folded line", ALL "X: a\r\n b\r\n", 400, NULL),
    REFUSED("a line without a colon", ALL "X\r\n", 400, NULL),
    REFUSED("a blank before a colon", ALL "X : a\r\n", 400, NULL),
    REFUSED("a NUL in a value", ALL "X: a\0b\r\n", 400, NULL),
    REFUSED("a NUL in a name", ALL "X\0: a\r\n", 400, NULL),
    REFUSED("a NUL in the target", "GET /ws\0 HTTP/1.1\r\n" BEHIND_GET, 400,
            NULL),
    REFUSED("a bare CR", ALL "X: a\rb\r\n", 400, NULL),
    REFUSED("a bare LF", ALL "X: a\nY: b\r\n", 400, NULL),
    REFUSED("another origin",
            GET HOST UPGRADE CONNECTION VERSION KEY
            "Origin: https://evil.example\r\n",
            403, NULL),
    REFUSED("no origin", GET HOST UPGRADE CONNECTION VERSION KEY, 403, NULL),
    REFUSED("two origins", ALL ORIGIN, 400, NULL),
    REFUSED("another path", "GET /other HTTP/1.1\r\n" BEHIND_GET, 404, NULL),
    REFUSED("subprotocols that are no tokens", ALL PROTOCOL ": a b\r\n", 400,
            NULL),
    REFUSED("plain HTTP", GET HOST, 426, V13),
    REFUSED("TLS", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 400, NULL),
};

static wire
open_strict(size_t max_clients)
{
    static const char *const origins[] = {"https://good.example"};
    static const char *const ours[] = {"v1"};
    wire_setup setup = wire_defaults();
    setup.path = "/ws";
    setup.events = true;
    setup.limits.max_clients = max_clients;
    setup.config.origins = origins;
    setup.config.origin_count = 1;
    setup.config.subprotocols = ours;
    setup.config.subprotocol_count = 1;
    return wire_open(&setup);
}

static void
check_head(const request_row *row, const char *head)
{
    CHECK(row->has == NULL || strstr(head, row->has) != NULL);
    CHECK(row->hasnt == NULL || strstr(head, row->hasnt) == NULL);
}

/* The message behind the request has arrived, and nothing else. */
static void
expect_open(const wire *w, const request_row *row, peer *p)
{
    check_head(row, peer_expect_switch(p));
    wire_expect_event(w, WS_EVENT_CONNECTED);
    wire_expect_message(w, "first", 5, true);
    peer_leave(p);
    wire_expect_event(w, WS_EVENT_DISCONNECTED);
}

/* A whole answer and the end, whatever else was said. */
static void
expect_refusal(const request_row *row, peer *p)
{
    const char *head;
    bool head_only = strncmp(row->bytes, "HEAD ", 5) == 0;
    int status = peer_answer(p, head_only, &head, NULL);
    CHECK_EQ(status, row->status);
    CHECK(strstr(head, "\r\nConnection: close") != NULL);
    check_head(row, head);
    peer_close(p);
}

static void
check_request(const wire *w, const request_row *row, way how)
{
    uint8_t frame[PEER_HEADER_MAX + 5];
    size_t size = peer_make(frame, PEER_TEXT, "first", 5);
    uint8_t *all = malloc(row->size + size);
    peer p = peer_dial(w);

    try(row->what, how);
    memcpy(all, row->bytes, row->size);
    memcpy(all + row->size, frame, size);
    if (how == PIPELINED) {
        peer_send(&p, all, row->size + size);
    } else {
        feed(&p, how, row->bytes, row->size);
    }
    free(all);
    if (row->status != 101) {
        expect_refusal(row, &p);
        return;
    }
    if (how != PIPELINED) {
        feed(&p, how, frame, size);
    }
    expect_open(w, row, &p);
}

static void
check_requests(const wire *w, const request_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (way how = WHOLE; how < WAYS; how++) {
            check_request(w, &rows[i], how);
        }
    }
}

static void
each_rule_of_the_handshake_holds_however_the_bytes_come(void)
{
    wire w = open_strict(0);
    size_t opening = 0;
    for (size_t i = 0; i < WIRE_COUNT_OF(requests); i++) {
        opening += requests[i].status == 101;
    }
    check_requests(&w, requests, WIRE_COUNT_OF(requests));
    CHECK_EQ(ws_hub_get_stats(w.hub).joined, WAYS * opening);
    CHECK_EQ(WIRE_COUNTED(&w, refused_handshakes),
             WAYS * (WIRE_COUNT_OF(requests) - opening));
    (void)wire_close(&w);
}

/* A head of that many bytes, in that many lines beside the needed ones. */
static request_row
long_request(char *out, size_t size, size_t lines, int status)
{
    size_t at = strlen(ALL);
    memcpy(out, ALL, at + 1);
    for (size_t i = 0; i < lines; i++) {
        memcpy(out + at, "X: a\r\n", 6);
        at += 6;
    }
    memcpy(out + at, "Y: ", 3);
    memset(out + at + 3, 'y', size - at - 7);
    memcpy(out + size - 4, "\r\n\r\n", 4);
    return (request_row){
        .what = "a long head", .bytes = out, .size = size, .status = status};
}

static void
a_head_may_be_8192_bytes_in_64_lines_and_not_more(void)
{
    static char text[4][9000];
    static char target[9000];
    enum { OURS = 6 + 1 }; // header lines of ALL, and Y
    size_t most = WS_HTTP_HEAD_MAX;
    size_t more = WS_HTTP_HEADERS_MAX - OURS;
    memset(target, 'a', sizeof target - 1);
    memcpy(target, "GET /", 5);
    const request_row rows[] = {
        long_request(text[0], most, 0, 101),
        long_request(text[1], most + 1, 0, 431),
        long_request(text[2], 2000, more, 101),
        long_request(text[3], 2000, more + 1, 431),
        {"a long target", target, most + 1, 414, NULL, NULL},
    };
    wire w = open_strict(0);
    check_requests(&w, rows, WIRE_COUNT_OF(rows));
    (void)wire_close(&w);
}

static void
a_client_too_many_is_told_to_come_again(void)
{
    static const request_row rows[] = {
        REFUSED("too many", ALL, 503, "\r\nRetry-After: "),
    };
    wire w = open_strict(1);
    peer p = peer_dial(&w);
    peer_say(&p, ALL "\r\n");
    (void)peer_expect_switch(&p);
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    check_requests(&w, rows, WIRE_COUNT_OF(rows));
    peer_leave(&p);
    (void)wire_close(&w);
}

/* ---- frames */

typedef struct frame_row {
    const char *what;
    const char *bytes; /* masked with zeros, so as it stands here */
    size_t size;
    unsigned code; /* of the Close that answers it */
} frame_row;

#define NO_MASK "\0\0\0\0"
#define BREACH(what, bytes, code)            \
    {                                        \
        what, bytes, sizeof(bytes) - 1, code \
    }

static const frame_row breaches[] = {
    BREACH("text that is not masked",
           "\x81\x01"
           "a",
           1002),
    BREACH("a ping that is not masked", "\x89\x00", 1002),
    BREACH("a Close that is not masked", "\x88\x00", 1002),
    BREACH("RSV1", "\xC1\x80" NO_MASK, 1002),
    BREACH("RSV2", "\xA1\x80" NO_MASK, 1002),
    BREACH("RSV3", "\x91\x80" NO_MASK, 1002),
    BREACH("RSV1 in a ping", "\xC9\x80" NO_MASK, 1002),
    BREACH("RSV1 in a continuation", "\x01\x80" NO_MASK "\xC0\x80" NO_MASK,
           1002),
    BREACH("opcode 3", "\x83\x80" NO_MASK, 1002),
    BREACH("opcode 4", "\x84\x80" NO_MASK, 1002),
    BREACH("opcode 5", "\x85\x80" NO_MASK, 1002),
    BREACH("opcode 6", "\x86\x80" NO_MASK, 1002),
    BREACH("opcode 7", "\x87\x80" NO_MASK, 1002),
    BREACH("opcode 11", "\x8B\x80" NO_MASK, 1002),
    BREACH("opcode 12", "\x8C\x80" NO_MASK, 1002),
    BREACH("opcode 13", "\x8D\x80" NO_MASK, 1002),
    BREACH("opcode 14", "\x8E\x80" NO_MASK, 1002),
    BREACH("opcode 15", "\x8F\x80" NO_MASK, 1002),
    BREACH("a ping of 126 bytes", "\x89\xFE\0\x7E" NO_MASK, 1002),
    BREACH("a pong of 126 bytes", "\x8A\xFE\0\x7E" NO_MASK, 1002),
    BREACH("a Close of 126 bytes", "\x88\xFE\0\x7E" NO_MASK, 1002),
    BREACH("a ping in fragments", "\x09\x80" NO_MASK, 1002),
    BREACH("a pong in fragments", "\x0A\x80" NO_MASK, 1002),
    BREACH("a Close in fragments", "\x08\x80" NO_MASK, 1002),
    BREACH("a length with its top bit", "\x82\xFF\x80\0\0\0\0\0\0\x01", 1002),
    BREACH("2 bytes of length for 125", "\x82\xFE\0\x7D" NO_MASK, 1002),
    BREACH("8 bytes of length for 65535", "\x82\xFF\0\0\0\0\0\0\xFF\xFF",
           1002),
    BREACH("a continuation of nothing", "\x80\x80" NO_MASK, 1002),
    BREACH("a fragment that continues nothing", "\x00\x80" NO_MASK, 1002),
    BREACH("a continuation behind a whole message",
           "\x82\x80" NO_MASK "\x80\x80" NO_MASK, 1002),
    BREACH("text inside a message", "\x01\x80" NO_MASK "\x81\x80" NO_MASK,
           1002),
    BREACH("a binary fragment inside a message",
           "\x01\x80" NO_MASK "\x02\x80" NO_MASK, 1002),
    BREACH("bad text, its end to come", "\x81\x8A" NO_MASK "a\xFF", 1007),
    BREACH("a surrogate", "\x81\x83" NO_MASK "\xED\xA0\x80", 1007),
    BREACH("a character over U+10FFFF", "\x81\x84" NO_MASK "\xF4\x90\x80\x80",
           1007),
    BREACH("a character longer than it need be", "\x81\x82" NO_MASK "\xC0\xAF",
           1007),
    BREACH("text that ends in a character", "\x81\x82" NO_MASK "a\xC3", 1007),
    BREACH("text whose second fragment breaks a character",
           "\x01\x81" NO_MASK "\xC3"
           "\x00\x85" NO_MASK "a",
           1007),
    BREACH("2 MB and a byte, declared", "\x82\xFF\0\0\0\0\0\x20\0\x01", 1009),
    BREACH("2 MB and a byte, in fragments",
           "\x02\x81" NO_MASK "a"
           "\x80\xFF\0\0\0\0\0\x20\0\0",
           1009),
    BREACH("all that can be declared",
           "\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 1009),
    BREACH("a Close of one byte", "\x88\x81" NO_MASK "\x03", 1002),
    BREACH("a Close with 0", "\x88\x82" NO_MASK "\0\0", 1002),
    BREACH("a Close with 999", "\x88\x82" NO_MASK "\x03\xE7", 1002),
    BREACH("a Close with 1004", "\x88\x82" NO_MASK "\x03\xEC", 1002),
    BREACH("a Close with 1005", "\x88\x82" NO_MASK "\x03\xED", 1002),
    BREACH("a Close with 1006", "\x88\x82" NO_MASK "\x03\xEE", 1002),
    BREACH("a Close with 1015", "\x88\x82" NO_MASK "\x03\xF7", 1002),
    BREACH("a Close with 1016", "\x88\x82" NO_MASK "\x03\xF8", 1002),
    BREACH("a Close with 2999", "\x88\x82" NO_MASK "\x0B\xB7", 1002),
    BREACH("a Close with 5000", "\x88\x82" NO_MASK "\x13\x88", 1002),
    BREACH("a Close with 65535", "\x88\x82" NO_MASK "\xFF\xFF", 1002),
    BREACH("a Close with a bad reason",
           "\x88\x84" NO_MASK "\x03\xE8"
           "a\xFF",
           1007),
};

/* Opens a client and sends it bytes in one of the ways. */
static peer
open_and_feed(const wire *w, way how, const void *bytes, size_t size)
{
    const char *request = peer_request("/?id=a", "");
    size_t head = strlen(request);
    peer p = peer_dial(w);
    if (how != PIPELINED) {
        peer_say(&p, request);
        (void)peer_expect_switch(&p);
        feed(&p, how, bytes, size);
        return p;
    }
    uint8_t *all = malloc(head + size);
    memcpy(all, request, head);
    memcpy(all + head, bytes, size);
    peer_send(&p, all, head + size);
    free(all);
    (void)peer_expect_switch(&p);
    return p;
}

/* The next event, a Disconnected with what it tells. */
static void
expect_gone(const wire *w, unsigned code, bool clean)
{
    ws_event event = wire_event(w, WS_EVENT_DISCONNECTED);
    CHECK_EQ(event.client->close_code, code);
    CHECK_EQ(event.client->clean, clean);
    ws_event_release(&event);
}

static void
check_breach(const wire *w, const frame_row *row, way how)
{
    try(row->what, how);
    peer p = open_and_feed(w, how, row->bytes, row->size);
    wire_expect_event(w, WS_EVENT_CONNECTED);
    if (strstr(row->what, "behind a whole message") != NULL) {
        wire_expect_message(w, "", 0, false);
    }
    peer_frame frame = peer_read(&p);
    CHECK_EQ(frame.first, PEER_CLOSE);
    CHECK_EQ(frame.data[0] << 8 | frame.data[1], row->code);
    CHECK(frame.size > 2); // and says why
    peer_frame_out(&p, PEER_PING, "late", 4);
    peer_expect_eof(&p);
    peer_close(&p);
    expect_gone(w, row->code, false);
}

static void
each_breach_has_its_code_however_the_bytes_come(void)
{
    wire_setup setup = wire_defaults();
    setup.events = true;
    wire w = wire_open(&setup);
    for (size_t i = 0; i < WIRE_COUNT_OF(breaches); i++) {
        for (way how = WHOLE; how < WAYS; how++) {
            check_breach(&w, &breaches[i], how);
        }
    }
    (void)wire_close(&w);
}

static void
each_good_close_is_echoed_however_the_bytes_come(void)
{
    static const uint16_t codes[] = {1000, 1001, 1002, 1003, 1007, 1008,
                                     1009, 1010, 1011, 1012, 1013, 1014,
                                     3000, 3999, 4000, 4999};
    uint8_t frame[PEER_HEADER_MAX + 125];
    uint8_t body[125];
    wire_setup setup = wire_defaults();
    setup.events = true;
    wire w = wire_open(&setup);
    memset(body, 'r', sizeof body);
    for (size_t i = 0; i < WIRE_COUNT_OF(codes); i++) {
        for (way how = WHOLE; how < WAYS; how++) {
            try("a good Close", how);
            body[0] = (uint8_t)(codes[i] >> 8);
            body[1] = (uint8_t)codes[i];
            size_t size = peer_make(frame, PEER_CLOSE, body, sizeof body);
            peer p = open_and_feed(&w, how, frame, size);
            peer_expect_close(&p, codes[i], "");
            peer_expect_eof(&p);
            wire_expect_event(&w, WS_EVENT_CONNECTED);
            peer_close(&p);
            expect_gone(&w, codes[i], true);
        }
    }
    (void)wire_close(&w);
}

/* A ping inside a character inside a message, and both as long as may be. */
static void
good_frames_arrive_however_the_bytes_come(void)
{
    uint8_t all[4 * (PEER_HEADER_MAX + 125)];
    uint8_t data[125];
    wire_setup setup = wire_defaults();
    setup.events = true;
    wire w = wire_open(&setup);
    memset(data, 'p', sizeof data);
    for (way how = WHOLE; how < WAYS; how++) {
        try("good frames", how);
        size_t size = peer_make(all, WS_OPCODE_TEXT, "\xE2\x82", 2);
        size += peer_make(all + size, PEER_PING, data, sizeof data);
        size += peer_make(all + size, PEER_PONG, data, sizeof data);
        size += peer_make(all + size, WS_FRAME_FIN, "\xAC", 1);
        peer p = open_and_feed(&w, how, all, size);
        wire_expect_event(&w, WS_EVENT_CONNECTED);
        peer_expect(&p, PEER_PONG, data, sizeof data);
        wire_expect_message(&w, "\xE2\x82\xAC", 3, true);
        peer_leave(&p);
        wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    }
    (void)wire_close(&w);
}

/* ---- fragments */

enum { PIECE = 64, MESSAGE = 4 << 20 };

/* A binary message of 'a' in so many pieces, and an empty end. Frames of a
   piece are alike, so that one is made and sent often. */
static void
send_fragments(const peer *p, size_t count, size_t piece)
{
    enum { BATCH = 64 };
    static const char data[PIECE] = {0};
    uint8_t one[PEER_HEADER_MAX + PIECE];
    uint8_t many[BATCH * sizeof one];
    peer_frame_out(p, WS_OPCODE_BINARY, data, piece);
    size_t size = peer_make(one, WS_OPCODE_CONTINUATION, data, piece);
    for (size_t i = 0; i < BATCH; i++) {
        memcpy(many + i * size, one, size);
    }
    for (size_t left = count - 1; left > 0;) {
        size_t batch = left < BATCH ? left : BATCH;
        peer_send(p, many, batch * size);
        left -= batch;
    }
    peer_frame_out(p, WS_FRAME_FIN, "", 0);
}

static void
four_megabytes_may_come_in_pieces_of_64_bytes(void)
{
    static char zeros[MESSAGE];
    wire_setup setup = wire_defaults();
    setup.events = true;
    setup.config.max_message_size = MESSAGE;
    wire w = wire_open(&setup);
    peer p = peer_open(&w, "/");
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    send_fragments(&p, MESSAGE / PIECE, PIECE);
    wire_expect_message(&w, zeros, MESSAGE, false);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_message_of_more_fragments_than_there_may_be_is_1008(void)
{
    wire w = wire_open_default();
    peer p = peer_open(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    send_fragments(&p, WS_DECODE_MAX_FRAGMENTS, 0);
    peer_frame frame = peer_read(&p);
    CHECK_EQ(frame.first, PEER_CLOSE);
    CHECK_EQ(frame.data[0] << 8 | frame.data[1], 1008);
    peer_expect_eof(&p);
    peer_close(&p);
    wire_expect_ended(client, 1008, false);
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(each_rule_of_the_handshake_holds_however_the_bytes_come),
    TEST(a_head_may_be_8192_bytes_in_64_lines_and_not_more),
    TEST(a_client_too_many_is_told_to_come_again),
    TEST(each_breach_has_its_code_however_the_bytes_come),
    TEST(each_good_close_is_echoed_however_the_bytes_come),
    TEST(good_frames_arrive_however_the_bytes_come),
    TEST(four_megabytes_may_come_in_pieces_of_64_bytes),
    TEST(a_message_of_more_fragments_than_there_may_be_is_1008),
};

TEST_MAIN(tests)

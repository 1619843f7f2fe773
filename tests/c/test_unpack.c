#include "deflate_kit.h"
#include "wire.h"

#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate\r\n"
#define TEXT_PACKED (PEER_TEXT | WS_FRAME_RSV1)
#define BINARY_PACKED (PEER_BINARY | WS_FRAME_RSV1)
#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00"

static wire
open_with_limit(size_t max_message_size)
{
    wire_setup setup = wire_defaults();
    setup.config.compression = true;
    setup.config.max_message_size = max_message_size;
    setup.events = true;
    return wire_open(&setup);
}

/* A client with which compression is agreed on; its Connected is taken. */
static peer
open_known(const wire *w, const char *target)
{
    peer p = peer_dial(w);
    peer_say(&p, peer_request(target, DEFLATE));
    (void)peer_expect_switch(&p);
    wire_expect_event(w, WS_EVENT_CONNECTED);
    return p;
}

/* A compressed message in frames of up to `piece` bytes, with pings between.
 */
static void
send_packed(const peer *p, unsigned opcode, const uint8_t *packed, size_t size,
            size_t piece)
{
    unsigned first = opcode | WS_FRAME_RSV1;
    for (bool last = false; !last; first = WS_OPCODE_CONTINUATION) {
        size_t now = size < piece ? size : piece;
        last = now == size;
        peer_frame_out(p, first | (last ? WS_FRAME_FIN : 0u), packed, now);
        packed += now;
        size -= now;
        if (!last) {
            peer_frame_out(p, PEER_PONG, "unasked", 7);
        }
    }
}

static void
compressed_messages_of_all_sizes_arrive(void)
{
    static const size_t sizes[] = {0,     1,     5,     200,    4096,
                                   16383, 16384, 16385, 100000, 1 << 20};
    uint8_t *texts[] = {deflate_kit_text(1 << 20), deflate_kit_noise(1 << 20)};
    wire w = open_with_limit(1 << 20);
    peer p = open_known(&w, "/");
    uint64_t bytes = 0;
    for (size_t i = 0; i < 2 * WIRE_COUNT_OF(sizes); i++) {
        bool text = i % 2 == 0;
        size_t want = sizes[i / 2];
        size_t size = 0;
        uint8_t *packed =
            deflate_kit_compress(texts[i % 2], want, 1 + (int)i % 9,
                                 9 + (int)i % 7, Z_SYNC_FLUSH, &size);
        send_packed(&p, text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY, packed, size,
                    i % 3 == 0 ? size / 7 + 1 : SIZE_MAX);
        wire_expect_message(&w, texts[i % 2], want, text);
        bytes += want;
        free(packed);
    }
    CHECK_EQ(WIRE_COUNTED(&w, received), 2 * WIRE_COUNT_OF(sizes));
    CHECK_EQ(WIRE_COUNTED(&w, received_bytes), bytes);
    peer_leave(&p);
    (void)wire_close(&w);
    free(texts[0]);
    free(texts[1]);
}

/* The limit is that of the message; that its compressed form is longer, since
   nothing in it compresses, is not held against it. */
static void
a_message_of_exactly_the_limit_arrives_and_a_byte_more_is_1009(void)
{
    enum { LIMIT = 50000 };
    uint8_t *noise = deflate_kit_noise(LIMIT + 1);
    uint8_t *text = deflate_kit_text(LIMIT + 1);
    const uint8_t *data[] = {noise, text};
    wire w = open_with_limit(LIMIT);
    for (size_t i = 0; i < 2; i++) {
        peer p = open_known(&w, "/");
        size_t size = 0;
        uint8_t *packed =
            deflate_kit_compress(data[i], LIMIT, 9, 15, Z_SYNC_FLUSH, &size);
        CHECK_EQ(size > LIMIT, i == 0);
        peer_frame_out(&p, BINARY_PACKED, packed, size);
        wire_expect_message(&w, data[i], LIMIT, false);
        free(packed);
        packed = deflate_kit_compress(data[i], LIMIT + 1, 9, 15, Z_SYNC_FLUSH,
                                      &size);
        peer_frame_out(&p, BINARY_PACKED, packed, size);
        peer_expect_close(&p, 1009, "a message over the size limit");
        peer_expect_eof(&p);
        peer_close(&p);
        wire_expect_event(&w, WS_EVENT_DISCONNECTED);
        free(packed);
    }
    (void)wire_close(&w);
    free(noise);
    free(text);
}

/* As a compressor with little memory makes it, that knows only one code: the
   largest growth that zlib is capable of. */
static void
a_message_of_the_limit_may_grow_as_much_as_zlib_can_make_it(void)
{
    enum { LIMIT = 200000 };
    uint8_t *noise = deflate_kit_noise(LIMIT);
    for (size_t i = 0; i < LIMIT; i++) {
        noise[i] = (uint8_t)(144 + noise[i] % 112); // nine bits each
    }
    size_t room = 2 * LIMIT;
    uint8_t *packed = malloc(room);
    z_stream z = {.next_in = noise, .avail_in = LIMIT};
    CHECK(packed != NULL);
    CHECK_EQ(deflateInit2(&z, 1, Z_DEFLATED, -9, 4, Z_FIXED), Z_OK);
    z.next_out = packed;
    z.avail_out = (uInt)room;
    CHECK_EQ(deflate(&z, Z_SYNC_FLUSH), Z_OK);
    size_t size = room - z.avail_out - 4;
    (void)deflateEnd(&z);
    CHECK(size > LIMIT + LIMIT / 8 + 64);
    wire w = open_with_limit(LIMIT);
    peer p = open_known(&w, "/");
    peer_frame_out(&p, BINARY_PACKED, packed, size);
    wire_expect_message(&w, noise, LIMIT, false);
    peer_leave(&p);
    (void)wire_close(&w);
    free(packed);
    free(noise);
}

/* Each fragment of a byte, flushed for itself, is of eight. */
static void
a_message_of_the_limit_may_come_byte_by_byte(void)
{
    enum { LIMIT = 1000 };
    wire w = open_with_limit(LIMIT);
    peer p = open_known(&w, "/");
    uint8_t *text = deflate_kit_text(LIMIT + 1);
    for (size_t size = LIMIT; size <= LIMIT + 1; size++) {
        unsigned first = WS_OPCODE_TEXT | WS_FRAME_RSV1;
        for (size_t i = 0; i < size; i++) {
            uint8_t packed[32];
            bool last = i + 1 == size;
            z_stream z = {.next_in = text + i, .avail_in = 1};
            CHECK_EQ(deflateInit2(&z, 1, Z_DEFLATED, -15, 8, 0), Z_OK);
            z.next_out = packed;
            z.avail_out = sizeof packed;
            CHECK_EQ(deflate(&z, Z_SYNC_FLUSH), Z_OK);
            size_t made = sizeof packed - z.avail_out - (last ? 4 : 0);
            (void)deflateEnd(&z);
            peer_frame_out(&p, first | (last ? WS_FRAME_FIN : 0u), packed,
                           made);
            first = WS_OPCODE_CONTINUATION;
        }
        if (size == LIMIT) {
            wire_expect_message(&w, text, LIMIT, true);
        }
    }
    peer_expect_close(&p, 1009, "a message over the size limit");
    peer_close(&p);
    (void)wire_close(&w);
    free(text);
}

static void
a_plain_message_beside_them_has_no_more_room(void)
{
    wire w = open_with_limit(1000);
    peer p = open_known(&w, "/");
    uint8_t *noise = deflate_kit_noise(1001);
    peer_frame_out(&p, PEER_BINARY, noise, 1000);
    wire_expect_message(&w, noise, 1000, false);
    peer_frame_out(&p, PEER_BINARY, noise, 1001);
    peer_expect_close(&p, 1009, "a message over the size limit");
    peer_close(&p);
    (void)wire_close(&w);
    free(noise);
}

/* A gigabyte of zeros in a megabyte. */
static void
a_bomb_is_1009_before_the_memory_is_spent(void)
{
    enum { LIMIT = 1 << 20 };
    // Each part is of a megabyte, and ends like one that was flushed.
    size_t once = 0;
    uint8_t *zeros = calloc(1, 1 << 20);
    uint8_t *part =
        deflate_kit_compress(zeros, 1 << 20, 9, 15, Z_SYNC_FLUSH, &once);
    size_t size = (once + 4) * 1024;
    uint8_t *packed = malloc(size);
    CHECK(packed != NULL);
    memcpy(part + once, "\x00\x00\xff\xff", 4);
    for (size_t at = 0; at < size; at += once + 4) {
        memcpy(packed + at, part, once + 4);
    }
    free(part);
    free(zeros);
    CHECK(size > LIMIT - 10000 && size < LIMIT + LIMIT / 8);

    wire w = open_with_limit(LIMIT);
    peer p = open_known(&w, "/");
    long before = ws_alloc_bytes();
    ws_alloc_reset_peak();
    for (size_t at = 0; at < size;) { // it may be cut before all is sent
        uint8_t frame[PEER_HEADER_MAX + 4096];
        size_t piece = size - at < 4096 ? size - at : 4096;
        unsigned first = at == 0 ? WS_OPCODE_BINARY | WS_FRAME_RSV1
                                 : WS_OPCODE_CONTINUATION;
        size_t frame_size = peer_make(frame, first, packed + at, piece);
        ssize_t sent = peer_try_send(&p, frame, frame_size);
        if (sent != (ssize_t)frame_size) {
            break;
        }
        at += piece;
    }
    peer_expect_close(&p, 1009, "a message over the size limit");
    peer_expect_end(&p);
    CHECK(ws_alloc_peak() - before < LIMIT + 128 * 1024);
    peer_close(&p);
    (void)wire_close(&w);
    free(packed);
}

/* The peer has announced a reserved bit's meaning only for whole messages that
   it begins. */
static void
each_breach_is_answered_by_its_code_and_the_end(void)
{
    static const struct {
        const char *what;
        unsigned first, second; /* the second frame's; 0: there is none */
        const char *data;
        size_t size;
        uint16_t code;
    } cases[] = {
        {"no deflate", BINARY_PACKED, 0, "\x07", 1, 1007},
        {"no end", BINARY_PACKED, 0, "\xf2\x48\xcd", 3, 1007},
        {"garbage behind a last block", BINARY_PACKED, 0,
         "\xf3\x48\xcd\xc9\xc9\x07\x00\x07", 8, 1007},
        {"text that is not UTF-8", TEXT_PACKED, 0,
         "\x00\x01\x00\xfe\xff\xff\x00", 7, 1007},
        {"text that ends inside a character", TEXT_PACKED, 0,
         "\x00\x01\x00\xfe\xff\xc3\x00", 7, 1007},
        {"bad text before the message's end", WS_OPCODE_TEXT | WS_FRAME_RSV1,
         0, "\x00\x01\x00\xfe\xff\xff", 6, 1007},
        {"a marked continuation", WS_OPCODE_TEXT | WS_FRAME_RSV1,
         WS_FRAME_FIN | WS_FRAME_RSV1, HELLO, 7, 1002},
        {"a marked ping", PEER_PING | WS_FRAME_RSV1, 0, HELLO, 7, 1002},
        {"a marked close", PEER_CLOSE | WS_FRAME_RSV1, 0, "", 0, 1002},
        {"a new message inside one", WS_OPCODE_TEXT | WS_FRAME_RSV1,
         TEXT_PACKED, HELLO, 7, 1002},
        {"another bit", BINARY_PACKED | 0x20, 0, HELLO, 7, 1002},
    };
    wire w = open_with_limit(1 << 20);
    for (size_t i = 0; i < WIRE_COUNT_OF(cases); i++) {
        peer p = open_known(&w, "/");
        peer_frame_out(&p, TEXT_PACKED, HELLO, 7);
        wire_expect_message(&w, "Hello", 5, true);
        peer_frame_out(&p, cases[i].first, cases[i].data, cases[i].size);
        if (cases[i].second != 0) {
            peer_frame_out(&p, cases[i].second, cases[i].data, cases[i].size);
        }
        peer_frame frame = peer_read(&p);
        unsigned code = (unsigned)frame.data[0] << 8 | frame.data[1];
        if (frame.first != PEER_CLOSE || code != cases[i].code) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(frame.first, PEER_CLOSE);
        CHECK_EQ(code, cases[i].code);
        peer_expect_eof(&p);
        peer_close(&p);
        wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    }
    (void)wire_close(&w);
}

static void
without_the_agreement_a_marked_message_is_a_breach(void)
{
    wire w = open_with_limit(1 << 20);
    peer p = peer_open(&w, "/");
    peer_frame_out(&p, TEXT_PACKED, HELLO, 7);
    peer_expect_close(&p, 1002, "a reserved bit");
    peer_expect_eof(&p);
    peer_close(&p);
    (void)wire_close(&w);
}

static void
a_character_may_be_cut_wherever_a_buffer_ends(void)
{
    enum { SIZE = 3 * 20000 };
    uint8_t *text = malloc(SIZE + 1);
    wire w = open_with_limit(1 << 20);
    peer p = open_known(&w, "/");
    for (size_t shift = 0; shift < 3; shift++) {
        size_t size = 0;
        memset(text, 'x', shift);
        for (size_t i = shift; i + 3 <= SIZE; i += 3) {
            memcpy(text + i, "\xe2\x82\xac", 3);
        }
        size_t whole = shift + (SIZE - shift) / 3 * 3;
        uint8_t *packed =
            deflate_kit_compress(text, whole, 6, 15, Z_SYNC_FLUSH, &size);
        send_packed(&p, WS_OPCODE_TEXT, packed, size, 5);
        wire_expect_message(&w, text, whole, true);
        free(packed);
    }
    peer_leave(&p);
    (void)wire_close(&w);
    free(text);
}

/* Fourteen messages that fit into one read, of a megabyte each, with a ping
   behind each: between them the pump turns to others. */
static void
a_client_has_only_its_share_of_a_turn(void)
{
    enum { SIZE = 1 << 20, COUNT = 14 };
    size_t size = 0;
    uint8_t *zeros = calloc(1, SIZE);
    uint8_t *packed =
        deflate_kit_compress(zeros, SIZE, 9, 15, Z_SYNC_FLUSH, &size);
    uint8_t *all = malloc(COUNT * (size + 2 * PEER_HEADER_MAX + sizeof(int)));
    size_t total = 0;
    for (int i = 0; i < COUNT; i++) {
        total += peer_make(all + total, BINARY_PACKED, packed, size);
        total += peer_make(all + total, PEER_PING, &i, sizeof i);
    }
    CHECK(total < 16384);

    wire w = open_with_limit(SIZE);
    peer p = open_known(&w, "/");
    uint64_t turns = WIRE_COUNTED(&w, turns);
    peer_send(&p, all, total);
    peer_frame_out(&p, TEXT_PACKED, HELLO, 7);
    for (int i = 0; i < COUNT; i++) {
        wire_expect_message(&w, zeros, SIZE, false);
        peer_expect(&p, PEER_PONG, &i, sizeof i);
    }
    wire_expect_message(&w, "Hello", 5, true);
    CHECK(WIRE_COUNTED(&w, turns) - turns >= COUNT);
    // One that goes while it rests is let go.
    ws_client *client = NULL;
    peer second = open_known(&w, "/?id=b");
    client = wire_client(&w, "b");
    peer_send(&second, all, total);
    wire_expect_message(&w, zeros, SIZE, false);
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    peer_close_frame(&second, 1000, "");
    peer_expect_end(&second);
    peer_close(&second);
    WITHIN(wire_is_closed(client), 10);
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
    free(all);
    free(packed);
    free(zeros);
}

/* A piece that the decoder hands out becomes a megabyte at most, so there are
   eight turns in this message. */
static void
a_large_message_is_inflated_in_many_turns(void)
{
    enum { SIZE = 8 << 20 };
    size_t size = 0;
    uint8_t *zeros = calloc(1, SIZE);
    uint8_t *packed =
        deflate_kit_compress(zeros, SIZE, 9, 15, Z_SYNC_FLUSH, &size);
    CHECK(size < 16000); // one read, or two
    wire w = open_with_limit(SIZE);
    peer p = open_known(&w, "/");
    for (int i = 0; i < 2; i++) {
        uint64_t turns = WIRE_COUNTED(&w, turns);
        peer_frame_out(&p, BINARY_PACKED, packed, size);
        wire_expect_message(&w, zeros, SIZE, false);
        CHECK(WIRE_COUNTED(&w, turns) - turns >= 6);
    }
    // One that goes, or is closed, in the middle leaves nothing.
    for (int i = 0; i < 2; i++) {
        peer other = open_known(&w, "/?id=b");
        ws_client *client = wire_client(&w, "b");
        peer_frame_out(&other, BINARY_PACKED, packed, size);
        if (i == 0) {
            peer_reset(&other);
        } else {
            CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
            peer_expect_close(&other, 1000, "");
            peer_close_frame(&other, 1000, "");
            peer_expect_eof(&other);
            peer_close(&other);
        }
        WITHIN(wire_is_closed(client), 10);
        ws_client_unref(client);
        ws_event_kind kind = WS_EVENT_MESSAGE; // it may have come through
        while (kind == WS_EVENT_MESSAGE) {
            ws_event event;
            WITHIN(ws_hub_take_event(w.hub, &event), 10);
            kind = event.kind;
            ws_event_release(&event);
        }
        CHECK_EQ(kind, WS_EVENT_DISCONNECTED);
    }
    peer_close(&p);
    (void)wire_close(&w);
    free(packed);
    free(zeros);
}

/* Ten clients with fourteen megabytes each, and one beside them. */
static void
clients_share_the_time_of_a_turn(void)
{
    enum { SIZE = 1 << 20, COUNT = 14, CLIENTS = 10 };
    size_t size = 0;
    uint8_t *zeros = calloc(1, SIZE);
    uint8_t *packed =
        deflate_kit_compress(zeros, SIZE, 9, 15, Z_SYNC_FLUSH, &size);
    wire_setup setup = wire_defaults();
    setup.config.compression = true;
    setup.config.max_message_size = SIZE;
    wire w = wire_open(&setup);
    peer peers[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        peers[i] = peer_dial(&w);
        peer_say(&peers[i], peer_request("/", DEFLATE));
        (void)peer_expect_switch(&peers[i]);
    }
    peer other = peer_open(&w, "/");
    uint64_t turns = WIRE_COUNTED(&w, turns);
    for (size_t n = 0; n < COUNT; n++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            peer_frame_out(&peers[i], BINARY_PACKED, packed, size);
        }
    }
    while (WIRE_COUNTED(&w, received) < CLIENTS * COUNT) {
        peer_frame_out(&other, PEER_PING, "still there?", 12);
        peer_expect(&other, PEER_PONG, "still there?", 12);
    }
    // A turn has a few megabytes, not one of each client.
    CHECK(WIRE_COUNTED(&w, turns) - turns >= 2 * COUNT);
    CHECK_EQ(WIRE_COUNTED(&w, received_bytes), CLIENTS * COUNT * SIZE);
    for (size_t i = 0; i < CLIENTS; i++) {
        peer_leave(&peers[i]);
    }
    peer_leave(&other);
    (void)wire_close(&w);
    free(packed);
    free(zeros);
}

static void
without_a_taker_they_are_inflated_checked_and_dropped(void)
{
    wire_setup setup = wire_defaults();
    setup.config.compression = true;
    wire w = wire_open(&setup);
    peer p = peer_dial(&w);
    peer_say(&p, peer_request("/?id=a", DEFLATE));
    (void)peer_expect_switch(&p);
    ws_client *client = wire_client(&w, "a");
    peer_frame_out(&p, TEXT_PACKED, HELLO, 7);
    WITHIN(ws_counted(&client->received_dropped) == 1, 10);
    CHECK_EQ(ws_counted(&client->received_bytes), 5);
    peer_frame_out(&p, BINARY_PACKED, "\x07", 1);
    peer_expect_close(&p, 1007,
                      "a compressed message that cannot be decompressed");
    peer_close(&p);
    ws_client_unref(client);
    (void)wire_close(&w);
}

static void
a_client_that_goes_inside_a_message_leaves_nothing(void)
{
    wire w = open_with_limit(1 << 20);
    for (int i = 0; i < 6; i++) {
        peer p = open_known(&w, "/?id=a");
        ws_client *client = wire_client(&w, "a");
        uint64_t before = WIRE_COUNTED(&w, pongs);
        peer_frame_out(&p, WS_OPCODE_TEXT | WS_FRAME_RSV1, HELLO, 5);
        peer_frame_out(&p, PEER_PONG, "", 0);
        WITHIN(WIRE_COUNTED(&w, pongs) == before + 1, 10);
        if (i % 3 == 0) {
            peer_leave(&p);
        } else if (i % 3 == 1) {
            peer_reset(&p);
        } else {
            CHECK_EQ(ws_hub_close_client(client, 1001, wire_text("off")),
                     WS_OK);
            peer_expect_close(&p, 1001, "off");
            peer_close_frame(&p, 1001, "");
            peer_expect_eof(&p);
            peer_close(&p);
        }
        WITHIN(wire_is_closed(client), 10);
        wire_expect_event(&w, WS_EVENT_DISCONNECTED);
        ws_client_unref(client);
    }
    (void)wire_close(&w);
}

/* The one pump has done, and given back, all that was asked of it before. */
static void
witness(peer *p)
{
    peer_frame_out(p, PEER_PING, "?", 1);
    peer_expect(p, PEER_PONG, "?", 1);
}

/* What a connection costs that says nothing, with and without compression. */
static long
idle_bytes(const wire *w, peer *last, const char *headers, bool has_spoken)
{
    enum { CLIENTS = 50 };
    peer peers[CLIENTS];
    size_t size = ws_hub_size(w->hub);
    long before = ws_alloc_bytes();
    for (size_t i = 0; i < CLIENTS; i++) {
        peers[i] = peer_dial(w);
        peer_say(&peers[i], peer_request("/", headers));
        (void)peer_expect_switch(&peers[i]);
        wire_expect_event(w, WS_EVENT_CONNECTED);
        if (has_spoken) {
            peer_frame_out(&peers[i], TEXT_PACKED, HELLO, 7);
            wire_expect_message(w, "Hello", 5, true);
        }
    }
    WITHIN(ws_hub_size(w->hub) == size + CLIENTS, 10);
    witness(last);
    long cost = (ws_alloc_bytes() - before) / CLIENTS;
    for (size_t i = 0; i < CLIENTS; i++) {
        peer_leave(&peers[i]);
        wire_expect_event(w, WS_EVENT_DISCONNECTED);
    }
    WITHIN(ws_hub_present(w->hub) == size, 10);
    witness(last); // the last ones' memory is given back after that
    return cost;
}

static void
an_idle_client_costs_the_same_with_compression_and_without(void)
{
    // The request is kept, so both make the same number of bytes of it.
    static const char none[] =
        "Sec-WebSocket-Extensions: permessage-nothing\r\n";
    wire_setup setup = wire_defaults();
    setup.config.compression = true;
    setup.config.pumps = 1; // that of the last one
    setup.events = true;
    wire w = wire_open(&setup);
    peer last = open_known(&w, "/");
    (void)idle_bytes(&w, &last, DEFLATE, true); // whatever is made once
    long plain = idle_bytes(&w, &last, none, false);
    // The heap may round a block up by 16 bytes more or less.
    CHECK(labs(idle_bytes(&w, &last, DEFLATE, false) - plain) < 16);
    CHECK(labs(idle_bytes(&w, &last, DEFLATE, true) - plain) < 16);
    CHECK(plain > 500 && plain < 4000);
    peer_close(&last);
    (void)wire_close(&w);
}

static void
one_inflater_is_kept_however_many_were_needed_at_once(void)
{
    enum { CLIENTS = 20 };
    wire_setup setup = wire_defaults();
    setup.config.compression = true;
    setup.events = true;
    setup.config.pumps = 1; // each keeps one
    wire w = wire_open(&setup);
    peer peers[CLIENTS];
    long one = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        peers[i] = open_known(&w, "/");
    }
    long idle = ws_alloc_bytes();
    for (size_t i = 0; i < CLIENTS; i++) {
        uint64_t pongs = WIRE_COUNTED(&w, pongs);
        peer_frame_out(&peers[i], WS_OPCODE_TEXT | WS_FRAME_RSV1, HELLO, 3);
        peer_frame_out(&peers[i], PEER_PONG, "", 0);
        WITHIN(WIRE_COUNTED(&w, pongs) == pongs + 1, 10);
        one = i == 0 ? ws_alloc_bytes() - idle : one;
    }
    CHECK(one > 4096 && one < 64 * 1024);
    CHECK(ws_alloc_bytes() - idle > 15 * one);
    for (size_t i = 0; i < CLIENTS; i++) {
        peer_frame_out(&peers[i], WS_FRAME_FIN, &HELLO[3], 4);
        wire_expect_message(&w, "Hello", 5, true);
    }
    CHECK(ws_alloc_bytes() - idle < one + 1024);
    for (size_t i = 0; i < CLIENTS; i++) {
        peer_leave(&peers[i]);
    }
    (void)wire_close(&w);
}

/* Each allocation on the way of a message may fail: it arrives, or its client
   is closed with 1011, and nobody else notices. */
static void
without_memory_the_client_is_closed_and_the_pump_lives(void)
{
    uint8_t *text = deflate_kit_text(60000);
    size_t size = 0;
    uint8_t *packed =
        deflate_kit_compress(text, 60000, 6, 15, Z_SYNC_FLUSH, &size);
    wire w = open_with_limit(1 << 20);
    bool arrived = false;
    long failures = 0;
    for (long n = 0; !arrived; n++) {
        peer p = open_known(&w, "/?id=a");
        ws_client *client = wire_client(&w, "a");
        ws_event event = {0};
        ws_alloc_fail_at(n);
        peer_frame_out(&p, TEXT_PACKED, packed, size);
        WITHIN((arrived = ws_hub_take_event(w.hub, &event)) ||
                   ws_client_get_state(client) != WS_CLIENT_OPEN,
               10);
        ws_alloc_fail_at(-1);
        if (arrived) {
            CHECK_EQ(event.kind, WS_EVENT_MESSAGE);
            CHECK_EQ(event.size, 60000);
            CHECK_MEM_EQ(ws_inbound_data(event.message), text, 60000);
            ws_event_release(&event);
            peer_leave(&p);
        } else {
            failures++;
            peer_expect_close(&p, 1011, "out of memory");
            peer_expect_end(&p);
            peer_close(&p);
        }
        wire_expect_ended(client, arrived ? 1000 : 1011, arrived);
        wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    }
    CHECK(failures >= 3);
    (void)wire_close(&w);
    free(packed);
    free(text);
}

static const ws_test tests[] = {
    TEST(compressed_messages_of_all_sizes_arrive),
    TEST(a_message_of_exactly_the_limit_arrives_and_a_byte_more_is_1009),
    TEST(a_message_of_the_limit_may_grow_as_much_as_zlib_can_make_it),
    TEST(a_message_of_the_limit_may_come_byte_by_byte),
    TEST(a_plain_message_beside_them_has_no_more_room),
    TEST(a_bomb_is_1009_before_the_memory_is_spent),
    TEST(each_breach_is_answered_by_its_code_and_the_end),
    TEST(without_the_agreement_a_marked_message_is_a_breach),
    TEST(a_character_may_be_cut_wherever_a_buffer_ends),
    TEST(a_client_has_only_its_share_of_a_turn),
    TEST(a_large_message_is_inflated_in_many_turns),
    TEST(clients_share_the_time_of_a_turn),
    TEST(without_a_taker_they_are_inflated_checked_and_dropped),
    TEST(a_client_that_goes_inside_a_message_leaves_nothing),
    TEST(an_idle_client_costs_the_same_with_compression_and_without),
    TEST(one_inflater_is_kept_however_many_were_needed_at_once),
    TEST(without_memory_the_client_is_closed_and_the_pump_lives),
};

TEST_MAIN(tests)

#include "wire.h"

static wire_setup
with_events(void)
{
    wire_setup setup = wire_defaults();
    setup.events = true;
    return setup;
}

static wire
open_taking(void)
{
    wire_setup setup = with_events();
    return wire_open(&setup);
}

/* A client, and its Connected taken. */
static peer
open_known(const wire *w, const char *target)
{
    peer p = peer_open(w, target);
    wire_expect_event(w, WS_EVENT_CONNECTED);
    return p;
}

static uint8_t *
pattern(size_t size)
{
    uint8_t *data = malloc(size + 1);
    CHECK(data != NULL);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    return data;
}

/* ---- what comes in */

static void
messages_of_all_sizes_arrive(void)
{
    static const size_t sizes[] = {0,     1,     125,   126,    127,
                                   65535, 65536, 65537, 1 << 20};
    wire w = open_taking();
    peer p = open_known(&w, "/");
    uint8_t *data = pattern(1 << 20);
    for (size_t i = 0; i < WIRE_COUNT_OF(sizes); i++) {
        peer_frame_out(&p, PEER_BINARY, data, sizes[i]);
        wire_expect_message(&w, data, sizes[i], false);
    }
    CHECK_EQ(WIRE_COUNTED(&w, received), WIRE_COUNT_OF(sizes));
    peer_leave(&p);
    free(data);
    (void)wire_close(&w);
}

/* "Mi", a ping, "tt", an empty fragment, a pong, "e": one message. */
static void
fragments_and_control_frames_between_them_survive_every_split(void)
{
    uint8_t all[256];
    size_t size = 0;
    size += peer_make(all + size, WS_OPCODE_TEXT, "Mi", 2);
    size += peer_make(all + size, PEER_PING, "ping", 4);
    size += peer_make(all + size, WS_OPCODE_CONTINUATION, "tt", 2);
    size += peer_make(all + size, WS_OPCODE_CONTINUATION, "", 0);
    size += peer_make(all + size, PEER_PONG, "x", 1);
    size += peer_make(all + size, WS_FRAME_FIN, "e", 1);
    size += peer_make(all + size, PEER_BINARY, "end", 3);

    wire w = open_taking();
    peer p = open_known(&w, "/");
    for (size_t cut = 0; cut <= size; cut++) {
        peer_send(&p, all, cut);
        if (cut % 4 == 0) {
            (void)usleep(300); // now and then surely in a read of its own
        }
        peer_send(&p, all + cut, size - cut);
        peer_expect(&p, PEER_PONG, "ping", 4);
        wire_expect_message(&w, "Mitte", 5, true);
        wire_expect_message(&w, "end", 3, false);
    }
    peer_dribble(&p, all, size);
    peer_expect(&p, PEER_PONG, "ping", 4);
    wire_expect_message(&w, "Mitte", 5, true);
    wire_expect_message(&w, "end", 3, false);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_message_of_many_fragments_takes_memory_for_its_bytes_only(void)
{
    enum { COUNT = 20000 };
    wire w = open_taking();
    peer p = open_known(&w, "/");
    uint8_t *all = malloc(COUNT * 7);
    uint8_t *data = pattern(COUNT);
    size_t size = 0;
    for (size_t i = 0; i < COUNT; i++) {
        unsigned first = i == 0 ? WS_OPCODE_BINARY : WS_OPCODE_CONTINUATION;
        size +=
            peer_make(all + size, first | (i == COUNT - 1 ? WS_FRAME_FIN : 0u),
                      data + i, 1);
    }
    peer_send(&p, all, size);
    wire_expect_message(&w, data, COUNT, false);
    peer_leave(&p);
    free(all);
    free(data);
    (void)wire_close(&w);
}

static void
without_a_taker_messages_are_dropped_and_counted(void)
{
    wire w = wire_open_default();
    peer p = peer_open(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    peer_text(&p, "one");
    peer_text(&p, "two");
    WITHIN(ws_counted(&client->received_dropped) == 2, 10);
    CHECK_EQ(ws_counted(&client->received), 2);
    CHECK_EQ(ws_counted(&client->received_bytes), 6);
    CHECK_EQ(ws_hub_get_stats(w.hub).events.dropped, 2);
    ws_hub_start_events(w.hub);
    wire_expect_event(&w, WS_EVENT_CONNECTED);
    peer_text(&p, "three");
    wire_expect_message(&w, "three", 5, true);
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

/* ---- pings */

static void
each_ping_of_a_small_burst_is_answered(void)
{
    wire w = wire_open_default();
    peer p = peer_open(&w, "/");
    uint8_t all[1024];
    size_t size = 0;
    for (uint8_t i = 0; i < 50; i++) {
        size += peer_make(all + size, PEER_PING, &i, 1);
    }
    peer_send(&p, all, size);
    for (uint8_t i = 0; i < 50; i++) {
        peer_expect(&p, PEER_PONG, &i, 1);
    }
    peer_leave(&p);
    (void)wire_close(&w);
}

/* Sends `count` pings that carry their number in a long payload. */
static void
ping_many(const peer *p, uint32_t count)
{
    uint8_t *all = malloc(count * (PEER_HEADER_MAX + 125));
    uint8_t payload[125] = {0};
    size_t size = 0;
    for (uint32_t i = 1; i <= count; i++) {
        memcpy(payload, &i, sizeof i);
        size += peer_make(all + size, PEER_PING, payload, sizeof payload);
    }
    peer_send(p, all, size);
    free(all);
}

/* Reads until the pong of the last ping, skipping messages; pongs come in
   order. Returns how many there were. */
static uint32_t
read_pongs(peer *p, uint32_t last)
{
    uint32_t latest = 0;
    uint32_t count = 0;
    while (latest != last) {
        peer_frame frame = peer_read(p);
        if (frame.first != PEER_PONG) {
            continue;
        }
        uint32_t number;
        CHECK_EQ(frame.size, 125);
        memcpy(&number, frame.data, sizeof number);
        CHECK(number > latest);
        latest = number;
        count++;
    }
    return count;
}

static void
of_a_big_burst_at_least_the_last_ping_is_answered(void)
{
    enum { COUNT = 5000 };
    wire w = wire_open_default();
    peer p = peer_open(&w, "/");
    ping_many(&p, COUNT);
    CHECK(read_pongs(&p, COUNT) > 1);
    peer_leave(&p);
    (void)wire_close(&w);
}

/* Pongs of a client that does not read are kept as the latest one only. */
static void
pings_while_output_is_blocked_cost_little_and_are_answered_later(void)
{
    enum { COUNT = 3000 };
    static char big[1 << 20];
    wire w = wire_open_default();
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    for (int i = 0; i < 8; i++) {
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    }
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    long before = ws_alloc_live();
    ping_many(&p, COUNT);
    peer_text(&p, "seen");
    WITHIN(ws_counted(&client->received) == 1, 10);
    CHECK(ws_alloc_live() <= before + 2);
    CHECK(read_pongs(&p, COUNT) < 20);
    ws_client_unref(client);
    peer_close(&p);
    (void)wire_close(&w);
}

/* ---- rules */

static const struct {
    const char *what;
    uint8_t bytes[40];
    size_t size;
    uint16_t code;
} breaches[] = {
    {"not masked", {0x81, 0x01, 'a'}, 3, 1002},
    {"a reserved bit", {0xC1, 0x80, 0, 0, 0, 0}, 6, 1002},
    {"a reserved opcode", {0x83, 0x80, 0, 0, 0, 0}, 6, 1002},
    {"a reserved control opcode", {0x8B, 0x80, 0, 0, 0, 0}, 6, 1002},
    {"a long ping", {0x89, 0xFE, 0, 126, 0, 0, 0, 0}, 8, 1002},
    {"a fragmented ping", {0x09, 0x80, 0, 0, 0, 0}, 6, 1002},
    {"a top bit in the length", {0x82, 0xFF, 0x80}, 10, 1002},
    {"a continuation of nothing", {0x80, 0x80, 0, 0, 0, 0}, 6, 1002},
    {"a start in a message",
     {0x01, 0x80, 0, 0, 0, 0, 0x81, 0x80, 0, 0, 0, 0},
     12,
     1002},
    {"bad text", {0x81, 0x81, 0, 0, 0, 0, 0xFF}, 7, 1007},
    {"text cut in a character", {0x81, 0x81, 0, 0, 0, 0, 0xC3}, 7, 1007},
    {"bad text at once, its end to come",
     {0x01, 0x8A, 0, 0, 0, 0, 0xFF},
     7,
     1007},
    {"too big", {0x82, 0xFF, 0, 0, 0, 0, 0, 0x20, 0, 1}, 10, 1009},
    {"far too big", {0x82, 0xFF, 0x7F, 0xFF}, 10, 1009},
    {"a Close of one byte", {0x88, 0x81, 0, 0, 0, 0, 3}, 7, 1002},
    {"a Close with 1005", {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xED}, 8, 1002},
    {"a Close with 1006", {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xEE}, 8, 1002},
    {"a Close with 1015", {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xF7}, 8, 1002},
    {"a Close with 999", {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE7}, 8, 1002},
    {"a Close with 2000", {0x88, 0x82, 0, 0, 0, 0, 0x07, 0xD0}, 8, 1002},
    {"a Close with a bad reason",
     {0x88, 0x83, 0, 0, 0, 0, 0x03, 0xE8, 0xFF},
     9,
     1007},
};

/* A Close with the code, then the FIN, without waiting for an answer. */
static void
each_breach_is_answered_by_its_code_and_the_end(void)
{
    wire w = open_taking();
    for (size_t i = 0; i < WIRE_COUNT_OF(breaches); i++) {
        peer p = open_known(&w, "/?id=a");
        ws_client *client = wire_client(&w, "a");
        peer_send(&p, breaches[i].bytes, breaches[i].size);
        peer_frame frame = peer_read(&p);
        if (frame.first != PEER_CLOSE ||
            (frame.data[0] << 8 | frame.data[1]) != breaches[i].code) {
            fprintf(stderr, "case: %s\n", breaches[i].what);
        }
        CHECK_EQ(frame.first, PEER_CLOSE);
        CHECK_EQ(frame.data[0] << 8 | frame.data[1], breaches[i].code);
        CHECK(frame.size > 2); // and says why
        peer_expect_eof(&p);
        peer_close(&p);
        wire_expect_ended(client, breaches[i].code, false);
        wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    }
    (void)wire_close(&w);
}

/* What stands before the breach counts; what is behind it does not. */
static void
messages_before_a_breach_arrive_and_none_behind_it(void)
{
    wire w = open_taking();
    peer p = open_known(&w, "/");
    uint8_t all[64];
    size_t size = peer_make(all, PEER_TEXT, "good", 4);
    size += peer_make(all + size, 0x83, "", 0);
    size += peer_make(all + size, PEER_TEXT, "late", 4);
    peer_send(&p, all, size);
    wire_expect_message(&w, "good", 4, true);
    CHECK_EQ(peer_read(&p).first, PEER_CLOSE);
    peer_expect_eof(&p);
    peer_text(&p, "later");
    peer_close(&p);
    wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    CHECK_EQ(WIRE_COUNTED(&w, received), 1);
    (void)wire_close(&w);
}

static void
at_a_breach_what_is_queued_is_lost_and_counted(void)
{
    static char big[1 << 20];
    wire w = wire_open_default();
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    }
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    peer_send(&p, "\x83\x80\0\0\0\0", 6);
    WITHIN(ws_client_get_state(client) == WS_CLIENT_CLOSING, 10);

    peer_frame frame = peer_read(&p); // the message on the wire is finished
    CHECK_EQ(frame.size, sizeof big);
    CHECK_EQ(peer_read(&p).first, PEER_CLOSE);
    peer_expect_eof(&p);
    peer_close(&p);
    wire_expect_ended(client, 1002, false);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.written, 1);
    CHECK_EQ(stats.counts.lost, 9);
}

/* Our Close is out and unanswered: at a breach there is nothing to wait for.
 */
static void
a_breach_behind_our_close_ends_at_once(void)
{
    wire w = wire_open_default();
    peer p = peer_open(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    CHECK_EQ(ws_hub_close_client(client, 4000, wire_text("bye")), WS_OK);
    peer_expect_close(&p, 4000, "bye");
    peer_send(&p, "\x83\x80\0\0\0\0", 6);
    peer_expect_eof(&p);
    peer_close(&p);
    wire_expect_ended(client, 4000, false);
    (void)wire_close(&w);
}

static void
too_big_is_refused_before_memory_is_spent(void)
{
    static char piece[65536];
    wire_setup setup = with_events();
    setup.config.max_message_size = 100 * 1000;
    wire w = wire_open(&setup);
    peer p = open_known(&w, "/");
    peer_frame_out(&p, PEER_BINARY, piece, 65536);
    wire_expect_message(&w, piece, 65536, false);
    peer_frame_out(&p, WS_OPCODE_BINARY, piece, 65536);
    // The next frame's header alone is too much.
    peer_send(&p, "\x80\xFE\x90\x00", 4);
    peer_frame frame = peer_read(&p);
    CHECK_EQ(frame.data[0] << 8 | frame.data[1], 1009);
    peer_expect_eof(&p);
    peer_close(&p);
    (void)wire_close(&w);
}

/* ---- no room */

/* Sends messages until TCP takes no more for a while; how many bytes. */
static size_t
flood(const peer *p, const void *frame, size_t size)
{
    size_t sent = 0;
    struct pollfd one = {.fd = p->fd, .events = POLLOUT};
    while (poll(&one, 1, 150) == 1 && sent < (64u << 20)) {
        ssize_t some = peer_try_send(p, (const uint8_t *)frame + sent % size,
                                     size - sent % size);
        CHECK(some >= 0);
        sent += (size_t)some;
    }
    return sent;
}

static wire
open_narrow(uint32_t messages, size_t bytes)
{
    wire_setup setup = with_events();
    setup.limits.inbound.max_messages = messages;
    setup.limits.inbound.max_bytes = bytes;
    return wire_open(&setup);
}

static void
without_a_drainer_tcp_pushes_back_and_memory_is_bounded(void)
{
    uint8_t frame[PEER_HEADER_MAX + 1000];
    char text[1000];
    memset(text, 'x', sizeof text);
    size_t size = peer_make(frame, PEER_TEXT, text, sizeof text);
    wire w = open_narrow(100, 1 << 20);
    peer p = open_known(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    size_t sent = flood(&p, frame, size);
    ws_hub_stats stats = ws_hub_get_stats(w.hub);
    CHECK(stats.events.messages <= 100);
    CHECK(ws_alloc_live() < 300);
    CHECK(sent < (32u << 20));

    // The pump sleeps meanwhile.
    uint64_t turns = WIRE_COUNTED(&w, turns);
    (void)usleep(100 * 1000);
    CHECK(WIRE_COUNTED(&w, turns) - turns < 5);

    // All that was sent arrives once there is room again, in order.
    if (sent % size > 0) {
        peer_send(&p, frame + sent % size, size - sent % size);
    }
    for (size_t i = 0; i < (sent + size - 1) / size; i++) {
        wire_expect_message(&w, text, sizeof text, true);
    }
    CHECK_EQ(ws_counted(&client->received_dropped), 0);
    ws_client_unref(client);
    peer_leave(&p);
    (void)wire_close(&w);
}

static void
a_flooding_client_does_not_starve_the_others(void)
{
    uint8_t frame[64];
    size_t size = peer_make(frame, PEER_TEXT, "flood", 5);
    wire w = open_narrow(64, 1 << 20);
    peer loud = open_known(&w, "/?id=loud");
    peer quiet = open_known(&w, "/?id=quiet");
    (void)flood(&loud, frame, size);
    peer_text(&quiet, "me too");
    peer_frame_out(&quiet, PEER_PING, "p", 1);
    peer_expect(&quiet, PEER_PONG, "p", 1); // it is still being read
    ws_event event;
    do {
        event = wire_event(&w, WS_EVENT_MESSAGE);
        ws_event_release(&event);
    } while (event.size != 6);
    peer_close(&loud);
    peer_leave(&quiet);
    (void)wire_close(&w);
}

/* One read brings many messages for which there is room one by one. */
static void
what_was_read_and_has_no_room_yet_is_kept_in_order(void)
{
    enum { COUNT = 500 };
    wire w = open_narrow(1, 1 << 20);
    peer p = open_known(&w, "/");
    uint8_t all[COUNT * 10];
    char text[8];
    size_t size = 0;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof text, "%04d", i);
        size += peer_make(all + size, PEER_TEXT, text, 4);
    }
    peer_send(&p, all, size);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof text, "%04d", i);
        wire_expect_message(&w, text, 4, true);
    }
    peer_leave(&p);
    (void)wire_close(&w);
}

/* Pings and a Close behind messages without room come up in their turn. */
static void
control_frames_behind_a_pause_keep_their_place(void)
{
    wire w = open_narrow(1, 1 << 20);
    peer p = open_known(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    uint8_t all[128];
    size_t size = peer_make(all, PEER_TEXT, "1", 1);
    size += peer_make(all + size, PEER_TEXT, "2", 1);
    size += peer_make(all + size, PEER_PING, "ping", 4);
    size += peer_make(all + size, PEER_TEXT, "3", 1);
    size += peer_make(all + size, PEER_CLOSE, "\x0f\xa1why", 5);
    peer_send(&p, all, size);
    CHECK(!peer_hears(&p, 50));
    wire_expect_message(&w, "1", 1, true);
    wire_expect_message(&w, "2", 1, true);
    wire_expect_message(&w, "3", 1, true);
    peer_expect(&p, PEER_PONG, "ping", 4);
    peer_expect_close(&p, 4001, ""); // the code, once; the reason is its own
    peer_expect_eof(&p);
    peer_close(&p);
    WITHIN(wire_is_closed(client), 10);
    CHECK_STR_EQ(client->close_reason, "why");
    wire_expect_ended(client, 4001, true);
    (void)wire_close(&w);
}

/* A client whose messages fill the queue; it is paused. */
static peer
open_paused(const wire *w, const char *target)
{
    peer p = open_known(w, target);
    peer_text(&p, "1");
    peer_text(&p, "2");
    peer_text(&p, "3");
    // What is behind a pause is not read, so there is no pong.
    peer_frame_out(&p, PEER_PING, "p", 1);
    CHECK(!peer_hears(&p, 30));
    return p;
}

static void
a_paused_client_that_resets_is_noticed(void)
{
    wire w = open_narrow(1, 1 << 20);
    peer p = open_paused(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    uint64_t turns = WIRE_COUNTED(&w, turns);
    peer_reset(&p);
    wire_expect_ended(client, 1006, false);
    CHECK(WIRE_COUNTED(&w, turns) - turns < 10);
    (void)wire_close(&w);
}

/* Its messages come first, then its end. */
static void
hear_out(bool unix_socket)
{
    wire_setup setup = with_events();
    setup.unix_socket = unix_socket;
    setup.limits.inbound.max_messages = 1;
    wire w = wire_open(&setup);
    peer p = open_paused(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    peer_close(&p);
    uint64_t turns = WIRE_COUNTED(&w, turns);
    (void)usleep(100 * 1000);
    CHECK(WIRE_COUNTED(&w, turns) - turns < 10); // no spinning at the FIN
    CHECK(!wire_is_closed(client));
    wire_expect_message(&w, "1", 1, true);
    wire_expect_message(&w, "2", 1, true);
    wire_expect_message(&w, "3", 1, true);
    wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    wire_expect_ended(client, 1006, false);
    (void)wire_close(&w);
}

static void
a_paused_client_that_leaves_is_heard_out(void)
{
    hear_out(false);
    hear_out(true);
}

static void
a_paused_client_still_gets_what_it_is_sent(void)
{
    static char big[1 << 20];
    wire w = open_narrow(1, 1 << 20);
    peer p = open_paused(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    }
    for (int i = 0; i < 5; i++) {
        peer_expect(&p, PEER_BINARY, big, sizeof big);
    }
    ws_client_unref(client);
    peer_close(&p);
    (void)wire_close(&w);
}

/* A closing client has no more to say, so it is read to its Close. */
static void
closing_a_paused_client_reads_on_and_drops(void)
{
    wire w = open_narrow(1, 1 << 20);
    peer p = open_paused(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    CHECK_EQ(ws_hub_close_client(client, 1000, wire_text("")), WS_OK);
    if (peer_need(&p, 1)[0] == PEER_PONG) { // the ping was read already
        peer_expect(&p, PEER_PONG, "p", 1);
    }
    peer_expect_close(&p, 1000, "");
    peer_close_frame(&p, 1000, "");
    peer_expect_eof(&p);
    peer_close(&p);
    WITHIN(wire_is_closed(client), 10);
    CHECK_EQ(ws_counted(&client->received), 3);
    CHECK_EQ(ws_counted(&client->received_dropped), 2);
    wire_expect_ended(client, 1000, true);
    wire_expect_message(&w, "1", 1, true);
    wire_expect_event(&w, WS_EVENT_DISCONNECTED);
    (void)wire_close(&w);
}

/* It waits for what was taken to be given back; the others do not. */
static void
a_client_that_has_used_up_its_share_waits_alone(void)
{
    wire w = open_narrow(1000, 1 << 20);
    peer loud = open_known(&w, "/?id=loud");
    peer quiet = open_known(&w, "/?id=quiet");
    ws_client *client = wire_client(&w, "loud");
    ws_hub_share_events(w.hub, (ws_evq_limits){2, 1000});
    for (int i = 0; i < 5; i++) {
        peer_text(&loud, (char[]){(char)('1' + i), '\0'});
    }
    wire_expect_message(&w, "1", 1, true);
    wire_expect_message(&w, "2", 1, true);
    WITHIN(ws_counted(&client->received) == 3, 10); // and one is kept
    peer_text(&quiet, "q");
    wire_expect_message(&w, "q", 1, true);
    ws_hub_give_back(client);
    wire_expect_message(&w, "3", 1, true);
    wire_expect_message(&w, "4", 1, true);
    ws_hub_share_events(w.hub, (ws_evq_limits){0, 0}); // it is asked again
    wire_expect_message(&w, "5", 1, true);
    ws_client_unref(client);
    peer_close(&loud);
    peer_leave(&quiet);
    (void)wire_close(&w);
}

/* A whole message that waits for room is lost with its client, and counted. */
static void
a_message_without_room_is_counted_when_its_client_goes(void)
{
    wire w = open_narrow(1, 1 << 20);
    peer p = open_paused(&w, "/?id=a");
    ws_client *client = wire_client(&w, "a");
    peer_reset(&p);
    WITHIN(wire_is_closed(client), 10);
    CHECK_EQ(ws_counted(&client->received), 2);
    CHECK_EQ(ws_counted(&client->received_dropped), 1);
    ws_client_unref(client);
    (void)wire_close(&w);
}

/* Many pause and resume at once; each message arrives once, in order. */
static void
many_clients_share_little_room(void)
{
    enum { PEERS = 20, EACH = 40 };
    wire w = open_narrow(8, 1 << 20);
    peer peers[PEERS];
    int next[PEERS] = {0};
    for (int i = 0; i < PEERS; i++) {
        char target[32];
        (void)snprintf(target, sizeof target, "/?id=%d", i);
        peers[i] = open_known(&w, target);
    }
    for (int i = 0; i < PEERS; i++) {
        for (unsigned k = 0; k < EACH; k++) {
            peer_frame_out(&peers[i], PEER_BINARY, &(uint8_t){(uint8_t)k}, 1);
        }
    }
    for (int i = 0; i < PEERS * EACH; i++) {
        ws_event event = wire_event(&w, WS_EVENT_MESSAGE);
        long id = strtol(event.client->info.id.data, NULL, 10);
        CHECK_EQ(ws_inbound_data(event.message)[0], next[id]++);
        ws_event_release(&event);
    }
    for (int i = 0; i < PEERS; i++) {
        CHECK_EQ(next[i], EACH);
        peer_leave(&peers[i]);
    }
    (void)wire_close(&w);
}

/* ---- the client's Close */

static void
the_clients_close_is_echoed_once_and_then_there_is_silence(void)
{
    static const struct {
        const char *body;
        size_t size;
        uint16_t code;
        const char *reason;
    } cases[] = {
        {"\x03\xe8", 2, 1000, NULL},
        {"\x03\xe9going", 7, 1001, "going"},
        {"\x0f\xa0", 2, 4000, NULL},
        {"", 0, 1005, NULL},
    };
    wire w = wire_open_default();
    for (size_t i = 0; i < WIRE_COUNT_OF(cases); i++) {
        peer p = peer_open(&w, "/?id=a");
        ws_client *client = wire_client(&w, "a");
        peer_frame_out(&p, PEER_CLOSE, cases[i].body, cases[i].size);
        peer_expect(&p, PEER_CLOSE, cases[i].body,
                    cases[i].size < 2 ? cases[i].size : 2);
        peer_frame_out(&p, PEER_PING, "late", 4);
        peer_expect_eof(&p);
        CHECK_EQ(wire_send_text(client, "late"), WS_ERR_CLOSED);
        peer_close(&p);
        WITHIN(wire_is_closed(client), 10);
        CHECK_STR_EQ(client->close_reason, cases[i].reason);
        wire_expect_ended(client, cases[i].code, true);
    }
    (void)wire_close(&w);
}

static void
the_message_on_the_wire_is_finished_before_the_echo(void)
{
    static char big[1 << 20];
    wire w = wire_open_default();
    peer p = peer_open_small(&w, "/?id=a", 4096);
    ws_client *client = wire_client(&w, "a");
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    }
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    peer_frame_out(&p, PEER_PING, "p", 1);
    peer_close_frame(&p, 1001, "");
    peer_expect(&p, PEER_BINARY, big, sizeof big);
    peer_expect(&p, PEER_PONG, "p", 1);
    peer_expect_close(&p, 1001, "");
    peer_expect_eof(&p);
    peer_close(&p);
    wire_expect_ended(client, 1001, true);
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.written, 1);
    CHECK_EQ(stats.counts.lost, 4);
}

static void
an_end_without_a_close_is_1006(void)
{
    wire w = wire_open_default();
    for (int how = 0; how < 3; how++) {
        peer p = peer_open(&w, "/?id=a");
        ws_client *client = wire_client(&w, "a");
        peer_send(&p, "\x81\x85", 2); // in the middle of a frame
        if (how == 0) {
            peer_shut(&p);
            peer_expect_eof(&p);
            peer_close(&p);
        } else if (how == 1) {
            peer_close(&p);
        } else {
            peer_reset(&p);
        }
        wire_expect_ended(client, 1006, false);
    }
    (void)wire_close(&w);
}

static const ws_test tests[] = {
    TEST(messages_of_all_sizes_arrive),
    TEST(fragments_and_control_frames_between_them_survive_every_split),
    TEST(a_message_of_many_fragments_takes_memory_for_its_bytes_only),
    TEST(without_a_taker_messages_are_dropped_and_counted),
    TEST(each_ping_of_a_small_burst_is_answered),
    TEST(of_a_big_burst_at_least_the_last_ping_is_answered),
    TEST(pings_while_output_is_blocked_cost_little_and_are_answered_later),
    TEST(each_breach_is_answered_by_its_code_and_the_end),
    TEST(messages_before_a_breach_arrive_and_none_behind_it),
    TEST(at_a_breach_what_is_queued_is_lost_and_counted),
    TEST(a_breach_behind_our_close_ends_at_once),
    TEST(too_big_is_refused_before_memory_is_spent),
    TEST(without_a_drainer_tcp_pushes_back_and_memory_is_bounded),
    TEST(a_flooding_client_does_not_starve_the_others),
    TEST(what_was_read_and_has_no_room_yet_is_kept_in_order),
    TEST(control_frames_behind_a_pause_keep_their_place),
    TEST(a_paused_client_that_resets_is_noticed),
    TEST(a_paused_client_that_leaves_is_heard_out),
    TEST(a_paused_client_still_gets_what_it_is_sent),
    TEST(closing_a_paused_client_reads_on_and_drops),
    TEST(a_client_that_has_used_up_its_share_waits_alone),
    TEST(a_message_without_room_is_counted_when_its_client_goes),
    TEST(many_clients_share_little_room),
    TEST(the_clients_close_is_echoed_once_and_then_there_is_silence),
    TEST(the_message_on_the_wire_is_finished_before_the_echo),
    TEST(an_end_without_a_close_is_1006),
};

TEST_MAIN(tests)

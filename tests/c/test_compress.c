#include "net/compress.h"

#include "deflate_kit.h"
#include "proto/deflate.h"
#include "wire.h"

static ws_msg *
make(ws_message_kind kind, const void *data, size_t size)
{
    ws_msg *msg = ws_message_new(kind, data, size, NULL);
    CHECK(msg != NULL);
    return msg;
}

static ws_compress *
make_compress(void)
{
    ws_compress *compress = ws_compress_new();
    CHECK(compress != NULL);
    return compress;
}

static void
small_messages_have_no_form_and_others_one_for_each_window_they_exceed(void)
{
    static const struct {
        size_t size;
        int bits;
        unsigned key;
    } cases[] = {
        {0, 15, 0},
        {WS_COMPRESS_MIN - 1, 9, 0},
        {WS_COMPRESS_MIN, 9, 15},
        {WS_COMPRESS_MIN, 15, 15},
        {512, 9, 15},
        {513, 9, 9},
        {513, 10, 15},
        {1025, 10, 10},
        {32768, 15, 15},
        {32769, 15, 15},
        {32769, 14, 14},
        {SIZE_MAX, 11, 11},
    };
    ws_compress *compress = make_compress();
    for (size_t i = 0; i < WIRE_COUNT_OF(cases); i++) {
        ws_encoder *encoder = ws_compress_encoder(compress, cases[i].bits);
        CHECK_EQ(encoder->key(encoder, cases[i].size), cases[i].key);
        encoder->unref(encoder);
    }
    ws_compress_unref(compress);
    ws_compress_unref(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
each_form_is_a_frame_that_its_client_can_read(void)
{
    static const size_t sizes[] = {WS_COMPRESS_MIN, 512,    513, 5000,
                                   70000,           1 << 20};
    uint8_t *text = deflate_kit_text(1 << 20);
    ws_compress *compress = make_compress();
    for (int bits = WS_DEFLATE_BITS_MIN; bits <= WS_DEFLATE_BITS_MAX; bits++) {
        ws_encoder *encoder = ws_compress_encoder(compress, bits);
        for (size_t i = 0; i < WIRE_COUNT_OF(sizes); i++) {
            bool binary = i % 2 == 0;
            ws_msg *msg = make(binary ? WS_MESSAGE_BINARY : WS_MESSAGE_TEXT,
                               text, sizes[i]);
            ws_msg *form =
                encoder->encode(encoder, msg, encoder->key(encoder, sizes[i]));
            CHECK(form != NULL && form != msg);
            CHECK_EQ(ws_msg_frame(form)[0],
                     WS_FRAME_RSV1 | (binary ? PEER_BINARY : PEER_TEXT));
            CHECK_EQ(ws_msg_size(form), sizes[i]);
            CHECK(ws_msg_frame_size(form) < ws_msg_frame_size(msg));
            size_t header =
                (size_t)(ws_msg_payload(form) - ws_msg_frame(form));
            deflate_kit_expect(ws_msg_payload(form),
                               ws_msg_frame_size(form) - header, bits, text,
                               sizes[i]);
            ws_msg_unref(form);
            ws_msg_unref(msg);
        }
        encoder->unref(encoder);
    }
    ws_compress_unref(compress);
    free(text);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
what_does_not_compress_is_its_own_form(void)
{
    uint8_t *noise = deflate_kit_noise(5000);
    ws_compress *compress = make_compress();
    ws_encoder *encoder = ws_compress_encoder(compress, 15);
    ws_msg *msg = make(WS_MESSAGE_BINARY, noise, 5000);
    CHECK(encoder->encode(encoder, msg, 15) == msg);
    ws_msg_unref(msg);
    ws_msg_unref(msg);
    encoder->unref(encoder);
    ws_compress_unref(compress);
    free(noise);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
idle_states_are_used_again_and_only_a_few_are_kept(void)
{
    uint8_t *text = deflate_kit_text(40000);
    ws_compress *compress = make_compress();
    ws_encoder *encoder = ws_compress_encoder(compress, 15);
    ws_msg *msg = make(WS_MESSAGE_BINARY, text, 40000);
    long bytes = 0;
    for (int i = 0; i < 10; i++) {
        ws_msg_unref(encoder->encode(encoder, msg, 15));
        CHECK_EQ(ws_compress_idle(compress), 1);
        bytes = i == 0 ? ws_alloc_bytes() : bytes;
        CHECK_EQ(ws_alloc_bytes(), bytes);
    }
    for (unsigned key = 9; key <= 15; key++) {
        ws_msg_unref(encoder->encode(encoder, msg, key));
    }
    CHECK_EQ(ws_compress_idle(compress), WS_COMPRESS_IDLE_MAX);
    CHECK(ws_alloc_bytes() < (WS_COMPRESS_IDLE_MAX + 1) * 300 * 1024);
    // The last of the others is still there.
    bytes = ws_alloc_bytes();
    ws_alloc_reset_peak();
    ws_msg_unref(encoder->encode(encoder, msg, 12));
    CHECK(ws_alloc_peak() < bytes + 100 * 1024);
    ws_compress_unref(compress);
    encoder->unref(encoder); // it was a reference
    ws_msg_unref(msg);
    free(text);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
without_memory_there_is_no_form_and_nothing_is_left(void)
{
    uint8_t *text = deflate_kit_text(5000);
    ws_msg *msg = make(WS_MESSAGE_BINARY, text, 5000);
    ws_msg *form = NULL;
    long n = 0;
    for (; form == NULL; n++) {
        ws_alloc_fail_at(n);
        ws_compress *compress = ws_compress_new();
        if (compress != NULL) {
            ws_encoder *encoder = ws_compress_encoder(compress, 15);
            form = encoder->encode(encoder, msg, 15);
            encoder->unref(encoder);
        }
        ws_alloc_fail_at(-1);
        ws_compress_unref(compress);
        CHECK_EQ(ws_alloc_live(), form == NULL ? 1 : 2);
    }
    CHECK(n > 6);
    ws_msg_unref(form);
    ws_msg_unref(msg);
    free(text);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* ---- with sockets */

#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate"

static wire
open_compressing(void)
{
    wire_setup setup = wire_defaults();
    setup.config.compression = true;
    return wire_open(&setup);
}

/* A client with a window; 0: without compression. */
static peer
open_with(const wire *w, const char *target, int bits)
{
    char headers[128] = "";
    peer p = peer_dial(w);
    if (bits > 0) {
        (void)snprintf(headers, sizeof headers,
                       DEFLATE "; server_max_window_bits=%d\r\n", bits);
    }
    peer_say(&p, peer_request(target, headers));
    (void)peer_expect_switch(&p);
    return p;
}

/* A message that is, or is not, compressed. Returns its size on the wire. */
static size_t
expect_message(peer *p, int bits, unsigned opcode, const void *want,
               size_t size)
{
    peer_frame frame = peer_read(p);
    CHECK_EQ(frame.first,
             WS_FRAME_FIN | opcode | (bits > 0 ? WS_FRAME_RSV1 : 0));
    if (bits == 0) {
        CHECK_EQ(frame.size, size);
        CHECK_MEM_EQ(frame.data, want, size);
    } else {
        deflate_kit_expect(frame.data, frame.size, bits, want, size);
    }
    return frame.size;
}

static void
broadcast(const wire *w, const void *data, size_t size, size_t count)
{
    ws_msg *msg = make(WS_MESSAGE_TEXT, data, size);
    ws_report report = {0};
    ws_fan_out(w->hub, (ws_target){.kind = WS_TO_ALL}, msg,
               &(ws_exclude){NULL, 0}, &report);
    CHECK_EQ(report.queued, count);
    ws_report_release(&report);
    ws_msg_unref(msg);
}

static void
a_broadcast_is_compressed_once_for_each_window_it_exceeds(void)
{
    enum { CLIENTS = 100 };
    static const int windows[] = {0, 15, 9, 15, 12};
    static const struct {
        size_t size;
        unsigned compressions;
    } cases[] = {
        {WS_COMPRESS_MIN - 1, 0},
        {400, 1},
        {3000, 2},
        {20000, 3},
    };
    uint8_t *text = deflate_kit_text(20000);
    wire w = open_compressing();
    peer peers[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        char target[32];
        (void)snprintf(target, sizeof target, "/?id=%zu", i);
        peers[i] = open_with(&w, target, windows[i % 5]);
    }
    WITHIN(ws_hub_size(w.hub) == CLIENTS, 10);
    uint64_t compressed = 0;
    uint64_t payload = 0;
    for (size_t c = 0; c < WIRE_COUNT_OF(cases); c++) {
        broadcast(&w, text, cases[c].size, CLIENTS);
        compressed += cases[c].compressions;
        payload += cases[c].size * CLIENTS;
        CHECK_EQ(WIRE_COUNTED(&w, compressed), compressed);
        for (size_t i = 0; i < CLIENTS; i++) {
            int bits = cases[c].size < WS_COMPRESS_MIN ? 0 : windows[i % 5];
            (void)expect_message(&peers[i], bits, WS_OPCODE_TEXT, text,
                                 cases[c].size);
        }
    }
    CHECK(WIRE_COUNTED(&w, wire_bytes) < payload / 2);
    for (size_t i = 0; i < CLIENTS; i++) {
        peer_leave(&peers[i]);
    }
    ws_hub_stats stats = wire_close(&w);
    CHECK_EQ(stats.counts.written, CLIENTS * WIRE_COUNT_OF(cases));
    CHECK_EQ(stats.counts.written_bytes, payload);
    CHECK_EQ(stats.counts.lost, 0);
    free(text);
}

static void
what_is_sent_arrives_in_order_compressed_or_not(void)
{
    static const size_t sizes[] = {1, 5000, 0, 300, 150, 100000, 199, 200};
    uint8_t *text = deflate_kit_text(100000);
    uint8_t *noise = deflate_kit_noise(100000);
    wire w = open_compressing();
    peer p = open_with(&w, "/?id=a", 11);
    ws_client *client = wire_client(&w, "a");
    for (size_t i = 0; i < WIRE_COUNT_OF(sizes); i++) {
        CHECK_EQ(wire_send(client, WS_MESSAGE_TEXT, text, sizes[i]), WS_OK);
        CHECK_EQ(wire_send(client, WS_MESSAGE_BINARY, noise, sizes[i]), WS_OK);
    }
    for (size_t i = 0; i < WIRE_COUNT_OF(sizes); i++) {
        int bits = sizes[i] < WS_COMPRESS_MIN ? 0 : 11;
        (void)expect_message(&p, bits, WS_OPCODE_TEXT, text, sizes[i]);
        (void)expect_message(&p, 0, WS_OPCODE_BINARY, noise, sizes[i]);
    }
    peer_leave(&p);
    ws_client_unref(client);
    (void)wire_close(&w);
    free(text);
    free(noise);
}

/* Compressed it is a tenth; queued it counts whole, also while a part of it is
   with the kernel. */
static void
a_channel_is_charged_what_the_application_has_sent(void)
{
    enum { SIZE = 1 << 20 };
    uint8_t *text = deflate_kit_text(SIZE);
    wire_setup setup = wire_defaults();
    setup.config.compression = true;
    setup.config.send_buffer = 4096;
    setup.limits.send =
        (ws_chan_limits){.max_msgs = 50, .max_bytes = 10 * SIZE};
    wire w = wire_open(&setup);
    peer p = peer_dial_port(w.port, 4096);
    peer_say(&p, peer_request("/?id=a", DEFLATE "\r\n"));
    (void)peer_expect_switch(&p);
    ws_client *client = wire_client(&w, "a");
    ws_msg *msg = make(WS_MESSAGE_TEXT, text, SIZE);
    size_t sent = 0;
    ws_err err = WS_OK;
    while (err == WS_OK && sent < 200) {
        err = ws_client_send(client, msg);
        sent += err == WS_OK;
    }
    CHECK_EQ(err, WS_ERR_FULL);
    CHECK(sent >= 10);
    WITHIN(WIRE_COUNTED(&w, short_writes) > 0, 10);
    ws_chan_stats stats = ws_chan_get_stats(&client->chan);
    CHECK_EQ(stats.queued_bytes, stats.queued * (size_t)SIZE);
    CHECK_EQ(stats.counts.written_bytes, stats.counts.written * SIZE);
    CHECK_EQ(stats.counts.accepted, sent);
    CHECK_EQ(WIRE_COUNTED(&w, compressed), 1);
    (void)wire_check_law(&w);
    for (size_t i = 0; i < sent; i++) {
        CHECK(expect_message(&p, 15, WS_OPCODE_TEXT, text, SIZE) < SIZE / 3);
    }
    peer_leave(&p);
    ws_client_unref(client);
    ws_msg_unref(msg);
    (void)wire_close(&w);
    free(text);
}

enum { SENDERS = 4, SHARED = 50 };

typedef struct {
    ws_client *client;
    ws_msg *msgs[SHARED];
} share;

static void *
send_all(void *arg)
{
    share *s = arg;
    for (size_t i = 0; i < SHARED; i++) {
        CHECK_EQ(ws_client_send(s->client, s->msgs[i]), WS_OK);
    }
    return NULL;
}

static void
many_threads_may_send_the_same_messages_at_the_same_time(void)
{
    uint8_t *text = deflate_kit_text(4000);
    wire w = open_compressing();
    peer p = open_with(&w, "/?id=a", 15);
    share s = {.client = wire_client(&w, "a")};
    pthread_t threads[SENDERS];
    for (size_t i = 0; i < SHARED; i++) {
        s.msgs[i] = make(WS_MESSAGE_TEXT, text, 2000 + 40 * i);
    }
    for (int i = 0; i < SENDERS; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, send_all, &s), 0);
    }
    for (int i = 0; i < SENDERS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    size_t got[SHARED] = {0};
    for (size_t i = 0; i < (size_t)SENDERS * SHARED; i++) {
        static uint8_t out[5000];
        peer_frame frame = peer_read(&p);
        z_stream z = {.next_in = (Bytef *)(uintptr_t)frame.data,
                      .avail_in = (uInt)frame.size,
                      .next_out = out,
                      .avail_out = sizeof out};
        CHECK_EQ(frame.first, PEER_TEXT | WS_FRAME_RSV1);
        CHECK_EQ(inflateInit2(&z, -15), Z_OK);
        CHECK_EQ(inflate(&z, Z_SYNC_FLUSH), Z_OK);
        CHECK_MEM_EQ(out, text, z.total_out);
        CHECK(z.total_out >= 2000 && (z.total_out - 2000) % 40 == 0);
        got[(z.total_out - 2000) / 40]++;
        (void)inflateEnd(&z);
    }
    uint64_t compressed = WIRE_COUNTED(&w, compressed);
    CHECK(compressed >= SHARED && compressed <= (uint64_t)SENDERS * SHARED);
    for (size_t i = 0; i < SHARED; i++) {
        CHECK_EQ(got[i], SENDERS);
        ws_msg_unref(s.msgs[i]);
    }
    peer_leave(&p);
    ws_client_unref(s.client);
    (void)wire_close(&w);
    free(text);
}

/* Every allocation of the sender's may fail: the message goes as it is, or is
   refused and counted, and the next is compressed again. */
static void
without_memory_a_message_goes_as_it_is(void)
{
    uint8_t *text = deflate_kit_text(3000);
    wire w = open_compressing();
    peer p = open_with(&w, "/?id=a", 15);
    ws_client *client = wire_client(&w, "a");
    bool compressed = false;
    bool plain = false;
    for (long n = 0; !compressed; n++) {
        ws_msg *msg = make(WS_MESSAGE_TEXT, text, 3000);
        WITHIN(ws_chan_is_empty(&client->chan), 10);
        ws_alloc_fail_at(n);
        ws_err err = ws_client_send(client, msg);
        ws_alloc_fail_at(-1);
        ws_msg_unref(msg);
        CHECK(err == WS_OK || err == WS_ERR_NOMEM);
        if (err == WS_OK) {
            peer_frame frame = peer_read(&p);
            compressed = (frame.first & WS_FRAME_RSV1) != 0;
            plain = plain || !compressed;
            CHECK_EQ(frame.size < 3000, compressed);
        }
    }
    CHECK(plain);
    peer_leave(&p);
    ws_client_unref(client);
    (void)wire_close(&w);
    free(text);
}

static const ws_test tests[] = {
    TEST(
        small_messages_have_no_form_and_others_one_for_each_window_they_exceed),
    TEST(each_form_is_a_frame_that_its_client_can_read),
    TEST(what_does_not_compress_is_its_own_form),
    TEST(idle_states_are_used_again_and_only_a_few_are_kept),
    TEST(without_memory_there_is_no_form_and_nothing_is_left),
    TEST(a_broadcast_is_compressed_once_for_each_window_it_exceeds),
    TEST(what_is_sent_arrives_in_order_compressed_or_not),
    TEST(a_channel_is_charged_what_the_application_has_sent),
    TEST(many_threads_may_send_the_same_messages_at_the_same_time),
    TEST(without_memory_a_message_goes_as_it_is),
};

TEST_MAIN(tests)

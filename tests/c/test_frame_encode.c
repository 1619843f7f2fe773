#include "proto/frame_encode.h"

#include <stdbool.h>

#include "check.h"
#include "proto/close_code.h"

enum { UNTOUCHED = 0xEE };

static const uint8_t HELLO[] = "Hello";

static void
headers_are_the_shortest_there_are(void)
{
    static const struct {
        const char *what;
        ws_opcode opcode;
        unsigned flags;
        uint64_t payload_size;
        const char *header;
        size_t size;
    } cases[] = {
        {"RFC 5.7, a text of 5", WS_OPCODE_TEXT, WS_FRAME_FIN, 5, "\x81\x05",
         2},
        {"RFC 5.7, a first fragment", WS_OPCODE_TEXT, 0, 3, "\x01\x03", 2},
        {"RFC 5.7, a last fragment", WS_OPCODE_CONTINUATION, WS_FRAME_FIN, 2,
         "\x80\x02", 2},
        {"RFC 5.7, 256 bytes", WS_OPCODE_BINARY, WS_FRAME_FIN, 256,
         "\x82\x7E\x01\x00", 4},
        {"RFC 5.7, 64 KiB", WS_OPCODE_BINARY, WS_FRAME_FIN, 65536,
         "\x82\x7F\0\0\0\0\0\x01\0\0", 10},
        {"empty", WS_OPCODE_BINARY, WS_FRAME_FIN, 0, "\x82\x00", 2},
        {"the most for 7 bits", WS_OPCODE_TEXT, WS_FRAME_FIN, 125, "\x81\x7D",
         2},
        {"the least for 16 bits", WS_OPCODE_TEXT, WS_FRAME_FIN, 126,
         "\x81\x7E\x00\x7E", 4},
        {"the most for 16 bits", WS_OPCODE_TEXT, WS_FRAME_FIN, 65535,
         "\x81\x7E\xFF\xFF", 4},
        {"the most there is", WS_OPCODE_TEXT, WS_FRAME_FIN, INT64_MAX,
         "\x81\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 10},
        {"compressed", WS_OPCODE_TEXT, WS_FRAME_FIN | WS_FRAME_RSV1, 7,
         "\xC1\x07", 2},
        {"a first fragment, compressed", WS_OPCODE_BINARY, WS_FRAME_RSV1, 7,
         "\x42\x07", 2},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[WS_FRAME_HEADER_MAX];
        size_t size = ws_frame_encode_header(
            out, cases[i].opcode, cases[i].flags, cases[i].payload_size);
        if (size != cases[i].size || memcmp(out, cases[i].header, size) != 0) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(size, cases[i].size);
        CHECK(memcmp(out, cases[i].header, size) == 0);
    }
}

static void
pings_and_pongs_are_written_whole(void)
{
    uint8_t out[WS_FRAME_CONTROL_MAX];
    uint8_t payload[WS_FRAME_CONTROL_PAYLOAD_MAX];

    CHECK_EQ(ws_frame_encode_control(out, WS_OPCODE_PING, HELLO, 5), 7);
    CHECK(memcmp(out, "\x89\x05Hello", 7) == 0);
    CHECK_EQ(ws_frame_encode_control(out, WS_OPCODE_PING, HELLO, 1), 3);
    CHECK(memcmp(out, "\x89\x01H", 3) == 0);
    CHECK_EQ(ws_frame_encode_control(out, WS_OPCODE_PONG, NULL, 0), 2);
    CHECK(memcmp(out, "\x8A\x00", 2) == 0);

    memset(payload, 'p', sizeof payload);
    CHECK_EQ(ws_frame_encode_control(out, WS_OPCODE_PONG, payload, 125), 127);
    CHECK(memcmp(out, "\x8A\x7D", 2) == 0);
    CHECK(memcmp(out + 2, payload, 125) == 0);
}

static void
a_pong_can_be_made_around_a_payload_in_place(void)
{
    uint8_t out[WS_FRAME_CONTROL_MAX];

    memcpy(out + 2, HELLO, 5);
    CHECK_EQ(ws_frame_encode_control(out, WS_OPCODE_PONG, out + 2, 5), 7);
    CHECK(memcmp(out, "\x8A\x05Hello", 7) == 0);
}

static bool
is_untouched(const uint8_t *out)
{
    for (size_t i = 0; i < WS_FRAME_CONTROL_MAX; i++) {
        if (out[i] != UNTOUCHED) {
            return false;
        }
    }
    return true;
}

static void
a_payload_of_126_bytes_is_refused(void)
{
    static const uint8_t payload[126];
    uint8_t out[WS_FRAME_CONTROL_MAX];

    memset(out, UNTOUCHED, sizeof out);
    CHECK_EQ(ws_frame_encode_control(out, WS_OPCODE_PING, payload, 126), 0);
    CHECK(is_untouched(out));
}

static void
a_close_is_written_whole_or_not_at_all(void)
{
    static const char letters[WS_CLOSE_REASON_MAX + 1] = "rrr";
    static const struct {
        const char *what;
        uint16_t code;
        const char *reason;
        size_t reason_size;
        size_t size; // 0: refused
    } cases[] = {
        {"no status", WS_CLOSE_NO_STATUS, "", 0, 2},
        {"no status with a reason", WS_CLOSE_NO_STATUS, "r", 1, 0},
        {"a code", WS_CLOSE_NORMAL, "", 0, 4},
        {"a code and a letter", 1000, "b", 1, 5},
        {"a code and a reason", 4000, "bye", 3, 7},
        {"the longest reason", 1000, letters, WS_CLOSE_REASON_MAX, 127},
        {"a byte more", 1000, letters, WS_CLOSE_REASON_MAX + 1, 0},
        {"code 1004", 1004, "", 0, 0},
        {"code 1006", WS_CLOSE_ABNORMAL, "", 0, 0},
        {"code 1015", WS_CLOSE_TLS_HANDSHAKE, "", 0, 0},
        {"code 2999", 2999, "", 0, 0},
        {"code 5000", 5000, "", 0, 0},
        {"a reason that is not UTF-8", 1000, "\xC3", 1, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t *reason = (const uint8_t *)cases[i].reason;
        uint8_t out[WS_FRAME_CONTROL_MAX];
        memset(out, UNTOUCHED, sizeof out);
        size_t size = ws_frame_encode_close(out, cases[i].code, reason,
                                            cases[i].reason_size);
        if (size != cases[i].size) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(size, cases[i].size);
        CHECK(size > 0 || is_untouched(out));
        CHECK(size == 0 || (out[0] == 0x88 && out[1] == size - 2));
        CHECK(size <= 2 || (out[2] << 8 | out[3]) == cases[i].code);
        CHECK(size <= 4 || memcmp(out + 4, reason, size - 4) == 0);
    }
}

static const ws_test TESTS[] = {
    TEST(headers_are_the_shortest_there_are),
    TEST(pings_and_pongs_are_written_whole),
    TEST(a_pong_can_be_made_around_a_payload_in_place),
    TEST(a_payload_of_126_bytes_is_refused),
    TEST(a_close_is_written_whole_or_not_at_all),
};

TEST_MAIN(TESTS)

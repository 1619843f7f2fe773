#include "proto/close_code.h"

#include "check.h"

/* RFC 6455 7.4 and the IANA registry, range by range. */
static void
the_wire_takes_the_registered_and_the_free_codes(void)
{
    static const struct {
        const char *what;
        uint32_t first, last;
        bool valid;
    } ranges[] = {
        {"below all codes", 0, 999, false},
        {"normal, going away, protocol, unsupported", 1000, 1003, true},
        {"reserved, no status, abnormal", 1004, 1006, false},
        {"data, policy, size, extension, internal, 1012 to 1014", 1007, 1014,
         true},
        {"TLS, and unassigned", 1015, 2999, false},
        {"of libraries and applications", 3000, 4999, true},
        {"above all codes", 5000, 70000, false},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        for (uint32_t c = ranges[i].first; c <= ranges[i].last; c++) {
            if (ws_close_code_valid(c) != ranges[i].valid) {
                fprintf(stderr, "case: %s, %u\n", ranges[i].what, c);
            }
            CHECK_EQ(ws_close_code_valid(c), ranges[i].valid);
        }
    }
    CHECK(!ws_close_code_valid(UINT32_MAX));
}

static void
a_close_body_is_parsed_or_says_what_is_wrong(void)
{
    static const struct {
        const char *what;
        const char *payload;
        size_t size;
        bool good;
        uint16_t code;
        size_t reason_size;
    } cases[] = {
        {"empty", "", 0, true, WS_CLOSE_NO_STATUS, 0},
        {"one byte", "\x03", 1, false, WS_CLOSE_PROTOCOL_ERROR, 0},
        {"a code alone", "\x03\xE8", 2, true, WS_CLOSE_NORMAL, 0},
        {"a code and a reason",
         "\x0F\xA0"
         "bye",
         5, true, 4000, 3},
        {"a reason with a NUL",
         "\x03\xE9"
         "a\0b",
         5, true, 1001, 3},
        {"a reason with an umlaut", "\x03\xE8\xC3\xA4", 4, true, 1000, 2},
        {"code 0", "\0\0", 2, false, WS_CLOSE_PROTOCOL_ERROR, 0},
        {"code 999", "\x03\xE7", 2, false, WS_CLOSE_PROTOCOL_ERROR, 0},
        {"code 1004", "\x03\xEC", 2, false, WS_CLOSE_PROTOCOL_ERROR, 0},
        {"code 1005", "\x03\xED", 2, false, WS_CLOSE_PROTOCOL_ERROR, 0},
        {"code 1006", "\x03\xEE", 2, false, WS_CLOSE_PROTOCOL_ERROR, 0},
        {"code 1015", "\x03\xF7", 2, false, WS_CLOSE_PROTOCOL_ERROR, 0},
        {"code 65535", "\xFF\xFF", 2, false, WS_CLOSE_PROTOCOL_ERROR, 0},
        {"a bad reason", "\x03\xE8\xFF", 3, false, WS_CLOSE_INVALID_DATA, 0},
        {"a reason cut short", "\x03\xE8\xC3", 3, false, WS_CLOSE_INVALID_DATA,
         0},
        {"a bad code beats a bad reason", "\x03\xE7\xFF", 3, false,
         WS_CLOSE_PROTOCOL_ERROR, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t *payload = (const uint8_t *)cases[i].payload;
        ws_close_body body;
        const char *broken =
            ws_close_code_parse(payload, cases[i].size, &body);
        if ((broken == NULL) != cases[i].good || body.code != cases[i].code) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(broken == NULL, cases[i].good);
        CHECK_EQ(body.code, cases[i].code);
        CHECK_EQ(body.reason_size, cases[i].reason_size);
        CHECK(body.reason_size == 0 || body.reason == payload + 2);
    }
}

/* Every code a peer can write is either its own or a protocol error. */
static void
every_code_parses_as_the_rule_says(void)
{
    for (uint32_t code = 0; code <= UINT16_MAX; code++) {
        uint8_t payload[] = {(uint8_t)(code >> 8), (uint8_t)code};
        ws_close_body body;
        const char *broken = ws_close_code_parse(payload, 2, &body);
        CHECK_EQ(broken == NULL, ws_close_code_valid(code));
        CHECK_EQ(body.code,
                 broken == NULL ? code : (uint32_t)WS_CLOSE_PROTOCOL_ERROR);
    }
}

static void
the_longest_reason_passes(void)
{
    uint8_t payload[2 + WS_CLOSE_REASON_MAX] = {0x03, 0xE8};
    ws_close_body body;

    memset(payload + 2, 'r', WS_CLOSE_REASON_MAX);
    CHECK(ws_close_code_parse(payload, sizeof payload, &body) == NULL);
    CHECK_EQ(body.reason_size, WS_CLOSE_REASON_MAX);
}

static void
random_bodies_end_in_a_code_of_the_wire(void)
{
    uint32_t seed = 7;

    for (int round = 0; round < 200000; round++) {
        uint8_t *payload = malloc(16);
        CHECK(payload != NULL);
        for (size_t i = 0; i < 16; i++) {
            seed = seed * 1664525 + 1013904223;
            payload[i] = (uint8_t)(seed >> 24);
        }
        size_t size = payload[15] % 16;
        ws_close_body body;
        const char *broken =
            ws_close_code_parse(payload + 16 - size, size, &body);
        CHECK(size == 0 ? body.code == WS_CLOSE_NO_STATUS
                        : ws_close_code_valid(body.code));
        CHECK(broken == NULL || body.reason_size == 0);
        free(payload);
    }
}

static const ws_test TESTS[] = {
    TEST(the_wire_takes_the_registered_and_the_free_codes),
    TEST(a_close_body_is_parsed_or_says_what_is_wrong),
    TEST(every_code_parses_as_the_rule_says),
    TEST(the_longest_reason_passes),
    TEST(random_bodies_end_in_a_code_of_the_wire),
};

TEST_MAIN(TESTS)

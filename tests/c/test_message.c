#include "net/message.h"

#include "check.h"
#include "core/alloc.h"

static void
frames_have_the_shortest_header_and_a_copy(void)
{
    static const struct {
        size_t size, header;
    } cases[] = {{0, 2},     {1, 2},      {125, 2},     {126, 4},
                 {65535, 4}, {65536, 10}, {1 << 20, 10}};
    char *data = calloc(1, 1 << 20);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        data[0] = 'a';
        ws_msg *msg =
            ws_message_new(WS_MESSAGE_BINARY, data, cases[i].size, NULL);
        data[0] = 'b';
        CHECK(msg != NULL);
        CHECK_EQ(ws_msg_size(msg), cases[i].size);
        CHECK_EQ(ws_msg_frame_size(msg), cases[i].size + cases[i].header);
        CHECK_EQ(ws_msg_frame(msg)[0], 0x82);
        CHECK_EQ(ws_msg_frame(msg)[1] & 0x80, 0);
        CHECK(cases[i].size == 0 || ws_msg_payload(msg)[0] == 'a');
        ws_msg_unref(msg);
    }
    free(data);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
a_message_tells_whether_it_is_text(void)
{
    static const ws_message_kind kinds[] = {WS_MESSAGE_BINARY, WS_MESSAGE_TEXT,
                                            WS_MESSAGE_UNCHECKED};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        ws_utf8_error error;
        ws_msg *msg = ws_message_new(kinds[i], "a", 1, &error);
        CHECK(msg != NULL);
        CHECK_EQ(ws_message_is_text(msg), kinds[i] != WS_MESSAGE_BINARY);
        ws_msg_unref(msg);
    }
}

static void
text_is_checked_where_it_is_not_known_to_be_valid(void)
{
    ws_utf8_error error = {.start = 7};
    ws_msg *msg =
        ws_message_new(WS_MESSAGE_UNCHECKED, "gr\xc3\xbc\xc3\x9f", 6, &error);
    CHECK(msg != NULL);
    CHECK_EQ(error.start, SIZE_MAX);
    CHECK_EQ(ws_msg_frame(msg)[0], 0x81);
    ws_msg_unref(msg);

    CHECK(ws_message_new(WS_MESSAGE_UNCHECKED, "ab\xff", 3, &error) == NULL);
    CHECK_EQ(error.start, 2);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
no_memory_is_told_from_bad_text(void)
{
    ws_utf8_error error = {.start = 7};
    ws_alloc_fail_at(0);
    CHECK(ws_message_new(WS_MESSAGE_UNCHECKED, "ab\xff", 3, &error) == NULL);
    CHECK_EQ(error.start, SIZE_MAX);
}

static void
close_codes_and_reasons_have_their_rules(void)
{
    static const struct {
        long code;
        size_t reason;
        bool good;
    } cases[] = {
        {999, 0, false},    {1000, 0, true},        {1000, 123, true},
        {1000, 124, false}, {1003, 0, true},        {1004, 0, false},
        {1005, 0, false},   {1006, 0, false},       {1011, 5, true},
        {1015, 0, false},   {2999, 0, false},       {3000, 0, true},
        {4999, 0, true},    {5000, 0, false},       {-1, 0, false},
        {66536, 0, false},  {4294968296, 0, false}, // 1000, modulo 2^16, 2^32
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool good =
            ws_message_close_error(cases[i].code, cases[i].reason) == NULL;
        if (good != cases[i].good) {
            fprintf(stderr, "case: %ld\n", cases[i].code);
        }
        CHECK_EQ(good, cases[i].good);
    }
}

static void
settings_are_checked_by_the_rules_of_the_protocol(void)
{
    CHECK(ws_message_subprotocol_valid("chat.v1"));
    CHECK(!ws_message_subprotocol_valid("chat v1"));
    CHECK(!ws_message_subprotocol_valid(""));
    CHECK(ws_message_origin_valid("https://*.example.com"));
    CHECK(!ws_message_origin_valid("example.com"));
}

static const ws_test tests[] = {
    TEST(frames_have_the_shortest_header_and_a_copy),
    TEST(a_message_tells_whether_it_is_text),
    TEST(text_is_checked_where_it_is_not_known_to_be_valid),
    TEST(no_memory_is_told_from_bad_text),
    TEST(close_codes_and_reasons_have_their_rules),
    TEST(settings_are_checked_by_the_rules_of_the_protocol),
};

TEST_MAIN(tests)

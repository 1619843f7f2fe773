#include "core/msg.h"

#include <pthread.h>

#include "check.h"
#include "core/alloc.h"

static void
a_message_is_header_and_payload_in_one_piece(void)
{
    static const struct {
        const char *what;
        size_t header_size;
        const char *payload;
    } cases[] = {
        {"the shortest header", 1, "abc"},
        {"two bytes", 2, "hello"},
        {"the longest header", WS_MSG_HEADER_MAX, "x"},
        {"no payload", 2, ""},
    };
    static const uint8_t header[WS_MSG_HEADER_MAX] = "ABCDEFGHI";

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = strlen(cases[i].payload);
        size_t header_size = cases[i].header_size;
        ws_msg *msg = ws_msg_new(header, header_size,
                                 size > 0 ? cases[i].payload : NULL, size);
        CHECK(msg != NULL);
        CHECK_EQ(ws_msg_size(msg), size);
        CHECK_EQ(ws_msg_frame_size(msg), header_size + size);
        CHECK_MEM_EQ(ws_msg_frame(msg), header, header_size);
        CHECK_MEM_EQ(ws_msg_payload(msg), cases[i].payload, size);
        CHECK_EQ(ws_msg_payload(msg) - ws_msg_frame(msg), header_size);
        ws_msg_unref(msg);
    }
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
the_payload_is_a_copy(void)
{
    char data[] = "before";
    ws_msg *msg = ws_msg_new((const uint8_t *)"h", 1, data, 6);
    CHECK(msg != NULL);
    memcpy(data, "after!", 6);
    CHECK_MEM_EQ(ws_msg_payload(msg), "before", 6);
    ws_msg_unref(msg);
}

static void
a_size_that_cannot_be_is_no_memory(void)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 10};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK(ws_msg_new((const uint8_t *)"hh", 2, "x", sizes[i]) == NULL);
    }
    ws_alloc_fail_at(0);
    CHECK(ws_msg_new((const uint8_t *)"hh", 2, "x", 1) == NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
the_last_reference_frees(void)
{
    ws_msg *msg = ws_msg_new((const uint8_t *)"hh", 2, "x", 1);
    CHECK(msg != NULL);
    CHECK(ws_msg_ref(msg) == msg);
    ws_msg_unref(msg);
    CHECK_EQ(ws_alloc_live(), 1);
    ws_msg_unref(msg);
    CHECK_EQ(ws_alloc_live(), 0);
    ws_msg_unref(NULL);
}

static ws_msg *
make(const char *payload)
{
    ws_msg *msg = ws_msg_new((const uint8_t *)"hh", 2, payload, 3);
    CHECK(msg != NULL);
    return msg;
}

static ws_msg *
make_form(const char *payload)
{
    ws_msg *form = ws_msg_new_form((const uint8_t *)"f", 1, payload, 2, 3);
    CHECK(form != NULL);
    return form;
}

static void
a_form_has_its_own_bytes_and_the_size_of_the_original(void)
{
    ws_msg *form = make_form("xy");
    CHECK_EQ(ws_msg_size(form), 3);
    CHECK_EQ(ws_msg_frame_size(form), 3);
    CHECK_MEM_EQ(ws_msg_frame(form), "fxy", 3);
    CHECK_MEM_EQ(ws_msg_payload(form), "xy", 2);
    ws_msg_unref(form);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
forms_are_kept_by_key_and_go_with_their_message(void)
{
    ws_msg *msg = make("abc");
    ws_msg *one = make_form("11");
    ws_msg *two = make_form("22");
    CHECK(ws_msg_get_form(msg, 1) == NULL);
    CHECK(ws_msg_keep_form(msg, 1, one) == one);
    CHECK(ws_msg_keep_form(msg, 2, two) == two);
    CHECK(ws_msg_get_form(msg, 1) == one);
    CHECK(ws_msg_get_form(msg, 2) == two);
    CHECK(ws_msg_get_form(msg, 3) == NULL);
    CHECK(ws_msg_ref(two) == two); // as a channel does
    ws_msg_unref(msg);
    CHECK_EQ(ws_alloc_live(), 1);
    CHECK_MEM_EQ(ws_msg_payload(two), "22", 2);
    ws_msg_unref(two);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
the_second_to_make_a_form_gets_the_firsts(void)
{
    ws_msg *msg = make("abc");
    ws_msg *first = ws_msg_keep_form(msg, 1, make_form("11"));
    CHECK(ws_msg_keep_form(msg, 1, make_form("11")) == first);
    CHECK(ws_msg_get_form(msg, 1) == first);
    ws_msg_unref(msg);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
a_message_may_be_its_own_form_without_keeping_itself(void)
{
    ws_msg *msg = make("abc");
    CHECK(ws_msg_keep_form(msg, 1, ws_msg_ref(msg)) == msg);
    CHECK(ws_msg_get_form(msg, 1) == msg);
    CHECK(ws_msg_keep_form(msg, 1, make_form("11")) == msg);
    ws_msg_unref(msg);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
without_memory_a_form_is_not_kept(void)
{
    ws_msg *msg = make("abc");
    ws_msg *form = make_form("11");
    ws_alloc_fail_at(0);
    CHECK(ws_msg_keep_form(msg, 1, form) == NULL);
    ws_alloc_fail_at(0);
    CHECK(ws_msg_keep_form(msg, 1, ws_msg_ref(msg)) == NULL);
    CHECK(ws_msg_get_form(msg, 1) == NULL);
    CHECK_EQ(ws_alloc_live(), 1);
    ws_msg_unref(msg);
}

enum { THREADS = 4, ROUNDS = 5000 };

static void *
make_all_forms(void *arg)
{
    ws_msg *msg = arg;
    for (unsigned key = 1; key <= 200; key++) {
        ws_msg *form = ws_msg_get_form(msg, key);
        if (form == NULL) {
            form = ws_msg_keep_form(msg, key, make_form("zz"));
        }
        CHECK_MEM_EQ(ws_msg_payload(form), "zz", 2);
        CHECK(ws_msg_get_form(msg, key) == form);
    }
    ws_msg_unref(msg);
    return NULL;
}

static void
of_racing_makers_one_wins_and_nothing_leaks(void)
{
    ws_msg *msg = make("abc");
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(
            pthread_create(&threads[i], NULL, make_all_forms, ws_msg_ref(msg)),
            0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(ws_alloc_live(), 1 + 2 * 200);
    ws_msg_unref(msg);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void *
ref_and_read(void *arg)
{
    ws_msg *msg = arg;
    for (int i = 0; i < ROUNDS; i++) {
        ws_msg *mine = ws_msg_ref(msg);
        CHECK_EQ(ws_msg_payload(mine)[0], 'x');
        ws_msg_unref(mine);
    }
    ws_msg_unref(msg);
    return NULL;
}

static void
many_threads_share_one_message(void)
{
    ws_msg *msg = ws_msg_new((const uint8_t *)"hh", 2, "x", 1);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(
            pthread_create(&threads[i], NULL, ref_and_read, ws_msg_ref(msg)),
            0);
    }
    ws_msg_unref(msg); // whoever is last frees
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
    CHECK_EQ(ws_alloc_live(), 0);
}

static const ws_test tests[] = {
    TEST(a_message_is_header_and_payload_in_one_piece),
    TEST(the_payload_is_a_copy),
    TEST(a_size_that_cannot_be_is_no_memory),
    TEST(the_last_reference_frees),
    TEST(a_form_has_its_own_bytes_and_the_size_of_the_original),
    TEST(forms_are_kept_by_key_and_go_with_their_message),
    TEST(the_second_to_make_a_form_gets_the_firsts),
    TEST(a_message_may_be_its_own_form_without_keeping_itself),
    TEST(without_memory_a_form_is_not_kept),
    TEST(of_racing_makers_one_wins_and_nothing_leaks),
    TEST(many_threads_share_one_message),
};

TEST_MAIN(tests)

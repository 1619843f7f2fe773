#include "proto/deflate.h"

#include "core/alloc.h"
#include "deflate_kit.h"

static void *
allocate(size_t size)
{
    return ws_malloc(size);
}

static const ws_heap heap = {allocate, ws_free};

static ws_deflater *
make(int bits)
{
    ws_deflater *deflater = ws_deflater_new(&heap, bits);
    CHECK(deflater != NULL);
    CHECK_EQ(ws_deflater_window_bits(deflater), bits);
    return deflater;
}

/* Many messages by one deflater: each can be read without those before. */
static void
zlib_reads_every_message_with_the_window_that_was_agreed_on(void)
{
    static const size_t sizes[] = {100000, 0,    1,    2,     200,  255,
                                   256,    257,  511,  512,   513,  1024,
                                   4096,   5000, 8192, 32768, 65536};
    uint8_t *text = deflate_kit_text(100000);
    uint8_t *noise = deflate_kit_noise(100000);
    uint8_t *out = malloc(200000);
    CHECK(out != NULL);
    for (int bits = WS_DEFLATE_BITS_MIN; bits <= WS_DEFLATE_BITS_MAX; bits++) {
        ws_deflater *deflater = make(bits);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t size = sizes[i];
            size_t made = ws_deflate(deflater, text, size, out, 200000);
            CHECK(made >= 1 && (size < 200 || made < size));
            deflate_kit_expect(out, made, bits, text, size);
            made = ws_deflate(deflater, noise, size, out, 200000);
            CHECK(made >= 1);
            deflate_kit_expect(out, made, bits, noise, size);
        }
        ws_deflater_free(deflater);
    }
    free(text);
    free(noise);
    free(out);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
an_empty_message_is_one_zero_byte(void)
{
    uint8_t out[16];
    ws_deflater *deflater = make(15);
    for (int i = 0; i < 3; i++) { // RFC 7692 7.2.3.6
        CHECK_EQ(ws_deflate(deflater, NULL, 0, out, sizeof out), 1);
        CHECK_EQ(out[0], 0);
    }
    ws_deflater_free(deflater);
}

static void
hello_is_what_the_rfc_says(void)
{
    uint8_t out[64];
    ws_deflater *deflater = make(15);
    size_t size =
        ws_deflate(deflater, (const uint8_t *)"Hello", 5, out, sizeof out);
    CHECK_EQ(size, 7); // RFC 7692 7.2.3.1
    CHECK_MEM_EQ(out, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
    ws_deflater_free(deflater);
}

/* Whatever the room is: all of it, or nothing; and never past it. */
static void
what_does_not_fit_is_given_up_and_spoils_nothing(void)
{
    enum { SIZE = 3000 };
    uint8_t *text = deflate_kit_text(SIZE);
    uint8_t out[SIZE + 1];
    ws_deflater *deflater = make(15);
    size_t whole = ws_deflate(deflater, text, SIZE, out, SIZE);
    CHECK(whole > 100 && whole < SIZE);
    for (size_t room = 0; room <= whole + 10; room++) {
        memset(out, 0xee, sizeof out);
        size_t size = ws_deflate(deflater, text, SIZE, out, room);
        CHECK_EQ(size, room > whole + 4 ? whole : 0);
        for (size_t i = room; i < sizeof out; i++) {
            CHECK_EQ(out[i], 0xee);
        }
    }
    CHECK_EQ(ws_deflate(deflater, text, SIZE, out, SIZE), whole);
    deflate_kit_expect(out, whole, 15, text, SIZE);
    uint8_t *noise = deflate_kit_noise(SIZE);
    CHECK_EQ(ws_deflate(deflater, noise, SIZE, out, SIZE), 0);
    ws_deflater_free(deflater);
    free(noise);
    free(text);
}

static void
a_message_that_zlib_cannot_count_is_given_up(void)
{
    uint8_t out[64];
    ws_deflater *deflater = make(15);
    CHECK_EQ(ws_deflate(deflater, (const uint8_t *)"x", (size_t)UINT32_MAX + 1,
                        out, sizeof out),
             0);
    ws_deflater_free(deflater);
}

static void
without_memory_there_is_none_and_nothing_is_left(void)
{
    ws_deflater *deflater = NULL;
    long n = 0;
    for (; deflater == NULL; n++) {
        ws_alloc_fail_at(n);
        deflater = ws_deflater_new(&heap, 12);
        ws_alloc_fail_at(-1);
        CHECK_EQ(ws_alloc_live() == 0, deflater == NULL);
    }
    CHECK(n > 3);
    uint8_t out[64];
    CHECK(ws_deflate(deflater, (const uint8_t *)"abc", 3, out, 64) > 0);
    ws_deflater_free(deflater);
    ws_deflater_free(NULL);
    CHECK_EQ(ws_alloc_live(), 0);
}

static const ws_test tests[] = {
    TEST(zlib_reads_every_message_with_the_window_that_was_agreed_on),
    TEST(an_empty_message_is_one_zero_byte),
    TEST(hello_is_what_the_rfc_says),
    TEST(what_does_not_fit_is_given_up_and_spoils_nothing),
    TEST(a_message_that_zlib_cannot_count_is_given_up),
    TEST(without_memory_there_is_none_and_nothing_is_left),
};

TEST_MAIN(tests)

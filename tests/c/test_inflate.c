#include "proto/inflate.h"

#include <stdbool.h>

#include "core/alloc.h"
#include "deflate_kit.h"

static void *
allocate(size_t size)
{
    return ws_malloc(size);
}

static const ws_heap heap = {allocate, ws_free};

#define BYTES(literal) literal, sizeof(literal) - 1

/* Everything that comes out, and how it ended. */
typedef struct {
    uint8_t *out;
    size_t size, room;
    ws_inflate_result result;
} outcome;

/* Takes what came out of one call; true: there is more. */
static bool
note(outcome *o, const uint8_t *buf, size_t made, ws_inflate_result result)
{
    CHECK(o->size + made <= o->room);
    memcpy(o->out + o->size, buf, made);
    o->size += made;
    o->result = result;
    return result == WS_INFLATE_FULL;
}

/* Feeds a message in pieces of up to `most` bytes of random size, with as
   little room for what comes out. */
static void
feed(ws_inflater *inflater, const uint8_t *data, size_t size, size_t most,
     uint32_t seed, outcome *o)
{
    uint8_t *buf = malloc(most);
    size_t made = 0;
    CHECK(buf != NULL);
    o->size = 0;
    o->result = WS_INFLATE_DONE;
    while (size > 0 && o->result == WS_INFLATE_DONE) {
        seed = seed * 1103515245 + 12345;
        size_t piece = 1 + (seed >> 8) % most;
        piece = piece < size ? piece : size;
        size -= piece;
        ws_inflate_result result = WS_INFLATE_FULL;
        do {
            seed = seed * 1103515245 + 12345;
            result = ws_inflate(inflater, &data, &piece, buf,
                                1 + (seed >> 8) % most, &made);
        } while (note(o, buf, made, result));
        CHECK(result != WS_INFLATE_DONE || piece == 0);
    }
    if (o->result == WS_INFLATE_DONE) {
        ws_inflate_result result = WS_INFLATE_FULL;
        do {
            result = ws_inflate_end(inflater, buf, most, &made);
        } while (note(o, buf, made, result));
    }
    free(buf);
}

static ws_inflater *
make(void)
{
    ws_inflater *inflater = ws_inflater_new(&heap);
    CHECK(inflater != NULL);
    return inflater;
}

static void
what_zlib_compresses_comes_out_in_any_pieces(void)
{
    enum { SIZE = 70000 };
    static const size_t pieces[] = {1, 3, 100, 16384, SIZE * 2};
    static const int flushes[] = {Z_SYNC_FLUSH, Z_FULL_FLUSH, Z_FINISH};
    uint8_t *texts[] = {deflate_kit_text(SIZE), deflate_kit_noise(SIZE)};
    outcome o = {.out = malloc(SIZE), .room = SIZE};
    ws_inflater *inflater = make();
    for (unsigned i = 0; i < 7 * 5 * 3 * 2 * 3; i++) {
        int bits = 9 + (int)(i % 7);
        const uint8_t *text = texts[i % 2];
        static const int levels[] = {0, 1, 9};
        size_t size = 0;
        uint8_t *packed = deflate_kit_compress(text, SIZE, levels[i % 9 / 3],
                                               bits, flushes[i % 3], &size);
        ws_inflater_reset(inflater);
        feed(inflater, packed, size, pieces[i % 5], i, &o);
        CHECK_EQ(o.result, WS_INFLATE_DONE);
        CHECK_EQ(o.size, SIZE);
        CHECK_MEM_EQ(o.out, text, SIZE);
        free(packed);
    }
    ws_inflater_free(inflater);
    free(o.out);
    free(texts[0]);
    free(texts[1]);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* The examples of RFC 7692 7.2.3 and their like; NULL: refused. */
static void
each_kind_of_block_is_understood_or_refused(void)
{
    static const struct {
        const char *what;
        const char *data;
        size_t size;
        const char *want;
    } cases[] = {
        {"7.2.3.1: hello", BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00"), "Hello"},
        {"7.2.3.3: a block without compression",
         BYTES("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "Hello"},
        {"7.2.3.4: a block that says it is the last",
         BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "Hello"},
        {"the same without its zero byte",
         BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00"), "Hello"},
        {"two last blocks",
         BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00"
               "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
         "HelloHello"},
        {"a last one and others",
         BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00"
               "\xf2\x48\xcd\xc9\xc9\x07\x00"),
         "HelloHello"},
        {"7.2.3.5: two blocks",
         BYTES("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
         "Hello"},
        {"7.2.3.6: an empty message", BYTES("\x00"), ""},
        {"an empty one of an empty fixed block", BYTES("\x02\x00"), ""},
        {"nothing at all", BYTES(""), ""},
        {"only a last block, empty", BYTES("\x03\x00"), ""},
        {"many empty blocks",
         BYTES("\x00\x00\x00\xff\xff\x00\x00\x00\xff\xff\x00"), ""},
        {"with a tail of its own",
         BYTES("\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\x00"), "Hello"},
        {"a block of the third kind, which is none", BYTES("\x07"), NULL},
        {"the same behind a last block",
         BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x07"), NULL},
        {"text", BYTES("Hello, this is no deflate"), NULL},
        {"a length and its complement that differ",
         BYTES("\x00\x05\x00\xfa\xfe\x48\x65\x6c\x6c\x6f\x00"), NULL},
        {"less than the length says",
         BYTES("\x00\x50\x00\xaf\xff\x48\x65\x6c\x6c\x6f\x00"), NULL},
        {"further back than there is anything",
         BYTES("\xf2\x48\xcd\xc9\xc9\x07\x11\x00"), NULL},
        {"back beyond a last block",
         BYTES("\xf3\x48\xcd\xc9\xc9\x07\x00\x02\x22\x00"), NULL},
        {"a block that ends inside the tail's last byte",
         BYTES("\x04\xc0\x01\x92\x24\x49\x92\x24\x49\x24\x16\x35\x8f\xac"
               "\x9e\xbd\xff\x7f\xf7\x00"),
         NULL},
        {"a zlib header", BYTES("\x78\x9c\xf3\x48\xcd\xc9\xc9\x07\x00"), NULL},
    };
    uint8_t out[256];
    outcome o = {.out = out, .room = sizeof out};
    ws_inflater *inflater = make();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t most = 1; most <= 40; most += 13) {
            ws_inflater_reset(inflater);
            feed(inflater, (const uint8_t *)cases[i].data, cases[i].size, most,
                 (uint32_t)i, &o);
            bool good = o.result == WS_INFLATE_DONE;
            if (good != (cases[i].want != NULL)) {
                fprintf(stderr, "case: %s, in %zu: %d\n", cases[i].what, most,
                        (int)o.result);
            }
            CHECK_EQ(good, cases[i].want != NULL);
            if (good) {
                CHECK_EQ(o.size, strlen(cases[i].want));
                CHECK_MEM_EQ(o.out, cases[i].want, o.size);
            }
        }
    }
    ws_inflater_free(inflater);
}

/* The tail is the last that comes out, and may fill the room: to be asked once
   more changes nothing. */
static void
the_end_is_found_however_much_room_there_is(void)
{
    uint8_t out[16];
    outcome o = {.out = out, .room = sizeof out};
    ws_inflater *inflater = make();
    for (size_t most = 1; most <= 8; most++) {
        ws_inflater_reset(inflater);
        feed(inflater, (const uint8_t *)"\x00\x04\x00\xfb\xff", 5, most, 1,
             &o);
        CHECK_EQ(o.result, WS_INFLATE_DONE);
        CHECK_EQ(o.size, 4);
        CHECK_MEM_EQ(o.out, "\x00\x00\xff\xff", 4);
    }
    ws_inflater_free(inflater);
}

/* Cut anywhere but where a message could end, it is refused: never taken for
   another, shorter message. */
static void
a_message_without_its_end_is_refused(void)
{
    enum { SIZE = 5000 };
    uint8_t *text = deflate_kit_text(SIZE);
    outcome o = {.out = malloc(4 * SIZE), .room = (size_t)4 * SIZE};
    ws_inflater *inflater = make();
    for (int level = 1; level <= 9; level += 4) {
        size_t size = 0;
        uint8_t *packed =
            deflate_kit_compress(text, SIZE, level, 15, Z_SYNC_FLUSH, &size);
        for (size_t cut = 1; cut < size; cut++) {
            ws_inflater_reset(inflater);
            feed(inflater, packed, cut, 4096, 1, &o);
            CHECK_EQ(o.result, WS_INFLATE_BAD);
        }
        free(packed);
    }
    ws_inflater_free(inflater);
    free(o.out);
    free(text);
}

static void
random_bytes_neither_crash_nor_hang_nor_leak(void)
{
    uint8_t *noise = deflate_kit_noise(20000);
    outcome o = {.out = malloc(4 << 20), .room = 4 << 20};
    ws_inflater *inflater = make();
    for (size_t i = 0; i + 400 < 20000; i++) {
        ws_inflater_reset(inflater);
        feed(inflater, noise + i, 1 + i % 400, 64, (uint32_t)i, &o);
    }
    // A reset makes up for all of it.
    ws_inflater_reset(inflater);
    feed(inflater, (const uint8_t *)"\xf2\x48\xcd\xc9\xc9\x07\x00", 7, 64, 1,
         &o);
    CHECK_EQ(o.result, WS_INFLATE_DONE);
    CHECK_MEM_EQ(o.out, "Hello", 5);
    ws_inflater_free(inflater);
    free(noise);
    free(o.out);
    CHECK_EQ(ws_alloc_live(), 0);
}

/* A gigabyte of zeros out of a megabyte, a buffer at a time. */
static void
memory_does_not_grow_with_what_comes_out(void)
{
    static uint8_t buf[16384];
    enum { CHUNK = 1 << 20, CHUNKS = 1024 };
    uint8_t *zeros = calloc(1, CHUNK);
    size_t size = 0;
    uint8_t *packed =
        deflate_kit_compress(zeros, CHUNK, 9, 15, Z_FULL_FLUSH, &size);
    memcpy(packed + size, "\x00\x00\xff\xff", 4); // so that it can go on
    size += 4;
    CHECK(size < 1100);
    ws_inflater *inflater = make();
    uint64_t total = 0;
    ws_alloc_reset_peak();
    for (int i = 0; i < CHUNKS; i++) {
        const uint8_t *data = packed;
        size_t left = size;
        size_t made = 0;
        ws_inflate_result result = WS_INFLATE_FULL;
        while (result == WS_INFLATE_FULL) {
            result =
                ws_inflate(inflater, &data, &left, buf, sizeof buf, &made);
            total += made;
        }
        CHECK_EQ(result, WS_INFLATE_DONE);
    }
    CHECK_EQ(total, (uint64_t)CHUNK * CHUNKS);
    CHECK(ws_alloc_peak() < 64 * 1024);
    ws_inflater_free(inflater);
    free(packed);
    free(zeros);
}

static void
without_memory_it_says_so_and_nothing_is_left(void)
{
    enum { SIZE = 70000 };
    uint8_t *text = deflate_kit_text(SIZE);
    outcome o = {.out = malloc(SIZE), .room = SIZE};
    size_t size = 0;
    uint8_t *packed =
        deflate_kit_compress(text, SIZE, 6, 15, Z_SYNC_FLUSH, &size);
    o.result = WS_INFLATE_NOMEM;
    long n = 0;
    for (; o.result != WS_INFLATE_DONE; n++) {
        ws_alloc_fail_at(n);
        ws_inflater *inflater = ws_inflater_new(&heap);
        if (inflater != NULL) {
            feed(inflater, packed, size, 5000, 1, &o);
            CHECK(o.result == WS_INFLATE_DONE || o.result == WS_INFLATE_NOMEM);
        }
        ws_alloc_fail_at(-1);
        ws_inflater_free(inflater);
        CHECK_EQ(ws_alloc_live(), 0);
    }
    CHECK_EQ(n, 4); // itself, zlib's state, the window: and then none
    CHECK_MEM_EQ(o.out, text, SIZE);
    ws_inflater_free(NULL);
    free(packed);
    free(o.out);
    free(text);
}

static const ws_test tests[] = {
    TEST(what_zlib_compresses_comes_out_in_any_pieces),
    TEST(each_kind_of_block_is_understood_or_refused),
    TEST(the_end_is_found_however_much_room_there_is),
    TEST(a_message_without_its_end_is_refused),
    TEST(random_bytes_neither_crash_nor_hang_nor_leak),
    TEST(memory_does_not_grow_with_what_comes_out),
    TEST(without_memory_it_says_so_and_nothing_is_left),
};

TEST_MAIN(tests)

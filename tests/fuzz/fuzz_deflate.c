/* Round trips: messages of every kind through our deflater with every window,
   and back through zlib's inflate with that window, and through ours. */
#include <zlib.h>

#include "core/alloc.h"
#include "inflating.h"
#include "proto/deflate.h"

enum {
    MESSAGE_MAX = 70 * 1024, // bytes: two windows of the largest
    ALL_WINDOWS = 2048,      // up to that, each window is tried
    TAIL = 4,                // bytes that must fit, too
    WINDOWS = WS_DEFLATE_BITS_MAX - WS_DEFLATE_BITS_MIN + 1,
};

typedef struct {
    uint8_t *data; // in a block without a byte to spare
    size_t size;
} message;

/* ---- one deflater a window, for all inputs */

static ws_deflater *deflaters[WINDOWS];
static ws_inflater *inflater;

static void *
allocate(size_t size)
{
    return ws_malloc(size);
}

static const ws_heap heap = {allocate, ws_free};

static void
free_all(void)
{
    for (size_t i = 0; i < WINDOWS; i++) {
        ws_deflater_free(deflaters[i]);
    }
    ws_inflater_free(inflater);
    CHECK_EQ(ws_alloc_live(), 0);
}

static void
make_all(void)
{
    if (inflater != NULL) {
        return;
    }
    for (int i = 0; i < WINDOWS; i++) {
        deflaters[i] = ws_deflater_new(&heap, WS_DEFLATE_BITS_MIN + i);
        CHECK(deflaters[i] != NULL);
    }
    inflater = ws_inflater_new(&heap);
    CHECK(inflater != NULL);
    CHECK_EQ(atexit(free_all), 0);
}

/* ---- what is compressed */

/* The input, again and again, with so many bytes of noise between, that what
   is alike lies as far apart as the fuzzer wants. */
static message
make_message(fuzz_input in, size_t times, size_t noise)
{
    size_t size = (times + 1) * in.size + times * noise;
    uint32_t seed = 2463534242U;

    while (size > MESSAGE_MAX) {
        times--;
        size -= in.size + noise;
    }
    message m = {.data = malloc(size), .size = size};
    CHECK(m.data != NULL);
    for (size_t at = 0; at < size;) {
        if (in.size > 0) {
            memcpy(m.data + at, in.data, in.size);
        }
        at += in.size;
        for (size_t i = 0; i < noise && at < size; i++) {
            seed = seed * 1103515245U + 12345U;
            m.data[at++] = (uint8_t)(seed >> 20);
        }
    }
    return m;
}

/* ---- what comes out */

/* A client that can look back exactly as far as was agreed on: what it makes
   of it goes away every `room` bytes, so that nothing else is there to look
   at. */
static void
check_by_zlib(const message *m, const uint8_t *packed, size_t size, int bits,
              size_t room)
{
    uint8_t *out = malloc(room);
    uint8_t *whole = malloc(size + TAIL);
    z_stream z = {.next_in = whole, .avail_in = (uInt)(size + TAIL)};
    size_t at = 0;
    int rc = Z_OK;
    int seen = 0; // behind the last thing that was there

    CHECK(out != NULL && whole != NULL);
    memcpy(whole, packed, size);
    memcpy(whole + size, "\x00\x00\xff\xff", TAIL);
    CHECK_EQ(inflateInit2(&z, -bits), Z_OK);
    do {
        z.next_out = out;
        z.avail_out = (uInt)room;
        rc = inflate(&z, Z_SYNC_FLUSH);
        CHECK(rc == Z_OK || rc == Z_BUF_ERROR);
        seen = rc == Z_OK ? z.data_type : seen;
        size_t made = room - z.avail_out;
        CHECK(made <= m->size - at);
        CHECK_MEM_EQ(out, m->data + at, made);
        at += made;
    } while (z.avail_out == 0);
    CHECK_EQ(at, m->size);
    CHECK_EQ(z.avail_in, 0);
    CHECK_EQ(seen, 128); // between two blocks, no bit is left
    (void)inflateEnd(&z);
    free(whole);
    free(out);
}

static void
check_by_ours(const message *m, const uint8_t *packed, size_t size,
              fuzz_cuts cuts, fuzz_cuts rooms)
{
    ws_inflater_reset(inflater);
    inflated got =
        inflate_all(inflater, packed, size, cuts, rooms, MESSAGE_MAX);
    CHECK_EQ(got.result, WS_INFLATE_DONE);
    CHECK_EQ(got.size, m->size);
    CHECK_MEM_EQ(got.data, m->data, m->size);
    inflated_free(&got);
}

/* In a block of just that room; what it holds is to be freed. */
static uint8_t *
compress_into(ws_deflater *deflater, const message *m, size_t room,
              size_t *size)
{
    uint8_t *out = malloc(room);

    CHECK(out != NULL);
    *size = ws_deflate(deflater, m->data, m->size, out, room);
    CHECK(*size == 0 || *size + TAIL < room);
    return out;
}

/* It fits into as little as is said, into less not, and it is always the
   same. */
static void
check_room(ws_deflater *deflater, const message *m, const uint8_t *packed,
           size_t size, size_t less)
{
    size_t made = 0;
    uint8_t *out = compress_into(deflater, m, size + TAIL + 1, &made);

    CHECK_EQ(made, size);
    CHECK_MEM_EQ(out, packed, size);
    free(out);
    less = 1 + less % (size + TAIL);
    free(compress_into(deflater, m, less, &made));
    CHECK_EQ(made, 0);
}

/* A message that is no larger than a window goes to all whose window is at
   least that, in the form for the largest. */
static void
check_shared(const message *m, const uint8_t *packed, size_t size, size_t room)
{
    for (int bits = WS_DEFLATE_BITS_MIN; bits <= WS_DEFLATE_BITS_MAX; bits++) {
        if (m->size <= (size_t)1 << bits) {
            check_by_zlib(m, packed, size, bits, room);
        }
    }
}

typedef struct {
    fuzz_cuts cuts, rooms;
    size_t less, room;
} manner;

static void
check_window(const message *m, int bits, const manner *how)
{
    ws_deflater *deflater = deflaters[bits - WS_DEFLATE_BITS_MIN];
    // What a server lets a client's message grow to; ours is one, too.
    size_t room = m->size + m->size / 8 + 64;
    size_t size = 0;
    uint8_t *packed = compress_into(deflater, m, room, &size);

    CHECK_EQ(ws_deflater_window_bits(deflater), bits);
    CHECK(size >= 1);
    check_by_zlib(m, packed, size, bits, how->room);
    check_by_ours(m, packed, size, how->cuts, how->rooms);
    check_room(deflater, m, packed, size, how->less);
    if (bits == WS_DEFLATE_BITS_MAX) {
        check_shared(m, packed, size, how->room);
    }
    free(packed);
}

static void
run(fuzz_input in)
{
    size_t times = fuzz_take_byte(&in);
    size_t noise = (size_t)fuzz_take_number(&in, 2);
    int chosen = WS_DEFLATE_BITS_MIN + fuzz_take_byte(&in) % WINDOWS;
    manner how = {.less = (size_t)fuzz_take_number(&in, 2),
                  .room = 1U + fuzz_take_byte(&in) % 64};
    how.cuts = fuzz_take_cuts(&in);
    how.rooms = fuzz_take_cuts(&in);
    message m = make_message(in, times, noise);
    how.room += m.size / 256; // or it takes its time

    make_all();
    for (int bits = WS_DEFLATE_BITS_MIN; bits <= WS_DEFLATE_BITS_MAX; bits++) {
        if (m.size <= ALL_WINDOWS || bits == chosen) {
            check_window(&m, bits, &how);
        }
    }
    free(m.data);
}

FUZZ_MAIN(run)

/*
 * deflate_kit.h - compressed data as the other side would make and read them:
 * zlib itself, called without any of our code.
 */
#ifndef WS_TESTS_DEFLATE_KIT_H
#define WS_TESTS_DEFLATE_KIT_H

#include <zlib.h>

#include "check.h"

/* JSON-like: compresses well, differently with each window. */
static inline uint8_t *
deflate_kit_text(size_t size)
{
    uint8_t *text = malloc(size + 200);
    uint32_t seed = 2463534242u;
    size_t at = 0;
    CHECK(text != NULL);
    while (at < size) {
        seed = seed * 1103515245 + 12345;
        at += (size_t)snprintf((char *)text + at, 200,
                               "{\"id\": %u, \"price\": %u.%02u, \"user\": "
                               "\"user-%u\"}, ",
                               seed >> 8, seed >> 7 & 1023, (seed >> 3) % 100,
                               seed >> 12 & 4095);
    }
    return text;
}

/* Bytes that no compression makes smaller. */
static inline uint8_t *
deflate_kit_noise(size_t size)
{
    uint8_t *noise = malloc(size + 1);
    uint32_t seed = 2463534242u;
    CHECK(noise != NULL);
    for (size_t i = 0; i < size; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        noise[i] = (uint8_t)(seed >> 11);
    }
    return noise;
}

/* Raw deflate as a message's payload; to be freed. `flush`: Z_SYNC_FLUSH,
   whose tail is taken off, or Z_FINISH, behind which a zero byte is put. */
static inline uint8_t *
deflate_kit_compress(const void *data, size_t size, int level, int bits,
                     int flush, size_t *out_size)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
    size_t room = size + size / 8 + 1000;
    uint8_t *out = malloc(room);
    CHECK(out != NULL);
    CHECK_EQ(deflateInit2(&z, level, Z_DEFLATED, -bits, 8, 0), Z_OK);
    z.next_out = out;
    z.avail_out = (uInt)room;
    CHECK_EQ(deflate(&z, flush), flush == Z_FINISH ? Z_STREAM_END : Z_OK);
    CHECK_EQ(z.avail_in, 0);
    *out_size = room - z.avail_out;
    (void)deflateEnd(&z);
    if (flush == Z_FINISH) {
        out[(*out_size)++] = 0;
    } else {
        *out_size -= 4;
        CHECK_MEM_EQ(out + *out_size, "\x00\x00\xff\xff", 4);
    }
    return out;
}

/* What a client with that window makes of a payload, up to `room` bytes, which
   it must not exceed. Returns how many. */
static inline size_t
deflate_kit_inflate(const uint8_t *payload, size_t payload_size, int bits,
                    uint8_t *out, size_t room)
{
    static const uint8_t tail[] = {0x00, 0x00, 0xff, 0xff};
    z_stream z = {.next_out = out, .avail_out = (uInt)room};
    CHECK_EQ(inflateInit2(&z, -bits), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)payload;
    z.avail_in = (uInt)payload_size;
    CHECK_EQ(inflate(&z, Z_SYNC_FLUSH), Z_OK);
    CHECK_EQ(z.avail_in, 0);
    z.next_in = (Bytef *)(uintptr_t)tail;
    z.avail_in = sizeof tail;
    CHECK_EQ(inflate(&z, Z_SYNC_FLUSH), Z_OK);
    CHECK_EQ(z.avail_in, 0);
    size_t made = z.total_out;
    (void)inflateEnd(&z);
    return made;
}

/* ... which is exactly `want`. */
static inline void
deflate_kit_expect(const uint8_t *payload, size_t payload_size, int bits,
                   const void *want, size_t size)
{
    uint8_t *out = malloc(size + 1);
    CHECK(out != NULL);
    CHECK_EQ(deflate_kit_inflate(payload, payload_size, bits, out, size + 1),
             size);
    if (size > 0) {
        CHECK_MEM_EQ(out, want, size);
    }
    free(out);
}

#endif

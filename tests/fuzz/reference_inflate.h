/*
 * reference_inflate.h - a second opinion on a compressed message.
 *
 * It has the whole message before it, puts the tail of RFC 7692 7.2.2 behind,
 * and asks zlib for one block after the other, each series that ends with a
 * final block by a state of its own; of where the blocks end it keeps count in
 * bits.
 *
 * Threads: any; pure.
 * Owns:    a reference_inflated owns its bytes until it is freed.
 */
#ifndef WS_TESTS_REFERENCE_INFLATE_H
#define WS_TESTS_REFERENCE_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "check.h"

typedef struct reference_inflated {
    bool bad;  /* no compressed data, or as a whole without their end */
    bool over; /* more than `most` bytes; was not looked at any further */
    size_t size;
    uint8_t *data;
} reference_inflated;

static inline void
reference_inflated_free(reference_inflated *got)
{
    free(got->data);
    *got = (reference_inflated){.size = 0};
}

/* The blocks up to a final one, or as far as they go; *ended says which. The
   bits up to the end of the last whole block are returned; *used is in bytes.
 */
static inline uint64_t
reference_blocks(reference_inflated *got, const uint8_t *data, size_t size,
                 size_t most, bool *ended, size_t *used)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
    uint64_t end = 0;
    int rc = Z_OK;

    CHECK_EQ(inflateInit2(&z, -15), Z_OK);
    z.next_out = got->data + got->size;
    z.avail_out = (uInt)(most + 1 - got->size);
    while (rc == Z_OK && z.avail_out > 0) {
        rc = inflate(&z, Z_BLOCK);
        if ((z.data_type & 128) != 0) {
            end = 8 * (uint64_t)z.total_in - (uint64_t)(z.data_type & 63);
        }
    }
    CHECK(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR ||
          rc == Z_DATA_ERROR);
    got->size += z.total_out;
    got->over = got->size > most;
    got->bad = rc == Z_DATA_ERROR;
    *ended = rc == Z_STREAM_END;
    *used = z.total_in;
    (void)inflateEnd(&z);
    return end;
}

/* `complete`: nothing else follows, so that an end must be there. To be
   freed. */
static inline reference_inflated
reference_inflate(const uint8_t *data, size_t size, bool complete, size_t most)
{
    reference_inflated got = {.data = malloc(most + 1)};
    uint8_t *all = malloc(size + 4);
    size_t all_size = complete ? size + 4 : size;
    size_t at = 0;
    bool ended = true;

    CHECK(got.data != NULL && all != NULL);
    if (size > 0) {
        memcpy(all, data, size);
    }
    memcpy(all + size, "\x00\x00\xff\xff", 4);
    // Right behind a final block, or nothing, the tail has no meaning.
    while (ended && at != size && at < all_size && !got.over) {
        size_t used = 0;
        uint64_t end = reference_blocks(&got, all + at, all_size - at, most,
                                        &ended, &used);
        at += used;
        if (!ended && complete &&
            end != 8 * (uint64_t)(all_size - at + used)) {
            got.bad = true;
        }
    }
    if (complete && ended && at != size) {
        got.bad = true; // by the tail
    }
    free(all);
    return got;
}

#endif

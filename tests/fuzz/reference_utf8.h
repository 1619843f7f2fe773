/*
 * reference_utf8.h - a second opinion on UTF-8.
 *
 * It knows how a code point is written and which ones there are, and nothing
 * of ranges of bytes: bytes are good when some code point's encoding begins
 * with them.
 *
 * Threads: any; pure.
 * Owns:    nothing.
 */
#ifndef WS_TESTS_REFERENCE_UTF8_H
#define WS_TESTS_REFERENCE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct reference_utf8 {
    bool valid;      /* all of it */
    bool bad;        /* no continuation could make it valid */
    size_t start;    /* of the sequence that is bad or unfinished */
    size_t good_end; /* the byte behind its good part */
} reference_utf8;

/* Writes a code point below 2^21; returns its number of bytes. */
static inline size_t
reference_utf8_encode(uint32_t point, uint8_t out[4])
{
    size_t size = point < 0x80      ? 1
                  : point < 0x800   ? 2
                  : point < 0x10000 ? 3
                                    : 4;
    static const uint8_t mark[] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (size_t i = size; i-- > 1; point >>= 6) {
        out[i] = (uint8_t)(0x80 | (point & 0x3F));
    }
    out[0] = (uint8_t)(mark[size] | point);
    return size;
}

/* The first code point from `point` on that is not a surrogate. */
static inline uint32_t
reference_utf8_skip_surrogates(uint32_t point)
{
    return point >= 0xD800 && point <= 0xDFFF ? 0xE000 : point;
}

/* Whether the `size` bytes, at most 4, begin the encoding of some code point;
 *whole is then its number of bytes. */
static inline bool
reference_utf8_begins(const uint8_t *data, size_t size, size_t *whole)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t lead = data[0];
    size_t length = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint32_t point = length == 1 ? lead : lead & (0x7FU >> length);
    uint8_t encoded[4];

    // The least code point that could be meant; the encodings' order is that
    // of the code points, so if it does not match, none does.
    for (size_t i = 1; i < length; i++) {
        point = point << 6 | (i < size ? data[i] & 0x3FU : 0);
    }
    if (point < least[length]) {
        point = least[length];
    }
    point = reference_utf8_skip_surrogates(point);
    if (size > length || point > 0x10FFFF) {
        return false;
    }
    *whole = reference_utf8_encode(point, encoded);
    return *whole == length && memcmp(encoded, data, size) == 0;
}

static inline reference_utf8
reference_utf8_look(const uint8_t *data, size_t size)
{
    size_t at = 0;

    while (at < size) {
        size_t whole = 1;
        size_t good = 0;
        while (good < whole && at + good < size &&
               reference_utf8_begins(data + at, good + 1, &whole)) {
            good++;
        }
        if (good == 0 || good < whole) {
            return (reference_utf8){
                .bad = at + good < size || good == 0,
                .start = at,
                .good_end = at + good,
            };
        }
        at += whole;
    }
    return (reference_utf8){.valid = true, .start = size, .good_end = size};
}

#endif

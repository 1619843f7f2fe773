#include "utf8.h"

#include <string.h>

void
ws_utf8_init(ws_utf8 *utf8)
{
    *utf8 = (ws_utf8){0, 0, 0};
}

/* How many of the bytes are ASCII, from the first on; counts by eights, so
   up to 7 may be left out. */
static size_t
skip_ascii(const uint8_t *data, size_t size)
{
    size_t at = 0;

    while (size - at >= 8) {
        uint64_t eight;
        memcpy(&eight, data + at, 8);
        if ((eight & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
        at += 8;
    }
    return at;
}

/* Opens a sequence: the table of well-formed bytes (Unicode 3.9, table 3-7),
   in which only the second byte ever has a range of its own. */
static ws_utf8
lead(uint8_t byte)
{
    if (byte < 0x80) {
        return (ws_utf8){0, 0, 0};
    }
    if (byte >= 0xC2 && byte <= 0xDF) {
        return (ws_utf8){1, 0x80, 0xBF};
    }
    if (byte >= 0xE0 && byte <= 0xEF) {
        return (ws_utf8){2, byte == 0xE0 ? 0xA0 : 0x80,
                         byte == 0xED ? 0x9F : 0xBF};
    }
    if (byte >= 0xF0 && byte <= 0xF4) {
        return (ws_utf8){3, byte == 0xF0 ? 0x90 : 0x80,
                         byte == 0xF4 ? 0x8F : 0xBF};
    }
    return (ws_utf8){1, 1, 0};
}

static bool
failed(const ws_utf8 *utf8)
{
    return utf8->low > utf8->high;
}

static ws_utf8
next(ws_utf8 utf8, uint8_t byte)
{
    if (utf8.need == 0) {
        return lead(byte);
    }
    if (byte < utf8.low || byte > utf8.high) {
        return (ws_utf8){1, 1, 0};
    }
    return (ws_utf8){(uint8_t)(utf8.need - 1), 0x80, 0xBF};
}

/* How many bytes, from the first on, are whole sequences of two or three
   bytes whose second byte has no range of its own: nearly all that people
   write outside of ASCII. */
static size_t
skip_common(const uint8_t *data, size_t size)
{
    size_t at = 0;

    while (size - at >= 3 && (data[at + 1] & 0xC0) == 0x80) {
        uint8_t byte = data[at];
        if (byte >= 0xC2 && byte <= 0xDF) {
            at += 2;
        } else if (byte >= 0xE1 && byte <= 0xEC &&
                   (data[at + 2] & 0xC0) == 0x80) {
            at += 3;
        } else {
            break;
        }
    }
    return at;
}

/* How many bytes, from the first on, are surely whole and good sequences. */
static size_t
skip(const uint8_t *data, size_t size)
{
    return data[0] < 0x80 ? 1 + skip_ascii(data + 1, size - 1)
                          : skip_common(data, size);
}

bool
ws_utf8_feed(ws_utf8 *utf8, const uint8_t *data, size_t size)
{
    ws_utf8 now = *utf8;
    size_t at = 0;

    while (at < size && !failed(&now)) {
        size_t skipped = now.need == 0 ? skip(data + at, size - at) : 0;
        at += skipped;
        if (skipped == 0) {
            now = next(now, data[at++]);
        }
    }
    *utf8 = now;
    return !failed(&now);
}

bool
ws_utf8_complete(const ws_utf8 *utf8)
{
    return utf8->need == 0;
}

bool
ws_utf8_valid(const uint8_t *data, size_t size)
{
    ws_utf8 utf8;
    ws_utf8_init(&utf8);
    return ws_utf8_feed(&utf8, data, size) && ws_utf8_complete(&utf8);
}

ws_utf8_error
ws_utf8_error_at(const uint8_t *data, size_t size)
{
    ws_utf8 utf8;
    size_t start = 0; // of the sequence that is open

    ws_utf8_init(&utf8);
    for (size_t at = 0; at < size; at++) {
        if (utf8.need == 0) {
            start = at;
        }
        utf8 = next(utf8, data[at]);
        if (failed(&utf8)) {
            return at == start
                       ? (ws_utf8_error){at, at + 1, "invalid start byte"}
                       : (ws_utf8_error){start, at,
                                         "invalid continuation byte"};
        }
    }
    if (utf8.need > 0) {
        return (ws_utf8_error){start, size, "unexpected end of data"};
    }
    return (ws_utf8_error){SIZE_MAX, SIZE_MAX, "valid"};
}

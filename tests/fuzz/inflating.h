/*
 * inflating.h - a message through our inflater, cut as the fuzzer likes, into
 * as little room as it likes; no block is larger than it says.
 *
 * Threads: any; one inflater one thread at a time.
 * Owns:    an inflated owns its bytes until inflated_free.
 */
#ifndef WS_TESTS_INFLATING_H
#define WS_TESTS_INFLATING_H

#include "fuzz.h"
#include "proto/inflate.h"

enum { INFLATING_ROOM = 16384 }; /* bytes, where no cut says less */

typedef struct inflated {
    ws_inflate_result result; /* FULL: given up, there was too much */
    uint8_t *data;
    size_t size, room;
} inflated;

static inline void
inflated_free(inflated *got)
{
    free(got->data);
    *got = (inflated){.size = 0};
}

static inline void
inflated_put(inflated *got, const uint8_t *data, size_t size)
{
    if (got->size + size > got->room) {
        got->room = 2 * (got->size + size);
        got->data = realloc(got->data, got->room);
        CHECK(got->data != NULL);
    }
    if (size > 0) {
        memcpy(got->data + got->size, data, size);
    }
    got->size += size;
}

/* One call, for a piece or (`data` NULL) behind the last; true: there is
   more. */
static inline bool
inflate_some(ws_inflater *inflater, const uint8_t **data, size_t *size,
             fuzz_cuts *rooms, inflated *got)
{
    size_t room = fuzz_next_piece(rooms, INFLATING_ROOM);
    size_t made = SIZE_MAX;
    room = room == 0 ? 1 : room;
    uint8_t *out = malloc(room);
    CHECK(out != NULL);
    got->result = data == NULL
                      ? ws_inflate_end(inflater, out, room, &made)
                      : ws_inflate(inflater, data, size, out, room, &made);
    CHECK(made <= room);
    CHECK(got->result != WS_INFLATE_FULL || made == room);
    inflated_put(got, out, made);
    free(out);
    return got->result == WS_INFLATE_FULL;
}

/* False: it has ended, or made more than `most` bytes. */
static inline bool
inflate_piece(ws_inflater *inflater, const uint8_t *data, size_t size,
              fuzz_cuts *rooms, size_t most, inflated *got)
{
    uint8_t *copy = fuzz_copy(data, size);
    const uint8_t *at = copy;
    size_t left = size;

    while (inflate_some(inflater, &at, &left, rooms, got) &&
           got->size <= most) {
    }
    CHECK(at + left == copy + size);
    CHECK(got->result != WS_INFLATE_DONE || left == 0);
    free(copy);
    return got->result == WS_INFLATE_DONE;
}

/* The whole message, by an inflater that is ready for one. To be freed. */
static inline inflated
inflate_all(ws_inflater *inflater, const uint8_t *data, size_t size,
            fuzz_cuts cuts, fuzz_cuts rooms, size_t most)
{
    inflated got = {.result = WS_INFLATE_DONE};

    for (size_t at = 0; at < size;) {
        size_t piece = fuzz_next_piece(&cuts, size - at);
        if (!inflate_piece(inflater, data + at, piece, &rooms, most, &got)) {
            return got;
        }
        at += piece;
    }
    while (inflate_some(inflater, NULL, NULL, &rooms, &got) &&
           got.size <= most) {
    }
    return got;
}

#endif

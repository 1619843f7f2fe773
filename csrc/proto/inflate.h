/*
 * inflate.h - decompresses the messages of permessage-deflate, RFC 7692 7.2.2,
 * piece by piece, into as little room as the caller likes to give at a time.
 *
 * Each message stands by itself: the client was told not to refer back to
 * earlier ones.
 *
 * Threads: any; one inflater one thread at a time.
 * Owns:    zlib's state, 7 kB and a window of 32 kB, from the given heap.
 */
#ifndef WS_PROTO_INFLATE_H
#define WS_PROTO_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "heap.h"

typedef enum ws_inflate_result {
    WS_INFLATE_FULL, /* there is no more room; ask again */
    WS_INFLATE_DONE, /* the piece is used up, the message at its end */
    WS_INFLATE_BAD,  /* no compressed data, or their end is missing */
    WS_INFLATE_NOMEM,
} ws_inflate_result;

typedef struct ws_inflater ws_inflater;

/* Ready for a message. NULL: no memory. `heap` is kept. */
ws_inflater *ws_inflater_new(const ws_heap *heap);
void ws_inflater_free(ws_inflater *inflater); /* NULL does nothing */

/* Before each further message, whatever became of the last. */
void ws_inflater_reset(ws_inflater *inflater);

/*
 * Takes the next piece of a message: writes up to `room` (at least 1) bytes,
 * *made of them, and moves *data and *size past what it used. After BAD or
 * NOMEM only a reset or the end.
 *
 * A block that says it is the last ends nothing: what follows it is
 * decompressed as well, with an empty window (7.2.3.4).
 */
ws_inflate_result ws_inflate(ws_inflater *inflater, const uint8_t **data,
                             size_t *size, uint8_t *out, size_t room,
                             size_t *made);

/* The same behind the last piece. DONE: the message is whole. One without any
   bytes is taken for an empty one. */
ws_inflate_result ws_inflate_end(ws_inflater *inflater, uint8_t *out,
                                 size_t room, size_t *made);

#endif

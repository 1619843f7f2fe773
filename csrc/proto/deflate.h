/*
 * deflate.h - compresses whole messages for permessage-deflate, RFC 7692
 * 7.2.1, each by itself: no message refers back to one before it, so what was
 * made for one client serves all that have agreed on the same window.
 *
 * Threads: any; one deflater one thread at a time.
 * Owns:    zlib's state, a quarter of a megabyte, from the given heap.
 */
#ifndef WS_PROTO_DEFLATE_H
#define WS_PROTO_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

#include "heap.h"

/* Bits of the window, LZ77's look back. zlib's raw deflate has none of 8. */
enum { WS_DEFLATE_BITS_MIN = 9, WS_DEFLATE_BITS_MAX = 15 };

/* zlib's. On JSON of 1 and 16 kB it makes 0.34 and 0.26 of it; 1 makes 0.35
   and 0.27 in as much and in four fifths of the time, 6 makes 0.33 and 0.23 in
   1.2 and in 2.3 times as much. */
enum { WS_DEFLATE_LEVEL = 3 };

typedef struct ws_deflater ws_deflater;

/* NULL: no memory. `heap` is kept. */
ws_deflater *ws_deflater_new(const ws_heap *heap, int window_bits);
void ws_deflater_free(ws_deflater *deflater); /* NULL does nothing */

int ws_deflater_window_bits(const ws_deflater *deflater);

/* Writes the payload of a compressed message into out[room] and returns its
   size, at least 1. 0: it and four bytes more did not fit, or the message is
   over 4 GB; `out` holds nothing of use. */
size_t ws_deflate(ws_deflater *deflater, const uint8_t *data, size_t size,
                  uint8_t *out, size_t room);

#endif

/*
 * compress.h - permessage-deflate for the senders: encoders (see
 * core/encoder.h), and the few zlib states that they share.
 *
 * A message no larger than the client's window cannot look further back than
 * that whatever window it is compressed with; so it has one form for all.
 *
 * Threads: any.
 * Owns:    a bounded stock of idle zlib states, a quarter of a megabyte each.
 *          Each encoder is a reference to the whole.
 * Locks:   its own, a leaf, around the stock alone: never while compressing.
 */
#ifndef WS_NET_COMPRESS_H
#define WS_NET_COMPRESS_H

#include <stddef.h>

#include "core/encoder.h"
#include "proto/heap.h"

/* Messages below go as they are: of 128 bytes of JSON 19 could be saved, in
   the time of twenty sends; of 200, 64. */
enum { WS_COMPRESS_MIN = 200 };

/* Idle states that are kept: as many senders compress at once without making
   new ones. */
enum { WS_COMPRESS_IDLE_MAX = 4 };

typedef struct ws_compress ws_compress;

/* The heap of core/alloc.h, for zlib. */
extern const ws_heap ws_compress_heap;

/* One reference, the caller's. NULL: no memory. */
ws_compress *ws_compress_new(void);
void ws_compress_unref(ws_compress *compress); /* NULL does nothing */

/* The encoder for a client's window, WS_DEFLATE_BITS_MIN to
   WS_DEFLATE_BITS_MAX; a reference. */
ws_encoder *ws_compress_encoder(ws_compress *compress, int window_bits);

size_t ws_compress_idle(ws_compress *compress);

#endif

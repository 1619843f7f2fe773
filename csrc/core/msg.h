/*
 * msg.h - an immutable message shared by all its receivers.
 *
 * A message is a frame: a header of a few bytes, made by whoever knows the
 * protocol, and right behind it the payload. Server frames are not masked
 * (RFC 6455 5.1), so one frame serves every client.
 *
 * Threads: any; the bytes never change once the message is shared, the count
 *          is atomic.
 * Owns:    a private copy of header and payload, in one block.
 */
#ifndef WS_CORE_MSG_H
#define WS_CORE_MSG_H

#include <stddef.h>
#include <stdint.h>

typedef struct ws_msg ws_msg;

/* The largest server frame header: 2 bytes and a 64-bit length. */
#define WS_MSG_HEADER_MAX 10

/* Copies `size` bytes behind a header of `header_size` bytes (1 to
   WS_MSG_HEADER_MAX); `data` may be NULL when size is 0. Returns a message
   with one reference, the caller's; NULL: no memory. */
ws_msg *ws_msg_new(const uint8_t *header, size_t header_size, const void *data,
                   size_t size);

/* Adds a reference and returns `msg`, so that it reads as a copy. */
ws_msg *ws_msg_ref(ws_msg *msg);

/* Drops the caller's reference; the last one frees. NULL does nothing. */
void ws_msg_unref(ws_msg *msg);

/* Borrowed: valid while the caller holds a reference. */
const uint8_t *ws_msg_payload(const ws_msg *msg);
const uint8_t *ws_msg_frame(const ws_msg *msg);

/* Payload bytes, what a channel is charged; and bytes on the wire. */
size_t ws_msg_size(const ws_msg *msg);
size_t ws_msg_frame_size(const ws_msg *msg);

#endif

/*
 * msg.h - an immutable message shared by all its receivers.
 *
 * A message is a frame: a header of a few bytes, made by whoever knows the
 * protocol, and right behind it the payload. Server frames are not masked
 * (RFC 6455 5.1), so one frame serves every client. For clients that want it
 * in another form (compressed, say) it keeps that form, a message itself, once
 * somebody has made it; see encoder.h.
 *
 * Threads: any; the bytes never change once the message is shared, the count
 *          and the list of forms are atomic.
 * Owns:    a private copy of header and payload, in one block; a reference to
 *          each form.
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

/* The same for a form of another message, whose payload had `original` bytes:
   that is what a channel is charged for it, and what it tells as its size. */
ws_msg *ws_msg_new_form(const uint8_t *header, size_t header_size,
                        const void *data, size_t size, size_t original);

/* The form of that key; `msg` itself where it is as good as any; NULL: nobody
   has made it yet. Borrowed, like what follows, from `msg`. */
ws_msg *ws_msg_get_form(ws_msg *msg, unsigned key);

/* Keeps a form that was made, or `msg` itself; takes over the reference. Who
   is second to make one gets the first's. NULL: no memory, it is not kept. */
ws_msg *ws_msg_keep_form(ws_msg *msg, unsigned key, ws_msg *made);

/* Adds a reference and returns `msg`, so that it reads as a copy. */
ws_msg *ws_msg_ref(ws_msg *msg);

/* Drops the caller's reference; the last one frees. NULL does nothing. */
void ws_msg_unref(ws_msg *msg);

/* Borrowed: valid while the caller holds a reference. A form's payload is the
   encoded one. */
const uint8_t *ws_msg_payload(const ws_msg *msg);
const uint8_t *ws_msg_frame(const ws_msg *msg);

/* Payload bytes, before any encoding, what a channel is charged; and bytes on
   the wire. */
size_t ws_msg_size(const ws_msg *msg);
size_t ws_msg_frame_size(const ws_msg *msg);

#endif

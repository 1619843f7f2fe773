/*
 * frame_encode.h - a server's frames: never masked, RFC 6455 5.1.
 *
 * Threads: any; pure.
 * Owns:    nothing: it writes into the caller's buffers.
 */
#ifndef WS_PROTO_FRAME_ENCODE_H
#define WS_PROTO_FRAME_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"

/* Writes the header of a frame with `payload_size` bytes, below 2^63, in the
   shortest form there is. `flags`: WS_FRAME_FIN and WS_FRAME_RSV1, or 0.
   Returns its size, 2 to WS_FRAME_HEADER_MAX. */
size_t ws_frame_encode_header(uint8_t out[WS_FRAME_HEADER_MAX],
                              ws_opcode opcode, unsigned flags,
                              uint64_t payload_size);

/* Writes a whole Ping or Pong and returns its size. 0: the payload is longer
   than WS_FRAME_CONTROL_PAYLOAD_MAX, and nothing was written. `payload` may
   lie inside `out` where it will stand, at out + 2. */
size_t ws_frame_encode_control(uint8_t out[WS_FRAME_CONTROL_MAX],
                               ws_opcode opcode, const uint8_t *payload,
                               size_t size);

/*
 * Writes a whole Close and returns its size. WS_CLOSE_NO_STATUS makes one
 * with an empty body; it takes no reason.
 *
 * Returns 0, with nothing written, when the code may not be on the wire, or
 * the reason is over WS_CLOSE_REASON_MAX bytes or not UTF-8: nothing is ever
 * cut to fit.
 */
size_t ws_frame_encode_close(uint8_t out[WS_FRAME_CONTROL_MAX], uint16_t code,
                             const uint8_t *reason, size_t size);

#endif

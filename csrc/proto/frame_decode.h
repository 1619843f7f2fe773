/*
 * frame_decode.h - a client's frames, from any chunking of its bytes.
 *
 * Pull: the caller has bytes and asks for one event after the other until
 * WS_DECODE_NEED_MORE. It may stop after any event, keep the rest of its
 * bytes, and go on later. Payload is unmasked in place and handed out as it
 * comes, so the decoder never holds a message.
 *
 * Threads: any; one decoder one thread at a time.
 * Owns:    nothing. The limits are the caller's and outlive the decoder; the
 *          control buffer is the caller's, see WS_DECODE_NEED_BUFFER.
 */
#ifndef WS_PROTO_FRAME_DECODE_H
#define WS_PROTO_FRAME_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "utf8.h"

/* A bound for max_fragments that no sane client reaches: 8 MB sent in pieces
   of 64 bytes stay within it. */
#define WS_DECODE_MAX_FRAGMENTS UINT32_C(131072)

/* The most bytes of a compressed message that are handed out at a time: they
   may become a thousand times as many, and whoever inflates them may want to
   turn to something else in between. */
enum { WS_DECODE_COMPRESSED_PIECE = 1024 };

/* Shared by many decoders, so that each pays one pointer. */
typedef struct ws_decode_limits {
    uint64_t max_message_size; /* payload bytes of a message, over all of its
                                  frames */
    uint32_t max_fragments;    /* data frames of one message; at least 1 */
    uint64_t max_compressed_size;    /* the same of a compressed message; 0:
                                        compression was not negotiated */
    uint32_t compressed_frame_extra; /* bytes more for each frame that it has:
                                        who compresses piece by piece pays for
                                        each */
} ws_decode_limits;

typedef enum ws_decode_kind {
    /* All bytes are used up; nothing else is to be said. */
    WS_DECODE_NEED_MORE,
    /* The payload of a control frame comes in pieces and there is nowhere to
       join them. Lend WS_FRAME_CONTROL_PAYLOAD_MAX bytes and ask again. */
    WS_DECODE_NEED_BUFFER,
    /* A piece of the current message. */
    WS_DECODE_DATA,
    /* Control frames, whole; they may come between two pieces. */
    WS_DECODE_PING,
    WS_DECODE_PONG,
    WS_DECODE_CLOSE,
    /* The client broke a rule: close with event.code. */
    WS_DECODE_ERROR,
    /* An ERROR or a CLOSE went before; no byte is used any more. */
    WS_DECODE_DONE,
} ws_decode_kind;

typedef struct ws_decode_event {
    /* DATA: the piece. PING, PONG: the payload. CLOSE: the reason. It lies
       in the caller's bytes or in the lent buffer, and is valid until either
       is touched or the decoder is asked again. */
    uint8_t *data;
    size_t size; /* bytes; for DATA 0 only where `last` is set */

    /* DATA only. */
    uint64_t frame_left; /* bytes of this frame behind this piece: size plus
                            frame_left is what to make room for */
    ws_opcode opcode;    /* of the message: TEXT or BINARY */
    bool first;          /* the message's first piece */
    bool last;           /* its last: the message is complete */
    bool compressed;     /* the message has RSV1; its text is unchecked */

    uint16_t code;    /* CLOSE (1005: it gave none), ERROR */
    const char *text; /* ERROR: the broken rule, static; else NULL */
} ws_decode_event;

/* Private but for its size: embedded in each connection. */
typedef struct ws_frame_decoder {
    const ws_decode_limits *limits;
    uint8_t *control;      /* lent by the caller; NULL: none */
    uint64_t left;         /* payload bytes of this frame still to come */
    uint64_t message_size; /* declared by the message's frames so far */
    uint32_t fragments;    /* data frames of the message so far */
    uint8_t header[14];    /* of this frame, its masking key last */
    uint8_t header_size;   /* bytes of it collected */
    uint8_t control_size;  /* bytes collected in `control` */
    uint8_t state;
    uint8_t message_opcode; /* 0: between messages */
    uint8_t mask_phase;     /* which byte of the key is next */
    bool compressed;        /* the message has RSV1 */
    bool started;           /* the message's first piece was handed out */
    ws_utf8 utf8;           /* of the message's text */
} ws_frame_decoder;

/* Ready for the first byte behind the handshake. `limits` is kept. */
void ws_frame_decoder_init(ws_frame_decoder *dec,
                           const ws_decode_limits *limits);

/*
 * Returns the next event and moves *data and *size past the bytes it used.
 * The events, their pieces joined, do not depend on how the bytes were cut,
 * save for how much of a bad text is handed out before its ERROR.
 *
 * ERROR codes (RFC 6455 5.1 to 5.5, 7.4.1, 8.1):
 *   1002  a frame that is not masked, not in its shortest form, of a reserved
 *         opcode or with reserved bits; a control frame that is fragmented or
 *         over 125 bytes; a continuation of nothing, a new message inside an
 *         old one; a Close with a bad code or a body of one byte
 *   1007  text or a close reason that is not UTF-8, at the first bad byte
 *   1008  more frames than limits.max_fragments in one message
 *   1009  more bytes than limits.max_message_size, or in a compressed message
 *         than its limits there, as soon as declared
 * After an ERROR or a CLOSE all further calls return DONE and use nothing.
 */
ws_decode_kind ws_frame_decode(ws_frame_decoder *dec, uint8_t **data,
                               size_t *size, ws_decode_event *event);

/* Lends WS_FRAME_CONTROL_PAYLOAD_MAX bytes; the decoder must have none. May
   be done at any time: with a buffer, NEED_BUFFER never comes. */
void ws_frame_decoder_lend(ws_frame_decoder *dec, uint8_t *buffer);

/* Gives the lent buffer back for good, or NULL when there is none or it holds
   part of a control frame. */
uint8_t *ws_frame_decoder_reclaim(ws_frame_decoder *dec);

/* Ends the decoder: every further call to it returns DONE. Returns the lent
   buffer, whatever is in it, or NULL. */
uint8_t *ws_frame_decoder_finish(ws_frame_decoder *dec);

#endif

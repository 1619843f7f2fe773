/*
 * frame.h - what both directions of RFC 6455 5.2 have in common.
 *
 * Threads: any; constants only.
 */
#ifndef WS_PROTO_FRAME_H
#define WS_PROTO_FRAME_H

typedef enum ws_opcode {
    WS_OPCODE_CONTINUATION = 0x0,
    WS_OPCODE_TEXT = 0x1,
    WS_OPCODE_BINARY = 0x2,
    WS_OPCODE_CLOSE = 0x8,
    WS_OPCODE_PING = 0x9,
    WS_OPCODE_PONG = 0xA,
} ws_opcode;

/* Bits of a frame's first byte. */
enum {
    WS_FRAME_FIN = 0x80,  /* the message's last frame */
    WS_FRAME_RSV1 = 0x40, /* the message is compressed, RFC 7692 */
};

/* Sizes in bytes. */
enum {
    WS_FRAME_HEADER_MAX = 10, /* a server's: without a masking key */
    WS_FRAME_CONTROL_PAYLOAD_MAX = 125,
    WS_FRAME_CONTROL_MAX = 127, /* a server's control frame, with header */
};

#endif

/*
 * handshake_response.h - writes whole HTTP responses into a buffer.
 *
 * Threads: any; pure.
 * Owns:    nothing.
 *
 * Both writers return the bytes written, without a final NUL, or 0 when they
 * do not fit (what the buffer holds then is of no use). Header lines are
 * taken as they are: whoever lets an application choose them checks each
 * with ws_http_header_valid first, or it could write a response of its own.
 */
#ifndef WS_PROTO_HANDSHAKE_RESPONSE_H
#define WS_PROTO_HANDSHAKE_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "slice.h"

typedef struct ws_handshake_upgrade {
    ws_slice key;            /* the request's Sec-WebSocket-Key */
    const char *subprotocol; /* one that was offered; NULL: none */
    const char *extensions;  /* Sec-WebSocket-Extensions; NULL: none */
    const char *headers;     /* more lines, each with its CRLF; NULL: none */
} ws_handshake_upgrade;

/* Writes the 101. 0 also when libcrypto refused, see
   ws_handshake_accept_key. Without headers 256 bytes are enough, plus
   subprotocol and extensions. */
size_t ws_handshake_switch(char *buf, size_t size,
                           const ws_handshake_upgrade *upgrade);

typedef struct ws_handshake_answer {
    int status;               /* 200 to 599, but no 204 or 304: those
                                 have no body */
    const char *content_type; /* NULL: plain text in UTF-8 */
    ws_slice body;            /* data may be NULL when head_only */
    const char *headers;      /* more lines, each with its CRLF; NULL: none */
    bool head_only;           /* leave the body out, but give its size: for
                                 HEAD, or when it is sent from elsewhere */
} ws_handshake_answer;

/* Writes a response after which the connection is closed. A 426 gets the
   Upgrade header it must have (RFC 9110 15.5.22) and Sec-WebSocket-Version.
   Without headers 256 bytes and the body's size are enough. */
size_t ws_handshake_response(char *buf, size_t size,
                             const ws_handshake_answer *answer);

/* "Not Found" for 404; "" for a status without a name. Static. */
const char *ws_handshake_status_text(int status);

#endif

/*
 * handshake.h - what to answer to a request: RFC 6455 4.2.
 *
 * Decides by the request alone. Whether the path exists, the origin is
 * welcome (origin.h) and there is room is for the caller to ask, after this.
 *
 * Threads: any; pure.
 * Owns:    nothing; slices point into the request's bytes.
 */
#ifndef WS_PROTO_HANDSHAKE_H
#define WS_PROTO_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http_request.h"
#include "slice.h"

typedef enum ws_handshake_kind {
    WS_HANDSHAKE_UPGRADE, /* a correct opening handshake */
    WS_HANDSHAKE_PLAIN,   /* a GET or HEAD that asks for something else */
    WS_HANDSHAKE_REFUSE,  /* answer with status, reason and headers */
} ws_handshake_kind;

typedef struct ws_handshake {
    ws_handshake_kind kind;
    bool head_only; /* the method is HEAD: the answer has no body */

    /* UPGRADE */
    ws_slice key;    /* Sec-WebSocket-Key, 24 characters */
    ws_slice origin; /* Origin, as sent; data NULL: there is none */

    /* REFUSE */
    uint16_t status;
    const char *reason;  /* for the body, static */
    const char *headers; /* more header lines, each with its CRLF; static */
} ws_handshake;

/*
 * Judges a COMPLETE request.
 *
 * A request that has an Upgrade to websocket or a Sec-WebSocket-Key wants to
 * be a WebSocket: it is UPGRADE or REFUSE, never PLAIN. Otherwise a GET or
 * HEAD is PLAIN, also by HTTP/1.0. REFUSE comes with
 *   400  Host not exactly once (HTTP/1.0 may lack it) or malformed; a body
 *        announced; an upgrade by HTTP/1.0 or without "Connection: upgrade";
 *        a key that is not 16 bytes in base64, exactly once; a subprotocol
 *        that is not a token; two Origins
 *   405  a method other than GET, or than GET and HEAD when no upgrade
 *   426  a Sec-WebSocket-Key without "Upgrade: websocket"; a
 *        Sec-WebSocket-Version other than 13, exactly once
 */
void ws_handshake_judge(const ws_http_request *req, ws_handshake *out);

/* Whether the client offered this subprotocol; case matters. */
bool ws_handshake_offers(const ws_http_request *req, ws_slice subprotocol);

/* The first of ours that the client offers: the server's order decides.
   NULL: none, which is no error (RFC 6455 4.2.2: the header is left out). */
const char *ws_handshake_select(const ws_http_request *req,
                                const char *const *ours, size_t count);

enum { WS_HANDSHAKE_ACCEPT_SIZE = 28 };

/* Writes Sec-WebSocket-Accept for a key (RFC 6455 4.2.2) and a final NUL.
   False, and out is "": libcrypto refused (out of memory, or no SHA-1). */
bool ws_handshake_accept_key(ws_slice key,
                             char out[WS_HANDSHAKE_ACCEPT_SIZE + 1]);

#endif

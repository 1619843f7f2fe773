/*
 * deflate_offer.h - the handshake's part of permessage-deflate: RFC 7692 7.1,
 * in a Sec-WebSocket-Extensions header of RFC 6455 9.1.
 *
 * Neither side refers back to earlier messages: the server's do not, so that
 * one compressed message serves all clients; the client's must not, so that
 * nothing is kept for it between messages.
 *
 * Threads: any; pure.
 * Owns:    nothing.
 */
#ifndef WS_PROTO_DEFLATE_OFFER_H
#define WS_PROTO_DEFLATE_OFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "http_request.h"

typedef struct ws_deflate_agreement {
    int window_bits; /* of what the server compresses: WS_DEFLATE_BITS_MIN to
                        WS_DEFLATE_BITS_MAX; 0: nothing was agreed on */
    bool bits_asked; /* the client has asked for a window of that size */
} ws_deflate_agreement;

/*
 * Takes the first offer of permessage-deflate that is in order. One with a
 * parameter that is unknown, given twice, or of a value that it cannot have
 * (or lacks) is passed over, as the RFC wants; so is one that asks for
 * server_max_window_bits=8, which zlib cannot do. None that is left is no
 * error, nor are other extensions: the answer just does not mention them.
 *
 * False: the header is no list of extensions. RFC 6455 9.1 has the connection
 * fail then.
 */
bool ws_deflate_negotiate(const ws_http_request *req,
                          ws_deflate_agreement *out);

enum { WS_DEFLATE_RESPONSE_MAX = 128 };

/* Writes the value of the answer's Sec-WebSocket-Extensions, and a NUL.
   Something was agreed on. */
void ws_deflate_response(const ws_deflate_agreement *agreement,
                         char out[WS_DEFLATE_RESPONSE_MAX]);

#endif

/*
 * message.h - what the application sends, made ready for the wire: the core
 * knows messages as bytes, the protocol knows frames.
 *
 * Threads: any.
 * Owns:    nothing; messages are the caller's.
 */
#ifndef WS_NET_MESSAGE_H
#define WS_NET_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/msg.h"
#include "proto/utf8.h"

typedef enum ws_message_kind {
    WS_MESSAGE_BINARY,
    WS_MESSAGE_TEXT,      /* known to be valid UTF-8 */
    WS_MESSAGE_UNCHECKED, /* text, to be checked */
} ws_message_kind;

/*
 * Copies `data` into one unfragmented, unmasked frame; one reference, the
 * caller's. NULL: no memory, or *invalid.start tells that it is not UTF-8
 * (SIZE_MAX otherwise). The check is made on the copy, so that bytes which
 * change meanwhile do no harm. `invalid` may be NULL unless UNCHECKED.
 */
ws_msg *ws_message_new(ws_message_kind kind, const void *data, size_t size,
                       ws_utf8_error *invalid);

/* NULL, or a static text that says what is wrong with a Close of the
   application's (RFC 6455 7.4): a code that may not be sent, a reason over
   123 bytes. The reason is valid UTF-8 already. */
const char *ws_message_close_error(long code, size_t reason_size);

/* What fits with all else into a pump's buffer. */
enum {
    WS_MESSAGE_HEADERS_MAX = 8192, /* bytes of header lines, each with CRLF */
    WS_MESSAGE_BODY_MAX = 4096,    /* bytes of an answer's body */
};

/* NULL, or a static text that says what is wrong with a header line of the
   application's, in an answer or in a 101: not valid, not ASCII, or one that
   is ours. */
const char *ws_message_header_error(const char *name, size_t name_size,
                                    const char *value, size_t value_size);

/* Whether the text may be offered as a subprotocol: a token. */
bool ws_message_subprotocol_valid(const char *text);

/* Whether the text is an origin rule, see proto/origin.h. */
bool ws_message_origin_valid(const char *text);

#endif

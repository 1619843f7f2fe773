/*
 * query.h - one parameter of a URL's query, decoded.
 *
 * Threads: any; pure.
 * Owns:    nothing: it writes into the caller's buffer.
 */
#ifndef WS_PROTO_QUERY_H
#define WS_PROTO_QUERY_H

#include <stddef.h>

#include "slice.h"

typedef enum ws_query_result {
    WS_QUERY_FOUND,
    WS_QUERY_MISSING,
    WS_QUERY_REPEATED, /* twice or more: which one counts is anyone's guess */
    WS_QUERY_INVALID,  /* a bad percent code, not UTF-8, or a control
                          character (U+0000 to U+001F, U+007F to U+009F) */
    WS_QUERY_TOO_LONG, /* longer, decoded, than the buffer */
} ws_query_result;

/*
 * Finds the parameter `name` (decoded, it may not be empty) in `query` (as
 * ws_http_query gives it) and decodes its value: percent codes, and '+' for a
 * blank. When FOUND, out[0 .. *out_size) is valid UTF-8, perhaps empty;
 * otherwise *out_size is 0. A parameter without '=' has an empty value. Others
 * may be malformed.
 */
ws_query_result ws_query_get(ws_slice query, const char *name, char *out,
                             size_t out_max, size_t *out_size);

#endif

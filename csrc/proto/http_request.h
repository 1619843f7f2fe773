/*
 * http_request.h - the head of one HTTP/1.x request, strictly.
 *
 * RFC 9112 without its leniencies, since the bytes come from anywhere: lines
 * end with CRLF, no line is folded, no blank stands before a colon, no
 * control character stands anywhere. What it finds stays in the caller's
 * bytes; the request only notes where.
 *
 * Threads: any; one request one thread at a time, read-only by many.
 * Owns:    nothing. All slices point into the bytes of the latest
 *          ws_http_parse; see ws_http_moved.
 */
#ifndef WS_PROTO_HTTP_REQUEST_H
#define WS_PROTO_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"

enum {
    WS_HTTP_HEAD_MAX = 8192,  /* bytes, with the empty line at the end */
    WS_HTTP_HEADERS_MAX = 64, /* header lines */
};

typedef enum ws_http_result {
    WS_HTTP_INCOMPLETE,
    WS_HTTP_COMPLETE,
    WS_HTTP_ERROR,
} ws_http_result;

/* Offsets into the request's bytes. */
typedef struct ws_http_span {
    uint16_t at, size;
} ws_http_span;

typedef struct ws_http_header {
    ws_http_span name;
    ws_http_span value; /* trimmed */
} ws_http_header;

typedef struct ws_http_request {
    const char *base;  /* the bytes of the latest ws_http_parse */
    const char *error; /* ERROR: the broken rule, static */
    uint16_t status;   /* ERROR: the status to answer with; else 0 */

    /* Set when COMPLETE. */
    uint16_t head_size;    /* bytes of the head; what follows is not HTTP */
    uint8_t minor_version; /* 1 for HTTP/1.1, 0 for HTTP/1.0 */
    uint8_t header_count;
    bool has_query; /* there was a '?', be there anything behind it or not */

    /* Private. */
    uint16_t scanned; /* bytes looked at, in all calls together */
    uint16_t line_at; /* where the line begins that is being read */
    ws_http_span method, authority, path, query;
    ws_http_header headers[WS_HTTP_HEADERS_MAX];
} ws_http_request;

/* Before the first byte. */
void ws_http_init(ws_http_request *req);

/*
 * Goes on reading at the byte where the last call stopped. `data` holds all
 * bytes so far, from the first one; it may have moved since. Once COMPLETE or
 * ERROR it stays so, whatever comes.
 *
 * On ERROR req->status is one of
 *   400  not HTTP, or not strictly; a target that is neither a path nor an
 *        http or https URL, or has a fragment
 *   414  the request line alone is over WS_HTTP_HEAD_MAX
 *   431  the head is over WS_HTTP_HEAD_MAX, or has too many lines
 *   505  HTTP, but neither 1.1 nor 1.0
 *
 * An empty line before the request is refused, too: this is the connection's
 * first request, so there is no sloppy one before it to make up for. A URL
 * as the target (RFC 9112 3.2.2) is taken apart: it gives path, query and
 * host.
 */
ws_http_result ws_http_parse(ws_http_request *req, const char *data,
                             size_t size);

/* Tells a request that its bytes are now at `data`. */
void ws_http_moved(ws_http_request *req, const char *data);

/* Of a COMPLETE request. The path begins with '/' and is, like the query
   (without its '?'), as it was sent: percent-encoded. */
ws_slice ws_http_method(const ws_http_request *req);
ws_slice ws_http_path(const ws_http_request *req);
ws_slice ws_http_query(const ws_http_request *req);

/* host[:port] of the target when that is a URL, which then beats the Host
   header (RFC 9112 3.2.2), else the first Host header; may be empty. */
ws_slice ws_http_host(const ws_http_request *req);

/* The i-th header, i < req->header_count, in the order sent. Values are
   trimmed and may hold bytes above 0x7F. */
ws_slice ws_http_name_at(const ws_http_request *req, size_t i);
ws_slice ws_http_value_at(const ws_http_request *req, size_t i);

/* The value of the nth header (0: the first) of that name, in any case.
   False, and *value is empty, when there are not so many. `value` may be
   NULL. */
bool ws_http_find(const ws_http_request *req, const char *name, size_t nth,
                  ws_slice *value);

/* How many headers have that name. */
size_t ws_http_count(const ws_http_request *req, const char *name);

/*
 * The items of a comma-separated header, over all of its lines (RFC 9110
 * 5.6.1), trimmed; empty ones are left out:
 *
 *     ws_http_list list = ws_http_list_of(req, "Sec-WebSocket-Protocol");
 *     for (ws_slice item; ws_http_list_next(&list, &item);) ...
 *
 * Quoted strings are not understood: a comma always separates.
 */
typedef struct ws_http_list {
    const ws_http_request *req;
    const char *name;
    size_t nth;    /* the line to look at next */
    ws_slice rest; /* of the line being looked at */
} ws_http_list;

ws_http_list ws_http_list_of(const ws_http_request *req, const char *name);
bool ws_http_list_next(ws_http_list *list, ws_slice *item);

/* Whether the comma-separated header has that item, in any case. */
bool ws_http_has_item(const ws_http_request *req, const char *name,
                      const char *item);

/* Whether the two may be sent as a header: a token, and a value without
   control characters (a tab is fine) and without blanks around it. */
bool ws_http_header_valid(ws_slice name, ws_slice value);

#endif

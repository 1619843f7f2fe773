/*
 * utf8.h - tells whether bytes are UTF-8, in pieces or at once.
 *
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above
 * U+10FFFF. RFC 6455 8.1 wants it of every text message and close reason.
 *
 * Threads: any; one ws_utf8 one thread at a time.
 * Owns:    nothing; the state is four bytes, to be embedded and copied.
 */
#ifndef WS_PROTO_UTF8_H
#define WS_PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ws_utf8 {
    uint8_t need; /* continuation bytes that the open sequence still lacks */
    uint8_t low;  /* the next of them lies from low ... */
    uint8_t high; /* ... to high; low > high: failed for good */
} ws_utf8;

typedef struct ws_utf8_error {
    size_t start;       /* first byte of the bad sequence; SIZE_MAX: none */
    size_t end;         /* the byte behind its part that was still good; at
                           least start + 1 */
    const char *reason; /* static; in the words of Python's decoder */
} ws_utf8_error;

void ws_utf8_init(ws_utf8 *utf8);

/* Takes the next `size` bytes of the text. False at the first byte that can
   no longer be part of any valid text; from then on always false. */
bool ws_utf8_feed(ws_utf8 *utf8, const uint8_t *data, size_t size);

/* True when the text may end here: no sequence is open, nothing failed. */
bool ws_utf8_complete(const ws_utf8 *utf8);

/* True when the bytes are valid and complete. */
bool ws_utf8_valid(const uint8_t *data, size_t size);

/* Where and why `data` is not UTF-8: the start, end and reason that Python's
   UnicodeDecodeError carries for the same bytes. */
ws_utf8_error ws_utf8_error_at(const uint8_t *data, size_t size);

#endif

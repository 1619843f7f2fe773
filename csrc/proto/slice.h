/*
 * slice.h - a piece of text that somebody else owns, and the ASCII rules of
 * HTTP for looking at it.
 *
 * Threads: any; pure.
 * Owns:    nothing: a slice is valid as long as the bytes it points to.
 */
#ifndef WS_PROTO_SLICE_H
#define WS_PROTO_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct ws_slice {
    const char *data; /* not terminated; may be NULL when size is 0 */
    size_t size;      /* bytes */
} ws_slice;

static inline ws_slice
ws_slice_of(const char *text)
{
    return (ws_slice){text, strlen(text)};
}

static inline bool
ws_slice_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline char
ws_slice_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static inline bool
ws_slice_is_alnum(char c)
{
    char low = ws_slice_lower(c);
    return (low >= 'a' && low <= 'z') || ws_slice_is_digit(c);
}

static inline bool
ws_slice_equal(ws_slice a, ws_slice b)
{
    return a.size == b.size &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Without regard to ASCII case; other bytes must be the same. */
static inline bool
ws_slice_equal_nocase(ws_slice a, ws_slice b)
{
    if (a.size != b.size) {
        return false;
    }
    for (size_t i = 0; i < a.size; i++) {
        if (ws_slice_lower(a.data[i]) != ws_slice_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

/* The slice from `at` on; at <= s.size. */
static inline ws_slice
ws_slice_from(ws_slice s, size_t at)
{
    return (ws_slice){s.size > 0 ? s.data + at : s.data, s.size - at};
}

/* Where `c` first stands, or s.size. */
static inline size_t
ws_slice_index(ws_slice s, char c)
{
    size_t at = 0;
    while (at < s.size && s.data[at] != c) {
        at++;
    }
    return at;
}

/* Without leading and trailing blanks and tabs (OWS, RFC 9110 5.6.3). */
static inline ws_slice
ws_slice_trim(ws_slice s)
{
    while (s.size > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s = ws_slice_from(s, 1);
    }
    while (s.size > 0 &&
           (s.data[s.size - 1] == ' ' || s.data[s.size - 1] == '\t')) {
        s.size--;
    }
    return s;
}

/* A token, RFC 9110 5.6.2: what methods, header names and subprotocols are
   made of. Never empty. */
static inline bool
ws_slice_is_token(ws_slice s)
{
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (!ws_slice_is_alnum(c) &&
            (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL)) {
            return false;
        }
    }
    return s.size > 0;
}

#endif

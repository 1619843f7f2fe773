/*
 * reference_extensions.h - a second opinion on Sec-WebSocket-Extensions: first
 * all of a line is cut into its signs, then the grammar of RFC 6455 9.1 is
 * looked for in them, then the parameters are judged by RFC 7692 7.1.
 *
 * Threads: any; pure.
 * Owns:    nothing.
 */
#ifndef WS_TESTS_REFERENCE_EXTENSIONS_H
#define WS_TESTS_REFERENCE_EXTENSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "reference_http.h"

/* A sign's kind is its character; words and quoted words are 'w' and 'q', the
   end is '.'. */
enum { REFERENCE_SIGNS_MAX = 4096 };

typedef struct reference_signs {
    size_t count;
    char kinds[REFERENCE_SIGNS_MAX];
    const char *words[REFERENCE_SIGNS_MAX];
    char text[2 * REFERENCE_SIGNS_MAX]; /* the words, each with a NUL */
} reference_signs;

/* One offer of permessage-deflate; flags say what was given how often. */
typedef struct reference_offer {
    bool ours, bad;
    int server_no, client_no, server_bits_given, client_bits_given;
    int server_bits;
} reference_offer;

typedef struct reference_agreement {
    bool malformed;
    int bits; /* 0: nothing agreed on */
    bool asked;
} reference_agreement;

/* Behind the opening quote; returns what is behind the closing one, or NULL.
 */
static inline const char *
reference_unquote(const char *in, char **out)
{
    char *begin = *out;

    for (; *in != '"'; in++) {
        in += *in == '\\';
        if (*in == '\0') {
            return NULL;
        }
        *(*out)++ = *in;
    }
    *(*out)++ = '\0';
    return reference_http_is_token(begin) ? in + 1 : NULL;
}

/* False: there is something that is no sign. */
static inline bool
reference_cut_signs(const char *in, reference_signs *signs)
{
    char *out = signs->text;

    signs->count = 0;
    for (in += strspn(in, " \t"); *in != '\0'; in += strspn(in, " \t")) {
        CHECK(signs->count < REFERENCE_SIGNS_MAX - 1);
        size_t at = signs->count++;
        size_t word = strspn(in, REFERENCE_TOKEN_CHARS);
        signs->words[at] = out;
        signs->kinds[at] = *in;
        if (*in == '"') {
            signs->kinds[at] = 'q';
            in = reference_unquote(in + 1, &out);
            if (in == NULL) {
                return false;
            }
        } else if (word > 0) {
            signs->kinds[at] = 'w';
            memcpy(out, in, word);
            out[word] = '\0';
            out += word + 1;
            in += word;
        } else if (strchr(",;=", *in++) == NULL) {
            return false;
        }
    }
    signs->kinds[signs->count] = '.';
    return true;
}

/* A number that is written in the one way there is, or 0. */
static inline int
reference_bits(const char *text)
{
    char again[16];
    int bits = atoi(text);

    (void)snprintf(again, sizeof again, "%d", bits);
    return strcmp(text, again) == 0 && bits >= 8 && bits <= 15 ? bits : 0;
}

/* `value` NULL: there is none. */
static inline void
reference_parameter(reference_offer *offer, const char *name,
                    const char *value)
{
    int bits = value == NULL ? 0 : reference_bits(value);

    if (strcmp(name, "server_no_context_takeover") == 0) {
        offer->bad |= offer->server_no++ > 0 || value != NULL;
    } else if (strcmp(name, "client_no_context_takeover") == 0) {
        offer->bad |= offer->client_no++ > 0 || value != NULL;
    } else if (strcmp(name, "server_max_window_bits") == 0) {
        offer->bad |= offer->server_bits_given++ > 0 || bits < 9;
        offer->server_bits = bits;
    } else if (strcmp(name, "client_max_window_bits") == 0) {
        offer->bad |=
            offer->client_bits_given++ > 0 || (value != NULL && bits == 0);
    } else {
        offer->bad = true;
    }
}

/* The extension at signs[*at]; false: it is none. */
static inline bool
reference_extension(const reference_signs *signs, size_t *at,
                    reference_offer *offer)
{
    const char *kinds = signs->kinds + *at;
    const char *const *words = signs->words + *at;
    size_t i = 1;

    *offer = (reference_offer){.ours = false};
    if (kinds[0] != 'w') {
        return false;
    }
    offer->ours = strcmp(words[0], "permessage-deflate") == 0;
    while (kinds[i] == ';') {
        if (kinds[i + 1] != 'w') {
            return false;
        }
        bool valued = kinds[i + 2] == '=';
        if (valued && kinds[i + 3] != 'w' && kinds[i + 3] != 'q') {
            return false;
        }
        reference_parameter(offer, words[i + 1], valued ? words[i + 3] : NULL);
        i += valued ? 4 : 2;
    }
    *at += i;
    return kinds[i] == ',' || kinds[i] == '.';
}

/* Adds a line of the header to what was agreed on. */
static inline void
reference_extensions(const char *line, reference_agreement *out)
{
    static reference_signs signs;
    size_t at = 0;

    if (!reference_cut_signs(line, &signs)) {
        out->malformed = true;
        return;
    }
    while (at < signs.count) {
        reference_offer offer;
        if (signs.kinds[at] == ',') {
            at++;
            continue;
        }
        if (!reference_extension(&signs, &at, &offer)) {
            out->malformed = true;
            return;
        }
        if (out->bits == 0 && offer.ours && !offer.bad) {
            out->asked = offer.server_bits_given > 0;
            out->bits = out->asked ? offer.server_bits : 15;
        }
    }
}

#endif

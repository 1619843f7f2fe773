#include "deflate_offer.h"

#include <assert.h>
#include <stdio.h>

#include "deflate.h"

/* A parameter, or an extension's name, which stands like one without value. */
typedef struct param {
    ws_slice name;
    bool has_value;
    size_t value_size; // unescaped
    char value[4];     // its first bytes: what counts has at most two
} param;

/* What the offer has said so far. */
typedef struct offer {
    bool ours;     // it is of permessage-deflate
    bool declined; // and something about it is wrong
    bool server_no_takeover, client_no_takeover;
    bool server_bits_seen, client_bits_seen;
    int server_bits;
} offer;

static void
skip_blanks(ws_slice *rest)
{
    while (rest->size > 0 && (rest->data[0] == ' ' || rest->data[0] == '\t')) {
        *rest = ws_slice_from(*rest, 1);
    }
}

/* Whether the next thing is this character, which is passed then. */
static bool
take(ws_slice *rest, char c)
{
    skip_blanks(rest);
    if (rest->size == 0 || rest->data[0] != c) {
        return false;
    }
    *rest = ws_slice_from(*rest, 1);
    return true;
}

static bool
is_token_char(char c)
{
    return ws_slice_is_token((ws_slice){&c, 1});
}

static bool
take_token(ws_slice *rest, ws_slice *token)
{
    size_t size = 0;
    skip_blanks(rest);
    while (size < rest->size && is_token_char(rest->data[size])) {
        size++;
    }
    *token = (ws_slice){rest->data, size};
    *rest = ws_slice_from(*rest, size);
    return size > 0;
}

static void
add_to_value(param *p, char c)
{
    if (p->value_size < sizeof p->value) {
        p->value[p->value_size] = c;
    }
    p->value_size++;
}

/* Behind its opening quote; what it says must be a token all the same. */
static bool
take_quoted(ws_slice *rest, param *p)
{
    while (rest->size > 0 && rest->data[0] != '"') {
        if (rest->data[0] == '\\') {
            *rest = ws_slice_from(*rest, 1);
        }
        if (rest->size == 0 || !is_token_char(rest->data[0])) {
            return false;
        }
        add_to_value(p, rest->data[0]);
        *rest = ws_slice_from(*rest, 1);
    }
    return take(rest, '"') && p->value_size > 0;
}

static bool
take_value(ws_slice *rest, param *p)
{
    ws_slice token;
    p->has_value = true;
    if (take(rest, '"')) {
        return take_quoted(rest, p);
    }
    if (!take_token(rest, &token)) {
        return false;
    }
    for (size_t i = 0; i < token.size; i++) {
        add_to_value(p, token.data[i]);
    }
    return true;
}

static bool
take_param(ws_slice *rest, param *p)
{
    *p = (param){.has_value = false};
    return take_token(rest, &p->name) &&
           (!take(rest, '=') || take_value(rest, p));
}

static bool
is_named(const param *p, const char *name)
{
    return ws_slice_equal(p->name, ws_slice_of(name));
}

/* 8 to 15, without a leading zero; 0: it is not. */
static int
bits_of(const param *p)
{
    if (p->value_size == 1) {
        return p->value[0] == '8' || p->value[0] == '9' ? p->value[0] - '0'
                                                        : 0;
    }
    if (p->value_size == 2 && p->value[0] == '1' && p->value[1] >= '0' &&
        p->value[1] <= '5') {
        return 10 + p->value[1] - '0';
    }
    return 0;
}

/* Notes that a parameter was given; false: it was before. */
static bool
once(bool *seen)
{
    bool first = !*seen;
    *seen = true;
    return first;
}

/* Whether the parameter may stand where it does. */
static bool
heed(offer *o, const param *p)
{
    if (is_named(p, "server_no_context_takeover")) {
        return once(&o->server_no_takeover) && !p->has_value;
    }
    if (is_named(p, "client_no_context_takeover")) {
        return once(&o->client_no_takeover) && !p->has_value;
    }
    if (is_named(p, "server_max_window_bits")) {
        o->server_bits = bits_of(p);
        return once(&o->server_bits_seen) &&
               o->server_bits >= WS_DEFLATE_BITS_MIN;
    }
    if (is_named(p, "client_max_window_bits")) {
        return once(&o->client_bits_seen) &&
               (!p->has_value || bits_of(p) != 0);
    }
    return false;
}

/* An extension with its parameters. */
static bool
take_offer(ws_slice *rest, offer *o)
{
    param p = {.has_value = false};
    *o = (offer){.ours = false};
    if (!take_token(rest, &p.name)) {
        return false;
    }
    o->ours = is_named(&p, "permessage-deflate");
    while (take(rest, ';')) {
        if (!take_param(rest, &p)) {
            return false;
        }
        o->declined = o->declined || !heed(o, &p);
    }
    return true;
}

static void
consider(const offer *o, ws_deflate_agreement *out)
{
    if (out->window_bits == 0 && o->ours && !o->declined) {
        out->bits_asked = o->server_bits_seen;
        out->window_bits =
            o->server_bits_seen ? o->server_bits : WS_DEFLATE_BITS_MAX;
    }
}

/* One line; empty items of a list do no harm (RFC 9110 5.6.1). */
static bool
take_line(ws_slice rest, ws_deflate_agreement *out)
{
    offer o;
    for (;;) {
        while (take(&rest, ',')) {
        }
        if (rest.size == 0) {
            return true;
        }
        if (!take_offer(&rest, &o)) {
            return false;
        }
        consider(&o, out);
        if (rest.size > 0 && !take(&rest, ',')) {
            return false;
        }
    }
}

bool
ws_deflate_negotiate(const ws_http_request *req, ws_deflate_agreement *out)
{
    ws_slice line;
    *out = (ws_deflate_agreement){.window_bits = 0};
    for (size_t i = 0; ws_http_find(req, "Sec-WebSocket-Extensions", i, &line);
         i++) {
        if (!take_line(line, out)) {
            out->window_bits = 0;
            return false;
        }
    }
    return true;
}

void
ws_deflate_response(const ws_deflate_agreement *agreement,
                    char out[WS_DEFLATE_RESPONSE_MAX])
{
    assert(agreement->window_bits >= WS_DEFLATE_BITS_MIN);
    assert(agreement->window_bits <= WS_DEFLATE_BITS_MAX);

    static const char always[] = "permessage-deflate; "
                                 "server_no_context_takeover; "
                                 "client_no_context_takeover";
    if (agreement->bits_asked) {
        (void)snprintf(out, WS_DEFLATE_RESPONSE_MAX,
                       "%s; server_max_window_bits=%d", always,
                       agreement->window_bits);
    } else {
        (void)snprintf(out, WS_DEFLATE_RESPONSE_MAX, "%s", always);
    }
}

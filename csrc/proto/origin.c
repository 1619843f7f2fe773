#include "origin.h"

#include <stdint.h>

/* scheme://host:port or host:port, taken apart. */
typedef struct {
    ws_slice scheme; // empty: none
    ws_slice host;   // IPv6 with its brackets
    uint32_t port;   // NO_PORT: none given
} place;

#define NO_PORT UINT32_MAX

/* Digits up to 65535; nothing at all is no port (RFC 3986 3.2.3). */
static bool
read_port(ws_slice text, uint32_t *port)
{
    uint32_t number = 0;

    for (size_t i = 0; i < text.size; i++) {
        if (!ws_slice_is_digit(text.data[i])) {
            return false;
        }
        number = number * 10 + (uint32_t)(text.data[i] - '0');
        if (number > UINT16_MAX) {
            return false;
        }
    }
    *port = text.size > 0 ? number : NO_PORT;
    return true;
}

/* What a registered name or an IPv4 address is made of. The comma that
   RFC 3986 allows too is left out: it is the trace of two hosts joined. */
static bool
is_name_char(char c)
{
    return ws_slice_is_alnum(c) ||
           (c != '\0' && strchr("-._~%!$&'()*+;=", c) != NULL);
}

static bool
is_address_char(char c)
{
    char low = ws_slice_lower(c);
    return ws_slice_is_digit(c) || (low >= 'a' && low <= 'f') || c == ':' ||
           c == '.';
}

/* Bytes of the host that `text` begins with; 0: it begins with none. */
static size_t
host_size(ws_slice text)
{
    bool bracket = text.size > 0 && text.data[0] == '[';
    size_t at = bracket ? 1 : 0;

    while (at < text.size && (bracket ? is_address_char(text.data[at])
                                      : is_name_char(text.data[at]))) {
        at++;
    }
    if (!bracket) {
        return at;
    }
    return at > 1 && at < text.size && text.data[at] == ']' ? at + 1 : 0;
}

static bool
read_host(ws_slice text, place *out)
{
    size_t size = host_size(text);

    out->host = (ws_slice){text.data, size};
    out->port = NO_PORT;
    if (size == 0 || size == text.size) {
        return size > 0;
    }
    return text.data[size] == ':' &&
           read_port(ws_slice_from(text, size + 1), &out->port);
}

static bool
is_scheme(ws_slice s)
{
    for (size_t i = 0; i < s.size; i++) {
        char c = s.data[i];
        if (!ws_slice_is_alnum(c) && c != '+' && c != '-' && c != '.') {
            return false;
        }
    }
    return s.size > 0 && !ws_slice_is_digit(s.data[0]);
}

static bool
read_origin(ws_slice text, place *out)
{
    size_t colon = ws_slice_index(text, ':');

    if (text.size - colon < 3 || memcmp(text.data + colon, "://", 3) != 0) {
        return false;
    }
    out->scheme = (ws_slice){text.data, colon};
    return is_scheme(out->scheme) &&
           read_host(ws_slice_from(text, colon + 3), out);
}

static bool
is(ws_slice s, const char *text)
{
    return ws_slice_equal_nocase(s, ws_slice_of(text));
}

/* `port`, or what its absence means with that scheme. */
static uint32_t
port_or_default(uint32_t port, ws_slice scheme)
{
    if (port != NO_PORT) {
        return port;
    }
    return is(scheme, "http") ? 80 : is(scheme, "https") ? 443 : NO_PORT;
}

static bool
is_wildcard(ws_slice host)
{
    return host.size > 0 && host.data[0] == '*';
}

/* Whether `host` is one or more labels and then what follows the star. */
static bool
is_below(ws_slice host, ws_slice wildcard)
{
    ws_slice suffix = ws_slice_from(wildcard, 1);

    if (host.size <= suffix.size ||
        !ws_slice_equal_nocase(ws_slice_from(host, host.size - suffix.size),
                               suffix)) {
        return false;
    }
    size_t labels = host.size - suffix.size;
    for (size_t i = 0; i < labels; i++) {
        bool empty = i == 0 || host.data[i - 1] == '.';
        if (host.data[i] == '.' && empty) {
            return false;
        }
    }
    return host.data[labels - 1] != '.';
}

static bool
matches(const place *origin, const place *rule)
{
    if (!ws_slice_equal_nocase(origin->scheme, rule->scheme) ||
        port_or_default(origin->port, origin->scheme) !=
            port_or_default(rule->port, rule->scheme)) {
        return false;
    }
    return is_wildcard(rule->host)
               ? is_below(origin->host, rule->host)
               : ws_slice_equal_nocase(origin->host, rule->host);
}

/* A Host without a port means the default of the scheme by which the browser
   came, and that is the origin's: our own may be behind a proxy. */
static bool
is_same_host(const place *origin, ws_slice host)
{
    place own = {.host = {NULL, 0}};

    if (port_or_default(NO_PORT, origin->scheme) == NO_PORT ||
        !read_host(host, &own)) {
        return false;
    }
    return ws_slice_equal_nocase(origin->host, own.host) &&
           port_or_default(origin->port, origin->scheme) ==
               port_or_default(own.port, origin->scheme);
}

bool
ws_origin_host_valid(ws_slice host)
{
    place ignored;
    return read_host(host, &ignored);
}

bool
ws_origin_rule_valid(const char *rule)
{
    ws_slice text = ws_slice_of(rule);
    place parsed;

    if (text.size == 0 || ws_slice_equal(text, ws_slice_of("same-host")) ||
        ws_slice_equal(text, ws_slice_of("null"))) {
        return true;
    }
    if (!read_origin(text, &parsed)) {
        return false;
    }
    // A star only as the whole first label, with a domain behind it.
    ws_slice host = parsed.host;
    size_t star = ws_slice_index(host, '*');
    if (star == host.size) {
        return true;
    }
    return star == 0 && host.size > 2 && host.data[1] == '.' &&
           host.data[2] != '.' &&
           ws_slice_index(ws_slice_from(host, 1), '*') == host.size - 1;
}

static bool
lets_in(const char *rule, ws_slice text, const place *origin, ws_slice host)
{
    if (origin == NULL) { // no place: "null", or nothing that makes sense
        return strcmp(rule, "null") == 0 &&
               ws_slice_equal(text, ws_slice_of(rule));
    }
    if (strcmp(rule, "same-host") == 0) {
        return is_same_host(origin, host);
    }
    place parsed;
    return ws_origin_rule_valid(rule) &&
           read_origin(ws_slice_of(rule), &parsed) && matches(origin, &parsed);
}

bool
ws_origin_allowed(ws_slice origin, ws_slice host, const char *const *rules,
                  size_t count)
{
    place parsed;
    // A star means something in a rule only.
    bool is_place = read_origin(origin, &parsed) &&
                    ws_slice_index(origin, '*') == origin.size;

    for (size_t i = 0; i < count; i++) {
        bool welcome =
            origin.data == NULL
                ? rules[i][0] == '\0'
                : lets_in(rules[i], origin, is_place ? &parsed : NULL, host);
        if (welcome) {
            return true;
        }
    }
    return false;
}

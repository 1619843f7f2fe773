/* Origins and Hosts, against a matcher that normalises both and compares. */
#include "proto/origin.h"

#include <ctype.h>

#include "fuzz.h"

static const char *const rules[] = {
    "https://example.com",
    "HTTP://Example.com:8080",
    "https://*.example.com",
    "https://*.a.example.org:444",
    "wss://[::1]:9",
    "app://local",
    "same-host",
    "null",
    "",
};
enum { RULES = sizeof rules / sizeof rules[0], TEXT_MAX = 512 };

/* In lower case; all empty when the text is none. */
typedef struct {
    bool good;
    char scheme[TEXT_MAX];
    char host[TEXT_MAX];
    long port; // -1: none, even after looking at the scheme
} place;

static bool
only(const char *text, size_t size, const char *allowed)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0' || (!isalnum((unsigned char)text[i]) &&
                                strchr(allowed, text[i]) == NULL)) {
            return false;
        }
    }
    return size > 0;
}

static bool
only_address(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0' || strchr("0123456789abcdef:.", text[i]) == NULL) {
            return false;
        }
    }
    return size > 0;
}

/* host[:port], split at the last colon that can be one of a port. */
static void
read_host(place *out, const char *text, size_t size)
{
    size_t end = size;
    long port = -1;

    while (end > 0 && isdigit((unsigned char)text[end - 1])) {
        end--;
    }
    if (end == 0 || text[end - 1] != ':' ||
        (text[0] == '[' && memchr(text, ']', end) == NULL)) {
        end = size;
    } else {
        for (size_t i = end; i < size; i++) {
            port = port > 65535 ? port
                                : (port < 0 ? 0 : port) * 10 + text[i] - '0';
        }
        end--;
    }
    bool v6 = end > 2 && text[0] == '[' && text[end - 1] == ']' &&
              only_address(text + 1, end - 2);
    out->good = port <= 65535 && (v6 || only(text, end, "-._~%!$&'()*+;="));
    memcpy(out->host, text, end);
    out->host[end] = '\0';
    out->port = port;
}

static long
default_port(const char *scheme)
{
    return strcmp(scheme, "http") == 0    ? 80
           : strcmp(scheme, "https") == 0 ? 443
                                          : -1;
}

static void
lower(char *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out[i] =
            text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
    }
    out[size] = '\0';
}

static void
read_origin(place *out, const char *text, size_t size)
{
    char low[TEXT_MAX];

    *out = (place){.port = -1};
    lower(low, text, size);
    char *end = memmem(low, size, "://", 3);
    if (end == NULL) {
        return;
    }
    size_t scheme = (size_t)(end - low);
    memcpy(out->scheme, low, scheme);
    if (!only(low, scheme, "+-.") || isdigit((unsigned char)low[0])) {
        return;
    }
    read_host(out, end + 3, size - scheme - 3);
    if (out->port < 0) {
        out->port = default_port(out->scheme);
    }
}

/* Labels, a dot behind each, and the domain. */
static bool
is_below(const char *host, const char *domain)
{
    size_t size = strlen(host);
    size_t tail = strlen(domain);

    return size > tail + 1 && strcmp(host + size - tail, domain) == 0 &&
           host[size - tail - 1] == '.' && host[0] != '.' &&
           (strstr(host, "..") == NULL ||
            strstr(host, "..") >= host + size - tail);
}

static bool
matches(const place *origin, const char *rule)
{
    place wanted;

    read_origin(&wanted, rule, strlen(rule));
    CHECK(wanted.good);
    bool host = wanted.host[0] == '*' ? is_below(origin->host, wanted.host + 2)
                                      : strcmp(origin->host, wanted.host) == 0;
    return host && strcmp(origin->scheme, wanted.scheme) == 0 &&
           origin->port == wanted.port;
}

static bool
is_same_host(const place *origin, ws_slice host)
{
    place own = {.port = -1};
    char low[TEXT_MAX];

    lower(low, host.data, host.size);
    read_host(&own, low, host.size);
    long port = default_port(origin->scheme);
    return own.good && port > 0 && strcmp(own.host, origin->host) == 0 &&
           (own.port < 0 ? port : own.port) == origin->port;
}

static bool
lets_in(const char *rule, ws_slice text, const place *origin, ws_slice host)
{
    if (rule[0] == '\0' || text.data == NULL) {
        return rule[0] == '\0' && text.data == NULL;
    }
    if (strcmp(rule, "null") == 0) {
        return text.size == 4 && memcmp(text.data, "null", 4) == 0;
    }
    if (!origin->good || strchr(origin->host, '*') != NULL ||
        strchr(origin->scheme, '*') != NULL) {
        return false;
    }
    return strcmp(rule, "same-host") == 0 ? is_same_host(origin, host)
                                          : matches(origin, rule);
}

static void
check_rules(ws_slice origin, ws_slice host)
{
    place parsed;
    bool any = false;

    read_origin(&parsed, origin.data, origin.size);
    for (size_t i = 0; i < RULES; i++) {
        bool want = lets_in(rules[i], origin, &parsed, host);
        CHECK_EQ(ws_origin_allowed(origin, host, rules + i, 1), want);
        any = any || want;
    }
    CHECK_EQ(ws_origin_allowed(origin, host, rules, RULES), any);
    CHECK(!ws_origin_allowed(origin, host, rules, 0));
}

/* The origin itself as a rule: it lets in exactly what it is. */
static void
check_as_rule(ws_slice origin, ws_slice host)
{
    char *rule = malloc(origin.size + 1);
    place parsed;

    CHECK(rule != NULL);
    memcpy(rule, origin.data, origin.size);
    rule[origin.size] = '\0';
    read_origin(&parsed, origin.data, origin.size);
    bool star = strchr(rule, '*') != NULL;
    bool whole = strlen(rule) == origin.size;
    const char *const one[] = {rule};
    if (whole && !star && parsed.good) {
        CHECK(ws_origin_rule_valid(rule));
        CHECK(ws_origin_allowed(origin, host, one, 1));
    } else if (!ws_origin_rule_valid(rule)) {
        CHECK(!ws_origin_allowed(origin, host, one, 1));
    }
    free(rule);
}

/* "origin|host" */
static void
run(fuzz_input in)
{
    if (in.size >= TEXT_MAX) {
        return;
    }
    const uint8_t *bar = in.size > 0 ? memchr(in.data, '|', in.size) : NULL;
    size_t size = bar != NULL ? (size_t)(bar - in.data) : in.size;
    size_t host_size = bar != NULL ? in.size - size - 1 : 0;
    char *origin = fuzz_copy(in.data, size);
    char *host = fuzz_copy(in.data + in.size - host_size, host_size);
    ws_slice host_slice = {host, host_size};
    place own = {.port = -1};
    char low[TEXT_MAX];

    lower(low, host, host_size);
    read_host(&own, low, host_size);
    CHECK_EQ(ws_origin_host_valid(host_slice), own.good);
    check_rules((ws_slice){origin, size}, host_slice);
    check_rules((ws_slice){NULL, 0}, host_slice);
    check_as_rule((ws_slice){origin, size}, host_slice);
    free(origin);
    free(host);
}

FUZZ_MAIN(run)

#include "network.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool
ws_network_is_ipv4(const ws_network *addr)
{
    return !addr->is_unix && memcmp(addr->addr, MAPPED, sizeof MAPPED) == 0;
}

/* An address without a port. */
static bool
parse_literal(const char *text, ws_network *out)
{
    *out = (ws_network){.bits = 128};
    if (inet_pton(AF_INET, text, out->addr + 12) == 1) {
        memcpy(out->addr, MAPPED, sizeof MAPPED);
        return true;
    }
    return inet_pton(AF_INET6, text, out->addr) == 1;
}

const char *
ws_network_parse(const char *text, ws_network *out)
{
    char addr[64];
    const char *slash = strchr(text, '/');
    size_t size = slash == NULL ? strlen(text) : (size_t)(slash - text);

    if (strcmp(text, "unix:") == 0) {
        *out = (ws_network){.is_unix = true};
        return NULL;
    }
    if (size >= sizeof addr) {
        return "is no IPv4 or IPv6 address";
    }
    memcpy(addr, text, size);
    addr[size] = '\0';
    if (!parse_literal(addr, out)) {
        return "is no IPv4 or IPv6 address";
    }
    if (slash == NULL) {
        return NULL;
    }
    // The notation decides: ::ffff:0:0/96 counts the bits of an IPv6 address.
    long most = strchr(addr, ':') == NULL ? 32 : 128;
    char *end = NULL;
    long bits = strtol(slash + 1, &end, 10);
    if (!ws_slice_is_digit(slash[1]) || *end != '\0' || bits > most) {
        return "has a bad prefix length";
    }
    out->bits = (uint8_t)(128 - most + bits);
    return NULL;
}

/* What stands between the brackets of "[v6]" or "[v6]:port"; else nothing. */
static ws_slice
inside_brackets(ws_slice text)
{
    ws_slice inside = ws_slice_from(text, 1);
    inside.size = ws_slice_index(inside, ']');
    ws_slice rest = ws_slice_from(text, 1 + inside.size);
    bool closed = rest.size == 1 || (rest.size > 1 && rest.data[1] == ':');
    bool is_v6 = ws_slice_index(inside, ':') < inside.size;
    return closed && is_v6 ? inside : (ws_slice){"", 0};
}

/* The part of "addr", "v4:port" or "[v6]:port" that is the address. */
static ws_slice
without_port(ws_slice text)
{
    if (text.size == 0) {
        return (ws_slice){"", 0};
    }
    if (text.data[0] == '[') {
        return inside_brackets(text);
    }
    size_t colon = ws_slice_index(text, ':');
    bool one_colon =
        colon < text.size &&
        memchr(text.data + colon + 1, ':', text.size - colon - 1) == NULL;
    return one_colon ? (ws_slice){text.data, colon} : text;
}

bool
ws_network_parse_addr(ws_slice text, ws_network *out)
{
    char literal[64];
    if (text.size >= 5 && memcmp(text.data, "unix:", 5) == 0) {
        *out = (ws_network){.is_unix = true};
        return true;
    }
    ws_slice addr = without_port(text);
    size_t size = ws_slice_index(addr, '%'); // a zone names an interface
    if (size >= sizeof literal) {
        return false;
    }
    memcpy(literal, addr.data, size);
    literal[size] = '\0';
    return memchr(literal, '\0', size) == NULL && parse_literal(literal, out);
}

void
ws_network_format(const ws_network *addr, char out[64])
{
    const char *done = NULL;
    if (addr->is_unix) {
        (void)snprintf(out, 64, "unix:");
        return;
    }
    if (ws_network_is_ipv4(addr)) {
        done = inet_ntop(AF_INET, addr->addr + 12, out, 64);
    } else {
        done = inet_ntop(AF_INET6, addr->addr, out, 64);
    }
    if (done == NULL) {
        out[0] = '\0';
    }
}

static bool
has_prefix(const ws_network *network, const uint8_t *addr)
{
    size_t whole = network->bits / 8;
    unsigned rest = network->bits % 8;
    if (memcmp(network->addr, addr, whole) != 0) {
        return false;
    }
    return rest == 0 ||
           (network->addr[whole] ^ addr[whole]) >> (8 - rest) == 0;
}

bool
ws_network_contains(const ws_network *networks, size_t count,
                    const ws_network *addr)
{
    for (size_t i = 0; i < count; i++) {
        if (networks[i].is_unix != addr->is_unix) {
            continue;
        }
        if (addr->is_unix || has_prefix(&networks[i], addr->addr)) {
            return true;
        }
    }
    return false;
}

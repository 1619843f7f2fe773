/* Addresses as proxies write them, and networks, against getaddrinfo's numeric
   parser and a comparison bit by bit. */
#include "net/network.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "fuzz.h"

enum { TEXT_MAX = 128 };

/* False: no address. IPv4 as IPv4-mapped. */
static bool
reference_literal(const char *text, uint8_t out[16])
{
    // What getaddrinfo takes beyond the four numbers of IPv4.
    bool v4 = strchr(text, ':') == NULL;
    unsigned part[4];
    char rest;
    char again[32];
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST,
                             .ai_family = AF_INET6};
    struct addrinfo *found = NULL;

    if (v4) {
        if (sscanf(text, "%3u.%3u.%3u.%3u%c", &part[0], &part[1], &part[2],
                   &part[3], &rest) != 4) {
            return false;
        }
        (void)snprintf(again, sizeof again, "%u.%u.%u.%u", part[0], part[1],
                       part[2], part[3]);
        memcpy(out, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
        for (size_t i = 0; i < 4; i++) {
            out[12 + i] = (uint8_t)part[i];
        }
        return strcmp(again, text) == 0 && part[0] < 256 && part[1] < 256 &&
               part[2] < 256 && part[3] < 256;
    }
    if (strchr(text, '%') != NULL ||
        getaddrinfo(text, NULL, &hints, &found) != 0) {
        return false;
    }
    struct sockaddr_in6 addr;
    memcpy(&addr, found->ai_addr, sizeof addr);
    memcpy(out, &addr.sin6_addr, 16);
    freeaddrinfo(found);
    return true;
}

/* What a proxy may write around an address is cut off; in place. */
static char *
reference_strip(char *text)
{
    char *colon = strchr(text, ':');
    char *bracket = strchr(text, ']');

    if (text[0] == '[') {
        if (bracket == NULL || (bracket[1] != '\0' && bracket[1] != ':')) {
            return NULL;
        }
        *bracket = '\0';
        text++;
        if (strchr(text, ':') == NULL) {
            return NULL;
        }
    } else if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        *colon = '\0';
    }
    text[strcspn(text, "%")] = '\0';
    return text;
}

static bool
reference_addr(const char *text, size_t size, uint8_t out[16])
{
    char copy[TEXT_MAX + 1];

    memcpy(copy, text, size);
    copy[size] = '\0';
    char *literal = reference_strip(copy);
    return literal != NULL && reference_literal(literal, out);
}

static bool
bit(const uint8_t *addr, size_t i)
{
    return (addr[i / 8] >> (7 - i % 8) & 1) != 0;
}

static bool
reference_contains(const ws_network *network, const uint8_t *addr)
{
    for (size_t i = 0; i < network->bits; i++) {
        if (bit(network->addr, i) != bit(addr, i)) {
            return false;
        }
    }
    return true;
}

/* What is written is read as the same. */
static void
check_format(const ws_network *addr)
{
    char text[64];
    ws_network again;

    ws_network_format(addr, text);
    CHECK(text[0] != '\0');
    CHECK(ws_network_parse_addr(ws_slice_of(text), &again));
    CHECK_EQ(again.is_unix, addr->is_unix);
    CHECK_MEM_EQ(again.addr, addr->addr, 16);
    CHECK(ws_network_parse(text, &again) == NULL);
}

static bool
check_addr(const char *text, size_t size, ws_network *addr)
{
    uint8_t want[16];
    char *exact = fuzz_copy(text, size);
    bool got = ws_network_parse_addr((ws_slice){exact, size}, addr);
    bool is_unix = size >= 5 && memcmp(text, "unix:", 5) == 0;

    free(exact);
    CHECK_EQ(got && addr->is_unix, is_unix);
    if (!is_unix && memchr(text, '\0', size) == NULL) {
        CHECK_EQ(got, reference_addr(text, size, want));
        CHECK(!got || memcmp(addr->addr, want, 16) == 0);
    }
    if (got) {
        check_format(addr);
        CHECK(is_unix || addr->bits == 128);
    }
    return got;
}

/* "addr" or "addr/bits" of a network. */
static bool
check_network(const char *text, ws_network *network)
{
    uint8_t want[16];
    char copy[TEXT_MAX + 1];
    bool got = ws_network_parse(text, network) == NULL;

    if (strcmp(text, "unix:") == 0) {
        CHECK(got && network->is_unix);
        return got;
    }
    strcpy(copy, text);
    char *slash = strchr(copy, '/');
    size_t most = strchr(copy, ':') == NULL ? 32 : 128;
    bool good = true;
    size_t bits = most;
    if (slash != NULL) {
        *slash = '\0';
        const char *digits = slash + 1;
        size_t zeros = strspn(digits, "0");
        size_t count = strspn(digits, "0123456789");
        good = count > 0 && digits[count] == '\0' && count - zeros <= 3;
        bits = good ? (size_t)atoi(digits) : 0;
    }
    good = good && bits <= most && reference_literal(copy, want);
    CHECK_EQ(got, good);
    if (got) {
        CHECK(!network->is_unix);
        CHECK_EQ(network->bits, 128 - most + bits);
        CHECK_MEM_EQ(network->addr, want, 16);
    }
    return got;
}

/* "addr network" */
static void
run(fuzz_input in)
{
    char network_text[TEXT_MAX + 1];
    ws_network addr;
    ws_network network;

    if (in.size > TEXT_MAX) {
        return;
    }
    const uint8_t *blank = in.size > 0 ? memchr(in.data, ' ', in.size) : NULL;
    size_t size = blank != NULL ? (size_t)(blank - in.data) : in.size;
    size_t rest = blank != NULL ? in.size - size - 1 : 0;
    memcpy(network_text, in.data + in.size - rest, rest);
    network_text[rest] = '\0';
    bool has_addr = check_addr((const char *)in.data, size, &addr);
    bool has_network = check_network(network_text, &network);
    if (has_addr && has_network) {
        bool same_kind = addr.is_unix == network.is_unix;
        CHECK_EQ(ws_network_contains(&network, 1, &addr),
                 same_kind && (addr.is_unix ||
                               reference_contains(&network, addr.addr)));
    }
}

FUZZ_MAIN(run)

/*
 * network.h - addresses and the networks they belong to: which peers are
 * proxies whose word about the client is taken.
 *
 * Threads: any; pure.
 * Owns:    nothing.
 */
#ifndef WS_NET_NETWORK_H
#define WS_NET_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/slice.h"

/* "10.0.0.0/8", "::1", "fd00::/8", or "unix:" for every unix socket. IPv4
   stands as an IPv4-mapped IPv6 address, so that both forms match. */
typedef struct ws_network {
    bool is_unix;
    uint8_t bits; /* of the address that count, 0 to 128 */
    uint8_t addr[16];
} ws_network;

/* NULL, or a static text: what is wrong with it. */
const char *ws_network_parse(const char *text, ws_network *out);

/* An address in text, as ws_addr has it or a proxy writes it: without a port,
   with one ("1.2.3.4:80", "[::1]:80"), or "unix:". False: none of these. */
bool ws_network_parse_addr(ws_slice text, ws_network *out);

/* The same address in its plain form, into at least 64 bytes. */
void ws_network_format(const ws_network *addr, char out[64]);

/* Whether it is the mapped form of an IPv4 address. */
bool ws_network_is_ipv4(const ws_network *addr);

bool ws_network_contains(const ws_network *networks, size_t count,
                         const ws_network *addr);

#endif

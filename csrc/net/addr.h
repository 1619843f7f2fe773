/*
 * addr.h - socket addresses as text.
 *
 * Threads: any.
 * Owns:    nothing.
 * Locks:   none.
 */
#ifndef WS_NET_ADDR_H
#define WS_NET_ADDR_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ws_addr {
    int family;     /* AF_INET, AF_INET6 or AF_UNIX; AF_UNSPEC: unknown */
    uint16_t port;  /* 0 for AF_UNIX */
    char text[120]; /* "127.0.0.1", "::1", "fe80::1%eth0", "unix:/a/path";
                       "unix:" without a name, as peers have none; "?" */
} ws_addr;

/* Where a socket is bound. An IPv4 client of an IPv6 socket is shown as the
   IPv4 address that it has; so for both. False: see errno, *addr is unknown.
 */
bool ws_addr_of_socket(int fd, ws_addr *addr);

/* The other end of a connection; unknown when it has gone already. */
void ws_addr_of_peer(int fd, ws_addr *addr);

#endif

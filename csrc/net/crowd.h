/*
 * crowd.h - how many sockets each address has.
 *
 * An IPv4 address counts by itself, an IPv6 address with the whole /64 that it
 * is in: that is what a subscriber is given, and he may take any address of
 * it.
 *
 * Threads: all pumps.
 * Owns:    an entry for each address that has one.
 * Locks:   its own, a leaf.
 */
#ifndef WS_NET_CROWD_H
#define WS_NET_CROWD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "network.h"

typedef struct ws_crowd ws_crowd;
typedef struct ws_crowd_entry ws_crowd_entry;

ws_crowd *ws_crowd_new(void);        /* NULL: no memory */
void ws_crowd_free(ws_crowd *crowd); /* must be empty; NULL does nothing */

/* How many that address has; it is none of a unix socket. */
size_t ws_crowd_count(ws_crowd *crowd, const ws_network *addr);

/* Counts one more, where that makes no more than `most`. TOO_MANY; NOMEM. */
WS_MUST_CHECK ws_err ws_crowd_enter(ws_crowd *crowd, const ws_network *addr,
                                    size_t most, ws_crowd_entry **out);

/* Counts one less. NULL does nothing. */
void ws_crowd_leave(ws_crowd *crowd, ws_crowd_entry *entry);

#endif

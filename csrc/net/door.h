/*
 * door.h - who may come in, decided before anything is spent on him.
 *
 * A fresh socket is counted against its peer's address, unless the peer is a
 * trusted proxy, which opening.c counts by whom it speaks for. Whoever is one
 * too many gets a whole answer and the end, and costs no connection.
 *
 * Threads: the pump that accepts, for admit, so that its limits are exact; the
 *          rest any pump.
 * Owns:    nothing.
 */
#ifndef WS_NET_DOOR_H
#define WS_NET_DOOR_H

#include <stdbool.h>

#include "addr.h"
#include "crowd.h"
#include "network.h"

typedef struct ws_pump ws_pump;

/* For the one that accepts. False: it may not come in, the socket is answered
   (where it speaks `plain` HTTP, see ws_door_refuse) and closed. True: *entry
   is what ws_crowd_leave is for, or NULL, since it is not counted. */
bool ws_door_admit(ws_pump *pump, int fd, bool plain, const ws_addr *peer,
                   ws_crowd_entry **entry);

/* Whether the peer is a proxy whose word about its client is taken. *addr is
   its address; that of a peer without one is like a unix socket's. */
bool ws_door_trusts(const ws_pump *pump, const char *peer, ws_network *addr);

/* Says that there are too many, as far as the socket takes it at once, and
   closes. `plain`: it speaks HTTP as it is; under TLS nothing can be said
   before a handshake, which is more than such a client shall cost. */
void ws_door_refuse(int fd, bool plain, const char *text);

#endif

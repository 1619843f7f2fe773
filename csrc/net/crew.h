/*
 * crew.h - what serves a hub: one or more pumps, each a thread with a loop and
 * connections of its own, and what they have in common. They accept, read,
 * write, answer pings and keep deadlines. They never call back into their user
 * and never wait for one, so nothing that the user does can hold them up; nor
 * does a pump ever wait for another.
 *
 * The first pump accepts for all of them, and gives each connection to the one
 * that has the fewest. There it stays, so that all that happens to a client is
 * done by one thread.
 *
 * Threads: any, one at a time for new and free; the rest as they like.
 * Owns:    the pumps, the listeners handed to it, all connections; a reference
 *          to the hub and to the pages.
 * Locks:   none while calling; each call that must be done by pumps is handed
 *          over and waited for (bounded by one turn of each one's loop).
 */
#ifndef WS_NET_CREW_H
#define WS_NET_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/hub.h"
#include "identity.h"
#include "listener.h"
#include "pages.h"

typedef struct ws_crew ws_crew;
typedef struct ws_port ws_port; /* a listener that the crew serves */

enum { WS_PUMPS_MAX = WS_WAKE_NUMBERS };

/* Copied; strings are NUL-terminated and valid (see message.h). Times are
   nanoseconds, 0 switches off. */
typedef struct ws_pump_config {
    size_t pumps; /* threads, at most WS_PUMPS_MAX; 0: one */
    uint64_t ping_interval_ns;
    uint64_t ping_timeout_ns;
    uint64_t open_timeout_ns;  /* from accept to the end of the handshake */
    uint64_t close_timeout_ns; /* from the first close to the end of TCP */
    size_t max_message_size;   /* payload bytes of an inbound message */
    int send_buffer;           /* see ws_listener_hooks; 0: the kernel's */
    size_t max_clients_per_ip; /* sockets of an address; 0: no limit */
    size_t max_connections;    /* sockets, clients or not; 0: no limit */
    const char *const *trusted_proxies; /* addresses or networks in CIDR */
    size_t trusted_proxy_count;
    const char *const *origins;      /* rules, see proto/origin.h */
    size_t origin_count;             /* 0: unchecked */
    const char *const *subprotocols; /* in order of preference */
    size_t subprotocol_count;
    bool compression;       /* permessage-deflate, where a client offers it */
    bool authorize;         /* each handshake waits for a decision: held.h */
    const char *id_query;   /* a client's id is this query parameter; NULL */
    const char *user_query; /* likewise its user */
} ws_pump_config;

/* NULL, or a static text: what is wrong with it as an address or network. */
const char *ws_pump_network_error(const char *network);

/* Starts the threads: all or, on an error, none. Once a hub, or again after an
   error. SYSTEM: see errno; NOMEM. */
WS_MUST_CHECK ws_err ws_crew_new(ws_hub *hub, ws_pages *pages,
                                 const ws_pump_config *config, ws_crew **out);

/*
 * Serves a listener, which belongs to the crew from here on, whatever is
 * returned. `path`: only upgrades of that path, NULL: any. The port is the
 * caller's to release. HUB_CLOSED: the crew ends or has ended; NOMEM; SYSTEM,
 * see errno.
 */
WS_MUST_CHECK ws_err ws_crew_listen(ws_crew *crew, ws_listener *listener,
                                    const char *path, ws_port **out);

/* The same with TLS, and NULL without; `identity` is taken over likewise. */
WS_MUST_CHECK ws_err ws_crew_listen_tls(ws_crew *crew, ws_listener *listener,
                                        const char *path,
                                        ws_identity *identity, ws_port **out);

/* Has a port with TLS show another identity from here on; connections stay as
   they are. Of two that are given at the same time, all pumps keep the same.
   Takes over `identity`, whatever is returned. NOT_FOUND: the port is closed;
   HUB_CLOSED: the crew has ended; NOMEM: nothing has changed. */
WS_MUST_CHECK ws_err ws_port_set_identity(ws_port *port,
                                          ws_identity *identity);

/* The same, and *number is higher than that of any before: the highest is of
   the identity that stays. */
WS_MUST_CHECK ws_err ws_port_set_numbered_identity(ws_port *port,
                                                   ws_identity *identity,
                                                   uint64_t *number);

/* Stops accepting and closes the listening socket; its connections stay.
   Idempotent, also after the crew has ended. */
void ws_port_close(ws_port *port);
void ws_port_unref(ws_port *port); /* NULL does nothing */

bool ws_port_is_tls(const ws_port *port);

/* Where it listens; borrowed from the port. */
const ws_addr *ws_port_addr(const ws_port *port);

/* Begins the end: closes the listeners, refuses handshakes, closes every
   client with `code` and `reason` (valid, see message.h) behind what is
   queued. The first call counts; returns at once. */
void ws_crew_close(ws_crew *crew, uint16_t code, ws_text reason);

/* The same without any waiting: what is open is cut. */
void ws_crew_kill(ws_crew *crew);

/* Sleeps until all pumps have ended (WS_OK) or CLOCK_MONOTONIC shows
   `until_ns` (TIMEOUT). They end by themselves after ws_crew_close, once the
   last connection is gone: close_timeout_ns bounds that, where it is on. */
WS_MUST_CHECK ws_err ws_crew_wait(ws_crew *crew, uint64_t until_ns);

/* Kills what is left, joins the threads and frees. NULL does nothing. Not in a
   forked child, which leaks the crew instead. */
void ws_crew_free(ws_crew *crew);

#endif

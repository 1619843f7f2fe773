/*
 * crowd.h - how many clients each address has.
 *
 * Threads: the pump.
 * Owns:    an entry for each address that has a client.
 */
#ifndef WS_NET_CROWD_H
#define WS_NET_CROWD_H

#include <stdbool.h>
#include <stddef.h>

#include "core/client.h"

typedef struct ws_crowd ws_crowd;
typedef struct ws_crowd_entry ws_crowd_entry;

ws_crowd *ws_crowd_new(void);        /* NULL: no memory */
void ws_crowd_free(ws_crowd *crowd); /* must be empty; NULL does nothing */

/* How many clients that address has. */
size_t ws_crowd_count(const ws_crowd *crowd, ws_text addr);

/* Counts one more; NULL: no memory. */
ws_crowd_entry *ws_crowd_enter(ws_crowd *crowd, ws_text addr);

/* Counts one less. NULL does nothing. */
void ws_crowd_leave(ws_crowd *crowd, ws_crowd_entry *entry);

#endif

/*
 * flush.h - a thread that waits until channels are written out.
 *
 * Threads: new, wait and free: one thread, which must hold no core lock.
 * Owns:    a reference to each client it waits for.
 * Locks:   its own; taken by the pump while it fires, never around another.
 */
#ifndef WS_CORE_FLUSH_H
#define WS_CORE_FLUSH_H

#include "client.h"
#include "err.h"
#include "hub.h"

typedef struct ws_flush ws_flush;

/* Waits for everything that the client's channel, or all channels of present
   clients, hold now. NOMEM: nothing is held. */
WS_MUST_CHECK ws_err ws_flush_client(ws_client *client, ws_flush **out);
WS_MUST_CHECK ws_err ws_flush_hub(ws_hub *hub, ws_flush **out);

/* Sleeps until all is written, or CLOCK_MONOTONIC shows `until_ns`: TIMEOUT,
   and it may be called again. CLOSED: all has left, but a connection ended
   first and some was lost. */
WS_MUST_CHECK ws_err ws_flush_wait(ws_flush *flush, uint64_t until_ns);

/* Gives up whatever is still waited for. NULL does nothing. */
void ws_flush_free(ws_flush *flush);

#endif

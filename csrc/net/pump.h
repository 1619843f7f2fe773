/*
 * pump.h - one thread of a crew, with a loop and connections of its own.
 *
 * Threads: whoever makes the crew for new, start and free; the rest any.
 * Owns:    the thread, the loop, its connections, a reference to its doorbell;
 *          it borrows what the crew has for all.
 * Locks:   none while calling.
 */
#ifndef WS_NET_PUMP_H
#define WS_NET_PUMP_H

#include <stdint.h>

#include "core/err.h"
#include "core/hub.h"

typedef struct ws_crew ws_crew;
typedef struct ws_pump ws_pump;

/* Everything but the thread. It counts in `counters`. SYSTEM: see errno;
   NOMEM. */
WS_MUST_CHECK ws_err ws_pump_new(ws_crew *crew, ws_wake *wake,
                                 ws_pump_counters *counters, ws_pump **out);

/* Starts the thread; SYSTEM: see errno. From here on, or never, there are
   connections. */
WS_MUST_CHECK ws_err ws_pump_start(ws_pump *pump);

/* Joins the thread, if it was started: ws_pump_kill first, where it may not
   have ended by itself. NULL does nothing. */
void ws_pump_free(ws_pump *pump);

/* farewell.c. What crew.h says of all of them, for one; the first shuts the
   hub, and has the clients of all pumps closed, behind what is queued. */
void ws_pump_close(ws_pump *pump, uint16_t code, ws_text reason);
void ws_pump_kill(ws_pump *pump);
WS_MUST_CHECK ws_err ws_pump_wait(ws_pump *pump, uint64_t until_ns);

#endif

/*
 * hold.h - a connection whose handshake waits for a decision: it is not read
 * from and not answered, but watched, and its deadline runs on.
 *
 * Threads: the pump.
 * Owns:    a connection's reference to its ws_held, and what has to be known
 *          of the request to answer it.
 * Locks:   none while calling.
 */
#ifndef WS_NET_HOLD_H
#define WS_NET_HOLD_H

#include <stdbool.h>

#include "admit.h"
#include "core/held.h"

/* Has it wait, and tells the drainer; or answers. */
void ws_hold_begin(ws_conn *conn, const ws_applicant *who);

/* Carries out what was decided: one at least, more as far as the time of this
   turn goes. */
void ws_hold_serve(ws_pump *pump);

/* Ends the waiting with a 503 and that text, unless somebody has decided: then
   it is false, and what was decided will come in a moment. */
bool ws_hold_refuse(ws_conn *conn, ws_held_state why, const char *text);

/* The connection ends, whatever anybody decides. Does nothing where none
   waits. */
void ws_hold_cut(ws_conn *conn);

#endif

/*
 * handshake.h - Handshake: one that waits for a decision.
 *
 * An undecided one that goes away is refused.
 */
#ifndef WS_PY_HANDSHAKE_H
#define WS_PY_HANDSHAKE_H

#include "core/held.h"
#include "home.h"
#include "state.h"

/* A new reference; NULL: an exception. Until it is armed, its going away means
   nothing. */
PyObject *py_handshake_new(py_state *state, py_home *home, ws_held *held);
void py_handshake_arm(PyObject *op);

#endif

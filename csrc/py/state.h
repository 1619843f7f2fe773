/*
 * state.h - what the module keeps, one copy per interpreter.
 *
 * Threads: everything in csrc/py that has a Python type in its signature is
 *          called, and everything it keeps is touched, under the GIL.
 */
#ifndef WS_PY_STATE_H
#define WS_PY_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct py_hub py_hub;

typedef struct py_state {
    PyTypeObject *hub_type, *client_type, *listener_type, *events_type;
    PyTypeObject *prepared_type, *handshake_type;

    /* wssend.errors */
    PyTypeObject *channel_full, *channel_closed, *hub_closed;
    PyTypeObject *message_too_large, *client_not_found;
    /* wssend.events, .report, .stats, .request: made by us, written there */
    PyTypeObject *connected, *message, *disconnected, *authorize;
    PyTypeObject *send_report, *client_stats, *hub_stats, *request;
    PyTypeObject *accept, *reject; /* wssend.authorize */

    /* Attributes that are set so often that the name is kept. */
    PyObject *name_client, *name_client_id, *name_data, *name_code;
    PyObject *name_reason, *name_clean, *name_queued, *name_queued_bytes;
    PyObject *name_handshake, *name_oldest_age, *name_full, *name_closed,
        *name_failed;

    PyObject *no_args; /* an empty tuple */
    py_hub *running;   /* the hubs that have a crew, for the exit; borrowed */
} py_state;

/* The state behind an object of one of our types, which are final. NULL, and
   an exception is set, when the interpreter has taken the module apart. */
static inline py_state *
py_state_of(PyObject *self)
{
    return PyType_GetModuleState(Py_TYPE(self));
}

extern PyType_Spec py_hub_spec, py_client_spec, py_listener_spec;
extern PyType_Spec py_events_spec, py_prepared_spec, py_handshake_spec;

#endif

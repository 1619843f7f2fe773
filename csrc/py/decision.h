/*
 * decision.h - what Handshake.accept and .reject are given, checked and made
 * into a decision of the core's.
 *
 * Owns: the Python objects in it, by which the texts of `what` are lent.
 */
#ifndef WS_PY_DECISION_H
#define WS_PY_DECISION_H

#include <stdbool.h>

#include "core/held.h"
#include "state.h"

/* The arguments, in their order; NULL: not given. */
enum {
    PY_ACCEPT_USER,
    PY_ACCEPT_ID,
    PY_ACCEPT_TOPICS,
    PY_ACCEPT_SUBPROTOCOL,
    PY_ACCEPT_HEADERS,
    PY_ACCEPT_REPLACE,
    PY_ACCEPT_COUNT,
};
enum {
    PY_REJECT_STATUS,
    PY_REJECT_BODY,
    PY_REJECT_HEADERS,
    PY_REJECT_CLOSE_CODE,
    PY_REJECT_COUNT,
};
extern const char *const py_accept_names[PY_ACCEPT_COUNT + 1];
extern const char *const py_reject_names[PY_REJECT_COUNT + 1];

typedef struct py_decision {
    ws_decision what;
    PyObject *topics;  /* a tuple of str */
    PyObject *headers; /* a tuple of (name, value) */
    PyObject *topic_bytes, *header_bytes;
} py_decision;

/* False: an exception is set. Release it in either case. */
bool py_decision_accept(py_decision *self, PyObject *const *given);
bool py_decision_reject(py_decision *self, PyObject *const *given);
void py_decision_release(py_decision *self);

/* METH_FASTCALL of the module, for the __post_init__ of wssend.Accept and
   wssend.Reject: all arguments in their order; (topics, headers) and headers
   as they are kept. */
PyObject *py_check_accept(PyObject *module, PyObject *const *args,
                          Py_ssize_t nargs);
PyObject *py_check_reject(PyObject *module, PyObject *const *args,
                          Py_ssize_t nargs);

#endif

/* payload.h - the `data` and `text` of a sending call. */
#ifndef WS_PY_PAYLOAD_H
#define WS_PY_PAYLOAD_H

#include <stdbool.h>

#include "outgoing.h"
#include "state.h"

/* With release_gil off, payloads up to this many bytes are copied under the
   GIL: that takes less time than giving it away and getting it back. */
enum { PY_KEEP_GIL_MAX = 16384 };

typedef struct py_payload {
    ws_outgoing out; /* lent from the Python object and `view` */
    bool exported;
    Py_buffer view; /* valid when exported */
} py_payload;

/* Looks into `data`: a str, something bytes-like or, where `prepared` is its
   type, a PreparedMessage. `text` is None, True, False or, when it was not
   given, NULL. False: an exception is set, there is nothing to release. */
bool py_payload_get(py_payload *payload, PyObject *data, PyObject *text,
                    PyTypeObject *prepared);

void py_payload_release(py_payload *payload);

/* After a call with this payload: whether it was UTF-8 where it had to be.
   False: UnicodeDecodeError is set. */
bool py_payload_was_valid(const py_payload *payload);

/* The message of a PreparedMessage; borrowed. */
ws_msg *py_prepared_msg(PyObject *prepared);

#endif

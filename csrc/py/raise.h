/*
 * raise.h - the exceptions of wssend.errors, made here.
 *
 * Each function sets one and returns NULL. `self` is the object of ours whose
 * method raises; `client` is a WSClient.
 */
#ifndef WS_PY_RAISE_H
#define WS_PY_RAISE_H

#include "client.h"
#include "core/err.h"
#include "net/message.h"

/* What a client refused: FULL, CLOSED, TOO_BIG, NOMEM; `size` is that of the
   payload in bytes. */
PyObject *py_raise_refusal(py_state *state, py_client *client, ws_err err,
                           size_t size);

/* A message to many that fits nobody. */
PyObject *py_raise_too_large(py_state *state, size_t size, size_t limit);

/* ChannelClosed for a client that is closing or closed; `what` did not
   happen. */
PyObject *py_raise_closed(py_state *state, py_client *client,
                          const char *what);

PyObject *py_raise_not_found(py_state *state, PyObject *id);

/* HubClosed; in a forked child it says so, and names both processes. */
PyObject *py_raise_hub_closed(py_state *state, const py_home *home);

/* What the core's other calls refuse; SYSTEM looks at errno. */
PyObject *py_raise_err(py_state *state, const py_home *home, ws_err err);

/* UnicodeDecodeError for the payload that was given. */
PyObject *py_raise_invalid(const void *data, size_t size,
                           const ws_utf8_error *invalid);

#endif

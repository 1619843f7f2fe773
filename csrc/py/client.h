/*
 * client.h - WSClient: one Python object for each connection that Python has
 * met.
 *
 * The core's client points to it (`binding`) without a reference, so hub.get
 * finds the same object again as long as somebody holds it; see keep.h for
 * those that the hub holds itself.
 */
#ifndef WS_PY_CLIENT_H
#define WS_PY_CLIENT_H

#include "core/client.h"
#include "home.h"
#include "state.h"

typedef struct py_client py_client;

struct py_client {
    PyObject ob_base;
    ws_client *client; /* a reference */
    py_home *home;     /* a reference */
    PyObject *state;   /* a dict, or NULL */
    PyObject *request; /* a Request, or NULL */
    PyObject *weakrefs;
    py_client *kept_next, **kept_link; /* keep.c's; link NULL: not kept */
};

/* The WSClient of a core client, a new reference; NULL: no memory. */
PyObject *py_client_of(py_state *state, py_home *home, ws_client *client);

/* The WSClient that an argument is or wraps, as those of wssend.aio do, a new
   reference. NULL: it is something else, and there is no exception; or its
   attributes have raised one. */
py_client *py_client_get(py_state *state, PyObject *value);

/* One message; NULL: an exception is set. */
PyObject *py_client_send(py_client *self, PyObject *data, PyObject *text);

/* attributes.c */

/* False in a forked child: HubClosed is set. */
bool py_client_is_here(py_client *self);

/* In a forked child nobody is: nothing can reach them from there. */
bool py_client_is_open(py_client *self);

extern PyGetSetDef py_client_getset[];

#endif

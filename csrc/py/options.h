/*
 * options.h - the options of a WSHub.
 *
 * Owns: the Python objects in it.
 */
#ifndef WS_PY_OPTIONS_H
#define WS_PY_OPTIONS_H

#include <stdbool.h>

#include "core/hub.h"
#include "net/crew.h"
#include "net/pages.h"
#include "state.h"

typedef struct py_options {
    ws_hub_limits limits;
    ws_pump_config config; /* without its strings */
    PyObject *trusted_proxies, *origins, *subprotocols; /* tuples of str */
    PyObject *id_query, *user_query;                    /* str or NULL */
    bool release_gil;
} py_options;

/* Parses WSHub's arguments into zeroed options. False: an exception is set;
   release them all the same. */
bool py_options_get(py_options *options, PyObject *args, PyObject *kwargs);

void py_options_release(py_options *options);

/* Starts a crew with them. Errors as ws_crew_new. */
ws_err py_options_start(const py_options *options, ws_hub *hub,
                        ws_pages *pages, ws_crew **crew);

#endif

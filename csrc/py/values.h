/*
 * values.h - the immutable values of wssend.report, .stats, .events and
 * .request, made from what the core tells.
 *
 * Each function returns a new reference; NULL: an exception is set.
 */
#ifndef WS_PY_VALUES_H
#define WS_PY_VALUES_H

#include "client.h"
#include "core/evq.h"
#include "core/fanout.h"
#include "core/stats.h"

PyObject *py_make_report(py_state *state, py_home *home,
                         const ws_report *report);
PyObject *py_make_client_stats(py_state *state, ws_client *client);
PyObject *py_make_hub_stats(py_state *state, const ws_hub_stats *stats,
                            const ws_pump_counters *counters, PyObject *pumps);
PyObject *py_make_request(py_state *state, const ws_client_info *info);

PyObject *py_make_authorize(py_state *state, PyObject *handshake);

/* `client` is the event's WSClient; NOTICE and AUTHORIZE have no such value.
 */
PyObject *py_make_event(py_state *state, const ws_event *event,
                        py_client *client);

#endif

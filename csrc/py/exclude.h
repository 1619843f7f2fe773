/* exclude.h - the `exclude` of a call that sends to many. */
#ifndef WS_PY_EXCLUDE_H
#define WS_PY_EXCLUDE_H

#include <stdbool.h>

#include "core/fanout.h"
#include "hub.h"

/* Fills zeroed `out` from an iterable of WSClients and ids; NULL: nothing was
   given. Ids that nobody has and clients of other hubs are left out. False: an
   exception is set. Release it in either case. May run any Python code. */
bool py_exclude_get(py_hub *hub, PyObject *value, ws_exclude *out);

void py_exclude_release(ws_exclude *exclude);

#endif

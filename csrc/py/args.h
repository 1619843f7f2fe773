/* args.h - arguments of a METH_FASTCALL | METH_KEYWORDS call, by name. */
#ifndef WS_PY_ARGS_H
#define WS_PY_ARGS_H

#include <stdbool.h>

#include "state.h"

typedef struct py_signature {
    const char *function;     /* for the errors: "send" */
    const char *const *names; /* NULL behind the last */
    int positional;           /* how many may come without their name */
    int required;             /* how many of the first must come */
} py_signature;

/* Fills out[], one for each name, borrowed, NULL for what was left out.
   False: TypeError is set. */
bool py_args(const py_signature *signature, PyObject *const *args,
             Py_ssize_t nargs, PyObject *kwnames, PyObject **out);

#endif

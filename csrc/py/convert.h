/*
 * convert.h - from Python values to ours, with errors that name the argument
 * and what was given.
 *
 * Each returns false with an exception set. What is lent from a Python object
 * is valid as long as that object.
 */
#ifndef WS_PY_CONVERT_H
#define WS_PY_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/client.h"
#include "state.h"

/* For times that have no limit. */
#define PY_FOREVER UINT64_MAX

/* TypeError: NAME must be WHAT, not VALUE. Returns false. */
bool py_wrong_type(const char *name, const char *what, PyObject *value);

/* A str, lent as UTF-8. */
bool py_get_text(const char *name, PyObject *value, ws_text *out);

/* A str that names something: not empty, and without a NUL. */
bool py_get_name(const char *name, PyObject *value, ws_text *out);

/* The path of a URL: visible ASCII from "/" on, without a query. */
bool py_get_path(const char *name, PyObject *value, ws_text *out);

/* An int from `min` to `max`; no bool. */
bool py_get_int(const char *name, PyObject *value, long long min,
                long long max, long long *out);

bool py_get_bool(const char *name, PyObject *value, bool *out);

/* Seconds, an int or a float, as nanoseconds: `none` for None, otherwise
   finite, at least 0 and, unless zero_ok, above it. Those beyond the largest
   (PY_SECONDS_MAX) are that. */
#define PY_SECONDS_MAX 10000000
bool py_get_seconds(const char *name, PyObject *value, bool zero_ok,
                    uint64_t none, uint64_t *out);

/* How long to wait, as the moment of CLOCK_MONOTONIC at which to give up;
   PY_FOREVER for None or nothing given. */
bool py_get_deadline(PyObject *value, uint64_t *until_ns);

/* The code and reason of a Close that may be sent; NULL: not given, *code
   stays as it is and *reason becomes empty. */
bool py_get_close(PyObject *code_value, PyObject *reason_value, uint16_t *code,
                  ws_text *reason);

/* Text of the core's, which is valid UTF-8 or comes from the file system. */
PyObject *py_text(ws_text text);
PyObject *py_text_or_none(ws_text text);

#endif

#include "convert.h"

#include <math.h>
#include <string.h>

#include "core/lock.h"
#include "net/message.h"

#define HUGE_SECONDS 1e18

bool
py_wrong_type(const char *name, const char *what, PyObject *value)
{
    PyErr_Format(PyExc_TypeError, "%s must be %s, not %.100R", name, what,
                 value);
    return false;
}

bool
py_get_text(const char *name, PyObject *value, ws_text *out)
{
    Py_ssize_t size = 0;
    if (!PyUnicode_Check(value)) {
        return py_wrong_type(name, "a str", value);
    }
    out->data = PyUnicode_AsUTF8AndSize(value, &size);
    out->size = (size_t)size;
    return out->data != NULL;
}

bool
py_get_name(const char *name, PyObject *value, ws_text *out)
{
    if (!py_get_text(name, value, out)) {
        return false;
    }
    if (out->size == 0 || memchr(out->data, '\0', out->size) != NULL) {
        PyErr_Format(PyExc_ValueError,
                     "%s must not be empty or hold a NUL, but is %.100R", name,
                     value);
        return false;
    }
    return true;
}

static bool
is_path(ws_text text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c <= ' ' || c > '~' || c == '?' || c == '#') {
            return false;
        }
    }
    return text.size > 0 && text.data[0] == '/';
}

bool
py_get_path(const char *name, PyObject *value, ws_text *out)
{
    if (!py_get_text(name, value, out)) {
        return false;
    }
    if (!is_path(*out)) {
        PyErr_Format(PyExc_ValueError,
                     "%s must begin with \"/\" and hold visible ASCII, "
                     "percent-encoded where need be, without a query, not "
                     "%.200R",
                     name, value);
        return false;
    }
    return true;
}

/* Any integer, numpy's too; never a bool. A new reference. */
static PyObject *
as_int(const char *name, PyObject *value)
{
    if (PyBool_Check(value) || !PyIndex_Check(value)) {
        (void)py_wrong_type(name, "an int", value);
        return NULL;
    }
    return PyNumber_Index(value);
}

bool
py_get_int(const char *name, PyObject *value, long long min, long long max,
           long long *out)
{
    int overflow = 0;
    PyObject *number = as_int(name, value);
    if (number == NULL) {
        return false;
    }
    long long got = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (got == -1 && overflow == 0 && PyErr_Occurred()) {
        return false;
    }
    if (overflow != 0 || got < min || got > max) {
        PyErr_Format(PyExc_ValueError, "%s must be from %lld to %lld, not %R",
                     name, min, max, value);
        return false;
    }
    *out = got;
    return true;
}

bool
py_get_bool(const char *name, PyObject *value, bool *out)
{
    if (!PyBool_Check(value)) {
        return py_wrong_type(name, "True or False", value);
    }
    *out = value == Py_True;
    return true;
}

/* An int too large for us is as good as any large number. */
static bool
as_double(PyObject *value, double *out)
{
    int overflow = 0;
    if (PyLong_Check(value)) {
        long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
        *out = overflow == 0 ? (double)number : overflow * HUGE_SECONDS;
    } else {
        *out = PyFloat_AsDouble(value);
    }
    return !PyErr_Occurred();
}

bool
py_get_seconds(const char *name, PyObject *value, bool zero_ok, uint64_t none,
               uint64_t *out)
{
    double seconds = 0;
    if (value == Py_None) {
        *out = none;
        return true;
    }
    if (PyBool_Check(value) ||
        (!PyFloat_Check(value) && !PyLong_Check(value))) {
        return py_wrong_type(name, "a number of seconds or None", value);
    }
    if (!as_double(value, &seconds)) {
        return false;
    }
    if (!isfinite(seconds) || seconds < 0 || (seconds == 0 && !zero_ok)) {
        PyErr_Format(PyExc_ValueError,
                     "%s must be a finite number of seconds %s 0, or None for "
                     "no limit, not %R",
                     name, zero_ok ? "from" : "above", value);
        return false;
    }
    if (seconds > PY_SECONDS_MAX) {
        seconds = PY_SECONDS_MAX;
    }
    *out = (uint64_t)ceil(seconds * (double)WS_NS_PER_S);
    return true;
}

bool
py_get_deadline(PyObject *value, uint64_t *until_ns)
{
    uint64_t wait = PY_FOREVER;
    if (value != NULL &&
        !py_get_seconds("timeout", value, true, PY_FOREVER, &wait)) {
        return false;
    }
    *until_ns = wait == PY_FOREVER ? PY_FOREVER : ws_now_ns() + wait;
    return true;
}

bool
py_get_close(PyObject *code_value, PyObject *reason_value, uint16_t *code,
             ws_text *reason)
{
    long long number = *code;
    *reason = (ws_text){"", 0};
    if (code_value != NULL &&
        !py_get_int("code", code_value, 0, UINT16_MAX, &number)) {
        return false;
    }
    const char *error = ws_message_close_error((long)number, 0);
    if (error != NULL) {
        PyErr_Format(PyExc_ValueError, "code %s, not %lld", error, number);
        return false;
    }
    if (reason_value != NULL && !py_get_text("reason", reason_value, reason)) {
        return false;
    }
    error = ws_message_close_error((long)number, reason->size);
    if (error != NULL) {
        PyErr_Format(PyExc_ValueError, "reason %s, but has %zu: %.200R", error,
                     reason->size, reason_value);
        return false;
    }
    *code = (uint16_t)number;
    return true;
}

PyObject *
py_text(ws_text text)
{
    return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size,
                                "surrogateescape");
}

PyObject *
py_text_or_none(ws_text text)
{
    if (text.data == NULL) {
        Py_RETURN_NONE;
    }
    return py_text(text);
}

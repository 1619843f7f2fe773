#include "raise.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "convert.h"
#include "core/hub.h"
#include "core/lock.h"

/* Our exception types are gone once the interpreter has taken us apart. */
static PyObject *
gone(void)
{
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the interpreter is shutting down");
    }
    return NULL;
}

/* Raises `error`, which may be NULL with an exception set. Steals it. */
static PyObject *
raise_it(PyObject *error)
{
    if (error != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
        Py_DECREF(error);
    }
    return NULL;
}

/* An error past its __init__, which takes longer than all the rest; not for
   those that are OSErrors, whose __new__ relies on it. Steals `text`. */
static PyObject *
new_error(const py_state *state, PyTypeObject *type, PyObject *text,
          PyObject *client, PyObject *client_id)
{
    PyObject *error = NULL;
    PyObject *args = text == NULL ? NULL : PyTuple_Pack(1, text);
    if (args != NULL) {
        error = type->tp_new(type, args, NULL);
        Py_DECREF(args);
    }
    Py_XDECREF(text);
    if (error != NULL &&
        (PyObject_SetAttr(error, state->name_client, client) < 0 ||
         PyObject_SetAttr(error, state->name_client_id, client_id) < 0)) {
        Py_CLEAR(error);
    }
    return error;
}

/* Steals `value`, which may be NULL. */
static int
set_new(PyObject *object, PyObject *name, PyObject *value)
{
    int rc = value == NULL ? -1 : PyObject_SetAttr(object, name, value);
    Py_XDECREF(value);
    return rc;
}

static int
set_numbers(const py_state *state, PyObject *error, const ws_chan_stats *stats)
{
    double age = (double)stats->oldest_age_ns / (double)WS_NS_PER_S;
    if (set_new(error, state->name_queued,
                PyLong_FromUnsignedLong(stats->queued)) < 0 ||
        set_new(error, state->name_queued_bytes,
                PyLong_FromSize_t(stats->queued_bytes)) < 0) {
        return -1;
    }
    return set_new(error, state->name_oldest_age, PyFloat_FromDouble(age));
}

static PyObject *
raise_full(const py_state *state, py_client *client, PyObject *id)
{
    ws_chan_stats stats = ws_chan_get_stats(&client->client->chan);
    unsigned long long tenths =
        stats.oldest_age_ns / (WS_NS_PER_S / 10); // of a second
    PyObject *error = new_error(
        state, state->channel_full,
        PyUnicode_FromFormat("client %R: the send channel is full: %lu "
                             "message%s, %zu bytes queued, the oldest for "
                             "%llu.%llu s",
                             id, (unsigned long)stats.queued,
                             stats.queued == 1 ? "" : "s", stats.queued_bytes,
                             tenths / 10, tenths % 10),
        (PyObject *)client, id);
    if (error != NULL && set_numbers(state, error, &stats) < 0) {
        Py_CLEAR(error);
    }
    return raise_it(error);
}

static PyObject *
raise_too_large(const py_state *state, PyObject *client, PyObject *id,
                PyObject *text, size_t size, size_t limit)
{
    PyObject *error =
        new_error(state, state->message_too_large, text, client, id);
    PyObject *sizes = Py_BuildValue("nn", (Py_ssize_t)size, (Py_ssize_t)limit);
    if (error != NULL && sizes != NULL &&
        (PyObject_SetAttrString(error, "size", PyTuple_GET_ITEM(sizes, 0)) <
             0 ||
         PyObject_SetAttrString(error, "limit", PyTuple_GET_ITEM(sizes, 1)) <
             0)) {
        Py_CLEAR(error);
    }
    if (sizes == NULL) {
        Py_CLEAR(error);
    }
    Py_XDECREF(sizes);
    return raise_it(error);
}

PyObject *
py_raise_too_large(py_state *state, size_t size, size_t limit)
{
    if (state == NULL || state->message_too_large == NULL) {
        return gone();
    }
    return raise_too_large(
        state, Py_None, Py_None,
        PyUnicode_FromFormat("a message of %zu bytes can never fit: a channel "
                             "holds %zu (send_queue_bytes)",
                             size, limit),
        size, limit);
}

static PyObject *
raise_client_too_large(const py_state *state, py_client *client, PyObject *id,
                       size_t size)
{
    size_t limit = ws_hub_send_limits(client->client->hub)->max_bytes;
    return raise_too_large(
        state, (PyObject *)client, id,
        PyUnicode_FromFormat(
            "client %R: a message of %zu bytes can never fit: "
            "the channel holds %zu (send_queue_bytes)",
            id, size, limit),
        size, limit);
}

/* ChannelClosed and HubClosed, which are made by calling them. Steals `text`.
 */
static PyObject *
raise_connection(PyTypeObject *type, PyObject *text, PyObject *kwargs)
{
    PyObject *error = NULL;
    PyObject *args =
        text == NULL || kwargs == NULL ? NULL : PyTuple_Pack(1, text);
    if (args != NULL) {
        error = PyObject_Call((PyObject *)type, args, kwargs);
        Py_DECREF(args);
    }
    Py_XDECREF(text);
    Py_XDECREF(kwargs);
    return raise_it(error);
}

static PyObject *
raise_closed(const py_state *state, py_client *client, PyObject *id,
             const char *what)
{
    const ws_client *core = client->client;
    PyObject *reason =
        py_text((ws_text){core->close_reason, core->close_reason_size});
    if (reason == NULL) {
        return NULL;
    }
    PyObject *text = PyUnicode_FromFormat(
        "client %R: %s: the connection is closed (%d%s%U)", id, what,
        (int)core->close_code, core->close_reason_size > 0 ? ", " : "",
        reason);
    return raise_connection(
        state->channel_closed, text,
        Py_BuildValue("{sO sO si sN}", "client", client, "client_id", id,
                      "code", (int)core->close_code, "reason", reason));
}

PyObject *
py_raise_closed(py_state *state, py_client *client, const char *what)
{
    if (state == NULL || state->channel_closed == NULL) {
        return gone();
    }
    PyObject *id = py_text(client->client->info.id);
    if (id != NULL) {
        (void)raise_closed(state, client, id, what);
        Py_DECREF(id);
    }
    return NULL;
}

PyObject *
py_raise_refusal(py_state *state, py_client *client, ws_err err, size_t size)
{
    if (state == NULL || state->channel_full == NULL) {
        return gone();
    }
    if (err == WS_ERR_NOMEM) {
        return PyErr_NoMemory();
    }
    PyObject *id = py_text(client->client->info.id);
    if (id == NULL) {
        return NULL;
    }
    if (err == WS_ERR_FULL) {
        (void)raise_full(state, client, id);
    } else if (err == WS_ERR_TOO_BIG) {
        (void)raise_client_too_large(state, client, id, size);
    } else {
        (void)raise_closed(state, client, id, "the message was not queued");
    }
    Py_DECREF(id);
    return NULL;
}

PyObject *
py_raise_not_found(py_state *state, PyObject *id)
{
    if (state == NULL || state->client_not_found == NULL) {
        return gone();
    }
    PyObject *text =
        id == Py_None
            ? PyUnicode_FromString("client is None: there is no such client")
            : PyUnicode_FromFormat("there is no open client %.300R", id);
    return raise_it(
        new_error(state, state->client_not_found, text, Py_None, id));
}

PyObject *
py_raise_hub_closed(py_state *state, const py_home *home)
{
    PyObject *text = NULL;
    if (state == NULL || state->hub_closed == NULL) {
        return gone();
    }
    if (py_home_is_here(home)) {
        text = PyUnicode_FromString("the hub is closed");
    } else {
        text = PyUnicode_FromFormat(
            "the hub belongs to process %ld; process %ld, forked from it, "
            "needs one of its own",
            (long)home->pid, (long)getpid());
    }
    return raise_connection(state->hub_closed, text, PyDict_New());
}

PyObject *
py_raise_err(py_state *state, const py_home *home, ws_err err)
{
    // No default: the compiler names the error that has no exception yet.
    switch (err) {
    case WS_ERR_NOMEM:
        return PyErr_NoMemory();
    case WS_ERR_HUB_CLOSED:
        return py_raise_hub_closed(state, home);
    case WS_ERR_SYSTEM:
        return PyErr_SetFromErrno(PyExc_OSError);
    case WS_ERR_TIMEOUT:
        PyErr_SetString(PyExc_TimeoutError, ws_err_text(err));
        return NULL;
    case WS_OK:
    case WS_ERR_FULL: // clients refuse these, see py_raise_refusal
    case WS_ERR_CLOSED:
    case WS_ERR_TOO_BIG:
    case WS_ERR_NOT_FOUND: // the pump answers these
    case WS_ERR_IN_USE:
    case WS_ERR_TOO_MANY:
        break;
    }
    PyErr_SetString(PyExc_SystemError, ws_err_text(err));
    return NULL;
}

PyObject *
py_raise_invalid(const void *data, size_t size, const ws_utf8_error *invalid)
{
    PyObject *error = PyObject_CallFunction(
        PyExc_UnicodeDecodeError, "sy#nns", "utf-8", (const char *)data,
        (Py_ssize_t)size, (Py_ssize_t)invalid->start, (Py_ssize_t)invalid->end,
        invalid->reason);
    return raise_it(error);
}

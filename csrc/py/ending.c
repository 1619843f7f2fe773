/* ending.c - WSHub: flush, close_user, close, and being a context manager. */
#include "args.h"
#include "convert.h"
#include "core/alloc.h"
#include "core/flush.h"
#include "hub.h"
#include "raise.h"
#include "wait.h"

static py_hub *
as_hub(PyObject *op)
{
    return (py_hub *)op;
}

bool
py_hub_list(py_hub *self, ws_target target, ws_client ***clients,
            size_t *count)
{
    ws_err err = WS_OK;
    ws_hub *core = self->core;
    Py_BEGIN_ALLOW_THREADS
        err = ws_hub_list(core, target, clients, count);
    Py_END_ALLOW_THREADS
    if (err != WS_OK) {
        (void)PyErr_NoMemory();
    }
    return err == WS_OK;
}

static PyObject *
raise_timeout(py_hub *self)
{
    ws_hub_stats stats;
    ws_hub *core = self->core;
    Py_BEGIN_ALLOW_THREADS
        stats = ws_hub_get_stats(core);
    Py_END_ALLOW_THREADS
    PyErr_Format(PyExc_TimeoutError,
                 "timed out with %llu messages, %llu bytes, not yet written",
                 (unsigned long long)stats.queued,
                 (unsigned long long)stats.queued_bytes);
    return NULL;
}

PyObject *
py_hub_flush(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const char *const names[] = {"timeout", NULL};
    static const py_signature signature = {"flush", names, 1, 0};
    PyObject *timeout = NULL;
    uint64_t until_ns = 0;
    ws_flush *flush = NULL;
    ws_err err = WS_OK;
    if (!py_args(&signature, args, nargs, kwnames, &timeout) ||
        !py_get_deadline(timeout, &until_ns) ||
        !py_hub_enter_open(as_hub(op))) {
        return NULL;
    }
    ws_hub *core = as_hub(op)->core;
    Py_BEGIN_ALLOW_THREADS
        err = ws_flush_hub(core, &flush);
    Py_END_ALLOW_THREADS
    if (err != WS_OK) {
        return PyErr_NoMemory();
    }
    if (!py_wait_flush(flush, until_ns, &err)) {
        (void)(PyErr_Occurred() || py_hub_enter_open(as_hub(op)));
        if (!PyErr_Occurred()) {
            Py_RETURN_NONE; // a child, of a hub that never had a client
        }
        return NULL;
    }
    if (err == WS_ERR_TIMEOUT) {
        return raise_timeout(as_hub(op));
    }
    Py_RETURN_NONE; // also where some were lost: they are counted
}

/* Uses up the references and the array. How many were open; -1: no memory. */
static Py_ssize_t
close_each(ws_client **clients, size_t count, uint16_t code, ws_text reason)
{
    Py_ssize_t closed = 0;
    for (size_t i = 0; i < count; i++) {
        ws_err err = closed < 0
                         ? WS_ERR_CLOSED
                         : ws_hub_close_client(clients[i], code, reason);
        if (err == WS_OK) {
            closed++;
        } else if (err == WS_ERR_NOMEM) {
            closed = -1;
        }
        ws_client_unref(clients[i]);
    }
    ws_free(clients);
    return closed;
}

PyObject *
py_hub_close_user(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const char *const names[] = {"user", "code", "reason", NULL};
    static const py_signature signature = {"close_user", names, 3, 1};
    PyObject *got[3];
    uint16_t code = 4401;
    ws_text reason;
    ws_target target = {.kind = WS_TO_USER};
    ws_client **clients = NULL;
    size_t count = 0;
    Py_ssize_t closed = 0;
    if (!py_args(&signature, args, nargs, kwnames, got) ||
        !py_get_text("user", got[0], &target.name) ||
        !py_get_close(got[1], got[2], &code, &reason) ||
        !py_hub_enter_open(as_hub(op)) ||
        !py_hub_list(as_hub(op), target, &clients, &count)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
        closed = close_each(clients, count, code, reason);
    Py_END_ALLOW_THREADS
    return closed < 0 ? PyErr_NoMemory() : PyLong_FromSsize_t(closed);
}

PyObject *
py_hub_close_call(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    static const char *const names[] = {"code", "reason", "timeout", NULL};
    static const py_signature signature = {"close", names, 3, 0};
    PyObject *got[3];
    uint16_t code = 1001;
    ws_text reason;
    uint64_t until_ns = ws_now_ns() + 10 * WS_NS_PER_S;
    if (!py_args(&signature, args, nargs, kwnames, got) ||
        !py_get_close(got[0], got[1], &code, &reason) ||
        (got[2] != NULL && !py_get_deadline(got[2], &until_ns)) ||
        !py_hub_close(as_hub(op), code, reason, until_ns, true)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
py_hub_enter_call(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (!py_hub_enter_open(as_hub(op))) {
        return NULL;
    }
    Py_INCREF(op);
    return op;
}

PyObject *
py_hub_exit_call(PyObject *op, PyObject *const *Py_UNUSED(args),
                 Py_ssize_t Py_UNUSED(nargs))
{
    return py_hub_close_call(op, NULL, 0, NULL);
}

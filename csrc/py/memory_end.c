/*
 * memory_end.c - MemoryEnd: the other end of a client without a socket, for
 * wssend.testing. It holds its hub, and vanishes when it is let go of.
 */
#include <limits.h>

#include "args.h"
#include "client.h"
#include "convert.h"
#include "core/alloc.h"
#include "core/memory_end.h"
#include "hub.h"
#include "net/message.h"
#include "payload.h"
#include "raise.h"
#include "wait.h"

typedef struct py_memory_end {
    PyObject ob_base;
    py_hub *hub;        /* a reference; NULL: the garbage collector was here */
    py_home *home;      /* a reference */
    ws_memory_end *end; /* ours; NULL likewise */
} py_memory_end;

static py_memory_end *
as_end(PyObject *op)
{
    return (py_memory_end *)op;
}

/* False in a forked child, or once the collector has taken it apart. */
static bool
is_here(py_memory_end *self)
{
    if (self->end != NULL && py_home_is_here(self->home)) {
        return true;
    }
    (void)py_raise_hub_closed(py_state_of((PyObject *)self), self->home);
    return false;
}

/* ---- making and freeing */

static bool
get_info(PyObject *id, PyObject *user, PyObject *subprotocol,
         ws_client_info *info)
{
    if (!py_get_name("id", id, &info->id) ||
        (user != Py_None && !py_get_name("user", user, &info->user)) ||
        (subprotocol != Py_None &&
         !py_get_text("subprotocol", subprotocol, &info->subprotocol))) {
        return false;
    }
    if (info->id.size > WS_CLIENT_ID_MAX) {
        PyErr_Format(PyExc_ValueError,
                     "id must be at most %d bytes of UTF-8, but has %zu: "
                     "%.300R",
                     WS_CLIENT_ID_MAX, info->id.size, id);
        return false;
    }
    return true;
}

/* Sets an exception for a client that could not join. */
static void
raise_join(py_hub *hub, ws_err err, PyObject *id)
{
    if (err == WS_ERR_IN_USE) {
        PyErr_Format(PyExc_ValueError,
                     "id %.300R is in use by an open client of the hub", id);
    } else if (err == WS_ERR_TOO_MANY) {
        PyErr_Format(PyExc_RuntimeError,
                     "the hub has its max_clients already, %zu of them",
                     hub->options.limits.max_clients);
    } else {
        (void)py_raise_err(py_state_of((PyObject *)hub), hub->home, err);
    }
}

static bool
may_join(py_hub *hub)
{
    if (!py_hub_enter_open(hub)) {
        return false;
    }
    if (hub->options.config.pumps > WS_MEMORY_NUMBER) {
        PyErr_Format(PyExc_ValueError,
                     "a hub with clients in memory can have at most %d pumps, "
                     "not %zu",
                     WS_MEMORY_NUMBER, hub->options.config.pumps);
        return false;
    }
    return true;
}

static PyObject *
memory_end_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"hub",     "id",          "user", "remote",
                            "request", "subprotocol", NULL};
    PyObject *hub = NULL;
    PyObject *id = NULL;
    PyObject *user = NULL;
    PyObject *remote = NULL;
    PyObject *subprotocol = NULL;
    Py_buffer request;
    ws_client_info info = {.user = {NULL, 0}};
    py_state *state = PyType_GetModuleState(type);

    if (state == NULL ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "O!OOOy*O:MemoryEnd", names,
                                     state->hub_type, &hub, &id, &user,
                                     &remote, &request, &subprotocol)) {
        return NULL;
    }
    info.request = (ws_text){request.buf, (size_t)request.len};
    PyObject *op = NULL;
    if (get_info(id, user, subprotocol, &info) &&
        py_get_text("remote", remote, &info.remote)) {
        op = type->tp_alloc(type, 0);
    }
    info.peer = info.remote;
    if (op != NULL && !may_join((py_hub *)hub)) {
        Py_CLEAR(op);
    }
    if (op != NULL) {
        py_memory_end *self = as_end(op);
        Py_INCREF(hub);
        self->hub = (py_hub *)hub;
        self->home = py_home_ref(self->hub->home);
        ws_err err = ws_memory_end_new(self->hub->core, &info, &self->end);
        if (err != WS_OK) {
            self->end = NULL;
            raise_join(self->hub, err, id);
            Py_CLEAR(op);
        }
    }
    PyBuffer_Release(&request);
    return op;
}

static int
memory_end_clear(PyObject *op)
{
    py_memory_end *self = as_end(op);
    ws_memory_end *end = self->end;
    self->end = NULL;
    if (end != NULL && py_home_is_here(self->home)) {
        ws_memory_end_free(end);
    }
    Py_CLEAR(self->hub);
    return 0;
}

static void
memory_end_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void)memory_end_clear(op);
    py_home_unref(as_end(op)->home);
    type->tp_free(op);
    Py_DECREF(type);
}

static int
memory_end_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(as_end(op)->hub);
    return 0;
}

/* ---- what has come */

static PyObject *
open_message(const ws_msg *msg)
{
    const char *data = (const char *)ws_msg_payload(msg);
    Py_ssize_t size = (Py_ssize_t)ws_msg_size(msg);
    return ws_message_is_text(msg) ? PyUnicode_DecodeUTF8(data, size, NULL)
                                   : PyBytes_FromStringAndSize(data, size);
}

/* Uses up the references and the array. */
static PyObject *
open_all(ws_msg **messages, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; i < count; i++) {
        PyObject *one = list == NULL ? NULL : open_message(messages[i]);
        ws_msg_unref(messages[i]);
        if (one == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, one);
        }
    }
    ws_free(messages);
    return list;
}

static PyObject *
end_take(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    ws_msg **messages = NULL;
    if (!is_here(as_end(op))) {
        return NULL;
    }
    size_t count = ws_memory_end_take(as_end(op)->end, &messages);
    return open_all(messages, count);
}

/* TIMEOUT, too, with an exception set: a signal handler has raised, or has
   forked and this is the child. */
static ws_err
await(py_memory_end *self, uint64_t seen, uint64_t until_ns)
{
    ws_err err = WS_ERR_TIMEOUT;
    ws_memory_end *end = self->end;
    bool quiet = true;
    do {
        uint64_t slice_ns = py_slice_end(until_ns);
        Py_BEGIN_ALLOW_THREADS
            err = ws_memory_end_wait(end, seen, slice_ns);
        Py_END_ALLOW_THREADS
        quiet = PyErr_CheckSignals() == 0 && is_here(self);
    } while (quiet && err == WS_ERR_TIMEOUT && ws_now_ns() < until_ns);
    return quiet ? err : WS_ERR_TIMEOUT;
}

static PyObject *
end_wait(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
         PyObject *kwnames)
{
    static const char *const names[] = {"seen", "timeout", NULL};
    static const py_signature signature = {"wait", names, 2, 2};
    PyObject *got[2];
    long long seen = 0;
    uint64_t until_ns = 0;
    if (!py_args(&signature, args, nargs, kwnames, got) ||
        !py_get_int("seen", got[0], 0, LLONG_MAX, &seen) ||
        !py_get_deadline(got[1], &until_ns) || !is_here(as_end(op))) {
        return NULL;
    }
    ws_err err = await(as_end(op), (uint64_t)seen, until_ns);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(err == WS_OK);
}

static PyObject *
end_stall(PyObject *op, PyObject *value)
{
    bool stalled = false;
    if (!py_get_bool("stalled", value, &stalled) || !is_here(as_end(op))) {
        return NULL;
    }
    ws_memory_end_stall(as_end(op)->end, stalled);
    Py_RETURN_NONE;
}

/* ---- what it does itself */

static PyObject *
raise_over(py_memory_end *self)
{
    py_state *state = py_state_of((PyObject *)self);
    ws_client *client = ws_memory_end_client(self->end);
    PyObject *object =
        state == NULL ? NULL : py_client_of(state, self->home, client);
    if (object != NULL) {
        (void)py_raise_closed(state, (py_client *)object,
                              "it has sent nothing");
        Py_DECREF(object);
    }
    return NULL;
}

/* What a server does at a message that is too large. */
static ws_err
refuse_large(py_memory_end *self)
{
    static const char why[] = "the message is too large";
    if (ws_memory_end_is_over(self->end)) {
        return WS_ERR_CLOSED;
    }
    ws_err err = ws_hub_close_client(ws_memory_end_client(self->end), 1009,
                                     (ws_text){why, sizeof why - 1});
    return err == WS_ERR_NOMEM ? err : WS_OK;
}

static ws_err
hand_over(py_memory_end *self, const ws_outgoing *out)
{
    if (out->size > self->hub->options.config.max_message_size) {
        return refuse_large(self);
    }
    return ws_memory_end_send(self->end, out->data, out->size,
                              out->kind == WS_MESSAGE_TEXT);
}

static PyObject *
end_send(PyObject *op, PyObject *data)
{
    py_payload payload;
    if (!py_payload_get(&payload, data, NULL, NULL)) {
        return NULL;
    }
    PyObject *result = NULL;
    if (is_here(as_end(op))) {
        ws_err err = hand_over(as_end(op), &payload.out);
        if (err == WS_ERR_NOMEM) {
            result = PyErr_NoMemory();
        } else if (err == WS_ERR_CLOSED) {
            result = raise_over(as_end(op));
        } else {
            result = PyBool_FromLong(err == WS_OK);
        }
    }
    py_payload_release(&payload);
    return result;
}

static PyObject *
end_close(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
          PyObject *kwnames)
{
    static const char *const names[] = {"code", "reason", NULL};
    static const py_signature signature = {"close", names, 2, 0};
    PyObject *got[2];
    uint16_t code = 1000;
    ws_text reason;
    if (!py_args(&signature, args, nargs, kwnames, got) ||
        !py_get_close(got[0], got[1], &code, &reason) ||
        !is_here(as_end(op))) {
        return NULL;
    }
    ws_memory_end_close(as_end(op)->end, code, reason, true);
    Py_RETURN_NONE;
}

static PyObject *
end_vanish(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (!is_here(as_end(op))) {
        return NULL;
    }
    ws_memory_end_close(as_end(op)->end, 1006, (ws_text){NULL, 0}, false);
    Py_RETURN_NONE;
}

static PyObject *
get_client(PyObject *op, void *Py_UNUSED(closure))
{
    py_state *state = py_state_of(op);
    if (state == NULL || !is_here(as_end(op))) {
        return NULL;
    }
    return py_client_of(state, as_end(op)->home,
                        ws_memory_end_client(as_end(op)->end));
}

static PyObject *
get_over(PyObject *op, void *Py_UNUSED(closure))
{
    return is_here(as_end(op))
               ? PyBool_FromLong(ws_memory_end_is_over(as_end(op)->end))
               : NULL;
}

PyDoc_STRVAR(memory_end_doc, "The other end of a client without a socket: see "
                             "wssend.testing.\n");
PyDoc_STRVAR(take_doc,
             "take($self, /)\n--\n\n"
             "Return the messages that have come since the last call.\n");
PyDoc_STRVAR(wait_doc,
             "wait($self, /, seen, timeout)\n--\n\n"
             "Wait for more than seen messages in all, or the end of the\n"
             "connection: True; False after timeout seconds.\n");
PyDoc_STRVAR(stall_doc, "stall($self, stalled, /)\n--\n\n"
                        "Take nothing from now on, or go on.\n");
PyDoc_STRVAR(send_doc,
             "send($self, data, /)\n--\n\n"
             "Send a message; False: the hub's events have no room now.\n");
PyDoc_STRVAR(close_doc, "close($self, /, code=1000, reason='')\n--\n\n"
                        "Leave, with a Close.\n");
PyDoc_STRVAR(vanish_doc, "vanish($self, /)\n--\n\n"
                         "Leave without one.\n");

static PyMethodDef memory_end_methods[] = {
    {"take", end_take, METH_NOARGS, take_doc},
    {"wait", (PyCFunction)(void (*)(void))end_wait,
     METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"stall", end_stall, METH_O, stall_doc},
    {"send", end_send, METH_O, send_doc},
    {"close", (PyCFunction)(void (*)(void))end_close,
     METH_FASTCALL | METH_KEYWORDS, close_doc},
    {"vanish", end_vanish, METH_NOARGS, vanish_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef memory_end_getset[] = {
    {"client", get_client, NULL, "The WSClient whose end it is.", NULL},
    {"over", get_over, NULL, "Whether the connection is over.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot memory_end_slots[] = {
    {Py_tp_new, memory_end_new},           {Py_tp_dealloc, memory_end_dealloc},
    {Py_tp_traverse, memory_end_traverse}, {Py_tp_clear, memory_end_clear},
    {Py_tp_doc, (void *)memory_end_doc},   {Py_tp_methods, memory_end_methods},
    {Py_tp_getset, memory_end_getset},     {0, NULL},
};

PyType_Spec py_memory_end_spec = {
    .name = "wssend._core.MemoryEnd",
    .basicsize = sizeof(py_memory_end),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = memory_end_slots,
};

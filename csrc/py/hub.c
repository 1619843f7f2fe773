#include "hub.h"

#include <structmember.h>

#include "args.h"
#include "convert.h"
#include "core/alloc.h"
#include "hub_doc.h"
#include "raise.h"
#include "values.h"

static py_hub *
as_hub(PyObject *op)
{
    return (py_hub *)op;
}

static bool
make_core(py_hub *self)
{
    ws_err err = ws_hub_new(&self->options.limits, &self->core);
    if (err != WS_OK) {
        self->core = NULL;
        (void)py_raise_err(py_state_of((PyObject *)self), NULL, err);
        return false;
    }
    self->pages = ws_pages_new();
    self->home = py_home_new(self, self->options.release_gil);
    if (self->pages == NULL || self->home == NULL) {
        (void)PyErr_NoMemory();
        return false;
    }
    return true;
}

static PyObject *
hub_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    // The options first: they may run any Python, which could find the object.
    py_options options = {.release_gil = true};
    PyObject *op = NULL;
    if (py_options_get(&options, args, kwargs)) {
        op = type->tp_alloc(type, 0);
    }
    if (op == NULL) {
        py_options_release(&options);
        return NULL;
    }
    as_hub(op)->options = options;
    if (!make_core(as_hub(op))) {
        Py_CLEAR(op);
    }
    return op;
}

static void
hub_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    if (PyObject_CallFinalizerFromDealloc(op) < 0) {
        return; // somebody has taken hold of it
    }
    PyObject_GC_UnTrack(op);
    if (as_hub(op)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    py_hub_release(as_hub(op));
    type->tp_free(op);
    Py_DECREF(type);
}

static int
hub_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    return py_visit_kept(&as_hub(op)->kept, visit, arg);
}

static int
hub_clear(PyObject *op)
{
    py_let_all_go(&as_hub(op)->kept);
    return 0;
}

/* The WSClient for a reference, which is used up; None for NULL. */
static PyObject *
wrap(py_hub *self, ws_client *client)
{
    py_state *state = py_state_of((PyObject *)self);
    if (client == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *object =
        state == NULL ? NULL : py_client_of(state, self->home, client);
    ws_client_unref(client);
    return object;
}

static PyObject *
hub_get(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
        PyObject *kwnames)
{
    static const char *const names[] = {"client_id", NULL};
    static const py_signature signature = {"get", names, 1, 1};
    PyObject *id = NULL;
    ws_text text;
    if (!py_args(&signature, args, nargs, kwnames, &id) ||
        !py_get_text("client_id", id, &text) || !py_hub_enter(as_hub(op))) {
        return NULL;
    }
    return wrap(as_hub(op), ws_hub_get(as_hub(op)->core, text));
}

/* Uses up the references and the array. */
static PyObject *
wrap_all(py_hub *self, ws_client **clients, size_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; i < count; i++) {
        if (list == NULL) {
            ws_client_unref(clients[i]);
            continue;
        }
        PyObject *one = wrap(self, clients[i]);
        if (one == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, (Py_ssize_t)i, one);
        }
    }
    ws_free(clients);
    return list;
}

static PyObject *
hub_clients(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const char *const names[] = {"user", NULL};
    static const py_signature signature = {"clients", names, 1, 0};
    PyObject *user = NULL;
    ws_target target = {.kind = WS_TO_ALL};
    ws_client **clients = NULL;
    size_t count = 0;
    if (!py_args(&signature, args, nargs, kwnames, &user)) {
        return NULL;
    }
    if (user != NULL && user != Py_None) {
        target.kind = WS_TO_USER;
        if (!py_get_text("user", user, &target.name)) {
            return NULL;
        }
    }
    if (!py_hub_enter(as_hub(op)) ||
        !py_hub_list(as_hub(op), target, &clients, &count)) {
        return NULL;
    }
    return wrap_all(as_hub(op), clients, count);
}

static Py_ssize_t
hub_len(PyObject *op)
{
    return py_hub_enter(as_hub(op)) ? (Py_ssize_t)ws_hub_size(as_hub(op)->core)
                                    : -1;
}

static int
hub_bool(PyObject *Py_UNUSED(op))
{
    return 1;
}

static int
contains_client(py_hub *self, const py_client *client)
{
    return client->home == self->home && !self->closed &&
           ws_client_get_state(client->client) == WS_CLIENT_OPEN;
}

static int
hub_contains(PyObject *op, PyObject *item)
{
    ws_text text;
    py_state *state = py_state_of(op);
    if (state == NULL || !py_hub_enter(as_hub(op))) {
        return -1;
    }
    if (!PyUnicode_Check(item)) {
        py_client *known = py_client_get(state, item);
        if (known != NULL) {
            int found = contains_client(as_hub(op), known);
            Py_DECREF(known);
            return found;
        }
        (void)(PyErr_Occurred() || py_wrong_type("what is looked for",
                                                 "an id or a WSClient", item));
        return -1;
    }
    if (!py_get_text("client_id", item, &text)) {
        return -1;
    }
    ws_client *client = ws_hub_get(as_hub(op)->core, text);
    ws_client_unref(client);
    return client != NULL;
}

/* How many connections each has, a tuple. */
static PyObject *
list_pumps(py_hub *self)
{
    Py_ssize_t count = (Py_ssize_t)self->options.config.pumps;
    PyObject *pumps = PyTuple_New(count);
    for (Py_ssize_t i = 0; pumps != NULL && i < count; i++) {
        PyObject *one = PyLong_FromUnsignedLongLong(
            ws_hub_connections(self->core, (size_t)i));
        if (one == NULL) {
            Py_CLEAR(pumps);
        } else {
            PyTuple_SET_ITEM(pumps, i, one);
        }
    }
    return pumps;
}

static PyObject *
hub_stats(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    ws_hub_stats stats;
    py_state *state = py_state_of(op);
    if (state == NULL || !py_hub_enter(as_hub(op))) {
        return NULL;
    }
    ws_hub *core = as_hub(op)->core;
    Py_BEGIN_ALLOW_THREADS
        stats = ws_hub_get_stats(core);
    Py_END_ALLOW_THREADS
    ws_pump_counters counters;
    ws_hub_sum_counters(core, &counters);
    PyObject *pumps = list_pumps(as_hub(op));
    return pumps == NULL ? NULL
                         : py_make_hub_stats(state, &stats, &counters, pumps);
}

static PyObject *
hub_fileno(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (!py_hub_enter(as_hub(op))) {
        return NULL;
    }
    py_hub_take_events(as_hub(op));
    return PyLong_FromLong(ws_evq_fd(ws_hub_events(as_hub(op)->core)));
}

static bool
is_closed(const py_hub *self)
{
    return self->closing || (self->started && !py_home_is_here(self->home));
}

static PyObject *
get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_closed(as_hub(op)));
}

static PyObject *
get_authorizes(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(as_hub(op)->options.config.authorize);
}

static PyObject *
hub_repr(PyObject *op)
{
    if (is_closed(as_hub(op))) {
        return PyUnicode_FromFormat("<WSHub at %p, closed>", op);
    }
    Py_ssize_t clients = hub_len(op);
    return clients < 0
               ? NULL
               : PyUnicode_FromFormat("<WSHub at %p, %zd client%s>", op,
                                      clients, clients == 1 ? "" : "s");
}

static PyMethodDef hub_methods[] = {
#define FAST(name, function)                                \
    {                                                       \
#name, (PyCFunction)(void (*)(void))(function),     \
            METH_FASTCALL | METH_KEYWORDS, hub_##name##_doc \
    }
    FAST(listen, py_hub_listen),
    FAST(get, hub_get),
    FAST(clients, hub_clients),
    FAST(send, py_hub_send),
    FAST(send_to_user, py_hub_send_to_user),
    FAST(broadcast, py_hub_broadcast),
    FAST(publish, py_hub_publish),
    FAST(flush, py_hub_flush),
    FAST(close_user, py_hub_close_user),
    FAST(close, py_hub_close_call),
    FAST(add_page, py_hub_add_page),
    FAST(events, py_hub_events),
#undef FAST
    {"stats", hub_stats, METH_NOARGS, hub_stats_doc},
    {"fileno", hub_fileno, METH_NOARGS, hub_fileno_doc},
    {"__enter__", py_hub_enter_call, METH_NOARGS, hub_enter_doc},
    {"__exit__", (PyCFunction)(void (*)(void))py_hub_exit_call, METH_FASTCALL,
     hub_exit_doc},
    {NULL, NULL, 0, NULL},
};

static PyObject *
get_send_queue_bytes(PyObject *op, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(((py_hub *)op)->options.limits.send.max_bytes);
}

static PyGetSetDef hub_getset[] = {
    {"closed", get_closed, NULL, hub_closed_doc, NULL},
    {"_authorizes", get_authorizes, NULL, NULL, NULL},
    {"send_queue_bytes", get_send_queue_bytes, NULL,
     "The option of that name: also the largest message that can be sent.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef hub_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(py_hub, weakrefs), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot hub_slots[] = {
    {Py_tp_new, hub_new},
    {Py_tp_dealloc, hub_dealloc},
    {Py_tp_finalize, py_hub_finalize},
    {Py_tp_traverse, hub_traverse},
    {Py_tp_clear, hub_clear},
    {Py_tp_repr, hub_repr},
    {Py_tp_doc, (void *)hub_doc},
    {Py_tp_methods, hub_methods},
    {Py_tp_getset, hub_getset},
    {Py_tp_members, hub_members},
    {Py_sq_length, hub_len},
    {Py_sq_contains, hub_contains},
    {Py_nb_bool, hub_bool},
    {0, NULL},
};

PyType_Spec py_hub_spec = {
    .name = "wssend.WSHub",
    .basicsize = sizeof(py_hub),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = hub_slots,
};

#include "client.h"

#include <structmember.h>

#include "args.h"
#include "client_doc.h"
#include "convert.h"
#include "core/flush.h"
#include "core/hub.h"
#include "payload.h"
#include "raise.h"
#include "values.h"
#include "wait.h"

static py_client *
as_client(PyObject *op)
{
    return (py_client *)op;
}

/* The object that is there already, a new reference, or NULL. */
static PyObject *
find_binding(const ws_client *client)
{
    PyObject *found = client->binding;
    Py_XINCREF(found);
    return found;
}

PyObject *
py_client_of(py_state *state, py_home *home, ws_client *client)
{
    PyObject *found = find_binding(client);
    if (found != NULL) {
        return found;
    }
    PyObject *op = state->client_type->tp_alloc(state->client_type, 0);
    if (op == NULL) {
        return NULL;
    }
    found = find_binding(client); // allocating may have run anything
    if (found != NULL) {
        Py_DECREF(op);
        return found;
    }
    as_client(op)->client = ws_client_ref(client);
    as_client(op)->home = py_home_ref(home);
    client->binding = op;
    return op;
}

static void
client_dealloc(PyObject *op)
{
    py_client *self = as_client(op);
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    if (self->client != NULL) {
        // First of all: what follows may run Python, which may look for us.
        self->client->binding = NULL;
    }
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    Py_CLEAR(self->state);
    Py_CLEAR(self->request);
    if (self->client != NULL && py_home_is_here(self->home)) {
        ws_client_unref(self->client);
    }
    py_home_unref(self->home);
    type->tp_free(op);
    Py_DECREF(type);
}

static int
client_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(as_client(op)->state);
    Py_VISIT(as_client(op)->request);
    return 0;
}

static int
client_clear(PyObject *op)
{
    Py_CLEAR(as_client(op)->state);
    Py_CLEAR(as_client(op)->request);
    return 0;
}

py_client *
py_client_get(py_state *state, PyObject *value)
{
    if (Py_IS_TYPE(value, state->client_type)) {
        return (py_client *)Py_NewRef(value);
    }
    PyObject *inner = PyObject_GetAttr(value, state->name_ws_client);
    if (inner == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    if (inner != NULL && !Py_IS_TYPE(inner, state->client_type)) {
        Py_CLEAR(inner);
    }
    return (py_client *)inner;
}

PyObject *
py_client_send(py_client *self, PyObject *data, PyObject *text)
{
    py_payload payload;
    ws_err err = WS_OK;
    PyObject *result = NULL;
    py_state *state = py_state_of((PyObject *)self);

    if (!py_home_is_here(self->home)) {
        return py_raise_hub_closed(state, self->home);
    }
    if (state == NULL ||
        !py_payload_get(&payload, data, text, state->prepared_type)) {
        return NULL;
    }
    if (self->home->release_gil || payload.out.size > PY_KEEP_GIL_MAX ||
        ws_client_encodes(self->client, payload.out.size) ||
        ws_chan_is_contended(&self->client->chan)) {
        Py_BEGIN_ALLOW_THREADS
            err = ws_outgoing_send(&payload.out, self->client);
        Py_END_ALLOW_THREADS
    } else {
        err = ws_outgoing_send(&payload.out, self->client);
    }
    if (err != WS_OK) {
        (void)py_raise_refusal(state, self, err, payload.out.size);
    } else if (py_payload_was_valid(&payload)) {
        Py_INCREF(Py_None);
        result = Py_None;
    }
    py_payload_release(&payload);
    return result;
}

static PyObject *
client_send(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const char *const names[] = {"data", "text", NULL};
    static const py_signature signature = {"send", names, 1, 1};
    PyObject *got[2];
    if (nargs == 1 && kwnames == NULL) {
        return py_client_send(as_client(op), args[0], NULL);
    }
    if (!py_args(&signature, args, nargs, kwnames, got)) {
        return NULL;
    }
    return py_client_send(as_client(op), got[0], got[1]);
}

static PyObject *
raise_timeout(py_client *self)
{
    ws_chan_stats stats = ws_chan_get_stats(&self->client->chan);
    PyObject *id = py_text(self->client->info.id);
    if (id != NULL) {
        PyErr_Format(PyExc_TimeoutError,
                     "client %R: timed out with %lu of its messages, %zu "
                     "bytes, not yet written",
                     id, (unsigned long)stats.queued, stats.queued_bytes);
        Py_DECREF(id);
    }
    return NULL;
}

static PyObject *
client_flush(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const char *const names[] = {"timeout", NULL};
    static const py_signature signature = {"flush", names, 1, 0};
    py_client *self = as_client(op);
    PyObject *timeout = NULL;
    uint64_t until_ns = 0;
    ws_flush *flush = NULL;
    ws_err result = WS_OK;

    if (!py_args(&signature, args, nargs, kwnames, &timeout) ||
        !py_get_deadline(timeout, &until_ns) || !py_client_is_here(self)) {
        return NULL;
    }
    if (ws_flush_client(self->client, &flush) != WS_OK) {
        return PyErr_NoMemory();
    }
    if (!py_wait_flush(flush, until_ns, &result)) {
        (void)(PyErr_Occurred() || py_client_is_here(self));
        return NULL;
    }
    if (result == WS_ERR_TIMEOUT) {
        return raise_timeout(self);
    }
    if (result == WS_ERR_CLOSED) {
        return py_raise_closed(py_state_of(op), self,
                               "not all of its messages were written");
    }
    Py_RETURN_NONE;
}

static PyObject *
client_close(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const char *const names[] = {"code", "reason", NULL};
    static const py_signature signature = {"close", names, 2, 0};
    PyObject *got[2];
    uint16_t code = 1000;
    ws_text reason;

    if (!py_args(&signature, args, nargs, kwnames, got) ||
        !py_get_close(got[0], got[1], &code, &reason) ||
        !py_client_is_here(as_client(op))) {
        return NULL;
    }
    if (ws_hub_close_client(as_client(op)->client, code, reason) ==
        WS_ERR_NOMEM) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *
client_subscribe(PyObject *op, PyObject *topic)
{
    ws_text name;
    if (!py_get_name("topic", topic, &name) ||
        !py_client_is_here(as_client(op))) {
        return NULL;
    }
    ws_err err = ws_hub_subscribe(as_client(op)->client, name);
    if (err == WS_ERR_CLOSED) {
        return py_raise_closed(py_state_of(op), as_client(op),
                               "it was not subscribed");
    }
    if (err != WS_OK) {
        return py_raise_err(py_state_of(op), as_client(op)->home, err);
    }
    Py_RETURN_NONE;
}

static PyObject *
client_unsubscribe(PyObject *op, PyObject *topic)
{
    ws_text name;
    if (!py_get_name("topic", topic, &name) ||
        !py_client_is_here(as_client(op))) {
        return NULL;
    }
    return PyBool_FromLong(ws_hub_unsubscribe(as_client(op)->client, name));
}

static PyObject *
client_stats(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    py_state *state = py_state_of(op);
    if (state == NULL || !py_client_is_here(as_client(op))) {
        return NULL;
    }
    return py_make_client_stats(state, as_client(op)->client);
}

/* _caught_up(): all its messages that were taken are used up, so that more may
   come; see ws_evq_set_share. */
static PyObject *
client_caught_up(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (py_home_is_here(as_client(op)->home)) {
        ws_hub_give_back(as_client(op)->client);
    }
    Py_RETURN_NONE;
}

static PyObject *
client_repr(PyObject *op)
{
    const ws_client_info *info = &as_client(op)->client->info;
    PyObject *id = py_text(info->id);
    PyObject *remote = py_text(info->remote);
    PyObject *repr = NULL;
    if (id != NULL && remote != NULL) {
        repr = PyUnicode_FromFormat(
            "<WSClient %R from %U, %s>", id, remote,
            py_client_is_open(as_client(op)) ? "open" : "closed");
    }
    Py_XDECREF(id);
    Py_XDECREF(remote);
    return repr;
}

static PyMethodDef client_methods[] = {
    {"send", (PyCFunction)(void (*)(void))(client_send),
     METH_FASTCALL | METH_KEYWORDS, send_doc},
    {"flush", (PyCFunction)(void (*)(void))(client_flush),
     METH_FASTCALL | METH_KEYWORDS, flush_doc},
    {"close", (PyCFunction)(void (*)(void))(client_close),
     METH_FASTCALL | METH_KEYWORDS, close_doc},
    {"subscribe", client_subscribe, METH_O, subscribe_doc},
    {"unsubscribe", client_unsubscribe, METH_O, unsubscribe_doc},
    {"stats", client_stats, METH_NOARGS, stats_doc},
    {"_caught_up", client_caught_up, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef client_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(py_client, weakrefs), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot client_slots[] = {
    {Py_tp_dealloc, client_dealloc},
    {Py_tp_traverse, client_traverse},
    {Py_tp_clear, client_clear},
    {Py_tp_repr, client_repr},
    {Py_tp_doc, (void *)client_doc},
    {Py_tp_methods, client_methods},
    {Py_tp_getset, py_client_getset},
    {Py_tp_members, client_members},
    {0, NULL},
};

PyType_Spec py_client_spec = {
    .name = "wssend.WSClient",
    .basicsize = sizeof(py_client),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = client_slots,
};

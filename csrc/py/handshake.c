#include "handshake.h"

#include <string.h>

#include "args.h"
#include "convert.h"
#include "decision.h"
#include "handshake_doc.h"
#include "raise.h"
#include "values.h"

typedef struct py_handshake {
    PyObject ob_base;
    ws_held *held;     /* a reference */
    py_home *home;     /* a reference */
    PyObject *request; /* made at first use */
    bool armed;        /* it is refused when this goes away */
} py_handshake;

static py_handshake *
as_handshake(PyObject *op)
{
    return (py_handshake *)op;
}

PyObject *
py_handshake_new(py_state *state, py_home *home, ws_held *held)
{
    PyTypeObject *type = state->handshake_type;
    PyObject *op = type->tp_alloc(type, 0);
    if (op != NULL) {
        as_handshake(op)->held = ws_held_ref(held);
        as_handshake(op)->home = py_home_ref(home);
    }
    return op;
}

void
py_handshake_arm(PyObject *op)
{
    as_handshake(op)->armed = true;
}

static void
handshake_dealloc(PyObject *op)
{
    py_handshake *self = as_handshake(op);
    PyTypeObject *type = Py_TYPE(op);

    PyObject_GC_UnTrack(op);
    Py_CLEAR(self->request);
    if (self->held != NULL && py_home_is_here(self->home)) {
        if (self->armed) {
            ws_held_drop(self->held);
        }
        ws_held_unref(self->held);
    }
    py_home_unref(self->home);
    type->tp_free(op);
    Py_DECREF(type);
}

static int
handshake_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(as_handshake(op)->request);
    return 0;
}

static int
handshake_clear(PyObject *op)
{
    Py_CLEAR(as_handshake(op)->request);
    return 0;
}

/* ---- deciding */

static PyObject *
raise_decided(ws_held_state made)
{
    PyErr_Format(PyExc_RuntimeError,
                 "the handshake has been %s already: it is decided on once",
                 made == WS_HELD_ACCEPTED ? "accepted" : "rejected");
    return NULL;
}

/* What to return: whether it was in time. */
static PyObject *
decide(py_handshake *self, const ws_decision *what)
{
    if (!py_home_is_here(self->home)) {
        return py_raise_hub_closed(py_state_of((PyObject *)self), self->home);
    }
    ws_decision *decision = ws_decision_new(what);
    if (decision == NULL) {
        return PyErr_NoMemory();
    }
    ws_held_state found = ws_held_decide(self->held, decision);
    if (found == WS_HELD_PENDING) {
        Py_RETURN_TRUE;
    }
    ws_decision_free(decision);
    if (found == WS_HELD_ACCEPTED || found == WS_HELD_REJECTED) {
        return raise_decided(found);
    }
    Py_RETURN_FALSE;
}

/* Whether the client has offered it. */
static bool
is_offered(const ws_held_info *info, ws_text subprotocol)
{
    for (size_t at = 0; at < info->subprotocols.size;) {
        const char *one = info->subprotocols.data + at;
        if (strcmp(one, subprotocol.data) == 0) {
            return true;
        }
        at += strlen(one) + 1;
    }
    return false;
}

static PyObject *
accept_with(py_handshake *self, PyObject *const *given)
{
    PyObject *result = NULL;
    py_decision decision;
    if (py_decision_accept(&decision, given)) {
        const ws_text wanted = decision.what.subprotocol;
        if (wanted.data != NULL && !is_offered(&self->held->info, wanted)) {
            PyErr_Format(PyExc_ValueError,
                         "subprotocol %.100R is not among those that the "
                         "client offers",
                         given[PY_ACCEPT_SUBPROTOCOL]);
        } else {
            result = decide(self, &decision.what);
        }
    }
    py_decision_release(&decision);
    return result;
}

static PyObject *
reject_with(py_handshake *self, PyObject *const *given)
{
    PyObject *result = NULL;
    py_decision decision;
    if (py_decision_reject(&decision, given)) {
        result = decide(self, &decision.what);
    }
    py_decision_release(&decision);
    return result;
}

static PyObject *
handshake_accept(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const py_signature signature = {"accept", py_accept_names, 0, 0};
    PyObject *got[PY_ACCEPT_COUNT];
    return py_args(&signature, args, nargs, kwnames, got)
               ? accept_with(as_handshake(op), got)
               : NULL;
}

static PyObject *
handshake_reject(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const py_signature signature = {"reject", py_reject_names, 3, 0};
    PyObject *got[PY_REJECT_COUNT];
    return py_args(&signature, args, nargs, kwnames, got)
               ? reject_with(as_handshake(op), got)
               : NULL;
}

/* An attribute by its interned name: a name of its own would be another each
   time, of which types keep the latest thousands. */
static PyObject *
get_field(PyObject *object, const char *name)
{
    PyObject *field = NULL;
    PyObject *key = PyUnicode_InternFromString(name);
    if (key != NULL) {
        field = PyObject_GetAttr(object, key);
        Py_DECREF(key);
    }
    return field;
}

/* The attributes of a dataclass; false: an exception is set. */
static bool
get_fields(PyObject *object, const char *const *names, PyObject **out)
{
    size_t count = 0;
    for (; names[count] != NULL; count++) {
        out[count] = get_field(object, names[count]);
        if (out[count] == NULL) {
            break;
        }
    }
    if (names[count] == NULL) {
        return true;
    }
    while (count > 0) {
        Py_DECREF(out[--count]);
    }
    return false;
}

static PyObject *
decide_by(py_handshake *self, PyObject *object, const char *const *names,
          PyObject *(*with)(py_handshake *self, PyObject *const *given))
{
    PyObject *fields[PY_ACCEPT_COUNT];
    if (!get_fields(object, names, fields)) {
        return NULL;
    }
    PyObject *result = with(self, fields);
    for (size_t i = 0; names[i] != NULL; i++) {
        Py_DECREF(fields[i]);
    }
    return result;
}

static PyObject *
handshake_decide(PyObject *op, PyObject *decision)
{
    py_state *state = py_state_of(op);
    if (state == NULL) {
        return NULL;
    }
    if (PyObject_TypeCheck(decision, state->accept)) {
        return decide_by(as_handshake(op), decision, py_accept_names,
                         accept_with);
    }
    if (PyObject_TypeCheck(decision, state->reject)) {
        return decide_by(as_handshake(op), decision, py_reject_names,
                         reject_with);
    }
    (void)py_wrong_type("decision", "a wssend.Accept or a wssend.Reject",
                        decision);
    return NULL;
}

/* ---- what can be read off it */

static PyObject *
get_remote(PyObject *op, void *Py_UNUSED(closure))
{
    return py_text(as_handshake(op)->held->info.remote);
}

static PyObject *
get_peer(PyObject *op, void *Py_UNUSED(closure))
{
    return py_text(as_handshake(op)->held->info.peer);
}

static PyObject *
get_request(PyObject *op, void *Py_UNUSED(closure))
{
    py_handshake *self = as_handshake(op);
    py_state *state = py_state_of(op);
    if (self->request == NULL && state != NULL) {
        const ws_client_info info = {.request = self->held->info.request};
        PyObject *made = py_make_request(state, &info);
        Py_XSETREF(self->request, made);
    }
    Py_XINCREF(self->request);
    return self->request;
}

static PyObject *
get_subprotocols(PyObject *op, void *Py_UNUSED(closure))
{
    const ws_text all = as_handshake(op)->held->info.subprotocols;
    Py_ssize_t count = 0;
    for (size_t at = 0; at < all.size; at += strlen(all.data + at) + 1) {
        count++;
    }
    PyObject *tuple = PyTuple_New(count);
    size_t at = 0;
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        ws_text one = {all.data + at, strlen(all.data + at)};
        PyObject *text = py_text(one);
        if (text == NULL) {
            Py_CLEAR(tuple);
        } else {
            PyTuple_SET_ITEM(tuple, i, text);
        }
        at += one.size + 1;
    }
    return tuple;
}

static PyObject *
get_decided(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!py_home_is_here(as_handshake(op)->home) ||
                           ws_held_get_state(as_handshake(op)->held) !=
                               WS_HELD_PENDING);
}

static const char *
state_text(const py_handshake *self)
{
    if (!py_home_is_here(self->home)) {
        return "of another process";
    }
    switch (ws_held_get_state(self->held)) {
    case WS_HELD_PENDING:
        return "undecided";
    case WS_HELD_ACCEPTED:
        return "accepted";
    case WS_HELD_REJECTED:
        return "rejected";
    case WS_HELD_EXPIRED:
        return "expired";
    case WS_HELD_GONE:
        break;
    }
    return "gone";
}

static PyObject *
handshake_repr(PyObject *op)
{
    PyObject *remote = get_remote(op, NULL);
    if (remote == NULL) {
        return NULL;
    }
    PyObject *repr = PyUnicode_FromFormat("<Handshake from %U, %s>", remote,
                                          state_text(as_handshake(op)));
    Py_DECREF(remote);
    return repr;
}

static PyMethodDef handshake_methods[] = {
    {"accept", (PyCFunction)(void (*)(void))handshake_accept,
     METH_FASTCALL | METH_KEYWORDS, handshake_accept_doc},
    {"reject", (PyCFunction)(void (*)(void))handshake_reject,
     METH_FASTCALL | METH_KEYWORDS, handshake_reject_doc},
    {"decide", handshake_decide, METH_O, handshake_decide_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef handshake_getset[] = {
    {"request", get_request, NULL,
     "The HTTP request, a Request; nothing is agreed on yet, so its\n"
     "subprotocol is None.",
     NULL},
    {"remote", get_remote, NULL,
     "The client's address; behind a trusted proxy, what that says.", NULL},
    {"peer", get_peer, NULL, "The address of the socket's other end.", NULL},
    {"subprotocols", get_subprotocols, NULL,
     "The subprotocols that the client offers, a tuple, in its order.", NULL},
    {"decided", get_decided, NULL,
     "Whether nothing is left to decide: it was accepted or rejected, its\n"
     "time has run out, or the client has gone.",
     NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot handshake_slots[] = {
    {Py_tp_dealloc, handshake_dealloc}, {Py_tp_traverse, handshake_traverse},
    {Py_tp_clear, handshake_clear},     {Py_tp_repr, handshake_repr},
    {Py_tp_doc, (void *)handshake_doc}, {Py_tp_methods, handshake_methods},
    {Py_tp_getset, handshake_getset},   {0, NULL},
};

PyType_Spec py_handshake_spec = {
    .name = "wssend.Handshake",
    .basicsize = sizeof(py_handshake),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = handshake_slots,
};

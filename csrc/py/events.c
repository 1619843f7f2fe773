/*
 * events.c - WSHub.events, and the iterator that it returns: the hub's one
 * consumer until it ends, is closed or goes away.
 */
#include <poll.h>

#include "args.h"
#include "convert.h"
#include "core/lock.h"
#include "handshake.h"
#include "hub.h"
#include "raise.h"
#include "values.h"

/* A signal that arrives just before poll() does not interrupt it, so Python's
   handler is asked at least that often. */
#define POLL_NS (500 * WS_NS_PER_MS)

typedef struct py_events {
    PyObject ob_base;
    py_hub *hub;         /* a reference; NULL: over */
    uint64_t timeout_ns; /* PY_FOREVER: none */
    bool busy;           /* a thread is in its __next__ or take() */
    bool shares;         /* it has each client's share bounded */
    unsigned long taker; /* which, while busy */
} py_events;

static py_events *
as_events(PyObject *op)
{
    return (py_events *)op;
}

PyObject *
py_hub_events(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    static const char *const names[] = {"timeout", NULL};
    static const py_signature signature = {"events", names, 1, 0};
    py_hub *hub = (py_hub *)op;
    PyObject *timeout = NULL;
    uint64_t timeout_ns = PY_FOREVER;
    py_state *state = py_state_of(op);

    if (state == NULL ||
        !py_args(&signature, args, nargs, kwnames, &timeout) ||
        (timeout != NULL &&
         !py_get_seconds("timeout", timeout, true, PY_FOREVER, &timeout_ns)) ||
        !py_hub_enter(hub)) {
        return NULL;
    }
    PyObject *self = state->events_type->tp_alloc(state->events_type, 0);
    if (self == NULL) {
        return NULL;
    }
    if (hub->consumer != NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the hub's events are being taken already: one "
                        "iterator a hub, until it ends or is closed");
        Py_DECREF(self);
        return NULL;
    }
    Py_INCREF(hub);
    as_events(self)->hub = hub;
    as_events(self)->timeout_ns = timeout_ns;
    hub->consumer = self;
    py_hub_take_events(hub);
    return self;
}

/* Ends the iteration. May run any Python code. */
static void
end(py_events *self)
{
    py_hub *hub = self->hub;
    if (hub != NULL) {
        self->hub = NULL;
        hub->consumer = NULL;
        if (self->shares && py_home_is_here(hub->home)) {
            ws_hub_share_events(hub->core, (ws_evq_limits){0, 0});
        }
        Py_DECREF(hub);
    }
}

void
py_events_after_fork(py_hub *self)
{
    py_events *consumer = (py_events *)self->consumer;
    if (consumer != NULL && consumer->busy &&
        consumer->taker != PyThread_get_thread_ident()) {
        consumer->hub = NULL; // its reference is leaked, with its thread
        self->consumer = NULL;
    }
}

static void
events_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    end(as_events(op));
    type->tp_free(op);
    Py_DECREF(type);
}

static int
events_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(as_events(op)->hub);
    return 0;
}

/* The hub keeps a client from its Connected to its Disconnected. */
static void
keep_or_let_go(py_hub *hub, ws_event_kind kind, py_client *client)
{
    if (kind == WS_EVENT_CONNECTED) {
        py_keep(&hub->kept, client);
    } else if (kind == WS_EVENT_DISCONNECTED) {
        py_let_go(&hub->kept, client);
    }
}

/* The same as open_event. */
static PyObject *
open_authorize(py_state *state, py_hub *hub, ws_event *event)
{
    PyObject *made = NULL;
    PyObject *handshake = py_handshake_new(state, hub->home, event->held);
    if (handshake != NULL) {
        made = py_make_authorize(state, handshake);
    }
    if (made == NULL) {
        ws_evq_put_back(ws_hub_events(hub->core), event);
    } else {
        py_handshake_arm(handshake);
        ws_event_release(event);
    }
    Py_XDECREF(handshake);
    return made;
}

/* The Python event of a core event, which is used up; where there is no memory
   for it, it goes back to be taken again. */
static PyObject *
open_event(py_state *state, py_hub *hub, ws_event *event)
{
    PyObject *made = NULL;
    PyObject *client = py_client_of(state, hub->home, event->client);
    if (client != NULL) {
        made = py_make_event(state, event, (py_client *)client);
    }
    if (made == NULL) {
        ws_evq_put_back(ws_hub_events(hub->core), event);
    } else {
        keep_or_let_go(hub, event->kind, (py_client *)client);
        ws_event_release(event);
    }
    Py_XDECREF(client);
    return made;
}

/* The same for a notice: (token, whether it is as was waited for). */
static PyObject *
open_notice(py_hub *hub, ws_event *event)
{
    PyObject *made = Py_BuildValue(
        "(KO)", event->token, event->result == WS_OK ? Py_True : Py_False);
    if (made == NULL) {
        ws_evq_put_back(ws_hub_events(hub->core), event);
    } else {
        ws_event_release(event);
    }
    return made;
}

/* The next event that is there. NULL: none, or an exception is set. */
static PyObject *
take(py_state *state, py_hub *hub, bool notices)
{
    ws_event event = {.kind = WS_EVENT_NOTICE};
    while (ws_hub_take_event(hub->core, &event)) {
        if (event.kind == WS_EVENT_AUTHORIZE) {
            return open_authorize(state, hub, &event);
        }
        if (event.kind != WS_EVENT_NOTICE) {
            return open_event(state, hub, &event);
        }
        if (notices) {
            return open_notice(hub, &event);
        }
        ws_event_release(&event); // who asked for it has gone
    }
    return NULL;
}

/* Sleeps until an event may be there; the moment it gives up is `until_ns`.
   False: a signal handler has raised. */
static bool
doze(const py_hub *hub, uint64_t until_ns)
{
    uint64_t now = ws_now_ns();
    uint64_t wait = until_ns > now ? until_ns - now : 0;
    if (wait > POLL_NS) {
        wait = POLL_NS;
    }
    int wait_ms = (int)((wait + WS_NS_PER_MS - 1) / WS_NS_PER_MS);
    struct pollfd ready = {
        .fd = ws_evq_fd(ws_hub_events(hub->core)),
        .events = POLLIN,
    };
    Py_BEGIN_ALLOW_THREADS(void)
        poll(&ready, 1, wait_ms);
    Py_END_ALLOW_THREADS
    return PyErr_CheckSignals() == 0;
}

/* NULL without an exception: the iteration is over. */
static PyObject *
next_of(py_events *self, py_state *state, py_hub *hub)
{
    uint64_t until_ns = self->timeout_ns == PY_FOREVER
                            ? PY_FOREVER
                            : ws_now_ns() + self->timeout_ns;
    bool last = false;
    for (;;) {
        if (self->hub == NULL || !py_hub_enter(hub)) {
            return NULL;
        }
        bool closed = hub->closed; // before looking: then nothing more comes
        PyObject *event = take(state, hub, false);
        if (event != NULL || PyErr_Occurred() || closed || last) {
            return event;
        }
        if (!doze(hub, until_ns)) {
            return NULL;
        }
        last = ws_now_ns() >= until_ns; // but look once more
    }
}

/* False: another thread has begun before. */
static bool
begin_taking(py_events *self)
{
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError,
                        "another thread is taking from this iterator");
        return false;
    }
    self->busy = true;
    self->taker = PyThread_get_thread_ident();
    return true;
}

static PyObject *
events_next(PyObject *op)
{
    py_events *self = as_events(op);
    py_hub *hub = self->hub;
    py_state *state = py_state_of(op);
    if (hub == NULL || state == NULL || !begin_taking(self)) {
        return NULL;
    }
    Py_INCREF(hub);
    PyObject *event = next_of(self, state, hub);
    self->busy = false;
    if (event == NULL && !PyErr_Occurred()) {
        end(self);
    }
    Py_DECREF(hub);
    return event;
}

/* A list of as many as there are, and `limit` at most. The places come before
   the events, so that none is taken that has no place. An exception that came
   after the first event is left to whoever takes the next. */
static PyObject *
take_many(py_events *self, py_state *state, py_hub *hub, Py_ssize_t limit)
{
    Py_ssize_t count = 0;
    PyObject *list = PyList_New(limit);
    if (list == NULL || !py_hub_enter(hub)) {
        Py_XDECREF(list);
        return NULL;
    }
    bool closed = hub->closed; // before looking: then nothing more comes
    while (count < limit && self->hub != NULL) {
        PyObject *event = take(state, hub, true);
        if (event == NULL) {
            break;
        }
        PyList_SET_ITEM(list, count++, event);
    }
    Py_SET_SIZE(list, count);
    if (PyErr_Occurred() && count > 0) {
        PyErr_Clear();
    } else if (PyErr_Occurred()) {
        Py_CLEAR(list);
    } else if (closed && count < limit) {
        end(self);
    }
    return list;
}

static PyObject *
events_take(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const char *const names[] = {"limit", NULL};
    static const py_signature signature = {"take", names, 1, 0};
    py_events *self = as_events(op);
    py_hub *hub = self->hub;
    py_state *state = py_state_of(op);
    PyObject *given = NULL;
    long long limit = 256;
    if (state == NULL || !py_args(&signature, args, nargs, kwnames, &given) ||
        (given != NULL && !py_get_int("limit", given, 1, 65536, &limit))) {
        return NULL;
    }
    if (hub == NULL) {
        return PyList_New(0);
    }
    if (!begin_taking(self)) {
        return NULL;
    }
    Py_INCREF(hub);
    PyObject *list = take_many(self, state, hub, (Py_ssize_t)limit);
    self->busy = false;
    Py_DECREF(hub);
    return list;
}

/* A WSClient of the iterator's hub, borrowed; NULL: an exception is set. */
static py_client *
get_own_client(const py_events *self, PyObject *value)
{
    py_state *state = py_state_of((PyObject *)self);
    if (state == NULL) {
        return NULL;
    }
    if (!Py_IS_TYPE(value, state->client_type)) {
        (void)py_wrong_type("client", "a WSClient", value);
        return NULL;
    }
    py_client *client = (py_client *)value;
    if (self->hub == NULL || client->home != self->hub->home) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the hub's events are not taken here");
        return NULL;
    }
    return py_client_is_here(client) ? client : NULL;
}

/* _share(messages, bytes): each client's share. */
static PyObject *
events_share(PyObject *op, PyObject *args)
{
    py_events *self = as_events(op);
    unsigned messages = 0;
    Py_ssize_t bytes = 0;
    if (!PyArg_ParseTuple(args, "In:_share", &messages, &bytes)) {
        return NULL;
    }
    if (self->hub != NULL && py_hub_enter(self->hub)) {
        self->shares = messages > 0;
        ws_hub_share_events(self->hub->core,
                            (ws_evq_limits){messages, (size_t)bytes});
    }
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* _notify(client, flush, token): True, it is so already; False, take() will
   bring (token, bool). */
static PyObject *
events_notify(PyObject *op, PyObject *args)
{
    PyObject *value = NULL;
    int flush = 0;
    unsigned long long token = 0;
    if (!PyArg_ParseTuple(args, "OpK:_notify", &value, &flush, &token)) {
        return NULL;
    }
    py_client *client = get_own_client(as_events(op), value);
    if (client == NULL) {
        return NULL;
    }
    ws_err err = ws_hub_notify(client->client,
                               flush ? WS_WAIT_FLUSH : WS_WAIT_ROOM, token);
    if (err == WS_ERR_NOMEM) {
        return PyErr_NoMemory();
    }
    if (err == WS_ERR_CLOSED) {
        return py_raise_closed(py_state_of(op), client,
                               "not all of its messages were written");
    }
    return PyBool_FromLong(err == WS_OK);
}

/* _unnotify(client, token): takes that back; False when it is too late. */
static PyObject *
events_unnotify(PyObject *op, PyObject *args)
{
    PyObject *value = NULL;
    unsigned long long token = 0;
    if (!PyArg_ParseTuple(args, "OK:_unnotify", &value, &token)) {
        return NULL;
    }
    py_client *client = get_own_client(as_events(op), value);
    if (client == NULL) {
        return NULL;
    }
    return PyBool_FromLong(ws_hub_unnotify(client->client, token));
}

static PyObject *
get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(as_events(op)->hub == NULL);
}

static PyObject *
events_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    py_hub *hub = as_events(op)->hub;
    if (hub != NULL) {
        Py_INCREF(hub);
        end(as_events(op));
        if (py_home_is_here(hub->home)) {
            py_hub_ring(hub); // whoever waits in __next__ is to see it
        }
        Py_DECREF(hub);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    events_doc,
    "Takes a hub's events; got from WSHub.events.\n"
    "\n"
    "It holds its hub, and is its one consumer until it ends, is closed or\n"
    "goes away.\n");

PyDoc_STRVAR(close_doc,
             "close($self, /)\n--\n\n"
             "End the iteration, so that another one may begin.\n"
             "\n"
             "Events that were not taken stay. Closing again does nothing.\n"
             "Never blocks; any thread may call it, and a thread that waits\n"
             "for the next event then finds that there is none.\n");

PyDoc_STRVAR(
    take_doc,
    "take($self, /, limit=256)\n--\n\n"
    "Return the events that are there, the oldest first, as a list.\n"
    "\n"
    "For event loops: take() when the hub's fileno() is readable. It is "
    "empty\n"
    "when no event waits, and when the iteration is over, which `closed`\n"
    "tells. A list shorter than limit leaves nothing behind, so that the\n"
    "descriptor is readable again only with the next event; otherwise it\n"
    "stays readable.\n"
    "\n"
    "Args:\n"
    "    limit: How many at most, 1 to 65536.\n"
    "\n"
    "Raises:\n"
    "    RuntimeError: Another thread is taking from this iterator.\n"
    "    MemoryError: The events stay, to be taken again.\n"
    "\n"
    "Never blocks; any one thread may call it.\n");

PyDoc_STRVAR(closed_doc,
             "Whether the iteration is over: it was closed, or the hub was\n"
             "and all events were taken.");

static PyMethodDef events_methods[] = {
    {"take", (PyCFunction)(void (*)(void))events_take,
     METH_FASTCALL | METH_KEYWORDS, take_doc},
    {"_share", events_share, METH_VARARGS, NULL},
    {"_notify", events_notify, METH_VARARGS, NULL},
    {"_unnotify", events_unnotify, METH_VARARGS, NULL},
    {"close", events_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef events_getset[] = {
    {"closed", get_closed, NULL, closed_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot events_slots[] = {
    {Py_tp_dealloc, events_dealloc}, {Py_tp_traverse, events_traverse},
    {Py_tp_doc, (void *)events_doc}, {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, events_next},   {Py_tp_methods, events_methods},
    {Py_tp_getset, events_getset},   {0, NULL},
};

PyType_Spec py_events_spec = {
    .name = "wssend._core.EventIterator",
    .basicsize = sizeof(py_events),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = events_slots,
};

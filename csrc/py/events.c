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
    bool busy;           /* a thread is in its __next__ */
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
        bool back = ws_evq_put_back(ws_hub_events(hub->core), event);
        (void)back; // needs no memory
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
        bool back = ws_evq_put_back(ws_hub_events(hub->core), event);
        (void)back; // only a notice needs memory for that
    } else {
        keep_or_let_go(hub, event->kind, (py_client *)client);
        ws_event_release(event);
    }
    Py_XDECREF(client);
    return made;
}

/* The next event that is there. NULL: none, or an exception is set. */
static PyObject *
take(py_state *state, py_hub *hub)
{
    ws_event event = {.kind = WS_EVENT_NOTICE};
    while (ws_hub_take_event(hub->core, &event)) {
        if (event.kind == WS_EVENT_AUTHORIZE) {
            return open_authorize(state, hub, &event);
        }
        if (event.kind != WS_EVENT_NOTICE) {
            return open_event(state, hub, &event);
        }
        ws_event_release(&event); // nobody asked for one
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
        PyObject *event = take(state, hub);
        if (event != NULL || PyErr_Occurred() || closed || last) {
            return event;
        }
        if (!doze(hub, until_ns)) {
            return NULL;
        }
        last = ws_now_ns() >= until_ns; // but look once more
    }
}

static PyObject *
events_next(PyObject *op)
{
    py_events *self = as_events(op);
    py_hub *hub = self->hub;
    py_state *state = py_state_of(op);
    if (hub == NULL || state == NULL) {
        return NULL;
    }
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError,
                        "another thread is taking from this iterator");
        return NULL;
    }
    self->busy = true;
    self->taker = PyThread_get_thread_ident();
    Py_INCREF(hub);
    PyObject *event = next_of(self, state, hub);
    self->busy = false;
    if (event == NULL && !PyErr_Occurred()) {
        end(self);
    }
    Py_DECREF(hub);
    return event;
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

static PyMethodDef events_methods[] = {
    {"close", events_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot events_slots[] = {
    {Py_tp_dealloc, events_dealloc},
    {Py_tp_traverse, events_traverse},
    {Py_tp_doc, (void *)events_doc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, events_next},
    {Py_tp_methods, events_methods},
    {0, NULL},
};

PyType_Spec py_events_spec = {
    .name = "wssend._core.EventIterator",
    .basicsize = sizeof(py_events),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = events_slots,
};

/* listener.c - WSHub.listen, and the Listener that it returns. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "hub.h"
#include "place.h"
#include "raise.h"

typedef struct py_listener {
    PyObject ob_base;
    py_hub *hub;   /* a reference */
    ws_port *port; /* a reference */
    PyObject *url;
    bool closed;
} py_listener;

/* The address as in a URL: brackets round IPv6, "%25" for a zone's "%". */
static PyObject *
url_host(const ws_addr *addr)
{
    if (addr->family != AF_INET6) {
        return PyUnicode_FromString(addr->text);
    }
    const char *zone = strchr(addr->text, '%');
    if (zone == NULL) {
        return PyUnicode_FromFormat("[%s]", addr->text);
    }
    PyObject *plain =
        PyUnicode_FromStringAndSize(addr->text, zone - addr->text);
    PyObject *host = NULL;
    if (plain != NULL) {
        host = PyUnicode_FromFormat("[%U%%25%s]", plain, zone + 1);
        Py_DECREF(plain);
    }
    return host;
}

static PyObject *
make_url(const ws_addr *addr, const char *only)
{
    PyObject *url = NULL;
    bool is_unix = addr->family == AF_UNIX;
    PyObject *host =
        is_unix ? PyUnicode_DecodeFSDefault(addr->text + strlen("unix:"))
                : url_host(addr);
    if (host == NULL) {
        return NULL;
    }
    if (is_unix) {
        url = PyUnicode_FromFormat("ws+unix:%U%s%s", host,
                                   only == NULL ? "" : ":",
                                   only == NULL ? "" : only);
    } else {
        url = PyUnicode_FromFormat("ws://%U:%d%s", host, (int)addr->port,
                                   only == NULL ? "/" : only);
    }
    Py_DECREF(host);
    return url;
}

/* Takes over `port`. */
static PyObject *
make_listener(py_hub *hub, ws_port *port, const char *only)
{
    py_state *state = py_state_of((PyObject *)hub);
    PyTypeObject *type = state == NULL ? NULL : state->listener_type;
    PyObject *url = make_url(ws_port_addr(port), only);
    py_listener *self = url == NULL || type == NULL
                            ? NULL
                            : (py_listener *)type->tp_alloc(type, 0);
    if (self == NULL) {
        Py_XDECREF(url);
        ws_port_close(port);
        ws_port_unref(port);
        return NULL;
    }
    Py_INCREF(hub);
    self->hub = hub;
    self->port = port;
    self->url = url;
    return (PyObject *)self;
}

/* Has the pump serve `listener`, which it takes over. */
static PyObject *
serve(py_hub *hub, ws_listener *listener, const py_place *at)
{
    ws_port *port = NULL;
    ws_err err = WS_OK;
    ws_pump *pump = py_hub_enter_pump(hub);
    if (pump == NULL) {
        ws_listener_free(listener);
        return NULL;
    }
    int why = 0;
    Py_BEGIN_ALLOW_THREADS
        err = ws_pump_listen(pump, listener, at->only, &port);
        why = errno;
    Py_END_ALLOW_THREADS
    py_hub_leave_pump(hub);
    if (err == WS_ERR_SYSTEM) {
        ws_listener_error error = {.err = why, .what = "watch"};
        py_place_raise(at, &error);
        return NULL;
    }
    if (err != WS_OK) {
        return py_raise_err(py_state_of((PyObject *)hub), hub->home, err);
    }
    return make_listener(hub, port, at->only);
}

static PyObject *
listen_at(py_hub *hub, const py_place *at)
{
    ws_listener_error error = {0, 0, ""};
    ws_listener *listener = NULL;
    Py_BEGIN_ALLOW_THREADS
        listener = py_place_open(at, &error); // may ask a name server
    Py_END_ALLOW_THREADS
    if (listener == NULL) {
        py_place_raise(at, &error);
        return NULL;
    }
    return serve(hub, listener, at);
}

PyObject *
py_hub_listen(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    PyObject *result = NULL;
    py_place at;
    if (!py_place_get(&at, args, nargs, kwnames)) {
        return NULL;
    }
    if (py_hub_enter_open((py_hub *)op)) {
        result = listen_at((py_hub *)op, &at);
    }
    py_place_release(&at);
    return result;
}

static py_listener *
as_listener(PyObject *op)
{
    return (py_listener *)op;
}

static void
listener_dealloc(PyObject *op)
{
    py_listener *self = as_listener(op);
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    if (self->hub != NULL && py_home_is_here(self->hub->home)) {
        ws_port_unref(self->port);
    }
    Py_XDECREF(self->url);
    Py_XDECREF(self->hub);
    type->tp_free(op);
    Py_DECREF(type);
}

static int
listener_traverse(PyObject *op, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(as_listener(op)->hub);
    return 0;
}

/* It goes on listening: the hub has it, this object only names it. */
static PyObject *
listener_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    py_listener *self = as_listener(op);
    ws_port *port = self->port;
    if (py_home_is_here(self->hub->home)) {
        Py_BEGIN_ALLOW_THREADS
            ws_port_close(port);
        Py_END_ALLOW_THREADS
    }
    self->closed = true;
    Py_RETURN_NONE;
}

static PyObject *
get_host(PyObject *op, void *Py_UNUSED(closure))
{
    const ws_addr *addr = ws_port_addr(as_listener(op)->port);
    if (addr->family == AF_UNIX) {
        Py_RETURN_NONE;
    }
    return PyUnicode_FromString(addr->text);
}

static PyObject *
get_port(PyObject *op, void *Py_UNUSED(closure))
{
    const ws_addr *addr = ws_port_addr(as_listener(op)->port);
    if (addr->family == AF_UNIX) {
        Py_RETURN_NONE;
    }
    return PyLong_FromLong(addr->port);
}

static PyObject *
get_unix(PyObject *op, void *Py_UNUSED(closure))
{
    const ws_addr *addr = ws_port_addr(as_listener(op)->port);
    if (addr->family != AF_UNIX) {
        Py_RETURN_NONE;
    }
    return PyUnicode_DecodeFSDefault(addr->text + strlen("unix:"));
}

static PyObject *
get_url(PyObject *op, void *Py_UNUSED(closure))
{
    Py_INCREF(as_listener(op)->url);
    return as_listener(op)->url;
}

static bool
is_closed(const py_listener *self)
{
    return self->closed || self->hub->closing ||
           !py_home_is_here(self->hub->home);
}

static PyObject *
get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_closed(as_listener(op)));
}

static PyObject *
listener_repr(PyObject *op)
{
    return PyUnicode_FromFormat("<Listener %U, %s>", as_listener(op)->url,
                                is_closed(as_listener(op)) ? "closed"
                                                           : "open");
}

PyDoc_STRVAR(
    listener_doc,
    "Where a hub listens; got from WSHub.listen.\n"
    "\n"
    "It holds its hub. Dropping it closes nothing: the hub goes on listening\n"
    "until close() is called here or there.\n");

PyDoc_STRVAR(
    close_doc,
    "close($self, /)\n--\n\n"
    "Stop listening; open connections stay. Closing again does "
    "nothing.\n"
    "\n"
    "Blocks for one turn of the hub's loop at most, without the GIL.\n"
    "Any thread may call it.\n");

static PyMethodDef listener_methods[] = {
    {"close", listener_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef listener_getset[] = {
    {"host", get_host, NULL, "The address; None for a unix socket.", NULL},
    {"port", get_port, NULL,
     "The port, the real one where 0 was asked for; None for a unix socket.",
     NULL},
    {"unix", get_unix, NULL, "The unix socket's path, or None.", NULL},
    {"url", get_url, NULL,
     "Where clients connect: \"ws://127.0.0.1:8765/\"; \"ws+unix:/a/path\",\n"
     "with \":/ws\" behind it where only the path \"/ws\" is served.",
     NULL},
    {"closed", get_closed, NULL, "Whether it has stopped listening.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot listener_slots[] = {
    {Py_tp_dealloc, listener_dealloc},
    {Py_tp_traverse, listener_traverse},
    {Py_tp_repr, listener_repr},
    {Py_tp_doc, (void *)listener_doc},
    {Py_tp_methods, listener_methods},
    {Py_tp_getset, listener_getset},
    {0, NULL},
};

PyType_Spec py_listener_spec = {
    .name = "wssend.Listener",
    .basicsize = sizeof(py_listener),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC |
             Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = listener_slots,
};

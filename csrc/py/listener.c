/* listener.c - WSHub.listen, and the Listener that it returns. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "args.h"
#include "hub.h"
#include "place.h"
#include "raise.h"

typedef struct py_listener {
    PyObject ob_base;
    py_hub *hub;   /* a reference */
    ws_port *port; /* a reference */
    PyObject *url;
    py_tls_files tls; // those in use; no certificate: no TLS
    uint64_t number;  // of those, see ws_port_set_numbered_identity
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
make_url(const ws_port *port, const char *only)
{
    PyObject *url = NULL;
    const ws_addr *addr = ws_port_addr(port);
    const char *scheme = ws_port_is_tls(port) ? "wss" : "ws";
    bool is_unix = addr->family == AF_UNIX;
    PyObject *host =
        is_unix ? PyUnicode_DecodeFSDefault(addr->text + strlen("unix:"))
                : url_host(addr);
    if (host == NULL) {
        return NULL;
    }
    if (is_unix) {
        url = PyUnicode_FromFormat("%s+unix:%U%s%s", scheme, host,
                                   only == NULL ? "" : ":",
                                   only == NULL ? "" : only);
    } else {
        url = PyUnicode_FromFormat("%s://%U:%d%s", scheme, host,
                                   (int)addr->port, only == NULL ? "/" : only);
    }
    Py_DECREF(host);
    return url;
}

/* Takes over `port`, and the files of the place. */
static PyObject *
make_listener(py_hub *hub, ws_port *port, py_place *at)
{
    py_state *state = py_state_of((PyObject *)hub);
    PyTypeObject *type = state == NULL ? NULL : state->listener_type;
    PyObject *url = make_url(port, at->only);
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
    self->tls = at->tls;
    at->tls = (py_tls_files){NULL, NULL, NULL};
    return (PyObject *)self;
}

/* Has the crew serve `listener`, which it takes over, as it does `identity`.
 */
static PyObject *
serve(py_hub *hub, ws_listener *listener, ws_identity *identity, py_place *at)
{
    ws_port *port = NULL;
    ws_err err = WS_OK;
    ws_crew *crew = py_hub_enter_crew(hub);
    if (crew == NULL) {
        ws_listener_free(listener);
        ws_identity_free(identity);
        return NULL;
    }
    int why = 0;
    Py_BEGIN_ALLOW_THREADS
        err = ws_crew_listen_tls(crew, listener, at->only, identity, &port);
        why = errno;
    Py_END_ALLOW_THREADS
    py_hub_leave_crew(hub);
    if (err == WS_ERR_SYSTEM) {
        ws_listener_error error = {.err = why, .what = "watch"};
        py_place_raise(at, &error);
        return NULL;
    }
    if (err != WS_OK) {
        return py_raise_err(py_state_of((PyObject *)hub), hub->home, err);
    }
    return make_listener(hub, port, at);
}

static PyObject *
listen_at(py_hub *hub, py_place *at)
{
    ws_listener_error error = {0, 0, ""};
    ws_listener *listener = NULL;
    ws_identity *identity = NULL;
    if (at->tls.cert != NULL) {
        identity = py_tls_files_load(&at->tls);
        if (identity == NULL) {
            return NULL;
        }
    }
    Py_BEGIN_ALLOW_THREADS
        listener = py_place_open(at, &error); // may ask a name server
    Py_END_ALLOW_THREADS
    if (listener == NULL) {
        ws_identity_free(identity);
        py_place_raise(at, &error);
        return NULL;
    }
    return serve(hub, listener, identity, at);
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
    py_tls_files_release(&self->tls);
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

/* Puts another identity, whose number it becomes, in place of the one in use.
 */
static bool
show_other(py_listener *self, ws_identity *identity, uint64_t *number)
{
    ws_err err = WS_OK;
    ws_port *port = self->port;
    Py_BEGIN_ALLOW_THREADS
        err = ws_port_set_numbered_identity(port, identity, number);
    Py_END_ALLOW_THREADS
    if (err == WS_ERR_NOT_FOUND) {
        PyErr_Format(PyExc_ValueError, "the listener %U is closed", self->url);
    } else if (err != WS_OK) {
        (void)py_raise_err(py_state_of((PyObject *)self->hub), self->hub->home,
                           err);
    }
    return err == WS_OK;
}

static void
keep(PyObject **file, PyObject *before)
{
    if (*file == NULL) {
        Py_XINCREF(before);
        *file = before;
    }
}

/* What was not given stays as it is; but the key goes with the certificate. */
static void
fill_up(py_tls_files *files, const py_tls_files *before)
{
    if (files->cert == NULL) {
        keep(&files->key, before->key);
    }
    keep(&files->cert, before->cert);
    keep(&files->client_ca, before->client_ca);
}

/* Loads the files and has them used; on success they are remembered, unless
   others, given meanwhile, have taken their place. */
static bool
reload(py_listener *self, py_tls_files *files)
{
    uint64_t number = 0;
    ws_identity *identity = py_tls_files_load(files);
    if (identity == NULL || !show_other(self, identity, &number)) {
        return false;
    }
    if (number > self->number) {
        py_tls_files before = self->tls;
        self->tls = *files;
        self->number = number;
        *files = before; // for the caller to release
    }
    return true;
}

static PyObject *
listener_reload_tls(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const char *const names[] = {"tls_cert", "tls_key", "tls_client_ca",
                                        NULL};
    static const py_signature signature = {"reload_tls", names, 0, 0};
    py_listener *self = as_listener(op);
    py_tls_files files;
    PyObject *got[3];
    if (!py_args(&signature, args, nargs, kwnames, got) ||
        !py_tls_files_get(&files, got)) {
        return NULL;
    }
    bool done = false;
    if (!py_home_is_here(self->hub->home)) {
        (void)py_raise_hub_closed(py_state_of(op), self->hub->home);
    } else if (self->tls.cert == NULL) {
        PyErr_Format(PyExc_ValueError, "the listener %U has no TLS",
                     self->url);
    } else {
        fill_up(&files, &self->tls);
        done = reload(self, &files);
    }
    py_tls_files_release(&files);
    if (!done) {
        return NULL;
    }
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

PyDoc_STRVAR(
    reload_tls_doc,
    "reload_tls($self, /, *, tls_cert=None, tls_key=None,\n"
    "           tls_client_ca=None)\n--\n\n"
    "Read the TLS files again, and show what is in them from now on.\n"
    "\n"
    "Handshakes that follow see the new certificate; open connections stay "
    "as\n"
    "they are. It is all or nothing: after an error the old one is in use.\n"
    "\n"
    "Args:\n"
    "    tls_cert: Another file than before, as for WSHub.listen; the key is\n"
    "        then in tls_key, or in the same file.\n"
    "    tls_key: Another file for the key.\n"
    "    tls_client_ca: Another file for the authorities of clients.\n"
    "\n"
    "Raises:\n"
    "    OSError: A file cannot be read; filename names it.\n"
    "    ValueError: The files do not hold what is needed, or the listener "
    "has\n"
    "        no TLS or is closed.\n"
    "    HubClosed: The hub is closed.\n"
    "    TypeError: Wrong arguments.\n"
    "\n"
    "Blocks while the files are read and for one turn of the hub's loop,\n"
    "without the GIL. Any thread may call it.\n");

static PyMethodDef listener_methods[] = {
    {"close", listener_close, METH_NOARGS, close_doc},
    {"reload_tls", (PyCFunction)(void (*)(void))listener_reload_tls,
     METH_FASTCALL | METH_KEYWORDS, reload_tls_doc},
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
     "with \":/ws\" behind it where only the path \"/ws\" is served; with "
     "TLS\n"
     "\"wss\" for \"ws\".",
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

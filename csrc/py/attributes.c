/* attributes.c - what can be read off a WSClient. */
#include <string.h>

#include "client.h"
#include "convert.h"
#include "core/alloc.h"
#include "core/hub.h"
#include "hub.h"
#include "keep.h"
#include "raise.h"
#include "values.h"

static py_client *
as_client(PyObject *op)
{
    return (py_client *)op;
}

bool
py_client_is_here(py_client *self)
{
    if (!py_home_is_here(self->home)) {
        (void)py_raise_hub_closed(py_state_of((PyObject *)self), self->home);
        return false;
    }
    return true;
}

static PyObject *
get_id(PyObject *op, void *Py_UNUSED(closure))
{
    return py_text(as_client(op)->client->info.id);
}

static PyObject *
get_user(PyObject *op, void *Py_UNUSED(closure))
{
    return py_text_or_none(as_client(op)->client->info.user);
}

static PyObject *
get_remote(PyObject *op, void *Py_UNUSED(closure))
{
    return py_text(as_client(op)->client->info.remote);
}

static PyObject *
get_peer(PyObject *op, void *Py_UNUSED(closure))
{
    return py_text(as_client(op)->client->info.peer);
}

static PyObject *
get_request(PyObject *op, void *Py_UNUSED(closure))
{
    py_client *self = as_client(op);
    py_state *state = py_state_of(op);
    if (self->request == NULL && state != NULL) {
        PyObject *made = py_make_request(state, &self->client->info);
        Py_XSETREF(self->request, made);
    }
    Py_XINCREF(self->request);
    return self->request;
}

static PyObject *
get_state(PyObject *op, void *Py_UNUSED(closure))
{
    py_client *self = as_client(op);
    if (self->state == NULL) {
        PyObject *made = PyDict_New();
        if (made == NULL) {
            return NULL;
        }
        if (self->state != NULL) { // allocating may have run anything
            Py_DECREF(made);
            Py_INCREF(self->state);
            return self->state;
        }
        self->state = made;
        if (self->home->hub != NULL && py_home_is_here(self->home)) {
            py_keep(&self->home->hub->kept, self);
        }
    }
    Py_INCREF(self->state);
    return self->state;
}

/* A frozenset of the names, NUL-terminated one behind the other. */
static PyObject *
make_topics(const char *names, size_t size)
{
    PyObject *topics = PyFrozenSet_New(NULL);
    for (size_t at = 0; topics != NULL && at < size;) {
        ws_text name = {names + at, strlen(names + at)};
        PyObject *one = py_text(name);
        if (one == NULL || PySet_Add(topics, one) < 0) {
            Py_CLEAR(topics);
        }
        Py_XDECREF(one);
        at += name.size + 1;
    }
    return topics;
}

static PyObject *
get_topics(PyObject *op, void *Py_UNUSED(closure))
{
    char *names = NULL;
    size_t size = 0;
    if (!py_client_is_here(as_client(op))) {
        return NULL;
    }
    if (ws_hub_topics(as_client(op)->client, &names, &size) != WS_OK) {
        return PyErr_NoMemory();
    }
    PyObject *topics = make_topics(names, size);
    ws_free(names);
    return topics;
}

bool
py_client_is_open(py_client *self)
{
    return py_home_is_here(self->home) &&
           ws_client_get_state(self->client) == WS_CLIENT_OPEN;
}

static PyObject *
get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!py_client_is_open(as_client(op)));
}

static PyObject *
get_close_code(PyObject *op, void *Py_UNUSED(closure))
{
    ws_client *client = as_client(op)->client;
    if (py_client_is_open(as_client(op))) {
        Py_RETURN_NONE;
    }
    // Still 0 where a fork closed it for this process.
    return PyLong_FromLong(client->close_code == 0 ? 1006
                                                   : client->close_code);
}

static PyObject *
get_close_reason(PyObject *op, void *Py_UNUSED(closure))
{
    const ws_client *client = as_client(op)->client;
    if (py_client_is_open(as_client(op))) {
        Py_RETURN_NONE;
    }
    return py_text((ws_text){client->close_reason, client->close_reason_size});
}

PyGetSetDef py_client_getset[] = {
    {"id", get_id, NULL,
     "The name of the connection, unique among the hub's open clients.", NULL},
    {"user", get_user, NULL,
     "Whose connection it is, or None; many may share a user.", NULL},
    {"remote", get_remote, NULL,
     "The client's address; behind a trusted proxy, what that says.", NULL},
    {"peer", get_peer, NULL, "The address of the socket's other end.", NULL},
    {"request", get_request, NULL,
     "The HTTP request it connected with, a Request.", NULL},
    {"state", get_state, NULL,
     "A dict for the application, made at first use. It stays with the\n"
     "connection: the hub keeps this object until that is over.",
     NULL},
    {"topics", get_topics, NULL, "The topics it is subscribed to now.", NULL},
    {"closed", get_closed, NULL,
     "Whether the connection is closing or closed.", NULL},
    {"close_code", get_close_code, NULL,
     "The close code (RFC 6455 7.4), 1005 when there was none in the peer's\n"
     "Close and 1006 when there was no Close; None while it is open.",
     NULL},
    {"close_reason", get_close_reason, NULL,
     "The close reason, often empty; None while it is open.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#include "exclude.h"

#include "convert.h"

static const char WHAT[] = "an iterable of WSClients and ids";

/* Takes over a reference. */
static bool
add(ws_exclude *out, ws_client *client)
{
    ws_client **grown = out->clients;
    if ((out->count & (out->count - 1)) == 0) { // full at each power of two
        size_t cap = out->count == 0 ? 1 : out->count * 2;
        grown = PyMem_Realloc(out->clients, cap * sizeof(ws_client *));
    }
    if (grown == NULL) {
        ws_client_unref(client);
        (void)PyErr_NoMemory();
        return false;
    }
    out->clients = grown;
    out->clients[out->count++] = client;
    return true;
}

static bool
add_id(py_hub *hub, PyObject *id, ws_exclude *out)
{
    ws_text text;
    if (!py_get_text("an id in exclude", id, &text)) {
        return false;
    }
    ws_client *client = ws_hub_get(hub->core, text);
    return client == NULL || add(out, client);
}

static bool
add_item(py_hub *hub, py_state *state, PyObject *item, ws_exclude *out)
{
    if (PyUnicode_Check(item)) {
        return add_id(hub, item, out);
    }
    py_client *client = py_client_get(state, item);
    if (client == NULL) {
        if (!PyErr_Occurred()) {
            PyErr_Format(PyExc_TypeError,
                         "exclude must hold WSClients and ids, not %.100R",
                         item);
        }
        return false;
    }
    bool fine =
        client->home != hub->home || add(out, ws_client_ref(client->client));
    Py_DECREF(client);
    return fine;
}

static PyObject *
iterate(PyObject *value)
{
    if (PyUnicode_Check(value) || PyBytes_Check(value)) {
        (void)py_wrong_type("exclude", WHAT, value);
        return NULL;
    }
    PyObject *iterator = PyObject_GetIter(value);
    if (iterator == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        (void)py_wrong_type("exclude", WHAT, value);
    }
    return iterator;
}

bool
py_exclude_get(py_hub *hub, PyObject *value, ws_exclude *out)
{
    PyObject *item = NULL;
    bool fine = true;
    py_state *state = py_state_of((PyObject *)hub);
    if (value == NULL || state == NULL || value == state->no_args) {
        return state != NULL;
    }
    PyObject *iterator = iterate(value);
    if (iterator == NULL) {
        return false;
    }
    while (fine && (item = PyIter_Next(iterator)) != NULL) {
        fine = add_item(hub, state, item, out);
        Py_DECREF(item);
    }
    Py_DECREF(iterator);
    return fine && !PyErr_Occurred();
}

void
py_exclude_release(ws_exclude *exclude)
{
    for (size_t i = 0; i < exclude->count; i++) {
        ws_client_unref(exclude->clients[i]);
    }
    PyMem_Free(exclude->clients);
}

/* page.c - WSHub.add_page. */
#include "args.h"
#include "convert.h"
#include "hub.h"
#include "raise.h"

/* A longer one would not fit into the head of a response. */
enum { HEADER_MAX = 255 };

/* A value that may stand in a header line. */
static bool
get_header(const char *name, PyObject *value, ws_text *out)
{
    bool fine = true;
    if (!py_get_text(name, value, out)) {
        return false;
    }
    for (size_t i = 0; i < out->size; i++) {
        fine &= out->data[i] >= ' ' && out->data[i] <= '~';
    }
    if (!fine || out->size == 0 || out->size > HEADER_MAX ||
        out->data[0] == ' ' || out->data[out->size - 1] == ' ') {
        PyErr_Format(PyExc_ValueError,
                     "%s must be visible ASCII, 1 to %d characters like "
                     "\"text/html\", not %.200R",
                     name, (int)HEADER_MAX, value);
        return false;
    }
    return true;
}

static PyObject *
put_page(py_hub *self, ws_text path, ws_text type, const Py_buffer *body)
{
    ws_err err =
        ws_pages_put(self->pages, path, type, body->buf, (size_t)body->len);
    if (err != WS_OK) {
        return py_raise_err(py_state_of((PyObject *)self), self->home, err);
    }
    Py_RETURN_NONE;
}

PyObject *
py_hub_add_page(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    static const char *const names[] = {"path", "content_type", "body", NULL};
    static const py_signature signature = {"add_page", names, 3, 3};
    PyObject *got[3];
    ws_text path;
    ws_text type;
    Py_buffer body;
    if (!py_args(&signature, args, nargs, kwnames, got) ||
        !py_get_path("path", got[0], &path) ||
        !get_header("content_type", got[1], &type) ||
        !py_hub_enter_open((py_hub *)op)) {
        return NULL;
    }
    if (PyUnicode_Check(got[2])) {
        ws_text text;
        if (!py_get_text("body", got[2], &text)) {
            return NULL;
        }
        body.buf = (void *)(uintptr_t)text.data;
        body.len = (Py_ssize_t)text.size;
        return put_page((py_hub *)op, path, type, &body);
    }
    if (!PyObject_CheckBuffer(got[2])) {
        (void)py_wrong_type("body", "str or bytes-like", got[2]);
        return NULL;
    }
    if (PyObject_GetBuffer(got[2], &body, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *result = put_page((py_hub *)op, path, type, &body);
    PyBuffer_Release(&body);
    return result;
}

#include "payload.h"

#include "convert.h"
#include "raise.h"

enum { AS_GIVEN = -1 };

/* AS_GIVEN, or whether it is to be text; -2: an exception is set. */
static int
get_text_flag(PyObject *text)
{
    if (text == NULL || text == Py_None) {
        return AS_GIVEN;
    }
    if (!PyBool_Check(text)) {
        (void)py_wrong_type("text", "True, False or None", text);
        return -2;
    }
    return text == Py_True;
}

static bool
get_str(ws_outgoing *out, PyObject *data, int text)
{
    Py_ssize_t size = 0;
    out->data = PyUnicode_AsUTF8AndSize(data, &size);
    out->size = (size_t)size;
    // Valid already: that is what the conversion has made.
    out->kind = text == false ? WS_MESSAGE_BINARY : WS_MESSAGE_TEXT;
    return out->data != NULL;
}

static bool
get_prepared(ws_outgoing *out, PyObject *data, int text)
{
    if (text != AS_GIVEN) {
        PyErr_SetString(PyExc_TypeError,
                        "text cannot be chosen for a PreparedMessage, which "
                        "is text or binary already");
        return false;
    }
    out->prepared = py_prepared_msg(data);
    out->size = ws_msg_size(out->prepared);
    return true;
}

/* A BufferError that says which argument it is about. */
static void
name_buffer_error(void)
{
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *traceback = NULL;
    if (PyErr_ExceptionMatches(PyExc_BufferError)) {
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_Format(PyExc_BufferError, "data must be C-contiguous: %S",
                     value == NULL ? Py_None : value);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    }
}

static bool
get_buffer(py_payload *payload, PyObject *data)
{
    if (PyBytes_CheckExact(data)) { // never changes, needs no export
        payload->out.data = PyBytes_AS_STRING(data);
        payload->out.size = (size_t)PyBytes_GET_SIZE(data);
        return true;
    }
    if (!PyObject_CheckBuffer(data)) {
        return py_wrong_type("data", "str, bytes-like or a PreparedMessage",
                             data);
    }
    if (PyObject_GetBuffer(data, &payload->view, PyBUF_SIMPLE) < 0) {
        name_buffer_error();
        return false;
    }
    payload->exported = true;
    payload->out.data = payload->view.buf;
    payload->out.size = (size_t)payload->view.len;
    return true;
}

bool
py_payload_get(py_payload *payload, PyObject *data, PyObject *text,
               PyTypeObject *prepared)
{
    int flag = get_text_flag(text);
    payload->exported = false;
    payload->out.prepared = NULL;
    payload->out.invalid.start = SIZE_MAX;
    if (flag < AS_GIVEN) {
        return false;
    }
    if (PyUnicode_Check(data)) {
        return get_str(&payload->out, data, flag);
    }
    if (prepared != NULL && Py_IS_TYPE(data, prepared)) {
        return get_prepared(&payload->out, data, flag);
    }
    payload->out.kind =
        flag == true ? WS_MESSAGE_UNCHECKED : WS_MESSAGE_BINARY;
    return get_buffer(payload, data);
}

void
py_payload_release(py_payload *payload)
{
    if (payload->exported) {
        PyBuffer_Release(&payload->view);
    }
}

bool
py_payload_was_valid(const py_payload *payload)
{
    if (ws_outgoing_is_invalid(&payload->out)) {
        (void)py_raise_invalid(payload->out.data, payload->out.size,
                               &payload->out.invalid);
        return false;
    }
    return true;
}

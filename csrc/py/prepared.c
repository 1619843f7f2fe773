/* prepared.c - PreparedMessage: a message framed once, for many sends. */
#include "payload.h"

typedef struct py_prepared {
    PyObject ob_base;
    ws_msg *msg; /* a reference, never NULL */
    bool text;
} py_prepared;

ws_msg *
py_prepared_msg(PyObject *prepared)
{
    return ((py_prepared *)prepared)->msg;
}

/* Without the GIL. NULL: out of memory, or out->invalid tells. */
static ws_msg *
make(ws_outgoing *out)
{
    return ws_message_new(out->kind, out->data, out->size, &out->invalid);
}

static PyObject *
prepared_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "text", NULL};
    PyObject *data = NULL;
    PyObject *text = NULL;
    py_payload payload;
    ws_msg *msg = NULL;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|$O:PreparedMessage",
                                     names, &data, &text) ||
        !py_payload_get(&payload, data, text, NULL)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
        msg = make(&payload.out);
    Py_END_ALLOW_THREADS
    py_prepared *self = NULL;
    if (msg != NULL) {
        self = (py_prepared *)type->tp_alloc(type, 0);
    } else if (py_payload_was_valid(&payload)) {
        (void)PyErr_NoMemory();
    }
    if (self != NULL) {
        self->msg = msg;
        self->text = payload.out.kind != WS_MESSAGE_BINARY;
    } else {
        ws_msg_unref(msg);
    }
    py_payload_release(&payload);
    return (PyObject *)self;
}

static void
prepared_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    ws_msg_unref(((py_prepared *)op)->msg);
    type->tp_free(op);
    Py_DECREF(type);
}

static Py_ssize_t
prepared_len(PyObject *op)
{
    return (Py_ssize_t)ws_msg_size(py_prepared_msg(op));
}

static int
prepared_bool(PyObject *Py_UNUSED(op))
{
    return 1;
}

static PyObject *
prepared_repr(PyObject *op)
{
    return PyUnicode_FromFormat("<PreparedMessage %s, %zd bytes>",
                                ((py_prepared *)op)->text ? "text" : "binary",
                                prepared_len(op));
}

static PyObject *
prepared_text(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((py_prepared *)op)->text);
}

static PyObject *
prepared_data(PyObject *op, void *Py_UNUSED(closure))
{
    const ws_msg *msg = py_prepared_msg(op);
    return PyBytes_FromStringAndSize((const char *)ws_msg_payload(msg),
                                     (Py_ssize_t)ws_msg_size(msg));
}

PyDoc_STRVAR(
    prepared_doc,
    "PreparedMessage(data, *, text=None)\n--\n\n"
    "A message that is copied and framed once, to be sent often.\n"
    "\n"
    "Every call that sends takes one in place of data, and then copies\n"
    "nothing; where it goes compressed, that is done once, too. It is\n"
    "immutable; any thread may use it, with any hub. Its length is that of\n"
    "the payload in bytes; it is always true.\n"
    "\n"
    "Args:\n"
    "    data: As for WSClient.send.\n"
    "    text: As for WSClient.send.\n"
    "\n"
    "Raises:\n"
    "    TypeError: data is neither str nor bytes-like, or text is no bool.\n"
    "    BufferError: data is not C-contiguous.\n"
    "    UnicodeError: A text message that is not valid Unicode.\n");

static PyGetSetDef prepared_getset[] = {
    {"text", prepared_text, NULL, "Whether it is a text message.", NULL},
    {"data", prepared_data, NULL,
     "Its payload, a copy; of a text message its UTF-8.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot prepared_slots[] = {
    {Py_tp_new, prepared_new},       {Py_tp_dealloc, prepared_dealloc},
    {Py_tp_repr, prepared_repr},     {Py_tp_doc, (void *)prepared_doc},
    {Py_tp_getset, prepared_getset}, {Py_sq_length, prepared_len},
    {Py_nb_bool, prepared_bool},     {0, NULL},
};

PyType_Spec py_prepared_spec = {
    .name = "wssend.PreparedMessage",
    .basicsize = sizeof(py_prepared),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = prepared_slots,
};

/* module.c - wssend._core: state, types, send(), nothing else. */
#include <stddef.h>

#include "args.h"
#include "client.h"
#include "convert.h"
#include "core/fork.h"
#include "decision.h"
#include "hub.h"
#include "raise.h"
#include "state.h"

/* What the state holds of our own types. */
typedef struct own_type {
    size_t at;
    PyType_Spec *spec;
    const char *name; /* in the module; NULL: none */
} own_type;

#define AT(field) offsetof(py_state, field)

static const own_type own_types[] = {
    {AT(hub_type), &py_hub_spec, "WSHub"},
    {AT(client_type), &py_client_spec, "WSClient"},
    {AT(listener_type), &py_listener_spec, "Listener"},
    {AT(events_type), &py_events_spec, "EventIterator"},
    {AT(prepared_type), &py_prepared_spec, "PreparedMessage"},
    {AT(handshake_type), &py_handshake_spec, "Handshake"},
};

/* What it holds of others'. */
typedef struct foreign {
    size_t at;
    const char *module;
    const char *name;
} foreign;

static const foreign foreigners[] = {
    {AT(channel_full), "wssend.errors", "ChannelFull"},
    {AT(channel_closed), "wssend.errors", "ChannelClosed"},
    {AT(hub_closed), "wssend.errors", "HubClosed"},
    {AT(message_too_large), "wssend.errors", "MessageTooLarge"},
    {AT(client_not_found), "wssend.errors", "ClientNotFound"},
    {AT(connected), "wssend.events", "Connected"},
    {AT(message), "wssend.events", "Message"},
    {AT(disconnected), "wssend.events", "Disconnected"},
    {AT(authorize), "wssend.events", "Authorize"},
    {AT(accept), "wssend.authorize", "Accept"},
    {AT(reject), "wssend.authorize", "Reject"},
    {AT(send_report), "wssend.report", "SendReport"},
    {AT(client_stats), "wssend.stats", "ClientStats"},
    {AT(hub_stats), "wssend.stats", "HubStats"},
    {AT(request), "wssend.request", "Request"},
};

typedef struct kept_name {
    size_t at;
    const char *text;
} kept_name;

static const kept_name kept_names[] = {
    {AT(name_client), "client"},       {AT(name_client_id), "client_id"},
    {AT(name_data), "data"},           {AT(name_code), "code"},
    {AT(name_reason), "reason"},       {AT(name_clean), "clean"},
    {AT(name_queued), "queued"},       {AT(name_queued_bytes), "queued_bytes"},
    {AT(name_handshake), "handshake"}, {AT(name_oldest_age), "oldest_age"},
    {AT(name_full), "full"},           {AT(name_closed), "closed"},
    {AT(name_failed), "failed"},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

static PyObject **
field(py_state *state, size_t at)
{
    return (PyObject **)(void *)((char *)state + at);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    py_state *state = PyModule_GetState(module);
    for (size_t i = 0; i < COUNT(own_types); i++) {
        Py_VISIT(*field(state, own_types[i].at));
    }
    for (size_t i = 0; i < COUNT(foreigners); i++) {
        Py_VISIT(*field(state, foreigners[i].at));
    }
    return 0;
}

static int
module_clear(PyObject *module)
{
    py_state *state = PyModule_GetState(module);
    for (size_t i = 0; i < COUNT(own_types); i++) {
        Py_CLEAR(*field(state, own_types[i].at));
    }
    for (size_t i = 0; i < COUNT(foreigners); i++) {
        Py_CLEAR(*field(state, foreigners[i].at));
    }
    for (size_t i = 0; i < COUNT(kept_names); i++) {
        Py_CLEAR(*field(state, kept_names[i].at));
    }
    Py_CLEAR(state->no_args);
    return 0;
}

static void
module_free(void *module)
{
    py_state *state = PyModule_GetState(module);
    if (state != NULL) {
        py_hub_forget_all(state);
        (void)module_clear(module);
    }
}

static int
add_own_types(PyObject *module, py_state *state)
{
    for (size_t i = 0; i < COUNT(own_types); i++) {
        const own_type *own = &own_types[i];
        PyObject *type = PyType_FromModuleAndSpec(module, own->spec, NULL);
        *field(state, own->at) = type;
        if (type == NULL ||
            PyModule_AddObjectRef(module, own->name, type) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
import_foreigners(py_state *state)
{
    for (size_t i = 0; i < COUNT(foreigners); i++) {
        PyObject *module = PyImport_ImportModule(foreigners[i].module);
        if (module == NULL) {
            return -1;
        }
        PyObject *found = PyObject_GetAttrString(module, foreigners[i].name);
        *field(state, foreigners[i].at) = found;
        Py_DECREF(module);
        if (found == NULL) {
            return -1;
        }
    }
    return 0;
}

static int
make_names(py_state *state)
{
    for (size_t i = 0; i < COUNT(kept_names); i++) {
        PyObject *name = PyUnicode_InternFromString(kept_names[i].text);
        *field(state, kept_names[i].at) = name;
        if (name == NULL) {
            return -1;
        }
    }
    state->no_args = PyTuple_New(0);
    return state->no_args == NULL ? -1 : 0;
}

static PyMethodDef close_all = {
    "close_all_hubs", py_hub_close_all, METH_NOARGS,
    PyDoc_STR("Close every hub, within half a second.")};

static int
register_exit(PyObject *module)
{
    int rc = -1;
    PyObject *atexit = PyImport_ImportModule("atexit");
    PyObject *function = PyCFunction_New(&close_all, module);
    if (atexit != NULL && function != NULL) {
        PyObject *done =
            PyObject_CallMethod(atexit, "register", "O", function);
        rc = done == NULL ? -1 : 0;
        Py_XDECREF(done);
    }
    Py_XDECREF(function);
    Py_XDECREF(atexit);
    return rc;
}

/* Whatever a failure leaves in the state, module_clear drops. */
static int
module_exec(PyObject *module)
{
    py_state *state = PyModule_GetState(module);
    if (ws_fork_init() != WS_OK) {
        (void)PyErr_NoMemory();
        return -1;
    }
    if (make_names(state) < 0 || import_foreigners(state) < 0 ||
        add_own_types(module, state) < 0) {
        return -1;
    }
    return register_exit(module);
}

static PyObject *
module_send(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const char *const names[] = {"client", "data", "text", NULL};
    static const py_signature signature = {"send", names, 2, 2};
    py_state *state = PyModule_GetState(module);
    PyObject *got[3];
    if (!py_args(&signature, args, nargs, kwnames, got)) {
        return NULL;
    }
    if (got[0] == Py_None) {
        return py_raise_not_found(state, Py_None);
    }
    if (!Py_IS_TYPE(got[0], state->client_type)) {
        (void)py_wrong_type("client", "a WSClient", got[0]);
        return NULL;
    }
    return py_client_send((py_client *)got[0], got[1], got[2]);
}

PyDoc_STRVAR(send_doc,
             "send($module, /, client, data, *, text=None)\n--\n\n"
             "Queue a message for a client, and return at once.\n"
             "\n"
             "The same as client.send(data, text=text), but None as the "
             "client, which\n"
             "is what hub.get() answers for nobody, raises ClientNotFound.\n");

static PyMethodDef module_methods[] = {
    {"send", (PyCFunction)(void (*)(void))module_send,
     METH_FASTCALL | METH_KEYWORDS, send_doc},
    {"_check_accept", (PyCFunction)(void (*)(void))py_check_accept,
     METH_FASTCALL, NULL},
    {"_check_reject", (PyCFunction)(void (*)(void))py_check_reject,
     METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

PyDoc_STRVAR(module_doc, "The part of wssend that is written in C.");

static PyModuleDef module_def = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "wssend._core",
    .m_doc = module_doc,
    .m_size = sizeof(py_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

// The import system dictates the name and declares it nowhere.
PyMODINIT_FUNC PyInit__core(void); // NOLINT(readability-identifier-naming)

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}

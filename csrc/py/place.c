#include "place.h"

#include <limits.h>
#include <netdb.h>
#include <string.h>

#include "args.h"
#include "convert.h"

enum { BACKLOG = 1024, UNIX_MODE = 0660 };

enum {
    HOST,
    PORT,
    PATH,
    UNIX,
    MODE,
    SOCK,
    FD,
    BACK,
    TLS, // and the two behind it
    ARG_COUNT = TLS + 3
};

/* Exactly one of host and port, unix, sock, fd. */
static bool
check_one_place(PyObject *const *got)
{
    static const char *const names[] = {"unix", "sock", "fd"};
    static const int at[] = {UNIX, SOCK, FD};
    const char *first =
        got[PORT] != NULL || got[HOST] != NULL ? "host and port" : NULL;
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        if (got[at[i]] == NULL) {
            continue;
        }
        if (first != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "listen() takes one of %s and %s, not both", first,
                         names[i]);
            return false;
        }
        first = names[i];
    }
    if (first == NULL || (got[HOST] != NULL && got[PORT] == NULL)) {
        PyErr_SetString(PyExc_TypeError,
                        "listen() needs a port (0: any free one), or one of "
                        "unix, sock and fd");
        return false;
    }
    return true;
}

static bool
get_host_and_port(PyObject *const *got, py_place *at)
{
    long long port = 0;
    ws_text host = {"127.0.0.1", 9};
    if (got[HOST] != NULL && !py_get_text("host", got[HOST], &host)) {
        return false;
    }
    if (strlen(host.data) != host.size) {
        PyErr_Format(PyExc_ValueError, "host must not hold a NUL: %.200R",
                     got[HOST]);
        return false;
    }
    if (!py_get_int("port", got[PORT], 0, UINT16_MAX, &port)) {
        return false;
    }
    at->host = host.data;
    at->port = (uint16_t)port;
    return true;
}

static bool
get_fd(PyObject *const *got, py_place *at)
{
    if (got[SOCK] != NULL) {
        if (PyLong_Check(got[SOCK])) {
            return py_wrong_type("sock", "a socket", got[SOCK]);
        }
        at->fd = PyObject_AsFileDescriptor(got[SOCK]);
        return at->fd >= 0;
    }
    long long fd = 0;
    if (!py_get_int("fd", got[FD], 0, INT_MAX, &fd)) {
        return false;
    }
    at->fd = (int)fd;
    return true;
}

static bool
get_place(PyObject *const *got, py_place *at)
{
    long long backlog = BACKLOG;
    long long mode = UNIX_MODE;
    if (!check_one_place(got) ||
        (got[BACK] != NULL &&
         !py_get_int("backlog", got[BACK], 1, UINT16_MAX, &backlog)) ||
        (got[MODE] != NULL &&
         !py_get_int("unix_mode", got[MODE], 0, 0777, &mode))) {
        return false;
    }
    at->backlog = (int)backlog;
    at->mode = (mode_t)mode;
    if (got[PORT] != NULL) {
        return get_host_and_port(got, at);
    }
    if (got[UNIX] == NULL) {
        return get_fd(got, at);
    }
    if (!PyUnicode_FSConverter(got[UNIX], &at->path_bytes)) {
        return false;
    }
    at->path = PyBytes_AS_STRING(at->path_bytes);
    return true;
}

static bool
get_tls(PyObject *const *got, py_place *at)
{
    if (!py_tls_files_get(&at->tls, got + TLS)) {
        return false;
    }
    if (at->tls.cert == NULL &&
        (at->tls.key != NULL || at->tls.client_ca != NULL)) {
        PyErr_Format(PyExc_TypeError, "listen() needs tls_cert with %s",
                     at->tls.key != NULL ? "tls_key" : "tls_client_ca");
        return false;
    }
    return true;
}

/* None is the same as nothing given. */
static void
drop_nones(PyObject **got)
{
    for (int i = 0; i < ARG_COUNT; i++) {
        if (got[i] == Py_None) {
            got[i] = NULL;
        }
    }
}

bool
py_place_get(py_place *at, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    static const char *const names[] = {
        "host", "port",    "path",     "unix",    "unix_mode",     "sock",
        "fd",   "backlog", "tls_cert", "tls_key", "tls_client_ca", NULL};
    static const py_signature signature = {"listen", names, 2, 0};
    PyObject *got[ARG_COUNT];
    ws_text only = {NULL, 0};

    *at = (py_place){.fd = -1};
    if (!py_args(&signature, args, nargs, kwnames, got)) {
        return false;
    }
    drop_nones(got);
    if (got[PATH] != NULL && !py_get_path("path", got[PATH], &only)) {
        return false;
    }
    at->only = only.data;
    if (!get_place(got, at) || !get_tls(got, at)) {
        py_place_release(at);
        return false;
    }
    return true;
}

void
py_place_release(py_place *at)
{
    Py_CLEAR(at->path_bytes);
    py_tls_files_release(&at->tls);
}

ws_listener *
py_place_open(const py_place *at, ws_listener_error *why)
{
    if (at->path != NULL) {
        return ws_listener_new_unix(at->path, at->mode, at->backlog, why);
    }
    if (at->host != NULL) {
        return ws_listener_new_tcp(at->host, at->port, at->backlog, why);
    }
    return ws_listener_new_fd(at->fd, why);
}

static PyObject *
place_text(const py_place *at)
{
    if (at->path != NULL) {
        return PyUnicode_FromFormat("unix:%s", at->path);
    }
    if (at->host == NULL) {
        return PyUnicode_FromFormat("descriptor %d", at->fd);
    }
    return PyUnicode_FromFormat(strchr(at->host, ':') != NULL ? "[%s]:%d"
                                                              : "%s:%d",
                                at->host, (int)at->port);
}

/* socket.gaierror, an OSError; NULL: an exception is set. */
static PyObject *
gai_error_type(void)
{
    PyObject *type = NULL;
    PyObject *module = PyImport_ImportModule("socket");
    if (module != NULL) {
        type = PyObject_GetAttrString(module, "gaierror");
        Py_DECREF(module);
    }
    return type;
}

/* The errno or the EAI_ code, and what it means. */
static PyObject *
make_args(const py_place *at, const ws_listener_error *why)
{
    char buffer[128];
    int code = why->err != 0 ? why->err : why->gai;
    const char *meaning = why->err != 0
                              ? strerror_r(code, buffer, sizeof buffer)
                              : gai_strerror(code);
    PyObject *where = place_text(at);
    PyObject *text = NULL;
    PyObject *args = NULL;
    if (where != NULL) {
        text = PyUnicode_FromFormat("cannot listen on %U: %s: %s", where,
                                    why->what, meaning);
        Py_DECREF(where);
    }
    if (text != NULL) {
        args = Py_BuildValue("iO", code, text);
        Py_DECREF(text);
    }
    return args;
}

void
py_place_raise(const py_place *at, const ws_listener_error *why)
{
    PyObject *args = make_args(at, why);
    if (args == NULL) {
        return;
    }
    if (why->err != 0) { // OSError picks the subclass of the errno itself
        PyErr_SetObject(PyExc_OSError, args);
    } else {
        PyObject *type = gai_error_type();
        if (type != NULL) {
            PyErr_SetObject(type, args);
            Py_DECREF(type);
        }
    }
    Py_DECREF(args);
}

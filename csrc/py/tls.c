/* tls.c - where a TLS identity is, as WSHub.listen and reload_tls are
   told, and what is wrong with it. */
#include <errno.h>

#include "place.h"

static const char *const names[] = {"tls_cert", "tls_key", "tls_client_ca"};

/* A path; NULL and None stay none. */
static bool
get_file(const char *name, PyObject *value, PyObject **out)
{
    PyObject *path = NULL;
    if (value == NULL || value == Py_None) {
        return true;
    }
    path = PyOS_FSPath(value);
    if (path == NULL) {
        PyErr_Format(PyExc_TypeError,
                     "%s must be the path of a file, not %.200R", name, value);
        return false;
    }
    bool good = PyUnicode_FSConverter(path, out) != 0;
    Py_DECREF(path);
    return good;
}

bool
py_tls_files_get(py_tls_files *files, PyObject *const got[3])
{
    PyObject **into[] = {&files->cert, &files->key, &files->client_ca};
    *files = (py_tls_files){NULL, NULL, NULL};
    for (size_t i = 0; i < sizeof into / sizeof into[0]; i++) {
        if (!get_file(names[i], got[i], into[i])) {
            py_tls_files_release(files);
            return false;
        }
    }
    return true;
}

void
py_tls_files_release(py_tls_files *files)
{
    Py_CLEAR(files->cert);
    Py_CLEAR(files->key);
    Py_CLEAR(files->client_ca);
}

static void
raise(const ws_identity_error *why)
{
    if (why->err == ENOMEM) {
        (void)PyErr_NoMemory();
        return;
    }
    if (why->err != 0) {
        errno = why->err;
        (void)PyErr_SetFromErrnoWithFilename(PyExc_OSError, why->file);
        return;
    }
    PyObject *file = PyUnicode_DecodeFSDefault(why->file);
    if (file != NULL) {
        PyErr_Format(PyExc_ValueError, "%s: %R %s", why->argument, file,
                     why->text);
        Py_DECREF(file);
    }
}

static const char *
path_of(PyObject *bytes)
{
    return bytes == NULL ? NULL : PyBytes_AS_STRING(bytes);
}

ws_identity *
py_tls_files_load(const py_tls_files *files)
{
    const ws_identity_files paths = {
        .cert = path_of(files->cert),
        .key = path_of(files->key),
        .client_ca = path_of(files->client_ca),
    };
    ws_identity_error why = {0};
    ws_identity *identity = NULL;
    Py_BEGIN_ALLOW_THREADS
        identity = ws_identity_load(&paths, &why);
    Py_END_ALLOW_THREADS
    if (identity == NULL) {
        raise(&why);
    }
    return identity;
}

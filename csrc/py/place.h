/*
 * place.h - where to listen, as WSHub.listen is told.
 */
#ifndef WS_PY_PLACE_H
#define WS_PY_PLACE_H

#include <stdbool.h>
#include <sys/types.h>

#include "net/identity.h"
#include "net/listener.h"
#include "state.h"

/* The files of a TLS identity, as bytes objects; references, NULL: not given,
   and without a certificate no TLS. */
typedef struct py_tls_files {
    PyObject *cert, *key, *client_ca;
} py_tls_files;

/* One of host, unix path and descriptor; the others are NULL or -1. What is
   lent stays as long as the arguments and `path_bytes`. */
typedef struct py_place {
    const char *host;
    const char *path;
    int fd;
    uint16_t port;
    mode_t mode;
    int backlog;
    PyObject *path_bytes; /* a reference, or NULL */
    const char *only;     /* the URL path to serve; NULL: any */
    py_tls_files tls;
} py_place;

/* Parses the arguments of listen(). False: an exception is set, there is
   nothing to release. */
bool py_place_get(py_place *at, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames);

void py_place_release(py_place *at);

/* Opens it; without the GIL, for it may ask a name server. NULL: *why. */
ws_listener *py_place_open(const py_place *at, ws_listener_error *why);

/* From the arguments tls_cert, tls_key and tls_client_ca, each NULL when it
   was not given. False: an exception is set, there is nothing to release. */
bool py_tls_files_get(py_tls_files *files, PyObject *const got[3]);
void py_tls_files_release(py_tls_files *files);

/* Loads them; without the GIL. NULL: an exception is set. */
ws_identity *py_tls_files_load(const py_tls_files *files);

/* Sets an OSError that names the place. */
void py_place_raise(const py_place *at, const ws_listener_error *why);

#endif

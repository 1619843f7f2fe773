#include "options.h"

#include <errno.h>
#include <string.h>

#include "convert.h"
#include "core/lock.h"
#include "net/message.h"

enum {
    MAX_EVENTS = 1 << 24,
    MAX_CLIENTS = 1 << 30,
    MAX_HANDSHAKES = 1 << 20,
    // Sockets beside the clients that a limit on these allows at the least.
    SPARE_CONNECTIONS = 128,
    SEND_BUFFER_MAX = 1 << 30,
    NAME_MAX_SIZE = 100, // bytes of a query parameter's name
};

/* What was given for each option; NULL: nothing. */
typedef struct given {
    PyObject *send_queue, *send_queue_bytes, *send_buffer, *max_message_size;
    PyObject *max_events, *max_event_bytes, *max_clients, *max_clients_per_ip;
    PyObject *trusted_proxies;
    PyObject *ping_interval, *ping_timeout, *open_timeout, *close_timeout;
    PyObject *origins, *subprotocols, *compression;
    PyObject *id_query, *user_query, *release_gil, *pumps;
    PyObject *authorize, *max_handshakes;
} given;

static bool
parse(given *g, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"send_queue",
                            "send_queue_bytes",
                            "send_buffer",
                            "max_message_size",
                            "max_events",
                            "max_event_bytes",
                            "max_clients",
                            "max_clients_per_ip",
                            "trusted_proxies",
                            "ping_interval",
                            "ping_timeout",
                            "open_timeout",
                            "close_timeout",
                            "origins",
                            "subprotocols",
                            "compression",
                            "id_query",
                            "user_query",
                            "release_gil",
                            "pumps",
                            "authorize",
                            "max_handshakes",
                            NULL};
    *g = (given){.send_queue = NULL};
    return PyArg_ParseTupleAndKeywords(
        args, kwargs, "|$OOOOOOOOOOOOOOOOOOOOOO:WSHub", names, &g->send_queue,
        &g->send_queue_bytes, &g->send_buffer, &g->max_message_size,
        &g->max_events, &g->max_event_bytes, &g->max_clients,
        &g->max_clients_per_ip, &g->trusted_proxies, &g->ping_interval,
        &g->ping_timeout, &g->open_timeout, &g->close_timeout, &g->origins,
        &g->subprotocols, &g->compression, &g->id_query, &g->user_query,
        &g->release_gil, &g->pumps, &g->authorize, &g->max_handshakes);
}

/* An int with a default. */
static bool
get_int(const char *name, PyObject *value, long long preset, long long min,
        long long max, long long *out)
{
    *out = preset;
    return value == NULL || py_get_int(name, value, min, max, out);
}

/* The same where None is allowed and means 0. */
static bool
get_limit(const char *name, PyObject *value, long long preset, long long max,
          long long *out)
{
    if (value == Py_None) {
        *out = 0;
        return true;
    }
    return get_int(name, value, preset, 1, max, out);
}

static bool
get_send_limits(const given *g, py_options *options)
{
    long long msgs = 0;
    long long bytes = 0;
    long long buffer = 0;
    if (!get_int("send_queue", g->send_queue, 256, 1, WS_CHAN_MAX_MSGS,
                 &msgs) ||
        !get_int("send_queue_bytes", g->send_queue_bytes, 1 << 20, 1,
                 PY_SSIZE_T_MAX, &bytes) ||
        !get_limit("send_buffer", g->send_buffer, 65536, SEND_BUFFER_MAX,
                   &buffer)) {
        return false;
    }
    options->limits.send = (ws_chan_limits){(uint32_t)msgs, (size_t)bytes};
    options->config.send_buffer = (int)buffer;
    return true;
}

static bool
get_inbound_limits(const given *g, py_options *options)
{
    long long size = 0;
    long long events = 0;
    long long bytes = 0;
    if (!get_int("max_message_size", g->max_message_size, 1 << 20, 1,
                 PY_SSIZE_T_MAX, &size) ||
        !get_int("max_events", g->max_events, 1024, 0, MAX_EVENTS, &events) ||
        !get_int("max_event_bytes", g->max_event_bytes, 16 << 20, 1,
                 PY_SSIZE_T_MAX, &bytes)) {
        return false;
    }
    if (events > 0 && size > bytes) {
        PyErr_Format(PyExc_ValueError,
                     "max_message_size must be at most max_event_bytes, which "
                     "is %lld, not %lld",
                     bytes, size);
        return false;
    }
    options->limits.inbound = (ws_evq_limits){(uint32_t)events, (size_t)bytes};
    options->config.max_message_size = (size_t)size;
    return true;
}

static bool
get_client_limits(const given *g, py_options *options)
{
    long long clients = 0;
    long long per_ip = 0;
    if (!get_limit("max_clients", g->max_clients, 0, MAX_CLIENTS, &clients) ||
        !get_limit("max_clients_per_ip", g->max_clients_per_ip, 0, MAX_CLIENTS,
                   &per_ip)) {
        return false;
    }
    options->limits.max_clients = (size_t)clients;
    options->config.max_clients_per_ip = (size_t)per_ip;
    if (clients > 0) {
        options->config.max_connections =
            (size_t)(clients + (clients > SPARE_CONNECTIONS
                                    ? clients
                                    : SPARE_CONNECTIONS));
    }
    return true;
}

static bool
get_pumps(PyObject *value, ws_pump_config *config)
{
    long long pumps = 0;
    bool good = get_int("pumps", value, 1, 1, WS_PUMPS_MAX, &pumps);
    config->pumps = (size_t)pumps;
    return good;
}

/* A name from the query beside one from the decision? */
static bool
check_no_query(const py_options *options)
{
    if (options->id_query == NULL && options->user_query == NULL) {
        return true;
    }
    PyErr_Format(PyExc_ValueError,
                 "authorize=True goes without %s: the decision names id and "
                 "user",
                 options->id_query != NULL ? "id_query" : "user_query");
    return false;
}

/* Behind get_lists. */
static bool
get_authorize(const given *g, py_options *options)
{
    long long most = 0;
    bool *on = &options->config.authorize;
    if (!get_int("max_handshakes", g->max_handshakes, 1024, 1, MAX_HANDSHAKES,
                 &most) ||
        (g->authorize != NULL &&
         !py_get_bool("authorize", g->authorize, on))) {
        return false;
    }
    options->limits.max_handshakes = (size_t)most;
    return !*on || check_no_query(options);
}

static bool
get_time(const char *name, PyObject *value, uint64_t preset_s, uint64_t *ns)
{
    *ns = preset_s * WS_NS_PER_S;
    return value == NULL || py_get_seconds(name, value, false, 0, ns);
}

static bool
get_times(const given *g, ws_pump_config *config)
{
    return get_time("ping_interval", g->ping_interval, 20,
                    &config->ping_interval_ns) &&
           get_time("ping_timeout", g->ping_timeout, 20,
                    &config->ping_timeout_ns) &&
           get_time("open_timeout", g->open_timeout, 10,
                    &config->open_timeout_ns) &&
           get_time("close_timeout", g->close_timeout, 10,
                    &config->close_timeout_ns);
}

/* NULL, or what is wrong with one item of a list. */
typedef const char *check_fn(const char *text);

static const char *
check_origin(const char *text)
{
    return ws_message_origin_valid(text)
               ? NULL
               : "not like \"https://example.com\", "
                 "\"https://*.example.com\" or \"same-host\"";
}

static const char *
check_subprotocol(const char *text)
{
    return ws_message_subprotocol_valid(text) ? NULL : "not a token";
}

static bool
check_item(const char *name, PyObject *item, check_fn *check)
{
    if (!PyUnicode_Check(item)) {
        PyErr_Format(PyExc_TypeError, "%s must hold strs, not %.100R", name,
                     item);
        return false;
    }
    Py_ssize_t size = 0;
    const char *text = PyUnicode_AsUTF8AndSize(item, &size);
    if (text == NULL) {
        return false;
    }
    const char *error =
        strlen(text) == (size_t)size ? check(text) : "it has a NUL";
    if (error != NULL) {
        PyErr_Format(PyExc_ValueError, "%s: %.200R is wrong: %s", name, item,
                     error);
    }
    return error == NULL;
}

/* An iterable of str, but no str, as a tuple. */
static bool
get_list(const char *name, PyObject *value, check_fn *check, PyObject **out)
{
    if (value == NULL) {
        return true;
    }
    if (PyUnicode_Check(value) || PyBytes_Check(value)) {
        return py_wrong_type(name, "an iterable of str", value);
    }
    *out = PySequence_Tuple(value);
    if (*out == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Clear();
            (void)py_wrong_type(name, "an iterable of str", value);
        }
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(*out); i++) {
        if (!check_item(name, PyTuple_GET_ITEM(*out, i), check)) {
            return false;
        }
    }
    return true;
}

static bool
get_origins(PyObject *value, PyObject **out)
{
    if (value == NULL || value == Py_None) {
        return true;
    }
    if (PyUnicode_Check(value) &&
        PyUnicode_CompareWithASCIIString(value, "same-host") == 0) {
        *out = PyTuple_Pack(1, value);
        return *out != NULL;
    }
    if (PyUnicode_Check(value)) {
        return py_wrong_type(
            "origins", "None, \"same-host\" or an iterable of str", value);
    }
    if (!get_list("origins", value, check_origin, out)) {
        return false;
    }
    if (PyTuple_GET_SIZE(*out) == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "origins must not be empty: None lets every origin "
                        "in, and with [] none could connect");
        return false;
    }
    return true;
}

static bool
get_query_name(const char *name, PyObject *value, PyObject **out)
{
    ws_text text;
    if (value == NULL || value == Py_None) {
        return true;
    }
    if (!py_get_name(name, value, &text)) {
        return false;
    }
    if (text.size > NAME_MAX_SIZE) {
        PyErr_Format(PyExc_ValueError,
                     "%s must be at most %d bytes of UTF-8, not %zu", name,
                     NAME_MAX_SIZE, text.size);
        return false;
    }
    Py_INCREF(value);
    *out = value;
    return true;
}

static bool
get_lists(const given *g, py_options *options)
{
    return get_list("trusted_proxies", g->trusted_proxies,
                    ws_pump_network_error, &options->trusted_proxies) &&
           get_origins(g->origins, &options->origins) &&
           get_list("subprotocols", g->subprotocols, check_subprotocol,
                    &options->subprotocols) &&
           get_query_name("id_query", g->id_query, &options->id_query) &&
           get_query_name("user_query", g->user_query, &options->user_query);
}

static bool
get_compression(PyObject *value, bool *out)
{
    if (value == NULL || value == Py_None) {
        return true;
    }
    if (!PyUnicode_Check(value)) {
        return py_wrong_type("compression", "None or \"deflate\"", value);
    }
    *out = PyUnicode_CompareWithASCIIString(value, "deflate") == 0;
    if (!*out) {
        PyErr_Format(PyExc_ValueError,
                     "compression must be None or \"deflate\", not %.200R",
                     value);
    }
    return *out;
}

bool
py_options_get(py_options *options, PyObject *args, PyObject *kwargs)
{
    given g;
    options->release_gil = true;
    if (!parse(&g, args, kwargs)) {
        return false;
    }
    // Lent by a dict that an option's own code can find, and change.
    PyObject **each = (PyObject **)(void *)&g;
    for (size_t i = 0; i < sizeof g / sizeof *each; i++) {
        Py_XINCREF(each[i]);
    }
    bool fine =
        get_send_limits(&g, options) && get_inbound_limits(&g, options) &&
        get_client_limits(&g, options) && get_times(&g, &options->config) &&
        get_lists(&g, options) && get_authorize(&g, options) &&
        get_compression(g.compression, &options->config.compression) &&
        (g.release_gil == NULL ||
         py_get_bool("release_gil", g.release_gil, &options->release_gil)) &&
        get_pumps(g.pumps, &options->config);
    for (size_t i = 0; i < sizeof g / sizeof *each; i++) {
        Py_XDECREF(each[i]);
    }
    return fine;
}

void
py_options_release(py_options *options)
{
    Py_CLEAR(options->trusted_proxies);
    Py_CLEAR(options->origins);
    Py_CLEAR(options->subprotocols);
    Py_CLEAR(options->id_query);
    Py_CLEAR(options->user_query);
}

/* The strs of a tuple (NULL: none), lent. False: no memory. */
static bool
lend_list(PyObject *tuple, const char *const **out, size_t *count)
{
    *out = NULL;
    *count = tuple == NULL ? 0 : (size_t)PyTuple_GET_SIZE(tuple);
    if (*count == 0) {
        return true;
    }
    const char **list = PyMem_Calloc(*count, sizeof *list);
    for (size_t i = 0; list != NULL && i < *count; i++) {
        // Made when it was checked, and kept by the str since.
        list[i] = PyUnicode_AsUTF8(PyTuple_GET_ITEM(tuple, (Py_ssize_t)i));
    }
    *out = list;
    return list != NULL;
}

static void
free_list(const char *const *list)
{
    PyMem_Free((void *)(uintptr_t)list);
}

ws_err
py_options_start(const py_options *options, ws_hub *hub, ws_pages *pages,
                 ws_crew **crew)
{
    ws_pump_config config = options->config;
    ws_err err = WS_ERR_NOMEM;
    config.trusted_proxies = config.origins = config.subprotocols = NULL;
    if (options->id_query != NULL) {
        config.id_query = PyUnicode_AsUTF8(options->id_query);
    }
    if (options->user_query != NULL) {
        config.user_query = PyUnicode_AsUTF8(options->user_query);
    }
    if (lend_list(options->trusted_proxies, &config.trusted_proxies,
                  &config.trusted_proxy_count) &&
        lend_list(options->origins, &config.origins, &config.origin_count) &&
        lend_list(options->subprotocols, &config.subprotocols,
                  &config.subprotocol_count)) {
        err = ws_crew_new(hub, pages, &config, crew);
    }
    int why = errno;
    free_list(config.trusted_proxies);
    free_list(config.origins);
    free_list(config.subprotocols);
    errno = why;
    return err;
}

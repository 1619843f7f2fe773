#include "decision.h"

#include <string.h>

#include "convert.h"
#include "net/message.h"

enum {
    // Of id and user in bytes of UTF-8, as in the query.
    NAME_MAX_BYTES = WS_CLIENT_ID_MAX,
    // Subscribed to in one go, while everybody else waits.
    TOPICS_MAX = 256,
};

const char *const py_accept_names[] = {
    "user", "id", "topics", "subprotocol", "headers", "replace", NULL};
const char *const py_reject_names[] = {"status", "body", "headers",
                                       "close_code", NULL};

/* None is the same as nothing given. */
static bool
is_given(PyObject *value)
{
    return value != NULL && value != Py_None;
}

static bool
get_short_name(const char *name, PyObject *value, ws_text *out)
{
    if (!is_given(value)) {
        return true;
    }
    if (!py_get_name(name, value, out)) {
        return false;
    }
    if (out->size > NAME_MAX_BYTES) {
        PyErr_Format(PyExc_ValueError,
                     "%s must be at most %d bytes of UTF-8, but has %zu: "
                     "%.100R",
                     name, NAME_MAX_BYTES, out->size, value);
        return false;
    }
    return true;
}

/* An iterable that is no text, as a tuple; NULL: an exception. */
static PyObject *
as_tuple(const char *name, const char *what, PyObject *value)
{
    PyObject *tuple = NULL;
    if (!PyUnicode_Check(value) && !PyBytes_Check(value)) {
        tuple = PySequence_Tuple(value);
        if (tuple != NULL || !PyErr_ExceptionMatches(PyExc_TypeError)) {
            return tuple;
        }
        PyErr_Clear();
    }
    (void)py_wrong_type(name, what, value);
    return NULL;
}

/* ---- topics */

/* Checks the names, and adds them up with a NUL each. */
static bool
measure_topics(PyObject *topics, size_t *size)
{
    ws_text text;
    if (PyTuple_GET_SIZE(topics) > TOPICS_MAX) {
        PyErr_Format(PyExc_ValueError,
                     "topics must be at most %d, not %zd: subscribe to more "
                     "once it is Connected",
                     TOPICS_MAX, PyTuple_GET_SIZE(topics));
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(topics); i++) {
        if (!py_get_name("a topic", PyTuple_GET_ITEM(topics, i), &text)) {
            return false;
        }
        *size += text.size + 1;
    }
    return true;
}

static void
write_topics(PyObject *topics, char *at)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(topics); i++) {
        Py_ssize_t size = 0;
        const char *text =
            PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(topics, i), &size);
        memcpy(at, text, (size_t)size + 1); // with its NUL
        at += size + 1;
    }
}

static bool
get_topics(py_decision *self, PyObject *value)
{
    size_t size = 0;
    self->topics = value == NULL
                       ? PyTuple_New(0)
                       : as_tuple("topics", "an iterable of str", value);
    if (self->topics == NULL || !measure_topics(self->topics, &size)) {
        return false;
    }
    if (size > 0) {
        self->topic_bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        if (self->topic_bytes == NULL) {
            return false;
        }
        char *bytes = PyBytes_AS_STRING(self->topic_bytes);
        write_topics(self->topics, bytes);
        self->what.topics = (ws_text){bytes, size};
    }
    return true;
}

/* ---- headers */

/* One line of them, as a tuple of two str; NULL: an exception. */
static PyObject *
as_pair(PyObject *item)
{
    PyObject *pair =
        as_tuple("headers", "pairs of a name and a value, each a str", item);
    if (pair == NULL) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(pair) != 2 ||
        !PyUnicode_Check(PyTuple_GET_ITEM(pair, 0)) ||
        !PyUnicode_Check(PyTuple_GET_ITEM(pair, 1))) {
        Py_DECREF(pair);
        (void)py_wrong_type("headers",
                            "pairs of a name and a value, each a str", item);
        return NULL;
    }
    return pair;
}

/* Adds up what the line takes. */
static bool
measure_header(PyObject *pair, size_t *total)
{
    ws_text name;
    ws_text value;
    if (!py_get_text("a header's name", PyTuple_GET_ITEM(pair, 0), &name) ||
        !py_get_text("a header's value", PyTuple_GET_ITEM(pair, 1), &value)) {
        return false;
    }
    const char *error =
        ws_message_header_error(name.data, name.size, value.data, value.size);
    if (error != NULL) {
        PyErr_Format(PyExc_ValueError, "headers: %.200R %s", pair, error);
        return false;
    }
    *total += name.size + value.size + strlen(": \r\n");
    if (*total > WS_MESSAGE_HEADERS_MAX) {
        PyErr_Format(PyExc_ValueError,
                     "headers must be at most %d bytes together",
                     WS_MESSAGE_HEADERS_MAX);
        return false;
    }
    return true;
}

static char *
put(char *at, PyObject *text)
{
    Py_ssize_t size = 0;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &size);
    memcpy(at, bytes, (size_t)size);
    return at + size;
}

static bool
has_name(PyObject *pair, const char *lower)
{
    return PyOS_stricmp(PyUnicode_AsUTF8(PyTuple_GET_ITEM(pair, 0)), lower) ==
           0;
}

/* Writes all lines but Content-Type, which takes the place of another. Returns
   how many bytes. */
static size_t
write_headers(py_decision *self, char *at)
{
    char *begin = at;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->headers); i++) {
        PyObject *pair = PyTuple_GET_ITEM(self->headers, i);
        PyObject *value = PyTuple_GET_ITEM(pair, 1);
        if (has_name(pair, "content-type")) {
            (void)py_get_text("headers", value, &self->what.content_type);
            continue;
        }
        at = put(at, PyTuple_GET_ITEM(pair, 0));
        memcpy(at, ": ", 2);
        at = put(at + 2, value);
        memcpy(at, "\r\n", 2);
        at += 2;
    }
    return (size_t)(at - begin);
}

/* Whether it has names and values: 1, 0, or -1 with an exception. */
static int
is_mapping(PyObject *value)
{
    if (PyDict_Check(value)) {
        return 1;
    }
    if (PyTuple_Check(value) || PyList_Check(value)) {
        return 0;
    }
    PyObject *name = PyUnicode_InternFromString("items");
    if (name == NULL) {
        return -1;
    }
    int has = PyObject_HasAttr(value, name);
    Py_DECREF(name);
    return has;
}

/* The lines as a tuple of pairs; NULL: an exception. */
static PyObject *
list_headers(PyObject *value)
{
    static const char what[] = "a mapping, or an iterable of pairs";
    PyObject *list = NULL;
    if (value == NULL) {
        return PyTuple_New(0);
    }
    int mapping = is_mapping(value);
    if (mapping < 0) {
        return NULL;
    }
    if (mapping > 0) {
        PyObject *items = PyMapping_Items(value);
        if (items == NULL) {
            return NULL;
        }
        list = as_tuple("headers", what, items);
        Py_DECREF(items);
    } else {
        list = as_tuple("headers", what, value);
    }
    if (list == NULL) {
        return NULL;
    }
    PyObject *pairs = PyTuple_New(PyTuple_GET_SIZE(list));
    for (Py_ssize_t i = 0; pairs != NULL && i < PyTuple_GET_SIZE(list); i++) {
        PyObject *pair = as_pair(PyTuple_GET_ITEM(list, i));
        if (pair == NULL) {
            Py_CLEAR(pairs);
        } else {
            PyTuple_SET_ITEM(pairs, i, pair);
        }
    }
    Py_DECREF(list);
    return pairs;
}

static bool
get_headers(py_decision *self, PyObject *value)
{
    size_t size = 0;
    self->headers = list_headers(value);
    if (self->headers == NULL) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(self->headers); i++) {
        if (!measure_header(PyTuple_GET_ITEM(self->headers, i), &size)) {
            return false;
        }
    }
    if (size == 0) {
        return true;
    }
    self->header_bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (self->header_bytes == NULL) {
        return false;
    }
    char *bytes = PyBytes_AS_STRING(self->header_bytes);
    size = write_headers(self, bytes);
    if (size > 0) {
        self->what.headers = (ws_text){bytes, size};
    }
    return true;
}

/* ---- accept */

static bool
get_subprotocol(PyObject *value, ws_text *out)
{
    if (!is_given(value)) {
        return true;
    }
    if (!py_get_name("subprotocol", value, out)) {
        return false;
    }
    if (!ws_message_subprotocol_valid(out->data)) {
        PyErr_Format(PyExc_ValueError, "subprotocol %.100R is not a token",
                     value);
        return false;
    }
    return true;
}

bool
py_decision_accept(py_decision *self, PyObject *const *given)
{
    *self = (py_decision){.what = {.accept = true}};
    return get_short_name("user", given[PY_ACCEPT_USER], &self->what.user) &&
           get_short_name("id", given[PY_ACCEPT_ID], &self->what.id) &&
           get_topics(self, given[PY_ACCEPT_TOPICS]) &&
           get_subprotocol(given[PY_ACCEPT_SUBPROTOCOL],
                           &self->what.subprotocol) &&
           get_headers(self, given[PY_ACCEPT_HEADERS]) &&
           (given[PY_ACCEPT_REPLACE] == NULL ||
            py_get_bool("replace", given[PY_ACCEPT_REPLACE],
                        &self->what.replace));
}

/* ---- reject */

static bool
has_location(PyObject *headers)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(headers); i++) {
        if (has_name(PyTuple_GET_ITEM(headers, i), "location")) {
            return true;
        }
    }
    return false;
}

static bool
get_status(py_decision *self, PyObject *value)
{
    long long status = 403;
    if (value != NULL && !py_get_int("status", value, 300, 599, &status)) {
        return false;
    }
    if (status == 304 || (status < 400 && !has_location(self->headers))) {
        PyErr_Format(PyExc_ValueError,
                     "status must be from 400 to 599, or from 300 to 399 "
                     "(but not 304) with a Location in headers, not %lld",
                     status);
        return false;
    }
    self->what.status = (uint16_t)status;
    return true;
}

static bool
get_close_code(py_decision *self, PyObject *value)
{
    long long code = 0;
    if (!is_given(value)) {
        return true;
    }
    if (!py_get_int("close_code", value, 0, UINT16_MAX, &code)) {
        return false;
    }
    const char *error = ws_message_close_error((long)code, 0);
    if (error != NULL) {
        PyErr_Format(PyExc_ValueError, "close_code %s, not %lld", error, code);
        return false;
    }
    self->what.close_code = (uint16_t)code;
    return true;
}

static bool
get_body(py_decision *self, PyObject *value)
{
    ws_text *body = &self->what.body;
    if (value != NULL && !py_get_text("body", value, body)) {
        return false;
    }
    if (self->what.close_code != 0) {
        const char *error =
            ws_message_close_error(self->what.close_code, body->size);
        if (error != NULL) {
            PyErr_Format(PyExc_ValueError,
                         "body, which with close_code is the reason, %s, but "
                         "has %zu: %.100R",
                         error, body->size, value);
        }
        return error == NULL;
    }
    if (body->size > WS_MESSAGE_BODY_MAX) {
        PyErr_Format(PyExc_ValueError,
                     "body must be at most %d bytes of UTF-8, but has %zu: "
                     "%.100R",
                     WS_MESSAGE_BODY_MAX, body->size, value);
        return false;
    }
    return true;
}

bool
py_decision_reject(py_decision *self, PyObject *const *given)
{
    *self = (py_decision){.what = {.accept = false}};
    return get_headers(self, given[PY_REJECT_HEADERS]) &&
           get_status(self, given[PY_REJECT_STATUS]) &&
           get_close_code(self, given[PY_REJECT_CLOSE_CODE]) &&
           get_body(self, given[PY_REJECT_BODY]);
}

void
py_decision_release(py_decision *self)
{
    Py_CLEAR(self->topics);
    Py_CLEAR(self->headers);
    Py_CLEAR(self->topic_bytes);
    Py_CLEAR(self->header_bytes);
}

/* ---- for the dataclasses */

static bool
are_so_many(const char *function, Py_ssize_t nargs, Py_ssize_t count)
{
    if (nargs != count) {
        PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd",
                     function, count, nargs);
    }
    return nargs == count;
}

PyObject *
py_check_accept(PyObject *Py_UNUSED(module), PyObject *const *args,
                Py_ssize_t nargs)
{
    PyObject *kept = NULL;
    py_decision decision;
    if (!are_so_many("_check_accept", nargs, PY_ACCEPT_COUNT)) {
        return NULL;
    }
    if (py_decision_accept(&decision, args)) {
        kept = PyTuple_Pack(2, decision.topics, decision.headers);
    }
    py_decision_release(&decision);
    return kept;
}

PyObject *
py_check_reject(PyObject *Py_UNUSED(module), PyObject *const *args,
                Py_ssize_t nargs)
{
    PyObject *kept = NULL;
    py_decision decision;
    if (!are_so_many("_check_reject", nargs, PY_REJECT_COUNT)) {
        return NULL;
    }
    if (py_decision_reject(&decision, args)) {
        kept = decision.headers;
        Py_INCREF(kept);
    }
    py_decision_release(&decision);
    return kept;
}

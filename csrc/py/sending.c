/* sending.c - the calls of WSHub that send. */
#include "args.h"
#include "convert.h"
#include "exclude.h"
#include "hub.h"
#include "net/compress.h"
#include "payload.h"
#include "raise.h"
#include "values.h"

static bool
get_payload(py_hub *self, PyObject *data, PyObject *text, py_payload *payload)
{
    py_state *state = py_state_of((PyObject *)self);
    return state != NULL &&
           py_payload_get(payload, data, text, state->prepared_type);
}

static PyObject *
raise_refusal(py_hub *self, ws_client *client, ws_err err, size_t size)
{
    py_state *state = py_state_of((PyObject *)self);
    PyObject *object =
        state == NULL ? NULL : py_client_of(state, self->home, client);
    if (object != NULL) {
        (void)py_raise_refusal(state, (py_client *)object, err, size);
        Py_DECREF(object);
    }
    return NULL;
}

/* Whether a send by id may take longer than giving the GIL away. */
static bool
takes_long(const py_hub *self, const py_payload *payload)
{
    size_t size = payload->out.size;
    return size > PY_KEEP_GIL_MAX ||
           (self->options.config.compression && size >= WS_COMPRESS_MIN);
}

/* None, or an exception, for what a send by id has come to. */
static PyObject *
answer(py_hub *self, PyObject *id, const py_payload *payload,
       ws_client *client, ws_err err)
{
    py_state *state = py_state_of((PyObject *)self);
    if (err == WS_ERR_NOT_FOUND) {
        return self->closing ? py_raise_hub_closed(state, self->home)
                             : py_raise_not_found(state, id);
    }
    if (err != WS_OK) {
        return raise_refusal(self, client, err, payload->out.size);
    }
    if (!py_payload_was_valid(payload)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
py_hub_send(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    static const char *const names[] = {"client_id", "data", "text", NULL};
    static const py_signature signature = {"send", names, 2, 2};
    py_hub *self = (py_hub *)op;
    PyObject *got[3];
    ws_text id;
    py_payload payload;
    ws_client *client = NULL;
    ws_err err = WS_OK;

    if (!py_args(&signature, args, nargs, kwnames, got) ||
        !py_get_text("client_id", got[0], &id) || !py_hub_enter_open(self) ||
        !get_payload(self, got[1], got[2], &payload)) {
        return NULL;
    }
    ws_hub *core = self->core;
    if (self->home->release_gil || takes_long(self, &payload)) {
        Py_BEGIN_ALLOW_THREADS
            err = ws_outgoing_send_to(&payload.out, core, id, &client);
        Py_END_ALLOW_THREADS
    } else {
        err = ws_outgoing_send_to(&payload.out, core, id, &client);
    }
    PyObject *result = answer(self, got[0], &payload, client, err);
    ws_client_unref(client);
    py_payload_release(&payload);
    return result;
}

/* The SendReport, or an exception, for what a call to many has come to. */
static PyObject *
make_report(py_hub *self, const py_payload *payload, ws_err err,
            const ws_report *report)
{
    py_state *state = py_state_of((PyObject *)self);
    if (err == WS_ERR_TOO_BIG) {
        return py_raise_too_large(state, payload->out.size,
                                  self->options.limits.send.max_bytes);
    }
    if (err != WS_OK) {
        return py_raise_err(state, self->home, err);
    }
    if (!py_payload_was_valid(payload)) {
        return NULL;
    }
    return py_make_report(state, self->home, report);
}

static PyObject *
fan_out(py_hub *self, ws_target target, PyObject *data, PyObject *exclude,
        PyObject *text)
{
    py_payload payload;
    ws_exclude left_out = {NULL, 0};
    ws_report report = {0};
    ws_err err = WS_OK;
    PyObject *result = NULL;

    if (!py_hub_enter_open(self) || !get_payload(self, data, text, &payload)) {
        return NULL;
    }
    if (py_exclude_get(self, exclude, &left_out) &&
        py_hub_enter_open(self)) { // again: that may have run anything
        ws_hub *core = self->core;
        Py_BEGIN_ALLOW_THREADS
            err = ws_outgoing_fan_out(&payload.out, core, target, &left_out,
                                      &report);
        Py_END_ALLOW_THREADS
        result = make_report(self, &payload, err, &report);
    }
    ws_report_release(&report);
    py_exclude_release(&left_out);
    py_payload_release(&payload);
    return result;
}

PyObject *
py_hub_broadcast(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    static const char *const names[] = {"data", "exclude", "text", NULL};
    static const py_signature signature = {"broadcast", names, 2, 1};
    PyObject *got[3];
    if (!py_args(&signature, args, nargs, kwnames, got)) {
        return NULL;
    }
    return fan_out((py_hub *)op, (ws_target){.kind = WS_TO_ALL}, got[0],
                   got[1], got[2]);
}

static PyObject *
fan_out_to(PyObject *op, const py_signature *signature, ws_target_kind kind,
           PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    ws_target target = {.kind = kind};
    PyObject *got[4];
    if (!py_args(signature, args, nargs, kwnames, got) ||
        !py_get_text(signature->names[0], got[0], &target.name)) {
        return NULL;
    }
    return fan_out((py_hub *)op, target, got[1], got[2], got[3]);
}

PyObject *
py_hub_publish(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    static const char *const names[] = {"topic", "data", "exclude", "text",
                                        NULL};
    static const py_signature signature = {"publish", names, 3, 2};
    return fan_out_to(op, &signature, WS_TO_TOPIC, args, nargs, kwnames);
}

PyObject *
py_hub_send_to_user(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                    PyObject *kwnames)
{
    static const char *const names[] = {"user", "data", "exclude", "text",
                                        NULL};
    static const py_signature signature = {"send_to_user", names, 3, 2};
    return fan_out_to(op, &signature, WS_TO_USER, args, nargs, kwnames);
}

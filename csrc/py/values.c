#include "values.h"

#include "convert.h"
#include "core/hub.h"
#include "core/lock.h"

/* An instance of a frozen dataclass, without its __init__, which has to go a
   long way round its own frozenness. */
static PyObject *
make_blank(const py_state *state, PyTypeObject *type)
{
    return type->tp_new(type, state->no_args, NULL);
}

/* Sets a field of it. Steals `value`, which may be NULL. */
static int
set_field(PyObject *self, PyObject *name, PyObject *value)
{
    int rc = value == NULL ? -1 : PyObject_GenericSetAttr(self, name, value);
    Py_XDECREF(value);
    return rc;
}

static PyObject *
make_full(py_state *state, py_home *home, const ws_report *report)
{
    PyObject *full = PyTuple_New((Py_ssize_t)report->full_count);
    for (size_t i = 0; full != NULL && i < report->full_count; i++) {
        PyObject *client = py_client_of(state, home, report->full[i]);
        if (client == NULL) {
            Py_CLEAR(full);
        } else {
            PyTuple_SET_ITEM(full, (Py_ssize_t)i, client);
        }
    }
    return full;
}

PyObject *
py_make_report(py_state *state, py_home *home, const ws_report *report)
{
    PyObject *self = make_blank(state, state->send_report);
    if (self != NULL && (set_field(self, state->name_queued,
                                   PyLong_FromSize_t(report->queued)) < 0 ||
                         set_field(self, state->name_full,
                                   make_full(state, home, report)) < 0 ||
                         set_field(self, state->name_closed,
                                   PyLong_FromSize_t(report->closed)) < 0 ||
                         set_field(self, state->name_failed,
                                   PyLong_FromSize_t(report->failed)) < 0)) {
        Py_CLEAR(self);
    }
    return self;
}

/* Calls `type` with `fields` as its keywords. Steals `fields`. */
static PyObject *
make_from(const py_state *state, PyTypeObject *type, PyObject *fields)
{
    PyObject *self = NULL;
    if (fields != NULL) {
        self = PyObject_Call((PyObject *)type, state->no_args, fields);
        Py_DECREF(fields);
    }
    return self;
}

/* Adds the items of `more` to `fields`. Steals both; NULL: an exception. */
static PyObject *
join_fields(PyObject *fields, PyObject *more)
{
    if (fields != NULL && (more == NULL || PyDict_Update(fields, more) < 0)) {
        Py_CLEAR(fields);
    }
    Py_XDECREF(more);
    return fields;
}

static PyObject *
count_fields(const ws_chan_counts *counts)
{
    return Py_BuildValue(
        "{sK sK sK sK sK sK sK sK sK}", "accepted", counts->accepted,
        "written", counts->written, "written_bytes", counts->written_bytes,
        "dropped", counts->dropped, "lost", counts->lost, "refused_full",
        counts->refused_full, "refused_closed", counts->refused_closed,
        "refused_too_large", counts->refused_too_large, "refused_nomem",
        counts->refused_nomem);
}

static double
to_seconds(uint64_t ns)
{
    return (double)ns / (double)WS_NS_PER_S;
}

static PyObject *
make_rtt(ws_client *client)
{
    // Relaxed: a number, nothing is read through it; so for the counters.
    unsigned rtt_us =
        atomic_load_explicit(&client->rtt_us, memory_order_relaxed);
    if (rtt_us == 0) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(rtt_us / 1e6);
}

PyObject *
py_make_client_stats(py_state *state, ws_client *client)
{
    ws_chan_stats stats = ws_chan_get_stats(&client->chan);
    PyObject *rest = Py_BuildValue(
        "{sI sn sd sd sN sK sK sK}", "queued", (unsigned)stats.queued,
        "queued_bytes", (Py_ssize_t)stats.queued_bytes, "oldest_age",
        to_seconds(stats.oldest_age_ns), "age",
        to_seconds(ws_now_ns() - client->since_ns), "rtt", make_rtt(client),
        "received", ws_counted(&client->received), "received_bytes",
        ws_counted(&client->received_bytes), "received_dropped",
        ws_counted(&client->received_dropped));
    return make_from(state, state->client_stats,
                     join_fields(count_fields(&stats.counts), rest));
}

static PyObject *
pump_fields(const ws_pump_counters *counters)
{
    return Py_BuildValue(
        "{sK sK sK sK sK sK sK sK sK sK sK sK sK sK}", "accepted_connections",
        ws_counted(&counters->accepted_connections), "refused_handshakes",
        ws_counted(&counters->refused_handshakes), "failed_handshakes",
        ws_counted(&counters->failed_handshakes), "served_pages",
        ws_counted(&counters->served_pages), "turns",
        ws_counted(&counters->turns), "writes", ws_counted(&counters->writes),
        "short_writes", ws_counted(&counters->short_writes), "wire_bytes",
        ws_counted(&counters->wire_bytes), "compressed",
        ws_counted(&counters->compressed), "pings",
        ws_counted(&counters->pings), "pongs", ws_counted(&counters->pongs),
        "timeouts", ws_counted(&counters->timeouts), "received",
        ws_counted(&counters->received), "received_bytes",
        ws_counted(&counters->received_bytes));
}

PyObject *
py_make_hub_stats(py_state *state, const ws_hub_stats *stats,
                  const ws_pump_counters *counters, PyObject *pumps)
{
    PyObject *rest = Py_BuildValue(
        "{sN sK sK sK sK sK sK sK sK sI sn sK sK}", "pumps", pumps, "queued",
        stats->queued, "queued_bytes", stats->queued_bytes, "clients",
        stats->clients, "closing", stats->closing, "joined", stats->joined,
        "topics", stats->topics, "users", stats->users, "handshakes",
        stats->handshakes, "events", (unsigned)stats->events.messages,
        "event_bytes", (Py_ssize_t)stats->events.bytes, "events_total",
        stats->events.queued, "events_dropped", stats->events.dropped);
    PyObject *fields = join_fields(count_fields(&stats->counts), rest);
    return make_from(state, state->hub_stats,
                     join_fields(fields, pump_fields(counters)));
}

PyObject *
py_make_request(py_state *state, const ws_client_info *info)
{
    PyObject *subprotocol = py_text_or_none(info->subprotocol);
    if (subprotocol == NULL) {
        return NULL;
    }
    return PyObject_CallFunction(
        (PyObject *)state->request, "y#N",
        info->request.data == NULL ? "" : info->request.data,
        (Py_ssize_t)info->request.size, subprotocol);
}

static PyObject *
make_message_data(const ws_event *event)
{
    const char *data = (const char *)ws_inbound_data(event->message);
    Py_ssize_t size = (Py_ssize_t)event->size;
    return event->text ? PyUnicode_DecodeUTF8(data, size, NULL)
                       : PyBytes_FromStringAndSize(data, size);
}

static int
set_end(const py_state *state, PyObject *self, ws_client *client)
{
    if (set_field(self, state->name_code,
                  PyLong_FromLong(client->close_code)) < 0 ||
        set_field(self, state->name_reason,
                  py_text((ws_text){client->close_reason,
                                    client->close_reason_size})) < 0) {
        return -1;
    }
    // One that was replaced may have to be closed yet.
    bool clean =
        ws_client_get_state(client) == WS_CLIENT_CLOSED && client->clean;
    return set_field(self, state->name_clean, PyBool_FromLong(clean));
}

PyObject *
py_make_authorize(py_state *state, PyObject *handshake)
{
    PyObject *self = make_blank(state, state->authorize);
    if (self != NULL) {
        Py_INCREF(handshake);
        if (set_field(self, state->name_handshake, handshake) < 0) {
            Py_CLEAR(self);
        }
    }
    return self;
}

static PyTypeObject *
event_type(const py_state *state, ws_event_kind kind)
{
    switch (kind) {
    case WS_EVENT_CONNECTED:
        return state->connected;
    case WS_EVENT_MESSAGE:
        return state->message;
    case WS_EVENT_DISCONNECTED:
        return state->disconnected;
    case WS_EVENT_NOTICE:
    case WS_EVENT_AUTHORIZE:
        break;
    }
    return NULL;
}

PyObject *
py_make_event(py_state *state, const ws_event *event, py_client *client)
{
    PyObject *self = make_blank(state, event_type(state, event->kind));
    if (self == NULL) {
        return NULL;
    }
    Py_INCREF(client);
    int rc = set_field(self, state->name_client, (PyObject *)client);
    if (rc == 0 && event->kind == WS_EVENT_MESSAGE) {
        rc = set_field(self, state->name_data, make_message_data(event));
    } else if (rc == 0 && event->kind == WS_EVENT_DISCONNECTED) {
        rc = set_end(state, self, client->client);
    }
    if (rc < 0) {
        Py_CLEAR(self);
    }
    return self;
}

/* lifetime.c - a hub's crew: its start, its end, forks, the interpreter's
   exit. */
#include <unistd.h>

#include "core/memory_end.h"
#include "hub.h"
#include "raise.h"
#include "wait.h"

#define AT_EXIT_NS (500 * WS_NS_PER_MS)
#define FINALIZE_NS (100 * WS_NS_PER_MS)

static const ws_text NO_REASON = {"", 0};

static py_state *
state_of(py_hub *self)
{
    return py_state_of((PyObject *)self);
}

/* In a child, for a hub without a crew. The old one is leaked: a thread that
   the child does not have may hold its locks. */
static bool
remake(py_hub *self)
{
    ws_hub *core = NULL;
    ws_err err = ws_hub_new(&self->options.limits, &core);
    if (err != WS_OK) {
        (void)py_raise_err(state_of(self), self->home, err);
        return false;
    }
    py_home *home = py_home_new(self, self->options.release_gil);
    if (home == NULL) {
        ws_hub_unref(core);
        (void)PyErr_NoMemory();
        return false;
    }
    ws_hub_close_after_fork(self->core);
    py_events_after_fork(self);
    self->core = core;
    // Clients there may be, without sockets: they are the parent's, as is the
    // home that they know.
    self->home->hub = NULL;
    py_home_unref(self->home);
    self->home = home;
    if (self->takes_events) {
        ws_hub_start_events(core);
    }
    return true;
}

bool
py_hub_enter(py_hub *self)
{
    if (py_home_is_here(self->home)) {
        return true;
    }
    if (self->started) {
        (void)py_raise_hub_closed(state_of(self), self->home);
        return false;
    }
    return remake(self);
}

bool
py_hub_enter_open(py_hub *self)
{
    if (!py_hub_enter(self)) {
        return false;
    }
    if (self->closing) {
        (void)py_raise_hub_closed(state_of(self), self->home);
        return false;
    }
    return true;
}

static void
link_running(py_hub *self, py_state *state)
{
    self->link = &state->running;
    self->next = state->running;
    if (self->next != NULL) {
        self->next->link = &self->next;
    }
    state->running = self;
}

static void
unlink_running(py_hub *self)
{
    if (self->link != NULL) {
        *self->link = self->next;
        if (self->next != NULL) {
            self->next->link = self->link;
        }
        self->next = NULL;
        self->link = NULL;
    }
}

/* Under the GIL throughout, so that there is never a second crew. */
static bool
start_crew(py_hub *self)
{
    py_state *state = state_of(self);
    if (state == NULL) {
        return false;
    }
    ws_err err =
        py_options_start(&self->options, self->core, self->pages, &self->crew);
    if (err != WS_OK) {
        self->crew = NULL;
        (void)py_raise_err(state, self->home, err);
        return false;
    }
    self->started = true;
    link_running(self, state);
    return true;
}

ws_crew *
py_hub_enter_crew(py_hub *self)
{
    if (!py_hub_enter_open(self) ||
        (self->crew == NULL && !start_crew(self))) {
        return NULL;
    }
    self->in_crew++;
    return self->crew;
}

void
py_hub_leave_crew(py_hub *self)
{
    self->in_crew--;
    if (self->closed && self->in_crew == 0 && self->crew != NULL) {
        ws_crew *crew = self->crew;
        self->crew = NULL; // from here on nobody else finds it
        unlink_running(self);
        Py_BEGIN_ALLOW_THREADS
            ws_crew_free(crew);
        Py_END_ALLOW_THREADS
    }
}

/* Without the GIL. Cuts what is left, and waits for the pumps' last turns. */
static void
kill_crew(ws_crew *crew)
{
    ws_crew_kill(crew);
    while (ws_crew_wait(crew, ws_now_ns() + WS_NS_PER_S) == WS_ERR_TIMEOUT) {
    }
}

/* False: a signal handler has raised. */
static bool
await_crew(const py_home *home, ws_crew *crew, uint64_t until_ns, bool signals)
{
    ws_err err = WS_ERR_TIMEOUT;
    bool quiet = true;
    do {
        uint64_t end = py_slice_end(until_ns);
        Py_BEGIN_ALLOW_THREADS
            err = ws_crew_wait(crew, end);
        Py_END_ALLOW_THREADS
        quiet = !signals || PyErr_CheckSignals() == 0;
        if (!py_home_is_here(home)) {
            return quiet; // the handler has forked: nobody ends here
        }
    } while (quiet && err == WS_ERR_TIMEOUT && ws_now_ns() < until_ns);
    if (err == WS_ERR_TIMEOUT) {
        Py_BEGIN_ALLOW_THREADS
            kill_crew(crew);
        Py_END_ALLOW_THREADS
    }
    return quiet;
}

bool
py_hub_close(py_hub *self, uint16_t code, ws_text reason, uint64_t until_ns,
             bool signals)
{
    bool quiet = true;
    if (self->started && !py_home_is_here(self->home)) {
        return true; // it is closed, in this process
    }
    if (!py_hub_enter(self)) {
        return false;
    }
    self->closing = true;
    if (self->crew != NULL) {
        self->in_crew++;
        ws_crew_close(self->crew, code, reason);
        ws_memory_end_close_all(self->core, code, reason);
        quiet = await_crew(self->home, self->crew, until_ns, signals);
        if (!py_home_is_here(self->home)) {
            self->in_crew--;
            return quiet;
        }
        self->closed = true;
        ws_memory_end_cut_all(self->core); // nobody joins any more
        py_hub_leave_crew(self);
    } else if (!self->closed) {
        ws_hub_shut(self->core);
        ws_memory_end_close_all(self->core, code, reason);
        ws_memory_end_cut_all(self->core);
        self->closed = true;
    }
    py_hub_ring(self);
    return quiet;
}

void
py_hub_ring(py_hub *self)
{
    uint64_t one = 1;
    ssize_t written =
        write(ws_evq_fd(ws_hub_events(self->core)), &one, sizeof one);
    (void)written; // a full counter is readable all the same
}

void
py_hub_take_events(py_hub *self)
{
    ws_hub *core = self->core;
    if (!self->takes_events) {
        self->takes_events = true;
        Py_BEGIN_ALLOW_THREADS
            ws_hub_start_events(core);
        Py_END_ALLOW_THREADS
    }
}

void
py_hub_finalize(PyObject *op)
{
    py_hub *self = (py_hub *)op;
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *traceback = NULL;

    if (self->crew == NULL || !py_home_is_here(self->home)) {
        return;
    }
    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_ResourceWarning(op, 1, "unclosed %R", op) < 0) {
        PyErr_WriteUnraisable(op);
    }
    (void)py_hub_close(self, 1001, NO_REASON, ws_now_ns() + FINALIZE_NS,
                       false);
    PyErr_Restore(type, value, traceback);
}

void
py_hub_release(py_hub *self)
{
    bool here = self->home == NULL || py_home_is_here(self->home);
    if (self->home != NULL) {
        self->home->hub = NULL;
    }
    unlink_running(self);
    if (here && self->crew != NULL) { // started past its finalizer
        ws_crew *crew = self->crew;
        self->crew = NULL;
        Py_BEGIN_ALLOW_THREADS
            ws_crew_free(crew);
        Py_END_ALLOW_THREADS
    }
    py_let_all_go(&self->kept);
    if (here && self->core != NULL) {
        ws_hub_drop_events(self->core);
        ws_hub_unref(self->core);
        ws_pages_unref(self->pages);
    } else if (!self->started && self->core != NULL) {
        ws_hub_close_after_fork(self->core);
    }
    py_home_unref(self->home);
    py_options_release(&self->options);
}

void
py_hub_forget_all(py_state *state)
{
    while (state->running != NULL) {
        unlink_running(state->running);
    }
}

/* The hubs that have a crew, a list. NULL: no memory. */
static PyObject *
list_running(const py_state *state)
{
    PyObject *hubs = PyList_New(0);
    for (py_hub *hub = state->running; hubs != NULL && hub != NULL;
         hub = hub->next) {
        if (py_home_is_here(hub->home) &&
            PyList_Append(hubs, (PyObject *)hub) < 0) {
            Py_CLEAR(hubs);
        }
    }
    return hubs;
}

PyObject *
py_hub_close_all(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    PyObject *hubs = list_running(PyModule_GetState(module));
    uint64_t until_ns = ws_now_ns() + AT_EXIT_NS;
    if (hubs == NULL) {
        return NULL;
    }
    // All begin before any is waited for.
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hubs); i++) {
        py_hub *hub = (py_hub *)PyList_GET_ITEM(hubs, i);
        hub->closing = true;
        ws_crew_close(hub->crew, 1001, NO_REASON);
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(hubs); i++) {
        (void)py_hub_close((py_hub *)PyList_GET_ITEM(hubs, i), 1001, NO_REASON,
                           until_ns, false);
    }
    Py_DECREF(hubs);
    Py_RETURN_NONE;
}

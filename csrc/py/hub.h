/*
 * hub.h - WSHub: the core's hub, and the crew of pumps that serves it once
 * something listens.
 */
#ifndef WS_PY_HUB_H
#define WS_PY_HUB_H

#include "core/hub.h"
#include "home.h"
#include "keep.h"
#include "net/crew.h"
#include "net/pages.h"
#include "options.h"
#include "state.h"

struct py_hub {
    PyObject ob_base;
    py_options options;
    py_home *home;    /* a reference */
    ws_hub *core;     /* a reference */
    ws_pages *pages;  /* a reference; put to under the GIL only, so that a
                         forked child finds its lock free */
    ws_crew *crew;    /* NULL: none yet, or no more */
    unsigned in_crew; /* calls into the crew that are under way */
    bool started;     /* there was a crew */
    bool closing;     /* close has begun */
    bool closed;      /* the crew has ended, or never will be */
    bool takes_events;
    PyObject *consumer; /* the one EventIterator, borrowed; NULL: none */
    py_kept kept;
    PyObject *weakrefs;
    py_hub *next, **link; /* in py_state.running; link NULL: not there */
};

/*
 * To be called before `core` is used: makes it anew in a forked child where
 * the hub has no crew. False: HubClosed (the child of a hub with one), or
 * out of memory or descriptors.
 */
bool py_hub_enter(py_hub *self);

/* The same for what makes no sense once close has begun: HubClosed. */
bool py_hub_enter_open(py_hub *self);

/* A crew that stays until py_hub_leave_crew; starts it. NULL: an exception. */
ws_crew *py_hub_enter_crew(py_hub *self);
void py_hub_leave_crew(py_hub *self);

/* Closes by `until_ns`, cutting what is left. With `signals`, false when a
   signal handler has raised: all was cut at once. Otherwise true. */
bool py_hub_close(py_hub *self, uint16_t code, ws_text reason,
                  uint64_t until_ns, bool signals);

/* Wakes whoever waits for events, to see that the hub has closed. */
void py_hub_ring(py_hub *self);

/* Events are stored from now on. */
void py_hub_take_events(py_hub *self);

/* events.c: in a child, ends an iterator whose thread is the parent's. */
void py_events_after_fork(py_hub *self);

/* A finalizer: closes a hub that nobody closed, with a ResourceWarning. */
void py_hub_finalize(PyObject *op);

/* Lets go of everything; in a forked child without touching the core. */
void py_hub_release(py_hub *self);

/* METH_NOARGS of the module, for atexit: closes every hub, quickly. */
PyObject *py_hub_close_all(PyObject *module, PyObject *ignored);

/* When the state goes before its hubs do: the list of those that run. */
void py_hub_forget_all(py_state *state);

/* A snapshot of a target's clients: see ws_hub_list. False: MemoryError. */
bool py_hub_list(py_hub *self, ws_target target, ws_client ***clients,
                 size_t *count);

/* The methods that stand in files of their own: METH_FASTCALL | METH_KEYWORDS
   but for the last two. */
#define PY_HUB_METHOD(name)                                      \
    PyObject *py_hub_##name(PyObject *op, PyObject *const *args, \
                            Py_ssize_t nargs, PyObject *kwnames)
PY_HUB_METHOD(listen); /* listener.c */
PY_HUB_METHOD(events); /* events.c */
PY_HUB_METHOD(send);   /* sending.c */
PY_HUB_METHOD(send_to_user);
PY_HUB_METHOD(broadcast);
PY_HUB_METHOD(publish);
PY_HUB_METHOD(flush); /* ending.c */
PY_HUB_METHOD(close_user);
PY_HUB_METHOD(close_call);
PY_HUB_METHOD(add_page); /* page.c */
#undef PY_HUB_METHOD
PyObject *py_hub_enter_call(PyObject *op, PyObject *ignored); /* ending.c */
PyObject *py_hub_exit_call(PyObject *op, PyObject *const *args,
                           Py_ssize_t nargs);

#endif

/*
 * keep.h - the WSClients that a hub holds on to, so that what the application
 * has put on them stays as long as their connection.
 *
 * Kept are those whose `state` was used and those that were told of as
 * Connected. One is let go of when its Disconnected is taken; where nobody
 * takes events, by a sweep that comes now and then when others are kept.
 */
#ifndef WS_PY_KEEP_H
#define WS_PY_KEEP_H

#include "client.h"

typedef struct py_kept {
    py_client *first; /* a reference to each; linked by kept_next */
    size_t count;
    size_t sweep_at; /* the count above which those that ended are let go */
} py_kept;

/* Twice is once. */
void py_keep(py_kept *kept, py_client *client);

/* Does nothing when it is not kept. May run any Python code, as may a sweep;
   so for all of them. */
void py_let_go(py_kept *kept, py_client *client);
void py_let_all_go(py_kept *kept);

/* For tp_traverse. */
int py_visit_kept(const py_kept *kept, visitproc visit, void *arg);

#endif

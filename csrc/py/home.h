/*
 * home.h - what a hub's Python objects have in common, and what outlives the
 * WSHub: a WSClient asks here, and never holds the WSHub itself.
 *
 * Owns: nothing; counted by hand, under the GIL.
 */
#ifndef WS_PY_HOME_H
#define WS_PY_HOME_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/fork.h"
#include "state.h"

typedef struct py_home {
    size_t refs;
    py_hub *hub;         /* weak: NULL once the WSHub has gone */
    uint32_t generation; /* in which the core's hub was made */
    pid_t pid;           /* likewise */
    bool release_gil;
} py_home;

py_home *py_home_new(py_hub *hub, bool release_gil); /* NULL: no memory */
py_home *py_home_ref(py_home *home);
void py_home_unref(py_home *home); /* NULL does nothing */

/* False in a process that was forked since: nothing of the core's may be
   touched there, whose locks may be held by threads that are not. */
static inline bool
py_home_is_here(const py_home *home)
{
    return home->generation == ws_fork_generation();
}

#endif

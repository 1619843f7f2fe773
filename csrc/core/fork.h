/*
 * fork.h - telling a forked child from its parent, before anything is locked.
 *
 * A pump does not survive a fork, and locks may be held by threads that the
 * child does not have. So whoever made something remembers the generation it
 * was made in and compares before each use; getpid would cost a system call.
 * Hooks let a pump come to rest before the fork, and the child close its
 * copies of descriptors.
 *
 * Threads: any. child hooks run in the child before fork returns there and
 *          may only make async-signal-safe calls. The child starts with an
 *          empty list: what was on it is the parent's.
 * Owns:    nothing; hooks are the callers'.
 * Locks:   one for the list of hooks, held during the whole of a fork: no hook
 *          may add or remove one, nor wait for a thread that does.
 */
#ifndef WS_CORE_FORK_H
#define WS_CORE_FORK_H

#include <stdint.h>

#include "err.h"

typedef struct ws_fork_hook ws_fork_hook;
struct ws_fork_hook { /* called the newest first, each time */
    ws_fork_hook *next;
    void (*prepare)(void *arg); /* in the parent, before */
    void (*parent)(void *arg);  /* in the parent, after */
    void (*child)(void *arg);   /* in the child, after */
    void *arg;
};

/* How many forks lie between the process that called ws_fork_init first and
   this one. */
uint32_t ws_fork_generation(void);

/* Installs the handlers of this file, once a process. NOMEM. */
WS_MUST_CHECK ws_err ws_fork_init(void);

/* Call ws_fork_init first. */
void ws_fork_add(ws_fork_hook *hook);
void ws_fork_remove(ws_fork_hook *hook);

#endif

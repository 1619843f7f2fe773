#include "fork.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_uint generation;
static pthread_mutex_t hooks_lock = PTHREAD_MUTEX_INITIALIZER;
static ws_fork_hook *hooks;

uint32_t
ws_fork_generation(void)
{
    // Relaxed: it changes only in a child that has one thread.
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

static void
before_fork(void)
{
    (void)pthread_mutex_lock(&hooks_lock);
    for (ws_fork_hook *hook = hooks; hook != NULL; hook = hook->next) {
        hook->prepare(hook->arg);
    }
}

static void
after_fork_in_parent(void)
{
    for (ws_fork_hook *hook = hooks; hook != NULL; hook = hook->next) {
        hook->parent(hook->arg);
    }
    (void)pthread_mutex_unlock(&hooks_lock);
}

static void
after_fork_in_child(void)
{
    (void)atomic_fetch_add(&generation, 1);
    for (ws_fork_hook *hook = hooks; hook != NULL; hook = hook->next) {
        hook->child(hook->arg);
    }
    hooks = NULL; // they are the parent's
    (void)pthread_mutex_unlock(&hooks_lock);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static ws_err init_result;

static void
install(void)
{
    if (pthread_atfork(before_fork, after_fork_in_parent,
                       after_fork_in_child) != 0) {
        init_result = WS_ERR_NOMEM;
    }
}

ws_err
ws_fork_init(void)
{
    (void)pthread_once(&once, install);
    return init_result;
}

void
ws_fork_add(ws_fork_hook *hook)
{
    (void)pthread_mutex_lock(&hooks_lock);
    hook->next = hooks;
    hooks = hook;
    (void)pthread_mutex_unlock(&hooks_lock);
}

void
ws_fork_remove(ws_fork_hook *hook)
{
    (void)pthread_mutex_lock(&hooks_lock);
    ws_fork_hook **link = &hooks;
    while (*link != NULL && *link != hook) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = hook->next;
    }
    (void)pthread_mutex_unlock(&hooks_lock);
}

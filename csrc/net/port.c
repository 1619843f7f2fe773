#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "pump_inside.h"

/* A job that somebody sleeps for until the pump has done it. */
typedef struct job {
    ws_task task;
    ws_port *port;
    ws_identity *identity; // owned until `run` takes it; NULL: none
    ws_lock lock;
    pthread_cond_t cond;
    bool done;
    ws_err err;
    int sys; // errno, when err is SYSTEM
} job;

static void
finish(job *j, ws_err err)
{
    ws_lock_acquire(&j->lock);
    j->sys = errno;
    j->err = err;
    j->done = true;
    // Under the lock: the sleeper's frame goes once it sees `done`.
    (void)pthread_cond_signal(&j->cond);
    ws_lock_release(&j->lock);
}

/* Hands it over and sleeps until it is done. */
static void
await(job *j)
{
    if (!ws_wake_post(j->port->wake, &j->task)) {
        j->err = WS_ERR_HUB_CLOSED;
        return;
    }
    ws_lock_acquire(&j->lock);
    while (!j->done) {
        (void)ws_cond_wait_until(&j->cond, &j->lock,
                                 ws_now_ns() + WS_NS_PER_S);
    }
    ws_lock_release(&j->lock);
}

/* Has the pump run `run` for the port, and sleeps until it has. The pump takes
   no longer than a turn. Takes over `identity`. */
static ws_err
do_on_pump(ws_port *port, void (*run)(ws_task *task, void *pump),
           ws_identity *identity)
{
    job j = {
        .task = {.run = run},
        .port = port,
        .identity = identity,
        .err = WS_ERR_NOMEM,
    };
    if (ws_cond_init(&j.cond) == WS_OK) {
        if (ws_lock_init(&j.lock) == WS_OK) {
            await(&j);
            ws_lock_destroy(&j.lock);
        }
        (void)pthread_cond_destroy(&j.cond);
    }
    ws_identity_free(j.identity);
    errno = j.sys;
    return j.err;
}

static void
on_accept(void *user, int fd, const ws_addr *peer)
{
    ws_port *port = user;
    ws_conn_accept(port->pump, port, fd, peer);
}

/* Takes the job's identity. */
static ws_err
make_tls(job *j, ws_pump *pump)
{
    ws_identity *identity = j->identity;
    j->identity = NULL;
    if (identity == NULL) {
        return WS_OK;
    }
    j->port->tls =
        ws_tls_new(ws_loop_context(pump->loop), ws_conn_protocols(), identity);
    return j->port->tls == NULL ? WS_ERR_NOMEM : WS_OK;
}

static void
drop_tls(ws_port *port)
{
    ws_tls_unref(port->tls);
    port->tls = NULL;
}

/* Serves it, now that it has what it needs. */
static ws_err
start(ws_port *port, ws_pump *pump)
{
    ws_listener_hooks hooks = {
        .on_accept = on_accept,
        .user = port,
        .send_buffer = pump->settings->config.send_buffer,
        .timer_kind = WS_TIMER_LISTENER,
        .tls = port->tls != NULL,
    };
    ws_err err =
        ws_listener_start(port->listener, pump->loop, pump->wheel, &hooks);
    if (err == WS_OK) {
        port->pump = pump;
        port->next = pump->ports;
        pump->ports = port;
        (void)atomic_fetch_add(&port->refs, 1); // the pump's
    }
    return err;
}

/* The pump takes the port into service. */
static void
run_listen(ws_task *task, void *arg)
{
    job *j = (job *)task; // the task is its first field
    ws_pump *pump = arg;
    ws_err err = pump->draining ? WS_ERR_HUB_CLOSED : make_tls(j, pump);
    if (err == WS_OK) {
        err = start(j->port, pump);
    }
    if (err != WS_OK) {
        int sys = errno;
        drop_tls(j->port);
        errno = sys;
    }
    finish(j, err);
}

void
ws_port_stop(ws_port *port)
{
    ws_pump *pump = port->pump;
    if (pump == NULL) {
        return;
    }
    ws_port **link = &pump->ports;
    while (*link != port) {
        link = &(*link)->next;
    }
    *link = port->next;
    port->pump = NULL;
    ws_listener_stop(port->listener);
    ws_listener_free(port->listener);
    port->listener = NULL;
    drop_tls(port);
    ws_port_unref(port); // the pump's
}

static void
run_close(ws_task *task, void *arg)
{
    (void)arg;
    job *j = (job *)task;
    ws_port_stop(j->port);
    finish(j, WS_OK);
}

/* Takes over the listener; NULL: no memory, it is freed. */
static ws_port *
port_new(ws_pump *pump, ws_listener *listener, const char *path)
{
    ws_port *port = ws_calloc(1, sizeof *port);
    char *copy = path == NULL ? NULL : ws_strndup(path, strlen(path));
    if (port == NULL || (path != NULL && copy == NULL)) {
        ws_free(port);
        ws_free(copy);
        ws_listener_free(listener);
        return NULL;
    }
    atomic_init(&port->refs, 1);
    port->listener = listener;
    port->path = copy;
    port->addr = *ws_listener_addr(listener);
    port->wake = ws_wake_ref(ws_hub_wake(pump->hub));
    return port;
}

ws_err
ws_pump_listen(ws_pump *pump, ws_listener *listener, const char *path,
               ws_port **out)
{
    return ws_pump_listen_tls(pump, listener, path, NULL, out);
}

ws_err
ws_pump_listen_tls(ws_pump *pump, ws_listener *listener, const char *path,
                   ws_identity *identity, ws_port **out)
{
    ws_port *port = port_new(pump, listener, path);
    if (port == NULL) {
        ws_identity_free(identity);
        return WS_ERR_NOMEM;
    }
    port->is_tls = identity != NULL;
    ws_err err = do_on_pump(port, run_listen, identity);
    if (err != WS_OK) {
        int sys = errno;
        ws_port_unref(port);
        errno = sys;
        return err;
    }
    *out = port;
    return WS_OK;
}

void
ws_port_close(ws_port *port)
{
    ws_err err = do_on_pump(port, run_close, NULL);
    (void)err; // the pump has ended, and closed it
}

static void
run_set_identity(ws_task *task, void *arg)
{
    (void)arg;
    job *j = (job *)task;
    if (j->port->tls == NULL) {
        finish(j, WS_ERR_NOT_FOUND);
        return;
    }
    ws_tls_set_identity(j->port->tls, j->identity);
    j->identity = NULL;
    finish(j, WS_OK);
}

ws_err
ws_port_set_identity(ws_port *port, ws_identity *identity)
{
    assert(port->is_tls && identity != NULL);
    return do_on_pump(port, run_set_identity, identity);
}

bool
ws_port_is_tls(const ws_port *port)
{
    return port->is_tls;
}

void
ws_port_unref(ws_port *port)
{
    if (port == NULL || atomic_fetch_sub(&port->refs, 1) > 1) {
        return;
    }
    ws_listener_free(port->listener); // of a port that was never served
    ws_wake_unref(port->wake);
    ws_free(port->path);
    ws_free(port);
}

const ws_addr *
ws_port_addr(const ws_port *port)
{
    return &port->addr;
}

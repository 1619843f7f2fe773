#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/alloc.h"
#include "door.h"
#include "pump_inside.h"

/* A job that somebody sleeps for until the pump has done it. */
typedef struct job {
    ws_task task;
    ws_stand *stand;
    ws_identity *identity; // owned until `run` takes it; NULL: none
    uint64_t number;       // of the identity
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
    if (!ws_wake_post(j->stand->wake, &j->task)) {
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

/* Has the pump run `run` for its stand, and sleeps until it has. The pump
   takes no longer than a turn. Takes over `identity`, of that number. */
static ws_err
do_on_pump(ws_stand *stand, void (*run)(ws_task *task, void *pump),
           ws_identity *identity, uint64_t number)
{
    job j = {
        .task = {.run = run},
        .stand = stand,
        .identity = identity,
        .number = number,
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

/* A connection for the pump that has the fewest. */
static void
on_accept(void *user, int fd, const ws_addr *peer)
{
    ws_port *port = user;
    ws_pump *here = port->stands[0].pump;
    ws_crowd_entry *crowd = NULL;
    if (!ws_door_admit(here, fd, !port->is_tls, peer, &crowd)) {
        return;
    }
    ws_pump *pump = ws_crew_next(here->crew);
    ws_conn *conn = ws_conn_new(pump, port, fd, peer, crowd);
    if (conn == NULL) {
        return;
    }
    if (pump == here) {
        ws_conn_start(conn);
    } else if (!ws_arrivals_push(conn)) {
        ws_conn_turn_back(conn); // it ends
    }
}

/* A connection with TLS costs a handshake: no more of them are accepted than
   the pump that is to have the next one gets on with. */
static ws_listener_room
room(void *user)
{
    const ws_port *port = user;
    const ws_pump *here = port->stands[0].pump;
    const ws_pump *pump = ws_crew_next(here->crew);
    if (pump != here) {
        return ws_arrivals_are_many(pump) ? WS_ROOM_LATER : WS_ROOM_FOR_MANY;
    }
    return port->is_tls && ws_loop_is_shaking(pump->loop) ? WS_ROOM_FOR_ONE
                                                          : WS_ROOM_FOR_MANY;
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
    j->stand->tls =
        ws_tls_new(ws_loop_context(pump->loop), ws_conn_protocols(), identity);
    return j->stand->tls == NULL ? WS_ERR_NOMEM : WS_OK;
}

static void
drop_tls(ws_stand *stand)
{
    ws_tls_unref(stand->tls);
    stand->tls = NULL;
}

static ws_err
start_listener(ws_port *port, ws_pump *pump)
{
    ws_listener_hooks hooks = {
        .on_accept = on_accept,
        .room = room,
        .user = port,
        .send_buffer = pump->settings->config.send_buffer,
        .timer_kind = WS_TIMER_LISTENER,
    };
    return ws_listener_start(port->listener, pump->loop, pump->wheel, &hooks);
}

/* Serves it, now that it has what it needs. */
static ws_err
open_stand(ws_stand *stand, ws_pump *pump)
{
    ws_err err = pump->number == 0 ? start_listener(stand->port, pump) : WS_OK;
    if (err == WS_OK) {
        stand->pump = pump;
        stand->next = pump->stands;
        pump->stands = stand;
        (void)atomic_fetch_add(&stand->port->refs, 1); // the pump's
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
        err = open_stand(j->stand, pump);
    }
    if (err != WS_OK) {
        int sys = errno;
        drop_tls(j->stand);
        errno = sys;
    }
    finish(j, err);
}

static void
stop_listener(ws_port *port)
{
    ws_listener_stop(port->listener);
    ws_listener_free(port->listener);
    port->listener = NULL;
}

void
ws_stand_close(ws_stand *stand)
{
    ws_pump *pump = stand->pump;
    if (pump == NULL) {
        return;
    }
    ws_stand **link = &pump->stands;
    while (*link != stand) {
        link = &(*link)->next;
    }
    *link = stand->next;
    stand->pump = NULL;
    if (pump->number == 0) {
        stop_listener(stand->port);
    }
    drop_tls(stand);
    ws_port_unref(stand->port); // the pump's
}

static void
run_close(ws_task *task, void *arg)
{
    job *j = (job *)task;
    ws_arrivals_serve_all(arg); // who came before may need the stand's TLS
    ws_stand_close(j->stand);
    finish(j, WS_OK);
}

/* Takes over the listener; NULL: no memory, it is freed. */
static ws_port *
port_new(const ws_crew *crew, ws_listener *listener, const char *path)
{
    ws_port *port =
        ws_calloc(1, sizeof *port + crew->count * sizeof port->stands[0]);
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
    port->count = crew->count;
    for (size_t i = 0; i < port->count; i++) {
        port->stands[i].port = port;
        port->stands[i].wake = ws_wake_ref(crew->pumps[i]->wake);
    }
    return port;
}

/* Has each pump run `run` with an identity of its own. The last one begins:
   the first, which accepts, needs the others ready. `identities` are used up.
   The first error ends it. */
static ws_err
do_on_all(ws_port *port, void (*run)(ws_task *task, void *pump),
          ws_identity *identities[WS_PUMPS_MAX], uint64_t number)
{
    ws_err err = WS_OK;
    int sys = 0;
    for (size_t i = port->count; i-- > 0;) {
        if (err != WS_OK) {
            ws_identity_free(identities[i]);
            continue;
        }
        err = do_on_pump(&port->stands[i], run, identities[i], number);
        sys = errno;
    }
    errno = sys;
    return err;
}

/* One for each pump; `identity`, which may be NULL, is the first. False: no
   memory, and there are none. */
static bool
multiply(ws_identity *identity, size_t count,
         ws_identity *identities[WS_PUMPS_MAX])
{
    size_t made = 0;
    identities[made++] = identity;
    while (made < count) {
        identities[made] =
            identity == NULL ? NULL : ws_identity_twin(identity);
        if (identity != NULL && identities[made] == NULL) {
            break;
        }
        made++;
    }
    for (size_t i = 0; made < count && i < made; i++) {
        ws_identity_free(identities[i]);
    }
    return made == count;
}

ws_err
ws_crew_listen(ws_crew *crew, ws_listener *listener, const char *path,
               ws_port **out)
{
    return ws_crew_listen_tls(crew, listener, path, NULL, out);
}

ws_err
ws_crew_listen_tls(ws_crew *crew, ws_listener *listener, const char *path,
                   ws_identity *identity, ws_port **out)
{
    ws_identity *identities[WS_PUMPS_MAX];
    ws_port *port = port_new(crew, listener, path);
    if (port == NULL) {
        ws_identity_free(identity);
        return WS_ERR_NOMEM;
    }
    port->is_tls = identity != NULL;
    ws_err err = multiply(identity, port->count, identities)
                     ? do_on_all(port, run_listen, identities, 0)
                     : WS_ERR_NOMEM;
    if (err != WS_OK) {
        int sys = errno;
        ws_port_close(port); // where it was open already
        ws_port_unref(port);
        errno = sys;
        return err;
    }
    *out = port;
    return WS_OK;
}

/* The first pump, which accepts, begins. */
void
ws_port_close(ws_port *port)
{
    for (size_t i = 0; i < port->count; i++) {
        ws_err err = do_on_pump(&port->stands[i], run_close, NULL, 0);
        (void)err; // the pump has ended, and closed it
    }
}

/* Two that are given at once may come to one pump in this order and to another
   in that: everywhere the one with the higher number stays. */
static void
run_set_identity(ws_task *task, void *arg)
{
    (void)arg;
    job *j = (job *)task;
    if (j->stand->tls == NULL) {
        finish(j, WS_ERR_NOT_FOUND);
        return;
    }
    if (j->number > j->stand->identity) {
        j->stand->identity = j->number;
        ws_tls_set_identity(j->stand->tls, j->identity);
        j->identity = NULL;
    }
    finish(j, WS_OK);
}

ws_err
ws_port_set_identity(ws_port *port, ws_identity *identity)
{
    uint64_t ignored = 0;
    return ws_port_set_numbered_identity(port, identity, &ignored);
}

ws_err
ws_port_set_numbered_identity(ws_port *port, ws_identity *identity,
                              uint64_t *number)
{
    ws_identity *identities[WS_PUMPS_MAX];
    assert(port->is_tls && identity != NULL);
    if (!multiply(identity, port->count, identities)) {
        return WS_ERR_NOMEM;
    }
    *number = atomic_fetch_add(&port->identities, 1) + 1;
    return do_on_all(port, run_set_identity, identities, *number);
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
    for (size_t i = 0; i < port->count; i++) {
        ws_wake_unref(port->stands[i].wake);
    }
    ws_free(port->path);
    ws_free(port);
}

const ws_addr *
ws_port_addr(const ws_port *port)
{
    return &port->addr;
}

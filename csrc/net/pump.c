#include "pump.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "context.h"
#include "core/alloc.h"
#include "hold.h"
#include "proto/close_code.h"
#include "pump_inside.h"

enum {
    IDLE_MS = 60 * 1000, // the longest sleep, where no timer is set
    TIMER_BATCH = 64,    // timers a turn: thousands may be due together
};

/* ---- the thread */

static void
on_doorbell(void *user, int fd, int events)
{
    (void)fd;
    (void)events;
    ((ws_pump *)user)->rung = true;
}

static void
on_hangup(void *user, struct lws *wsi, bool dead)
{
    (void)user;
    ws_conn *conn = lws_get_opaque_user_data(wsi);
    if (conn != NULL && conn->phase != WS_CONN_ENDED) {
        ws_conn_hung_up(conn, dead);
    }
}

static void
on_timer(void *user, ws_timer *timer)
{
    if (timer->kind == WS_TIMER_LISTENER) {
        ws_listener_timer(timer);
    } else if (timer->kind == WS_TIMER_STARVED) {
        ws_outbox_retry(user);
    } else {
        ws_conn_expired(
            (ws_conn *)(void *)((char *)timer - offsetof(ws_conn, timer)));
    }
}

static void
free_ended(ws_pump *pump)
{
    while (pump->ended != NULL) {
        ws_conn *conn = pump->ended;
        pump->ended = conn->next;
        ws_conn_free(conn);
    }
}

/* While the kernel has a message, some microseconds each, what the next two
   clients need comes into the cache: of the second, the client; of the first,
   whose client came so, the connection and the slot of its message. */
static void
prefetch(ws_wake_link *next)
{
    if (next == NULL) {
        return;
    }
    ws_client *client = ws_client_of_link(next);
    if (client->conn != NULL) {
        ws_conn_prefetch(client->conn);
    }
    ws_chan_prefetch(&client->chan);
    if (next->next != NULL) {
        ws_client_prefetch(ws_client_of_link(next->next));
    }
}

/* Writes out those that senders have marked. */
static void
serve_dirty(ws_wake_chain *chain)
{
    ws_wake_link *link = chain->head;
    while (link != NULL) {
        ws_wake_link *next = link->next; // clearing lets others link it again
        prefetch(next);
        ws_client *client = ws_client_of_link(link);
        ws_wake_clear(link);
        ws_conn *conn = client->conn;
        if (conn != NULL) {
            ws_conn_serve(conn);
            ws_conn_reap(conn);
        }
        ws_client_unref(client);
        link = next;
    }
}

static void
run_tasks(ws_pump *pump, ws_task *task)
{
    while (task != NULL) {
        ws_task *next = task->next; // running may free it
        task->run(task, pump);
        task = next;
    }
}

/* Asks each paused connection once, the longest waiting first; those that must
   go on waiting keep their order. */
static void
resume_paused(ws_pump *pump)
{
    ws_conn *last = pump->paused.last;
    ws_conn *conn = pump->paused.first;
    while (conn != NULL) {
        ws_conn *next = conn == last ? NULL : conn->paused_next;
        (void)ws_inbox_resume(conn);
        ws_conn_reap(conn);
        conn = next;
    }
}

static void
answer_doorbell(ws_pump *pump)
{
    ws_wake_chain chain;
    ws_task *tasks = NULL;
    pump->rung = false;
    ws_wake_take(pump->wake, &chain, &tasks);
    run_tasks(pump, tasks);
    serve_dirty(&chain);
    if (ws_hub_take_room(pump->hub, &pump->room_seen)) {
        resume_paused(pump);
    }
}

static int
time_to_sleep(const ws_pump *pump)
{
    if (pump->resting.first != NULL || pump->decided.head != NULL ||
        ws_arrivals_wait(pump)) {
        return 0;
    }
    int ms = ws_timer_wheel_next(pump->wheel, ws_now_ns());
    return ms < 0 || ms > IDLE_MS ? IDLE_MS : ms;
}

static void
turn(ws_pump *pump)
{
    pump->now_ns = 0;
    pump->inflate_ns = 0;
    (void)ws_loop_turn(pump->loop, time_to_sleep(pump));
    (void)ws_timer_wheel_expire(pump->wheel, ws_pump_now(pump), TIMER_BATCH,
                                on_timer, pump);
    if (pump->rung) {
        answer_doorbell(pump);
    }
    ws_hold_serve(pump);
    ws_arrivals_serve(pump);
    ws_inbox_serve_resting(pump);
    free_ended(pump);
    ws_count(&pump->counters->turns, 1);
}

static void
cut_all(ws_pump *pump)
{
    while (pump->conns != NULL) {
        ws_conn *conn = pump->conns;
        ws_conn_doom(conn, "the server is going away");
        ws_conn_reap(conn);
        assert(conn->phase == WS_CONN_ENDED);
    }
    free_ended(pump);
}

/* From here on nobody can hand the pump anything. */
static void
end_doorbell(ws_pump *pump)
{
    ws_wake_chain chain;
    ws_task *tasks = NULL;
    ws_wake_end(pump->wake, &chain, &tasks);
    run_tasks(pump, tasks);
    while (pump->decided.head != NULL) {
        ws_hold_serve(pump); // whom they are about has been cut
    }
    serve_dirty(&chain); // no connection is left: drops the references
    free_ended(pump);
}

static void *
run(void *arg)
{
    ws_pump *pump = arg;
    ws_loop_enter(pump->loop);
    while (!pump->stopping && !(pump->draining && pump->conn_count == 0)) {
        turn(pump);
    }
    ws_pump_stop_serving(pump);
    cut_all(pump);
    end_doorbell(pump);
    ws_loop_leave(pump->loop);

    ws_lock_acquire(&pump->lock);
    pump->ended_all = true;
    (void)pthread_cond_broadcast(&pump->cond);
    ws_lock_release(&pump->lock);
    return NULL;
}

/* ---- making and freeing */

static void
fork_prepare(void *arg)
{
    ws_loop_fork_prepare(((ws_pump *)arg)->loop);
}

static void
fork_parent(void *arg)
{
    ws_loop_fork_parent(((ws_pump *)arg)->loop);
}

static void
fork_child(void *arg)
{
    ws_pump *pump = arg;
    ws_loop_fork_child(pump->loop);
    ws_arrivals_close_after_fork(&pump->arrivals);
    ws_hub_close_after_fork(pump->hub);
}

static ws_err
make_vhost(ws_pump *pump)
{
    struct lws_context_creation_info info;
    memset(&info, 0, sizeof info);
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = ws_conn_protocols();
    info.vhost_name = "wssend";
    pump->vhost = ws_context_new_vhost(ws_loop_context(pump->loop), &info);
    return pump->vhost == NULL ? WS_ERR_NOMEM : WS_OK;
}

static ws_err
make_loop(ws_pump *pump)
{
    const ws_loop_config config = {.on_hangup = on_hangup, .user = pump};
    ws_err err = ws_loop_new(&config, &pump->loop);
    if (err == WS_OK) {
        err = make_vhost(pump);
    }
    if (err == WS_OK) {
        err = ws_loop_watch(pump->loop, ws_wake_fd(pump->wake), WS_LOOP_READ,
                            on_doorbell, pump);
    }
    return err;
}

/* All that others may send; not those that a fault of the thread's own raises,
   or whoever reports crashes would not hear of it. */
static void
fill_asynchronous(sigset_t *set)
{
    static const int own[] = {SIGSEGV, SIGBUS,  SIGFPE, SIGILL,
                              SIGABRT, SIGTRAP, SIGSYS};
    (void)sigfillset(set);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        (void)sigdelset(set, own[i]);
    }
}

/* As the system shows it: "wssend-pump", and the others with their number. */
static void
name_thread(const ws_pump *pump)
{
    char name[32] = "wssend-pump"; // 15 bytes of it are shown, and enough
    if (pump->number > 0) {
        (void)snprintf(name, sizeof name, "wssend-pump-%u", pump->number);
    }
    (void)pthread_setname_np(pump->thread, name);
}

/* Its thread takes no signal of the process. */
static ws_err
start_thread(ws_pump *pump)
{
    sigset_t asynchronous;
    sigset_t before;
    fill_asynchronous(&asynchronous);
    if (pthread_sigmask(SIG_BLOCK, &asynchronous, &before) != 0) {
        return WS_ERR_SYSTEM;
    }
    int rc = pthread_create(&pump->thread, NULL, run, pump);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        errno = rc;
        return WS_ERR_SYSTEM;
    }
    pump->started = true;
    name_thread(pump);
    return WS_OK;
}

static ws_pump *
allocate(ws_crew *crew, ws_wake *wake)
{
    ws_pump *pump = ws_calloc(1, sizeof *pump);
    if (pump == NULL) {
        return NULL;
    }
    if (ws_cond_init(&pump->cond) != WS_OK) {
        goto no_cond;
    }
    if (ws_lock_init(&pump->lock) != WS_OK) {
        goto no_lock;
    }
    if (ws_arrivals_init(&pump->arrivals) != WS_OK) {
        goto no_arrivals;
    }
    pump->crew = crew;
    pump->wake = ws_wake_ref(wake);
    pump->number = ws_wake_number(wake);
    pump->hub = crew->hub;
    pump->pages = crew->pages;
    pump->settings = crew->settings;
    pump->crowd = crew->crowd;
    pump->compress = crew->compress;
    pump->retry.kind = WS_TIMER_STARVED;
    return pump;

no_arrivals:
    ws_lock_destroy(&pump->lock);
no_lock:
    (void)pthread_cond_destroy(&pump->cond);
no_cond:
    ws_free(pump);
    return NULL;
}

ws_err
ws_pump_new(ws_crew *crew, ws_wake *wake, ws_pump_counters *counters,
            ws_pump **out)
{
    ws_pump *pump = allocate(crew, wake);
    if (pump == NULL) {
        return WS_ERR_NOMEM;
    }
    pump->counters = counters;
    pump->wheel = ws_timer_wheel_new(ws_now_ns());
    ws_err err = pump->wheel == NULL ? WS_ERR_NOMEM : make_loop(pump);
    if (err != WS_OK) {
        int sys = errno;
        ws_pump_free(pump);
        errno = sys;
        return err;
    }
    *out = pump;
    return WS_OK;
}

ws_err
ws_pump_start(ws_pump *pump)
{
    pump->fork = (ws_fork_hook){
        .prepare = fork_prepare,
        .parent = fork_parent,
        .child = fork_child,
        .arg = pump,
    };
    ws_fork_add(&pump->fork);
    ws_err err = start_thread(pump);
    if (err != WS_OK) {
        int sys = errno;
        ws_fork_remove(&pump->fork);
        errno = sys;
    }
    return err;
}

void
ws_pump_free(ws_pump *pump)
{
    if (pump == NULL) {
        return;
    }
    if (pump->started) {
        (void)pthread_join(pump->thread, NULL);
        ws_fork_remove(&pump->fork);
    }
    if (pump->loop != NULL) {
        ws_loop_unwatch(pump->loop, ws_wake_fd(pump->wake));
    }
    ws_loop_free(pump->loop);
    ws_timer_wheel_free(pump->wheel);
    ws_inflater_free(pump->spare_inflater);
    ws_arrivals_destroy(&pump->arrivals);
    ws_wake_unref(pump->wake);
    ws_lock_destroy(&pump->lock);
    (void)pthread_cond_destroy(&pump->cond);
    ws_free(pump);
}

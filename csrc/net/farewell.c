/* The ordered end of a pump: asked for by any thread, done by its own. */
#include <assert.h>
#include <string.h>

#include "pump_inside.h"

static void
close_clients(ws_hub *hub, const ws_farewell *f)
{
    ws_text reason = {f->reason, f->reason_size};
    ws_client *some[WS_GROUP_CHUNK];
    ws_walk walk = ws_hub_walk(hub, (ws_target){.kind = WS_TO_ALL});
    size_t n = 0;
    while ((n = ws_hub_walk_next(hub, &walk, some)) > 0) {
        for (size_t i = 0; i < n; i++) {
            ws_conn_close_client(some[i], f->code, reason);
            ws_client_unref(some[i]);
        }
    }
}

void
ws_pump_stop_serving(ws_pump *pump)
{
    pump->draining = true;
    if (pump->number == 0) {
        // Not by the others, who also end where a crew could not be started.
        ws_hub_shut(pump->hub);
    }
    while (pump->stands != NULL) {
        ws_stand_close(pump->stands);
    }
    ws_arrivals_close(pump);
}

static void
run_close(ws_task *task, void *arg)
{
    const ws_farewell *f = (ws_farewell *)task; // the task is its first field
    ws_pump *pump = arg;
    ws_pump_stop_serving(pump);
    if (pump->number == 0) {
        // Those of all pumps: nobody can have joined since.
        close_clients(pump->hub, f);
    }
    ws_conn *next = NULL;
    for (ws_conn *conn = pump->conns; conn != NULL; conn = next) {
        next = conn->next;
        ws_conn_drain(conn);
    }
}

static void
run_kill(ws_task *task, void *arg)
{
    (void)task;
    ws_pump *pump = arg;
    ws_pump_stop_serving(pump);
    pump->stopping = true;
}

/* Posts it, if nobody has. */
static void
ask(ws_pump *pump, ws_farewell *f, const ws_farewell *what)
{
    ws_lock_acquire(&pump->lock);
    bool first = !f->asked;
    if (first) {
        *f = *what;
        f->asked = true;
    }
    ws_lock_release(&pump->lock);
    if (first && !ws_wake_post(pump->wake, &f->task)) {
        return; // it has ended already
    }
}

void
ws_pump_close(ws_pump *pump, uint16_t code, ws_text reason)
{
    assert(reason.size <= WS_CLOSE_REASON_MAX);

    ws_farewell what = {.task = {.run = run_close}, .code = code};
    if (reason.size > 0) {
        what.reason_size = reason.size;
        memcpy(what.reason, reason.data, reason.size);
    }
    ask(pump, &pump->close, &what);
}

void
ws_pump_kill(ws_pump *pump)
{
    ask(pump, &pump->kill, &(ws_farewell){.task = {.run = run_kill}});
}

ws_err
ws_pump_wait(ws_pump *pump, uint64_t until_ns)
{
    bool in_time = true;
    ws_lock_acquire(&pump->lock);
    while (!pump->ended_all && in_time) {
        in_time = ws_cond_wait_until(&pump->cond, &pump->lock, until_ns);
    }
    bool ended = pump->ended_all;
    ws_lock_release(&pump->lock);
    return ended ? WS_OK : WS_ERR_TIMEOUT;
}

#include "arrivals.h"

#include <assert.h>
#include <unistd.h>

#include "pump_inside.h"

ws_err
ws_arrivals_init(ws_arrivals *arrivals)
{
    arrivals->end = &arrivals->first;
    return ws_lock_init(&arrivals->lock);
}

void
ws_arrivals_destroy(ws_arrivals *arrivals)
{
    assert(arrivals->first == NULL);
    ws_lock_destroy(&arrivals->lock);
}

bool
ws_arrivals_push(ws_conn *conn)
{
    ws_pump *pump = conn->pump;
    ws_arrivals *arrivals = &pump->arrivals;
    conn->next = NULL;
    ws_lock_acquire(&arrivals->lock);
    bool closed = arrivals->closed;
    if (!closed) {
        *arrivals->end = conn;
        arrivals->end = &conn->next;
        (void)atomic_fetch_add(&arrivals->count, 1);
    }
    ws_lock_release(&arrivals->lock);
    if (!closed) {
        ws_wake_ring(pump->wake);
    }
    return !closed;
}

bool
ws_arrivals_are_many(const ws_pump *pump)
{
    return atomic_load(&pump->arrivals.count) >= WS_ARRIVALS_MANY;
}

bool
ws_arrivals_wait(const ws_pump *pump)
{
    return atomic_load(&pump->arrivals.count) > 0;
}

static ws_conn *
take_locked(ws_arrivals *arrivals)
{
    ws_conn *conn = arrivals->first;
    if (conn != NULL) {
        arrivals->first = conn->next;
        if (arrivals->first == NULL) {
            arrivals->end = &arrivals->first;
        }
        (void)atomic_fetch_sub(&arrivals->count, 1);
    }
    return conn;
}

/* The one that came first; NULL: there are none. */
static ws_conn *
take(ws_arrivals *arrivals)
{
    ws_lock_acquire(&arrivals->lock);
    ws_conn *conn = take_locked(arrivals);
    ws_lock_release(&arrivals->lock);
    return conn;
}

void
ws_arrivals_serve(ws_pump *pump)
{
    for (int i = 0; i < WS_ARRIVALS_BATCH && ws_arrivals_wait(pump); i++) {
        ws_conn *conn = take(&pump->arrivals);
        bool is_tls = conn->port->is_tls;
        ws_conn_start(conn);
        if (is_tls && ws_loop_is_shaking(pump->loop)) {
            return;
        }
    }
}

void
ws_arrivals_serve_all(ws_pump *pump)
{
    ws_conn *conn = NULL;
    while ((conn = take(&pump->arrivals)) != NULL) {
        ws_conn_start(conn);
    }
}

void
ws_arrivals_close(ws_pump *pump)
{
    ws_conn *conn = NULL;
    ws_lock_acquire(&pump->arrivals.lock);
    pump->arrivals.closed = true;
    ws_lock_release(&pump->arrivals.lock);
    while ((conn = take(&pump->arrivals)) != NULL) {
        ws_conn_turn_back(conn);
    }
}

void
ws_arrivals_close_after_fork(ws_arrivals *arrivals)
{
    for (const ws_conn *conn = arrivals->first; conn != NULL;
         conn = conn->next) {
        (void)close(conn->fd);
    }
}

/*
 * pump_inside.h - what a pump is made of, for the files of this layer that run
 * on its thread.
 *
 * Threads: the pump, except where a field says otherwise.
 */
#ifndef WS_NET_PUMP_INSIDE_H
#define WS_NET_PUMP_INSIDE_H

#include <pthread.h>

#include "compress.h"
#include "conn.h"
#include "core/fork.h"
#include "core/hub.h"
#include "core/lock.h"
#include "crowd.h"
#include "loop.h"
#include "pages.h"
#include "proto/close_code.h"
#include "pump.h"
#include "settings.h"
#include "timer.h"

/* Kinds of ws_timer. */
enum {
    WS_TIMER_CONN,
    WS_TIMER_LISTENER,
    WS_TIMER_STARVED,
};

/* Small frames are packed up to this size for one system call. */
#define WS_PUMP_SCRATCH 16384

struct ws_port {
    atomic_uint refs;
    ws_pump *pump; /* the pump's thread; NULL once closed */
    ws_port *next;
    ws_listener *listener; /* the pump's thread; NULL once closed */
    ws_tls *tls;           /* the pump's thread; NULL: plain, or closed */
    bool is_tls;
    ws_wake *wake; /* a reference */
    ws_addr addr;
    char *path; /* NULL: any */
};

/* A request to end, made by any thread and carried out by the pump. Part of
   the pump, so that asking needs no memory. */
typedef struct ws_farewell {
    ws_task task; /* the first field */
    bool asked; /* under the pump's lock; the rest is written once, with it */
    uint16_t code;
    size_t reason_size;
    char reason[WS_CLOSE_REASON_MAX];
} ws_farewell;

struct ws_pump {
    ws_hub *hub;     /* a reference */
    ws_pages *pages; /* a reference */
    ws_settings *settings;
    ws_pump_counters *counters; /* the hub's */
    ws_loop *loop;
    struct lws_vhost *vhost;
    ws_timer_wheel *wheel;
    ws_crowd *crowd;
    ws_compress *compress;       /* a reference; NULL: nothing is compressed */
    ws_inflater *spare_inflater; /* for the next message; NULL: none yet */
    uint64_t now_ns; /* of this turn; 0: not read yet, see ws_pump_now */

    ws_port *ports;
    ws_conn *conns; /* all but the ended */
    size_t conn_count;
    ws_conn *ended;       /* to be freed after the turn */
    ws_conn_line paused;  /* no room for events */
    ws_conn_line resting; /* had their share of inflating */
    uint64_t inflate_ns;  /* spent on that in this turn */
    ws_conn *starved;     /* see ws_outbox_retry */
    ws_timer retry;       /* set while there are any */
    bool rung;            /* the doorbell, in this turn */
    bool draining;
    bool stopping;
    uint8_t scratch[WS_PUMP_SCRATCH];
    uint8_t record[WS_TLS_RECORD];

    pthread_t thread; /* new and free */
    ws_fork_hook fork;

    ws_lock lock; /* guards all below */
    pthread_cond_t cond;
    ws_farewell close, kill;
    bool ended_all; /* the thread touches nothing any more */
};

/* The time, the same for a whole turn. It is read when it is first asked for:
   a turn begins with a sleep of any length. */
static inline uint64_t
ws_pump_now(ws_pump *pump)
{
    if (pump->now_ns == 0) {
        pump->now_ns = ws_now_ns();
    }
    return pump->now_ns;
}

/* farewell.c: from here on there are no new connections and no new clients. */
void ws_pump_stop_serving(ws_pump *pump);

/* port.c: the pump stops serving the port. */
void ws_port_stop(ws_port *port);

#endif

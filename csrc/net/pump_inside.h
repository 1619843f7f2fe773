/*
 * pump_inside.h - what a crew and its pumps are made of, for the files of this
 * layer that run on a pump's thread.
 *
 * Threads: the pump, except where a field says otherwise.
 */
#ifndef WS_NET_PUMP_INSIDE_H
#define WS_NET_PUMP_INSIDE_H

#include <pthread.h>

#include "arrivals.h"
#include "compress.h"
#include "conn.h"
#include "core/fork.h"
#include "core/hub.h"
#include "core/lock.h"
#include "crew.h"
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

/* What all pumps of a hub have in common. */
struct ws_crew {
    ws_hub *hub;     /* a reference */
    ws_pages *pages; /* a reference */
    ws_settings *settings;
    ws_crowd *crowd;
    ws_compress *compress; /* a reference; NULL: nothing is compressed */
    ws_hub_pump *others;   /* of all but the first; NULL once the hub's */
    size_t count;
    ws_pump *pumps[]; /* the first accepts for all */
};

/* A port, as one pump has it. */
typedef struct ws_stand {
    ws_port *port;
    ws_wake *wake; /* the pump's, a reference */
    ws_pump *pump; /* the pump's thread; NULL: not open, or closed */
    struct ws_stand *next;
    ws_tls *tls;       /* the pump's thread; NULL: plain, or not open */
    uint64_t identity; /* the pump's thread: the number of the one in use */
} ws_stand;

struct ws_port {
    atomic_uint refs;
    bool is_tls;
    ws_addr addr;
    char *path;               /* NULL: any */
    ws_listener *listener;    /* the first pump's thread; NULL once closed */
    atomic_ullong identities; /* how many were given after the first */
    size_t count;
    ws_stand stands[]; /* by the pumps' numbers */
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
    ws_crew *crew;
    unsigned number; /* in the crew, and its doorbell's */
    ws_wake *wake;   /* a reference */
    ws_hub *hub;     /* the crew's, as the next four */
    ws_pages *pages;
    ws_settings *settings;
    ws_crowd *crowd;
    ws_compress *compress;
    ws_pump_counters *counters; /* the hub's */
    ws_loop *loop;
    struct lws_vhost *vhost;
    ws_timer_wheel *wheel;
    ws_arrivals arrivals;        /* from the pump that accepts */
    ws_inflater *spare_inflater; /* for the next message; NULL: none yet */
    uint64_t now_ns; /* of this turn; 0: not read yet, see ws_pump_now */

    ws_stand *stands;
    ws_conn *conns; /* all but the ended */
    size_t conn_count;
    ws_conn *ended;       /* to be freed after the turn */
    ws_conn_line paused;  /* no room for events */
    ws_conn_line resting; /* had their share of inflating */
    uint64_t inflate_ns;  /* spent on that in this turn */
    struct {
        ws_task *head, *tail;
    } decided;          /* see hold.h; to be carried out, in their order */
    ws_conn *starved;   /* see ws_outbox_retry */
    ws_timer retry;     /* set while there are any */
    unsigned room_seen; /* see ws_hub_take_room */
    bool rung;          /* the doorbell, in this turn */
    bool draining;
    bool stopping;
    uint8_t scratch[WS_PUMP_SCRATCH];
    uint8_t record[WS_TLS_RECORD];

    bool started; /* start and free, as the next */
    pthread_t thread;
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

/* farewell.c: from here on there are no new connections. */
void ws_pump_stop_serving(ws_pump *pump);

/* port.c: the pump stops serving the port. */
void ws_stand_close(ws_stand *stand);

/* crew.c, for the pump that accepts: who is to have the next connection. */
ws_pump *ws_crew_next(const ws_crew *crew);

/* The sockets of all pumps, those included that are on their way to one. */
size_t ws_crew_connections(const ws_crew *crew);

#endif

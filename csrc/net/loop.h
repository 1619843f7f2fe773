/*
 * loop.h - the event loop under libwebsockets, and the door to it.
 *
 * One epoll set carries libwebsockets' sockets (driven through its custom
 * event library interface) and descriptors of our own: the doorbell and the
 * listeners. Nothing outside loop.c knows epoll.
 *
 * Threads: the pump, between ws_loop_enter and ws_loop_leave, except where it
 *          says otherwise. ws_loop_new and ws_loop_free: any one thread, when
 *          no pump runs; watches may be placed then, too. The pump must have
 *          SIGPIPE blocked: OpenSSL raises it.
 * Owns:    the epoll descriptor, the table of descriptors, the lws context.
 *          It never closes a watched descriptor, except in a forked child.
 * Locks:   its turn lock, held by the pump whenever it is not asleep in the
 *          kernel. So whoever has it finds the pump at rest and the table
 *          exact. It comes before all other locks.
 */
#ifndef WS_NET_LOOP_H
#define WS_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "core/lock.h"

struct lws;
struct lws_context;
struct lws_vhost;

typedef struct ws_loop ws_loop;

/* The interest in a watched descriptor, and what happened to it. */
enum {
    WS_LOOP_READ = 1,
    WS_LOOP_WRITE = 2,
    WS_LOOP_ERROR = 4, /* only reported: hung up or in error */
};

/* How long the TLS handshakes of one turn may take together, about: a turn has
   one at least, and none is cut short. */
#define WS_LOOP_SHAKE_NS (1 * WS_NS_PER_MS)

/* May watch and unwatch anything, `fd` included. */
typedef void ws_loop_fn(void *user, int fd, int events);

/* The peer of a connection that lws does not read from has gone: it has sent
   its FIN (unread data may stand before it), or, `dead`, nothing can be sent
   to it any more (reset, or a unix socket closed: there, too, unread data may
   be left). Told once for each pause (`dead` possibly after a FIN). May kill
   `wsi`. */
typedef void ws_loop_hangup_fn(void *user, struct lws *wsi, bool dead);

typedef struct ws_loop_config {
    ws_loop_hangup_fn *on_hangup; /* NULL: never watched for */
    void *user;                   /* on_hangup's first argument */
} ws_loop_config;

/*
 * Makes the loop and its lws context, which has no vhost yet: make those with
 * ws_context_new_vhost(ws_loop_context(loop), ...). Not before a fork: the
 * child could not use it.
 *
 * On an error *loop is NULL:
 *   NOMEM    out of memory, or lws could not start
 *   SYSTEM   see errno
 */
WS_MUST_CHECK ws_err ws_loop_new(const ws_loop_config *config, ws_loop **loop);

/* Closes lws's connections, with their callbacks. NULL does nothing. */
void ws_loop_free(ws_loop *loop);

struct lws_context *ws_loop_context(ws_loop *loop);

/* Descriptors from this number on can be neither adopted nor watched. It is
   the process's limit as it stood when the loop was made. */
int ws_loop_fd_limit(const ws_loop *loop);

/* The pump calls these when its thread begins and ends. */
void ws_loop_enter(ws_loop *loop);
void ws_loop_leave(ws_loop *loop);

/*
 * Waits for events, at most `timeout_ms` (less when lws has a timer of its
 * own; must not be negative), and has each of them dealt with. Returns how
 * many there were; 0 also when a signal cut the wait short. lws timers may
 * call back before the wait.
 */
int ws_loop_turn(ws_loop *loop, int timeout_ms);

/*
 * Gives a connected stream socket to lws in its raw-skt role, with TLS where
 * the vhost has it; `protocol` names one of the vhost's protocols and
 * `opaque` is the connection's opaque user data from its first callback on.
 * The socket belongs to lws from here on, whatever is returned.
 *
 * NULL: refused, and the socket is closed. With TLS the first bytes may have
 * been read and refused already, so LWS_CALLBACK_RAW_CLOSE may have come with
 * `opaque`, and without a LWS_CALLBACK_RAW_ADOPT before it.
 */
struct lws *ws_loop_adopt(ws_loop *loop, struct lws_vhost *vhost,
                          const char *protocol, int fd, void *opaque);

/* TLS handshakes wait for the next turn, or have had their time in this one:
   whoever accepts connections with TLS should leave the others for later. */
bool ws_loop_is_shaking(const ws_loop *loop);

/*
 * Has on_hangup called when the peer of `wsi` goes while its reading is off
 * (lws_rx_flow_control); may be set before or after pausing. While it is set,
 * a paused connection that breaks is told of instead of closed by lws. The
 * report is repeated after the next resume and pause.
 */
void ws_loop_watch_hangup(ws_loop *loop, struct lws *wsi, bool on);

/*
 * Has `fn` called when `fd`, which must not be watched yet, is ready; level
 * triggered. Interest 0 keeps the descriptor known without any report.
 *   NOMEM    the kernel lacks memory or watches
 *   SYSTEM   see errno; EMFILE: the number is above ws_loop_fd_limit
 */
WS_MUST_CHECK ws_err ws_loop_watch(ws_loop *loop, int fd, int events,
                                   ws_loop_fn *fn, void *user);

/* Changes the interest in a watched descriptor; errors as above, and then
   there is none. To 0 it cannot fail. */
WS_MUST_CHECK ws_err ws_loop_rewatch(ws_loop *loop, int fd, int events);

/* Before the descriptor is closed; events that are already on their way are
   dropped. Does nothing when it is not watched. */
void ws_loop_unwatch(ws_loop *loop, int fd);

/* Calls `fn` for each descriptor that the loop knows: lws's, watched ones and
   its own. Async-signal-safe if `fn` is. The caller is the pump, or holds the
   turn lock, or is the only thread left. */
void ws_loop_each_fd(const ws_loop *loop, void (*fn)(int fd, void *arg),
                     void *arg);

/*
 * For pthread_atfork, from any thread but the pump. Prepare waits until the
 * pump is at rest and keeps it there; parent lets it go on. Child closes
 * every descriptor of ws_loop_each_fd (never shutting a connection down) and
 * is async-signal-safe; the loop must then not be used for anything.
 */
void ws_loop_fork_prepare(ws_loop *loop);
void ws_loop_fork_parent(ws_loop *loop);
void ws_loop_fork_child(ws_loop *loop);

#endif

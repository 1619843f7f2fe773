/*
 * listener.h - listening sockets of our own: TCP, unix, or the caller's.
 *
 * libwebsockets' listeners take no existing socket, accept without a bound
 * and spin when descriptors run out; these do not. A listener is made, bound
 * and listening in one call, so that errors reach whoever asked for it; the
 * pump starts it later and hands each accepted socket to a callback.
 *
 * Threads: new and the getters, any; start, stop and ws_listener_timer, the
 *          pump; free, whoever can show that the listener is stopped.
 * Owns:    its socket and, for a unix path, the file.
 * Locks:   none.
 */
#ifndef WS_NET_LISTENER_H
#define WS_NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "addr.h"
#include "loop.h"
#include "socket.h"
#include "timer.h"

typedef struct ws_listener ws_listener;

enum {
    /* Accepted in one turn of the loop; the rest wait for the next. */
    WS_LISTENER_BATCH = 64,
    /* The pause when the process or the system is out of descriptors. */
    WS_LISTENER_PAUSE_MS = 100,
    /* ... and when there is no room, a tick of the timers. */
    WS_LISTENER_REST_MS = WS_TIMER_TICK_MS,
};

typedef ws_socket_error ws_listener_error;

/*
 * Listeners on a TCP address, on a unix path and on a duplicate of the
 * caller's socket; socket.h tells the details. A unix listener takes the file
 * away with it, unless another has come to its place.
 *
 * NULL: *error tells why and nothing is left behind.
 */
ws_listener *ws_listener_new_tcp(const char *host, uint16_t port, int backlog,
                                 ws_listener_error *error);
ws_listener *ws_listener_new_unix(const char *path, mode_t mode, int backlog,
                                  ws_listener_error *error);
ws_listener *ws_listener_new_fd(int fd, ws_listener_error *error);

/* Closes the socket. NULL does nothing. */
void ws_listener_free(ws_listener *listener);

/* What is bound, with the real port; borrowed. */
const ws_addr *ws_listener_addr(const ws_listener *listener);

int ws_listener_fd(const ws_listener *listener);

/* A connection, non-blocking and close-on-exec, the callee's to close. May
   stop the listener. */
typedef void ws_listener_fn(void *user, int fd, const ws_addr *peer);

/* How many more may come, asked before each one. */
typedef enum ws_listener_room {
    WS_ROOM_FOR_MANY,
    WS_ROOM_FOR_ONE, /* a turn */
    WS_ROOM_LATER,   /* none; to be asked again after a while */
} ws_listener_room;

typedef struct ws_listener_hooks {
    ws_listener_fn *on_accept;
    ws_listener_room (*room)(void *user); /* NULL: there always is */
    void *user;
    int send_buffer;    /* unsent bytes the kernel may hold for a connection
                           (TCP_NOTSENT_LOWAT, SO_SNDBUF for unix); 0: its
                           default */
    uint8_t timer_kind; /* of the timer that ends a pause */
} ws_listener_hooks;

/* Starts accepting; errors as ws_loop_watch. Not started yet, or stopped. */
WS_MUST_CHECK ws_err ws_listener_start(ws_listener *listener, ws_loop *loop,
                                       ws_timer_wheel *wheel,
                                       const ws_listener_hooks *hooks);

/* Stops accepting; clients go on queueing in the backlog until the listener
   is freed. Idempotent. */
void ws_listener_stop(ws_listener *listener);

/* To be called for each expired timer of hooks.timer_kind. */
void ws_listener_timer(ws_timer *timer);

#endif

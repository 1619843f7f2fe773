#include "listener.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr.h"
#include "core/alloc.h"
#include "core/lock.h"
#include "log.h"

enum {
    QUIET_S = 10, // between two log lines of a listener that cannot accept
};

struct ws_listener {
    int fd;
    ws_addr addr;

    char *path;   // the unix path that is ours; NULL: there is none
    dev_t device; // of the file at the path when it was made
    ino_t inode;

    ws_loop *loop; // NULL: not started
    ws_timer_wheel *wheel;
    ws_listener_hooks hooks;
    ws_timer pause;    // set while accepting is put off
    uint64_t quiet_ns; // no log line about that before
};

/* ---- making one */

/* Takes `fd`, which is listening; closes it when that fails. */
static ws_listener *
wrap(int fd, ws_listener_error *error)
{
    if (fd < 0) {
        return NULL;
    }
    ws_listener *listener = ws_calloc(1, sizeof *listener);
    if (listener == NULL) {
        (void)close(fd);
        *error = (ws_listener_error){.err = ENOMEM, .what = "allocate"};
        return NULL;
    }
    listener->fd = fd;
    if (!ws_addr_of_socket(fd, &listener->addr)) {
        *error = (ws_listener_error){.err = errno, .what = "getsockname"};
        ws_listener_free(listener);
        return NULL;
    }
    return listener;
}

ws_listener *
ws_listener_new_tcp(const char *host, uint16_t port, int backlog,
                    ws_listener_error *error)
{
    return wrap(ws_socket_listen_tcp(host, port, backlog, error), error);
}

ws_listener *
ws_listener_new_fd(int fd, ws_listener_error *error)
{
    return wrap(ws_socket_dup_listening(fd, error), error);
}

/* Takes note of the file, so that only this one is removed later. */
static bool
own_path(ws_listener *listener, const char *path)
{
    struct stat file;

    listener->path = ws_strndup(path, strlen(path));
    if (listener->path == NULL) {
        errno = ENOMEM;
        return false;
    }
    if (lstat(path, &file) != 0) {
        return false;
    }
    listener->device = file.st_dev;
    listener->inode = file.st_ino;
    return true;
}

ws_listener *
ws_listener_new_unix(const char *path, mode_t mode, int backlog,
                     ws_listener_error *error)
{
    int fd = ws_socket_listen_unix(path, mode, backlog, error);
    ws_listener *listener = wrap(fd, error);

    if (listener != NULL && !own_path(listener, path)) {
        *error = (ws_listener_error){.err = errno, .what = "stat"};
        ws_listener_free(listener);
        listener = NULL;
    }
    if (fd >= 0 && listener == NULL) {
        (void)unlink(path);
    }
    return listener;
}

static void
remove_path(const ws_listener *listener)
{
    struct stat file;

    if (listener->path != NULL && lstat(listener->path, &file) == 0 &&
        file.st_dev == listener->device && file.st_ino == listener->inode) {
        (void)unlink(listener->path);
    }
}

/* ---- its life */

void
ws_listener_free(ws_listener *listener)
{
    if (listener == NULL) {
        return;
    }
    assert(listener->loop == NULL);
    remove_path(listener);
    (void)close(listener->fd);
    ws_free(listener->path);
    ws_free(listener);
}

const ws_addr *
ws_listener_addr(const ws_listener *listener)
{
    return &listener->addr;
}

int
ws_listener_fd(const ws_listener *listener)
{
    return listener->fd;
}

/* ---- accepting */

/* Tunes what can be tuned: a connection is as good without. */
static void
tune(const ws_listener *listener, int fd)
{
    int on = 1;
    int unsent = listener->hooks.send_buffer;

    if (listener->addr.family == AF_UNIX) {
        if (unsent > 0) {
            (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &unsent,
                             sizeof unsent);
        }
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (unsent > 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent,
                         sizeof unsent);
    }
}

/* No accepting for a while: the listener, being ready, would be reported
   without end. */
static void
rest(ws_listener *listener, uint64_t until_ns)
{
    ws_err ignored = ws_loop_rewatch(listener->loop, listener->fd, 0);
    (void)ignored; // to nothing it cannot fail
    ws_timer_set(listener->wheel, &listener->pause, until_ns);
}

/* There is nothing to accept with. */
static void
put_off(ws_listener *listener, int err)
{
    uint64_t now = ws_now_ns();

    if (now >= listener->quiet_ns) {
        errno = err;
        ws_log(WS_LOG_WARNING, "%s: accept: %m; trying again every %d ms",
               listener->addr.text, WS_LISTENER_PAUSE_MS);
        listener->quiet_ns = now + QUIET_S * WS_NS_PER_S;
    }
    rest(listener, now + WS_LISTENER_PAUSE_MS * WS_NS_PER_MS);
}

/* Errors of a connection that broke while it waited, see accept(2). */
static bool
is_of_the_peer(int err)
{
    switch (err) {
    case ECONNABORTED:
    case EINTR:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENOPROTOOPT:
    case ENONET:
    case EOPNOTSUPP:
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

/* Accepts one; false: enough for this turn. */
static bool
accept_one(ws_listener *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        ws_addr peer;
        tune(listener, fd);
        ws_addr_of_peer(fd, &peer);
        listener->hooks.on_accept(listener->hooks.user, fd, &peer);
        return listener->loop != NULL;
    }
    if (errno == EAGAIN) {
        return false;
    }
    if (is_of_the_peer(errno)) {
        return true;
    }
    put_off(listener, errno);
    return false;
}

static ws_listener_room
ask_for_room(const ws_listener *listener)
{
    const ws_listener_hooks *hooks = &listener->hooks;
    return hooks->room == NULL ? WS_ROOM_FOR_MANY : hooks->room(hooks->user);
}

static void
accept_batch(void *user, int fd, int events)
{
    ws_listener *listener = user;

    (void)fd;
    (void)events; // an error, too, is learnt from accept
    for (int i = 0; i < WS_LISTENER_BATCH; i++) {
        ws_listener_room room = ask_for_room(listener);
        if (room == WS_ROOM_LATER) {
            rest(listener, ws_now_ns() + WS_LISTENER_REST_MS * WS_NS_PER_MS);
            return;
        }
        if ((room == WS_ROOM_FOR_ONE && i > 0) || !accept_one(listener)) {
            return;
        }
    }
}

ws_err
ws_listener_start(ws_listener *listener, ws_loop *loop, ws_timer_wheel *wheel,
                  const ws_listener_hooks *hooks)
{
    assert(listener->loop == NULL);
    ws_err err = ws_loop_watch(loop, listener->fd, WS_LOOP_READ, accept_batch,
                               listener);
    if (err == WS_OK) {
        listener->loop = loop;
        listener->wheel = wheel;
        listener->hooks = *hooks;
        listener->pause.kind = hooks->timer_kind;
    }
    return err;
}

void
ws_listener_stop(ws_listener *listener)
{
    if (listener->loop != NULL) {
        ws_timer_cancel(listener->wheel, &listener->pause);
        ws_loop_unwatch(listener->loop, listener->fd);
        listener->loop = NULL;
    }
}

void
ws_listener_timer(ws_timer *timer)
{
    ws_listener *listener =
        (ws_listener *)((char *)timer - offsetof(ws_listener, pause));

    if (ws_loop_rewatch(listener->loop, listener->fd, WS_LOOP_READ) != WS_OK) {
        put_off(listener, errno);
    }
}

#include "listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "addr.h"
#include "core/alloc.h"
#include "core/lock.h"
#include "log.h"

enum {
    TCP_MODE = 0600, // of a socket without a file: means nothing
    QUIET_S = 10,    // between two log lines of a listener that cannot accept
};

struct ws_listener {
    int fd;
    ws_addr addr;

    char *path;    // the unix path that is ours; NULL: there is none
    dev_t device;  // of the file at the path when it was made
    ino_t inode;

    ws_loop *loop; // NULL: not started
    ws_timer_wheel *wheel;
    ws_listener_hooks hooks;
    ws_timer pause;    // set while accepting is put off
    uint64_t quiet_ns; // no log line about that before
};

/* ---- making one */

static ws_listener *
fail(ws_listener_error *error, int err, const char *what)
{
    *error = (ws_listener_error){.err = err, .what = what};
    return NULL;
}

/* Takes `fd`, which is listening; closes it when there is no memory. */
static ws_listener *
wrap(int fd, ws_listener_error *error)
{
    ws_listener *listener = ws_calloc(1, sizeof *listener);

    if (listener == NULL) {
        (void)close(fd);
        return fail(error, ENOMEM, "allocate");
    }
    listener->fd = fd;
    ws_addr_of_socket(fd, &listener->addr);
    return listener;
}

static int
new_socket(sa_family_t family)
{
    int on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && family != AF_UNIX) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    if (fd >= 0 && family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    return fd;
}

/* A socket bound and listening, or -1, *error telling why. A unix socket's
   file has no more than `mode` from the first moment on. */
static int
open_address(const struct sockaddr *address, socklen_t size, mode_t mode,
             int backlog, ws_listener_error *error)
{
    const char *what = "socket";
    int fd = new_socket(address->sa_family);

    if (fd >= 0 && (what = "fchmod", fchmod(fd, mode) == 0) &&
        (what = "bind", bind(fd, address, size) == 0) &&
        (what = "listen", listen(fd, backlog) == 0)) {
        return fd;
    }
    (void)fail(error, errno, what);
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

/* Whether an address is not one of this machine's, so that another of the
   same name may be. */
static bool
is_elsewhere(int err)
{
    return err == EADDRNOTAVAIL || err == EAFNOSUPPORT;
}

/* The addresses of one family in turn; -1: none of them could be bound. */
static int
open_family(const struct addrinfo *list, int family, int backlog,
            ws_listener_error *error)
{
    int fd = -1;

    for (; list != NULL && fd < 0 && is_elsewhere(error->err);
         list = list->ai_next) {
        if (list->ai_family == family) {
            fd = open_address(list->ai_addr, list->ai_addrlen, TCP_MODE,
                              backlog, error);
        }
    }
    return fd;
}

ws_listener *
ws_listener_new_tcp(const char *host, uint16_t port, int backlog,
                    ws_listener_error *error)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    struct addrinfo *list;
    char service[8];

    if (host != NULL && *host == '\0') {
        host = NULL;
    }
    (void)snprintf(service, sizeof service, "%u", (unsigned)port);
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0) {
        (void)fail(error, rc == EAI_SYSTEM ? errno : 0, "getaddrinfo");
        error->gai = rc == EAI_SYSTEM ? 0 : rc;
        return NULL;
    }
    (void)fail(error, EADDRNOTAVAIL, "bind");
    int fd = open_family(list, AF_INET, backlog, error);
    if (fd < 0) {
        fd = open_family(list, AF_INET6, backlog, error);
    }
    freeaddrinfo(list);
    return fd < 0 ? NULL : wrap(fd, error);
}

/* ---- unix paths */

/* Whether somebody accepts, or might, behind the socket file. */
static bool
is_served(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return true;
    }
    int rc = connect(fd, (const struct sockaddr *)address, sizeof *address);
    bool refused = rc != 0 && errno == ECONNREFUSED;
    (void)close(fd);
    return !refused;
}

/* Removes what a server that is gone has left; false: it is no such thing. */
static bool
clear_stale(const struct sockaddr_un *address)
{
    struct stat file;

    return lstat(address->sun_path, &file) == 0 && S_ISSOCK(file.st_mode) &&
           !is_served(address) && unlink(address->sun_path) == 0;
}

static int
open_path(const struct sockaddr_un *address, mode_t mode, int backlog,
          ws_listener_error *error)
{
    const struct sockaddr *any = (const struct sockaddr *)address;
    int fd = open_address(any, sizeof *address, mode, backlog, error);

    if (fd < 0 && error->err == EADDRINUSE && clear_stale(address)) {
        fd = open_address(any, sizeof *address, mode, backlog, error);
    }
    return fd;
}

/* Takes note of the file, so that only this one is removed later. */
static bool
own_path(ws_listener *listener, const char *path, mode_t mode)
{
    struct stat file;

    listener->path = ws_strndup(path, strlen(path));
    if (listener->path == NULL) {
        errno = ENOMEM;
        return false;
    }
    if (chmod(path, mode) != 0 || lstat(path, &file) != 0) {
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
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);

    if (size == 0 || size >= sizeof address.sun_path) {
        return fail(error, size == 0 ? EINVAL : ENAMETOOLONG, "bind");
    }
    memcpy(address.sun_path, path, size);
    int fd = open_path(&address, mode, backlog, error);
    if (fd < 0) {
        return NULL;
    }
    ws_listener *listener = wrap(fd, error);
    if (listener == NULL) {
        (void)unlink(path);
    } else if (!own_path(listener, path, mode)) {
        (void)fail(error, errno, "chmod");
        (void)unlink(path);
        ws_listener_free(listener);
        listener = NULL;
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

/* ---- the caller's socket */

/* 0, or why this is no listening stream socket. */
static int
check_listening(int fd)
{
    int listening = 0, type = 0;
    socklen_t size = sizeof listening;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) {
        return errno;
    }
    size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
        return errno;
    }
    return listening != 0 && type == SOCK_STREAM ? 0 : EINVAL;
}

static bool
set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

ws_listener *
ws_listener_new_fd(int fd, ws_listener_error *error)
{
    int err = check_listening(fd);
    if (err != 0) {
        return fail(error, err, "check that the socket listens");
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return fail(error, errno, "dup");
    }
    if (!set_nonblocking(copy)) {
        (void)fail(error, errno, "fcntl");
        (void)close(copy);
        return NULL;
    }
    return wrap(copy, error);
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

/* No accepting for a while: there is nothing to accept with, and the
   listener, being ready, would be reported without end. */
static void
put_off(ws_listener *listener, int err)
{
    uint64_t now = ws_now_ns();

    if (now >= listener->quiet_ns) {
        ws_log(WS_LOG_WARNING, "%s: accept: %s; trying again every %d ms",
               listener->addr.text, strerror(err), WS_LISTENER_PAUSE_MS);
        listener->quiet_ns = now + QUIET_S * WS_NS_PER_S;
    }
    ws_err ignored = ws_loop_rewatch(listener->loop, listener->fd, 0);
    (void)ignored; // to nothing it cannot fail
    ws_timer_set(listener->wheel, &listener->pause,
                 now + WS_LISTENER_PAUSE_MS * WS_NS_PER_MS);
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

static void
accept_batch(void *user, int fd, int events)
{
    ws_listener *listener = user;

    (void)fd;
    (void)events; // an error, too, is learnt from accept
    for (int i = 0; i < WS_LISTENER_BATCH && accept_one(listener); i++) {
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

    if (ws_loop_rewatch(listener->loop, listener->fd, WS_LOOP_READ) !=
        WS_OK) {
        put_off(listener, errno);
    }
}

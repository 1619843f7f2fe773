#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TCP_MODE = 0600 }; // of a socket without a file: means nothing

/* Returns -1. */
static int
fail(ws_socket_error *error, int err, const char *what)
{
    *error = (ws_socket_error){.err = err, .what = what};
    return -1;
}

/* Closes the socket. */
static int
fail_and_close(int fd, ws_socket_error *error, const char *what)
{
    (void)fail(error, errno, what);
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
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

/* NULL, or which step failed, see errno. A unix socket's file has no more than
   `mode` from the first moment on. */
static const char *
bind_and_listen(int fd, const struct sockaddr *address, socklen_t size,
                mode_t mode, int backlog)
{
    if (fd < 0) {
        return "socket";
    }
    if (fchmod(fd, mode) != 0) {
        return "fchmod";
    }
    if (bind(fd, address, size) != 0) {
        return "bind";
    }
    return listen(fd, backlog) == 0 ? NULL : "listen";
}

/* A socket bound and listening, or -1, *error telling why. */
static int
open_address(const struct sockaddr *address, socklen_t size, mode_t mode,
             int backlog, ws_socket_error *error)
{
    int fd = new_socket(address->sa_family);
    const char *failed = bind_and_listen(fd, address, size, mode, backlog);

    return failed == NULL ? fd : fail_and_close(fd, error, failed);
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
            ws_socket_error *error)
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

int
ws_socket_listen_tcp(const char *host, uint16_t port, int backlog,
                     ws_socket_error *error)
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
        return -1;
    }
    (void)fail(error, EADDRNOTAVAIL, "bind");
    int fd = open_family(list, AF_INET, backlog, error);
    if (fd < 0) {
        fd = open_family(list, AF_INET6, backlog, error);
    }
    freeaddrinfo(list);
    return fd;
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
          ws_socket_error *error)
{
    const struct sockaddr *any = (const struct sockaddr *)address;
    int fd = open_address(any, sizeof *address, mode, backlog, error);

    if (fd < 0 && error->err == EADDRINUSE && clear_stale(address)) {
        fd = open_address(any, sizeof *address, mode, backlog, error);
    }
    return fd;
}

int
ws_socket_listen_unix(const char *path, mode_t mode, int backlog,
                      ws_socket_error *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(path);

    if (size == 0 || size >= sizeof address.sun_path) {
        return fail(error, size == 0 ? EINVAL : ENAMETOOLONG, "bind");
    }
    memcpy(address.sun_path, path, size);
    int fd = open_path(&address, mode, backlog, error);
    // Up to here it had what the umask left of it.
    if (fd >= 0 && chmod(path, mode) != 0) {
        fd = fail_and_close(fd, error, "chmod");
        (void)unlink(path);
    }
    return fd;
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

int
ws_socket_dup_listening(int fd, ws_socket_error *error)
{
    int err = check_listening(fd);
    if (err != 0) {
        return fail(error, err, "check that the socket listens");
    }
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return fail(error, errno, "dup");
    }
    return set_nonblocking(copy) ? copy : fail_and_close(copy, error, "fcntl");
}

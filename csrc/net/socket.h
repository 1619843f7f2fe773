/*
 * socket.h - opening sockets that listen.
 *
 * Threads: any; a host name may block in the resolver.
 * Owns:    nothing: what is returned is the caller's to close.
 * Locks:   none.
 */
#ifndef WS_NET_SOCKET_H
#define WS_NET_SOCKET_H

#include <stdint.h>
#include <sys/stat.h>

/* Why a socket could not be had. */
typedef struct ws_socket_error {
    int err;          /* an errno; 0 when gai is set */
    int gai;          /* an EAI_ code of getaddrinfo; 0 when err is set */
    const char *what; /* static: what was being done, as in "bind" */
} ws_socket_error;

/*
 * A TCP socket. `host` is an address or a name; NULL or "" is every IPv4
 * address, "::" every IPv6 one (IPv6 sockets take no IPv4 clients). A name
 * with several addresses is bound to one of them: IPv4 before IPv6, otherwise
 * in the resolver's order, the first that this machine has. A port that is
 * taken there is an error, not a reason to try the next. Port 0 takes a free
 * one.
 *
 * -1: *error tells why and nothing is left behind; so for all three.
 */
int ws_socket_listen_tcp(const char *host, uint16_t port, int backlog,
                         ws_socket_error *error);

/* A socket on a unix path, whose file gets `mode`. A socket file on which
   nobody listens any more is replaced; EADDRINUSE when somebody does or when
   the file is no socket. The file stays when the socket is closed. */
int ws_socket_listen_unix(const char *path, mode_t mode, int backlog,
                          ws_socket_error *error);

/* A duplicate of `fd`, which must be a listening stream socket (EINVAL
   otherwise). It is made non-blocking, which both share. */
int ws_socket_dup_listening(int fd, ws_socket_error *error);

#endif

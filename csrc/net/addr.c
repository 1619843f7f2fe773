#include "addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
} any_address;

static void
set_v4(ws_addr *addr, const struct in_addr *in, in_port_t port)
{
    addr->family = AF_INET;
    addr->port = ntohs(port);
    (void)inet_ntop(AF_INET, in, addr->text, sizeof addr->text);
}

static void
set_v6(ws_addr *addr, const struct sockaddr_in6 *v6)
{
    char zone[IF_NAMESIZE];
    struct in_addr mapped;

    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(&mapped, &v6->sin6_addr.s6_addr[12], sizeof mapped);
        set_v4(addr, &mapped, v6->sin6_port);
        return;
    }
    addr->family = AF_INET6;
    addr->port = ntohs(v6->sin6_port);
    (void)inet_ntop(AF_INET6, &v6->sin6_addr, addr->text, INET6_ADDRSTRLEN);
    if (v6->sin6_scope_id != 0 &&
        if_indextoname(v6->sin6_scope_id, zone) != NULL) {
        size_t used = strlen(addr->text);
        (void)snprintf(addr->text + used, sizeof addr->text - used, "%%%s",
                       zone);
    }
}

/* An abstract name begins with a NUL, shown as "@". */
static void
set_path(ws_addr *addr, const struct sockaddr_un *path, socklen_t size)
{
    size_t length = size - offsetof(struct sockaddr_un, sun_path);
    size_t used = sizeof "unix:" - 1;

    addr->family = AF_UNIX;
    memcpy(addr->text, "unix:", used);
    if (length > 0) {
        memcpy(addr->text + used, path->sun_path, length);
        if (addr->text[used] == '\0' && length > 1) {
            addr->text[used] = '@';
        }
    }
    addr->text[used + length] = '\0';
}

static void
set_addr(ws_addr *addr, const any_address *from, socklen_t size)
{
    *addr = (ws_addr){.family = AF_UNSPEC, .text = "?"};
    switch (from->any.sa_family) {
    case AF_INET:
        set_v4(addr, &from->v4.sin_addr, from->v4.sin_port);
        break;
    case AF_INET6:
        set_v6(addr, &from->v6);
        break;
    case AF_UNIX:
        set_path(addr, &from->path, size);
        break;
    default:
        break;
    }
}

bool
ws_addr_of_socket(int fd, ws_addr *addr)
{
    any_address from = {.any.sa_family = AF_UNSPEC};
    socklen_t size = sizeof from;

    int rc = getsockname(fd, &from.any, &size);
    set_addr(addr, &from, size);
    return rc == 0;
}

void
ws_addr_of_peer(int fd, ws_addr *addr)
{
    any_address from = {.any.sa_family = AF_UNSPEC};
    socklen_t size = sizeof from;

    (void)getpeername(fd, &from.any, &size);
    set_addr(addr, &from, size);
}

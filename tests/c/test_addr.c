#include "net/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

static void
expect(const ws_addr *addr, int family, const char *text)
{
    CHECK_EQ(addr->family, family);
    CHECK_STR_EQ(addr->text, text);
}

/* Binds a socket of the family to an IPv6 or IPv4 text. */
static int
bound_to(int family, const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc;

    if (family == AF_INET) {
        CHECK_EQ(inet_pton(family, text, &v4.sin_addr), 1);
        rc = bind(fd, (struct sockaddr *)&v4, sizeof v4);
    } else {
        CHECK_EQ(inet_pton(family, text, &v6.sin6_addr), 1);
        rc = bind(fd, (struct sockaddr *)&v6, sizeof v6);
    }
    if (rc != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void
addresses_are_shown_as_one_writes_them(void)
{
    static const struct {
        int family;
        const char *bound, *text;
        int shown;
    } cases[] = {
        {AF_INET, "127.0.0.1", "127.0.0.1", AF_INET},
        {AF_INET, "0.0.0.0", "0.0.0.0", AF_INET},
        {AF_INET6, "::1", "::1", AF_INET6},
        {AF_INET6, "::", "::", AF_INET6},
        {AF_INET6, "::ffff:127.0.0.1", "127.0.0.1", AF_INET},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ws_addr addr;
        int fd = bound_to(cases[i].family, cases[i].bound);
        if (fd < 0) {
            printf("skipped: cannot bind %s here\n", cases[i].bound);
            continue;
        }
        CHECK(ws_addr_of_socket(fd, &addr));
        expect(&addr, cases[i].shown, cases[i].text);
        CHECK(addr.port != 0);
        CHECK_EQ(close(fd), 0);
    }
}

static void
bind_path(int fd, const char *path, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, size);
    CHECK_EQ(bind(fd, (struct sockaddr *)&address,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)),
             0);
}

static void
unix_sockets_show_their_name(void)
{
    char name[sizeof((struct sockaddr_un *)0)->sun_path] = "";
    char text[sizeof name + 8];
    ws_addr addr;
    int named = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(ws_addr_of_socket(named, &addr));
    expect(&addr, AF_UNIX, "unix:");
    CHECK_EQ(addr.port, 0);

    // The longest there can be, without a NUL at its end.
    int used = snprintf(name, sizeof name, "/tmp/wssend-%ld-", (long)getpid());
    memset(name + used, 'a', sizeof name - (size_t)used);
    bind_path(named, name, sizeof name);
    CHECK(ws_addr_of_socket(named, &addr));
    (void)snprintf(text, sizeof text, "unix:%.*s", (int)sizeof name, name);
    expect(&addr, AF_UNIX, text);
    CHECK_EQ(unlinkat(-1, addr.text + 5, 0), 0);

    used = snprintf(name, sizeof name, "%cwssend-%ld", '\0', (long)getpid());
    bind_path(abstract, name, (size_t)used);
    CHECK(ws_addr_of_socket(abstract, &addr));
    (void)snprintf(text, sizeof text, "unix:@wssend-%ld", (long)getpid());
    expect(&addr, AF_UNIX, text);
    CHECK_EQ(close(named), 0);
    CHECK_EQ(close(abstract), 0);
}

static void
a_peer_that_is_not_there_is_unknown(void)
{
    ws_addr addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ws_addr_of_peer(fd, &addr);
    expect(&addr, AF_UNSPEC, "?");
    CHECK_EQ(close(fd), 0);
    CHECK(!ws_addr_of_socket(fd, &addr));
    expect(&addr, AF_UNSPEC, "?");
}

static const ws_test tests[] = {
    TEST(addresses_are_shown_as_one_writes_them),
    TEST(unix_sockets_show_their_name),
    TEST(a_peer_that_is_not_there_is_unknown),
};

TEST_MAIN(tests)

#include "net/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "net/addr.h"

static int
listen_on(const char *host, uint16_t port)
{
    ws_socket_error error = {0};
    int fd = ws_socket_listen_tcp(host, port, 8, &error);

    if (fd < 0) {
        fprintf(stderr, "%s: %s\n", error.what, strerror(error.err));
    }
    CHECK(fd >= 0);
    return fd;
}

static ws_addr
addr_of(int fd)
{
    ws_addr addr;

    CHECK(ws_addr_of_socket(fd, &addr));
    return addr;
}

/* ---- TCP */

static void
names_and_wildcards_prefer_ipv4(void)
{
    static const struct {
        const char *host, *text;
    } cases[] = {
        {NULL, "0.0.0.0"},          {"", "0.0.0.0"},
        {"0.0.0.0", "0.0.0.0"},     {"127.0.0.1", "127.0.0.1"},
        {"localhost", "127.0.0.1"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = listen_on(cases[i].host, 0);
        ws_addr addr = addr_of(fd);
        CHECK_STR_EQ(addr.text, cases[i].text);
        CHECK(addr.port != 0);
        CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        CHECK_EQ(close(fd), 0);
    }
}

static void
what_cannot_be_bound_says_why(void)
{
    int first = listen_on("127.0.0.1", 0);
    uint16_t port = addr_of(first).port;
    ws_socket_error error = {0};

    CHECK_EQ(ws_socket_listen_tcp("127.0.0.1", port, 8, &error), -1);
    CHECK_EQ(error.err, EADDRINUSE);
    CHECK_EQ(error.gai, 0);
    // TEST-NET-1: an address that is nobody's.
    CHECK_EQ(ws_socket_listen_tcp("192.0.2.1", 0, 8, &error), -1);
    CHECK_EQ(error.err, EADDRNOTAVAIL);
    CHECK_STR_EQ(error.what, "bind");
    CHECK_EQ(ws_socket_listen_tcp("no such host", 0, 8, &error), -1);
    CHECK_EQ(error.err, 0);
    CHECK(error.gai != 0);
    CHECK_STR_EQ(error.what, "getaddrinfo");
    CHECK_EQ(close(first), 0);
}

/* ---- unix paths */

static char folder[64];
static char path[80];

static void
make_folder(void)
{
    (void)strcpy(folder, "/tmp/wssend-test-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/socket", folder);
}

static void
remove_folder(void)
{
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rmdir(folder), 0);
}

/* A connection to the path can be made. */
static bool
is_served(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, path, strlen(path));
    int rc = connect(fd, (struct sockaddr *)&address, sizeof address);
    CHECK_EQ(close(fd), 0);
    return rc == 0;
}

static void
a_path_gets_its_mode_whatever_the_umask(void)
{
    static const mode_t masks[] = {0, 022, 077};

    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        ws_socket_error error;
        struct stat file;
        make_folder();
        mode_t old = umask(masks[i]);
        int fd = ws_socket_listen_unix(path, 0620, 8, &error);
        (void)umask(old);
        CHECK(fd >= 0);
        CHECK_EQ(lstat(path, &file), 0);
        CHECK_EQ(file.st_mode & 0777, 0620);
        CHECK_EQ(close(fd), 0);
        remove_folder();
    }
}

static void
a_stale_socket_is_replaced_and_a_live_one_is_not(void)
{
    ws_socket_error error;

    make_folder();
    // Closing leaves the file, as a server does that is killed.
    CHECK_EQ(close(ws_socket_listen_unix(path, 0600, 8, &error)), 0);
    CHECK(!is_served());
    int fd = ws_socket_listen_unix(path, 0600, 8, &error);
    CHECK(fd >= 0);
    CHECK_EQ(ws_socket_listen_unix(path, 0600, 8, &error), -1);
    CHECK_EQ(error.err, EADDRINUSE);
    CHECK(is_served());
    CHECK_EQ(close(fd), 0);
    remove_folder();
}

/* Its server is slow, not gone. */
static void
a_socket_with_a_full_backlog_is_live(void)
{
    ws_socket_error error;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int waiting[8];
    size_t count = 0;

    make_folder();
    memcpy(address.sun_path, path, strlen(path));
    int fd = ws_socket_listen_unix(path, 0600, 1, &error);
    do {
        CHECK(count < sizeof waiting / sizeof waiting[0]);
        waiting[count++] =
            socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    } while (connect(waiting[count - 1], (struct sockaddr *)&address,
                     sizeof address) == 0);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(ws_socket_listen_unix(path, 0600, 1, &error), -1);
    CHECK_EQ(error.err, EADDRINUSE);
    while (count > 0) {
        CHECK_EQ(close(waiting[--count]), 0);
    }
    CHECK_EQ(close(fd), 0);
    remove_folder();
}

static void
a_file_that_is_no_socket_is_left_alone(void)
{
    ws_socket_error error;

    make_folder();
    CHECK_EQ(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    CHECK_EQ(ws_socket_listen_unix(path, 0600, 8, &error), -1);
    CHECK_EQ(error.err, EADDRINUSE);
    remove_folder(); // it is still there
}

static void
a_path_must_fit_and_its_folder_be_there(void)
{
    static const struct {
        const char *what, *path;
        int err;
    } cases[] = {
        {"empty", "", EINVAL},
        {"108 bytes are too many",
         "/tmp/4567890123456789012345678901234567890123456789"
         "0123456789012345678901234567890123456789012345678901234567",
         ENAMETOOLONG},
        {"no folder", "/no/such/folder", ENOENT},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ws_socket_error error = {0};
        CHECK_EQ(ws_socket_listen_unix(cases[i].path, 0600, 8, &error), -1);
        if (error.err != cases[i].err) {
            fprintf(stderr, "case: %s\n", cases[i].what);
        }
        CHECK_EQ(error.err, cases[i].err);
    }
}

/* ---- the caller's socket */

static void
a_duplicate_outlives_the_callers_socket(void)
{
    ws_socket_error error;
    int own = listen_on("127.0.0.1", 0);
    uint16_t port = addr_of(own).port;

    CHECK_EQ(fcntl(own, F_SETFL, 0), 0); // blocking, as callers' are
    int copy = ws_socket_dup_listening(own, &error);
    CHECK(copy >= 0 && copy != own);
    CHECK_EQ(close(own), 0);
    CHECK_EQ(addr_of(copy).port, port);
    CHECK((fcntl(copy, F_GETFL) & O_NONBLOCK) != 0);
    CHECK((fcntl(copy, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_EQ(close(copy), 0);
}

static void
a_callers_socket_must_listen(void)
{
    ws_socket_error error = {0};
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int ends[2];

    CHECK_EQ(ws_socket_dup_listening(tcp, &error), -1);
    CHECK_EQ(error.err, EINVAL);
    CHECK_EQ(ws_socket_dup_listening(udp, &error), -1);
    CHECK_EQ(error.err, EINVAL);
    CHECK_EQ(ws_socket_dup_listening(-1, &error), -1);
    CHECK_EQ(error.err, EBADF);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(ws_socket_dup_listening(ends[0], &error), -1);
    CHECK_EQ(error.err, ENOTSOCK);
    CHECK_EQ(close(ends[0]), 0);
    CHECK_EQ(close(ends[1]), 0);
    CHECK_EQ(close(tcp), 0);
    CHECK_EQ(close(udp), 0);
}

static const ws_test tests[] = {
    TEST(names_and_wildcards_prefer_ipv4),
    TEST(what_cannot_be_bound_says_why),
    TEST(a_path_gets_its_mode_whatever_the_umask),
    TEST(a_stale_socket_is_replaced_and_a_live_one_is_not),
    TEST(a_socket_with_a_full_backlog_is_live),
    TEST(a_file_that_is_no_socket_is_left_alone),
    TEST(a_path_must_fit_and_its_folder_be_there),
    TEST(a_duplicate_outlives_the_callers_socket),
    TEST(a_callers_socket_must_listen),
};

TEST_MAIN(tests)

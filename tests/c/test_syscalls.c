/* The kernel refuses at every moment of a server's life: each system call of
   ours, of libwebsockets, and those of OpenSSL on a socket, fails in turn.
   Left out is what cannot fail: the clock, and fcntl on a socket that is open;
   and the randomness of OpenSSL, which has it from elsewhere then. */
#include <dlfcn.h>
#include <libwebsockets.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "life.h"

enum call {
    NONE,
    SENDMSG, /* or send */
    ACCEPT4,
    READ,
    WRITE,
    RECV,
    OPEN,
    FILE_READ, /* by us, of more than a doorbell's number */
    TLS_READ,  /* by OpenSSL */
    TLS_WRITE,
    EPOLL_CREATE1,
    EPOLL_ADD,
    EPOLL_MOD,
    EPOLL_WAIT,
    EVENTFD,
    SOCKET,
    LISTEN,
    SETSOCKOPT,
    GETSOCKOPT,
    GETSOCKNAME,
    GETPEERNAME,
    SHUTDOWN,
    GETRANDOM,
    PTHREAD_CREATE,
};

/* What fails: `times` calls from the n-th on, made by the server. */
static struct {
    atomic_int call;
    atomic_long nth, times;
    atomic_int err;
    /* SENDMSG, TLS_WRITE: instead, takes so many bytes; with an `err` only the
       first, the others fail. 0: all fail. */
    atomic_size_t cut;
    atomic_long seen, failed;
} plan;

/* The server's own: guests make the same calls, in the test's thread. */
static pthread_t test_thread;
static atomic_bool begun;

static void
plan_failure(enum call call, int err, long nth, long times)
{
    atomic_store(&plan.call, NONE);
    atomic_store(&plan.err, err);
    atomic_store(&plan.nth, nth);
    atomic_store(&plan.times, times);
    atomic_store(&plan.cut, 0);
    atomic_store(&plan.seen, 0);
    atomic_store(&plan.failed, 0);
    atomic_store(&plan.call, (int)call);
}

static void
plan_nothing(void)
{
    plan_failure(NONE, 0, 0, 0);
}

/* Some are made by no guest. */
static bool
is_servers(enum call call)
{
    bool is_test = pthread_equal(pthread_self(), test_thread) != 0;
    return !is_test || !atomic_load(&begun) || call == READ || call == WRITE ||
           call == OPEN || call == FILE_READ;
}

/* Whether this call fails; then errno is set. */
static bool
fails(enum call call)
{
    if (atomic_load(&plan.call) != (int)call || !is_servers(call)) {
        return false;
    }
    long n = atomic_fetch_add(&plan.seen, 1) - atomic_load(&plan.nth);
    if (n < 0 || n >= atomic_load(&plan.times)) {
        return false;
    }
    atomic_fetch_add(&plan.failed, 1);
    errno = atomic_load(&plan.err);
    return true;
}

/* ---- in front of the calls */

#define WRAP(type, name, parameters) \
    type __real_##name parameters;   \
    type __wrap_##name parameters;   \
    type __wrap_##name parameters

static size_t
all_bytes(const struct msghdr *msg)
{
    size_t size = 0;
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        size += msg->msg_iov[i].iov_len;
    }
    return size;
}

WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags));
WRAP(ssize_t, send, (int fd, const void *data, size_t size, int flags));

/* The first `size` bytes of it. */
static ssize_t
send_part(int fd, const struct msghdr *msg, int flags, size_t size)
{
    static uint8_t bytes[1 << 17];
    size_t used = 0;
    for (size_t i = 0; i < msg->msg_iovlen && used < size; i++) {
        const struct iovec *iov = &msg->msg_iov[i];
        size_t part = iov->iov_len < size - used ? iov->iov_len : size - used;
        memcpy(bytes + used, iov->iov_base, part);
        used += part;
    }
    return __real_send(fd, bytes, used, flags);
}

ssize_t
__wrap_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if (!fails(SENDMSG)) {
        return __real_sendmsg(fd, msg, flags);
    }
    size_t cut = atomic_load(&plan.cut);
    if (cut == 0) {
        return -1;
    }
    return send_part(fd, msg, flags,
                     cut < all_bytes(msg) ? cut : all_bytes(msg));
}

ssize_t
__wrap_send(int fd, const void *data, size_t size, int flags)
{
    struct iovec one = {(void *)(uintptr_t)data, size};
    const struct msghdr msg = {.msg_iov = &one, .msg_iovlen = 1};
    return __wrap_sendmsg(fd, &msg, flags);
}

/* ---- in front of OpenSSL's

   The linker wraps what is linked in. A shared library is sent to the program
   itself, where that has a function of the name. */

#define IN_FRONT(name) __asm__(name) __attribute__((visibility("default")))

ssize_t openssl_read(int fd, void *data, size_t size) IN_FRONT("read");
ssize_t openssl_write(int fd, const void *data, size_t size) IN_FRONT("write");

static ssize_t (*next_read)(int fd, void *data, size_t size);
static ssize_t (*next_write)(int fd, const void *data, size_t size);

__attribute__((constructor)) static void
find_next(void)
{
    *(void **)&next_read = dlsym(RTLD_NEXT, "read");
    *(void **)&next_write = dlsym(RTLD_NEXT, "write");
}

static ssize_t
real_read(int fd, void *data, size_t size)
{
    return next_read == NULL ? syscall(SYS_read, fd, data, size)
                             : next_read(fd, data, size);
}

static ssize_t
real_write(int fd, const void *data, size_t size)
{
    return next_write == NULL ? syscall(SYS_write, fd, data, size)
                              : next_write(fd, data, size);
}

/* With an `err` of 0 it is the end. */
ssize_t
openssl_read(int fd, void *data, size_t size)
{
    if (!fails(TLS_READ)) {
        return real_read(fd, data, size);
    }
    return errno == 0 ? 0 : -1;
}

ssize_t
openssl_write(int fd, const void *data, size_t size)
{
    if (!fails(TLS_WRITE)) {
        return real_write(fd, data, size);
    }
    size_t cut = atomic_load(&plan.cut);
    if (cut == 0 || (errno != 0 && atomic_load(&plan.failed) > 1)) {
        return -1;
    }
    return real_write(fd, data, cut < size ? cut : size);
}

/* ---- in front of all others' */

WRAP(int, accept4, (int fd, struct sockaddr *addr, socklen_t *size, int flags))
{
    return fails(ACCEPT4) ? -1 : __real_accept4(fd, addr, size, flags);
}

WRAP(ssize_t, read, (int fd, void *data, size_t size))
{
    bool failed = fails(size > sizeof(uint64_t) ? FILE_READ : READ);
    return failed ? -1 : real_read(fd, data, size);
}

/* Nobody makes a file here. */
WRAP(int, open, (const char *path, int flags, ...))
{
    return fails(OPEN) ? -1 : __real_open(path, flags);
}

WRAP(ssize_t, write, (int fd, const void *data, size_t size))
{
    if (!fails(WRITE)) {
        return real_write(fd, data, size);
    }
    if (errno == EAGAIN) { // the only reason for that
        uint64_t full = UINT64_MAX - 1;
        ssize_t filled = real_write(fd, &full, sizeof full);
        (void)filled;
        errno = EAGAIN;
    }
    return -1;
}

WRAP(ssize_t, recv, (int fd, void *data, size_t size, int flags))
{
    return fails(RECV) ? -1 : __real_recv(fd, data, size, flags);
}

WRAP(int, epoll_create1, (int flags))
{
    return fails(EPOLL_CREATE1) ? -1 : __real_epoll_create1(flags);
}

WRAP(int, epoll_ctl, (int epoll, int op, int fd, struct epoll_event *event))
{
    bool failed = (op == EPOLL_CTL_ADD && fails(EPOLL_ADD)) ||
                  (op == EPOLL_CTL_MOD && fails(EPOLL_MOD));
    return failed ? -1 : __real_epoll_ctl(epoll, op, fd, event);
}

WRAP(int, epoll_wait,
     (int epoll, struct epoll_event *events, int most, int timeout))
{
    return fails(EPOLL_WAIT) ? -1
                             : __real_epoll_wait(epoll, events, most, timeout);
}

WRAP(int, eventfd, (unsigned count, int flags))
{
    return fails(EVENTFD) ? -1 : __real_eventfd(count, flags);
}

WRAP(int, socket, (int domain, int type, int protocol))
{
    return fails(SOCKET) ? -1 : __real_socket(domain, type, protocol);
}

WRAP(int, listen, (int fd, int backlog))
{
    return fails(LISTEN) ? -1 : __real_listen(fd, backlog);
}

WRAP(int, setsockopt,
     (int fd, int level, int name, const void *value, socklen_t size))
{
    return fails(SETSOCKOPT) ? -1
                             : __real_setsockopt(fd, level, name, value, size);
}

WRAP(int, getsockopt,
     (int fd, int level, int name, void *value, socklen_t *size))
{
    return fails(GETSOCKOPT) ? -1
                             : __real_getsockopt(fd, level, name, value, size);
}

WRAP(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *size))
{
    return fails(GETSOCKNAME) ? -1 : __real_getsockname(fd, addr, size);
}

WRAP(int, getpeername, (int fd, struct sockaddr *addr, socklen_t *size))
{
    return fails(GETPEERNAME) ? -1 : __real_getpeername(fd, addr, size);
}

WRAP(int, shutdown, (int fd, int how))
{
    return fails(SHUTDOWN) ? -1 : __real_shutdown(fd, how);
}

WRAP(ssize_t, getrandom, (void *data, size_t size, unsigned flags))
{
    return fails(GETRANDOM) ? -1 : __real_getrandom(data, size, flags);
}

WRAP(int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *),
      void *arg))
{
    return fails(PTHREAD_CREATE)
               ? errno
               : __real_pthread_create(thread, attr, run, arg);
}

/* ---- lives in which a call fails */

__attribute__((constructor)) static void
know_the_test(void)
{
    test_thread = pthread_self();
}

static void
note_begun(void)
{
    atomic_store(&begun, true);
}

/* Is libwebsockets part of this program, so that its calls come by here? */
static bool
has_lws_inside(void)
{
    Dl_info ours, its;
    CHECK(dladdr((void *)(uintptr_t)&know_the_test, &ours) != 0);
    CHECK(dladdr((void *)(uintptr_t)&lws_create_context, &its) != 0);
    return ours.dli_fbase == its.dli_fbase;
}

typedef struct failure {
    const char *what;
    enum call call;
    int err;
    long times; /* in a row */
    long most;  /* lives, each with a later call failing */
} failure;

static const life_setup PLAIN = {
    .unix_socket = true,
    .on_begun = note_begun,
    .turns_most = 5000, // a pump that spins makes more than that
};

/* The errno that is planned. */
static bool
is_planned(int err)
{
    return err == atomic_load(&plan.err);
}

static const life_setup TLS = {
    .tls = TLS1_3_VERSION,
    .excuses = is_planned,
    .on_begun = note_begun,
    .turns_most = 5000,
};

/* Lives until no call is left that could fail, or `most` have been lived; each
   time a call fails that comes `step` later. */
static long
live_with(const failure *f, const life_setup *setup, long step)
{
    long failed = 0;
    long n = 0;
    do {
        atomic_store(&begun, false);
        plan_failure(f->call, f->err, n * step, f->times);
        life_live(setup);
        failed = atomic_load(&plan.failed);
    } while (failed > 0 && ++n < f->most);
    plan_nothing();
    return n;
}

static void
check_lived(const failure *f, long lives)
{
    if (lives == 0) {
        fprintf(stderr, "%s: never called\n", f->what);
    }
    CHECK(lives > 0);
}

static void
live_with_each(const failure *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_lived(&all[i], live_with(&all[i], &PLAIN, 1));
    }
}

/* How many such calls there are in a life. */
static long
count_calls(enum call call, const life_setup *setup)
{
    atomic_store(&begun, false);
    plan_failure(call, 0, LONG_MAX, 0);
    life_live(setup);
    return atomic_load(&plan.seen);
}

/* Under TLS a life is longer: the failures are spread over all of it. */
static void
live_under_tls_with_each(const failure *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        long step = count_calls(all[i].call, &TLS) / all[i].most;
        check_lived(&all[i], live_with(&all[i], &TLS, step > 1 ? step : 1));
    }
}

#define LIVE_WITH(failures) live_with_each(failures, WIRE_COUNT_OF(failures))
#define LIVE_UNDER_TLS_WITH(failures) \
    live_under_tls_with_each(failures, WIRE_COUNT_OF(failures))

static void
a_write_that_fails_is_tried_again_or_the_end(void)
{
    static const failure failures[] = {
        {"interrupted", SENDMSG, EINTR, 1, 10},
        {"full", SENDMSG, EAGAIN, 1, 10},
        {"full for a while", SENDMSG, EAGAIN, 5, 5},
        {"no buffers", SENDMSG, ENOBUFS, 1, 10},
        {"no buffers for a while", SENDMSG, ENOBUFS, 5, 8},
        {"no memory", SENDMSG, ENOMEM, 2, 8},
        {"gone", SENDMSG, EPIPE, 1, 15},
        {"reset", SENDMSG, ECONNRESET, 1, 15},
        {"timed out", SENDMSG, ETIMEDOUT, 3, 15},
    };
    LIVE_WITH(failures);
}

static void
an_accept_that_fails_is_tried_again(void)
{
    static const failure failures[] = {
        {"interrupted", ACCEPT4, EINTR, 1, 20},
        {"gone", ACCEPT4, ECONNABORTED, 1, 20},
        {"broken", ACCEPT4, EPROTO, 3, 10},
        {"no descriptor", ACCEPT4, EMFILE, 1, 8},
        {"no descriptor anywhere", ACCEPT4, ENFILE, 2, 3},
        {"no memory", ACCEPT4, ENOMEM, 1, 3},
        {"no buffers", ACCEPT4, ENOBUFS, 1, 3},
    };
    LIVE_WITH(failures);
}

static void
a_doorbell_that_fails_wakes_all_the_same(void)
{
    static const failure failures[] = {
        {"ringing interrupted", WRITE, EINTR, 1, 40},
        {"ringing interrupted often", WRITE, EINTR, 3, 15},
        {"too often rung", WRITE, EAGAIN, 1, 20},
        {"hearing interrupted", READ, EINTR, 1, 30},
        {"heard too early", READ, EAGAIN, 1, 30},
        {"waiting interrupted", EPOLL_WAIT, EINTR, 1, 20},
        {"waiting interrupted often", EPOLL_WAIT, EINTR, 7, 10},
    };
    LIVE_WITH(failures);
}

static void
a_watch_that_fails_is_tried_again_or_the_end(void)
{
    static const failure failures[] = {
        {"no memory for a watch", EPOLL_ADD, ENOMEM, 1, 20},
        {"too many watches", EPOLL_ADD, ENOSPC, 1, 20},
        {"too many watches for a while", EPOLL_ADD, ENOSPC, 4, 5},
        {"no memory for a change", EPOLL_MOD, ENOMEM, 1, 20},
        {"no memory for a change for a while", EPOLL_MOD, ENOMEM, 4, 10},
    };
    LIVE_WITH(failures);
}

static void
a_read_that_fails_is_tried_again_or_the_end(void)
{
    static const failure failures[] = {
        {"interrupted", RECV, EINTR, 1, 20},
        {"nothing there", RECV, EAGAIN, 1, 20},
        {"reset", RECV, ECONNRESET, 1, 30},
        {"timed out", RECV, ETIMEDOUT, 2, 10},
    };
    if (has_lws_inside()) {
        LIVE_WITH(failures);
    }
}

static void
what_a_server_begins_with_may_fail(void)
{
    static const failure failures[] = {
        {"no descriptor for a poll", EPOLL_CREATE1, EMFILE, 1, 5},
        // The third is libwebsockets', which then loses a block of memory.
        {"no descriptor for a doorbell", EVENTFD, EMFILE, 1, 2},
        {"no memory for a doorbell", EVENTFD, ENOMEM, 1, 2},
        {"no socket", SOCKET, EMFILE, 1, 5},
        {"no listening", LISTEN, EADDRINUSE, 1, 5},
        {"no thread", PTHREAD_CREATE, EAGAIN, 1, 5},
        {"no randomness", GETRANDOM, ENOSYS, 1, 20},
        {"an option", SETSOCKOPT, ENOMEM, 1, 40},
        {"an option of a peer that is gone", SETSOCKOPT, EINVAL, 4, 10},
        {"asking for an option", GETSOCKOPT, ENOBUFS, 1, 10},
        {"asking for a name", GETSOCKNAME, ENOBUFS, 1, 10},
        {"asking for a peer that is gone", GETPEERNAME, ENOTCONN, 1, 20},
        {"a half close", SHUTDOWN, ENOTCONN, 1, 20},
    };
    LIVE_WITH(failures);
}

/* ---- the same under TLS */

/* OpenSSL tries again what was interrupted or found no room; all else is the
   end to it, a kernel without buffers, too. */
static void
a_write_under_tls_that_fails_is_tried_again_or_the_end(void)
{
    static const failure failures[] = {
        {"interrupted", TLS_WRITE, EINTR, 1, 20},
        {"interrupted often", TLS_WRITE, EINTR, 7, 6},
        {"full", TLS_WRITE, EAGAIN, 1, 20},
        {"full for a while", TLS_WRITE, EAGAIN, 5, 6},
        {"no buffers", TLS_WRITE, ENOBUFS, 1, 10},
        {"no memory", TLS_WRITE, ENOMEM, 2, 6},
        {"gone", TLS_WRITE, EPIPE, 1, 16},
        {"reset", TLS_WRITE, ECONNRESET, 1, 10},
        {"timed out", TLS_WRITE, ETIMEDOUT, 3, 6},
    };
    LIVE_UNDER_TLS_WITH(failures);
}

static void
a_read_under_tls_that_fails_is_tried_again_or_the_end(void)
{
    static const failure failures[] = {
        {"interrupted", TLS_READ, EINTR, 1, 16},
        {"interrupted often", TLS_READ, EINTR, 7, 6},
        {"nothing there", TLS_READ, EAGAIN, 1, 16},
        {"nothing there for a while", TLS_READ, EAGAIN, 5, 6},
        {"an end without leave", TLS_READ, 0, 1, 16},
        {"reset", TLS_READ, ECONNRESET, 1, 16},
        {"timed out", TLS_READ, ETIMEDOUT, 2, 6},
    };
    LIVE_UNDER_TLS_WITH(failures);
}

static void
what_else_fails_under_tls_is_tried_again_or_the_end(void)
{
    static const failure failures[] = {
        {"an accept", ACCEPT4, ECONNABORTED, 1, 6},
        {"no descriptor", ACCEPT4, EMFILE, 1, 3},
        {"no memory for a watch", EPOLL_ADD, ENOMEM, 1, 8},
        {"no memory for a change", EPOLL_MOD, ENOMEM, 1, 12},
        {"no memory for a change for a while", EPOLL_MOD, ENOMEM, 4, 5},
        {"waiting interrupted", EPOLL_WAIT, EINTR, 1, 8},
        {"ringing interrupted", WRITE, EINTR, 1, 8},
        {"an option", SETSOCKOPT, ENOMEM, 1, 10},
        {"a half close", SHUTDOWN, ENOTCONN, 1, 10},
    };
    LIVE_UNDER_TLS_WITH(failures);
}

static void
the_files_of_an_identity_may_fail(void)
{
    static const failure failures[] = {
        {"no descriptor", OPEN, EMFILE, 1, 10},
        {"no file any more", OPEN, ENOENT, 1, 10},
        {"a disk that fails", FILE_READ, EIO, 1, 15},
        {"interrupted", FILE_READ, EINTR, 3, 15},
    };
    LIVE_UNDER_TLS_WITH(failures);
}

/* ---- what it costs */

/* A connection, and how the pump is doing while its writes fail. */
typedef struct trial {
    wire w;
    peer p;
    ws_client *client;
} trial;

static trial
trial_begin(void)
{
    trial t = {.w = wire_open_default()};
    t.p = peer_open(&t.w, "/?id=a");
    t.client = wire_client(&t.w, "a");
    atomic_store(&begun, true);
    return t;
}

static void
trial_end(trial *t)
{
    plan_nothing();
    ws_client_unref(t->client);
    peer_leave(&t->p);
    (void)wire_close(&t->w);
}

/* Until the kernel has memory, and no longer, the pump tries now and then. */
static void
without_buffers_the_pump_does_not_spin(void)
{
    trial t = trial_begin();
    plan_failure(SENDMSG, ENOBUFS, 0, LONG_MAX);
    CHECK_EQ(wire_send_text(t.client, "late"), WS_OK);
    WITHIN(atomic_load(&plan.failed) >= 1, 10);
    uint64_t turns = WIRE_COUNTED(&t.w, turns);
    long failed = atomic_load(&plan.failed);
    (void)usleep(300 * 1000);
    CHECK(WIRE_COUNTED(&t.w, turns) - turns <= 80); // each 10 ms at most
    CHECK(atomic_load(&plan.failed) - failed <= 40);
    WITHIN(atomic_load(&plan.failed) - failed >= 3, 10);
    CHECK_EQ(ws_hub_get_stats(t.w.hub).queued, 1);
    plan_nothing();
    peer_expect_text(&t.p, "late");
    trial_end(&t);
}

/* A client may end, and the hub, while the kernel has no memory for it. */
static void
without_buffers_all_can_end(void)
{
    trial t = trial_begin();
    peer other = peer_open(&t.w, "/?id=b");
    ws_client *lost = wire_client(&t.w, "b");
    plan_failure(SENDMSG, ENOBUFS, 0, LONG_MAX);
    CHECK_EQ(wire_send_text(t.client, "never"), WS_OK);
    CHECK_EQ(wire_send_text(lost, "never"), WS_OK);
    WITHIN(atomic_load(&plan.failed) >= 4, 10);
    peer_reset(&other);
    wire_expect_ended(lost, 1006, false);
    long failed = atomic_load(&plan.failed);
    WITHIN(atomic_load(&plan.failed) >= failed + 3, 10);
    ws_crew_kill(t.w.crew);
    wire_expect_ended(t.client, 1006, false);
    plan_nothing();
    peer_close(&t.p);
    ws_hub_stats stats = wire_close(&t.w);
    CHECK_EQ(stats.counts.lost, 2);
}

static void
a_change_that_the_kernel_refuses_does_not_spin_either(void)
{
    static const uint8_t big[4 << 20];
    trial t = trial_begin();
    plan_failure(EPOLL_MOD, ENOMEM, 0, LONG_MAX);
    CHECK_EQ(wire_send(t.client, WS_MESSAGE_BINARY, big, sizeof big), WS_OK);
    WITHIN(atomic_load(&plan.failed) >= 2, 10);
    uint64_t turns = WIRE_COUNTED(&t.w, turns);
    (void)usleep(300 * 1000);
    CHECK(WIRE_COUNTED(&t.w, turns) - turns <= 80);
    plan_nothing();
    peer_expect(&t.p, PEER_BINARY, big, sizeof big);
    trial_end(&t);
}

/* ---- every cut */

/* Queues a burst whose first write takes `cut` bytes; false: it takes all. */
static bool
burst_with_a_cut(trial *t, enum call call, size_t cut)
{
    static const uint8_t zeros[200];
    static const size_t sizes[] = {0, 1, 125, 126, 200};
    uint64_t cuts = WIRE_COUNTED(&t->w, short_writes);
    // Under TLS OpenSSL would go on at once.
    plan_failure(call, EAGAIN, 0, call == TLS_WRITE ? 2 : 1);
    atomic_store(&plan.cut, cut);
    ws_wake_chain chain = {NULL, NULL};
    for (size_t i = 0; i < WIRE_COUNT_OF(sizes); i++) {
        ws_msg *msg = ws_message_new(WS_MESSAGE_BINARY, zeros, sizes[i], NULL);
        CHECK(msg != NULL);
        CHECK_EQ(ws_client_send_chained(t->client, msg, &chain), WS_OK);
        ws_msg_unref(msg);
    }
    ws_client_wake_chain(t->client->wake, &chain);
    for (size_t i = 0; i < WIRE_COUNT_OF(sizes); i++) {
        peer_expect(&t->p, PEER_BINARY, zeros, sizes[i]);
    }
    WITHIN(ws_chan_is_empty(&t->client->chan), 10);
    (void)wire_check_law(&t->w);
    return WIRE_COUNTED(&t->w, short_writes) > cuts;
}

static void
a_write_may_be_cut_at_every_byte(void)
{
    trial t = trial_begin();
    size_t cut = 1;
    while (burst_with_a_cut(&t, SENDMSG, cut)) {
        cut++;
    }
    CHECK_EQ(cut, 2 + 3 + 127 + 130 + 204); // what the frames are together
    trial_end(&t);
}

static void
each_write_takes_little(enum call call)
{
    static const size_t cuts[] = {1, 2, 3, 7, 64};
    for (size_t i = 0; i < WIRE_COUNT_OF(cuts); i++) {
        atomic_store(&begun, true);
        plan_failure(call, 0, 0, LONG_MAX);
        atomic_store(&plan.cut, cuts[i]);
        wire w = wire_open_default();
        peer p = peer_open(&w, "/?id=a");
        ws_client *client = wire_client(&w, "a");
        peer_frame_out(&p, PEER_PING, "ping", 4);
        peer_expect(&p, PEER_PONG, "ping", 4);
        CHECK_EQ(wire_send_text(client, "one"), WS_OK);
        CHECK_EQ(wire_send_text(client, "two"), WS_OK);
        peer_expect_text(&p, "one");
        peer_expect_text(&p, "two");
        ws_client_unref(client);
        peer_leave(&p);
        (void)wire_close(&w);
    }
    plan_nothing();
}

/* The same with each write taking no more, the handshake's and the Close's
   included. */
static void
each_write_may_take_little(void)
{
    each_write_takes_little(SENDMSG);
}

/* A record of which the kernel has a part is the next that it is given, after
   a while in which it took nothing. */
static void
a_record_may_be_cut_at_every_byte(void)
{
    CHECK_EQ(setenv("WSSEND_WIRE", "tls1.3", 1), 0);
    trial t = trial_begin();
    size_t cut = 1;
    while (burst_with_a_cut(&t, TLS_WRITE, cut)) {
        cut++;
    }
    // What the frames are together, and what makes a record of them.
    CHECK_EQ(cut, 2 + 3 + 127 + 130 + 204 + 5 + 1 + 16);
    trial_end(&t);
    CHECK_EQ(unsetenv("WSSEND_WIRE"), 0);
}

/* The same with each write taking no more, the TLS handshake's and the
   close_notify's included. */
static void
each_write_under_tls_may_take_little(void)
{
    static const char *const versions[] = {"tls1.2", "tls1.3"};
    for (size_t i = 0; i < WIRE_COUNT_OF(versions); i++) {
        CHECK_EQ(setenv("WSSEND_WIRE", versions[i], 1), 0);
        each_write_takes_little(TLS_WRITE);
        CHECK_EQ(unsetenv("WSSEND_WIRE"), 0);
    }
}

static const ws_test tests[] = {
    TEST(a_write_that_fails_is_tried_again_or_the_end),
    TEST(an_accept_that_fails_is_tried_again),
    TEST(a_doorbell_that_fails_wakes_all_the_same),
    TEST(a_watch_that_fails_is_tried_again_or_the_end),
    TEST(a_read_that_fails_is_tried_again_or_the_end),
    TEST(what_a_server_begins_with_may_fail),
    TEST(a_write_under_tls_that_fails_is_tried_again_or_the_end),
    TEST(a_read_under_tls_that_fails_is_tried_again_or_the_end),
    TEST(what_else_fails_under_tls_is_tried_again_or_the_end),
    TEST(the_files_of_an_identity_may_fail),
    TEST(without_buffers_the_pump_does_not_spin),
    TEST(without_buffers_all_can_end),
    TEST(a_change_that_the_kernel_refuses_does_not_spin_either),
    TEST(a_write_may_be_cut_at_every_byte),
    TEST(each_write_may_take_little),
    TEST(a_record_may_be_cut_at_every_byte),
    TEST(each_write_under_tls_may_take_little),
};

TEST_MAIN(tests)

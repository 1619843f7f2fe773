#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "context.h"
#include "core/alloc.h"
#include "core/lock.h"
#include "log.h"
#include "tls.h"

enum {
    BATCH = 256,         // events taken from the kernel at once
    RETRY_MS = 10,       // until a refused change of interest is tried again
    END_NS = 500 * 1000, // in a turn, for those whose peers have gone
};

/* What the kernel has for a descriptor after a one-shot event. */
#define DISARMED UINT32_MAX

/* ... and after a change that it refused. */
#define UNKNOWN (UINT32_MAX - 1)

enum entry_kind { FREE, OWN, LWS };

/* One descriptor, at the index of its number. */
typedef struct entry {
    uint32_t tag;   // of this registration: an event with another is stale
    uint32_t armed; // what the kernel was told to report
    uint8_t kind;   // an entry_kind
    uint8_t want;   // WS_LOOP_READ, WS_LOOP_WRITE
    bool in_epoll;
    bool watch_hangup; // LWS: tell of the peer's going during a pause
    bool told_fin;     // in this pause
    bool told_dead;    // in this pause
    bool shaking;      // LWS: in the TLS handshake
    bool queued;       // in a line of ws_loop
    bool taken_out;    // of the set, while it waits in `ending`
    uint32_t told;     // what was reported then
    bool deaf;         // LWS: reads nothing before there is room to write
    union {
        ws_loop_fn *fn; // OWN
        struct {
            int prev, next; // queued; -1: none
        };
    };
    void *user; // OWN: of fn; LWS: the struct lws
} entry;

/* Descriptors that wait for their turn, in the order of their events. */
typedef struct line {
    int first, last; // -1: none
} line;

struct ws_loop {
    ws_loop_config config;
    struct lws_context *context;
    lws_log_cx_t log;
    int lws_bell; // lws's own eventfd, see destroy_context; -1: none
    int epoll;
    int limit;          // entries in `fds`
    int end;            // those from here on were never used
    entry *fds;         // mapped whole; untouched pages cost nothing
    line shaking;       // in the TLS handshake, with something to do
    line ending;        // their peers have gone
    uint64_t shaken_ns; // spent on handshakes in this turn
    bool unarmed;       // some entry is UNKNOWN
    ws_lock gate; // taken before `turn` and, by the pump, let go before it:
                  // whoever waits for the pump goes first
    ws_lock turn; // guards all above
    struct epoll_event events[BATCH];
};

/* What lws keeps for us in its thread structure. */
typedef struct lws_side {
    ws_loop *loop;
} lws_side;

/* ---- the table and the kernel */

static int
control(ws_loop *loop, int op, int fd, uint32_t events)
{
    entry *e = &loop->fds[fd];
    struct epoll_event event = {
        .events = events,
        .data.u64 = (uint64_t)e->tag << 32 | (uint32_t)fd,
    };
    int rc = epoll_ctl(loop->epoll, op, fd, &event);
    e->in_epoll = op != EPOLL_CTL_DEL && (rc == 0 || op == EPOLL_CTL_MOD);
    e->armed = rc == 0 && op != EPOLL_CTL_DEL ? events : 0;
    return rc;
}

static uint32_t
to_epoll(const entry *e)
{
    uint32_t events = ((e->want & WS_LOOP_READ) != 0 ? EPOLLIN : 0u) |
                      ((e->want & WS_LOOP_WRITE) != 0 ? EPOLLOUT : 0u);

    // So that those whose peers have gone are known from the others.
    if (e->kind == LWS && (e->want & WS_LOOP_READ) != 0) {
        events |= EPOLLRDHUP;
    }
    if (e->deaf) {
        events = EPOLLOUT;
    }
    // One shot, or it would be reported without end while it waits its turn.
    if (e->shaking) {
        events |= EPOLLONESHOT;
    }
    // The same with a peer that has gone.
    if (e->watch_hangup && (e->want & WS_LOOP_READ) == 0) {
        events |= EPOLLONESHOT | (e->told_fin ? 0u : EPOLLRDHUP);
    }
    return events;
}

/* Tells the kernel what it does not know yet. */
static void
arm(ws_loop *loop, int fd)
{
    entry *e = &loop->fds[fd];
    uint32_t events = to_epoll(e);

    if (!(e->in_epoll || e->taken_out) || e->queued || events == e->armed) {
        return;
    }
    // The end of the connection was told, and nothing else can happen.
    if (e->told_dead && e->armed == DISARMED && e->want == 0) {
        return;
    }
    int op = e->taken_out ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    if (control(loop, op, fd, events) != 0) {
        ws_log(WS_LOG_ERROR, "epoll_ctl: %m");
        e->armed = UNKNOWN;
        loop->unarmed = true;
    } else {
        e->taken_out = false;
    }
}

/* Tries again what the kernel has refused, for no event would call for it. */
static void
arm_again(ws_loop *loop)
{
    loop->unarmed = false;
    for (int fd = 0; fd < loop->end; fd++) {
        if (loop->fds[fd].armed == UNKNOWN) {
            arm(loop, fd);
        }
    }
}

static void
occupy(ws_loop *loop, int fd, enum entry_kind kind, void *user)
{
    entry *e = &loop->fds[fd];

    *e = (entry){.tag = e->tag, .kind = (uint8_t)kind, .user = user};
    if (fd >= loop->end) {
        loop->end = fd + 1;
    }
}

static line *
line_of(ws_loop *loop, const entry *e)
{
    return e->shaking ? &loop->shaking : &loop->ending;
}

static void
enqueue(ws_loop *loop, int fd)
{
    entry *e = &loop->fds[fd];
    line *l = line_of(loop, e);

    e->queued = true;
    e->prev = l->last;
    e->next = -1;
    *(e->prev < 0 ? &l->first : &loop->fds[e->prev].next) = fd;
    l->last = fd;
}

static void
dequeue(ws_loop *loop, int fd)
{
    entry *e = &loop->fds[fd];
    line *l = line_of(loop, e);

    e->queued = false;
    *(e->prev < 0 ? &l->first : &loop->fds[e->prev].next) = e->next;
    *(e->next < 0 ? &l->last : &loop->fds[e->next].prev) = e->prev;
}

static void
vacate(ws_loop *loop, int fd)
{
    entry *e = &loop->fds[fd];

    if (e->queued) {
        dequeue(loop, fd);
    }
    if (e->in_epoll) {
        (void)control(loop, EPOLL_CTL_DEL, fd, 0);
    }
    *e = (entry){.tag = e->tag + 1};
}

/* ---- what lws asks of its event library */

static int
evlib_init_pt(struct lws_context *context, void *loop, int thread)
{
    lws_side *side = lws_evlib_tsi_to_evlib_pt(context, thread);

    side->loop = loop;
    return 0;
}

/* It has no listeners, see listener.h. */
static int
evlib_nothing(struct lws *wsi)
{
    (void)wsi;
    return 0;
}

/* lws, if built so, watches the machine's routes and, when one changes, closes
   connections that it thinks have none. So it does not get to hear of any. */
static bool
is_netlink(const ws_loop *loop, int fd)
{
    int domain = AF_UNSPEC;
    socklen_t size = sizeof domain;

    return loop->context == NULL && // only then is it made
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
           domain == AF_NETLINK;
}

static void
lws_wants(ws_loop *loop, struct lws *wsi, int fd, uint8_t want)
{
    entry *e = &loop->fds[fd];

    if (e->kind == FREE) {
        occupy(loop, fd, LWS, wsi);
        e->want = want;
        if (is_netlink(loop, fd)) {
            return;
        }
        if (loop->context == NULL) {
            loop->lws_bell = fd;
        }
        if (control(loop, EPOLL_CTL_ADD, fd, to_epoll(e)) != 0) {
            ws_log(WS_LOG_ERROR, "epoll_ctl: %m");
        }
        return;
    }
    assert(e->kind == LWS && e->user == wsi);
    e->want = want;
    if ((want & WS_LOOP_READ) != 0) {
        e->told_fin = e->told_dead = false;
    }
    arm(loop, fd);
}

static void
evlib_io(struct lws *wsi, unsigned flags)
{
    ws_loop *loop = ((lws_side *)lws_evlib_wsi_to_evlib_pt(wsi))->loop;
    int fd = lws_get_socket_fd(wsi);
    if (fd < 0 || fd >= loop->limit) {
        return;
    }
    unsigned both = LWS_EV_READ | LWS_EV_WRITE;
    unsigned which = ((flags & LWS_EV_READ) != 0 ? WS_LOOP_READ : 0u) |
                     ((flags & LWS_EV_WRITE) != 0 ? WS_LOOP_WRITE : 0u);
    unsigned want = loop->fds[fd].want;

    if ((flags & LWS_EV_START) != 0) {
        lws_wants(loop, wsi, fd, (uint8_t)(want | which));
    } else if (loop->fds[fd].kind != LWS || loop->fds[fd].user != wsi) {
        // Already removed; the number may even be another's by now.
    } else if ((flags & both) == both) {
        vacate(loop, fd);
    } else {
        lws_wants(loop, wsi, fd, (uint8_t)(want & ~which));
    }
}

static int
evlib_close(struct lws *wsi)
{
    evlib_io(wsi, LWS_EV_STOP | LWS_EV_READ | LWS_EV_WRITE);
    return 0; // go on and close
}

static const struct lws_event_loop_ops evlib_ops = {
    .name = "wssend",
    .init_pt = evlib_init_pt,
    .init_vhost_listen_wsi = evlib_nothing,
    .sock_accept = evlib_nothing,
    .io = evlib_io,
    .wsi_logical_close = evlib_close,
    .evlib_size_pt = sizeof(lws_side),
};

static const lws_plugin_evlib_t evlib = {
    .hdr = {"wssend", "lws_evlib_plugin", LWS_BUILD_HASH,
            LWS_PLUGIN_API_MAGIC},
    .ops = &evlib_ops,
};

/* ---- making it */

static ws_err
map_table(ws_loop *loop)
{
    void *fds =
        mmap(NULL, (size_t)loop->limit * sizeof(entry), PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fds == MAP_FAILED) {
        return WS_ERR_NOMEM;
    }
    loop->fds = fds;
    return WS_OK;
}

static ws_err
open_loop(ws_loop *loop)
{
    loop->limit = ws_context_fd_limit();
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0) {
        return WS_ERR_SYSTEM;
    }
    if (map_table(loop) != WS_OK) {
        return WS_ERR_NOMEM;
    }
    errno = 0;
    loop->context = ws_context_new(&evlib, loop, &loop->log);
    if (loop->context != NULL) {
        return WS_OK;
    }
    // lws does not say why, but what it tried last may.
    return errno == EMFILE || errno == ENFILE ? WS_ERR_SYSTEM : WS_ERR_NOMEM;
}

static ws_err
init_locks(ws_loop *loop)
{
    if (ws_lock_init(&loop->gate) != WS_OK) {
        return WS_ERR_NOMEM;
    }
    if (ws_lock_init(&loop->turn) != WS_OK) {
        ws_lock_destroy(&loop->gate);
        return WS_ERR_NOMEM;
    }
    return WS_OK;
}

ws_err
ws_loop_new(const ws_loop_config *config, ws_loop **out)
{
    ws_loop *loop = ws_calloc(1, sizeof *loop);

    *out = NULL;
    if (loop == NULL) {
        return WS_ERR_NOMEM;
    }
    loop->config = *config;
    loop->lws_bell = -1;
    loop->shaking = loop->ending = (line){.first = -1, .last = -1};
    if (init_locks(loop) != WS_OK) {
        ws_free(loop);
        return WS_ERR_NOMEM;
    }
    ws_err err = open_loop(loop);
    if (err != WS_OK) {
        int saved = errno;
        ws_loop_free(loop);
        errno = saved;
        return err;
    }
    *out = loop;
    return WS_OK;
}

/* Whether both are the same open file: a flag of it that is changed through
   the one is seen through the other. `twin` is ours alone. */
static bool
is_same_file(int fd, int twin)
{
    int flags = fcntl(twin, F_GETFL);
    if (flags < 0 || fcntl(fd, F_GETFL) != flags ||
        fcntl(twin, F_SETFL, flags ^ O_NONBLOCK) != 0) {
        return false;
    }
    return fcntl(fd, F_GETFL) == (flags ^ O_NONBLOCK);
}

/* -1: there is none. Where descriptors have run out, the set, which is not
   needed any more, makes room for one. */
static int
twin_of_bell(ws_loop *loop)
{
    if (loop->lws_bell < 0) {
        return -1;
    }
    int twin = fcntl(loop->lws_bell, F_DUPFD_CLOEXEC, 0);
    if (twin < 0) {
        (void)close(loop->epoll);
        loop->epoll = -1;
        twin = fcntl(loop->lws_bell, F_DUPFD_CLOEXEC, 0);
    }
    return twin;
}

/* lws 4.3.5 forgets to close the eventfd of a context (mended in later ones;
   the number may then be another file's by now). */
static void
destroy_context(ws_loop *loop)
{
    int twin = twin_of_bell(loop);
    lws_context_destroy(loop->context);
    loop->context = NULL;
    if (twin >= 0 && is_same_file(loop->lws_bell, twin)) {
        (void)close(loop->lws_bell);
    }
    if (twin >= 0) {
        (void)close(twin);
    }
}

void
ws_loop_free(ws_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    ws_loop_enter(loop);
    destroy_context(loop);
    if (loop->epoll >= 0) {
        (void)close(loop->epoll);
        loop->epoll = -1;
    }
    ws_loop_leave(loop);
    if (loop->fds != NULL) {
        (void)munmap(loop->fds, (size_t)loop->limit * sizeof(entry));
    }
    ws_lock_destroy(&loop->turn);
    ws_lock_destroy(&loop->gate);
    ws_free(loop);
}

struct lws_context *
ws_loop_context(ws_loop *loop)
{
    return loop->context;
}

int
ws_loop_fd_limit(const ws_loop *loop)
{
    return loop->limit;
}

/* ---- turning */

void
ws_loop_enter(ws_loop *loop)
{
    ws_lock_acquire(&loop->gate);
    ws_lock_release(&loop->gate);
    ws_lock_acquire(&loop->turn);
}

void
ws_loop_leave(ws_loop *loop)
{
    ws_lock_release(&loop->turn);
}

/* What is there to read would be reported without end. */
static void
judge_hearing(ws_loop *loop, int fd)
{
    entry *e = &loop->fds[fd];
    bool deaf = ws_tls_is_deaf(e->user);

    if (deaf != e->deaf) {
        e->deaf = deaf;
        arm(loop, fd);
    }
}

static void
serve_lws(ws_loop *loop, int fd, uint32_t events)
{
    const entry *e = &loop->fds[fd];
    uint32_t tag = e->tag;
    unsigned want = e->want;
    bool broken = (events & (EPOLLHUP | EPOLLERR)) != 0;
    struct lws_pollfd pollfd = {
        .fd = fd,
        .events = (short)(((want & WS_LOOP_READ) != 0 ? LWS_POLLIN : 0) |
                          ((want & WS_LOOP_WRITE) != 0 ? LWS_POLLOUT : 0)),
        .revents = (short)(((events & EPOLLIN) != 0 ? LWS_POLLIN : 0) |
                           ((events & EPOLLOUT) != 0 ? LWS_POLLOUT : 0) |
                           (broken ? LWS_POLLHUP : 0)),
    };

    (void)lws_service_fd(loop->context, &pollfd);
    if (e->tag == tag) {
        judge_hearing(loop, fd);
    }
}

/* A connection that lws does not read from, whose peer is watched. */
static void
serve_paused(ws_loop *loop, int fd, uint32_t events)
{
    entry *e = &loop->fds[fd];
    uint32_t tag = e->tag;
    bool dead = (events & (EPOLLHUP | EPOLLERR)) != 0;
    bool fin = dead || (events & EPOLLRDHUP) != 0;

    e->armed = DISARMED;
    if ((dead && !e->told_dead) || (fin && !e->told_fin)) {
        e->told_fin = true;
        e->told_dead |= dead;
        loop->config.on_hangup(loop->config.user, e->user, dead);
    }
    if (e->tag == tag && (events & EPOLLOUT) != 0 &&
        (e->want & WS_LOOP_WRITE) != 0) {
        serve_lws(loop, fd, EPOLLOUT);
    }
    if (e->tag == tag) {
        arm(loop, fd);
    }
}

/* A connection whose peer has gone waits for the others to be served. It
   leaves the set, or it would be reported without end; mostly it would soon
   anyhow. */
static void
put_off(ws_loop *loop, int fd, uint32_t events)
{
    entry *e = &loop->fds[fd];

    (void)control(loop, EPOLL_CTL_DEL, fd, 0);
    e->taken_out = true;
    e->told = events;
    enqueue(loop, fd);
}

static void
serve_own(ws_loop *loop, int fd, uint32_t events)
{
    const entry *e = &loop->fds[fd];
    int got = ((events & EPOLLIN) != 0 ? WS_LOOP_READ : 0) |
              ((events & EPOLLOUT) != 0 ? WS_LOOP_WRITE : 0) |
              ((events & (EPOLLHUP | EPOLLERR)) != 0 ? WS_LOOP_ERROR : 0);

    e->fn(e->user, fd, got);
}

static void
serve(ws_loop *loop, const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    const entry *e = &loop->fds[fd];

    if (e->tag != (uint32_t)(event->data.u64 >> 32) || e->kind == FREE) {
        return; // meant for an earlier owner of this number
    }
    if (e->kind == OWN) {
        serve_own(loop, fd, event->events);
    } else if (e->shaking) {
        loop->fds[fd].armed = DISARMED;
        if (!e->queued) {
            enqueue(loop, fd);
        }
    } else if (e->watch_hangup && (e->want & WS_LOOP_READ) == 0) {
        serve_paused(loop, fd, event->events);
    } else if ((event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        put_off(loop, fd, event->events);
    } else {
        serve_lws(loop, fd, event->events);
    }
}

/* Goes on with one TLS handshake, whatever its event was. */
static void
shake_one(ws_loop *loop, int fd)
{
    entry *e = &loop->fds[fd];
    struct lws *wsi = e->user;
    uint32_t tag = e->tag;
    uint64_t begun = ws_now_ns();

    dequeue(loop, fd);
    serve_lws(loop, fd, EPOLLIN | EPOLLOUT);
    loop->shaken_ns += ws_now_ns() - begun;
    if (e->tag == tag) {
        e->shaking = ws_tls_is_shaking(wsi);
        if (!e->shaking) {
            // It would now have a day for what lws thinks is to follow.
            lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
        }
        arm(loop, fd);
    }
}

/* One handshake at least, more as far as their time goes; the rest stays where
   it is for the next turn, before which everything else is served. */
static void
shake(ws_loop *loop)
{
    for (bool more = true; more && loop->shaking.first >= 0;) {
        shake_one(loop, loop->shaking.first);
        more = loop->shaken_ns < WS_LOOP_SHAKE_NS;
    }
}

/* Reads what the peer may have left, and closes. */
static void
end_one(ws_loop *loop, int fd)
{
    entry *e = &loop->fds[fd];
    uint32_t tag = e->tag;

    dequeue(loop, fd);
    if (!e->watch_hangup || (e->want & WS_LOOP_READ) != 0) {
        serve_lws(loop, fd, e->told);
    }
    if (e->tag == tag) {
        arm(loop, fd); // there was more to read, or it was paused meanwhile
    }
}

/* Thousands may go in one moment. Nothing waits for their end, so one at least
   has its turn, and `more` as far as the time goes. */
static void
end(ws_loop *loop, bool more)
{
    uint64_t until = loop->ending.first < 0 ? 0 : ws_now_ns() + END_NS;

    while (loop->ending.first >= 0) {
        end_one(loop, loop->ending.first);
        if (!more || ws_now_ns() >= until) {
            return;
        }
    }
}

int
ws_loop_turn(ws_loop *loop, int timeout_ms)
{
    assert(timeout_ms >= 0);
    if (loop->unarmed) {
        arm_again(loop);
    }
    if (loop->unarmed && timeout_ms > RETRY_MS) {
        timeout_ms = RETRY_MS;
    }
    int wait = lws_service_adjust_timeout(loop->context, timeout_ms, 0);
    if (wait == 0 && timeout_ms > 0) {
        wait = 1; // a timer of lws is less than that ahead
    }
    if (loop->shaking.first >= 0 || loop->ending.first >= 0) {
        wait = 0;
    }
    ws_loop_leave(loop);
    int count = epoll_wait(loop->epoll, loop->events, BATCH, wait);
    ws_loop_enter(loop);
    assert(count >= 0 || errno == EINTR);
    loop->shaken_ns = 0;
    for (int i = 0; i < count; i++) {
        serve(loop, &loop->events[i]);
    }
    shake(loop);
    end(loop, count < BATCH); // else there is more to be seen first
    return count > 0 ? count : 0;
}

/* ---- connections */

/* A number that no other socket has; 0: this is none. */
static uint64_t
socket_cookie(int fd)
{
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    int err = getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size);
    return err == 0 ? cookie : 0;
}

struct lws *
ws_loop_adopt(ws_loop *loop, struct lws_vhost *vhost, const char *protocol,
              int fd, void *opaque)
{
    assert(lws_vhost_name_to_protocol(vhost, protocol) != NULL);
    // lws would refuse it, too, but write behind its table while doing so.
    if (fd >= loop->limit) {
        ws_log(WS_LOG_ERROR, "descriptor %d is over the limit of %d", fd,
               loop->limit);
        (void)close(fd);
        return NULL;
    }
    lws_adopt_desc_t info = {
        .vh = vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
        .fd.sockfd = fd,
        .vh_prot_name = protocol,
        .opaque = opaque,
    };
    uint64_t cookie = socket_cookie(fd);
    uint64_t begun = ws_now_ns();
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&info);
    loop->shaken_ns += ws_now_ns() - begun; // only TLS takes its time
    // When SSL_set_fd has found no memory, lws closes what OpenSSL takes for
    // the descriptor: none.
    if (wsi == NULL && cookie != 0 && socket_cookie(fd) == cookie) {
        (void)close(fd);
    }
    if (wsi != NULL && !loop->fds[fd].in_epoll) {
        lws_wsi_close(wsi, LWS_TO_KILL_SYNC);
        return NULL;
    }
    if (wsi != NULL && ws_tls_is_shaking(wsi)) {
        loop->fds[fd].shaking = true;
        arm(loop, fd);
    }
    return wsi;
}

bool
ws_loop_is_shaking(const ws_loop *loop)
{
    return loop->shaking.first >= 0 || loop->shaken_ns >= WS_LOOP_SHAKE_NS;
}

void
ws_loop_watch_hangup(ws_loop *loop, struct lws *wsi, bool on)
{
    int fd = lws_get_socket_fd(wsi);
    assert(loop->config.on_hangup != NULL);
    if (fd < 0 || fd >= loop->limit || loop->fds[fd].user != wsi) {
        return; // being closed
    }
    loop->fds[fd].watch_hangup = on;
    arm(loop, fd);
}

/* ---- descriptors of our own */

static ws_err
register_own(ws_loop *loop, int fd, int events)
{
    entry *e = &loop->fds[fd];

    e->want = (uint8_t)events;
    e->tag++;
    if (events == 0 || control(loop, EPOLL_CTL_ADD, fd, to_epoll(e)) == 0) {
        return WS_OK;
    }
    e->want = 0;
    return errno == ENOMEM || errno == ENOSPC ? WS_ERR_NOMEM : WS_ERR_SYSTEM;
}

ws_err
ws_loop_watch(ws_loop *loop, int fd, int events, ws_loop_fn *fn, void *user)
{
    if (fd >= loop->limit) {
        errno = EMFILE;
        return WS_ERR_SYSTEM;
    }
    assert(loop->fds[fd].kind == FREE);
    occupy(loop, fd, OWN, user);
    loop->fds[fd].fn = fn;
    ws_err err = register_own(loop, fd, events);
    if (err != WS_OK) {
        vacate(loop, fd);
    }
    return err;
}

ws_err
ws_loop_rewatch(ws_loop *loop, int fd, int events)
{
    entry *e = &loop->fds[fd];

    assert(e->kind == OWN);
    if (e->in_epoll && events != 0) {
        e->want = (uint8_t)events;
        arm(loop, fd);
        return WS_OK;
    }
    if (e->in_epoll) {
        // Out of the set: even with no interest it would report a hang-up.
        (void)control(loop, EPOLL_CTL_DEL, fd, 0);
    }
    return register_own(loop, fd, events);
}

void
ws_loop_unwatch(ws_loop *loop, int fd)
{
    if (fd < loop->limit && loop->fds[fd].kind == OWN) {
        vacate(loop, fd);
    }
}

/* ---- fork */

void
ws_loop_each_fd(const ws_loop *loop, void (*fn)(int fd, void *arg), void *arg)
{
    for (int fd = 0; fd < loop->end; fd++) {
        if (loop->fds[fd].kind != FREE) {
            fn(fd, arg);
        }
    }
    fn(loop->epoll, arg);
}

void
ws_loop_fork_prepare(ws_loop *loop)
{
    ws_lock_acquire(&loop->gate);
    ws_lock_acquire(&loop->turn);
}

void
ws_loop_fork_parent(ws_loop *loop)
{
    ws_lock_release(&loop->turn);
    ws_lock_release(&loop->gate);
}

static void
close_it(int fd, void *arg)
{
    (void)arg;
    (void)close(fd);
}

void
ws_loop_fork_child(ws_loop *loop)
{
    ws_loop_each_fd(loop, close_it, NULL);
}

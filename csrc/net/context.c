#include "context.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/alloc.h"
#include "log.h"

enum {
    // A TLS record is at most 16 kB: no plaintext is left behind in OpenSSL,
    // where no event would tell of it.
    READ_SIZE = 17 * 1024,
    // lws ends TLS handshakes by a clock of its own; ours is to be first.
    TIMEOUT_S = 24 * 60 * 60,
    // Over ten million, lws takes the limit of descriptors for 2560.
    MAX_FDS = 1 << 20,
};

/* How often lws was refused memory. Not by thread: a module that Python loads
   would pay for that with a block in every thread. */
static atomic_ulong refusals;

/* lws frees with a size of 0. */
static void *
allocate(void *ptr, size_t size, const char *reason)
{
    (void)reason;
    if (size == 0) {
        ws_free(ptr);
        return NULL;
    }
    void *block = ws_realloc(ptr, size);
    if (block == NULL) {
        (void)atomic_fetch_add(&refusals, 1);
    }
    return block;
}

static void
set_allocator(void)
{
    lws_set_allocator(allocate);
}

static void
log_line(int level, const char *line)
{
    ws_log(level == LLL_ERR ? WS_LOG_ERROR : WS_LOG_WARNING,
           "libwebsockets: %.*s", (int)strcspn(line, "\n"), line);
}

static struct lws_context *
create(const lws_plugin_evlib_t *evlib, void *loop, lws_log_cx_t *log)
{
    // No validity timers: an O(n) list, and keepalive is ours.
    static const lws_retry_bo_t no_retry;
    void *loops[] = {loop};
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
        .event_lib_custom = evlib,
        .foreign_loops = loops,
        .pt_serv_buf_size = READ_SIZE,
        .retry_and_idle_policy = &no_retry,
        .timeout_secs = TIMEOUT_S,
        .log_cx = log,
    };

    return lws_create_context(&info);
}

/* lws 4.3.5 that runs out of memory at its very beginning closes descriptor 0,
   which it takes for its own. Whatever it was is put back. */
static struct lws_context *
create_sparing_stdin(const lws_plugin_evlib_t *evlib, void *loop,
                     lws_log_cx_t *log)
{
    int flags = fcntl(STDIN_FILENO, F_GETFD);
    int twin = flags < 0 ? -1 : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    struct lws_context *context = create(evlib, loop, log);
    int saved = errno;
    if (twin >= 0) {
        if (context == NULL && fcntl(STDIN_FILENO, F_GETFD) < 0) {
            (void)dup3(twin, STDIN_FILENO,
                       (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
        }
        (void)close(twin);
    }
    errno = saved;
    return context;
}

int
ws_context_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > MAX_FDS) {
        return MAX_FDS;
    }
    return (int)limit.rlim_cur;
}

struct lws_context *
ws_context_new(const lws_plugin_evlib_t *evlib, void *loop, lws_log_cx_t *log)
{
    struct rlimit old;
    bool lower = getrlimit(RLIMIT_NOFILE, &old) == 0 && old.rlim_cur > MAX_FDS;
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, set_allocator);
    // The first is for lines of which lws cannot tell the context. Each
    // context has its own besides, because they are counted without a lock.
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    *log = (lws_log_cx_t){
        .lll_flags = LLL_ERR | LLL_WARN,
        .u.emit = log_line,
    };
    // lws sizes its tables by the limit: show it one that makes sense.
    if (lower) {
        struct rlimit sane = {.rlim_cur = MAX_FDS, .rlim_max = old.rlim_max};
        (void)setrlimit(RLIMIT_NOFILE, &sane);
    }
    struct lws_context *context = create_sparing_stdin(evlib, loop, log);
    if (lower) {
        (void)setrlimit(RLIMIT_NOFILE, &old);
    }
    return context;
}

struct lws_vhost *
ws_context_new_vhost(struct lws_context *context,
                     const struct lws_context_creation_info *info)
{
    unsigned long before = atomic_load(&refusals);
    struct lws_vhost *vhost = lws_create_vhost(context, info);
    // Another thread's refusal counts, too: there is no memory, either way.
    if (vhost != NULL && atomic_load(&refusals) != before) {
        lws_vhost_destroy(vhost);
        return NULL;
    }
    return vhost;
}

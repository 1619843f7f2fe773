#include "context.h"

#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>

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
    struct lws_context *context = create(evlib, loop, log);
    if (lower) {
        (void)setrlimit(RLIMIT_NOFILE, &old);
    }
    return context;
}

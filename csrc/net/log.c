#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "core/lock.h"

enum { LINE_SIZE = 400 };

static _Atomic(ws_log_fn *) log_sink;
static atomic_uint_fast64_t log_second; // in which log_count lines came
static atomic_uint log_count;
static atomic_uint log_held_back;

/* Whether this second has room for one more line. Two threads that turn the
   second together may let a few lines too many pass. */
static bool
has_room(void)
{
    uint_fast64_t second = ws_now_coarse_ns() / WS_NS_PER_S;

    if (atomic_exchange(&log_second, second) != second) {
        atomic_store(&log_count, 0);
    }
    if (atomic_fetch_add(&log_count, 1) < WS_LOG_PER_SECOND) {
        return true;
    }
    atomic_fetch_add(&log_held_back, 1);
    return false;
}

/* Printable ASCII as it is, UTF-8 bytes and all else as \xNN. */
static void
escape(const char *text, char *out, size_t size)
{
    size_t used = 0;

    for (; *text != '\0' && size - used > 4; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte >= ' ' && byte < 127 && byte != '\\') {
            out[used++] = (char)byte;
        } else {
            used += (size_t)snprintf(out + used, size - used, "\\x%02x", byte);
        }
    }
    out[used] = '\0';
}

static void
to_stderr(const char *line)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    char out[LINE_SIZE + 16];

    // A line is shorter than PIPE_BUF, so one that may be written, fits.
    if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0) {
        int size = snprintf(out, sizeof out, "wssend: %s\n", line);
        ssize_t written = write(STDERR_FILENO, out, (size_t)size);
        (void)written; // there is nowhere to complain
    }
}

static void
emit(ws_log_level level, const char *line)
{
    ws_log_fn *sink = atomic_load(&log_sink);

    if (sink != NULL) {
        sink(level, line);
    } else {
        to_stderr(line);
    }
}

void
ws_log_set_sink(ws_log_fn *sink)
{
    atomic_store(&log_sink, sink);
}

void
ws_log(ws_log_level level, const char *format, ...)
{
    char text[LINE_SIZE / 2];
    char line[LINE_SIZE];
    int saved = errno; // for %m

    if (!has_room()) {
        return;
    }
    unsigned held_back = atomic_exchange(&log_held_back, 0);
    if (held_back > 0) {
        (void)snprintf(line, sizeof line, "%u log lines held back", held_back);
        emit(level, line);
    }
    va_list args;
    va_start(args, format);
    errno = saved;
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    escape(text, line, sizeof line);
    emit(level, line);
}

/*
 * log.h - the few lines that the pump has to say.
 *
 * Lines are one line, escaped (a peer can put nothing into a terminal),
 * and limited to WS_LOG_PER_SECOND; the next one says how many were held
 * back. They go to the sink, or to stderr where there is none. A stderr that
 * would block loses them: the pump waits for nobody.
 *
 * Threads: any.
 * Owns:    nothing.
 * Locks:   none.
 */
#ifndef WS_NET_LOG_H
#define WS_NET_LOG_H

enum { WS_LOG_PER_SECOND = 10 };

typedef enum ws_log_level {
    WS_LOG_WARNING,
    WS_LOG_ERROR,
} ws_log_level;

/* `line` has no line end and is borrowed. */
typedef void ws_log_fn(ws_log_level level, const char *line);

/* NULL: stderr. */
void ws_log_set_sink(ws_log_fn *sink);

/* %m stands for errno. */
void ws_log(ws_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

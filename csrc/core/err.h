/* err.h - every way the core can refuse, in one list. */
#ifndef WS_CORE_ERR_H
#define WS_CORE_ERR_H

/* X(NAME, code, text). Codes are stable: they are logged and counted.
   A new line here also needs its exception in py/raise.c. */
#define WS_ERR_MAP(X)                                              \
    X(NOMEM, -1, "out of memory")                                  \
    X(FULL, -2, "the send channel is full")                        \
    X(CLOSED, -3, "the client is closed")                          \
    X(TOO_BIG, -4, "the message is larger than the whole channel") \
    X(NOT_FOUND, -5, "there is no such client")                    \
    X(IN_USE, -6, "the client id is in use")                       \
    X(HUB_CLOSED, -7, "the hub is closed")                         \
    X(TIMEOUT, -8, "timed out")                                    \
    X(SYSTEM, -9, "a system call failed")                          \
    X(TOO_MANY, -10, "there are too many clients")

typedef enum ws_err {
    WS_OK = 0,
#define X(name, code, text) WS_ERR_##name = (code),
    WS_ERR_MAP(X)
#undef X
} ws_err;

/* On every function whose ws_err the caller must look at. */
#define WS_MUST_CHECK __attribute__((warn_unused_result))

/* A static string, never NULL, also for a code that is not in the list. */
const char *ws_err_text(ws_err err);

#endif

/*
 * close_code.h - the status codes of RFC 6455 7.4, and the body of a Close.
 *
 * Threads: any; pure.
 * Owns:    nothing.
 */
#ifndef WS_PROTO_CLOSE_CODE_H
#define WS_PROTO_CLOSE_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The codes of the IANA registry below 3000. Those marked "never on the wire"
   only tell the application how a connection ended. */
enum {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL_ERROR = 1002,
    WS_CLOSE_UNSUPPORTED_DATA = 1003,
    WS_CLOSE_NO_STATUS = 1005, /* never on the wire: the body was empty */
    WS_CLOSE_ABNORMAL = 1006,  /* never on the wire: there was no Close */
    WS_CLOSE_INVALID_DATA = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_MANDATORY_EXTENSION = 1010,
    WS_CLOSE_INTERNAL_ERROR = 1011,
    WS_CLOSE_SERVICE_RESTART = 1012,
    WS_CLOSE_TRY_AGAIN_LATER = 1013,
    WS_CLOSE_BAD_GATEWAY = 1014,
    WS_CLOSE_TLS_HANDSHAKE = 1015, /* never on the wire */
};

/* Bytes of the longest reason: a control frame's 125 without the code. */
enum { WS_CLOSE_REASON_MAX = 123 };

typedef struct ws_close_body {
    uint16_t code;         /* WS_CLOSE_NO_STATUS: the body was empty */
    const uint8_t *reason; /* UTF-8 inside the parsed payload */
    size_t reason_size;    /* bytes, at most WS_CLOSE_REASON_MAX */
} ws_close_body;

/*
 * Whether a Close may carry `code`, in either direction: the registered codes
 * that are meant for the wire (1000 to 1003 and 1007 to 1014), those of
 * libraries (3000 to 3999) and those of applications (4000 to 4999). All else
 * is reserved, unassigned or out of range.
 *
 * The same rule holds for what an application may send. 1010 is a client's
 * code, but RFC 6455 only observes that a server has no use for it.
 */
bool ws_close_code_valid(uint32_t code);

/*
 * Parses the unmasked payload of a Close (RFC 6455 5.5.1); size <= 125.
 * Returns NULL, or a static text naming the broken rule; body->code is then
 * the code to fail the connection with and the reason is empty:
 *   1002  one byte only, or a code that may not be on the wire
 *   1007  the reason is not UTF-8
 */
const char *ws_close_code_parse(const uint8_t *payload, size_t size,
                                ws_close_body *body);

#endif

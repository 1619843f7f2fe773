/*
 * outgoing.h - the sending calls as one C function each, for the time that
 * the GIL is released: nothing here knows Python.
 *
 * Threads: any.
 * Owns:    nothing; the payload is lent for the call.
 */
#ifndef WS_PY_OUTGOING_H
#define WS_PY_OUTGOING_H

#include <stdbool.h>
#include <stddef.h>

#include "core/client.h"
#include "core/err.h"
#include "core/fanout.h"
#include "core/hub.h"
#include "core/msg.h"
#include "net/message.h"

typedef struct ws_outgoing {
    ws_msg *prepared; /* used as it is; NULL: made of the rest */
    ws_message_kind kind;
    const void *data;
    size_t size; /* payload bytes, of `prepared`, too */
    /* Set by the calls, whatever they return: text that is not UTF-8 is sent
       to nobody and counted nowhere. */
    ws_utf8_error invalid;
} ws_outgoing;

static inline bool
ws_outgoing_is_invalid(const ws_outgoing *out)
{
    return out->invalid.start != SIZE_MAX;
}

/* As ws_client_send; what fails before there is a message is counted, too.
   What is too large is refused without being copied. */
WS_MUST_CHECK ws_err ws_outgoing_send(ws_outgoing *out, ws_client *client);

/* The same by id. *client becomes the client, a reference, or NULL: NOT_FOUND,
   nothing was counted. */
WS_MUST_CHECK ws_err ws_outgoing_send_to(ws_outgoing *out, ws_hub *hub,
                                         ws_text id, ws_client **client);

/* As ws_fan_out. TOO_BIG, NOMEM: the refusal of everybody was counted, there
   is no report to release. */
WS_MUST_CHECK ws_err ws_outgoing_fan_out(ws_outgoing *out, ws_hub *hub,
                                         ws_target target, ws_exclude *exclude,
                                         ws_report *report);

#endif

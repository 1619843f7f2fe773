/*
 * memory_end.h - a client without a socket: its other end is in the same
 * process, for the tests of applications.
 *
 * The client is like any other: its channel, limits, counters, topics and
 * events are real. Instead of a pump, whoever has pushed a message, or has
 * begun to close the client, takes what its channel holds over to the end, in
 * its own thread and before its call returns. So with one sender a client that
 * is not stalled is never full, however small its channel; with several that
 * send at the same moment, it may be, like any. A stalled end takes nothing
 * until it goes on, so what is sent stays queued. No deadline acts on it.
 *
 * Threads: any, except where a function says otherwise.
 * Owns:    a reference to its client, which refers to it while it is there;
 *          the messages that it has taken.
 * Locks:   the hub's memory_turn, which stands for a pump's turn: held around
 *          all that a pump would do for such a client, before all other locks.
 */
#ifndef WS_CORE_MEMORY_END_H
#define WS_CORE_MEMORY_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client.h"
#include "err.h"
#include "hub.h"

/* The number of their doorbell: no pump of a hub with such clients may have
   it. */
enum { WS_MEMORY_NUMBER = WS_WAKE_NUMBERS - 1 };

typedef struct ws_memory_end ws_memory_end;

/* Makes a client and has it join. HUB_CLOSED, IN_USE, TOO_MANY, NOMEM: as
   ws_hub_join, there is none. */
WS_MUST_CHECK ws_err ws_memory_end_new(ws_hub *hub, const ws_client_info *info,
                                       ws_memory_end **out);

/* A client that has not ended vanishes, as by ws_memory_end_close with 1006.
   Nobody may be in another call about this end. NULL does nothing. */
void ws_memory_end_free(ws_memory_end *end);

ws_client *ws_memory_end_client(const ws_memory_end *end); /* borrowed */

/* Takes nothing from now on; or goes on, with all that has been queued. */
void ws_memory_end_stall(ws_memory_end *end, bool stalled);

/* What has come since the last call, in order: an array to be freed with
   ws_free, and the references in it. Returns how many; 0: *out is NULL. */
size_t ws_memory_end_take(ws_memory_end *end, ws_msg ***out);

/* Sleeps until more than `seen` messages have come in all, or the connection
   is over: WS_OK; or until CLOCK_MONOTONIC shows `until_ns`: TIMEOUT. */
WS_MUST_CHECK ws_err ws_memory_end_wait(ws_memory_end *end, uint64_t seen,
                                        uint64_t until_ns);

/* A message of the client's; text is valid UTF-8. FULL: the hub's events have
   no room for it now. CLOSED: the connection is over. NOMEM. On each of these
   nothing has changed. Once closing has begun, the message is dropped and
   counted, as a pump does. */
WS_MUST_CHECK ws_err ws_memory_end_send(ws_memory_end *end, const void *data,
                                        size_t size, bool text);

/* The client leaves: with a Close (`clean`), or without. What a stalled end
   has not taken is lost. Idempotent. */
void ws_memory_end_close(ws_memory_end *end, uint16_t code, ws_text reason,
                         bool clean);

/* Whether the connection is over: the end has seen the Close. */
bool ws_memory_end_is_over(ws_memory_end *end);

/* For a hub that closes: begins to close every such client; and ends those
   that are left, for a hub that lets nobody join any more. */
void ws_memory_end_close_all(ws_hub *hub, uint16_t code, ws_text reason);
void ws_memory_end_cut_all(ws_hub *hub);

#endif

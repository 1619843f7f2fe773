/*
 * fanout.h - one message to many clients, with an exact account of it.
 *
 * Runs in the caller's thread, which needs no lock of its own. A client that
 * is a member throughout the call is tried exactly once, any other at most
 * once; queued + full + closed + failed = tried. Concurrent calls have no
 * common order.
 *
 * Threads: any.
 */
#ifndef WS_CORE_FANOUT_H
#define WS_CORE_FANOUT_H

#include <stddef.h>

#include "client.h"
#include "hub.h"
#include "msg.h"

typedef struct ws_report {
    size_t tried;
    size_t queued;
    size_t closed;    /* began closing while the call was under way */
    size_t failed;    /* refused for another reason: no memory, too large */
    ws_client **full; /* whose channel was full, a reference each */
    size_t full_count;
    size_t full_cap;
} ws_report;

/* Clients to leave out, borrowed: sorted by ws_exclude_sort. */
typedef struct ws_exclude {
    ws_client **clients;
    size_t count;
} ws_exclude;

void ws_exclude_sort(ws_exclude *exclude);

/* Tries every member of `target` but the excluded. Fills *report, zeroed
   before; release it with ws_report_release. A client that was refused as full
   and for whom the report has no memory is counted as failed. */
void ws_fan_out(ws_hub *hub, ws_target target, ws_msg *msg,
                const ws_exclude *exclude, ws_report *report);

/* Counts an attempt at every member of `target` that failed before there was
   a message (`err` NOMEM or TOO_BIG). */
void ws_fan_out_refused(ws_hub *hub, ws_target target, ws_err err,
                        const ws_exclude *exclude, ws_report *report);

void ws_report_release(ws_report *report);

#endif

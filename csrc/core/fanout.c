#include "fanout.h"

#include <stdlib.h>

#include "alloc.h"

static int
by_address(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t) * (ws_client *const *)a;
    uintptr_t right = (uintptr_t) * (ws_client *const *)b;
    return (left > right) - (left < right);
}

void
ws_exclude_sort(ws_exclude *exclude)
{
    if (exclude->count > 1) {
        qsort(exclude->clients, exclude->count, sizeof(ws_client *),
              by_address);
    }
}

static bool
is_excluded(const ws_exclude *exclude, ws_client *client)
{
    return exclude->count > 0 &&
           bsearch(&client, exclude->clients, exclude->count,
                   sizeof(ws_client *), by_address) != NULL;
}

/* Notes a full client; false: no memory. */
static bool
note_full(ws_report *report, ws_client *client)
{
    if (report->full_count == report->full_cap) {
        size_t cap = report->full_cap == 0 ? 16 : report->full_cap * 2;
        ws_client **grown =
            ws_realloc(report->full, cap * sizeof(ws_client *));
        if (grown == NULL) {
            return false;
        }
        report->full = grown;
        report->full_cap = cap;
    }
    report->full[report->full_count++] = ws_client_ref(client);
    return true;
}

static void
note(ws_report *report, ws_client *client, ws_err err)
{
    report->tried++;
    if (err == WS_OK) {
        report->queued++;
    } else if (err == WS_ERR_CLOSED) {
        report->closed++;
    } else if (err != WS_ERR_FULL || !note_full(report, client)) {
        report->failed++;
    }
}

/* The clients that wait to be put on their pumps' lists: a chain a pump, so
   that each is rung once however they alternate. */
typedef struct ringer {
    uint64_t used; /* a bit for each slot that holds something */
    struct {
        ws_wake *wake;
        ws_wake_chain chain;
    } slots[WS_WAKE_NUMBERS];
} ringer;

static void
ring(ringer *r)
{
    for (; r->used != 0; r->used &= r->used - 1) {
        int i = __builtin_ctzll(r->used);
        ws_client_wake_chain(r->slots[i].wake, &r->slots[i].chain);
    }
}

static ws_wake_chain *
chain_for(ringer *r, const ws_client *client)
{
    uint64_t bit = UINT64_C(1) << client->pump;
    if ((r->used & bit) == 0) {
        r->used |= bit;
        r->slots[client->pump].wake = client->wake;
        r->slots[client->pump].chain = (ws_wake_chain){NULL, NULL};
    }
    return &r->slots[client->pump].chain;
}

static ws_err
push_one(ws_client *client, ws_msg *msg, ws_err refusal, ringer *r)
{
    if (msg == NULL) {
        return ws_chan_refuse(&client->chan, refusal);
    }
    return ws_client_send_chained(client, msg, chain_for(r, client));
}

static void
try_one(ws_client *client, ws_msg *msg, ws_err refusal,
        const ws_exclude *exclude, ringer *r, ws_report *report)
{
    if (!is_excluded(exclude, client)) {
        note(report, client, push_one(client, msg, refusal, r));
    }
}

static void
fetch_ahead(ws_client **some, size_t count, size_t i)
{
    enum { AHEAD = 6 };
    if (i + AHEAD < count) {
        ws_client_prefetch(some[i + AHEAD]);
    }
}

/* `msg` NULL: counts `refusal` instead. */
static void
fan_out(ws_hub *hub, ws_target target, ws_msg *msg, ws_err refusal,
        const ws_exclude *exclude, ws_report *report)
{
    ws_client *some[WS_GROUP_CHUNK];
    ws_walk walk = ws_hub_walk(hub, target);
    size_t n = 0;
    ringer r;

    r.used = 0;
    while ((n = ws_hub_walk_next(hub, &walk, some)) > 0) {
        for (size_t i = 0; i < n; i++) {
            fetch_ahead(some, n, i);
            try_one(some[i], msg, refusal, exclude, &r, report);
        }
        ring(&r); // chunk by chunk: the pump writes while we go on
        for (size_t i = 0; i < n; i++) {
            ws_client_unref(some[i]);
        }
    }
}

void
ws_fan_out(ws_hub *hub, ws_target target, ws_msg *msg,
           const ws_exclude *exclude, ws_report *report)
{
    fan_out(hub, target, msg, WS_OK, exclude, report);
}

void
ws_fan_out_refused(ws_hub *hub, ws_target target, ws_err err,
                   const ws_exclude *exclude, ws_report *report)
{
    fan_out(hub, target, NULL, err, exclude, report);
}

void
ws_report_release(ws_report *report)
{
    for (size_t i = 0; i < report->full_count; i++) {
        ws_client_unref(report->full[i]);
    }
    ws_free(report->full);
    *report = (ws_report){0};
}

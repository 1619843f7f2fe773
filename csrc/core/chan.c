#include "chan.h"

#include <assert.h>
#include <string.h>

#include "alloc.h"

enum {
    FIRST_CAP = 4,
    KEEP_CAP = 32, // a ring no larger than this survives running empty
};

/* The slot of the i-th oldest message; i == len is the first free one. */
static uint32_t
slot(const ws_chan *ch, uint32_t i)
{
    return (ch->head + i) & (ch->cap - 1);
}

static void
check_locked(const ws_chan *ch)
{
    assert((ch->cap & (ch->cap - 1)) == 0);
    assert(ch->cap == 0 || ch->head < ch->cap);
    assert(ch->len <= ch->cap && ch->len <= ch->limits->max_msgs);
    assert(ch->bytes <= ch->limits->max_bytes);
    assert(ch->len > 0 || (ch->bytes == 0 && ch->offset == 0));
    assert(ch->peeked <= ch->len);
    assert(ch->counts.accepted == ch->counts.written + ch->len +
                                      ch->counts.dropped + ch->counts.lost);
    (void)ch;
}

static ws_err
grow_locked(ws_chan *ch)
{
    assert(ch->len == ch->cap);

    uint32_t cap = ch->cap == 0 ? FIRST_CAP : ch->cap * 2;
    ws_chan_entry *ring = ws_malloc(cap * sizeof *ring);
    if (ring == NULL) {
        return WS_ERR_NOMEM;
    }
    uint32_t upper = ch->cap - ch->head; // slots from the head to the end
    if (ch->cap > 0) {
        memcpy(ring, ch->ring + ch->head, upper * sizeof *ring);
        memcpy(ring + upper, ch->ring, ch->head * sizeof *ring);
    }
    ws_free(ch->ring);
    ch->ring = ring;
    ch->cap = cap;
    ch->head = 0;
    return WS_OK;
}

static void
count_refusal_locked(ws_chan *ch, ws_err err)
{
    switch (err) {
    case WS_ERR_FULL:
        ch->counts.refused_full++;
        break;
    case WS_ERR_CLOSED:
        ch->counts.refused_closed++;
        if (ch->late != NULL) {
            // Relaxed: a counter, nothing is read through it.
            (void)atomic_fetch_add_explicit(ch->late, 1, memory_order_relaxed);
        }
        break;
    case WS_ERR_TOO_BIG:
        ch->counts.refused_too_large++;
        break;
    case WS_ERR_NOMEM:
        ch->counts.refused_nomem++;
        break;
    case WS_OK:
    case WS_ERR_NOT_FOUND:
    case WS_ERR_IN_USE:
    case WS_ERR_HUB_CLOSED:
    case WS_ERR_TIMEOUT:
    case WS_ERR_SYSTEM:
    case WS_ERR_TOO_MANY:
        break;
    }
}

/* Why `size` more bytes may not be queued; WS_OK: they may. */
static ws_err
judge_locked(const ws_chan *ch, size_t size)
{
    if (ch->closed) {
        return WS_ERR_CLOSED;
    }
    if (size > ch->limits->max_bytes) {
        return WS_ERR_TOO_BIG;
    }
    if (ch->len == ch->limits->max_msgs ||
        size > ch->limits->max_bytes - ch->bytes) {
        return WS_ERR_FULL;
    }
    return WS_OK;
}

/* Makes room for `size` more bytes, or says why there is none. */
static ws_err
admit_locked(ws_chan *ch, size_t size)
{
    ws_err err = judge_locked(ch, size);
    return err != WS_OK || ch->len < ch->cap ? err : grow_locked(ch);
}

/* Messages that have left, one way or another. */
static uint64_t
left_locked(const ws_chan *ch)
{
    return ch->counts.accepted - ch->len;
}

static bool
has_room_locked(const ws_chan *ch)
{
    return ch->len <= ch->limits->max_msgs / 2 &&
           ch->bytes <= ch->limits->max_bytes / 2;
}

static bool
is_met_locked(const ws_chan *ch, const ws_waiter *waiter)
{
    return waiter->kind == WS_WAIT_ROOM ? has_room_locked(ch)
                                        : left_locked(ch) >= waiter->target;
}

/* Unlinks the waiters whose time has come, or all of them. */
static ws_waiter *
take_met_locked(ws_chan *ch, bool all)
{
    ws_waiter *met = NULL;
    ws_waiter **link = &ch->waiters;
    while (*link != NULL) {
        ws_waiter *waiter = *link;
        if (all || is_met_locked(ch, waiter)) {
            *link = waiter->next;
            waiter->next = met;
            met = waiter;
        } else {
            link = &waiter->next;
        }
    }
    return met;
}

static void
fire_all(ws_waiter *waiters, ws_err result)
{
    while (waiters != NULL) {
        ws_waiter *next = waiters->next; // firing may free the waiter
        waiters->fire(waiters, result);
        waiters = next;
    }
}

/* Detaches a ring that has run empty and is worth giving back. */
static ws_chan_entry *
take_idle_ring_locked(ws_chan *ch)
{
    if (ch->len > 0 || ch->cap <= KEEP_CAP) {
        return NULL;
    }
    ws_chan_entry *ring = ch->ring;
    ch->ring = NULL;
    ch->cap = 0;
    ch->head = 0;
    return ring;
}

ws_err
ws_chan_init(ws_chan *ch, const ws_chan_limits *limits)
{
    assert(limits->max_msgs >= 1 && limits->max_msgs <= WS_CHAN_MAX_MSGS);
    assert(limits->max_bytes >= 1);

    *ch = (ws_chan){.limits = limits};
    return ws_lock_init(&ch->lock);
}

void
ws_chan_destroy(ws_chan *ch)
{
    check_locked(ch);
    assert(ch->waiters == NULL);
    for (uint32_t i = 0; i < ch->len; i++) {
        ws_msg_unref(ch->ring[slot(ch, i)].msg);
    }
    ws_lock_destroy(&ch->lock);
    ws_free(ch->ring);
}

ws_err
ws_chan_push(ws_chan *ch, ws_msg *msg)
{
    size_t size = ws_msg_size(msg);
    uint64_t now = ws_now_coarse_ns();

    ws_lock_acquire(&ch->lock);
    ws_err err = admit_locked(ch, size);
    if (err == WS_OK) {
        ch->ring[slot(ch, ch->len)] = (ws_chan_entry){ws_msg_ref(msg), now};
        ch->len++;
        ch->bytes += size;
        ch->counts.accepted++;
    } else {
        count_refusal_locked(ch, err);
    }
    check_locked(ch);
    ws_lock_release(&ch->lock);
    return err;
}

bool
ws_chan_would_take(ws_chan *ch, size_t size)
{
    ws_lock_acquire(&ch->lock);
    bool takes = judge_locked(ch, size) == WS_OK;
    ws_lock_release(&ch->lock);
    return takes;
}

ws_err
ws_chan_refuse(ws_chan *ch, ws_err err)
{
    ws_lock_acquire(&ch->lock);
    if (ch->closed) {
        err = WS_ERR_CLOSED;
    }
    count_refusal_locked(ch, err);
    ws_lock_release(&ch->lock);
    return err;
}

void
ws_chan_prefetch(ws_chan *ch)
{
    if (ws_lock_try(&ch->lock)) {
        const ws_chan_entry *oldest = ch->len > 0 ? ch->ring + ch->head : NULL;
        ws_lock_release(&ch->lock);
        __builtin_prefetch(oldest); // of NULL, or freed since: no harm
    }
}

size_t
ws_chan_peek(ws_chan *ch, ws_msg **out, size_t max_bytes, size_t *offset)
{
    size_t total = 0;
    uint32_t n = 0;

    ws_lock_acquire(&ch->lock);
    while (n < ch->len && n < WS_CHAN_BATCH && total < max_bytes) {
        out[n] = ch->ring[slot(ch, n)].msg;
        total += ws_msg_frame_size(out[n]);
        n++;
    }
    ch->peeked = n;
    *offset = ch->offset;
    ws_lock_release(&ch->lock);
    return n;
}

size_t
ws_chan_commit(ws_chan *ch, size_t size)
{
    uint32_t n = 0;

    ws_lock_acquire(&ch->lock);
    size += ch->offset;
    for (; n < ch->peeked; n++) {
        ws_msg *msg = ch->ring[slot(ch, n)].msg;
        if (size < ws_msg_frame_size(msg)) {
            break;
        }
        size -= ws_msg_frame_size(msg);
        ch->bytes -= ws_msg_size(msg);
        ch->counts.written_bytes += ws_msg_size(msg);
    }
    assert(n < ch->peeked || size == 0);
    ch->offset = size;
    ch->counts.written += n;
    ch->len -= n;
    ch->peeked = 0;
    if (n > 0) {
        ch->head = slot(ch, n);
    }
    ws_waiter *met = ch->waiters == NULL ? NULL : take_met_locked(ch, false);
    ws_chan_entry *idle = take_idle_ring_locked(ch);
    check_locked(ch);
    ws_lock_release(&ch->lock);

    ws_free(idle);
    fire_all(met, WS_OK);
    return n;
}

void
ws_chan_close(ws_chan *ch)
{
    ws_lock_acquire(&ch->lock);
    ch->closed = true;
    ws_lock_release(&ch->lock);
}

void
ws_chan_end(ws_chan *ch)
{
    ws_lock_acquire(&ch->lock);
    ch->closed = true;
    ws_chan_entry *ring = ch->ring;
    uint32_t head = ch->head;
    uint32_t len = ch->len;
    uint32_t mask = ch->cap - 1;
    ch->counts.lost += len;
    ch->ring = NULL;
    ch->cap = ch->head = ch->len = ch->peeked = 0;
    ch->bytes = ch->offset = 0;
    ws_waiter *rest = take_met_locked(ch, true);
    check_locked(ch);
    ws_lock_release(&ch->lock);

    for (uint32_t i = 0; i < len; i++) {
        ws_msg_unref(ring[(head + i) & mask].msg);
    }
    ws_free(ring);
    fire_all(rest, WS_ERR_CLOSED);
}

ws_chan_counts
ws_chan_retire(ws_chan *ch, atomic_ullong *late)
{
    ws_lock_acquire(&ch->lock);
    assert(ch->closed && ch->len == 0);
    ch->late = late;
    ws_chan_counts counts = ch->counts;
    ws_lock_release(&ch->lock);
    return counts;
}

ws_err
ws_chan_wait(ws_chan *ch, ws_waiter *waiter)
{
    ws_err err = WS_OK;

    ws_lock_acquire(&ch->lock);
    waiter->target = ch->counts.accepted;
    if (ch->counts.lost > 0) {
        err = WS_ERR_CLOSED;
    } else if (!is_met_locked(ch, waiter)) {
        waiter->next = ch->waiters;
        ch->waiters = waiter;
        err = WS_ERR_TIMEOUT;
    }
    ws_lock_release(&ch->lock);
    return err;
}

bool
ws_chan_unwait(ws_chan *ch, ws_waiter *waiter)
{
    bool found = false;

    ws_lock_acquire(&ch->lock);
    ws_waiter **link = &ch->waiters;
    while (*link != NULL && *link != waiter) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = waiter->next;
        found = true;
    }
    ws_lock_release(&ch->lock);
    return found;
}

ws_waiter *
ws_chan_unwait_token(ws_chan *ch, uint64_t token)
{
    ws_lock_acquire(&ch->lock);
    ws_waiter **link = &ch->waiters;
    while (*link != NULL && (*link)->token != token) {
        link = &(*link)->next;
    }
    ws_waiter *found = *link;
    if (found != NULL) {
        *link = found->next;
    }
    ws_lock_release(&ch->lock);
    return found;
}

bool
ws_chan_is_contended(ws_chan *ch)
{
    bool was_free = ws_lock_try(&ch->lock);
    if (was_free) {
        ws_lock_release(&ch->lock);
    }
    return !was_free;
}

bool
ws_chan_is_empty(ws_chan *ch)
{
    ws_lock_acquire(&ch->lock);
    bool empty = ch->len == 0;
    ws_lock_release(&ch->lock);
    return empty;
}

ws_chan_stats
ws_chan_get_stats(ws_chan *ch)
{
    uint64_t now = ws_now_coarse_ns();
    ws_lock_acquire(&ch->lock);
    ws_chan_stats stats = {
        .counts = ch->counts,
        .queued = ch->len,
        .queued_bytes = ch->bytes,
    };
    if (ch->len > 0 && now > ch->ring[ch->head].since_ns) {
        stats.oldest_age_ns = now - ch->ring[ch->head].since_ns;
    }
    ws_lock_release(&ch->lock);
    return stats;
}

void
ws_chan_counts_add(ws_chan_counts *into, const ws_chan_counts *from)
{
    into->accepted += from->accepted;
    into->written += from->written;
    into->written_bytes += from->written_bytes;
    into->dropped += from->dropped;
    into->lost += from->lost;
    into->refused_full += from->refused_full;
    into->refused_closed += from->refused_closed;
    into->refused_too_large += from->refused_too_large;
    into->refused_nomem += from->refused_nomem;
}

#include <assert.h>
#include <libwebsockets.h>
#include <string.h>

#include "conn.h"
#include "core/alloc.h"
#include "proto/close_code.h"
#include "pump_inside.h"

enum {
    // Made at once for a frame whose bytes have not come yet.
    RESERVE = 64 * 1024,
    // A thousand bytes can become a million, or hold a hundred tables that
    // take longer to unfold, and others wait meanwhile. So where compression
    // was agreed on, a client's bytes are looked at in such pieces,
    PIECE = 256,
    // this much is inflated for one client at a time, a piece or so more,
    SHARE_BYTES = 256 * 1024,
    // and no longer than this, where others wait for the same,
    SHARE_NS = 100 * 1000,
    // or, for all of them in a turn, than this.
    TURN_NS = 1000 * 1000,
};

static void
drop_message(ws_conn *conn)
{
    ws_unpack_drop(conn);
    ws_inbound_free(conn->in);
    conn->in = NULL;
    conn->in_size = conn->in_cap = 0;
}

static ws_conn_line *
line_of(const ws_conn *conn)
{
    return conn->resting ? &conn->pump->resting : &conn->pump->paused;
}

static void
link_paused(ws_conn *conn)
{
    ws_conn_line *line = line_of(conn);
    conn->paused_prev = line->last;
    conn->paused_next = NULL;
    if (line->last == NULL) {
        line->first = conn;
    } else {
        line->last->paused_next = conn;
    }
    line->last = conn;
}

static void
unlink_paused(ws_conn *conn)
{
    ws_conn_line *line = line_of(conn);
    if (conn->paused_prev == NULL) {
        line->first = conn->paused_next;
    } else {
        conn->paused_prev->paused_next = conn->paused_next;
    }
    if (conn->paused_next == NULL) {
        line->last = conn->paused_prev;
    } else {
        conn->paused_next->paused_prev = conn->paused_prev;
    }
    conn->paused_prev = conn->paused_next = NULL;
}

/* Stops reading: TCP pushes back on the client. */
static void
pause_reading(ws_conn *conn)
{
    conn->paused = true;
    link_paused(conn);
    ws_loop_watch_hangup(conn->pump->loop, conn->wsi, true);
    (void)lws_rx_flow_control(conn->wsi, 0);
}

static void
resume_reading(ws_conn *conn)
{
    conn->alive_ns = ws_pump_now(conn->pump); // we did not listen until now
    unlink_paused(conn);
    conn->paused = conn->resting = false;
    ws_loop_watch_hangup(conn->pump->loop, conn->wsi, false);
    (void)lws_rx_flow_control(conn->wsi, 1);
}

void
ws_inbox_fail(ws_conn *conn, uint16_t code, const char *text)
{
    if (conn->failed || conn->close_received) {
        return;
    }
    conn->failed = true;
    conn->rest_lost = true;
    drop_message(conn);
    ws_conn_close_client(conn->client, code, (ws_text){text, strlen(text)});
    ws_conn_begin_closing(conn);
    ws_outbox_write(conn);
}

/* Hands the whole message over; false: there is no room for it now. */
static bool
deliver(ws_conn *conn)
{
    ws_client *client = conn->client;
    if (conn->in_cap / 2 > conn->in_size) {
        ws_inbound *less = ws_inbound_grow(conn->in, conn->in_size);
        conn->in = less == NULL ? conn->in : less;
    }
    ws_err err = ws_evq_message(ws_hub_events(conn->pump->hub), client,
                                conn->in, conn->in_size, conn->in_text);
    if (err != WS_OK) {
        return false;
    }
    conn->in = NULL;
    conn->in_size = conn->in_cap = 0;
    return true;
}

static void
count_message(ws_conn *conn, size_t size)
{
    ws_count(&conn->client->received, 1);
    ws_count(&conn->client->received_bytes, size);
    ws_count(&conn->pump->counters->received, 1);
    ws_count(&conn->pump->counters->received_bytes, size);
}

/* Makes room for a piece, and for some of what its message still brings. */
static bool
reserve(ws_conn *conn, size_t size, uint64_t ahead, bool last)
{
    size_t need = conn->in_size + size;
    if (conn->in != NULL && need <= conn->in_cap) {
        return true;
    }
    size_t cap = need + (ahead < RESERVE ? (size_t)ahead : RESERVE);
    if (!last && cap < 2 * conn->in_cap) {
        size_t most = conn->pump->settings->config.max_message_size;
        cap = 2 * conn->in_cap < most ? 2 * conn->in_cap : most;
    }
    ws_inbound *in = conn->in == NULL ? ws_inbound_new(cap)
                                      : ws_inbound_grow(conn->in, cap);
    if (in == NULL) {
        return false;
    }
    conn->in = in;
    conn->in_cap = cap;
    return true;
}

static void
begin_message(ws_conn *conn, ws_opcode opcode)
{
    conn->in_text = opcode == WS_OPCODE_TEXT;
    conn->discard =
        conn->closing || !ws_evq_takes(ws_hub_events(conn->pump->hub));
    conn->in_size = 0;
}

bool
ws_inbox_add(ws_conn *conn, const uint8_t *data, size_t size, uint64_t ahead,
             bool last)
{
    if (!conn->discard && !conn->closing) {
        if (!reserve(conn, size, ahead, last)) {
            ws_inbox_fail(conn, WS_CLOSE_INTERNAL_ERROR, "out of memory");
            return false;
        }
        if (size > 0) {
            memcpy(ws_inbound_data(conn->in) + conn->in_size, data, size);
        }
    }
    conn->in_size += size;
    return true;
}

static void
end_message(ws_conn *conn)
{
    count_message(conn, conn->in_size);
    if (conn->discard || conn->closing) {
        ws_count(&conn->client->received_dropped, 1);
        if (!conn->closing) {
            ws_evq_count_dropped(ws_hub_events(conn->pump->hub));
        }
        drop_message(conn);
    } else if (!deliver(conn)) {
        conn->ready = true;
        pause_reading(conn);
    }
}

/* A piece of a message. */
static void
take_data(ws_conn *conn, const ws_decode_event *event)
{
    if (event->first) {
        begin_message(conn, event->opcode);
    }
    bool fine = event->compressed
                    ? ws_unpack(conn, event)
                    : ws_inbox_add(conn, event->data, event->size,
                                   event->frame_left, event->last);
    if (fine && event->last) {
        end_message(conn);
    }
}

static void
take_pong(ws_conn *conn, const ws_decode_event *event)
{
    ws_count(&conn->pump->counters->pongs, 1);
    if (conn->ping_ns == 0 || event->size != sizeof conn->ping_ns ||
        memcmp(event->data, &conn->ping_ns, event->size) != 0) {
        return; // unsolicited, or late: RFC 6455 5.5.3 allows both
    }
    uint64_t rtt_us = (ws_now_ns() - conn->ping_ns) / 1000;
    unsigned shown = rtt_us > UINT32_MAX ? UINT32_MAX : (unsigned)rtt_us;
    atomic_store_explicit(&conn->client->rtt_us, shown == 0 ? 1 : shown,
                          memory_order_relaxed); // a figure to look at
    conn->ping_ns = 0;
    if (conn->ping_waits && !conn->closing) {
        conn->ping_waits = false;
        ws_timer_set(conn->pump->wheel, &conn->timer,
                     ws_pump_now(conn->pump) +
                         conn->pump->settings->config.ping_interval_ns);
    }
}

/* The client's Close: finish the message on the wire, echo, lose the rest. */
static void
take_close(ws_conn *conn, const ws_decode_event *event)
{
    conn->close_received = true;
    conn->rest_lost = true;
    conn->echo_code = event->code;
    drop_message(conn);
    ws_conn_close_client(conn->client, event->code,
                         (ws_text){(const char *)event->data, event->size});
    ws_conn_begin_closing(conn);
    ws_outbox_write(conn);
}

/* Lends the decoder a place for a control frame that comes in pieces. */
static bool
lend(ws_conn *conn)
{
    uint8_t *buffer = ws_malloc(WS_FRAME_CONTROL_PAYLOAD_MAX);
    if (buffer == NULL) {
        ws_inbox_fail(conn, WS_CLOSE_INTERNAL_ERROR, "out of memory");
        return false;
    }
    ws_frame_decoder_lend(&conn->decoder, buffer);
    return true;
}

/* One event; false: nothing more for now. */
static bool
take_event(ws_conn *conn, uint8_t **data, size_t *size)
{
    ws_decode_event event;
    switch (ws_frame_decode(&conn->decoder, data, size, &event)) {
    case WS_DECODE_NEED_MORE:
    case WS_DECODE_DONE:
        return false;
    case WS_DECODE_NEED_BUFFER:
        return lend(conn);
    case WS_DECODE_DATA:
        take_data(conn, &event);
        return true;
    case WS_DECODE_PING:
        ws_outbox_pong(conn, event.data, event.size);
        return true;
    case WS_DECODE_PONG:
        take_pong(conn, &event);
        return true;
    case WS_DECODE_CLOSE:
        take_close(conn, &event);
        return false;
    case WS_DECODE_ERROR:
        ws_inbox_fail(conn, event.code, event.text);
        return false;
    }
    return false;
}

/* Goes on once all others have that rest. */
static void
rest(ws_conn *conn)
{
    conn->resting = true;
    pause_reading(conn);
}

static bool
may_decode(const ws_conn *conn)
{
    return !conn->paused && conn->doom == NULL && !conn->failed &&
           conn->phase == WS_CONN_FRAMES;
}

/* Whether it would push in before others that may have to inflate. */
static bool
must_rest(const ws_conn *conn)
{
    const ws_pump *pump = conn->pump;
    return conn->compression && may_decode(conn) &&
           (pump->resting.first != NULL || pump->inflate_ns >= TURN_NS);
}

/* Whether that is enough, in this turn or since its clock stood at `begun`. */
static bool
had_its_share(const ws_conn *conn, uint64_t begun)
{
    const ws_pump *pump = conn->pump;
    bool others = pump->resting.first != NULL;
    return conn->inflated >= SHARE_BYTES ||
           (pump->inflate_ns > begun && pump->inflate_ns >= TURN_NS) ||
           (others && pump->inflate_ns - begun >= SHARE_NS);
}

/* Decodes until the bytes are used up, or there is no room for events, or it
   is the others' turn. */
static void
decode(ws_conn *conn, uint8_t **data, size_t *size)
{
    uint64_t begun = conn->pump->inflate_ns;
    bool more = true;
    conn->inflated = 0;
    while (more && may_decode(conn)) {
        size_t piece = conn->compression && *size > PIECE ? PIECE : *size;
        size_t left = piece;
        more = take_event(conn, data, &left);
        *size -= piece - left;
        more = more || (left == 0 && *size > 0); // the next piece
        if (had_its_share(conn, begun) && may_decode(conn)) {
            rest(conn);
        }
    }
    ws_free(ws_frame_decoder_reclaim(&conn->decoder));
    if (conn->ctl.size > 0 || conn->pong_due) {
        ws_outbox_write(conn); // the pongs
    }
}

bool
ws_inbox_keep(ws_conn *conn, const uint8_t *data, size_t size)
{
    if (size == 0) {
        return true;
    }
    size_t have = conn->carry_size - conn->carry_offset;
    uint8_t *all = ws_malloc(have + size);
    if (all == NULL) {
        return false;
    }
    if (have > 0) {
        memcpy(all, conn->carry + conn->carry_offset, have);
    }
    memcpy(all + have, data, size);
    ws_free(conn->carry);
    conn->carry = all;
    conn->carry_size = have + size;
    conn->carry_offset = 0;
    return true;
}

void
ws_inbox_feed(ws_conn *conn, uint8_t *data, size_t size)
{
    conn->alive_ns = ws_pump_now(conn->pump);
    if (!conn->paused && must_rest(conn)) {
        rest(conn);
    }
    if (!conn->paused) {
        decode(conn, &data, &size);
    }
    if (conn->paused && !ws_inbox_keep(conn, data, size)) {
        ws_inbox_fail(conn, WS_CLOSE_INTERNAL_ERROR, "out of memory");
    }
}

void
ws_inbox_feed_carry(ws_conn *conn)
{
    uint8_t *data = conn->carry;
    size_t size = conn->carry_size;
    assert(conn->carry_offset == 0);
    conn->carry = NULL;
    conn->carry_size = 0;
    if (conn->phase == WS_CONN_FRAMES && size > 0) {
        ws_inbox_feed(conn, data, size);
    }
    ws_free(data);
}

/* The message without a place will not get one. */
static void
drop_ready(ws_conn *conn)
{
    if (conn->ready) {
        conn->ready = false;
        ws_count(&conn->client->received_dropped, 1);
        drop_message(conn);
    }
}

bool
ws_inbox_resume(ws_conn *conn)
{
    assert(conn->paused);
    bool rested = conn->resting;
    if (conn->ready && !conn->closing) {
        if (!deliver(conn)) {
            return false;
        }
        conn->ready = false;
    }
    drop_ready(conn);
    resume_reading(conn);
    if (!rested && conn->carry != NULL && must_rest(conn)) {
        rest(conn);
        return false;
    }
    if (conn->carry != NULL) {
        uint8_t *data = conn->carry + conn->carry_offset;
        size_t size = conn->carry_size - conn->carry_offset;
        decode(conn, &data, &size);
        conn->carry_offset = conn->carry_size - size;
        if (size == 0 || !conn->paused) {
            ws_free(conn->carry);
            conn->carry = NULL;
            conn->carry_size = conn->carry_offset = 0;
        }
    }
    return !conn->paused;
}

void
ws_inbox_serve_resting(ws_pump *pump)
{
    for (bool more = true; more && pump->resting.first != NULL;) {
        ws_conn *conn = pump->resting.first;
        (void)ws_inbox_resume(conn);
        ws_conn_reap(conn);
        more = pump->inflate_ns < TURN_NS;
    }
}

void
ws_inbox_free(ws_conn *conn)
{
    if (conn->paused) {
        unlink_paused(conn);
        conn->paused = conn->resting = false;
    }
    drop_ready(conn);
    drop_message(conn);
    ws_free(conn->carry);
    conn->carry = NULL;
    ws_free(ws_frame_decoder_finish(&conn->decoder));
}

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
    // Inflated for one client in a turn, and what comes of one piece more: its
    // thousand bytes can become a million, and others wait meanwhile.
    TURN_BYTES = 256 * 1024,
};

static void
drop_message(ws_conn *conn)
{
    ws_unpack_drop(conn);
    ws_inbound_free(conn->in);
    conn->in = NULL;
    conn->in_size = conn->in_cap = 0;
}

static void
link_paused(ws_conn *conn)
{
    ws_pump *pump = conn->pump;
    conn->paused_prev = pump->paused_last;
    conn->paused_next = NULL;
    if (pump->paused_last == NULL) {
        pump->paused_first = conn;
    } else {
        pump->paused_last->paused_next = conn;
    }
    pump->paused_last = conn;
}

static void
unlink_paused(ws_conn *conn)
{
    ws_pump *pump = conn->pump;
    if (conn->paused_prev == NULL) {
        pump->paused_first = conn->paused_next;
    } else {
        conn->paused_prev->paused_next = conn->paused_next;
    }
    if (conn->paused_next == NULL) {
        pump->paused_last = conn->paused_prev;
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
    conn->paused = conn->resting = false;
    conn->alive_ns = ws_pump_now(conn->pump); // we did not listen until now
    unlink_paused(conn);
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

/* Goes on in the next turn: others first. */
static void
rest(ws_conn *conn)
{
    conn->resting = true;
    pause_reading(conn);
    ws_client_kick(conn->client);
}

static bool
may_decode(const ws_conn *conn)
{
    return !conn->paused && conn->doom == NULL && !conn->failed &&
           conn->phase == WS_CONN_FRAMES;
}

/* Decodes until the bytes are used up, or there is no room for events, or it
   is the others' turn. */
static void
decode(ws_conn *conn, uint8_t **data, size_t *size)
{
    conn->inflated = 0;
    while (may_decode(conn) && take_event(conn, data, size)) {
        if (conn->inflated >= TURN_BYTES && may_decode(conn)) {
            rest(conn);
        }
    }
    ws_free(ws_frame_decoder_reclaim(&conn->decoder));
    if (conn->ctl.size > 0 || conn->pong_due) {
        ws_outbox_write(conn); // the pongs
    }
}

/* Keeps what was read but may not be decoded now. */
static void
keep(ws_conn *conn, const uint8_t *data, size_t size)
{
    if (size == 0) {
        return;
    }
    size_t have = conn->carry_size - conn->carry_offset;
    uint8_t *all = ws_malloc(have + size);
    if (all == NULL) {
        ws_inbox_fail(conn, WS_CLOSE_INTERNAL_ERROR, "out of memory");
        return;
    }
    if (have > 0) {
        memcpy(all, conn->carry + conn->carry_offset, have);
    }
    memcpy(all + have, data, size);
    ws_free(conn->carry);
    conn->carry = all;
    conn->carry_size = have + size;
    conn->carry_offset = 0;
}

void
ws_inbox_feed(ws_conn *conn, uint8_t *data, size_t size)
{
    conn->alive_ns = ws_pump_now(conn->pump);
    if (!conn->paused) {
        decode(conn, &data, &size);
    }
    if (conn->paused) {
        keep(conn, data, size);
    }
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
    if (conn->ready && !conn->closing) {
        if (!deliver(conn)) {
            return false;
        }
        conn->ready = false;
    }
    drop_ready(conn);
    resume_reading(conn);

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
ws_inbox_free(ws_conn *conn)
{
    if (conn->paused) {
        conn->paused = false;
        unlink_paused(conn);
    }
    drop_ready(conn);
    drop_message(conn);
    ws_free(conn->carry);
    conn->carry = NULL;
    ws_free(ws_frame_decoder_finish(&conn->decoder));
}

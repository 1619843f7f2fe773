#include <string.h>

#include "compress.h"
#include "conn.h"
#include "proto/close_code.h"
#include "proto/inflate.h"
#include "pump_inside.h"

/* The spare one, or a new one. */
static bool
begin(ws_conn *conn)
{
    ws_pump *pump = conn->pump;
    if (pump->spare_inflater != NULL) {
        conn->inflater = pump->spare_inflater;
        pump->spare_inflater = NULL;
        ws_inflater_reset(conn->inflater);
    } else {
        conn->inflater = ws_inflater_new(&ws_compress_heap);
    }
    ws_utf8_init(&conn->in_utf8);
    return conn->inflater != NULL;
}

void
ws_unpack_drop(ws_conn *conn)
{
    ws_pump *pump = conn->pump;
    if (conn->inflater == NULL) {
        return;
    }
    if (pump->spare_inflater == NULL) {
        pump->spare_inflater = conn->inflater;
    } else {
        ws_inflater_free(conn->inflater);
    }
    conn->inflater = NULL;
}

/* What is wrong with what was inflated; 0: nothing. */
static uint16_t
judge(ws_conn *conn, ws_inflate_result result, size_t made, bool text,
      const char **why)
{
    const ws_pump *pump = conn->pump;
    if (made > pump->settings->config.max_message_size - conn->in_size) {
        *why = "a message over the size limit";
        return WS_CLOSE_TOO_BIG;
    }
    if (text && !ws_utf8_feed(&conn->in_utf8, pump->scratch, made)) {
        *why = "a text message that is not UTF-8";
        return WS_CLOSE_INVALID_DATA;
    }
    // The frames were in order, what they carry is not: 1007 (RFC 6455 7.4.1)
    // rather than 1002.
    if (result == WS_INFLATE_BAD) {
        *why = "a compressed message that cannot be decompressed";
        return WS_CLOSE_INVALID_DATA;
    }
    if (result == WS_INFLATE_NOMEM) {
        *why = "out of memory";
        return WS_CLOSE_INTERNAL_ERROR;
    }
    return 0;
}

/* Hands on what is in the scratch buffer; false: the connection has failed. */
static bool
hand_on(ws_conn *conn, ws_inflate_result result, size_t made, bool text)
{
    const char *why = NULL;
    conn->inflated += made;
    uint16_t code = judge(conn, result, made, text, &why);
    if (code != 0) {
        ws_inbox_fail(conn, code, why);
        return false;
    }
    return ws_inbox_add(conn, conn->pump->scratch, made, 0, false);
}

/* A piece, or with `data` NULL what is left once all pieces are in. */
static bool
inflate_piece(ws_conn *conn, const uint8_t *data, size_t size, bool text)
{
    uint8_t *out = conn->pump->scratch;
    ws_inflate_result result = WS_INFLATE_FULL;
    size_t made = 0;
    while (result == WS_INFLATE_FULL) {
        result = data == NULL ? ws_inflate_end(conn->inflater, out,
                                               WS_PUMP_SCRATCH, &made)
                              : ws_inflate(conn->inflater, &data, &size, out,
                                           WS_PUMP_SCRATCH, &made);
        if (!hand_on(conn, result, made, text)) {
            return false;
        }
    }
    return true;
}

static bool
unpack(ws_conn *conn, const ws_decode_event *event)
{
    bool text = event->opcode == WS_OPCODE_TEXT;
    if (event->first && !begin(conn)) {
        ws_inbox_fail(conn, WS_CLOSE_INTERNAL_ERROR, "out of memory");
        return false;
    }
    if (event->size > 0 &&
        !inflate_piece(conn, event->data, event->size, text)) {
        return false;
    }
    if (!event->last) {
        return true;
    }
    if (!inflate_piece(conn, NULL, 0, text)) {
        return false;
    }
    ws_unpack_drop(conn);
    if (text && !ws_utf8_complete(&conn->in_utf8)) {
        ws_inbox_fail(conn, WS_CLOSE_INVALID_DATA,
                      "a text message that is not UTF-8");
        return false;
    }
    return true;
}

bool
ws_unpack(ws_conn *conn, const ws_decode_event *event)
{
    uint64_t begun = ws_now_ns();
    bool fine = unpack(conn, event);
    conn->pump->inflate_ns += ws_now_ns() - begun;
    return fine;
}

#include "message.h"

#include <assert.h>

#include "proto/close_code.h"
#include "proto/frame_encode.h"
#include "proto/origin.h"
#include "proto/slice.h"

ws_msg *
ws_message_new(ws_message_kind kind, const void *data, size_t size,
               ws_utf8_error *invalid)
{
    assert(invalid != NULL || kind != WS_MESSAGE_UNCHECKED);

    uint8_t header[WS_FRAME_HEADER_MAX];
    size_t header_size = ws_frame_encode_header(
        header, kind == WS_MESSAGE_BINARY ? WS_OPCODE_BINARY : WS_OPCODE_TEXT,
        WS_FRAME_FIN, size);
    ws_msg *msg = ws_msg_new(header, header_size, data, size);

    if (invalid != NULL) {
        invalid->start = SIZE_MAX;
    }
    if (msg != NULL && kind == WS_MESSAGE_UNCHECKED &&
        !ws_utf8_valid(ws_msg_payload(msg), size)) {
        *invalid = ws_utf8_error_at(ws_msg_payload(msg), size);
        ws_msg_unref(msg);
        return NULL;
    }
    return msg;
}

bool
ws_message_is_text(const ws_msg *msg)
{
    return (ws_msg_frame(msg)[0] & 0x0f) == WS_OPCODE_TEXT;
}

const char *
ws_message_close_error(long code, size_t reason_size)
{
    if (code < 0 || code > UINT16_MAX ||
        !ws_close_code_valid((uint32_t)code)) {
        return "must be 1000 to 1003, 1007 to 1014, or 3000 to 4999";
    }
    if (reason_size > WS_CLOSE_REASON_MAX) {
        return "must be at most 123 bytes of UTF-8";
    }
    return NULL;
}

bool
ws_message_subprotocol_valid(const char *text)
{
    return ws_slice_is_token(ws_slice_of(text));
}

bool
ws_message_origin_valid(const char *text)
{
    return ws_origin_rule_valid(text);
}

#include "message.h"

#include <assert.h>

#include "proto/close_code.h"
#include "proto/frame_encode.h"
#include "proto/http_request.h"
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

/* Those that say where the answer ends and what becomes of the connection. */
static bool
is_ours(ws_slice name)
{
    static const char *const ours[] = {
        "Connection",
        "Content-Length",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    };
    static const char prefix[] = "Sec-WebSocket-";
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (ws_slice_equal_nocase(name, ws_slice_of(ours[i]))) {
            return true;
        }
    }
    size_t size = sizeof prefix - 1;
    return name.size >= size &&
           ws_slice_equal_nocase((ws_slice){name.data, size},
                                 ws_slice_of(prefix));
}

static bool
is_ascii(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] > 0x7F) {
            return false;
        }
    }
    return true;
}

const char *
ws_message_header_error(const char *name, size_t name_size, const char *value,
                        size_t value_size)
{
    ws_slice key = {name, name_size};
    if (!is_ascii(name, name_size) || !is_ascii(value, value_size)) {
        return "must be ASCII";
    }
    if (!ws_http_header_valid(key, (ws_slice){value, value_size})) {
        return "must be a token, and a value without control characters and "
               "blanks around it";
    }
    return is_ours(key) ? "is for the server to say" : NULL;
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

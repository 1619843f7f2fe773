#include "close_code.h"

#include <assert.h>

#include "frame.h"
#include "utf8.h"

bool
ws_close_code_valid(uint32_t code)
{
    return (code >= WS_CLOSE_NORMAL && code <= WS_CLOSE_UNSUPPORTED_DATA) ||
           (code >= WS_CLOSE_INVALID_DATA && code <= WS_CLOSE_BAD_GATEWAY) ||
           (code >= 3000 && code <= 4999);
}

const char *
ws_close_code_parse(const uint8_t *payload, size_t size, ws_close_body *body)
{
    assert(size <= WS_FRAME_CONTROL_PAYLOAD_MAX);

    *body = (ws_close_body){.code = WS_CLOSE_NO_STATUS};
    if (size == 0) {
        return NULL;
    }
    body->code = WS_CLOSE_PROTOCOL_ERROR;
    if (size == 1) {
        return "a Close body of one byte";
    }
    uint16_t code = (uint16_t)(payload[0] << 8 | payload[1]);
    if (!ws_close_code_valid(code)) {
        return "a Close code that may not be sent";
    }
    if (!ws_utf8_valid(payload + 2, size - 2)) {
        body->code = WS_CLOSE_INVALID_DATA;
        return "a Close reason that is not UTF-8";
    }
    *body = (ws_close_body){code, payload + 2, size - 2};
    return NULL;
}

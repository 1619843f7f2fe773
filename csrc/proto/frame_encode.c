#include "frame_encode.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "close_code.h"
#include "utf8.h"

/* Big-endian, the only byte order of the protocol. */
static void
put_number(uint8_t *out, uint64_t number, size_t size)
{
    for (size_t i = size; i-- > 0; number >>= 8) {
        out[i] = (uint8_t)number;
    }
}

size_t
ws_frame_encode_header(uint8_t out[WS_FRAME_HEADER_MAX], ws_opcode opcode,
                       unsigned flags, uint64_t payload_size)
{
    assert((flags & ~(unsigned)(WS_FRAME_FIN | WS_FRAME_RSV1)) == 0);
    assert(payload_size >> 63 == 0);

    out[0] = (uint8_t)(flags | opcode);
    if (payload_size <= 125) {
        out[1] = (uint8_t)payload_size;
        return 2;
    }
    if (payload_size <= UINT16_MAX) {
        out[1] = 126;
        put_number(out + 2, payload_size, 2);
        return 4;
    }
    out[1] = 127;
    put_number(out + 2, payload_size, 8);
    return 10;
}

size_t
ws_frame_encode_control(uint8_t out[WS_FRAME_CONTROL_MAX], ws_opcode opcode,
                        const uint8_t *payload, size_t size)
{
    assert(opcode == WS_OPCODE_PING || opcode == WS_OPCODE_PONG);

    if (size > WS_FRAME_CONTROL_PAYLOAD_MAX) {
        return 0;
    }
    size_t header = ws_frame_encode_header(out, opcode, WS_FRAME_FIN, size);
    if (size > 0) {
        memmove(out + header, payload, size);
    }
    return header + size;
}

static bool
may_be_sent(uint16_t code, const uint8_t *reason, size_t size)
{
    if (code == WS_CLOSE_NO_STATUS) {
        return size == 0;
    }
    return ws_close_code_valid(code) && size <= WS_CLOSE_REASON_MAX &&
           ws_utf8_valid(reason, size);
}

size_t
ws_frame_encode_close(uint8_t out[WS_FRAME_CONTROL_MAX], uint16_t code,
                      const uint8_t *reason, size_t size)
{
    if (!may_be_sent(code, reason, size)) {
        return 0;
    }
    size_t body = code == WS_CLOSE_NO_STATUS ? 0 : 2 + size;
    size_t header =
        ws_frame_encode_header(out, WS_OPCODE_CLOSE, WS_FRAME_FIN, body);
    if (body > 0) {
        put_number(out + header, code, 2);
    }
    if (size > 0) {
        memcpy(out + header + 2, reason, size);
    }
    return header + body;
}

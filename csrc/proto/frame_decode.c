#include "frame_decode.h"

#include <assert.h>
#include <string.h>

#include "close_code.h"

enum state { IN_HEADER, IN_PAYLOAD, ENDED };

/* Bits of the header's first two bytes. */
enum { RSV23 = 0x30, OPCODE = 0x0F, CONTROL = 0x08, MASKED = 0x80 };

enum { START_SIZE = 2, KEY_SIZE = 4 };

/* Of a message in so many frames. */
static uint64_t
max_size(const ws_frame_decoder *dec, bool compressed, uint32_t frames)
{
    const ws_decode_limits *limits = dec->limits;
    return compressed ? limits->max_compressed_size +
                            (uint64_t)frames * limits->compressed_frame_extra
                      : limits->max_message_size;
}

static void
check(const ws_frame_decoder *dec)
{
    assert(dec->header_size <= sizeof dec->header);
    assert(dec->control_size <= WS_FRAME_CONTROL_PAYLOAD_MAX);
    assert(dec->control_size == 0 || dec->control != NULL);
    assert(dec->message_size <=
           max_size(dec, dec->compressed, dec->fragments));
    assert(dec->fragments <= dec->limits->max_fragments);
    assert(dec->message_opcode != 0 || dec->fragments == 0);
    (void)dec;
}

void
ws_frame_decoder_init(ws_frame_decoder *dec, const ws_decode_limits *limits)
{
    assert(limits->max_fragments >= 1);

    *dec = (ws_frame_decoder){.limits = limits, .state = IN_HEADER};
    check(dec);
}

static bool
is_control(const ws_frame_decoder *dec)
{
    return (dec->header[0] & CONTROL) != 0;
}

static bool
is_final(const ws_frame_decoder *dec)
{
    return (dec->header[0] & WS_FRAME_FIN) != 0;
}

static uint8_t
opcode_of(const ws_frame_decoder *dec)
{
    return dec->header[0] & OPCODE;
}

/* Bytes of the extended payload length: 0, 2 or 8. */
static size_t
extended_size(const ws_frame_decoder *dec)
{
    uint8_t length = dec->header[1] & 0x7F;
    return length < 126 ? 0 : length == 126 ? 2 : 8;
}

static uint64_t
payload_size(const ws_frame_decoder *dec)
{
    size_t extended = extended_size(dec);
    uint64_t size = extended == 0 ? dec->header[1] & 0x7F : 0;

    for (size_t i = 0; i < extended; i++) {
        size = size << 8 | dec->header[START_SIZE + i];
    }
    return size;
}

static const char *
check_control(const ws_frame_decoder *dec)
{
    if (opcode_of(dec) > WS_OPCODE_PONG) {
        return "a reserved opcode";
    }
    if ((dec->header[0] & WS_FRAME_RSV1) != 0) {
        return "a reserved bit";
    }
    if (!is_final(dec)) {
        return "a fragmented control frame";
    }
    if (extended_size(dec) != 0) {
        return "a control frame of more than 125 bytes";
    }
    return NULL;
}

static const char *
check_data(const ws_frame_decoder *dec)
{
    bool continues = opcode_of(dec) == WS_OPCODE_CONTINUATION;

    if (opcode_of(dec) > WS_OPCODE_BINARY) {
        return "a reserved opcode";
    }
    if ((dec->header[0] & WS_FRAME_RSV1) != 0 &&
        (continues || dec->limits->max_compressed_size == 0)) {
        return "a reserved bit";
    }
    if (continues && dec->message_opcode == 0) {
        return "a continuation without a message";
    }
    if (!continues && dec->message_opcode != 0) {
        return "a new message inside an unfinished one";
    }
    return NULL;
}

/* The rules about the first two bytes; NULL, or the broken one. */
static const char *
check_start(const ws_frame_decoder *dec)
{
    if ((dec->header[0] & RSV23) != 0) {
        return "a reserved bit";
    }
    if ((dec->header[1] & MASKED) == 0) {
        return "a frame that is not masked";
    }
    return is_control(dec) ? check_control(dec) : check_data(dec);
}

/* RFC 6455 5.2: the top bit is 0, and no more bytes than the number needs. */
static const char *
check_length(const ws_frame_decoder *dec)
{
    uint64_t size = payload_size(dec);

    if (size >> 63 != 0) {
        return "a payload length of 2^63 or more";
    }
    if ((extended_size(dec) == 2 && size < 126) ||
        (extended_size(dec) == 8 && size <= UINT16_MAX)) {
        return "a payload length that is not in its shortest form";
    }
    return NULL;
}

static ws_decode_kind
fail(ws_frame_decoder *dec, ws_decode_event *event, uint16_t code,
     const char *text)
{
    dec->state = ENDED;
    *event = (ws_decode_event){.code = code, .text = text};
    return WS_DECODE_ERROR;
}

/* Fails at a broken rule of framing; `text` NULL: there is none. */
static bool
holds(ws_frame_decoder *dec, ws_decode_event *event, const char *text)
{
    if (text != NULL) {
        (void)fail(dec, event, WS_CLOSE_PROTOCOL_ERROR, text);
    }
    return text == NULL;
}

/* Whether the message may grow by this frame. */
static bool
fits(ws_frame_decoder *dec, ws_decode_event *event)
{
    if (is_control(dec)) {
        return true;
    }
    bool compressed = opcode_of(dec) == WS_OPCODE_CONTINUATION
                          ? dec->compressed
                          : (dec->header[0] & WS_FRAME_RSV1) != 0;
    uint64_t most = max_size(dec, compressed, dec->fragments + 1);
    if (payload_size(dec) > most - dec->message_size) {
        (void)fail(dec, event, WS_CLOSE_TOO_BIG,
                   "a message over the size limit");
        return false;
    }
    if (dec->fragments == dec->limits->max_fragments) {
        (void)fail(dec, event, WS_CLOSE_POLICY,
                   "a message of too many fragments");
        return false;
    }
    return true;
}

static void
begin_payload(ws_frame_decoder *dec)
{
    dec->state = IN_PAYLOAD;
    dec->left = payload_size(dec);
    dec->mask_phase = 0;
    if (is_control(dec)) {
        return;
    }
    if (opcode_of(dec) != WS_OPCODE_CONTINUATION) {
        dec->message_opcode = opcode_of(dec);
        dec->compressed = (dec->header[0] & WS_FRAME_RSV1) != 0;
        dec->started = false;
        ws_utf8_init(&dec->utf8);
    }
    dec->message_size += dec->left;
    dec->fragments++;
}

static void
end_frame(ws_frame_decoder *dec)
{
    dec->state = IN_HEADER;
    dec->header_size = 0;
    if (is_control(dec)) {
        dec->control_size = 0;
    } else if (is_final(dec)) {
        dec->message_opcode = 0;
        dec->message_size = 0;
        dec->fragments = 0;
    }
}

/* Takes `count` bytes from the caller's. */
static uint8_t *
use(uint8_t **data, size_t *size, size_t count)
{
    uint8_t *used = *data;
    if (count > 0) {
        *data += count;
        *size -= count;
    }
    return used;
}

/* Collects the header's first `want` bytes; false: they are not all here. */
static bool
collect(ws_frame_decoder *dec, size_t want, uint8_t **data, size_t *size)
{
    size_t count = want > dec->header_size ? want - dec->header_size : 0;

    count = count < *size ? count : *size;
    if (count > 0) {
        memcpy(dec->header + dec->header_size, use(data, size, count), count);
        dec->header_size = (uint8_t)(dec->header_size + count);
    }
    return dec->header_size >= want;
}

/* Each rule is checked as soon as its bytes are here. True: the header is
   complete and good. Otherwise it failed, or needs more. */
static bool
read_header(ws_frame_decoder *dec, uint8_t **data, size_t *size,
            ws_decode_event *event)
{
    if (!collect(dec, START_SIZE, data, size) ||
        !holds(dec, event, check_start(dec))) {
        return false;
    }
    size_t length_end = START_SIZE + extended_size(dec);
    if (!collect(dec, length_end, data, size) ||
        !holds(dec, event, check_length(dec)) || !fits(dec, event) ||
        !collect(dec, length_end + KEY_SIZE, data, size)) {
        return false;
    }
    begin_payload(dec);
    return true;
}

/* Unmasks the payload's next bytes in place; the key goes on where the last
   ones ended. */
static void
unmask(ws_frame_decoder *dec, uint8_t *data, size_t size)
{
    const uint8_t *key = dec->header + dec->header_size - KEY_SIZE;
    uint8_t turned[8];
    uint64_t eight_keys, eight;
    size_t at = 0;

    for (size_t i = 0; i < sizeof turned; i++) {
        turned[i] = key[(dec->mask_phase + i) % KEY_SIZE];
    }
    memcpy(&eight_keys, turned, 8);
    for (; size - at >= 8; at += 8) {
        memcpy(&eight, data + at, 8);
        eight ^= eight_keys;
        memcpy(data + at, &eight, 8);
    }
    for (; at < size; at++) {
        data[at] ^= turned[at % 8];
    }
    dec->mask_phase = (uint8_t)((dec->mask_phase + size) % KEY_SIZE);
}

/* Incremental, so that bad text fails at its first bad byte. */
static bool
text_holds(ws_frame_decoder *dec, const uint8_t *data, size_t size, bool last)
{
    if (dec->message_opcode != WS_OPCODE_TEXT || dec->compressed) {
        return true;
    }
    return ws_utf8_feed(&dec->utf8, data, size) &&
           (!last || ws_utf8_complete(&dec->utf8));
}

static ws_decode_kind
read_data(ws_frame_decoder *dec, uint8_t **data, size_t *size,
          ws_decode_event *event)
{
    if (dec->left > 0 && *size == 0) {
        return WS_DECODE_NEED_MORE;
    }
    size_t count = dec->left < *size ? (size_t)dec->left : *size;
    if (dec->compressed && count > WS_DECODE_COMPRESSED_PIECE) {
        count = WS_DECODE_COMPRESSED_PIECE;
    }
    uint8_t *piece = use(data, size, count);
    dec->left -= count;
    bool last = dec->left == 0 && is_final(dec);

    unmask(dec, piece, count);
    if (!text_holds(dec, piece, count, last)) {
        return fail(dec, event, WS_CLOSE_INVALID_DATA,
                    "a text message that is not UTF-8");
    }
    *event = (ws_decode_event){
        .data = piece,
        .size = count,
        .frame_left = dec->left,
        .opcode = (ws_opcode)dec->message_opcode,
        .first = !dec->started,
        .last = last,
        .compressed = dec->compressed,
    };
    dec->started = true;
    if (dec->left == 0) {
        end_frame(dec);
    }
    return WS_DECODE_DATA;
}

static ws_decode_kind
control_event(ws_frame_decoder *dec, uint8_t *payload, size_t size,
              ws_decode_event *event)
{
    uint8_t opcode = opcode_of(dec);

    unmask(dec, payload, size);
    end_frame(dec);
    *event = (ws_decode_event){.data = payload, .size = size};
    if (opcode != WS_OPCODE_CLOSE) {
        return opcode == WS_OPCODE_PING ? WS_DECODE_PING : WS_DECODE_PONG;
    }
    ws_close_body body;
    const char *broken = ws_close_code_parse(payload, size, &body);
    if (broken != NULL) {
        return fail(dec, event, body.code, broken);
    }
    dec->state = ENDED;
    event->code = body.code;
    event->size = body.reason_size;
    event->data = payload + (size - body.reason_size);
    return WS_DECODE_CLOSE;
}

static ws_decode_kind
read_control(ws_frame_decoder *dec, uint8_t **data, size_t *size,
             ws_decode_event *event)
{
    size_t left = (size_t)dec->left;

    if (dec->control_size == 0 && *size >= left) {
        return control_event(dec, use(data, size, left), left, event);
    }
    if (*size == 0) {
        return WS_DECODE_NEED_MORE;
    }
    if (dec->control == NULL) {
        return WS_DECODE_NEED_BUFFER;
    }
    size_t count = left < *size ? left : *size;
    memcpy(dec->control + dec->control_size, use(data, size, count), count);
    dec->control_size = (uint8_t)(dec->control_size + count);
    dec->left -= count;
    if (dec->left > 0) {
        return WS_DECODE_NEED_MORE;
    }
    return control_event(dec, dec->control, dec->control_size, event);
}

ws_decode_kind
ws_frame_decode(ws_frame_decoder *dec, uint8_t **data, size_t *size,
                ws_decode_event *event)
{
    *event = (ws_decode_event){.data = NULL};
    while (dec->state != ENDED) {
        check(dec);
        if (dec->state == IN_HEADER && !read_header(dec, data, size, event)) {
            return dec->state == ENDED ? WS_DECODE_ERROR : WS_DECODE_NEED_MORE;
        }
        if (is_control(dec)) {
            return read_control(dec, data, size, event);
        }
        if (dec->left > 0 || is_final(dec)) {
            return read_data(dec, data, size, event);
        }
        end_frame(dec); // an empty fragment: nothing to tell
    }
    return WS_DECODE_DONE;
}

void
ws_frame_decoder_lend(ws_frame_decoder *dec, uint8_t *buffer)
{
    assert(dec->control == NULL && buffer != NULL);
    dec->control = buffer;
}

static uint8_t *
take_buffer(ws_frame_decoder *dec)
{
    uint8_t *buffer = dec->control;
    dec->control = NULL;
    dec->control_size = 0;
    return buffer;
}

uint8_t *
ws_frame_decoder_reclaim(ws_frame_decoder *dec)
{
    return dec->control_size == 0 ? take_buffer(dec) : NULL;
}

uint8_t *
ws_frame_decoder_finish(ws_frame_decoder *dec)
{
    dec->state = ENDED;
    return take_buffer(dec);
}

/* A client's frames: in any pieces, with and without a lent buffer, and by a
   second opinion that has all of them before it. */
#include "proto/frame_decode.h"

#include "fuzz.h"
#include "proto/frame_encode.h"
#include "reference_frames.h"

/* One decoder and what it was given. */
typedef struct {
    ws_frame_decoder decoder;
    const ws_decode_limits *limits;
    frame_log log;
    uint8_t *buffer; // for control frames, whoever has it
    bool lent;
    uint32_t whims;  // whether to reclaim, lend, or move the rest; in bits
    bool in_message; // a first piece was seen, and no last one
    uint64_t message_size;
    uint64_t frame_left; // as the last piece had it
} session;

/* What to do at the next occasion; goes round. */
static bool
whim(session *s)
{
    s->whims = s->whims << 1 | s->whims >> 31;
    return (s->whims & 1) != 0;
}

static void
lend(session *s)
{
    CHECK(!s->lent);
    ws_frame_decoder_lend(&s->decoder, s->buffer);
    s->lent = true;
}

/* Between two calls anybody may take the buffer away, unless it is in use;
   what was in it is gone. */
static void
reclaim(session *s)
{
    uint8_t *back = ws_frame_decoder_reclaim(&s->decoder);

    CHECK(back == NULL || (s->lent && back == s->buffer));
    if (back != NULL) {
        s->lent = false;
        memset(s->buffer, 0xEE, WS_FRAME_CONTROL_PAYLOAD_MAX);
    }
}

static void
take_data(session *s, const ws_decode_event *event)
{
    CHECK(event->opcode == WS_OPCODE_TEXT ||
          event->opcode == WS_OPCODE_BINARY);
    CHECK(event->size > 0 || event->last);
    CHECK_EQ(event->first, !s->in_message);
    CHECK(!event->compressed || s->limits->max_compressed_size > 0);
    CHECK(s->frame_left == 0 ||
          s->frame_left == event->size + event->frame_left);
    CHECK(!event->last || event->frame_left == 0);
    if (event->first) {
        frame_log_begin(&s->log, (uint8_t)event->opcode, event->compressed);
        s->message_size = 0;
    }
    frame_log_data(&s->log, event->data, event->size);
    s->message_size += event->size;
    s->frame_left = event->frame_left;
    CHECK(s->message_size + s->frame_left <=
          (event->compressed ? s->limits->max_compressed_size
                             : s->limits->max_message_size));
    s->in_message = !event->last;
    if (event->last) {
        frame_log_end(&s->log, 'M');
    }
}

/* Whatever a client may say in closing, we may say, too. */
static void
take_close(session *s, const ws_decode_event *event)
{
    uint8_t out[WS_FRAME_CONTROL_MAX];
    size_t body = event->code == 1005 ? 0 : 2 + event->size;

    frame_log_last(&s->log, 'C', event->code, event->data, event->size);
    CHECK_EQ(ws_frame_encode_close(out, event->code, event->data, event->size),
             2 + body);
    CHECK_EQ(out[1], body);
    CHECK_MEM_EQ(out + 2 + body - event->size, event->data, event->size);
}

static void
take_ping(session *s, char kind, ws_opcode opcode,
          const ws_decode_event *event)
{
    uint8_t out[WS_FRAME_CONTROL_MAX];

    frame_log_put(&s->log, kind, event->data, event->size);
    CHECK_EQ(ws_frame_encode_control(out, opcode, event->data, event->size),
             2 + event->size);
    CHECK_MEM_EQ(out + 2, event->data, event->size);
}

/* Data and control payloads lie where they may. */
static void
check_place(const session *s, const ws_decode_event *event,
            const uint8_t *piece, const uint8_t *end)
{
    bool in_piece = event->data >= piece && event->data + event->size <= end;
    bool in_buffer =
        s->lent && event->data >= s->buffer &&
        event->data + event->size <= s->buffer + WS_FRAME_CONTROL_PAYLOAD_MAX;

    CHECK(event->size == 0 || in_piece || in_buffer);
}

static void
take(session *s, ws_decode_kind kind, const ws_decode_event *event)
{
    switch (kind) {
    case WS_DECODE_NEED_MORE:
    case WS_DECODE_DONE:
        break;
    case WS_DECODE_NEED_BUFFER:
        lend(s);
        break;
    case WS_DECODE_DATA:
        take_data(s, event);
        break;
    case WS_DECODE_PING:
        take_ping(s, 'P', WS_OPCODE_PING, event);
        break;
    case WS_DECODE_PONG:
        take_ping(s, 'O', WS_OPCODE_PONG, event);
        break;
    case WS_DECODE_CLOSE:
        take_close(s, event);
        break;
    case WS_DECODE_ERROR:
        CHECK(event->text != NULL && event->size == 0);
        if (strstr(event->text, "text message") != NULL) {
            CHECK_EQ(event->code, 1007);
            frame_log_bad_text(&s->log);
        } else {
            frame_log_last(&s->log, 'X', event->code, NULL, 0);
        }
        break;
    }
}

/* All events of one piece, which it frees. */
static void
feed_piece(session *s, uint8_t *piece, size_t size)
{
    uint8_t *at = piece;
    size_t left = size;
    ws_decode_kind kind;

    do {
        ws_decode_event event;
        uint8_t *before = at;
        bool ended = s->log.ended;
        kind = ws_frame_decode(&s->decoder, &at, &left, &event);
        CHECK(at + left == piece + size && at >= before);
        CHECK_EQ(kind == WS_DECODE_DONE, ended);
        CHECK(!ended || at == before);
        s->log.used += (size_t)(at - before);
        check_place(s, &event, piece, piece + size);
        take(s, kind, &event);
        bool needs = kind == WS_DECODE_NEED_BUFFER;
        if (whim(s) && !needs) { // or it would ask for ever
            reclaim(s);
        }
        if (whim(s) && !s->lent) {
            lend(s);
        }
        if (whim(s)) { // the rest is kept for later, elsewhere
            uint8_t *rest = fuzz_copy(at, left);
            free(piece);
            at = piece = rest;
            size = left;
        }
    } while (kind != WS_DECODE_NEED_MORE && kind != WS_DECODE_DONE);
    CHECK(left == 0 || kind == WS_DECODE_DONE);
    free(piece);
}

static frame_log
decode(fuzz_input in, const ws_decode_limits *limits, fuzz_cuts cuts,
       uint32_t whims)
{
    session s = {.limits = limits, .whims = whims};
    size_t at = 0;

    s.buffer = malloc(WS_FRAME_CONTROL_PAYLOAD_MAX);
    CHECK(s.buffer != NULL);
    ws_frame_decoder_init(&s.decoder, limits);
    while (at < in.size) {
        size_t size = fuzz_next_piece(&cuts, in.size - at);
        feed_piece(&s, fuzz_copy(in.data + at, size), size);
        at += size;
    }
    uint8_t *back = ws_frame_decoder_finish(&s.decoder);
    CHECK(back == (s.lent ? s.buffer : NULL));
    free(s.buffer);
    frame_log_end(&s.log, 'U');
    return s.log;
}

static void
check_same_log(const frame_log *got, const frame_log *want)
{
    const frame_bytes *a = &got->records;
    const frame_bytes *b = &want->records;
    size_t common = a->size < b->size ? a->size : b->size;

    CHECK_MEM_EQ(a->data, b->data, common);
    CHECK_EQ(a->size, b->size);
    CHECK_EQ(got->ended, want->ended);
}

static void
check_run(fuzz_input in, const ws_decode_limits *limits, fuzz_cuts cuts,
          uint32_t whims, const frame_log *want)
{
    frame_log got = decode(in, limits, cuts, whims);

    check_same_log(&got, want);
    if (!got.bad_text) { // which is noticed piece by piece
        CHECK_EQ(got.used, want->used);
    }
    frame_log_free(&got);
}

/* The one header that says the same in our direction is what we write. */
static void
check_encoder(fuzz_input in)
{
    uint8_t header[WS_FRAME_HEADER_MAX];
    reference_frame f;

    if (in.size >= 14 && reference_frame_read(&f, in.data, in.size) &&
        f.size <= INT64_MAX) {
        size_t size = ws_frame_encode_header(header, (ws_opcode)f.opcode,
                                             in.data[0] & 0xC0U, f.size);
        uint8_t least = f.size < 126 ? 2 : f.size < 65536 ? 4 : 10;
        CHECK_EQ(size, least);
        if (size == 2 + f.form) {
            CHECK_EQ(header[0], in.data[0] & 0xCF);
            CHECK_EQ(header[1], in.data[1] & 0x7F);
            CHECK_MEM_EQ(header + 2, in.data + 2, f.form);
        }
    }
}

static ws_decode_limits
take_limits(fuzz_input *in)
{
    uint8_t kind = fuzz_take_byte(in);
    ws_decode_limits limits = {
        .max_message_size = UINT64_MAX,
        .max_fragments = WS_DECODE_MAX_FRAGMENTS,
        .max_compressed_size = (kind & 1) != 0 ? UINT64_MAX : 0,
    };
    size_t width = (size_t)1 << (kind >> 3 & 3);

    if ((kind & 2) != 0) {
        limits.max_fragments = 1U + fuzz_take_byte(in);
    }
    if ((kind & 4) != 0) {
        limits.max_message_size = fuzz_take_number(in, width);
    }
    if ((kind & 32) != 0) {
        limits.max_compressed_size = fuzz_take_number(in, width);
    }
    return limits;
}

static void
run(fuzz_input in)
{
    ws_decode_limits limits = take_limits(&in);
    fuzz_cuts cuts = fuzz_take_cuts(&in);
    uint32_t whims = (uint32_t)fuzz_take_number(&in, 4);
    frame_log want = reference_frames(in.data, in.size, &limits, NULL);

    check_run(in, &limits, (fuzz_cuts){.count = 0}, 0, &want);
    check_run(in, &limits, cuts, whims, &want);
    check_run(in, &limits, (fuzz_cuts){.bytewise = true}, 0, &want);
    check_encoder(in);
    frame_log_free(&want);
}

FUZZ_MAIN(run)

/*
 * reference_frames.h - a second opinion on a client's frames.
 *
 * It has all bytes before it, takes one frame after the other, and judges a
 * message's text by looking at all of it again. What it finds is a log of
 * plain records; in front of each stands how many bytes of an unfinished
 * message were told of by then:
 *
 *     'P' / 'O' payload     a ping, a pong
 *     'C' code reason       the close
 *     'X' code              a broken rule
 *     'M' / 'U' kind bytes  a message; one that stayed unfinished
 *
 * A compressed message stays as it came, or is what a reference_unpack makes
 * of it.
 *
 * Threads: any; one log one thread at a time.
 * Owns:    a log owns its bytes until frame_log_free.
 */
#ifndef WS_TESTS_REFERENCE_FRAMES_H
#define WS_TESTS_REFERENCE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "proto/frame_decode.h"
#include "reference_utf8.h"

typedef struct frame_bytes {
    uint8_t *data;
    size_t size;
    size_t room;
} frame_bytes;

typedef struct frame_log {
    frame_bytes records;
    frame_bytes message; /* told so far: its kind and its bytes */
    size_t used;         /* input bytes that the log accounts for */
    bool ended;          /* by a close or a broken rule */
    bool bad_text;       /* which was the broken rule */
    bool or_too_big;     /* and 1009 is right, too: it depends on the pieces */
} frame_log;

static inline void
frame_bytes_put(frame_bytes *bytes, const void *data, size_t size)
{
    if (bytes->size + size > bytes->room) {
        bytes->room = 2 * (bytes->size + size) + 256;
        bytes->data = realloc(bytes->data, bytes->room);
        CHECK(bytes->data != NULL);
    }
    if (size > 0) {
        memcpy(bytes->data + bytes->size, data, size);
    }
    bytes->size += size;
}

static inline void
frame_log_free(frame_log *log)
{
    free(log->records.data);
    free(log->message.data);
    *log = (frame_log){.used = 0};
}

static inline void
frame_log_put(frame_log *log, char kind, const uint8_t *data, size_t size)
{
    uint64_t sizes[] = {log->message.size, size};

    frame_bytes_put(&log->records, sizes, sizeof sizes);
    frame_bytes_put(&log->records, &kind, 1);
    frame_bytes_put(&log->records, data, size);
}

static inline void
frame_log_begin(frame_log *log, uint8_t opcode, bool compressed)
{
    CHECK_EQ(log->message.size, 0);
    frame_bytes_put(&log->message, (uint8_t[]){opcode, compressed}, 2);
}

static inline void
frame_log_data(frame_log *log, const uint8_t *data, size_t size)
{
    frame_bytes_put(&log->message, data, size);
}

static inline void
frame_log_end(frame_log *log, char kind)
{
    frame_log_put(log, kind, log->message.data, log->message.size);
    log->message.size = 0;
}

/* A close or a broken rule, after which nothing comes. */
static inline void
frame_log_last(frame_log *log, char kind, uint16_t code, const uint8_t *reason,
               size_t size)
{
    uint8_t body[128] = {(uint8_t)(code >> 8), (uint8_t)code};

    CHECK(size <= 123);
    if (size > 0) {
        memcpy(body + 2, reason, size);
    }
    frame_log_put(log, kind, body, 2 + size);
    log->ended = true;
}

/* How much of it was told depends on the pieces it came in: forgotten. */
static inline void
frame_log_bad_text(frame_log *log)
{
    log->bad_text = true;
    log->message.size = 0;
    frame_log_last(log, 'X', 1007, NULL, 0);
}

/* ---- the reference */

/* What a compressed message says, as far as it is here, and whether it is
   `complete`: puts its bytes into `out` and returns the code of the rule that
   it breaks, or 0. */
typedef uint16_t reference_unpack(frame_log *log, unsigned opcode,
                                  const frame_bytes *packed, bool complete,
                                  frame_bytes *out);

typedef struct reference_frame {
    bool fin, rsv1, rsv23, masked;
    unsigned opcode;
    unsigned form;      /* bytes of the extended length: 0, 2 or 8 */
    uint64_t size;      /* of the payload */
    const uint8_t *key; /* NULL: not all here */
    const uint8_t *masked_payload;
    size_t here; /* bytes of the payload that are here */
    size_t header_size;
} reference_frame;

typedef struct reference_message {
    unsigned opcode; /* 0: there is none */
    bool compressed;
    uint64_t declared;
    uint32_t frames;
    bool told;       /* that it began */
    frame_bytes all; /* of a text, or of what is to be unpacked */
} reference_message;

static inline bool
reference_code_valid(unsigned code)
{
    static const char good[] = "1000 1001 1002 1003 1007 1008 1009 1010 1011 "
                               "1012 1013 1014";
    char digits[8];

    (void)snprintf(digits, sizeof digits, "%u", code);
    return (code >= 3000 && code < 5000) ||
           (strlen(digits) == 4 && strstr(good, digits) != NULL);
}

/* The code of the first broken rule of a frame whose length is known as far
   as `size_known` says; 0: none. */
static inline uint16_t
reference_frame_judge(const reference_frame *f, bool size_known,
                      const reference_message *m,
                      const ws_decode_limits *limits)
{
    bool control = f->opcode >= 8;
    bool shortest = f->form == 0 || f->size > (f->form == 2 ? 125 : 65535);
    bool first = f->opcode == 1 || f->opcode == 2;
    bool known = first || f->opcode == 0 || f->opcode == 8 || f->opcode == 9 ||
                 f->opcode == 10;

    if (f->rsv23 || !f->masked || !known ||
        (f->rsv1 && !(first && limits->max_compressed_size > 0)) ||
        (control && (!f->fin || f->form != 0)) ||
        (f->opcode == 0 && m->opcode == 0) || (first && m->opcode != 0)) {
        return 1002;
    }
    bool packed = first ? f->rsv1 : m->compressed;
    uint64_t most =
        packed ? limits->max_compressed_size +
                     (uint64_t)limits->compressed_frame_extra * (m->frames + 1)
               : limits->max_message_size;
    if (!size_known || control) {
        return 0;
    }
    if (!shortest || f->size > INT64_MAX) {
        return 1002;
    }
    if (f->size > most || m->declared > most - f->size) {
        return 1009;
    }
    return m->frames + 1 > limits->max_fragments ? 1008 : 0;
}

static inline uint8_t *
reference_frame_payload(const reference_frame *f)
{
    uint8_t *payload = malloc(f->here + 1);

    CHECK(payload != NULL);
    for (size_t i = 0; i < f->here; i++) {
        payload[i] = f->masked_payload[i] ^ f->key[i & 3];
    }
    return payload;
}

static inline void
reference_control(frame_log *log, const reference_frame *f)
{
    uint8_t *payload = reference_frame_payload(f);
    size_t size = f->here;

    if (f->opcode != 8) {
        frame_log_put(log, f->opcode == 9 ? 'P' : 'O', payload, size);
    } else if (size == 0) {
        frame_log_last(log, 'C', 1005, NULL, 0);
    } else if (size == 1 ||
               !reference_code_valid(payload[0] * 256U + payload[1])) {
        frame_log_last(log, 'X', 1002, NULL, 0);
    } else if (!reference_utf8_look(payload + 2, size - 2).valid) {
        frame_log_last(log, 'X', 1007, NULL, 0);
    } else {
        frame_log_last(log, 'C', (uint16_t)(payload[0] * 256U + payload[1]),
                       payload + 2, size - 2);
    }
    free(payload);
}

/* False: the text has become bad. */
static inline bool
reference_text(const frame_bytes *text, bool complete)
{
    reference_utf8 look = reference_utf8_look(text->data, text->size);
    return complete ? look.valid : !look.bad;
}

/* The message's bytes so far; false: they broke a rule. */
static inline bool
reference_more(frame_log *log, reference_message *m, bool complete,
               reference_unpack *unpack)
{
    if (!m->compressed) {
        bool good = m->opcode != 1 || reference_text(&m->all, complete);
        if (!good) {
            frame_log_bad_text(log);
        }
        return good;
    }
    if (unpack == NULL) {
        return true;
    }
    frame_bytes out = {.size = 0};
    uint16_t broken = unpack(log, m->opcode, &m->all, complete, &out);
    log->message.size = 2; // behind its kind
    frame_log_data(log, out.data, out.size);
    free(out.data);
    if (broken != 0) {
        log->message.size = 0;
        frame_log_last(log, 'X', broken, NULL, 0);
    }
    return broken == 0;
}

static inline void
reference_data(frame_log *log, reference_message *m, const reference_frame *f,
               reference_unpack *unpack)
{
    bool whole = f->here == f->size;
    bool complete = whole && f->fin;

    if (f->opcode != 0) {
        m->opcode = f->opcode;
        m->compressed = f->rsv1;
    }
    m->declared += f->size;
    m->frames++;
    if (f->here == 0 && !complete) {
        return; // nothing to tell of
    }
    uint8_t *payload = reference_frame_payload(f);
    if (!m->told) {
        frame_log_begin(log, (uint8_t)m->opcode, m->compressed);
        m->told = true;
    }
    frame_log_data(log, payload, f->here);
    frame_bytes_put(&m->all, payload, f->here);
    free(payload);
    if (reference_more(log, m, complete, unpack) && complete) {
        frame_log_end(log, 'M');
    }
    if (complete) {
        free(m->all.data);
        *m = (reference_message){.opcode = 0};
    }
}

/* As far as the bytes go; returns whether the length is all there. */
static inline bool
reference_frame_read(reference_frame *f, const uint8_t *data, size_t size)
{
    *f = (reference_frame){
        .fin = (data[0] & 0x80) != 0,
        .rsv1 = (data[0] & 0x40) != 0,
        .rsv23 = (data[0] & 0x30) != 0,
        .opcode = data[0] & 15U,
        .masked = (data[1] & 0x80) != 0,
        .size = data[1] & 0x7FU,
    };
    f->form = f->size == 126 ? 2 : f->size == 127 ? 8 : 0;
    f->header_size = 6 + f->form;
    if (size < 2 + f->form) {
        return false;
    }
    if (f->form > 0) {
        f->size = 0;
        for (size_t i = 0; i < f->form; i++) {
            f->size = f->size * 256 + data[2 + i];
        }
    }
    if (size >= f->header_size) {
        f->key = data + 2 + f->form;
        f->masked_payload = data + f->header_size;
        size_t left = size - f->header_size;
        f->here = left < f->size ? left : (size_t)f->size;
    }
    return true;
}

/* `unpack` NULL: compressed messages stay so. To be freed with
   frame_log_free. */
static inline frame_log
reference_frames(const uint8_t *data, size_t size,
                 const ws_decode_limits *limits, reference_unpack *unpack)
{
    frame_log log = {.used = 0};
    reference_message m = {.opcode = 0};

    while (size - log.used >= 2 && !log.ended) {
        reference_frame f;
        size_t left = size - log.used;
        bool size_known = reference_frame_read(&f, data + log.used, left);
        uint16_t broken = reference_frame_judge(&f, size_known, &m, limits);
        if (broken != 0) {
            // As many bytes as it took to see it.
            bool early = reference_frame_judge(&f, false, &m, limits) != 0;
            log.used += early ? 2 : 2 + f.form;
            frame_log_last(&log, 'X', broken, NULL, 0);
        } else if (f.key != NULL && f.opcode < 8) {
            log.used += f.header_size + f.here;
            reference_data(&log, &m, &f, unpack);
        } else if (f.key != NULL && f.here == f.size) {
            log.used += f.header_size + f.here;
            reference_control(&log, &f);
        }
        if (broken == 0 && (f.key == NULL || f.here < f.size)) {
            break; // the rest of the frame is not here
        }
    }
    if (!log.ended) {
        log.used = size;
    }
    frame_log_end(&log, 'U');
    free(m.all.data);
    return log;
}

#endif

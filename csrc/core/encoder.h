/*
 * encoder.h - makes messages into the form that a client wants them in. The
 * core does not know what the form is: who opens the client gives it one.
 *
 * A form is made by the first sender that needs it, in its own thread and
 * under no lock, and kept with the message for all others.
 *
 * Threads: any.
 * Owns:    see each encoder; a client holds a reference.
 * Locks:   may take some of its own, leaves.
 */
#ifndef WS_CORE_ENCODER_H
#define WS_CORE_ENCODER_H

#include <stddef.h>

#include "msg.h"

typedef struct ws_encoder ws_encoder;

/* Shared by its clients and never changed. */
struct ws_encoder {
    /* The key of the form that a message of `size` payload bytes is wanted in,
       the same for every encoder that makes the same; 0: it goes as it is. */
    unsigned (*key)(const ws_encoder *encoder, size_t size);

    /* Makes it: a reference; `msg` itself, with one, when no other form is
       worth having. NULL: no memory. */
    ws_msg *(*encode)(ws_encoder *encoder, ws_msg *msg, unsigned key);

    void (*unref)(ws_encoder *encoder);
};

#endif

#include "msg.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "alloc.h"

struct ws_msg {
    atomic_uint refs;
    uint32_t header_size;
    size_t size;
    uint8_t frame[]; // header, then payload
};

ws_msg *
ws_msg_new(const uint8_t *header, size_t header_size, const void *data,
           size_t size)
{
    assert(header_size >= 1 && header_size <= WS_MSG_HEADER_MAX);
    assert(data != NULL || size == 0);

    if (size > SIZE_MAX - sizeof(ws_msg) - header_size) {
        return NULL;
    }
    ws_msg *msg = ws_malloc(sizeof *msg + header_size + size);
    if (msg == NULL) {
        return NULL;
    }
    atomic_init(&msg->refs, 1);
    msg->header_size = (uint32_t)header_size;
    msg->size = size;
    memcpy(msg->frame, header, header_size);
    if (size > 0) {
        memcpy(msg->frame + header_size, data, size);
    }
    return msg;
}

ws_msg *
ws_msg_ref(ws_msg *msg)
{
    // Relaxed: whoever adds a reference already holds one.
    unsigned before =
        atomic_fetch_add_explicit(&msg->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return msg;
}

void
ws_msg_unref(ws_msg *msg)
{
    if (msg == NULL) {
        return;
    }
    // Release our reads of the message, acquire everyone else's: the thread
    // that frees must come after all of them.
    unsigned before =
        atomic_fetch_sub_explicit(&msg->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        ws_free(msg);
    }
}

const uint8_t *
ws_msg_payload(const ws_msg *msg)
{
    return msg->frame + msg->header_size;
}

const uint8_t *
ws_msg_frame(const ws_msg *msg)
{
    return msg->frame;
}

size_t
ws_msg_size(const ws_msg *msg)
{
    return msg->size;
}

size_t
ws_msg_frame_size(const ws_msg *msg)
{
    return msg->header_size + msg->size;
}

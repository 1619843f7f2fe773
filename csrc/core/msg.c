#include "msg.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "alloc.h"

/* A member of the list of a message's forms; fixed once it is in there. */
typedef struct form {
    struct form *next;
    ws_msg *msg; // a reference; NULL: the message that has the list
    unsigned key;
} form;

struct ws_msg {
    atomic_uint refs;
    uint32_t header_size;
    size_t frame_size;
    size_t size;           // of the payload before it was encoded
    _Atomic(form *) forms; // newest first
    uint8_t frame[];       // header, then payload
};

ws_msg *
ws_msg_new(const uint8_t *header, size_t header_size, const void *data,
           size_t size)
{
    return ws_msg_new_form(header, header_size, data, size, size);
}

ws_msg *
ws_msg_new_form(const uint8_t *header, size_t header_size, const void *data,
                size_t size, size_t original)
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
    msg->frame_size = header_size + size;
    msg->size = original;
    atomic_init(&msg->forms, NULL);
    memcpy(msg->frame, header, header_size);
    if (size > 0) {
        memcpy(msg->frame + header_size, data, size);
    }
    return msg;
}

static ws_msg *
form_msg(ws_msg *msg, const form *f)
{
    return f->msg == NULL ? msg : f->msg;
}

static form *
find_form(form *f, unsigned key)
{
    while (f != NULL && f->key != key) {
        f = f->next;
    }
    return f;
}

ws_msg *
ws_msg_get_form(ws_msg *msg, unsigned key)
{
    // Acquire: what its maker has written comes with it.
    form *f = find_form(
        atomic_load_explicit(&msg->forms, memory_order_acquire), key);
    return f == NULL ? NULL : form_msg(msg, f);
}

/* Puts it into the list; or returns the one that is there already. */
static form *
put_form(ws_msg *msg, form *mine)
{
    mine->next = atomic_load_explicit(&msg->forms, memory_order_acquire);
    for (;;) {
        form *other = find_form(mine->next, mine->key);
        if (other != NULL) {
            return other;
        }
        // Release what is in the form to whoever finds it; acquire, as above,
        // what came in between.
        if (atomic_compare_exchange_weak_explicit(&msg->forms, &mine->next,
                                                  mine, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            return mine;
        }
    }
}

/* Drops a reference; true: it was the last. */
static bool
let_go(ws_msg *msg)
{
    // Release our reads of the message, acquire everyone else's: the thread
    // that frees must come after all of them.
    unsigned before =
        atomic_fetch_sub_explicit(&msg->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    return before == 1;
}

static void
free_form(form *f)
{
    if (f->msg != NULL && let_go(f->msg)) {
        ws_free(f->msg); // which has no forms itself
    }
    ws_free(f);
}

ws_msg *
ws_msg_keep_form(ws_msg *msg, unsigned key, ws_msg *made)
{
    form *mine = ws_malloc(sizeof *mine);
    if (made == msg) {
        ws_msg_unref(made); // it would keep itself
        made = NULL;
    }
    if (mine == NULL) {
        ws_msg_unref(made);
        return NULL;
    }
    *mine = (form){.msg = made, .key = key};
    form *kept = put_form(msg, mine);
    if (kept != mine) {
        free_form(mine);
    }
    return form_msg(msg, kept);
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
    if (msg == NULL || !let_go(msg)) {
        return;
    }
    // Relaxed: nobody else has it any more.
    form *f = atomic_load_explicit(&msg->forms, memory_order_relaxed);
    while (f != NULL) {
        form *next = f->next;
        free_form(f);
        f = next;
    }
    ws_free(msg);
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
    return msg->frame_size;
}

#include "held.h"

#include <assert.h>
#include <string.h>

#include "alloc.h"

/* Room for a text and its NUL. */
static size_t
room_for(ws_text text)
{
    return text.data == NULL ? 0 : text.size + 1;
}

static ws_text
copy_text(char **at, ws_text text)
{
    if (text.data == NULL) {
        return (ws_text){NULL, 0};
    }
    ws_text copy = {*at, text.size};
    memcpy(*at, text.data, text.size);
    (*at)[text.size] = '\0';
    *at += text.size + 1;
    return copy;
}

ws_decision *
ws_decision_new(const ws_decision *what)
{
    size_t size = room_for(what->headers) + room_for(what->id) +
                  room_for(what->user) + room_for(what->subprotocol) +
                  room_for(what->topics) + room_for(what->content_type) +
                  room_for(what->body);
    ws_decision *decision = ws_malloc(sizeof *decision + size);
    if (decision == NULL) {
        return NULL;
    }
    char *at = (char *)(decision + 1);
    *decision = *what;
    decision->headers = copy_text(&at, what->headers);
    decision->id = copy_text(&at, what->id);
    decision->user = copy_text(&at, what->user);
    decision->subprotocol = copy_text(&at, what->subprotocol);
    decision->topics = copy_text(&at, what->topics);
    decision->content_type = copy_text(&at, what->content_type);
    decision->body = copy_text(&at, what->body);
    return decision;
}

void
ws_decision_free(ws_decision *decision)
{
    ws_free(decision);
}

ws_held *
ws_held_new(ws_wake *wake, const ws_held_info *info,
            void (*run)(ws_task *task, void *pump))
{
    size_t size = room_for(info->remote) + room_for(info->peer) +
                  room_for(info->request) + room_for(info->subprotocols);
    ws_held *held = ws_calloc(1, sizeof *held + size);
    if (held == NULL) {
        return NULL;
    }
    char *at = held->text;
    held->info = (ws_held_info){
        .remote = copy_text(&at, info->remote),
        .peer = copy_text(&at, info->peer),
        .request = copy_text(&at, info->request),
        .subprotocols = copy_text(&at, info->subprotocols),
    };
    held->task.run = run;
    held->wake = ws_wake_ref(wake);
    atomic_init(&held->refs, 1);
    atomic_init(&held->state, WS_HELD_PENDING);
    return held;
}

ws_held *
ws_held_ref(ws_held *held)
{
    // Relaxed: whoever adds a reference already holds one.
    (void)atomic_fetch_add_explicit(&held->refs, 1, memory_order_relaxed);
    return held;
}

void
ws_held_unref(ws_held *held)
{
    if (held == NULL) {
        return;
    }
    // Acquire and release: the thread that frees comes after all others.
    if (atomic_fetch_sub_explicit(&held->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    ws_decision_free(held->decision);
    ws_wake_unref(held->wake);
    ws_free(held);
}

ws_held_state
ws_held_get_state(const ws_held *held)
{
    return (ws_held_state)atomic_load(&held->state);
}

/* PENDING, and it is `to` from now on; or how it stands. */
static ws_held_state
settle(ws_held *held, ws_held_state to)
{
    unsigned found = WS_HELD_PENDING;
    (void)atomic_compare_exchange_strong(&held->state, &found, (unsigned)to);
    return (ws_held_state)found;
}

/* Brings to the pump what has been settled; false: it has ended. */
static bool
post(ws_held *held)
{
    ws_held_ref(held); // the pump's
    bool posted = ws_wake_post(held->wake, &held->task);
    if (!posted) {
        atomic_store(&held->state, WS_HELD_GONE);
        ws_held_unref(held);
    }
    return posted;
}

ws_held_state
ws_held_decide(ws_held *held, ws_decision *decision)
{
    ws_held_state found =
        settle(held, decision->accept ? WS_HELD_ACCEPTED : WS_HELD_REJECTED);
    if (found != WS_HELD_PENDING) {
        return found;
    }
    held->decision = decision;
    if (!post(held)) {
        held->decision = NULL;
        return WS_HELD_GONE;
    }
    return WS_HELD_PENDING;
}

void
ws_held_drop(ws_held *held)
{
    if (settle(held, WS_HELD_REJECTED) == WS_HELD_PENDING) {
        (void)post(held);
    }
}

bool
ws_held_end(ws_held *held, ws_held_state how)
{
    assert(how == WS_HELD_EXPIRED || how == WS_HELD_GONE);
    ws_held_state found = settle(held, how);
    return found == WS_HELD_PENDING || found == how;
}

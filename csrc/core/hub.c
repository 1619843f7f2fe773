#include "hub.h"

#include <assert.h>

#include "alloc.h"
#include "hub_inside.h"
#include "topic.h"

/* Whatever of a hub there is. */
static void
free_parts(ws_hub *hub)
{
    ws_table_free(hub->ids);
    ws_table_free(hub->users);
    ws_table_free(hub->topics);
    ws_evq_free(hub->events);
    ws_hub_drop_pumps(hub);
    ws_wake_unref(hub->wake);
    ws_lock_destroy(&hub->lock);
    ws_free(hub);
}

ws_err
ws_hub_new(const ws_hub_limits *limits, ws_hub **out)
{
    ws_hub *hub = ws_calloc(1, sizeof *hub);
    if (hub == NULL) {
        return WS_ERR_NOMEM;
    }
    if (ws_lock_init(&hub->lock) != WS_OK) {
        ws_free(hub);
        return WS_ERR_NOMEM;
    }
    hub->limits = *limits;
    hub->ids = ws_table_new();
    hub->users = ws_table_new();
    hub->topics = ws_table_new();
    ws_err err = WS_ERR_NOMEM;
    if (hub->ids != NULL && hub->users != NULL && hub->topics != NULL) {
        err = ws_wake_new(&hub->wake);
    }
    if (err == WS_OK) {
        err = ws_evq_new(limits->inbound, &hub->events);
    }
    if (err != WS_OK) {
        free_parts(hub);
        return err;
    }
    atomic_init(&hub->refs, 1);
    *out = hub;
    return WS_OK;
}

ws_hub *
ws_hub_ref(ws_hub *hub)
{
    // Relaxed: whoever adds a reference already holds one.
    (void)atomic_fetch_add_explicit(&hub->refs, 1, memory_order_relaxed);
    return hub;
}

void
ws_hub_unref(ws_hub *hub)
{
    if (hub == NULL) {
        return;
    }
    // Acquire and release: the thread that frees comes after all others.
    if (atomic_fetch_sub_explicit(&hub->refs, 1, memory_order_acq_rel) == 1) {
        assert(hub->present.size == 0 && hub->open.size == 0);
        free_parts(hub);
    }
}

const ws_chan_limits *
ws_hub_send_limits(const ws_hub *hub)
{
    return &hub->limits.send;
}

ws_wake *
ws_hub_wake(const ws_hub *hub)
{
    return hub->wake;
}

ws_evq *
ws_hub_events(const ws_hub *hub)
{
    return hub->events;
}

ws_pump_counters *
ws_hub_counters(ws_hub *hub)
{
    return &hub->counters;
}

void
ws_hub_start_closing_locked(ws_hub *hub, ws_client *client, uint16_t code,
                            char *reason, size_t reason_size)
{
    ws_table_remove(hub->ids, &client->by_id);
    ws_group_remove(&hub->open, client->open_place);
    if (client->user != NULL) {
        ws_named_leave(hub->users, client->user, client->user_place);
        client->user = NULL;
    }
    ws_topic_unsubscribe_all(hub->topics, client);
    client->close_code = code;
    client->close_reason = reason;
    client->close_reason_size = (uint16_t)reason_size;
    // The channel first: whoever sees CLOSING and an empty channel may send
    // the close frame, for nothing will be queued behind it.
    ws_chan_close(&client->chan);
    atomic_store(&client->state, WS_CLIENT_CLOSING);
}

/* False when it was not open; then `reason` is still the caller's. */
static bool
start_closing(ws_client *client, uint16_t code, char *reason,
              size_t reason_size)
{
    ws_hub *hub = client->hub;
    ws_lock_acquire(&hub->lock);
    bool open = ws_client_get_state(client) == WS_CLIENT_OPEN;
    if (open) {
        ws_hub_start_closing_locked(hub, client, code, reason, reason_size);
    }
    ws_lock_release(&hub->lock);
    return open;
}

ws_err
ws_hub_close_client(ws_client *client, uint16_t code, ws_text reason)
{
    char *copy = NULL;
    if (reason.size > 0) {
        copy = ws_strndup(reason.data, reason.size);
        if (copy == NULL) {
            return WS_ERR_NOMEM;
        }
    }
    if (!start_closing(client, code, copy, reason.size)) {
        ws_free(copy);
        return WS_ERR_CLOSED;
    }
    ws_client_kick(client);
    return WS_OK;
}

void
ws_hub_end_client(ws_client *client, uint16_t code, ws_text reason, bool clean)
{
    ws_hub *hub = client->hub;
    char *copy = reason.size > 0 ? ws_strndup(reason.data, reason.size) : NULL;
    if (!start_closing(client, code, copy, copy == NULL ? 0 : reason.size)) {
        ws_free(copy);
    }
    ws_chan_end(&client->chan);

    ws_lock_acquire(&hub->lock);
    ws_hub_retire_locked(hub, client);
    client->clean = clean;
    atomic_store(&client->state, WS_CLIENT_CLOSED);
    ws_lock_release(&hub->lock);
    ws_evq_disconnected(hub->events, client);
    ws_client_unref(client); // the hub's
}

void
ws_hub_shut(ws_hub *hub)
{
    ws_lock_acquire(&hub->lock);
    hub->shut = true;
    ws_lock_release(&hub->lock);
}

ws_client *
ws_hub_get(ws_hub *hub, ws_text id)
{
    ws_client *client = NULL;
    ws_lock_acquire(&hub->lock);
    ws_table_node *node = ws_table_get(hub->ids, id.data, id.size);
    if (node != NULL) {
        client =
            (ws_client *)(void *)((char *)node - offsetof(ws_client, by_id));
        ws_client_ref(client);
    }
    ws_lock_release(&hub->lock);
    return client;
}

size_t
ws_hub_size(ws_hub *hub)
{
    ws_lock_acquire(&hub->lock);
    size_t size = hub->open.size;
    ws_lock_release(&hub->lock);
    return size;
}

size_t
ws_hub_present(ws_hub *hub)
{
    ws_lock_acquire(&hub->lock);
    size_t size = hub->present.size;
    ws_lock_release(&hub->lock);
    return size;
}

void
ws_hub_close_after_fork(ws_hub *hub)
{
    ws_wake_close_after_fork(hub->wake);
    ws_evq_close_after_fork(hub->events);
}

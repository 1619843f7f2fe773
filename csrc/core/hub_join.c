#include <string.h>

#include "alloc.h"
#include "hub_inside.h"
#include "topic.h"

/* ---- handshakes that wait */

bool
ws_hub_hold(ws_hub *hub)
{
    size_t now = atomic_load(&hub->handshakes);
    do {
        if (now >= hub->limits.max_handshakes) {
            return false;
        }
    } while (!atomic_compare_exchange_weak(&hub->handshakes, &now, now + 1));
    return true;
}

void
ws_hub_let_go(ws_hub *hub)
{
    (void)atomic_fetch_sub(&hub->handshakes, 1);
}

/* ---- joining */

static ws_client *
holder_locked(const ws_hub *hub, ws_text id)
{
    ws_table_node *node = ws_table_get(hub->ids, id.data, id.size);
    return node == NULL ? NULL
                        : (ws_client *)(void *)((char *)node -
                                                offsetof(ws_client, by_id));
}

static ws_err
may_join_locked(const ws_hub *hub, const ws_client *holder, bool replace)
{
    if (hub->shut) {
        return WS_ERR_HUB_CLOSED;
    }
    if (holder != NULL && !replace) {
        return WS_ERR_IN_USE;
    }
    // Whoever is replaced is present until its connection has ended.
    if (hub->limits.max_clients > 0 &&
        hub->present.size >= hub->limits.max_clients) {
        return WS_ERR_TOO_MANY;
    }
    return WS_OK;
}

static ws_err
join_groups_locked(ws_hub *hub, ws_client *client)
{
    uint64_t since = hub->memberships;
    if (ws_group_add(&hub->present, client, since, &client->present_place) !=
        WS_OK) {
        return WS_ERR_NOMEM;
    }
    if (ws_group_add(&hub->open, client, since, &client->open_place) !=
        WS_OK) {
        goto leave_present;
    }
    if (client->info.user.data != NULL &&
        ws_named_join(hub->users, client->info.user, client, since,
                      &client->user, &client->user_place) != WS_OK) {
        goto leave_open;
    }
    client->present_since = since;
    hub->memberships++;
    return WS_OK;

leave_open:
    ws_group_remove(&hub->open, client->open_place);
leave_present:
    ws_group_remove(&hub->present, client->present_place);
    return WS_ERR_NOMEM;
}

static void
leave_groups_locked(ws_hub *hub, ws_client *client)
{
    if (client->user != NULL) {
        ws_named_leave(hub->users, client->user, client->user_place);
        client->user = NULL;
    }
    ws_group_remove(&hub->open, client->open_place);
    ws_group_remove(&hub->present, client->present_place);
}

/* All topics or, without memory, none. */
static ws_err
subscribe_locked(ws_hub *hub, ws_client *client, ws_text topics)
{
    for (size_t at = 0; at < topics.size;) {
        ws_text one = {topics.data + at, strlen(topics.data + at)};
        bool added = false;
        if (ws_topic_subscribe(hub->topics, client, one, hub->memberships,
                               &added) != WS_OK) {
            ws_topic_unsubscribe_all(hub->topics, client);
            return WS_ERR_NOMEM;
        }
        hub->memberships += added;
        at += one.size + 1;
    }
    return WS_OK;
}

static ws_err
join_locked(ws_hub *hub, ws_client *client, ws_text topics)
{
    ws_err err = join_groups_locked(hub, client);
    if (err == WS_OK) {
        err = subscribe_locked(hub, client, topics);
        if (err != WS_OK) {
            leave_groups_locked(hub, client);
        }
    }
    return err;
}

/* The id goes from the one to the other in one moment. Takes over the reason,
   and adds a reference to the old one, for the caller. */
static ws_client *
replace_locked(ws_hub *hub, ws_client *holder, const ws_join *how,
               char **reason)
{
    if (holder != NULL) {
        ws_client_ref(holder);
        ws_hub_start_closing_locked(hub, holder, how->close_code, *reason,
                                    *reason == NULL ? 0
                                                    : how->close_reason.size);
        *reason = NULL;
    }
    return holder;
}

/* What is to be known of the one comes before what is of the other. */
static void
tell(ws_hub *hub, ws_client *client, ws_client *replaced)
{
    if (replaced != NULL) {
        ws_evq_disconnected(hub->events, replaced);
        ws_client_kick(replaced);
        ws_client_unref(replaced);
    }
    ws_evq_announce(hub->events, client);
}

ws_err
ws_hub_join_as(ws_hub *hub, ws_client *client, const ws_join *how)
{
    ws_client *replaced = NULL;
    char *reason = NULL; // without memory for it there is none
    if (how->replace && how->close_reason.size > 0) {
        reason = ws_strndup(how->close_reason.data, how->close_reason.size);
    }
    ws_lock_acquire(&hub->lock);
    ws_client *holder = holder_locked(hub, client->info.id);
    ws_err err = may_join_locked(hub, holder, how->replace);
    if (err == WS_OK) {
        err = join_locked(hub, client, how->topics);
    }
    if (err == WS_OK) {
        replaced = replace_locked(hub, holder, how, &reason);
        ws_table_put(hub->ids, &client->by_id);
        ws_client_ref(client); // the hub's
        hub->joined++;
    }
    ws_lock_release(&hub->lock);
    ws_free(reason);
    if (err == WS_OK) {
        tell(hub, client, replaced);
    }
    return err;
}

ws_err
ws_hub_join(ws_hub *hub, ws_client *client)
{
    return ws_hub_join_as(hub, client, &(ws_join){.replace = false});
}

#include "alloc.h"
#include "hub_inside.h"

typedef struct notify_waiter {
    ws_waiter waiter;
    ws_hub *hub; // a reference
    ws_notice *notice;
} notify_waiter;

static void
fire_notice(ws_waiter *waiter, ws_err result)
{
    notify_waiter *notify = (notify_waiter *)waiter;
    ws_evq_notice(notify->hub->events, notify->notice, result);
    ws_hub_unref(notify->hub);
    ws_free(notify);
}

static void
drop_notify(notify_waiter *notify)
{
    ws_notice_free(notify->notice);
    ws_hub_unref(notify->hub);
    ws_free(notify);
}

ws_err
ws_hub_notify(ws_client *client, ws_wait_kind kind, uint64_t token)
{
    notify_waiter *notify = ws_calloc(1, sizeof *notify);
    ws_notice *notice = ws_notice_new(client, token);
    if (notify == NULL || notice == NULL) {
        ws_free(notify);
        if (notice != NULL) {
            ws_notice_free(notice);
        }
        return WS_ERR_NOMEM;
    }
    notify->waiter =
        (ws_waiter){.kind = kind, .token = token, .fire = fire_notice};
    notify->hub = ws_hub_ref(client->hub);
    notify->notice = notice;
    ws_err err = ws_chan_wait(&client->chan, &notify->waiter);
    if (err != WS_ERR_TIMEOUT) {
        drop_notify(notify);
    }
    return err;
}

bool
ws_hub_unnotify(ws_client *client, uint64_t token)
{
    ws_waiter *waiter = ws_chan_unwait_token(&client->chan, token);
    if (waiter != NULL) {
        drop_notify((notify_waiter *)waiter);
    }
    return waiter != NULL;
}

void
ws_hub_start_events(ws_hub *hub)
{
    if (!ws_evq_start(hub->events)) {
        return;
    }
    ws_walk walk = ws_hub_walk(hub, (ws_target){.kind = WS_TO_ALL});
    ws_client *some[WS_GROUP_CHUNK];
    size_t n = 0;
    while ((n = ws_hub_walk_next(hub, &walk, some)) > 0) {
        for (size_t i = 0; i < n; i++) {
            ws_evq_announce(hub->events, some[i]);
            ws_client_unref(some[i]);
        }
    }
}

static void
tell_of_room(ws_hub *hub)
{
    (void)atomic_fetch_add(&hub->room, 1);
    ws_hub_ring_pumps(hub);
}

void
ws_hub_share_events(ws_hub *hub, ws_evq_limits share)
{
    ws_evq_set_share(hub->events, share);
    if (share.max_messages == 0) {
        tell_of_room(hub);
    }
}

void
ws_hub_give_back(ws_client *client)
{
    if (ws_evq_give_back(client->hub->events, client)) {
        atomic_store(&client->asks, true);
        ws_client_kick(client);
    }
}

bool
ws_hub_take_event(ws_hub *hub, ws_event *out)
{
    bool room = false;
    bool found = ws_evq_take(hub->events, out, &room);
    if (room) {
        tell_of_room(hub);
    }
    return found;
}

bool
ws_hub_take_room(ws_hub *hub, unsigned *seen)
{
    unsigned now = atomic_load(&hub->room);
    bool room = now != *seen;
    *seen = now;
    return room;
}

void
ws_hub_drop_events(ws_hub *hub)
{
    ws_event event;
    while (ws_hub_take_event(hub, &event)) {
        ws_event_release(&event);
    }
}

#include <string.h>

#include "alloc.h"
#include "hub_inside.h"
#include "topic.h"

ws_err
ws_hub_subscribe(ws_client *client, ws_text topic)
{
    ws_hub *hub = client->hub;
    ws_err err = WS_ERR_CLOSED;
    ws_lock_acquire(&hub->lock);
    if (ws_client_get_state(client) == WS_CLIENT_OPEN) {
        bool added = false;
        err = ws_topic_subscribe(hub->topics, client, topic, hub->memberships,
                                 &added);
        hub->memberships += added;
    }
    ws_lock_release(&hub->lock);
    return err;
}

bool
ws_hub_unsubscribe(ws_client *client, ws_text topic)
{
    ws_hub *hub = client->hub;
    ws_lock_acquire(&hub->lock);
    bool was = ws_topic_unsubscribe(hub->topics, client, topic);
    ws_lock_release(&hub->lock);
    return was;
}

/* Writes the names where `at` is not NULL; returns the bytes they take. */
static size_t
write_topics_locked(const ws_client *client, char *at)
{
    size_t size = 0;
    for (const ws_subscription *sub = client->subscriptions; sub != NULL;
         sub = sub->next) {
        size_t one = sub->topic->node.key_size + 1;
        if (at != NULL) {
            memcpy(at + size, sub->topic->name, one);
        }
        size += one;
    }
    return size;
}

ws_err
ws_hub_topics(ws_client *client, char **names, size_t *size)
{
    ws_hub *hub = client->hub;
    ws_lock_acquire(&hub->lock);
    *size = write_topics_locked(client, NULL);
    *names = ws_malloc(*size + 1);
    if (*names != NULL) {
        (void)write_topics_locked(client, *names);
    }
    ws_lock_release(&hub->lock);
    return *names == NULL ? WS_ERR_NOMEM : WS_OK;
}

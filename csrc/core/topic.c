#include "topic.h"

#include <string.h>

#include "alloc.h"

ws_named *
ws_named_get(const ws_table *table, ws_text name)
{
    ws_table_node *node = ws_table_get(table, name.data, name.size);
    return (ws_named *)node; // the node is its first field
}

static ws_named *
named_new(ws_text name)
{
    ws_named *named = ws_calloc(1, sizeof *named + name.size + 1);
    if (named != NULL) {
        memcpy(named->name, name.data, name.size);
        named->node.key = named->name;
        named->node.key_size = name.size;
    }
    return named;
}

ws_err
ws_named_join(ws_table *table, ws_text name, ws_client *client, uint64_t since,
              ws_named **named, ws_group_place *place)
{
    ws_named *found = ws_named_get(table, name);
    bool is_new = found == NULL;
    if (is_new) {
        found = named_new(name);
    }
    if (found == NULL ||
        ws_group_add(&found->group, client, since, place) != WS_OK) {
        if (is_new) {
            ws_free(found);
        }
        return WS_ERR_NOMEM;
    }
    if (is_new) {
        ws_table_put(table, &found->node);
    }
    *named = found;
    return WS_OK;
}

void
ws_named_leave(ws_table *table, ws_named *named, ws_group_place place)
{
    ws_group_remove(&named->group, place);
    if (named->group.size == 0) {
        ws_table_remove(table, &named->node);
        ws_free(named);
    }
}

/* The link that points to the client's subscription of that name, or to the
   NULL at the end of its list. */
static ws_subscription **
find(ws_client *client, ws_text name)
{
    ws_subscription **link = &client->subscriptions;
    while (*link != NULL &&
           ((*link)->topic->node.key_size != name.size ||
            memcmp((*link)->topic->name, name.data, name.size) != 0)) {
        link = &(*link)->next;
    }
    return link;
}

ws_err
ws_topic_subscribe(ws_table *topics, ws_client *client, ws_text name,
                   uint64_t since, bool *added)
{
    *added = false;
    if (*find(client, name) != NULL) {
        return WS_OK;
    }
    ws_subscription *sub = ws_calloc(1, sizeof *sub);
    if (sub == NULL || ws_named_join(topics, name, client, since, &sub->topic,
                                     &sub->place) != WS_OK) {
        ws_free(sub);
        return WS_ERR_NOMEM;
    }
    sub->next = client->subscriptions;
    client->subscriptions = sub;
    *added = true;
    return WS_OK;
}

bool
ws_topic_unsubscribe(ws_table *topics, ws_client *client, ws_text name)
{
    ws_subscription **link = find(client, name);
    ws_subscription *sub = *link;
    if (sub == NULL) {
        return false;
    }
    *link = sub->next;
    ws_named_leave(topics, sub->topic, sub->place);
    ws_free(sub);
    return true;
}

void
ws_topic_unsubscribe_all(ws_table *topics, ws_client *client)
{
    while (client->subscriptions != NULL) {
        ws_subscription *sub = client->subscriptions;
        client->subscriptions = sub->next;
        ws_named_leave(topics, sub->topic, sub->place);
        ws_free(sub);
    }
}

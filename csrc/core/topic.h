/*
 * topic.h - groups of clients that have a name: topics, and users.
 *
 * A named group lives while it has members. A client keeps the list of its
 * subscriptions; its one user stands in the client itself.
 *
 * Threads: none of its own; the hub's lock guards all of it.
 * Owns:    its groups and subscriptions. No references to clients: the hub
 *          takes a client out of everything before it lets go.
 */
#ifndef WS_CORE_TOPIC_H
#define WS_CORE_TOPIC_H

#include "client.h"
#include "err.h"
#include "group.h"
#include "table.h"

struct ws_named {
    ws_table_node node;
    ws_group group;
    char name[];
};

struct ws_subscription {
    ws_subscription *next; /* of the same client */
    ws_named *topic;
    ws_group_place place;
};

/* The group of that name, or NULL. */
ws_named *ws_named_get(const ws_table *table, ws_text name);

/* Adds a client to the group of that name, making it when it is the first.
   NOMEM: nothing has changed. */
WS_MUST_CHECK ws_err ws_named_join(ws_table *table, ws_text name,
                                   ws_client *client, uint64_t since,
                                   ws_named **named, ws_group_place *place);

/* Takes a member out, and the group with the last one. */
void ws_named_leave(ws_table *table, ws_named *named, ws_group_place place);

/* Subscribing twice is once: *added tells. NOMEM: nothing has changed. */
WS_MUST_CHECK ws_err ws_topic_subscribe(ws_table *topics, ws_client *client,
                                        ws_text name, uint64_t since,
                                        bool *added);

/* False when it was not subscribed. */
bool ws_topic_unsubscribe(ws_table *topics, ws_client *client, ws_text name);

void ws_topic_unsubscribe_all(ws_table *topics, ws_client *client);

#endif

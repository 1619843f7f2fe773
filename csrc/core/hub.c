#include "hub.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "alloc.h"
#include "lock.h"
#include "topic.h"

/* A sum over all present clients that is under way: whoever ends meanwhile
   and was not met yet is added by whoever ends it. */
typedef struct tally {
    struct tally *next;
    uint32_t chunk; // the next to be met
    uint64_t before;
    ws_hub_stats sum;
} tally;

struct ws_hub {
    atomic_uint refs;
    ws_hub_limits limits;
    ws_wake *wake;
    ws_evq *events;
    atomic_ullong late; // refusals of clients that have ended
    ws_pump_counters counters;

    ws_lock lock; // guards all below
    bool shut;
    uint64_t memberships; // numbers them
    uint64_t joined;
    ws_table *ids, *users, *topics;
    ws_group open, present;
    ws_chan_counts gone;
    tally *tallies;
};

/* Between two chunks of a walk that does little else than hold the lock.
   Whoever has just released a lock wins it back from those who sleep on it: to
   let them in takes a moment of absence now and then. */
static void
rest_at_times(uint32_t chunk)
{
    enum { CHUNKS_A_REST = 8 }; // some 10 us each
    if (chunk > 0 && chunk % CHUNKS_A_REST == 0) {
        const struct timespec moment = {.tv_nsec = 1000};
        (void)nanosleep(&moment, NULL);
    }
}

/* Whatever of a hub there is. */
static void
free_parts(ws_hub *hub)
{
    ws_table_free(hub->ids);
    ws_table_free(hub->users);
    ws_table_free(hub->topics);
    ws_evq_free(hub->events);
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

static ws_err
may_join_locked(const ws_hub *hub, const ws_client *client)
{
    if (hub->shut) {
        return WS_ERR_HUB_CLOSED;
    }
    if (ws_table_get(hub->ids, client->info.id.data, client->info.id.size) !=
        NULL) {
        return WS_ERR_IN_USE;
    }
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

ws_err
ws_hub_join(ws_hub *hub, ws_client *client)
{
    ws_lock_acquire(&hub->lock);
    ws_err err = may_join_locked(hub, client);
    if (err == WS_OK) {
        err = join_groups_locked(hub, client);
    }
    if (err == WS_OK) {
        ws_table_put(hub->ids, &client->by_id);
        ws_client_ref(client); // the hub's
        hub->joined++;
    }
    ws_lock_release(&hub->lock);
    if (err == WS_OK) {
        ws_evq_announce(hub->events, client);
    }
    return err;
}

/* OPEN -> CLOSING. Takes over `reason`. */
static void
start_closing_locked(ws_hub *hub, ws_client *client, uint16_t code,
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
        start_closing_locked(hub, client, code, reason, reason_size);
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

static void
add_to_sum(ws_hub_stats *sum, const ws_chan_stats *stats)
{
    ws_chan_counts_add(&sum->counts, &stats->counts);
    sum->queued += stats->queued;
    sum->queued_bytes += stats->queued_bytes;
}

/* Moves an ended client's counts to those of the gone. */
static void
retire_locked(ws_hub *hub, ws_client *client)
{
    ws_chan_stats last = {
        .counts = ws_chan_retire(&client->chan, &hub->late),
    };
    ws_chan_counts_add(&hub->gone, &last.counts);
    for (tally *t = hub->tallies; t != NULL; t = t->next) {
        if (client->present_since < t->before &&
            client->present_place.chunk >= t->chunk) {
            add_to_sum(&t->sum, &last);
        }
    }
    ws_group_remove(&hub->present, client->present_place);
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
    retire_locked(hub, client);
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

void
ws_hub_drop_events(ws_hub *hub)
{
    ws_event event;
    while (ws_hub_take_event(hub, &event)) {
        ws_event_release(&event);
    }
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

static const ws_group *
group_locked(const ws_hub *hub, ws_target target)
{
    static const ws_group nobody;
    const ws_named *named = NULL;
    switch (target.kind) {
    case WS_TO_ALL:
        return &hub->open;
    case WS_TO_PRESENT:
        return &hub->present;
    case WS_TO_TOPIC:
        named = ws_named_get(hub->topics, target.name);
        break;
    case WS_TO_USER:
        named = ws_named_get(hub->users, target.name);
        break;
    }
    return named == NULL ? &nobody : &named->group;
}

ws_walk
ws_hub_walk(ws_hub *hub, ws_target target)
{
    ws_walk walk = {.target = target};
    ws_lock_acquire(&hub->lock);
    walk.before = hub->memberships;
    ws_lock_release(&hub->lock);
    return walk;
}

/* One chunk's members, with a reference each; false: there are no more. */
static bool
walk_chunk(ws_hub *hub, ws_walk *walk, ws_client **out, size_t *count)
{
    ws_lock_acquire(&hub->lock);
    const ws_group *group = group_locked(hub, walk->target);
    bool more = walk->chunk < group->chunk_count;
    *count = more ? ws_group_list(group, walk->chunk++, walk->before, out) : 0;
    for (size_t i = 0; i < *count; i++) {
        ws_client_ref(out[i]);
    }
    ws_lock_release(&hub->lock);
    return more;
}

size_t
ws_hub_walk_next(ws_hub *hub, ws_walk *walk, ws_client **out)
{
    size_t count = 0;
    while (count == 0 && walk_chunk(hub, walk, out, &count)) {
        // A chunk where nobody is met; let others in before the next.
    }
    return count;
}

/* Makes room for a chunk behind the first `len`. NOMEM: *all is as it was. */
static ws_err
reserve_chunk(ws_client ***all, size_t len, size_t *cap)
{
    if (*cap - len >= WS_GROUP_CHUNK) {
        return WS_OK;
    }
    size_t more = *cap * 2 + WS_GROUP_CHUNK;
    ws_client **grown = ws_realloc(*all, more * sizeof(ws_client *));
    if (grown == NULL) {
        return WS_ERR_NOMEM;
    }
    *all = grown;
    *cap = more;
    return WS_OK;
}

ws_err
ws_hub_list(ws_hub *hub, ws_target target, ws_client ***out, size_t *count)
{
    ws_walk walk = ws_hub_walk(hub, target);
    ws_client **all = NULL;
    size_t len = 0;
    size_t cap = 0;
    size_t n = 0;

    do {
        if (reserve_chunk(&all, len, &cap) != WS_OK) {
            goto no_memory;
        }
        n = ws_hub_walk_next(hub, &walk, all + len);
        len += n;
        rest_at_times(walk.chunk);
    } while (n > 0);
    *out = all;
    *count = len;
    return WS_OK;

no_memory:
    for (size_t i = 0; i < len; i++) {
        ws_client_unref(all[i]);
    }
    ws_free(all);
    return WS_ERR_NOMEM;
}

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
    notify->waiter = (ws_waiter){.kind = kind, .fire = fire_notice};
    notify->hub = ws_hub_ref(client->hub);
    notify->notice = notice;
    ws_err err = ws_chan_wait(&client->chan, &notify->waiter);
    if (err != WS_ERR_TIMEOUT) {
        fire_notice(&notify->waiter, err);
    }
    return WS_OK;
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

bool
ws_hub_take_event(ws_hub *hub, ws_event *out)
{
    bool room = false;
    bool found = ws_evq_take(hub->events, out, &room);
    if (room) {
        ws_wake_ring(hub->wake);
    }
    return found;
}

/* Adds one chunk of the living; false once all were met. */
static bool
tally_chunk_locked(ws_hub *hub, tally *t)
{
    ws_client *some[WS_GROUP_CHUNK];
    if (t->chunk >= hub->present.chunk_count) {
        return false;
    }
    size_t n = ws_group_list(&hub->present, t->chunk++, t->before, some);
    for (size_t i = 0; i < n; i++) {
        ws_chan_stats stats = ws_chan_get_stats(&some[i]->chan);
        add_to_sum(&t->sum, &stats);
    }
    return true;
}

static void
begin_tally_locked(ws_hub *hub, tally *t)
{
    t->before = hub->memberships;
    t->sum.counts = hub->gone;
    t->sum.counts.refused_closed += ws_counted(&hub->late);
    t->sum.clients = hub->open.size;
    t->sum.closing = hub->present.size - hub->open.size;
    t->sum.joined = hub->joined;
    t->sum.topics = ws_table_size(hub->topics);
    t->sum.users = ws_table_size(hub->users);
    t->next = hub->tallies;
    hub->tallies = t;
}

static void
end_tally_locked(ws_hub *hub, tally *t)
{
    tally **link = &hub->tallies;
    while (*link != t) {
        link = &(*link)->next;
    }
    *link = t->next;
}

ws_hub_stats
ws_hub_get_stats(ws_hub *hub)
{
    tally t = {0};
    ws_lock_acquire(&hub->lock);
    begin_tally_locked(hub, &t);
    while (tally_chunk_locked(hub, &t)) {
        ws_lock_release(&hub->lock);
        rest_at_times(t.chunk);
        ws_lock_acquire(&hub->lock);
    }
    end_tally_locked(hub, &t);
    ws_lock_release(&hub->lock);
    t.sum.events = ws_evq_get_stats(hub->events);
    return t.sum;
}

void
ws_hub_close_after_fork(ws_hub *hub)
{
    ws_wake_close_after_fork(hub->wake);
    ws_evq_close_after_fork(hub->events);
}

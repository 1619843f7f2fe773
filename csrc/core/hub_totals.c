#include "hub_inside.h"

static void
add_to_sum(ws_hub_stats *sum, const ws_chan_stats *stats)
{
    ws_chan_counts_add(&sum->counts, &stats->counts);
    sum->queued += stats->queued;
    sum->queued_bytes += stats->queued_bytes;
}

void
ws_hub_retire_locked(ws_hub *hub, ws_client *client)
{
    ws_chan_stats last = {
        .counts = ws_chan_retire(&client->chan, &hub->late),
    };
    ws_chan_counts_add(&hub->gone, &last.counts);
    for (ws_tally *t = hub->tallies; t != NULL; t = t->next) {
        if (client->present_since < t->before &&
            client->present_place.chunk >= t->chunk) {
            add_to_sum(&t->sum, &last);
        }
    }
    ws_group_remove(&hub->present, client->present_place);
}

/* Adds one chunk of the living; false once all were met. */
static bool
tally_chunk_locked(ws_hub *hub, ws_tally *t)
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
begin_tally_locked(ws_hub *hub, ws_tally *t)
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
end_tally_locked(ws_hub *hub, ws_tally *t)
{
    ws_tally **link = &hub->tallies;
    while (*link != t) {
        link = &(*link)->next;
    }
    *link = t->next;
}

ws_hub_stats
ws_hub_get_stats(ws_hub *hub)
{
    ws_tally t = {0};
    ws_lock_acquire(&hub->lock);
    begin_tally_locked(hub, &t);
    while (tally_chunk_locked(hub, &t)) {
        ws_lock_release(&hub->lock);
        ws_hub_rest(t.chunk);
        ws_lock_acquire(&hub->lock);
    }
    end_tally_locked(hub, &t);
    ws_lock_release(&hub->lock);
    t.sum.handshakes = atomic_load(&hub->handshakes);
    t.sum.events = ws_evq_get_stats(hub->events);
    return t.sum;
}

#include "alloc.h"
#include "hub_inside.h"
#include "topic.h"

void
ws_hub_rest(uint32_t chunk)
{
    enum { CHUNKS_A_REST = 8 }; // some 10 us each
    if (chunk > 0 && chunk % CHUNKS_A_REST == 0) {
        const struct timespec moment = {.tv_nsec = 1000};
        (void)nanosleep(&moment, NULL);
    }
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
        ws_hub_rest(walk.chunk);
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

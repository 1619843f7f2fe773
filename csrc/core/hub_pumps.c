#include <assert.h>

#include "alloc.h"
#include "hub_inside.h"

void
ws_hub_add_pumps(ws_hub *hub, ws_hub_pump *others, size_t count)
{
    assert(atomic_load(&hub->others) == NULL);
    hub->other_count = count;
    atomic_store(&hub->others, others);
}

/* The n-th pump beside the first, or NULL. */
static ws_hub_pump *
other(ws_hub *hub, size_t n)
{
    ws_hub_pump *others = atomic_load(&hub->others);
    return others == NULL || n >= hub->other_count ? NULL : &others[n];
}

void
ws_hub_ring_pumps(ws_hub *hub)
{
    const ws_hub_pump *pump = NULL;
    ws_wake_ring(hub->wake);
    for (size_t i = 0; (pump = other(hub, i)) != NULL; i++) {
        ws_wake_ring(pump->wake);
    }
}

void
ws_hub_drop_pumps(ws_hub *hub)
{
    ws_hub_pump *pump = NULL;
    for (size_t i = 0; (pump = other(hub, i)) != NULL; i++) {
        ws_wake_unref(pump->wake);
    }
    ws_free(atomic_load(&hub->others));
}

static void
add_counters(ws_pump_counters *sum, const ws_pump_counters *more)
{
    // All of them are counters, and nothing else.
    atomic_ullong *to = (atomic_ullong *)sum;
    const atomic_ullong *from = (const atomic_ullong *)more;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        ws_count(&to[i], ws_counted(&from[i]));
    }
}

void
ws_hub_sum_counters(ws_hub *hub, ws_pump_counters *sum)
{
    const ws_hub_pump *pump = NULL;
    *sum = (ws_pump_counters){0};
    add_counters(sum, &hub->counters);
    for (size_t i = 0; (pump = other(hub, i)) != NULL; i++) {
        add_counters(sum, &pump->counters);
    }
}

uint64_t
ws_hub_connections(ws_hub *hub, size_t pump)
{
    if (pump == 0) {
        return ws_counted(&hub->counters.connections);
    }
    const ws_hub_pump *found = other(hub, pump - 1);
    return found == NULL ? 0 : ws_counted(&found->counters.connections);
}

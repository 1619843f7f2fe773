#include "crowd.h"

#include <string.h>

#include "core/alloc.h"
#include "core/table.h"

struct ws_crowd_entry {
    ws_table_node node; // the first field
    size_t clients;
    char addr[];
};

struct ws_crowd {
    ws_table *entries;
};

ws_crowd *
ws_crowd_new(void)
{
    ws_crowd *crowd = ws_calloc(1, sizeof *crowd);
    if (crowd == NULL) {
        return NULL;
    }
    crowd->entries = ws_table_new();
    if (crowd->entries == NULL) {
        ws_free(crowd);
        return NULL;
    }
    return crowd;
}

void
ws_crowd_free(ws_crowd *crowd)
{
    if (crowd != NULL) {
        ws_table_free(crowd->entries);
        ws_free(crowd);
    }
}

static ws_crowd_entry *
find(const ws_crowd *crowd, ws_text addr)
{
    return (ws_crowd_entry *)ws_table_get(crowd->entries, addr.data,
                                          addr.size);
}

size_t
ws_crowd_count(const ws_crowd *crowd, ws_text addr)
{
    const ws_crowd_entry *entry = find(crowd, addr);
    return entry == NULL ? 0 : entry->clients;
}

ws_crowd_entry *
ws_crowd_enter(ws_crowd *crowd, ws_text addr)
{
    ws_crowd_entry *entry = find(crowd, addr);
    if (entry == NULL) {
        entry = ws_malloc(sizeof *entry + addr.size);
        if (entry == NULL) {
            return NULL;
        }
        memcpy(entry->addr, addr.data, addr.size);
        *entry = (ws_crowd_entry){
            .node = {.key = entry->addr, .key_size = addr.size},
        };
        ws_table_put(crowd->entries, &entry->node);
    }
    entry->clients++;
    return entry;
}

void
ws_crowd_leave(ws_crowd *crowd, ws_crowd_entry *entry)
{
    if (entry != NULL && --entry->clients == 0) {
        ws_table_remove(crowd->entries, &entry->node);
        ws_free(entry);
    }
}

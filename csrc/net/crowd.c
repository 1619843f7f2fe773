#include "crowd.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/table.h"

struct ws_crowd_entry {
    ws_table_node node; // the first field
    size_t sockets;
    char key[16];
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

/* The part of an address that counts; IPv4 stands in it as mapped. */
static void
make_key(const ws_network *addr, char key[16])
{
    assert(!addr->is_unix);
    memcpy(key, addr->addr, 16);
    if (!ws_network_is_ipv4(addr)) {
        memset(key + 8, 0, 8);
    }
}

static ws_crowd_entry *
find(const ws_crowd *crowd, const char key[16])
{
    return (ws_crowd_entry *)ws_table_get(crowd->entries, key, 16);
}

size_t
ws_crowd_count(const ws_crowd *crowd, const ws_network *addr)
{
    char key[16];
    make_key(addr, key);
    const ws_crowd_entry *entry = find(crowd, key);
    return entry == NULL ? 0 : entry->sockets;
}

ws_crowd_entry *
ws_crowd_enter(ws_crowd *crowd, const ws_network *addr)
{
    char key[16];
    make_key(addr, key);
    ws_crowd_entry *entry = find(crowd, key);
    if (entry == NULL) {
        entry = ws_calloc(1, sizeof *entry);
        if (entry == NULL) {
            return NULL;
        }
        memcpy(entry->key, key, sizeof key);
        entry->node.key = entry->key;
        entry->node.key_size = sizeof key;
        ws_table_put(crowd->entries, &entry->node);
    }
    entry->sockets++;
    return entry;
}

void
ws_crowd_leave(ws_crowd *crowd, ws_crowd_entry *entry)
{
    if (entry != NULL && --entry->sockets == 0) {
        ws_table_remove(crowd->entries, &entry->node);
        ws_free(entry);
    }
}

#include "crowd.h"

#include <assert.h>
#include <string.h>

#include "core/alloc.h"
#include "core/lock.h"
#include "core/table.h"

struct ws_crowd_entry {
    ws_table_node node; // the first field
    size_t sockets;
    char key[16];
};

struct ws_crowd {
    ws_lock lock; // guards all below
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
    if (crowd->entries == NULL || ws_lock_init(&crowd->lock) != WS_OK) {
        ws_table_free(crowd->entries);
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
        ws_lock_destroy(&crowd->lock);
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
find_locked(const ws_crowd *crowd, const char key[16])
{
    return (ws_crowd_entry *)ws_table_get(crowd->entries, key, 16);
}

size_t
ws_crowd_count(ws_crowd *crowd, const ws_network *addr)
{
    char key[16];
    make_key(addr, key);
    ws_lock_acquire(&crowd->lock);
    const ws_crowd_entry *entry = find_locked(crowd, key);
    size_t sockets = entry == NULL ? 0 : entry->sockets;
    ws_lock_release(&crowd->lock);
    return sockets;
}

/* NULL: no memory. */
static ws_crowd_entry *
add_locked(ws_crowd *crowd, const char key[16])
{
    ws_crowd_entry *entry = ws_calloc(1, sizeof *entry);
    if (entry != NULL) {
        memcpy(entry->key, key, sizeof entry->key);
        entry->node.key = entry->key;
        entry->node.key_size = sizeof entry->key;
        ws_table_put(crowd->entries, &entry->node);
    }
    return entry;
}

static ws_err
enter_locked(ws_crowd *crowd, const char key[16], size_t most,
             ws_crowd_entry **out)
{
    ws_crowd_entry *entry = find_locked(crowd, key);
    if ((entry == NULL ? 0 : entry->sockets) >= most) {
        return WS_ERR_TOO_MANY;
    }
    if (entry == NULL) {
        entry = add_locked(crowd, key);
    }
    if (entry == NULL) {
        return WS_ERR_NOMEM;
    }
    entry->sockets++;
    *out = entry;
    return WS_OK;
}

ws_err
ws_crowd_enter(ws_crowd *crowd, const ws_network *addr, size_t most,
               ws_crowd_entry **out)
{
    char key[16];
    make_key(addr, key);
    ws_lock_acquire(&crowd->lock);
    ws_err err = enter_locked(crowd, key, most, out);
    ws_lock_release(&crowd->lock);
    return err;
}

void
ws_crowd_leave(ws_crowd *crowd, ws_crowd_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    ws_lock_acquire(&crowd->lock);
    bool last = --entry->sockets == 0;
    if (last) {
        ws_table_remove(crowd->entries, &entry->node);
    }
    ws_lock_release(&crowd->lock);
    if (last) {
        ws_free(entry);
    }
}

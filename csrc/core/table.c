#include "table.h"

#include <assert.h>
#include <string.h>

#include "alloc.h"

enum { SEGMENT = 64 }; // buckets a segment; a power of two

struct ws_table {
    ws_hash_key key;
    ws_table_node ***segments; // each of SEGMENT chains
    size_t segment_slots;      // room in `segments`
    size_t buckets;            // in use: low + split
    size_t low;                // buckets at the start of this round
    size_t split;              // the next bucket to split, below `low`
    size_t size;
};

static ws_table_node **
bucket(const ws_table *table, size_t i)
{
    return &table->segments[i / SEGMENT][i % SEGMENT];
}

static ws_table_node **
chain_of(const ws_table *table, uint64_t hash)
{
    size_t i = hash & (table->low - 1);
    if (i < table->split) {
        i = hash & (2 * table->low - 1); // already split in this round
    }
    return bucket(table, i);
}

/* Makes sure that bucket number `i`, the next, has its segment. */
static ws_err
reserve(ws_table *table, size_t i)
{
    size_t number = i / SEGMENT;
    if (i % SEGMENT != 0) {
        return WS_OK;
    }
    if (number == table->segment_slots) {
        size_t slots = table->segment_slots * 2;
        ws_table_node ***grown =
            ws_realloc(table->segments, slots * sizeof *grown);
        if (grown == NULL) {
            return WS_ERR_NOMEM;
        }
        table->segments = grown;
        table->segment_slots = slots;
    }
    table->segments[number] = ws_calloc(SEGMENT, sizeof(ws_table_node *));
    return table->segments[number] == NULL ? WS_ERR_NOMEM : WS_OK;
}

/* Adds one bucket and moves its share of bucket `split` over. */
static void
split_one(ws_table *table)
{
    if (reserve(table, table->buckets) != WS_OK) {
        return; // longer chains until there is memory again
    }
    ws_table_node **from = bucket(table, table->split);
    ws_table_node **to = bucket(table, table->buckets);
    while (*from != NULL) {
        ws_table_node *node = *from;
        if ((node->hash & table->low) != 0) {
            *from = node->next;
            node->next = *to;
            *to = node;
        } else {
            from = &node->next;
        }
    }
    table->buckets++;
    table->split++;
    if (table->split == table->low) {
        table->low *= 2;
        table->split = 0;
    }
}

ws_table *
ws_table_new(void)
{
    ws_table *table = ws_calloc(1, sizeof *table);
    if (table == NULL) {
        return NULL;
    }
    table->key = ws_hash_random_key();
    table->segment_slots = 1;
    table->segments = ws_calloc(1, sizeof *table->segments);
    if (table->segments == NULL || reserve(table, 0) != WS_OK) {
        ws_free(table->segments);
        ws_free(table);
        return NULL;
    }
    table->buckets = table->low = SEGMENT;
    return table;
}

void
ws_table_free(ws_table *table)
{
    if (table == NULL) {
        return;
    }
    assert(table->size == 0);
    for (size_t i = 0; i < table->buckets; i += SEGMENT) {
        ws_free(table->segments[i / SEGMENT]);
    }
    ws_free(table->segments);
    ws_free(table);
}

ws_table_node *
ws_table_get(const ws_table *table, const char *key, size_t key_size)
{
    uint64_t hash = ws_hash(table->key, key, key_size);
    ws_table_node *node = *chain_of(table, hash);
    while (node != NULL && (node->hash != hash || node->key_size != key_size ||
                            memcmp(node->key, key, key_size) != 0)) {
        node = node->next;
    }
    return node;
}

void
ws_table_put(ws_table *table, ws_table_node *node)
{
    assert(ws_table_get(table, node->key, node->key_size) == NULL);

    node->hash = ws_hash(table->key, node->key, node->key_size);
    ws_table_node **chain = chain_of(table, node->hash);
    node->next = *chain;
    *chain = node;
    table->size++;
    if (table->size > table->buckets) {
        split_one(table);
    }
}

void
ws_table_remove(ws_table *table, ws_table_node *node)
{
    ws_table_node **link = chain_of(table, node->hash);
    while (*link != node) {
        assert(*link != NULL);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    table->size--;
}

size_t
ws_table_size(const ws_table *table)
{
    return table->size;
}

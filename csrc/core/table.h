/*
 * table.h - finds things by their name: clients, users, topics.
 *
 * Intrusive: the node lives in the thing, so that putting in never allocates
 * and cannot fail. Grown by linear hashing (Litwin, 1980), one bucket an
 * insertion, so that no insertion ever moves the whole table; a bucket array
 * that cannot grow makes chains longer, nothing else.
 *
 * Threads: none of its own; the caller's lock guards it.
 * Owns:    its buckets, never the nodes or their keys.
 */
#ifndef WS_CORE_TABLE_H
#define WS_CORE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "hash.h"

typedef struct ws_table_node ws_table_node;

struct ws_table_node {
    ws_table_node *next;
    uint64_t hash;
    const char *key; /* borrowed: lives as long as the node is in a table */
    size_t key_size;
};

typedef struct ws_table ws_table;

/* An empty table; NULL: no memory. */
ws_table *ws_table_new(void);

/* Frees an empty table. NULL does nothing. */
void ws_table_free(ws_table *table);

/* The node with this key, or NULL. */
ws_table_node *ws_table_get(const ws_table *table, const char *key,
                            size_t key_size);

/* Puts in a node whose key and key_size are set; no equal key may be in. */
void ws_table_put(ws_table *table, ws_table_node *node);

/* Takes out a node that is in. */
void ws_table_remove(ws_table *table, ws_table_node *node);

size_t ws_table_size(const ws_table *table);

#endif

/*
 * group.h - a set of clients that can be walked while it changes.
 *
 * Members stand in chunks of up to 256 and never move, so that a walk takes
 * references chunk by chunk and lets the lock go in between: who is a member
 * throughout is met exactly once. Each membership carries the number at which
 * it began, so that a walk can leave out whoever came (or came back) after it
 * started.
 *
 * Threads: none of its own; the hub's lock guards it.
 * Owns:    its chunks. No references: a member leaves before it is freed.
 */
#ifndef WS_CORE_GROUP_H
#define WS_CORE_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"

typedef struct ws_client ws_client;

#define WS_GROUP_CHUNK 256

typedef struct ws_group_chunk ws_group_chunk;

/* Zeroed, it is an empty group. */
typedef struct ws_group {
    ws_group_chunk **chunks;
    uint32_t chunk_count;
    ws_group_chunk *with_room; /* linked; a full chunk is not among them */
    size_t size;               /* members */
} ws_group;

/* Where a member stands, for taking it out again. */
typedef struct ws_group_place {
    uint32_t chunk;
    uint32_t slot;
} ws_group_place;

/* Adds a member. `since` numbers memberships and only ever grows.
   NOMEM: nothing has changed. */
WS_MUST_CHECK ws_err ws_group_add(ws_group *group, ws_client *client,
                                  uint64_t since, ws_group_place *place);

/* Takes a member out; the last one takes the chunks with it. */
void ws_group_remove(ws_group *group, ws_group_place place);

/*
 * The members of chunk number `chunk` whose membership began before `before`,
 * into out[WS_GROUP_CHUNK], borrowed. Returns how many. Walk `chunk` from 0 up
 * to, not including, group->chunk_count, which may change between steps.
 */
size_t ws_group_list(const ws_group *group, uint32_t chunk, uint64_t before,
                     ws_client **out);

#endif

#include "group.h"

#include <assert.h>

#include "alloc.h"

enum { FIRST_CHUNK = 4 }; // a user with two tabs needs no 256 slots

typedef struct member {
    ws_client *client; // NULL: a free slot
    uint64_t since;    // in a free slot: the number of the next free one
} member;

struct ws_group_chunk {
    ws_group_chunk *next; // of those with room
    uint32_t number;
    uint32_t cap;
    uint32_t used;
    uint32_t free; // the first free slot; cap: none
    member members[];
};

static uint32_t
chunk_cap(uint32_t number)
{
    return number >= 6 ? WS_GROUP_CHUNK : (uint32_t)FIRST_CHUNK << number;
}

static ws_err
add_chunk(ws_group *group)
{
    uint32_t cap = chunk_cap(group->chunk_count);
    uint32_t count = group->chunk_count;
    if ((count & (count - 1)) == 0) { // full at 0, 1, 2, 4, 8 ...
        size_t room = count == 0 ? 1 : (size_t)count * 2;
        ws_group_chunk **grown =
            ws_realloc(group->chunks, room * sizeof *grown);
        if (grown == NULL) {
            return WS_ERR_NOMEM;
        }
        group->chunks = grown;
    }
    ws_group_chunk *chunk = ws_malloc(sizeof *chunk + cap * sizeof(member));
    if (chunk == NULL) {
        return WS_ERR_NOMEM;
    }
    *chunk = (ws_group_chunk){.number = count, .cap = cap};
    for (uint32_t i = 0; i < cap; i++) {
        chunk->members[i] = (member){NULL, i + 1};
    }
    group->chunks[group->chunk_count++] = chunk;
    group->with_room = chunk; // there was none
    return WS_OK;
}

static void
free_chunks(ws_group *group)
{
    for (uint32_t i = 0; i < group->chunk_count; i++) {
        ws_free(group->chunks[i]);
    }
    ws_free(group->chunks);
    *group = (ws_group){0};
}

ws_err
ws_group_add(ws_group *group, ws_client *client, uint64_t since,
             ws_group_place *place)
{
    if (group->with_room == NULL && add_chunk(group) != WS_OK) {
        if (group->size == 0) {
            free_chunks(group); // an array without a chunk in it
        }
        return WS_ERR_NOMEM;
    }
    ws_group_chunk *chunk = group->with_room;
    *place = (ws_group_place){chunk->number, chunk->free};
    member *slot = &chunk->members[chunk->free];
    chunk->free = (uint32_t)slot->since;
    *slot = (member){client, since};
    chunk->used++;
    group->size++;
    if (chunk->used == chunk->cap) {
        group->with_room = chunk->next;
    }
    return WS_OK;
}

void
ws_group_remove(ws_group *group, ws_group_place place)
{
    ws_group_chunk *chunk = group->chunks[place.chunk];
    member *slot = &chunk->members[place.slot];
    assert(slot->client != NULL);

    if (chunk->used == chunk->cap) {
        chunk->next = group->with_room;
        group->with_room = chunk;
    }
    *slot = (member){NULL, chunk->free};
    chunk->free = place.slot;
    chunk->used--;
    group->size--;
    if (group->size == 0) {
        free_chunks(group);
    }
}

size_t
ws_group_list(const ws_group *group, uint32_t chunk, uint64_t before,
              ws_client **out)
{
    if (chunk >= group->chunk_count || group->chunks[chunk]->used == 0) {
        return 0;
    }
    const ws_group_chunk *from = group->chunks[chunk];
    size_t n = 0;
    for (uint32_t i = 0; i < from->cap; i++) {
        const member *slot = &from->members[i];
        if (slot->client != NULL && slot->since < before) {
            out[n++] = slot->client;
        }
    }
    return n;
}

#include "inflate.h"

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <zlib.h>

/* The client may use any window up to the largest. */
enum { WINDOW_BITS = 15 };

/* Bits of z_stream.data_type after inflate(): zlib.h explains them. */
enum { UNUSED_BITS = 63, BETWEEN_BLOCKS = 128 };

/* What the client has taken off: an empty block without compression. */
static const uint8_t TAIL[] = {0x00, 0x00, 0xff, 0xff};

struct ws_inflater {
    const ws_heap *heap;
    z_stream z;
    size_t tail_used; // bytes
    int seen;         // z.data_type behind the last thing that was there
    bool fresh;       // no byte has come, since the last final block if any
};

ws_inflater *
ws_inflater_new(const ws_heap *heap)
{
    ws_inflater *inflater = heap->alloc(sizeof *inflater);
    if (inflater == NULL) {
        return NULL;
    }
    *inflater = (ws_inflater){
        .heap = heap,
        .z = {.zalloc = ws_heap_zalloc,
              .zfree = ws_heap_zfree,
              .opaque = (void *)(uintptr_t)heap},
        .fresh = true,
    };
    if (inflateInit2(&inflater->z, -WINDOW_BITS) != Z_OK) {
        heap->free(inflater);
        return NULL;
    }
    return inflater;
}

void
ws_inflater_free(ws_inflater *inflater)
{
    if (inflater != NULL) {
        (void)inflateEnd(&inflater->z);
        inflater->heap->free(inflater);
    }
}

static void
begin_stream(ws_inflater *inflater)
{
    (void)inflateReset(&inflater->z);
    inflater->fresh = true;
}

void
ws_inflater_reset(ws_inflater *inflater)
{
    begin_stream(inflater);
    inflater->tail_used = 0;
}

/* One call, after which it is known what was seen last. */
static int
inflate_some(ws_inflater *inflater)
{
    z_stream *z = &inflater->z;
    uInt before = z->avail_in;
    int rc = inflate(z, Z_SYNC_FLUSH);
    if (rc != Z_BUF_ERROR) { // then nothing was left, and it forgets
        inflater->seen = z->data_type;
    }
    inflater->fresh = inflater->fresh && z->avail_in == before;
    return rc;
}

/* Until the input is used up, the room is, a final block ends, or something is
   wrong. */
static ws_inflate_result
run(ws_inflater *inflater)
{
    z_stream *z = &inflater->z;
    int rc = inflate_some(inflater);
    if (rc == Z_STREAM_END) {
        begin_stream(inflater);
        return WS_INFLATE_DONE;
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR) {
        return rc == Z_MEM_ERROR ? WS_INFLATE_NOMEM : WS_INFLATE_BAD;
    }
    return z->avail_out == 0 ? WS_INFLATE_FULL : WS_INFLATE_DONE;
}

ws_inflate_result
ws_inflate(ws_inflater *inflater, const uint8_t **data, size_t *size,
           uint8_t *out, size_t room, size_t *made)
{
    assert(room >= 1 && room <= UINT_MAX);
    z_stream *z = &inflater->z;
    ws_inflate_result result = WS_INFLATE_DONE;
    z->next_out = out;
    z->avail_out = (uInt)room;
    do {
        size_t piece = *size < UINT_MAX ? *size : UINT_MAX;
        z->next_in = (Bytef *)(uintptr_t)*data;
        z->avail_in = (uInt)piece;
        result = run(inflater);
        piece -= z->avail_in;
        *data = piece > 0 ? *data + piece : *data;
        *size -= piece;
    } while (result == WS_INFLATE_DONE && *size > 0);
    *made = room - z->avail_out;
    return result;
}

/* Whether the last thing it saw was the end of a block, at the end of a byte,
   as the tail is. */
static bool
is_whole(const ws_inflater *inflater)
{
    return !inflater->fresh && (inflater->seen & BETWEEN_BLOCKS) != 0 &&
           (inflater->seen & UNUSED_BITS) == 0;
}

ws_inflate_result
ws_inflate_end(ws_inflater *inflater, uint8_t *out, size_t room, size_t *made)
{
    *made = 0;
    if (inflater->fresh && inflater->tail_used == 0) {
        return WS_INFLATE_DONE; // nothing that a tail could belong to
    }
    const uint8_t *data = TAIL + inflater->tail_used;
    size_t size = sizeof TAIL - inflater->tail_used;
    ws_inflate_result result =
        ws_inflate(inflater, &data, &size, out, room, made);
    inflater->tail_used = sizeof TAIL - size;
    if (result == WS_INFLATE_DONE && !is_whole(inflater)) {
        return WS_INFLATE_BAD;
    }
    return result;
}

#include "deflate.h"

#include <assert.h>
#include <limits.h>
#include <zlib.h>

/* zlib's default: less would save microseconds and cost nothing but size. */
enum { MEM_LEVEL = 8 };

/* What a sync flush ends with, and a message must not: 00 00 FF FF. */
enum { TAIL_SIZE = 4 };

struct ws_deflater {
    const ws_heap *heap;
    int window_bits;
    z_stream z;
};

ws_deflater *
ws_deflater_new(const ws_heap *heap, int window_bits)
{
    assert(window_bits >= WS_DEFLATE_BITS_MIN);
    assert(window_bits <= WS_DEFLATE_BITS_MAX);

    ws_deflater *deflater = heap->alloc(sizeof *deflater);
    if (deflater == NULL) {
        return NULL;
    }
    *deflater = (ws_deflater){
        .heap = heap,
        .window_bits = window_bits,
        .z = {.zalloc = ws_heap_zalloc,
              .zfree = ws_heap_zfree,
              .opaque = (void *)(uintptr_t)heap},
    };
    if (deflateInit2(&deflater->z, WS_DEFLATE_LEVEL, Z_DEFLATED, -window_bits,
                     MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        heap->free(deflater);
        return NULL;
    }
    return deflater;
}

void
ws_deflater_free(ws_deflater *deflater)
{
    if (deflater != NULL) {
        (void)deflateEnd(&deflater->z);
        deflater->heap->free(deflater);
    }
}

int
ws_deflater_window_bits(const ws_deflater *deflater)
{
    return deflater->window_bits;
}

size_t
ws_deflate(ws_deflater *deflater, const uint8_t *data, size_t size,
           uint8_t *out, size_t room)
{
    z_stream *z = &deflater->z;
    if (size > UINT_MAX) {
        return 0;
    }
    room = room < UINT_MAX ? room : UINT_MAX;
    (void)deflateReset(z);
    z->next_in = (Bytef *)(uintptr_t)data;
    z->avail_in = (uInt)size;
    z->next_out = out;
    z->avail_out = (uInt)room;
    int rc = deflate(z, Z_SYNC_FLUSH);
    // With no room left it may not have come to an end.
    if (rc != Z_OK || z->avail_out == 0) {
        return 0;
    }
    assert(z->avail_in == 0);
    size_t made = room - z->avail_out;
    assert(made > TAIL_SIZE && out[made - 1] == 0xff);
    return made - TAIL_SIZE;
}

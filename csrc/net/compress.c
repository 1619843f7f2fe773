#include "compress.h"

#include <assert.h>
#include <stdatomic.h>

#include "core/alloc.h"
#include "core/lock.h"
#include "proto/deflate.h"
#include "proto/frame_encode.h"

enum { SIZES = WS_DEFLATE_BITS_MAX - WS_DEFLATE_BITS_MIN + 1 };

typedef struct encoder {
    ws_encoder base; // the first field
    ws_compress *owner;
    int window_bits;
} encoder;

struct ws_compress {
    atomic_uint refs;
    encoder encoders[SIZES];

    ws_lock lock;                            // guards all below
    ws_deflater *idle[WS_COMPRESS_IDLE_MAX]; // the longest idle first
    size_t idle_count;
};

static void *
allocate(size_t size)
{
    return ws_malloc(size);
}

const ws_heap ws_compress_heap = {allocate, ws_free};

/* Takes the i-th out of the stock. */
static ws_deflater *
remove_locked(ws_compress *compress, size_t i)
{
    ws_deflater *taken = compress->idle[i];
    compress->idle_count--;
    for (; i < compress->idle_count; i++) {
        compress->idle[i] = compress->idle[i + 1];
    }
    return taken;
}

/* An idle one of that window, or NULL. */
static ws_deflater *
take_idle(ws_compress *compress, int window_bits)
{
    ws_deflater *found = NULL;
    ws_lock_acquire(&compress->lock);
    for (size_t i = compress->idle_count; i-- > 0 && found == NULL;) {
        if (ws_deflater_window_bits(compress->idle[i]) == window_bits) {
            found = remove_locked(compress, i);
        }
    }
    ws_lock_release(&compress->lock);
    return found;
}

/* Keeps it; of too many, the one that was idle longest goes. */
static void
put_idle(ws_compress *compress, ws_deflater *deflater)
{
    ws_deflater *oldest = NULL;
    ws_lock_acquire(&compress->lock);
    if (compress->idle_count == WS_COMPRESS_IDLE_MAX) {
        oldest = remove_locked(compress, 0);
    }
    compress->idle[compress->idle_count++] = deflater;
    ws_lock_release(&compress->lock);
    ws_deflater_free(oldest);
}

/* The form's key is the window it is compressed with. */
static unsigned
key(const ws_encoder *base, size_t size)
{
    int bits = ((const encoder *)base)->window_bits;
    if (size < WS_COMPRESS_MIN) {
        return 0;
    }
    return (unsigned)(size <= (size_t)1 << bits ? WS_DEFLATE_BITS_MAX : bits);
}

/* The frame for a payload that was compressed; NULL: no memory. */
static ws_msg *
make_frame(const ws_msg *msg, const uint8_t *payload, size_t size)
{
    uint8_t header[WS_FRAME_HEADER_MAX];
    ws_opcode opcode = (ws_opcode)(ws_msg_frame(msg)[0] & 0x0f);
    size_t header_size = ws_frame_encode_header(
        header, opcode, WS_FRAME_FIN | WS_FRAME_RSV1, size);
    return ws_msg_new_form(header, header_size, payload, size,
                           ws_msg_size(msg));
}

static ws_msg *
encode_with(ws_deflater *deflater, ws_msg *msg)
{
    size_t room = ws_msg_size(msg); // more is not worth it
    uint8_t *out = ws_malloc(room);
    if (out == NULL) {
        return NULL;
    }
    size_t size =
        ws_deflate(deflater, ws_msg_payload(msg), ws_msg_size(msg), out, room);
    ws_msg *form = size == 0 ? ws_msg_ref(msg) : make_frame(msg, out, size);
    ws_free(out);
    return form;
}

static ws_msg *
encode(ws_encoder *base, ws_msg *msg, unsigned window_bits)
{
    ws_compress *compress = ((encoder *)base)->owner;
    ws_deflater *deflater = take_idle(compress, (int)window_bits);
    if (deflater == NULL) {
        deflater = ws_deflater_new(&ws_compress_heap, (int)window_bits);
    }
    if (deflater == NULL) {
        return NULL;
    }
    ws_msg *form = encode_with(deflater, msg);
    put_idle(compress, deflater);
    return form;
}

static void
unref(ws_encoder *base)
{
    ws_compress_unref(((encoder *)base)->owner);
}

ws_compress *
ws_compress_new(void)
{
    ws_compress *compress = ws_calloc(1, sizeof *compress);
    if (compress == NULL) {
        return NULL;
    }
    if (ws_lock_init(&compress->lock) != WS_OK) {
        ws_free(compress);
        return NULL;
    }
    atomic_init(&compress->refs, 1);
    for (int i = 0; i < SIZES; i++) {
        compress->encoders[i] = (encoder){
            .base = {.key = key, .encode = encode, .unref = unref},
            .owner = compress,
            .window_bits = WS_DEFLATE_BITS_MIN + i,
        };
    }
    return compress;
}

void
ws_compress_unref(ws_compress *compress)
{
    // Acquire and release: the thread that frees comes after all others.
    if (compress == NULL ||
        atomic_fetch_sub_explicit(&compress->refs, 1, memory_order_acq_rel) >
            1) {
        return;
    }
    for (size_t i = 0; i < compress->idle_count; i++) {
        ws_deflater_free(compress->idle[i]);
    }
    ws_lock_destroy(&compress->lock);
    ws_free(compress);
}

ws_encoder *
ws_compress_encoder(ws_compress *compress, int window_bits)
{
    assert(window_bits >= WS_DEFLATE_BITS_MIN);
    assert(window_bits <= WS_DEFLATE_BITS_MAX);

    // Relaxed: whoever adds a reference already holds one.
    (void)atomic_fetch_add_explicit(&compress->refs, 1, memory_order_relaxed);
    return &compress->encoders[window_bits - WS_DEFLATE_BITS_MIN].base;
}

size_t
ws_compress_idle(ws_compress *compress)
{
    ws_lock_acquire(&compress->lock);
    size_t count = compress->idle_count;
    ws_lock_release(&compress->lock);
    return count;
}

#include "hash.h"

#include <string.h>
#include <sys/random.h>

#include "lock.h"

typedef struct sip {
    uint64_t v0, v1, v2, v3;
} sip;

static uint64_t
rotl(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void
sip_round(sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

static void
sip_word(sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

/* Little-endian, as the paper has it, up to 8 bytes. */
static uint64_t
load(const uint8_t *data, size_t size)
{
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++) {
        word |= (uint64_t)data[i] << (8 * i);
    }
    return word;
}

ws_hash_key
ws_hash_random_key(void)
{
    ws_hash_key key;
    if (getrandom(&key, sizeof key, GRND_NONBLOCK) != (ssize_t)sizeof key) {
        // Early boot: what an outsider cannot read will do.
        key.k0 = ws_now_ns();
        key.k1 = (uint64_t)(uintptr_t)&key;
    }
    return key;
}

uint64_t
ws_hash(ws_hash_key key, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    sip s = {
        .v0 = key.k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = key.k1 ^ UINT64_C(0x646f72616e646f6d),
        .v2 = key.k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = key.k1 ^ UINT64_C(0x7465646279746573),
    };
    size_t whole = size & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        sip_word(&s, load(bytes + i, 8));
    }
    sip_word(&s, load(bytes + whole, size - whole) | (uint64_t)size << 56);
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

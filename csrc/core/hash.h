/*
 * hash.h - a keyed hash of strings, so that clients who choose their ids
 * cannot choose their bucket.
 *
 * SipHash-1-3 (Aumasson and Bernstein, 2012), the variant that Python, Ruby
 * and Rust use for their dictionaries.
 *
 * Threads: any.
 */
#ifndef WS_CORE_HASH_H
#define WS_CORE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct ws_hash_key {
    uint64_t k0, k1;
} ws_hash_key;

/* A key from the system's randomness. */
ws_hash_key ws_hash_random_key(void);

uint64_t ws_hash(ws_hash_key key, const void *data, size_t size);

#endif

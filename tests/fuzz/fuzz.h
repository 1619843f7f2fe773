/*
 * fuzz.h - what the fuzz targets share.
 *
 * A target is one file, fuzz_X.c, with a function that takes an input and
 * aborts (CHECK) when something does not hold. What the target feeds to the
 * code stands at the beginning of the input, so that seeds and dictionaries
 * look like what they are; its own choices (where to cut, which limits) are
 * taken from the end, and are 0 when the input is too short.
 *
 * Threads: libFuzzer's only one.
 * Owns:    nothing; fuzz_copy hands over what it allocates.
 */
#ifndef WS_TESTS_FUZZ_H
#define WS_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"

typedef struct fuzz_input {
    const uint8_t *data;
    size_t size; /* bytes that no choice has taken yet */
} fuzz_input;

/* The entry point that libFuzzer calls, and what it wants to be returned. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_MAIN(run)                                           \
    int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) \
    {                                                            \
        run((fuzz_input){data, size});                           \
        return 0;                                                \
    }

static inline uint8_t
fuzz_take_byte(fuzz_input *in)
{
    return in->size > 0 ? in->data[--in->size] : 0;
}

/* A number of `size` bytes, at most 8. */
static inline uint64_t
fuzz_take_number(fuzz_input *in, size_t size)
{
    uint64_t number = 0;

    for (size_t i = 0; i < size; i++) {
        number = number << 8 | fuzz_take_byte(in);
    }
    return number;
}

/* A copy in a block of its own, without a byte to spare, so that the address
   sanitizer sees a look behind its end; never NULL. To be freed. */
static inline void *
fuzz_copy(const void *data, size_t size)
{
    void *copy = malloc(size);

    CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}

/* Where the input's bytes are cut into pieces. */
enum { FUZZ_CUTS_MAX = 16 };
typedef struct fuzz_cuts {
    uint8_t cuts[FUZZ_CUTS_MAX];
    size_t count;
    bool bytewise; /* into pieces of one byte instead */
} fuzz_cuts;

static inline fuzz_cuts
fuzz_take_cuts(fuzz_input *in)
{
    fuzz_cuts cuts = {.count = fuzz_take_byte(in) % (FUZZ_CUTS_MAX + 1)};

    for (size_t i = 0; i < cuts.count; i++) {
        cuts.cuts[i] = fuzz_take_byte(in);
    }
    return cuts;
}

/* The size of the next piece of `left` bytes; may be 0, but not for ever.
   What lies behind the last cut is one piece. */
static inline size_t
fuzz_next_piece(fuzz_cuts *cuts, size_t left)
{
    if (cuts->bytewise) {
        return left > 0;
    }
    if (cuts->count == 0) {
        return left;
    }
    uint8_t cut = cuts->cuts[--cuts->count];
    size_t size = cut < 0x80 ? cut : (size_t)(cut - 0x7F) * 0x80;
    return size < left ? size : left;
}

#endif

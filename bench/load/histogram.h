/* A histogram of nanoseconds, log-linear: each octave in 128 steps, so that a
 * quantile is at most 0.8 % off. 61 kB, whatever is counted.
 *
 * Threads: one. Owns: itself. Locks: none.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BITS = 7, HISTOGRAM_STEPS = 1 << HISTOGRAM_BITS };

struct histogram {
    uint64_t counts[(64 - HISTOGRAM_BITS + 1) * HISTOGRAM_STEPS];
    uint64_t total;
    uint64_t sum;
    uint64_t max;
};

static inline unsigned
histogram_index(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (unsigned)value;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
    return (shift + 1) * HISTOGRAM_STEPS + (unsigned)(value >> shift) -
           HISTOGRAM_STEPS;
}

/* The middle of the values that share an index. */
static inline uint64_t
histogram_value(unsigned index)
{
    if (index < HISTOGRAM_STEPS) {
        return index;
    }
    unsigned shift = index / HISTOGRAM_STEPS - 1;
    uint64_t low = (uint64_t)(index % HISTOGRAM_STEPS + HISTOGRAM_STEPS)
                   << shift;
    return low + ((uint64_t)1 << shift) / 2;
}

static inline void
histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[histogram_index(value)]++;
    histogram->total++;
    histogram->sum += value;
    if (value > histogram->max) {
        histogram->max = value;
    }
}

/* The value that a share, 0 to 1, of all does not exceed; 0 of none. */
static inline uint64_t
histogram_quantile(const struct histogram *histogram, double share)
{
    double rank = share * (double)histogram->total;
    uint64_t seen = 0;
    unsigned count = sizeof(histogram->counts) / sizeof(histogram->counts[0]);
    for (unsigned i = 0; i < count; i++) {
        seen += histogram->counts[i];
        if (seen > 0 && (double)seen >= rank) {
            return histogram_value(i);
        }
    }
    return histogram->max;
}

#endif

/* clock.h: nanoseconds of CLOCK_MONOTONIC, read from the time-stamp counter where that is sound.
 *
 * `struct aegis_clock` is an int64[8] that C and Numba read alike; it may live in a shared segment,
 * with one process re-anchoring it about once a second and any number reading it:
 *
 *     now = mono0 + ((tsc - tsc0) * multiplier >> 32)          in 128 bits
 *
 * Re-anchoring changes the rate, not the reading: time never steps back, and steps forward only
 * when the counter lost more than AEGIS_CLOCK_STEP_NS (a suspended or migrated machine). Calls
 * closer together than AEGIS_CLOCK_INTERVAL_MIN_NS change nothing, because no rate can be measured.
 */
#ifndef AEGIS_CLOCK_H
#define AEGIS_CLOCK_H

#include "atomics.h"

#include <time.h>

#define AEGIS_CLOCK_SHIFT 32
#define AEGIS_CLOCK_STEP_NS INT64_C(10000000)
#define AEGIS_CLOCK_INTERVAL_MIN_NS INT64_C(10000000) /* pairs err by 50 ns: 5 ppm */

enum aegis_clock_source { AEGIS_CLOCK_MONOTONIC = 0, AEGIS_CLOCK_TSC = 1 };

struct aegis_clock {
    _Atomic int64_t version; /* odd while the other words change */
    _Atomic int64_t source;
    _Atomic int64_t tsc0;
    _Atomic int64_t mono0;
    _Atomic int64_t multiplier;
    _Atomic int64_t tsc_hz;
    _Atomic int64_t realtime_offset; /* CLOCK_REALTIME - CLOCK_MONOTONIC at the anchor, ns */
    int64_t reserved;
};

_Static_assert(sizeof(struct aegis_clock) == 64, "the clock is int64[8]");

/* What only the process that re-anchors needs: the last exact pair of readings. */
struct aegis_anchor {
    int64_t tsc;
    int64_t mono_ns;
};

static inline int64_t aegis_monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* ns at counter value `tsc` by the given words. */
static inline int64_t aegis_clock_convert(int64_t tsc, int64_t tsc0, int64_t mono0,
                                          int64_t multiplier) {
    return mono0 + (int64_t)(((__int128)(tsc - tsc0) * multiplier) >> AEGIS_CLOCK_SHIFT);
}

/* Nanoseconds in the CLOCK_MONOTONIC domain; any process, about 10 ns with the counter. */
static inline int64_t aegis_clock_now_ns(const struct aegis_clock *clock) {
    for (;;) {
        /* MEMORY: acquire; the words below are at least as recent. Pairs with the release of an
         * even version in clock_write (clock.c). */
        int64_t version = atomic_load_explicit(&clock->version, memory_order_acquire);
        /* MEMORY: relaxed, validated by the version. Pairs with clock_write. */
        int64_t source = atomic_load_explicit(&clock->source, memory_order_relaxed);
        if (source == AEGIS_CLOCK_MONOTONIC)
            return aegis_monotonic_ns();
        /* MEMORY: relaxed, validated by the version. Pairs with clock_write. */
        int64_t tsc0 = atomic_load_explicit(&clock->tsc0, memory_order_relaxed);
        /* MEMORY: relaxed, validated by the version. Pairs with clock_write. */
        int64_t mono0 = atomic_load_explicit(&clock->mono0, memory_order_relaxed);
        /* MEMORY: relaxed, validated by the version. Pairs with clock_write. */
        int64_t multiplier = atomic_load_explicit(&clock->multiplier, memory_order_relaxed);
        int64_t tsc = aegis_cycles();
        /* MEMORY: acquire fence; the loads above stay before the second look at the version. Pairs
         * with the release fence in clock_write. */
        atomic_thread_fence(memory_order_acquire);
        /* MEMORY: relaxed, ordered by the fence above. Pairs with clock_write. */
        if ((version & 1) == 0 &&
            atomic_load_explicit(&clock->version, memory_order_relaxed) == version)
            return aegis_clock_convert(tsc, tsc0, mono0, multiplier);
        aegis_pause();
    }
}

/* Whether the counter may serve as a clock here: invariant by its flags, and the kernel itself
 * keeps time by it. */
int aegis_tsc_invariant(void);

/* Measure the rate over `duration_ns` and anchor `clock`; its one writer. Falls back to
 * CLOCK_MONOTONIC when the counter is not invariant or `use_tsc` is 0. */
void aegis_clock_calibrate(struct aegis_clock *clock, struct aegis_anchor *anchor,
                           int64_t duration_ns, int use_tsc);

/* Compare with CLOCK_MONOTONIC and correct the rate; its one writer. Returns by how many ns the
 * clock was behind (negative: ahead) at that moment. */
int64_t aegis_clock_reanchor(struct aegis_clock *clock, struct aegis_anchor *anchor);

#endif

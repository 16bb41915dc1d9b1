/* clock.c: calibrating the time-stamp counter against CLOCK_MONOTONIC, and keeping it there.
 * No Python here; the reading side is inline in clock.h. */
#define _GNU_SOURCE
#include "clock.h"

#include <stdio.h>
#include <string.h>

enum { PAIR_ATTEMPTS = 8, CORRECTION_SPAN = 4 };

#define RATE_LIMIT_PPM 500 /* as far as the kernel itself would slew */

#if defined(__x86_64__)
static int file_contains_word(const char *path, const char *word) {
    char line[8192];
    int found = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        for (char *rest = NULL, *token = strtok_r(line, " \t\n", &rest); token != NULL;
             token = strtok_r(NULL, " \t\n", &rest)) {
            if (strcmp(token, word) == 0) {
                found = 1;
                break;
            }
        }
    }
    fclose(file);
    return found;
}
#endif

int aegis_tsc_invariant(void) {
#if defined(__x86_64__)
    return file_contains_word("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                              "tsc") &&
           file_contains_word("/proc/cpuinfo", "constant_tsc") &&
           file_contains_word("/proc/cpuinfo", "nonstop_tsc");
#else
    return 0;
#endif
}

static int64_t realtime_offset_ns(void) {
    struct timespec real;
    clock_gettime(CLOCK_REALTIME, &real);
    return (int64_t)real.tv_sec * INT64_C(1000000000) + real.tv_nsec - aegis_monotonic_ns();
}

/* Read both clocks as nearly at once as eight attempts allow. */
static struct aegis_anchor read_pair(void) {
    struct aegis_anchor best = {0, 0};
    int64_t window_min = INT64_MAX;
    for (int i = 0; i < PAIR_ATTEMPTS; i++) {
        int64_t before = aegis_cycles();
        int64_t mono = aegis_monotonic_ns();
        int64_t after = aegis_cycles();
        if (after - before < window_min) {
            window_min = after - before;
            best.tsc = before + (after - before) / 2;
            best.mono_ns = mono;
        }
    }
    return best;
}

static void clock_write(struct aegis_clock *clock, int64_t source, int64_t tsc0, int64_t mono0,
                        int64_t multiplier) {
    /* MEMORY: relaxed; we are its one writer: no partner. */
    int64_t version = atomic_load_explicit(&clock->version, memory_order_relaxed);
    /* MEMORY: relaxed, ordered by the fence below. Pairs with the second look at the version in
     * aegis_clock_now_ns. */
    atomic_store_explicit(&clock->version, version + 1, memory_order_relaxed);
    /* MEMORY: release fence; the odd version is visible before any word changes. Pairs with the
     * acquire fence in aegis_clock_now_ns. */
    atomic_thread_fence(memory_order_release);
    int64_t tsc_hz =
        multiplier > 0 ? (int64_t)(((__int128)1000000000 << AEGIS_CLOCK_SHIFT) / multiplier) : 0;
    /* MEMORY: relaxed, between the two versions. Pairs with aegis_clock_now_ns. */
    atomic_store_explicit(&clock->source, source, memory_order_relaxed);
    /* MEMORY: relaxed, between the two versions. Pairs with aegis_clock_now_ns. */
    atomic_store_explicit(&clock->tsc0, tsc0, memory_order_relaxed);
    /* MEMORY: relaxed, between the two versions. Pairs with aegis_clock_now_ns. */
    atomic_store_explicit(&clock->mono0, mono0, memory_order_relaxed);
    /* MEMORY: relaxed, between the two versions. Pairs with aegis_clock_now_ns. */
    atomic_store_explicit(&clock->multiplier, multiplier, memory_order_relaxed);
    /* MEMORY: relaxed; displayed only: no partner. */
    atomic_store_explicit(&clock->tsc_hz, tsc_hz, memory_order_relaxed);
    /* MEMORY: relaxed; one whole word, used on its own: no partner. */
    atomic_store_explicit(&clock->realtime_offset, realtime_offset_ns(), memory_order_relaxed);
    /* MEMORY: release; the words are complete. Pairs with the acquire in aegis_clock_now_ns. */
    atomic_store_explicit(&clock->version, version + 2, memory_order_release);
}

static int64_t multiplier_between(struct aegis_anchor from, struct aegis_anchor to) {
    return (int64_t)(((__int128)(to.mono_ns - from.mono_ns) << AEGIS_CLOCK_SHIFT) /
                     (to.tsc - from.tsc));
}

void aegis_clock_calibrate(struct aegis_clock *clock, struct aegis_anchor *anchor,
                           int64_t duration_ns, int use_tsc) {
    if (!use_tsc || !aegis_tsc_invariant()) {
        clock_write(clock, AEGIS_CLOCK_MONOTONIC, 0, 0, 0);
        return;
    }
    struct aegis_anchor first = read_pair();
    while (aegis_monotonic_ns() - first.mono_ns < duration_ns)
        aegis_pause();
    *anchor = read_pair();
    clock_write(clock, AEGIS_CLOCK_TSC, anchor->tsc, anchor->mono_ns,
                multiplier_between(first, *anchor));
}

int64_t aegis_clock_reanchor(struct aegis_clock *clock, struct aegis_anchor *anchor) {
    /* MEMORY: relaxed; we are the one writer of these words: no partner. */
    if (atomic_load_explicit(&clock->source, memory_order_relaxed) == AEGIS_CLOCK_MONOTONIC)
        return 0;
    /* MEMORY: relaxed, as above: no partner. */
    int64_t tsc0 = atomic_load_explicit(&clock->tsc0, memory_order_relaxed);
    /* MEMORY: relaxed, as above: no partner. */
    int64_t mono0 = atomic_load_explicit(&clock->mono0, memory_order_relaxed);
    /* MEMORY: relaxed, as above: no partner. */
    int64_t multiplier = atomic_load_explicit(&clock->multiplier, memory_order_relaxed);
    struct aegis_anchor now = read_pair();
    int64_t elapsed_ns = now.mono_ns - anchor->mono_ns;
    int64_t reading = aegis_clock_convert(now.tsc, tsc0, mono0, multiplier);
    int64_t behind_ns = now.mono_ns - reading;
    if (behind_ns <= AEGIS_CLOCK_STEP_NS && elapsed_ns < AEGIS_CLOCK_INTERVAL_MIN_NS)
        return behind_ns;
    if (now.tsc <= anchor->tsc || elapsed_ns <= 0)
        return behind_ns;
    int64_t rate =
        elapsed_ns < AEGIS_CLOCK_INTERVAL_MIN_NS ? multiplier : multiplier_between(*anchor, now);
    if (behind_ns > AEGIS_CLOCK_STEP_NS) {
        reading = now.mono_ns;
    } else {
        /* Take the error back over four times the last interval, so that an irregular caller
         * cannot make the correction grow, and no faster than the kernel would. */
        int64_t limit = rate / 1000000 * RATE_LIMIT_PPM;
        __int128 wanted = (__int128)behind_ns * rate / ((__int128)elapsed_ns * CORRECTION_SPAN);
        int64_t correction = wanted > limit ? limit : wanted < -limit ? -limit : (int64_t)wanted;
        rate += correction;
    }
    *anchor = now;
    clock_write(clock, AEGIS_CLOCK_TSC, now.tsc, reading, rate);
    return behind_ns;
}

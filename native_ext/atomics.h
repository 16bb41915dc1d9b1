/* atomics.h: the few processor facts every other file needs, with their orders spelled out.
 *
 * Shared words are `_Atomic` fields of the structs in ring.h; this header adds the word-wise copy
 * of a payload that another process may be writing, the spin hint, and the cycle counter.
 */
#ifndef AEGIS_ATOMICS_H
#define AEGIS_ATOMICS_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* A word that needed a lock would not be shared between processes at all. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics must be lock-free");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics must be lock-free");
_Static_assert(sizeof(_Atomic int64_t) == 8, "an atomic word must be a plain word");
_Static_assert(sizeof(_Atomic uint32_t) == 4, "an atomic half-word must be a plain half-word");
_Static_assert(_Alignof(_Atomic int64_t) == 8, "an atomic word must be aligned to its size");
_Static_assert(sizeof(void *) == 8, "addresses are stored as int64");

/* Tell the core that this is a spin loop. */
static inline void aegis_pause(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Read the time-stamp counter; 0 where no such counter is known to be readable and invariant. */
static inline int64_t aegis_cycles(void) {
#if defined(__x86_64__)
    return (int64_t)__rdtsc();
#else
    return 0;
#endif
}

/* The words of a payload are plain: who writes a begun slot, and a gating reader that was given the
 * slot by aegis_ring_poll, have it for themselves. Only an observer looks while somebody writes; it
 * reads word by word through this copy, finds the busy mark and throws a mixture away. C11 calls
 * that a race; under ThreadSanitizer the writes of aegis_copy_in are atomic too, so that it reports
 * every other one. */

/* Copy `word_count` words out of a slot that its producer may overwrite meanwhile. The result may
 * mix two records; the caller validates the slot's sequence before it uses a byte. */
static inline void aegis_copy_out(int64_t *target, const int64_t *source, int64_t word_count) {
    for (int64_t i = 0; i < word_count; i++) {
        /* MEMORY: relaxed; each word is whole, the set of words is not. Pairs with the stores of
         * aegis_copy_in; aegis_ring_observe validates afterwards. */
        target[i] = __atomic_load_n(&source[i], __ATOMIC_RELAXED);
    }
}

/* Copy `word_count` words into a begun slot. */
static inline void aegis_copy_in(int64_t *target, const int64_t *source, int64_t word_count) {
#if defined(__SANITIZE_THREAD__)
    for (int64_t i = 0; i < word_count; i++) {
        /* MEMORY: relaxed; kept after the busy mark by the fence in aegis_ring_begin and before
         * the sequence by the release in aegis_ring_publish. Pairs with aegis_copy_out. */
        __atomic_store_n(&target[i], source[i], __ATOMIC_RELAXED);
    }
#else
    memcpy(target, source, (size_t)word_count * sizeof *source);
#endif
}

#endif

/* fuzz.h: what every harness offers and the one driver for machines without libFuzzer calls. The
 * names are libFuzzer's, so that a harness links with either. */
#ifndef AEGIS_FUZZ_H
#define AEGIS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);
int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t length, size_t length_max, unsigned seed);

/* libFuzzer's own mutation, or the driver's. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t length, size_t length_max);

/* A law that does not hold ends the process, which keeps the input. */
#define MUST(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "broken: %s: ", #condition);                                           \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* xorshift: the same numbers everywhere. */
static inline uint64_t fuzz_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline size_t fuzz_below(uint64_t *state, size_t bound) {
    return bound > 0 ? (size_t)(fuzz_random(state) % bound) : 0;
}

#endif

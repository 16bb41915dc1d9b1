/* fuzz_driver.c: `main` for machines without libFuzzer: mutations without guidance by coverage.
 *
 *     program SEED COUNT FILE...     each FILE as it is, then COUNT mutations of them */
#include "fuzz.h"

#include <string.h>

#define INPUT_MAX 8192

struct seed {
    uint8_t *bytes;
    size_t length;
};

static uint64_t driver_state;

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t length, size_t length_max) {
    static const char letters[] = "{}[]\",:.-0123456789eEabpqstuTUABNInf\\ \n\x1e\x7f\xff";
    size_t place = fuzz_below(&driver_state, length + 1);
    size_t count = 1 + fuzz_below(&driver_state, 6);
    switch (fuzz_below(&driver_state, 5)) {
    case 0:
        return place;
    case 1:
        if (place < length)
            bytes[place] = (uint8_t)letters[fuzz_below(&driver_state, sizeof letters - 1)];
        return length;
    case 2:
        count = count < length - place ? count : length - place;
        memmove(bytes + place, bytes + place + count, length - place - count);
        return length - count;
    case 3:
        if (length + count > length_max)
            return length;
        memmove(bytes + place + count, bytes + place, length - place);
        for (size_t i = 0; i < count; i++)
            bytes[place + i] = (uint8_t)letters[fuzz_below(&driver_state, sizeof letters - 1)];
        return length + count;
    default:
        if (place < length)
            bytes[place] ^= (uint8_t)(1u << fuzz_below(&driver_state, 8));
        return length;
    }
}

static struct seed load(const char *path) {
    struct seed seed = {malloc(INPUT_MAX), 0};
    FILE *file = fopen(path, "rb");
    MUST(file != NULL && seed.bytes != NULL, "%s", path);
    seed.length = fread(seed.bytes, 1, INPUT_MAX, file);
    fclose(file);
    return seed;
}

/* Its own allocation of its own length, so that a byte read beyond the end is seen. */
static void run(const uint8_t *bytes, size_t length) {
    uint8_t *copy = malloc(length + (length == 0));
    if (length > 0)
        memcpy(copy, bytes, length);
    LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

int main(int argument_count, char **arguments) {
    if (argument_count < 4)
        return 2;
    driver_state = UINT64_C(88172645463325252) + strtoull(arguments[1], NULL, 10) * 7919;
    long count = atol(arguments[2]);
    size_t seed_count = (size_t)argument_count - 3;
    struct seed *seeds = calloc(seed_count, sizeof *seeds);
    uint8_t *input = malloc(INPUT_MAX);
    LLVMFuzzerInitialize(&argument_count, &arguments);
    for (size_t i = 0; i < seed_count; i++) {
        seeds[i] = load(arguments[3 + i]);
        run(seeds[i].bytes, seeds[i].length);
    }
    for (long i = 0; i < count; i++) {
        const struct seed *seed = &seeds[fuzz_below(&driver_state, seed_count)];
        size_t length = seed->length;
        memcpy(input, seed->bytes, length);
        for (size_t n = fuzz_below(&driver_state, 4); n > 0; n--)
            length = LLVMFuzzerCustomMutator(input, length, INPUT_MAX,
                                             (unsigned)fuzz_random(&driver_state));
        run(input, length);
    }
    for (size_t i = 0; i < seed_count; i++)
        free(seeds[i].bytes);
    free(seeds);
    free(input);
    return 0;
}

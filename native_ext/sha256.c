/* sha256.c: see sha256.h. Names are those of FIPS 180-4. */
#include "sha256.h"

#include <string.h>

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static const uint32_t INITIAL[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static uint32_t rotr(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void store_big_endian(uint8_t *bytes, uint32_t word) {
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(word >> (24 - 8 * i));
}

static void compress_portable(uint32_t H[8], const uint8_t *block) {
    uint32_t W[64];
    for (int t = 0; t < 16; t++)
        W[t] = big_endian(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotr(W[t - 15], 7) ^ rotr(W[t - 15], 18) ^ W[t - 15] >> 3;
        uint32_t s1 = rotr(W[t - 2], 17) ^ rotr(W[t - 2], 19) ^ W[t - 2] >> 10;
        W[t] = W[t - 16] + s0 + W[t - 7] + s1;
    }
    uint32_t a = H[0], b = H[1], c = H[2], d = H[3], e = H[4], f = H[5], g = H[6], h = H[7];
    for (int t = 0; t < 64; t++) {
        uint32_t T1 =
            h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + K[t] + W[t];
        uint32_t T2 = (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + T1;
        d = c;
        c = b;
        b = a;
        a = T1 + T2;
    }
    const uint32_t worked[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++)
        H[i] += worked[i];
}

/* x86-64 processors of the last years have instructions for two rounds at once. They hold the state
 * as (A, B, E, F) and (C, D, G, H), highest word first. AEGIS_PORTABLE_SHA256 leaves them out, so
 * that a test can run the other way. */
#if defined(__x86_64__) && !defined(AEGIS_PORTABLE_SHA256)
#include <cpuid.h>
#include <immintrin.h>

__attribute__((target("sha,sse4.1"))) static void compress_x86(uint32_t H[8],
                                                               const uint8_t *block) {
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    const __m128i dcba = _mm_loadu_si128((const __m128i *)H);
    const __m128i hgfe = _mm_loadu_si128((const __m128i *)(H + 4));
    const __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1);
    const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
    __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i W[4]; /* the next sixteen words of the schedule, four to a vector */
    for (int i = 0; i < 4; i++) {
        __m128i words = _mm_loadu_si128((const __m128i *)(block + 16 * i));
        W[i] = _mm_shuffle_epi8(words, order);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        __m128i sum = _mm_add_epi32(W[i & 3], _mm_loadu_si128((const __m128i *)(K + 4 * i)));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
        if (i < 12) {
            __m128i later = _mm_alignr_epi8(W[(i + 3) & 3], W[(i + 2) & 3], 4);
            __m128i half = _mm_sha256msg1_epu32(W[i & 3], W[(i + 1) & 3]);
            W[i & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(half, later), W[(i + 3) & 3]);
        }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)H, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(H + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static int has_sha_instructions(void) {
    unsigned a, b, c, d;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (b & bit_SHA) == 0)
        return 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_SSE4_1) != 0;
}
#else
#define compress_x86 compress_portable
static int has_sha_instructions(void) { return 0; }
#endif

static void compress(uint32_t H[8], const uint8_t *block) {
    static int known = -1; /* asking the processor traps on a virtual machine: once */
    if (known < 0)
        known = has_sha_instructions();
    if (known)
        compress_x86(H, block);
    else
        compress_portable(H, block);
}

/* Hash `size` more bytes after `hashed` (whole blocks) that are in H already, and finish. */
static void finish(uint32_t H[8], uint64_t hashed, const uint8_t *bytes, size_t size,
                   uint8_t digest[AEGIS_SHA256_BYTES]) {
    size_t done = 0;
    for (; size - done >= AEGIS_SHA256_BLOCK; done += AEGIS_SHA256_BLOCK)
        compress(H, bytes + done);
    uint8_t last[2 * AEGIS_SHA256_BLOCK] = {0};
    size_t rest = size - done;
    if (rest > 0)
        memcpy(last, bytes + done, rest);
    last[rest] = 0x80;
    size_t end = rest + 9 <= AEGIS_SHA256_BLOCK ? AEGIS_SHA256_BLOCK : 2 * AEGIS_SHA256_BLOCK;
    uint64_t bits = (hashed + size) * 8;
    store_big_endian(last + end - 8, (uint32_t)(bits >> 32));
    store_big_endian(last + end - 4, (uint32_t)bits);
    for (size_t block = 0; block < end; block += AEGIS_SHA256_BLOCK)
        compress(H, last + block);
    for (int i = 0; i < 8; i++)
        store_big_endian(digest + 4 * i, H[i]);
}

void aegis_sha256(const uint8_t *bytes, size_t size, uint8_t digest[AEGIS_SHA256_BYTES]) {
    uint32_t H[8];
    memcpy(H, INITIAL, sizeof H);
    finish(H, 0, bytes, size, digest);
}

void aegis_hmac_key(struct aegis_hmac *hmac, const uint8_t *key, size_t size) {
    uint8_t block[AEGIS_SHA256_BLOCK] = {0};
    if (size > sizeof block)
        aegis_sha256(key, size, block);
    else if (size > 0)
        memcpy(block, key, size);
    memcpy(hmac->inner, INITIAL, sizeof hmac->inner);
    memcpy(hmac->outer, INITIAL, sizeof hmac->outer);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36;
    compress(hmac->inner, block);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36 ^ 0x5c;
    compress(hmac->outer, block);
}

void aegis_hmac_sign(const struct aegis_hmac *hmac, const uint8_t *message, size_t size,
                     uint8_t code[AEGIS_SHA256_BYTES]) {
    uint32_t H[8];
    uint8_t inner[AEGIS_SHA256_BYTES];
    memcpy(H, hmac->inner, sizeof H);
    finish(H, AEGIS_SHA256_BLOCK, message, size, inner);
    memcpy(H, hmac->outer, sizeof H);
    finish(H, AEGIS_SHA256_BLOCK, inner, sizeof inner, code);
}

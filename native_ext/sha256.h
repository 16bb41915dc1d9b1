/* sha256.h: SHA-256 (FIPS 180-4) and HMAC (RFC 2104) with the key's two blocks hashed once.
 *
 * A library's digest is five calls from Python for each order; here it is part of one.
 */
#ifndef AEGIS_SHA256_H
#define AEGIS_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { AEGIS_SHA256_BLOCK = 64, AEGIS_SHA256_BYTES = 32 };

struct aegis_hmac {
    uint32_t inner[8]; /* after the key's inner block */
    uint32_t outer[8]; /* after its outer block */
};

/* Write the digest of `size` bytes. */
void aegis_sha256(const uint8_t *bytes, size_t size, uint8_t digest[AEGIS_SHA256_BYTES]);

/* Prepare a key of any length. */
void aegis_hmac_key(struct aegis_hmac *hmac, const uint8_t *key, size_t size);

/* Write the code of a message; the prepared key is not changed. */
void aegis_hmac_sign(const struct aegis_hmac *hmac, const uint8_t *message, size_t size,
                     uint8_t code[AEGIS_SHA256_BYTES]);

#endif

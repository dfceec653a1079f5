/*
 * secret_hash - hashes of what nobody may guess
 *
 * Process: supervisor (to check), receiver. With OpenSSL.
 */
#pragma once

#include "base.h"

#define SECRET_HASH_BYTES 32

/* SHA-256. For what is long and random; not for passwords. */
void secret_hash(
    const void *bytes, size_t count, uint8_t out[static SECRET_HASH_BYTES]);

/* HMAC-SHA256 with a random key of its own: values that nobody outside can
 * foresee, so looking for one tells nothing by how long it takes. */
struct secret_hash_key;

struct secret_hash_key *secret_hash_key_new(void);
void secret_hash_key_free(struct secret_hash_key **);
void secret_hash_keyed(struct secret_hash_key *, const void *bytes,
    size_t count, uint8_t out[static SECRET_HASH_BYTES]);

/* In a time that does not depend on where they differ. */
bool secret_hash_same(const void *, const void *, size_t count);

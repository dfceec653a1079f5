/*
 * scram - what is kept of a password, and what is proved with it (RFC 5802)
 *
 * Process: feed, tools; the supervisor to check. With OpenSSL.
 * Fails:   panics; a hash of OpenSSL that does not work is no state to go on
 *          in.
 *
 * Of a password only StoredKey and ServerKey are kept: whoever gets hold of
 * them cannot log in with them without trying passwords. As text they stand
 * as PostgreSQL writes them:
 *
 *   SCRAM-SHA-256$4096:SALT$STOREDKEY:SERVERKEY     (base64)
 *
 * A password's bytes are taken as they are (Kafka's clients prepare none).
 */
#pragma once

#include "base.h"
#include "buf.h"

enum scram_hash { SCRAM_SHA_256, SCRAM_SHA_512, SCRAM_HASHES };

#define SCRAM_BYTES_MAX 64 /* of a hash */
#define SCRAM_SALT_MAX 64
#define SCRAM_ITERATIONS_MIN 4096 /* clients refuse fewer */
/* A password that is sent in the clear is hashed by us, so often. */
#define SCRAM_ITERATIONS_MAX 1000000

struct scram_secret {
	enum scram_hash hash;
	uint32_t iterations;
	unsigned salt_bytes;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored[SCRAM_BYTES_MAX], server[SCRAM_BYTES_MAX];
};

/* "SCRAM-SHA-256", and how many bytes its hashes have. */
const char *scram_name(enum scram_hash);
unsigned scram_bytes(enum scram_hash);

/* hash, iterations and salt are set: the two keys of a password. */
void scram_make(struct scram_secret *, const char *password, size_t bytes);
/* Whether that is the password. Takes as long as scram_make. */
bool scram_is_password(
    const struct scram_secret *, const char *password, size_t bytes);
/* As text, behind what is in the buf. */
void scram_print(const struct scram_secret *, struct buf *);
/* NULL, or what is wrong with it and what to do. */
const char *scram_read(struct scram_secret *, const char *text);

/* Whether a client's proof (scram_bytes) holds for what was said. */
bool scram_is_proved(const struct scram_secret *, const char *said,
    size_t bytes, const uint8_t *proof);
/* What proves to the client that we know him: scram_bytes. */
void scram_sign(const struct scram_secret *, const char *said, size_t bytes,
    uint8_t signature[static SCRAM_BYTES_MAX]);
/* For a name that there is not: what is somebody's secret becomes one that
 * nobody knows. Hash and iterations stay, the salt is always the same for that
 * name: nobody learns from them that it is not there. */
void scram_pretend(struct scram_secret *, const char *name, size_t bytes,
    const uint8_t key[static SCRAM_BYTES_MAX]);
void scram_random(void *to, size_t bytes);

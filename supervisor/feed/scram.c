/*
 * scram - what is kept of a password, and what is proved with it (RFC 5802)
 *
 * Process: feed, tools; the supervisor to check. With OpenSSL.
 */
#include "scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "panic.h"

static const struct {
	const char *name;
	unsigned bytes;
	const EVP_MD *(*digest)(void);
} hashes[] = {
	[SCRAM_SHA_256] = { "SCRAM-SHA-256", 32, EVP_sha256 },
	[SCRAM_SHA_512] = { "SCRAM-SHA-512", 64, EVP_sha512 },
};

const char *
scram_name(enum scram_hash hash)
{
	return hashes[hash].name;
}

unsigned
scram_bytes(enum scram_hash hash)
{
	return hashes[hash].bytes;
}

static void
digest(enum scram_hash hash, const void *bytes, size_t count, uint8_t *out)
{
	must(EVP_Digest(bytes, count, out, NULL, hashes[hash].digest(), NULL) ==
	    1);
}

/* The key is a hash. */
static void
keyed(enum scram_hash hash, const uint8_t *key, const void *bytes, size_t count,
    uint8_t *out)
{
	must(HMAC(hashes[hash].digest(), key, (int)hashes[hash].bytes, bytes,
		 count, out, NULL) != NULL);
}

/* StoredKey and ServerKey. */
static void
derive(const struct scram_secret *s, const char *password, size_t bytes,
    uint8_t *stored, uint8_t *server)
{
	static const char client_label[] = "Client Key";
	static const char server_label[] = "Server Key";
	uint8_t salted[SCRAM_BYTES_MAX], client[SCRAM_BYTES_MAX];

	must(bytes <= INT32_MAX && s->iterations <= INT32_MAX);
	must(
	    PKCS5_PBKDF2_HMAC(password, (int)bytes, s->salt, (int)s->salt_bytes,
		(int)s->iterations, hashes[s->hash].digest(),
		(int)hashes[s->hash].bytes, salted) == 1);
	keyed(s->hash, salted, client_label, sizeof client_label - 1, client);
	digest(s->hash, client, hashes[s->hash].bytes, stored);
	keyed(s->hash, salted, server_label, sizeof server_label - 1, server);
	OPENSSL_cleanse(salted, sizeof salted);
	OPENSSL_cleanse(client, sizeof client);
}

void
scram_make(struct scram_secret *s, const char *password, size_t bytes)
{
	derive(s, password, bytes, s->stored, s->server);
}

bool
scram_is_password(
    const struct scram_secret *s, const char *password, size_t bytes)
{
	uint8_t stored[SCRAM_BYTES_MAX], server[SCRAM_BYTES_MAX];

	derive(s, password, bytes, stored, server);
	return CRYPTO_memcmp(stored, s->stored, hashes[s->hash].bytes) == 0;
}

static void
print_base64(struct buf *to, const uint8_t *bytes, size_t count)
{
	char *at = buf_room(to, BASE64_BYTES(count));

	if (at == NULL)
		return;
	base64_write(at, bytes, count);
	to->used += BASE64_BYTES(count);
}

void
scram_print(const struct scram_secret *s, struct buf *to)
{
	buf_addf(to, "%s$%u:", hashes[s->hash].name, (unsigned)s->iterations);
	print_base64(to, s->salt, s->salt_bytes);
	buf_add_text(to, "$");
	print_base64(to, s->stored, hashes[s->hash].bytes);
	buf_add_text(to, ":");
	print_base64(to, s->server, hashes[s->hash].bytes);
}

/* Up to `end`, which is passed; false: it is not there, or no such base64. */
static bool
read_base64(const char **text, char end, uint8_t *to, size_t room, size_t *used)
{
	size_t bytes = strcspn(*text, ":$");
	const char *at = *text;

	if (at[bytes] != end || BASE64_BYTES(room) < bytes)
		return false;
	*text += bytes + (end != '\0');
	return base64_read(at, bytes, to, used) && *used <= room;
}

static bool
read_keys(struct scram_secret *s, const char *at)
{
	size_t salt = 0, stored = 0, server = 0;
	uint8_t room[3][SCRAM_BYTES_MAX + 2] = { { 0 } };

	if (!read_base64(&at, '$', room[0], SCRAM_SALT_MAX, &salt) ||
	    !read_base64(&at, ':', room[1], SCRAM_BYTES_MAX, &stored) ||
	    !read_base64(&at, '\0', room[2], SCRAM_BYTES_MAX, &server))
		return false;
	memcpy(s->salt, room[0], SCRAM_SALT_MAX);
	memcpy(s->stored, room[1], SCRAM_BYTES_MAX);
	memcpy(s->server, room[2], SCRAM_BYTES_MAX);
	s->salt_bytes = (unsigned)salt;
	return salt > 0 && stored == hashes[s->hash].bytes &&
	    server == hashes[s->hash].bytes;
}

const char *
scram_read(struct scram_secret *s, const char *text)
{
	char *end;
	unsigned long iterations;
	size_t name;

	*s = (struct scram_secret){ .hash = SCRAM_SHA_256 };
	for (;; s->hash++) {
		if (s->hash == SCRAM_HASHES)
			return "not SCRAM-SHA-256$… or SCRAM-SHA-512$…; write "
			       "what PostgreSQL would keep of the password";
		name = strlen(hashes[s->hash].name);
		if (strncmp(text, hashes[s->hash].name, name) == 0 &&
		    text[name] == '$')
			break;
	}
	text += name + 1;
	iterations = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != ':' ||
	    iterations < SCRAM_ITERATIONS_MIN ||
	    iterations > SCRAM_ITERATIONS_MAX)
		return "the iterations must be 4096 to 1000000";
	s->iterations = (uint32_t)iterations;
	return read_keys(s, end + 1)
	    ? NULL
	    : "damaged: ITERATIONS:SALT$STOREDKEY:SERVERKEY is not behind it";
}

bool
scram_is_proved(const struct scram_secret *s, const char *said, size_t bytes,
    const uint8_t *proof)
{
	uint8_t key[SCRAM_BYTES_MAX], stored[SCRAM_BYTES_MAX];
	unsigned count = hashes[s->hash].bytes;

	keyed(s->hash, s->stored, said, bytes, key);
	for (unsigned i = 0; i < count; i++)
		key[i] ^= proof[i];
	digest(s->hash, key, count, stored);
	return CRYPTO_memcmp(stored, s->stored, count) == 0;
}

void
scram_sign(const struct scram_secret *s, const char *said, size_t bytes,
    uint8_t signature[static SCRAM_BYTES_MAX])
{
	keyed(s->hash, s->server, said, bytes, signature);
}

void
scram_pretend(struct scram_secret *s, const char *name, size_t bytes,
    const uint8_t key[static SCRAM_BYTES_MAX])
{
	keyed(s->hash, key, name, bytes, s->salt);
	s->salt_bytes = MIN_OF(s->salt_bytes, hashes[s->hash].bytes);
	/* no key hashes to this as far as anybody knows */
	scram_random(s->stored, sizeof s->stored);
	scram_random(s->server, sizeof s->server);
}

void
scram_random(void *to, size_t bytes)
{
	must(bytes <= INT32_MAX && RAND_bytes(to, (int)bytes) == 1);
}

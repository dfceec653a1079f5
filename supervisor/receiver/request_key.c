/*
 * request_key - the field Idempotency-Key, by which a client names a request
 *
 * Process: receiver.
 */
#include "request_key.h"

#include <string.h>

/* Visible characters and spaces of ASCII. */
static bool
is_text(const char *value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (value[i] < 0x20 || value[i] > 0x7e)
			return false;
	return true;
}

bool
request_key_read(
    const char *value, size_t bytes, const uint8_t *who, struct event_key *k)
{
	uint8_t text[SECRET_HASH_BYTES + REQUEST_KEY_MAX] = { 0 };
	uint8_t hash[SECRET_HASH_BYTES];

	if (bytes >= 2 && value[0] == '"' && value[bytes - 1] == '"') {
		value++;
		bytes -= 2;
	}
	if (bytes == 0 || bytes > REQUEST_KEY_MAX || !is_text(value, bytes))
		return false;
	if (who != NULL)
		memcpy(text, who, SECRET_HASH_BYTES);
	memcpy(text + SECRET_HASH_BYTES, value, bytes);
	secret_hash(text, SECRET_HASH_BYTES + bytes, hash);
	memset(k, 0, sizeof *k);
	memcpy(k->key, hash, sizeof k->key);
	return true;
}

void
request_key_bind(struct event_key *k, const void *body, size_t bytes)
{
	uint8_t hash[SECRET_HASH_BYTES];

	secret_hash(body, bytes, hash);
	memcpy(&k->body, hash, sizeof k->body);
}

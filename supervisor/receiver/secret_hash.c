/*
 * secret_hash - hashes of what nobody may guess
 *
 * Process: supervisor (to check), receiver. With OpenSSL.
 * Fails:   panics; a hash of OpenSSL that does not work is no state to go on
 *          in.
 */
#include "secret_hash.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "panic.h"

struct secret_hash_key {
	EVP_MAC_CTX *ctx; /* with the key in it */
};

void
secret_hash(
    const void *bytes, size_t count, uint8_t out[static SECRET_HASH_BYTES])
{
	must(SHA256(bytes, count, out) != NULL);
}

struct secret_hash_key *
secret_hash_key_new(void)
{
	struct secret_hash_key *k = must_calloc(1, sizeof *k);
	uint8_t key[SECRET_HASH_BYTES];
	char digest[] = "SHA256";
	OSSL_PARAM how[] = {
		OSSL_PARAM_construct_utf8_string(
		    OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	must_afford(mac != NULL);
	k->ctx = EVP_MAC_CTX_new(mac);
	EVP_MAC_free(mac);
	must_afford(k->ctx != NULL);
	must(RAND_bytes(key, sizeof key) == 1 &&
	    EVP_MAC_init(k->ctx, key, sizeof key, how) == 1);
	OPENSSL_cleanse(key, sizeof key);
	return k;
}

void
secret_hash_key_free(struct secret_hash_key **key)
{
	struct secret_hash_key *k = *key;

	*key = NULL;
	if (k == NULL)
		return;
	EVP_MAC_CTX_free(k->ctx);
	free(k);
}

void
secret_hash_keyed(struct secret_hash_key *k, const void *bytes, size_t count,
    uint8_t out[static SECRET_HASH_BYTES])
{
	size_t used = 0;

	/* without a key: begins anew with the one that it has */
	must(EVP_MAC_init(k->ctx, NULL, 0, NULL) == 1 &&
	    EVP_MAC_update(k->ctx, bytes, count) == 1 &&
	    EVP_MAC_final(k->ctx, out, &used, SECRET_HASH_BYTES) == 1 &&
	    used == SECRET_HASH_BYTES);
}

bool
secret_hash_same(const void *a, const void *b, size_t count)
{
	return CRYPTO_memcmp(a, b, count) == 0;
}

/*
 * key_store - certificates and a private key, in the files that hold them
 *
 * Process: vault's reader, and tranqctl by way of trust_store.
 */
#include "key_store.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

/* Java up to 8u301 encrypts with RC2, which OpenSSL has put aside. */
void
key_store_init(struct key_store *s)
{
	*s = (struct key_store){ .certificates = sk_X509_new_null(),
		.legacy = OSSL_PROVIDER_try_load(NULL, "legacy", 1) };
	must_afford(s->certificates != NULL);
	ERR_clear_error();
}

void
key_store_fini(struct key_store *s)
{
	sk_X509_pop_free(s->certificates, X509_free);
	EVP_PKEY_free(s->key);
	if (s->legacy != NULL)
		OSSL_PROVIDER_unload(s->legacy);
	ERR_clear_error();
	*s = (struct key_store){ .key = NULL };
}

void
key_store_add(struct key_store *s, X509 **certificate)
{
	must(sk_X509_push(s->certificates, *certificate) > 0);
	*certificate = NULL;
}

X509 *
key_store_own(const struct key_store *s)
{
	return sk_X509_value(s->certificates, 0);
}

bool
key_store_is_pair(const struct key_store *s)
{
	return X509_check_private_key(key_store_own(s), s->key) == 1;
}

char *
key_store_pem(const struct key_store *s, bool with_key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes, *pem;
	long count;

	must_afford(bio != NULL);
	for (int i = 0; i < sk_X509_num(s->certificates); i++)
		must(PEM_write_bio_X509(
			 bio, sk_X509_value(s->certificates, i)) == 1);
	if (with_key)
		must(PEM_write_bio_PKCS8PrivateKey(
			 bio, s->key, NULL, NULL, 0, NULL, NULL) == 1);
	count = BIO_get_mem_data(bio, &bytes);
	pem = must_format("%.*s", (int)count, bytes);
	explicit_bzero(bytes, (size_t)count);
	BIO_free(bio);
	return pem;
}

/*
 * A file's bytes.
 */

static bool
begins(const struct buf *bytes, const char *magic)
{
	return bytes->used >= 4 && memcmp(bytes->bytes, magic, 4) == 0;
}

char *
key_store_conversion(const struct buf *bytes, const char *path)
{
	bool is_jks = begins(bytes, "\xfe\xed\xfe\xed");

	if (!is_jks && !begins(bytes, "\xce\xce\xce\xce"))
		return NULL;
	return must_format("keytool -importkeystore -srckeystore %s "
			   "-srcstoretype %s -destkeystore %s.p12 "
			   "-deststoretype PKCS12",
	    path, is_jks ? "JKS" : "JCEKS", path);
}

bool
key_store_is_pem(const struct buf *bytes)
{
	static const char begin[] = "-----BEGIN ";

	return bytes->used > 0 &&
	    memmem(bytes->bytes, bytes->used, begin, strlen(begin)) != NULL;
}

static BIO *
view_of(const struct buf *bytes)
{
	BIO *bio = BIO_new_mem_buf(bytes->bytes, (int)bytes->used);

	must_afford(bio != NULL);
	return bio;
}

bool
key_store_read_certificates(
    struct key_store *s, const struct buf *bytes, int max)
{
	BIO *bio = view_of(bytes);
	X509 *x;

	while (sk_X509_num(s->certificates) < max &&
	    (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		key_store_add(s, &x);
	BIO_free(bio);
	/* behind the last one there is no start line */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return false;
	ERR_clear_error();
	return true;
}

static int
give_password(char *to, int size, int is_for_writing UNUSED, void *context)
{
	const char *password = context;
	size_t bytes = strlen(password);

	if (bytes == 0 || bytes > (size_t)size)
		return -1;
	memcpy(to, password, bytes);
	return (int)bytes;
}

bool
key_store_read_key(
    struct key_store *s, const struct buf *bytes, const char *password)
{
	char *copy = must_strdup(password); /* OpenSSL wants no const */
	BIO *bio = view_of(bytes);

	s->key = PEM_read_bio_PrivateKey(bio, NULL, give_password, copy);
	BIO_free(bio);
	explicit_bzero(copy, strlen(copy));
	free(copy);
	return s->key != NULL;
}

const char *
key_store_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text != NULL ? text : "OpenSSL does not say why";
}

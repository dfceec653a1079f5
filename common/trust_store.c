/*
 * trust_store - by which certificates Druid is believed, and ours for it
 *
 * Process: supervisor.
 *
 * Java's PKCS#12 stores are what Druid's users have; curl takes PEM only.
 */
#include "trust_store.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf_digest.h"
#include "conf_file.h"
#include "panic.h"

#define CERTIFICATES_MAX 10000

/* What a file holds. */
struct found {
	STACK_OF(X509) * certificates; /* ours comes first */
	EVP_PKEY *key;
};

static bool PRINTF_LIKE(2, 3)
    because(char why[static TRUST_STORE_WHY_BYTES], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, TRUST_STORE_WHY_BYTES, format, args);
	va_end(args);
	return false;
}

static const char *
library_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text != NULL ? text : "OpenSSL does not say why";
}

static void
add(struct found *f, X509 *certificate)
{
	must(sk_X509_push(f->certificates, certificate) > 0);
}

/* ---- PEM ---- */

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

static BIO *
view_of(const struct buf *bytes)
{
	BIO *bio = BIO_new_mem_buf(bytes->bytes, (int)bytes->used);

	must(bio != NULL);
	return bio;
}

static bool
read_pem_certificates(const struct buf *bytes, struct found *f,
    char why[static TRUST_STORE_WHY_BYTES])
{
	BIO *bio = view_of(bytes);
	X509 *x = NULL;

	while (sk_X509_num(f->certificates) < CERTIFICATES_MAX &&
	    (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		add(f, x);
	BIO_free(bio);
	/* behind the last one there is no start line */
	return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ||
	    because(why,
		"a certificate in it cannot be read (%s); make the file anew",
		library_reason());
}

static bool
read_pem_key(const struct buf *bytes, const char *password, struct found *f,
    char why[static TRUST_STORE_WHY_BYTES])
{
	char *copy = must_strdup(password); /* OpenSSL wants no const */
	BIO *bio = view_of(bytes);

	f->key = PEM_read_bio_PrivateKey(bio, NULL, give_password, copy);
	BIO_free(bio);
	explicit_bzero(copy, strlen(copy));
	free(copy);
	return f->key != NULL ||
	    because(why,
		"no private key in it that opens (%s); give a file with "
		"certificate and key, and the key's password",
		library_reason());
}

/* ---- PKCS#12 ---- */

static bool
read_store(PKCS12 *store, const char *password, struct found *f,
    char why[static TRUST_STORE_WHY_BYTES])
{
	STACK_OF(X509) *others = NULL;
	X509 *own = NULL;

	if (PKCS12_parse(store, password, &f->key, &own, &others) != 1)
		return because(why,
		    "the store does not open (%s); %s its password",
		    library_reason(), *password != '\0' ? "mend" : "give");
	if (own != NULL)
		add(f, own);
	while (sk_X509_num(others) > 0)
		add(f, sk_X509_pop(others));
	sk_X509_free(others);
	return true;
}

static bool
read_der(const struct buf *bytes, const char *password, struct found *f,
    char why[static TRUST_STORE_WHY_BYTES])
{
	const unsigned char *at = (const unsigned char *)bytes->bytes;
	PKCS12 *store = d2i_PKCS12(NULL, &at, (long)bytes->used);
	X509 *single;
	bool good;

	if (store != NULL) {
		good = read_store(store, password, f, why);
		PKCS12_free(store);
		return good;
	}
	at = (const unsigned char *)bytes->bytes;
	single = d2i_X509(NULL, &at, (long)bytes->used);
	if (single == NULL)
		return because(
		    why, "neither PEM nor PKCS#12; give one of these");
	add(f, single);
	return true;
}

/* ---- both ---- */

static bool
begins(const struct buf *bytes, const char *magic)
{
	return bytes->used >= 4 && memcmp(bytes->bytes, magic, 4) == 0;
}

static bool
read_bytes(const struct buf *bytes, const char *password, bool with_key,
    struct found *f, char why[static TRUST_STORE_WHY_BYTES])
{
	if (memmem(bytes->bytes, bytes->used, "-----BEGIN ", 11) == NULL)
		return read_der(bytes, password, f, why);
	return read_pem_certificates(bytes, f, why) &&
	    (!with_key || read_pem_key(bytes, password, f, why));
}

static bool
check_found(const struct found *f, bool with_key,
    char why[static TRUST_STORE_WHY_BYTES])
{
	if (sk_X509_num(f->certificates) == 0)
		return because(
		    why, "no certificate in it; is it the right file?");
	if (!with_key)
		return true;
	if (f->key == NULL)
		return because(why,
		    "no private key in it; export the certificate together "
		    "with its key");
	return X509_check_private_key(
		   sk_X509_value(f->certificates, 0), f->key) == 1 ||
	    because(why,
		"its first certificate is not that of its private key; put "
		"that one in front");
}

static char *
write_pem(const struct found *f, bool with_key)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes, *pem;
	long count;

	must(bio != NULL);
	for (int i = 0; i < sk_X509_num(f->certificates); i++)
		must(PEM_write_bio_X509(
			 bio, sk_X509_value(f->certificates, i)) == 1);
	if (with_key)
		must(PEM_write_bio_PKCS8PrivateKey(
			 bio, f->key, NULL, NULL, 0, NULL, NULL) == 1);
	count = BIO_get_mem_data(bio, &bytes);
	pem = must_format("%.*s", (int)count, bytes);
	explicit_bzero(bytes, (size_t)count);
	BIO_free(bio);
	return pem;
}

char *
trust_store_pem(const struct buf *bytes, const char *path, const char *password,
    bool with_key, char why[static TRUST_STORE_WHY_BYTES])
{
	struct found f = { .certificates = sk_X509_new_null() };
	bool is_jks = begins(bytes, "\xfe\xed\xfe\xed");
	OSSL_PROVIDER *legacy;
	char *pem = NULL;

	if (is_jks || begins(bytes, "\xce\xce\xce\xce")) {
		because(why,
		    "a store that only Java reads; convert it with: keytool "
		    "-importkeystore -srckeystore %s -srcstoretype %s "
		    "-destkeystore %s.p12 -deststoretype PKCS12",
		    path, is_jks ? "JKS" : "JCEKS", path);
		sk_X509_free(f.certificates);
		return NULL;
	}
	/* Java up to 8u301 encrypts with RC2, which OpenSSL has put aside */
	legacy = OSSL_PROVIDER_try_load(NULL, "legacy", 1);
	ERR_clear_error();
	if (read_bytes(bytes, password, with_key, &f, why) &&
	    check_found(&f, with_key, why))
		pem = write_pem(&f, with_key);
	ERR_clear_error();
	sk_X509_pop_free(f.certificates, X509_free);
	EVP_PKEY_free(f.key);
	if (legacy != NULL)
		OSSL_PROVIDER_unload(legacy);
	return pem;
}

/* ---- the configuration's ---- */

/* What one property names. */
struct store {
	const char *property, *path, *password;
	bool with_key;
};

static char *
read_file(const struct store *s, char why[static TRUST_STORE_WHY_BYTES])
{
	struct buf bytes;
	char *pem = NULL;

	buf_init(&bytes, TRUST_STORE_BYTES_MAX + MiB);
	if (!conf_file_read(s->path, &bytes, TRUST_STORE_BYTES_MAX))
		because(why,
		    "cannot be read: %s; give a file of at most %u MiB that "
		    "tranqd may read when it starts",
		    conf_file_why(errno), TRUST_STORE_BYTES_MAX / MiB);
	else
		pem = trust_store_pem(
		    &bytes, s->path, s->password, s->with_key, why);
	if (bytes.bytes != NULL)
		explicit_bzero(bytes.bytes, bytes.used);
	buf_free(&bytes);
	return pem;
}

/* Several dataSources mostly share one. */
static void
load(struct conf *conf, struct ds_conf *ds, const struct store *s,
    const char **to, struct conf_problems *problems)
{
	char why[TRUST_STORE_WHY_BYTES];
	struct conf_store *known;

	*to = NULL;
	if (*s->path == '\0')
		return;
	for (known = conf->stores; known != NULL; known = known->next)
		if (known->with_key == s->with_key &&
		    strcmp(known->path, s->path) == 0 &&
		    strcmp(known->password, s->password) == 0)
			break;
	if (known == NULL) {
		known = must_calloc(1, sizeof *known);
		*known = (struct conf_store){ .next = conf->stores,
			.path = s->path,
			.password = s->password,
			.with_key = s->with_key,
			.pem = read_file(s, why) };
		conf->stores = known;
		if (known->pem == NULL)
			conf_problem(problems, "%s: dataSource %s: %s: %s: %s",
			    conf->file, ds->name, s->property, s->path, why);
	}
	*to = known->pem;
	if (known->pem != NULL)
		ds->digest = conf_digest_add(ds->digest, known->pem);
}

void
trust_store_load(struct conf *conf, struct conf_problems *problems)
{
	for (unsigned i = 0; i < conf->ds_count; i++) {
		struct ds_conf *ds = &conf->ds[i];
		struct store trust = { "druid.tls.trustStorePath",
			ds->tls_trust_path, ds->tls_trust_password, false };
		struct store key = { "druid.tls.keyStorePath", ds->tls_key_path,
			ds->tls_key_password, true };

		load(conf, ds, &trust, &ds->druid_trust, problems);
		load(conf, ds, &key, &ds->druid_key, problems);
	}
}

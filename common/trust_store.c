/*
 * trust_store - by which certificates Druid is believed, and ours for it
 *
 * Process: vault's reader.
 *
 * Java's PKCS#12 stores are what Druid's users have; curl takes PEM only.
 */
#include "trust_store.h"

#include <errno.h>
#include <openssl/pkcs12.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf_digest.h"
#include "conf_file.h"
#include "key_store.h"
#include "panic.h"

#define CERTIFICATES_MAX 10000

static bool PRINTF_LIKE(2, 3)
    because(char why[static TRUST_STORE_WHY_BYTES], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, TRUST_STORE_WHY_BYTES, format, args);
	va_end(args);
	return false;
}

/* ---- PKCS#12 ---- */

static bool
read_store(PKCS12 *store, const char *password, struct key_store *f,
    char why[static TRUST_STORE_WHY_BYTES])
{
	STACK_OF(X509) *others = NULL;
	X509 *own = NULL;

	if (PKCS12_parse(store, password, &f->key, &own, &others) != 1)
		return because(why,
		    "the store does not open (%s); %s its password",
		    key_store_reason(), *password != '\0' ? "mend" : "give");
	if (own != NULL)
		key_store_add(f, &own);
	while ((own = sk_X509_pop(others)) != NULL)
		key_store_add(f, &own);
	sk_X509_free(others);
	return true;
}

static bool
read_der(const struct buf *bytes, const char *password, struct key_store *f,
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
	key_store_add(f, &single);
	return true;
}

/* ---- both ---- */

static bool
read_pem(const struct buf *bytes, const char *password, bool with_key,
    struct key_store *f, char why[static TRUST_STORE_WHY_BYTES])
{
	if (!key_store_read_certificates(f, bytes, CERTIFICATES_MAX))
		return because(why,
		    "a certificate in it cannot be read (%s); make the file "
		    "anew",
		    key_store_reason());
	return !with_key || key_store_read_key(f, bytes, password) ||
	    because(why,
		"no private key in it that opens (%s); give a file with "
		"certificate and key, and the key's password",
		key_store_reason());
}

static bool
check_found(const struct key_store *f, bool with_key,
    char why[static TRUST_STORE_WHY_BYTES])
{
	if (key_store_own(f) == NULL)
		return because(
		    why, "no certificate in it; is it the right file?");
	if (!with_key)
		return true;
	if (f->key == NULL)
		return because(why,
		    "no private key in it; export the certificate together "
		    "with its key");
	return key_store_is_pair(f) ||
	    because(why,
		"its first certificate is not that of its private key; put "
		"that one in front");
}

char *
trust_store_pem(const struct buf *bytes, const char *path, const char *password,
    bool with_key, char why[static TRUST_STORE_WHY_BYTES])
{
	char *conversion = key_store_conversion(bytes, path), *pem = NULL;
	struct key_store f;
	bool good;

	if (conversion != NULL) {
		because(why,
		    "a store that only Java reads; convert it with: %s",
		    conversion);
		free(conversion);
		return NULL;
	}
	key_store_init(&f);
	good = key_store_is_pem(bytes)
	    ? read_pem(bytes, password, with_key, &f, why)
	    : read_der(bytes, password, &f, why);
	if (good && check_found(&f, with_key, why))
		pem = key_store_pem(&f, with_key);
	key_store_fini(&f);
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

/*
 * tls_store - our certificate and its key, out of PEM files or PKCS#12
 *
 * Process: supervisor, at start, reload and `tranqd check`. With OpenSSL.
 */
#include "tls_store.h"

#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "key_store.h"
#include "panic.h"

#define EXPIRES_SOON_DAYS 7
#define BAGS_MAX 1000
#define BAG_DEPTH_MAX 4
#define ALIASES_BYTES 512

/* What is read, and where its problems go. */
struct reading {
	const struct conf *conf;
	struct conf_problems *problems;
	const struct tls_store_file *file;
	struct key_store found;
};

/* Always false. */
static bool
    PRINTF_LIKE(2, 3) complain(struct reading *r, const char *format, ...)
{
	va_list args;
	char text[1024];

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	conf_problem_of(r->problems, r->conf, r->file->property, "%s: %s",
	    r->file->path, text);
	ERR_clear_error();
	return false;
}

static const char *
key_password(const struct conf *conf)
{
	return *conf->https_key_manager_password != '\0'
	    ? conf->https_key_manager_password
	    : conf->https_key_store_password;
}

static const char *
subject_of(const X509 *x, char text[static 256])
{
	if (X509_NAME_oneline(X509_get_subject_name(x), text, 256) == NULL)
		snprintf(text, 256, "?");
	return text;
}

static bool
has_text(const struct tls_store_file *f, const char *text)
{
	const struct buf *b = &f->bytes;

	return memmem(b->bytes, b->used, text, strlen(text)) != NULL;
}

/*
 * PEM.
 */

static bool
read_certificates(struct reading *r)
{
	const int max = (int)TLS_STORE_CHAIN_MAX + 1;
	bool good =
	    key_store_read_certificates(&r->found, &r->file->bytes, max + 1);

	if (sk_X509_num(r->found.certificates) > max)
		return complain(r,
		    "more than %u certificates; leave those that lead "
		    "to the CA",
		    TLS_STORE_CHAIN_MAX);
	if (!good)
		return complain(r,
		    "a certificate cannot be read (%s); make "
		    "the file anew",
		    key_store_reason());
	return key_store_own(&r->found) != NULL ||
	    complain(r,
		"no certificate is in it; put ours there in PEM, and "
		"behind it those that lead to its CA");
}

static bool
read_key(struct reading *r)
{
	const char *password = key_password(r->conf);

	if (!has_text(r->file, "PRIVATE KEY-----"))
		return complain(r,
		    "no private key is in it; name the file "
		    "that has it with https.keyFile");
	if (key_store_read_key(&r->found, &r->file->bytes, password))
		return true;
	if (has_text(r->file, "ENCRYPTED"))
		return complain(r, "the private key does not open; %s",
		    *password != '\0'
			? "mend https.keyManagerPassword"
			: "give its password with https.keyManagerPassword");
	return complain(r, "the private key cannot be read (%s); make it anew",
	    key_store_reason());
}

/*
 * PKCS#12.
 */

/* A key as the store has it, or a certificate. */
struct item {
	EVP_PKEY *key; /* NULL: a certificate, or it did not open */
	X509 *certificate;
	bool is_key;
	char *alias; /* friendlyName, or NULL */
	const ASN1_OCTET_STRING *id; /* localKeyID, or NULL; the store's */
};

struct store {
	struct reading *reading;
	PKCS12 *pkcs12;
	/* hold what items point into */
	STACK_OF(PKCS7) * safes;
	STACK_OF(PKCS12_SAFEBAG) * bags[BAGS_MAX];
	unsigned bags_count;
	struct item items[BAGS_MAX];
	unsigned count;
};

static EVP_PKEY *
open_key(PKCS12_SAFEBAG *bag, const char *password)
{
	PKCS8_PRIV_KEY_INFO *own = NULL;
	const PKCS8_PRIV_KEY_INFO *info;
	EVP_PKEY *key;

	if (PKCS12_SAFEBAG_get_nid(bag) == NID_keyBag)
		info = PKCS12_SAFEBAG_get0_p8inf(bag);
	else
		info = own = PKCS12_decrypt_skey(bag, password, -1);
	key = info != NULL ? EVP_PKCS82PKEY(info) : NULL;
	PKCS8_PRIV_KEY_INFO_free(own);
	return key;
}

static void
take_bag(struct store *s, PKCS12_SAFEBAG *bag)
{
	struct item *item = &s->items[s->count];
	const struct conf *conf = s->reading->conf;
	const ASN1_TYPE *id;
	int kind = PKCS12_SAFEBAG_get_nid(bag);

	*item = (struct item){ .key = NULL };
	if (kind == NID_certBag &&
	    PKCS12_SAFEBAG_get_bag_nid(bag) == NID_x509Certificate) {
		item->certificate = PKCS12_SAFEBAG_get1_cert(bag);
	} else if (kind == NID_keyBag || kind == NID_pkcs8ShroudedKeyBag) {
		item->is_key = true;
		item->key = open_key(bag, key_password(conf));
		if (item->key == NULL)
			item->key =
			    open_key(bag, conf->https_key_store_password);
	}
	if (!item->is_key && item->certificate == NULL)
		return;
	item->alias = PKCS12_get_friendlyname(bag);
	id = PKCS12_SAFEBAG_get0_attr(bag, NID_localKeyID);
	if (id != NULL && id->type == V_ASN1_OCTET_STRING)
		item->id = id->value.octet_string;
	s->count++;
}

static void
take_bags(
    struct store *s, const STACK_OF(PKCS12_SAFEBAG) * bags, unsigned depth)
{
	for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); i++) {
		PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value(bags, i);

		if (s->count == BAGS_MAX)
			return;
		if (PKCS12_SAFEBAG_get_nid(bag) != NID_safeContentsBag)
			take_bag(s, bag);
		else if (depth < BAG_DEPTH_MAX)
			take_bags(s, PKCS12_SAFEBAG_get0_safes(bag), depth + 1);
	}
}

static bool
take_safes(struct store *s)
{
	const char *password = s->reading->conf->https_key_store_password;

	s->safes = PKCS12_unpack_authsafes(s->pkcs12);
	for (int i = 0; i < sk_PKCS7_num(s->safes); i++) {
		PKCS7 *safe = sk_PKCS7_value(s->safes, i);
		STACK_OF(PKCS12_SAFEBAG) *bags = NULL;

		if (PKCS7_type_is_data(safe))
			bags = PKCS12_unpack_p7data(safe);
		else if (PKCS7_type_is_encrypted(safe))
			bags = PKCS12_unpack_p7encdata(safe, password, -1);
		else
			continue;
		if (bags == NULL || s->bags_count == BAGS_MAX) {
			sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
			return false;
		}
		s->bags[s->bags_count++] = bags;
		take_bags(s, bags, 0);
	}
	return s->safes != NULL;
}

/* The names of entries that have a key, for messages. */
static const char *
list_aliases(const struct store *s, char to[static ALIASES_BYTES])
{
	size_t used = 0;

	to[0] = '\0';
	for (unsigned i = 0; i < s->count && used < ALIASES_BYTES; i++)
		if (s->items[i].is_key)
			used += (size_t)snprintf(to + used,
			    ALIASES_BYTES - used, "%s%s", used > 0 ? ", " : "",
			    s->items[i].alias != NULL ? s->items[i].alias
						      : "(without a name)");
	return to;
}

/* Java's names of entries are the same in any case. */
static struct item *
choose_entry(struct store *s)
{
	const char *alias = s->reading->conf->https_cert_alias;
	char names[ALIASES_BYTES];
	struct item *first = NULL;
	unsigned keys = 0;

	for (unsigned i = 0; i < s->count; i++) {
		struct item *item = &s->items[i];

		if (!item->is_key)
			continue;
		keys++;
		if (first == NULL &&
		    (*alias == '\0' ||
			(item->alias != NULL &&
			    strcasecmp(item->alias, alias) == 0)))
			first = item;
	}
	if (keys == 0)
		complain(s->reading,
		    "no private key is in it; export it "
		    "together with its certificate");
	else if (first == NULL)
		complain(s->reading,
		    "no entry '%s' with a key is in it; set https.certAlias "
		    "to one of: %s",
		    alias, list_aliases(s, names));
	else if (keys > 1 && *alias == '\0')
		conf_warning_of(s->reading->problems, s->reading->conf,
		    "https.certAlias",
		    "the key store has several keys (%s), the first is used; "
		    "name the one that is meant",
		    list_aliases(s, names));
	return first;
}

static X509 *
certificate_of(const struct store *s, const struct item *key)
{
	for (unsigned i = 0; i < s->count; i++) {
		const struct item *item = &s->items[i];

		if (item->certificate != NULL &&
		    X509_check_private_key(item->certificate, key->key) == 1)
			return item->certificate;
	}
	return NULL;
}

static X509 *
issuer_of(const struct store *s, X509 *x)
{
	for (unsigned i = 0; i < s->count; i++) {
		X509 *other = s->items[i].certificate;

		if (other != NULL && other != x &&
		    X509_check_issued(other, x) == X509_V_OK)
			return other;
	}
	return NULL;
}

static void
take_certificate(struct reading *r, X509 *shared)
{
	must(X509_up_ref(shared) == 1);
	key_store_add(&r->found, &shared);
}

/* Up to the CA; one that has signed itself need not be sent. */
static void
take_chain(struct store *s)
{
	struct reading *r = s->reading;
	X509 *x = key_store_own(&r->found);

	for (unsigned i = 0; i < TLS_STORE_CHAIN_MAX; i++) {
		x = issuer_of(s, x);
		if (x == NULL || X509_check_issued(x, x) == X509_V_OK)
			return;
		take_certificate(r, x);
	}
}

static bool
take_entry(struct store *s)
{
	struct reading *r = s->reading;
	struct item *key = choose_entry(s);
	X509 *own;

	if (key == NULL)
		return false;
	if (key->key == NULL)
		return complain(r,
		    "the private key '%s' does not open; mend "
		    "https.keyManagerPassword",
		    key->alias != NULL ? key->alias : "");
	own = certificate_of(s, key);
	if (own == NULL)
		return complain(r,
		    "the private key's certificate is not in "
		    "it; export both together");
	take_certificate(r, own);
	r->found.key = key->key;
	key->key = NULL;
	take_chain(s);
	return true;
}

static bool
opens(PKCS12 *pkcs12, const char *password)
{
	if (PKCS12_mac_present(pkcs12) == 0)
		return true;
	return PKCS12_verify_mac(pkcs12, password, -1) == 1 ||
	    (*password == '\0' && PKCS12_verify_mac(pkcs12, NULL, 0) == 1);
}

static void
free_store(struct store *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		EVP_PKEY_free(s->items[i].key);
		X509_free(s->items[i].certificate);
		OPENSSL_free(s->items[i].alias);
	}
	for (unsigned i = 0; i < s->bags_count; i++)
		sk_PKCS12_SAFEBAG_pop_free(s->bags[i], PKCS12_SAFEBAG_free);
	sk_PKCS7_pop_free(s->safes, PKCS7_free);
	PKCS12_free(s->pkcs12);
	free(s);
}

static bool
read_store(struct reading *r)
{
	const struct buf *bytes = &r->file->bytes;
	const unsigned char *at = (const unsigned char *)bytes->bytes;
	const char *password = r->conf->https_key_store_password;
	struct store *s = must_calloc(1, sizeof *s);
	bool good;

	s->reading = r;
	s->pkcs12 = d2i_PKCS12(NULL, &at, (long)bytes->used);
	if (s->pkcs12 == NULL)
		good = complain(r, "neither PEM nor PKCS#12; give one of them");
	else if (!opens(s->pkcs12, password))
		good = complain(r, "the key store does not open; %s",
		    *password != '\0' ? "mend https.keyStorePassword"
				      : "give https.keyStorePassword");
	else if (!take_safes(s))
		good = complain(r,
		    "the key store cannot be read (%s); make "
		    "it anew",
		    key_store_reason());
	else
		good = take_entry(s);
	free_store(s);
	return good;
}

/*
 * Both.
 */

static bool
read_files(struct reading *r, const struct tls_store_file *key)
{
	char *conversion = key_store_conversion(&r->file->bytes, r->file->path);

	if (conversion != NULL) {
		complain(r,
		    "a key store that only Java reads; convert it with: %s",
		    conversion);
		free(conversion);
		return false;
	}
	if (!key_store_is_pem(&r->file->bytes))
		return read_store(r);
	if (!read_certificates(r))
		return false;
	if (key != NULL)
		r->file = key;
	return read_key(r);
}

static void
check_dates(const struct reading *r)
{
	const X509 *own = key_store_own(&r->found);
	const ASN1_TIME *end = X509_get0_notAfter(own);
	char subject[256], date[32] = "?";
	struct tm tm;
	const char *what = NULL;
	int days, seconds;

	if (X509_cmp_current_time(X509_get0_notBefore(own)) > 0)
		what = "is not valid yet; look at the clock of this machine";
	else if (X509_cmp_current_time(end) < 0)
		what = "has expired; clients will not take it, renew it and "
		       "reload";
	else if (ASN1_TIME_diff(&days, &seconds, NULL, end) == 1 &&
	    days < EXPIRES_SOON_DAYS)
		what = "expires soon; renew it and reload";
	if (what == NULL)
		return;
	if (ASN1_TIME_to_tm(end, &tm) == 1)
		strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
	conf_warning_of(r->problems, r->conf, r->file->property,
	    "%s: the certificate %s (until %s) %s", r->file->path,
	    subject_of(own, subject), date, what);
}

/* What would fail in every handshake. */
static bool
check_pair(struct reading *r)
{
	char subject[256];

	if (!key_store_is_pair(&r->found))
		return complain(r,
		    "the private key is not that of the certificate %s; the "
		    "first certificate must be the key's",
		    subject_of(key_store_own(&r->found), subject));
	check_dates(r);
	return true;
}

bool
tls_store_read(const struct conf *conf, const struct tls_store_file *file,
    const struct tls_store_file *key, struct buf *pem,
    struct conf_problems *problems)
{
	struct reading r = { .conf = conf, .problems = problems, .file = file };
	char *text;
	bool good;

	key_store_init(&r.found);
	good = read_files(&r, key) && check_pair(&r);
	if (good) {
		text = key_store_pem(&r.found, true);
		buf_add_text(pem, text);
		explicit_bzero(text, strlen(text));
		free(text);
	}
	key_store_fini(&r.found);
	return good;
}

/*
 * key_store - certificates and a private key, in the files that hold them
 *
 * Process: vault's reader, and tranqctl by way of trust_store.
 *
 * What is alike for HTTPS in (tls_store) and TLS towards Druid (trust_store).
 * Which entries of a PKCS#12 store are taken, and what is wrong with a file in
 * the words of its property, is theirs.
 */
#pragma once

#include <openssl/x509.h>

#include "base.h"
#include "buf.h"

struct key_store {
	STACK_OF(X509) * certificates; /* ours comes first */
	EVP_PKEY *key; /* ours, or NULL */
	OSSL_PROVIDER *legacy; /* NULL: this OpenSSL is without */
};

/* Empty, and OpenSSL ready for what Java has written. */
void key_store_init(struct key_store *);
void key_store_fini(struct key_store *);

/* Behind the others; it is the store's then. */
void key_store_add(struct key_store *, X509 **);
/* The first certificate, the store's; NULL: there is none. */
X509 *key_store_own(const struct key_store *);
/* Whether the first certificate is the key's; there must be both. */
bool key_store_is_pair(const struct key_store *);
/* All certificates, then with `with_key` the key without a password, as PEM,
 * new. */
char *key_store_pem(const struct key_store *, bool with_key) MUST_CHECK;

/*
 * A file's bytes.
 */

/* For a store of Java's own kinds (JKS, JCEKS), which OpenSSL does not read:
 * the command that makes PKCS#12 of it, new; else NULL. */
char *key_store_conversion(const struct buf *, const char *path) MUST_CHECK;

bool key_store_is_pem(const struct buf *);
/* Adds those of a PEM file. False: one cannot be read (key_store_reason), or
 * now there are `max` and the rest has not been looked at. */
bool key_store_read_certificates(
    struct key_store *, const struct buf *, int max) MUST_CHECK;
/* The first key of a PEM file. An empty password is none. False: there is no
 * key, or it does not open (key_store_reason). */
bool key_store_read_key(
    struct key_store *, const struct buf *, const char *password) MUST_CHECK;

/* Why OpenSSL's last call failed; a constant. */
const char *key_store_reason(void);

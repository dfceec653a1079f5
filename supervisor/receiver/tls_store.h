/*
 * tls_store - our certificate and its key, out of PEM files or PKCS#12
 *
 * Process: supervisor, at start, reload and `tranqd check`. Pure but for the
 * clock that certificates are compared with. With OpenSSL.
 */
#pragma once

#include "base.h"
#include "buf.h"
#include "conf.h"

#define TLS_STORE_CHAIN_MAX 16 /* certificates behind ours */

/* A file's bytes, and the property and path that name it. */
struct tls_store_file {
	const char *property, *path;
	struct buf bytes;
};

/*
 * Adds to `pem`: our certificate, those behind it, the key without a password.
 * key: NULL when it is in the first file. PKCS#12 and PEM are told apart by
 * how the file begins; a key store of Java's own kinds is refused with the
 * command that converts it. False: problems. A certificate that is not valid
 * now is a warning, since it may be by the time it is used, or be renewed.
 */
bool tls_store_read(const struct conf *, const struct tls_store_file *,
    const struct tls_store_file *key, struct buf *pem,
    struct conf_problems *) MUST_CHECK;

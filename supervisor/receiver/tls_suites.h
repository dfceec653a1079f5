/*
 * tls_suites - protocols and cipher suites, as Jetty takes them, for OpenSSL
 *
 * Process: supervisor (to check), receiver. Pure.
 */
#pragma once

#include "base.h"
#include "conf.h"

struct tls_suites {
	bool has_tls12, has_tls13; /* one at least */
	/* as SSL_CTX_set_cipher_list and SSL_CTX_set_ciphersuites read them;
	 * empty where the protocol is not there */
	char *tls12, *tls13;
	bool is_ordered; /* by the user, the best first */
};

/*
 * What https.{include,exclude}{Protocols,CipherSuites} say. Protocols have
 * Java's names. A cipher suite is chosen by its name, the standard one
 * (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) or OpenSSL's, or by a regular
 * expression (POSIX extended) that fits the whole of one. Excluded ones are
 * out, whatever is included. False: problems; nothing is to be freed.
 */
bool tls_suites_select(const struct conf *, struct tls_suites *,
    struct conf_problems *) MUST_CHECK;
void tls_suites_free(struct tls_suites *);

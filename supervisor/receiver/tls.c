/*
 * tls - HTTPS: a connection's bytes to and from TLS 1.2 and 1.3
 *
 * Process: receiver.
 *
 * OpenSSL keeps one queue of errors for all sessions, and tells from it what
 * a call's failure was: it is emptied before each call.
 */
#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key_store.h"
#include "panic.h"

#include "tls_suites.h"

#define CLIENT_CHAIN_MAX 10
#define CLIENT_CHAIN_BYTES_MAX (32 * 1024)
/* In one read: the others want a turn too, however small the records are, or
 * whatever else they are about than data. */
#define RECORDS_A_READ 128

struct tls {
	SSL_CTX *ctx;
};

struct tls_session {
	SSL *ssl;
	bool is_up; /* the handshake is over */
	bool is_over; /* the other side sends no more, or it broke */
	bool has_more; /* records that the last read has left */
	bool is_broken;
	bool wants_write;
};

/*
 * How connections are made.
 */

static bool
use_suites(SSL_CTX *ctx, const struct conf *conf, struct conf_problems *p)
{
	struct tls_suites s;
	bool good;

	if (!tls_suites_select(conf, &s, p))
		return false;
	good = SSL_CTX_set_min_proto_version(
		   ctx, s.has_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) == 1 &&
	    SSL_CTX_set_max_proto_version(
		ctx, s.has_tls13 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1 &&
	    (!s.has_tls12 || SSL_CTX_set_cipher_list(ctx, s.tls12) == 1) &&
	    (!s.has_tls13 || SSL_CTX_set_ciphersuites(ctx, s.tls13) == 1);
	if (s.is_ordered)
		SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	tls_suites_free(&s);
	if (!good)
		conf_problem_of(p, conf, "https.includeCipherSuites",
		    "OpenSSL does not take them (%s); choose others",
		    key_store_reason());
	return good;
}

static BIO *
bio_of(const char *bytes, size_t count)
{
	BIO *bio = BIO_new_mem_buf(bytes, (int)count);

	must_afford(bio != NULL);
	return bio;
}

static bool
use_chain(SSL_CTX *ctx, const struct tls_material *m)
{
	BIO *bio = bio_of(m->pem, m->pem_bytes);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	bool good = x != NULL && SSL_CTX_use_certificate(ctx, x) == 1;

	X509_free(x);
	while (good && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		good = SSL_CTX_add0_chain_cert(ctx, x) == 1;
		if (!good)
			X509_free(x);
	}
	BIO_free(bio);
	return good;
}

static bool
use_key(SSL_CTX *ctx, const struct tls_material *m)
{
	BIO *bio = bio_of(m->pem, m->pem_bytes);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	bool good = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
	    SSL_CTX_check_private_key(ctx) == 1;

	EVP_PKEY_free(key);
	BIO_free(bio);
	return good;
}

static bool
use_certificate(SSL_CTX *ctx, const struct conf *conf,
    const struct tls_material *m, struct conf_problems *p)
{
	if (use_chain(ctx, m) && use_key(ctx, m))
		return true;
	conf_problem_of(p, conf,
	    *conf->https_key_store_path != '\0' ? "https.keyStorePath"
						: "https.certificateFile",
	    "OpenSSL does not take the certificate or its key (%s); get "
	    "another one",
	    key_store_reason());
	return false;
}

/* Any certificate of the file is trusted, an intermediate CA's too. */
static int
add_client_cas(SSL_CTX *ctx, const struct tls_material *m)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	BIO *bio = bio_of(m->client_ca, m->client_ca_bytes);
	int count = 0;
	X509 *x;

	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		count += X509_STORE_add_cert(store, x) == 1 &&
		    SSL_CTX_add_client_CA(ctx, x) == 1;
		X509_free(x);
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		count = -1;
	BIO_free(bio);
	return count;
}

static bool
use_client_ca(SSL_CTX *ctx, const struct conf *conf,
    const struct tls_material *m, struct conf_problems *p)
{
	int count, mode = SSL_VERIFY_PEER;

	if (m->client_ca_bytes == 0)
		return true;
	ERR_clear_error();
	count = add_client_cas(ctx, m);
	if (count <= 0) {
		conf_problem_of(p, conf, "https.clientCA",
		    count < 0 ? "%s: a certificate in it cannot be read; make "
				"the file anew"
			      : "%s: no certificate is in it; put those of "
				"the CAs there, in PEM",
		    conf->https_client_ca);
		return false;
	}
	if (strcmp(conf->https_client_auth, "need") == 0)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	SSL_CTX_set_verify(ctx, mode, NULL);
	SSL_CTX_set_verify_depth(ctx, CLIENT_CHAIN_MAX);
	return true;
}

/* RFC 7301: a client that offers something else only is told so. */
static int
choose_protocol(SSL *ssl UNUSED, const unsigned char **out,
    unsigned char *out_bytes, const unsigned char *offered,
    unsigned offered_bytes, void *context UNUSED)
{
	static const unsigned char ours[] = "\x08http/1.1\x08http/1.0";
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, out_bytes, ours, sizeof ours - 1,
		offered, offered_bytes) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* A session that is taken up again is in its ticket, nothing of it is kept
 * here. */
static void
use_tickets(SSL_CTX *ctx, const struct tls_material *m)
{
	static const unsigned char name[] = "tranqd";
	unsigned char keys[TLS_TICKET_KEY_BYTES];

	memcpy(keys, m->tickets, sizeof keys);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	must(SSL_CTX_set_session_id_context(ctx, name, sizeof name - 1) == 1);
	must(SSL_CTX_set_tlsext_ticket_keys(ctx, keys, sizeof keys) == 1);
	must(SSL_CTX_set_num_tickets(ctx, 1) == 1);
	explicit_bzero(keys, sizeof keys);
}

static void
set_manners(SSL_CTX *ctx)
{
	/* A body that is cut short is refused by its own framing, so an end
	 * without a good-bye is an end. */
	SSL_CTX_set_options(ctx,
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
		SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	/* a read comes back behind each record, with data in it or not */
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_BYTES_MAX);
	SSL_CTX_set_dh_auto(ctx, 1);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
}

struct tls *
tls_new(const struct conf *conf, const struct tls_material *m,
    struct conf_problems *p)
{
	struct tls *t;
	SSL_CTX *ctx;

	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_server_method());
	if (ctx == NULL) {
		conf_problem_of(p, conf, "https.port.enable",
		    "OpenSSL cannot be used (%s); look at its openssl.cnf",
		    key_store_reason());
		return NULL;
	}
	set_manners(ctx);
	if (!use_suites(ctx, conf, p) || !use_certificate(ctx, conf, m, p) ||
	    !use_client_ca(ctx, conf, m, p)) {
		SSL_CTX_free(ctx);
		ERR_clear_error();
		return NULL;
	}
	use_tickets(ctx, m);
	ERR_clear_error();
	t = must_calloc(1, sizeof *t);
	t->ctx = ctx;
	return t;
}

void
tls_free(struct tls **tls)
{
	if (*tls == NULL)
		return;
	SSL_CTX_free((*tls)->ctx);
	free(*tls);
	*tls = NULL;
}

/*
 * One connection's.
 */

struct tls_session *
tls_open(struct tls *t, int fd)
{
	struct tls_session *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->ssl = SSL_new(t->ctx);
	if (s->ssl == NULL || SSL_set_fd(s->ssl, fd) != 1) {
		SSL_free(s->ssl);
		free(s);
		return NULL;
	}
	SSL_set_accept_state(s->ssl);
	return s;
}

/* OpenSSL's answer to a call that gave nothing, in errno's words. */
static ssize_t
outcome(struct tls_session *s, int result)
{
	int error = errno;

	switch (SSL_get_error(s->ssl, result)) {
	case SSL_ERROR_WANT_WRITE:
		s->wants_write = true;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_READ: errno = EAGAIN; return -1;
	case SSL_ERROR_ZERO_RETURN: s->is_over = true; return 0;
	case SSL_ERROR_SYSCALL:
		s->is_over = s->is_broken = true;
		errno = error != 0 && error != EAGAIN ? error : ECONNRESET;
		return -1;
	default:
		s->is_over = s->is_broken = true;
		errno = EPROTO;
		return -1;
	}
}

/* The reason of a failed handshake, the certificate's before the library's. */
static void
explain(const struct tls_session *s, char why[static TLS_WHY_BYTES])
{
	long verified = SSL_get_verify_result(s->ssl);

	if (verified != X509_V_OK)
		snprintf(why, TLS_WHY_BYTES, "client's certificate: %s",
		    X509_verify_cert_error_string(verified));
	else if (ERR_peek_error() != 0)
		snprintf(why, TLS_WHY_BYTES, "%s",
		    ERR_reason_error_string(ERR_peek_error()) != NULL
			? ERR_reason_error_string(ERR_peek_error())
			: "a fault in the protocol");
	else
		snprintf(why, TLS_WHY_BYTES, "the client has gone");
}

enum tls_result
tls_handshake(struct tls_session *s, char why[static TLS_WHY_BYTES])
{
	bool is_plain;
	int result;

	ERR_clear_error();
	errno = 0;
	s->wants_write = false;
	result = SSL_do_handshake(s->ssl);
	if (result == 1) {
		s->is_up = true;
		return TLS_DONE;
	}
	if (outcome(s, result) < 0 && errno == EAGAIN)
		return TLS_WAITS;
	s->is_broken = true;
	is_plain = ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST;
	explain(s, why);
	ERR_clear_error();
	return is_plain ? TLS_PLAIN : TLS_FAILED;
}

/* A record without data was read, and the socket was not asked in vain. */
static bool
is_between(const struct tls_session *s, int result)
{
	return errno == 0 &&
	    SSL_get_error(s->ssl, result) == SSL_ERROR_WANT_READ;
}

ssize_t
tls_read(struct tls_session *s, void *to, size_t room)
{
	size_t used = 0, n;

	s->has_more = s->wants_write = false;
	if (s->is_broken) {
		errno = ECONNRESET;
		return -1;
	}
	for (unsigned i = 0; used < room && i < RECORDS_A_READ; i++) {
		ssize_t end;
		int result;

		ERR_clear_error();
		errno = 0;
		result =
		    SSL_read_ex(s->ssl, (char *)to + used, room - used, &n);
		if (result == 1) {
			used += n;
			continue;
		}
		if (is_between(s, result))
			continue;
		end = outcome(s, result);
		/* an end is told by the next call */
		return used > 0 ? (ssize_t)used : end;
	}
	s->has_more = true;
	errno = EINTR;
	return used > 0 ? (ssize_t)used : -1;
}

ssize_t
tls_write(struct tls_session *s, const void *bytes, size_t count)
{
	size_t used = 0, n;
	int result;

	if (s->is_broken) {
		errno = ECONNRESET;
		return -1;
	}
	while (used < count) {
		bool wanted = s->wants_write; /* by a read */

		ERR_clear_error();
		errno = 0;
		result = SSL_write_ex(
		    s->ssl, (const char *)bytes + used, count - used, &n);
		if (result != 1) {
			bool was_over = s->is_over;
			ssize_t end = outcome(s, result);

			s->wants_write = wanted;
			s->is_over = was_over || s->is_broken;
			if (used > 0)
				return (ssize_t)used;
			if (end == 0)
				errno = EPIPE;
			return -1;
		}
		used += n;
	}
	return (ssize_t)used;
}

bool
tls_has_more(const struct tls_session *s)
{
	return s->is_over || s->has_more;
}

bool
tls_wants_write(const struct tls_session *s)
{
	return s->wants_write;
}

void
tls_end(struct tls_session *s)
{
	if (!s->is_up || s->is_broken)
		return;
	ERR_clear_error();
	(void)SSL_shutdown(s->ssl); /* whether it got out or not */
	s->is_up = false;
}

void
tls_close(struct tls_session **session)
{
	struct tls_session *s = *session;

	*session = NULL;
	if (s == NULL)
		return;
	tls_end(s);
	SSL_free(s->ssl);
	ERR_clear_error();
	free(s);
}

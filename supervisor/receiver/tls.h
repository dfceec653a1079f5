/*
 * tls - HTTPS: a connection's bytes to and from TLS 1.2 and 1.3
 *
 * Process: receiver; the supervisor makes a `struct tls` to check it. With
 * OpenSSL. Sockets are not blocking; a session never waits.
 * Owns:    no socket.
 */
#pragma once

#include <sys/types.h>

#include "base.h"
#include "conf.h"

#define TLS_TICKET_KEY_BYTES 80
#define TLS_WHY_BYTES 160

struct tls; /* how connections are made: certificate, protocols, suites */
struct tls_session; /* one connection's */

/* What comes from files: certificate, chain and key (tls_store.h), the CAs
 * of clients (0 bytes: none are asked), both in PEM; and what session tickets
 * are encrypted with, the same in all receivers. */
struct tls_material {
	const char *pem, *client_ca;
	size_t pem_bytes, client_ca_bytes;
	unsigned char tickets[TLS_TICKET_KEY_BYTES];
};

/* NULL: problems. */
struct tls *tls_new(const struct conf *, const struct tls_material *,
    struct conf_problems *) MUST_CHECK;
/* Its sessions live on. */
void tls_free(struct tls **);

enum tls_result {
	TLS_DONE,
	TLS_WAITS,
	TLS_FAILED,
	TLS_PLAIN, /* failed: the client speaks plain HTTP */
};

/* NULL: no memory. */
struct tls_session *tls_open(struct tls *, int fd) MUST_CHECK;
/* Says good-bye to the other side, if it is still there. */
void tls_close(struct tls_session **);
/* To be called again when the socket is ready for anything. FAILED: why. */
enum tls_result
tls_handshake(struct tls_session *, char why[static TLS_WHY_BYTES]);
/* As recv and send are: bytes, 0 at the end, -1 with errno (EINTR: nothing yet,
 * but more is there). Less than was asked for: nothing more is there now,
 * unless tls_has_more. After EAGAIN of a write the same bytes come again
 * first, at any place. */
ssize_t tls_read(struct tls_session *, void *, size_t);
ssize_t tls_write(struct tls_session *, const void *, size_t);
/* The next read tells more, or the end, whatever the socket says. */
bool tls_has_more(const struct tls_session *);
/* A read waits for room to write. */
bool tls_wants_write(const struct tls_session *);
/* Nothing more will be written. */
void tls_end(struct tls_session *);

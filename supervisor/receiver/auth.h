/*
 * auth - who may send events: Authorization against a file of hashes
 *
 * Process: receiver; the supervisor makes one to check the file.
 * RFC 7617 (Basic), RFC 6750 (Bearer, in the header only).
 *
 * A line of the file is NAME:HASH, as htpasswd writes it; empty ones and
 * those that begin with # are skipped. HASH is what crypt(3) makes of a
 * password ($6$, $5$, $y$, $2b$, $2y$: Basic), or sha256:HEX, of a token that
 * is long and random (Bearer).
 *
 * A slow hash is computed when a password comes for the first time. What came
 * of it is remembered under a keyed hash, for as many as AUTH_GOOD_MAX right
 * and AUTH_BAD_MAX wrong ones. Hashing has a budget (hash_budget.h): beyond it
 * an unknown password has to wait, those that are remembered have not. So
 * nobody can keep others out who are in.
 */
#pragma once

#include "base.h"
#include "conf.h"
#include "secret_hash.h"

#define AUTH_LINES_MAX 10000
#define AUTH_GOOD_MAX 4096
#define AUTH_BAD_MAX 256
/* Larger credentials are wrong ones. */
#define AUTH_CREDENTIALS_MAX 1024
/* Hashes that would hold a receiver for longer than about half a second are
 * refused when the file is read. */
#define AUTH_SHA_ROUNDS_MAX 1000000u
#define AUTH_BCRYPT_COST_MAX 12u

struct auth;

enum auth_result {
	AUTH_GOOD,
	AUTH_BAD,
	AUTH_BUSY, /* ask again: too many unknown passwords come */
};

/* From the text of http.auth.file; one reference is the caller's. NULL:
 * problems. */
struct auth *auth_new(const struct conf *, const char *text, size_t bytes,
    struct conf_problems *) MUST_CHECK;
/* Whether it was made from this text. */
bool auth_is_from(const struct auth *, const char *text, size_t bytes);
struct auth *auth_hold(struct auth *);
void auth_release(struct auth **);

/* value: of the field Authorization; NULL: there is none. */
enum auth_result
auth_check(struct auth *, const char *value, size_t bytes, int64_t now_ms);
/* A hash of who that is that auth_check found good: of a user's name, or of a
 * token. */
void auth_who(
    const char *value, size_t bytes, uint8_t who[static SECRET_HASH_BYTES]);
/* What 401 is to ask for: fields WWW-Authenticate, each with CRLF. */
const char *auth_challenge(const struct auth *);
/* How often a slow hash was computed. */
uint64_t auth_hashes(const struct auth *);

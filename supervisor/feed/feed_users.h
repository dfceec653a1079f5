/*
 * feed_users - who may read the feed: names and what is kept of passwords
 *
 * Process: feed; the supervisor makes one to check the file. Pure.
 *
 * A line of the file is NAME:SECRET (scram.h), a name may have one of each
 * kind; empty lines and those that begin with # are skipped.
 *
 * With SCRAM it is the client who hashes. Passwords that are sent (PLAIN) are
 * hashed here: those that were right are remembered under a keyed hash, and
 * hashing of others has a budget (hash_budget.h).
 */
#pragma once

#include "conf.h"
#include "scram.h"

#define FEED_USERS_LINES_MAX 10000
#define FEED_USERS_NAME_MAX 255
#define FEED_USERS_PASSWORD_MAX 1024
#define FEED_USERS_REMEMBERED 64

struct feed_users;

enum feed_users_result {
	FEED_USERS_GOOD,
	FEED_USERS_BAD,
	FEED_USERS_BUSY, /* ask again: too many unknown passwords come */
};

/* From the text of the file `path` (for problems). NULL: problems. */
struct feed_users *feed_users_new(const char *path, const char *text,
    size_t bytes, struct conf_problems *) MUST_CHECK;
void feed_users_free(struct feed_users **);
/* Whether anybody has a secret of that kind. */
bool feed_users_have(const struct feed_users *, enum scram_hash);
/* A copy; for a name that has none (false), of one that nobody knows, with as
 * many iterations as others have. */
bool feed_users_secret(const struct feed_users *, enum scram_hash,
    const char *name, size_t bytes, struct scram_secret *);
/* Whether that is the password. Neither is longer than its bound. */
enum feed_users_result feed_users_check(struct feed_users *, const char *name,
    size_t name_bytes, const char *password, size_t bytes, int64_t now_ms);

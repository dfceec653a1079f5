/*
 * auth - who may send events: Authorization against a file of hashes
 *
 * Process: receiver.
 */
#include "auth.h"

#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base64.h"
#include "clock.h"
#include "panic.h"

#include "hash_budget.h"
#include "secret_hash.h"

#define PROPERTY "http.auth.file"
#define WAYS 4u
#define TOKEN_MARK "sha256:"

struct user {
	char *name, *hash; /* of crypt(3) */
};

/* Credentials that were looked at, by their keyed hash. The ways of a set are
 * filled in turn. */
struct seen_set {
	uint8_t keys[WAYS][SECRET_HASH_BYTES];
	uint8_t used, next;
};

struct auth {
	unsigned references;
	uint8_t text_hash[SECRET_HASH_BYTES];
	struct secret_hash_key *key;
	struct user *users; /* sorted by name */
	/* keyed hashes of the tokens' hashes, sorted */
	uint8_t (*tokens)[SECRET_HASH_BYTES];
	unsigned user_count, token_count;
	struct seen_set good[AUTH_GOOD_MAX / WAYS], bad[AUTH_BAD_MAX / WAYS];
	struct crypt_data crypt;
	struct hash_budget budget;
	uint64_t hashes;
	char challenge[160];
};

/* The file while it is read. */
struct reading {
	const struct conf *conf;
	struct conf_problems *problems;
	struct auth *auth;
	unsigned line;
};

/*
 * The file.
 */

/* rounds=N$, or nothing for the usual 5000. */
static bool
is_sha_cheap(const char *cost)
{
	return strncmp(cost, "rounds=", 7) != 0 ||
	    strtoul(cost + 7, NULL, 10) <= AUTH_SHA_ROUNDS_MAX;
}

/* Two digits: the logarithm of its rounds. */
static bool
is_bcrypt_cheap(const char *cost)
{
	return strtoul(cost, NULL, 10) <= AUTH_BCRYPT_COST_MAX;
}

/* As crypt_gensalt makes it: j, memory, block size. */
static bool
is_yescrypt_cheap(const char *cost)
{
	static const char memory[] = "./0123456789AB"; /* up to 64 MiB */

	return cost[0] == 'j' && cost[1] != '\0' &&
	    strchr(memory, cost[1]) != NULL && cost[2] != '\0' &&
	    cost[2] <= 'T' && cost[3] == '$';
}

/* The kinds of crypt(3) that are strong enough, and how long the hash behind
 * the last '$' is. */
static const struct kind {
	const char *begin;
	size_t tail_bytes;
	bool (*is_cheap)(const char *cost);
} kinds[] = {
	{ "$6$", 86, is_sha_cheap },
	{ "$5$", 43, is_sha_cheap },
	{ "$y$", 43, is_yescrypt_cheap },
	{ "$2b$", 53, is_bcrypt_cheap },
	{ "$2y$", 53, is_bcrypt_cheap },
};

/* NULL: none, or damaged. */
static const struct kind *
kind_of(const char *hash)
{
	int salt = crypt_checksalt(hash);

	/* the list says what is strong enough; $5$ is called old by some */
	if (salt != CRYPT_SALT_OK && salt != CRYPT_SALT_METHOD_LEGACY)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strncmp(hash, kinds[i].begin, strlen(kinds[i].begin)) ==
			0 &&
		    strlen(strrchr(hash, '$') + 1) == kinds[i].tail_bytes)
			return &kinds[i];
	return NULL;
}

static int
digit_of(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(digits, c | 0x20) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

static bool
read_hex(const char *text, uint8_t out[static SECRET_HASH_BYTES])
{
	if (strlen(text) != (size_t)2 * SECRET_HASH_BYTES)
		return false;
	for (size_t i = 0; i < SECRET_HASH_BYTES; i++) {
		int high = digit_of(text[2 * i]);
		int low = digit_of(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high * 16 + low);
	}
	return true;
}

/* The hash is not shown: it is nobody's business. */
static void
complain(struct reading *r, const char *what)
{
	conf_problem_of(r->problems, r->conf, PROPERTY, "%s: line %u: %s",
	    r->conf->http_auth_file, r->line, what);
}

static void
add_token(struct reading *r, const char *hex)
{
	struct auth *a = r->auth;
	uint8_t hash[SECRET_HASH_BYTES];

	if (!read_hex(hex, hash)) {
		complain(r,
		    "sha256: is not followed by 64 hexadecimal "
		    "digits; make them with 'printf %s TOKEN | "
		    "sha256sum'");
		return;
	}
	a->tokens =
	    must_realloc(a->tokens, (a->token_count + 1) * sizeof a->tokens[0]);
	secret_hash_keyed(
	    a->key, hash, sizeof hash, a->tokens[a->token_count++]);
}

static void
add_user(struct reading *r, const char *name, char *hash)
{
	struct auth *a = r->auth;
	const struct kind *kind;

	hash[strcspn(hash, ":")] = '\0'; /* a comment, as htpasswd has it */
	kind = kind_of(hash);
	if (kind == NULL) {
		complain(r,
		    "a hash of a kind that is not taken, or a damaged "
		    "one; make one with 'openssl passwd -6' or "
		    "'htpasswd -nB NAME'");
		return;
	}
	if (!kind->is_cheap(hash + strlen(kind->begin))) {
		complain(r,
		    "a hash that takes too long to compute for each new "
		    "client; make one with fewer rounds");
		return;
	}
	a->users =
	    must_realloc(a->users, (a->user_count + 1) * sizeof a->users[0]);
	a->users[a->user_count].name = must_strdup(name);
	a->users[a->user_count++].hash = must_strdup(hash);
}

static void
read_line(struct reading *r, char *line)
{
	size_t bytes = strlen(line);
	char *colon;

	while (bytes > 0 && strchr(" \t\r", line[bytes - 1]) != NULL)
		line[--bytes] = '\0';
	line += strspn(line, " \t");
	if (*line == '\0' || *line == '#')
		return;
	colon = strchr(line, ':');
	if (colon == NULL || colon == line) {
		complain(r, "not NAME:HASH; write one entry a line");
		return;
	}
	*colon = '\0';
	if (strncmp(colon + 1, TOKEN_MARK, sizeof TOKEN_MARK - 1) == 0)
		add_token(r, colon + sizeof TOKEN_MARK);
	else
		add_user(r, line, colon + 1);
}

static int
compare_users(const void *a, const void *b)
{
	return strcmp(
	    ((const struct user *)a)->name, ((const struct user *)b)->name);
}

static int
compare_tokens(const void *a, const void *b)
{
	return memcmp(a, b, SECRET_HASH_BYTES);
}

static void
read_lines(struct reading *r, const char *text, size_t bytes)
{
	char *copy = must_malloc(bytes + 1), *rest = copy, *line;

	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (++r->line > AUTH_LINES_MAX) {
			complain(r,
			    "one more than are read; spread the users "
			    "over several instances");
			break;
		}
		read_line(r, line);
	}
	explicit_bzero(copy, bytes);
	free(copy);
}

static void
finish(struct reading *r)
{
	struct auth *a = r->auth;

	if (a->user_count > 0)
		qsort(
		    a->users, a->user_count, sizeof a->users[0], compare_users);
	if (a->token_count > 0)
		qsort(a->tokens, a->token_count, sizeof a->tokens[0],
		    compare_tokens);
	for (unsigned i = 1; i < a->user_count; i++)
		if (compare_users(&a->users[i - 1], &a->users[i]) == 0)
			conf_problem_of(r->problems, r->conf, PROPERTY,
			    "%s: '%.80s' is there twice; take one out",
			    r->conf->http_auth_file, a->users[i].name);
	snprintf(a->challenge, sizeof a->challenge, "%s%s",
	    a->user_count > 0 ? "WWW-Authenticate: Basic realm=\"tranqd\", "
				"charset=\"UTF-8\"\r\n"
			      : "",
	    a->token_count > 0 ? "WWW-Authenticate: Bearer realm=\"tranqd\"\r\n"
			       : "");
}

struct auth *
auth_new(const struct conf *conf, const char *text, size_t bytes,
    struct conf_problems *problems)
{
	struct auth *a = must_calloc(1, sizeof *a);
	struct reading r = { .conf = conf, .problems = problems, .auth = a };
	unsigned before = problems->count;

	a->references = 1;
	a->key = secret_hash_key_new();
	hash_budget_init(&a->budget);
	secret_hash(text, bytes, a->text_hash);
	read_lines(&r, text, bytes);
	finish(&r);
	if (problems->count == before && a->user_count + a->token_count == 0)
		conf_problem_of(problems, conf, PROPERTY,
		    "%s: nobody is in it, so nobody could send events; write "
		    "NAME:HASH lines, or take the property out",
		    conf->http_auth_file);
	if (problems->count > before)
		auth_release(&a);
	return a;
}

bool
auth_is_from(const struct auth *a, const char *text, size_t bytes)
{
	uint8_t hash[SECRET_HASH_BYTES];

	secret_hash(text, bytes, hash);
	return memcmp(hash, a->text_hash, sizeof hash) == 0;
}

struct auth *
auth_hold(struct auth *a)
{
	a->references++;
	return a;
}

void
auth_release(struct auth **auth)
{
	struct auth *a = *auth;

	*auth = NULL;
	if (a == NULL || --a->references > 0)
		return;
	for (unsigned i = 0; i < a->user_count; i++) {
		free(a->users[i].name);
		free(a->users[i].hash);
	}
	free(a->users);
	free(a->tokens);
	secret_hash_key_free(&a->key);
	explicit_bzero(&a->crypt, sizeof a->crypt);
	free(a);
}

/*
 * Passwords that were looked at.
 */

static struct seen_set *
set_of(struct seen_set *sets, unsigned count, const uint8_t *key)
{
	return &sets[((unsigned)key[0] << 8 | key[1]) % count];
}

static bool
is_seen(const struct seen_set *set, const uint8_t *key)
{
	for (unsigned i = 0; i < set->used; i++)
		if (memcmp(set->keys[i], key, SECRET_HASH_BYTES) == 0)
			return true;
	return false;
}

static void
see(struct seen_set *set, const uint8_t *key)
{
	memcpy(set->keys[set->next], key, SECRET_HASH_BYTES);
	set->next = (uint8_t)((set->next + 1u) % WAYS);
	set->used = (uint8_t)MIN_OF(set->used + 1u, WAYS);
}

/* A name that is not there costs as much as one that is. */
static bool
is_password(struct auth *a, const char *name, const char *password)
{
	const struct user wanted = { .name = (char *)(uintptr_t)name };
	const struct user *user = bsearch(&wanted, a->users, a->user_count,
	    sizeof a->users[0], compare_users);
	const char *hash = (user != NULL ? user : &a->users[0])->hash;
	int64_t began = clock_mono_ns();
	const char *made = crypt_r(password, hash, &a->crypt);
	bool same = made != NULL && strlen(made) == strlen(hash) &&
	    secret_hash_same(made, hash, strlen(hash));

	a->hashes++;
	hash_budget_spend(&a->budget, clock_mono_ns() - began);
	return same && user != NULL;
}

/* text: NAME:PASSWORD, with a NUL behind it. */
static enum auth_result
check_password(struct auth *a, char *text, size_t bytes, int64_t now_ms)
{
	uint8_t key[SECRET_HASH_BYTES];
	struct seen_set *good, *bad;
	char *colon = memchr(text, ':', bytes);
	bool is_right;

	if (a->user_count == 0 || colon == NULL || strlen(text) != bytes)
		return AUTH_BAD;
	secret_hash_keyed(a->key, text, bytes, key);
	good = set_of(a->good, ARRAY_LEN(a->good), key);
	bad = set_of(a->bad, ARRAY_LEN(a->bad), key);
	if (LIKELY(is_seen(good, key)))
		return AUTH_GOOD;
	if (is_seen(bad, key))
		return AUTH_BAD;
	if (!hash_budget_has(&a->budget, now_ms))
		return AUTH_BUSY;
	*colon = '\0';
	is_right = is_password(a, text, colon + 1);
	see(is_right ? good : bad, key);
	return is_right ? AUTH_GOOD : AUTH_BAD;
}

/*
 * The field.
 */

static enum auth_result
check_basic(struct auth *a, const char *value, size_t bytes, int64_t now_ms)
{
	char text[AUTH_CREDENTIALS_MAX + 1];
	enum auth_result result = AUTH_BAD;
	size_t used;

	if (base64_read(value, bytes, text, &used)) {
		text[used] = '\0';
		result = check_password(a, text, used, now_ms);
	}
	explicit_bzero(text, sizeof text);
	return result;
}

static enum auth_result
check_bearer(struct auth *a, const char *value, size_t bytes)
{
	uint8_t hash[SECRET_HASH_BYTES], key[SECRET_HASH_BYTES];

	secret_hash(value, bytes, hash);
	secret_hash_keyed(a->key, hash, sizeof hash, key);
	return a->token_count > 0 &&
		bsearch(key, a->tokens, a->token_count, sizeof a->tokens[0],
		    compare_tokens) != NULL
	    ? AUTH_GOOD
	    : AUTH_BAD;
}

/* The scheme's name, and at least one space behind it: how much to skip, or
 * 0. */
static size_t
scheme_bytes(const char *value, size_t bytes, const char *scheme)
{
	size_t n = strlen(scheme);

	if (bytes <= n || strncasecmp(value, scheme, n) != 0 || value[n] != ' ')
		return 0;
	while (n < bytes && value[n] == ' ')
		n++;
	return n;
}

enum auth_result
auth_check(struct auth *a, const char *value, size_t bytes, int64_t now_ms)
{
	size_t n;

	if (value == NULL || bytes > AUTH_CREDENTIALS_MAX)
		return AUTH_BAD;
	n = scheme_bytes(value, bytes, "Basic");
	if (n > 0)
		return check_basic(a, value + n, bytes - n, now_ms);
	n = scheme_bytes(value, bytes, "Bearer");
	if (n > 0)
		return check_bearer(a, value + n, bytes - n);
	return AUTH_BAD;
}

void
auth_who(const char *value, size_t bytes, uint8_t who[static SECRET_HASH_BYTES])
{
	char text[AUTH_CREDENTIALS_MAX + 1];
	size_t n = scheme_bytes(value, bytes, "Basic"), used;
	const char *colon;

	if (n > 0 && base64_read(value + n, bytes - n, text, &used) &&
	    (colon = memchr(text, ':', used)) != NULL) {
		secret_hash(text, (size_t)(colon - text), who);
	} else {
		n = scheme_bytes(value, bytes, "Bearer");
		secret_hash(value + n, bytes - n, who);
	}
	explicit_bzero(text, sizeof text);
}

const char *
auth_challenge(const struct auth *a)
{
	return a->challenge;
}

uint64_t
auth_hashes(const struct auth *a)
{
	return a->hashes;
}

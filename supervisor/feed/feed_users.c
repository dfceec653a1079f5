/*
 * feed_users - who may read the feed: names and what is kept of passwords
 *
 * Process: feed; the supervisor makes one to check the file.
 */
#include "feed_users.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "panic.h"
#include "hash_budget.h"
#include "secret_hash.h"

/* What a keyed hash is made of: name, a NUL, password. */
#define CREDENTIALS_MAX (FEED_USERS_NAME_MAX + 1 + FEED_USERS_PASSWORD_MAX)

struct user {
	char *name;
	struct scram_secret secret;
};

struct feed_users {
	struct user *users; /* sorted by name and kind */
	unsigned count;
	uint8_t pretence[SCRAM_BYTES_MAX];
	struct secret_hash_key *key;
	uint8_t good[FEED_USERS_REMEMBERED][SECRET_HASH_BYTES];
	unsigned good_count, good_next;
	struct hash_budget budget;
};

/* The file while it is read. */
struct reading {
	const char *path;
	struct conf_problems *problems;
	struct feed_users *users;
	unsigned line;
};

static void
complain(const struct reading *r, const char *what)
{
	conf_problem(r->problems, "%s, line %u: %s", r->path, r->line, what);
}

static void
read_line(struct reading *r, char *line)
{
	struct feed_users *u = r->users;
	struct scram_secret secret;
	size_t bytes = strlen(line);
	const char *why;
	char *colon;

	while (bytes > 0 && strchr(" \t\r", line[bytes - 1]) != NULL)
		line[--bytes] = '\0';
	line += strspn(line, " \t");
	if (*line == '\0' || *line == '#')
		return;
	colon = strchr(line, ':');
	if (colon == NULL || colon == line ||
	    colon - line > FEED_USERS_NAME_MAX) {
		complain(r, "not NAME:SECRET; write one entry a line");
		return;
	}
	*colon = '\0';
	why = scram_read(&secret, colon + 1);
	if (why != NULL) {
		complain(r, why);
		return;
	}
	u->users = must_realloc(u->users, (u->count + 1) * sizeof u->users[0]);
	u->users[u->count++] =
	    (struct user){ .name = must_strdup(line), .secret = secret };
}

static void
read_lines(struct reading *r, const char *text, size_t bytes)
{
	char *copy = must_malloc(bytes + 1), *rest = copy, *line;

	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (++r->line > FEED_USERS_LINES_MAX) {
			complain(r, "one more than are read");
			break;
		}
		read_line(r, line);
	}
	explicit_bzero(copy, bytes);
	free(copy);
}

static int
compare(const void *left, const void *right)
{
	const struct user *a = left, *b = right;
	int by_name = strcmp(a->name, b->name);

	return by_name != 0 ? by_name
			    : (int)a->secret.hash - (int)b->secret.hash;
}

static void
check_all(struct reading *r)
{
	const struct feed_users *u = r->users;

	for (unsigned i = 1; i < u->count; i++)
		if (compare(&u->users[i - 1], &u->users[i]) == 0)
			conf_problem(r->problems,
			    "%s: '%.80s' is there twice with %s; take one out",
			    r->path, u->users[i].name,
			    scram_name(u->users[i].secret.hash));
}

struct feed_users *
feed_users_new(const char *path, const char *text, size_t bytes,
    struct conf_problems *problems)
{
	struct feed_users *u = must_calloc(1, sizeof *u);
	struct reading r = { .path = path, .problems = problems, .users = u };
	unsigned before = problems->count;

	u->key = secret_hash_key_new();
	hash_budget_init(&u->budget);
	scram_random(u->pretence, sizeof u->pretence);
	read_lines(&r, text, bytes);
	if (u->count > 0)
		qsort(u->users, u->count, sizeof u->users[0], compare);
	check_all(&r);
	if (problems->count == before && u->count == 0)
		conf_problem(problems,
		    "%s: nobody is in it, so nobody could read; write "
		    "NAME:SECRET lines",
		    path);
	if (problems->count > before)
		feed_users_free(&u);
	return u;
}

void
feed_users_free(struct feed_users **users)
{
	struct feed_users *u = *users;

	*users = NULL;
	if (u == NULL)
		return;
	for (unsigned i = 0; i < u->count; i++)
		free(u->users[i].name);
	if (u->users != NULL)
		explicit_bzero(u->users, u->count * sizeof u->users[0]);
	free(u->users);
	secret_hash_key_free(&u->key);
	free(u);
}

/* NULL: nobody has a secret of that kind. */
static const struct user *
first_with(const struct feed_users *u, enum scram_hash hash)
{
	for (unsigned i = 0; i < u->count; i++)
		if (u->users[i].secret.hash == hash)
			return &u->users[i];
	return NULL;
}

bool
feed_users_have(const struct feed_users *u, enum scram_hash hash)
{
	return first_with(u, hash) != NULL;
}

static const struct user *
find(const struct feed_users *u, enum scram_hash hash, const char *name,
    size_t bytes)
{
	char text[FEED_USERS_NAME_MAX + 1];
	struct user wanted = { .name = text, .secret = { .hash = hash } };

	if (bytes > FEED_USERS_NAME_MAX || memchr(name, '\0', bytes) != NULL)
		return NULL;
	memcpy(text, name, bytes);
	text[bytes] = '\0';
	return bsearch(
	    &wanted, u->users, u->count, sizeof u->users[0], compare);
}

bool
feed_users_secret(const struct feed_users *u, enum scram_hash hash,
    const char *name, size_t bytes, struct scram_secret *to)
{
	const struct user *user = find(u, hash, name, bytes);
	const struct user *model = user != NULL ? user : first_with(u, hash);

	/* where nobody has one of that kind, it is the other kind's */
	*to = (model != NULL ? model : &u->users[0])->secret;
	if (user == NULL)
		scram_pretend(to, name, bytes, u->pretence);
	return user != NULL;
}

/* ---- passwords that are sent ---- */

static bool
is_remembered(const struct feed_users *u, const uint8_t *key)
{
	for (unsigned i = 0; i < u->good_count; i++)
		if (memcmp(u->good[i], key, SECRET_HASH_BYTES) == 0)
			return true;
	return false;
}

static void
remember(struct feed_users *u, const uint8_t *key)
{
	memcpy(u->good[u->good_next], key, SECRET_HASH_BYTES);
	u->good_next = (u->good_next + 1) % FEED_USERS_REMEMBERED;
	u->good_count = MIN_OF(u->good_count + 1, FEED_USERS_REMEMBERED);
}

/* One who is not there costs as much as one who is. */
static bool
is_password(struct feed_users *u, const char *name, size_t name_bytes,
    const char *password, size_t bytes)
{
	struct scram_secret secret, other;
	int64_t began = clock_mono_ns();
	bool is_known, is_right;

	is_known =
	    feed_users_secret(u, SCRAM_SHA_256, name, name_bytes, &secret);
	if (!is_known &&
	    feed_users_secret(u, SCRAM_SHA_512, name, name_bytes, &other)) {
		secret = other;
		is_known = true;
	}
	is_right = scram_is_password(&secret, password, bytes);
	explicit_bzero(&secret, sizeof secret);
	explicit_bzero(&other, sizeof other);
	hash_budget_spend(&u->budget, clock_mono_ns() - began);
	return is_right && is_known;
}

enum feed_users_result
feed_users_check(struct feed_users *u, const char *name, size_t name_bytes,
    const char *password, size_t bytes, int64_t now_ms)
{
	char text[CREDENTIALS_MAX];
	uint8_t key[SECRET_HASH_BYTES];

	must(name_bytes <= FEED_USERS_NAME_MAX &&
	    bytes <= FEED_USERS_PASSWORD_MAX);
	memcpy(text, name, name_bytes);
	text[name_bytes] = '\0';
	memcpy(text + name_bytes + 1, password, bytes);
	secret_hash_keyed(u->key, text, name_bytes + 1 + bytes, key);
	explicit_bzero(text, sizeof text);
	if (is_remembered(u, key))
		return FEED_USERS_GOOD;
	if (!hash_budget_has(&u->budget, now_ms))
		return FEED_USERS_BUSY;
	if (!is_password(u, name, name_bytes, password, bytes))
		return FEED_USERS_BAD;
	remember(u, key);
	return FEED_USERS_GOOD;
}

/*
 * test_auth - the file of passwords and tokens, what is let in, and what a
 * flood of wrong passwords may cost
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "panic.h"

/* of "tokentokentoken" */
#define TOKEN "c28d1f4e28d811dc6d413d57a24d23650ded264a14321fe05c552a352ad24429"

#define FILE_TEXT(text) text, sizeof(text) - 1

static const struct conf conf = { .file = (char *)(uintptr_t) "x",
	.http_auth_file = (char *)(uintptr_t) "/auth" };

/* A hash of crypt(3), cheap ones for tests. */
static const char *
hash_of(const char *password, const char *setting)
{
	static struct crypt_data data;
	const char *hash = crypt_r(password, setting, &data);

	assert_non_null(hash);
	assert_true(hash[0] == '$');
	return hash;
}

static struct auth *
make(const char *text)
{
	struct conf_problems p = { 0 };
	struct auth *a = auth_new(&conf, text, strlen(text), &p);

	if (a == NULL)
		fail_msg("%s", p.lines[0]);
	assert_int_equal(p.count, 0);
	conf_problems_free(&p);
	return a;
}

/* alice with "wonder", bob with "cat". */
static struct auth *
two_users(void)
{
	char *text = must_format(
	    "alice:%s\n", hash_of("wonder", "$6$rounds=1000$saltsalt$"));
	char *both = must_format("%s\n# a comment\n \nbob:%s:and more\r\n",
	    text, hash_of("cat", "$5$rounds=1000$pepper$"));
	struct auth *a = make(both);

	free(text);
	free(both);
	return a;
}

static enum auth_result
try_field(struct auth *a, const char *value, int64_t now_ms)
{
	return auth_check(a, value, strlen(value), now_ms);
}

/* Basic, as clients write it. */
static enum auth_result
try_password(struct auth *a, const char *credentials, int64_t now_ms)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *from = (const uint8_t *)credentials;
	size_t bytes = strlen(credentials), used;
	char field[2048];

	used = (size_t)snprintf(field, sizeof field, "Basic ");
	for (size_t i = 0; i < bytes; i += 3) {
		unsigned bits = (unsigned)from[i] << 16 |
		    (i + 1 < bytes ? (unsigned)from[i + 1] << 8 : 0) |
		    (i + 2 < bytes ? from[i + 2] : 0);

		field[used++] = digits[bits >> 18];
		field[used++] = digits[bits >> 12 & 63];
		field[used++] = i + 1 < bytes ? digits[bits >> 6 & 63] : '=';
		field[used++] = i + 2 < bytes ? digits[bits & 63] : '=';
	}
	return auth_check(a, field, used, now_ms);
}

static void
test_passwords(void **state)
{
	struct auth *a = two_users();

	(void)state;
	assert_int_equal(try_password(a, "alice:wonder", 0), AUTH_GOOD);
	assert_int_equal(try_password(a, "bob:cat", 0), AUTH_GOOD);
	assert_int_equal(try_password(a, "alice:cat", 0), AUTH_BAD);
	assert_int_equal(try_password(a, "bob:wonder", 0), AUTH_BAD);
	assert_int_equal(try_password(a, "alice:wonder ", 0), AUTH_BAD);
	assert_int_equal(try_password(a, "alice:", 0), AUTH_BAD);
	assert_int_equal(try_password(a, ":wonder", 0), AUTH_BAD);
	assert_int_equal(try_password(a, "Alice:wonder", 0), AUTH_BAD);
	assert_int_equal(try_password(a, "nobody:wonder", 0), AUTH_BAD);
	assert_int_equal(try_password(a, "alice", 0), AUTH_BAD);
	/* what curl sends, and any case of the scheme */
	assert_int_equal(try_field(a, "Basic YWxpY2U6d29uZGVy", 0), AUTH_GOOD);
	assert_int_equal(
	    try_field(a, "bAsIc   YWxpY2U6d29uZGVy", 0), AUTH_GOOD);
	auth_release(&a);
	assert_null(a);
}

static void
test_fields(void **state)
{
	static const char *const bad[] = { "", "Basic", "Basic ", "Basic  ",
		"BasicYWxpY2U6d29uZGVy", "Basic YWxpY2U6d29uZGV",
		"Basic YWxpY2U6d29uZGVy!", "Basic YWxpY2U6 d29uZGVy",
		"Basic YWxpY2U6d29uZGVyAA==" /* a NUL behind it */,
		"Digest YWxpY2U6d29uZGVy", "Bearer YWxpY2U6d29uZGVy",
		"Bearer tokentokentoken", "YWxpY2U6d29uZGVy" };
	struct auth *a = two_users();
	char long_one[4000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (try_field(a, bad[i], 0) != AUTH_BAD)
			fail_msg("'%s' is let in", bad[i]);
	assert_int_equal(auth_check(a, NULL, 0, 0), AUTH_BAD);
	memset(long_one, 'A', sizeof long_one);
	memcpy(long_one, "Basic ", 6);
	assert_int_equal(auth_check(a, long_one, sizeof long_one, 0), AUTH_BAD);
	assert_int_equal(
	    auth_check(a, long_one, AUTH_CREDENTIALS_MAX, 0), AUTH_BAD);
	/* none of them was worth a hash, but a password that is wrong */
	assert_true(auth_hashes(a) <= 1);
	auth_release(&a);
}

static void
test_tokens(void **state)
{
	struct auth *a = make("other:sha256:00000000000000000000000000000000"
			      "00000000000000000000000000000000\n"
			      "robot:sha256:" TOKEN "\n");

	(void)state;
	assert_int_equal(try_field(a, "Bearer tokentokentoken", 0), AUTH_GOOD);
	assert_int_equal(try_field(a, "bearer tokentokentoken", 0), AUTH_GOOD);
	assert_int_equal(try_field(a, "Bearer tokentokentoke", 0), AUTH_BAD);
	assert_int_equal(try_field(a, "Bearer " TOKEN, 0), AUTH_BAD);
	assert_int_equal(try_field(a, "Bearer ", 0), AUTH_BAD);
	/* there are no passwords */
	assert_int_equal(try_password(a, "robot:tokentokentoken", 0), AUTH_BAD);
	assert_int_equal(auth_hashes(a), 0);
	assert_string_equal(
	    auth_challenge(a), "WWW-Authenticate: Bearer realm=\"tranqd\"\r\n");
	auth_release(&a);
}

static void
test_kinds(void **state)
{
	static const char *const settings[] = { "$6$saltsalt$", "$5$saltsalt$",
		"$y$j75$saltsalt$", "$2b$04$abcdefghijklmnopqrstuu",
		"$2y$04$abcdefghijklmnopqrstuu", "$6$rounds=2000$s$" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		char *text =
		    must_format("alice:%s", hash_of("wonder", settings[i]));
		struct auth *a = make(text);

		assert_int_equal(try_password(a, "alice:wonder", 0), AUTH_GOOD);
		assert_int_equal(try_password(a, "alice:wander", 0), AUTH_BAD);
		auth_release(&a);
		free(text);
	}
}

/* A slow hash once, whatever comes how often. */
static void
test_remembered(void **state)
{
	struct auth *a = two_users();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(try_password(a, "alice:wonder", i), AUTH_GOOD);
		assert_int_equal(try_password(a, "bob:wonder", i), AUTH_BAD);
	}
	assert_int_equal(auth_hashes(a), 2);
	auth_release(&a);
}

/* Always new wrong passwords: they run out of time, those who are in do
 * not. */
static void
test_flood(void **state)
{
	struct auth *a = two_users();
	enum auth_result result = AUTH_BAD;
	char text[40];
	unsigned n = 0;
	int64_t now = 1;

	(void)state;
	assert_int_equal(try_password(a, "alice:wonder", 0), AUTH_GOOD);
	while (result == AUTH_BAD && n < 1000000) {
		snprintf(text, sizeof text, "alice:wrong%u", n++);
		result = try_password(a, text, 1);
	}
	assert_int_equal(result, AUTH_BUSY);
	assert_int_equal(auth_hashes(a), n);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(try_password(a, "alice:wonder", 1), AUTH_GOOD);
	/* who is new has to wait, and not for good */
	assert_int_equal(try_password(a, "bob:cat", 1), AUTH_BUSY);
	assert_int_equal(auth_hashes(a), n);
	do {
		/* on a loaded machine the last hash may have cost more than
		 * the share of one second */
		now += 1000;
		result = try_password(a, "bob:cat", now);
	} while (result == AUTH_BUSY && now < 100000);
	assert_int_equal(result, AUTH_GOOD);
	/* a tenth of the time: in a second a tenth of what was at once */
	for (result = AUTH_BAD; result == AUTH_BAD; n++) {
		snprintf(text, sizeof text, "alice:wrong%u", n);
		result = try_password(a, text, now);
	}
	assert_int_equal(result, AUTH_BUSY);
	assert_true(n < 1000000);
	/* time that has run back gives nothing and breaks nothing */
	assert_int_equal(try_password(a, "alice:new", 500), AUTH_BUSY);
	auth_release(&a);
}

/* More users than are remembered are let in all the same. */
static void
test_many_users(void **state)
{
	const char *hash = hash_of("x", "$5$rounds=1000$pepper$");
	size_t size = 600 * 100;
	char *text = must_calloc(1, size), name[40];
	struct auth *a;

	(void)state;
	for (unsigned i = 0; i < 600; i++)
		snprintf(text + strlen(text), size - strlen(text),
		    "user%u:%s\n", i, hash);
	a = make(text);
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < 600; i++) {
			snprintf(name, sizeof name, "user%u:x", i);
			assert_int_equal(
			    try_password(a, name, 20000 * (i + 600 * round)),
			    AUTH_GOOD);
		}
	/* some sets of the table have seen more than they hold */
	assert_true(auth_hashes(a) < 700);
	auth_release(&a);
	free(text);
}

static void
test_same_text(void **state)
{
	struct auth *a = make("robot:sha256:" TOKEN), *b;

	(void)state;
	assert_true(auth_is_from(a, FILE_TEXT("robot:sha256:" TOKEN)));
	assert_false(auth_is_from(a, FILE_TEXT("robot:sha256:" TOKEN "\n")));
	b = auth_hold(a);
	auth_release(&a);
	assert_int_equal(try_field(b, "Bearer tokentokentoken", 0), AUTH_GOOD);
	auth_release(&b);
}

/* A line of problems, with the line's number and no hash in it. */
static void
check_refused(const char *text, const char *expected)
{
	struct conf_problems p = { 0 };
	struct auth *a = auth_new(&conf, text, strlen(text), &p);
	char line[400];

	if (a != NULL)
		fail_msg("'%s' is taken", text);
	assert_int_equal(p.count, 1);
	snprintf(line, sizeof line, "x: properties.http.auth.file: /auth: %s",
	    expected);
	if (strncmp(p.lines[0], line, strlen(line)) != 0)
		fail_msg("'%s' is not '%s…'", p.lines[0], line);
	assert_non_null(strchr(p.lines[0], ';'));
	assert_null(strchr(p.lines[0], '$'));
	conf_problems_free(&p);
}

static void
test_refused(void **state)
{
	const char *good = hash_of("x", "$5$rounds=1000$pepper$");
	char *twice = must_format("a:%s\nb:%s\na:%s", good, good, good);
	char *cut = must_format("# one\na:%.*s", (int)strlen(good) - 1, good);

	(void)state;
	check_refused("", "nobody is in it");
	check_refused("# nobody\n\n", "nobody is in it");
	check_refused("alice", "line 1: not NAME:HASH");
	check_refused(":$6$x$y", "line 1: not NAME:HASH");
	check_refused("\na:plain", "line 2: a hash of a kind");
	check_refused("a:", "line 1: a hash of a kind");
	check_refused("a:$apr1$x$y", "line 1: a hash of a kind");
	check_refused("a:$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", "line 1: a hash");
	check_refused("a:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", "line 1: a hash");
	check_refused("a:$6$", "line 1: a hash of a kind");
	check_refused(cut, "line 2: a hash of a kind");
	check_refused(twice, "'a' is there twice");
	check_refused("a:sha256:123", "line 1: sha256: is not followed by");
	check_refused("a:sha256:" TOKEN "0", "line 1: sha256: is not");
	check_refused("a:sha256:g" TOKEN, "line 1: sha256: is not");
	free(twice);
	free(cut);
}

/* Nobody waits a minute for each password. */
static void
test_costs(void **state)
{
	static const char *const dear[] = { "$6$rounds=1000001$salt$",
		"$5$rounds=99999999$salt$", "$2b$13$abcdefghijklmnopqrstuu",
		"$2y$31$abcdefghijklmnopqrstuu", "$y$jCT$saltsalt$",
		"$y$jFT$saltsalt$", "$y$.9T$saltsalt$" };
	char tail[87];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dear); i++) {
		unsigned bytes = dear[i][1] == '6' ? 86
		    : dear[i][1] == '2'            ? 31
						   : 43;
		char *text;

		memset(tail, 'a', sizeof tail);
		tail[bytes] = '\0';
		text = must_format("dear:%s%s", dear[i], tail);
		check_refused(text, "line 1: a hash that takes too long");
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_remembered),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_many_users),
		cmocka_unit_test(test_same_text),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

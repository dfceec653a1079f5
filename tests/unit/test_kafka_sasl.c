/*
 * test_kafka_sasl - PLAIN and SCRAM, as Kafka's clients speak them; the example
 * of RFC 7677, and the same with SHA-512 as Python's hashlib makes it
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "kafka_sasl.h"
#include "panic.h"

#define SALT "W22ZaJ0SNY7soEsUEjb6gQ=="
#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SECRET_256                                     \
	"SCRAM-SHA-256$4096:" SALT                     \
	"$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY" \
	"=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define SECRET_512                                                \
	"SCRAM-SHA-512$4096:" SALT                                \
	"$6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1" \
	"FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg==:"                     \
	"jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEeb" \
	"BeSVkkCFewf91nLDfKF24mvD5nmE6rA=="
#define FIRST "n,,n=user,r=" CLIENT_NONCE
#define CHALLENGE "r=" CLIENT_NONCE SERVER_NONCE ",s=" SALT ",i=4096"
#define FINAL "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p="
#define PROOF_256 "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define SIGNED_256 "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static struct feed_users *users;
static struct buf answer;

static struct feed_users *
users_of(const char *text)
{
	struct conf_problems problems = { 0 };
	struct feed_users *u =
	    feed_users_new("users", text, strlen(text), &problems);

	assert_int_equal(problems.count, 0);
	assert_non_null(u);
	return u;
}

static int
set_up(void **state)
{
	(void)state;
	users = users_of("# who may read\n"
			 "user:" SECRET_256 "\n"
			 "user:" SECRET_512 "\r\n\n"
			 "a,b=c:" SECRET_256 "\n");
	buf_init(&answer, 4096);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	feed_users_free(&users);
	buf_free(&answer);
	return 0;
}

static enum kafka_sasl_result
take(struct kafka_sasl *s, const char *token, size_t bytes)
{
	char *copy = must_malloc(MAX_OF(bytes, 1));
	enum kafka_sasl_result result;

	/* the answer is in place of the one before */
	buf_reset(&answer);
	memcpy(copy, token, bytes);
	result = kafka_sasl_take(
	    s, (struct kafka_text){ copy, bytes }, 1000, &answer);
	free(copy);
	return result;
}

#define TAKE(s, token) take(s, token, sizeof(token) - 1)

static struct kafka_sasl *
begin(enum kafka_sasl_mechanism mechanism)
{
	return kafka_sasl_new(mechanism, users, SERVER_NONCE);
}

static void
test_rfc_7677(void **state)
{
	struct kafka_sasl *s = begin(KAFKA_SASL_SCRAM_256);

	(void)state;
	assert_int_equal(TAKE(s, FIRST), KAFKA_SASL_MORE);
	assert_string_equal(buf_text(&answer), CHALLENGE);
	assert_string_equal(kafka_sasl_user(s), "user");
	assert_int_equal(TAKE(s, FINAL PROOF_256), KAFKA_SASL_DONE);
	assert_string_equal(buf_text(&answer), SIGNED_256);
	/* it is over */
	assert_int_equal(TAKE(s, FINAL PROOF_256), KAFKA_SASL_FAILED);
	kafka_sasl_free(&s);
	assert_null(s);
}

static void
test_sha_512(void **state)
{
	struct kafka_sasl *s = begin(KAFKA_SASL_SCRAM_512);

	(void)state;
	assert_int_equal(TAKE(s, FIRST), KAFKA_SASL_MORE);
	assert_int_equal(
	    TAKE(s,
		FINAL "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2"
		      "xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ=="),
	    KAFKA_SASL_DONE);
	assert_string_equal(buf_text(&answer),
	    "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeV"
	    "GT4+5ZxXnJq199RVG2rR7N7Zw==");
	kafka_sasl_free(&s);
}

/* The client's nonce once more in front, as librdkafka has had it. */
static void
test_doubled_nonce(void **state)
{
	struct kafka_sasl *s = begin(KAFKA_SASL_SCRAM_256);

	(void)state;
	assert_int_equal(TAKE(s, FIRST), KAFKA_SASL_MORE);
	assert_int_equal(TAKE(s,
			     "c=biws,r=" CLIENT_NONCE CLIENT_NONCE SERVER_NONCE
			     ",p=1Y75+q7XaCGJj/r6vyQWwoNxSzV5ksS8xhp5Lqyriec="),
	    KAFKA_SASL_DONE);
	kafka_sasl_free(&s);
}

static void
test_wrong_proofs(void **state)
{
	static const char *const cases[] = { /* one bit is another */
		FINAL "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVA=", FINAL,
		FINAL "=", FINAL "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		/* another nonce, another binding, none at all */
		"c=biws,r=" CLIENT_NONCE ",p=" PROOF_256,
		"c=biws,r=" CLIENT_NONCE SERVER_NONCE "x,p=" PROOF_256,
		"c=eSws,r=" CLIENT_NONCE SERVER_NONCE ",p=" PROOF_256,
		/* each with its right proof */
		"c=eSws,r=" CLIENT_NONCE SERVER_NONCE
		",p=FoqiHTtQEDE8lz1CdaEe3tK4mS+iMDTl77SPyDS53DY=",
		"c=biws,r=" CLIENT_NONCE SERVER_NONCE
		"x,p=jIAulLel2yOSdws13QeDb+EjnVISOeTduGuUvrR3ZJA=",
		"c=biws,r=" SERVER_NONCE
		",p=DDs6EleEU2fQG3UinzT3Cz/6xFftfZLYMjtah5w9aJA=",
		"r=" CLIENT_NONCE SERVER_NONCE ",p=" PROOF_256,
		/* said something else in between */
		"c=biws,r=" CLIENT_NONCE SERVER_NONCE ",x=y,p=" PROOF_256,
		",p=" PROOF_256, "p=" PROOF_256, PROOF_256
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kafka_sasl *s = begin(KAFKA_SASL_SCRAM_256);

		assert_int_equal(TAKE(s, FIRST), KAFKA_SASL_MORE);
		assert_int_equal(
		    take(s, cases[i], strlen(cases[i])), KAFKA_SASL_FAILED);
		assert_int_equal(answer.used, 0);
		/* no second try */
		assert_int_equal(TAKE(s, FINAL PROOF_256), KAFKA_SASL_FAILED);
		kafka_sasl_free(&s);
	}
}

static void
test_first_messages(void **state)
{
	static const struct {
		const char *token;
		enum kafka_sasl_result result;
	} cases[] = {
		{ "y,,n=user,r=abc", KAFKA_SASL_MORE },
		{ "n,a=user,n=user,r=abc", KAFKA_SASL_MORE },
		{ "n,,n=a=2Cb=3Dc,r=abc", KAFKA_SASL_MORE },
		{ "n,,n=user,r=abc,ext=1", KAFKA_SASL_MORE },
		{ "n,a=other,n=user,r=abc", KAFKA_SASL_FAILED },
		{ "p=tls-unique,,n=user,r=abc", KAFKA_SASL_FAILED },
		{ "n,,m=x,n=user,r=abc", KAFKA_SASL_FAILED },
		{ "n,,n=us=er,r=abc", KAFKA_SASL_FAILED },
		{ "n,,n=us=2c,r=abc", KAFKA_SASL_FAILED },
		{ "n,,n=us=2,r=abc", KAFKA_SASL_FAILED },
		{ "n,,n=,r=abc", KAFKA_SASL_FAILED },
		{ "n,,n=user,r=", KAFKA_SASL_FAILED },
		{ "n,,n=user,r=a c", KAFKA_SASL_FAILED },
		{ "n,,n=user", KAFKA_SASL_FAILED },
		{ "n,,r=abc,n=user", KAFKA_SASL_FAILED },
		{ "n,", KAFKA_SASL_FAILED },
		{ "n,,", KAFKA_SASL_FAILED },
		{ "n,a=x", KAFKA_SASL_FAILED },
		{ "", KAFKA_SASL_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kafka_sasl *s = begin(KAFKA_SASL_SCRAM_256);

		assert_int_equal(
		    take(s, cases[i].token, strlen(cases[i].token)),
		    cases[i].result);
		if (cases[i].result == KAFKA_SASL_MORE)
			assert_string_equal(buf_text(&answer),
			    "r=abc" SERVER_NONCE ",s=" SALT ",i=4096");
		kafka_sasl_free(&s);
	}
}

static void
test_long_tokens(void **state)
{
	char token[KAFKA_SASL_TOKEN_MAX + 2];
	struct kafka_sasl *s = begin(KAFKA_SASL_SCRAM_256);

	(void)state;
	memset(token, 'a', sizeof token);
	memcpy(token, "n,,n=user,r=b,x=", 16);
	assert_int_equal(take(s, token, KAFKA_SASL_TOKEN_MAX), KAFKA_SASL_MORE);
	memcpy(token, "c=biws,r=b" SERVER_NONCE ",x=", 44);
	assert_int_equal(
	    take(s, token, KAFKA_SASL_TOKEN_MAX + 1), KAFKA_SASL_FAILED);
	kafka_sasl_free(&s);
	/* a nonce of 257 */
	s = begin(KAFKA_SASL_SCRAM_256);
	memset(token, 'a', sizeof token);
	memcpy(token, "n,,n=user,r=", 12);
	assert_int_equal(take(s, token, 12 + 257), KAFKA_SASL_FAILED);
	kafka_sasl_free(&s);
}

/* Who is not there gets a salt that stays the same, and no way in. */
static void
test_nobody(void **state)
{
	char before[256] = "";

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct kafka_sasl *s = begin(KAFKA_SASL_SCRAM_256);

		assert_int_equal(TAKE(s, "n,,n=nobody,r=abc"), KAFKA_SASL_MORE);
		if (i == 1)
			assert_string_equal(before, buf_text(&answer));
		memcpy(before, buf_text(&answer), answer.used + 1);
		assert_null(strstr(before, SALT));
		assert_non_null(strstr(before, ",i=4096"));
		assert_int_equal(
		    TAKE(s, "c=biws,r=abc" SERVER_NONCE ",p=" PROOF_256),
		    KAFKA_SASL_FAILED);
		kafka_sasl_free(&s);
	}
}

/* The iterations of the file are asked of him, too: by others he would be known
 * for nobody. */
static void
test_nobody_of_file(void **state)
{
	struct scram_secret some = {
		.hash = SCRAM_SHA_512, .iterations = 16384, .salt_bytes = 20
	};
	struct feed_users *few;
	struct buf text;

	(void)state;
	scram_make(&some, "pencil", 6);
	buf_init(&text, KiB);
	buf_add_text(&text, "user:");
	scram_print(&some, &text);
	few = users_of(buf_must_text(&text));
	for (unsigned hash = 0; hash < SCRAM_HASHES; hash++) {
		struct scram_secret s;

		assert_false(feed_users_secret(few, hash, "nobody", 6, &s));
		assert_int_equal(s.hash, SCRAM_SHA_512);
		assert_int_equal(s.iterations, 16384);
		assert_int_equal(s.salt_bytes, 20);
		assert_memory_not_equal(s.salt, some.salt, 20);
		assert_memory_not_equal(s.stored, some.stored, SCRAM_BYTES_MAX);
		assert_memory_not_equal(s.server, some.server, SCRAM_BYTES_MAX);
	}
	assert_int_equal(feed_users_check(few, "nobody", 6, "pencil", 6, 1000),
	    FEED_USERS_BAD);
	assert_int_equal(feed_users_check(few, "user", 4, "pencil", 6, 1000),
	    FEED_USERS_GOOD);
	buf_free(&text);
	feed_users_free(&few);
}

static void
test_plain(void **state)
{
	static const struct {
		const char *token;
		size_t bytes;
		enum kafka_sasl_result result;
	} cases[] = {
		{ "\0user\0pencil", 12, KAFKA_SASL_DONE },
		{ "user\0user\0pencil", 16, KAFKA_SASL_DONE },
		{ "\0a,b=c\0pencil", 13, KAFKA_SASL_DONE },
		{ "other\0user\0pencil", 17, KAFKA_SASL_FAILED },
		{ "\0user\0pencil2", 13, KAFKA_SASL_FAILED },
		{ "\0user\0penci", 11, KAFKA_SASL_FAILED },
		{ "\0user\0", 6, KAFKA_SASL_FAILED },
		{ "\0\0pencil", 8, KAFKA_SASL_FAILED },
		{ "\0user\0pencil\0", 13, KAFKA_SASL_FAILED },
		{ "\0user", 5, KAFKA_SASL_FAILED },
		{ "user pencil", 11, KAFKA_SASL_FAILED },
		{ "\0nobody\0pencil", 14, KAFKA_SASL_FAILED },
		{ "", 0, KAFKA_SASL_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kafka_sasl *s = begin(KAFKA_SASL_PLAIN);

		assert_int_equal(
		    take(s, cases[i].token, cases[i].bytes), cases[i].result);
		assert_int_equal(answer.used, 0);
		kafka_sasl_free(&s);
	}
}

/* Guessing is slow for all, and keeps nobody out who was in before. */
static void
test_guesses(void **state)
{
	enum feed_users_result result = FEED_USERS_BAD;
	char guess[16];
	unsigned guesses = 0;

	(void)state;
	assert_int_equal(feed_users_check(users, "user", 4, "pencil", 6, 5000),
	    FEED_USERS_GOOD);
	while (result == FEED_USERS_BAD && guesses < 100000) {
		snprintf(guess, sizeof guess, "%u", guesses++);
		result = feed_users_check(
		    users, "user", 4, guess, strlen(guess), 5000);
	}
	assert_int_equal(result, FEED_USERS_BUSY);
	assert_int_equal(feed_users_check(users, "user", 4, "pencil", 6, 5000),
	    FEED_USERS_GOOD);
	/* some time later it is looked at again */
	assert_int_equal(feed_users_check(users, "user", 4, "guess", 5, 10000),
	    FEED_USERS_BAD);
}

static void
test_mechanisms(void **state)
{
	struct feed_users *only = users_of("user:" SECRET_512 "\n");

	(void)state;
	assert_int_equal(
	    kafka_sasl_find(kafka_wire_text("PLAIN")), KAFKA_SASL_PLAIN);
	assert_int_equal(kafka_sasl_find(kafka_wire_text("SCRAM-SHA-512")),
	    KAFKA_SASL_SCRAM_512);
	assert_int_equal(
	    kafka_sasl_find(kafka_wire_text("plain")), KAFKA_SASL_MECHANISMS);
	assert_int_equal(
	    kafka_sasl_find(kafka_wire_text(NULL)), KAFKA_SASL_MECHANISMS);
	assert_string_equal(
	    kafka_sasl_name(KAFKA_SASL_SCRAM_256), "SCRAM-SHA-256");
	assert_true(kafka_sasl_is_usable(KAFKA_SASL_SCRAM_512, only));
	assert_false(kafka_sasl_is_usable(KAFKA_SASL_SCRAM_256, only));
	assert_true(kafka_sasl_is_usable(KAFKA_SASL_PLAIN, only));
	assert_int_equal(
	    feed_users_check(only, "user", 4, "pencil", 6, 1), FEED_USERS_GOOD);
	feed_users_free(&only);
}

static void
test_nonce(void **state)
{
	char one[KAFKA_SASL_NONCE_BYTES + 1], two[KAFKA_SASL_NONCE_BYTES + 1];

	(void)state;
	kafka_sasl_nonce(one);
	kafka_sasl_nonce(two);
	assert_int_equal(strlen(one), KAFKA_SASL_NONCE_BYTES);
	assert_string_not_equal(one, two);
	assert_null(strpbrk(one, ",= "));
}

/* ---- what is kept ---- */

static void
test_secrets(void **state)
{
	struct scram_secret made = { .hash = SCRAM_SHA_256,
		.iterations = 4096 },
			    read;
	size_t used;

	(void)state;
	assert_true(base64_read(SALT, strlen(SALT), made.salt, &used));
	made.salt_bytes = (unsigned)used;
	scram_make(&made, "pencil", 6);
	buf_reset(&answer);
	scram_print(&made, &answer);
	assert_string_equal(buf_text(&answer), SECRET_256);
	assert_null(scram_read(&read, buf_text(&answer)));
	assert_int_equal(read.iterations, 4096);
	assert_true(scram_is_password(&read, "pencil", 6));
	assert_false(scram_is_password(&read, "Pencil", 6));
	assert_null(scram_read(&read, SECRET_512));
	assert_int_equal(read.hash, SCRAM_SHA_512);
	assert_true(scram_is_password(&read, "pencil", 6));
}

static void
test_bad_secrets(void **state)
{
	static const char *const cases[] = {
		"",
		"pencil",
		"SCRAM-SHA-256",
		"SCRAM-SHA-1$4096:c2FsdA==$AAAA:AAAA",
		"SCRAM-SHA-256$4095:" SALT
		"$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY"
		"=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"SCRAM-SHA-256$-1:" SALT "$AAAA:AAAA",
		"SCRAM-SHA-256$1000001:" SALT "$AAAA:AAAA",
		"SCRAM-SHA-256$4096:" SALT "$AAAA:AAAA",
		"SCRAM-SHA-256$4096:$AAAA:AAAA",
		SECRET_256 "x",
		SECRET_256 ":",
		"SCRAM-SHA-512$4096:" SALT
		"$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY"
		"=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	};
	struct scram_secret s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_non_null(scram_read(&s, cases[i]));
}

static void
test_bad_files(void **state)
{
	static const struct {
		const char *text, *problem;
	} cases[] = {
		{ "", "nobody is in it" },
		{ "# nobody\n\n", "nobody is in it" },
		{ "user\n", "line 1: not NAME:SECRET" },
		{ "\n:x\n", "line 2: not NAME:SECRET" },
		{ "user:pencil\n", "line 1: not SCRAM-SHA-256$" },
		{ "user:" SECRET_256 "\nuser:" SECRET_256 "\n",
		    "'user' is there twice with SCRAM-SHA-256" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct conf_problems problems = { 0 };

		assert_null(feed_users_new(
		    "file", cases[i].text, strlen(cases[i].text), &problems));
		assert_int_equal(problems.count, 1);
		assert_non_null(strstr(problems.lines[0], "file"));
		assert_non_null(strstr(problems.lines[0], cases[i].problem));
		conf_problems_free(&problems);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_7677),
		cmocka_unit_test(test_sha_512),
		cmocka_unit_test(test_doubled_nonce),
		cmocka_unit_test(test_wrong_proofs),
		cmocka_unit_test(test_first_messages),
		cmocka_unit_test(test_long_tokens),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_nobody_of_file),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_guesses),
		cmocka_unit_test(test_mechanisms),
		cmocka_unit_test(test_nonce),
		cmocka_unit_test(test_secrets),
		cmocka_unit_test(test_bad_secrets),
		cmocka_unit_test(test_bad_files),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/*
 * fuzz_sasl - tokens of clients that do not know the password
 *
 * The first byte chooses the mechanism, the others are lines: a client's
 * tokens, one after the other; %00 in them is a NUL, $NONCE the nonce that we
 * have answered. Our nonces are fresh each time, so nobody can have a proof for
 * SCRAM. PLAIN takes the password itself and nothing else. Each challenge
 * repeats the client's nonce and is one as RFC 5802 has it. The rest of the
 * bytes is a file of users.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_input.h"
#include "kafka_sasl.h"

#define TOKENS_MAX 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The password is pencil. */
static const char file[] =
    "user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
    "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"
    "user:SCRAM-SHA-512$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
    "6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9"
    "DoO5DvVkOHbvg==:jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBe"
    "SVkkCFewf91nLDfKF24mvD5nmE6rA==\n";

static bool
is_same(const struct buf *b, const char *text, size_t bytes)
{
	return b->used == bytes && memcmp(b->bytes, text, bytes) == 0;
}

/* A line as a token. */
static void
expand(const char *line, const char *nonce, struct buf *to)
{
	while (*line != '\0') {
		if (strncmp(line, "%00", 3) == 0) {
			buf_add(to, "", 1);
			line += 3;
		} else if (strncmp(line, "$NONCE", 6) == 0) {
			buf_add_text(to, nonce);
			line += 6;
		} else {
			buf_add(to, line++, 1);
		}
	}
}

/* r=…,s=…,i=… with our nonce behind the client's. */
static void
check_challenge(struct buf *answer, const char *ours)
{
	const char *text = buf_must_text(answer), *comma = strchr(text, ',');
	size_t bytes = strlen(ours);

	must(strlen(text) == answer->used && comma != NULL);
	must(strncmp(text, "r=", 2) == 0 && comma > text + 2 + bytes);
	must(strncmp(comma - bytes, ours, bytes) == 0);
	must(strncmp(comma, ",s=", 3) == 0);
	must(strcmp(strchr(comma + 3, ','), ",i=4096") == 0);
}

static void
converse(enum kafka_sasl_mechanism mechanism, struct feed_users *users,
    struct fuzz_input *in)
{
	char nonce[KAFKA_SASL_NONCE_BYTES + 1], all[1024] = "";
	struct kafka_sasl *s;
	struct buf token, answer;

	kafka_sasl_nonce(nonce);
	s = kafka_sasl_new(mechanism, users, nonce);
	buf_init(&token, 64 * KiB);
	buf_init(&answer, 64 * KiB);
	for (unsigned i = 0; i < TOKENS_MAX && in->at < in->end; i++) {
		char *line = fuzz_line(in), *exact;
		enum kafka_sasl_result result;

		buf_reset(&token);
		buf_reset(&answer);
		expand(line, all, &token);
		exact = must_malloc(MAX_OF(token.used, 1));
		if (token.used > 0)
			memcpy(exact, token.bytes, token.used);
		result = kafka_sasl_take(
		    s, (struct kafka_text){ exact, token.used }, 0, &answer);
		free(exact);
		free(line);
		must(result != KAFKA_SASL_MORE || (i == 0 && answer.used > 0));
		must(result == KAFKA_SASL_MORE || answer.used == 0);
		if (result == KAFKA_SASL_MORE) {
			check_challenge(&answer, nonce);
			snprintf(all, sizeof all, "%.*s",
			    (int)strcspn(answer.bytes + 2, ","),
			    answer.bytes + 2);
		}
		if (result == KAFKA_SASL_DONE)
			must(mechanism == KAFKA_SASL_PLAIN && i == 0 &&
			    (is_same(&token, "\0user\0pencil", 12) ||
				is_same(&token, "user\0user\0pencil", 16)));
	}
	buf_free(&token);
	buf_free(&answer);
	kafka_sasl_free(&s);
}

/* What is taken is what is printed again. */
static void
read_users(const char *text, size_t bytes)
{
	struct conf_problems problems = { 0 };
	struct feed_users *users =
	    feed_users_new("file", text, bytes, &problems);
	char *copy = must_malloc(bytes + 1);
	struct scram_secret secret, again;
	struct buf printed;

	must((users == NULL) == (problems.count > 0));
	feed_users_free(&users);
	conf_problems_free(&problems);
	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	if (scram_read(&secret, copy) == NULL) {
		must(secret.iterations >= SCRAM_ITERATIONS_MIN);
		buf_init(&printed, KiB);
		scram_print(&secret, &printed);
		must(scram_read(&again, buf_must_text(&printed)) == NULL);
		must(memcmp(&secret, &again, sizeof again) == 0);
		buf_free(&printed);
	}
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input in = { data, data + bytes };
	struct conf_problems problems = { 0 };
	static struct feed_users *users;
	enum kafka_sasl_mechanism mechanism =
	    fuzz_byte(&in) % KAFKA_SASL_MECHANISMS;

	if (bytes == 0)
		return 0;
	fuzz_silence();
	/* what has been guessed must not make it slower for who comes next */
	feed_users_free(&users);
	users = feed_users_new("file", file, sizeof file - 1, &problems);
	must(users != NULL);
	converse(mechanism, users, &in);
	read_users((const char *)in.at, (size_t)(in.end - in.at));
	return 0;
}

/*
 * kafka_sasl - who a client is: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512
 *
 * Process: feed. Pure.
 */
#include "kafka_sasl.h"

#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "panic.h"

#define NONCE_RANDOM (KAFKA_SASL_NONCE_BYTES / 4 * 3)
#define NONCE_MAX 256u /* of a client's */

enum step { FIRST, FINAL, OVER };

struct kafka_sasl {
	enum kafka_sasl_mechanism mechanism;
	struct feed_users *users;
	char *nonce; /* ours; then the client's and ours */
	enum step step;
	char user[FEED_USERS_NAME_MAX + 1];

	/* SCRAM, behind the client's first message */
	struct scram_secret secret;
	bool is_known;
	char *binding; /* the base64 that c= must repeat */
	struct buf said; /* client-first-bare , server-first */
};

static const char *const names[] = {
	[KAFKA_SASL_SCRAM_256] = "SCRAM-SHA-256",
	[KAFKA_SASL_SCRAM_512] = "SCRAM-SHA-512",
	[KAFKA_SASL_PLAIN] = "PLAIN",
};

const char *
kafka_sasl_name(enum kafka_sasl_mechanism mechanism)
{
	return names[mechanism];
}

enum kafka_sasl_mechanism
kafka_sasl_find(struct kafka_text name)
{
	enum kafka_sasl_mechanism m = 0;

	while (m < KAFKA_SASL_MECHANISMS && !kafka_wire_is(name, names[m]))
		m++;
	return m;
}

static enum scram_hash
hash_of(enum kafka_sasl_mechanism mechanism)
{
	return mechanism == KAFKA_SASL_SCRAM_512 ? SCRAM_SHA_512
						 : SCRAM_SHA_256;
}

bool
kafka_sasl_is_usable(
    enum kafka_sasl_mechanism mechanism, const struct feed_users *users)
{
	return mechanism == KAFKA_SASL_PLAIN ||
	    feed_users_have(users, hash_of(mechanism));
}

struct kafka_sasl *
kafka_sasl_new(enum kafka_sasl_mechanism mechanism, struct feed_users *users,
    const char *nonce)
{
	struct kafka_sasl *s = must_calloc(1, sizeof *s);

	s->mechanism = mechanism;
	s->users = users;
	s->nonce = must_strdup(nonce);
	buf_init(&s->said, 4 * KAFKA_SASL_TOKEN_MAX);
	return s;
}

void
kafka_sasl_free(struct kafka_sasl **sasl)
{
	struct kafka_sasl *s = *sasl;

	*sasl = NULL;
	if (s == NULL)
		return;
	free(s->nonce);
	free(s->binding);
	buf_free(&s->said);
	explicit_bzero(s, sizeof *s);
	free(s);
}

void
kafka_sasl_nonce(char to[static KAFKA_SASL_NONCE_BYTES + 1])
{
	uint8_t bytes[NONCE_RANDOM];

	scram_random(bytes, sizeof bytes);
	*base64_write(to, bytes, sizeof bytes) = '\0';
}

const char *
kafka_sasl_user(const struct kafka_sasl *s)
{
	return s->user;
}

/* ---- PLAIN: [who to be] NUL name NUL password ---- */

static enum kafka_sasl_result
take_plain(struct kafka_sasl *s, struct kafka_text token, int64_t now_ms)
{
	const char *end = token.at + token.bytes;
	const char *name, *password;
	size_t name_bytes, bytes;

	name = memchr(token.at, '\0', token.bytes);
	if (name == NULL)
		return KAFKA_SASL_FAILED;
	name++;
	password = memchr(name, '\0', (size_t)(end - name));
	if (password == NULL)
		return KAFKA_SASL_FAILED;
	password++;
	name_bytes = (size_t)(password - 1 - name);
	bytes = (size_t)(end - password);
	if (name_bytes == 0 || name_bytes > FEED_USERS_NAME_MAX || bytes == 0 ||
	    bytes > FEED_USERS_PASSWORD_MAX ||
	    memchr(password, '\0', bytes) != NULL)
		return KAFKA_SASL_FAILED;
	memcpy(s->user, name, name_bytes);
	s->user[name_bytes] = '\0';
	/* nobody may be somebody else */
	if (name - 1 != token.at &&
	    ((size_t)(name - 1 - token.at) != name_bytes ||
		memcmp(token.at, name, name_bytes) != 0))
		return KAFKA_SASL_FAILED;
	switch (feed_users_check(
	    s->users, name, name_bytes, password, bytes, now_ms)) {
	case FEED_USERS_GOOD: return KAFKA_SASL_DONE;
	case FEED_USERS_BUSY: return KAFKA_SASL_BUSY;
	case FEED_USERS_BAD: break;
	}
	return KAFKA_SASL_FAILED;
}

/* ---- SCRAM: attributes, x=value, with commas between ---- */

/* The next attribute's value, up to its comma or the end, which is passed;
 * false: another one stands there. */
static bool
next_value(struct kafka_text *rest, char name, struct kafka_text *value)
{
	const char *comma;

	if (rest->bytes < 2 || rest->at[0] != name || rest->at[1] != '=')
		return false;
	rest->at += 2;
	rest->bytes -= 2;
	comma = memchr(rest->at, ',', rest->bytes);
	*value = (struct kafka_text){ rest->at,
		comma != NULL ? (size_t)(comma - rest->at) : rest->bytes };
	rest->at += value->bytes + (comma != NULL);
	rest->bytes -= value->bytes + (comma != NULL);
	return true;
}

/* saslname: =2C is a comma, =3D the sign itself; no other = and no NUL. */
static bool
read_name(struct kafka_text from, char *to)
{
	size_t used = 0;

	for (size_t i = 0; i < from.bytes; i++) {
		char c = from.at[i];

		if (c == '=') {
			if (from.bytes - i < 3)
				return false;
			if (memcmp(from.at + i, "=2C", 3) == 0)
				c = ',';
			else if (memcmp(from.at + i, "=3D", 3) != 0)
				return false;
			i += 2;
		}
		if (c == '\0' || used == FEED_USERS_NAME_MAX)
			return false;
		to[used++] = c;
	}
	to[used] = '\0';
	return used > 0;
}

static bool
is_nonce(struct kafka_text nonce)
{
	if (nonce.bytes == 0 || nonce.bytes > NONCE_MAX)
		return false;
	for (size_t i = 0; i < nonce.bytes; i++)
		if (nonce.at[i] < '!' || nonce.at[i] > '~')
			return false;
	return true;
}

/* gs2-header: no channel binding, and nobody else's rights. What is behind it
 * is left; `authorize` is NULL-at when there is none. */
static bool
read_header(struct kafka_text *rest, struct kafka_text *authorize)
{
	struct kafka_text whole = *rest;

	*authorize = (struct kafka_text){ NULL, 0 };
	if (whole.bytes < 3 || (whole.at[0] != 'n' && whole.at[0] != 'y') ||
	    whole.at[1] != ',')
		return false;
	rest->at += 2;
	rest->bytes -= 2;
	if (rest->at[0] == ',') {
		rest->at++;
		rest->bytes--;
		return true;
	}
	return next_value(rest, 'a', authorize);
}

static char *
to_base64(const char *bytes, size_t count)
{
	char *text = must_malloc(BASE64_BYTES(count) + 1);

	*base64_write(text, (const unsigned char *)bytes, count) = '\0';
	return text;
}

/* server-first-message */
static bool
put_challenge(struct kafka_sasl *s, struct kafka_text nonce, struct buf *answer)
{
	char *all = must_format("%.*s%s", (int)nonce.bytes, nonce.at, s->nonce);
	char *salt =
	    to_base64((const char *)s->secret.salt, s->secret.salt_bytes);
	size_t begin = answer->used;

	free(s->nonce);
	s->nonce = all;
	buf_addf(answer, "r=%s,s=%s,i=%u", all, salt,
	    (unsigned)s->secret.iterations);
	free(salt);
	if (answer->failed)
		return false;
	buf_add_text(&s->said, ",");
	buf_add(&s->said, answer->bytes + begin, answer->used - begin);
	return !s->said.failed;
}

/* gs2-header n=NAME,r=NONCE[,extensions] */
static enum kafka_sasl_result
take_first(struct kafka_sasl *s, struct kafka_text token, struct buf *answer)
{
	struct kafka_text rest = token, authorize, name, nonce;
	char other[FEED_USERS_NAME_MAX + 1];

	if (!read_header(&rest, &authorize))
		return KAFKA_SASL_FAILED;
	s->binding = to_base64(token.at, (size_t)(rest.at - token.at));
	buf_add(&s->said, rest.at, rest.bytes);
	if (!next_value(&rest, 'n', &name) || !read_name(name, s->user) ||
	    !next_value(&rest, 'r', &nonce) || !is_nonce(nonce))
		return KAFKA_SASL_FAILED;
	if (authorize.at != NULL &&
	    (!read_name(authorize, other) || strcmp(other, s->user) != 0))
		return KAFKA_SASL_FAILED;
	s->is_known = feed_users_secret(s->users, hash_of(s->mechanism),
	    s->user, strlen(s->user), &s->secret);
	s->step = FINAL;
	return put_challenge(s, nonce, answer) ? KAFKA_SASL_MORE
					       : KAFKA_SASL_FAILED;
}

/* The proof stands last; what is in front of it is what was said. */
static bool
read_proof(const struct kafka_sasl *s, struct kafka_text token,
    size_t *said_bytes, uint8_t *proof)
{
	size_t bytes = scram_bytes(s->secret.hash);
	size_t text = BASE64_BYTES(bytes), used;
	uint8_t room[SCRAM_BYTES_MAX + 2];

	if (token.bytes < text + 3 ||
	    memcmp(token.at + token.bytes - text - 3, ",p=", 3) != 0)
		return false;
	*said_bytes = token.bytes - text - 3;
	if (!base64_read(token.at + token.bytes - text, text, room, &used) ||
	    used != bytes)
		return false;
	memcpy(proof, room, bytes);
	return true;
}

/* Ours with the client's before it. librdkafka before 2.6.1 puts its own in
 * front once more, which Kafka's brokers let pass; the proof is over what was
 * said in any case. */
static bool
is_our_nonce(const struct kafka_sasl *s, struct kafka_text nonce)
{
	size_t bytes = strlen(s->nonce);

	return nonce.bytes >= bytes && nonce.bytes <= bytes + NONCE_MAX &&
	    memcmp(nonce.at + nonce.bytes - bytes, s->nonce, bytes) == 0;
}

/* c=BINDING,r=NONCE[,extensions],p=PROOF */
static enum kafka_sasl_result
take_final(struct kafka_sasl *s, struct kafka_text token, struct buf *answer)
{
	uint8_t proof[SCRAM_BYTES_MAX], signature[SCRAM_BYTES_MAX];
	struct kafka_text rest = token, binding, nonce;
	bool is_proved;
	char *text;

	if (!read_proof(s, token, &rest.bytes, proof))
		return KAFKA_SASL_FAILED;
	buf_add_text(&s->said, ",");
	buf_add(&s->said, token.at, rest.bytes);
	if (s->said.failed || !next_value(&rest, 'c', &binding) ||
	    !kafka_wire_is(binding, s->binding) ||
	    !next_value(&rest, 'r', &nonce) || !is_our_nonce(s, nonce))
		return KAFKA_SASL_FAILED;
	is_proved =
	    scram_is_proved(&s->secret, s->said.bytes, s->said.used, proof);
	if (!is_proved || !s->is_known)
		return KAFKA_SASL_FAILED;
	scram_sign(&s->secret, s->said.bytes, s->said.used, signature);
	text = to_base64((const char *)signature, scram_bytes(s->secret.hash));
	buf_addf(answer, "v=%s", text);
	free(text);
	return answer->failed ? KAFKA_SASL_FAILED : KAFKA_SASL_DONE;
}

enum kafka_sasl_result
kafka_sasl_take(struct kafka_sasl *s, struct kafka_text token, int64_t now_ms,
    struct buf *answer)
{
	enum kafka_sasl_result result = KAFKA_SASL_FAILED;

	if (token.bytes > 0 && token.bytes <= KAFKA_SASL_TOKEN_MAX &&
	    s->step != OVER) {
		if (s->mechanism == KAFKA_SASL_PLAIN)
			result = take_plain(s, token, now_ms);
		else if (s->step == FIRST)
			result = take_first(s, token, answer);
		else
			result = take_final(s, token, answer);
	}
	if (result == KAFKA_SASL_DONE || result == KAFKA_SASL_FAILED)
		s->step = OVER;
	return result;
}

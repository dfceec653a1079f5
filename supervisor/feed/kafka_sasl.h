/*
 * kafka_sasl - who a client is: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512
 *
 * Process: feed. Pure.   After: kafka_request.c.
 * Follows: RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), without channel
 *          binding, as Kafka's clients speak them.
 *
 * One exchange takes the client's tokens in their order and says what is to be
 * sent back. A name that there is not looks like a wrong password.
 */
#pragma once

#include "buf.h"
#include "feed_users.h"
#include "kafka_wire.h"

#define KAFKA_SASL_TOKEN_MAX 2048
#define KAFKA_SASL_NONCE_BYTES 32 /* of ours, as text */

enum kafka_sasl_mechanism {
	KAFKA_SASL_SCRAM_256,
	KAFKA_SASL_SCRAM_512,
	KAFKA_SASL_PLAIN,
	KAFKA_SASL_MECHANISMS,
};

enum kafka_sasl_result {
	KAFKA_SASL_MORE, /* the answer goes out, another token comes */
	KAFKA_SASL_DONE, /* the answer goes out, he is who he says */
	KAFKA_SASL_FAILED, /* he is not; or no such token */
	KAFKA_SASL_BUSY, /* the same token again, a little later */
};

struct kafka_sasl;

const char *kafka_sasl_name(enum kafka_sasl_mechanism);
/* KAFKA_SASL_MECHANISMS: no such one. */
enum kafka_sasl_mechanism kafka_sasl_find(struct kafka_text name);
/* Whether somebody could come in by it. */
bool kafka_sasl_is_usable(enum kafka_sasl_mechanism, const struct feed_users *);

/* nonce: printable, without a comma; random. The users stay the caller's. */
struct kafka_sasl *kafka_sasl_new(enum kafka_sasl_mechanism,
    struct feed_users *, const char *nonce) MUST_CHECK;
void kafka_sasl_free(struct kafka_sasl **);
/* A fresh one of KAFKA_SASL_NONCE_BYTES characters and a NUL. */
void kafka_sasl_nonce(char to[static KAFKA_SASL_NONCE_BYTES + 1]);
/* Adds to the answer what is to be sent back. */
enum kafka_sasl_result kafka_sasl_take(
    struct kafka_sasl *, struct kafka_text token, int64_t now_ms, struct buf *);
/* Who it says it is, as far as it has said; for the log. */
const char *kafka_sasl_user(const struct kafka_sasl *);

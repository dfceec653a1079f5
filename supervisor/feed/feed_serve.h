/*
 * feed_serve - a client's frame becomes an answer, or has to wait
 *
 * Process: feed.   After: feed_link.c has a whole frame.   Before: kafka_*,
 * feed_topic.c.
 *
 * The answer is built in the server's head and pieces, which are the same for
 * all: whoever cannot send them at once keeps a copy. A frame that waits is
 * served again from the beginning.
 */
#pragma once

#include "feed_topic.h"
#include "kafka_sasl.h"
#include "life.h"

/* The head of an answer: all topics with their partitions fit. */
#define FEED_SERVE_HEAD_MAX (4u * MiB)
/* Partitions that one answer has records of: each is written by itself. */
#define FEED_SERVE_PIECES_MAX 256u
/* Errors wait as long as the client would, and at least so long: clients ask
 * again at once. */
#define FEED_SERVE_ERROR_MS 100
#define FEED_SERVE_WAIT_MAX_MS (60 * 1000)
/* Whoever failed to log in is told after that time. */
#define FEED_SERVE_REFUSE_MS 100
/* A password is looked at again after that time (FEED_USERS_BUSY). */
#define FEED_SERVE_BUSY_MS 50

#define FEED_SERVE_BROKERS_MAX (2u * LOG_PEERS_MAX)

enum feed_login {
	FEED_LOGIN_NONE, /* nobody yet: he may ask for versions, and log in */
	FEED_LOGIN_TOKENS, /* SaslAuthenticate comes */
	FEED_LOGIN_RAW, /* a frame is a token (SaslHandshake 0) */
	FEED_LOGIN_DONE, /* or there is no need */
};

/* What is known of one client. */
struct feed_client {
	enum feed_login login;
	struct kafka_sasl *sasl;
	const char *peer; /* for the log */
};

struct feed_server {
	const struct conf *conf;
	struct feed_topics topics;
	struct feed_users *users; /* NULL: everybody may read */
	bool offers_plain;
	struct kafka_answer_broker self;
	struct kafka_text cluster; /* its id */
	struct counters counters;

	/* the answer */
	struct buf head;
	struct feed_piece pieces[FEED_SERVE_PIECES_MAX];
	unsigned piece_count;

	/* private */
	struct kafka_request request;
	/* ascending by node: of a Metadata */
	struct kafka_answer_broker brokers[FEED_SERVE_BROKERS_MAX];
	unsigned broker_count;
	int64_t said_login_ms, said_request_ms;
};

enum feed_served {
	FEED_ANSWERED,
	/* serve it again when a topic has changed, is_late after wait_ms */
	FEED_WAITS,
	/* serve it again after wait_ms */
	FEED_BUSY,
	/* answer, after wait_ms, and close */
	FEED_REFUSED,
	/* close */
	FEED_ENDED,
};

struct feed_call {
	const char *frame; /* without its size */
	size_t bytes;
	int64_t now_ms;
	bool is_late;
	int64_t wait_ms; /* out */
};

/* conf, topics, users, offers_plain, self and cluster are set. */
void feed_serve_init(struct feed_server *);
void feed_serve_fini(struct feed_server *); /* topics and users too */
enum feed_served
feed_serve(struct feed_server *, struct feed_client *, struct feed_call *);
/* A frame that waits is counted (+1), or not any more (−1), at the topics that
 * it waits for. */
void
feed_serve_count(struct feed_server *, const struct feed_call *, int change);
/* Whether one of those topics has changed. */
bool feed_serve_is_due(struct feed_server *, const struct feed_call *);
void feed_serve_client_init(
    const struct feed_server *, struct feed_client *, const char *peer);
void feed_serve_client_fini(struct feed_client *);

/*
 * firehose - one chunk of a batch into one task
 *
 * Process: worker.   After: feed.   Before: http_client.
 * druid-api.md 1.2 to 1.4 has the request and its answers.
 */
#pragma once

#include "base.h"
#include "http_client.h"
#include "place.h"

enum push_result {
	PUSH_TAKEN, /* in the task, now or from an earlier try */
	PUSH_SAME, /* try again with the same sequence: it did not get
			 there, or nobody knows */
	PUSH_ANEW, /* try again with a new sequence: a definite failure
			 after the old one was used up */
	PUSH_ABSENT, /* no such firehose there (not yet, or not any more), or
			 another task's: ask where the task is */
	PUSH_CROWDED, /* the task takes no more producers */
	PUSH_REFUSED, /* it says no to what is in the request, and will again;
			 its sequence is used up */
};

struct push_answer {
	enum push_result result;
	bool skipped; /* TAKEN: from an earlier try */
	bool unreached; /* SAME: the task's address did not answer */
	int status; /* of a refusal that `why` is the text of; else 0 */
	bool vague; /* ANEW: it may be for what is in the request */
	const char *why; /* not TAKEN: one sentence, lent */
};

struct push {
	const char *url; /* of the task's firehose */
	const char *task_id;
	const char *producer;
	uint64_t sequence;
	const char *body; /* stays until `done` */
	size_t body_bytes;
	bool is_smile; /* JSON else */
	int64_t timeout_ms;
	int64_t hold_ms; /* http_client.h: a body that may be there in part */
	http_held_fn *held;
	http_done_fn *done; /* gets what firehose_judge understands */
	void *context;
};

/* The URL of a task's firehose; new, to be freed. */
char *
firehose_url(const char *host, const struct place *, const char *service_name);
struct http_exchange *firehose_push(struct http_client *, const struct push *);
/* What the answer means for the chunk. */
struct push_answer firehose_judge(const struct http_answer *);

/*
 * load_answer - an HTTP answer, as far as a load generator cares
 *
 * Process: tranq-load. Pure.
 */
#pragma once

#include "base.h"

#define LOAD_ANSWER_MAX (64u * KiB) /* head and body */

enum load_answer_result { ANSWER_MORE, ANSWER_DONE, ANSWER_BAD };

struct load_answer {
	int status;
	bool is_close; /* the connection ends behind it */
	size_t head_bytes, bytes; /* of head; of head and body */
	uint64_t received, sent; /* of {"result":{…}} */
	uint64_t dropped, spooled; /* X-Tranq-Dropped, X-Tranq-Spooled */
};

/* DONE: the first answer.bytes are one answer. BAD: no HTTP, or without
 * Content-Length, or larger than LOAD_ANSWER_MAX. Answers 1xx are part of
 * what follows them. */
enum load_answer_result
load_answer_parse(const char *bytes, size_t count, struct load_answer *);

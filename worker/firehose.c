/*
 * firehose - one chunk of a batch into one task
 *
 * Process: worker.
 */
#include "firehose.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "panic.h"

#define HEADER_BYTES 400

char *
firehose_url(const char *host, int port, bool is_tls, const char *service_name)
{
	bool is_ipv6 = strchr(host, ':') != NULL && host[0] != '[';
	char *escaped = http_escape(service_name);
	char *url = must_format("%s://%s%s%s:%d/druid/worker/v1/chat/%s/"
				"push-events",
	    is_tls ? "https" : "http", is_ipv6 ? "[" : "", host,
	    is_ipv6 ? "]" : "", port, escaped);

	free(escaped);
	return url;
}

struct http_exchange *
firehose_push(struct http_client *http, const struct push *p)
{
	char task[HEADER_BYTES], producer[HEADER_BYTES], sequence[64];
	const char *const headers[] = { "Content-Type: application/json", task,
		producer, sequence, NULL };
	struct http_call call = { .url = p->url,
		.body = p->body,
		.body_bytes = p->body_bytes,
		.headers = headers,
		.timeout_ms = p->timeout_ms,
		.done = p->done,
		.context = p->context };

	/* a port that another task has taken over must not get our events */
	snprintf(task, sizeof task, "X-Druid-Task-Id: %s", p->task_id);
	snprintf(producer, sizeof producer, "X-Firehose-Producer-Id: %s",
	    p->producer);
	snprintf(sequence, sizeof sequence, "X-Firehose-Producer-Seq: %" PRIu64,
	    p->sequence);
	return http_send(http, &call);
}

static struct push_answer
judge_refusal(const struct http_answer *a)
{
	struct push_answer p = { .result = PUSH_ABSENT, .why = a->body };

	/* 400, 404 and 503 by version: no such handler; 400: another task's
	 * port. The sequence is recorded only behind these doors. */
	if (a->status == 404 || a->status == 503 || a->status == 400)
		return p;
	if (a->status == 403 && strstr(a->body, "producer ID") != NULL)
		p.result = PUSH_CROWDED;
	else if (a->status >= 500)
		p.result = PUSH_ANEW;
	else
		p.result = PUSH_SAME; /* 401, 403, 415 …: at the door too */
	return p;
}

struct push_answer
firehose_judge(const struct http_answer *a)
{
	struct push_answer p = { .result = PUSH_SAME, .why = a->why };
	struct json *j;

	switch (a->outcome) {
	case HTTP_UNREACHED: p.unreached = true; return p;
	case HTTP_UNKNOWN: return p;
	case HTTP_CUT_SHORT:
		/* the task may have recorded the sequence and cannot have read
		 * the whole body */
		p.result = PUSH_ANEW;
		return p;
	case HTTP_ANSWERED: break;
	}
	if (a->status != 200)
		return judge_refusal(a);
	j = json_parse(a->body, a->body_bytes, NULL);
	p.skipped = json_get_bool(j, "skipped", false);
	json_free(&j);
	p.result = PUSH_TAKEN;
	return p;
}

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
firehose_url(
    const char *host, const struct place *place, const char *service_name)
{
	char *escaped = http_escape(service_name);
	char *server = place_url(host, place);
	char *url = must_format(
	    "%s/druid/worker/v1/chat/%s/push-events", server, escaped);

	free(server);
	free(escaped);
	return url;
}

struct http_exchange *
firehose_push(struct http_client *http, const struct push *p)
{
	char task[HEADER_BYTES], producer[HEADER_BYTES], sequence[64];
	/* Druid compares the whole value: no parameters */
	const char *type = p->is_smile
	    ? "Content-Type: application/x-jackson-smile"
	    : "Content-Type: application/json";
	const char *const headers[] = { type, task, producer, sequence, NULL };
	struct http_call call = { .url = p->url,
		.body = p->body,
		.body_bytes = p->body_bytes,
		.headers = headers,
		.authorize = true,
		.timeout_ms = p->timeout_ms,
		.hold_ms = p->hold_ms,
		.held = p->held,
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

/* 404, 400 or 503 by version: no such handler, or another task's port. Other
 * things say 400 and 503 too (a proxy, a handler that failed behind the door):
 * only Druid's own words count. */
static bool
is_absent(const struct http_answer *a)
{
	if (a->status == 404)
		return true;
	return (a->status == 400 || a->status == 503) &&
	    (strstr(a->body, "chatHandler") != NULL ||
		strstr(a->body, "match with taskId") != NULL);
}

/* Refused before the sequence was recorded: authorization, media type, the
 * producer headers themselves. */
static bool
is_at_door(const struct http_answer *a)
{
	return a->status == 401 || a->status == 403 || a->status == 405 ||
	    a->status == 415 ||
	    (a->status == 400 && strstr(a->body, "Producer sequence") != NULL);
}

/* No to a row, or to the body, by Druid's own words or Jackson's: druid-api.md
 * 1.3. Nothing of such a request is taken. A closed firehose says 500 too, and
 * so does whatever fails behind the door: their words are others. */
static bool
is_refusal(const struct http_answer *a)
{
	static const char *const words[] = { "ParseException", "Unparseable",
		"Unexpected character", "Unrecognized token", "Illegal ",
		"Invalid UTF-8", "Invalid numeric", "Numeric value",
		"Number value length", "String value length",
		"Document nesting depth", "Cannot deserialize",
		"Duplicate field" };

	if (a->status == 413)
		return true;
	if (a->status != 500 || strstr(a->body, "closed firehose") != NULL)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strstr(a->body, words[i]) != NULL)
			return true;
	return false;
}

/* Somebody has to mend something in Druid or in our configuration. */
static const char *
denial(int status)
{
	return status == 401
	    ? "the task answered 401; mend druidBeam.basicAuthUser and "
	      "druidBeam.basicAuthPass"
	    : "the task answered 403; let the user of druidBeam.basicAuthUser "
	      "write this dataSource in Druid";
}

static struct push_answer
judge_refusal(const struct http_answer *a)
{
	struct push_answer p = {
		.result = PUSH_ANEW, .status = a->status, .why = a->body
	};

	/* an error of which nothing is known may have used the sequence up,
	 * and has taken nothing: sent again with the same one, the events
	 * would be skipped and lost */
	if (is_absent(a))
		p.result = PUSH_ABSENT;
	else if (a->status == 403 && strstr(a->body, "producer ID") != NULL)
		p.result = PUSH_CROWDED;
	else if (is_at_door(a))
		p.result = PUSH_SAME;
	else if (is_refusal(a))
		p.result = PUSH_REFUSED;
	else
		p.vague = a->status == 500 &&
		    strstr(a->body, "closed firehose") == NULL;
	if (p.result == PUSH_SAME && (a->status == 401 || a->status == 403)) {
		p.status = 0;
		p.why = denial(a->status);
	}
	return p;
}

struct push_answer
firehose_judge(const struct http_answer *a)
{
	struct push_answer p = { .result = PUSH_SAME, .why = a->why };
	struct json *j;

	switch (a->outcome) {
	case HTTP_UNREACHED: p.unreached = true; return p;
	case HTTP_UNKNOWN:
		/* a refusal that broke off is one: its text is lost, and the
		 * sequence may be used up all the same. But nobody is to blame
		 * its events for that */
		if (a->status >= 400)
			p = judge_refusal(a);
		p.vague = false;
		return p;
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
	if (json_is_int(json_get(j, "eventCount"))) {
		p.result = PUSH_TAKEN;
	} else {
		/* some other program has the task's port by now */
		p.result = PUSH_ABSENT;
		p.why = "what answers 200 there is no firehose";
	}
	json_free(&j);
	return p;
}

/*
 * fuzz_overlord - any answers of an Overlord and of tasks
 *
 * A line of the input is an answer: a byte for the outcome, a byte for the
 * status, then the body; those of the HTTP client are played. Every ask ends
 * once, after a bounded number of requests, and what it brings is in bounds.
 */
#include <stdlib.h>
#include <string.h>

#include "druid.h"
#include "firehose.h"
#include "fuzz_input.h"
#include "one_ds.h"
#include "overlord.h"

#define TASK_ID "index_realtime_foo"
#define REQUESTS_MAX 10 /* of one ask: redirects, twice */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- the HTTP client, as overlord.c sees it ---- */

static struct {
	struct http_call call;
	bool is_open;
	unsigned requests, ended, found;
} fake;

struct http_exchange *
http_send(struct http_client *c UNUSED, const struct http_call *call)
{
	must(!fake.is_open && fake.requests++ < REQUESTS_MAX);
	must(strlen(call->url) > 0);
	fake.call = *call;
	fake.is_open = true;
	return (struct http_exchange *)(void *)&fake;
}

void
http_cancel(struct http_client *c UNUSED, struct http_exchange **x)
{
	*x = NULL;
	fake.is_open = false;
}

char *
http_escape(const char *text)
{
	return must_strdup(text);
}

/* ---- answers ---- */

static void
check_text(const char *text, size_t bytes_max)
{
	must(text != NULL && strlen(text) < bytes_max);
}

static void
check_push(const struct http_answer *answer)
{
	struct push_answer p = firehose_judge(answer);

	must(p.result == PUSH_TAKEN || p.why != NULL);
	/* only Druid's own count says that it has the events */
	must(p.result != PUSH_TAKEN ||
	    strstr(answer->body, "eventCount") != NULL ||
	    strchr(answer->body, '\\') != NULL);
	must(p.result != PUSH_TAKEN || answer->status == 200);
}

static void
answer_next(struct fuzz_input *in)
{
	static const int statuses[] = { 200, 307, 308, 302, 400, 401, 403, 404,
		405, 415, 429, 500, 503, 100, 204, 999 };
	uint8_t outcome = fuzz_byte(in), status = fuzz_byte(in);
	char *body = fuzz_line(in);
	struct http_answer answer = { .outcome = HTTP_ANSWERED,
		.status = statuses[status % ARRAY_LEN(statuses)],
		.body = body,
		.body_bytes = strlen(body),
		.redirect = outcome & 4 && *body != '\0' ? body : NULL,
		.why = "it broke" };

	if (outcome % 8 == 7)
		answer.outcome = (enum http_outcome)(outcome >> 3 & 3);
	if (answer.outcome != HTTP_ANSWERED)
		answer.body = "";
	check_push(&answer);
	fake.is_open = false;
	fake.call.done(fake.call.context, &answer);
	free(body);
}

/* ---- asks ---- */

static void
submitted(void *context UNUSED, enum result result, const char *why)
{
	must(result == RESULT_OK || result == RESULT_REFUSED ||
	    result == RESULT_RETRY);
	must(result == RESULT_OK || why != NULL);
	fake.ended++;
}

static void
known(void *context UNUSED, enum result result, const struct task_status *s)
{
	fake.ended++;
	must(result == RESULT_OK || result == RESULT_RETRY);
	if (result != RESULT_OK)
		return;
	check_text(s->host, sizeof s->host);
	check_text(s->error, sizeof s->error);
	check_text(task_state_name(s->state), 20);
	must(s->host[0] == '\0' ||
	    (s->place.port > 0 && s->place.port <= 65535));
	if (s->host[0] != '\0')
		free(place_url(s->host, &s->place));
}

static void
told(void *context UNUSED, enum result result, int64_t shutoff_ms)
{
	must(result == RESULT_OK || shutoff_ms == INT64_MAX);
	fake.ended++;
}

static void
reported(void *context UNUSED, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct task_report r;

	fake.ended++;
	must(result == RESULT_OK || (result == RESULT_RETRY && why != NULL));
	if (result == RESULT_OK && overlord_read_report(answer, &r))
		must(answer->status == 200);
}

static void
seen(void *context UNUSED, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct druid_facts f;

	fake.ended++;
	must(result == RESULT_OK || (result == RESULT_RETRY && why != NULL));
	if (result != RESULT_OK || !druid_read(answer, &f))
		return;
	must(answer->status == 200 && f.version[0] >= '0' &&
	    f.version[0] <= '9' && (f.has_major || f.major == 0));
	check_text(f.version, sizeof f.version);
}

static void
find(void *context UNUSED, struct overlord *o UNUSED)
{
	fake.found++;
}

static void
ask(struct overlord *o, uint8_t question, struct fuzz_input *in)
{
	fake.requests = fake.ended = 0;
	switch (question < 0x80 ? question % 4 : 4) {
	case 0: overlord_submit(o, must_strdup("{}"), submitted, NULL); break;
	case 1: (void)overlord_status(o, TASK_ID, known, NULL); break;
	case 2: (void)overlord_shutoff(o, TASK_ID, told, NULL); break;
	case 4: (void)overlord_self(o, seen, NULL); break;
	default: (void)overlord_report(o, TASK_ID, reported, NULL);
	}
	while (fake.is_open)
		answer_next(in); /* empty ones when the input is at its end */
	must(fake.ended == 1);
	check_text(overlord_where(o), OVERLORD_WHY_BYTES);
}

/* One with two URLs, one with TLS only and a password. */
static struct conf *
conf_of(uint8_t choice)
{
	static struct conf *made[2];
	struct conf **c = &made[choice & 1];

	if (*c == NULL)
		*c = one_ds(NULL,
		    choice & 1 ? "\"druid.overlord.url\":\"https://a:1\","
				 "\"druid.tls.enable\":true,"
				 "\"druidBeam.basicAuthUser\":\"u\","
				 "\"druidBeam.basicAuthPass\":\"p\""
			       : "\"druid.overlord.url\":\"http://a:1,"
				 "http://b:2/\"");
	return *c;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input in = { data, data + bytes };
	struct overlord *o;

	if (bytes < 2)
		return 0;
	fuzz_silence();
	o = overlord_new(NULL, &conf_of(fuzz_byte(&in))->ds[0], find, NULL);
	for (unsigned i = 0; i < 16 && in.at < in.end; i++)
		ask(o, fuzz_byte(&in), &in);
	must(fake.found == 0); /* there are URLs */
	overlord_free(&o);
	return 0;
}

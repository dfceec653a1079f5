/*
 * overlord - the index service: takes tasks, knows their state and place
 *
 * Process: worker.
 */
#include "overlord.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "iso.h"
#include "json.h"
#include "log.h"
#include "panic.h"

/* A request, at most; indexRetryPeriod may be less. */
#define STATUS_TIMEOUT_MS 10000
#define SUBMIT_TIMEOUT_MS 30000
#define URLS_MAX 16
#define HOPS_MAX 4
#define API "druid/indexer/v1"

enum question {
	ASK_SUBMIT,
	ASK_STATUS,
	ASK_RUNNING,
	ASK_PAYLOAD,
	ASK_SELF,
	ASK_OTHER
};

struct overlord_ask {
	struct overlord *overlord;
	TAILQ_ENTRY(overlord_ask) link;
	bool is_waiting; /* for a URL; else sent */
	unsigned place; /* overlord.place when it was sent */
	unsigned hops; /* redirects followed */
	enum question question;
	char *body; /* what is posted, or NULL */
	char *path; /* self, other */
	char *task_id; /* status */
	char *url;
	overlord_submit_fn *submitted;
	overlord_status_fn *known;
	overlord_shutoff_fn *told;
	overlord_answer_fn *heard;
	void *context;
	struct http_exchange *exchange;
};

struct overlord {
	struct http_client *http;
	const struct ds_conf *ds;
	overlord_find_fn *find;
	void *find_context;
	char *urls[URLS_MAX]; /* from the configuration */
	unsigned url_count, url_at;
	char *found; /* by the resolver */
	char *last; /* the one before */
	unsigned place; /* counts the changes of where it is */
	bool finding;
	TAILQ_HEAD(, overlord_ask) asks;
	char where[OVERLORD_WHY_BYTES];
	bool changed; /* since it was asked for */
	int64_t complained_ms;
};

static void answered(void *context, const struct http_answer *);

const char *
task_state_name(enum task_state state)
{
	static const char *const names[] = { "unknown", "waiting", "running",
		"success", "failed", "absent" };

	must((size_t)state < ARRAY_LEN(names));
	return names[state];
}

static void
read_urls(struct overlord *o)
{
	char *all = must_strdup(o->ds->overlord_url), *rest = all, *one;

	while ((one = strsep(&rest, ", ")) != NULL && o->url_count < URLS_MAX) {
		size_t n = strlen(one);

		while (n > 0 && one[n - 1] == '/')
			one[--n] = '\0';
		if (n > 0)
			o->urls[o->url_count++] = must_strdup(one);
	}
	free(all);
}

struct overlord *
overlord_new(struct http_client *http, const struct ds_conf *ds,
    overlord_find_fn *find, void *context)
{
	struct overlord *o = must_calloc(1, sizeof *o);

	o->http = http;
	o->ds = ds;
	TAILQ_INIT(&o->asks);
	o->find = find;
	o->find_context = context;
	read_urls(o);
	snprintf(o->where, sizeof o->where, "%s",
	    o->url_count > 0 ? o->urls[0] : "not looked for yet");
	return o;
}

static void
free_ask(struct overlord_ask *a)
{
	TAILQ_REMOVE(&a->overlord->asks, a, link);
	if (a->exchange != NULL)
		http_cancel(a->overlord->http, &a->exchange);
	free(a->body);
	free(a->path);
	free(a->task_id);
	free(a->url);
	free(a);
}

void
overlord_free(struct overlord **overlord)
{
	struct overlord *o = *overlord;

	if (o == NULL)
		return;
	*overlord = NULL;
	while (!TAILQ_EMPTY(&o->asks))
		free_ask(TAILQ_FIRST(&o->asks));
	for (unsigned i = 0; i < o->url_count; i++)
		free(o->urls[i]);
	free(o->found);
	free(o->last);
	free(o);
}

const char *
overlord_where(const struct overlord *o)
{
	return o->where;
}

const char *
overlord_last(const struct overlord *o)
{
	return o->last;
}

bool
overlord_changed(struct overlord *o)
{
	bool changed = o->changed;

	o->changed = false;
	return changed;
}

static void
set_where(struct overlord *o, const char *text)
{
	char before[OVERLORD_WHY_BYTES];

	memcpy(before, o->where, sizeof before);
	snprintf(o->where, sizeof o->where, "%s", text);
	o->changed |= strcmp(before, o->where) != 0;
}

static const char *
base_url(const struct overlord *o)
{
	return o->url_count > 0 ? o->urls[o->url_at] : o->found;
}

/* The next URL, or another look: the one that was asked did not serve. Of
 * several asks that failed there only the first one moves on. */
static void
distrust(struct overlord *o, const struct overlord_ask *a)
{
	if (a->place != o->place)
		return;
	o->place++;
	if (o->url_count > 0) {
		o->url_at = (o->url_at + 1) % o->url_count;
		return;
	}
	free(o->last);
	o->last = o->found;
	o->found = NULL;
}

/* ---- asking ---- */

static char *
url_of(const struct overlord_ask *a)
{
	const char *base = base_url(a->overlord);
	char *escaped, *url;

	if (a->path != NULL)
		return must_format("%s/%s", base, a->path);
	if (a->question == ASK_SUBMIT)
		return must_format("%s/" API "/task", base);
	if (a->question == ASK_RUNNING)
		return must_format("%s/" API "/runningTasks", base);
	escaped = http_escape(a->task_id);
	url = must_format("%s/" API "/task/%s%s", base, escaped,
	    a->question == ASK_PAYLOAD ? "" : "/status");
	free(escaped);
	return url;
}

/* Of "http://host:port" at its beginning; 0: there is none. */
static size_t
server_bytes(const char *url)
{
	const char *host = strstr(url, "://");

	return host != NULL
	    ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#")
	    : 0;
}

/* "http://host:port" of both is the same. */
static bool
same_server(const char *url, const char *other)
{
	size_t bytes = server_bytes(url);

	return bytes > 0 && strncasecmp(url, other, bytes) == 0 &&
	    strchr("/?#", other[bytes]) != NULL;
}

/* User and password go to servers that were named to us, whoever redirects
 * there. */
static bool
is_ours(const struct overlord *o, const char *url)
{
	for (unsigned i = 0; i < o->url_count; i++)
		if (same_server(url, o->urls[i]))
			return true;
	return o->found != NULL && same_server(url, o->found);
}

/* To a->url. */
static void
send_there(struct overlord_ask *a)
{
	static const char *const json[] = { "Content-Type: application/json",
		NULL };
	struct http_call call = { .url = a->url,
		.headers = json,
		.authorize = is_ours(a->overlord, a->url),
		.done = answered,
		.context = a,
		.body = a->body };

	call.body_bytes = a->body != NULL ? strlen(a->body) : 0;
	call.timeout_ms = MIN_OF(a->overlord->ds->index_retry_ms,
	    a->body != NULL ? SUBMIT_TIMEOUT_MS : STATUS_TIMEOUT_MS);
	a->exchange = http_send(a->overlord->http, &call);
}

static void
send_ask(struct overlord_ask *a)
{
	free(a->url);
	a->url = url_of(a);
	a->hops = 0;
	a->is_waiting = false;
	a->place = a->overlord->place;
	send_there(a);
}

/* An Overlord that is not the leader names the one that is. False: that is no
 * place to go to. */
static bool
follow(struct overlord_ask *a, const char *to)
{
	if (to == NULL || a->hops++ == HOPS_MAX ||
	    (a->overlord->ds->tls_enable &&
		strncasecmp(to, "https://", 8) != 0))
		return false;
	free(a->url);
	a->url = must_strdup(to);
	send_there(a);
	return true;
}

static void
conclude(struct overlord_ask *a, enum result result, const char *why,
    const struct task_status *status)
{
	if (result == RESULT_RETRY &&
	    log_may_repeat(&a->overlord->complained_ms, 10000))
		log_warnx("Overlord (%s): %s; tried again until it answers",
		    a->overlord->where, why);
	if (a->question == ASK_SUBMIT)
		a->submitted(a->context, result, why);
	else if (a->heard != NULL)
		a->heard(a->context, result, NULL, why);
	else if (a->question == ASK_PAYLOAD)
		a->told(a->context, result, INT64_MAX);
	else
		a->known(a->context, result, status);
	free_ask(a);
}

static void
ask(struct overlord_ask *a)
{
	struct overlord *o = a->overlord;

	if (base_url(o) != NULL) {
		send_ask(a);
		return;
	}
	a->is_waiting = true;
	if (o->finding)
		return;
	o->finding = true;
	o->find(o->find_context, o);
}

static struct overlord_ask *
first_waiting(const struct overlord *o, unsigned *count)
{
	struct overlord_ask *a, *first = NULL;

	*count = 0;
	TAILQ_FOREACH(a, &o->asks, link)
	{
		if (!a->is_waiting)
			continue;
		if (first == NULL)
			first = a;
		++*count;
	}
	return first;
}

void
overlord_found(struct overlord *o, const char *url, const char *why)
{
	struct overlord_ask *a;
	unsigned left, count;

	o->finding = false;
	o->place++;
	free(o->found);
	o->found = url != NULL ? must_strdup(url) : NULL;
	set_where(o, url != NULL ? url : why);
	/* those that come up meanwhile wait for the next look */
	first_waiting(o, &left);
	for (; left > 0 && (a = first_waiting(o, &count)) != NULL; left--) {
		if (url != NULL)
			send_ask(a);
		else
			conclude(a, RESULT_RETRY, why, NULL);
	}
}

static struct overlord_ask *
new_ask(struct overlord *o, enum question question, void *context)
{
	struct overlord_ask *a = must_calloc(1, sizeof *a);

	a->overlord = o;
	a->question = question;
	a->context = context;
	TAILQ_INSERT_TAIL(&o->asks, a, link);
	return a;
}

void
overlord_submit(struct overlord *o, char *task_json, overlord_submit_fn *done,
    void *context)
{
	struct overlord_ask *a = new_ask(o, ASK_SUBMIT, context);

	a->body = task_json;
	a->submitted = done;
	ask(a);
}

struct overlord_ask *
overlord_status(struct overlord *o, const char *task_id,
    overlord_status_fn *done, void *context)
{
	struct overlord_ask *a = new_ask(o, ASK_STATUS, context);

	a->task_id = must_strdup(task_id);
	a->known = done;
	ask(a);
	return a;
}

struct overlord_ask *
overlord_shutoff(struct overlord *o, const char *task_id,
    overlord_shutoff_fn *done, void *context)
{
	struct overlord_ask *a = new_ask(o, ASK_PAYLOAD, context);

	a->task_id = must_strdup(task_id);
	a->told = done;
	ask(a);
	return a;
}

static struct overlord_ask *
ask_path(struct overlord_ask *a, const char *path, overlord_answer_fn *done)
{
	a->path = must_strdup(path);
	a->heard = done;
	ask(a);
	return a;
}

struct overlord_ask *
overlord_call(struct overlord *o, const char *path, char *body,
    overlord_answer_fn *done, void *context)
{
	struct overlord_ask *a = new_ask(o, ASK_OTHER, context);

	a->body = body;
	return ask_path(a, path, done);
}

struct overlord_ask *
overlord_self(struct overlord *o, overlord_answer_fn *done, void *context)
{
	return ask_path(new_ask(o, ASK_SELF, context), "status", done);
}

struct overlord_ask *
overlord_report(struct overlord *o, const char *task_id,
    overlord_answer_fn *done, void *context)
{
	char *id = http_escape(task_id);
	char *path = must_format(API "/task/%s/reports", id);
	struct overlord_ask *a = overlord_call(o, path, NULL, done, context);

	free(path);
	free(id);
	return a;
}

void
overlord_cancel(struct overlord_ask **ask_to_end)
{
	struct overlord_ask *a = *ask_to_end;

	*ask_to_end = NULL;
	if (a != NULL)
		free_ask(a);
}

/* ---- answers ---- */

static int
get_port(const struct json *location, const char *name)
{
	int64_t port = json_get_int(location, name, -1);

	return port > 0 && port <= 65535 ? (int)port : -1;
}

/* Whether it has a place; into the status only goes one that may be used. */
static bool
has_place(const struct ds_conf *ds, const struct json *location,
    struct task_status *s)
{
	const char *host = json_get_text(location, "host", NULL);
	int port = get_port(location, "port");
	int tls_port = get_port(location, "tlsPort");

	if (host == NULL || (port < 0 && tls_port < 0))
		return false;
	if (place_choose(&s->place, ds->tls_enable, port, tls_port))
		snprintf(s->host, sizeof s->host, "%s", host);
	else
		s->lacks_tls = true;
	return true;
}

static enum task_state
state_of(const struct json *status, bool has_location)
{
	const char *code = json_get_text(
	    status, "statusCode", json_get_text(status, "status", ""));
	const char *runner = json_get_text(status, "runnerStatusCode", "");

	if (strcmp(code, "SUCCESS") == 0)
		return TASK_SUCCESS;
	if (strcmp(code, "FAILED") == 0)
		return TASK_FAILED;
	if (strcmp(code, "RUNNING") != 0)
		return TASK_UNKNOWN;
	if (has_location || strcmp(runner, "RUNNING") == 0)
		return TASK_RUNNING;
	return TASK_WAITING;
}

static struct task_status
read_status(const struct ds_conf *ds, const struct json *status)
{
	struct task_status s = { 0 };
	bool has_location = has_place(ds, json_get(status, "location"), &s);

	s.state = state_of(status, has_location);
	snprintf(s.error, sizeof s.error, "%s",
	    json_get_text(status, "errorMsg", ""));
	return s;
}

/* Before 0.13 a status has no location, and the list of running tasks has. */
static void
look_into_running(struct overlord_ask *a, const struct json *list)
{
	struct task_status s = { .state = TASK_WAITING };

	for (size_t i = 0; i < json_size(list); i++) {
		const struct json *one = json_at(list, i);

		if (strcmp(json_get_text(one, "id", ""), a->task_id) != 0)
			continue;
		s.state = TASK_RUNNING;
		has_place(a->overlord->ds, json_get(one, "location"), &s);
	}
	conclude(a, RESULT_OK, NULL, &s);
}

static void
take_status(struct overlord_ask *a, const struct http_answer *answer)
{
	struct json *j = json_parse(answer->body, answer->body_bytes, NULL);
	struct task_status s = { .state = TASK_ABSENT };

	/* a 404 that does not name the task is some other server's; JSON up
	 * to Druid 26, plain text in 28 */
	if (answer->status == 404 && strstr(answer->body, a->task_id) != NULL) {
		conclude(a, RESULT_OK, NULL, &s);
	} else if (a->question == ASK_RUNNING && json_is_array(j)) {
		look_into_running(a, j);
	} else if (a->question == ASK_STATUS &&
	    json_is_object(json_get(j, "status"))) {
		s = read_status(a->overlord->ds, json_get(j, "status"));
		if (json_get(json_get(j, "status"), "location") == NULL &&
		    s.state == TASK_WAITING) {
			a->question = ASK_RUNNING;
			send_ask(a);
		} else {
			conclude(a, RESULT_OK, NULL, &s);
		}
	} else {
		conclude(
		    a, RESULT_RETRY, "its status answer makes no sense", NULL);
	}
	json_free(&j);
}

/* Of the outermost firehose that has one. */
static int64_t
shutoff_of(const struct json *payload)
{
	const struct json *spec = json_get(payload, "spec"), *at;
	const char *text;
	int64_t ms;

	at = json_get(json_get(spec, "ioConfig"), "firehose");
	for (int depth = 0; at != NULL && depth < 8; depth++) {
		text = json_get_text(at, "shutoffTime", NULL);
		if (text != NULL && iso_parse(text, strlen(text), ISO_T, &ms))
			return ms;
		at = json_get(at, "delegate");
	}
	return INT64_MAX;
}

static void
take_payload(struct overlord_ask *a, const struct http_answer *answer)
{
	struct json *j = json_parse(answer->body, answer->body_bytes, NULL);
	const struct json *payload = json_get(j, "payload");

	if (json_is_object(payload)) {
		a->told(a->context, RESULT_OK, shutoff_of(payload));
		free_ask(a);
	} else {
		conclude(a, RESULT_RETRY, "its answer has no task", NULL);
	}
	json_free(&j);
}

static uint64_t
rows_of(const struct json *rows, const char *name)
{
	return (uint64_t)MAX_OF(json_get_int(rows, name, 0), 0);
}

/* druid-api.md 5.3. The state is set behind the publication, and the message
 * beside it when that has failed. */
bool
overlord_read_report(
    const struct overlord_answer *answer, struct task_report *to)
{
	struct json *j = answer->status == 200
	    ? json_parse(answer->body, answer->body_bytes, NULL)
	    : NULL;
	const struct json *payload =
	    json_get(json_get(j, "ingestionStatsAndErrors"), "payload");
	const struct json *rows =
	    json_get(json_get(payload, "rowStats"), "buildSegments");
	bool is_there = json_is_object(j);

	*to = (struct task_report){
		.is_complete =
		    strcmp(json_get_text(payload, "ingestionState", ""),
			"COMPLETED") == 0 &&
		    !json_is_text(json_get(payload, "errorMsg")),
		.unparseable = rows_of(rows, "unparseable"),
		.thrown_away = rows_of(rows, "thrownAway"),
		.with_error = rows_of(rows, "processedWithError")
	};
	json_free(&j);
	return is_there;
}

static void
take_submit(struct overlord_ask *a, const struct http_answer *answer)
{
	struct json *j = json_parse(answer->body, answer->body_bytes, NULL);
	bool taken = json_text(json_get(j, "task"), NULL) != NULL;

	json_free(&j);
	/* the id is ours and made from the interval: whoever made the task
	 * made this one (204 of the original) */
	if ((answer->status == 200 && taken) ||
	    (answer->status == 400 &&
		strstr(answer->body, "already exists") != NULL))
		conclude(a, RESULT_OK, NULL, NULL);
	else if (answer->status == 200)
		conclude(a, RESULT_RETRY, "its answer to a task makes no sense",
		    NULL);
	else
		conclude(a, RESULT_REFUSED, answer->body, NULL);
}

static void
take_other(struct overlord_ask *a, const struct http_answer *answer)
{
	char *server = must_format("%.*s", (int)server_bytes(a->url), a->url);
	struct overlord_answer other = { .status = answer->status,
		.body = answer->body,
		.body_bytes = answer->body_bytes,
		.server = server };

	a->heard(a->context, RESULT_OK, &other, NULL);
	free(server);
	free_ask(a);
}

/* 401 or 403: somebody has to mend something, and the events wait. */
static void
denied(const struct overlord_ask *a, int status, char why[OVERLORD_WHY_BYTES])
{
	const struct ds_conf *ds = a->overlord->ds;
	bool is_sent = is_ours(a->overlord, a->url);

	if (*ds->basic_user == '\0' || *ds->basic_password == '\0')
		snprintf(why, OVERLORD_WHY_BYTES,
		    "%s answered %d; give druidBeam.basicAuthUser and "
		    "druidBeam.basicAuthPass",
		    a->url, status);
	else if (!is_sent)
		snprintf(why, OVERLORD_WHY_BYTES,
		    "%s answered %d; a redirect led there, and the password "
		    "goes to the servers in druid.overlord.url only: name it "
		    "there",
		    a->url, status);
	else if (status == 401)
		snprintf(why, OVERLORD_WHY_BYTES,
		    "%s answered 401 to user '%.100s'; mend "
		    "druidBeam.basicAuthUser and druidBeam.basicAuthPass",
		    a->url, ds->basic_user);
	else
		snprintf(why, OVERLORD_WHY_BYTES,
		    "%s answered 403; let user '%.100s' read and write "
		    "dataSource %.100s in Druid",
		    a->url, ds->basic_user, ds->name);
}

static void
give_up(struct overlord_ask *a, const char *why)
{
	struct overlord *o = a->overlord;

	set_where(o, why);
	distrust(o, a);
	conclude(a, RESULT_RETRY, why, NULL);
}

static bool
is_redirect(int status)
{
	return status == 307 || status == 308;
}

static bool
not_now(int status)
{
	return status >= 500 || status == 429 ||
	    (status >= 300 && status < 400);
}

static void
answered(void *context, const struct http_answer *answer)
{
	struct overlord_ask *a = context;
	struct overlord *o = a->overlord;
	char why[OVERLORD_WHY_BYTES];

	a->exchange = NULL;
	if (answer->outcome != HTTP_ANSWERED) {
		snprintf(why, sizeof why, "%s: %s", a->url, answer->why);
		give_up(a, why);
		return;
	}
	if (is_redirect(answer->status) && follow(a, answer->redirect))
		return;
	if (a->question != ASK_SELF &&
	    (answer->status == 401 || answer->status == 403)) {
		denied(a, answer->status, why);
		give_up(a, why);
		return;
	}
	if (not_now(answer->status)) {
		snprintf(why, sizeof why, "%s answered %d %.200s", a->url,
		    answer->status, answer->body);
		give_up(a, why);
		return;
	}
	if (base_url(o) != NULL &&
	    (a->question != ASK_SELF || answer->status == 200))
		set_where(o, base_url(o));
	if (a->heard != NULL)
		take_other(a, answer);
	else if (a->question == ASK_SUBMIT)
		take_submit(a, answer);
	else if (a->question == ASK_PAYLOAD)
		take_payload(a, answer);
	else
		take_status(a, answer);
}

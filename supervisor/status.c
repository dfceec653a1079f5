/*
 * status - the document that `tranqctl status` prints
 *
 * Process: supervisor.   After: control asks.
 * Owns:    nothing; reads life pages and channel headers.
 */
#include "status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "log.h"
#include "panic.h"

#include "supervisor.h"

static const char *const phase_names[] = {
	[SUPERVISOR_STARTING] = "starting",
	[SUPERVISOR_RUNNING] = "running",
	[SUPERVISOR_STOPS_FRONTS] = "stopping",
	[SUPERVISOR_STOPS_WORKERS] = "draining",
};

#define KIND_WORKER_TOTAL 1u
#define KIND_WORKER_GAUGE 1u
#define KIND_WORKER_EVENT 1u
#define KIND_RECEIVER_EVENT 2u
#define KIND_FEED_EVENT 4u
#define KIND_SERVER_EVENT (KIND_RECEIVER_EVENT | KIND_FEED_EVENT)

static struct json *
counters_of(const struct counters *c, unsigned kinds)
{
	struct json *o = json_new_object();

#define COUNTER(kind, member, name, ...) \
	if ((KIND_##kind & kinds) != 0)  \
		json_set_int(o, name, (int64_t)c->member);
#include "counters.def"
#undef COUNTER
	return o;
}

static void
set_rate(struct json *o, const char *name, double per_second)
{
	/* one decimal is all that the measurement gives */
	json_set(o, name,
	    json_new_number((double)(int64_t)(per_second * 10 + 0.5) / 10));
}

static struct json *
last_death_of(const struct child *c)
{
	const struct death *d = restart_death(&c->history, 0);
	struct json *o;
	char how[96];

	if (d == NULL)
		return json_new_null();
	restart_describe(d, how, sizeof how);
	o = json_new_object();
	json_set_int(o, "at", d->at_wall_ms);
	json_set_int(o, "pid", d->pid);
	json_set_text(o, "how", how);
	json_set_int(o, "livedMs", d->lived_ms);
	json_set_bool(o, "wasReady", d->ready_ms >= 0);
	json_set_text(o, "lastWords", d->text);
	return o;
}

static struct json *
deaths_of(const struct child *c)
{
	struct json *list = json_new_array();

	for (unsigned back = 0; back < RESTART_HISTORY; back++) {
		const struct death *d = restart_death(&c->history, back);
		struct json *o;

		if (d == NULL)
			break;
		o = json_new_object();
		json_set_int(o, "at", d->at_wall_ms);
		json_set_int(o, "pid", d->pid);
		json_set_int(o, "status", d->status);
		json_set_int(o, "livedMs", d->lived_ms);
		json_append(list, o);
	}
	return list;
}

static void
describe_child(struct json *o, const struct child *c)
{
	char text[400];
	char confined[LIFE_CONFINED_BYTES];

	json_set_int(o, "pid", c->pid);
	json_set_text(o, "state", child_state_name(c->state));
	child_confined(c, confined);
	json_set_text(o, "confined", confined);
	json_set_int(o, "refusedCalls",
	    (int64_t)atomic_load_explicit(
		&c->life->refused, memory_order_relaxed));
	json_set_int(o, "restarts",
	    c->incarnation > 0 ? (int64_t)c->incarnation - 1 : 0);
	json_set_int(o, "deathCount", (int64_t)c->history.count);
	json_set(o, "lastDeath", last_death_of(c));
	json_set(o, "deaths", deaths_of(c));
	if (child_silent_ms(c) > 0) {
		child_silence(c, text, sizeof text);
		json_set_int(o, "silentMs", child_silent_ms(c));
		json_set_text(o, "silence", text);
	}
	if (child_next_start_ms(c) >= 0)
		json_set_int(o, "nextStartMs", child_next_start_ms(c));
}

static struct json *
describe_front(struct front *f, int64_t now_ms)
{
	struct json *o = json_new_object(), *rates = json_new_object();
	double per_second[RATE_VALUES];

	front_rates(f, now_ms, per_second);
	json_set_int(o, "index", f->index);
	describe_child(o, &f->child);
	json_set_int(o, "connections", (int64_t)f->child.counters.connections);
	json_set(o, "counters",
	    counters_of(&f->child.counters, KIND_RECEIVER_EVENT));
	set_rate(rates, "requestsPerSecond", per_second[0]);
	set_rate(rates, "bytesInPerSecond", per_second[1]);
	json_set(o, "rates", rates);
	return o;
}

/* A child's own document; raw when it is none. */
static struct json *
child_text(const char *text)
{
	struct json_error error;
	struct json *o;

	if (text[0] == '\0')
		return json_new_null();
	o = json_parse(text, strlen(text), &error);
	return o != NULL ? o : json_new_text(text);
}

static struct json *
describe_feed(const struct supervisor *s)
{
	static char text[LIFE_TEXT_BYTES];
	struct child *c;
	struct json *o;

	if (s->feeder == NULL)
		return json_new_null();
	o = json_new_object();
	c = &s->feeder->child;
	child_counters(c, text);
	describe_child(o, c);
	json_set_int(o, "port", s->ports[PORT_PULL]);
	json_set_int(o, "connections", (int64_t)c->counters.connections);
	json_set(o, "counters", counters_of(&c->counters, KIND_FEED_EVENT));
	json_set(o, "log", child_text(text));
	return o;
}

/* Where every event is. What the worker has counted durably must add up by
 * itself; what is on its way in rings has been received and is nowhere else,
 * so it stands on both sides. */
static struct json *
accounts_of(const struct counters *c, const struct source_sums *sums)
{
	struct json *o = json_new_object(), *dropped = json_new_object();
	uint64_t elsewhere = c->sent + c->spool_events + c->dead +
	    c->quarantined + c->dropped_window + c->archived + c->appended +
	    c->dropped_dead;

	json_set_int(o, "received", (int64_t)(c->received + sums->in_rings));
	json_set_int(o, "sent", (int64_t)c->sent);
	json_set_int(o, "spool", (int64_t)c->spool_events);
	json_set_int(o, "deadLetters", (int64_t)c->dead);
	json_set_int(o, "quarantined", (int64_t)c->quarantined);
	json_set_int(o, "archived", (int64_t)c->archived);
	json_set_int(o, "appended", (int64_t)c->appended);
	json_set_int(dropped, "window", (int64_t)c->dropped_window);
	json_set_int(dropped, "deadLetters", (int64_t)c->dropped_dead);
	json_set(o, "dropped", dropped);
	json_set_int(o, "inRings", (int64_t)sums->in_rings);
	json_set_int(o, "difference", (int64_t)(c->received - elsewhere));
	json_set_bool(o, "holds", c->received == elsewhere);
	return o;
}

static void
describe_requests(struct json *o, const struct source_sums *sums)
{
	struct json *r = json_new_object();

	json_set_int(r, "requests", (int64_t)sums->requests);
	json_set_int(r, "refusedFull", (int64_t)sums->refused_full);
	json_set_int(r, "refusedDraining", (int64_t)sums->refused_draining);
	json_set_int(r, "refusedMalformed", (int64_t)sums->refused_malformed);
	json_set(o, "requests", r);
}

/* 0: nothing waits. The time is the worker's word. */
static int64_t
age_ms(uint64_t since_ms)
{
	uint64_t now_ms = (uint64_t)clock_wall_ms();

	return since_ms == 0 || since_ms > now_ms
	    ? 0
	    : (int64_t)(now_ms - since_ms);
}

static struct json *
describe_source(struct source *src, int64_t now_ms, bool with_text)
{
	static char text[LIFE_TEXT_BYTES];
	struct json *o = json_new_object(), *rates = json_new_object();
	struct json *worker = json_new_object();
	const struct counters *c = &src->worker.counters;
	struct source_sums sums;
	double per_second[RATE_VALUES];

	source_rates(src, now_ms, per_second);
	/* the rings first: what is taken meanwhile is counted in both, not in
	 * none */
	source_sums(src, &sums);
	child_counters(&src->worker, with_text ? text : NULL);
	json_set_text(o, "name", src->name);
	describe_child(worker, &src->worker);
	json_set(o, "worker", worker);
	set_rate(rates, "receivedPerSecond", per_second[0]);
	set_rate(rates, "sentPerSecond", per_second[1]);
	json_set(o, "rates", rates);
	json_set(o, "counters", counters_of(c, KIND_WORKER_TOTAL));
	json_set_int(o, "inRings", (int64_t)sums.in_rings);
	json_set(o, "accounts", accounts_of(c, &sums));
	describe_requests(o, &sums);
	json_set_int(o, "oldestAgeMs", age_ms(c->oldest_ms));
	json_set(o, "beams", with_text ? child_text(text) : json_new_null());
	return o;
}

static struct json *
describe_last_reload(const struct reload *r)
{
	struct json *o;

	if (r->last_wall_ms == 0)
		return json_new_null();
	o = json_new_object();
	json_set_int(o, "at", r->last_wall_ms);
	json_set_bool(o, "ok", r->last_good);
	json_set_text(o, "text", r->last_text);
	return o;
}

static struct json *
describe_supervisor(const struct supervisor *s, int64_t now_ms)
{
	struct json *o = json_new_object();
	char generation[32];

	snprintf(generation, sizeof generation, "%llu",
	    (unsigned long long)s->generation);
	json_set_int(o, "pid", getpid());
	json_set_text(o, "version", TRANQD_VERSION);
	json_set_text(o, "state", phase_names[s->phase]);
	json_set_int(o, "now", clock_wall_ms());
	json_set_int(o, "startedAt", s->started_wall_ms);
	json_set_int(o, "uptimeMs", now_ms - s->started_ms);
	json_set_text(o, "configuration", s->options.file);
	json_set_int(o, "configurationNumber", (int64_t)s->reload.number);
	/* nanoseconds: too long for a number in JSON */
	json_set_text(o, "generation", generation);
	json_set_int(o, "reloads", (int64_t)s->reload.count);
	json_set_bool(o, "reloading", s->reload.phase != RELOAD_IDLE);
	json_set(o, "lastReload", describe_last_reload(&s->reload));
	json_set_int(o, "httpPort", s->ports[PORT_HTTP]);
	if (s->ports[PORT_HTTPS] != 0)
		json_set_int(o, "httpsPort", s->ports[PORT_HTTPS]);
	json_set_int(o, "drainTimeoutMs", s->conf->drain_timeout_ms);
	json_set_int(o, "logLinesLost", (int64_t)log_lost());
	return o;
}

static void
print(struct supervisor *s, struct buf *to, bool with_text)
{
	struct json *o = json_new_object();
	struct json *receivers = json_new_array(), *all = json_new_array();
	int64_t now_ms = loop_now_ms(s->loop);

	json_set_int(o, "version", STATUS_VERSION);
	json_set(o, "supervisor", describe_supervisor(s, now_ms));
	for (unsigned i = 0; i < s->front_count; i++)
		json_append(receivers, describe_front(&s->fronts[i], now_ms));
	json_set(o, "receivers", receivers);
	json_set(o, "feed", describe_feed(s));
	for (unsigned i = 0; i < s->source_count; i++)
		json_append(
		    all, describe_source(s->sources[i], now_ms, with_text));
	json_set(o, "dataSources", all);
	json_print(o, to);
	json_free(&o);
}

void
status_print(struct supervisor *s, struct buf *to)
{
	print(s, to, true);
	if (!to->failed)
		return;
	buf_reset(to);
	print(s, to, false);
}

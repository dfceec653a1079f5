/*
 * load_report - what the load generator tells at its end
 *
 * Process: tranq-load.
 */
#include "load_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "json.h"

static const struct {
	const char *name, *text;
	double share;
} quantiles[] = {
	{ "p50", "p50", 0.5 },
	{ "p99", "p99", 0.99 },
	{ "p999", "p99.9", 0.999 },
	{ "max", "max", 1.0 },
};

static double
wall_seconds(const struct load_stats *s)
{
	double ns = (double)(s->ended_ns - s->started_ns);

	return ns > 0 ? ns / 1e9 : 0;
}

/* Of this process, for whoever divides two cores between it and tranqd. */
static double
cpu_seconds(void)
{
	struct rusage u;

	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Events and requests that were answered 200, by what the ledger says. */
static uint64_t
count_events(const struct load_ledger *l, enum load_fate fate)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < l->requests; i++)
		if (l->fates[i] == fate)
			n += load_ledger_events_of(l, i);
	return n;
}

static double
rate(uint64_t count, double seconds)
{
	return seconds > 0 ? (double)count / seconds : 0;
}

static void
set_count(struct json *object, const char *name, uint64_t n)
{
	json_set_int(object, name, (int64_t)MIN_OF(n, (uint64_t)INT64_MAX));
}

static struct json *
stats_json(const struct load_report *r)
{
	const struct load_stats *s = r->stats;
	struct json *j = json_new_object(), *latency = json_new_object();
	struct json *answers = json_new_object();
	double seconds = wall_seconds(s);
	char status[16];

	json_set(j, "wallSeconds", json_new_number(seconds));
	json_set(j, "eventsPerSecond",
	    json_new_number(
		rate(count_events(r->ledger, FATE_ANSWERED), seconds)));
	json_set(j, "requestsPerSecond",
	    json_new_number(rate(s->latency.total, seconds)));
	json_set(j, "cpuSeconds", json_new_number(cpu_seconds()));
	set_count(j, "requestsSent", s->requests_sent);
	set_count(j, "bytesSent", s->bytes_sent);
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		set_count(latency, quantiles[i].name,
		    load_histogram_at(&s->latency, quantiles[i].share));
	json_set(j, "latencyMicros", latency);
	for (int i = 0; i < LOAD_STATUS_MAX; i++) {
		if (s->answers[i] == 0)
			continue;
		snprintf(status, sizeof status, "%d", i);
		set_count(answers, status, s->answers[i]);
	}
	json_set(j, "answers", answers);
	set_count(j, "broken", s->broken);
	set_count(j, "timeouts", s->timeouts);
	set_count(j, "badAnswers", s->bad);
	set_count(j, "refusedConnections", s->refused_connections);
	set_count(j, "received", s->received);
	set_count(j, "sent", s->sent);
	set_count(j, "dropped", s->dropped);
	set_count(j, "spooled", s->spooled);
	return j;
}

static struct json *
verdict_json(const struct load_verdict *v)
{
	struct json *j = json_new_object();

	json_set_bool(j, "good", load_verdict_good(v));
	set_count(j, "arrived", v->arrived);
	set_count(j, "missing", v->missing);
	set_count(j, "lost", v->lost);
	set_count(j, "doubled", v->doubled);
	set_count(j, "clientDoubled", v->client_doubled);
	set_count(j, "extra", v->extra);
	set_count(j, "misrouted", v->misrouted);
	set_count(j, "unknownArrived", v->unknown_arrived);
	set_count(j, "refusedArrived", v->refused_arrived);
	set_count(j, "foreign", v->foreign);
	return j;
}

static void
print_json(const struct load_report *r)
{
	const struct load_ledger *l = r->ledger;
	struct json *j = json_new_object(), *events = json_new_object();
	char *text;

	json_set_text(j, "run", l->run);
	set_count(j, "batch", l->batch);
	set_count(j, "requests", l->requests);
	set_count(events, "total", l->events);
	set_count(events, "answered", count_events(l, FATE_ANSWERED));
	set_count(events, "refused", count_events(l, FATE_REFUSED));
	set_count(events, "unknown", count_events(l, FATE_UNKNOWN));
	json_set(j, "events", events);
	if (r->stats != NULL)
		json_set(j, "load", stats_json(r));
	if (r->verdict != NULL)
		json_set(j, "compare", verdict_json(r->verdict));
	text = json_to_text(j);
	puts(text);
	free(text);
	json_free(&j);
}

static void
print_answers(const struct load_stats *s)
{
	printf("answers   ");
	for (int i = 0; i < LOAD_STATUS_MAX; i++)
		if (s->answers[i] > 0)
			printf(" %d: %" PRIu64, i, s->answers[i]);
	printf("  broken: %" PRIu64 " (timed out %" PRIu64
	       ", unreadable %" PRIu64 "), connections refused: %" PRIu64 "\n",
	    s->broken, s->timeouts, s->bad, s->refused_connections);
	printf("200 says   received %" PRIu64 ", sent %" PRIu64
	       ", dropped %" PRIu64 ", spooled %" PRIu64 "\n",
	    s->received, s->sent, s->dropped, s->spooled);
}

static void
print_stats(const struct load_report *r)
{
	const struct load_stats *s = r->stats;
	double seconds = wall_seconds(s);

	printf("wall       %.3f s, %.0f events/s, %.0f requests/s, %.1f MB/s; "
	       "own CPU %.2f s\n",
	    seconds, rate(count_events(r->ledger, FATE_ANSWERED), seconds),
	    rate(s->latency.total, seconds), rate(s->bytes_sent, seconds) / 1e6,
	    cpu_seconds());
	printf("latency   ");
	for (size_t i = 0; i < ARRAY_LEN(quantiles); i++)
		printf(" %s %.3f ms", quantiles[i].text,
		    (double)load_histogram_at(&s->latency, quantiles[i].share) /
			1000);
	printf("%s\n", r->options->rate > 0 ? "  (from when it was due)" : "");
	print_answers(s);
}

static void
print_verdict(const struct load_verdict *v)
{
	printf("compare    %s: arrived %" PRIu64 ", lost %" PRIu64
	       " (missing %" PRIu64 "), doubled %" PRIu64 ", extra %" PRIu64
	       ", misrouted %" PRIu64 "\n",
	    load_verdict_good(v) ? "good" : "BAD", v->arrived, v->lost,
	    v->missing, v->doubled, v->extra, v->misrouted);
	printf("           sent twice by us and arrived twice %" PRIu64
	       ", unknown but arrived %" PRIu64 ", refused but arrived %" PRIu64
	       ", of other runs %" PRIu64 "\n",
	    v->client_doubled, v->unknown_arrived, v->refused_arrived,
	    v->foreign);
}

void
load_report_print(const struct load_report *r)
{
	const struct load_ledger *l = r->ledger;

	if (r->options->prints_json) {
		print_json(r);
		return;
	}
	printf("run        %s, %" PRIu64 " events in %" PRIu64
	       " requests of %" PRIu64 "\n",
	    l->run, l->events, l->requests, l->batch);
	printf("events     answered %" PRIu64 ", refused %" PRIu64
	       ", unknown %" PRIu64 "\n",
	    count_events(l, FATE_ANSWERED), count_events(l, FATE_REFUSED),
	    count_events(l, FATE_UNKNOWN));
	if (r->stats != NULL)
		print_stats(r);
	if (r->verdict != NULL)
		print_verdict(r->verdict);
}

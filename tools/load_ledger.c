/*
 * load_ledger - what became of each event that was sent, and what arrived
 *
 * Process: tranq-load. Pure.
 */
#include "load_ledger.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define COUNT_MAX 255

static const char *const fate_names[] = { "none", "answered", "refused",
	"unknown" };

bool
load_ledger_init(
    struct load_ledger *l, const char *run, uint64_t batch, uint64_t events)
{
	*l = (struct load_ledger){ .batch = batch, .events = events };
	if (batch == 0 || events > LEDGER_EVENTS_MAX ||
	    strlen(run) >= sizeof l->run)
		return false;
	strcpy(l->run, run);
	l->requests = (events + batch - 1) / batch;
	l->fates = must_calloc(l->requests, 1);
	l->sends = must_calloc(l->requests, 1);
	return true;
}

bool
load_ledger_add_ds(struct load_ledger *l, const char *name)
{
	size_t bytes = strlen(name);

	if (l->ds_count == LEDGER_DS_MAX || bytes == 0 ||
	    bytes >= LEDGER_DS_BYTES)
		return false;
	memcpy(l->ds[l->ds_count++], name, bytes + 1);
	return true;
}

void
load_ledger_fini(struct load_ledger *l)
{
	free(l->fates);
	free(l->sends);
	free(l->arrivals);
	*l = (struct load_ledger){ 0 };
}

uint64_t
load_ledger_events_of(const struct load_ledger *l, uint64_t request)
{
	must(request < l->requests);
	return MIN_OF(l->batch, l->events - request * l->batch);
}

unsigned
load_ledger_ds_of(const struct load_ledger *l, uint64_t event)
{
	uint64_t n = l->is_mixed ? event : event / l->batch;

	return (unsigned)(n % l->ds_count);
}

void
load_ledger_sent(struct load_ledger *l, uint64_t request)
{
	must(request < l->requests);
	if (l->sends[request] < COUNT_MAX)
		l->sends[request]++;
}

void
load_ledger_settle(struct load_ledger *l, uint64_t request, enum load_fate fate)
{
	must(request < l->requests);
	l->fates[request] = (uint8_t)fate;
}

void
load_ledger_cut(struct load_ledger *l, uint64_t request)
{
	must(l->arrivals == NULL);
	if (request >= l->requests)
		return;
	l->requests = request;
	l->events = request * l->batch;
}

void
load_ledger_restart(struct load_ledger *l)
{
	if (l->arrivals == NULL)
		l->arrivals = must_malloc(l->events);
	memset(l->arrivals, 0, l->events);
	l->foreign = l->extra = l->misrouted = 0;
}

/* The number in the event's id; false: the id is not of this run. */
static bool
find_number(const struct load_ledger *l, const char *event, size_t bytes,
    uint64_t *number)
{
	char mark[LEDGER_RUN_BYTES + 2];
	size_t mark_bytes =
	    (size_t)snprintf(mark, sizeof mark, "\"%s-", l->run);
	const char *at = memmem(event, bytes, mark, mark_bytes);

	if (at == NULL ||
	    (size_t)(event + bytes - at) < mark_bytes + LEDGER_DIGITS)
		return false;
	at += mark_bytes;
	*number = 0;
	for (unsigned i = 0; i < LEDGER_DIGITS; i++) {
		if (at[i] < '0' || at[i] > '9')
			return false;
		*number = *number * 10 + (uint64_t)(at[i] - '0');
	}
	return true;
}

void
load_ledger_arrived(
    struct load_ledger *l, const char *event, size_t bytes, unsigned ds)
{
	uint64_t n;

	must(l->arrivals != NULL);
	if (!find_number(l, event, bytes, &n)) {
		l->foreign++;
		return;
	}
	if (n >= l->events || l->fates[n / l->batch] == FATE_NONE) {
		l->extra++;
		return;
	}
	if (load_ledger_ds_of(l, n) != ds)
		l->misrouted++;
	if (l->arrivals[n] < COUNT_MAX)
		l->arrivals[n]++;
}

static void
judge_event(struct load_verdict *v, enum load_fate fate, unsigned sends,
    unsigned arrivals)
{
	v->answered += fate == FATE_ANSWERED;
	v->refused += fate == FATE_REFUSED;
	v->unknown += fate == FATE_UNKNOWN;
	v->missing += fate == FATE_ANSWERED && arrivals == 0;
	v->arrived += arrivals > 0;
	v->unknown_arrived += fate == FATE_UNKNOWN && arrivals > 0;
	v->refused_arrived += fate == FATE_REFUSED && arrivals > 0;
	v->doubled += arrivals > MAX_OF(sends, 1);
	v->client_doubled += arrivals > 1 && arrivals <= sends;
}

void
load_ledger_judge(const struct load_ledger *l, struct load_verdict *v)
{
	*v = (struct load_verdict){ .extra = l->extra,
		.foreign = l->foreign,
		.misrouted = l->misrouted };
	must(l->arrivals != NULL);
	for (uint64_t n = 0; n < l->events; n++) {
		uint64_t request = n / l->batch;

		if (l->fates[request] != FATE_NONE)
			judge_event(v, (enum load_fate)l->fates[request],
			    l->sends[request], l->arrivals[n]);
	}
	v->lost = v->missing - MIN_OF(v->missing, l->dropped);
}

bool
load_verdict_good(const struct load_verdict *v)
{
	return v->lost == 0 && v->doubled == 0 && v->extra == 0 &&
	    v->misrouted == 0;
}

static uint64_t
run_end(const struct load_ledger *l, uint64_t from)
{
	uint64_t at = from;

	while (at < l->requests && l->fates[at] == l->fates[from] &&
	    l->sends[at] == l->sends[from])
		at++;
	return at;
}

bool
load_ledger_write(const struct load_ledger *l, FILE *f)
{
	uint64_t end;

	fprintf(f,
	    "tranq-load 1\nrun %s\nbatch %" PRIu64 "\nevents %" PRIu64
	    "\nmixed %d\ndropped %" PRIu64 "\n",
	    l->run, l->batch, l->events, l->is_mixed, l->dropped);
	for (unsigned i = 0; i < l->ds_count; i++)
		fprintf(f, "dataSource %s\n", l->ds[i]);
	fprintf(f, "requests\n"); /* fate, first, behind the last, sends */
	for (uint64_t at = 0; at < l->requests; at = end) {
		end = run_end(l, at);
		fprintf(f, "%s %" PRIu64 " %" PRIu64 " %u\n",
		    fate_names[l->fates[at]], at, end, l->sends[at]);
	}
	fprintf(f, "end\n");
	return fflush(f) == 0 && !ferror(f);
}

static bool
read_head(struct load_ledger *l, FILE *f)
{
	char run[LEDGER_RUN_BYTES];
	uint64_t batch, events, dropped;
	int mixed;

	if (fscanf(f,
		"tranq-load 1 run %23s batch %" SCNu64 " events %" SCNu64
		" mixed %d dropped %" SCNu64,
		run, &batch, &events, &mixed, &dropped) != 5)
		return false;
	if (!load_ledger_init(l, run, batch, events))
		return false;
	l->is_mixed = mixed != 0;
	l->dropped = dropped;
	return true;
}

static bool
read_run(struct load_ledger *l, const char *name, FILE *f)
{
	uint64_t from, end;
	unsigned sends, fate = 0;

	while (
	    fate < ARRAY_LEN(fate_names) && strcmp(fate_names[fate], name) != 0)
		fate++;
	if (fate == ARRAY_LEN(fate_names) ||
	    fscanf(f, "%" SCNu64 " %" SCNu64 " %u", &from, &end, &sends) != 3 ||
	    from > end || end > l->requests || sends > COUNT_MAX)
		return false;
	memset(l->fates + from, (int)fate, end - from);
	memset(l->sends + from, (int)sends, end - from);
	return true;
}

bool
load_ledger_read(struct load_ledger *l, FILE *f)
{
	char word[LEDGER_DS_BYTES];

	*l = (struct load_ledger){ 0 };
	if (!read_head(l, f))
		return false;
	while (fscanf(f, "%127s", word) == 1 && strcmp(word, "requests") != 0)
		if (strcmp(word, "dataSource") != 0 ||
		    fscanf(f, "%127s", word) != 1 ||
		    !load_ledger_add_ds(l, word))
			return false;
	if (l->ds_count == 0)
		return false;
	while (fscanf(f, "%127s", word) == 1 && strcmp(word, "end") != 0)
		if (!read_run(l, word, f))
			return false;
	return strcmp(word, "end") == 0;
}

/*
 * load - a load generator for tranqd that knows what became of each event
 *
 * Process: tranq-load. Bounded always: in events, and in time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "load_body.h"
#include "load_compare.h"
#include "load_corpus.h"
#include "load_options.h"
#include "load_report.h"
#include "load_run.h"
#include "panic.h"

#define REQUESTS_MAX UINT64_C(50000000)

static NORETURN void PRINTF_LIKE(1, 2) refuse(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "tranq-load: ");
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	exit(2);
}

static void
raise_file_limit(unsigned connections)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0)
		return;
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
	if (l.rlim_cur < connections + 32)
		refuse("--connections %u: only %llu descriptors are allowed; "
		       "raise ulimit -n",
		    connections, (unsigned long long)l.rlim_cur);
}

/* Names another run never has: when, and who. */
static void
make_run_name(char name[static LEDGER_RUN_BYTES])
{
	snprintf(name, LEDGER_RUN_BYTES, "%" PRIx64 "x%x",
	    (uint64_t)clock_wall_ms(), (unsigned)getpid());
}

/* What stands in a URL as it is. */
static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "abcdefghijklmnopqrstuvwxyz0123456789-_.";

static void
init_ledger(struct load_ledger *l, const struct load_options *o)
{
	uint64_t events = o->events;
	char run[LEDGER_RUN_BYTES];
	char *names = must_strdup(o->data_sources), *rest = names, *name;

	if (events == 0)
		events = MIN_OF(LEDGER_EVENTS_MAX / o->batch, REQUESTS_MAX) *
		    o->batch;
	make_run_name(run);
	if (!load_ledger_init(l, run, o->batch, events))
		refuse("--events: %" PRIu64 " are too many", events);
	l->is_mixed = o->is_mixed;
	while ((name = strsep(&rest, ",")) != NULL)
		if (strspn(name, plain) != strlen(name) ||
		    !load_ledger_add_ds(l, name))
			refuse(
			    "--data-source %s: give 1 to %d names with commas "
			    "between them",
			    o->data_sources, LEDGER_DS_MAX);
	free(names);
}

static void
make_corpus(struct load_corpus *c, const struct load_options *o)
{
	char error[256];

	if (o->replay == NULL)
		load_corpus_generate(
		    c, load_body_corpus_count(o->batch), o->spread_seconds);
	else if (!load_corpus_replay(c, o->replay, o->spread_seconds, error))
		refuse("--replay %s: %s", o->replay, error);
}

static bool
send_events(const struct load_options *o, struct load_ledger *l,
    struct load_stats *stats)
{
	struct load_corpus corpus;
	struct load_body *body;
	bool ever_connected;

	raise_file_limit(o->connections);
	init_ledger(l, o);
	make_corpus(&corpus, o);
	body = load_body_new(o, l, &corpus);
	load_corpus_fini(&corpus);
	if (body == NULL)
		refuse("--batch %" PRIu64
		       ": its requests are too large to keep; "
		       "give a smaller one",
		    o->batch);
	ever_connected = load_run(o, l, body, stats);
	load_body_free(&body);
	return ever_connected;
}

static void
write_record(const char *file, const struct load_ledger *l)
{
	FILE *f = fopen(file, "w");

	if (f == NULL || !load_ledger_write(l, f) || fclose(f) != 0)
		refuse("--record %s: %s", file, strerror(errno));
}

static void
read_record(const char *file, struct load_ledger *l)
{
	FILE *f = fopen(file, "r");

	if (f == NULL)
		refuse("--check %s: %s", file, strerror(errno));
	if (!load_ledger_read(l, f))
		refuse("--check %s: not a file of --record", file);
	fclose(f);
}

static int
exit_code(const struct load_report *r)
{
	if (r->verdict != NULL && !load_verdict_good(r->verdict))
		return 1;
	return r->stats != NULL && r->stats->answers[200] == 0 ? 3 : 0;
}

int
main(int argc, char **argv)
{
	struct load_options options;
	struct load_ledger ledger;
	struct load_stats stats;
	struct load_verdict verdict;
	struct load_report report = { .options = &options, .ledger = &ledger };
	char error[256];

	load_options_read(&options, argc, argv);
	if (options.check != NULL) {
		read_record(options.check, &ledger);
	} else {
		if (!send_events(&options, &ledger, &stats))
			fprintf(stderr,
			    "tranq-load: %s takes no connection; "
			    "does tranqd run?\n",
			    options.url.host);
		report.stats = &stats;
	}
	if (options.record != NULL)
		write_record(options.record, &ledger);
	if (options.compares) {
		if (!load_compare(&options, &ledger, &verdict, error)) {
			fprintf(stderr, "tranq-load: --compare: %s\n", error);
			load_report_print(&report);
			return 1;
		}
		report.verdict = &verdict;
	}
	load_report_print(&report);
	load_ledger_fini(&ledger);
	return exit_code(&report);
}

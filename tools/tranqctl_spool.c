/*
 * tranqctl_spool - tranqctl spool verify | export | compact
 *
 * Process: tranqctl.
 */
#include "tranqctl_spool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ndjson.h"
#include "panic.h"
#include "record_batch.h"
#include "spool_compact.h"
#include "spool_survey.h"

#define ERROR_BYTES 600

struct rescue {
	struct buf lines;
	uint64_t batches, events;
	bool failed; /* nobody takes what is written */
};

static void
print_damage(void *context, const char *what)
{
	FILE *to = context;

	fprintf(to, "  %s\n", what);
}

static void
print_sum(const char *what, const struct spool_survey_sum *s)
{
	printf("%-12s  %llu batches, %llu events, %llu bytes\n", what,
	    (unsigned long long)s->batches, (unsigned long long)s->events,
	    (unsigned long long)s->bytes);
}

static enum spool_outcome
verify(const char *dir)
{
	struct spool_survey s = { .dir = dir,
		.reads_batches = true,
		.damage = print_damage,
		.context = stdout };
	char error[ERROR_BYTES];

	printf("spool %s\n", dir);
	if (!spool_survey(&s, error, sizeof error)) {
		fflush(stdout);
		fprintf(stderr, "tranqctl: %s\n", error);
		return SPOOL_BAD;
	}
	printf("%-12s  %llu pages of %u bytes, transaction %llu%s\n", "file",
	    (unsigned long long)s.pages, s.page_bytes,
	    (unsigned long long)s.txn, s.is_running ? ", its worker runs" : "");
	print_sum("waiting", &s.sums[SURVEY_WAITING]);
	print_sum("dead letters", &s.sums[SURVEY_DEAD]);
	if (s.sums[SURVEY_COPY].batches > 0)
		print_sum("copies", &s.sums[SURVEY_COPY]);
	if (s.sums[SURVEY_LOG].batches > 0)
		print_sum("log", &s.sums[SURVEY_LOG]);
	if (spool_survey_is_whole(&s)) {
		puts("it is whole");
		return SPOOL_GOOD;
	}
	printf("it is damaged: %llu pages, %llu batches (%llu events), %llu "
	       "other records\n",
	    (unsigned long long)s.bad_pages, (unsigned long long)s.bad_batches,
	    (unsigned long long)s.bad_events, (unsigned long long)s.other);
	puts(s.bad_pages > 0
		? "its worker does not open it; `tranqctl spool export` brings "
		  "out what can be read"
		: "damaged batches are not sent, the others are");
	return SPOOL_BAD;
}

/* A batch of the log, an event a line. */
static bool
write_records(struct rescue *to, const struct spool_survey_batch *b)
{
	struct record_batch_reader r;
	struct record_batch_record record;

	if (!record_batch_open(&r, b->records, b->records_bytes, SIZE_MAX))
		return false;
	buf_reset(&to->lines);
	while (record_batch_next(&r, &record)) {
		ndjson_add_event(&to->lines, record.value, record.bytes);
		to->events++;
	}
	record_batch_close(&r);
	return !to->lines.failed &&
	    fwrite(to->lines.bytes, 1, to->lines.used, stdout) ==
	    to->lines.used;
}

/* Events that have left their batch are dead letters of their own. */
static bool
write_batch(void *context, const struct spool_survey_batch *b)
{
	struct rescue *r = context;

	if (b->place == SURVEY_LOG) {
		r->failed = b->records != NULL && !write_records(r, b);
		r->batches += b->records != NULL;
		return !r->failed;
	}
	/* copies of what Druid has are no events that are missing */
	if (b->view == NULL || b->place == SURVEY_COPY)
		return true;
	buf_reset(&r->lines);
	r->events += ndjson_add_without(&r->lines, b->view->body,
	    b->view->header->body_bytes, b->refused, b->refused_count);
	r->batches++;
	r->failed = r->lines.failed ||
	    fwrite(r->lines.bytes, 1, r->lines.used, stdout) != r->lines.used;
	return !r->failed;
}

static enum spool_outcome
bring_out(const char *dir)
{
	struct rescue r = { .failed = false };
	struct spool_survey s = { .dir = dir,
		.reads_batches = true,
		.batch = write_batch,
		.context = &r };
	char error[ERROR_BYTES];
	bool good;

	buf_init(&r.lines, SIZE_MAX);
	good = spool_survey(&s, error, sizeof error);
	buf_free(&r.lines);
	if (!good) {
		fprintf(stderr, "tranqctl: %s\n", error);
		return SPOOL_BAD;
	}
	if (r.failed || fflush(stdout) != 0) {
		fprintf(
		    stderr, "tranqctl: cannot write: %s\n", strerror(errno));
		return SPOOL_BAD;
	}
	fprintf(stderr, "%llu events of %llu batches\n",
	    (unsigned long long)r.events, (unsigned long long)r.batches);
	if (spool_survey_is_whole(&s))
		return SPOOL_GOOD;
	fprintf(stderr,
	    "tranqctl: it is damaged: %llu pages, %llu batches with %llu "
	    "events cannot be read; `tranqctl spool verify` says which\n",
	    (unsigned long long)s.bad_pages, (unsigned long long)s.bad_batches,
	    (unsigned long long)s.bad_events);
	return SPOOL_BAD;
}

static enum spool_outcome
compact(const char *dir)
{
	struct spool_compacted result;
	char error[ERROR_BYTES];

	if (!spool_compact(dir, &result, error, sizeof error)) {
		fprintf(stderr, "tranqctl: %s\n", error);
		return SPOOL_BAD;
	}
	printf("%llu records, %llu bytes, %llu before\n",
	    (unsigned long long)result.records,
	    (unsigned long long)result.after_bytes,
	    (unsigned long long)result.before_bytes);
	return SPOOL_GOOD;
}

enum spool_outcome
spool_command(const struct spool_arguments *a)
{
	static const struct {
		const char *word;
		enum spool_outcome (*run)(const char *dir);
	} commands[] = { { "verify", verify }, { "export", bring_out },
		{ "compact", compact } };
	enum spool_outcome outcome = SPOOL_WRONG_USE;
	char *dir;

	if (a->count == 2 &&
	    (a->words[1][0] == '.' || strchr(a->words[1], '/') != NULL)) {
		fprintf(stderr, "tranqctl: '%s' is no name of a dataSource\n",
		    a->words[1]);
		return SPOOL_WRONG_USE;
	}
	for (size_t i = 0; a->count == 2 && i < ARRAY_LEN(commands); i++) {
		if (strcmp(a->words[0], commands[i].word) != 0)
			continue;
		/* one that the configuration has no more is one too */
		dir =
		    must_format("%s/spool/%s", a->conf->data_dir, a->words[1]);
		outcome = commands[i].run(dir);
		free(dir);
		return outcome;
	}
	fputs("usage: tranqctl -c FILE spool verify | export | compact "
	      "DATASOURCE\n",
	    stderr);
	return outcome;
}

/*
 * fuzz_pages - a spool's file with some bytes changed, or cut off
 *
 * The input says which: a length, then places of three bytes and what is
 * exclusive-ored there. A file that spool_check calls good must be one that
 * LMDB can read, change and write without an end of the process; all others
 * must be gone through by spool_survey.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch.h"
#include "fuzz_input.h"
#include "panic.h"
#include "record_batch.h"
#include "spool.h"
#include "spool_check.h"
#include "spool_log.h"
#include "spool_survey.h"

#define BATCHES 60
#define USES 8
#define CHANGES_MAX 64
#define ERROR_BYTES 600
#define NOW_MS INT64_C(1763806800123)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char dir[64], path[96], lock[96];
static char *whole;
static size_t whole_bytes;

static int
remove_one(const char *name, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(name);
}

static void
clean_up(void)
{
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct spool *
open_spool(char error[ERROR_BYTES])
{
	struct spool_options o = { .dir = dir,
		.ds = "a",
		.bytes_max = 4 * (int64_t)MiB,
		.now_ms = NOW_MS,
		.lock_wait_ms = 1 };

	return spool_open(&o, error, ERROR_BYTES);
}

static void
put(struct spool *s, unsigned events)
{
	struct batch *b =
	    batch_new((struct interval){ 3600000, 7200000 }, 0, 100);
	struct batch_seal seal = { .id = spool_take_id(s, events),
		.generation = 1,
		.now_ms = NOW_MS };
	const struct event e = { .bytes = 7 };
	size_t bytes;
	char *value;

	for (unsigned i = 0; i < events; i++)
		batch_add(b, &e, "{\"a\":1}", 5, 0);
	value = batch_seal(&b, &seal, &bytes);
	spool_put(s, value, bytes);
	free(value);
}

static void
log_batch(struct spool *s, unsigned events)
{
	struct record_batch b;
	size_t bytes;
	char *value;

	record_batch_init(&b);
	for (unsigned i = 0; i < events; i++)
		record_batch_add(&b, NOW_MS, "{\"a\":1}", 7);
	value = record_batch_seal(&b, NULL, &bytes);
	spool_log_put(s, events % 2, value, bytes, NOW_MS);
	free(value);
}

/* Trees with branches, values on pages of their own, free pages. */
static void
make_whole(void)
{
	struct spool_lane lane = { 3600000, 7200000, 0, 0 };
	char error[ERROR_BYTES];
	struct spool_entry e;
	struct spool *s;
	FILE *f;

	snprintf(dir, sizeof dir, "%s/fuzz_pages_XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/data.mdb", dir);
	snprintf(lock, sizeof lock, "%s/lock.mdb", dir);
	atexit(clean_up);
	s = open_spool(error);
	must(s != NULL);
	for (unsigned i = 0; i < BATCHES; i++) {
		spool_begin(s);
		put(s, i % 7 == 0 ? 800 : 10);
		log_batch(s, i % 9 == 0 ? 800 : 1 + i % 2);
		if (i % 11 == 10)
			spool_log_trim(
			    s, 0, spool_log_range(s, 0).start + i, 3);
		if (i % 5 == 4 && spool_next(s, &lane, 0, &e))
			spool_remove(s, &e);
		must(spool_commit(s, error, sizeof error) == RESULT_OK);
	}
	spool_close(&s);
	f = fopen(path, "r");
	must(f != NULL);
	whole = must_malloc(4 * MiB);
	whole_bytes = fread(whole, 1, 4 * MiB, f);
	fclose(f);
}

/* ---- what is done to one ---- */

/* What a worker does. */
static void
use(void)
{
	struct spool_lane lane = { 3600000, 7200000, 0, 0 };
	char error[ERROR_BYTES];
	struct spool *s = open_spool(error);
	struct spool_entry e = { .id = 0 };

	for (int n = 0; s != NULL && n < USES; n++) {
		bool damaged;
		size_t bytes;

		if (!spool_next(s, &lane, e.id, &e))
			break;
		free(spool_load(s, e.id, &bytes, &damaged));
		spool_begin(s);
		spool_remove(s, &e);
		put(s, 300);
		if (spool_commit(s, error, sizeof error) != RESULT_OK)
			break;
	}
	spool_close(&s);
}

/* What the log's delivery does, and who looks into it. */
static void
use_log(void)
{
	char error[ERROR_BYTES];
	struct spool *s = open_spool(error);
	struct spool_log_entry e = { .first = 0 };

	for (unsigned n = 0; s != NULL && n < USES; n++) {
		struct log_range r = spool_log_range(s, n % 2);

		if (!spool_log_next(s, n % 2, e.first + 1, &e))
			e.first = 0;
		(void)spool_log_sealed_at(s, n % 2, NOW_MS);
		(void)spool_log_bytes_behind(s, n % 2, 1000);
		spool_begin(s);
		log_batch(s, 1 + n % 2);
		spool_log_trim(s, n % 2, r.start + (r.end - r.start) / 2, 5);
		if (spool_commit(s, error, sizeof error) != RESULT_OK)
			break;
	}
	spool_close(&s);
}

static void
look(void)
{
	struct spool_survey s = { .dir = dir, .reads_batches = true };
	char error[ERROR_BYTES];

	if (spool_survey(&s, error, sizeof error))
		must(!s.is_running);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input in = { data, data + bytes };
	char error[ERROR_BYTES], *copy;
	size_t length;
	FILE *f;

	if (whole == NULL)
		make_whole();
	if (bytes < 3)
		return 0;
	length = (size_t)fuzz_number(&in, 3);
	length = length == 0 ? whole_bytes : length % (whole_bytes + 1);
	copy = must_malloc(whole_bytes);
	memcpy(copy, whole, whole_bytes);
	for (int i = 0; i < CHANGES_MAX && in.end - in.at >= 4; i++) {
		size_t at = (size_t)fuzz_number(&in, 3) % whole_bytes;

		copy[at] = (char)(copy[at] ^ (char)fuzz_byte(&in));
	}
	unlink(lock);
	f = fopen(path, "w");
	must(f != NULL && fwrite(copy, 1, length, f) == length);
	must(fclose(f) == 0);
	free(copy);
	look();
	if (spool_check(dir, error, sizeof error) == SPOOL_FILE_GOOD)
		use();
	if (spool_check(dir, error, sizeof error) == SPOOL_FILE_GOOD)
		use_log();
	return 0;
}

/*
 * test_spool_check - damaged files never reach LMDB, whole ones always do
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batch.h"
#include "panic.h"
#include "spool.h"
#include "spool_check.h"
#include "spool_compact.h"
#include "spool_survey.h"

#define NOW_MS INT64_C(1763806800123)
#define BYTES_MAX (64 * (int64_t)MiB)
#define ERROR_BYTES 600
#define PAGE 4096
#define BATCHES 400
#define FLIPS 3000
#define USES 20

struct rig {
	char dir[64], path[80], copy[80];
	char *file; /* bytes of the whole one */
	size_t bytes;
	char error[ERROR_BYTES];
};

static uint64_t random_state = 88172645463325252u;

static uint32_t
rnd(size_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 11) % below);
}

static struct spool *
open_spool(struct rig *r, const char *dir)
{
	struct spool_options o = { .dir = dir,
		.ds = "wikipedia",
		.bytes_max = BYTES_MAX,
		.now_ms = NOW_MS,
		.lock_wait_ms = 1 };

	r->error[0] = '\0';
	return spool_open(&o, r->error, sizeof r->error);
}

static struct spool_entry
put(struct spool *s, unsigned events)
{
	struct interval interval = { 3600000, 7200000 };
	struct batch *b = batch_new(interval, 0, 1000);
	struct batch_seal seal = { .id = spool_take_id(s, events),
		.generation = 1,
		.now_ms = NOW_MS };
	struct spool_totals more = { .received = events };
	struct spool_entry e = { .at = { interval.start, interval.end, 0, 0 },
		.id = seal.id,
		.events = events };
	size_t bytes;
	char *value;

	for (unsigned i = 0; i < events; i++) {
		char text[64];
		struct event event = { .timestamp_ms = interval.start };

		event.bytes =
		    (unsigned)snprintf(text, sizeof text, "{\"event\":%u}", i) &
		    EVENT_BYTES_MAX;
		batch_add(b, &event, text, 5, 0);
	}
	value = batch_seal(&b, &seal, &bytes);
	e.bytes = (uint32_t)bytes;
	spool_put(s, value, bytes);
	spool_count(s, &more);
	free(value);
	return e;
}

static void
commit(struct rig *r, struct spool *s)
{
	if (spool_commit(s, r->error, sizeof r->error) != RESULT_OK)
		fail_msg("%s", r->error);
}

/* Trees of several levels, values of their own pages, a list of free ones. */
static void
fill(struct rig *r, struct spool *s)
{
	struct spool_entry all[BATCHES];

	for (unsigned i = 0; i < BATCHES; i++) {
		spool_begin(s);
		all[i] = put(s, i % 10 == 0 ? 600 : 1 + i % 7);
		if (i % 3 == 2)
			spool_remove(s, &all[i - 1]);
		spool_set_document(s, "beams", "{}", 2);
		commit(r, s);
	}
}

static char *
slurp(const char *path, size_t *bytes)
{
	FILE *f = fopen(path, "r");
	char *all = must_malloc(16 * MiB);

	assert_non_null(f);
	*bytes = fread(all, 1, 16 * MiB, f);
	fclose(f);
	return all;
}

static void
spit(const char *path, const char *text, size_t bytes)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, bytes, f), bytes);
	assert_int_equal(fclose(f), 0);
}

static void
spit_copy(struct rig *r, const char *bytes, size_t count)
{
	char *path = must_format("%s/data.mdb", r->copy);
	char *lock = must_format("%s/lock.mdb", r->copy);

	mkdir(r->copy, 0700);
	unlink(lock);
	spit(path, bytes, count);
	free(path);
	free(lock);
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);
	struct spool *s;
	char *path;

	/* it is about bytes, not about syncs: in memory where that can be */
	snprintf(r->dir, sizeof r->dir, "%s/test_spool_check_XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(r->dir) == NULL)
		return -1;
	snprintf(r->path, sizeof r->path, "%s/wikipedia", r->dir);
	snprintf(r->copy, sizeof r->copy, "%s/copy", r->dir);
	s = open_spool(r, r->path);
	assert_non_null(s);
	fill(r, s);
	spool_close(&s);
	path = must_format("%s/data.mdb", r->path);
	r->file = slurp(path, &r->bytes);
	free(path);
	*state = r;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st, (void)kind, (void)where;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(r->file);
	free(r);
	return 0;
}

/* ---- what a worker would do to it ---- */

/* Reads all that waits and takes it out, puts something new. */
static void
use_up(struct rig *r)
{
	struct spool *s = open_spool(r, r->copy);
	struct spool_lane lane = { 3600000, 7200000, 0, 0 };
	struct spool_entry e = { .id = 0 };
	struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	if (s == NULL)
		_exit(0); /* refused by what it says of itself */
	for (unsigned n = 0; n < USES && spool_next(s, &lane, e.id, &e); n++) {
		struct batch_view v;
		size_t bytes;
		bool damaged;
		char *value = spool_load(s, e.id, &bytes, &damaged);

		if (value != NULL && !batch_view(value, bytes, &v))
			_exit(1);
		free(value);
		spool_begin(s);
		spool_remove(s, &e);
		put(s, 500);
		if (spool_commit(s, r->error, sizeof r->error) != RESULT_OK)
			break;
	}
	spool_close(&s);
	_exit(0);
}

static int
in_a_child(struct rig *r)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		use_up(r);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* A bit that LMDB goes by: of a meta page, a page's head or its nodes. */
static size_t
pick_bit(const struct rig *r)
{
	size_t pages = r->bytes / PAGE, at;

	switch (rnd(4)) {
	case 0: at = rnd(2) * (size_t)PAGE + rnd(152); break;
	case 1: at = rnd(pages) * (size_t)PAGE + rnd(64); break;
	case 2: at = rnd(pages) * (size_t)PAGE + rnd(PAGE); break;
	default: /* the first pages have the trees */
		at = rnd(40) * (size_t)PAGE + rnd(PAGE);
	}
	return at * 8 + rnd(8);
}

static void
test_bit_flips(void **state)
{
	struct rig *r = *state;
	unsigned refused = 0, used = 0;

	for (unsigned i = 0; i < FLIPS; i++) {
		size_t bit = pick_bit(r);
		enum spool_file found;
		int status;

		r->file[bit / 8] ^= (char)(1 << bit % 8);
		spit_copy(r, r->file, r->bytes);
		found = spool_check(r->copy, r->error, sizeof r->error);
		if (found != SPOOL_FILE_GOOD) {
			refused++;
			assert_true(strlen(r->error) > 10);
		} else if (used < FLIPS / 10) {
			used++;
			status = in_a_child(r);
			if (status != 0)
				fail_msg("bit %zu of page %zu: status %#x",
				    bit % (PAGE * 8), bit / 8 / PAGE, status);
		}
		r->file[bit / 8] ^= (char)(1 << bit % 8);
	}
	/* both kinds are there */
	assert_true(refused > FLIPS / 10);
	assert_true(used > FLIPS / 20);
}

/* ---- other kinds of damage ---- */

static void
check_said(const struct rig *r, const char *part)
{
	if (strstr(r->error, part) == NULL)
		fail_msg("'%s' does not say '%s'", r->error, part);
}

/* Not opened, and not changed by a byte. */
static void
check_refused(struct rig *r, const char *part)
{
	char *path = must_format("%s/data.mdb", r->copy), *before, *after;
	size_t before_bytes, after_bytes;

	before = slurp(path, &before_bytes);
	assert_null(open_spool(r, r->copy));
	check_said(r, part);
	check_said(r, r->copy);
	check_said(r, "move the directory away");
	after = slurp(path, &after_bytes);
	assert_int_equal(before_bytes, after_bytes);
	assert_memory_equal(before, after, after_bytes);
	free(before);
	free(after);
	free(path);
}

static void
test_cut_off(void **state)
{
	struct rig *r = *state;
	size_t pages = r->bytes / PAGE;

	for (size_t n = 1; n < pages; n += 7) {
		spit_copy(r, r->file, n * PAGE);
		check_refused(r, "cut off");
		check_said(r, "tranqctl spool verify wikipedia");
	}
	spit_copy(r, r->file, 1000);
	check_refused(r, "cut off");
	spit_copy(r, r->file, 100);
	check_refused(r, "too short");
}

static void
test_other_machines(void **state)
{
	struct rig *r = *state;
	char *other = must_malloc(r->bytes);

	/* a page's head has 12 bytes there */
	memset(other, 0, r->bytes);
	memcpy(other + 12, r->file + 16, PAGE);
	spit_copy(r, other, r->bytes);
	check_refused(r, "32-bit machine");
	memcpy(other, r->file, r->bytes);
	for (int i = 0; i < 4; i++)
		other[16 + i] = r->file[19 - i];
	spit_copy(r, other, r->bytes);
	check_refused(r, "other byte order");
	memcpy(other, r->file, r->bytes);
	other[20] = 2;
	spit_copy(r, other, r->bytes);
	check_refused(r, "data version 2");
	free(other);
}

/* A copy where each of these texts is another one (old pages have it too). */
static void
flip(struct rig *r, const char *part)
{
	size_t bytes = strlen(part);
	char *copy = must_malloc(r->bytes), *at = copy;

	memcpy(copy, r->file, r->bytes);
	while ((at = memmem(at, (size_t)(copy + r->bytes - at), part, bytes)) !=
	    NULL)
		at[bytes - 1] ^= 1;
	spit_copy(r, copy, r->bytes);
	free(copy);
}

/* As somebody who may look into the folder and no further. */
static void
test_no_permission(void **state)
{
	struct rig *r = *state;
	char *path = must_format("%s/data.mdb", r->copy);
	char *owner = must_format("%s/owner.lock", r->copy);
	int status;
	pid_t pid;

	spit_copy(r, r->file, r->bytes);
	spit(owner, "", 0);
	chmod(r->dir, 0755);
	chmod(r->copy, 0755);
	chmod(owner, 0666);
	chmod(path, 0);
	if ((pid = fork()) == 0) {
		if (geteuid() == 0 &&
		    (setgid(65534) != 0 || setuid(65534) != 0))
			_exit(1);
		if (open_spool(r, r->copy) != NULL)
			_exit(2);
		check_said(r, "Permission denied");
		check_said(r, "give the directory to tranqd.user");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(path);
	free(owner);
}

/* The newest meta page that points back is as bad as lost events. */
static void
test_older_meta(void **state)
{
	struct rig *r = *state;
	uint64_t txn[2];

	for (size_t i = 0; i < 2; i++) {
		memcpy(&txn[i], r->file + i * PAGE + 16 + 128, sizeof txn[i]);
		txn[i] ^= 1 << 20;
		memcpy(r->file + i * PAGE + 16 + 128, &txn[i], sizeof txn[i]);
		spit_copy(r, r->file, r->bytes);
		check_refused(r, "cannot be neighbours");
		txn[i] ^= 1 << 20;
		memcpy(r->file + i * PAGE + 16 + 128, &txn[i], sizeof txn[i]);
	}
}

/* ---- survey and compaction ---- */

struct tally {
	unsigned batches, damaged, sentences;
	uint64_t events;
};

static void
count_damage(void *context, const char *what)
{
	struct tally *t = context;

	assert_true(strlen(what) > 10);
	t->sentences++;
}

static bool
count_batch(void *context, const struct spool_survey_batch *b)
{
	struct tally *t = context;

	t->batches++;
	if (b->view == NULL)
		t->damaged++;
	else
		t->events += b->view->header->events;
	return true;
}

static bool
survey(struct rig *r, const char *dir, struct tally *t)
{
	struct spool_survey s = { .dir = dir,
		.reads_batches = true,
		.damage = count_damage,
		.batch = count_batch,
		.context = t };

	*t = (struct tally){ .batches = 0 };
	assert_true(spool_survey(&s, r->error, sizeof r->error));
	/* and those that the queue knows and that are not there */
	assert_true(
	    s.sums[SURVEY_WAITING].batches + s.sums[SURVEY_LOST].batches >=
	    t->batches);
	return spool_survey_is_whole(&s);
}

static void
test_survey(void **state)
{
	struct rig *r = *state;
	struct tally whole, t;

	assert_true(survey(r, r->path, &whole));
	assert_int_equal(whole.batches, BATCHES - BATCHES / 3);
	assert_int_equal(whole.sentences, 0);
	/* values alone: those batches, and nothing else */
	flip(r, "{\"event\":599}");
	assert_false(survey(r, r->copy, &t));
	assert_int_equal(t.batches, whole.batches);
	assert_int_equal(t.damaged, t.sentences);
	assert_int_equal(t.events, whole.events - 600 * t.damaged);
	assert_true(t.damaged > 10);
	/* its worker opens it all the same */
	assert_int_equal(
	    spool_check(r->copy, r->error, sizeof r->error), SPOOL_FILE_GOOD);
}

/* Either meta page: by the other one all is there, or all but the last commit.
 */
static void
test_rescue_of_meta(void **state)
{
	struct rig *r = *state;
	struct tally whole, t;

	assert_true(survey(r, r->path, &whole));
	for (size_t i = 0; i < 2; i++) {
		r->file[i * PAGE + 16] ^= 1;
		spit_copy(r, r->file, r->bytes);
		r->file[i * PAGE + 16] ^= 1;
		check_refused(r, "damaged");
		assert_false(survey(r, r->copy, &t));
		assert_true(t.batches + 2 >= whole.batches);
		assert_true(t.batches <= whole.batches + 1);
		assert_int_equal(t.damaged, 0);
	}
}

/* A leaf that cannot be read: what stands on the others is brought out. */
static void
test_rescue(void **state)
{
	struct rig *r = *state;
	struct tally whole, t;
	unsigned hit = 0, rescued = 0;

	assert_true(survey(r, r->path, &whole));
	for (size_t page = 2; page < r->bytes / PAGE && hit < 20; page++) {
		uint16_t flags;

		memcpy(&flags, r->file + page * PAGE + 10, sizeof flags);
		if (flags != 2)
			continue;
		r->file[page * PAGE + 10] ^= 8;
		spit_copy(r, r->file, r->bytes);
		r->file[page * PAGE + 10] ^= 8;
		if (spool_check(r->copy, r->error, sizeof r->error) ==
		    SPOOL_FILE_GOOD)
			continue; /* a free one */
		hit++;
		check_said(r, "is marked");
		assert_false(survey(r, r->copy, &t));
		rescued += t.events > whole.events / 4;
	}
	assert_true(hit > 5);
	assert_true(rescued >= hit - 1); /* one has the names of all trees */
}

static void
test_compact(void **state)
{
	struct rig *r = *state;
	struct spool_compacted result;
	struct tally before, after;
	struct spool *s;

	assert_true(survey(r, r->path, &before));
	s = open_spool(r, r->path);
	assert_false(
	    spool_compact(r->path, &result, r->error, sizeof r->error));
	check_said(r, "stop tranqd first");
	spool_close(&s);
	if (!spool_compact(r->path, &result, r->error, sizeof r->error))
		fail_msg("%s", r->error);
	assert_true(result.after_bytes < result.before_bytes);
	assert_true(survey(r, r->path, &after));
	assert_memory_equal(&before, &after, sizeof before);
	s = open_spool(r, r->path);
	assert_int_equal(spool_batches(s), before.batches);
	spool_begin(s);
	put(s, 3);
	commit(r, s);
	spool_close(&s);
	assert_true(survey(r, r->path, &after));
	assert_int_equal(after.batches, before.batches + 1);
}

static void
test_compact_refuses(void **state)
{
	struct rig *r = *state;
	struct spool_compacted result;
	char *path;

	flip(r, "queue");
	check_refused(r, "names what no spool has");
	assert_false(
	    spool_compact(r->copy, &result, r->error, sizeof r->error));
	path = must_format("%s/data.mdb.new", r->copy);
	assert_int_not_equal(access(path, F_OK), 0);
	free(path);
}

#define CHECK_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHECK_TEST(test_bit_flips),
		CHECK_TEST(test_cut_off),
		CHECK_TEST(test_other_machines),
		CHECK_TEST(test_no_permission),
		CHECK_TEST(test_older_meta),
		CHECK_TEST(test_survey),
		CHECK_TEST(test_rescue_of_meta),
		CHECK_TEST(test_rescue),
		CHECK_TEST(test_compact),
		CHECK_TEST(test_compact_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

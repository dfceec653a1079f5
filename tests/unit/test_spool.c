/*
 * test_spool - the durable store: order, accounts, restarts, failing disks
 *
 * LMDB's writes go through the two functions below, so that the disk fails
 * when a test wants it to.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lmdb.h>

#include "panic.h"
#include "spool.h"
#include "spool_dead.h"

#define NOW_MS INT64_C(1763806800123)
#define FIRST_ID ((uint64_t)(NOW_MS / 1000) << 22)
#define BYTES_MAX (64 * (int64_t)MiB)
#define ERROR_BYTES 600
#define KILLS 25

/* ---- a disk that fails ---- */

static struct {
	int sync_errno, write_errno; /* 0: it works */
	/* the write behind the sync (the meta page) is done and said to have
	 * failed, all later ones fail */
	bool lies, synced;
	unsigned writes;
} disk;

int fdatasync(int fd); /* as liblmdb calls them */

int
fdatasync(int fd)
{
	disk.synced = true;
	if (disk.sync_errno != 0) {
		errno = disk.sync_errno;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

ssize_t
pwrite(int fd, const void *from, size_t bytes, off_t at)
{
	disk.writes++;
	if (disk.lies && disk.synced) {
		disk.lies = false;
		syscall(SYS_pwrite64, fd, from, bytes, at);
		disk.write_errno = EIO;
	}
	if (disk.write_errno != 0) {
		errno = disk.write_errno;
		return -1;
	}
	return syscall(SYS_pwrite64, fd, from, bytes, at);
}

/* ---- a spool in a folder of the test's own ---- */

struct rig {
	char dir[64], path[80];
	struct spool *spool;
	char error[ERROR_BYTES];
};

static struct spool_options
options(const struct rig *r)
{
	return (struct spool_options){ .dir = r->path,
		.ds = "wikipedia",
		.bytes_max = BYTES_MAX,
		.now_ms = NOW_MS,
		.lock_wait_ms = 1 };
}

static bool
try_open(struct rig *r)
{
	struct spool_options o = options(r);

	r->error[0] = '\0';
	r->spool = spool_open(&o, r->error, sizeof r->error);
	return r->spool != NULL;
}

static void
open_rig(struct rig *r)
{
	if (!try_open(r))
		fail_msg("%s", r->error);
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	disk.sync_errno = disk.write_errno = 0;
	disk.lies = false;
	strcpy(r->dir, "/tmp/test_spool_XXXXXX");
	if (mkdtemp(r->dir) == NULL)
		return -1;
	snprintf(r->path, sizeof r->path, "%s/wikipedia", r->dir);
	open_rig(r);
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

	disk.sync_errno = disk.write_errno = 0;
	spool_close(&r->spool);
	nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(r);
	return 0;
}

static void
restart(struct rig *r)
{
	spool_close(&r->spool);
	assert_null(r->spool);
	open_rig(r);
}

static char *
file_path(const struct rig *r, const char *name)
{
	return must_format("%s/%s", r->path, name);
}

static void
expect_commit(struct rig *r)
{
	if (spool_commit(r->spool, r->error, sizeof r->error) != RESULT_OK)
		fail_msg("%s", r->error);
}

static enum result
commit(struct rig *r)
{
	r->error[0] = '\0';
	return spool_commit(r->spool, r->error, sizeof r->error);
}

static const struct spool_lane first_lane = { 3600000, 7200000, 0, 0 };

/* A sealed batch of `events` events for that lane. */
static char *
make_value(
    struct rig *r, const struct spool_lane *at, unsigned events, size_t *bytes)
{
	struct interval interval = { at->start, at->end };
	struct batch *b = batch_new(interval, at->partition, 1000);
	struct batch_seal seal = { .id = spool_take_id(r->spool, events),
		.generation = 1,
		.now_ms = NOW_MS + (int64_t)events,
		.lane = at->lane };

	for (unsigned i = 0; i < events; i++) {
		char text[64];
		struct event e = { .timestamp_ms = at->start };

		e.bytes =
		    (unsigned)snprintf(text, sizeof text, "{\"event\":%u}", i) &
		    EVENT_BYTES_MAX;
		batch_add(b, &e, text, 5, 0);
	}
	return batch_seal(&b, &seal, bytes);
}

/* Puts one into the open transaction. */
static struct spool_entry
put(struct rig *r, const struct spool_lane *at, unsigned events)
{
	struct spool_entry e = { .at = *at, .events = events };
	size_t bytes;
	char *value = make_value(r, at, events, &bytes);
	struct batch_view v;

	batch_view_own(value, bytes, &v);
	e.id = v.header->id;
	e.sealed_ms = v.header->sealed_ms;
	e.bytes = (uint32_t)bytes;
	spool_put(r->spool, value, bytes);
	free(value);
	return e;
}

static struct spool_entry
put_one(struct rig *r, const struct spool_lane *at, unsigned events)
{
	struct spool_entry e;

	spool_begin(r->spool);
	e = put(r, at, events);
	expect_commit(r);
	return e;
}

static bool
loads(struct rig *r, uint64_t id, unsigned events)
{
	size_t bytes;
	bool damaged;
	char *value = spool_load(r->spool, id, &bytes, &damaged);
	struct batch_view v;

	assert_false(damaged);
	if (value == NULL)
		return false;
	assert_true(batch_view(value, bytes, &v));
	assert_int_equal(v.header->id, id);
	assert_int_equal(v.header->events, events);
	free(value);
	return true;
}

static void
check_waiting(const struct rig *r, uint64_t batches, uint64_t events)
{
	assert_int_equal(spool_batches(r->spool), batches);
	assert_int_equal(spool_events(r->spool), events);
	if (batches == 0)
		assert_int_equal(spool_bytes(r->spool), 0);
}

/* ---- identity and ids ---- */

static void
test_fresh(void **state)
{
	struct rig *r = *state;
	const struct spool_totals *t = spool_totals(r->spool);
	char identity[SPOOL_IDENTITY_BYTES];

	strcpy(identity, spool_identity(r->spool));
	assert_int_equal(strlen(identity), 36);
	assert_int_equal(identity[14], '4');
	assert_int_equal(spool_take_id(r->spool, 1), FIRST_ID);
	check_waiting(r, 0, 0);
	assert_int_equal(spool_oldest_ms(r->spool), 0);
	assert_true(t->received + t->sent + t->dropped_window + t->dead +
		t->quarantined ==
	    0);
	assert_false(spool_failed(r->spool));
	restart(r);
	assert_string_equal(spool_identity(r->spool), identity);
}

static void
test_identities_differ(void **state)
{
	struct rig *r = *state, other = *r;

	snprintf(other.path, sizeof other.path, "%s/other", r->dir);
	open_rig(&other);
	assert_string_not_equal(
	    spool_identity(r->spool), spool_identity(other.spool));
	spool_close(&other.spool);
}

static void
test_ids_go_on_after_restart(void **state)
{
	struct rig *r = *state;
	struct spool_entry first = put_one(r, &first_lane, 7), next;

	assert_int_equal(first.id, FIRST_ID);
	restart(r);
	next = put_one(r, &first_lane, 3);
	assert_int_equal(next.id, FIRST_ID + 7);
	spool_begin(r->spool);
	spool_remove(r->spool, &first);
	spool_remove(r->spool, &next);
	expect_commit(r);
	restart(r); /* also when it is empty */
	assert_int_equal(spool_take_id(r->spool, 1), FIRST_ID + 10);
}

static void
test_ids_go_on_after_failure(void **state)
{
	struct rig *r = *state;
	struct spool_entry lost, next;

	put_one(r, &first_lane, 2);
	spool_begin(r->spool);
	lost = put(r, &first_lane, 5);
	disk.sync_errno = EIO;
	assert_int_equal(commit(r), RESULT_RETRY);
	disk.sync_errno = 0;
	assert_true(spool_reopen(r->spool, r->error, sizeof r->error));
	next = put_one(r, &first_lane, 1);
	assert_int_equal(next.id, lost.id + 5);
	restart(r);
	assert_int_equal(spool_take_id(r->spool, 1), lost.id + 6);
}

/* ---- queue ---- */

static void
test_order(void **state)
{
	struct rig *r = *state;
	/* before 1970 comes before it; then partition, then lane */
	static const struct spool_lane lanes[] = { { -7200000, -3600000, 0, 0 },
		{ 0, 3600000, 0, 0 }, { 0, 3600000, 0, 1 },
		{ 0, 3600000, 300, 0 }, { 0, 86400000, 0, 0 },
		{ INT64_C(1) << 40, INT64_C(1) << 41, 2, 0 } };
	const struct spool_lane *behind = NULL;
	struct spool_entry e;
	unsigned batches;

	spool_begin(r->spool);
	for (unsigned round = 1; round <= 3; round++)
		for (size_t i = ARRAY_LEN(lanes); i-- > 0;)
			put(r, &lanes[i], round);
	expect_commit(r);
	check_waiting(r, 18, 36);
	for (size_t i = 0; i < ARRAY_LEN(lanes); i++) {
		uint64_t after = 0;

		assert_true(spool_next_lane(r->spool, behind, &e, &batches));
		assert_memory_equal(&e.at, &lanes[i], sizeof e.at);
		assert_int_equal(batches, 3);
		for (unsigned round = 1; round <= 3; round++) {
			assert_true(spool_next(r->spool, &lanes[i], after, &e));
			assert_memory_equal(&e.at, &lanes[i], sizeof e.at);
			assert_int_equal(e.events, round);
			assert_int_equal(e.sealed_ms, NOW_MS + round);
			assert_true(loads(r, e.id, round));
			after = e.id;
		}
		assert_false(spool_next(r->spool, &lanes[i], after, &e));
		behind = &lanes[i];
	}
	assert_false(spool_next_lane(r->spool, behind, &e, &batches));
	assert_int_equal(spool_oldest_ms(r->spool), NOW_MS + 1);
}

static void
test_remove(void **state)
{
	struct rig *r = *state;
	struct spool_entry a = put_one(r, &first_lane, 4), e;
	struct spool_entry b = put_one(r, &first_lane, 6);

	spool_begin(r->spool);
	spool_remove(r->spool, &a);
	expect_commit(r);
	check_waiting(r, 1, 6);
	assert_int_equal(spool_bytes(r->spool), b.bytes);
	assert_int_equal(spool_totals(r->spool)->sent, 4);
	assert_false(loads(r, a.id, 4));
	assert_true(spool_next(r->spool, &first_lane, 0, &e));
	assert_int_equal(e.id, b.id);
	/* what has left cannot leave again */
	spool_begin(r->spool);
	spool_remove(r->spool, &a);
	spool_bury(r->spool, &a, SPOOL_WHY_CLOSED, 1000);
	expect_commit(r);
	check_waiting(r, 1, 6);
	assert_int_equal(spool_totals(r->spool)->sent, 4);
	assert_int_equal(spool_totals(r->spool)->dead, 0);
}

static void
test_bury(void **state)
{
	struct rig *r = *state;
	struct spool_entry a = put_one(r, &first_lane, 4), e;

	spool_begin(r->spool);
	spool_bury(r->spool, &a, SPOOL_WHY_CLOSED, 1000);
	expect_commit(r);
	check_waiting(r, 0, 0);
	assert_int_equal(spool_totals(r->spool)->dead, 4);
	assert_int_equal(spool_totals(r->spool)->sent, 0);
	assert_false(spool_next(r->spool, &first_lane, 0, &e));
	assert_true(loads(r, a.id, 4)); /* kept */
	restart(r);
	assert_true(loads(r, a.id, 4));
	check_waiting(r, 0, 0);
	assert_int_equal(spool_totals(r->spool)->dead, 4);
}

/* A batch goes on under another label, with fewer events. */
static void
test_replace(void **state)
{
	static const struct spool_lane later = { 7200000, 10800000, 50000, 1 };
	struct rig *r = *state;
	struct spool_entry old = put_one(r, &first_lane, 5), e;
	size_t bytes;
	char *value;

	spool_begin(r->spool);
	value = make_value(r, &later, 3, &bytes);
	spool_replace(r->spool, &old, value, bytes);
	free(value);
	expect_commit(r);
	restart(r);
	assert_int_equal(spool_batches(r->spool), 1);
	assert_int_equal(spool_events(r->spool), 3);
	assert_int_equal(spool_bytes(r->spool), bytes);
	assert_int_equal(spool_totals(r->spool)->sent, 2);
	assert_false(spool_next(r->spool, &first_lane, 0, &e));
	assert_true(spool_next(r->spool, &later, 0, &e));
	assert_int_equal(e.events, 3);
	assert_true(e.id > old.id);
	assert_true(loads(r, e.id, 3));
	assert_false(loads(r, old.id, 5));
}

/* What has gone on does not go on again. */
static void
test_is_queued(void **state)
{
	struct rig *r = *state;
	struct spool_entry a = put_one(r, &first_lane, 2), other = a;

	other.at.lane++;
	spool_begin(r->spool);
	assert_true(spool_is_queued(r->spool, &a));
	assert_false(spool_is_queued(r->spool, &other));
	spool_remove(r->spool, &a);
	assert_false(spool_is_queued(r->spool, &a));
	expect_commit(r);
	spool_begin(r->spool);
	assert_false(spool_is_queued(r->spool, &a));
	expect_commit(r);
}

/* A batch that was sealed before another comes behind it. */
static void
test_out_of_turn(void **state)
{
	struct rig *r = *state;
	struct spool_entry late, e;
	size_t bytes;
	char *early = make_value(r, &first_lane, 3, &bytes);

	late = put_one(r, &first_lane, 2);
	spool_begin(r->spool);
	spool_put(r->spool, early, bytes);
	expect_commit(r);
	free(early);
	restart(r);
	check_waiting(r, 2, 5);
	assert_true(spool_next(r->spool, &first_lane, 0, &e));
	assert_int_equal(e.events, 3);
	assert_true(loads(r, e.id, 3));
	assert_true(spool_next(r->spool, &first_lane, e.id, &e));
	assert_int_equal(e.id, late.id);
	assert_true(loads(r, e.id, 2));
}

static void
test_accounts_of_open_transaction(void **state)
{
	struct rig *r = *state;
	uint64_t room = (uint64_t)BYTES_MAX;
	struct spool_entry a, e;

	spool_begin(r->spool);
	a = put(r, &first_lane, 4);
	check_waiting(r, 0, 0); /* not yet */
	assert_false(spool_next(r->spool, &first_lane, 0, &e));
	assert_false(loads(r, a.id, 4));
	assert_false(spool_has_room(r->spool, room)); /* but its room is */
	assert_true(spool_has_room(r->spool, room - a.bytes));
	assert_false(spool_has_room(r->spool, room - a.bytes + 1));
	expect_commit(r);
	check_waiting(r, 1, 4);
	assert_int_equal(spool_bytes(r->spool), a.bytes);
	spool_set_bytes_max(r->spool, a.bytes);
	assert_true(spool_has_room(r->spool, 0));
	assert_false(spool_has_room(r->spool, 1));
	spool_begin(r->spool);
	spool_remove(r->spool, &a);
	assert_true(spool_has_room(r->spool, 1));
	check_waiting(r, 1, 4);
	expect_commit(r);
	check_waiting(r, 0, 0);
}

static void
test_totals_over_restart(void **state)
{
	struct rig *r = *state;
	struct spool_totals more = { .received = 10,
		.dropped_window = 3,
		.quarantined = 1,
		.sent = 99, /* follows from removals */
		.dead = 99 };
	const struct spool_totals *t;

	for (unsigned i = 1; i <= 3; i++) {
		struct spool_entry a = put_one(r, &first_lane, 2);

		spool_begin(r->spool);
		spool_count(r->spool, &more);
		spool_remove(r->spool, &a);
		expect_commit(r);
		restart(r);
		t = spool_totals(r->spool);
		assert_int_equal(t->received, 10 * i);
		assert_int_equal(t->dropped_window, 3 * i);
		assert_int_equal(t->quarantined, i);
		assert_int_equal(t->sent, 2 * i);
		assert_int_equal(t->dead, 0);
	}
}

/* ---- progress, cursors, documents ---- */

static void
check_progress(struct rig *r, uint64_t id, unsigned replicant, uint32_t chunk)
{
	struct spool_progress p = spool_progress(r->spool, id, replicant);

	assert_int_equal(p.chunk, chunk);
	assert_int_equal(p.attempt, chunk == 0 ? 0 : 2 * chunk);
}

static void
test_progress(void **state)
{
	struct rig *r = *state;
	struct spool_entry all[3];

	for (unsigned i = 0; i < 3; i++)
		all[i] = put_one(r, &first_lane, 1);
	check_progress(r, all[0].id, 0, 0);
	spool_begin(r->spool);
	for (unsigned i = 0; i < 3; i++) {
		struct spool_progress p = { .chunk = i + 1,
			.attempt = 2 * (i + 1) };

		spool_set_progress(r->spool, all[i].id, 0, &p);
		spool_set_progress(r->spool, all[i].id, 99, &p);
	}
	expect_commit(r);
	restart(r);
	for (unsigned i = 0; i < 3; i++) {
		check_progress(r, all[i].id, 0, i + 1);
		check_progress(r, all[i].id, 99, i + 1);
		check_progress(r, all[i].id, 1, 0);
	}
	/* it goes with its batch, and with it only */
	spool_begin(r->spool);
	spool_remove(r->spool, &all[1]);
	expect_commit(r);
	check_progress(r, all[0].id, 99, 1);
	check_progress(r, all[1].id, 0, 0);
	check_progress(r, all[1].id, 99, 0);
	check_progress(r, all[2].id, 0, 3);
	spool_begin(r->spool);
	spool_bury(r->spool, &all[2], SPOOL_WHY_CLOSED, 1000);
	expect_commit(r);
	check_progress(r, all[2].id, 0, 0);
	check_progress(r, all[0].id, 0, 1);
}

static void
test_cursors(void **state)
{
	struct rig *r = *state;
	struct spool_cursor c = { 7, UINT64_MAX - 15, 100, 5 }, got;

	assert_false(spool_cursor(r->spool, 0, 7, &got));
	spool_begin(r->spool);
	spool_set_cursor(r->spool, 0, &c);
	c.position = 16;
	spool_set_cursor(r->spool, 11, &c);
	expect_commit(r);
	restart(r);
	assert_true(spool_cursor(r->spool, 0, 7, &got));
	assert_true(got.position == UINT64_MAX - 15);
	assert_int_equal(got.taken_events, 100);
	assert_int_equal(got.taken_dropped, 5);
	assert_true(spool_cursor(r->spool, 11, 7, &got));
	assert_int_equal(got.position, 16);
	assert_false(spool_cursor(r->spool, 1, 7, &got));
	assert_false(spool_cursor(r->spool, 0, 8, &got)); /* another life */
	c.generation = 8;
	spool_begin(r->spool);
	spool_set_cursor(r->spool, 0, &c);
	expect_commit(r);
	assert_true(spool_cursor(r->spool, 0, 8, &got));
	assert_false(spool_cursor(r->spool, 0, 7, &got));
	assert_true(spool_cursor(r->spool, 11, 7, &got));
}

static void
test_documents(void **state)
{
	struct rig *r = *state;
	char *text, *long_text = must_calloc(1, 100001);

	memset(long_text, 'b', 100000);
	assert_null(spool_document(r->spool, "beams"));
	spool_begin(r->spool);
	spool_set_document(r->spool, "beams", "{\"a\":1}...", 7);
	spool_set_document(r->spool, "other", long_text, 100000);
	expect_commit(r);
	restart(r);
	text = spool_document(r->spool, "beams");
	assert_string_equal(text, "{\"a\":1}");
	free(text);
	text = spool_document(r->spool, "other");
	assert_string_equal(text, long_text);
	free(text);
	spool_begin(r->spool);
	spool_set_document(r->spool, "beams", "{}", 2);
	expect_commit(r);
	text = spool_document(r->spool, "beams");
	assert_string_equal(text, "{}");
	free(text);
	free(long_text);
}

/* ---- what is not opened ---- */

static void
check_said(const struct rig *r, const char *part)
{
	if (strstr(r->error, part) == NULL)
		fail_msg("'%s' is not in '%s'", part, r->error);
}

static void
test_second_owner(void **state)
{
	struct rig *r = *state, other = *r;
	int status;
	pid_t pid;

	assert_false(try_open(&other));
	check_said(&other, r->path);
	check_said(&other, "another process owns it, pid ");
	check_said(&other, "tranqd.dataDir");
	if ((pid = fork()) == 0)
		_exit(try_open(&other));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	spool_close(&r->spool);
	open_rig(&other);
	assert_false(try_open(r));
	spool_close(&other.spool);
}

static char *
slurp(const char *path, size_t *bytes)
{
	FILE *f = fopen(path, "r");
	char *all = must_calloc(1, 4 * MiB);

	assert_non_null(f);
	*bytes = fread(all, 1, 4 * MiB, f);
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

/* Not opened, and not changed by a byte. */
static void
check_refused(struct rig *r, const char *part)
{
	char *path = file_path(r, "data.mdb");
	size_t before_bytes, after_bytes;
	char *before = slurp(path, &before_bytes), *after;

	assert_false(try_open(r));
	check_said(r, r->path);
	check_said(r, "move the directory away");
	check_said(r, part);
	after = slurp(path, &after_bytes);
	assert_int_equal(after_bytes, before_bytes);
	assert_memory_equal(after, before, before_bytes);
	free(before);
	free(after);
	free(path);
}

static void
test_garbage_is_refused(void **state)
{
	static const size_t lengths[] = { 3, 100, 4096, 100000 };
	struct rig *r = *state;
	char *path = file_path(r, "data.mdb"), *text = must_malloc(100000);

	memset(text, 'g', 100000);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		spool_close(&r->spool);
		spit(path, text, lengths[i]);
		check_refused(r, "not a spool of this program");
	}
	free(text);
	free(path);
}

static MDB_env *
open_lmdb(const struct rig *r)
{
	MDB_env *env;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
	assert_int_equal(mdb_env_open(env, r->path, 0, 0600), 0);
	return env;
}

/* One entry in a database of the environment. */
static void
set_entry(const struct rig *r, const char *database, const char *name,
    void *value, size_t bytes)
{
	MDB_env *env = open_lmdb(r);
	MDB_val k = { strlen(name), must_strdup(name) }, v = { bytes, value };
	MDB_txn *txn;
	MDB_dbi dbi;

	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, database, MDB_CREATE, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	free(k.mv_data);
}

static void
test_other_version_is_refused(void **state)
{
	struct rig *r = *state;
	uint32_t version = 2, ours = 1;
	struct spool_entry a = put_one(r, &first_lane, 3);

	spool_close(&r->spool);
	set_entry(r, "meta", "format", &version, sizeof version);
	check_refused(r, "version");
	set_entry(r, "meta", "format", &ours, sizeof ours);
	open_rig(r);
	assert_true(loads(r, a.id, 3));
}

static void
test_other_programs_are_refused(void **state)
{
	static const char *const databases[] = { "postings", NULL };
	struct rig *r = *state;
	char value[] = "x";

	for (size_t i = 0; i < ARRAY_LEN(databases); i++) {
		spool_close(&r->spool);
		snprintf(r->path, sizeof r->path, "%s/%zu", r->dir, i);
		assert_int_equal(mkdir(r->path, 0700), 0);
		set_entry(r, databases[i], "key", value, 1);
		check_refused(r, "not a spool of this program");
	}
	/* one that has a "meta" as well */
	snprintf(r->path, sizeof r->path, "%s/meta", r->dir);
	assert_int_equal(mkdir(r->path, 0700), 0);
	set_entry(r, "meta", "key", value, 1);
	check_refused(r, "not a spool of this program");
	snprintf(r->path, sizeof r->path, "%s/entry", r->dir);
	assert_int_equal(mkdir(r->path, 0700), 0);
	set_entry(r, NULL, "meta", value, 1);
	check_refused(r, "not a spool of this program");
}

static void
test_damaged_meta_is_refused(void **state)
{
	struct rig *r = *state;
	char value[] = "short";

	spool_close(&r->spool);
	set_entry(r, "meta", "nextId", value, sizeof value);
	check_refused(r, "damaged");
	set_entry(r, "meta", "format", value, sizeof value);
	check_refused(r, "not a spool of this program");
}

static void
test_no_directory(void **state)
{
	struct rig *r = *state;

	spool_close(&r->spool);
	snprintf(r->path, sizeof r->path, "%s/file", r->dir);
	spit(r->path, "x", 1);
	assert_false(try_open(r));
	check_said(r, r->path);
	check_said(r, "Not a directory");
	check_said(r, "move the file away");
	snprintf(r->path, sizeof r->path, "%s/no/parent", r->dir);
	assert_false(try_open(r));
	check_said(r, r->path);
	check_said(r, "No such file");
}

/* A killed worker may leave the folder at any stage of its making. */
static void
test_begun_folders(void **state)
{
	struct rig *r = *state;
	char *path;

	spool_close(&r->spool);
	snprintf(r->path, sizeof r->path, "%s/begun", r->dir);
	assert_int_equal(mkdir(r->path, 0700), 0);
	path = file_path(r, "data.mdb");
	spit(path, "", 0);
	open_rig(r);
	put_one(r, &first_lane, 1);
	free(path);
}

/* ---- kill -9 ---- */

static void
test_killed_before_commit(void **state)
{
	struct rig *r = *state;
	struct spool_cursor c = { 1, 8, 1, 0 }, got;
	struct spool_entry kept = put_one(r, &first_lane, 2), e;
	int status;
	pid_t pid;

	spool_close(&r->spool);
	if ((pid = fork()) == 0) {
		open_rig(r);
		spool_begin(r->spool);
		spool_remove(r->spool, &kept);
		put(r, &first_lane, 5);
		spool_set_cursor(r->spool, 0, &c);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	open_rig(r); /* its lock went with it */
	check_waiting(r, 1, 2);
	assert_true(spool_next(r->spool, &first_lane, 0, &e));
	assert_int_equal(e.id, kept.id);
	assert_false(spool_cursor(r->spool, 0, 1, &got));
	put_one(r, &first_lane, 1);
}

/* Commits as fast as it can, each with its number as cursor, a batch of it and
 * the removal of the one before. */
static void
commit_for_ever(struct rig *r, _Atomic uint64_t *committed)
{
	struct spool_cursor c = { .generation = 1 };
	struct spool_entry last;
	bool has_last;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!try_open(r))
		_exit(1);
	(void)spool_cursor(r->spool, 0, 1, &c);
	has_last = spool_next(r->spool, &first_lane, 0, &last);
	c.generation = 1;
	for (;;) {
		spool_begin(r->spool);
		if (has_last)
			spool_remove(r->spool, &last);
		last = put(r, &first_lane, 1 + (unsigned)(c.position % 7));
		has_last = true;
		c.position++;
		spool_set_cursor(r->spool, 0, &c);
		if (commit(r) != RESULT_OK)
			_exit(2);
		*committed = c.position;
	}
}

static bool
has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	assert_int_equal(
	    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	return info.si_pid != 0;
}

/* Until it has committed anew, and a random moment more. */
static void
kill_it(pid_t pid, _Atomic uint64_t *committed, uint64_t before)
{
	struct timespec t = { .tv_nsec = rand() % 3000000 };
	int status;

	while (*committed == before && !has_ended(pid))
		sched_yield();
	nanosleep(&t, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("it ended with status %x", (unsigned)status);
}

static void
test_killed_at_random(void **state)
{
	struct rig *r = *state;
	_Atomic uint64_t *committed = mmap(NULL, sizeof *committed,
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct spool_cursor c;
	struct spool_entry e;

	assert_ptr_not_equal(committed, MAP_FAILED);
	srand((unsigned)time(NULL));
	for (int i = 0; i < KILLS; i++) {
		uint64_t before = *committed;
		pid_t pid;

		spool_close(&r->spool);
		if ((pid = fork()) == 0)
			commit_for_ever(r, committed);
		kill_it(pid, committed, before);
		open_rig(r);
		/* what was said to be durable is there, and all of one
		 * transaction is or none of it */
		assert_true(spool_cursor(r->spool, 0, 1, &c));
		assert_in_range(c.position, *committed, *committed + 1);
		assert_int_equal(spool_batches(r->spool), 1);
		assert_true(spool_next(r->spool, &first_lane, 0, &e));
		assert_int_equal(e.events, 1 + (c.position - 1) % 7);
		assert_true(loads(r, e.id, e.events));
	}
	munmap(committed, sizeof *committed);
}

/* ---- a disk that fails ---- */

/* A transaction of everything, which fails; nothing of it has happened, and
 * after spool_reopen the same can be done. */
static void
check_failure(struct rig *r, enum result expected, const char *said)
{
	struct spool_totals more = { .received = 5 };
	struct spool_cursor c = { 1, 8, 1, 0 }, got;
	struct spool_entry e, kept;

	assert_true(spool_next(r->spool, &first_lane, 0, &kept));
	assert_int_equal(commit(r), expected);
	check_said(r, r->path);
	check_said(r, said);
	assert_true(spool_failed(r->spool));
	disk.sync_errno = disk.write_errno = 0;
	assert_true(spool_reopen(r->spool, r->error, sizeof r->error));
	assert_false(spool_failed(r->spool));
	assert_false(spool_surprised(r->spool));
	check_waiting(r, 1, kept.events);
	assert_int_equal(spool_totals(r->spool)->received, 0);
	assert_false(spool_cursor(r->spool, 0, 1, &got));
	assert_true(spool_next(r->spool, &first_lane, 0, &e));
	assert_int_equal(e.id, kept.id);
	assert_true(loads(r, kept.id, kept.events));

	spool_begin(r->spool);
	spool_remove(r->spool, &kept);
	e = put(r, &first_lane, 3);
	spool_set_cursor(r->spool, 0, &c);
	spool_count(r->spool, &more);
	expect_commit(r);
	check_waiting(r, 1, 3);
	assert_int_equal(spool_totals(r->spool)->received, 5);
	assert_true(spool_cursor(r->spool, 0, 1, &got));
	assert_true(loads(r, e.id, 3));
}

static void
begin_all(struct rig *r, unsigned events)
{
	struct spool_totals more = { .received = 5 };
	struct spool_cursor c = { 1, 8, 1, 0 };
	struct spool_entry kept = put_one(r, &first_lane, 2);

	spool_begin(r->spool);
	spool_remove(r->spool, &kept);
	put(r, &first_lane, events);
	spool_set_cursor(r->spool, 0, &c);
	spool_count(r->spool, &more);
}

static void
test_sync_fails(void **state)
{
	begin_all(*state, 10);
	disk.sync_errno = EIO;
	check_failure(*state, RESULT_RETRY, "Input/output error");
}

static void
test_disk_is_full(void **state)
{
	begin_all(*state, 10);
	disk.write_errno = ENOSPC;
	check_failure(*state, RESULT_FULL, "make room on the disk");
}

/* Not by our own hands: the file must not grow any more. */
static void
test_file_limit(void **state)
{
	struct rig *r = *state;
	struct rlimit old, limit;
	char *path = file_path(r, "data.mdb");
	struct stat st;

	begin_all(r, 100000);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = (rlim_t)st.st_size;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(commit(r), RESULT_RETRY);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	check_said(r, "File too large");
	assert_true(spool_reopen(r->spool, r->error, sizeof r->error));
	check_waiting(r, 1, 2);
	free(path);
}

/* Until spool_reopen no transaction goes through, whatever the disk does. */
static void
test_failed_stays_failed(void **state)
{
	struct rig *r = *state;

	spool_begin(r->spool);
	put(r, &first_lane, 1);
	disk.write_errno = EIO;
	assert_int_equal(commit(r), RESULT_RETRY);
	assert_true(spool_failed(r->spool));
	disk.write_errno = 0;
	spool_begin(r->spool);
	(void)commit(r);
	assert_true(spool_failed(r->spool));
	assert_true(spool_reopen(r->spool, r->error, sizeof r->error));
	put_one(r, &first_lane, 1);
	check_waiting(r, 1, 1);
}

static void
test_reopen_fails(void **state)
{
	struct rig *r = *state;
	struct spool_entry a = put_one(r, &first_lane, 4), e;
	char *path = file_path(r, "data.mdb"), *aside = file_path(r, "aside");
	unsigned batches;

	spool_begin(r->spool);
	put(r, &first_lane, 1);
	disk.sync_errno = EIO;
	assert_int_equal(commit(r), RESULT_RETRY);
	disk.sync_errno = 0;
	assert_int_equal(rename(path, aside), 0);
	spit(path, "garbage", 7);
	for (int i = 0; i < 2; i++) {
		assert_false(spool_reopen(r->spool, r->error, sizeof r->error));
		check_said(r, r->path);
		assert_true(spool_failed(r->spool));
		/* everything is harmless, nothing is said to be done */
		assert_false(spool_next(r->spool, &first_lane, 0, &e));
		assert_false(spool_next_lane(r->spool, NULL, &e, &batches));
		assert_false(loads(r, a.id, 4));
		assert_null(spool_document(r->spool, "beams"));
		assert_int_equal(spool_oldest_ms(r->spool), 0);
		spool_begin(r->spool);
		put(r, &first_lane, 1);
		assert_int_equal(commit(r), RESULT_RETRY);
	}
	assert_int_equal(rename(aside, path), 0);
	assert_true(spool_reopen(r->spool, r->error, sizeof r->error));
	check_waiting(r, 1, 4);
	e = put_one(r, &first_lane, 1);
	assert_true(e.id > a.id + 6); /* ids that were taken stay taken */
	free(path);
	free(aside);
}

/* The meta page is written, the answer is an error, and LMDB's writing back
 * fails as well: what "failed" is on the disk. */
static void
test_failed_and_done(void **state)
{
	struct rig *r = *state;
	struct spool_entry a = put_one(r, &first_lane, 4), b;
	struct spool_cursor c = { 1, 8, 1, 0 }, got;

	spool_begin(r->spool);
	spool_remove(r->spool, &a);
	b = put(r, &first_lane, 6);
	spool_set_cursor(r->spool, 0, &c);
	disk.synced = false;
	disk.lies = true;
	assert_int_equal(commit(r), RESULT_RETRY);
	disk.write_errno = 0;
	assert_true(spool_reopen(r->spool, r->error, sizeof r->error));
	assert_true(spool_surprised(r->spool));
	check_waiting(r, 1, 6);
	assert_true(spool_cursor(r->spool, 0, 1, &got));
	assert_true(loads(r, b.id, 6));
	/* the removal is written again, since nobody knows */
	spool_begin(r->spool);
	spool_remove(r->spool, &a);
	expect_commit(r);
	check_waiting(r, 1, 6);
	assert_int_equal(spool_totals(r->spool)->sent, 4);
}

/* What is found may be in the page cache only; receivers answer 200 for it. */
static void
test_opening_makes_durable(void **state)
{
	struct rig *r = *state;

	put_one(r, &first_lane, 4);
	spool_close(&r->spool);
	disk.synced = false;
	disk.writes = 0;
	open_rig(r);
	assert_true(disk.synced);
	assert_true(disk.writes > 0);
	check_waiting(r, 1, 4);
}

static void
test_opening_cannot_make_durable(void **state)
{
	struct rig *r = *state;

	put_one(r, &first_lane, 4);
	spool_close(&r->spool);
	disk.sync_errno = EIO;
	assert_false(try_open(r));
	check_said(r, "Input/output error");
	disk.sync_errno = 0;
	disk.write_errno = EIO;
	assert_false(try_open(r));
	disk.write_errno = 0;
	open_rig(r);
	check_waiting(r, 1, 4);
}

/* A full disk must not keep what is there from being delivered. */
static void
test_opens_on_a_full_disk(void **state)
{
	struct rig *r = *state;

	put_one(r, &first_lane, 4);
	spool_close(&r->spool);
	disk.write_errno = ENOSPC;
	disk.synced = false;
	open_rig(r);
	assert_true(disk.synced);
	check_waiting(r, 1, 4);
	disk.sync_errno = EIO;
	spool_close(&r->spool);
	assert_false(try_open(r));
	disk.sync_errno = disk.write_errno = 0;
	open_rig(r);
	put_one(r, &first_lane, 1);
	check_waiting(r, 2, 5);
}

/* LMDB writes to it through a map: without its blocks a full disk is a
 * SIGBUS. */
static void
test_lock_file_has_its_blocks(void **state)
{
	struct rig *r = *state;
	char *path = file_path(r, "lock.mdb");
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 8192);
	assert_true(st.st_blocks * 512 >= st.st_size);
	free(path);
}

static void
test_map_is_full(void **state)
{
	struct rig *r = *state;
	size_t bytes = 100 * MiB;
	char *value = must_calloc(1, bytes);
	struct batch_header *h = (void *)value;

	spool_begin(r->spool);
	for (int i = 0; i < 8; i++) {
		h->id = spool_take_id(r->spool, 1);
		h->events = 1;
		spool_put(r->spool, value, bytes);
	}
	assert_int_equal(commit(r), RESULT_FULL);
	check_said(r, "raise spool.bytesMax");
	free(value);
	assert_true(spool_reopen(r->spool, r->error, sizeof r->error));
	check_waiting(r, 0, 0);
	put_one(r, &first_lane, 1);
	check_waiting(r, 1, 1);
}

/* A byte of the value is another one on the disk: LMDB does not notice. */
static void
test_damaged_value(void **state)
{
	struct rig *r = *state;
	struct spool_entry good = put_one(r, &first_lane, 2);
	struct spool_entry bad = put_one(r, &first_lane, 300);
	char *path = file_path(r, "data.mdb"), *all, *at;
	size_t bytes;
	bool damaged;

	spool_close(&r->spool);
	all = slurp(path, &bytes);
	at = memmem(all, bytes, "{\"event\":299}", 13);
	assert_non_null(at);
	at[9] = '3';
	spit(path, all, bytes);
	open_rig(r);
	assert_null(spool_load(r->spool, bad.id, &bytes, &damaged));
	assert_true(damaged);
	assert_null(spool_load(r->spool, bad.id + 1, &bytes, &damaged));
	assert_false(damaged); /* not there is another thing */
	assert_true(loads(r, good.id, 2));
	spool_begin(r->spool);
	spool_bury(r->spool, &bad, SPOOL_WHY_CLOSED, 1000);
	expect_commit(r);
	check_waiting(r, 1, 2);
	free(all);
	free(path);
}

#define SPOOL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(test_fresh),
		SPOOL_TEST(test_identities_differ),
		SPOOL_TEST(test_ids_go_on_after_restart),
		SPOOL_TEST(test_ids_go_on_after_failure),
		SPOOL_TEST(test_order),
		SPOOL_TEST(test_remove),
		SPOOL_TEST(test_bury),
		SPOOL_TEST(test_replace),
		SPOOL_TEST(test_is_queued),
		SPOOL_TEST(test_out_of_turn),
		SPOOL_TEST(test_accounts_of_open_transaction),
		SPOOL_TEST(test_totals_over_restart),
		SPOOL_TEST(test_progress),
		SPOOL_TEST(test_cursors),
		SPOOL_TEST(test_documents),
		SPOOL_TEST(test_second_owner),
		SPOOL_TEST(test_garbage_is_refused),
		SPOOL_TEST(test_other_version_is_refused),
		SPOOL_TEST(test_other_programs_are_refused),
		SPOOL_TEST(test_damaged_meta_is_refused),
		SPOOL_TEST(test_no_directory),
		SPOOL_TEST(test_begun_folders),
		SPOOL_TEST(test_killed_before_commit),
		SPOOL_TEST(test_killed_at_random),
		SPOOL_TEST(test_sync_fails),
		SPOOL_TEST(test_disk_is_full),
		SPOOL_TEST(test_file_limit),
		SPOOL_TEST(test_failed_stays_failed),
		SPOOL_TEST(test_reopen_fails),
		SPOOL_TEST(test_failed_and_done),
		SPOOL_TEST(test_opening_makes_durable),
		SPOOL_TEST(test_opening_cannot_make_durable),
		SPOOL_TEST(test_opens_on_a_full_disk),
		SPOOL_TEST(test_lock_file_has_its_blocks),
		SPOOL_TEST(test_map_is_full),
		SPOOL_TEST(test_damaged_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

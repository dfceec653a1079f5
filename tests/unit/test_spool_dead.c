/*
 * test_spool_dead - dead letters: buried, refused one by one, requeued, dropped
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "condemned.h"
#include "dead_letter.h"
#include "narrow.h"
#include "panic.h"
#include "partition.h"
#include "spool.h"
#include "spool_dead.h"

#define NOW_MS INT64_C(1700000000000)
#define BYTES_MAX (16 * MiB)

static const struct spool_lane lane = { 3600000, 7200000, 2, 1 };

struct rig {
	char dir[64], error[600];
	struct spool *spool;
	struct spool_entry e; /* a batch of five events that waits */
	char *value;
	size_t bytes;
	struct batch_view view;
};

static void
open_again(struct rig *r)
{
	struct spool_options options = { .dir = r->dir,
		.ds = "wikipedia",
		.bytes_max = BYTES_MAX,
		.now_ms = NOW_MS,
		.lock_wait_ms = 1 };

	spool_close(&r->spool);
	r->spool = spool_open(&options, r->error, sizeof r->error);
	if (r->spool == NULL)
		fail_msg("%s", r->error);
}

static void
commit(struct rig *r)
{
	if (spool_commit(r->spool, r->error, sizeof r->error) != RESULT_OK)
		fail_msg("%s", r->error);
}

static void
put(struct rig *r)
{
	struct batch *b =
	    batch_new((struct interval){ lane.start, lane.end }, 2, 3);
	struct batch_seal seal = { .id = spool_take_id(r->spool, 5),
		.generation = 1,
		.now_ms = NOW_MS,
		.lane = 1 };

	for (int i = 0; i < 5; i++) {
		char text[32];
		int n = snprintf(text, sizeof text, "{\"e\":\"%d,}\"}", i);
		struct event e = { .bytes = (uint32_t)n & EVENT_BYTES_MAX };

		batch_add(b, &e, text, 0, 0);
	}
	r->value = batch_seal(&b, &seal, &r->bytes);
	batch_view_own(r->value, r->bytes, &r->view);
	r->e = (struct spool_entry){ .at = lane,
		.id = seal.id,
		.events = 5,
		.bytes = (uint32_t)r->bytes,
		.sealed_ms = NOW_MS };
	spool_begin(r->spool);
	spool_put(r->spool, r->value, r->bytes);
	commit(r);
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);

	strcpy(r->dir, "/tmp/test_spool_dead_XXXXXX");
	if (mkdtemp(r->dir) == NULL)
		return -1;
	open_again(r);
	put(r);
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

	spool_close(&r->spool);
	nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(r->value);
	free(r);
	return 0;
}

/* received is what the batch brought: it has to be somewhere. */
static void
check(struct rig *r, uint64_t waiting, uint64_t dead, uint64_t letters,
    uint64_t dropped)
{
	for (int i = 0; i < 2; i++) {
		const struct spool_totals *t = spool_totals(r->spool);

		assert_int_equal(spool_events(r->spool), waiting);
		assert_int_equal(t->dead, dead);
		assert_int_equal(t->dropped_dead, dropped);
		assert_int_equal(spool_dead_count(r->spool), letters);
		assert_int_equal(
		    waiting + dead + dropped + spool_totals(r->spool)->sent, 5);
		open_again(r);
	}
}

static void
refuse(struct rig *r, unsigned event, const char *why)
{
	struct batch_seal seal = { .now_ms = NOW_MS + 1 };
	size_t bytes;
	char *value;

	seal.id = spool_take_id(r->spool, 1);
	value = batch_pick(&r->view, &seal, event, &bytes);
	assert_non_null(value);
	spool_refuse(r->spool, &r->e, event, value, bytes, why);
	free(value);
}

static void
expect_body(struct rig *r, uint64_t id, const char *body)
{
	struct batch_view v;
	bool damaged;
	size_t bytes;
	char *value = spool_load(r->spool, id, &bytes, &damaged);

	assert_non_null(value);
	batch_view_own(value, bytes, &v);
	assert_int_equal(v.header->body_bytes, strlen(body));
	assert_memory_equal(v.body, body, strlen(body));
	free(value);
}

static void
test_bury(void **state)
{
	struct rig *r = *state;
	struct spool_dead d;

	assert_false(spool_next_dead(r->spool, 0, &d));
	spool_begin(r->spool);
	spool_bury(r->spool, &r->e, SPOOL_WHY_CLOSED, NOW_MS + 7);
	commit(r);
	check(r, 0, 5, 1, 0);
	assert_true(spool_next_dead(r->spool, 0, &d));
	assert_int_equal(d.id, r->e.id);
	assert_int_equal(d.start, lane.start);
	assert_int_equal(d.end, lane.end);
	assert_int_equal(d.partition, 2);
	assert_int_equal(d.events, 5);
	assert_int_equal(d.bytes, r->bytes);
	assert_int_equal(d.buried_ms, NOW_MS + 7);
	assert_int_equal(d.why, SPOOL_WHY_CLOSED);
	assert_string_equal(d.text, "");
	assert_false(spool_next_dead(r->spool, d.id, &d));
	/* it takes room */
	assert_false(spool_has_room(r->spool, BYTES_MAX));
	assert_true(spool_has_room(r->spool, BYTES_MAX - r->bytes));
}

static void
test_refuse(void **state)
{
	struct rig *r = *state;
	struct spool_refused refused[5];
	struct spool_dead d;
	char why[2 * SPOOL_WHY_BYTES];

	memset(why, 'x', sizeof why);
	why[sizeof why - 1] = '\0';
	spool_begin(r->spool);
	refuse(r, 4, "no");
	refuse(r, 1, why);
	refuse(r, 4, "said by another replicant"); /* once is enough */
	commit(r);
	check(r, 3, 2, 2, 0);
	assert_int_equal(spool_refused(r->spool, r->e.id, refused, 1), 2);
	assert_int_equal(spool_refused(r->spool, r->e.id, refused, 5), 2);
	assert_int_equal(refused[0].event, 1);
	assert_int_equal(refused[1].event, 4);
	assert_true(spool_next_dead(r->spool, 0, &d));
	assert_int_equal(d.id, refused[1].dead_id);
	assert_int_equal(d.why, SPOOL_WHY_REFUSED);
	assert_string_equal(d.text, "no");
	expect_body(r, d.id, "[{\"e\":\"4,}\"}]");
	assert_true(spool_next_dead(r->spool, d.id, &d));
	assert_int_equal(strlen(d.text), SPOOL_WHY_BYTES - 1);
	spool_begin(r->spool);
	spool_remove(r->spool, &r->e); /* with the number it once had */
	commit(r);
	assert_int_equal(spool_totals(r->spool)->sent, 3);
	check(r, 0, 2, 2, 0);
	assert_int_equal(spool_refused(r->spool, r->e.id, refused, 5), 0);
	/* the batch has left: too late */
	spool_begin(r->spool);
	refuse(r, 2, "no");
	commit(r);
	check(r, 0, 2, 2, 0);
}

static void
test_drop(void **state)
{
	struct rig *r = *state;
	struct spool_dead d;
	bool damaged;
	size_t bytes;

	spool_begin(r->spool);
	refuse(r, 0, "no");
	spool_bury(r->spool, &r->e, SPOOL_WHY_CLOSED, NOW_MS);
	commit(r);
	check(r, 0, 5, 2, 0);
	assert_true(spool_next_dead(r->spool, r->e.id, &d));
	spool_begin(r->spool);
	spool_drop_dead(r->spool, d.id);
	spool_drop_dead(r->spool, d.id); /* is not there any more */
	commit(r);
	check(r, 0, 4, 1, 1);
	assert_null(spool_load(r->spool, d.id, &bytes, &damaged));
	assert_int_equal(spool_dead_bytes(r->spool), r->bytes);
}

/* It goes on without the event that has left it. */
static void
test_revive(void **state)
{
	struct rig *r = *state;
	struct spool_refused refused[5];
	struct batch_seal seal = { .now_ms = NOW_MS };
	unsigned event;
	size_t bytes;
	char *value;

	spool_begin(r->spool);
	refuse(r, 3, "no");
	spool_bury(r->spool, &r->e, SPOOL_WHY_CLOSED, NOW_MS);
	commit(r);
	assert_int_equal(spool_refused(r->spool, r->e.id, refused, 5), 1);
	event = refused[0].event;
	seal.id = spool_take_id(r->spool, 4);
	value = batch_without(&r->view, &seal, 2, &event, 1, &bytes);
	spool_begin(r->spool);
	spool_revive(r->spool, r->e.id, value, bytes);
	commit(r);
	free(value);
	check(r, 4, 1, 1, 0);
	expect_body(r, seal.id,
	    "[{\"e\":\"0,}\"},{\"e\":\"1,}\"},{\"e\":\"2,}\"}]"
	    "[{\"e\":\"4,}\"}]");
	assert_int_equal(spool_refused(r->spool, r->e.id, refused, 5), 0);
	assert_null(spool_load(r->spool, r->e.id, &bytes, &(bool){ false }));
}

/* ---- what kills its worker ---- */

/* Lines of the file that the batch is in; 0: there is none. */
static unsigned
lines_aside(const struct rig *r, const char *dir)
{
	char path[140], line[400];
	unsigned lines = 0;
	FILE *f;

	snprintf(path, sizeof path, "%s/batch-%llu.json", dir,
	    (unsigned long long)r->e.id);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof line, f) != NULL)
		lines++;
	fclose(f);
	return lines;
}

static void
test_condemned(void **state)
{
	struct rig *r = *state;
	struct hand hand = { .condemned_count = 1,
		.condemned = { { .kind = HAND_BATCH, .key = r->e.id } } };
	char dir[100];
	struct quarantine_options o = { .dir = dir, .ds = "wikipedia" };

	snprintf(dir, sizeof dir, "%s/aside", r->dir);
	spool_begin(r->spool);
	refuse(r, 3, "no");
	commit(r);
	/* no room for its file: it stays */
	assert_false(condemned_set_aside(
	    r->spool, &hand, &o, r->error, sizeof r->error));
	assert_non_null(strstr(r->error, "is full"));
	assert_int_equal(spool_events(r->spool), 4);
	o.bytes_max = MiB;
	assert_true(condemned_set_aside(
	    r->spool, &hand, &o, r->error, sizeof r->error));
	/* what is a dead letter is not in the file as well */
	assert_int_equal(lines_aside(r, dir), 1 + 4);
	assert_int_equal(spool_events(r->spool), 0);
	assert_int_equal(spool_totals(r->spool)->quarantined, 4);
	assert_int_equal(spool_dead_count(r->spool), 1);
	assert_int_equal(hand.condemned_count, 0);
}

/* It is kept as it is, for a rescue: dispatch makes a dead letter of it. */
static void
test_condemned_and_damaged(void **state)
{
	struct rig *r = *state;
	struct hand hand = { .condemned_count = 1,
		.condemned = { { .kind = HAND_BATCH, .key = r->e.id } } };
	char dir[100];
	struct quarantine_options o = {
		.dir = dir, .ds = "wikipedia", .bytes_max = MiB
	};

	snprintf(dir, sizeof dir, "%s/aside", r->dir);
	r->value[sizeof(struct batch_header)] ^= 1;
	spool_begin(r->spool);
	spool_remove(r->spool, &r->e);
	spool_put(r->spool, r->value, r->bytes);
	commit(r);
	assert_true(condemned_set_aside(
	    r->spool, &hand, &o, r->error, sizeof r->error));
	assert_int_equal(lines_aside(r, dir), 0);
	assert_int_equal(spool_events(r->spool), 5);
	assert_int_equal(spool_totals(r->spool)->quarantined, 0);
	assert_int_equal(hand.condemned_count, 0);
}

static void
test_fate(void **state)
{
	struct ds_conf ds = { .late = LATE_DROP };
	struct spool_dead d = { .start = 0, .end = 1000 };

	(void)state;
	assert_true(period_parse("PT1S", &ds.window));
	assert_int_equal(dead_letter_fate(&ds, &d, 1999), DEAD_LETTER_QUEUED);
	assert_int_equal(dead_letter_fate(&ds, &d, 2000), DEAD_LETTER_STAYS);
	ds.late = LATE_ARCHIVE;
	assert_int_equal(dead_letter_fate(&ds, &d, 1999), DEAD_LETTER_QUEUED);
	assert_int_equal(dead_letter_fate(&ds, &d, 2000), DEAD_LETTER_LATE);
	d.partition = PARTITION_LATE;
	assert_int_equal(dead_letter_fate(&ds, &d, 0), DEAD_LETTER_LATE);
	d.partition = PARTITION_ANY_TIME;
	assert_int_equal(dead_letter_fate(&ds, &d, 9999), DEAD_LETTER_QUEUED);
}

/* ---- what is sent when something is refused ---- */

static void
expect_piece(struct rig *r, const struct spool_progress *p, const char *text)
{
	struct buf b;

	buf_init(&b, 1000);
	narrow_text(&r->view, p, &b);
	assert_int_equal(b.used, strlen(text));
	assert_memory_equal(b.bytes, text, b.used);
	buf_free(&b);
}

static void
test_narrow(void **state)
{
	struct rig *r = *state;
	struct spool_progress p = { .attempt = 3 };

	/* the first chunk has 0, 1, 2; 1 is bad */
	assert_false(narrow_is_on(&p));
	assert_int_equal(narrow_events(&r->view, &p), 3);
	assert_false(narrow_refused(&r->view, &p));
	assert_int_equal(p.attempt, 3); /* the caller's */
	expect_piece(r, &p, "[{\"e\":\"0,}\"}]");
	narrow_passed(&r->view, &p, 2);
	assert_int_equal(p.attempt, 0);
	assert_int_equal(narrow_first(&r->view, &p), 1);
	expect_piece(r, &p, "[{\"e\":\"1,}\"},{\"e\":\"2,}\"}]");
	assert_false(narrow_refused(&r->view, &p));
	assert_true(narrow_refused(&r->view, &p));
	expect_piece(r, &p, "[{\"e\":\"1,}\"}]");
	narrow_passed(&r->view, &p, 100);
	assert_int_equal(p.events, 1); /* there is no more in the chunk */
	narrow_passed(&r->view, &p, 0);
	assert_int_equal(p.chunk, 1);
	assert_false(narrow_is_on(&p));
	assert_int_equal(narrow_first(&r->view, &p), 3);
}

#define DEAD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		DEAD_TEST(test_bury),
		DEAD_TEST(test_refuse),
		DEAD_TEST(test_drop),
		DEAD_TEST(test_revive),
		DEAD_TEST(test_condemned),
		DEAD_TEST(test_condemned_and_damaged),
		DEAD_TEST(test_fate),
		DEAD_TEST(test_narrow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

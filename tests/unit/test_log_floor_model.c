/*
 * test_log_floor_model - the floor against a supervisor that is simulated:
 * tasks fail, publish, are stopped, groups are not shown for a while, leaders
 * change, offsets are reset, tranqd is away, a source that knows what is
 * committed comes and goes, and is late; whatever happens, nothing may be removed
 * that is not in Druid or that a task may read, and when all is well again,
 * removal goes on
 *
 * TRANQ_SEED: one history by its number. TRANQ_LONG: more of them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>

#include "floor_status.h"
#include "log_floor.h"

#define HISTORIES 300
#define HISTORIES_LONG 20000
#define STEPS 1500
#define STEP_MS 10000
#define GROUPS 32
#define TASKS 8192
#define ASKS_MAX 16

struct sim_task {
	char id[64];
	enum task_state state;
	unsigned ended; /* step */
};

struct sim_group {
	uint64_t start, read;
	uint64_t published; /* so far: segments that were handed over */
	bool is_publishing;
	unsigned task; /* that reads; index of sim.tasks */
	unsigned hidden; /* steps for which the supervisor does not know it */
};

struct sim {
	uint64_t random;
	unsigned step;
	/* Druid */
	uint64_t end, stored, stored_once; /* the highest there was */
	bool has_row;
	/* all below it has been published, in whatever order */
	uint64_t solid;
	struct sim_group groups[GROUPS]; /* in their order; the last may read */
	unsigned count;
	struct sim_task tasks[TASKS];
	unsigned task_count;
	bool is_suspended, is_lying, is_quiet;
	unsigned leader, first_run, spec;
	int torn; /* groups up to this are not in the next answer, or -1 */
	/* tranqd */
	struct log_floor *floor;
	uint64_t removed; /* the log's start */
	unsigned away;
	bool has_source;
	uint64_t said; /* what its answer, under way, says; 0: none is */
};

static uint64_t
draw(struct sim *s, uint64_t below)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (s->random >> 16) % below;
}

static bool
chance(struct sim *s, unsigned one_in)
{
	return draw(s, one_in) == 0;
}

/* ---- Druid ---- */

static unsigned
new_task(struct sim *s, uint64_t start)
{
	struct sim_task *t = &s->tasks[s->task_count];

	assert_true(s->task_count < TASKS);
	/* the same range under the same spec has the same name */
	snprintf(t->id, sizeof t->id, "index_kafka_foo_%u%" PRIx64 "_%u",
	    s->spec, start, s->task_count);
	t->state = TASK_RUNNING;
	return s->task_count++;
}

static void
end_task(struct sim *s, unsigned task, enum task_state state)
{
	s->tasks[task].state = state;
	s->tasks[task].ended = s->step;
}

static bool
is_reading(const struct sim *s)
{
	return s->count > 0 && !s->groups[s->count - 1].is_publishing;
}

static void
begin(struct sim *s, uint64_t start)
{
	assert_true(s->count < GROUPS);
	s->groups[s->count++] = (struct sim_group){ .start = start,
		.read = start,
		.published = start,
		.task = new_task(s, start) };
}

/* From what is stored, or from the log's beginning. */
static void
begin_stored(struct sim *s)
{
	if (!s->is_suspended && !is_reading(s) && s->count < GROUPS)
		begin(s, s->has_row ? s->stored : s->removed);
	s->is_lying = false;
}

static void
take_out(struct sim *s, unsigned at)
{
	memmove(&s->groups[at], &s->groups[at + 1],
	    (--s->count - at) * sizeof s->groups[0]);
}

/* The group and all behind it. */
static void
kill_from(struct sim *s, unsigned at)
{
	for (unsigned i = at; i < s->count; i++)
		end_task(s, s->groups[i].task, TASK_FAILED);
	s->count = MIN_OF(s->count, at);
}

static void
fail_publishing(struct sim *s, unsigned at)
{
	if (s->groups[at].hidden > 0) {
		end_task(s, s->groups[at].task, TASK_FAILED);
		take_out(s, at);
		return;
	}
	if (chance(s, 3))
		s->torn = (int)at;
	kill_from(s, at);
	begin_stored(s);
}

static void
commit(struct sim *s, struct sim_group *g)
{
	if (g->published <= s->solid)
		s->solid = MAX_OF(s->solid, g->read);
	s->stored = g->published = g->read;
	s->stored_once = MAX_OF(s->stored_once, s->stored);
	s->has_row = true;
}

/* It has made a segment that is as large as one may be, and reads on. */
static void
hand_over(struct sim *s)
{
	struct sim_group *g;

	if (!is_reading(s) || !s->has_row)
		return;
	g = &s->groups[s->count - 1];
	if (g->published == s->stored)
		commit(s, g);
}

static void
publish(struct sim *s, unsigned at)
{
	struct sim_group *g = &s->groups[at];

	if (g->read == g->published) { /* there is nothing */
		end_task(s, g->task, TASK_SUCCESS);
		take_out(s, at);
		return;
	}
	if (s->has_row && g->published > s->stored) {
		if (chance(s, 6))
			fail_publishing(s, at);
		return;
	}
	if (s->has_row && g->published < s->stored) {
		fail_publishing(s, at);
		return;
	}
	commit(s, g);
	end_task(s, g->task, TASK_SUCCESS);
	take_out(s, at);
}

static void
roll_over(struct sim *s)
{
	struct sim_group *g;

	if (!is_reading(s) || s->count == GROUPS)
		return;
	g = &s->groups[s->count - 1];
	g->is_publishing = true;
	if (!s->is_suspended)
		begin(s, g->read);
}

/* A task is replaced and begins again, or the whole group ends. */
static void
fail_reading(struct sim *s)
{
	struct sim_group *g = &s->groups[s->count - 1];

	if (!is_reading(s))
		return;
	end_task(s, g->task, chance(s, 4) ? TASK_SUCCESS : TASK_FAILED);
	if (chance(s, 2)) {
		g->read = g->published; /* by way of what is before that */
		g->task = new_task(s, g->start);
		return;
	}
	take_out(s, s->count - 1);
	begin_stored(s);
}

/* It is stopped, says that it has succeeded, and has not published. Once until
 * it is found out, and not while what was reset is read again: together with
 * tranqd being away all the while, that cannot be told. */
static void
lie(struct sim *s)
{
	if (s->is_lying || s->count == 0 || !s->groups[0].is_publishing ||
	    s->groups[0].start != s->stored || !s->has_row ||
	    s->stored < s->solid)
		return;
	s->is_lying = true;
	end_task(s, s->groups[0].task, TASK_SUCCESS);
	take_out(s, 0);
}

static void
change_leader(struct sim *s)
{
	if (chance(s, 2))
		s->leader++;
	s->first_run = (unsigned)draw(s, 4);
	for (unsigned i = 0; i < s->count; i++)
		if (s->groups[i].is_publishing && chance(s, 2))
			s->groups[i].hidden = (unsigned)draw(s, 15);
	s->spec += chance(s, 3);
}

static void
suspend(struct sim *s)
{
	s->is_suspended = !s->is_suspended;
	if (s->is_suspended && is_reading(s))
		s->groups[s->count - 1].is_publishing = true;
	if (!s->is_suspended && s->count == 0)
		begin_stored(s);
	else if (!s->is_suspended)
		begin(s, s->groups[s->count - 1].read);
}

/* By somebody, to where events still are. */
static void
reset_offsets(struct sim *s)
{
	if (!s->has_row || s->stored <= s->removed)
		return;
	kill_from(s, 0);
	s->stored = s->removed + draw(s, s->stored - s->removed);
	begin_stored(s);
}

static void
misfortune(struct sim *s)
{
	unsigned at = s->count > 0 ? (unsigned)draw(s, s->count) : 0;

	if (chance(s, 30) && s->count > 0 && s->groups[at].is_publishing)
		fail_publishing(s, at);
	if (chance(s, 30) && s->count > 0)
		fail_reading(s);
	if (chance(s, 60))
		lie(s);
	if (chance(s, 60))
		change_leader(s);
	if (chance(s, 150) && s->count < GROUPS)
		suspend(s);
	if (chance(s, 200))
		reset_offsets(s);
}

static void
druid_step(struct sim *s)
{
	uint64_t at;

	s->end += draw(s, 50);
	for (unsigned i = 0; i < s->count; i++)
		if (s->groups[i].hidden > 0)
			s->groups[i].hidden--;
	if (s->first_run > 0)
		s->first_run--;
	if (is_reading(s)) {
		struct sim_group *g = &s->groups[s->count - 1];

		at = s->end - draw(s, 30);
		g->read = MAX_OF(g->read, at);
	}
	if (chance(s, s->is_quiet ? 15 : 12) && (!s->is_quiet || s->count < 2))
		roll_over(s);
	for (unsigned i = 0; i < s->count; i++)
		if (s->groups[i].is_publishing && chance(s, 4)) {
			publish(s, i);
			break;
		}
	if (chance(s, 20))
		hand_over(s);
	if (!s->is_quiet)
		misfortune(s);
	if (s->count == 0)
		begin_stored(s);
}

/* ---- what it says ---- */

static void
add_exact(struct sim *s, struct json *payload)
{
	char text[64];

	snprintf(text, sizeof text, "0:%" PRIu64, s->end);
	json_set(payload, "latestOffsets", floor_offsets(text));
	snprintf(text, sizeof text, "0:%" PRIu64,
	    s->has_row ? s->end - s->stored : s->end);
	json_set(payload, "minimumLag", floor_offsets(text));
	snprintf(text, sizeof text, "%u", s->step);
	json_set_text(payload, "offsetsLastUpdated", text);
}

static struct json *
say(struct sim *s)
{
	struct json *status = floor_status(s->is_suspended ? "SUSPENDED"
		: s->first_run > 0                         ? "CREATING_TASKS"
							   : "RUNNING");

	for (unsigned i = 0; i < s->count; i++) {
		const struct sim_group *g = &s->groups[i];
		char text[64];

		if (g->hidden > 0 || (int)i <= s->torn)
			continue;
		snprintf(text, sizeof text, "0:%" PRIu64, g->start);
		floor_row(status,
		    g->is_publishing ? "publishingTasks" : "activeTasks",
		    s->tasks[g->task].id, floor_offsets(text));
	}
	s->torn = -1;
	if (s->is_suspended)
		add_exact(s, json_get(status, "payload"));
	return status;
}

/* ---- tranqd ---- */

static void
look(struct sim *s)
{
	uint64_t floor = log_floor_removable(s->floor, 0);
	uint64_t safe = s->has_row ? MIN_OF(s->solid, s->stored) : s->solid;

	/* what is committed by then is Druid's own word: without a row it may
	 * have lost something itself */
	if (s->is_suspended)
		safe = s->stored;
	else if (s->has_source) /* may be older than a reset */
		safe = MAX_OF(safe, s->stored_once);

	if (floor <= s->removed)
		return;
	if (floor > safe)
		fail_msg("step %u: %" PRIu64 " is removed, and %" PRIu64
			 " is in Druid",
		    s->step, floor, safe);
	if (is_reading(s) && s->groups[s->count - 1].start < floor)
		fail_msg("step %u: %" PRIu64 " is removed, and a task may "
			 "begin again at %" PRIu64,
		    s->step, floor, s->groups[s->count - 1].start);
	s->removed = floor;
	/* what Druid has lost itself is behind us then */
	s->solid =
	    MAX_OF(s->solid, s->is_suspended || s->has_source ? safe : floor);
}

static void
ask_tasks(struct sim *s)
{
	const char *ids[ASKS_MAX];
	unsigned n = log_floor_asks(s->floor, ids, ASKS_MAX);

	for (unsigned i = 0; i < n; i++) {
		unsigned task = (unsigned)atoi(strrchr(ids[i], '_') + 1);
		const struct sim_task *t = &s->tasks[task];
		bool is_gone =
		    t->state != TASK_RUNNING && s->step - t->ended > 500;

		assert_string_equal(ids[i], t->id);
		if (s->is_quiet || !chance(s, 4))
			log_floor_task(
			    s->floor, ids[i], is_gone ? TASK_ABSENT : t->state);
		look(s);
	}
}

/* It is asked, or answers what was true when it was. */
static void
source_step(struct sim *s)
{
	char text[64];
	struct json *offsets = NULL;

	if (!s->has_source || !chance(s, 3))
		return;
	if (s->said == 0) {
		s->said = s->has_row ? s->stored : 0;
		return;
	}
	snprintf(text, sizeof text, "0:%" PRIu64, s->said);
	if (s->is_quiet || !chance(s, 6))
		offsets = floor_offsets(text);
	log_floor_committed(s->floor, offsets);
	json_free(&offsets);
	s->said = 0;
}

static void
new_floor(struct sim *s)
{
	s->floor = log_floor_new(FLOOR_TOPIC, 1, LOG_FLOOR_AGREE_MS);
	s->has_source = chance(s, 2);
	s->said = 0;
	if (s->has_source)
		log_floor_ask_source(s->floor);
}

static void
restart_worker(struct sim *s)
{
	struct json *document = log_floor_document(s->floor);

	log_floor_free(&s->floor);
	new_floor(s);
	assert_true(log_floor_restore(s->floor, document));
	json_free(&document);
}

static void
tranqd_step(struct sim *s)
{
	struct json *status = NULL;
	char leader[32];

	/* who has not seen the first tasks cannot know what Druid itself loses
	 * of them without a row */
	if (!s->is_quiet && s->has_row && chance(s, 200)) {
		restart_worker(s);
		s->away = chance(s, 2) ? (unsigned)draw(s, 150) : 0;
	}
	if (s->away > 0 && !s->is_quiet) {
		s->away--;
		return;
	}
	source_step(s);
	if (s->is_quiet || !chance(s, 20))
		status = say(s);
	snprintf(leader, sizeof leader, "http://overlord%u", s->leader);
	log_floor_status(s->floor, status, leader, (int64_t)s->step * STEP_MS);
	json_free(&status);
	look(s);
	ask_tasks(s);
}

static void
run(struct sim *s, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++, s->step++) {
		druid_step(s);
		tranqd_step(s);
	}
}

/* All is well: in the end the log is removed up to a few generations. What
 * nobody can know any more is settled by a suspension. */
static void
check_recovery(struct sim *s)
{
	uint64_t then;

	s->is_quiet = true;
	s->is_lying = false;
	if (s->is_suspended)
		suspend(s);
	run(s, 100);
	suspend(s);
	run(s, 100);
	suspend(s);
	run(s, 200);
	then = s->stored;
	run(s, 300);
	if (s->removed < then)
		fail_msg("removed up to %" PRIu64
			 " only, committed was %" PRIu64 " long ago",
		    s->removed, then);
}

static uint64_t
history(uint64_t seed)
{
	struct sim *s = must_calloc(1, sizeof *s);
	uint64_t moved;

	s->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	s->stored = s->solid = s->end = 1000;
	s->removed = 1000;
	s->torn = -1;
	s->has_row = !chance(s, 4); /* most are seeded */
	new_floor(s);
	draw(s, 2);
	run(s, STEPS);
	moved = s->removed - 1000;
	if (s->solid >= s->stored) /* Druid itself has lost nothing */
		check_recovery(s);
	log_floor_free(&s->floor);
	free(s);
	return moved;
}

static void
test_histories(void **state)
{
	const char *one = getenv("TRANQ_SEED");
	unsigned count =
	    getenv("TRANQ_LONG") != NULL ? HISTORIES_LONG : HISTORIES;
	unsigned moved = 0;

	(void)state;
	if (one != NULL) {
		history(strtoull(one, NULL, 10));
		return;
	}
	for (unsigned seed = 1; seed <= count; seed++) {
		print_message("\rhistory %u", seed);
		moved += history(seed) > 0;
	}
	print_message("\r");
	/* or else nothing was tried */
	assert_true(moved > count / 4);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_histories) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

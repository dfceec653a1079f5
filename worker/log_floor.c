/*
 * log_floor - up to where Druid has committed what it pulled from the log
 *
 * Process: worker. Pure.
 */
#include "log_floor_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

struct log_floor *
log_floor_new(const char *topic, unsigned partitions, int64_t agree_ms)
{
	struct log_floor *f = must_calloc(1, sizeof *f);

	must(partitions > 0 && partitions <= LOG_PAGE_PARTITIONS_MAX);
	f->topic = must_strdup(topic);
	f->count = partitions;
	f->agree_ms = agree_ms;
	TAILQ_INIT(&f->groups);
	for (unsigned p = 0; p < partitions; p++) {
		f->partitions[p].agreed = NONE;
		f->partitions[p].least = NONE;
		f->partitions[p].steady = NONE;
	}
	return f;
}

void
log_floor_free(struct log_floor **floor)
{
	struct log_floor *f = *floor;

	*floor = NULL;
	if (f == NULL)
		return;
	log_floor_forget_groups(f);
	free(f->topic);
	free(f->leader);
	free(f->updated);
	free(f);
}

/* ---- the rule ---- */

/* A group that failed does not count any more where one that came after it
 * reads the same, from its beginning or before. */
static void
forgive(struct log_floor *f, struct group *failed)
{
	struct group *g;

	TAILQ_FOREACH(g, &f->groups, link)
	{
		if (!g->is_listed || g->came <= failed->left)
			continue;
		for (unsigned p = 0; p < f->count; p++)
			if (failed->start[p] != NONE &&
			    g->start[p] <= failed->start[p]) {
				failed->start[p] = NONE;
				f->changed = true;
			}
	}
}

/* Whether all groups that began below M are done; *witness: one of them, that
 * began where M was agreed last, has succeeded. */
static bool
below_is_done(const struct log_floor *f, unsigned partition, bool *witness)
{
	const struct partition *p = &f->partitions[partition];
	const struct group *g;

	*witness = false;
	TAILQ_FOREACH(g, &f->groups, link)
	{
		if (g->start[partition] >= p->least)
			continue;
		if (g->is_listed || !g->has_succeeded)
			return false;
		*witness |= g->start[partition] == p->agreed;
	}
	return true;
}

static void
raise_floor(struct log_floor *f, struct partition *p, uint64_t to)
{
	if (to < p->floor)
		return;
	p->floor = to;
	p->is_rewound = false;
	f->changed = true;
}

static void
agree(struct log_floor *f, unsigned partition)
{
	struct partition *p = &f->partitions[partition];
	struct group *g;
	bool witness;

	if (!below_is_done(f, partition, &witness))
		return;
	if (p->agreed != NONE && p->agreed < p->least && witness)
		raise_floor(f, p, p->agreed);
	TAILQ_FOREACH(g, &f->groups, link)
	if (g->start[partition] < p->least)
		g->start[partition] = NONE;
	f->changed |= p->agreed != p->least;
	p->agreed = p->least;
}

/* No group is left, and this is committed. */
static void
take_exact(struct log_floor *f, unsigned partition)
{
	struct partition *p = &f->partitions[partition];
	struct group *g;

	if (p->steady < p->floor)
		p->is_rewound = true;
	raise_floor(f, p, p->steady);
	p->agreed = NONE;
	TAILQ_FOREACH(g, &f->groups, link)
	g->start[partition] = NONE;
	f->changed = true;
}

static bool
has_settled(const struct log_floor *f, const struct partition *p)
{
	return p->steady != NONE && f->now_ms - p->since_ms >= f->agree_ms;
}

uint64_t
log_floor_exact(const struct log_floor *f, unsigned partition)
{
	const struct partition *p = &f->partitions[partition];

	must(partition < f->count);
	return has_settled(f, p) && p->steady_is_exact && p->is_fresh
	    ? p->steady
	    : NONE;
}

static void
judge(struct log_floor *f)
{
	struct group *g;

	TAILQ_FOREACH(g, &f->groups, link)
	if (log_floor_has_failed(g))
		forgive(f, g);
	for (unsigned i = 0; i < f->count; i++) {
		const struct partition *p = &f->partitions[i];

		if (f->is_full || !has_settled(f, p))
			continue;
		if (p->steady_is_exact && p->is_fresh)
			take_exact(f, i);
		else if (!p->steady_is_exact && !f->has_source)
			agree(f, i);
	}
}

/* ---- answers ---- */

static void
unsettle(struct log_floor *f)
{
	for (unsigned p = 0; p < f->count; p++)
		f->partitions[p].steady = NONE;
}

/* Whether all is as it was in the answer before. */
static void
compare(struct log_floor *f, struct partition *p, uint64_t now, bool is_exact)
{
	if (now == p->steady && is_exact == p->steady_is_exact)
		return;
	p->steady = now;
	p->steady_is_exact = is_exact;
	p->is_fresh = false;
	p->since_ms = f->now_ms;
}

/* M has been seen below what was taken for certain. */
static void
take_back(struct log_floor *f, struct partition *p)
{
	if (p->least >= p->agreed && p->least >= p->floor)
		return;
	if (p->least < p->floor && !p->is_rewound) {
		p->is_rewound = true;
		f->changed = true;
	}
	if (p->agreed != NONE && p->least < p->agreed) {
		p->agreed = p->least;
		f->changed = true;
	}
}

/* What the source says, but no more than M: where a group has handed segments over
 * and reads on, a replica that is slower, or new, is still before that. And when
 * the supervisor has become another log's between two looks at it, what it has
 * committed is above M, where our tasks began. */
static void
take_source(struct log_floor *f, unsigned partition)
{
	struct partition *p = &f->partitions[partition];
	uint64_t to = MIN_OF(p->committed, p->least);
	struct group *g;

	if (p->committed == 0 || !p->is_read)
		return;
	if (to < p->floor && !p->is_rewound)
		p->is_rewound = f->changed = true;
	if (to < p->floor || (to == p->floor && !p->is_rewound))
		return;
	raise_floor(f, p, to);
	if (p->agreed != NONE && p->agreed < to)
		p->agreed = NONE;
	TAILQ_FOREACH(g, &f->groups, link)
	if (g->start[partition] < to)
		g->start[partition] = NONE;
}

static void
take_running(struct log_floor *f)
{
	for (unsigned i = 0; i < f->count; i++) {
		struct partition *p = &f->partitions[i];

		take_back(f, p);
		take_source(f, i);
		compare(f, p, p->is_read ? p->least : NONE, false);
	}
}

/* latestOffsets - minimumLag, of a supervisor that has no tasks any more: its
 * lag is counted from what is committed. Zero: nothing is, or not known. */
static uint64_t
exact_of(const struct json *payload, unsigned partition)
{
	char name[16];
	const struct json *end, *lag;

	snprintf(name, sizeof name, "%u", partition);
	end = json_get(json_get(payload, "latestOffsets"), name);
	lag = json_get(json_get(payload, "minimumLag"), name);
	if (!log_floor_is_offset(end) || !log_floor_is_offset(lag) ||
	    json_int(lag, 0) >= json_int(end, 0))
		return NONE;
	return (uint64_t)(json_int(end, 0) - json_int(lag, 0));
}

static void
take_suspended(struct log_floor *f, const struct json *payload)
{
	const char *updated = json_get_text(payload, "offsetsLastUpdated", "");
	bool is_newer = f->updated != NULL && strcmp(f->updated, updated) != 0;

	for (unsigned i = 0; i < f->count; i++) {
		struct partition *p = &f->partitions[i];

		compare(f, p, exact_of(payload, i), true);
		/* the first answer may be older than the suspension */
		p->is_fresh |= is_newer && p->since_ms < f->now_ms;
	}
	free(f->updated);
	f->updated = must_strdup(updated);
}

static bool
has_tasks(const struct json *payload)
{
	return json_size(json_get(payload, "activeTasks")) > 0 ||
	    json_size(json_get(payload, "publishingTasks")) > 0;
}

static bool
is_ours(const struct log_floor *f, const struct json *payload)
{
	return json_is_object(payload) &&
	    strcmp(json_get_text(payload, "stream", ""), f->topic) == 0 &&
	    json_is_bool(json_get(payload, "suspended")) &&
	    log_floor_rows_are_sound(f, json_get(payload, "activeTasks")) &&
	    log_floor_rows_are_sound(f, json_get(payload, "publishingTasks"));
}

static void
set_leader(struct log_floor *f, const char *leader)
{
	if (f->leader != NULL && strcmp(f->leader, leader) == 0)
		return;
	unsettle(f);
	free(f->leader);
	f->leader = must_strdup(leader);
}

void
log_floor_status(struct log_floor *f, const struct json *status,
    const char *leader, int64_t now_ms)
{
	const struct json *payload = json_get(status, "payload");
	const char *state;

	f->now_ms = now_ms;
	if (!is_ours(f, payload)) {
		unsettle(f);
		return;
	}
	state = json_get_text(payload, "detailedState", "");
	set_leader(f, leader);
	log_floor_take_groups(f, payload);
	if (!json_get_bool(payload, "suspended", true) &&
	    strcmp(state, "RUNNING") == 0)
		take_running(f);
	else if (json_get_bool(payload, "suspended", false) &&
	    strcmp(state, "SUSPENDED") == 0 && !has_tasks(payload))
		take_suspended(f, payload);
	else
		unsettle(f);
	judge(f);
	/* not when a task is told: its id may be in the hands of who asks */
	log_floor_drop_done(f);
}

unsigned
log_floor_asks(const struct log_floor *f, const char **ids, unsigned max)
{
	const struct group *g;
	unsigned n = 0;

	TAILQ_FOREACH(g, &f->groups, link)
	{
		if (g->is_listed || g->has_succeeded ||
		    !log_floor_matters(f, g))
			continue;
		for (unsigned i = 0; i < g->task_count && n < max; i++)
			if (!log_floor_has_ended(g->tasks[i].state))
				ids[n++] = g->tasks[i].id;
	}
	return n;
}

void
log_floor_task(struct log_floor *f, const char *id, enum task_state state)
{
	struct group *g = log_floor_find(f, id, log_floor_name_bytes(id));
	struct member *t = g != NULL ? log_floor_find_task(g, id) : NULL;

	/* one that is listed may yet be replaced */
	if (t == NULL || g->is_listed || t->state == state)
		return;
	t->state = state;
	g->has_succeeded |= state == TASK_SUCCESS;
	f->changed = true;
	judge(f);
}

/* ---- a source ---- */

void
log_floor_ask_source(struct log_floor *f)
{
	f->has_source = true;
}

void
log_floor_committed(struct log_floor *f, const struct json *offsets)
{
	char name[16];

	for (unsigned i = 0; i < f->count; i++) {
		const struct json *offset;

		snprintf(name, sizeof name, "%u", i);
		offset = json_get(offsets, name);
		f->partitions[i].committed = log_floor_is_offset(offset)
		    ? (uint64_t)json_int(offset, 0)
		    : 0;
	}
}

uint64_t
log_floor_removable(const struct log_floor *f, unsigned partition)
{
	must(partition < f->count);
	return f->partitions[partition].is_rewound
	    ? 0
	    : f->partitions[partition].floor;
}

uint64_t
log_floor_known(const struct log_floor *f, unsigned partition)
{
	must(partition < f->count);
	return f->partitions[partition].floor;
}

bool
log_floor_changed(struct log_floor *f)
{
	bool changed = f->changed;

	f->changed = false;
	return changed;
}

static void __attribute__((format(printf, 2, 3)))
note(struct json *notes, const char *format, ...)
{
	va_list args;
	char text[512];

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	json_append(notes, json_new_text(text));
}

void
log_floor_describe(const struct log_floor *f, struct json *notes)
{
	const struct group *g;

	for (unsigned p = 0; p < f->count; p++)
		if (f->partitions[p].is_rewound)
			note(notes,
			    "Druid reads partition %u again from below offset "
			    "%" PRIu64 ", up to which it had committed: "
			    "offsets were reset%s; nothing is removed until it "
			    "has come past that",
			    p, f->partitions[p].floor,
			    f->has_source
				? ", or pull.committed.url says less than it "
				  "did"
				: "");
	TAILQ_FOREACH(g, &f->groups, link)
	if (!f->has_source && log_floor_has_failed(g) &&
	    log_floor_matters(f, g))
		note(notes,
		    "all tasks of %.200s failed, and none was seen to "
		    "read the same again; nothing behind its beginning "
		    "is removed. Suspending the supervisor in Druid "
		    "until its tasks have ended, and resuming it, "
		    "settles it",
		    g->name);
	if (f->is_full && !f->has_source)
		note(notes,
		    "more than %u groups of tasks are not settled; nothing is "
		    "removed",
		    LOG_FLOOR_GROUPS_MAX);
}

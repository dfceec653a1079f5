/*
 * sandbox_fault - misfortunes that the sandbox was told to cause
 *
 * Process: tranq-sandbox. Pure.
 */
#include "sandbox_fault.h"

#include <stdio.h>
#include <string.h>

#define PERCENT_ALL 100

static const char *const names[] = {
	[FAULT_SLOW] = "slow",
	[FAULT_REFUSE] = "refuse",
	[FAULT_HANG] = "hang",
	[FAULT_ERROR] = "error",
	[FAULT_DROP] = "drop",
	[FAULT_DROP_BEFORE] = "drop-before",
	[FAULT_KILL_TASK] = "kill-task",
	[FAULT_FULL] = "full",
	[FAULT_OVERLORD_AWAY] = "overlord-away",
	[FAULT_NOT_LEADER] = "not-leader",
	[FAULT_UNREACHABLE] = "unreachable",
	[FAULT_UNAVAILABLE] = "unavailable",
	[FAULT_NO_SLOTS] = "no-slots",
	[FAULT_FAIL_BATCH] = "fail-batch",
	[FAULT_FAIL_LATE] = "fail-late",
	[FAULT_BAD_ROW] = "bad-row",
	[FAULTS] = "none",
};

static const char *const places[] = { [FAULT_AT_PUSH] = "push",
	[FAULT_AT_OVERLORD] = "overlord",
	[FAULT_AT_ALL] = "all" };

void
sandbox_fault_init(struct faults *f, uint64_t seed)
{
	*f = (struct faults){ .random = seed != 0 ? seed : 1 };
}

const char *
sandbox_fault_name(enum fault_kind kind)
{
	return names[kind];
}

static bool
find(const char *const *list, size_t count, const char *name, unsigned *at)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(list[i], name) == 0) {
			*at = i;
			return true;
		}
	}
	return false;
}

static bool
is_known_member(const char *name)
{
	static const char *const known[] = { "fault", "on", "ms", "dataSource",
		"task", "percent", "count", "status", "url", "where", "refused",
		"text", "quiet" };
	unsigned at;

	return find(known, ARRAY_LEN(known), name, &at);
}

static enum fault_where
usual_place(enum fault_kind kind)
{
	if (kind == FAULT_OVERLORD_AWAY || kind == FAULT_NOT_LEADER)
		return FAULT_AT_OVERLORD;
	return FAULT_AT_PUSH;
}

static bool
read_kind(const struct json *j, struct fault *f, char *error)
{
	const char *kind = json_get_text(j, "fault", "");
	const char *where = json_get_text(j, "where", NULL);
	unsigned at;

	if (!find(names, ARRAY_LEN(names), kind, &at)) {
		snprintf(
		    error, FAULT_TEXT_BYTES, "unknown fault '%.64s'", kind);
		return false;
	}
	f->kind = (enum fault_kind)at;
	f->where = usual_place(f->kind);
	if (where == NULL)
		return true;
	if (!find(places, ARRAY_LEN(places), where, &at)) {
		snprintf(error, FAULT_TEXT_BYTES,
		    "where: '%.64s' is none of push, overlord, all", where);
		return false;
	}
	f->where = (enum fault_where)at;
	return true;
}

bool
sandbox_fault_read(const struct json *j, struct fault *f, bool *on,
    char error[static FAULT_TEXT_BYTES])
{
	*f = (struct fault){ 0 };
	for (struct json_member *m = json_first(j); m != NULL;
	     m = json_next(j, m)) {
		if (is_known_member(json_member_name(m)))
			continue;
		snprintf(error, FAULT_TEXT_BYTES, "unknown member '%.64s'",
		    json_member_name(m));
		return false;
	}
	if (!read_kind(j, f, error))
		return false;
	*on = json_get_bool(j, "on", true);
	f->ms = json_get_int(j, "ms", 0);
	f->status = (unsigned)json_get_int(j, "status", 500);
	f->is_refused = json_get_bool(j, "refused", false);
	f->is_quiet = json_get_bool(j, "quiet", false);
	snprintf(f->text, sizeof f->text, "%s", json_get_text(j, "text", ""));
	f->percent = (unsigned)json_get_int(j, "percent", PERCENT_ALL);
	f->count = json_get_int(j, "count", -1);
	snprintf(f->ds, sizeof f->ds, "%s", json_get_text(j, "dataSource", ""));
	snprintf(f->task, sizeof f->task, "%s", json_get_text(j, "task", ""));
	snprintf(f->url, sizeof f->url, "%s", json_get_text(j, "url", ""));
	if (f->kind != FAULT_NOT_LEADER || !*on || f->url[0] != '\0')
		return true;
	snprintf(error, FAULT_TEXT_BYTES,
	    "not-leader wants the leader's url, \"http://host:port\"");
	return false;
}

bool
sandbox_fault_begin(struct faults *f, const struct fault *fault)
{
	if (f->count == FAULTS_MAX)
		return false;
	f->list[f->count++] = *fault;
	return true;
}

static bool
is_meant(const struct fault *f, const struct fault *by)
{
	if (by->kind == FAULTS)
		return true;
	if (f->kind != by->kind)
		return false;
	if (by->ds[0] == '\0' && by->task[0] == '\0')
		return true;
	return strcmp(f->ds, by->ds) == 0 && strcmp(f->task, by->task) == 0;
}

unsigned
sandbox_fault_end(struct faults *f, const struct fault *by)
{
	unsigned kept = 0, ended;

	for (unsigned i = 0; i < f->count; i++)
		if (!is_meant(&f->list[i], by))
			f->list[kept++] = f->list[i];
	ended = f->count - kept;
	f->count = kept;
	return ended;
}

static bool
is_aimed(
    const struct fault *f, enum fault_kind kind, const struct fault_target *at)
{
	if (f->kind != kind || f->count == 0)
		return false;
	if (f->where != at->where && f->where != FAULT_AT_ALL)
		return false;
	if (f->ds[0] != '\0' && strcmp(f->ds, at->ds) != 0)
		return false;
	return strncmp(at->task, f->task, strlen(f->task)) == 0;
}

/* xorshift64*: the same run for the same seed. */
static unsigned
random_percent(struct faults *f)
{
	uint64_t x = f->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	f->random = x;
	return (
	    unsigned)(((x * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % PERCENT_ALL);
}

struct fault *
sandbox_fault_strike(
    struct faults *f, enum fault_kind kind, const struct fault_target *at)
{
	for (unsigned i = 0; i < f->count; i++) {
		struct fault *one = &f->list[i];

		if (!is_aimed(one, kind, at))
			continue;
		if (one->percent < PERCENT_ALL &&
		    random_percent(f) >= one->percent)
			continue;
		if (one->count > 0)
			one->count--;
		one->struck++;
		return one;
	}
	return NULL;
}

struct fault *
sandbox_fault_bad_row(struct faults *f, const struct fault_target *at,
    const char *body, size_t bytes)
{
	for (unsigned i = 0; i < f->count; i++) {
		struct fault *one = &f->list[i];

		if (!is_aimed(one, FAULT_BAD_ROW, at) ||
		    memmem(body, bytes, one->text, strlen(one->text)) == NULL)
			continue;
		if (one->count > 0)
			one->count--;
		one->struck++;
		return one;
	}
	return NULL;
}

bool
sandbox_fault_is_on(
    const struct faults *f, enum fault_kind kind, const struct fault_target *at)
{
	for (unsigned i = 0; i < f->count; i++)
		if (is_aimed(&f->list[i], kind, at))
			return true;
	return false;
}

struct json *
sandbox_fault_report(const struct faults *f)
{
	struct json *list = json_new_array();

	for (unsigned i = 0; i < f->count; i++) {
		const struct fault *one = &f->list[i];
		struct json *j = json_new_object();

		json_set_text(j, "fault", names[one->kind]);
		json_set_text(j, "where", places[one->where]);
		if (one->ds[0] != '\0')
			json_set_text(j, "dataSource", one->ds);
		if (one->task[0] != '\0')
			json_set_text(j, "task", one->task);
		if (one->kind == FAULT_SLOW)
			json_set_int(j, "ms", one->ms);
		json_set_int(j, "percent", one->percent);
		json_set_int(j, "count", one->count);
		json_set_int(j, "struck", (int64_t)one->struck);
		json_append(list, j);
	}
	return list;
}

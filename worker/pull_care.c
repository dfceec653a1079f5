/*
 * pull_care - Druid's side of the log: who pulls from it, and what may go
 *
 * Process: worker.
 */
#include "pull_care.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "conf_pull.h"
#include "druid.h"
#include "heritage.h"
#include "iso.h"
#include "kafka_supervisor.h"
#include "log.h"
#include "log_floor.h"
#include "log_page.h"
#include "panic.h"
#include "pull_wish.h"
#include "spool_log.h"

#define WORD_DOCUMENT "pull"
#define WORD_VERSION 1
#define FLOOR_DOCUMENT "floor"
/* Of what the floor wants to see agreed: between two looks at Druid. */
#define POLL_SHARE 4
#define POLL_MS_MIN 250
#define AGREE_SHARE 4 /* of a task's time, at most that */
#define ASK_MS 5000 /* between two questions for its version */
#define RETAIN_LOOK_MS 1000
#define NOTE_BYTES 600

struct pull_care {
	struct pull_care_parts p;
	enum supervisor_care care;
	unsigned partitions;
	struct log_floor *floor; /* NULL: not begun */
	struct kafka_supervisor *supervisor; /* NULL: its name is not known */
	struct druid *druid; /* asked for the name, NULL: it is known */
	/* the word: as it is, and as the spool has it */
	char *instance, *id, *servers;
	bool is_stored, made_is_stored;
	bool word_is_written, made_is_written; /* in the open transaction */
	bool floor_due;
	bool retires, is_full;
	uint64_t floors[LOG_PAGE_PARTITIONS_MAX]; /* with pull.retain */
	int64_t looked_ms;
	char trouble[NOTE_BYTES];
	bool changed;
};

static void
    PRINTF_LIKE(2, 3) set_trouble(struct pull_care *c, const char *format, ...)
{
	char text[NOTE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	c->changed |= strcmp(text, c->trouble) != 0;
	memcpy(c->trouble, text, sizeof text);
}

static enum supervisor_care
care_of(const struct ds_conf *ds)
{
	if (strcmp(ds->pull_supervisor, "off") == 0)
		return CARE_OFF;
	return strcmp(ds->pull_supervisor, "observe") == 0 ? CARE_OBSERVE
							   : CARE_MANAGE;
}

struct pull_care *
pull_care_new(const struct pull_care_parts *parts)
{
	struct pull_care *c = must_calloc(1, sizeof *c);
	char *obstacle = worker_no_pull(parts->conf, parts->ds);

	c->p = *parts;
	/* with delivery.mode auto, which keeps what is in the log and says so:
	 * nobody can pull it */
	c->care = obstacle == NULL ? care_of(parts->ds) : CARE_OFF;
	if (obstacle == NULL)
		c->servers = conf_pull_servers(parts->conf, parts->port);
	free(obstacle);
	return c;
}

void
pull_care_free(struct pull_care **care)
{
	struct pull_care *c = *care;

	*care = NULL;
	if (c == NULL)
		return;
	druid_free(&c->druid);
	kafka_supervisor_free(&c->supervisor);
	log_floor_free(&c->floor);
	free(c->instance);
	free(c->id);
	free(c->servers);
	free(c);
}

/* ---- the supervisor ---- */

static uint64_t
log_start(void *context, unsigned partition)
{
	const struct pull_care *c = context;

	return spool_log_range(c->p.spool, partition).start;
}

static uint64_t
log_end(void *context, unsigned partition)
{
	const struct pull_care *c = context;

	return spool_log_range(c->p.spool, partition).end;
}

static int64_t
agree_ms(const struct pull_care *c)
{
	return MIN_OF(
	    LOG_FLOOR_AGREE_MS, pull_wish_task_ms(c->p.ds) / AGREE_SHARE);
}

static struct json *
make_spec(const struct pull_care *c)
{
	struct json *problems = json_new_array(), *spec;
	struct pull_wish p;

	pull_wish_init(&p, c->p.conf, c->p.ds, c->p.port);
	p.wish.instance = c->instance;
	p.wish.id = c->id;
	p.wish.druid = DRUID_WITH_IDS; /* or the id is none of its own */
	p.wish.log = spool_log_identity(c->p.spool);
	p.wish.partitions = c->partitions;
	spec = kafka_spec_make(&p.wish, problems);
	/* worker_check would have found them before */
	if (spec == NULL)
		fatalx("%s", json_text(json_at(problems, 0), "pull: no spec"));
	json_free(&problems);
	pull_wish_fini(&p);
	return spec;
}

static enum supervisor_rest
rest_of(const struct pull_care *c)
{
	return c->retires ? REST_RETIRED : c->is_full ? REST_FULL : REST_NOT;
}

/* The word on it is in the spool. */
static void
begin_supervisor(struct pull_care *c)
{
	struct kafka_supervisor_parts parts = { .loop = c->p.loop,
		.overlord = c->p.overlord,
		.floor = c->floor,
		.id = c->id,
		.topic = c->p.ds->name,
		.servers = c->servers,
		.partitions = c->partitions,
		.care = c->care,
		.poll_ms = MAX_OF(agree_ms(c) / POLL_SHARE, POLL_MS_MIN),
		.log_start = log_start,
		.log_end = log_end,
		.context = c };

	c->supervisor = kafka_supervisor_new(&parts, c->made_is_stored);
	kafka_supervisor_rest(c->supervisor, rest_of(c));
	kafka_supervisor_want(c->supervisor, make_spec(c));
	c->changed = true;
}

/* ---- its name ---- */

static void
druid_heard(void *context)
{
	struct pull_care *c = context;
	const struct druid_facts *f = druid_facts(c->druid);

	if (f == NULL) {
		set_trouble(c,
		    "pull: Druid's version is not known, by which its "
		    "supervisor gets a name: %.400s",
		    druid_trouble(c->druid));
		return;
	}
	set_trouble(c, "%s", "");
	if (c->id != NULL)
		return;
	c->instance = conf_pull_instance(c->p.conf, c->p.port);
	c->id =
	    kafka_spec_id(c->p.ds, c->instance, f->has_major ? f->major : 0);
}

static void
ask_druid(struct pull_care *c)
{
	struct druid_parts parts = { .loop = c->p.loop,
		.overlord = c->p.overlord,
		.period_ms = ASK_MS,
		.heard = druid_heard,
		.context = c };

	c->druid = druid_new(&parts);
}

/* ---- documents ---- */

static void
set_document(struct pull_care *c, const char *name, struct json *j)
{
	char *text = json_to_text(j);

	spool_set_document(c->p.spool, name, text, strlen(text));
	free(text);
	json_free(&j);
}

/* New, or NULL: there is none. What makes no sense ends the worker: without it
 * Druid would be given events twice. */
static struct json *
get_document(const struct pull_care *c, const char *name)
{
	char *text = spool_document(c->p.spool, name);
	struct json *j;

	if (text == NULL)
		return NULL;
	j = json_parse(text, strlen(text), NULL);
	free(text);
	if (!json_is_object(j))
		fatalx("spool: the document \"%s\" makes no sense; run "
		       "`tranqctl spool verify %s`",
		    name, c->p.ds->name);
	return j;
}

static void
restore_word(struct pull_care *c)
{
	struct json *j = get_document(c, WORD_DOCUMENT);

	if (j == NULL)
		return;
	c->instance = must_strdup(json_get_text(j, "instance", ""));
	c->id = must_strdup(json_get_text(j, "id", ""));
	c->made_is_stored = json_get_bool(j, "made", false);
	c->is_stored = true;
	json_free(&j);
	if (*c->id == '\0')
		fatalx("spool: the document \"" WORD_DOCUMENT "\" names no "
		       "supervisor");
}

static void
restore_floor(struct pull_care *c)
{
	struct json *j = get_document(c, FLOOR_DOCUMENT);

	if (j != NULL && !log_floor_restore(c->floor, j))
		log_error("spool: what is known of Druid's commits makes no "
			  "sense; nothing is removed before they are known "
			  "again");
	json_free(&j);
}

static bool
was_made(const struct pull_care *c)
{
	return c->supervisor != NULL &&
	    kafka_supervisor_was_made(c->supervisor);
}

/* Nobody was ever to pull, and nobody is to begin. */
static bool
is_needless(const struct pull_care *c)
{
	return c->retires && !c->is_stored &&
	    spool_log_counts(c->p.spool).events == 0;
}

static bool
word_is_due(const struct pull_care *c)
{
	return c->id != NULL && !is_needless(c) &&
	    (!c->is_stored || (was_made(c) && !c->made_is_stored));
}

static void
write_word(struct pull_care *c)
{
	struct json *j = json_new_object();

	c->word_is_written = true;
	c->made_is_written = c->made_is_stored || was_made(c);
	json_set_int(j, "version", WORD_VERSION);
	json_set_text(j, "instance", c->instance);
	json_set_text(j, "id", c->id);
	json_set_bool(j, "made", c->made_is_written);
	set_document(c, WORD_DOCUMENT, j);
}

/* ---- what may go ---- */

static uint64_t
retained(const struct pull_care *c, unsigned partition, uint64_t floor)
{
	const struct ds_conf *ds = c->p.ds;
	uint64_t keep = UINT64_MAX;

	if (ds->retain_ms > 0)
		keep = spool_log_sealed_at(
		    c->p.spool, partition, clock_wall_ms() - ds->retain_ms);
	if (ds->retain_bytes > 0)
		keep = spool_log_bytes_behind(c->p.spool, partition,
		    (uint64_t)ds->retain_bytes / c->partitions);
	return MIN_OF(floor, keep);
}

/* The worker takes no more then. */
static void
look_at_room(struct pull_care *c)
{
	uint64_t share = (uint64_t)c->p.ds->spool_bytes_max / SPOOL_ROOM_SHARE;

	c->is_full = !spool_has_room(c->p.spool, share);
	if (c->supervisor != NULL)
		kafka_supervisor_rest(c->supervisor, rest_of(c));
}

/* What is kept for reading again gives way to events that come. */
static void
look_at_floors(struct pull_care *c)
{
	bool retains = !c->retires && !c->is_full &&
	    (c->p.ds->retain_ms > 0 || c->p.ds->retain_bytes > 0);
	int64_t now = loop_now_ms(c->p.loop);

	if (retains && now - c->looked_ms < RETAIN_LOOK_MS)
		return;
	c->looked_ms = now;
	for (unsigned i = 0; i < c->partitions; i++) {
		uint64_t floor = log_floor_removable(c->floor, i);

		c->floors[i] =
		    retains && floor > 0 ? retained(c, i, floor) : floor;
	}
}

/* ---- as the delivery calls it ---- */

static unsigned
partitions_of(const struct pull_care *c)
{
	unsigned count = 0;

	for (unsigned i = 0; i < LOG_PAGE_PARTITIONS_MAX; i++)
		if (spool_log_range(c->p.spool, i).end != 0)
			count = i + 1;
	return count;
}

void
pull_care_begin(struct pull_care *c)
{
	unsigned count = partitions_of(c);

	if (c->floor != NULL || count < c->p.ds->pull_partitions)
		return;
	c->partitions = count;
	c->floor = log_floor_new(c->p.ds->name, c->partitions, agree_ms(c));
	restore_floor(c);
	restore_word(c);
	if (c->care == CARE_OFF)
		return;
	if (c->id != NULL)
		begin_supervisor(c);
	else
		ask_druid(c);
}

bool
pull_care_wants_commit(struct pull_care *c)
{
	if (c->floor == NULL)
		return false;
	if (log_floor_changed(c->floor))
		c->floor_due = c->changed = true;
	look_at_room(c);
	look_at_floors(c);
	return c->floor_due || word_is_due(c);
}

void
pull_care_write(struct pull_care *c)
{
	c->word_is_written = false;
	if (c->floor == NULL)
		return;
	c->floor_due |= log_floor_changed(c->floor);
	if (c->floor_due)
		set_document(c, FLOOR_DOCUMENT, log_floor_document(c->floor));
	if (word_is_due(c))
		write_word(c);
}

void
pull_care_written(struct pull_care *c)
{
	c->floor_due = false;
	if (!c->word_is_written)
		return;
	c->is_stored = true;
	c->made_is_stored = c->made_is_written;
	druid_free(&c->druid);
	if (c->supervisor == NULL)
		begin_supervisor(c);
	else if (c->made_is_stored)
		kafka_supervisor_stored(c->supervisor);
}

void
pull_care_hold(struct pull_care *c)
{
	druid_free(&c->druid);
	if (c->supervisor != NULL)
		kafka_supervisor_hold(c->supervisor);
}

bool
pull_care_is_settled(const struct pull_care *c)
{
	return c->supervisor == NULL ||
	    kafka_supervisor_is_settled(c->supervisor);
}

void
pull_care_retire(struct pull_care *c, bool on)
{
	c->retires = on;
	c->changed = true;
	if (c->supervisor != NULL)
		kafka_supervisor_rest(c->supervisor, rest_of(c));
}

/* Without a name there never was one. */
bool
pull_care_is_retired(const struct pull_care *c)
{
	return c->supervisor == NULL ||
	    kafka_supervisor_is_retired(c->supervisor);
}

uint64_t
pull_care_floor(const struct pull_care *c, unsigned partition)
{
	/* at once when nothing may go any more */
	return partition < c->partitions &&
		log_floor_removable(c->floor, partition) > 0
	    ? c->floors[partition]
	    : 0;
}

uint64_t
pull_care_known(const struct pull_care *c, unsigned partition)
{
	return partition < c->partitions ? log_floor_known(c->floor, partition)
					 : 0;
}

/* ---- what can be seen ---- */

static void
note_instance(const struct pull_care *c, struct json *notes)
{
	const char *wanted = c->p.conf->pull_instance;
	char *text;

	if (c->instance == NULL || *wanted == '\0' ||
	    strcmp(wanted, c->instance) == 0)
		return;
	text = must_format("pull.instance is %s, but this spool's supervisor "
			   "was made by the name %s, which stays: Druid has "
			   "its offsets by it",
	    wanted, c->instance);
	json_append(notes, json_new_text(text));
	free(text);
}

void
pull_care_describe(
    const struct pull_care *c, struct json *to, struct json *notes)
{
	struct json *off;

	if (*c->trouble != '\0')
		json_append(notes, json_new_text(c->trouble));
	note_instance(c, notes);
	if (c->floor != NULL)
		log_floor_describe(c->floor, notes);
	if (c->supervisor != NULL) {
		kafka_supervisor_describe(c->supervisor, to, notes);
	} else if (c->care == CARE_OFF) {
		off = json_new_object();
		json_set_text(off, "care", "off");
		json_set(to, "supervisor", off);
	}
}

bool
pull_care_changed(struct pull_care *c)
{
	bool changed = c->changed;

	c->changed = false;
	if (c->supervisor != NULL)
		changed |= kafka_supervisor_changed(c->supervisor);
	return changed;
}

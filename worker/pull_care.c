/*
 * pull_care - Druid's side of the log: who pulls from it, and what may go
 *
 * Process: worker.
 */
#include "pull_care_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "conf_pull.h"
#include "heritage.h"
#include "iso.h"
#include "log.h"
#include "panic.h"
#include "pull_wish.h"
#include "spool_log.h"

#define WORD_DOCUMENT "pull"
#define WORD_VERSION 1
/* The name of all who share a supervisor. */
#define SHARED_INSTANCE "shared"
#define FLOOR_DOCUMENT "floor"
/* Of what the floor wants to see agreed: between two looks at Druid. */
#define POLL_SHARE 4
#define POLL_MS_MIN 250
#define AGREE_SHARE 4 /* of a task's time, at most that */
#define ASK_MS 5000 /* between two questions for its version */
#define RETAIN_LOOK_MS 1000

static void begin_floor(struct pull_care *);
static void restore_word(struct pull_care *);

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

/* A log that is one partition of a shared topic has no others. */
unsigned
pull_care_partitions(const struct pull_care *c)
{
	return c->is_one ? 1 : (unsigned)c->p.ds->pull_partitions;
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
	c->base = must_format(
	    "%s/tranqd/pull/%s", parts->ds->zookeeper_path, parts->ds->name);
	c->number = -1;
	restore_word(c);
	c->is_one = c->is_shared;
	c->peers_due = true;
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
	committed_free(&c->committed);
	kafka_supervisor_free(&c->supervisor);
	pull_share_free(&c->share);
	log_floor_free(&c->floor);
	free(c->base);
	free(c->role);
	free(c->instance);
	free(c->id);
	free(c->servers);
	free(c);
}

/* ---- the supervisor ---- */

/* Of the topic's partition, which may be another's log. */
static struct log_range
range_of(const struct pull_care *c, unsigned partition)
{
	const struct share_member *m;

	if (!c->is_shared)
		return spool_log_range(c->p.spool, partition);
	if ((int)partition == c->number)
		return spool_log_range(c->p.spool, 0);
	m = &pull_share_view(c->share)->all[partition];
	return (struct log_range){ m->start, m->end };
}

static uint64_t
log_start(void *context, unsigned partition)
{
	return range_of(context, partition).start;
}

static uint64_t
log_end(void *context, unsigned partition)
{
	return range_of(context, partition).end;
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
	char *servers = NULL, *log = NULL;
	struct pull_wish p;

	pull_wish_init(&p, c->p.conf, c->p.ds, c->p.port);
	p.wish.instance = c->instance;
	p.wish.id = c->id;
	p.wish.druid = DRUID_WITH_IDS; /* or the id is none of its own */
	p.wish.log = spool_log_identity(c->p.spool);
	p.wish.partitions = c->partitions;
	if (c->is_shared) {
		const struct share_view *v = pull_share_view(c->share);

		p.wish.servers = servers = share_view_servers(v);
		/* of all whose logs are its partitions: those who agree with us
		 * where the first one is the same, for ever */
		p.wish.log = log = must_format("%s %s", c->base, v->all[0].log);
	}
	spec = kafka_spec_make(&p.wish, problems);
	/* worker_check would have found them before */
	if (spec == NULL)
		fatalx("%s", json_text(json_at(problems, 0), "pull: no spec"));
	json_free(&problems);
	pull_wish_fini(&p);
	free(servers);
	free(log);
	return spec;
}

static enum supervisor_rest
rest_of(const struct pull_care *c)
{
	return c->retires ? REST_RETIRED : c->is_full ? REST_FULL : REST_NOT;
}

static bool
next_unseeded(void *context, unsigned *partition)
{
	const struct pull_care *c = context;
	int number = pull_share_unseeded(c->share);

	*partition = (unsigned)number;
	return number >= 0;
}

static void
seeded(void *context, unsigned partition)
{
	const struct pull_care *c = context;

	pull_share_seeded(c->share, partition, 1);
}

static void
suspend(void *context, bool on)
{
	const struct pull_care *c = context;

	pull_share_suspend(c->share, on);
}

/* One of those who share it sees to it, the others look on. */
static void
share_parts(struct pull_care *c, struct kafka_supervisor_parts *p)
{
	p->partitions = c->begun_for = pull_share_view(c->share)->count;
	p->own = c->number;
	p->suspend = suspend;
	if (p->care == CARE_MANAGE && !pull_share_manages(c->share))
		p->care = CARE_OBSERVE;
	p->unseeded = next_unseeded;
	p->seeded = seeded;
}

static int64_t
poll_ms(const struct pull_care *c)
{
	return MAX_OF(agree_ms(c) / POLL_SHARE, POLL_MS_MIN);
}

static void
begin_committed(struct pull_care *c)
{
	struct committed_parts parts = { .loop = c->p.loop,
		.http = c->p.http,
		.ds = c->p.ds,
		.floor = c->floor,
		.id = c->id,
		.period_ms = poll_ms(c) };

	if (c->committed == NULL && *c->p.ds->committed_url != '\0')
		c->committed = committed_new(&parts);
}

/* The word on it is in the spool. */
static void
begin_supervisor(struct pull_care *c)
{
	bool was_made = c->made_is_stored;

	struct kafka_supervisor_parts parts = { .loop = c->p.loop,
		.overlord = c->p.overlord,
		.floor = c->floor,
		.id = c->id,
		.topic = c->p.ds->name,
		.servers = c->servers,
		.partitions = c->partitions,
		.care = c->care,
		.poll_ms = poll_ms(c),
		.log_start = log_start,
		.log_end = log_end,
		.own = -1,
		.context = c };

	if (c->is_shared) {
		share_parts(c, &parts);
		was_made = share_view_has_begun(pull_share_view(c->share));
	}
	kafka_supervisor_free(&c->supervisor);
	c->supervisor = kafka_supervisor_new(&parts, was_made);
	if (c->is_shared)
		kafka_supervisor_suspend(c->supervisor,
		    share_view_suspends(pull_share_view(c->share)));
	kafka_supervisor_rest(c->supervisor, rest_of(c));
	kafka_supervisor_want(c->supervisor, make_spec(c));
	begin_committed(c);
	c->changed = true;
}

static bool
was_made(const struct pull_care *c)
{
	return c->supervisor != NULL &&
	    kafka_supervisor_was_made(c->supervisor);
}

/* ---- those who share it ---- */

static void
share_told(void *context)
{
	struct pull_care *c = context;

	c->share_changed = c->changed = c->peers_due = true;
}

static void
begin_share(struct pull_care *c)
{
	struct pull_share_parts parts = { .loop = c->p.loop,
		.zk = c->p.zk,
		.base = c->base,
		.log = spool_log_identity(c->p.spool),
		.changed = share_told,
		.context = c };

	if (c->p.zk == NULL) {
		set_trouble(c,
		    "pull: this spool's log is a partition of a topic that is "
		    "shared by way of ZooKeeper; nothing is served without "
		    "zookeeper.connect");
		return;
	}
	conf_pull_address(c->p.conf, c->p.port, &parts.at);
	c->share = pull_share_new(&parts, c->number, c->made_is_stored);
	pull_share_tell(c->share, spool_log_range(c->p.spool, 0));
}

/* What the supervisor is begun anew for. */
static char *
role_of(const struct pull_care *c)
{
	const struct share_view *v = pull_share_view(c->share);
	char *servers = share_view_servers(v);
	char *role = must_format("%d %u %d %d %s", pull_share_manages(c->share),
	    v->count, share_view_suspends(v), share_view_has_begun(v), servers);

	free(servers);
	return role;
}

/* With a supervisor that is new all that it has been told of begin, and so with
 * one that is found when nothing is known; those that come later are seeded one by
 * one. Without care of ours somebody else sees to that. */
static void
look_at_seeds(struct pull_care *c)
{
	const struct share_view *v = pull_share_view(c->share);

	if (!pull_share_manages(c->share))
		return;
	if (c->care != CARE_MANAGE)
		pull_share_seeded(c->share, 0, v->count);
	else if (was_made(c) && !share_view_has_begun(v))
		pull_share_seeded(c->share, 0, c->begun_for);
}

static void
look_at_share(struct pull_care *c)
{
	char *role;

	c->share_changed = false;
	c->number = pull_share_number(c->share);
	if (!c->is_stored || !pull_share_holds(c->share))
		return;
	if (c->care == CARE_OFF || c->is_held)
		return;
	role = role_of(c);
	if (c->role != NULL && strcmp(role, c->role) == 0) {
		free(role);
		return;
	}
	free(c->role);
	c->role = role;
	begin_supervisor(c);
}

bool
pull_care_peers(struct pull_care *c, struct log_peers *to, bool *is_first)
{
	struct share_self self;

	/* the name decides whether it is shared */
	if (!c->peers_due || (c->id == NULL && c->peers_are_told))
		return false;
	*is_first = c->share != NULL;
	*to = (struct log_peers){ .is_shared = c->is_shared ||
		    (c->id == NULL && c->p.zk != NULL && c->care != CARE_OFF) };
	c->peers_due = c->id == NULL;
	c->peers_are_told = true;
	if (c->share == NULL || pull_share_view(c->share)->count == 0)
		return true;
	self = pull_share_self(c->share);
	share_view_peers(pull_share_view(c->share), &self, to);
	*is_first = false;
	return true;
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
	c->peers_due = true;
	if (strcmp(c->id, c->p.ds->name) != 0 || c->p.zk == NULL ||
	    c->partitions > 1)
		return;
	c->is_shared = true;
	free(c->instance);
	c->instance = must_strdup(SHARED_INSTANCE);
	begin_floor(c);
	begin_share(c);
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
	c->number = (int)json_get_int(j, "partition", -1);
	c->is_shared = c->number >= 0;
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

/* Nobody was ever to pull, and nobody is to begin. */
static bool
is_needless(const struct pull_care *c)
{
	return c->retires && !c->is_stored &&
	    spool_log_counts(c->p.spool).events == 0;
}

/* Druid has some of our log: of one that is shared, of our partition. */
static bool
has_offsets(const struct pull_care *c)
{
	const struct share_view *v;

	if (!c->is_shared)
		return was_made(c);
	v = c->share != NULL ? pull_share_view(c->share) : NULL;
	return v != NULL && c->number >= 0 && c->number < (int)v->count &&
	    v->all[c->number].seeded;
}

static bool
word_is_due(const struct pull_care *c)
{
	return c->id != NULL && !is_needless(c) &&
	    (!c->is_shared || c->number >= 0) &&
	    (!c->is_stored || (has_offsets(c) && !c->made_is_stored));
}

static void
write_word(struct pull_care *c)
{
	struct json *j = json_new_object();

	c->word_is_written = true;
	c->made_is_written = c->made_is_stored || has_offsets(c);
	json_set_int(j, "version", WORD_VERSION);
	json_set_text(j, "instance", c->instance);
	json_set_text(j, "id", c->id);
	json_set_bool(j, "made", c->made_is_written);
	if (c->is_shared)
		json_set_int(j, "partition", c->number);
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

unsigned
pull_care_part(const struct pull_care *c, unsigned of_log)
{
	return c->is_shared ? (unsigned)c->number : of_log;
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
		uint64_t floor =
		    log_floor_removable(c->floor, pull_care_part(c, i));

		c->floors[i] =
		    retains && floor > 0 ? retained(c, i, floor) : floor;
	}
}

/* Of all partitions that may be in a status; those of others do not matter. */
static void
begin_floor(struct pull_care *c)
{
	unsigned count = c->is_shared ? LOG_PAGE_PARTITIONS_MAX : c->partitions;

	log_floor_free(&c->floor);
	c->floor = log_floor_new(c->p.ds->name, count, agree_ms(c));
	restore_floor(c);
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

	if (c->floor != NULL || count < pull_care_partitions(c))
		return;
	c->partitions = count;
	begin_floor(c);
	c->peers_due = true;
	if (c->servers == NULL)
		return; /* there is no feed */
	if (c->is_shared)
		begin_share(c);
	else if (c->care == CARE_OFF)
		return;
	else if (c->id != NULL)
		begin_supervisor(c);
	else
		ask_druid(c);
}

bool
pull_care_wants_commit(struct pull_care *c)
{
	if (c->floor == NULL)
		return false;
	if (c->share_changed)
		look_at_share(c);
	if (c->share != NULL)
		look_at_seeds(c);
	if (log_floor_changed(c->floor))
		c->floor_due = c->changed = true;
	look_at_room(c);
	if (!c->is_shared || c->is_stored)
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
	if (c->share != NULL)
		pull_share_tell(c->share, spool_log_range(c->p.spool, 0));
	if (!c->word_is_written)
		return;
	c->is_stored = true;
	c->made_is_stored = c->made_is_written;
	druid_free(&c->druid);
	if (c->is_shared)
		pull_share_stored(c->share);
	else if (c->supervisor == NULL && !c->is_held)
		begin_supervisor(c);
	else if (c->supervisor != NULL && c->made_is_stored)
		kafka_supervisor_stored(c->supervisor);
}

void
pull_care_hold(struct pull_care *c)
{
	c->is_held = true;
	druid_free(&c->druid);
	committed_free(&c->committed);
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
	return c->supervisor == NULL
	    ? !c->is_shared || !c->is_stored || c->care == CARE_OFF
	    : kafka_supervisor_is_retired(c->supervisor);
}

uint64_t
pull_care_floor(const struct pull_care *c, unsigned partition)
{
	/* at once when nothing may go any more */
	return partition < c->partitions && (!c->is_shared || c->is_stored) &&
		!pull_care_is_beyond(c, partition) &&
		log_floor_removable(c->floor, pull_care_part(c, partition)) > 0
	    ? c->floors[partition]
	    : 0;
}

bool
pull_care_is_beyond(const struct pull_care *c, unsigned partition)
{
	return pull_care_known(c, partition) >
	    spool_log_range(c->p.spool, partition).end;
}

uint64_t
pull_care_known(const struct pull_care *c, unsigned partition)
{
	return partition < c->partitions && (!c->is_shared || c->is_stored)
	    ? log_floor_known(c->floor, pull_care_part(c, partition))
	    : 0;
}

bool
pull_care_changed(struct pull_care *c)
{
	bool changed = c->changed;

	c->changed = false;
	if (c->supervisor != NULL)
		changed |= kafka_supervisor_changed(c->supervisor);
	if (c->committed != NULL)
		changed |= committed_changed(c->committed);
	return changed;
}

/*
 * worker - one dataSource's way from the rings to Druid
 *
 * Process: worker (one a dataSource). Entered by worker_main, heritage.h.
 *
 * Puts the parts together and drives one turn after another: take events,
 * seal batches, commit them, send, tell. Its whole state is its rings, its
 * spool and its beams, so it may be killed at any instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ack.h"
#include "chooser.h"
#include "clock.h"
#include "condemned.h"
#include "dead.h"
#include "delivery.h"
#include "drain.h"
#include "fault.h"
#include "finder.h"
#include "heap.h"
#include "heritage.h"
#include "http_client.h"
#include "intake.h"
#include "iso.h"
#include "json.h"
#include "keys.h"
#include "late.h"
#include "log.h"
#include "loop.h"
#include "overlord.h"
#include "panic.h"
#include "realm.h"
#include "rings.h"
#include "session.h"
#include "spool.h"
#include "spool_dead.h"
#include "spool_keys.h"
#include "ways.h"
#include "zk.h"

#define REMOVAL_DELAY_MS 20 /* removals wait this long for a commit to join */
#define DISK_RETRY_MS 1000
#define DESCRIBE_MS 100 /* at most one new description in that time */
#define OLDEST_MS 500
/* So long an orphan waits for answers of Druid. Shorter than a successor waits
 * for the spool (spool.c). */
#define ORPHAN_MS 1000
#define WARM_MAX 64 /* intervals made ahead of time */
#define ERROR_BYTES 600
#define SPOOL_IS_FULL                                                          \
	"spool: spool.bytesMax is reached; raise it, or look why Druid takes " \
	"nothing"
#define RINGS_CANNOT                                                           \
	"channel: the rings cannot be attached; give the process more memory " \
	"and address space, or lower tranqd.ringBytes (the log says more)"

enum stopped { STOPPED_NOT, STOPPED_FULL, STOPPED_DISK, STOPPED_DRAINING };

struct worker {
	const struct heritage *heritage;
	const struct ds_conf *ds; /* `own`, of the heritage */
	struct ds_conf *own; /* with the way that was chosen */
	struct loop *loop;
	struct rings rings;
	struct spool *spool;
	struct http_client *http;
	struct session *session; /* NULL: without ZooKeeper */
	struct zk *zk; /* its */
	struct finder *finder; /* of the Overlord */
	struct overlord *overlord;
	struct chooser *chooser;
	struct ways ways;
	struct acks *acks;
	struct keys *keys;
	struct late *late;
	struct delivery *delivery; /* of the ways */
	struct intake *intake;
	struct dead *dead;
	struct drain *drain;

	struct loop_io control, bell;
	struct loop_timer seal_timer, removal_timer, disk_timer;
	struct loop_timer describe_timer, deadline_timer;
	bool removal_due, describe_due;
	bool was_connected; /* to ZooKeeper, when it was described */
	struct quarantine_options quarantine;
	char *quarantine_dir; /* its */
	char *spool_dir;
	enum stopped stopped, complained;
	/* a commit has failed: nothing is taken or written before it is time
	 * to try again, and nothing is promised before that has gone well */
	bool in_doubt, tries;
	char trouble[ERROR_BYTES]; /* why it is stopped */
	bool is_orphan; /* the supervisor is gone */
	bool is_leaving; /* told to stop, or orphaned */
	bool hands_over; /* a successor takes rings and spool over at once */
	bool is_renewed; /* one was asked for, so that nothing more is taken */
	uint64_t commits;
	int64_t oldest_ms, oldest_known_ms; /* of the spool; as of when */
	int64_t orphan_until_ms;
	int exit_code;
};

static const struct delivery_table *
way(const struct worker *w)
{
	return w->delivery->table;
}

static void
at_step(const struct worker *w, enum life_step step)
{
	life_step(w->heritage->life, step);
}

/* ---- what can be seen ---- */

static bool
is_connected(const struct worker *w)
{
	return w->zk != NULL && zk_is_connected(w->zk);
}

static char *
describe(struct worker *w)
{
	struct json *j = json_new_object(), *notes = json_new_array();
	struct json *late = late_describe(w->late);
	char *text;

	chooser_describe(w->chooser, j);
	if (late != NULL)
		json_set(j, way(w)->piles ? "append" : "late", late);
	json_set_text(j, "overlord", overlord_where(w->overlord));
	json_set_text(j, "zookeeper",
	    w->zk == NULL         ? "not used"
		: is_connected(w) ? "connected"
				  : "not connected");
	w->was_connected = is_connected(w);
	if (w->zk != NULL && *zk_trouble(w->zk) != '\0')
		json_append(notes, json_new_text(zk_trouble(w->zk)));
	way(w)->describe(w->delivery, j, notes);
	drain_describe(w->drain, j);
	if (w->stopped != STOPPED_NOT)
		json_append(notes, json_new_text(w->trouble));
	json_set(j, "notes", notes);
	text = json_to_text(j);
	json_free(&j);
	return text;
}

/* A look into the spool's queue, so not at every turn. */
static int64_t
oldest_ms(struct worker *w)
{
	int64_t now = loop_now_ms(w->loop);

	if (spool_queued(w->spool) == 0)
		return 0;
	if (w->oldest_ms == 0 || now - w->oldest_known_ms >= OLDEST_MS) {
		w->oldest_ms = spool_oldest_ms(w->spool);
		w->oldest_known_ms = now;
	}
	return w->oldest_ms;
}

static enum stopped
reason_of(const struct worker *w)
{
	return w->stopped == STOPPED_NOT && drain_state(w->drain) != DRAIN_OFF
	    ? STOPPED_DRAINING
	    : w->stopped;
}

static struct counters
count(struct worker *w)
{
	const struct spool_totals *t = spool_totals(w->spool);
	struct delivery_counts d = way(w)->counts(w->delivery);
	struct keys_counts keys = keys_counts(w->keys);

	return (struct counters){ .received = t->received,
		.sent = t->sent,
		.dropped_window = t->dropped_window,
		.dead = t->dead,
		.quarantined = t->quarantined,
		.late = t->late,
		.archived = t->archived,
		.appended = t->appended,
		.copied = t->copied,
		.dropped_dead = t->dropped_dead,
		.dead_count = spool_dead_count(w->spool),
		.dead_bytes = spool_dead_bytes(w->spool),
		.spool_batches = spool_batches(w->spool),
		.spool_events = spool_events(w->spool),
		.spool_bytes = spool_bytes(w->spool),
		.oldest_ms = (uint64_t)oldest_ms(w),
		.in_flight = d.in_flight,
		.stopped_reason = reason_of(w),
		.drain = drain_state(w->drain),
		.keys = spool_key_count(w->spool),
		.key_repeats = keys.repeats,
		.key_others = keys.others,
		.keys_forgotten = keys.forgotten,
		.commits = w->commits,
		.pushes = d.pushes,
		.push_retries = d.push_retries,
		.skipped = d.skipped,
		.tasks_created = d.tasks_created,
		.tasks_lost = d.tasks_lost };
}

static void
publish_counters(struct worker *w)
{
	struct counters counters = count(w);

	life_publish(w->heritage->life, &counters, NULL);
}

static void
publish(struct worker *w)
{
	struct counters counters = count(w);
	char *text = NULL;

	if (w->describe_due) {
		w->describe_due = false;
		text = describe(w);
	}
	life_publish(w->heritage->life, &counters, text);
	free(text);
}

static void look_for_changes(struct worker *);

static void
describe_timer_due(struct loop_timer *t)
{
	look_for_changes(t->context);
}

/* The first change is told at once, what follows it in one go later. */
static void
look_for_changes(struct worker *w)
{
	bool changed;

	if (loop_timer_active(&w->describe_timer))
		return;
	changed = way(w)->changed(w->delivery);
	changed |= overlord_changed(w->overlord);
	changed |= late_changed(w->late);
	changed |= chooser_changed(w->chooser);
	changed |= is_connected(w) != w->was_connected;
	if (!changed)
		return;
	w->describe_due = true;
	loop_timer_start(
	    w->loop, &w->describe_timer, DESCRIBE_MS, describe_timer_due);
}

/* ---- commit ---- */

/* The pages that a failed commit has left are not to be trusted, and must not
 * be read either: the environment is opened anew at once. What was taken out
 * of the rings comes again from there. */
static void
reopen_spool(struct worker *w)
{
	char error[ERROR_BYTES];

	if (!spool_reopen(w->spool, error, sizeof error))
		fatalx("%s; starting anew", error);
	if (spool_surprised(w->spool))
		fatalx("spool: the commit that failed is on the disk all the "
		       "same; starting anew from what is there");
	intake_resume(w->intake);
	way(w)->look_again(w->delivery);
}

static void
go_on_taking(struct worker *w)
{
	w->stopped = STOPPED_NOT;
	w->describe_due = true;
	loop_timer_stop(&w->disk_timer);
	rings_stop(&w->rings, false);
}

static bool
has_room(struct worker *w)
{
	return spool_has_room(
	    w->spool, (uint64_t)w->ds->spool_bytes_max / SPOOL_ROOM_SHARE);
}

static void
disk_due(struct loop_timer *t)
{
	struct worker *w = t->context;

	if (w->in_doubt)
		w->tries = true; /* in this turn */
	else if (has_room(w))
		go_on_taking(w);
	else
		loop_timer_start(w->loop, t, DISK_RETRY_MS, disk_due);
}

/* The spool cannot take more for now: clients wait or get 503. */
static void
stop_taking(struct worker *w, enum stopped why, const char *error)
{
	if (w->complained != why)
		log_error("%s; no events are taken until then", error);
	if (w->stopped == STOPPED_NOT)
		rings_stop(&w->rings, true);
	w->describe_due |= w->stopped != why;
	w->stopped = w->complained = why;
	snprintf(w->trouble, sizeof w->trouble, "%s", error);
	loop_timer_start(w->loop, &w->disk_timer, DISK_RETRY_MS, disk_due);
}

static void
commit_failed(struct worker *w, enum result result, const char *error)
{
	w->in_doubt = true;
	stop_taking(
	    w, result == RESULT_FULL ? STOPPED_FULL : STOPPED_DISK, error);
	reopen_spool(w);
}

/* What has just been written is durable, so the next will be. */
static void
commit_succeeded(struct worker *w)
{
	w->commits++;
	if (w->in_doubt || w->stopped == STOPPED_FULL) {
		w->in_doubt = false;
		if (has_room(w))
			go_on_taking(w);
		else
			stop_taking(w, STOPPED_FULL, SPOOL_IS_FULL);
	}
	if (w->stopped == STOPPED_NOT && w->complained != STOPPED_NOT) {
		log_info("spool: takes events again");
		w->complained = STOPPED_NOT;
	}
}

static void
commit(struct worker *w)
{
	char error[ERROR_BYTES];
	enum result result;

	hand_commits(&w->heritage->life->hand);
	spool_begin(w->spool);
	intake_write(w->intake);
	way(w)->write(w->delivery);
	late_write(w->late);
	dead_write(w->dead);
	at_step(w, LIFE_COMMIT);
	result = spool_commit(w->spool, error, sizeof error);
	at_step(w, LIFE_TAKE);
	if (result != RESULT_OK) {
		commit_failed(w, result, error);
		return;
	}
	commit_succeeded(w);
	w->removal_due = false;
	loop_timer_stop(&w->removal_timer);
	publish_counters(w); /* whoever hears of it finds it counted */
	late_written(w->late); /* before others bring it more */
	way(w)->written(w->delivery);
	intake_written(w->intake);
	dead_written(w->dead);
}

static void
removal_timer_due(struct loop_timer *t)
{
	struct worker *w = t->context;

	w->removal_due = true;
}

static void
wake_due(struct loop_timer *t UNUSED)
{
	/* the turn that it made looks at the clock */
}

static void
warm(struct worker *w)
{
	int64_t newest = intake_newest_ms(w->intake);
	struct interval next;
	int64_t last;

	if (w->ds->any_time && newest != INT64_MIN)
		newest = clock_wall_ms();
	if (period_ms(&w->ds->warming) == 0 || newest == INT64_MIN)
		return;
	last = period_add(newest, &w->ds->warming, 1);
	next = granularity_bucket(&w->ds->segment_granularity, newest);
	for (int n = 0; n < WARM_MAX && next.end <= last; n++) {
		next =
		    granularity_bucket(&w->ds->segment_granularity, next.end);
		way(w)->warm(w->delivery, next);
	}
}

/* It is called full while there is still room for what the receivers write
 * before they have noticed: nobody is to wait in a ring for an answer that
 * would be "no room". */
static void
take(struct worker *w)
{
	if (w->hands_over || w->is_renewed)
		return;
	if ((!intake_drain(w->intake, loop_now_ms(w->loop)) || !has_room(w)) &&
	    w->stopped == STOPPED_NOT)
		stop_taking(w, STOPPED_FULL, SPOOL_IS_FULL);
}

static void
take_and_commit(struct worker *w)
{
	int64_t seal_in;

	/* beams and sessions are written there too, by commits of their own */
	if (spool_failed(w->spool))
		commit_failed(w, spool_failure(w->spool),
		    "spool: beams or sessions cannot be stored; look at the "
		    "disk");
	if (w->in_doubt && !w->tries)
		return;
	take(w);
	seal_in = intake_seal_in_ms(w->intake, clock_mono_ms());
	if (w->tries || seal_in == 0 || (w->is_leaving && seal_in > 0)) {
		w->tries = false;
		intake_seal(w->intake, clock_wall_ms());
		commit(w);
		warm(w);
		return;
	}
	if (seal_in > 0)
		loop_timer_start(w->loop, &w->seal_timer, seal_in, wake_due);
	if (!way(w)->wants_commit(w->delivery) && !late_wants_commit(w->late) &&
	    !dead_wants_commit(w->dead) && !keys_want_commit(w->keys))
		return;
	if (w->removal_due || dead_wants_commit(w->dead))
		commit(w);
	else if (!loop_timer_active(&w->removal_timer))
		loop_timer_start(w->loop, &w->removal_timer, REMOVAL_DELAY_MS,
		    removal_timer_due);
}

/* ---- turn ---- */

/* What is there is not taken now, or there is nothing. */
static bool
is_quiet(const struct worker *w)
{
	return w->stopped == STOPPED_FULL || w->stopped == STOPPED_DISK ||
	    w->hands_over || w->is_renewed || rings_may_sleep(&w->rings);
}

/* What was begun with Druid has ended, and the spool knows how. */
static bool
is_settled(const struct worker *w)
{
	return way(w)->is_settled(w->delivery);
}

static bool
is_done(struct worker *w, bool quiet)
{
	if (w->hands_over)
		return is_settled(w);
	if (!quiet || intake_open(w->intake))
		return false;
	/* a Druid without producer headers would get twice what is not heard
	 * of any more */
	if (w->is_orphan)
		return is_settled(w) ||
		    loop_now_ms(w->loop) >= w->orphan_until_ms;
	/* late batches wait for their time, here or after the next start */
	return way(w)->is_drained(w->delivery);
}

/* After the counters, so that who asked sees what he has done. */
static void
report_dead(struct worker *w)
{
	struct order_message m;

	if (dead_report(w->dead, &m) &&
	    !order_send(w->heritage->control_fd, &m, -1, -1))
		log_warn("cannot report to the supervisor");
}

/* Something is on its way into the spool, or from its queue into the log. */
static bool
is_open(const struct worker *w)
{
	return intake_open(w->intake) || dead_wants_commit(w->dead) ||
	    !way(w)->is_drained(w->delivery);
}

/* Druid takes another way, or takes this one no more. */
static void
choose(struct worker *w)
{
	struct order_message renew = { .order = ORDER_RENEW };

	if (w->is_leaving || w->is_renewed || w->in_doubt ||
	    !chooser_look(w->chooser, is_open(w)))
		return;
	w->is_renewed = order_send(w->heritage->control_fd, &renew, -1, -1);
	if (!w->is_renewed)
		log_warn("cannot report to the supervisor");
}

static void
turn_end(void *context)
{
	struct worker *w = context;
	bool quiet;

	at_step(w, LIFE_TAKE);
	take_and_commit(w);
	hand_drop(&w->heritage->life->hand);
	at_step(w, LIFE_SEND);
	choose(w);
	if (!w->hands_over && !w->is_orphan)
		way(w)->run(w->delivery);
	ack_flush(w->acks);
	rings_tell(&w->rings, w->delivery, w->ds->delivery);
	at_step(w, LIFE_TELL);
	w->describe_due |=
	    drain_look(w->drain, w->stopped == STOPPED_NOT && !w->hands_over);
	look_for_changes(w);
	publish(w);
	report_dead(w);
	quiet = is_quiet(w);
	if (w->is_leaving && is_done(w, quiet))
		loop_stop(w->loop);
	if (!quiet || (dead_wants_commit(w->dead) && !spool_failed(w->spool)))
		loop_poll(w->loop);
	at_step(w, LIFE_SLEEP);
}

static void
woke(void *context)
{
	struct worker *w = context;

	life_turn(w->heritage->life);
	at_step(w, LIFE_SERVE);
}

static void
bell_ready(struct loop_io *io, uint32_t events UNUSED)
{
	struct worker *w = io->context;

	bell_silence(io->fd);
	rings_awake(&w->rings);
}

/* ---- orders ---- */

static void
deadline_due(struct loop_timer *t)
{
	struct worker *w = t->context;

	if (spool_events(w->spool) > 0)
		log_info("stops with %llu events in the spool; they are "
			 "delivered after the next start",
		    (unsigned long long)spool_events(w->spool));
	loop_stop(w->loop);
}

static void
leave(struct worker *w, const struct order_message *m)
{
	w->is_leaving = true;
	w->is_renewed = false;
	w->hands_over = m->index == ORDER_STOP_HAND_OVER;
	if (w->hands_over) {
		FAULT_POINT(HAND_OVER);
		way(w)->hold(w->delivery);
		late_hold(w->late);
	}
	loop_timer_start(
	    w->loop, &w->deadline_timer, (int64_t)m->value, deadline_due);
}

/* What is in the rings is in no other place: it goes to the spool before we
 * go. The next `tranqd start` delivers it. */
static void
orphaned(struct worker *w)
{
	log_warnx("the supervisor is gone: spooling what the rings hold");
	w->is_orphan = w->is_leaving = true;
	w->is_renewed = false;
	w->tries = w->in_doubt; /* once more */
	way(w)->hold(w->delivery);
	late_hold(w->late);
	loop_io_stop(&w->control);
	if (w->hands_over)
		return; /* it has a time to end already */
	w->orphan_until_ms = loop_now_ms(w->loop) + ORPHAN_MS;
	loop_timer_start(w->loop, &w->deadline_timer, ORPHAN_MS, wake_due);
}

static void
drain(struct worker *w, const struct order_message *m)
{
	struct order_message report = drain_order(w->drain, m);

	w->describe_due = true;
	if (!order_send(w->heritage->control_fd, &report, -1, -1))
		log_warn("cannot report to the supervisor");
}

/* What is put into the queue would go this way yet, and not the successor's.
 * Whoever waits hears that he has to ask that one. */
static void
dead_letters(struct worker *w, const struct order_message *m)
{
	if (!w->is_renewed)
		dead_order(w->dead, m);
}

static void
control_ready(struct loop_io *io, uint32_t events UNUSED)
{
	struct worker *w = io->context;
	struct order_message m;
	int fd0, fd1, got;

	while ((got = order_receive(io->fd, &m, &fd0, &fd1)) > 0) {
		if (m.order == ORDER_STOP)
			leave(w, &m);
		if (m.order == ORDER_DEAD)
			dead_letters(w, &m);
		if (m.order == ORDER_DRAIN)
			drain(w, &m);
		if (m.order == ORDER_REOPEN_LOG)
			order_take_log(&m, fd0);
		else if (fd0 >= 0)
			close(fd0);
		if (fd1 >= 0)
			close(fd1);
	}
	if (got == 0)
		orphaned(w);
}

/* ---- life ---- */

/* The first of all parts: the others are made for the way that it finds. */
static void
make_chooser(struct worker *w)
{
	struct chooser_parts chooser = { .loop = w->loop,
		.conf = w->heritage->conf,
		.ds = w->own,
		.spool = w->spool,
		.dir = w->spool_dir };

	w->chooser = chooser_new(&chooser);
}

static bool
open_spool(struct worker *w)
{
	char error[ERROR_BYTES];
	char *dir = w->spool_dir = must_format(
	    "%s/spool/%s", w->heritage->conf->data_dir, w->ds->name);
	struct spool_options options = { .dir = dir,
		.ds = w->ds->name,
		.bytes_max = w->ds->spool_bytes_max,
		.now_ms = clock_wall_ms() };

	/* LMDB ends the process where a page makes no sense to it */
	snprintf(error, sizeof error,
	    "died while it opened spool %s: run `tranqctl spool verify %s`",
	    dir, w->ds->name);
	panic_words(error);
	w->spool = spool_open(&options, error, sizeof error);
	if (w->spool != NULL) {
		make_chooser(w);
		return true;
	}
	log_error("%s", error);
	panic_words(error);
	return false;
}

/* Batches that have killed our predecessors; events in rings are intake's. */
static bool
quarantine(struct worker *w)
{
	char error[ERROR_BYTES];

	w->quarantine_dir = must_format(
	    "%s/quarantine/%s", w->heritage->conf->data_dir, w->ds->name);
	w->quarantine = (struct quarantine_options){ .dir = w->quarantine_dir,
		.ds = w->ds->name,
		.bytes_max = w->heritage->conf->quarantine_bytes_max };
	if (condemned_set_aside(w->spool, &w->heritage->life->hand,
		&w->quarantine, error, sizeof error))
		return true;
	log_error("%s", error);
	panic_words(error);
	return false;
}

static bool
attach_rings(struct worker *w)
{
	if (rings_attach(&w->rings, w->heritage))
		return true;
	panic_words(RINGS_CANNOT);
	return false;
}

static void
make_session(struct worker *w)
{
	if (w->ds->zookeeper_connect[0] == '\0')
		return;
	w->session = session_new(w->loop, w->spool, w->ds);
	if (w->session == NULL) {
		log_error("zookeeper.connect: '%s' is no list of servers",
		    w->ds->zookeeper_connect);
		exit(CHILD_BAD_CONFIG);
	}
	w->zk = session_zk(w->session);
}

static void
make_parts(struct worker *w)
{
	struct late_parts late = { .loop = w->loop,
		.ds = w->ds,
		.spool = w->spool,
		.archive_dir = w->heritage->conf->archive_path };
	struct ways_parts ways = {
		.heritage = w->heritage, .loop = w->loop, .spool = w->spool
	};
	struct keys_parts keys = { .spool = w->spool,
		.generation = w->heritage->generation };
	struct dead_parts dead = { .ds = w->ds, .spool = w->spool };
	struct drain_parts drain = { .loop = w->loop,
		.dir = w->spool_dir,
		.spool = w->spool,
		.channels = w->rings.all,
		.channel_count = w->rings.count };
	struct intake_parts intake = { .ds = w->ds,
		.channels = w->rings.all,
		.channel_count = w->rings.count,
		.generation = w->heritage->generation,
		.spool = w->spool,
		.hand = &w->heritage->life->hand,
		.quarantine = w->quarantine };

	w->http = http_client_new(w->loop);
	http_client_secure(w->http, w->ds);
	make_session(w);
	w->finder = finder_new(w->ds, w->zk);
	w->overlord = overlord_new(w->http, w->ds, finder_find, w->finder);
	chooser_ask(w->chooser, w->overlord);
	w->acks =
	    acks_new(w->rings.all, w->rings.count, w->heritage->generation);
	keys.acks = w->acks;
	w->keys = intake.keys = keys_new(&keys);
	late.overlord = w->overlord;
	w->late = dead.late = intake.late = late_new(&late);
	ways.http = w->http;
	ways.overlord = w->overlord;
	ways.zk = w->zk;
	ways.acks = w->acks;
	ways.late = w->late;
	ways_open(&w->ways, &ways);
	w->delivery = dead.delivery = intake.delivery = w->ways.delivery;
	w->dead = dead_new(&dead);
	w->intake = intake_new(&intake);
	rings_tell(&w->rings, w->delivery, w->ds->delivery);
	intake_resume(w->intake);
	FAULT_POINT(RESUMED);
	way(w)->replay(w->delivery);
	late_begin(w->late);
	drain.late = w->late;
	drain.delivery = w->delivery;
	w->drain = drain_new(&drain);
}

static void
watch(struct worker *w)
{
	struct loop_timer *timers[] = { &w->seal_timer, &w->removal_timer,
		&w->disk_timer, &w->describe_timer, &w->deadline_timer };

	for (size_t i = 0; i < ARRAY_LEN(timers); i++)
		timers[i]->context = w;
	w->control.context = w->bell.context = w;
	if (!loop_io_start(w->loop, &w->control, w->heritage->control_fd,
		EPOLLIN, control_ready) ||
	    !loop_io_start(w->loop, &w->bell, w->rings.all[0].worker_bell,
		EPOLLIN, bell_ready))
		fatal("worker: epoll");
	loop_set_turn(w->loop, turn_end, w);
	loop_set_woke(w->loop, woke, w);
	loop_poll(w->loop); /* the rings may hold something already */
}

static void
free_parts(struct worker *w)
{
	intake_free(&w->intake);
	drain_free(&w->drain);
	dead_free(&w->dead);
	ways_close(&w->ways);
	late_free(&w->late);
	keys_free(&w->keys);
	acks_free(&w->acks);
	chooser_free(&w->chooser);
	finder_free(&w->finder);
	overlord_free(&w->overlord);
	http_client_free(&w->http);
	session_free(&w->session);
	spool_close(&w->spool);
	free(w->quarantine_dir);
	free(w->spool_dir);
	rings_detach(&w->rings);
	loop_free(&w->loop);
}

int
worker_main(const struct heritage *heritage)
{
	struct ds_conf ds = *heritage->ds;
	struct heritage own = *heritage;
	struct worker w = { .heritage = &own, .ds = &ds, .own = &ds };
	struct order_message ready = { .order = ORDER_READY };

	own.ds = &ds;
	w.loop = loop_new();
	realm_enter(heritage);
	at_step(&w, LIFE_OPEN);
	if (!open_spool(&w) || !attach_rings(&w))
		return CHILD_TEMPFAIL;
	at_step(&w, LIFE_REPLAY);
	if (!quarantine(&w))
		return CHILD_TEMPFAIL;
	make_parts(&w);
	heap_keep();
	watch(&w);
	panic_words("");
	log_info("ready: %llu batches (%llu events) in the spool",
	    (unsigned long long)spool_batches(w.spool),
	    (unsigned long long)spool_events(w.spool));
	w.describe_due = true;
	publish(&w);
	if (!order_send(heritage->control_fd, &ready, -1, -1))
		log_warn("cannot report to the supervisor");
	FAULT_POINT(WORKER_READY);
	loop_run(w.loop);
	free_parts(&w);
	return CHILD_DRAINED;
}

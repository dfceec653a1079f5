/*
 * beam_store_zk - the beams of a dataSource in ZooKeeper
 *
 * Process: worker.
 *
 * A commit names the version that was read under the mutex, so it cannot
 * overwrite what somebody wrote who took the mutex after our session was lost.
 * When its answer is lost it is made again while the session lives; "other
 * version" then is a success if the node holds what we wrote.
 */
#include "beam_store_zk.h"

#include <stdlib.h>
#include <string.h>

#include "curator_mutex.h"
#include "fault.h"
#include "log.h"
#include "loop.h"
#include "panic.h"

#define RETRY_MS 200
#define WRITE_TRIES 5
#define ERROR_MS 60000

enum lock_state {
	LOCK_NONE,
	LOCK_WAITING, /* for the mutex */
	LOCK_READING,
	LOCK_HELD, /* the caller has the data */
	LOCK_WRITING,
	LOCK_CHECKING, /* whose is the version that is there? */
};

struct store {
	struct beam_store base;
	struct zk *zk;
	struct loop *loop;
	char *data_path;
	struct curator_mutex *mutex;
	int64_t lock_wait_ms, complained_ms;
	struct zk_listener listener;

	/* read */
	struct zk_call *read_call;
	beam_store_read_fn *read_done;
	void *read_context;

	/* lock, commit */
	enum lock_state lock_state;
	struct zk_call *lock_call;
	struct loop_timer lock_timer;
	beam_store_locked_fn *locked;
	beam_store_done_fn *done;
	void *lock_context, *commit_context;
	struct beam_data data;
	bool exists;
	int32_t version;
	struct buf text; /* to be written */
	unsigned tries;

	/* changed: what the callers saw last, and the look at what is there */
	struct buf seen;
	bool has_seen;
	struct zk_call *look_call;
	struct zk_watch watch;
	struct loop_timer look_timer;
};

static void look(struct store *);
static void write_data(struct store *);

static struct store *
store_of(struct beam_store *base)
{
	return CONTAINER_OF(base, struct store, base);
}

/* ---- changed -------------------------------------------------------------- */

static void
set_seen(struct store *s, const char *bytes, size_t count)
{
	buf_reset(&s->seen);
	if (count > 0)
		buf_add(&s->seen, bytes, count);
	s->has_seen = true;
}

static bool
is_seen(const struct store *s, const char *bytes, size_t count)
{
	return s->seen.used == count && !s->seen.failed &&
	    (count == 0 || memcmp(s->seen.bytes, bytes, count) == 0);
}

/* A look is under way or watched for. */
static bool
is_looking(const struct store *s)
{
	return s->look_call != NULL || s->watch.path != NULL ||
	    loop_timer_active(&s->look_timer);
}

static void
look_due(struct loop_timer *t)
{
	look(t->context);
}

static void
compare(struct store *s, const char *bytes, size_t count)
{
	/* what is being committed is not another's change */
	if (s->lock_state >= LOCK_WRITING || is_seen(s, bytes, count))
		return;
	set_seen(s, bytes, count);
	if (s->base.changed != NULL)
		s->base.changed(s->base.changed_context);
}

static void
absence_watched(void *context, const struct zk_answer *a)
{
	struct store *s = context;

	s->look_call = NULL;
	if (a->result == RESULT_GONE) {
		compare(s, "", 0);
		return;
	}
	zk_watch_stop(&s->watch);
	if (a->result == RESULT_OK)
		look(s);
	else
		loop_timer_start(s->loop, &s->look_timer, RETRY_MS, look_due);
}

static void
looked(void *context, const struct zk_answer *a)
{
	struct store *s = context;

	s->look_call = NULL;
	if (a->result == RESULT_OK)
		compare(s, a->bytes, a->byte_count);
	else if (a->result == RESULT_GONE)
		s->look_call = zk_exists(
		    s->zk, s->data_path, &s->watch, absence_watched, s);
	else
		loop_timer_start(s->loop, &s->look_timer, RETRY_MS, look_due);
}

static void
look(struct store *s)
{
	zk_cancel(&s->look_call);
	s->look_call = zk_get(s->zk, s->data_path, &s->watch, looked, s);
}

static void
data_changed(struct zk_watch *w)
{
	look(w->context);
}

static void
start_looking(struct store *s)
{
	if (!is_looking(s))
		look(s);
}

/* ---- reading -------------------------------------------------------------- */

static enum result
parse(struct store *s, const struct zk_answer *a, struct beam_data *data)
{
	char error[BEAM_DATA_ERROR_BYTES];

	beam_data_fini(data);
	if (a->result == RESULT_OK || a->result == RESULT_GONE)
		set_seen(s, a->bytes, a->byte_count);
	if (a->result == RESULT_GONE)
		return RESULT_OK;
	if (a->result != RESULT_OK) {
		if (a->result == RESULT_REFUSED &&
		    log_may_repeat(&s->complained_ms, ERROR_MS))
			log_warnx("ZooKeeper: cannot read %s: %s", s->data_path,
			    a->text);
		return a->result;
	}
	if (beam_data_parse(data, a->bytes, a->byte_count, error))
		return RESULT_OK;
	if (log_may_repeat(&s->complained_ms, ERROR_MS))
		log_warnx("ZooKeeper node %s is not a list of beams: %s; "
			  "repair it, or delete it to begin without beams",
		    s->data_path, error);
	return RESULT_REFUSED;
}

static void
read_answered(void *context, const struct zk_answer *a)
{
	struct store *s = context;
	beam_store_read_fn *done = s->read_done;
	struct beam_data data;
	enum result result;

	s->read_call = NULL;
	beam_data_init(&data);
	result = parse(s, a, &data);
	start_looking(s);
	done(s->read_context, result, result == RESULT_OK ? &data : NULL);
	beam_data_fini(&data);
}

static void
store_read(struct beam_store *base, beam_store_read_fn *done, void *context)
{
	struct store *s = store_of(base);

	must(s->read_call == NULL);
	s->read_done = done;
	s->read_context = context;
	s->read_call = zk_get(s->zk, s->data_path, NULL, read_answered, s);
}

/* ---- lock ----------------------------------------------------------------- */

static void
unlock(struct store *s)
{
	zk_cancel(&s->lock_call);
	loop_timer_stop(&s->lock_timer);
	s->lock_state = LOCK_NONE;
	curator_mutex_release(s->mutex);
	FAULT_POINT(MUTEX_RELEASED);
	beam_data_fini(&s->data);
	buf_reset(&s->text);
}

static void
lock_fail(struct store *s, enum result result)
{
	unlock(s);
	s->locked(s->lock_context, result, NULL);
}

static void lock_read(void *, const struct zk_answer *);

static void
empty_made(void *context, const struct zk_answer *a)
{
	struct store *s = context;

	s->lock_call = NULL;
	if (a->result == RESULT_OK)
		set_seen(s, s->text.bytes, s->text.used);
	if (a->result == RESULT_OK ||
	    (a->result == RESULT_REFUSED && a->refusal == ZK_REFUSED_EXISTS))
		s->lock_call = zk_get(s->zk, s->data_path, NULL, lock_read, s);
	else
		lock_fail(s, a->result);
}

/* A JVM instance makes the node as soon as it looks for it, without the mutex.
 * If our commit were the one to make it, it would fail at that, with the tasks
 * submitted already; and the JVM takes "already exists" for a failure. */
static void
make_empty(struct store *s)
{
	struct zk_node n = { .path = s->data_path, .flags = ZK_PARENTS };

	buf_reset(&s->text);
	beam_data_print(&s->data, &s->text);
	n.bytes = s->text.bytes;
	n.byte_count = s->text.used;
	s->lock_call = zk_create(s->zk, &n, empty_made, s);
}

static void
lock_read(void *context, const struct zk_answer *a)
{
	struct store *s = context;
	enum result result;

	s->lock_call = NULL;
	result = parse(s, a, &s->data);
	start_looking(s);
	if (result != RESULT_OK) {
		lock_fail(s, result);
		return;
	}
	if (a->result == RESULT_GONE && s->tries++ == 0) {
		make_empty(s);
		return;
	}
	s->exists = a->result == RESULT_OK;
	s->version = a->version;
	s->lock_state = LOCK_HELD;
	s->locked(s->lock_context, RESULT_OK, &s->data);
}

static void
lock_synced(void *context, const struct zk_answer *a)
{
	struct store *s = context;

	s->lock_call = NULL;
	if (a->result == RESULT_OK)
		s->lock_call = zk_get(s->zk, s->data_path, NULL, lock_read, s);
	else
		lock_fail(s, a->result);
}

static void
mutex_acquired(void *context, enum result result)
{
	struct store *s = context;

	if (result != RESULT_OK) {
		lock_fail(s, result);
		return;
	}
	FAULT_POINT(MUTEX_HELD);
	/* the server that we ask may be behind the one that the last holder
	 * wrote to */
	s->lock_state = LOCK_READING;
	s->lock_call = zk_sync(s->zk, s->data_path, lock_synced, s);
}

static void
store_lock(struct beam_store *base, beam_store_locked_fn *locked, void *context)
{
	struct store *s = store_of(base);

	must(s->lock_state == LOCK_NONE);
	s->locked = locked;
	s->lock_context = context;
	s->lock_state = LOCK_WAITING;
	s->tries = 0;
	FAULT_POINT(MUTEX);
	curator_mutex_acquire(s->mutex, s->lock_wait_ms, mutex_acquired);
}

static bool
store_is_locked(const struct beam_store *base)
{
	/* the base stands first */
	const struct store *s = (const void *)base;

	return s->lock_state >= LOCK_HELD && curator_mutex_held(s->mutex);
}

static void
store_release(struct beam_store *base)
{
	unlock(store_of(base));
}

/* ---- commit --------------------------------------------------------------- */

static void
commit_end(struct store *s, enum result result)
{
	if (result == RESULT_OK)
		set_seen(s, s->text.bytes, s->text.used);
	unlock(s);
	/* what others did while we wrote was not compared */
	look(s);
	s->done(s->commit_context, result);
}

static void
write_due(struct loop_timer *t)
{
	write_data(t->context);
}

static void
write_later(struct store *s)
{
	s->lock_state = LOCK_WRITING;
	if (++s->tries < WRITE_TRIES)
		loop_timer_start(s->loop, &s->lock_timer, RETRY_MS, write_due);
	else
		commit_end(s, RESULT_RETRY);
}

/* The node is not as we left it: our write with a lost answer, or another's. */
static void
checked(void *context, const struct zk_answer *a)
{
	struct store *s = context;

	s->lock_call = NULL;
	if (a->result == RESULT_RETRY)
		write_later(s);
	else if (a->result == RESULT_OK && a->byte_count == s->text.used &&
	    memcmp(a->bytes, s->text.bytes, a->byte_count) == 0)
		commit_end(s, RESULT_OK);
	else
		commit_end(s, RESULT_RETRY);
}

static void
written(void *context, const struct zk_answer *a)
{
	struct store *s = context;

	s->lock_call = NULL;
	if (a->result == RESULT_OK) {
		FAULT_POINT(ZNODE_WRITTEN);
		commit_end(s, RESULT_OK);
	} else if (a->result == RESULT_RETRY) {
		write_later(s);
	} else if (a->result == RESULT_REFUSED &&
	    (a->refusal == ZK_REFUSED_VERSION ||
		a->refusal == ZK_REFUSED_EXISTS)) {
		s->lock_state = LOCK_CHECKING;
		s->lock_call = zk_get(s->zk, s->data_path, NULL, checked, s);
	} else {
		log_warnx(
		    "ZooKeeper: cannot write %s: %s", s->data_path, a->text);
		commit_end(
		    s, a->result == RESULT_GONE ? RESULT_RETRY : a->result);
	}
}

static void
write_data(struct store *s)
{
	struct zk_node n = {
		.path = s->data_path,
		.bytes = s->text.bytes,
		.byte_count = s->text.used,
		.version = s->version,
		.flags = ZK_PARENTS,
	};

	FAULT_POINT(ZNODE);
	if (s->exists)
		s->lock_call = zk_set(s->zk, &n, written, s);
	else
		s->lock_call = zk_create(s->zk, &n, written, s);
	FAULT_POINT(ZNODE_SENT);
}

static void
commit_lost(struct loop_timer *t)
{
	commit_end(t->context, RESULT_RETRY);
}

static void
commit_refused(struct loop_timer *t)
{
	commit_end(t->context, RESULT_REFUSED);
}

static void
store_commit(struct beam_store *base, beam_store_done_fn *done, void *context)
{
	struct store *s = store_of(base);

	must(s->lock_state == LOCK_HELD);
	s->done = done;
	s->commit_context = context;
	s->lock_state = LOCK_WRITING;
	s->tries = 0;
	buf_reset(&s->text);
	beam_data_print(&s->data, &s->text);
	if (!curator_mutex_held(s->mutex)) {
		loop_timer_start(s->loop, &s->lock_timer, 0, commit_lost);
	} else if (s->text.failed) {
		log_error("ZooKeeper: the beams of %s take more than %u bytes",
		    s->data_path, BEAM_DATA_BYTES_MAX);
		loop_timer_start(s->loop, &s->lock_timer, 0, commit_refused);
	} else {
		write_data(s);
	}
}

/* While the caller has the data it learns of it by is_locked and commit. */
static void
mutex_lost(void *context)
{
	struct store *s = context;

	if (s->lock_state == LOCK_READING)
		lock_fail(s, RESULT_RETRY);
	else if (s->lock_state >= LOCK_WRITING)
		commit_end(s, RESULT_RETRY);
}

/* ---- life ----------------------------------------------------------------- */

static void
session_changed(struct zk_listener *l, enum zk_state state)
{
	struct store *s = l->context;

	/* nobody has told us of changes in the meantime */
	if (state == ZK_LOST && s->has_seen)
		look(s);
}

static void
store_free(struct beam_store *base)
{
	struct store *s = store_of(base);

	zk_unlisten(&s->listener);
	zk_cancel(&s->read_call);
	zk_cancel(&s->look_call);
	zk_watch_stop(&s->watch);
	loop_timer_stop(&s->look_timer);
	unlock(s);
	curator_mutex_free(&s->mutex);
	buf_free(&s->text);
	buf_free(&s->seen);
	free(s->data_path);
	free(s);
}

static char *
folder_of(const struct beam_store_zk_options *o)
{
	size_t n = strlen(o->path);
	char *service = must_strdup(o->service), *folder;

	for (char *p = service; *p != '\0'; p++)
		if (*p == '/')
			*p = ':';
	while (n > 0 && o->path[n - 1] == '/')
		n--;
	folder = must_format("%s%.*s/%s/%s", o->path[0] == '/' ? "" : "/",
	    (int)n, o->path, service, o->ds);
	free(service);
	return folder;
}

struct beam_store *
beam_store_zk_new(const struct beam_store_zk_options *o)
{
	static const struct beam_store_ops ops = {
		.read = store_read,
		.lock = store_lock,
		.is_locked = store_is_locked,
		.commit = store_commit,
		.release = store_release,
		.free = store_free,
	};
	struct store *s = must_calloc(1, sizeof *s);
	char *folder = folder_of(o), *mutex = must_format("%s/mutex", folder);

	s->base.ops = &ops;
	s->zk = o->zk;
	s->loop = zk_loop(o->zk);
	s->data_path = must_format("%s/data", folder);
	s->mutex = curator_mutex_new(o->zk, mutex, mutex_lost, s);
	s->lock_wait_ms = o->lock_wait_ms;
	s->listener.changed = session_changed;
	s->watch.fired = data_changed;
	s->listener.context = s->watch.context = s;
	s->lock_timer.context = s->look_timer.context = s;
	buf_init(&s->text, BEAM_DATA_BYTES_MAX);
	buf_init(&s->seen, ZK_BYTES_MAX);
	beam_data_init(&s->data);
	zk_listen(s->zk, &s->listener);
	free(folder);
	free(mutex);
	return &s->base;
}

/*
 * beam_store_local - the beams of an instance that is alone, in its spool
 *
 * Process: worker.
 *
 * There is nobody to lock against. Answers come from a timer, since callers
 * count on not being called back from inside their call.
 */
#include "beam_store_local.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "panic.h"

#define DOCUMENT "beams"
#define COMPLAIN_MS 60000

struct local {
	struct beam_store store;
	struct loop *loop;
	struct spool *spool;
	struct beam_data data;
	bool is_locked;
	enum result result; /* of what the timer will answer */
	int64_t complained_ms;
	struct loop_timer reading, locking, committing;
	beam_store_read_fn *read_done;
	void *read_context;
	beam_store_locked_fn *lock_done;
	void *lock_context;
	beam_store_done_fn *commit_done;
	void *commit_context;
};

static struct local *
local_of(const struct beam_store *s)
{
	union {
		const struct beam_store *from;
		struct local *to;
	} u = { .from = s };

	return u.to;
}

static enum result
load(struct local *l)
{
	char error[BEAM_DATA_ERROR_BYTES], *text;
	bool parsed;

	if (spool_failed(l->spool))
		return RESULT_RETRY; /* a document may be there all the same */
	text = spool_document(l->spool, DOCUMENT);
	beam_data_fini(&l->data);
	beam_data_init(&l->data);
	if (text == NULL)
		return RESULT_OK; /* none yet */
	parsed = beam_data_parse(&l->data, text, strlen(text), error);
	free(text);
	if (parsed)
		return RESULT_OK;
	log_error("spool: the beams document: %s", error);
	return RESULT_REFUSED;
}

static void
read_due(struct loop_timer *t)
{
	struct local *l = t->context;
	enum result result = l->is_locked ? RESULT_OK : load(l);

	l->read_done(
	    l->read_context, result, result == RESULT_OK ? &l->data : NULL);
}

static void
read_data(struct beam_store *s, beam_store_read_fn *done, void *context)
{
	struct local *l = local_of(s);

	l->read_done = done;
	l->read_context = context;
	loop_timer_start(l->loop, &l->reading, 0, read_due);
}

static void
lock_due(struct loop_timer *t)
{
	struct local *l = t->context;
	enum result result = load(l);

	l->is_locked = result == RESULT_OK;
	l->lock_done(
	    l->lock_context, result, result == RESULT_OK ? &l->data : NULL);
}

static void
lock_data(struct beam_store *s, beam_store_locked_fn *done, void *context)
{
	struct local *l = local_of(s);

	must(!l->is_locked);
	l->lock_done = done;
	l->lock_context = context;
	loop_timer_start(l->loop, &l->locking, 0, lock_due);
}

static bool
is_locked(const struct beam_store *s)
{
	return local_of(s)->is_locked;
}

static void
commit_due(struct loop_timer *t)
{
	struct local *l = t->context;

	l->commit_done(l->commit_context, l->result);
}

static enum result
store(struct local *l)
{
	char error[400];
	enum result result = RESULT_REFUSED;
	struct buf text;

	buf_init(&text, BEAM_DATA_BYTES_MAX);
	beam_data_print(&l->data, &text);
	if (!text.failed) {
		spool_begin(l->spool);
		spool_set_document(l->spool, DOCUMENT, text.bytes, text.used);
		result = spool_commit(l->spool, error, sizeof error);
		if (result != RESULT_OK &&
		    log_may_repeat(&l->complained_ms, COMPLAIN_MS))
			log_error("%s", error);
	}
	buf_free(&text);
	return result;
}

static void
commit_data(struct beam_store *s, beam_store_done_fn *done, void *context)
{
	struct local *l = local_of(s);

	must(l->is_locked);
	l->result = store(l);
	l->is_locked = false;
	l->commit_done = done;
	l->commit_context = context;
	loop_timer_start(l->loop, &l->committing, 0, commit_due);
}

static void
release_data(struct beam_store *s)
{
	struct local *l = local_of(s);

	l->is_locked = false;
	loop_timer_stop(&l->locking);
}

static void
free_local(struct beam_store *s)
{
	struct local *l = local_of(s);

	loop_timer_stop(&l->reading);
	loop_timer_stop(&l->locking);
	loop_timer_stop(&l->committing);
	beam_data_fini(&l->data);
	free(l);
}

struct beam_store *
beam_store_local_new(struct loop *loop, struct spool *spool)
{
	static const struct beam_store_ops ops = { .read = read_data,
		.lock = lock_data,
		.is_locked = is_locked,
		.commit = commit_data,
		.release = release_data,
		.free = free_local };
	struct local *l = must_calloc(1, sizeof *l);

	l->store.ops = &ops;
	l->loop = loop;
	l->spool = spool;
	l->reading.context = l->locking.context = l->committing.context = l;
	beam_data_init(&l->data);
	return &l->store;
}

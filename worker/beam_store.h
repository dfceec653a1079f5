/*
 * beam_store - where the beams of a dataSource are agreed on
 *
 * Process: worker. One interface, two places: ZooKeeper (beam_store_zk.c,
 * shared with other instances) and the spool (beam_store_local.c, one
 * instance alone).
 *
 * A read-modify-write is
 *
 *     lock → locked(OK, data): change data, submit tasks … → commit → done
 *                                                         or → release
 *
 * One lock at a time a store: between beam_store_lock and the end of commit
 * or release no second beam_store_lock. Reads may go on beside it, one at a
 * time. Callbacks come from the loop, never from inside the call that starts
 * the operation. Results are RESULT_OK, RESULT_RETRY (not now: no connection,
 * lock busy for too long, session lost), RESULT_REFUSED (the stored document
 * is garbage, or the new one does not fit; said in the log), RESULT_FULL (no
 * room; local store).
 */
#pragma once

#include "beam_data.h"
#include "result.h"

struct beam_store;

/* `data` is lent for the call; NULL unless RESULT_OK. */
typedef void
beam_store_read_fn(void *context, enum result, const struct beam_data *data);
/* `data` stays the caller's to change until commit or release; NULL unless
 * RESULT_OK. */
typedef void
beam_store_locked_fn(void *context, enum result, struct beam_data *data);
typedef void beam_store_done_fn(void *context, enum result);
typedef void beam_store_changed_fn(void *context);

struct beam_store_ops {
	void (*read)(struct beam_store *, beam_store_read_fn *, void *context);
	void (*lock)(
	    struct beam_store *, beam_store_locked_fn *, void *context);
	bool (*is_locked)(const struct beam_store *);
	void (*commit)(
	    struct beam_store *, beam_store_done_fn *, void *context);
	void (*release)(struct beam_store *);
	void (*free)(struct beam_store *);
};

/* Embedded first in the store of each place. */
struct beam_store {
	const struct beam_store_ops *ops;
	beam_store_changed_fn *changed;
	void *changed_context;
};

/* `changed` is called when the document is, or may be, no longer what the last
 * read, lock or commit saw; the caller reads again when it wants to. */
static inline void
beam_store_watch(
    struct beam_store *s, beam_store_changed_fn *changed, void *context)
{
	s->changed = changed;
	s->changed_context = context;
}

/* The data as it is now, without a lock. */
static inline void
beam_store_read(struct beam_store *s, beam_store_read_fn *done, void *context)
{
	s->ops->read(s, done, context);
}

/* Takes the lock, waiting for a bounded time, and reads afresh. */
static inline void
beam_store_lock(
    struct beam_store *s, beam_store_locked_fn *locked, void *context)
{
	s->ops->lock(s, locked, context);
}

/* Whether the lock that `locked` gave is still ours: worth a look before each
 * task that is submitted under it. */
static inline bool
beam_store_is_locked(const struct beam_store *s)
{
	return s->ops->is_locked(s);
}

/* Writes the data that `locked` lent and gives the lock back, whatever the
 * result. RESULT_RETRY: the lock was lost or nobody answered; the data counts
 * as not written and is read anew under the next lock. */
static inline void
beam_store_commit(struct beam_store *s, beam_store_done_fn *done, void *context)
{
	s->ops->commit(s, done, context);
}

/* Gives the lock back without writing; also ends a lock that is still waited
 * for (no callback then). */
static inline void
beam_store_release(struct beam_store *s)
{
	s->ops->release(s);
}

/* Ends what is under way without its callbacks. */
static inline void
beam_store_free(struct beam_store **store)
{
	struct beam_store *s = *store;

	if (s == NULL)
		return;
	*store = NULL;
	s->ops->free(s);
}

/*
 * dispatch_trial - replicants that are given up, and tried again
 *
 * Process: worker.
 */
#include "dispatch_internal.h"

#include "replicant.h"

/* It was given up and is tried again, in vain so far. */
static bool
is_on_trial(const struct target *t)
{
	return t->is_taken_back &&
	    replicant_record(t->replicant).served == t->served;
}

bool
dispatch_take_back(struct beam *b, bool once_more)
{
	bool any = false;

	for (unsigned i = 0; i < b->target_count; i++) {
		struct target *t = &b->targets[i];

		if (!replicant_is_given_up(t->replicant) ||
		    (is_on_trial(t) && !once_more))
			continue;
		replicant_take_back(t->replicant);
		t->served = replicant_record(t->replicant).served;
		t->is_taken_back = any = true;
		t->is_over = false;
		b->lost_count--;
		b->dispatch->changed = true;
		for (unsigned l = 0; l < b->lane_count; l++)
			feed_go_on(&t->feeds[l], &b->dispatch->feeds);
	}
	return any;
}

/* It takes what it is sent, as far as is known. */
static bool
is_reached(const struct target *t)
{
	return replicant_state(t->replicant) == REPLICANT_OPEN &&
	    !replicant_is_in_trouble(t->replicant);
}

/* Whether the target goes on, and has what this feed's does not take. */
static bool
is_ahead(const struct target *t, const struct feed *f)
{
	return is_reached(t) &&
	    t->feeds[f->lane->at.lane].after >= f->held->entry.id;
}

/* Nobody goes on but who is tried again, in vain so far. */
static bool
are_on_trial(const struct beam *b)
{
	for (unsigned i = 0; i < b->target_count; i++)
		if (!b->targets[i].is_over && !is_on_trial(&b->targets[i]))
			return false;
	return true;
}

void
dispatch_feed_failing(void *context, struct feed *f, int64_t for_ms)
{
	struct dispatch *d = context;
	struct beam *b = f->lane->beam;
	struct target *t = &b->targets[f->replicant_index];
	bool is_behind = false, one_lives = false;

	if (for_ms < d->p.ds->firehose_retry_ms)
		return;
	for (unsigned i = 0; i < b->target_count; i++) {
		is_behind |= is_ahead(&b->targets[i], f);
		one_lives |= is_reached(&b->targets[i]);
	}
	if (is_behind) {
		t->is_taken_back = false;
		replicant_give_up(t->replicant,
		    "unreachable for firehoseRetryPeriod "
		    "while its siblings are not (loss of "
		    "Druid redundancy)");
	} else if (are_on_trial(b)) {
		replicant_give_up(t->replicant,
		    "tried again in vain for firehoseRetryPeriod, "
		    "and its siblings are gone");
	} else if (!one_lives) {
		dispatch_take_back(b, true);
	}
}

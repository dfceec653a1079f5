/*
 * sandbox_lock - the intervals that a task has locked
 *
 * Process: tranq-sandbox.
 */
#include "sandbox_lock.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "sandbox_task.h"

static bool
has(const struct locks *l, const struct interval *i)
{
	for (size_t n = 0; n < l->count; n++)
		if (l->held[n].start < i->end && i->start < l->held[n].end)
			return true;
	return false;
}

/* A task that may have to fail for this one's sake, or the reverse. */
static bool
is_rival(const struct task *t, const struct task *other)
{
	return (other->state == TASK_RUNNING || other->state == TASK_CLOSING) &&
	    other->spec.is_appenderator != t->spec.is_appenderator &&
	    strcmp(other->spec.ds, t->spec.ds) == 0;
}

bool
sandbox_lock_take(struct task *t, int64_t ms)
{
	struct locks *l = &t->locks;
	struct interval i = t->spec.has_interval
	    ? t->spec.interval
	    : granularity_bucket(&t->spec.granularity, ms);

	l->last = i;
	if (has(l, &i))
		return true;
	for (const struct task *o = t->sandbox->tasks; o != NULL; o = o->next)
		if (is_rival(t, o) && has(&o->locks, &i))
			return false;
	if (l->count == l->size) {
		l->size = MAX_OF(l->size * 2, 4u);
		l->held = must_realloc(l->held, l->size * sizeof l->held[0]);
	}
	l->held[l->count++] = i;
	return true;
}

void
sandbox_lock_fini(struct locks *l)
{
	free(l->held);
	*l = (struct locks){ 0 };
}

/*
 * worker_order - an operator's order, told a worker, and who waits for its end
 *
 * Process: supervisor.
 */
#include "worker_order.h"

#include "supervisor.h"

struct source *
worker_order_source(struct supervisor *s, uint64_t ticket, const char *ds)
{
	struct source *src = supervisor_find(s, ds);

	if (src == NULL)
		control_answer(
		    s->control, ticket, false, "no such dataSource", NULL);
	return src;
}

void
worker_order_begin(struct source *src, struct worker_order *o, uint64_t ticket,
    const struct order_message *m, int64_t patience_ms)
{
	struct control *control = src->supervisor->control;

	if (o->ticket != 0) {
		control_answer(control, ticket, false,
		    "its worker is at work on another order; try again", NULL);
		return;
	}
	if (src->worker.state != CHILD_READY) {
		control_answer(control, ticket, false,
		    "its worker is not ready; 'tranqctl status' says why; try "
		    "again",
		    NULL);
		return;
	}
	*o = (struct worker_order){ .ticket = ticket, .asked = *m };
	control_delay(control, ticket, patience_ms);
	child_order(&src->worker, m, -1, -1);
}

void
worker_order_end(
    struct source *src, struct worker_order *o, bool good, const char *text)
{
	uint64_t ticket = o->ticket;

	o->ticket = 0;
	if (ticket != 0)
		control_answer(
		    src->supervisor->control, ticket, good, text, NULL);
}

/*
 * drain_order - tranqctl drain: told a worker, and its answer
 *
 * Process: supervisor.
 */
#include "drain_order.h"

#include <stdio.h>
#include <string.h>

#define ANSWER_BYTES 400
/* A commit may stand before it. */
#define PATIENCE_MS (5 * 60 * 1000)

static void
answer(struct supervisor *s, uint64_t ticket, bool good, const char *text)
{
	control_answer(s->control, ticket, good, text, NULL);
}

static bool
parse(const char *arguments, char ds[static CONF_DS_NAME_MAX + 1],
    struct order_message *m)
{
	char what[8], format[24];

	snprintf(format, sizeof format, "%%7s %%%ds", CONF_DS_NAME_MAX);
	if (sscanf(arguments, format, what, ds) != 2)
		return false;
	*m = (struct order_message){ .order = ORDER_DRAIN };
	if (strcmp(what, "on") == 0)
		m->index = ORDER_DRAIN_ON;
	else if (strcmp(what, "off") == 0)
		m->index = ORDER_DRAIN_OFF;
	else
		return false;
	return true;
}

void
drain_order_begin(struct supervisor *s, uint64_t ticket, const char *arguments)
{
	char ds[CONF_DS_NAME_MAX + 1];
	struct order_message m;
	struct source *src;

	if (!parse(arguments, ds, &m)) {
		answer(s, ticket, false, "drain: on|off DATASOURCE");
		return;
	}
	src = supervisor_find(s, ds);
	if (src == NULL) {
		answer(s, ticket, false, "no such dataSource");
	} else if (src->drain_ticket != 0) {
		answer(s, ticket, false,
		    "its worker is at work on another order; try again");
	} else if (src->worker.state != CHILD_READY) {
		answer(s, ticket, false,
		    "its worker is not ready; 'tranqctl status' says why; try "
		    "again");
	} else {
		src->drain_ticket = ticket;
		control_delay(s->control, ticket, PATIENCE_MS);
		child_order(&src->worker, &m, -1, -1);
	}
}

void
drain_order_done(struct source *src, const struct order_message *m)
{
	uint64_t ticket = src->drain_ticket;
	char text[ANSWER_BYTES];

	src->drain_ticket = 0;
	if (ticket == 0)
		return;
	if (m->value != 0)
		snprintf(text, sizeof text,
		    "nothing has changed: %s/spool/%s/draining: %s",
		    src->conf->data_dir, src->name, strerror((int)m->value));
	else
		snprintf(text, sizeof text, "%s",
		    m->index == ORDER_DRAIN_ON
			? "takes no more events"
			: "is not drained any more: takes events again");
	answer(src->supervisor, ticket, m->value == 0, text);
}

void
drain_order_broken(struct source *src)
{
	uint64_t ticket = src->drain_ticket;

	src->drain_ticket = 0;
	if (ticket != 0)
		answer(src->supervisor, ticket, false,
		    "its worker has ended meanwhile; try again");
}

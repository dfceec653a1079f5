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
		control_answer(s->control, ticket, false,
		    "drain: on|off DATASOURCE", NULL);
		return;
	}
	src = worker_order_source(s, ticket, ds);
	if (src != NULL)
		worker_order_begin(src, &src->drain, ticket, &m, PATIENCE_MS);
}

void
drain_order_done(struct source *src, const struct order_message *m)
{
	char text[ANSWER_BYTES];

	if (m->value != 0)
		snprintf(text, sizeof text,
		    "nothing has changed: %s/spool/%s/draining: %s",
		    src->conf->data_dir, src->name, strerror((int)m->value));
	else
		snprintf(text, sizeof text, "%s",
		    m->index == ORDER_DRAIN_ON
			? "takes no more events"
			: "is not drained any more: takes events again");
	worker_order_end(src, &src->drain, m->value == 0, text);
}

void
drain_order_broken(struct source *src)
{
	worker_order_end(src, &src->drain, false,
	    "its worker has ended meanwhile; try again");
}

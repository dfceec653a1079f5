/*
 * dead_order - what an operator wants done with dead letters, told a worker
 *
 * Process: supervisor.
 */
#include "dead_order.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define ANSWER_BYTES 400
#define PATIENCE_MS (10 * 60 * 1000)

static bool
parse(const char *arguments, char ds[static CONF_DS_NAME_MAX + 1],
    struct order_message *m)
{
	char what[16], format[48], key[32], *end;

	snprintf(format, sizeof format, "%%15s %%%ds %%31s", CONF_DS_NAME_MAX);
	if (sscanf(arguments, format, what, ds, key) != 3)
		return false;
	*m = (struct order_message){ .order = ORDER_DEAD };
	if (strcmp(what, "drop") == 0)
		m->index = ORDER_DEAD_DROP;
	else if (strcmp(what, "requeue") == 0)
		m->index = ORDER_DEAD_REQUEUE;
	else
		return false;
	m->value = ORDER_DEAD_ALL;
	if (strcmp(key, "all") == 0)
		return true;
	errno = 0;
	m->value = strtoull(key, &end, 10);
	return errno == 0 && *end == '\0' && m->value != 0 &&
	    m->value != ORDER_DEAD_ALL;
}

void
dead_order_begin(struct supervisor *s, uint64_t ticket, const char *arguments)
{
	char ds[CONF_DS_NAME_MAX + 1];
	struct order_message m;
	struct source *src;

	if (!parse(arguments, ds, &m)) {
		control_answer(s->control, ticket, false,
		    "deadletters: requeue|drop DATASOURCE KEY|all", NULL);
		return;
	}
	src = worker_order_source(s, ticket, ds);
	if (src != NULL)
		worker_order_begin(src, &src->dead, ticket, &m, PATIENCE_MS);
}

void
dead_order_done(struct source *src, const struct order_message *m)
{
	const struct order_message *asked = &src->dead.asked;
	uint32_t events = (uint32_t)m->value, stay = (uint32_t)(m->value >> 32);
	char text[ANSWER_BYTES];
	int used;

	if (m->index + stay == 0 && asked->value != ORDER_DEAD_ALL) {
		worker_order_end(src, &src->dead, false,
		    "no such dead letter; 'tranqctl deadletters list'");
		return;
	}
	used = snprintf(text, sizeof text,
	    "%s %" PRIu32 " dead letters (%" PRIu32 " events)",
	    asked->index == ORDER_DEAD_DROP ? "dropped" : "requeued", m->index,
	    events);
	if (stay > 0)
		snprintf(text + used, sizeof text - (size_t)used,
		    "; %" PRIu32 " stay: " ORDER_DEAD_STAY, stay);
	worker_order_end(src, &src->dead, stay == 0 || m->index > 0, text);
}

void
dead_order_broken(struct source *src)
{
	worker_order_end(src, &src->dead, false,
	    "its worker has ended meanwhile; 'tranqctl deadletters list' shows "
	    "what is left: try again");
}

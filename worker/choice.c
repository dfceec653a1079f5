/*
 * choice - which way to Druid delivery.mode auto takes
 *
 * Process: worker. Pure.
 */
#include "choice.h"

#include <inttypes.h>
#include <stdio.h>

#define LOAD                                                            \
	"load druid-kafka-indexing-service in Druid (druid.extensions." \
	"loadList)"

static void
stay_unknown(const struct choice_facts *f, struct choice *c)
{
	const char *mode = delivery_mode_name(f->now);

	if (f->druid == NULL)
		snprintf(c->why, sizeof c->why,
		    "Druid has not said its version%s%s",
		    *f->trouble ? ": " : "", f->trouble);
	else
		snprintf(c->why, sizeof c->why,
		    "version '%s' does not say which Druid it is",
		    f->druid->version);
	if (f->druid != NULL || *f->trouble != '\0')
		snprintf(c->better, sizeof c->better,
		    "%s goes on; let GET /status of the Overlord answer, or "
		    "set delivery.mode to push, pull or append",
		    mode);
}

static void
append(const struct choice_facts *f, struct choice *c)
{
	const char *version = f->druid->version;

	c->mode = DELIVERY_APPEND;
	if (f->druid->has_kafka)
		snprintf(c->why, sizeof c->why,
		    "Druid %s has no realtime tasks, and pull cannot be",
		    version);
	else
		snprintf(c->why, sizeof c->why,
		    "Druid %s has no realtime tasks, and its Kafka ingestion "
		    "is not loaded",
		    version);
	snprintf(c->better, sizeof c->better, "for pull: %s%s%s",
	    f->druid->has_kafka ? "" : LOAD,
	    !f->druid->has_kafka && f->no_pull != NULL ? "; " : "",
	    f->no_pull != NULL ? f->no_pull : "");
}

/* What is in the log is brought to Druid by pull alone, and what goes another
 * way meanwhile would come before it. */
static void
stay_for_log(const struct choice_facts *f, struct choice *c)
{
	char why[CHOICE_BYTES];

	snprintf(why, sizeof why,
	    "the log has %" PRIu64 " events that Druid may not have yet; "
	    "without them %s: %.300s",
	    f->log_events, delivery_mode_name(c->mode), c->why);
	snprintf(c->why, sizeof c->why, "%s", why);
	if (c->mode == DELIVERY_PUSH)
		snprintf(c->better, sizeof c->better,
		    "let Druid %d or newer take what is in the log, or set "
		    "delivery.mode to push: it stays there then",
		    DRUID_WITHOUT_PUSH);
	c->mode = DELIVERY_PULL;
}

void
choice_make(const struct choice_facts *f, struct choice *c)
{
	*c = (struct choice){ .mode = f->now };
	if (f->druid == NULL || !f->druid->has_major) {
		stay_unknown(f, c);
		return;
	}
	if (f->druid->major < DRUID_WITHOUT_PUSH) {
		c->mode = DELIVERY_PUSH;
		snprintf(c->why, sizeof c->why, "Druid %s has realtime tasks",
		    f->druid->version);
	} else if (f->druid->has_kafka && f->no_pull == NULL) {
		c->mode = DELIVERY_PULL;
		snprintf(c->why, sizeof c->why,
		    "Druid %s has no realtime tasks, and Kafka ingestion",
		    f->druid->version);
	} else {
		append(f, c);
	}
	if (f->now == DELIVERY_PULL && c->mode != DELIVERY_PULL &&
	    f->log_events > 0)
		stay_for_log(f, c);
}

/*
 * kafka_note - in words, why a supervisor in Druid is not as it shall be
 *
 * Process: worker. Pure.
 */
#include "kafka_note.h"

#include <stdio.h>

#define REMEDY                                                               \
	"; tranqd does not touch it: end it in Druid, and tranqd makes its " \
	"own"

/* Of one that is ours and made from something else. */
static const char *
text_of_old(const struct kafka_note *n)
{
	if (n->has_been && !n->is_shared)
		return "its spec is of another configuration, which another "
		       "tranqd with a copy of our spool has given it, or "
		       "somebody by hand; it is let alone, and what comes here "
		       "is not read";
	if (n->is_shared)
		return "its spec is of another configuration than ours; the "
		       "tranqd that sees to it has given it that";
	return "its spec is of another configuration; with "
	       "pull.supervisor=manage tranqd updates it";
}

static const char *
text_of_log(const struct kafka_note *n)
{
	if (n->is_shared)
		return "was made for tranqds that agree on it elsewhere "
		       "(zookeeper.path), or have lost what they had agreed "
		       "on; end it in Druid when they are gone";
	if (n->manages)
		return "was made for another log, not for the one in our "
		       "spool, by another tranqd of the same pull.instance; "
		       "one of the two needs a name of its own";
	return "was made for another log, not for the one in our spool";
}

void
kafka_note(const struct kafka_note *n, char *to, size_t bytes)
{
	*to = '\0';
	switch (n->match) {
	case KAFKA_SPEC_SAME: return;
	case KAFKA_SPEC_OLD:
	case KAFKA_SPEC_GROWN:
		snprintf(to, bytes, "%s", text_of_old(n));
		return;
	case KAFKA_SPEC_EDITED:
		snprintf(to, bytes,
		    "its %s was changed in Druid; tranqd leaves it so until "
		    "its own configuration changes",
		    n->where);
		return;
	case KAFKA_SPEC_UNSEEDED:
		snprintf(to, bytes,
		    "is suspended until its offsets are set; with "
		    "pull.supervisor=manage tranqd does that");
		return;
	case KAFKA_SPEC_LOG: snprintf(to, bytes, "%s", text_of_log(n)); return;
	case KAFKA_SPEC_OTHER:
		snprintf(to, bytes, "tranqd instance %s has made it" REMEDY,
		    n->where);
		return;
	case KAFKA_SPEC_FOREIGN:
		/* as it should be with pull.supervisor=observe */
		if (n->manages)
			snprintf(to, bytes, "tranqd has not made it" REMEDY);
		return;
	}
}

/*
 * pull_care_describe - what can be seen of the care for the log
 *
 * Process: worker.
 */
#include "pull_care_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "spool_log.h"

static void
note_instance(const struct pull_care *c, struct json *notes)
{
	const char *wanted = c->p.conf->pull_instance;
	char *text;

	if (c->instance == NULL || *wanted == '\0' || c->is_shared ||
	    strcmp(wanted, c->instance) == 0)
		return;
	text = must_format("pull.instance is %s, but this spool's supervisor "
			   "was made by the name %s, which stays: Druid has "
			   "its offsets by it",
	    wanted, c->instance);
	json_append(notes, json_new_text(text));
	free(text);
}

static void
note_partitions(const struct pull_care *c, struct json *notes)
{
	int64_t wanted = c->p.ds->pull_partitions;
	char *text;

	if (wanted == 1 || !c->is_one)
		return;
	text = must_format("pull.partitions is %lld, but this spool's log is "
			   "one partition of a topic that it shares with other "
			   "tranqds, and stays one",
	    (long long)wanted);
	json_append(notes, json_new_text(text));
	free(text);
}

static void
note_beyond(const struct pull_care *c, unsigned partition, struct json *notes)
{
	char *text;

	if (!pull_care_is_beyond(c, partition))
		return;
	text = must_format("Druid has committed up to offset %" PRIu64
			   " of partition %u, which ends at %" PRIu64
			   " here: it has read from another spool, of which "
			   "this one is a copy, or an older state; nothing is "
			   "removed",
	    pull_care_known(c, partition), pull_care_part(c, partition),
	    spool_log_range(c->p.spool, partition).end);
	json_append(notes, json_new_text(text));
	free(text);
}

static void
note_committed(const struct pull_care *c, struct json *notes)
{
	const char *why =
	    c->committed != NULL ? committed_trouble(c->committed) : "";
	char *text;

	if (*why == '\0')
		return;
	text = must_format(
	    "pull.committed.url: %s; nothing is removed while tasks run", why);
	json_append(notes, json_new_text(text));
	free(text);
}

static void
describe_share(const struct pull_care *c, struct json *to, struct json *notes)
{
	const struct share_view *v = pull_share_view(c->share);
	struct json *j = json_new_object(), *members = json_new_array();
	const char *trouble = pull_share_trouble(c->share);

	json_set_int(j, "partition", c->number);
	json_set_bool(j, "serves", pull_share_holds(c->share));
	json_set_bool(j, "manages", pull_share_manages(c->share));
	for (unsigned i = 0; i < v->count; i++) {
		const struct share_member *m = &v->all[i];
		char *at = must_format("%s:%u", m->at.host, m->at.port);
		struct json *one = json_new_object();

		json_set_int(one, "partition", i);
		json_set_text(one, "at", at);
		json_set_text(one, "state",
		    m->holder.is_there ? (m->seeded ? "there" : "comes")
				       : "away");
		json_append(members, one);
		free(at);
	}
	json_set(j, "members", members);
	json_set(to, "share", j);
	if (*trouble != '\0')
		json_append(notes, json_new_text(trouble));
}

void
pull_care_describe(
    const struct pull_care *c, struct json *to, struct json *notes)
{
	struct json *off;

	if (*c->trouble != '\0')
		json_append(notes, json_new_text(c->trouble));
	note_instance(c, notes);
	note_partitions(c, notes);
	if (c->share != NULL)
		describe_share(c, to, notes);
	for (unsigned i = 0; i < c->partitions; i++)
		note_beyond(c, i, notes);
	if (c->floor != NULL)
		log_floor_describe(c->floor, notes);
	note_committed(c, notes);
	if (c->supervisor != NULL) {
		kafka_supervisor_describe(c->supervisor, to, notes);
	} else if (c->care == CARE_OFF) {
		off = json_new_object();
		json_set_text(off, "care", "off");
		json_set(to, "supervisor", off);
	}
}

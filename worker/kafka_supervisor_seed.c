/*
 * kafka_supervisor_seed - the offsets at which a supervisor begins
 *
 * Process: worker. kafka_supervisor.h has the steps.
 */
#include "kafka_supervisor_internal.h"

#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "log.h"
#include "panic.h"

/* Whether offsets are stored; else the rest waits. */
static bool
check_seeded(struct kafka_supervisor *k, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	k->ask = NULL;
	FAULT_POINT(PULL_SEEDED);
	if (kafka_state_is_good(result, answer))
		return true;
	kafka_supervisor_give_up(
	    k, "its offsets are not stored yet", answer, why);
	return false;
}

static void
seeded(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;

	if (!check_seeded(k, result, answer, why))
		return;
	log_info("supervisor %s: begins where the log does", k->p.id);
	k->changed |= !k->was_made;
	k->was_made = true;
	kafka_supervisor_begin(k);
}

/* Stores where `count` partitions begin. */
static void
seed_some(struct kafka_supervisor *k, unsigned first, unsigned count,
    overlord_answer_fn *done)
{
	struct json *map = json_new_object(), *body;
	char name[16];

	for (unsigned i = first; i < first + count; i++) {
		snprintf(name, sizeof name, "%u", i);
		json_set_int(
		    map, name, (int64_t)k->p.log_start(k->p.context, i));
	}
	body = kafka_state_offsets(k->p.topic, map);
	FAULT_POINT(PULL_SEED);
	kafka_supervisor_call_at(k, "/resetOffsets", body, done);
	json_free(&body);
}

/* Offsets are set by a supervisor that has begun: one that cannot begin (its
 * consumer does not know our address, say) forgets what it was asked for. */
static void
unseeded_known(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;
	const struct json *payload;
	struct json *status;

	k->ask = NULL;
	if (!kafka_state_is_good(result, answer)) {
		kafka_supervisor_give_up(
		    k, "its status is not known", answer, why);
		return;
	}
	status = json_parse(answer->body, answer->body_bytes, NULL);
	payload = json_get(status, "payload");
	kafka_supervisor_set_state(k, payload);
	if (kafka_state_is_suspended(payload)) {
		seed_some(k, k->from,
		    k->p.partitions - MIN_OF(k->from, k->p.partitions), seeded);
	} else {
		kafka_supervisor_set_text(k, k->trouble,
		    "Druid has not begun with it yet; it must reach %s",
		    k->p.servers);
		kafka_supervisor_pause_briefly(k);
	}
	json_free(&status);
}

/* While the supervisor is suspended no more of them begin. The status would not
 * do: it has none before the first run has found them. false: the rest waits. */
static bool
none_alive(struct kafka_supervisor *k, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	unsigned alive;

	if (!kafka_supervisor_count_tasks(k, result, answer, why, &alive))
		return false;
	if (alive == 0) {
		kafka_supervisor_set_text(k, k->trouble, "%s", "");
		return true;
	}
	kafka_supervisor_set_text(k, k->trouble,
	    "%u tasks still publish what they have read; until then it is "
	    "suspended",
	    alive);
	kafka_supervisor_pause_briefly(k);
	return false;
}

static void
tasks_known(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;

	if (none_alive(k, result, answer, why))
		kafka_supervisor_call_at(k, "/status", NULL, unseeded_known);
}

void
kafka_supervisor_seed(struct kafka_supervisor *k)
{
	kafka_supervisor_ask_for_tasks(k, tasks_known);
}

static void
posted_unseeded(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;

	if (kafka_supervisor_check_posted(k, result, answer, why))
		kafka_supervisor_seed(k);
}

void
kafka_supervisor_post_unseeded(struct kafka_supervisor *k)
{
	struct json *spec = kafka_spec_unseeded(k->wanted, k->stays, k->from);

	FAULT_POINT(PULL_POST);
	kafka_supervisor_call(
	    k, must_strdup(API UNLESS_SAME), spec, posted_unseeded);
	json_free(&spec);
}

/* ---- a partition more, of a topic that is shared ---- */

/* resetOffsets ends the tasks of the partition's group. What those have read
 * may be nowhere else, when it is of a spool that is lost: so they publish
 * before. */

bool
kafka_supervisor_joins(struct kafka_supervisor *k)
{
	return kafka_supervisor_is_shared(k) && k->p.care == CARE_MANAGE &&
	    k->p.unseeded(k->p.context, &k->seeds);
}

static void
joined(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;

	if (!check_seeded(k, result, answer, why))
		return;
	log_info("supervisor %s: has partition %u, too", k->p.id, k->seeds);
	k->p.seeded(k->p.context, k->seeds);
	kafka_supervisor_pause_briefly(k);
}

static void
tasks_published(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;

	if (none_alive(k, result, answer, why))
		seed_some(k, k->seeds, 1, joined);
}

/* After a status; the spec suspends it by now. */
void
kafka_supervisor_join(struct kafka_supervisor *k, const struct json *payload)
{
	if (kafka_state_is_suspended(payload))
		kafka_supervisor_ask_for_tasks(k, tasks_published);
	else
		kafka_supervisor_pause_briefly(k);
}

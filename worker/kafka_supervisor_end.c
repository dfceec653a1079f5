/*
 * kafka_supervisor_end - a supervisor whose log gets no more
 *
 * Process: worker. kafka_retire.h has the steps.
 */
#include "kafka_supervisor_internal.h"

#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "log.h"
#include "panic.h"

struct kafka_retire
kafka_supervisor_retirement(
    const struct kafka_supervisor *k, const struct json *payload)
{
	return (struct kafka_retire){ .floor = k->p.floor,
		.first = (unsigned)MAX_OF(k->p.own, 0),
		.partitions =
		    kafka_supervisor_is_shared(k) ? 1 : k->p.partitions,
		.log_start = k->p.log_start,
		.log_end = k->p.log_end,
		.context = k->p.context,
		.payload = payload,
		.can = k->is_ours && k->trusted &&
		    (kafka_supervisor_is_shared(k) || k->p.care == CARE_MANAGE),
		.is_suspended = k->is_suspended,
		.by_us = k->is_drained };
}

void
kafka_supervisor_end_retirement(struct kafka_supervisor *k)
{
	k->changed |= !k->is_retired;
	k->is_retired = true;
	kafka_supervisor_set_text(k, k->waits, "%s", "");
	kafka_supervisor_pause(k);
}

static void
posted_drained(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;

	if (!kafka_supervisor_check_posted(k, result, answer, why))
		return;
	log_info(
	    "supervisor %s: is suspended, so that its tasks publish", k->p.id);
	if (kafka_supervisor_joins(k))
		kafka_supervisor_pause_briefly(k);
	else
		kafka_supervisor_pause(k);
}

static void
ended(void *context, enum result result, const struct overlord_answer *answer,
    const char *why)
{
	struct kafka_supervisor *k = context;

	k->ask = NULL;
	if (!kafka_state_is_good(result, answer) &&
	    !kafka_state_is_absent(result, answer)) {
		kafka_supervisor_give_up(k, "it cannot be ended", answer, why);
		return;
	}
	log_info("supervisor %s: is ended, all is committed", k->p.id);
	kafka_supervisor_end_retirement(k);
}

void
kafka_supervisor_post_drained(struct kafka_supervisor *k)
{
	struct json *spec = kafka_spec_drained(k->wanted, k->stays);

	FAULT_POINT(PULL_DRAIN);
	kafka_supervisor_call(
	    k, must_strdup(API UNLESS_SAME), spec, posted_drained);
	json_free(&spec);
}

/* One by the dataSource's name may be another's tomorrow, with its offsets. */
static void
tasks_left(void *context, enum result result,
    const struct overlord_answer *answer, const char *why)
{
	struct kafka_supervisor *k = context;
	struct json *nothing;
	unsigned alive;

	if (!kafka_supervisor_count_tasks(k, result, answer, why, &alive))
		return;
	if (alive > 0) {
		kafka_supervisor_set_text(
		    k, k->waits, "has %u tasks that have not ended", alive);
		kafka_supervisor_pause_briefly(k);
	} else if (strcmp(k->p.id, k->p.topic) == 0) {
		kafka_supervisor_end_retirement(k);
	} else {
		nothing = json_new_object();
		FAULT_POINT(PULL_END);
		kafka_supervisor_call_at(k, "/terminate", nothing, ended);
		json_free(&nothing);
	}
}

/* With its tasks: one that has hardly begun is not ended with its supervisor,
 * and would keep its slot for ever. One that is suspended finds it. */
static void
end(struct kafka_supervisor *k, bool can)
{
	if (!can)
		kafka_supervisor_end_retirement(k);
	else if (!k->is_suspended)
		kafka_supervisor_post_drained(k);
	else
		kafka_supervisor_ask_for_tasks(k, tasks_left);
}

/* Whoever manages it does it. */
static bool
retire_shared(struct kafka_supervisor *k, enum kafka_retire_step step)
{
	if (step != KAFKA_RETIRE_WAIT)
		k->p.suspend(k->p.context, step == KAFKA_RETIRE_SUSPEND);
	if (step != KAFKA_RETIRE_END || k->rests != REST_RETIRED)
		return false;
	kafka_supervisor_end_retirement(k);
	return true;
}

/* After a status. false: nothing was begun. */
bool
kafka_supervisor_retire(struct kafka_supervisor *k, const struct json *payload)
{
	struct kafka_retire r = kafka_supervisor_retirement(k, payload);
	char text[KAFKA_RETIRE_BYTES];
	enum kafka_retire_step step = kafka_retire_next(&r, text);

	kafka_supervisor_set_text(k, k->waits, "%s", text);
	k->is_retired &= step == KAFKA_RETIRE_END;
	if (kafka_supervisor_is_shared(k))
		return retire_shared(k, step);
	switch (step) {
	case KAFKA_RETIRE_WAIT: return false;
	case KAFKA_RETIRE_SUSPEND: kafka_supervisor_post_drained(k); break;
	case KAFKA_RETIRE_END:
		if (k->rests == REST_RETIRED)
			end(k, r.can);
		else if (k->is_drained) /* it is not the log that is full */
			kafka_supervisor_post(k, k->stays);
		else
			return false;
		break;
	case KAFKA_RETIRE_RESUME:
		log_warnx("supervisor %s: a task that was to publish has "
			  "failed; it reads once more",
		    k->p.id);
		kafka_supervisor_post(k, false);
		break;
	}
	return true;
}

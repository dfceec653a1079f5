/*
 * kafka_retire - what is to be done with a supervisor whose log gets no more
 *
 * Process: worker. Pure.
 */
#include "kafka_retire.h"

#include <stdio.h>
#include <string.h>

#define SUSPEND_IT                                                         \
	"; suspend it in Druid when it has read all, so that what it has " \
	"committed can be known"

bool
kafka_retire_is_empty(const struct kafka_retire *r)
{
	for (unsigned i = r->first; i < r->first + r->partitions; i++)
		if (r->log_start(r->context, i) != r->log_end(r->context, i))
			return false;
	return true;
}

/* How many events of the partition are not read, as far as the status says. */
static uint64_t
unread(const struct kafka_retire *r, unsigned partition)
{
	const struct json *tasks = json_get(r->payload, "activeTasks");
	uint64_t end = r->log_end(r->context, partition);
	uint64_t at = MAX_OF(log_floor_known(r->floor, partition),
	    r->log_start(r->context, partition));
	char name[16];

	snprintf(name, sizeof name, "%u", partition);
	for (size_t i = 0; i < json_size(tasks); i++) {
		int64_t read = json_get_int(
		    json_get(json_at(tasks, i), "currentOffsets"), name, 0);

		at = MAX_OF(at, (uint64_t)MAX_OF(read, 0));
	}
	return end > at ? end - at : 0;
}

static uint64_t
unread_in_all(const struct kafka_retire *r)
{
	uint64_t sum = 0;

	/* with idleConfig: it has seen nothing new for long, and has no tasks */
	if (strcmp(json_get_text(r->payload, "detailedState", ""), "IDLE") == 0)
		return 0;
	for (unsigned i = r->first; i < r->first + r->partitions; i++)
		sum += unread(r, i);
	return sum;
}

/* Less is committed than was read. */
static bool
has_come_short(const struct kafka_retire *r)
{
	for (unsigned i = r->first; i < r->first + r->partitions; i++) {
		uint64_t exact = log_floor_exact(r->floor, i);

		if (exact != UINT64_MAX && exact < r->log_end(r->context, i))
			return true;
	}
	return false;
}

enum kafka_retire_step
kafka_retire_next(
    const struct kafka_retire *r, char text[static KAFKA_RETIRE_BYTES])
{
	uint64_t left = unread_in_all(r);

	*text = '\0';
	if (kafka_retire_is_empty(r))
		return KAFKA_RETIRE_END;
	if (r->is_suspended && !r->by_us) {
		snprintf(text, KAFKA_RETIRE_BYTES,
		    "is suspended in Druid; resume it, so that it reads what "
		    "is left");
	} else if (r->is_suspended) {
		if (r->can && has_come_short(r))
			return KAFKA_RETIRE_RESUME;
		snprintf(text, KAFKA_RETIRE_BYTES,
		    "has read all, and publishes; what it has committed is "
		    "known when Druid has looked at the log twice");
	} else {
		if (r->can && left == 0)
			return KAFKA_RETIRE_SUSPEND;
		snprintf(text, KAFKA_RETIRE_BYTES, "has %llu events to read%s",
		    (unsigned long long)left, r->can ? "" : SUSPEND_IT);
	}
	return KAFKA_RETIRE_WAIT;
}

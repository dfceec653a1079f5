/*
 * kafka_spec - the Kafka supervisor that pulls a dataSource from our feed
 *
 * Process: worker. Pure. kafka-pull.md 4.2 and 5.1, Druid 31 and newer.
 *
 * From the dataSource's spec as it is for push: what realtime tasks are given
 * goes to the tasks of the supervisor, old forms as new ones. Members of
 * spec.ioConfig that Druid has for Kafka (taskCount, replicas, taskDuration,
 * consumerProperties, autoScalerConfig …) stand above our own values; those
 * that would lose or double events are problems.
 *
 * The spec bears a marker, by which we know our own supervisors in Druid:
 * context.tranqd {"instance": …, "log": …, "partitions": …, "digest": …}. A
 * supervisor whose offsets are not those of this log yet is suspended, and its
 * marker says so besides: {…, "seeded": false, "from": …} (kafka_supervisor.h).
 */
#pragma once

#include "conf.h"

/* The first Druid whose supervisors have an id besides the dataSource. */
#define DRUID_WITH_IDS 34

struct kafka_spec_wish {
	const struct ds_conf *ds;
	unsigned druid; /* major version: 31 … */
	/* who makes it: the same over restarts, another one for each tranqd */
	const char *instance;
	const char *log; /* spool_log_identity */
	/* the supervisor's id, which must never change, since Druid keeps the
	 * offsets by it; before Druid 34 always the dataSource's name */
	const char *id;
	/* Where the events are: pull.advertise, our topic, pull.partitions. */
	const char *servers, *topic;
	unsigned partitions;
	bool tls;
	const char *sasl_mechanism; /* NULL: none */
	int64_t task_duration_ms, completion_timeout_ms;
};

/* The id for a supervisor that is made now: new, to be freed. `instance` NULL:
 * there is one tranqd only. */
char *
kafka_spec_id(const struct ds_conf *, const char *instance, unsigned druid);
/* The spec, new. What cannot be had in pull mode goes to the array `problems`,
 * a text each ("spec.ioConfig.topic: …; take it out"); then NULL. */
struct json *kafka_spec_make(
    const struct kafka_spec_wish *, struct json *problems) MUST_CHECK;

/* The same, suspended and not seeded: the form in which Druid gets it first.
 * `stays`: it shall be suspended afterwards too; `from`: the first partition that
 * is to be seeded. New. */
struct json *
kafka_spec_unseeded(const struct json *wanted, bool stays, unsigned from);
/* The first partition of which it has no offsets of ours. */
unsigned kafka_spec_seeded(const struct json *found);
/* The same, suspended, since all is read and no more comes: tranqctl drain. */
struct json *kafka_spec_drained(const struct json *wanted, bool stays);
bool kafka_spec_is_drained(const struct json *found);
/* Whether somebody else than us has suspended it. */
bool kafka_spec_stays(const struct json *found);
/* Whether its consumers are sent to us: bootstrap.servers has `servers`. */
bool kafka_spec_reads_from(const struct json *found, const char *servers);

enum kafka_spec_match {
	KAFKA_SPEC_SAME,
	KAFKA_SPEC_OLD, /* ours, made from another configuration */
	/* ours, and it says something else than what we have sent: somebody
	 * changed it in Druid */
	KAFKA_SPEC_EDITED,
	/* ours, and its offsets are to be set: it has not begun yet */
	KAFKA_SPEC_UNSEEDED,
	KAFKA_SPEC_GROWN, /* ours, and there were less partitions then */
	/* ours by its name, and made for another log: that of a spool that is
	 * lost, or of another tranqd that goes by the same name */
	KAFKA_SPEC_LOG,
	KAFKA_SPEC_OTHER, /* another tranqd's: `where` has its instance */
	KAFKA_SPEC_FOREIGN, /* bears no marker */
};

/* We have made it for the log that is here; and from another configuration. */
bool kafka_spec_is_ours(enum kafka_spec_match);
bool kafka_spec_is_old(enum kafka_spec_match);

#define KAFKA_SPEC_WHERE_BYTES 256

/* `wanted` is by kafka_spec_make; `found` is what Druid shows, with defaults
 * that nobody sent and its own way to write things: what we did not send does
 * not count. `where` is the place of the first difference, or "". */
enum kafka_spec_match kafka_spec_compare(const struct json *wanted,
    const struct json *found, char where[static KAFKA_SPEC_WHERE_BYTES]);

/*
 * kafka_spec - the Kafka supervisor that pulls a dataSource from our feed
 *
 * Process: worker. Pure.
 */
#include "kafka_spec.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_digest.h"
#include "panic.h"
#include "task.h"

#define PROBLEM_BYTES_MAX 1024

/* A member that must not be given, or not so. */
struct refusal {
	const char *name;
	bool only_true, only_false; /* what is refused of a boolean */
	const char *why;
};

static const struct refusal io_refusals[] = {
	{ "topic", false, false, "tranqd names the topic itself; take it out" },
	{ "topicPattern", false, false,
	    "tranqd names the topic itself; take it out" },
	{ "useEarliestOffset", false, true,
	    "events that came before the supervisor would be left out; take it "
	    "out" },
	{ "emitTimeLagMetrics", true, false,
	    "Druid reads events for it that may have been removed; take it "
	    "out" },
	{ "boundedStreamConfig", false, false,
	    "the supervisor would end; take it out" },
};

static const struct refusal consumer_refusals[] = {
	{ "bootstrap.servers", false, false,
	    "tranqd gives pull.advertise; take it out" },
};

static const struct refusal tuning_refusals[] = {
	{ "dedupColumn", false, false,
	    "tasks of Kafka supervisors do not have it; take it out, they read "
	    "each event once" },
	{ "resetOffsetAutomatically", true, false,
	    "Druid would leave out or double events by itself; take it out" },
};

/* Of realtime tasks, or what only tranqd goes by. */
static const char *const tuning_foreign[] = { "windowPeriod", "rejectionPolicy",
	"shardSpec", "versioningPolicy", "basePersistDirectory", "alertTimeout",
	"persistThreadPriority", "mergeThreadPriority", "buildV9Directly",
	"partitionsSpec" };

/* Where tasks' events come from in push mode, and how we read text bodies. */
static const char *const io_foreign[] = { "type", "firehose", "plumber",
	"inputFormat", "inputSource", "consumerProperties" };

static void __attribute__((format(printf, 2, 3)))
add_problem(struct json *problems, const char *format, ...)
{
	char text[PROBLEM_BYTES_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	json_append(problems, json_new_text(text));
}

static bool
is_given(const struct json *j)
{
	return j != NULL && !json_is_null(j);
}

static void
refuse(struct json *problems, const char *at, const struct json *from,
    const struct refusal *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct json *j = json_get(from, list[i].name);

		if (!is_given(j) ||
		    (list[i].only_true && !json_bool(j, false)) ||
		    (list[i].only_false && json_bool(j, true)))
			continue;
		add_problem(
		    problems, "%s.%s: %s", at, list[i].name, list[i].why);
	}
}

/* Members of `over` go into `to`, above what is there. */
static void
lay_over(struct json *to, const struct json *over)
{
	for (struct json_member *m = json_first(over); m != NULL;
	     m = json_next(over, m))
		json_set(to, json_member_name(m), json_clone(json_member(m)));
}

static void
set_period(struct json *to, const char *name, int64_t ms)
{
	char text[PERIOD_BYTES];
	struct period p = period_of_ms(ms);

	period_format(&p, text);
	json_set_text(to, name, text);
}

/* ---- dataSchema ---- */

/* Old specs list them apart: {"dimName": …, "dims": […]}. */
static void
move_spatial(struct json *dimensions_spec)
{
	const struct json *old = json_get(dimensions_spec, "spatialDimensions");
	struct json *list = json_get(dimensions_spec, "dimensions");

	for (size_t i = 0; i < json_size(old); i++) {
		const struct json *from = json_at(old, i);
		struct json *to = json_new_object();

		if (!json_is_array(list)) {
			list = json_new_array();
			json_set(dimensions_spec, "dimensions", list);
		}
		json_set_text(to, "type", "spatial");
		json_set_text(to, "name", json_get_text(from, "dimName", ""));
		if (is_given(json_get(from, "dims")))
			json_set(
			    to, "dims", json_clone(json_get(from, "dims")));
		json_append(list, to);
	}
	json_remove(dimensions_spec, "spatialDimensions");
}

static struct json *
make_schema(const struct ds_conf *ds)
{
	struct json *schema = task_schema(ds);

	move_spatial(json_get(schema, "dimensionsSpec"));
	return schema;
}

/* ---- ioConfig ---- */

static void
set_security(struct json *consumer, const struct kafka_spec_wish *w)
{
	static const char *const protocols[2][2] = { { "PLAINTEXT", "SSL" },
		{ "SASL_PLAINTEXT", "SASL_SSL" } };

	if (w->tls || w->sasl_mechanism != NULL)
		json_set_text(consumer, "security.protocol",
		    protocols[w->sasl_mechanism != NULL][w->tls]);
	if (w->sasl_mechanism != NULL)
		json_set_text(consumer, "sasl.mechanism", w->sasl_mechanism);
}

/* Druid's consumers must find a user and a password somewhere. */
static void
check_login(const struct json *given, const struct kafka_spec_wish *w,
    struct json *problems)
{
	if (w->sasl_mechanism == NULL ||
	    is_given(json_get(given, "sasl.jaas.config")) ||
	    is_given(json_get(given, "druid.dynamic.config.provider")))
		return;
	add_problem(problems,
	    "spec.ioConfig.consumerProperties: has no login for %s; give "
	    "{\"druid.dynamic.config.provider\": {\"type\": \"environment\", "
	    "\"variables\": {\"sasl.jaas.config\": \"TRANQD_JAAS\"}}} and set "
	    "TRANQD_JAAS for Druid's Overlord and workers",
	    w->sasl_mechanism);
}

static struct json *
make_consumer(const struct kafka_spec_wish *w, struct json *problems)
{
	const struct json *given = json_get(w->ds->io, "consumerProperties");
	struct json *consumer = json_new_object();

	if (is_given(given) && !json_is_object(given))
		add_problem(problems,
		    "spec.ioConfig.consumerProperties: %s; give an object",
		    json_type_name(given));
	refuse(problems, "spec.ioConfig.consumerProperties", given,
	    consumer_refusals, ARRAY_LEN(consumer_refusals));
	check_login(given, w, problems);
	json_set_text(consumer, "bootstrap.servers", w->servers);
	set_security(consumer, w);
	/* a feed that is away shall not hold up the supervisor for a minute,
	 * and one answer shall be worth its round trip */
	json_set_text(consumer, "default.api.timeout.ms", "15000");
	json_set_text(consumer, "request.timeout.ms", "10000");
	json_set_text(consumer, "max.partition.fetch.bytes", "8388608");
	json_set_text(consumer, "allow.auto.create.topics", "false");
	lay_over(consumer, given);
	return consumer;
}

static struct json *
make_io(const struct kafka_spec_wish *w, struct json *problems)
{
	struct json *io = json_new_object(), *format = json_new_object();
	struct json *consumer = make_consumer(w, problems);
	struct json *given =
	    w->ds->io != NULL ? json_clone(w->ds->io) : json_new_object();

	refuse(problems, "spec.ioConfig", given, io_refusals,
	    ARRAY_LEN(io_refusals));
	for (size_t i = 0; i < ARRAY_LEN(io_foreign); i++)
		json_remove(given, io_foreign[i]);
	/* text bodies and nested fields are objects of fields by now */
	json_set_text(format, "type", "json");
	json_set_text(io, "type", "kafka");
	json_set_text(io, "topic", w->topic);
	json_set(io, "inputFormat", format);
	json_set(io, "consumerProperties", consumer);
	json_set_int(io, "taskCount", w->partitions);
	json_set_int(io, "replicas", w->ds->replicants);
	set_period(io, "taskDuration", w->task_duration_ms);
	set_period(io, "completionTimeout", w->completion_timeout_ms);
	lay_over(io, given);
	json_set_bool(io, "useEarliestOffset", true);
	json_free(&given);
	return io;
}

/* ---- tuningConfig, and all of it ---- */

static struct json *
make_tuning(const struct ds_conf *ds, struct json *problems)
{
	struct json *tuning = json_new_object();

	refuse(problems, "spec.tuningConfig", ds->tuning, tuning_refusals,
	    ARRAY_LEN(tuning_refusals));
	/* what Druid cannot read shows up in its answers, and so in ours */
	json_set_bool(tuning, "logParseExceptions", true);
	json_set_int(tuning, "maxSavedParseExceptions", 10);
	lay_over(tuning, ds->tuning);
	for (size_t i = 0; i < ARRAY_LEN(tuning_foreign); i++)
		json_remove(tuning, tuning_foreign[i]);
	json_set_text(tuning, "type", "kafka");
	return tuning;
}

/* The digest is of everything but itself. */
static struct json *
make_context(const struct kafka_spec_wish *w, const struct json *supervisor)
{
	struct json *context = json_new_object(), *marker = json_new_object();
	char digest[24];

	snprintf(
	    digest, sizeof digest, "%016" PRIx64, conf_digest_json(supervisor));
	json_set_text(marker, "instance", w->instance);
	json_set_text(marker, "log", w->log);
	json_set_int(marker, "partitions", w->partitions);
	json_set_text(marker, "digest", digest);
	json_set_bool(context, "useConcurrentLocks", true);
	json_set(context, "tranqd", marker);
	return context;
}

char *
kafka_spec_id(const struct ds_conf *ds, const char *instance, unsigned druid)
{
	return instance != NULL && druid >= DRUID_WITH_IDS
	    ? must_format("%s-%s", ds->name, instance)
	    : must_strdup(ds->name);
}

struct json *
kafka_spec_make(const struct kafka_spec_wish *w, struct json *problems)
{
	struct json *supervisor = json_new_object(), *spec = json_new_object();
	size_t before = json_size(problems);
	bool has_id = strcmp(w->id, w->ds->name) != 0;

	must(!has_id || w->druid >= DRUID_WITH_IDS);
	json_set_text(supervisor, "type", "kafka");
	if (has_id)
		json_set_text(supervisor, "id", w->id);
	json_set(spec, "dataSchema", make_schema(w->ds));
	json_set(spec, "ioConfig", make_io(w, problems));
	json_set(spec, "tuningConfig", make_tuning(w->ds, problems));
	json_set(supervisor, "spec", spec);
	json_set(supervisor, "context", make_context(w, supervisor));
	if (json_size(problems) > before)
		json_free(&supervisor);
	return supervisor;
}

/* Suspended by us, for a time; `name`, `value`: the mark that says why. */
static struct json *
suspend(const struct json *wanted, const char *name, bool value, bool stays)
{
	struct json *supervisor = json_clone(wanted);
	struct json *marker =
	    json_get(json_get(supervisor, "context"), "tranqd");

	json_set_bool(supervisor, "suspended", true);
	json_set_bool(marker, name, value);
	if (stays)
		json_set_bool(marker, "stays", true);
	return supervisor;
}

struct json *
kafka_spec_unseeded(const struct json *wanted, bool stays, unsigned from)
{
	struct json *supervisor = suspend(wanted, "seeded", false, stays);

	json_set_int(
	    json_get(json_get(supervisor, "context"), "tranqd"), "from", from);
	return supervisor;
}

struct json *
kafka_spec_drained(const struct json *wanted, bool stays)
{
	return suspend(wanted, "drained", true, stays);
}

/* ---- what Druid shows ---- */

/* Where the comparison is, for people. */
struct place {
	char path[KAFKA_SPEC_WHERE_BYTES];
	size_t bytes;
};

static bool holds(struct place *, const char *name, const struct json *sent,
    const struct json *found);

static size_t
enter(struct place *p, const char *name)
{
	size_t mark = p->bytes;
	int more = snprintf(p->path + mark, sizeof p->path - mark, "%s%s",
	    mark > 0 ? "." : "", name);

	p->bytes = MIN_OF(mark + (size_t)more, sizeof p->path - 1);
	return mark;
}

static void
leave(struct place *p, size_t mark)
{
	p->bytes = mark;
	p->path[mark] = '\0';
}

/* Druid leaves out what is empty, and so may we. */
static bool
says_nothing(const struct json *j)
{
	return !is_given(j) ||
	    ((json_is_object(j) || json_is_array(j)) && json_size(j) == 0);
}

static bool
object_holds(struct place *p, const struct json *sent, const struct json *found)
{
	for (struct json_member *m = json_first(sent); m != NULL;
	     m = json_next(sent, m)) {
		const char *name = json_member_name(m);
		size_t mark = enter(p, name);

		if (!holds(p, name, json_member(m), json_get(found, name)))
			return false;
		leave(p, mark);
	}
	return true;
}

static bool
array_holds(struct place *p, const struct json *sent, const struct json *found)
{
	char index[24];

	if (json_size(sent) != json_size(found))
		return false;
	for (size_t i = 0; i < json_size(sent); i++) {
		size_t mark;

		snprintf(index, sizeof index, "%zu", i);
		mark = enter(p, index);
		if (!holds(p, "", json_at(sent, i), json_at(found, i)))
			return false;
		leave(p, mark);
	}
	return true;
}

/* Druid adds the timestamp and the fields of metrics. */
static bool
list_has_all(const struct json *sent, const struct json *found)
{
	for (size_t i = 0; i < json_size(sent); i++) {
		size_t k = 0;

		while (k < json_size(found) &&
		    !json_same(json_at(sent, i), json_at(found, k)))
			k++;
		if (k == json_size(found))
			return false;
	}
	return true;
}

/* "HOUR", "hour", {"type": "period", "period": "PT1H"} … */
static bool
same_granularity(const struct json *a, const struct json *b)
{
	char why[GRANULARITY_WHY_BYTES];
	struct granularity x, y;

	return granularity_read(a, &x, why) && granularity_read(b, &y, why) &&
	    x.kind == y.kind && x.ms == y.ms && x.months == y.months &&
	    x.days == y.days && x.origin == y.origin && x.zone == y.zone;
}

/* PT1H is PT3600S to Druid. */
static bool
same_period(const char *a, const char *b)
{
	struct period x, y;

	return period_parse(a, &x) && period_parse(b, &y) &&
	    period_ms(&x) == period_ms(&y);
}

/* Druid reads "2" where it wants a number, and shows 2. */
static bool
same_scalar(const struct json *a, const struct json *b)
{
	char *x, *y;
	bool same;

	if (json_is_number(a) && json_is_number(b))
		return !(json_number(a, 0) < json_number(b, 0)) &&
		    !(json_number(b, 0) < json_number(a, 0));
	x = json_is_text(a) ? must_strdup(json_text(a, "")) : json_to_text(a);
	y = json_is_text(b) ? must_strdup(json_text(b, "")) : json_to_text(b);
	same = strcmp(x, y) == 0 || same_period(x, y);
	free(x);
	free(y);
	return same;
}

/* A dimension by its name alone. */
static bool
is_plain_dimension(const struct json *name, const struct json *found)
{
	return json_same(name, json_get(found, "name")) &&
	    strcmp(json_get_text(found, "type", "string"), "string") == 0;
}

/* Druid takes ioConfig's type, and shows none. */
static bool
is_never_shown(const struct place *p)
{
	return strcmp(p->path, "spec.ioConfig.type") == 0;
}

/* Whether `found` says what `sent` says; else the place stays there. */
static bool
holds(struct place *p, const char *name, const struct json *sent,
    const struct json *found)
{
	if (says_nothing(sent) || (found == NULL && is_never_shown(p)))
		return true;
	if (strcmp(name, "segmentGranularity") == 0 ||
	    strcmp(name, "queryGranularity") == 0)
		return same_granularity(sent, found);
	if (strcmp(name, "dimensionExclusions") == 0)
		return list_has_all(sent, found);
	if (json_is_object(sent))
		return json_is_object(found) && object_holds(p, sent, found);
	if (json_is_array(sent))
		return json_is_array(found) && array_holds(p, sent, found);
	if (json_is_text(sent) && json_is_object(found))
		return is_plain_dimension(sent, found);
	return is_given(found) && !json_is_object(found) &&
	    !json_is_array(found) && same_scalar(sent, found);
}

static const struct json *
marker_of(const struct json *supervisor)
{
	return json_get(json_get(supervisor, "context"), "tranqd");
}

static const char *
marked(const struct json *supervisor, const char *name)
{
	return json_get_text(marker_of(supervisor), name, "");
}

enum kafka_spec_match
kafka_spec_compare(const struct json *wanted, const struct json *found,
    char where[static KAFKA_SPEC_WHERE_BYTES])
{
	const char *instance = marked(found, "instance");
	struct place p = { .bytes = 0 };

	*where = '\0';
	if (*instance == '\0')
		return KAFKA_SPEC_FOREIGN;
	if (strcmp(instance, marked(wanted, "instance")) != 0) {
		snprintf(where, KAFKA_SPEC_WHERE_BYTES, "%s", instance);
		return KAFKA_SPEC_OTHER;
	}
	if (strcmp(marked(found, "log"), marked(wanted, "log")) != 0)
		return KAFKA_SPEC_LOG;
	if (!json_get_bool(marker_of(found), "seeded", true))
		return KAFKA_SPEC_UNSEEDED;
	if (kafka_spec_seeded(found) < kafka_spec_seeded(wanted))
		return KAFKA_SPEC_GROWN;
	if (strcmp(marked(found, "digest"), marked(wanted, "digest")) != 0)
		return KAFKA_SPEC_OLD;
	if (object_holds(&p, wanted, found))
		return KAFKA_SPEC_SAME;
	memcpy(where, p.path, sizeof p.path);
	return KAFKA_SPEC_EDITED;
}

unsigned
kafka_spec_seeded(const struct json *found)
{
	const struct json *marker = marker_of(found);
	bool is_seeded = json_get_bool(marker, "seeded", true);

	return (unsigned)json_get_int(
	    marker, is_seeded ? "partitions" : "from", 0);
}

bool
kafka_spec_is_drained(const struct json *found)
{
	return json_get_bool(marker_of(found), "drained", false);
}

/* One that is not seeded, or drained, is suspended by us. */
bool
kafka_spec_stays(const struct json *found)
{
	const struct json *marker = marker_of(found);

	return json_get_bool(marker, "seeded", true) &&
		!kafka_spec_is_drained(found)
	    ? json_get_bool(found, "suspended", false)
	    : json_get_bool(marker, "stays", false);
}

bool
kafka_spec_reads_from(const struct json *found, const char *servers)
{
	const struct json *io = json_get(json_get(found, "spec"), "ioConfig");
	const char *list = json_get_text(
	    json_get(io, "consumerProperties"), "bootstrap.servers", "");
	size_t bytes = strlen(servers);

	for (; *list != '\0'; list += strcspn(list, ",")) {
		list += strspn(list, ", ");
		if (strncmp(list, servers, bytes) == 0 &&
		    strchr(", ", list[bytes]) != NULL)
			return true;
	}
	return false;
}

bool
kafka_spec_is_old(enum kafka_spec_match match)
{
	return match == KAFKA_SPEC_OLD || match == KAFKA_SPEC_GROWN;
}

bool
kafka_spec_is_ours(enum kafka_spec_match match)
{
	return kafka_spec_is_old(match) || match == KAFKA_SPEC_SAME ||
	    match == KAFKA_SPEC_EDITED;
}

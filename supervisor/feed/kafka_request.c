/*
 * kafka_request - what a Kafka client asks, read into a struct
 *
 * Process: feed. Pure.
 */
#include "kafka_request.h"

/* The fewest bytes that an element of an array can have. */
#define TOPIC_LEAST 2u
#define TOPIC_WITH_PARTITIONS_LEAST 6u
#define PARTITION_LEAST 12u
#define INDEX_LEAST 4u

typedef void read_fn(struct kafka_request *, struct kafka_reader *);

static struct kafka_request_topic *
add_topic(struct kafka_request *q, struct kafka_reader *r)
{
	struct kafka_request_topic *t;
	struct kafka_text name = kafka_wire_string(r);

	if (r->is_bad || q->topic_count == KAFKA_REQUEST_TOPICS_MAX) {
		r->is_bad = true;
		return NULL;
	}
	t = &q->topics[q->topic_count++];
	*t = (struct kafka_request_topic){ .name = name,
		.first = q->partition_count };
	return t;
}

static struct kafka_request_partition *
add_partition(struct kafka_request *q, struct kafka_reader *r)
{
	struct kafka_request_partition *p;

	if (r->is_bad || q->partition_count == KAFKA_REQUEST_PARTITIONS_MAX) {
		r->is_bad = true;
		return NULL;
	}
	p = &q->partitions[q->partition_count++];
	*p = (struct kafka_request_partition){ .index = kafka_wire_i32(r) };
	return p;
}

/* An array that must be there. */
static int32_t
count_of(struct kafka_reader *r, size_t least)
{
	int32_t count = kafka_wire_count(r, least);

	if (count < 0)
		r->is_bad = true;
	return count;
}

static void
read_api_versions(struct kafka_request *q, struct kafka_reader *r)
{
	if (q->version < 3)
		return;
	(void)kafka_wire_compact(r); /* the client's software */
	(void)kafka_wire_compact(r); /* and its version */
	kafka_wire_tags(r);
}

static void
read_metadata(struct kafka_request *q, struct kafka_reader *r)
{
	int32_t count = kafka_wire_count(r, TOPIC_LEAST);

	q->all_topics = count < 0 || (count == 0 && q->version == 0);
	for (int32_t i = 0; i < count && !r->is_bad; i++)
		(void)add_topic(q, r);
	/* topics are never made, operations are never told */
	if (q->version >= 4)
		(void)kafka_wire_i8(r);
	if (q->version >= 8) {
		(void)kafka_wire_i8(r);
		(void)kafka_wire_i8(r);
	}
}

/* One partition of ListOffsets or Fetch. */
typedef void partition_fn(struct kafka_request *, struct kafka_reader *,
    struct kafka_request_partition *);

static void
read_topics(struct kafka_request *q, struct kafka_reader *r, partition_fn *read)
{
	int32_t topics = count_of(r, TOPIC_WITH_PARTITIONS_LEAST);

	for (int32_t i = 0; i < topics && !r->is_bad; i++) {
		struct kafka_request_topic *t = add_topic(q, r);
		int32_t count = count_of(r, PARTITION_LEAST);

		for (int32_t p = 0; p < count && !r->is_bad; p++) {
			struct kafka_request_partition *to =
			    add_partition(q, r);

			if (to != NULL)
				read(q, r, to);
		}
		if (t != NULL)
			t->count = q->partition_count - t->first;
	}
}

static void
read_time(struct kafka_request *q, struct kafka_reader *r,
    struct kafka_request_partition *p)
{
	if (q->version >= 4)
		(void)kafka_wire_i32(r); /* leader epoch: there is one only */
	p->offset = kafka_wire_i64(r);
}

static void
read_list_offsets(struct kafka_request *q, struct kafka_reader *r)
{
	(void)kafka_wire_i32(r); /* replica */
	if (q->version >= 2)
		(void)kafka_wire_i8(r); /* isolation: no transactions here */
	read_topics(q, r, read_time);
}

static void
read_place(struct kafka_request *q, struct kafka_reader *r,
    struct kafka_request_partition *p)
{
	if (q->version >= 9)
		(void)kafka_wire_i32(r); /* leader epoch */
	p->offset = kafka_wire_i64(r);
	if (q->version >= 5)
		(void)kafka_wire_i64(r); /* a follower's log start */
	p->bytes_max = kafka_wire_i32(r);
}

/* Of a session, which is never made. */
static void
pass_forgotten(struct kafka_reader *r)
{
	int32_t topics = count_of(r, TOPIC_WITH_PARTITIONS_LEAST);

	for (int32_t i = 0; i < topics && !r->is_bad; i++) {
		int32_t count;

		(void)kafka_wire_string(r);
		count = count_of(r, INDEX_LEAST);
		for (int32_t p = 0; p < count && !r->is_bad; p++)
			(void)kafka_wire_i32(r);
	}
}

static void
read_fetch(struct kafka_request *q, struct kafka_reader *r)
{
	(void)kafka_wire_i32(r); /* replica */
	q->max_wait_ms = kafka_wire_i32(r);
	q->bytes_min = kafka_wire_i32(r);
	q->bytes_max = kafka_wire_i32(r);
	(void)kafka_wire_i8(r); /* isolation */
	q->session_epoch = -1;
	if (q->version >= 7) {
		q->session_id = kafka_wire_i32(r);
		q->session_epoch = kafka_wire_i32(r);
	}
	read_topics(q, r, read_place);
	if (q->version >= 7)
		pass_forgotten(r);
	if (q->version >= 11)
		(void)kafka_wire_string(r); /* rack */
}

static void
read_sasl_handshake(struct kafka_request *q, struct kafka_reader *r)
{
	q->sasl = kafka_wire_string(r);
}

static void
read_sasl_authenticate(struct kafka_request *q, struct kafka_reader *r)
{
	q->sasl = kafka_wire_bytes(r);
	if (q->sasl.at == NULL)
		r->is_bad = true;
}

static const struct api {
	enum kafka_api api;
	int16_t low, high; /* low > high: not served */
	const char *name;
	read_fn *read;
} apis[] = {
	{ KAFKA_PRODUCE, 1, 0, "Produce", NULL },
	{ KAFKA_FETCH, 4, 11, "Fetch", read_fetch },
	{ KAFKA_LIST_OFFSETS, 1, 5, "ListOffsets", read_list_offsets },
	{ KAFKA_METADATA, 0, 8, "Metadata", read_metadata },
	{ KAFKA_SASL_HANDSHAKE, 0, 1, "SaslHandshake", read_sasl_handshake },
	{ KAFKA_API_VERSIONS, 0, 4, "ApiVersions", read_api_versions },
	{ KAFKA_SASL_AUTHENTICATE, 0, 1, "SaslAuthenticate",
	    read_sasl_authenticate },
};

static const struct api *
find_api(int16_t api)
{
	for (size_t i = 0; i < ARRAY_LEN(apis); i++)
		if ((int16_t)apis[i].api == api)
			return &apis[i];
	return NULL;
}

const char *
kafka_request_name(int16_t api)
{
	const struct api *a = find_api(api);

	return a != NULL ? a->name : NULL;
}

/* What lies before the arrays, which are large and filled as they are used. */
static void
begin(struct kafka_request *q)
{
	q->all_topics = false;
	q->topic_count = q->partition_count = 0;
	q->max_wait_ms = q->bytes_min = q->bytes_max = 0;
	q->session_id = q->session_epoch = 0;
	q->sasl = q->client = (struct kafka_text){ NULL, 0 };
}

enum kafka_verdict
kafka_request_read(struct kafka_request *q, const void *frame, size_t bytes)
{
	const struct api *a;
	struct kafka_reader r;

	begin(q);
	kafka_wire_reader(&r, frame, bytes);
	q->api = kafka_wire_i16(&r);
	q->version = kafka_wire_i16(&r);
	q->correlation = kafka_wire_i32(&r);
	if (r.is_bad)
		return KAFKA_MALFORMED;
	a = find_api(q->api);
	if (a != NULL && a->api == KAFKA_API_VERSIONS && q->version > a->high)
		/* nobody knows what else is in it */
		return KAFKA_TOO_NEW;
	if (a == NULL || q->version < a->low || q->version > a->high)
		return KAFKA_UNSERVED;
	q->client = kafka_wire_nullable(&r);
	if (a->api == KAFKA_API_VERSIONS && q->version >= 3)
		kafka_wire_tags(&r);
	a->read(q, &r);
	return r.is_bad ? KAFKA_MALFORMED : KAFKA_TAKEN;
}

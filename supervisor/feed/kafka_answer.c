/*
 * kafka_answer - what a Kafka client is answered, in its request's version
 *
 * Process: feed. Pure.
 */
#include "kafka_answer.h"

#define NOT_ASKED INT32_MIN /* authorized operations: never told */
#define API_VERSIONS_HIGH 4
#define NO_EPOCH (-1) /* of a leader: clients fence and truncate nothing then */

/* The SASL ones last. */
static const struct kafka_answer_api offered[] = {
	{ KAFKA_PRODUCE, 3, 3 },
	{ KAFKA_FETCH, 4, 11 },
	{ KAFKA_LIST_OFFSETS, 1, 5 },
	{ KAFKA_METADATA, 0, 8 },
	{ KAFKA_API_VERSIONS, 0, API_VERSIONS_HIGH },
	{ KAFKA_SASL_HANDSHAKE, 0, 1 },
	{ KAFKA_SASL_AUTHENTICATE, 0, 1 },
};

const struct kafka_answer_api *
kafka_answer_apis(bool with_sasl, unsigned *count)
{
	*count = ARRAY_LEN(offered) - (with_sasl ? 0 : 2);
	return offered;
}

size_t
kafka_answer_begin(struct buf *b, const struct kafka_request *q)
{
	size_t begin = kafka_wire_frame_begin(b);

	kafka_wire_put_i32(b, q->correlation);
	return begin;
}

void
kafka_answer_end(struct buf *b, size_t begin, size_t record_bytes)
{
	kafka_wire_frame_end(b, begin, record_bytes);
}

static void
put_no_throttle(struct buf *b)
{
	/* anything else, and a Java client waits for as long */
	kafka_wire_put_i32(b, 0);
}

/* Version 3 and newer are flexible, but for the header of the answer. */
void
kafka_answer_api_versions(struct buf *b, const struct kafka_request *q,
    const struct kafka_answer_api *apis, unsigned count)
{
	bool is_too_new = q->version > API_VERSIONS_HIGH;
	int16_t version = is_too_new ? 0 : q->version;

	kafka_wire_put_i16(
	    b, is_too_new ? KAFKA_UNSUPPORTED_VERSION : KAFKA_OK);
	if (version >= 3)
		kafka_wire_put_uvarint(b, count + 1);
	else
		kafka_wire_put_i32(b, (int32_t)count);
	for (unsigned i = 0; i < count; i++) {
		kafka_wire_put_i16(b, apis[i].api);
		kafka_wire_put_i16(b, apis[i].low);
		kafka_wire_put_i16(b, apis[i].high);
		if (version >= 3)
			kafka_wire_put_uvarint(b, 0);
	}
	if (version >= 1)
		put_no_throttle(b);
	if (version >= 3)
		kafka_wire_put_uvarint(b, 0);
}

void
kafka_answer_metadata(struct buf *b, const struct kafka_request *q,
    const struct kafka_answer_cluster *cluster, unsigned topics)
{
	if (q->version >= 3)
		put_no_throttle(b);
	kafka_wire_put_i32(b, (int32_t)cluster->broker_count);
	for (unsigned i = 0; i < cluster->broker_count; i++) {
		kafka_wire_put_i32(b, cluster->brokers[i].node);
		kafka_wire_put_string(b, cluster->brokers[i].host);
		kafka_wire_put_i32(b, cluster->brokers[i].port);
		if (q->version >= 1)
			kafka_wire_put_i16(b, -1); /* no rack */
	}
	if (q->version >= 2)
		kafka_wire_put_nullable(b, cluster->id);
	if (q->version >= 1)
		kafka_wire_put_i32(b, cluster->controller);
	kafka_wire_put_i32(b, (int32_t)topics);
}

void
kafka_answer_metadata_topic(struct buf *b, const struct kafka_request *q,
    struct kafka_text name, enum kafka_error error, unsigned partitions)
{
	kafka_wire_put_i16(b, (int16_t)error);
	kafka_wire_put_string(b, name);
	if (q->version >= 1)
		kafka_wire_put_i8(b, 0); /* not internal */
	kafka_wire_put_i32(b, (int32_t)partitions);
}

/* Replicas, or those in sync: the leader alone. */
static void
put_nodes(struct buf *b, int32_t leader)
{
	kafka_wire_put_i32(b, leader >= 0 ? 1 : 0);
	if (leader >= 0)
		kafka_wire_put_i32(b, leader);
}

void
kafka_answer_metadata_partition(
    struct buf *b, const struct kafka_request *q, int32_t index, int32_t leader)
{
	kafka_wire_put_i16(
	    b, leader >= 0 ? KAFKA_OK : KAFKA_LEADER_NOT_AVAILABLE);
	kafka_wire_put_i32(b, index);
	kafka_wire_put_i32(b, leader);
	if (q->version >= 7)
		kafka_wire_put_i32(b, NO_EPOCH);
	put_nodes(b, leader);
	put_nodes(b, leader);
	if (q->version >= 5)
		kafka_wire_put_i32(b, 0); /* none is off-line */
}

void
kafka_answer_metadata_topic_end(struct buf *b, const struct kafka_request *q)
{
	if (q->version >= 8)
		kafka_wire_put_i32(b, NOT_ASKED);
}

void
kafka_answer_metadata_end(struct buf *b, const struct kafka_request *q)
{
	if (q->version >= 8)
		kafka_wire_put_i32(b, NOT_ASKED);
}

void
kafka_answer_offsets(struct buf *b, const struct kafka_request *q)
{
	if (q->version >= 2)
		put_no_throttle(b);
	kafka_wire_put_i32(b, (int32_t)q->topic_count);
}

void
kafka_answer_fetch(struct buf *b, const struct kafka_request *q)
{
	put_no_throttle(b);
	if (q->version >= 7) {
		kafka_wire_put_i16(b, KAFKA_OK);
		/* no session: each request says all that it wants */
		kafka_wire_put_i32(b, 0);
	}
	kafka_wire_put_i32(b, (int32_t)q->topic_count);
}

void
kafka_answer_topic(struct buf *b, struct kafka_text name, unsigned partitions)
{
	kafka_wire_put_string(b, name);
	kafka_wire_put_i32(b, (int32_t)partitions);
}

void
kafka_answer_offsets_partition(struct buf *b, const struct kafka_request *q,
    int32_t index, enum kafka_error error, int64_t time_ms, int64_t offset)
{
	kafka_wire_put_i32(b, index);
	kafka_wire_put_i16(b, (int16_t)error);
	kafka_wire_put_i64(b, time_ms);
	kafka_wire_put_i64(b, offset);
	if (q->version >= 4)
		kafka_wire_put_i32(b, NO_EPOCH);
}

void
kafka_answer_fetch_partition(struct buf *b, const struct kafka_request *q,
    const struct kafka_answer_fetched *f)
{
	kafka_wire_put_i32(b, f->index);
	kafka_wire_put_i16(b, (int16_t)f->error);
	kafka_wire_put_i64(b, f->end); /* high watermark */
	kafka_wire_put_i64(b, f->end); /* last stable offset */
	if (q->version >= 5)
		kafka_wire_put_i64(b, f->start);
	kafka_wire_put_i32(b, 0); /* no aborted transactions */
	if (q->version >= 11)
		kafka_wire_put_i32(b, -1); /* read from us */
	/* 0, never −1, which librdkafka does not read */
	kafka_wire_put_i32(b, (int32_t)f->record_bytes);
}

void
kafka_answer_sasl_handshake(
    struct buf *b, enum kafka_error error, const char *const *mechanisms)
{
	int32_t count = 0;

	while (mechanisms[count] != NULL)
		count++;
	kafka_wire_put_i16(b, (int16_t)error);
	kafka_wire_put_i32(b, count);
	for (int32_t i = 0; i < count; i++)
		kafka_wire_put_string(b, kafka_wire_text(mechanisms[i]));
}

void
kafka_answer_sasl_authenticate(struct buf *b, const struct kafka_request *q,
    enum kafka_error error, const char *message, struct kafka_text token)
{
	kafka_wire_put_i16(b, (int16_t)error);
	kafka_wire_put_nullable(b, kafka_wire_text(message));
	kafka_wire_put_bytes(b, token.at, token.bytes);
	if (q->version >= 1)
		kafka_wire_put_i64(b, 0); /* for as long as it is open */
}

/*
 * fuzz_kafka - a Kafka client's frames: read, answered, the answer read
 *
 * The bytes are frames as a socket brings them, one behind the other. Each is
 * read from memory of its own with nothing behind it. What is taken points into
 * its frame, stays within the bounds and is answered as a feed does it; the
 * answer must have the shape that Kafka's description of that version says
 * (kafka_shape.h, which knows nothing of the code).
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz_input.h"
#include "kafka_answer.h"
#include "kafka_shape.h"

#define ANSWER_MAX (4 * MiB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct kafka_request q;

static void
check_view(struct kafka_text t, const char *frame, size_t bytes)
{
	if (t.at == NULL)
		must(t.bytes == 0);
	else
		must(t.at >= frame && t.bytes <= bytes &&
		    (size_t)(t.at - frame) <= bytes - t.bytes);
}

static void
check_taken(const char *frame, size_t bytes)
{
	unsigned partitions = 0;

	must(q.topic_count <= KAFKA_REQUEST_TOPICS_MAX);
	must(q.partition_count <= KAFKA_REQUEST_PARTITIONS_MAX);
	must(kafka_request_name(q.api) != NULL);
	check_view(q.client, frame, bytes);
	check_view(q.sasl, frame, bytes);
	for (unsigned i = 0; i < q.topic_count; i++) {
		const struct kafka_request_topic *t = &q.topics[i];

		must(t->name.at != NULL);
		check_view(t->name, frame, bytes);
		must(t->count == 0 || t->first == partitions);
		partitions += t->count;
	}
	must(partitions == q.partition_count);
}

/* As many bytes as the request wants, some of them. */
static size_t
answer_partition(struct buf *b, const struct kafka_request_partition *p)
{
	struct kafka_answer_fetched f = { .index = p->index,
		.start = p->offset,
		.end = p->offset,
		.record_bytes = (uint32_t)p->bytes_max % 5 };

	if (q.api == KAFKA_LIST_OFFSETS) {
		kafka_answer_offsets_partition(
		    b, &q, p->index, KAFKA_OK, -1, p->offset);
		return 0;
	}
	kafka_answer_fetch_partition(b, &q, &f);
	/* in place of records from elsewhere */
	buf_add(b, "abcde", f.record_bytes);
	return f.record_bytes;
}

static void
answer_topics(struct buf *b)
{
	if (q.api == KAFKA_FETCH)
		kafka_answer_fetch(b, &q);
	else
		kafka_answer_offsets(b, &q);
	for (unsigned i = 0; i < q.topic_count; i++) {
		const struct kafka_request_topic *t = &q.topics[i];

		kafka_answer_topic(b, t->name, t->count);
		for (unsigned p = 0; p < t->count; p++)
			(void)answer_partition(b, &q.partitions[t->first + p]);
	}
}

static void
answer_metadata(struct buf *b)
{
	struct kafka_answer_broker broker = { 1, 9094, kafka_wire_text("h") };
	struct kafka_answer_cluster cluster = { kafka_wire_text("c"), 1,
		&broker, 1 };

	kafka_answer_metadata(b, &q, &cluster, q.topic_count);
	for (unsigned i = 0; i < q.topic_count; i++) {
		kafka_answer_metadata_topic(
		    b, &q, q.topics[i].name, KAFKA_OK, i % 3);
		for (unsigned p = 0; p < i % 3; p++)
			kafka_answer_metadata_partition(
			    b, &q, (int32_t)p, (int32_t)p - 1);
		kafka_answer_metadata_topic_end(b, &q);
	}
	kafka_answer_metadata_end(b, &q);
}

static void
answer(struct buf *b)
{
	static const char *const mechanisms[] = { "PLAIN", NULL };
	const struct kafka_answer_api *apis;
	unsigned count;

	switch (q.api) {
	case KAFKA_FETCH:
	case KAFKA_LIST_OFFSETS: answer_topics(b); break;
	case KAFKA_METADATA: answer_metadata(b); break;
	case KAFKA_API_VERSIONS:
		apis = kafka_answer_apis(true, &count);
		kafka_answer_api_versions(b, &q, apis, count);
		break;
	case KAFKA_SASL_HANDSHAKE:
		kafka_answer_sasl_handshake(b, KAFKA_OK, mechanisms);
		break;
	case KAFKA_SASL_AUTHENTICATE:
		kafka_answer_sasl_authenticate(b, &q, KAFKA_OK, NULL, q.sasl);
		break;
	default: unreachable("an API that is not served was taken");
	}
}

static void
check_answer(void)
{
	struct kafka_shape shape;
	char text[128];
	struct buf b;
	size_t begin;

	buf_init(&b, ANSWER_MAX);
	begin = kafka_answer_begin(&b, &q);
	answer(&b);
	kafka_answer_end(&b, begin, 0);
	must(!b.failed);
	must((size_t)kafka_wire_frame_size(b.bytes) == b.used - 4);
	must(kafka_shape_holds(&shape, b.bytes + 8, b.used - 8,
	    kafka_shape_of(q.api, q.version, text)));
	buf_free(&b);
}

static void
look_at(const uint8_t *bytes, size_t count)
{
	/* a copy that ends where the frame ends */
	char *frame = must_malloc(MAX_OF(count, 1));
	enum kafka_verdict verdict;

	memcpy(frame, bytes, count);
	verdict = kafka_request_read(&q, frame, count);
	if (verdict == KAFKA_TAKEN)
		check_taken(frame, count);
	if (verdict == KAFKA_TAKEN || verdict == KAFKA_TOO_NEW)
		check_answer();
	must(verdict != KAFKA_TOO_NEW || q.api == KAFKA_API_VERSIONS);
	must(count >= 8 || verdict == KAFKA_MALFORMED);
	free(frame);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	while (bytes >= KAFKA_FRAME_HEAD) {
		int32_t size = kafka_wire_frame_size(data);

		data += KAFKA_FRAME_HEAD;
		bytes -= KAFKA_FRAME_HEAD;
		if (size < 0)
			break;
		size = (int32_t)MIN_OF((size_t)size, bytes);
		look_at(data, (size_t)size);
		data += size;
		bytes -= (size_t)size;
	}
	return 0;
}

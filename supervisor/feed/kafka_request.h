/*
 * kafka_request - what a Kafka client asks, read into a struct
 *
 * Process: feed. Pure.   Before: kafka_answer.c.
 * Follows: Kafka's clients/src/main/resources/common/message/XRequest.json:
 *          ApiVersions 0-4, Metadata 0-8, ListOffsets 1-5, Fetch 4-11,
 *          SaslHandshake 0-1, SaslAuthenticate 0-1.
 *
 * A request is read out of its frame as often as it is looked at; nothing is
 * copied. Bytes behind a request's last field are passed over.
 */
#pragma once

#include "kafka_wire.h"

#define KAFKA_REQUEST_BYTES_MAX (256u * KiB)
#define KAFKA_REQUEST_TOPICS_MAX 1024u
#define KAFKA_REQUEST_PARTITIONS_MAX 4096u /* of all its topics */

enum kafka_api {
	KAFKA_PRODUCE = 0, /* advertised, and not served: kafka_answer.c */
	KAFKA_FETCH = 1,
	KAFKA_LIST_OFFSETS = 2,
	KAFKA_METADATA = 3,
	KAFKA_SASL_HANDSHAKE = 17,
	KAFKA_API_VERSIONS = 18,
	KAFKA_SASL_AUTHENTICATE = 36,
};

/* In place of a time in ListOffsets. */
#define KAFKA_LATEST (-1)
#define KAFKA_EARLIEST (-2)

enum kafka_verdict {
	KAFKA_TAKEN,
	/* ApiVersions of a version that came after us: error 35 */
	KAFKA_TOO_NEW,
	/* an API, or a version of one, that is not served: the end */
	KAFKA_UNSERVED,
	/* no request at all: the end */
	KAFKA_MALFORMED,
};

struct kafka_request_topic {
	struct kafka_text name;
	unsigned first, count; /* of the request's partitions */
};

struct kafka_request_partition {
	int32_t index;
	int32_t bytes_max; /* Fetch */
	int64_t offset; /* Fetch: from where on; ListOffsets: a time in ms */
};

struct kafka_request {
	int16_t api, version;
	int32_t correlation;
	struct kafka_text client;

	/* Metadata, ListOffsets, Fetch */
	bool all_topics; /* Metadata */
	unsigned topic_count, partition_count;

	/* Fetch */
	int32_t max_wait_ms, bytes_min, bytes_max;
	int32_t session_id, session_epoch;

	/* SaslHandshake: the mechanism; SaslAuthenticate: the token */
	struct kafka_text sasl;

	struct kafka_request_topic topics[KAFKA_REQUEST_TOPICS_MAX];
	struct kafka_request_partition partitions[KAFKA_REQUEST_PARTITIONS_MAX];
};

/* A frame's bytes, without the size in front of them. For TOO_NEW, header and
 * correlation are there; for UNSERVED, api and version. */
enum kafka_verdict
kafka_request_read(struct kafka_request *, const void *frame, size_t bytes);
/* "Fetch"; NULL: not one of enum kafka_api. */
const char *kafka_request_name(int16_t api);

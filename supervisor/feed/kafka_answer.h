/*
 * kafka_answer - what a Kafka client is answered, in its request's version
 *
 * Process: feed. Pure.   After: kafka_request.c.
 * Follows: Kafka's clients/src/main/resources/common/message/XResponse.json.
 *
 * An answer is a row of calls: kafka_answer_begin, those of its API,
 * kafka_answer_end. The records of a Fetch are not copied: they belong behind
 * each partition, and their bytes are counted at the end.
 */
#pragma once

#include "kafka_request.h"

enum kafka_error {
	KAFKA_OK = 0,
	KAFKA_OFFSET_OUT_OF_RANGE = 1,
	KAFKA_UNKNOWN_TOPIC_OR_PARTITION = 3,
	KAFKA_LEADER_NOT_AVAILABLE = 5,
	KAFKA_NOT_LEADER = 6,
	KAFKA_UNSUPPORTED_MECHANISM = 33,
	KAFKA_ILLEGAL_SASL_STATE = 34,
	KAFKA_UNSUPPORTED_VERSION = 35,
	KAFKA_STORAGE_ERROR = 56,
	KAFKA_AUTHENTICATION_FAILED = 58,
};

/* An API that is offered, with the versions of it. */
struct kafka_answer_api {
	int16_t api, low, high;
};

/* What is offered to who need not say who he is, and else; with their count.
 * Produce is in it for librdkafka's sake, which sends no Fetch to who does
 * not offer it. */
const struct kafka_answer_api *
kafka_answer_apis(bool with_sasl, unsigned *count);

/* Where the next answer begins. */
size_t kafka_answer_begin(struct buf *, const struct kafka_request *);
/* record_bytes: of all its partitions, which are not in the buf. */
void kafka_answer_end(struct buf *, size_t begin, size_t record_bytes);

/* ApiVersions, also to a request that is too new (KAFKA_TOO_NEW). */
void kafka_answer_api_versions(struct buf *, const struct kafka_request *,
    const struct kafka_answer_api *, unsigned count);

/* Metadata: who serves, then each of `topics` with its partitions, then the
 * end. */
struct kafka_answer_broker {
	int32_t node, port;
	struct kafka_text host;
};

struct kafka_answer_cluster {
	struct kafka_text id;
	int32_t controller; /* a broker's node */
	const struct kafka_answer_broker *brokers;
	unsigned broker_count;
};

void kafka_answer_metadata(struct buf *, const struct kafka_request *,
    const struct kafka_answer_cluster *, unsigned topics);
void kafka_answer_metadata_topic(struct buf *, const struct kafka_request *,
    struct kafka_text name, enum kafka_error, unsigned partitions);
/* leader: a broker's node, or −1: there is none now */
void kafka_answer_metadata_partition(
    struct buf *, const struct kafka_request *, int32_t index, int32_t leader);
void
kafka_answer_metadata_topic_end(struct buf *, const struct kafka_request *);
void kafka_answer_metadata_end(struct buf *, const struct kafka_request *);

/* ListOffsets and Fetch: the topics of the request in its order, each with its
 * partitions in theirs. */
void kafka_answer_offsets(struct buf *, const struct kafka_request *);
void kafka_answer_fetch(struct buf *, const struct kafka_request *);
void
kafka_answer_topic(struct buf *, struct kafka_text name, unsigned partitions);
void kafka_answer_offsets_partition(struct buf *, const struct kafka_request *,
    int32_t index, enum kafka_error, int64_t time_ms, int64_t offset);

struct kafka_answer_fetched {
	int32_t index;
	enum kafka_error error;
	int64_t start, end; /* of the log; −1 with an error */
	uint32_t record_bytes; /* that follow */
};

void kafka_answer_fetch_partition(struct buf *, const struct kafka_request *,
    const struct kafka_answer_fetched *);

void kafka_answer_sasl_handshake(
    struct buf *, enum kafka_error, const char *const *mechanisms);
/* message: NULL, or why not */
void kafka_answer_sasl_authenticate(struct buf *, const struct kafka_request *,
    enum kafka_error, const char *message, struct kafka_text token);

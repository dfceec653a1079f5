/*
 * partition_hash - which partition of its interval an event belongs to
 *
 * Process: receiver computes the hash, worker picks by it. Pure.
 * Follows tranquility.md 3.5 to the bit, so that tranqd and JVM instances on
 * one dataSource send equal rows to the same partition.
 */
#pragma once

#include "base.h"
#include "json_scan.h"

/* Of a list, elements past these limits are left out of the hash, so that
 * what one event makes us hold is bounded. */
#define PARTITION_LIST_MAX 65536
#define PARTITION_TEXT_MAX (1u * MiB)

struct partition_name;
struct partition_scratch;

/* A dataSource's dimensions, and working memory: one for each user of it, not
 * to be shared between threads. */
struct partition_hash_spec {
	bool is_schemaless;
	unsigned name_count;
	struct partition_name *names; /* sorted as Java sorts strings */
	uint32_t *slots; /* hash table over names */
	uint32_t slot_mask;
	struct partition_scratch *scratch;
};

/* `names` (UTF-8, copied) are the listed dimensions, or, when schemaless, the
 * fields that are none. Repeated names count once. */
void partition_hash_init(struct partition_hash_spec *, bool is_schemaless,
    const char *const *names, size_t count);
void partition_hash_fini(struct partition_hash_spec *);

/* The hash of an event whose fields json_scan listed; `truncated_ms` is its
 * timestamp truncated to queryGranularity. */
int32_t partition_hash(struct partition_hash_spec *, int64_t truncated_ms,
    const char *body, const struct json_field *fields, unsigned count);

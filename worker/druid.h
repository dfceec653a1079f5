/*
 * druid - which Druid is there: its version, and whether it can pull
 *
 * Process: worker.   Before: overlord.
 * druid-api.md 3 has GET /status, which every server of Druid answers.
 *
 * It is asked for at the beginning, and again at times: Druid is upgraded while
 * we run. Other words than those that are believed are believed when they come
 * twice in a row, for of several Overlords some may be newer already.
 */
#pragma once

#include "loop.h"
#include "overlord.h"

#define DRUID_VERSION_BYTES 64
/* The first that has no realtime tasks any more. */
#define DRUID_WITHOUT_PUSH 31

struct druid_facts {
	char version[DRUID_VERSION_BYTES]; /* as it says it */
	/* "0.23.0" is 0. Not known of a vendor's own numbering ("2024.05.0") */
	bool has_major;
	unsigned major;
	bool has_kafka; /* druid-kafka-indexing-service is loaded */
};

struct druid;

struct druid_parts {
	struct loop *loop;
	struct overlord *overlord;
	int64_t period_ms; /* between two questions */
	/* what was known in an earlier life, copied; NULL: nothing */
	const struct druid_facts *before;
	/* Whatever druid_facts and druid_trouble say may be another thing now;
	 * from the loop. NULL: nobody is called. */
	void (*heard)(void *context);
	void *context;
};

/* Asks at once. */
struct druid *druid_new(const struct druid_parts *);
void druid_free(struct druid **);
/* What is known, or was before; NULL: nothing. Lent, good until `heard`. */
const struct druid_facts *druid_facts(const struct druid *);
/* Whether the first question has ended, with an answer or without. */
bool druid_was_asked(const struct druid *);
/* Why the last question has no answer of use; "": it has. Lent. */
const char *druid_trouble(const struct druid *);

/* What an answer says; false: nothing of use. Pure. */
bool
druid_read(const struct overlord_answer *, struct druid_facts *) MUST_CHECK;
/* "31.0.1", "28.0.0-SNAPSHOT", "2024.05.0-iap": sets version, has_major and
 * major; false: it is no version. Pure. */
bool druid_read_version(const char *text, struct druid_facts *) MUST_CHECK;

/*
 * kafka_note - in words, why a supervisor in Druid is not as it shall be
 *
 * Process: worker. Pure.   After: kafka_spec_compare.
 */
#pragma once

#include "kafka_spec.h"

struct kafka_note {
	enum kafka_spec_match match;
	const char *where; /* of the comparison */
	bool manages; /* we may change it */
	bool is_shared; /* with other tranqds */
	bool has_been; /* it was as it shall be before */
};

/* "": it is as it shall be, or that is nobody's business. */
void kafka_note(const struct kafka_note *, char *to, size_t bytes);

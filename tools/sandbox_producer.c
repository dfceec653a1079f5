/*
 * sandbox_producer - which pushes a firehose has seen, by producer
 *
 * Process: tranq-sandbox. Pure.
 */
#include "sandbox_producer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define SEQUENCE_BYTES 32

void
sandbox_producers_init(struct producers *p)
{
	text_map_init(&p->by_id);
}

void
sandbox_producers_fini(struct producers *p)
{
	struct text_entry *e;

	for (size_t at = 0; (e = text_map_next(&p->by_id, &at)) != NULL;)
		free(e->value);
	text_map_fini(&p->by_id);
}

/* As Long.parseLong: a sign, digits, nothing else. */
static bool
parse_sequence(const char *text, size_t bytes, int64_t *out)
{
	char copy[SEQUENCE_BYTES], *end;
	size_t sign = bytes > 0 && (text[0] == '-' || text[0] == '+');

	if (bytes <= sign || bytes >= sizeof copy || text[sign] < '0' ||
	    text[sign] > '9')
		return false;
	memcpy(copy, text, bytes);
	copy[bytes] = '\0';
	errno = 0;
	*out = strtoll(copy, &end, 10);
	return errno == 0 && end == copy + bytes;
}

/* As Druid has it: a new id is in before the number is looked at. */
static struct producer *
get(struct producers *p, const struct producer_call *c)
{
	struct producer *one = text_map_get(&p->by_id, c->id, c->id_bytes);

	if (one != NULL)
		return one;
	if (text_map_count(&p->by_id) >= PRODUCERS_MAX)
		return NULL;
	one = must_calloc(1, sizeof *one);
	one->sequence = INT64_MIN;
	text_map_set(&p->by_id, c->id, c->id_bytes, one);
	return one;
}

enum producer_verdict
sandbox_producers_record(
    struct producers *p, const struct producer_call *c, struct producer **out)
{
	struct producer *one = get(p, c);
	int64_t sequence;

	*out = NULL;
	if (text_map_count(&p->by_id) >= PRODUCERS_MAX)
		return PRODUCER_TOO_MANY;
	*out = one;
	if (!parse_sequence(c->sequence, c->sequence_bytes, &sequence))
		return PRODUCER_NO_NUMBER;
	if (sequence < one->sequence)
		return PRODUCER_OLDER;
	if (sequence == one->sequence)
		return PRODUCER_EQUAL;
	one->sequence = sequence;
	one->rows = ROWS_AWAITED;
	return PRODUCER_NEWER;
}

/*
 * drops - which events of a request were dropped, and why; which were late
 *
 * Process: receiver. Pure.
 */
#include "drops.h"

#include <stdlib.h>

#include "iso.h"
#include "log.h"

#define FIRST 16u
#define NOTE_MS 10000

void
drops_init(struct drops *d, uint32_t max)
{
	*d = (struct drops){ .max = max };
}

void
drops_free(struct drops *d)
{
	free(d->list);
	drops_init(d, d->max);
}

bool
drops_add(struct drops *d, const struct drop *drop)
{
	if (d->count == d->max)
		return true;
	if (d->count == d->capacity) {
		uint32_t n = MIN_OF(MAX_OF(d->capacity * 2, FIRST), d->max);
		void *grown = realloc(d->list, n * sizeof d->list[0]);

		if (grown == NULL)
			return false;
		d->list = grown;
		d->capacity = n;
	}
	d->list[d->count++] = *drop;
	return true;
}

size_t
drops_bytes(const struct drops *d)
{
	return d->capacity * sizeof d->list[0];
}

uint32_t
drops_kept(const struct drops *d)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < d->count; i++)
		kept += d->list[i].is_kept;
	return kept;
}

static void
print(const struct drop *d, struct buf *to)
{
	char time[ISO_BYTES];

	iso_format(d->timestamp_ms, time);
	buf_addf(to, "{\"index\":%u", d->event);
	if (d->line > 0)
		buf_addf(to, ",\"line\":%llu", (unsigned long long)d->line);
	buf_addf(to, ",\"%s\":\"%s\",\"timestamp\":\"%s\"}",
	    d->is_kept ? "policy" : "reason",
	    d->is_kept ? late_policy_name(d->policy)
		       : event_drop_name(d->reason),
	    time);
}

void
drops_print(const struct drops *d, bool is_kept, struct buf *to)
{
	const char *comma = "[";

	for (uint32_t i = 0; i < d->count; i++) {
		if (d->list[i].is_kept != is_kept)
			continue;
		buf_add_text(to, comma);
		print(&d->list[i], to);
		comma = ",";
	}
	buf_add_text(to, *comma == '[' ? "[]" : "]");
}

void
drops_log(
    struct drops_note *n, const char *ds, uint32_t count, int64_t example_ms)
{
	char example[ISO_BYTES];

	n->count += count;
	if (!log_may_repeat(&n->said_ms, NOTE_MS))
		return;
	iso_format(example_ms, example);
	log_warnx("dataSource '%s': dropped %llu event%s outside of "
		  "windowPeriod, e.g. one of %s",
	    ds, (unsigned long long)n->count, n->count == 1 ? "" : "s",
	    example);
	n->count = 0;
}

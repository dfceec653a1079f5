/*
 * drops - which events of a request were dropped, and why
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

void
drops_print(const struct drops *d, struct buf *to)
{
	char time[ISO_BYTES];

	buf_add_text(to, "[");
	for (uint32_t i = 0; i < d->count; i++) {
		const struct drop *drop = &d->list[i];

		iso_format(drop->timestamp_ms, time);
		buf_addf(to, "%s{\"index\":%u", i > 0 ? "," : "", drop->event);
		if (drop->line > 0)
			buf_addf(to, ",\"line\":%llu",
			    (unsigned long long)drop->line);
		buf_addf(to, ",\"reason\":\"%s\",\"timestamp\":\"%s\"}",
		    event_drop_name(drop->reason), time);
	}
	buf_add_text(to, "]");
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

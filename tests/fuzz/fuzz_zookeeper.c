/*
 * fuzz_zookeeper - what others have written into ZooKeeper
 *
 * The first byte chooses: the beams' document (what is taken is written and
 * read again the same, and can be worked with), the announcement of a service,
 * a connect string.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "beam_data.h"
#include "discovery.h"
#include "panic.h"
#include "place.h"
#include "zk_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- beams ---- */

static void
check_order(const struct beam_data *d)
{
	for (size_t i = 1; i < d->count; i++)
		must(d->beams[i - 1].bucket < d->beams[i].bucket ||
		    (d->beams[i - 1].bucket == d->beams[i].bucket &&
			d->beams[i - 1].partition < d->beams[i].partition));
	for (size_t i = 0; i < d->count; i++) {
		const struct beam_record *r = &d->beams[i];
		size_t count;

		must(beam_data_find(d, r->bucket, r->partition) == r);
		must(beam_data_bucket(d, r->bucket, &count) <= r && count > 0);
		must(beam_data_latest(d) >= r->bucket);
	}
}

static void
print(const struct beam_data *d, struct buf *to)
{
	buf_init(to, BEAM_DATA_BYTES_MAX * 4);
	beam_data_print(d, to);
	must(!to->failed);
}

static void
check_again(const struct beam_data *d)
{
	char error[BEAM_DATA_ERROR_BYTES];
	struct beam_data again;
	struct buf first, second;

	print(d, &first);
	beam_data_init(&again);
	must(beam_data_parse(&again, first.bytes, first.used, error));
	print(&again, &second);
	must(first.used == second.used);
	must(memcmp(first.bytes, second.bytes, first.used) == 0);
	beam_data_fini(&again);
	buf_free(&first);
	buf_free(&second);
}

/* As beam_cluster does, with a time of its own for each document. */
static void
work_with(struct beam_data *d)
{
	struct period window = period_of_ms(600000);
	struct beam_record *r = d->count > 0 ? &d->beams[d->count / 2] : NULL;
	int64_t bucket = r != NULL ? r->bucket : 0;
	struct interval interval = { 0, 1 };
	size_t before = d->count;
	struct beam_data copy;

	if (r != NULL)
		interval = r->interval;
	beam_data_init(&copy);
	beam_data_copy(&copy, d);
	check_again(&copy);
	must(beam_data_prune(&copy, bucket, &window, 1000) ==
	    before - copy.count);
	check_order(&copy);
	beam_data_close(d, bucket);
	must(d->latest_close >= bucket);
	r = beam_data_add(
	    d, bucket, interval, beam_data_next_partition(d, bucket));
	beam_record_add_task(r, "task", "firehose");
	check_order(d);
	check_again(d);
	beam_data_fini(&copy);
}

static void
read_beams(const char *text, size_t bytes)
{
	char error[BEAM_DATA_ERROR_BYTES] = "";
	struct beam_data d;

	beam_data_init(&d);
	if (beam_data_parse(&d, text, bytes, error)) {
		check_order(&d);
		check_again(&d);
		work_with(&d);
	} else {
		must(error[0] != '\0' && d.count == 0);
	}
	beam_data_fini(&d);
}

/* ---- services, addresses ---- */

static void
read_service(const char *text, size_t bytes)
{
	struct discovery_place place;
	struct place chosen;
	const char *why;
	char *url;

	if (!discovery_parse(text, bytes, &place, &why)) {
		must(why != NULL);
		return;
	}
	must(why == NULL && place.host[0] != '\0');
	must(strlen(place.host) < sizeof place.host);
	must(place.port >= 0 && place.port <= 65535);
	must(place.tls_port >= 0 && place.tls_port <= 65535);
	must(place_choose(&chosen, false, place.port, place.tls_port));
	url = place_url(place.host, &chosen);
	must(strncmp(url, "http", 4) == 0 && strpbrk(url, " \r\n") == NULL);
	free(url);
}

static void
read_address(const char *bytes, size_t count)
{
	char *text = must_calloc(1, count + 1), *full, *again;

	memcpy(text, bytes, count);
	full = zk_address_complete(text);
	if (full != NULL) {
		/* each of its servers has a port now */
		again = zk_address_complete(full);
		must(again != NULL && strcmp(full, again) == 0);
		must(full[0] != ',' && !isspace((unsigned char)full[0]));
		free(again);
	}
	free(full);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	char *text;

	if (bytes < 1)
		return 0;
	text = must_malloc(bytes - 1);
	if (bytes > 1)
		memcpy(text, data + 1, bytes - 1);
	switch (*data % 4) {
	case 0: read_service(text, bytes - 1); break;
	case 1: read_address(text, bytes - 1); break;
	default: read_beams(text, bytes - 1);
	}
	free(text);
	return 0;
}

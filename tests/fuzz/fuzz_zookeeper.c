/*
 * fuzz_zookeeper - what others have written into ZooKeeper
 *
 * The first byte chooses: the beams' document (what is taken is all that it
 * says, what we do not know too; it is written and read again the same, and can
 * be worked with), the announcement of a service, a connect string, a partition of
 * a shared topic and who holds it.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "beam_data.h"
#include "discovery.h"
#include "iso.h"
#include "panic.h"
#include "partition.h"
#include "place.h"
#include "share_view.h"
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
check_others(const struct json *a, const struct json *b)
{
	must((a == NULL) == (b == NULL));
	must(a == NULL || json_same(a, b));
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
	must(again.count == d->count);
	check_others(again.others, d->others);
	for (size_t i = 0; i < d->count; i++)
		check_others(again.beams[i].others, d->beams[i].others);
	beam_data_fini(&again);
	buf_free(&first);
	buf_free(&second);
}

static int64_t
time_of(const struct json *j)
{
	const char *text = json_text(j, "");
	int64_t ms = json_int(j, 0);

	if (!json_is_int(j))
		must(iso_parse(text, strlen(text), ISO_T, &ms));
	return ms;
}

/* Members that are not ours are among the others. */
static void
check_kept(const struct json *others, const struct json *from)
{
	static const char ours[] = " beams latestTime latestCloseTime interval "
				   "partition tasks timestamp taskId "
				   "firehoseId ";

	for (struct json_member *m = json_first(from); m != NULL;
	     m = json_next(from, m)) {
		const char *name = json_member_name(m);

		if (strstr(ours, name) == NULL)
			must(json_same(json_get(others, name), json_member(m)));
	}
}

static void
check_record(const struct beam_record *r, const struct json *j)
{
	const struct json *tasks = json_get(j, "tasks");
	const struct json *timestamp = json_get(j, "timestamp");

	must(tasks == NULL || r->task_count == json_size(tasks));
	for (size_t i = 0; i < json_size(tasks); i++) {
		const struct json *t = json_at(tasks, i);

		must(strcmp(r->tasks[i].id, json_get_text(t, "id", "")) == 0);
		must(strcmp(r->tasks[i].firehose_id,
			 json_get_text(t, "firehoseId", "")) == 0);
	}
	must(r->has_timestamp ==
	    (timestamp != NULL && !json_is_null(timestamp)));
	must(!r->has_timestamp || r->timestamp == time_of(timestamp));
	check_kept(r->others, j);
}

/* What the document says is all there. */
static void
check_all(const struct beam_data *d, const char *text, size_t bytes)
{
	struct json_error error;
	struct json *top = json_parse(text, bytes, &error);
	const struct json *beams = json_get(top, "beams");
	size_t count = 0;

	check_kept(d->others, top);
	for (struct json_member *m = json_first(beams); m != NULL;
	     m = json_next(beams, m)) {
		const char *name = json_member_name(m);
		const struct json *list = json_member(m);
		int64_t bucket;

		must(iso_parse(name, strlen(name), ISO_T, &bucket));
		for (size_t i = 0; i < json_size(list); i++, count++) {
			const struct json *j = json_at(list, i);
			const struct beam_record *r = beam_data_find(d, bucket,
			    (unsigned)json_get_int(j, "partition", -1));

			must(r != NULL);
			check_record(r, j);
		}
	}
	must(count == d->count);
	json_free(&top);
}

#define WINDOW_MS 600000
#define SLACK_MS 1000

/* A bucket goes as a whole, when all of its beams have ended. */
static void
check_pruned(
    const struct beam_data *before, const struct beam_data *after, int64_t now)
{
	for (size_t i = 0, end; i < before->count; i = end) {
		const struct beam_record *b = before->beams;
		bool is_over = true;

		for (end = i;
		     end < before->count && b[end].bucket == b[i].bucket; end++)
			is_over &= b[end].interval.end + WINDOW_MS +
				(partition_is_any_time(b[end].partition)
					? 0
					: SLACK_MS) <
			    now;
		for (size_t k = i; k < end; k++)
			must(is_over ==
			    (beam_data_find(
				 after, b[k].bucket, b[k].partition) == NULL));
	}
}

/* As beam_cluster does, with a time of its own for each document. */
static void
work_with(struct beam_data *d)
{
	struct period window = period_of_ms(WINDOW_MS);
	struct beam_record *r = d->count > 0 ? &d->beams[d->count / 2] : NULL;
	int64_t bucket = r != NULL ? r->bucket : 0;
	struct interval interval = { 0, 1 };
	int64_t closed = d->latest_close;
	struct beam_data copy;

	if (r != NULL)
		interval = r->interval;
	beam_data_init(&copy);
	beam_data_copy(&copy, d);
	check_again(&copy);
	must(beam_data_prune(&copy, bucket, &window, SLACK_MS) ==
	    d->count - copy.count);
	check_order(&copy);
	check_pruned(d, &copy, bucket);
	beam_data_close(d, bucket);
	must(d->latest_close == MAX_OF(closed, bucket));
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
		check_all(&d, text, bytes);
		check_again(&d);
		work_with(&d);
	} else {
		must(error[0] != '\0' && d.count == 0);
	}
	beam_data_fini(&d);
}

/* ---- services, addresses ---- */

static void
check_place(const struct discovery_place *place, const char *text, size_t bytes)
{
	struct json_error error;
	struct json *j = json_parse(text, bytes, &error);

	must(strcmp(place->host, json_get_text(j, "address", "")) == 0);
	must(place->port == MAX_OF(json_get_int(j, "port", 0), 0));
	must(place->tls_port == MAX_OF(json_get_int(j, "sslPort", 0), 0));
	must(place->port <= 65535 && place->tls_port <= 65535);
	json_free(&j);
}

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
	check_place(&place, text, bytes);
	must(place_choose(&chosen, false, place.port, place.tls_port));
	url = place_url(place.host, &chosen);
	must(strncmp(url, "http", 4) == 0 && strpbrk(url, " \r\n") == NULL);
	free(url);
}

/* How many servers there are. */
static unsigned
count_servers(const char *text)
{
	const char *end = text + strcspn(text, "/");
	unsigned count = 0;
	bool is_in = false;

	for (; text < end; text++) {
		if (*text == ',')
			is_in = false;
		else if (!is_in && !isspace((unsigned char)*text))
			is_in = ++count > 0;
	}
	return count;
}

/* Each server has a port, and the folder is the same. */
static void
check_address(const char *full, const char *text)
{
	const char *folder = text + strcspn(text, "/"), *at = full;
	size_t n = strlen(folder);

	must(count_servers(full) == count_servers(text));
	for (size_t bytes; *at != '\0' && *at != '/'; at += bytes) {
		const char *colon;

		at += *at == ',';
		bytes = strcspn(at, ",/");
		colon = memrchr(at, ':', bytes);
		must(colon != NULL);
		must(memchr(colon, ']', bytes - (size_t)(colon - at)) == NULL);
	}
	while (n > 0 &&
	    (folder[n - 1] == '/' || isspace((unsigned char)folder[n - 1])))
		n--;
	must(strlen(at) == n && memcmp(at, folder, n) == 0);
}

static void
read_address(const char *bytes, size_t count)
{
	char *text = must_calloc(1, count + 1), *full, *again;

	memcpy(text, bytes, count);
	full = zk_address_complete(text);
	if (full != NULL) {
		check_address(full, text);
		again = zk_address_complete(full);
		must(again != NULL && strcmp(full, again) == 0);
		must(full[0] != ',' && !isspace((unsigned char)full[0]));
		free(again);
	}
	free(full);
	free(text);
}

/* What is taken says the same when it is written and read again. */
static void
read_member(const char *bytes, size_t count)
{
	struct share_view v = { .count = 1 };
	struct share_member *m = &v.all[0], again = { 0 };
	struct share_self self = { .holds = true };
	struct log_peers peers;
	char *text;

	if (!share_view_read_holder(&m->holder, bytes, count))
		m->holder.is_there = false;
	if (!share_view_read_member(m, bytes, count))
		return;
	text = share_view_write_member(m);
	must(share_view_read_member(&again, text, strlen(text)));
	must(again.start == m->start && again.end == m->end &&
	    again.at.port == m->at.port && again.seeded == m->seeded);
	must(strcmp(again.log, m->log) == 0);
	free(text);
	self.at = m->at;
	share_view_peers(&v, &self, &peers);
	must(peers.count == 1 && peers.broker_count >= 1);
	text = share_view_servers(&v);
	must(text[0] != '\0');
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
	case 3: read_member(text, bytes - 1); break;
	default: read_beams(text, bytes - 1);
	}
	free(text);
	return 0;
}

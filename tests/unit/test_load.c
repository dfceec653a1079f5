/*
 * test_load - the load generator: its histogram, what it says of events that
 * were lost or doubled, its answers and its bodies
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json_scan.h"
#include "load_answer.h"
#include "load_body.h"
#include "load_gzip.h"
#include "load_histogram.h"
#include "load_ledger.h"
#include "panic.h"

static void
test_histogram_small(void **state)
{
	struct load_histogram h = { 0 };

	(void)state;
	assert_int_equal(load_histogram_at(&h, 0.5), 0);
	for (uint64_t us = 1; us <= 50; us++)
		load_histogram_add(&h, us);
	assert_int_equal(h.total, 50);
	assert_int_equal(h.sum_us, 1275);
	assert_int_equal(load_histogram_at(&h, 0), 1);
	assert_int_equal(load_histogram_at(&h, 0.02), 1);
	assert_int_equal(load_histogram_at(&h, 0.5), 25);
	assert_int_equal(load_histogram_at(&h, 0.98), 49);
	assert_int_equal(load_histogram_at(&h, 1), 50);
}

/* Every value comes back rounded up by less than a 64th, whatever its size. */
static void
test_histogram_precision(void **state)
{
	static struct load_histogram h;

	(void)state;
	for (uint64_t us = 1; us < UINT64_C(1) << 40; us += us / 7 + 1) {
		uint64_t got;

		h = (struct load_histogram){ 0 };
		load_histogram_add(&h, us);
		/* a larger one, so that the largest does not cut it */
		load_histogram_add(&h, UINT64_C(1) << 41);
		got = load_histogram_at(&h, 0.5);
		assert_true(got >= us);
		assert_true(got - us <= us / 64);
	}
	h = (struct load_histogram){ 0 };
	load_histogram_add(&h, UINT64_MAX / 2);
	assert_true(load_histogram_at(&h, 0.5) == UINT64_MAX / 2);
}

/* Five requests of two events, the last of one. */
static void
make_ledger(struct load_ledger *l)
{
	assert_true(load_ledger_init(l, "run", 2, 9));
	assert_true(load_ledger_add_ds(l, "a"));
	assert_int_equal(l->requests, 5);
	load_ledger_restart(l);
}

static void
send_as(struct load_ledger *l, uint64_t request, enum load_fate fate)
{
	load_ledger_sent(l, request);
	load_ledger_settle(l, request, fate);
}

static void
arrive(struct load_ledger *l, unsigned number)
{
	char event[64];
	int n = snprintf(event, sizeof event,
	    "{\"time\":1,\"id\":\"run-%012u\",\"x\":1}", number);

	load_ledger_arrived(l, event, (size_t)n, 0);
}

static void
test_verdict_good(void **state)
{
	struct load_ledger l;
	struct load_verdict v;

	(void)state;
	make_ledger(&l);
	for (unsigned r = 0; r < 5; r++)
		send_as(&l, r, FATE_ANSWERED);
	for (unsigned n = 9; n-- > 0;)
		arrive(&l, n);
	load_ledger_judge(&l, &v);
	assert_true(load_verdict_good(&v));
	assert_int_equal(v.answered, 9);
	assert_int_equal(v.arrived, 9);
	assert_int_equal(v.lost + v.doubled + v.extra + v.foreign, 0);
	load_ledger_fini(&l);
}

static void
test_verdict_lost(void **state)
{
	struct load_ledger l;
	struct load_verdict v;

	(void)state;
	make_ledger(&l);
	send_as(&l, 0, FATE_ANSWERED);
	send_as(&l, 4, FATE_ANSWERED);
	arrive(&l, 1);
	load_ledger_judge(&l, &v);
	assert_int_equal(v.answered, 3);
	assert_int_equal(v.lost, 2);
	assert_false(load_verdict_good(&v));
	/* answers that counted one as dropped */
	l.dropped = 1;
	load_ledger_judge(&l, &v);
	assert_int_equal(v.missing, 2);
	assert_int_equal(v.lost, 1);
	l.dropped = 2;
	load_ledger_judge(&l, &v);
	assert_int_equal(v.lost, 0);
	assert_true(load_verdict_good(&v));
	/* a further look starts anew */
	load_ledger_restart(&l);
	load_ledger_judge(&l, &v);
	assert_int_equal(v.arrived, 0);
	assert_int_equal(v.lost, 1);
	load_ledger_fini(&l);
}

static void
test_verdict_doubled(void **state)
{
	struct load_ledger l;
	struct load_verdict v;

	(void)state;
	make_ledger(&l);
	send_as(&l, 0, FATE_UNKNOWN);
	send_as(&l, 0, FATE_ANSWERED);
	send_as(&l, 1, FATE_ANSWERED);
	for (unsigned n = 0; n < 4; n++)
		arrive(&l, n);
	arrive(&l, 0); /* sent twice by the client */
	load_ledger_judge(&l, &v);
	assert_int_equal(v.client_doubled, 1);
	assert_int_equal(v.doubled, 0);
	assert_true(load_verdict_good(&v));
	arrive(&l, 0); /* three times is not the client's doing */
	arrive(&l, 3);
	load_ledger_judge(&l, &v);
	assert_int_equal(v.client_doubled, 0);
	assert_int_equal(v.doubled, 2);
	assert_int_equal(v.arrived, 4);
	assert_false(load_verdict_good(&v));
	load_ledger_fini(&l);
}

static void
test_verdict_unanswered(void **state)
{
	struct load_ledger l;
	struct load_verdict v;

	(void)state;
	make_ledger(&l);
	send_as(&l, 0, FATE_UNKNOWN);
	send_as(&l, 1, FATE_REFUSED);
	arrive(&l, 0);
	arrive(&l, 2);
	arrive(&l, 3);
	load_ledger_judge(&l, &v);
	assert_true(load_verdict_good(&v));
	assert_int_equal(v.unknown, 2);
	assert_int_equal(v.unknown_arrived, 1);
	assert_int_equal(v.refused, 2);
	assert_int_equal(v.refused_arrived, 2);
	/* sent once, there twice: doubled, answered or not */
	arrive(&l, 0);
	load_ledger_judge(&l, &v);
	assert_int_equal(v.doubled, 1);
	load_ledger_fini(&l);
}

static void
arrive_text(struct load_ledger *l, const char *event, unsigned ds)
{
	load_ledger_arrived(l, event, strlen(event), ds);
}

static void
test_verdict_strangers(void **state)
{
	struct load_ledger l;
	struct load_verdict v;

	(void)state;
	make_ledger(&l);
	send_as(&l, 0, FATE_ANSWERED);
	arrive(&l, 0);
	arrive(&l, 1);
	arrive(&l, 2); /* of a request that was never sent */
	arrive(&l, 77); /* of none */
	arrive_text(&l, "{\"id\":\"nur-000000000000\"}", 0);
	arrive_text(&l, "{\"id\":\"run-00000000000\"}", 0);
	arrive_text(&l, "{\"id\":\"run-0000", 0);
	arrive_text(&l, "", 0);
	load_ledger_judge(&l, &v);
	assert_int_equal(v.extra, 2);
	assert_int_equal(v.foreign, 4);
	assert_int_equal(v.lost, 0);
	assert_false(load_verdict_good(&v));
	load_ledger_fini(&l);
}

static void
test_misrouted(void **state)
{
	struct load_ledger l;
	struct load_verdict v;

	(void)state;
	make_ledger(&l);
	assert_true(load_ledger_add_ds(&l, "b"));
	for (unsigned r = 0; r < 5; r++)
		send_as(&l, r, FATE_ANSWERED);
	assert_int_equal(load_ledger_ds_of(&l, 1), 0);
	assert_int_equal(load_ledger_ds_of(&l, 2), 1);
	arrive_text(&l, "{\"id\":\"run-000000000002\"}", 1);
	arrive_text(&l, "{\"id\":\"run-000000000003\"}", 0);
	load_ledger_judge(&l, &v);
	assert_int_equal(v.misrouted, 1);
	l.is_mixed = true;
	assert_int_equal(load_ledger_ds_of(&l, 1), 1);
	assert_int_equal(load_ledger_ds_of(&l, 2), 0);
	load_ledger_fini(&l);
}

static void
test_record(void **state)
{
	static char cut[] = "tranq-load 1\nrun r\nbatch 1\nevents 2\nmixed 0\n"
			    "dropped 0\ndataSource a\nrequests\n"
			    "answered 0 2 1\n";
	struct load_ledger l, back;
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	make_ledger(&l);
	assert_true(load_ledger_add_ds(&l, "b.c"));
	send_as(&l, 0, FATE_ANSWERED);
	send_as(&l, 1, FATE_ANSWERED);
	send_as(&l, 1, FATE_ANSWERED);
	send_as(&l, 2, FATE_REFUSED);
	send_as(&l, 4, FATE_UNKNOWN);
	l.is_mixed = true;
	l.dropped = 3;
	assert_true(load_ledger_write(&l, f));
	rewind(f);
	assert_true(load_ledger_read(&back, f));
	assert_string_equal(back.run, "run");
	assert_int_equal(back.batch, 2);
	assert_int_equal(back.events, 9);
	assert_int_equal(back.dropped, 3);
	assert_true(back.is_mixed);
	assert_int_equal(back.ds_count, 2);
	assert_string_equal(back.ds[1], "b.c");
	assert_memory_equal(back.fates, l.fates, 5);
	assert_memory_equal(back.sends, l.sends, 5);
	load_ledger_fini(&back);
	fclose(f);
	/* one that was cut is not taken */
	f = fmemopen(cut, sizeof cut - 1, "r");
	assert_non_null(f);
	assert_false(load_ledger_read(&back, f));
	load_ledger_fini(&back);
	load_ledger_fini(&l);
	fclose(f);
}

static void
test_cut(void **state)
{
	struct load_ledger l;

	(void)state;
	assert_true(load_ledger_init(&l, "run", 2, 9));
	load_ledger_cut(&l, 7);
	assert_int_equal(l.events, 9);
	load_ledger_cut(&l, 3);
	assert_int_equal(l.events, 6);
	assert_int_equal(l.requests, 3);
	load_ledger_fini(&l);
	assert_false(load_ledger_init(&l, "run", 0, 1));
	assert_false(load_ledger_init(&l, "run", 1, LEDGER_EVENTS_MAX + 1));
}

static enum load_answer_result
parse(const char *text, struct load_answer *a)
{
	return load_answer_parse(text, strlen(text), a);
}

static void
test_answer(void **state)
{
	static const char text[] =
	    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	    "content-length: 36\r\nX-Tranq-Dropped: 2; window=2\r\n"
	    "X-Tranq-Spooled: 5\r\n\r\n"
	    "{\"result\":{\"received\":12,\"sent\":10}}";
	static const char closing[] =
	    "HTTP/1.1 503 Busy\r\nConnection: close\r\n"
	    "Content-Length: 2\r\n\r\nno more";
	struct load_answer a;

	(void)state;
	for (size_t n = 0; n < sizeof text - 1; n++)
		assert_int_equal(load_answer_parse(text, n, &a), ANSWER_MORE);
	assert_int_equal(parse(text, &a), ANSWER_DONE);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.bytes, sizeof text - 1);
	assert_int_equal(a.received, 12);
	assert_int_equal(a.sent, 10);
	assert_int_equal(a.dropped, 2);
	assert_int_equal(a.spooled, 5);
	assert_false(a.is_close);
	assert_int_equal(parse(closing, &a), ANSWER_DONE);
	assert_int_equal(a.status, 503);
	assert_true(a.is_close);
	assert_string_equal(&closing[a.bytes], " more");
}

static void
test_answer_odd(void **state)
{
	struct load_answer a;
	char *large = must_malloc(LOAD_ANSWER_MAX);

	(void)state;
	assert_int_equal(
	    parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n", &a),
	    ANSWER_DONE);
	assert_int_equal(a.status, 204);
	assert_int_equal(
	    parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", &a), ANSWER_MORE);
	assert_int_equal(parse("HTTP/1.1 200 OK\r\n\r\n", &a), ANSWER_BAD);
	assert_int_equal(parse("FTP/1.1 200 OK\r\n\r\n", &a), ANSWER_BAD);
	assert_int_equal(parse("HTTP/1.1 999 No\r\n\r\n", &a), ANSWER_BAD);
	assert_int_equal(
	    parse("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", &a),
	    ANSWER_BAD);
	memset(large, 'x', LOAD_ANSWER_MAX);
	assert_int_equal(
	    load_answer_parse(large, LOAD_ANSWER_MAX, &a), ANSWER_BAD);
	free(large);
}

struct body_case {
	struct load_options options;
	struct load_ledger ledger;
	struct load_body *body;
};

static void
make_body(struct body_case *c, uint64_t events, bool is_array)
{
	struct load_corpus corpus;

	c->options.batch = 3;
	c->options.is_array = is_array;
	strcpy(c->options.url.host, "127.0.0.1:1");
	assert_true(load_ledger_init(&c->ledger, "run", 3, events));
	assert_true(load_ledger_add_ds(&c->ledger, "a"));
	assert_true(load_ledger_add_ds(&c->ledger, "b"));
	c->ledger.is_mixed = c->options.is_mixed;
	load_corpus_generate(&corpus, 10, 60);
	c->body = load_body_new(&c->options, &c->ledger, &corpus);
	assert_non_null(c->body);
	load_corpus_fini(&corpus);
}

static void
free_body(struct body_case *c)
{
	load_body_free(&c->body);
	load_ledger_fini(&c->ledger);
}

/* Checks the head, and gives the body with padding, to be freed. */
static char *
take_body(struct body_case *c, uint64_t request, size_t *bytes)
{
	const char *all =
	    load_body_get(c->body, request, INT64_C(1700000000000), bytes);
	const char *body = memmem(all, *bytes, "\r\n\r\n", 4);
	const char *length = strstr(all, "Content-Length: ");
	char *copy;

	assert_non_null(body);
	body += 4;
	assert_non_null(length);
	*bytes -= (size_t)(body - all);
	assert_int_equal(strtoul(length + 16, NULL, 10), *bytes);
	copy = must_calloc(1, *bytes + JSON_SCAN_PADDING + 1);
	memcpy(copy, body, *bytes);
	return copy;
}

/* The body is JSON with events first … first + count - 1. */
static void
check_body(struct body_case *c, uint64_t request, unsigned count)
{
	size_t bytes;
	char *body = take_body(c, request, &bytes);
	struct json_scan scan;
	char id[32];

	json_scan_init(&scan, body, bytes);
	for (unsigned i = 0; i < count; i++) {
		const struct json_field *f;

		assert_int_equal(json_scan_next(&scan), JSON_SCAN_EVENT);
		snprintf(id, sizeof id, "run-%012u", (unsigned)request * 3 + i);
		f = &scan.fields[0];
		assert_true(json_name_is(&scan, f, "id", 2));
		assert_int_equal(f->value_bytes, strlen(id));
		assert_memory_equal(body + f->value, id, f->value_bytes);
		f = &scan.fields[c->options.is_mixed ? 2 : 1];
		assert_true(json_name_is(&scan, f, "time", 4));
		assert_memory_equal(body + f->value, "2023-11-14T22:1", 15);
	}
	assert_int_equal(json_scan_next(&scan), JSON_SCAN_END);
	json_scan_fini(&scan);
	free(body);
}

static void
test_body(void **state)
{
	struct body_case c = { 0 };

	(void)state;
	for (int is_array = 0; is_array < 2; is_array++) {
		make_body(&c, 100, is_array);
		assert_int_equal(c.ledger.requests, 34);
		for (uint64_t r = 34; r-- > 0;)
			check_body(&c, r, r == 33 ? 1 : 3);
		free_body(&c);
	}
	c.options.is_mixed = true;
	make_body(&c, 100, true);
	check_body(&c, 33, 1);
	check_body(&c, 5, 3);
	free_body(&c);
}

static void
test_body_targets(void **state)
{
	struct body_case c = { .options.is_async = true };
	size_t bytes;

	(void)state;
	make_body(&c, 30, false);
	assert_memory_equal(load_body_get(c.body, 4, 0, &bytes),
	    "POST /v1/post/a?async=true HTTP/1.1\r\n", 37);
	assert_memory_equal(load_body_get(c.body, 7, 0, &bytes),
	    "POST /v1/post/b?async=true HTTP/1.1\r\n", 37);
	free_body(&c);
}

/* A request that was sent in part is made again, byte for byte. */
static void
test_body_again(void **state)
{
	struct body_case c = { 0 };
	size_t bytes, again;
	char *first;
	const char *second;

	(void)state;
	for (int is_gzip = 0; is_gzip < 2; is_gzip++) {
		c.options.is_gzip = is_gzip;
		make_body(&c, 300, false);
		first = must_calloc(1, 8 * KiB);
		second = load_body_get(c.body, 7, 1000, &bytes);
		assert_true(bytes < 8 * KiB);
		memcpy(first, second, bytes);
		load_body_get(c.body, 7 + 6, 2000, &again);
		second = load_body_get(c.body, 7, 1000, &again);
		assert_int_equal(bytes, again);
		assert_memory_equal(first, second, bytes);
		free(first);
		free_body(&c);
	}
}

struct lines {
	char text[4096];
	unsigned count;
};

static void
take_line(void *context, char *line, size_t bytes)
{
	struct lines *l = context;

	assert_int_equal(strlen(line), bytes);
	strcat(l->text, line);
	strcat(l->text, "|");
	l->count++;
}

/* What is packed ahead and on the way is the same, and gzip. */
static void
test_body_gzip(void **state)
{
	struct body_case c = { .options.is_gzip = true }, plain = { 0 };
	char path[] = "/tmp/test_load.XXXXXX";
	size_t bytes, wanted_bytes;
	struct lines lines = { 0 };
	char *packed, *body, *wanted;
	int fd = mkstemp(path);

	(void)state;
	make_body(&c, 300, false);
	make_body(&plain, 300, false);
	packed = take_body(&c, 9, &bytes);
	load_body_prepare(c.body, INT64_C(1700000000000));
	body = take_body(&c, 9, &wanted_bytes);
	assert_int_equal(bytes, wanted_bytes);
	assert_memory_equal(packed, body, bytes);
	assert_int_equal(write(fd, packed, bytes), (int)bytes);
	close(fd);
	assert_true(load_gzip_read(path, take_line, &lines));
	assert_int_equal(lines.count, 3);
	wanted = take_body(&plain, 9, &wanted_bytes);
	for (char *at = wanted; (at = strchr(at, '\n')) != NULL;)
		*at = '|';
	assert_string_equal(lines.text, wanted);
	unlink(path);
	free(wanted);
	free(body);
	free(packed);
	free_body(&c);
	free_body(&plain);
}

static void
replay(const char *text, struct load_corpus *c, char *error)
{
	char path[] = "/tmp/test_load.XXXXXX";
	int fd = mkstemp(path);
	bool good;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
	close(fd);
	good = load_corpus_replay(c, path, 10, error);
	assert_int_equal(good, *error == '\0');
	unlink(path);
}

static void
test_replay(void **state)
{
	struct load_corpus c;
	char error[256];

	(void)state;
	replay("{\"a\":1,\"time\":\"2015-09-12T00:00:00Z\",\"b\":2}\n\r\n"
	       "{\"time\" : \"2015-09-12T12:00:00Z\"}\r\n"
	       "{\"time\":\"2015-09-12T06:00\"}",
	    &c, error);
	assert_int_equal(c.count, 3);
	assert_int_equal(c.events[0].age_ms, 10000);
	assert_int_equal(c.events[1].age_ms, 0);
	assert_int_equal(c.events[2].age_ms, 5000);
	assert_string_equal("000000000000000000000000\",\"b\":2",
	    (c.events[0].text[c.events[0].bytes] = '\0',
		c.events[0].text + c.events[0].time_at));
	load_corpus_fini(&c);
	replay("{\"time\":\"2015-09-12\"}\n{\"tim\":1}\n", &c, error);
	assert_non_null(strstr(error, "line 2 is no JSON object"));
	load_corpus_fini(&c);
	replay("", &c, error);
	assert_non_null(strstr(error, "no event"));
	load_corpus_fini(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_histogram_small),
		cmocka_unit_test(test_histogram_precision),
		cmocka_unit_test(test_verdict_good),
		cmocka_unit_test(test_verdict_lost),
		cmocka_unit_test(test_verdict_doubled),
		cmocka_unit_test(test_verdict_unanswered),
		cmocka_unit_test(test_verdict_strangers),
		cmocka_unit_test(test_misrouted),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_answer_odd),
		cmocka_unit_test(test_body),
		cmocka_unit_test(test_body_targets),
		cmocka_unit_test(test_body_again),
		cmocka_unit_test(test_body_gzip),
		cmocka_unit_test(test_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_receiver - a whole receiver: requests and answers (tranquility.md 1)
 */
#include "receiver_rig.h"

#include <sys/stat.h>

#define TIME "\"column\":\"time\",\"format\":\"auto\""
#define NOT_FOUND "Not found\n"

static struct rig rig;

/* "page" and "spare", short time-outs where they are tested apart. */
static int
set_up(void **state UNUSED)
{
	struct buf b;

	buf_init(&b, MiB);
	rig_add_ds(&b, "pages", TIME,
	    "\"druidBeam.firehoseRetryPeriod\":"
	    "\"PT0.3S\"");
	buf_add_text(&b, ",");
	rig_add_ds(&b, "spare",
	    "\"column\":\"time\",\"format\":\"posix\",\"missingValue\":"
	    "\"2020-01-01T00:00:00Z\"",
	    "\"task.partitions\":3");
	rig_start(&rig,
	    rig_conf_text(buf_text(&b),
		"\"http.maxBodyBytes\":262144,\"http.maxRequestEvents\":1000"));
	buf_free(&b);
	return 0;
}

static int
tear_down(void **state UNUSED)
{
	rig_stop(&rig);
	return 0;
}

static struct rig_ds *
pages(void)
{
	return &rig.ds[0];
}

static struct rig_ds *
spare(void)
{
	return &rig.ds[1];
}

static void
expect_nothing_offered(void)
{
	for (unsigned i = 0; i < rig.ds_count; i++)
		assert_false(rig_take_now(&rig.ds[i]));
}

static void
banner_and_not_found(void **state UNUSED)
{
	static const char *const not_found[] = {
		"GET /x HTTP/1.1",
		"GET /v1/post HTTP/1.1",
		"POST / HTTP/1.1",
		"POST /v1/post/ HTTP/1.1",
		"POST /v1/post/a/b HTTP/1.1",
		"POST /v1/poster HTTP/1.1",
		"PUT /v1/post/pages HTTP/1.1",
		"OPTIONS * HTTP/1.1",
	};
	struct rig_answer a;
	int fd = rig_connect(&rig);
	char text[100];

	rig_say(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_read(fd, &a);
	assert_int_equal(a.status, 200);
	assert_true(rig_has(&a, "Content-Type: text/plain;charset=UTF-8"));
	assert_non_null(strstr(a.body, "tranqd"));
	rig_say(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_read_head(fd, &a);
	assert_int_equal(a.status, 200);
	for (size_t i = 0; i < ARRAY_LEN(not_found); i++) {
		snprintf(
		    text, sizeof text, "%s\r\nHost: a\r\n\r\n", not_found[i]);
		rig_say(fd, text);
		rig_expect(fd, 404, NOT_FOUND);
	}
	close(fd);
}

struct head_case {
	const char *target, *fields;
	unsigned status;
	const char *text;
};

static void
refused_heads(void **state UNUSED)
{
	static const struct head_case cases[] = {
		{ "/v1/post/pages?async=maybe", "Content-Type: text/x\r\n", 400,
		    "Expected true or false\n" },
		{ "/v1/post/pages", "", 400,
		    "Expected contentType application/json, "
		    "application/x-jackson-smile, or text/plain\n" },
		{ "/v1/post/pages", "Content-Type: text/csv\r\n", 400,
		    "Expected contentType application/json, "
		    "application/x-jackson-smile, or text/plain\n" },
		{ "/v1/post", "Content-Type: text/plain\r\n", 400,
		    "Must include dataSource in URL for "
		    "contentType[text/plain]\n" },
		{ "/v1/post/pages",
		    "Content-Type: TEXT/Plain ; charset=utf-8\r\n", 400,
		    "Malformed string on line[1]: column 'time' is missing\n" },
		{ "/v1/post/pages",
		    "Content-Type: application/x-jackson-smile\r\n", 400,
		    "Malformed Smile: event[0], at byte 0: this is JSON text, "
		    "not Smile\n" },
		{ "/v1/post/pages",
		    "Content-Type: application/json\r\n"
		    "Content-Encoding: br\r\n",
		    400, "Unrecognized request Content-Encoding\n" },
		{ "/v1/post/pages",
		    "Content-Type: application/json\r\n"
		    "Content-Encoding: gzip, identity, zstd\r\n",
		    400, "Unrecognized request Content-Encoding\n" },
		{ "/v1/post/none", "Content-Type: application/json\r\n", 400,
		    "No definition for dataSource 'none'\n" },
		{ "/v1/post/a%0Ab%2fc", "Content-Type: application/json\r\n",
		    400, "No definition for dataSource 'a?b/c'\n" },
		{ "/v1/post/pag%", "Content-Type: application/json\r\n", 400,
		    "Malformed request target\n" },
	};
	int fd = rig_connect(&rig);
	char text[400];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		/* the whole request is there: the connection lives on */
		snprintf(text, sizeof text,
		    "POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: 2\r\n"
		    "\r\n{}",
		    cases[i].target, cases[i].fields);
		rig_say(fd, text);
		rig_expect(fd, cases[i].status, cases[i].text);
	}
	close(fd);
	expect_nothing_offered();
}

static void
refused_before_the_body(void **state UNUSED)
{
	struct rig_answer a;
	int fd = rig_connect(&rig);

	rig_say(fd,
	    "POST /v1/none HTTP/1.1\r\nHost: a\r\n"
	    "Content-Length: 100\r\n\r\n");
	rig_read(fd, &a);
	assert_int_equal(a.status, 404);
	assert_true(rig_has(&a, "Connection: close"));
	rig_say(fd, "the body comes all the same");
	rig_expect_end(fd);
}

static void
async_one_event(void **state UNUSED)
{
	static const char *const spellings[] = { "true", "1", "YES", "True",
		"t%72ue" };
	struct rig_answer a;
	char event[100], target[100], expected[200];
	int fd = rig_connect(&rig);

	for (size_t i = 0; i < ARRAY_LEN(spellings); i++) {
		rig_event(event, sizeof event, "x");
		snprintf(target, sizeof target,
		    "/v1/post/pages?x=y&async=%s&async=no", spellings[i]);
		rig_post(fd, target, event);
		rig_take_events(pages(), 1);
		snprintf(expected, sizeof expected, "%s\n", event);
		assert_string_equal(rig_text(pages()), expected);
		assert_int_equal(pages()->ticket, 0);
		/* taken is not durable */
		rig_expect_silence(fd);
		rig_commit(pages());
		rig_read(fd, &a);
		assert_int_equal(a.status, 200);
		assert_string_equal(
		    a.body, "{\"result\":{\"received\":1,\"sent\":0}}");
		assert_true(rig_has(&a, "X-Tranq-Spooled: 1"));
		assert_true(rig_has(
		    &a, "Content-Type: application/json;charset=UTF-8"));
		assert_null(strstr(a.head, "X-Tranq-Dropped"));
	}
	close(fd);
}

static void
content_types(void **state UNUSED)
{
	static const char *const types[] = { "application/json",
		"Application/JSON ; charset=utf-8", "application/json;" };
	char text[400], event[100];
	int fd = rig_connect(&rig);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		rig_event(event, sizeof event, "t");
		snprintf(text, sizeof text,
		    "POST http://a:1/v1/post/pages?async=1 HTTP/1.1\r\n"
		    "Host: a\r\nContent-Encoding: identity\r\n"
		    "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
		    types[i], strlen(event), event);
		rig_say(fd, text);
		rig_take_events(pages(), 1);
		rig_commit(pages());
		rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":0}}");
	}
	close(fd);
}

static void
empty_bodies(void **state UNUSED)
{
	static const char *const bodies[] = { "", " \n", "[]", " [ ] " };
	int fd = rig_connect(&rig);

	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		rig_post(fd, "/v1/post/pages", bodies[i]);
		rig_expect(fd, 200, "{\"result\":{\"received\":0,\"sent\":0}}");
	}
	close(fd);
	expect_nothing_offered();
}

static void
timestamps_become_milliseconds(void **state UNUSED)
{
	int64_t second = clock_wall_ms() / 1000;
	char body[600], expected[600];
	int fd = rig_connect(&rig);

	/* quoted, unquoted, repeated (the last one counts), in the middle */
	snprintf(body, sizeof body,
	    "{\"time\":\"%lld\",\"page\":\"a\"}{ \"page\":\"b\" , \"time\" : "
	    "%lld }\n{\"time\":1,\"t\\u0069me\":%lld}",
	    (long long)second, (long long)second, (long long)second);
	snprintf(expected, sizeof expected,
	    "{\"time\":%lld000,\"page\":\"a\"}\n{ \"page\":\"b\" , \"time\" : "
	    "%lld000 }\n{\"time\":1,\"t\\u0069me\":%lld000}\n",
	    (long long)second, (long long)second, (long long)second);
	rig_post(fd, "/v1/post/spare?async=1", body);
	rig_take_events(spare(), 3);
	assert_string_equal(rig_text(spare()), expected);
	assert_true(spare()->last_ms == second * 1000);
	rig_commit(spare());
	rig_expect(fd, 200, "{\"result\":{\"received\":3,\"sent\":0}}");
	close(fd);
}

static void
hash_only_with_partitions(void **state UNUSED)
{
	char event[200];
	int fd = rig_connect(&rig);

	/* unless the worker does not want it; it has not said yet */
	for (int want = 1; want >= 0; want--) {
		rig_post(fd, "/v1/post/pages?async=1",
		    rig_event(event, sizeof event, "h"));
		rig_take_events(pages(), 1);
		assert_int_equal(pages()->last_hash != 0, want);
		rig_commit(pages());
		rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":0}}");
		channel_want_hashes(&pages()->channel, false);
		channel_want_hashes(&spare()->channel, false);
	}
	snprintf(event, sizeof event, "{\"time\":%lld,\"page\":\"h\"}",
	    (long long)clock_wall_ms() / 1000);
	rig_post(fd, "/v1/post/spare?async=1", event);
	rig_take_events(spare(), 1);
	assert_int_not_equal(spare()->last_hash, 0);
	rig_commit(spare());
	rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":0}}");
	close(fd);
}

static void
events_name_their_ds(void **state UNUSED)
{
	long long now = (long long)clock_wall_ms();
	char body[600];
	int fd = rig_connect(&rig);

	snprintf(body, sizeof body,
	    "[{\"dataSource\":\"pages\",\"time\":%lld},"
	    "{\"feed\":\"spare\",\"time\":%lld},"
	    "{\"dataSource\":null,\"feed\":\"\\u0070ages\",\"time\":%lld},"
	    "{\"dataSource\":\"spare\",\"feed\":\"pages\",\"time\":%lld}]",
	    now, now / 1000, now, now / 1000);
	rig_post(fd, "/v1/post?async=true", body);
	rig_take_events(pages(), 2);
	rig_take_events(spare(), 2);
	assert_non_null(strstr(rig_text(pages()), "\\u0070ages"));
	rig_commit(spare());
	rig_expect_silence(fd);
	rig_commit(pages());
	rig_expect(fd, 200, "{\"result\":{\"received\":4,\"sent\":0}}");
	close(fd);
}

static void
malformed_bodies(void **state UNUSED)
{
	static const struct head_case cases[] = {
		{ "/v1/post/pages", "{\"time\":1}{\"time\" 2}", 400,
		    "Malformed JSON: event[1], at byte 18: " },
		{ "/v1/post/pages", "[{\"time\":1}", 400,
		    "Malformed JSON: event[1], at byte 11: " },
		{ "/v1/post/pages", "17", 400,
		    "Malformed JSON: event[0], at byte 0: " },
		{ "/v1/post/pages", "{\"time\":\"xyz\"}", 400,
		    "Malformed timestamp: event[0]: column 'time' holds "
		    "'xyz'" },
		{ "/v1/post/pages", "{\"page\":1}", 400,
		    "Malformed timestamp: event[0]: column 'time' is missing" },
		{ "/v1/post/pages", "{\"time\":null}", 400,
		    "Malformed timestamp: event[0]: column 'time' holds null" },
		{ "/v1/post", "{\"time\":1}", 400,
		    "Missing 'dataSource' or 'feed': event[0]" },
		{ "/v1/post", "{\"dataSource\":7,\"time\":1}", 400,
		    "Missing 'dataSource' or 'feed': event[0]" },
		{ "/v1/post", "{\"dataSource\":\"no\",\"time\":1}", 400,
		    "No definition for dataSource 'no'\n" },
	};
	struct rig_answer a;
	char body[300];
	int fd = rig_connect(&rig);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		rig_post(fd, cases[i].target, cases[i].fields);
		rig_read(fd, &a);
		assert_int_equal(a.status, cases[i].status);
		a.body[strlen(cases[i].text)] = '\0';
		assert_string_equal(a.body, cases[i].text);
	}
	/* a good event before the bad one is not taken either */
	snprintf(body, sizeof body, "{\"time\":%lld}{\"time\":\"%d",
	    (long long)clock_wall_ms(), 1);
	rig_post(fd, "/v1/post/pages", body);
	rig_read(fd, &a);
	assert_int_equal(a.status, 400);
	close(fd);
	expect_nothing_offered();
}

static void
missing_value(void **state UNUSED)
{
	int fd = rig_connect(&rig);

	/* 2020 is out of the window: dropped, and counted durably */
	rig_post(fd, "/v1/post/spare?async=1",
	    "{}{\"a\":1}{\"time\":null}{ \"time\":\"x\"}");
	rig_expect(fd, 400,
	    "Malformed timestamp: event[3]: column 'time' holds 'x', which "
	    "is no time in format posix\n");
	rig_post(fd, "/v1/post/spare?async=1", "{}{\"a\":1}{\"time\":null}");
	rig_forget(spare());
	rig_take(spare());
	assert_int_equal(spare()->dropped, 3);
	rig_commit(spare());
	rig_expect(fd, 200, "{\"result\":{\"received\":3,\"sent\":0}}");
	close(fd);
}

static void
dropped_by_the_window(void **state UNUSED)
{
	struct rig_answer a;
	char body[300];
	int fd = rig_connect(&rig);

	snprintf(body, sizeof body, "{\"time\":1}{\"time\":%lld}{\"time\":2}",
	    (long long)clock_wall_ms());
	rig_post(fd, "/v1/post/pages?async=1", body);
	rig_take_events(pages(), 1);
	assert_int_equal(pages()->dropped, 2);
	rig_commit(pages());
	rig_read(fd, &a);
	assert_string_equal(a.body, "{\"result\":{\"received\":3,\"sent\":0}}");
	assert_true(rig_has(&a, "X-Tranq-Dropped: 2; window=2"));
	assert_true(rig_has(&a, "X-Tranq-Spooled: 1"));
	/* all dropped, synchronous: no acks will come */
	rig_post(fd, "/v1/post/pages", "{\"time\":1}");
	rig_forget(pages());
	rig_take(pages());
	assert_int_equal(pages()->blocks, 1);
	assert_int_equal(pages()->events, 0);
	assert_int_equal(pages()->dropped, 1);
	rig_commit(pages());
	rig_read(fd, &a);
	assert_string_equal(a.body, "{\"result\":{\"received\":1,\"sent\":0}}");
	assert_true(rig_has(&a, "X-Tranq-Dropped: 1; window=1"));
	close(fd);
}

static void
post_three(int fd)
{
	char body[300];
	long long now = (long long)clock_wall_ms();

	snprintf(body, sizeof body,
	    "{\"time\":%lld}{\"time\":%lld}"
	    "{\"time\":%lld}",
	    now, now, now);
	rig_post(fd, "/v1/post/pages", body);
	rig_take_events(pages(), 3);
	assert_int_not_equal(pages()->ticket, 0);
}

static void
sync_acknowledged(void **state UNUSED)
{
	struct rig_answer a;
	int fd = rig_connect(&rig);
	uint64_t ticket;

	post_three(fd);
	ticket = pages()->ticket;
	rig_commit(pages());
	rig_ack(pages(), ticket, 7, 2, ACK_SENT);
	rig_ack(pages(), ticket, 7, 2, ACK_SENT); /* counts once */
	rig_expect_silence(fd);
	rig_ack(pages(), ticket + 1, 8, 1, ACK_SENT); /* of nobody */
	rig_ack(pages(), ticket, 8, 1, ACK_SENT);
	rig_read(fd, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "{\"result\":{\"received\":3,\"sent\":3}}");
	assert_null(strstr(a.head, "X-Tranq"));
	/* dead and dropped ones are settled too */
	post_three(fd);
	assert_true(pages()->ticket != ticket);
	rig_commit(pages());
	rig_ack(pages(), pages()->ticket, 9, 1, ACK_SENT);
	rig_ack(pages(), pages()->ticket, 10, 1, ACK_DEAD);
	rig_ack(pages(), pages()->ticket, 11, 1, ACK_DROPPED);
	rig_read(fd, &a);
	assert_string_equal(a.body, "{\"result\":{\"received\":3,\"sent\":1}}");
	assert_true(rig_has(&a, "X-Tranq-Spooled: 1"));
	assert_true(rig_has(&a, "X-Tranq-Dropped: 1; worker=1"));
	close(fd);
}

/* What gets no acks (late events) may lie in a block behind those that do. */
static void
sync_acknowledged_and_not_durable(void **state UNUSED)
{
	int fd = rig_connect(&rig);

	post_three(fd);
	rig_ack(pages(), pages()->ticket, 15, 3, ACK_SENT);
	rig_expect_silence(fd);
	rig_commit(pages());
	rig_expect(fd, 200, "{\"result\":{\"received\":3,\"sent\":3}}");
	post_three(fd);
	rig_ack(pages(), pages()->ticket, 16, 3, ACK_SENT);
	rig_expect(fd, 503,
	    "The events were not on disk within druidBeam.firehoseRetryPeriod; "
	    "they may be delivered or not, send them again\n");
	rig_commit(pages());
	close(fd);
}

static void
sync_time_is_up(void **state UNUSED)
{
	struct rig_answer a;
	int fd = rig_connect(&rig);

	/* durable: 200 with what was sent by then */
	post_three(fd);
	rig_commit(pages());
	rig_ack(pages(), pages()->ticket, 20, 1, ACK_SENT);
	rig_read(fd, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "{\"result\":{\"received\":3,\"sent\":1}}");
	assert_true(rig_has(&a, "X-Tranq-Spooled: 2"));
	/* late acks find nobody */
	rig_ack(pages(), pages()->ticket, 21, 2, ACK_SENT);
	/* not durable: 503, and never 200 */
	post_three(fd);
	rig_read(fd, &a);
	assert_int_equal(a.status, 503);
	assert_true(rig_has(&a, "Retry-After: 1"));
	rig_commit(pages());
	close(fd);
}

static void
async_time_is_up(void **state UNUSED)
{
	struct rig_answer a;
	char event[100];
	int fd = rig_connect(&rig);

	rig_post(
	    fd, "/v1/post/pages?async=1", rig_event(event, sizeof event, "z"));
	rig_take_events(pages(), 1);
	rig_read(fd, &a);
	assert_int_equal(a.status, 503);
	rig_commit(pages());
	close(fd);
}

static void
limits(void **state UNUSED)
{
	struct rig_answer a;
	char *body = malloc(300001);
	int fd = rig_connect(&rig);

	assert_non_null(body);
	memset(body, ' ', 300000);
	body[300000] = '\0';
	rig_post(fd, "/v1/post/pages", body);
	rig_read(fd, &a);
	assert_int_equal(a.status, 413);
	assert_non_null(strstr(a.body, "http.maxBodyBytes"));
	assert_true(rig_has(&a, "Connection: close"));
	rig_expect_end(fd);
	fd = rig_connect(&rig);
	rig_say(fd,
	    "POST /v1/post/pages HTTP/1.1\r\nHost: a\r\nContent-Type: "
	    "application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "40001\r\n");
	rig_send(fd, body, 0x40001);
	rig_read(fd, &a);
	assert_int_equal(a.status, 413);
	rig_expect_end(fd);
	fd = rig_connect(&rig);
	for (int i = 0; i <= 1000; i++)
		memcpy(body + 10 * i, "{\"time\":1}", 10);
	body[10010] = '\0';
	rig_post(fd, "/v1/post/pages", body);
	rig_read(fd, &a);
	assert_int_equal(a.status, 413);
	assert_non_null(strstr(a.body, "http.maxRequestEvents"));
	close(fd);
	free(body);
	expect_nothing_offered();
}

static void
pipelined(void **state UNUSED)
{
	char all[1000], event[100];
	struct rig_answer a;
	int fd = rig_connect(&rig);

	rig_event(event, sizeof event, "p");
	snprintf(all, sizeof all,
	    "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	    "POST /v1/post/pages?async=1 HTTP/1.1\r\nHost: a\r\nContent-Type: "
	    "application/json\r\nContent-Length: %zu\r\n\r\n%s"
	    "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
	    "POST /v1/post/pages?async=1 HTTP/1.1\r\nHost: a\r\nContent-Type: "
	    "application/json\r\nContent-Length: %zu\r\n\r\n%s"
	    "GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	    strlen(event), event, strlen(event), event);
	rig_say(fd, all);
	rig_read(fd, &a);
	assert_int_equal(a.status, 200);
	rig_take_events(pages(), 1);
	rig_expect_silence(fd);
	rig_commit(pages());
	rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":0}}");
	rig_expect(fd, 404, NOT_FOUND);
	rig_take_events(pages(), 1);
	rig_commit(pages());
	rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":0}}");
	rig_expect(fd, 404, NOT_FOUND);
	rig_expect_end(fd);
}

static void
byte_by_byte(void **state UNUSED)
{
	char text[400], event[100];
	int fd = rig_connect(&rig);

	rig_event(event, sizeof event, "s");
	snprintf(text, sizeof text,
	    "POST /v1/post/pages?async=1 HTTP/1.1\r\nHost: a\r\nContent-Type: "
	    "application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	    "5\r\n%.5s\r\n%zx;x=y\r\n%s\r\n0\r\nT: r\r\n\r\n",
	    event, strlen(event) - 5, event + 5);
	for (const char *p = text; *p != '\0'; p++) {
		rig_send(fd, p, 1);
		/* until it has been read: each byte is a turn of its own */
		if (p - text < 30)
			poll(NULL, 0, 1);
	}
	rig_take_events(pages(), 1);
	rig_commit(pages());
	rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":0}}");
	rig_say(fd, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
	rig_expect(fd, 404, NOT_FOUND);
	close(fd);
}

static void
expect_continue(void **state UNUSED)
{
	struct rig_answer a;
	char text[400], event[100];
	int fd = rig_connect(&rig);

	rig_event(event, sizeof event, "c");
	snprintf(text, sizeof text,
	    "POST /v1/post/pages?async=1 HTTP/1.1\r\nHost: a\r\nContent-Type: "
	    "application/json\r\nExpect: 100-continue\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    strlen(event));
	rig_say(fd, text);
	rig_read_head(fd, &a);
	assert_int_equal(a.status, 100);
	rig_say(fd, event);
	rig_take_events(pages(), 1);
	rig_commit(pages());
	rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":0}}");
	/* what would be refused is refused in place of the 100 */
	rig_say(fd,
	    "POST /v1/post/none HTTP/1.1\r\nHost: a\r\nContent-Type: "
	    "application/json\r\nExpect: 100-continue\r\n"
	    "Content-Length: 10\r\n\r\n");
	rig_expect(fd, 400, "No definition for dataSource 'none'\n");
	rig_expect_end(fd);
}

static void
bad_requests(void **state UNUSED)
{
	static const struct {
		const char *text;
		unsigned status;
	} cases[] = {
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
		{ "GET / HTTP/1.1\r\n\r\n", 400 },
		{ "GET / HTTP/1.1\nHost: a\n\n", 400 },
		{ "POST /v1/post HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n",
		    400 },
		{ "POST /v1/post HTTP/1.1\r\nHost: a\r\nContent-Type: "
		  "application/json\r\nTransfer-Encoding: chunked\r\n\r\nx",
		    400 },
		{ "GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 417 },
	};
	struct rig_answer a;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fd = rig_connect(&rig);

		rig_say(fd, cases[i].text);
		rig_read(fd, &a);
		assert_int_equal(a.status, cases[i].status);
		assert_true(rig_has(&a, "Connection: close"));
		rig_expect_end(fd);
	}
}

static void
old_clients(void **state UNUSED)
{
	struct rig_answer a;
	int fd = rig_connect(&rig);

	rig_say(fd, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	rig_read(fd, &a);
	assert_true(rig_has(&a, "Connection: keep-alive"));
	rig_say(fd, "GET /x HTTP/1.0\r\n\r\n");
	rig_read(fd, &a);
	assert_true(rig_has(&a, "Connection: close"));
	rig_expect_end(fd);
}

/* {"time":1} in each coding */
#define GZIPPED \
	"\x1f\x8b\x08\0\0\0\0\0\x02\x03" DEFLATED "\x19\xc3\x86\x59\x0a\0\0\0"
#define DEFLATED "\xab\x56\x2a\xc9\xcc\x4d\x55\xb2\x32\xac\x05\0"
#define ZLIBBED "\x78\xda" DEFLATED "\x13\x25\x03\x57"
#define ZSTDED "\x28\xb5\x2f\xfd\x20\x0a\x51\0\0{\"time\":1}"

struct coded {
	const char *coding, *body;
	size_t bytes;
	const char *malformed; /* when its last byte is missing */
	unsigned events;
};

#define CODED(coding, body, name, events)               \
	{                                               \
		coding, body, sizeof(body) - 1,         \
		    "Malformed " name " body: ", events \
	}

static const struct coded coded[] = {
	CODED("gzip", GZIPPED, "gzip", 1),
	CODED("X-GZIP", GZIPPED GZIPPED, "gzip", 2),
	CODED("deflate", ZLIBBED, "deflate", 1),
	CODED("Deflate", DEFLATED DEFLATED, "deflate", 2),
	CODED("zstd", ZSTDED, "zstd", 1),
	CODED("ZSTD", ZSTDED ZSTDED, "zstd", 2),
	CODED("gzip, identity", GZIPPED, "gzip", 1),
	CODED(", identity ,,\tzstd", ZSTDED, "zstd", 1),
};

static void
post_coded(int fd, const char *coding, const void *body, size_t bytes)
{
	char head[300];

	snprintf(head, sizeof head,
	    "POST /v1/post/pages?async=1 HTTP/1.1\r\nHost: a\r\nContent-Type: "
	    "application/json\r\nContent-Encoding: %s\r\n"
	    "Content-Length: %zu\r\n\r\n",
	    coding, bytes);
	rig_say(fd, head);
	rig_send(fd, body, bytes);
}

static void
compressed_bodies(void **state UNUSED)
{
	struct rig_answer a;
	char expected[100];
	int fd = rig_connect(&rig);

	for (size_t i = 0; i < ARRAY_LEN(coded); i++) {
		const struct coded *c = &coded[i];

		post_coded(fd, c->coding, c->body, c->bytes);
		rig_forget(pages());
		rig_take(pages());
		assert_int_equal(pages()->dropped, c->events);
		rig_commit(pages());
		snprintf(expected, sizeof expected,
		    "{\"result\":{\"received\":%u,\"sent\":0}}", c->events);
		rig_expect(fd, 200, expected);
		post_coded(fd, c->coding, c->body, c->bytes - 1);
		rig_read(fd, &a);
		assert_int_equal(a.status, 400);
		assert_non_null(strstr(a.body, c->malformed));
	}
	close(fd);
	expect_nothing_offered();
}

/* 3 MiB of spaces as zstd: one byte repeated in each of 24 blocks */
static void
dense_bodies(void **state UNUSED)
{
	static const char block[] = { 0x02, 0x00, 0x10, ' ' };
	char bomb[6 + 25 * sizeof block];
	struct rig_answer a;
	int fd = rig_connect(&rig);
	size_t at = 6;

	memcpy(bomb, "\x28\xb5\x2f\xfd\x00\x50", at);
	for (int i = 0; i < 24; i++, at += sizeof block)
		memcpy(bomb + at, block, sizeof block);
	bomb[at - sizeof block] = 0x03;
	post_coded(fd, "zstd", bomb, at);
	rig_read(fd, &a);
	assert_int_equal(a.status, 413);
	assert_non_null(strstr(a.body, "http.maxBodyBytes (262144 bytes)"));
	close(fd);
	expect_nothing_offered();
}

static void
half_closed_client(void **state UNUSED)
{
	char event[100];
	int fd = rig_connect(&rig);

	rig_post(
	    fd, "/v1/post/pages?async=1", rig_event(event, sizeof event, "f"));
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	rig_take_events(pages(), 1);
	rig_commit(pages());
	rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":0}}");
	rig_expect_end(fd);
	fd = rig_connect(&rig);
	rig_say(fd, "GET / HTT");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	rig_expect(fd, 400, "The request ends too early\n");
	rig_expect_end(fd);
}

static void
gone_client(void **state UNUSED)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	char event[100];
	int fd = rig_connect(&rig);

	rig_await_counter(&rig, connections, 1);
	rig_post(fd, "/v1/post/pages", rig_event(event, sizeof event, "g"));
	rig_take_events(pages(), 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(fd);
	rig_await_counter(&rig, connections, 0);
	/* its events are delivered all the same; the acks find nobody */
	rig_commit(pages());
	rig_ack(pages(), pages()->ticket, 30, 1, ACK_SENT);
	fd = rig_connect(&rig);
	rig_post(fd, "/v1/post/pages?async=1", event);
	rig_take_events(pages(), 1);
	rig_commit(pages());
	rig_expect(fd, 200, "{\"result\":{\"received\":1,\"sent\":0}}");
	close(fd);
}

static void
slow_reader(void **state UNUSED)
{
	enum { REQUESTS = 20000 };
	static const char one[] = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
	struct rig_answer a;
	struct buf b;
	pid_t writer;
	int fd = rig_connect(&rig), status;

	/* more answers than the sockets hold, nobody reads them at first */
	buf_init(&b, 4 * MiB);
	for (int i = 0; i < REQUESTS; i++)
		buf_add(&b, one, sizeof one - 1);
	writer = fork();
	if (writer == 0) {
		rig_send(fd, b.bytes, b.used);
		_exit(0);
	}
	buf_free(&b);
	poll(NULL, 0, 100);
	for (int i = 0; i < REQUESTS; i++) {
		rig_read(fd, &a);
		assert_int_equal(a.status, 404);
	}
	assert_int_equal(waitpid(writer, &status, 0), writer);
	close(fd);
}

/* Offered is counted before it can be taken; refusals have counters. */
static void
accounts(void **state UNUSED)
{
	const struct channel_header *h = pages()->channel.header;

	assert_true(atomic_load(&h->offered_events) > 0);
	assert_true(atomic_load(&h->offered_dropped) > 0);
	assert_true(atomic_load(&h->requests) > 0);
	assert_true(atomic_load(&h->refused_malformed) > 0);
	assert_int_equal(atomic_load(&h->refused_full), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(banner_and_not_found),
		cmocka_unit_test(refused_heads),
		cmocka_unit_test(refused_before_the_body),
		cmocka_unit_test(async_one_event),
		cmocka_unit_test(content_types),
		cmocka_unit_test(empty_bodies),
		cmocka_unit_test(timestamps_become_milliseconds),
		cmocka_unit_test(hash_only_with_partitions),
		cmocka_unit_test(events_name_their_ds),
		cmocka_unit_test(malformed_bodies),
		cmocka_unit_test(missing_value),
		cmocka_unit_test(dropped_by_the_window),
		cmocka_unit_test(sync_acknowledged),
		cmocka_unit_test(sync_acknowledged_and_not_durable),
		cmocka_unit_test(sync_time_is_up),
		cmocka_unit_test(async_time_is_up),
		cmocka_unit_test(limits),
		cmocka_unit_test(pipelined),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(expect_continue),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(old_clients),
		cmocka_unit_test(compressed_bodies),
		cmocka_unit_test(dense_bodies),
		cmocka_unit_test(half_closed_client),
		cmocka_unit_test(gone_client),
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(accounts),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

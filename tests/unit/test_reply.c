/*
 * test_reply - answers as bytes (reply.c) and the waiting's numbers (ticket.c)
 */
#include "reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ticket.h"

static void
check(const struct reply *r, const struct reply_how *how, const char *expected)
{
	char out[REPLY_BYTES_MAX + 1];
	size_t bytes = reply_compose(out, r, how);

	out[bytes] = '\0';
	assert_string_equal(out, expected);
}

#define DATE "Sun, 22 Nov 2026 10:00:00 GMT"

static void
results(void **state UNUSED)
{
	struct reply_how how = { .date = DATE };

	check(&(struct reply){ .status = 200,
		  .received = 10,
		  .sent = 7,
		  .dropped = { 2 },
		  .dropped_late = 1 },
	    &how,
	    "HTTP/1.1 200 OK\r\nDate: " DATE "\r\nContent-Type: "
	    "application/json;charset=UTF-8\r\nContent-Length: 35\r\n"
	    "X-Tranq-Dropped: 3; window=2; worker=1\r\n\r\n"
	    "{\"result\":{\"received\":10,\"sent\":7}}");
}

static void
late_ones(void **state UNUSED)
{
	struct reply_how how = { .date = DATE };

	check(&(struct reply){ .status = 200,
		  .received = 10,
		  .sent = 4,
		  .spooled = 6,
		  .archived = 3,
		  .appended = 2 },
	    &how,
	    "HTTP/1.1 200 OK\r\nDate: " DATE "\r\nContent-Type: "
	    "application/json;charset=UTF-8\r\nContent-Length: 35\r\n"
	    "X-Tranq-Late: 5; archive=3; append=2\r\n"
	    "X-Tranq-Spooled: 6\r\n\r\n"
	    "{\"result\":{\"received\":10,\"sent\":4}}");
}

static void
texts(void **state UNUSED)
{
	struct reply_how how = { .date = DATE, .closes = true };
	struct reply r = {
		.status = 503, .text = "Buffer full\n", .retry_after_s = 1
	};

	check(&r, &how,
	    "HTTP/1.1 503 Service Unavailable\r\nDate: " DATE
	    "\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: "
	    "12\r\nRetry-After: 1\r\nConnection: close\r\n\r\nBuffer full\n");
	how = (struct reply_how){
		.date = DATE, .is_head = true, .keeps_alive = true
	};
	r = (struct reply){ .status = 404, .text = "Not found\n" };
	check(&r, &how,
	    "HTTP/1.1 404 Not Found\r\nDate: " DATE
	    "\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: "
	    "10\r\nConnection: keep-alive\r\n\r\n");
}

static void
largest(void **state UNUSED)
{
	struct reply_how how = { .date = DATE, .closes = true };
	struct reply r = { .status = 200,
		.received = UINT64_MAX,
		.sent = UINT64_MAX,
		.dropped = { UINT64_MAX / 2 },
		.dropped_late = UINT64_MAX / 2,
		.spooled = UINT64_MAX,
		.archived = UINT64_MAX / 2,
		.appended = UINT64_MAX / 2,
		.retry_after_s = UINT32_MAX };
	char out[REPLY_BYTES_MAX], text[REPLY_TEXT_MAX + 100];

	assert_true(reply_compose(out, &r, &how) < sizeof out);
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	r.text = text;
	r.status = 431;
	assert_true(reply_compose(out, &r, &how) <= sizeof out);
}

static void
dates(void **state UNUSED)
{
	char date[REPLY_DATE_BYTES];

	reply_date(784111777999, date);
	assert_string_equal(date, "Sun, 06 Nov 1994 08:49:37 GMT");
	reply_date(951782400000, date);
	assert_string_equal(date, "Tue, 29 Feb 2000 00:00:00 GMT");
	reply_date(4102444799999, date);
	assert_string_equal(date, "Thu, 31 Dec 2099 23:59:59 GMT");
}

static void
tickets_find_their_posts(void **state UNUSED)
{
	struct tickets t, other;
	uint64_t all[3000];
	struct post *const post = (void *)&t;

	ticket_init(&t, 7);
	ticket_init(&other, 8);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = ticket_new(&t, post);
		assert_true(all[i] != 0);
		assert_int_equal(all[i] >> 48, 7);
		assert_ptr_equal(ticket_find(&t, all[i]), post);
		assert_null(ticket_find(&other, all[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (size_t j = 0; j < i; j += 97)
			assert_true(all[i] != all[j]);
	ticket_end(&t, all[5]);
	assert_null(ticket_find(&t, all[5]));
	assert_ptr_equal(ticket_find(&t, all[6]), post);
	assert_null(ticket_find(&t, 0));
	assert_null(ticket_find(&t, UINT64_MAX));
	ticket_fini(&t);
	ticket_fini(&other);
}

/* A slot that is used again gives another number, for very long. */
static void
tickets_do_not_repeat(void **state UNUSED)
{
	struct tickets t;
	uint64_t first;
	struct post *const post = (void *)&t;

	ticket_init(&t, 65536 + 1);
	first = ticket_new(&t, post);
	assert_int_equal(first >> 48, 1);
	ticket_end(&t, first);
	for (int i = 0; i < 3000000; i++) {
		uint64_t ticket = ticket_new(&t, post);

		assert_true(ticket != first && ticket != 0);
		ticket_end(&t, ticket);
	}
	ticket_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results),
		cmocka_unit_test(late_ones),
		cmocka_unit_test(texts),
		cmocka_unit_test(largest),
		cmocka_unit_test(dates),
		cmocka_unit_test(tickets_find_their_posts),
		cmocka_unit_test(tickets_do_not_repeat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

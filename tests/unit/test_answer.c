/*
 * test_answer - results with dropped events, and in Smile (answer.c, drops.c)
 */
#include "answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "smile.h"

static struct answer answer;
static struct smile smile;

static int
set_up(void **state UNUSED)
{
	answer_init(&answer);
	return 0;
}

static int
tear_down(void **state UNUSED)
{
	answer_fini(&answer);
	return 0;
}

/* The result as JSON text, to be freed. */
static char *
text_of(const struct reply *r)
{
	char *padded = calloc(1, r->result_bytes + SMILE_PADDING);
	struct buf json;

	assert_non_null(padded);
	memcpy(padded, r->result, r->result_bytes);
	if (!r->is_smile)
		return padded;
	buf_init(&json, 1u * MiB);
	assert_int_equal(
	    smile_read(&smile, padded, r->result_bytes, &json), SMILE_DONE);
	free(padded);
	assert_int_equal(json.bytes[json.used - 1], '\n');
	json.bytes[json.used - 1] = '\0';
	return json.bytes;
}

static void
check(struct reply r, const struct drops *drops, const char *expected)
{
	for (int is_smile = 0; is_smile < 2; is_smile++) {
		char *found;

		answer_compose(&answer, &r, drops, is_smile);
		assert_int_equal(r.is_smile, is_smile);
		found = text_of(&r);
		assert_string_equal(found, expected);
		free(found);
	}
}

static void
add(struct drops *d, uint32_t event, uint64_t line, int64_t ms)
{
	struct drop drop = { .event = event,
		.reason = DROP_WINDOW,
		.line = line,
		.timestamp_ms = ms };

	assert_true(drops_add(d, &drop));
}

static void
results(void **state UNUSED)
{
	struct reply r = { .status = 200, .received = 5, .sent = 4 };
	struct drops none = { .max = 0 };

	check(r, NULL, "{\"result\":{\"received\":5,\"sent\":4}}");
	check(r, &none,
	    "{\"result\":{\"received\":5,\"sent\":4,\"spooled\":0,"
	    "\"dropped\":[]}}");
}

static void
dropped_events(void **state UNUSED)
{
	struct reply r = {
		.status = 200, .received = 9, .spooled = 5, .dropped = { 3 }
	};
	struct drops d;

	drops_init(&d, 2);
	add(&d, 1, 0, 0);
	add(&d, 7, 12, INT64_C(1795341600001));
	add(&d, 8, 13, 0);
	assert_int_equal(d.count, 2);
	assert_true(drops_bytes(&d) >= 2 * sizeof d.list[0]);
	r.dropped_late = 1;
	check(r, &d,
	    "{\"result\":{\"received\":9,\"sent\":0,\"spooled\":5,"
	    "\"dropped\":[{\"index\":1,\"reason\":\"window\",\"timestamp\":"
	    "\"1970-01-01T00:00:00.000Z\"},{\"index\":7,\"line\":12,"
	    "\"reason\":\"window\",\"timestamp\":\"2026-11-22T10:00:00.001Z\"}"
	    "],\"droppedNotListed\":2}}");
	drops_free(&d);
	assert_int_equal(d.count, 0);
}

static void
late_events(void **state UNUSED)
{
	struct drop kept = { .event = 2,
		.is_kept = true,
		.policy = LATE_ARCHIVE,
		.timestamp_ms = 1 };
	struct reply r = { .status = 200,
		.received = 4,
		.spooled = 3,
		.dropped = { 1 },
		.archived = 3 };
	struct drops d;

	drops_init(&d, 2);
	add(&d, 1, 0, 0);
	assert_true(drops_add(&d, &kept));
	assert_true(drops_add(&d, &kept));
	assert_int_equal(drops_kept(&d), 1);
	check(r, &d,
	    "{\"result\":{\"received\":4,\"sent\":0,\"spooled\":3,"
	    "\"dropped\":[{\"index\":1,\"reason\":\"window\",\"timestamp\":"
	    "\"1970-01-01T00:00:00.000Z\"}],\"late\":[{\"index\":2,"
	    "\"policy\":\"archive\",\"timestamp\":"
	    "\"1970-01-01T00:00:00.001Z\"}],\"lateNotListed\":2}}");
	drops_free(&d);
}

/* As many as http.maxDetailEvents may ask for. */
static void
many(void **state UNUSED)
{
	struct reply r = {
		.status = 200, .received = 100000, .dropped = { 100000 }
	};
	struct drops d;
	char *found;

	drops_init(&d, 100000);
	for (uint32_t i = 0; i < d.max; i++)
		add(&d, i, UINT32_MAX, INT64_MAX / 100000);
	answer_compose(&answer, &r, &d, false);
	found = text_of(&r);
	assert_null(strstr(found, "droppedNotListed"));
	assert_non_null(strstr(found, "\"index\":99999,"));
	free(found);
	drops_free(&d);
	/* the memory is given back */
	answer_compose(&answer, &r, NULL, false);
	assert_true(answer.json.size < 64 * KiB);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results),
		cmocka_unit_test(dropped_events),
		cmocka_unit_test(late_events),
		cmocka_unit_test(many),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

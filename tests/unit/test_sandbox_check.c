/*
 * test_sandbox_check - bodies judged, and tools/sandbox_store behind it
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox_check.h"
#include "sandbox_store.h"

static const struct check_rule rule = { .column = "time",
	.column_bytes = 4,
	.has_interval = true,
	.interval = { 1000, 2000 },
	.task = "t" };

/* Judged by one parser, and by two: the answer is the same. */
static enum check_result
judge(const char *body, uint64_t *violations)
{
	char padded[4096 + JSON_SCAN_PADDING] = "";
	enum check_result result[2];

	assert_true(strlen(body) <= 4096);
	memcpy(padded, body, strlen(body));
	*violations = 0;
	for (int full = 0; full < 2; full++) {
		static struct violations v;
		struct check c;

		v = (struct violations){ 0 };
		sandbox_check_init(&c, full == 1, &v);
		result[full] =
		    sandbox_check_body(&c, &rule, padded, strlen(body));
		assert_int_equal(v.count[VIOLATION_JUDGES], 0);
		*violations = sandbox_violation_total(&v);
		sandbox_check_fini(&c);
	}
	assert_int_equal(result[0], result[1]);
	return result[0];
}

static void
test_results(void **state)
{
	static const struct {
		const char *body;
		enum check_result result;
		uint64_t violations;
	} cases[] = {
		{ "[]", CHECK_OK, 0 },
		{ " \r\n\t[ ] ", CHECK_OK, 0 },
		{ "[{\"time\":1000},{\"a\":[{}],\"time\":1999}]", CHECK_OK, 0 },
		{ "[{\"t\\u0069me\":1000}]", CHECK_OK, 0 },
		{ "[{\"time\":999},{\"time\":2000}]", CHECK_OK, 2 },
		{ "[{\"time\":\"1500\"}]", CHECK_OK, 1 },
		{ "[{\"time\":1500.7}]", CHECK_OK, 1 },
		{ "[{\"time\":1.5e3}]", CHECK_OK, 1 },
		{ "[{\"time\":1,\"time\":1500}]", CHECK_OK, 0 },
		{ "[{\"time\":1500,\"x\":99999999999999999999}]", CHECK_OK, 0 },
		{ "[{\"time\":1500,\"x\":\"\\ud800\"}]", CHECK_OK, 0 },
		{ "[{\"time\":1500,\"x\":\"\\u0000\"}]", CHECK_OK, 0 },
		{ "[{\"time\":null}]", CHECK_ROW, 1 },
		{ "[{\"time\":\"x\"}]", CHECK_ROW, 1 },
		{ "[{\"time\":1e99}]", CHECK_ROW, 1 },
		{ "[{\"time\":9999999999999999999999}]", CHECK_ROW, 1 },
		{ "[{}]", CHECK_ROW, 1 },
		{ "[{\"time\":1500},{\"Time\":1}]", CHECK_ROW, 1 },
		{ "[{},{\"time\":1500},{}]", CHECK_ROW, 1 },
		{ "", CHECK_BODY, 0 },
		{ "null", CHECK_BODY, 0 },
		{ "{\"time\":1500}", CHECK_BODY, 0 },
		{ "[{\"time\":1500}", CHECK_BODY, 0 },
		{ "[{\"time\":1500},]", CHECK_BODY, 0 },
		{ "[1]", CHECK_BODY, 0 },
		{ "[{\"time\":1500}] []", CHECK_BODY, 0 },
		{ "[{\"time\":01500}]", CHECK_BODY, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t violations;
		enum check_result r = judge(cases[i].body, &violations);

		if (r != cases[i].result || violations != cases[i].violations)
			fail_msg("%s: result %d, %u violations", cases[i].body,
			    r, (unsigned)violations);
	}
}

struct fixture {
	struct violations violations;
	struct check check;
	struct store store;
};

static struct fixture *
fixture_new(bool keeps, uint64_t most)
{
	struct fixture *f = calloc(1, sizeof *f);

	assert_non_null(f);
	sandbox_check_init(&f->check, false, &f->violations);
	sandbox_store_init(&f->store, keeps, most);
	return f;
}

static void
fixture_free(struct fixture *f)
{
	sandbox_check_fini(&f->check);
	sandbox_store_clear(&f->store);
	free(f);
}

static void
add(struct fixture *f, struct store_source *source, const char *body)
{
	char padded[4096 + JSON_SCAN_PADDING] = "";

	memcpy(padded, body, strlen(body));
	assert_int_equal(
	    sandbox_check_body(&f->check, &rule, padded, strlen(body)),
	    CHECK_OK);
	sandbox_store_add_events(
	    &f->store, source, padded, f->check.events, f->check.count);
}

static void
assert_lines(struct fixture *f, const struct store_query *q, const char *want)
{
	struct store_cursor *c = sandbox_store_open(&f->store, q);
	struct buf b, piece;

	buf_init(&b, 1u << 20);
	buf_init(&piece, 1u << 20);
	do {
		buf_reset(&piece);
		sandbox_store_read(c, &piece);
		buf_add(&b, piece.bytes, piece.used);
	} while (piece.used > 0);
	sandbox_store_close(&c);
	assert_string_equal(buf_text(&b), want);
	buf_free(&b);
	buf_free(&piece);
}

static void
test_store(void **state)
{
	struct fixture *f = fixture_new(true, 1u << 30);
	struct store_source *a =
	    sandbox_store_add_source(&f->store, "x", "a", 0);
	struct store_source *b =
	    sandbox_store_add_source(&f->store, "x", "b", 1);
	struct store_query q = { .ds = "x", .task = "", .lost = -1 };

	(void)state;
	add(f, a, "[{\"time\":1001},{\"time\":7},{\"time\":1002,\n\"p\":1}]");
	add(f, b, "[{\"time\":1001}]");
	add(f, a, "[ {\"time\":1003} ]");
	add(f, a, "[{\"time\":5}]");
	assert_lines(f, &q,
	    "{\"time\":1001}\n{\"time\":1002, \"p\":1}\n{\"time\":1003}\n");
	q.replicant = 1;
	assert_lines(f, &q, "{\"time\":1001}\n");
	b->is_lost = true;
	q.replicant = STORE_ANY_REPLICANT;
	q.is_wrapped = true;
	q.lost = 1;
	assert_lines(f, &q,
	    "{\"task\":\"b\",\"replicant\":1,\"lost\":true,"
	    "\"event\":{\"time\":1001}}\n");
	q.lost = 0;
	q.task = "b";
	assert_lines(f, &q, "");
	q.ds = "nosuch";
	assert_lines(f, &q, "");
	assert_int_equal(a->digest.events, 3);
	assert_int_equal(b->digest.events, 1);
	fixture_free(f);
}

/* What was there when the cursor was opened, and nothing of a cleared store. */
static void
test_cursor(void **state)
{
	struct fixture *f = fixture_new(true, 1u << 30);
	struct store_source *a =
	    sandbox_store_add_source(&f->store, "x", "a", 0);
	struct store_query q = { .ds = "x", .task = "", .lost = -1 };
	struct store_cursor *c, *cleared;
	struct buf b;

	(void)state;
	buf_init(&b, 1u << 20);
	add(f, a, "[{\"time\":1001}]");
	c = sandbox_store_open(&f->store, &q);
	cleared = sandbox_store_open(&f->store, &q);
	add(f, a, "[{\"time\":1002}]");
	sandbox_store_read(c, &b);
	assert_string_equal(buf_text(&b), "{\"time\":1001}\n");
	buf_reset(&b);
	sandbox_store_read(c, &b);
	assert_int_equal(b.used, 0);
	sandbox_store_clear(&f->store);
	sandbox_store_read(cleared, &b);
	assert_int_equal(b.used, 0);
	sandbox_store_close(&c);
	sandbox_store_close(&cleared);
	buf_free(&b);
	fixture_free(f);
}

static void
test_bounded(void **state)
{
	struct fixture *f = fixture_new(true, 100);
	struct store_source *a =
	    sandbox_store_add_source(&f->store, "x", "a", 0);

	(void)state;
	for (int i = 0; i < 10; i++)
		add(f, a, "[{\"time\":1001}]");
	assert_true(f->store.is_truncated);
	assert_true(f->store.kept_bytes <= 100);
	assert_int_equal(a->digest.events, 10);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_cursor),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

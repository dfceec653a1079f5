/*
 * test_sandbox_fault - orders read, and whom they strike
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "sandbox_fault.h"

static const struct fault_target push_foo = { FAULT_AT_PUSH, "foo", "task_0" };
static const struct fault_target push_bar = { FAULT_AT_PUSH, "bar", "task_1" };
static const struct fault_target overlord = { FAULT_AT_OVERLORD, "", "" };

static bool
read_order(const char *text, struct fault *f, bool *on)
{
	char error[FAULT_TEXT_BYTES] = "";
	struct json_error syntax;
	struct json *j = json_parse(text, strlen(text), &syntax);
	bool good;

	assert_non_null(j);
	good = sandbox_fault_read(j, f, on, error);
	json_free(&j);
	assert_int_equal(good, error[0] == '\0');
	return good;
}

static unsigned
order(struct faults *f, const char *text)
{
	struct fault fault;
	bool on;

	assert_true(read_order(text, &fault, &on));
	if (on && fault.kind != FAULTS)
		return sandbox_fault_begin(f, &fault);
	return sandbox_fault_end(f, &fault);
}

static unsigned
strikes(struct faults *f, enum fault_kind kind, const struct fault_target *at,
    unsigned tries)
{
	unsigned count = 0;

	while (tries-- > 0)
		count += sandbox_fault_strike(f, kind, at) != NULL;
	return count;
}

static void
test_orders(void **state)
{
	struct fault f;
	bool on;

	(void)state;
	assert_true(read_order("{\"fault\":\"slow\",\"ms\":500,\"dataSource\":"
			       "\"x\",\"task\":\"t\",\"percent\":10,"
			       "\"count\":3,\"on\":true}",
	    &f, &on));
	assert_int_equal(f.kind, FAULT_SLOW);
	assert_int_equal(f.ms, 500);
	assert_int_equal(f.percent, 10);
	assert_int_equal(f.count, 3);
	assert_string_equal(f.ds, "x");
	assert_string_equal(f.task, "t");
	assert_true(on);
	assert_true(read_order("{\"fault\":\"none\"}", &f, &on));
	assert_int_equal(f.kind, FAULTS);
	assert_false(read_order("{}", &f, &on));
	assert_false(read_order("{\"fault\":\"\"}", &f, &on));
	assert_false(read_order("{\"fault\":\"slow\",\"m\":1}", &f, &on));
	assert_false(read_order(
	    "{\"fault\":\"slow\",\"where\":1,\"where2\":1}", &f, &on));
	assert_false(read_order("{\"fault\":\"not-leader\"}", &f, &on));
	assert_true(
	    read_order("{\"fault\":\"not-leader\",\"on\":false}", &f, &on));
	for (unsigned i = 0; i < FAULTS; i++)
		assert_non_null(sandbox_fault_name((enum fault_kind)i));
}

static void
test_aim(void **state)
{
	struct faults f;

	(void)state;
	sandbox_fault_init(&f, 1);
	assert_int_equal(strikes(&f, FAULT_ERROR, &push_foo, 1), 0);
	order(&f, "{\"fault\":\"error\",\"dataSource\":\"foo\"}");
	assert_int_equal(strikes(&f, FAULT_ERROR, &push_foo, 3), 3);
	assert_int_equal(strikes(&f, FAULT_ERROR, &push_bar, 3), 0);
	assert_int_equal(strikes(&f, FAULT_ERROR, &overlord, 3), 0);
	assert_int_equal(strikes(&f, FAULT_DROP, &push_foo, 3), 0);
	order(&f, "{\"fault\":\"error\",\"task\":\"task_\",\"where\":\"all\"}");
	assert_int_equal(strikes(&f, FAULT_ERROR, &push_bar, 3), 3);
	assert_int_equal(strikes(&f, FAULT_ERROR, &overlord, 1), 0);
	order(&f, "{\"fault\":\"overlord-away\"}");
	assert_int_equal(strikes(&f, FAULT_OVERLORD_AWAY, &overlord, 1), 1);
	assert_true(sandbox_fault_is_on(&f, FAULT_ERROR, &push_bar));
	assert_int_equal(order(&f,
			     "{\"fault\":\"error\",\"on\":false,"
			     "\"dataSource\":\"foo\"}"),
	    1);
	assert_int_equal(order(&f, "{\"fault\":\"error\",\"on\":false}"), 1);
	assert_int_equal(order(&f, "{\"fault\":\"none\"}"), 1);
	assert_int_equal(f.count, 0);
}

static void
test_count(void **state)
{
	struct faults f;

	(void)state;
	sandbox_fault_init(&f, 1);
	order(&f, "{\"fault\":\"drop\",\"count\":2}");
	assert_true(sandbox_fault_is_on(&f, FAULT_DROP, &push_foo));
	assert_int_equal(strikes(&f, FAULT_DROP, &push_foo, 10), 2);
	assert_false(sandbox_fault_is_on(&f, FAULT_DROP, &push_foo));
	/* the next one of its kind goes on */
	order(&f, "{\"fault\":\"drop\",\"count\":1}");
	assert_int_equal(strikes(&f, FAULT_DROP, &push_bar, 10), 1);
}

static void
test_percent(void **state)
{
	struct faults f, again;
	unsigned struck;

	(void)state;
	sandbox_fault_init(&f, 42);
	order(&f, "{\"fault\":\"error\",\"percent\":20}");
	again = f;
	struck = strikes(&f, FAULT_ERROR, &push_foo, 10000);
	assert_in_range(struck, 1800, 2200);
	assert_int_equal(
	    strikes(&again, FAULT_ERROR, &push_foo, 10000), struck);
	order(&f, "{\"fault\":\"hang\",\"percent\":0}");
	assert_int_equal(strikes(&f, FAULT_HANG, &push_foo, 1000), 0);
}

static void
test_bounded(void **state)
{
	struct faults f;

	(void)state;
	sandbox_fault_init(&f, 0);
	for (unsigned i = 0; i < FAULTS_MAX; i++)
		assert_int_equal(order(&f, "{\"fault\":\"slow\"}"), 1);
	assert_int_equal(order(&f, "{\"fault\":\"slow\"}"), 0);
	assert_int_equal(order(&f, "{\"fault\":\"none\"}"), FAULTS_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_aim),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_percent),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

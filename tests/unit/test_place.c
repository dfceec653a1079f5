/*
 * test_place - which port is spoken to
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "place.h"

static void
test_choose(void **state)
{
	static const struct {
		bool tls_only;
		int port, tls_port;
		bool expected;
		struct place place;
	} cases[] = {
		{ false, 8100, -1, true, { 8100, false } },
		{ false, 8100, 8300, true, { 8100, false } },
		{ false, -1, 8300, true, { 8300, true } },
		{ false, 0, 0, false, { 0, false } },
		{ false, -1, -1, false, { 0, false } },
		{ false, 65536, 8300, true, { 8300, true } },
		{ true, 8100, 8300, true, { 8300, true } },
		{ true, -1, 8300, true, { 8300, true } },
		{ true, 8100, -1, false, { 0, false } },
		{ true, 8100, 65536, false, { 0, false } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct place p;

		assert_int_equal(place_choose(&p, cases[i].tls_only,
				     cases[i].port, cases[i].tls_port),
		    cases[i].expected);
		if (!cases[i].expected)
			continue;
		assert_int_equal(p.port, cases[i].place.port);
		assert_int_equal(p.is_tls, cases[i].place.is_tls);
	}
}

static void
check_url(const char *host, int port, bool is_tls, const char *expected)
{
	char *url = place_url(host, &(struct place){ port, is_tls });

	assert_string_equal(url, expected);
	free(url);
}

static void
test_url(void **state)
{
	(void)state;
	check_url("peon", 8100, false, "http://peon:8100");
	check_url("peon", 8300, true, "https://peon:8300");
	check_url("::1", 8300, true, "https://[::1]:8300");
	check_url("[::1]", 8100, false, "http://[::1]:8100");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_url),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

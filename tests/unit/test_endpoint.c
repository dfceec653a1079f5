/*
 * test_endpoint - "host:port" as text, and what a feed's addresses may be
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "endpoint.h"
#include "conf_pull.h"
#include "feed_check.h"
#include "panic.h"

static void
test_good(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port;
		bool is_everywhere, is_loopback;
	} cases[] = {
		{ "127.0.0.1:9094", "127.0.0.1", 9094, false, true },
		{ "127.0.0.2", "127.0.0.2", 0, false, true },
		{ "127.example:9094", "127.example", 9094, false, false },
		{ "localhost:1", "localhost", 1, false, true },
		{ "[::1]:9094", "::1", 9094, false, true },
		{ "[fe80::1%eth0]:9094", "", 0, false, false },
		{ "[2001:db8::1]", "2001:db8::1", 0, false, false },
		{ "tq1.example", "tq1.example", 0, false, false },
		{ "tq1.example:65535", "tq1.example", 65535, false, false },
		{ "0.0.0.0:9094", "0.0.0.0", 9094, true, false },
		{ "[::]:9094", "::", 9094, true, false },
		{ "*:9094", "*", 9094, true, false },
		{ ":9094", "", 9094, true, false },
		{ "10.0.0.1:0", "10.0.0.1", 0, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct endpoint e;

		if (cases[i].host[0] == '\0' && cases[i].port == 0) {
			assert_false(endpoint_parse(cases[i].text, &e));
			continue;
		}
		assert_true(endpoint_parse(cases[i].text, &e));
		assert_string_equal(e.host, cases[i].host);
		assert_int_equal(e.port, cases[i].port);
		assert_int_equal(
		    endpoint_is_everywhere(&e), cases[i].is_everywhere);
		assert_int_equal(
		    endpoint_is_loopback(&e), cases[i].is_loopback);
	}
}

static void
test_bad(void **state)
{
	static const char *const cases[] = { "", "a:", "a:b", "a:65536", "a:-1",
		"a: 1", "a:1:2", "::1", "[::1", "[::1]x", "[]:1", "a b:1",
		"http://a:1", "a/b:1", "*.a:1", "[a]:" };
	char text[400];
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_false(endpoint_parse(cases[i], &e));
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assert_false(endpoint_parse(text, &e));
}

/* The first problem or warning, "" when there is none; to be freed. */
static char *
checked(const struct conf *conf)
{
	struct conf_problems found = { 0 };
	char *first;

	feed_check(conf, &found);
	first = must_strdup(found.count > 0 ? found.lines[0]
		: found.warning_count > 0   ? found.warnings[0]
					    : "");
	conf_problems_free(&found);
	return first;
}

static void
test_check(void **state)
{
	static const struct {
		const char *listen, *advertise, *users;
		bool tls, insecure;
		const char *said;
	} cases[] = {
		{ "", "", "", false, false, "" },
		{ "127.0.0.1:9094", "", "", false, false, "" },
		{ "localhost:9094", "", "", false, false, "" },
		{ "nonsense/", "", "", false, false, "is no HOST:PORT" },
		{ "10.0.0.1:9094", "", "", false, false,
		    "lets everybody in the network read" },
		{ "10.0.0.1:9094", "", "", false, true, "" },
		{ "10.0.0.1:9094", "", "", true, false, "" },
		{ "10.0.0.1:9094", "", "/file", false, false, "" },
		{ ":9094", "", "", true, false, "pull.advertise: not set" },
		{ ":9094", "0.0.0.0:9094", "", true, false,
		    "no address that anybody could connect to" },
		{ ":9094", "127.0.0.1:9094", "", true, false,
		    "sends consumers on other machines to themselves" },
		{ ":9094", "a b", "", true, false, "is no HOST:PORT" },
		{ ":9094", "no.such.host.invalid", "", true, false,
		    "is not known on this machine" },
		{ ":9094", "10.1.2.3", "", true, false, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct conf conf = { .file = (char *)(uintptr_t) "test",
			.pull_listen = (char *)(uintptr_t)cases[i].listen,
			.pull_advertise = (char *)(uintptr_t)cases[i].advertise,
			.pull_auth_file = (char *)(uintptr_t)cases[i].users,
			.pull_tls = cases[i].tls,
			.pull_insecure = cases[i].insecure };
		char *said = checked(&conf);

		if (cases[i].said[0] == '\0')
			assert_string_equal(said, "");
		else if (strstr(said, cases[i].said) == NULL)
			fail_msg("case %zu: '%s'", i, said);
		free(said);
	}
}

static void
test_address(void **state)
{
	static const struct {
		const char *listen, *advertise, *host;
		unsigned port;
	} cases[] = {
		{ "127.0.0.1:0", "", "127.0.0.1", 7777 },
		{ "127.0.0.1:9094", "", "127.0.0.1", 9094 },
		{ ":9094", "tq1.example", "tq1.example", 7777 },
		{ ":9094", "tq1.example:19094", "tq1.example", 19094 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct conf conf = {
			.pull_listen = (char *)(uintptr_t)cases[i].listen,
			.pull_advertise = (char *)(uintptr_t)cases[i].advertise
		};
		struct endpoint e;

		conf_pull_address(&conf, 7777, &e);
		assert_string_equal(e.host, cases[i].host);
		assert_int_equal(e.port, cases[i].port);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

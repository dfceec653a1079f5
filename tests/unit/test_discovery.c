/*
 * test_discovery - worker/discovery: documents of service instances
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "discovery.h"

static void
takes(const char *text, const char *host, int port, int tls_port)
{
	struct discovery_place p;
	const char *why;

	if (!discovery_parse(text, strlen(text), &p, &why))
		fail_msg("%s: %s", text, why);
	assert_string_equal(p.host, host);
	assert_int_equal(p.port, port);
	assert_int_equal(p.tls_port, tls_port);
}

static void
refuses(const char *text)
{
	struct discovery_place p;
	const char *why = NULL;

	if (discovery_parse(text, strlen(text), &p, &why))
		fail_msg("taken: %s", text);
	assert_non_null(why);
}

static void
test_forms(void **state)
{
	(void)state;
	/* druid-api.md 4.1 */
	takes("{\"name\":\"druid:overlord\","
	      "\"id\":\"7a1c6f2e-3f0e-4f0b-9a53-0e6a3b1c2d4e\","
	      "\"address\":\"10.0.0.5\",\"port\":8090,\"sslPort\":-1,"
	      "\"payload\":null,\"registrationTimeUTC\":1714557600000,"
	      "\"serviceType\":\"DYNAMIC\",\"uriSpec\":null}",
	    "10.0.0.5", 8090, 0);
	/* before 0.11: no TLS port; Curator 3.3: enabled; another order */
	takes("{\"enabled\":true,\"sslPort\":null,\"port\":8090,"
	      "\"address\":\"host.example\"}",
	    "host.example", 8090, 0);
	/* plain HTTP switched off */
	takes("{\"address\":\"h\",\"port\":-1,\"sslPort\":8290}", "h", 0, 8290);
	takes(
	    "{\"address\":\"h\",\"port\":null,\"sslPort\":8290}", "h", 0, 8290);
	takes("{\"address\":\"h\",\"port\":8090,\"sslPort\":8290}", "h", 8090,
	    8290);
	takes("{\"address\":\"fd00::1\",\"port\":8090}", "fd00::1", 8090, 0);
}

static void
test_garbage(void **state)
{
	char big[1000];

	(void)state;
	refuses("");
	refuses("\x1f\x8b\x08");
	refuses("10.0.0.5");
	refuses("[]");
	refuses("{}");
	refuses("{\"address\":\"h\"}");
	refuses("{\"address\":\"h\",\"port\":-1,\"sslPort\":-1}");
	refuses("{\"address\":\"h\",\"port\":65536}");
	refuses("{\"address\":\"h\",\"port\":\"8090\"}");
	refuses("{\"address\":\"h\",\"port\":80.5}");
	refuses("{\"address\":\"\",\"port\":8090}");
	refuses("{\"address\":null,\"port\":8090}");
	refuses("{\"address\":\"a b\",\"port\":8090}");
	refuses("{\"address\":\"a/../b\",\"port\":8090}");
	refuses("{\"address\":\"u@h\",\"port\":8090}");
	refuses("{\"address\":\"h\\r\\nX: y\",\"port\":8090}");
	memset(big, 'h', sizeof big);
	memcpy(big, "{\"port\":80,\"address\":\"", 22);
	memcpy(big + 600, "\"}", 3);
	refuses(big);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_druid - which Druid is there, by what its Overlord says
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "druid.h"
#include "loop_until.h"
#include "one_ds.h"
#include "script_server.h"

#define PERIOD_MS 20
#define KAFKA                                                                 \
	"{\"name\":\"org.apache.druid.indexing.kafka.KafkaIndexTaskModule\"," \
	"\"artifact\":\"druid-kafka-indexing-service\",\"version\":\"31.0."   \
	"1\"}"
#define OTHER                                                             \
	"{\"name\":\"org.apache.druid.storage.s3.S3StorageDruidModule\"," \
	"\"artifact\":\"druid-s3-extensions\",\"version\":\"31.0.1\"}"
#define STATUS(version, modules)                                  \
	"{\"version\":\"" version "\",\"modules\":[" modules "]," \
	"\"memory\":{\"maxMemory\":1}}"

/* ---- versions, answers ---- */

struct version_row {
	const char *text;
	bool good, has_major;
	unsigned major;
};

static void
test_versions(void **state)
{
	static const struct version_row rows[] = {
		{ "31.0.1", true, true, 31 },
		{ "28.0.0-SNAPSHOT", true, true, 28 },
		{ "0.23.0", true, true, 0 },
		{ "0.12.3-incubating", true, true, 0 },
		{ "30.0.1.7.2.18-cdp", true, true, 30 },
		{ "999.0", true, true, 999 },
		{ "31", true, true, 31 },
		{ "34-rc1", true, true, 34 },
		{ "2024.05.0-iap", true, false, 0 },
		{ "1000.0", true, false, 0 },
		{ "99999999999999999999.0", true, false, 0 },
		{ "", false, false, 0 },
		{ "unknown", false, false, 0 },
		{ "31x", false, false, 0 },
		{ "v31.0.0", false, false, 0 },
		{ "-31.0.0", false, false, 0 },
		{ " 31.0.0", false, false, 0 },
		{ "31.0.0\n", false, false, 0 },
		{ "31.0.0 \xc3\xa4", false, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct version_row *r = &rows[i];
		struct druid_facts f = { .has_major = !r->has_major };

		if (druid_read_version(r->text, &f) != r->good ||
		    f.has_major != r->has_major || f.major != r->major ||
		    (r->good && strcmp(f.version, r->text) != 0))
			fail_msg("'%s': %s %d %u", r->text, f.version,
			    f.has_major, f.major);
	}
}

static void
test_version_is_cut(void **state)
{
	char text[3 * DRUID_VERSION_BYTES];
	struct druid_facts f = { .major = 1 };

	(void)state;
	memset(text, 'a', sizeof text);
	memcpy(text, "31.0-", 5);
	text[sizeof text - 1] = '\0';
	assert_true(druid_read_version(text, &f));
	assert_int_equal(f.major, 31);
	assert_int_equal(strlen(f.version), DRUID_VERSION_BYTES - 1);
}

static bool
read_body(int status, const char *body, struct druid_facts *f)
{
	struct overlord_answer a = { .status = status,
		.body = body,
		.body_bytes = strlen(body),
		.server = "http://a:1" };

	return druid_read(&a, f);
}

static void
test_answers(void **state)
{
	static const char *const bad[] = { "", "{}", "[]", "null", "<html>",
		"{\"version\":31}", "{\"version\":null}", STATUS("junk", KAFKA),
		"\"31.0.1\"" };
	static const char *const without[] = { STATUS("31.0.1", ""),
		STATUS("31.0.1", OTHER), STATUS("31.0.1", "null,1,[],\"x\""),
		"{\"version\":\"31.0.1\"}",
		"{\"version\":\"31.0.1\",\"modules\":{\"a\":1}}" };
	struct druid_facts f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (read_body(200, bad[i], &f))
			fail_msg("taken: %s", bad[i]);
	assert_false(read_body(404, STATUS("31.0.1", KAFKA), &f));
	for (size_t i = 0; i < ARRAY_LEN(without); i++)
		if (!read_body(200, without[i], &f) || f.has_kafka)
			fail_msg("not so: %s", without[i]);
	assert_true(read_body(200, STATUS("31.0.1", OTHER "," KAFKA), &f));
	assert_true(f.has_kafka);
	assert_int_equal(f.major, 31);
	/* a vendor's artifact */
	assert_true(read_body(200,
	    STATUS("31.0.1", "{\"name\":\"com.example.KafkaIndexTaskModule\"}"),
	    &f));
	assert_true(f.has_kafka);
}

/* ---- asking ---- */

struct rig {
	struct loop *loop;
	struct script_server *server;
	struct http_client *http;
	struct conf *conf;
	struct overlord *overlord;
	struct druid *druid;
	unsigned heard;
};

static void
heard(void *context)
{
	struct rig *r = context;

	r->heard++;
}

static int
set_up(void **state)
{
	struct rig *r = must_calloc(1, sizeof *r);
	char *properties;

	r->loop = loop_new();
	r->server = script_new(r->loop);
	r->http = http_client_new(r->loop);
	properties =
	    must_format("\"druid.overlord.url\":\"%s\"", script_url(r->server));
	r->conf = one_ds(NULL, properties);
	free(properties);
	r->overlord = overlord_new(r->http, &r->conf->ds[0], NULL, NULL);
	*state = r;
	return 0;
}

static int
tear_down(void **state)
{
	struct rig *r = *state;

	druid_free(&r->druid);
	overlord_free(&r->overlord);
	conf_free(&r->conf);
	http_client_free(&r->http);
	script_free(&r->server);
	loop_free(&r->loop);
	free(r);
	return 0;
}

static void
open_druid(struct rig *r)
{
	struct druid_parts p = { .loop = r->loop,
		.overlord = r->overlord,
		.period_ms = PERIOD_MS,
		.heard = heard,
		.context = r };

	r->druid = druid_new(&p);
	assert_null(druid_facts(r->druid));
	assert_false(druid_was_asked(r->druid));
}

/* The next answer; what is believed then. */
static const char *
version_after(struct rig *r, int status, const char *body)
{
	unsigned before = r->heard;

	script_answer(r->server, status, body);
	LOOP_UNTIL(r->loop, r->heard > before);
	return druid_facts(r->druid) != NULL ? druid_facts(r->druid)->version
					     : "none";
}

static void
test_asks_at_once(void **state)
{
	struct rig *r = *state;

	open_druid(r);
	assert_string_equal(
	    version_after(r, 200, STATUS("30.0.1", "")), "30.0.1");
	assert_true(druid_was_asked(r->druid));
	assert_string_equal(druid_trouble(r->druid), "");
	assert_string_equal(script_request(r->server, 0)->method, "GET");
	assert_string_equal(script_request(r->server, 0)->target, "/status");
}

/* An upgrade, and one of two Overlords that is ahead. */
static void
test_another_word_counts_twice(void **state)
{
	struct rig *r = *state;

	open_druid(r);
	version_after(r, 200, STATUS("30.0.1", ""));
	assert_string_equal(
	    version_after(r, 200, STATUS("31.0.1", "")), "30.0.1");
	assert_string_equal(
	    version_after(r, 200, STATUS("30.0.1", "")), "30.0.1");
	assert_string_equal(
	    version_after(r, 200, STATUS("31.0.1", "")), "30.0.1");
	assert_string_equal(version_after(r, 503, ""), "30.0.1");
	assert_string_equal(
	    version_after(r, 200, STATUS("31.0.1", "")), "30.0.1");
	assert_string_equal(
	    version_after(r, 200, STATUS("31.0.1", "")), "31.0.1");
	assert_false(druid_facts(r->druid)->has_kafka);
	/* the extension is loaded */
	version_after(r, 200, STATUS("31.0.1", KAFKA));
	assert_false(druid_facts(r->druid)->has_kafka);
	version_after(r, 200, STATUS("31.0.1", KAFKA));
	assert_true(druid_facts(r->druid)->has_kafka);
}

static void
expect_trouble(struct rig *r, const char *what)
{
	if (strstr(druid_trouble(r->druid), what) == NULL)
		fail_msg("'%s' is not in '%s'", what, druid_trouble(r->druid));
}

static void
test_no_answer_of_use(void **state)
{
	struct rig *r = *state;

	open_druid(r);
	assert_string_equal(version_after(r, 403, ""), "none");
	assert_true(druid_was_asked(r->druid));
	expect_trouble(r, "/status answered 403");
	/* who may not see it may hand in tasks all the same */
	assert_string_equal(overlord_where(r->overlord), script_url(r->server));
	assert_string_equal(version_after(r, 404, "<html>"), "none");
	expect_trouble(r, "/status answered 404");
	assert_string_equal(version_after(r, 200, "hello"), "none");
	expect_trouble(r, "/status answered 200 and no version");
	assert_string_equal(version_after(r, 503, "not now"), "none");
	expect_trouble(r, "503");
	assert_string_equal(
	    version_after(r, 200, STATUS("0.23.0", "")), "0.23.0");
	assert_string_equal(druid_trouble(r->druid), "");
	/* what is known stays */
	assert_string_equal(version_after(r, 403, ""), "0.23.0");
	expect_trouble(r, "403");
}

static void
test_freed_while_it_asks(void **state)
{
	struct rig *r = *state;

	script_hold(r->server);
	open_druid(r);
	LOOP_UNTIL(r->loop, script_held(r->server) == 1);
	druid_free(&r->druid);
	assert_int_equal(r->heard, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_version_is_cut),
		cmocka_unit_test(test_answers),
		cmocka_unit_test_setup_teardown(
		    test_asks_at_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_another_word_counts_twice, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_no_answer_of_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_freed_while_it_asks, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

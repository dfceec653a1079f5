/*
 * conf_secret: a configuration without secrets is the same in all else, and
 * what was taken out comes back where it belongs.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf_secret.h"
#include "panic.h"

#define SPEC(name)                                                         \
	"{\"dataSchema\":{\"dataSource\":\"" name                          \
	"\",\"parser\":{\"type\":\"string\",\"parseSpec\":{\"format\":"    \
	"\"json\",\"timestampSpec\":{\"column\":\"t\"},\"dimensionsSpec\"" \
	":{}}},\"metricsSpec\":[],\"granularitySpec\":{"                   \
	"\"segmentGranularity\":\"HOUR\"}},\"tuningConfig\":{}}"

static const char text[] = "{\"dataSources\":[{\"spec\":" SPEC(
    "a") ",\"properties\":{"
	 "\"druidBeam.basicAuthUser\":\"u\","
	 "\"druidBeam.basicAuthPass\":\"$${a-secret\","
	 "\"zookeeper.auth.scheme\":\"digest\","
	 "\"zookeeper.auth.credentials\":\"u:a-secret\","
	 "\"druid.tls.keyStorePassword\":4711}},"
	 "{\"spec\":" SPEC(
	     "b") ",\"properties\":{"
		  "\"druidBeam.basicAuthPass\":\"\",\"druid.tls."
		  "keyStorePassword\":null}}],"
		  "\"properties\":{\"druid.overlord.url\":\"http://o:1\","
		  "\"https.keyStorePassword\":\"web-secret\","
		  "\"kafka.password\":\"kafka-secret\","
		  "\"druidBeam.basicAuthUser\":\"u\","
		  "\"druidBeam.basicAuthPass\":\"shared-secret\"}}";

static struct conf *
parse(const char *from)
{
	struct conf_problems problems;
	struct conf *conf = conf_parse("c", from, strlen(from), &problems);

	for (unsigned i = 0; i < problems.count; i++)
		print_error("%s\n", problems.lines[i]);
	assert_non_null(conf);
	conf_problems_free(&problems);
	return conf;
}

static struct conf *
without(const struct conf *conf)
{
	char *hidden = conf_secret_hide(conf);
	struct conf *other;

	assert_null(strstr(hidden, "-secret"));
	assert_null(strstr(hidden, "4711"));
	other = parse(hidden);
	free(hidden);
	return other;
}

static void
hides(void **state UNUSED)
{
	struct conf *whole = parse(text), *hidden = without(whole);
	const struct ds_conf *a = &hidden->ds[0], *b = &hidden->ds[1];

	assert_string_equal(a->basic_user, "u");
	assert_string_equal(a->basic_password, CONF_SECRET_HIDDEN);
	assert_string_equal(a->zookeeper_auth_scheme, "digest");
	assert_string_equal(a->zookeeper_auth_credentials, CONF_SECRET_HIDDEN);
	assert_string_equal(a->overlord_url, "http://o:1");
	/* "" and null are no secrets, and mean something */
	assert_string_equal(b->basic_password, "");
	assert_string_equal(b->tls_key_password, "");
	assert_string_equal(
	    hidden->https_key_store_password, CONF_SECRET_HIDDEN);
	assert_int_equal(a->secrets_fd, -1);
	assert_int_equal(hidden->keys_fd, -1);
	conf_free(&whole);
	conf_free(&hidden);
}

static void
comes_back(void **state UNUSED)
{
	struct conf *whole = parse(text), *hidden = without(whole);
	struct ds_conf *from = &whole->ds[0], *to = &hidden->ds[0];
	struct buf packed;

	from->druid_key = "key";
	buf_init(&packed, MiB);
	assert_true(conf_secret_pack(from, &packed));
	conf_secret_unpack(to, packed.bytes, packed.used);
	assert_string_equal(to->basic_password, "${a-secret");
	assert_string_equal(to->zookeeper_auth_credentials, "u:a-secret");
	assert_string_equal(to->tls_key_password, "4711");
	assert_string_equal(to->tls_trust_password, "");
	assert_null(to->druid_trust);
	assert_string_equal(to->druid_key, "key");
	buf_reset(&packed);
	assert_false(conf_secret_pack(&whole->ds[1], &packed));
	buf_free(&packed);
	conf_free(&whole);
	conf_free(&hidden);
}

static void
tells_apart(void **state UNUSED)
{
	struct conf *one = parse(text), *other = parse(text);
	struct ds_conf *a = &one->ds[0], *b = &other->ds[0];

	assert_true(conf_secret_same(a, b));
	assert_false(conf_secret_same(a, &one->ds[1]));
	a->druid_key = "key";
	assert_false(conf_secret_same(a, b));
	b->druid_key = a->druid_key;
	assert_true(conf_secret_same(a, b));
	conf_free(&one);
	conf_free(&other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hides),
		cmocka_unit_test(comes_back),
		cmocka_unit_test(tells_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

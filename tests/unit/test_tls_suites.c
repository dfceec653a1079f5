/*
 * test_tls_suites - protocols and cipher suites by Java's names, OpenSSL's
 * names and Jetty's patterns
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_suites.h"

#define GCM_RSA "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"

struct lists {
	const char *protocols, *no_protocols, *suites, *no_suites;
};

static const char *
or_empty(const char *text)
{
	return text != NULL ? text : "";
}

static struct conf
conf_of(const struct lists *l)
{
	return (struct conf){ .file = (char *)(uintptr_t) "x",
		.https_include_protocols =
		    (char *)(uintptr_t)or_empty(l->protocols),
		.https_exclude_protocols =
		    (char *)(uintptr_t)or_empty(l->no_protocols),
		.https_include_cipher_suites =
		    (char *)(uintptr_t)or_empty(l->suites),
		.https_exclude_cipher_suites =
		    (char *)(uintptr_t)or_empty(l->no_suites) };
}

/* Chosen, with this many warnings. */
static struct tls_suites
select_with(struct lists l, unsigned warnings)
{
	struct conf conf = conf_of(&l);
	struct conf_problems p = { 0 };
	struct tls_suites s;

	if (!tls_suites_select(&conf, &s, &p))
		fail_msg("%s", p.lines[0]);
	assert_int_equal(p.count, 0);
	assert_int_equal(p.warning_count, warnings);
	conf_problems_free(&p);
	return s;
}

static void
check(struct lists l, const char *tls12, const char *tls13)
{
	struct tls_suites s = select_with(l, 0);

	assert_true(s.has_tls12 == (*tls12 != '\0'));
	assert_true(s.has_tls13 == (*tls13 != '\0'));
	assert_string_equal(s.tls12, tls12);
	assert_string_equal(s.tls13, tls13);
	tls_suites_free(&s);
}

/* One problem, of this property, with this in it. */
static void
check_refused(struct lists l, const char *property, const char *text)
{
	struct conf conf = conf_of(&l);
	struct conf_problems p = { 0 };
	struct tls_suites s;
	char begin[100];

	assert_false(tls_suites_select(&conf, &s, &p));
	assert_int_equal(p.count, 1);
	snprintf(begin, sizeof begin, "x: properties.%s: ", property);
	if (strncmp(p.lines[0], begin, strlen(begin)) != 0 ||
	    strstr(p.lines[0], text) == NULL || strchr(p.lines[0], ';') == NULL)
		fail_msg("'%s' is not '%s…%s…'", p.lines[0], begin, text);
	conf_problems_free(&p);
}

static void
test_nothing_chosen(void **state)
{
	struct tls_suites s = select_with((struct lists){ .suites = NULL }, 0);

	(void)state;
	assert_true(s.has_tls12 && s.has_tls13);
	assert_false(s.is_ordered);
	assert_non_null(strstr(s.tls12, "ECDHE-RSA-AES128-GCM-SHA256"));
	assert_non_null(strstr(s.tls12, "ECDHE-ECDSA-CHACHA20-POLY1305"));
	assert_non_null(strstr(s.tls13, "TLS_AES_128_GCM_SHA256"));
	/* no forward secrecy, no AEAD, no authentication */
	assert_true(strncmp(s.tls12, "AES", 3) != 0);
	assert_null(strstr(s.tls12, ":AES"));
	assert_null(strstr(s.tls12, "AES128-SHA"));
	assert_null(strstr(s.tls12, "NULL"));
	assert_null(strstr(s.tls12, "ADH"));
	assert_null(strstr(s.tls12, "PSK"));
	tls_suites_free(&s);
}

static void
test_names(void **state)
{
	static const char *const names[] = { GCM_RSA,
		"tls_ecdhe_rsa_with_aes_128_gcm_sha256",
		"ECDHE-RSA-AES128-GCM-SHA256",
		"SSL_ECDHE_RSA_WITH_AES_128_GCM_SHA256", " ," GCM_RSA " ,," };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		check((struct lists){ .suites = names[i] },
		    "ECDHE-RSA-AES128-GCM-SHA256", "");
	/* only the newer protocol's: the older one is not spoken */
	check((struct lists){ .suites = "TLS_AES_256_GCM_SHA384" }, "",
	    "TLS_AES_256_GCM_SHA384");
	/* without forward secrecy: when it is asked for */
	check((struct lists){ .suites = "TLS_RSA_WITH_AES_128_GCM_SHA256" },
	    "AES128-GCM-SHA256", "");
}

static void
test_order(void **state)
{
	struct lists l = { .suites =
			       "TLS_AES_128_GCM_SHA256,"
			       "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, " GCM_RSA
			       ",TLS_AES_256_GCM_SHA384," GCM_RSA };
	struct tls_suites s = select_with(l, 0);

	(void)state;
	assert_true(s.is_ordered);
	assert_string_equal(
	    s.tls12, "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256");
	assert_string_equal(
	    s.tls13, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
	tls_suites_free(&s);
}

/* They fit the whole name or nothing. */
static void
test_patterns(void **state)
{
	struct tls_suites s;

	(void)state;
	check((struct lists){ .suites = "TLS_ECDHE_RSA_.*AES_128_GCM.*" },
	    "ECDHE-RSA-AES128-GCM-SHA256", "");
	check(
	    (struct lists){ .suites = "^TLS_ECDHE_RSA_.*AES_128_GCM_SHA256$" },
	    "ECDHE-RSA-AES128-GCM-SHA256", "");
	check((struct lists){ .suites = "TLS_AES_(128|256)_GCM.*|" GCM_RSA,
		  .no_suites = "TLS_AES_256.*" },
	    "ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256");
	/* a piece of a name fits none */
	s = select_with((struct lists){ .suites = GCM_RSA ",ECDHE_RSA" }, 1);
	assert_string_equal(s.tls12, "ECDHE-RSA-AES128-GCM-SHA256");
	tls_suites_free(&s);
	/* everything is all that is authenticated and encrypted */
	s = select_with((struct lists){ .suites = ".*" }, 0);
	assert_null(strstr(s.tls12, "NULL"));
	assert_null(strstr(s.tls12, "ADH"));
	assert_null(strstr(s.tls12, "AECDH"));
	tls_suites_free(&s);
}

/* Jetty's own, as many have copied it. */
static void
test_excluded(void **state)
{
	struct tls_suites s = select_with(
	    (struct lists){ .no_suites = "^.*_(MD5|SHA|SHA1)$,^TLS_RSA_.*$,"
					 "^SSL_.*$,^.*_NULL_.*$,^.*_anon_.*$" },
	    0);

	(void)state;
	assert_true(s.has_tls12 && s.has_tls13);
	assert_non_null(strstr(s.tls12, "ECDHE-RSA-AES128-GCM-SHA256"));
	tls_suites_free(&s);
	/* what is excluded is out, included or not */
	check((struct lists){ .suites = GCM_RSA ",TLS_AES_128_GCM_SHA256",
		  .no_suites = GCM_RSA },
	    "", "TLS_AES_128_GCM_SHA256");
}

static void
test_protocols(void **state)
{
	struct tls_suites s;

	(void)state;
	s = select_with((struct lists){ .protocols = "TLSv1.2" }, 0);
	assert_true(s.has_tls12 && !s.has_tls13);
	tls_suites_free(&s);
	s = select_with((struct lists){ .protocols = "TLSv1.3, TLSv1.2" }, 0);
	assert_true(s.has_tls12 && s.has_tls13);
	tls_suites_free(&s);
	s = select_with(
	    (struct lists){ .no_protocols = "SSL,SSLv2,SSLv2Hello,SSLv3,TLSv1,"
					    "TLSv1.1,TLSv1.2" },
	    0);
	assert_true(!s.has_tls12 && s.has_tls13);
	tls_suites_free(&s);
	/* old ones are left away, and said so */
	s = select_with(
	    (struct lists){ .protocols = "TLSv1,TLSv1.1,TLSv1.2" }, 2);
	assert_true(s.has_tls12 && !s.has_tls13);
	tls_suites_free(&s);
}

static void
test_refused(void **state)
{
	(void)state;
	check_refused((struct lists){ .protocols = "TLS1.2" },
	    "https.includeProtocols", "'TLS1.2' is no protocol");
	check_refused((struct lists){ .no_protocols = "TLSv1.2,TLSv1.3" },
	    "https.excludeProtocols", "no protocol is left");
	check_refused((struct lists){ .protocols = "TLSv1.1" },
	    "https.includeProtocols", "no protocol is left");
	check_refused((struct lists){ .suites = "(TLS" },
	    "https.includeCipherSuites", "'(TLS' is no regular expression");
	check_refused((struct lists){ .suites = "NULL-SHA256" },
	    "https.includeCipherSuites", "no cipher suite is left");
	check_refused((struct lists){ .no_suites = ".*" },
	    "https.excludeCipherSuites", "no cipher suite is left");
	check_refused(
	    (struct lists){ .protocols = "TLSv1.3", .suites = GCM_RSA },
	    "https.includeCipherSuites", "no cipher suite is left");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_chosen),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_excluded),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

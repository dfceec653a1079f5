/*
 * test_key_store - what files of certificates and keys have in common
 *
 * What others write is in test_trust_store and tests/integration/test_tls.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "conf_file.h"
#include "key_store.h"

#define GOLDEN "tests/golden/trust/"

static struct buf
bytes_of(const char *path, unsigned times)
{
	struct buf b;

	buf_init(&b, MiB);
	for (unsigned i = 0; i < times; i++)
		if (!conf_file_read(path, &b, 64 * KiB))
			fail_msg("%s", path);
	return b;
}

static void
check_conversion(const char *name, const char *path, const char *expected)
{
	struct buf b = bytes_of(name, 1);
	char *command = key_store_conversion(&b, path);

	if (expected == NULL)
		assert_null(command);
	else
		assert_string_equal(command, expected);
	free(command);
	buf_free(&b);
}

static void
test_conversion(void **state)
{
	struct buf none;

	(void)state;
	check_conversion(GOLDEN "store.jks", "a",
	    "keytool -importkeystore -srckeystore a -srcstoretype JKS "
	    "-destkeystore a.p12 -deststoretype PKCS12");
	check_conversion(GOLDEN "store.jceks", "b/c",
	    "keytool -importkeystore -srckeystore b/c -srcstoretype JCEKS "
	    "-destkeystore b/c.p12 -deststoretype PKCS12");
	check_conversion(GOLDEN "java17.p12", "a", NULL);
	check_conversion(GOLDEN "ca.pem", "a", NULL);
	buf_init(&none, 1);
	assert_null(key_store_conversion(&none, "a"));
	assert_false(key_store_is_pem(&none));
	buf_free(&none);
}

static void
check_read(const struct buf *b, int max, bool good, int count)
{
	struct key_store s;

	key_store_init(&s);
	assert_true(key_store_is_pem(b));
	assert_true(key_store_read_certificates(&s, b, max) == good);
	assert_int_equal(sk_X509_num(s.certificates), count);
	assert_true((key_store_own(&s) != NULL) == (count > 0));
	key_store_fini(&s);
}

static void
test_certificates(void **state)
{
	struct buf b = bytes_of(GOLDEN "ca.pem", 3);

	(void)state;
	check_read(&b, 4, true, 3);
	check_read(&b, 3, false, 3);
	check_read(&b, 2, false, 2);
	/* the last one is cut */
	b.used -= 100;
	check_read(&b, 4, false, 2);
	buf_reset(&b);
	buf_add_text(&b, "-----BEGIN X-----\nAAAA\n-----END X-----\n");
	check_read(&b, 4, true, 0);
	buf_free(&b);
}

/* A key comes back without its password. */
static void
test_key(void **state)
{
	struct key_store s, again;
	struct buf b = bytes_of(GOLDEN "ca.pem", 1);
	char *pem;

	(void)state;
	key_store_init(&s);
	assert_true(key_store_read_certificates(&s, &b, 2));
	assert_false(key_store_read_key(&s, &b, "x"));
	assert_string_not_equal(key_store_reason(), "OpenSSL does not say why");
	s.key = EVP_EC_gen("P-256");
	assert_non_null(s.key);
	assert_false(key_store_is_pair(&s));
	pem = key_store_pem(&s, false);
	assert_null(strstr(pem, "PRIVATE KEY"));
	free(pem);
	pem = key_store_pem(&s, true);
	buf_reset(&b);
	buf_add_text(&b, pem);
	free(pem);
	key_store_init(&again);
	assert_true(key_store_read_certificates(&again, &b, 2));
	assert_true(key_store_read_key(&again, &b, ""));
	assert_int_equal(EVP_PKEY_eq(s.key, again.key), 1);
	assert_int_equal(X509_cmp(key_store_own(&s), key_store_own(&again)), 0);
	key_store_fini(&again);
	key_store_fini(&s);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conversion),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

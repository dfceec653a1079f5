/*
 * test_trust_store - certificates for Druid out of what Java and others write
 *
 * tests/golden/trust: one CA certificate in PEM, and in the stores of keytool
 * 17 (java17.p12 with AES; java8.p12 with RC2, as Java 8 wrote them; JKS,
 * JCEKS). The password is "secret1".
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_file.h"
#include "one_ds.h"
#include "panic.h"
#include "trust_store.h"

#define GOLDEN "tests/golden/trust/"
#define PASSWORD "secret1"

static char dir[] = "/tmp/tranq-trust-XXXXXX";

static char *
path_of(const char *name)
{
	return must_format("%s/%s", dir, name);
}

/* In the folder, without a word. */
static void
run(const char *command)
{
	char *line =
	    must_format("cd %s && { %s; } >/dev/null 2>&1", dir, command);

	if (system(line) != 0)
		fail_msg("%s", command);
	free(line);
}

static char *
pem_of(const char *path, const char *password, bool with_key,
    char why[static TRUST_STORE_WHY_BYTES])
{
	struct buf bytes;
	char *pem;

	buf_init(&bytes, MiB);
	if (!conf_file_read(path, &bytes, 512 * KiB))
		fail_msg("%s", path);
	why[0] = '\0';
	pem = trust_store_pem(&bytes, path, password, with_key, why);
	buf_free(&bytes);
	return pem;
}

static unsigned
count(const char *text, const char *what)
{
	unsigned n = 0;

	while ((text = strstr(text, what)) != NULL) {
		text += strlen(what);
		n++;
	}
	return n;
}

static void
check_same(const char *name, const char *password)
{
	char why[TRUST_STORE_WHY_BYTES];
	char *wanted = pem_of(GOLDEN "ca.pem", "", false, why);
	char *path = must_format(GOLDEN "%s", name);
	char *pem = pem_of(path, password, false, why);

	if (pem == NULL)
		fail_msg("%s: %s", name, why);
	assert_string_equal(pem, wanted);
	assert_int_equal(count(pem, "BEGIN CERTIFICATE"), 1);
	free(pem);
	free(path);
	free(wanted);
}

static void
check_refused(
    const char *path, const char *password, bool with_key, const char *expected)
{
	char why[TRUST_STORE_WHY_BYTES];

	assert_null(pem_of(path, password, with_key, why));
	if (strstr(why, expected) == NULL)
		fail_msg("%s: '%s' does not say '%s'", path, why, expected);
	assert_non_null(strchr(why, ';'));
}

static void
test_trust(void **state)
{
	(void)state;
	check_same("ca.pem", "");
	check_same("java17.p12", PASSWORD);
	check_same("java8.p12", PASSWORD);
	check_same("java17.p12", PASSWORD);
}

static void
test_refused(void **state)
{
	char *path = path_of("f");

	(void)state;
	check_refused(GOLDEN "java17.p12", "wrong", false, "mend its password");
	check_refused(GOLDEN "java17.p12", "", false, "give its password");
	check_refused(GOLDEN "store.jks", PASSWORD, false,
	    "keytool -importkeystore -srckeystore " GOLDEN
	    "store.jks -srcstoretype JKS -destkeystore " GOLDEN
	    "store.jks.p12 -deststoretype PKCS12");
	check_refused(GOLDEN "store.jceks", PASSWORD, false, "JCEKS");
	run("echo hello > f");
	check_refused(path, "", false, "neither PEM nor PKCS#12");
	run(": > f");
	check_refused(path, "", false, "neither PEM nor PKCS#12");
	run("openssl ecparam -name prime256v1 -genkey -noout -out f");
	check_refused(path, "", false, "no certificate in it");
	run("printf '%s\\n' '-----BEGIN CERTIFICATE-----' 'AAAA' "
	    "'-----END CERTIFICATE-----' > f");
	check_refused(path, "", false, "cannot be read");
	free(path);
}

/* What the command in the refusal makes is taken. */
static void
test_der(void **state)
{
	char *path = path_of("f"), *copy, why[TRUST_STORE_WHY_BYTES];
	char *here = getcwd(NULL, 0);
	char *pem;

	(void)state;
	copy = must_format(
	    "openssl x509 -in %s/" GOLDEN "ca.pem -outform DER -out f", here);
	run(copy);
	pem = pem_of(path, "", false, why);
	assert_non_null(pem);
	assert_int_equal(count(pem, "BEGIN CERTIFICATE"), 1);
	free(pem);
	free(copy);
	free(here);
	free(path);
}

/* Several in one file; keys do not come with them. */
static void
test_many(void **state)
{
	char *path = path_of("many.pem"), why[TRUST_STORE_WHY_BYTES];
	char *pem;

	(void)state;
	run("cat own.key ca.pem own.pem > many.pem");
	pem = pem_of(path, "", false, why);
	assert_non_null(pem);
	assert_int_equal(count(pem, "BEGIN CERTIFICATE"), 2);
	assert_int_equal(count(pem, "PRIVATE KEY"), 0);
	free(pem);
	free(path);
}

static void
check_key(const char *name, const char *password, unsigned certificates)
{
	char *path = path_of(name), why[TRUST_STORE_WHY_BYTES];
	char *pem = pem_of(path, password, true, why);

	if (pem == NULL)
		fail_msg("%s: %s", name, why);
	assert_int_equal(count(pem, "BEGIN CERTIFICATE"), certificates);
	assert_int_equal(count(pem, "BEGIN PRIVATE KEY"), 1);
	free(pem);
	free(path);
}

static void
test_key(void **state)
{
	char *pem = path_of("own.pem"), *store = path_of("own.p12");
	char *mixed = path_of("mixed.pem");

	(void)state;
	run("cat own.pem own.key > both.pem; cat ca.pem own.key > mixed.pem");
	run("openssl ec -in own.key -aes256 -passout pass:" PASSWORD
	    " -out locked.key; cat own.pem locked.key > locked.pem");
	run("openssl pkcs12 -export -in own.pem -inkey own.key -certfile "
	    "ca.pem -passout pass:" PASSWORD " -out own.p12");
	check_key("both.pem", "", 1);
	check_key("locked.pem", PASSWORD, 1);
	check_key("own.p12", PASSWORD, 2);
	check_refused(pem, "", true, "no private key in it that opens");
	check_refused(mixed, "", true, "is not that of its private key");
	check_refused(store, "x", true, "mend its password");
	check_refused(
	    GOLDEN "java17.p12", PASSWORD, true, "no private key in it");
	free(mixed);
	free(store);
	free(pem);
}

/* ---- the configuration's ---- */

static void
test_load(void **state)
{
	char *path = path_of("trust.pem"), *properties;
	struct conf_problems p = { 0 };
	struct conf *conf, *other;

	(void)state;
	properties = must_format("\"druid.overlord.url\":\"https://o\","
				 "\"druid.tls.trustStorePath\":\"%s\"",
	    path);
	run("cp ca.pem trust.pem");
	conf = one_ds(NULL, properties);
	trust_store_load(conf, &p);
	assert_non_null(conf->ds[0].druid_trust);
	assert_null(conf->ds[0].druid_key);
	/* the same again is no change, another file's bytes are */
	other = one_ds(NULL, properties);
	trust_store_load(other, &p);
	assert_true(conf->ds[0].digest == other->ds[0].digest);
	conf_free(&other);
	run("cp own.pem trust.pem");
	other = one_ds(NULL, properties);
	trust_store_load(other, &p);
	assert_true(conf->ds[0].digest != other->ds[0].digest);
	conf_free(&other);
	conf_free(&conf);
	assert_int_equal(p.count, 0);

	run("rm trust.pem");
	conf = one_ds(NULL, properties);
	trust_store_load(conf, &p);
	assert_int_equal(p.count, 1);
	assert_non_null(strstr(p.lines[0],
	    "test.json: dataSource foo: druid.tls.trustStorePath: "));
	assert_non_null(strstr(p.lines[0], "No such file or directory"));
	conf_free(&conf);
	conf_problems_free(&p);
	free(properties);
	free(path);
}

static int
make_dir(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	run("openssl ecparam -name prime256v1 -genkey -noout -out ca.key && "
	    "openssl req -x509 -new -key ca.key -days 30 -subj /CN=ca -out "
	    "ca.pem && openssl ecparam -name prime256v1 -genkey -noout -out "
	    "own.key && openssl req -new -key own.key -subj /CN=own -out r && "
	    "openssl x509 -req -in r -CA ca.pem -CAkey ca.key -set_serial 7 "
	    "-days 30 -out own.pem");
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	run("rm -f *");
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_der),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_load),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

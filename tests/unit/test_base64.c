/*
 * test_base64 - bytes as text
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base64.h"

/* RFC 4648, 10 */
static const struct {
	const char *bytes, *text;
} vectors[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
	{ "\xfb\xff\xbf", "+/+/" },
};

static void
test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		size_t bytes = strlen(vectors[i].bytes), used;
		size_t count = strlen(vectors[i].text);
		char text[16] = "", back[16];

		assert_ptr_equal(
		    base64_write(
			text, (const unsigned char *)vectors[i].bytes, bytes),
		    text + BASE64_BYTES(bytes));
		assert_string_equal(text, vectors[i].text);
		assert_true(base64_read(text, count, back, &used));
		assert_int_equal(used, bytes);
		assert_memory_equal(back, vectors[i].bytes, used);
		/* without its padding */
		assert_true(base64_read(text, strcspn(text, "="), back, &used));
		assert_int_equal(used, bytes);
	}
}

static void
test_none(void **state)
{
	static const char *const cases[] = { "Z", "Zg=a",
		"Z===", "Zh==", "Zm9=", "Zm 9", "Zm9v-_", "\n" };
	char back[16];
	size_t used;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_false(
		    base64_read(cases[i], strlen(cases[i]), back, &used));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

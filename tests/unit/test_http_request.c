/*
 * test_http_request - the head parser and the chunk decoder
 *
 * Each case is read whole and byte by byte from a buffer that moves, and both
 * must end the same.
 */
#include "http_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GET "GET / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"

static enum http_result
parse(struct http_request *r, const char *text, size_t bytes)
{
	http_request_init(r);
	return http_request_parse(r, text, bytes);
}

/* The same byte by byte; each call sees other memory with nothing readable
 * behind it (ASan watches). */
static enum http_result
parse_slowly(struct http_request *r, const char *text, size_t bytes)
{
	enum http_result result = HTTP_NEED_MORE;

	http_request_init(r);
	for (size_t n = 1; n <= bytes && result == HTTP_NEED_MORE; n++) {
		char *copy = malloc(n);

		assert_non_null(copy);
		memcpy(copy, text, n);
		result = http_request_parse(r, copy, n);
		free(copy);
	}
	return result;
}

static void
check_bad(const char *text, size_t bytes, unsigned status)
{
	struct http_request r, slow;

	if (parse(&r, text, bytes) != HTTP_BAD || r.status != status)
		fail_msg("status %u, not %u, for: %s", r.status, status, text);
	if (parse_slowly(&slow, text, bytes) != HTTP_BAD ||
	    slow.status != status)
		fail_msg("slowly %u, not %u: %s", slow.status, status, text);
	assert_non_null(r.reason);
}

static void
check_good(const char *text, struct http_request *r)
{
	struct http_request slow;
	size_t bytes = strlen(text);

	if (parse(r, text, bytes) != HTTP_DONE)
		fail_msg("%u %s: %s", r->status, r->reason, text);
	if (parse_slowly(&slow, text, bytes) != HTTP_DONE)
		fail_msg("slowly %u %s: %s", slow.status, slow.reason, text);
	assert_memory_equal(r, &slow, sizeof slow);
}

static void
assert_view(const char *head, struct http_view v, const char *expected)
{
	assert_int_equal(v.bytes, strlen(expected));
	assert_memory_equal(head + v.at, expected, v.bytes);
}

static void
usual_request(void **state UNUSED)
{
	static const char text[] =
	    "POST /v1/post/wiki%20pedia?async=true HTTP/1.1\r\n"
	    "Host: localhost:8200\r\nUser-Agent: curl/7.88.1\r\n"
	    "Accept: */*\r\nContent-Type: \t application/json \t\r\n"
	    "content-ENCODING:gzip\r\nContent-Length: 123\r\n\r\n{...";
	struct http_request r;

	check_good(text, &r);
	assert_int_equal(r.method, HTTP_POST);
	assert_view(text, r.path, "/v1/post/wiki%20pedia");
	assert_true(r.has_query);
	assert_view(text, r.query, "async=true");
	assert_view(text, r.content_type, "application/json");
	assert_view(text, r.content_encoding, "gzip");
	assert_true(r.has_content_length);
	assert_int_equal(r.content_length, 123);
	assert_false(r.is_chunked);
	assert_true(r.keep_alive);
	assert_int_equal(r.head_bytes, sizeof text - 1 - 4);
}

static void
targets(void **state UNUSED)
{
	static const struct {
		const char *target, *path, *query;
	} cases[] = {
		{ "/", "/", NULL },
		{ "/?", "/", "" },
		{ "/a?b?c", "/a", "b?c" },
		{ "http://h/a", "/a", NULL },
		{ "HTTP://h:80/a?x", "/a", "x" },
		{ "https://h", "", NULL },
		{ "http://h?q", "", "q" },
		{ "//a", "//a", NULL },
	};
	struct http_request r;
	char text[200];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" HOST "\r\n",
		    cases[i].target);
		check_good(text, &r);
		assert_int_equal(r.method, HTTP_GET);
		assert_view(text, r.path, cases[i].path);
		assert_int_equal(r.has_query, cases[i].query != NULL);
		if (cases[i].query != NULL)
			assert_view(text, r.query, cases[i].query);
	}
}

static void
other_methods(void **state UNUSED)
{
	struct http_request r;

	check_good("HEAD / HTTP/1.1\r\n" HOST "\r\n", &r);
	assert_int_equal(r.method, HTTP_HEAD);
	check_good("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", &r);
	assert_int_equal(r.method, HTTP_OTHER);
	/* methods tell cases apart */
	check_good("get / HTTP/1.1\r\n" HOST "\r\n", &r);
	assert_int_equal(r.method, HTTP_OTHER);
	check_good("\r\n" GET HOST "\r\n", &r);
	assert_int_equal(r.method, HTTP_GET);
	assert_int_equal(r.head_bytes, 2 + 16 + 9 + 2);
}

static void
keep_alive(void **state UNUSED)
{
	static const struct {
		const char *text;
		bool keep;
	} cases[] = {
		{ GET HOST "\r\n", true },
		{ GET HOST "Connection: close\r\n\r\n", false },
		{ GET HOST "Connection: foo ,\tCLOSE\r\n\r\n", false },
		{ GET HOST "Connection: keep-alive, close\r\n\r\n", false },
		{ GET HOST "Connection:\r\n\r\n", true },
		{ GET HOST "Connection: ,,\r\n\r\n", true },
		{ GET HOST "Connection: x\r\nConnection: close\r\n\r\n",
		    false },
		{ GET HOST "Connection: closed\r\n\r\n", true },
		{ "GET / HTTP/1.0\r\n\r\n", false },
		{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true },
	};
	struct http_request r;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		check_good(cases[i].text, &r);
		assert_int_equal(r.keep_alive, cases[i].keep);
	}
}

static void
framing(void **state UNUSED)
{
	struct http_request r;

	check_good(GET HOST "Transfer-Encoding: Chunked\r\n\r\n", &r);
	assert_true(r.is_chunked);
	check_good(GET HOST "Expect: 100-Continue\r\n\r\n", &r);
	assert_true(r.expects_continue);
	check_good("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", &r);
	assert_false(r.expects_continue);
	check_good(GET HOST "Content-Length: 0000000000000000000000000012\r\n"
			    "\r\n",
	    &r);
	assert_int_equal(r.content_length, 12);
	check_good(
	    GET HOST "Content-Length: 99999999999999999999999\r\n\r\n", &r);
	assert_true(r.content_length == UINT64_MAX);
	check_good(GET HOST "Content-Length: 18446744073709551617\r\n\r\n", &r);
	assert_true(r.content_length == UINT64_MAX);
}

#define BAD(text, status)                     \
	{                                     \
		text, sizeof text - 1, status \
	}

static void
refused(void **state UNUSED)
{
	static const struct {
		const char *text;
		size_t bytes;
		unsigned status;
	} cases[] = {
		/* line ends */
		BAD("GET / HTTP/1.1\nHost: a\n\n", 400),
		BAD("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
		BAD(GET "Host: a\rb: c\r\n\r\n", 400),
		BAD(GET HOST "\r\r\n", 400),
		BAD(GET HOST "a: b\r\r\n\r\n", 400),
		BAD("\r\n\r\n" GET HOST "\r\n", 400),
		BAD("\n" GET HOST "\r\n", 400),
		/* bytes */
		BAD(GET "Host: a\0b\r\n\r\n", 400),
		BAD("GET /\0 HTTP/1.1\r\n\r\n", 400),
		BAD("GET /\x01 HTTP/1.1\r\n\r\n", 400),
		BAD("GET /\x7f HTTP/1.1\r\n\r\n", 400),
		BAD("GET /\xc3\xa4 HTTP/1.1\r\n\r\n", 400),
		BAD("GET /a#b HTTP/1.1\r\n\r\n", 400),
		BAD(GET HOST "a: \x1b[2J\r\n\r\n", 400),
		BAD("\x16\x03\x01\x02\x00\x01", 400), /* TLS */
		/* request line */
		BAD("GET /\r\n\r\n", 400),
		BAD("GET  / HTTP/1.1\r\n\r\n", 400),
		BAD("GET /  HTTP/1.1\r\n\r\n", 400),
		BAD("GET / HTTP/1.1 \r\n\r\n", 400),
		BAD(" GET / HTTP/1.1\r\n\r\n", 400),
		BAD("GET\t/ HTTP/1.1\r\n\r\n", 400),
		BAD("GET /\ta HTTP/1.1\r\n\r\n", 400),
		BAD("G@T / HTTP/1.1\r\n\r\n", 400),
		BAD("GET a HTTP/1.1\r\n\r\n", 400),
		BAD("GET * HTTP/1.1\r\n\r\n", 400),
		BAD("CONNECT a:80 HTTP/1.1\r\n\r\n", 400),
		BAD("GET http:///a HTTP/1.1\r\n\r\n", 400),
		BAD("GET / http/1.1\r\n\r\n", 400),
		BAD("GET / HTTP/1.11\r\n\r\n", 400),
		BAD("GET / HTTP/11\r\n\r\n", 400),
		BAD("GET / HTTP/+1.1\r\n\r\n", 400),
		BAD("GET / HTTP/1.2\r\n\r\n", 505),
		BAD("GET / HTTP/2.0\r\n\r\n", 505),
		BAD("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
		/* fields */
		BAD(GET HOST "a : b\r\n\r\n", 400),
		BAD(GET HOST "a b\r\n\r\n", 400),
		BAD(GET HOST "a: b\r\n c\r\n\r\n", 400),
		BAD(GET HOST "a: b\r\n\tc: d\r\n\r\n", 400),
		BAD(GET " Host: a\r\n\r\n", 400),
		BAD(GET HOST ": b\r\n\r\n", 400),
		BAD(GET HOST "a\x80: b\r\n\r\n", 400),
		BAD(GET "\r\n", 400),
		BAD(GET HOST HOST "\r\n", 400),
		BAD(GET "Host: a b\r\n\r\n", 400),
		BAD(GET "Host: a/b\r\n\r\n", 400),
		BAD(GET HOST "Content-Type: a\r\nContent-Type: a\r\n\r\n", 400),
		/* framing */
		BAD(GET HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
		    400),
		BAD(GET HOST "Content-Length: 1, 1\r\n\r\n", 400),
		BAD(GET HOST "Content-Length: +1\r\n\r\n", 400),
		BAD(GET HOST "Content-Length: -1\r\n\r\n", 400),
		BAD(GET HOST "Content-Length: 0x1\r\n\r\n", 400),
		BAD(GET HOST "Content-Length: 1 1\r\n\r\n", 400),
		BAD(GET HOST "Content-Length:\r\n\r\n", 400),
		BAD(GET HOST "Content-Length: 1\r\nTransfer-Encoding: chunked"
			     "\r\n\r\n",
		    400),
		BAD(GET HOST "Transfer-Encoding: chunked\r\nContent-Length: 1"
			     "\r\n\r\n",
		    400),
		BAD(GET HOST "Transfer-Encoding: chunked\r\n"
			     "Transfer-Encoding: chunked\r\n\r\n",
		    400),
		BAD(GET HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
		BAD(GET HOST "Transfer-Encoding: chunked, chunked\r\n\r\n",
		    501),
		BAD(GET HOST "Transfer-Encoding: identity\r\n\r\n", 501),
		BAD(GET HOST "Transfer-Encoding: \x0b"
			     "chunked\r\n\r\n",
		    400),
		BAD(GET HOST "Transfer-Encoding: xchunked\r\n\r\n", 501),
		BAD("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		    400),
		BAD(GET HOST "Expect: 200-ok\r\n\r\n", 417),
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check_bad(cases[i].text, cases[i].bytes, cases[i].status);
}

static char *
repeated(const char *before, char c, size_t count, const char *after)
{
	size_t first = strlen(before), last = strlen(after);
	char *text = malloc(first + count + last + 1);

	assert_non_null(text);
	memcpy(text, before, first);
	memset(text + first, c, count);
	memcpy(text + first + count, after, last + 1);
	return text;
}

static void
limits(void **state UNUSED)
{
	struct http_request r;
	char *text;

	text = repeated(
	    "GET /", 'a', HTTP_TARGET_MAX - 1, " HTTP/1.1\r\n" HOST "\r\n");
	check_good(text, &r);
	free(text);
	text = repeated("GET /", 'a', HTTP_TARGET_MAX, " HTTP/1.1\r\n");
	check_bad(text, strlen(text), 414);
	free(text);
	/* refused while it is still coming */
	text = repeated("GET /", 'a', 2 * HTTP_TARGET_MAX, "");
	check_bad(text, strlen(text), 414);
	free(text);
	text = repeated(GET HOST "a: ", 'b', HTTP_HEAD_MAX, "");
	check_bad(text, strlen(text), 431);
	free(text);
	text = repeated(GET HOST "a:", 'b',
	    HTTP_HEAD_MAX - strlen(GET HOST "a:\r\n\r\n"), "\r\n\r\n");
	check_good(text, &r);
	assert_int_equal(r.head_bytes, HTTP_HEAD_MAX);
	free(text);
	text = repeated(GET HOST "a:", 'b',
	    HTTP_HEAD_MAX - strlen(GET HOST "a:\r\n\r\n") + 1, "\r\n\r\n");
	check_bad(text, strlen(text), 431);
	free(text);
}

static void
unfinished(void **state UNUSED)
{
	static const char text[] = GET HOST "Accept: text/plain\r\n\r\n";
	struct http_request r;

	for (size_t n = 0; n < sizeof text - 1; n++)
		assert_int_equal(parse(&r, text, n), HTTP_NEED_MORE);
	assert_int_equal(parse(&r, text, sizeof text - 1), HTTP_DONE);
}

static void
other_fields(void **state UNUSED)
{
	static const char text[] = GET HOST
	    "X-Firehose-Producer-Id:  a b \r\nEmpty:\r\n\r\nX-Behind: 1\r\n";
	struct http_request r;
	struct http_view v;

	check_good(text, &r);
	assert_true(http_request_field(&r, text, "x-firehose-producer-id", &v));
	assert_view(text, v, "a b");
	assert_true(http_request_field(&r, text, "empty", &v));
	assert_view(text, v, "");
	assert_false(http_request_field(&r, text, "x-firehose", &v));
	assert_false(http_request_field(&r, text, "x-behind", &v));
}

static void
percent(void **state UNUSED)
{
	char out[16];
	size_t bytes;

	assert_true(http_percent_decode("a%20%C3%a4+", 11, out, &bytes));
	assert_int_equal(bytes, 5);
	assert_memory_equal(out, "a \xc3\xa4+", 5);
	assert_false(http_percent_decode("%", 1, out, &bytes));
	assert_false(http_percent_decode("%2", 2, out, &bytes));
	assert_false(http_percent_decode("%2g", 3, out, &bytes));
}

/* Decodes in steps of `step` bytes into one growing body. */
static enum http_result
decode(struct http_chunked *c, const char *text, size_t bytes, size_t step,
    char *body, size_t *body_bytes)
{
	enum http_result result = HTTP_NEED_MORE;
	size_t at = 0;

	http_chunked_init(c);
	*body_bytes = 0;
	while (at < bytes && result == HTTP_NEED_MORE) {
		size_t n = MIN_OF(step, bytes - at), used, more;

		memcpy(body + *body_bytes, text + at, n);
		result =
		    http_chunked_decode(c, body + *body_bytes, n, &used, &more);
		at += used;
		*body_bytes += more;
		if (result == HTTP_NEED_MORE)
			assert_int_equal(used, n);
	}
	if (result == HTTP_DONE)
		assert_string_equal(text + at, "NEXT");
	return result;
}

static void
chunks(void **state UNUSED)
{
	static const char *const texts[] = {
		"5\r\nHello\r\n7\r\n, world\r\n0\r\n\r\nNEXT",
		"5;a=b\r\nHello\r\n0007;\"x\"\r\n, world\r\n0;q\r\n\r\nNEXT",
		"5 \t;a\r\nHello\r\n7\t; b\r\n, world\r\n0 ;c\r\n\r\nNEXT",
		"C\r\nHello, world\r\n000\r\nTrail: er\r\nX: y\r\n\r\nNEXT",
		"c\r\nHello, world\r\n0\r\n\r\nNEXT",
	};
	struct http_chunked c;
	char body[200];
	size_t bytes;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t step = 1; step < 60; step++) {
			assert_int_equal(decode(&c, texts[i], strlen(texts[i]),
					     step, body, &bytes),
			    HTTP_DONE);
			assert_int_equal(bytes, 12);
			assert_memory_equal(body, "Hello, world", 12);
		}
	}
}

static void
bad_chunks(void **state UNUSED)
{
	static const struct {
		const char *text;
		size_t bytes;
		unsigned status;
	} cases[] = {
		BAD("5\nHello", 400),
		BAD("5\r\nHello\n0\r\n\r\n", 400),
		BAD("5\r\nHelloo\r\n", 400),
		BAD("5\r\nHello\rx", 400),
		BAD("5\rx", 400),
		BAD("0x5\r\nHello\r\n", 400),
		BAD("+5\r\nHello\r\n", 400),
		BAD("-5\r\nHello\r\n", 400),
		BAD(" 5\r\nHello\r\n", 400),
		BAD("5 \r\nHello\r\n", 400),
		BAD("\r\n", 400),
		BAD(";a\r\n", 400),
		BAD("g\r\n", 400),
		BAD("ffffffffffffffff\r\n", 400),
		BAD("0000000000000005\r\nHello\r\n", 400),
		BAD("5;a\nHello\r\n0\r\n\r\n", 400),
		BAD("5;a\0\r\nHello", 400),
		BAD("5;a\rb\r\nHello", 400),
		BAD("0\r\n\n", 400),
		BAD("5 \t x;a\r\nHello\r\n", 400),
		BAD("0\r\nA: b\n\r\n", 400),
		BAD("0\r\nGET / HTTP/1.1\r\n\r\n", 400),
		BAD("0\r\nA : b\r\n\r\n", 400),
		BAD("0\r\nA: b\r\n c\r\n\r\n", 400),
		BAD("0\r\n: b\r\n\r\n", 400),
		BAD("0\r\nA\r\n\r\n", 400),
		BAD("0\r\n\rx", 400),
	};
	struct http_chunked c;
	char body[200];
	size_t bytes;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t step = 1; step < 30; step += 7) {
			if (decode(&c, cases[i].text, cases[i].bytes, step,
				body, &bytes) != HTTP_BAD)
				fail_msg("taken: %s", cases[i].text);
			assert_int_equal(c.status, cases[i].status);
			assert_non_null(c.reason);
		}
	}
}

static void
chunk_limits(void **state UNUSED)
{
	struct http_chunked c;
	size_t bytes, used;
	char *text = repeated("5;", 'a', HTTP_CHUNK_LINE_MAX, "\r\n");

	http_chunked_init(&c);
	assert_int_equal(
	    http_chunked_decode(&c, text, strlen(text), &used, &bytes),
	    HTTP_BAD);
	assert_int_equal(c.status, 400);
	free(text);
	text = repeated("0\r\nA: ", 'b', HTTP_TRAILER_MAX, "\r\n");
	http_chunked_init(&c);
	assert_int_equal(
	    http_chunked_decode(&c, text, strlen(text), &used, &bytes),
	    HTTP_BAD);
	assert_int_equal(c.status, 431);
	free(text);
}

static void
many_extensions(void **state UNUSED)
{
	struct http_chunked c;
	char chunk[1100];
	size_t bytes, used;
	unsigned taken = 0;
	enum http_result result;

	http_chunked_init(&c);
	do {
		memset(chunk, 'a', 1024);
		memcpy(chunk, "1;", 2);
		memcpy(chunk + 1024, "\r\nx\r\n", 6);
		result = http_chunked_decode(&c, chunk, 1029, &used, &bytes);
		taken++;
	} while (result == HTTP_NEED_MORE);
	assert_int_equal(result, HTTP_BAD);
	assert_int_equal(taken, HTTP_CHUNK_EXTENSIONS_MAX / 1023 + 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(usual_request),
		cmocka_unit_test(targets),
		cmocka_unit_test(other_methods),
		cmocka_unit_test(keep_alive),
		cmocka_unit_test(framing),
		cmocka_unit_test(refused),
		cmocka_unit_test(limits),
		cmocka_unit_test(unfinished),
		cmocka_unit_test(other_fields),
		cmocka_unit_test(percent),
		cmocka_unit_test(chunks),
		cmocka_unit_test(bad_chunks),
		cmocka_unit_test(chunk_limits),
		cmocka_unit_test(many_extensions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * fuzz_http - a connection's bytes as requests: the same in any pieces
 *
 * The first byte seeds how the rest is cut. Read at once and read in pieces,
 * each from memory of its own with nothing behind it, the bytes must be the
 * same requests with the same bodies and the same end. A head that is taken is
 * looked at once more by the naive reader below, which knows no states.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth.h"
#include "fuzz_input.h"
#include "one_ds.h"
#include "route.h"

#define TEXT_MAX (4 * MiB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Says how many bytes come next; 0: all. */
struct cutter {
	uint32_t state;
};

static size_t
next_piece(struct cutter *c, size_t left)
{
	static const uint8_t most[] = { 1, 2, 17, 255 };

	if (c->state == 0)
		return left;
	c->state = c->state * 1103515245 + 12345;
	return MIN_OF(left, 1 + (c->state >> 16) % most[c->state >> 8 & 3]);
}

/* ---- a head that was taken ---- */

static unsigned
count_field(const char *head, size_t bytes, const char *name)
{
	size_t n = strlen(name);
	unsigned count = 0;

	for (size_t i = 2; i + n < bytes; i++)
		count += memcmp(head + i - 2, "\r\n", 2) == 0 &&
		    strncasecmp(head + i, name, n) == 0;
	return count;
}

/* RFC 9112 as a list of what must never be let through. */
static void
check_head(const struct http_request *r, const char *head)
{
	size_t bytes = r->head_bytes;
	unsigned lengths = count_field(head, bytes, "content-length:");
	unsigned codings = count_field(head, bytes, "transfer-encoding:");

	must(bytes <= HTTP_HEAD_MAX && bytes >= 4);
	must(memcmp(head + bytes - 4, "\r\n\r\n", 4) == 0);
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)head[i];

		must(c >= ' ' || c == '\t' || c == '\r' || c == '\n');
		must(c != '\r' || head[i + 1] == '\n');
		must(c != '\n' || (i > 0 && head[i - 1] == '\r'));
		if (c == '\n' && i > 1 && i + 1 < bytes)
			must(head[i + 1] != ' ' && head[i + 1] != '\t');
	}
	must(lengths + codings <= 1);
	must(r->has_content_length == (lengths == 1));
	must(r->is_chunked == (codings == 1));
	must(r->minor == 0 || count_field(head, bytes, "host:") == 1);
	must(count_field(head, bytes, "host:") <= 1);
}

static void
check_view(const struct http_request *r, struct http_view v)
{
	must((size_t)v.at + v.bytes <= r->head_bytes);
}

/* What was understood, as text. */
static void
note_request(
    const struct http_request *r, const struct route *route, struct buf *to)
{
	buf_addf(to, "method %d %u+%u path %u+%u query %d %u+%u type %u+%u ",
	    r->method, r->method_name.at, r->method_name.bytes, r->path.at,
	    r->path.bytes, r->has_query, r->query.at, r->query.bytes,
	    r->content_type.at, r->content_type.bytes);
	buf_addf(to, "encoding %u+%u length %d %llu chunked %d head %u %d%d%d ",
	    r->content_encoding.at, r->content_encoding.bytes,
	    r->has_content_length, (unsigned long long)r->content_length,
	    r->is_chunked, r->head_bytes, r->minor, r->expects_continue,
	    r->keep_alive);
	buf_addf(to, "route %d %d%d %d %d %zu\n", route->kind, route->is_async,
	    route->is_detailed, route->type, route->coding, route->ds_bytes);
}

/* Nobody comes in who does not know a password. */
static void
check_credentials(const char *value, size_t bytes)
{
	static const char file[] =
	    "a:$5$rounds=1000$salt$"
	    "0123456789012345678901234567890123456789012\n"
	    "b:sha256:00000000000000000000000000000000"
	    "00000000000000000000000000000000\n";
	static struct auth *auth;
	struct conf_problems problems = { 0 };

	if (auth == NULL) {
		struct conf *conf =
		    one_ds(NULL, "\"druid.overlord.url\":\"http://x\"");

		auth = auth_new(conf, file, sizeof file - 1, &problems);
		conf_free(&conf);
	}
	must(auth != NULL && problems.count == 0);
	must(auth_check(auth, value, bytes, 0) != AUTH_GOOD);
}

static void
take_request(const struct http_request *r, const char *head, struct buf *to)
{
	struct http_view value;
	struct route route;

	check_head(r, head);
	check_view(r, r->method_name);
	check_view(r, r->path);
	check_view(r, r->query);
	check_view(r, r->content_type);
	check_view(r, r->content_encoding);
	if (http_request_field(r, head, "authorization", &value)) {
		check_view(r, value);
		check_credentials(head + value.at, value.bytes);
	}
	route_find(&route, r, head);
	must(route.kind != ROUTE_REFUSED ||
	    (route.status >= 400 && route.text != NULL));
	note_request(r, &route, to);
}

/* ---- a connection ---- */

struct stream {
	const char *at, *end;
	struct cutter cutter;
};

static void
note_bad(struct buf *to, unsigned status, const char *reason)
{
	must(status >= 400 && status < 600 && reason != NULL);
	buf_addf(to, "bad %u %s\n", status, reason);
}

/* False: that was all. */
static bool
read_head(struct stream *s, struct http_request *r, struct buf *to)
{
	size_t have = 0, all = (size_t)(s->end - s->at);
	enum http_result result = HTTP_NEED_MORE;

	http_request_init(r);
	while (result == HTTP_NEED_MORE && have < all) {
		char *copy;

		have += next_piece(&s->cutter, all - have);
		copy = must_malloc(have);
		memcpy(copy, s->at, have);
		result = http_request_parse(r, copy, have);
		if (result == HTTP_DONE)
			take_request(r, copy, to);
		free(copy);
	}
	if (result == HTTP_BAD)
		note_bad(to, r->status, r->reason);
	if (result == HTTP_NEED_MORE)
		buf_add_text(to, "more of a head\n");
	if (result == HTTP_DONE)
		s->at += r->head_bytes;
	return result == HTTP_DONE;
}

static bool
read_chunked(struct stream *s, struct buf *to)
{
	enum http_result result = HTTP_NEED_MORE;
	struct http_chunked c;

	http_chunked_init(&c);
	while (result == HTTP_NEED_MORE && s->at < s->end) {
		size_t n = next_piece(&s->cutter, (size_t)(s->end - s->at));
		size_t used, body;
		char *copy = must_malloc(n);

		memcpy(copy, s->at, n);
		result = http_chunked_decode(&c, copy, n, &used, &body);
		must(used <= n && body <= used);
		must(result != HTTP_NEED_MORE || used == n);
		buf_add(to, copy, body);
		s->at += used;
		free(copy);
	}
	buf_add_text(to, "\n");
	if (result == HTTP_BAD)
		note_bad(to, c.status, c.reason);
	if (result == HTTP_NEED_MORE)
		buf_add_text(to, "more of a body\n");
	return result == HTTP_DONE;
}

static bool
read_body(struct stream *s, const struct http_request *r, struct buf *to)
{
	if (r->is_chunked)
		return read_chunked(s, to);
	if (r->content_length > (uint64_t)(s->end - s->at))
		return false;
	s->at += r->content_length;
	return true;
}

static void
read_connection(const char *bytes, size_t count, uint32_t cut, struct buf *to)
{
	struct stream s = { bytes, bytes + count, { cut } };
	struct http_request r;

	while (s.at < s.end && read_head(&s, &r, to) && read_body(&s, &r, to) &&
	    r.keep_alive)
		;
	buf_addf(to, "left %zu\n", (size_t)(s.end - s.at));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	const char *text = (const char *)data + 1;
	struct buf whole, pieces;

	/* pieces copy a head again and again: no more of it than says all */
	if (bytes < 2 || bytes > 3 * HTTP_HEAD_MAX)
		return 0;
	fuzz_silence();
	buf_init(&whole, TEXT_MAX);
	buf_init(&pieces, TEXT_MAX);
	read_connection(text, bytes - 1, 0, &whole);
	read_connection(text, bytes - 1, 1u + *data, &pieces);
	must(!whole.failed && whole.used == pieces.used);
	must(memcmp(whole.bytes, pieces.bytes, whole.used) == 0);
	buf_free(&whole);
	buf_free(&pieces);
	return 0;
}

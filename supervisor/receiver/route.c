/*
 * route - what a request's head asks for
 *
 * Process: receiver. Pure.
 */
#include "route.h"

#include <string.h>
#include <strings.h>

#define POST_PATH "/v1/post"
#define PARAMETER_MAX 64u

static void
refuse(struct route *r, unsigned status, const char *text)
{
	r->kind = ROUTE_REFUSED;
	r->status = status;
	r->text = text;
}

static bool
is_word(const char *text, size_t bytes, const char *word)
{
	return bytes == strlen(word) && strncasecmp(text, word, bytes) == 0;
}

/* /v1/post or /v1/post/{dataSource} */
static bool
is_post_path(struct route *r, const char *path, size_t bytes)
{
	const size_t prefix = sizeof POST_PATH - 1;

	if (bytes < prefix || memcmp(path, POST_PATH, prefix) != 0)
		return false;
	if (bytes == prefix)
		return true;
	path += prefix + 1;
	bytes -= prefix + 1;
	if (path[-1] != '/' || bytes == 0 || memchr(path, '/', bytes) != NULL)
		return false;
	r->ds = path;
	r->ds_bytes = bytes;
	return true;
}

/* %XX in the dataSource's name. A name too long for it exists nowhere. */
static bool
decode_ds(struct route *r)
{
	if (r->ds == NULL || r->ds_bytes > sizeof r->decoded ||
	    memchr(r->ds, '%', r->ds_bytes) == NULL)
		return true;
	if (!http_percent_decode(r->ds, r->ds_bytes, r->decoded, &r->ds_bytes))
		return false;
	r->ds = r->decoded;
	return true;
}

/* The first parameter of this name; false: it is not there. The value is cut
 * to what any known one is shorter than. */
static bool
find_parameter(const char *query, size_t bytes, const char *name,
    char value[static PARAMETER_MAX], size_t *value_bytes)
{
	const char *end = query + bytes, *next;

	for (; query < end; query = next + 1) {
		const char *equals;
		char key[PARAMETER_MAX];
		size_t key_bytes, n;

		next = memchr(query, '&', (size_t)(end - query));
		next = next != NULL ? next : end;
		equals = memchr(query, '=', (size_t)(next - query));
		n = (size_t)((equals != NULL ? equals : next) - query);
		if (n > sizeof key ||
		    !http_percent_decode(query, n, key, &key_bytes) ||
		    key_bytes != strlen(name) ||
		    memcmp(key, name, key_bytes) != 0)
			continue;
		*value_bytes = 0;
		if (equals == NULL)
			return true;
		n = MIN_OF((size_t)(next - equals - 1), PARAMETER_MAX);
		if (!http_percent_decode(equals + 1, n, value, value_bytes))
			*value_bytes = PARAMETER_MAX;
		return true;
	}
	return false;
}

/* False: neither yes nor no. */
static bool
read_flag(const char *query, size_t bytes, const char *name, bool *flag)
{
	char v[PARAMETER_MAX] = { 0 };
	size_t n;

	if (!find_parameter(query, bytes, name, v, &n))
		return true;
	*flag =
	    is_word(v, n, "true") || is_word(v, n, "1") || is_word(v, n, "yes");
	return *flag || n == 0 || is_word(v, n, "false") ||
	    is_word(v, n, "0") || is_word(v, n, "no");
}

static bool
read_query(struct route *r, const char *query, size_t bytes)
{
	return bytes == 0 ||
	    (read_flag(query, bytes, "async", &r->is_async) &&
		read_flag(query, bytes, "detail", &r->is_detailed));
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The media type without its parameters. */
static size_t
media_type_bytes(const char *type, size_t bytes)
{
	const char *semicolon = memchr(type, ';', bytes);

	if (semicolon != NULL)
		bytes = (size_t)(semicolon - type);
	while (bytes > 0 && is_blank(type[bytes - 1]))
		bytes--;
	return bytes;
}

/* NULL: it is read. */
static const char *
read_type(struct route *r, const char *type, size_t bytes)
{
	bytes = media_type_bytes(type, bytes);
	if (is_word(type, bytes, "application/json"))
		r->type = ROUTE_JSON;
	else if (is_word(type, bytes, "application/x-jackson-smile"))
		r->type = ROUTE_SMILE;
	else if (is_word(type, bytes, "text/plain"))
		r->type = ROUTE_TEXT;
	else
		return "Expected contentType application/json, "
		       "application/x-jackson-smile, or text/plain\n";
	if (r->type == ROUTE_TEXT && r->ds == NULL)
		return "Must include dataSource in URL for "
		       "contentType[text/plain]\n";
	return NULL;
}

static bool
coding_of(const char *name, size_t bytes, enum inflate_coding *coding)
{
	if (bytes == 0 || is_word(name, bytes, "identity"))
		*coding = INFLATE_IDENTITY;
	else if (is_word(name, bytes, "gzip") || is_word(name, bytes, "x-gzip"))
		*coding = INFLATE_GZIP;
	else if (is_word(name, bytes, "deflate"))
		*coding = INFLATE_DEFLATE;
	else if (is_word(name, bytes, "zstd"))
		*coding = INFLATE_ZSTD;
	else
		return false;
	return true;
}

/* A list may name one coding beside `identity` and empty places. Several
 * codings over one another are refused: nobody sends them but bombs. */
static bool
read_encoding(struct route *r, const char *list, size_t bytes)
{
	const char *end = list + bytes, *next;

	for (; list <= end; list = next + 1) {
		enum inflate_coding coding;
		size_t n;

		next = memchr(list, ',', (size_t)(end - list));
		next = next != NULL ? next : end;
		for (; list < next && is_blank(*list); list++)
			;
		n = (size_t)(next - list);
		while (n > 0 && is_blank(list[n - 1]))
			n--;
		if (!coding_of(list, n, &coding))
			return false;
		if (coding == INFLATE_IDENTITY)
			continue;
		if (r->coding != INFLATE_IDENTITY)
			return false;
		r->coding = coding;
	}
	return true;
}

static void
find_post(struct route *r, const struct http_request *q, const char *head)
{
	const char *text;

	if (!decode_ds(r)) {
		refuse(r, 400, "Malformed request target\n");
		return;
	}
	if (!read_query(r, head + q->query.at, q->query.bytes)) {
		refuse(r, 400, "Expected true or false\n");
		return;
	}
	text = read_type(r, head + q->content_type.at, q->content_type.bytes);
	if (text != NULL) {
		refuse(r, 400, text);
		return;
	}
	if (!read_encoding(
		r, head + q->content_encoding.at, q->content_encoding.bytes)) {
		refuse(r, 400, "Unrecognized request Content-Encoding\n");
		return;
	}
	r->kind = ROUTE_POST;
}

void
route_find(struct route *r, const struct http_request *q, const char *head)
{
	const char *path = head + q->path.at;
	size_t bytes = q->path.bytes;

	r->ds = NULL;
	r->ds_bytes = 0;
	r->is_async = r->is_detailed = false;
	r->type = ROUTE_JSON;
	r->coding = INFLATE_IDENTITY;
	if (q->method == HTTP_POST && is_post_path(r, path, bytes)) {
		find_post(r, q, head);
		return;
	}
	if ((q->method == HTTP_GET || q->method == HTTP_HEAD) &&
	    (bytes == 0 || (bytes == 1 && *path == '/'))) {
		r->kind = ROUTE_BANNER;
		return;
	}
	refuse(r, 404, "Not found\n");
}

/*
 * http_request - an HTTP/1.1 request's head, and the chunked body's framing
 *
 * Process: receiver. Pure.
 *
 * A line is looked at once, when it is complete: the search for its end is
 * also the check for bytes that no line may hold, 16 of them at a time.
 */
#include "http_request.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define T 1 /* tchar: method, field names */
#define H 2 /* may stand in Host */
#define B 3 /* both */

static const uint8_t byte_class[256] = {
	['!'] = B,
	['#'] = T,
	['$'] = B,
	['%'] = B,
	['&'] = B,
	['\''] = B,
	['*'] = B,
	['+'] = B,
	['-'] = B,
	['.'] = B,
	['^'] = T,
	['_'] = B,
	['`'] = T,
	['|'] = T,
	['~'] = B,
	['('] = H,
	[')'] = H,
	[','] = H,
	[';'] = H,
	['='] = H,
	[':'] = H,
	['['] = H,
	[']'] = H,
	['0' ... '9'] = B,
	['A' ... 'Z'] = B,
	['a' ... 'z'] = B,
};

enum request_state { REQUEST_BEGIN, REQUEST_LINE, REQUEST_FIELDS };

static enum http_result
bad(struct http_request *r, unsigned status, const char *reason)
{
	r->status = (uint16_t)status;
	r->reason = reason;
	return HTTP_BAD;
}

static bool
is_control(char c)
{
	unsigned char b = (unsigned char)c;

	return (b < 0x20 && b != '\t') || b == 0x7f;
}

/* The first control byte (a tab is none), or `end`. */
static const char *
find_control(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i low = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'),
		      del = _mm_set1_epi8(0x7f);

	for (; end - p >= 16; p += 16) {
		__m128i b = _mm_loadu_si128((const void *)p);
		__m128i found = _mm_cmpeq_epi8(_mm_min_epu8(b, low), b);
		unsigned mask;

		found = _mm_andnot_si128(_mm_cmpeq_epi8(b, tab), found);
		found = _mm_or_si128(found, _mm_cmpeq_epi8(b, del));
		if ((mask = (unsigned)_mm_movemask_epi8(found)) != 0)
			return p + __builtin_ctz(mask);
	}
#endif
	while (p < end && !is_control(*p))
		p++;
	return p;
}

static bool
same_word(const char *text, size_t bytes, const char *word, size_t word_bytes)
{
	if (bytes != word_bytes)
		return false;
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != (unsigned char)word[i])
			return false;
	}
	return true;
}

#define IS_WORD(text, bytes, word) same_word(text, bytes, word, sizeof word - 1)

bool
http_view_is(struct http_view v, const char *head, const char *word)
{
	return same_word(head + v.at, v.bytes, word, strlen(word));
}

void
http_request_init(struct http_request *r)
{
	memset(r, 0, sizeof *r);
}

static struct http_view
view(const char *head, const char *from, const char *to)
{
	return (
	    struct http_view){ (uint32_t)(from - head), (uint32_t)(to - from) };
}

static enum http_result
take_version(struct http_request *r, const char *at, size_t bytes)
{
	if (bytes != 8 || memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' ||
	    at[5] > '9' || at[6] != '.' || at[7] < '0' || at[7] > '9')
		return bad(r, 400, "Malformed request line");
	if (at[5] != '1' || at[7] > '1')
		return bad(
		    r, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here");
	r->minor = (uint8_t)(at[7] - '0');
	return HTTP_DONE;
}

/* http://host:port/path: the target is what follows the authority, which has
 * no user in front of it (RFC 9110 4.2.4) and decides nothing here. */
static const char *
skip_authority(const char *at, const char *end)
{
	size_t bytes = (size_t)(end - at);

	if (bytes > 7 && IS_WORD(at, 7, "http://"))
		at += 7;
	else if (bytes > 8 && IS_WORD(at, 8, "https://"))
		at += 8;
	else
		return NULL;
	if (*at == '/' || *at == '?')
		return NULL;
	while (at < end && (byte_class[(unsigned char)*at] & H) != 0)
		at++;
	return at == end || *at == '/' || *at == '?' ? at : NULL;
}

static enum http_result
take_target(
    struct http_request *r, const char *head, const char *at, const char *end)
{
	const char *query;

	if (end - at > HTTP_TARGET_MAX)
		return bad(r, 414, "The request's target is too long");
	for (const char *p = at; p < end; p++)
		if ((unsigned char)*p >= 0x80 || *p == '#' || *p == '\t')
			return bad(r, 400, "Malformed request target");
	if (*at != '/') {
		bool any = end - at == 1 && *at == '*' &&
		    http_view_is(r->method_name, head, "options");

		if (!any && (at = skip_authority(at, end)) == NULL)
			return bad(r, 400, "Malformed request target");
	}
	query = memchr(at, '?', (size_t)(end - at));
	r->has_query = query != NULL;
	if (query != NULL)
		r->query = view(head, query + 1, end);
	r->path = view(head, at, query != NULL ? query : end);
	return HTTP_DONE;
}

static enum http_method
method_of(const char *at, size_t bytes)
{
	if (bytes == 4 && memcmp(at, "POST", 4) == 0)
		return HTTP_POST;
	if (bytes == 3 && memcmp(at, "GET", 3) == 0)
		return HTTP_GET;
	if (bytes == 4 && memcmp(at, "HEAD", 4) == 0)
		return HTTP_HEAD;
	return HTTP_OTHER;
}

static enum http_result
take_request_line(
    struct http_request *r, const char *head, const char *at, const char *end)
{
	const char *p = at, *target;

	while (p < end && (byte_class[(unsigned char)*p] & T) != 0)
		p++;
	if (p == end || *p != ' ' || p == at || p - at > HTTP_METHOD_MAX)
		return bad(r, 400, "Malformed request line");
	r->method = method_of(at, (size_t)(p - at));
	r->method_name = view(head, at, p);
	target = ++p;
	p = memchr(p, ' ', (size_t)(end - p));
	if (p == NULL || p == target)
		return bad(r, 400, "Malformed request line");
	if (take_version(r, p + 1, (size_t)(end - p - 1)) == HTTP_BAD)
		return HTTP_BAD;
	return take_target(r, head, target, p);
}

static enum http_result
take_content_length(struct http_request *r, const char *at, size_t bytes)
{
	uint64_t n = 0;

	if (r->has_content_length)
		return bad(r, 400, "Several Content-Length fields");
	if (bytes == 0)
		return bad(r, 400, "Malformed Content-Length");
	for (size_t i = 0; i < bytes; i++) {
		unsigned digit = (unsigned char)at[i] - (unsigned)'0';

		if (digit > 9)
			return bad(r, 400, "Malformed Content-Length");
		if (__builtin_mul_overflow(n, UINT64_C(10), &n) ||
		    __builtin_add_overflow(n, (uint64_t)digit, &n))
			n = UINT64_MAX; /* times ten, it stays there */
	}
	r->has_content_length = true;
	r->content_length = n;
	return HTTP_DONE;
}

static enum http_result
take_transfer_encoding(struct http_request *r, const char *at, size_t bytes)
{
	if (!IS_WORD(at, bytes, "chunked"))
		return bad(r, 501, "Of transfer codings only chunked is known");
	if (r->is_chunked)
		return bad(r, 400, "Several Transfer-Encoding fields");
	r->is_chunked = true;
	return HTTP_DONE;
}

static enum http_result
take_connection(struct http_request *r, const char *at, size_t bytes)
{
	const char *end = at + bytes;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *stop = comma != NULL ? comma : end, *last = stop;

		while (at < last && (*at == ' ' || *at == '\t'))
			at++;
		while (last > at && (last[-1] == ' ' || last[-1] == '\t'))
			last--;
		if (IS_WORD(at, (size_t)(last - at), "close"))
			r->wants_close = true;
		else if (IS_WORD(at, (size_t)(last - at), "keep-alive"))
			r->wants_keep_alive = true;
		at = stop + (comma != NULL);
	}
	return HTTP_DONE;
}

static enum http_result
take_expect(struct http_request *r, const char *at, size_t bytes)
{
	if (!IS_WORD(at, bytes, "100-continue"))
		return bad(
		    r, 417, "Of expectations only 100-continue is known");
	r->expects_continue = true;
	return HTTP_DONE;
}

static enum http_result
take_host(struct http_request *r, const char *at, size_t bytes)
{
	if (r->has_host)
		return bad(r, 400, "Several Host fields");
	for (size_t i = 0; i < bytes; i++)
		if ((byte_class[(unsigned char)at[i]] & H) == 0)
			return bad(r, 400, "Malformed Host");
	r->has_host = true;
	return HTTP_DONE;
}

static enum http_result
take_once(struct http_request *r, bool *has, struct http_view *to,
    struct http_view value)
{
	if (*has)
		return bad(r, 400,
		    "Several Content-Type or Content-Encoding "
		    "fields");
	*has = true;
	*to = value;
	return HTTP_DONE;
}

static enum http_result
take_idempotency_key(struct http_request *r, struct http_view value)
{
	if (r->has_idempotency_key)
		return bad(r, 400, "Several Idempotency-Key fields");
	r->has_idempotency_key = true;
	r->idempotency_key = value;
	return HTTP_DONE;
}

static enum http_result
take_field(struct http_request *r, const char *head, struct http_view name,
    struct http_view value)
{
	const char *n = head + name.at, *v = head + value.at;

	/* almost all names are told apart by their length */
	switch (name.bytes) {
	case 4:
		if (IS_WORD(n, 4, "host"))
			return take_host(r, v, value.bytes);
		break;
	case 6:
		if (IS_WORD(n, 6, "expect"))
			return take_expect(r, v, value.bytes);
		break;
	case 10:
		if (IS_WORD(n, 10, "connection"))
			return take_connection(r, v, value.bytes);
		break;
	case 12:
		if (IS_WORD(n, 12, "content-type"))
			return take_once(
			    r, &r->has_content_type, &r->content_type, value);
		break;
	case 14:
		if (IS_WORD(n, 14, "content-length"))
			return take_content_length(r, v, value.bytes);
		break;
	case 15:
		if (IS_WORD(n, 15, "idempotency-key"))
			return take_idempotency_key(r, value);
		break;
	case 16:
		if (IS_WORD(n, 16, "content-encoding"))
			return take_once(r, &r->has_content_encoding,
			    &r->content_encoding, value);
		break;
	case 17:
		if (IS_WORD(n, 17, "transfer-encoding"))
			return take_transfer_encoding(r, v, value.bytes);
		break;
	default: break;
	}
	return HTTP_DONE;
}

/* A line into name and value; false: it is no field. */
static bool
split_field(const char *head, const char *at, const char *end,
    struct http_view *name, struct http_view *value)
{
	const char *p = at;

	while (p < end && (byte_class[(unsigned char)*p] & T) != 0)
		p++;
	if (p == at || p == end || *p != ':')
		return false;
	*name = view(head, at, p);
	for (p++; p < end && (*p == ' ' || *p == '\t'); p++)
		;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*value = view(head, p, end);
	return true;
}

static enum http_result
take_field_line(
    struct http_request *r, const char *head, const char *at, const char *end)
{
	struct http_view name, value;

	if (split_field(head, at, end, &name, &value))
		return take_field(r, head, name, value);
	if (*at == ' ' || *at == '\t')
		return bad(r, 400, "Folded header lines are not read");
	return bad(r, 400, "Malformed header line");
}

static enum http_result
finish(struct http_request *r)
{
	if (!r->has_host && r->minor == 1)
		return bad(r, 400, "Missing Host");
	if (r->is_chunked && r->has_content_length)
		return bad(r, 400, "Both Content-Length and Transfer-Encoding");
	if (r->is_chunked && r->minor == 0)
		return bad(r, 400, "Transfer-Encoding in HTTP/1.0");
	if (r->minor == 0)
		r->expects_continue = false;
	r->keep_alive =
	    !r->wants_close && (r->minor == 1 || r->wants_keep_alive);
	r->head_bytes = r->at;
	return HTTP_DONE;
}

/* One line, its CRLF left out. NEED_MORE: the next line, please. */
static enum http_result
take_line(
    struct http_request *r, const char *head, const char *at, const char *end)
{
	if (r->state == REQUEST_FIELDS) {
		if (at == end)
			return finish(r);
		if (take_field_line(r, head, at, end) == HTTP_BAD)
			return HTTP_BAD;
		return HTTP_NEED_MORE;
	}
	if (at == end && r->state == REQUEST_BEGIN) {
		/* clients that send a CRLF too many behind a body */
		r->state = REQUEST_LINE;
		return HTTP_NEED_MORE;
	}
	r->state = REQUEST_FIELDS;
	if (take_request_line(r, head, at, end) == HTTP_BAD)
		return HTTP_BAD;
	return HTTP_NEED_MORE;
}

static enum http_result
too_long(struct http_request *r)
{
	if (r->state != REQUEST_FIELDS)
		return bad(r, 414, "The request line is too long");
	return bad(r, 431, "The request's header is too large");
}

enum http_result
http_request_parse(struct http_request *r, const char *bytes, size_t count)
{
	const char *end = bytes + MIN_OF(count, HTTP_HEAD_MAX);

	for (;;) {
		const char *at = bytes + r->at, *stop = find_control(at, end);
		enum http_result result;

		if (r->state != REQUEST_FIELDS &&
		    stop - at > HTTP_TARGET_MAX + HTTP_METHOD_MAX + 16)
			return too_long(r);
		if (stop == end || (*stop == '\r' && stop + 1 == end))
			return count >= HTTP_HEAD_MAX ? too_long(r)
						      : HTTP_NEED_MORE;
		if (*stop != '\r' || stop[1] != '\n')
			return bad(r, 400,
			    *stop == '\n' || *stop == '\r'
				? "Lines must end in CR LF"
				: "Control byte in the request's header");
		r->at = (uint32_t)(stop + 2 - bytes);
		result = take_line(r, bytes, at, stop);
		if (result != HTTP_NEED_MORE)
			return result;
	}
}

bool
http_request_field(const struct http_request *r, const char *head,
    const char *name, struct http_view *value)
{
	const char *end = head + r->head_bytes, *at = head;
	struct http_view found;

	while (
	    (at = memchr(at, '\n', (size_t)(end - at))) != NULL && ++at < end) {
		const char *stop = memchr(at, '\r', (size_t)(end - at));

		if (stop != NULL &&
		    split_field(head, at, stop, &found, value) &&
		    http_view_is(found, head, name))
			return true;
	}
	return false;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool
http_percent_decode(
    const char *text, size_t bytes, char *out, size_t *out_bytes)
{
	size_t used = 0;

	for (size_t i = 0; i < bytes; i++) {
		int high, low;

		if (text[i] != '%') {
			out[used++] = text[i];
			continue;
		}
		if (bytes - i < 3 || (high = hex_digit(text[i + 1])) < 0 ||
		    (low = hex_digit(text[i + 2])) < 0)
			return false;
		out[used++] = (char)(high << 4 | low);
		i += 2;
	}
	*out_bytes = used;
	return true;
}

enum chunked_state {
	CHUNK_SIZE,
	CHUNK_SIZE_BLANK, /* before the semicolon of an extension */
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	TRAILER_BEGIN, /* of a line */
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LINE_LF,
	TRAILER_LAST_LF,
	CHUNKS_DONE
};

void
http_chunked_init(struct http_chunked *c)
{
	memset(c, 0, sizeof *c);
}

static enum http_result
bad_chunk(struct http_chunked *c, unsigned status, const char *reason)
{
	c->status = (uint16_t)status;
	c->reason = reason;
	return HTTP_BAD;
}

static enum http_result
chunk_size_byte(struct http_chunked *c, char b)
{
	int digit = hex_digit(b);

	if (digit >= 0) {
		/* 15 digits never overflow; zeros in front count too, as no
		 * honest client sends them */
		if (++c->digits > 15)
			return bad_chunk(c, 400, "Chunk size too large");
		c->size = c->size << 4 | (unsigned)digit;
		return HTTP_NEED_MORE;
	}
	if (c->digits == 0)
		return bad_chunk(c, 400, "Malformed chunk size");
	c->line = 0;
	switch (b) {
	case '\r': c->state = CHUNK_SIZE_LF; break;
	case ';': c->state = CHUNK_EXTENSION; break;
	case ' ':
	case '\t': c->state = CHUNK_SIZE_BLANK; break;
	default: return bad_chunk(c, 400, "Malformed chunk size");
	}
	return HTTP_NEED_MORE;
}

/* An extension's bytes mean nothing here. Blanks may stand in front of it
 * (BWS of RFC 9112 7.1.1), but not where there is none. */
static enum http_result
chunk_extension_byte(struct http_chunked *c, char b)
{
	if (++c->line > HTTP_CHUNK_LINE_MAX ||
	    ++c->extensions > HTTP_CHUNK_EXTENSIONS_MAX)
		return bad_chunk(c, 400, "Chunk extensions too long");
	if (c->state == CHUNK_SIZE_BLANK) {
		if (b == ';')
			c->state = CHUNK_EXTENSION;
		else if (b != ' ' && b != '\t')
			return bad_chunk(c, 400, "Malformed chunk size");
	} else if (b == '\r')
		c->state = CHUNK_SIZE_LF;
	else if (is_control(b))
		return bad_chunk(c, 400, "Control byte in a chunk extension");
	return HTTP_NEED_MORE;
}

/* Trailer fields are left unused, but fields they have to be: what another
 * server would take for a request must not pass here as a trailer. */
static enum http_result
trailer_byte(struct http_chunked *c, char b)
{
	if (++c->trailer > HTTP_TRAILER_MAX)
		return bad_chunk(c, 431, "Trailer too large");
	if (c->state == TRAILER_VALUE) {
		if (b == '\r')
			c->state = TRAILER_LINE_LF;
		else if (is_control(b))
			return bad_chunk(c, 400, "Control byte in the trailer");
	} else if (b == '\r' && c->state == TRAILER_BEGIN) {
		c->state = TRAILER_LAST_LF;
	} else if (b == ':' && c->state == TRAILER_NAME) {
		c->state = TRAILER_VALUE;
	} else if ((byte_class[(unsigned char)b] & T) != 0) {
		c->state = TRAILER_NAME;
	} else {
		return bad_chunk(c, 400, "Malformed trailer line");
	}
	return HTTP_NEED_MORE;
}

/* A byte that has to be CR or LF. */
static enum http_result
chunk_line_end(struct http_chunked *c, char b, char expected, unsigned next)
{
	if (b != expected)
		return bad_chunk(c, 400, "Chunk without its CR LF");
	c->state = (uint8_t)next;
	return next == CHUNKS_DONE ? HTTP_DONE : HTTP_NEED_MORE;
}

static enum http_result
chunk_size_end(struct http_chunked *c, char b)
{
	c->digits = 0;
	c->left = c->size;
	c->size = 0;
	return chunk_line_end(
	    c, b, '\n', c->left > 0 ? CHUNK_DATA : TRAILER_BEGIN);
}

/* One byte of framing. */
static enum http_result
frame_byte(struct http_chunked *c, char b)
{
	switch (c->state) {
	case CHUNK_SIZE: return chunk_size_byte(c, b);
	case CHUNK_SIZE_BLANK:
	case CHUNK_EXTENSION: return chunk_extension_byte(c, b);
	case CHUNK_SIZE_LF: return chunk_size_end(c, b);
	case CHUNK_DATA_CR: return chunk_line_end(c, b, '\r', CHUNK_DATA_LF);
	case CHUNK_DATA_LF: return chunk_line_end(c, b, '\n', CHUNK_SIZE);
	case TRAILER_BEGIN:
	case TRAILER_NAME:
	case TRAILER_VALUE: return trailer_byte(c, b);
	case TRAILER_LINE_LF: return chunk_line_end(c, b, '\n', TRAILER_BEGIN);
	default: return chunk_line_end(c, b, '\n', CHUNKS_DONE);
	}
}

enum http_result
http_chunked_decode(struct http_chunked *c, char *bytes, size_t count,
    size_t *used, size_t *body)
{
	size_t at = 0, out = 0;
	enum http_result result = HTTP_NEED_MORE;

	while (at < count && result == HTTP_NEED_MORE) {
		size_t run;

		if (c->state != CHUNK_DATA) {
			result = frame_byte(c, bytes[at++]);
			continue;
		}
		run = (size_t)MIN_OF(c->left, (uint64_t)(count - at));
		memmove(bytes + out, bytes + at, run);
		out += run;
		at += run;
		c->left -= run;
		if (c->left == 0)
			c->state = CHUNK_DATA_CR;
	}
	*used = at;
	*body = out;
	return result;
}

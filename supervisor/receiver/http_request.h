/*
 * http_request - an HTTP/1.1 request's head, and the chunked body's framing
 *
 * Process: receiver. Pure.   After: connection.c reads.   Before: post.c.
 * Owns:    nothing; views are offsets into the caller's bytes.
 * Fails:   HTTP_BAD with a status and a sentence; the connection is then to
 *          be closed behind the answer, its framing is not to be trusted.
 *
 * RFC 9112 to the letter, the lenient readings refused: lines end in CRLF, no
 * folded lines, no space before the colon, one framing only. Two servers that
 * read one byte stream differently is how requests are smuggled.
 */
#pragma once

#include "base.h"

#define HTTP_HEAD_MAX (16u * KiB) /* request line and fields: 431 */
#define HTTP_TARGET_MAX 8000u /* 414 */
#define HTTP_METHOD_MAX 32u
#define HTTP_TRAILER_MAX (16u * KiB)
#define HTTP_CHUNK_LINE_MAX 4096u /* a chunk's size line, its extensions */
#define HTTP_CHUNK_EXTENSIONS_MAX (64u * KiB) /* of all chunks of a body */

enum http_result { HTTP_NEED_MORE, HTTP_DONE, HTTP_BAD };

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OTHER };

/* Bytes of the head, counted from its first byte. */
struct http_view {
	uint32_t at, bytes;
};

struct http_request {
	/* complete after HTTP_DONE */
	enum http_method method;
	struct http_view method_name;
	struct http_view path; /* as sent; empty: "/" (http://host) */
	struct http_view query; /* without the '?' */
	struct http_view content_type, content_encoding; /* trimmed */
	struct http_view idempotency_key; /* trimmed, if there is one */
	uint64_t content_length; /* without one: 0; UINT64_MAX: even larger */
	uint32_t head_bytes; /* with the empty line */
	uint8_t minor; /* HTTP/1.0 or HTTP/1.1 */
	bool has_query, has_idempotency_key;
	bool has_content_length, is_chunked;
	bool expects_continue;
	bool keep_alive; /* what version and Connection ask for */

	/* after HTTP_BAD */
	uint16_t status;
	const char *reason; /* a sentence without its full stop */

	/* private */
	uint8_t state;
	bool has_host, has_content_type, has_content_encoding;
	bool wants_close, wants_keep_alive;
	uint32_t at; /* start of the first line not parsed */
};

void http_request_init(struct http_request *);
/* bytes: the head from its first byte on, as much of it as has come, at the
 * same or another place as in the call before. DONE: head_bytes of them are
 * the head. After NEED_MORE call again when more has come. */
enum http_result
http_request_parse(struct http_request *, const char *bytes, size_t count);
/* The trimmed value of a parsed head's first field of this name (lower case).
 * False: none. For fields that the parser does not know itself. */
bool http_request_field(const struct http_request *, const char *head,
    const char *name, struct http_view *value);
/* Whether the view's bytes are this word (lower case), case ignored. */
bool http_view_is(struct http_view, const char *head, const char *word);
/* Resolves %XX into `out` (at least `bytes` long). False: bad escape. */
bool http_percent_decode(
    const char *text, size_t bytes, char *out, size_t *out_bytes);

struct http_chunked {
	/* after HTTP_BAD */
	uint16_t status;
	const char *reason;
	uint64_t left; /* bytes of a chunk that are said to come still */
	/* private */
	uint8_t state, digits;
	uint64_t size; /* of a chunk, as far as it is read */
	uint32_t line, extensions, trailer;
};

void http_chunked_init(struct http_chunked *);
/* Takes the framing out of `count` raw bytes in place: the body's bytes among
 * them lie at `bytes` afterwards, *body of them. NEED_MORE: all was used.
 * DONE: *used raw bytes were the body's end, what follows is the next
 * request. */
enum http_result http_chunked_decode(struct http_chunked *, char *bytes,
    size_t count, size_t *used, size_t *body);

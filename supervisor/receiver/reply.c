/*
 * reply - what is answered, as the bytes of an HTTP response
 *
 * Process: receiver. Pure. Written for every request, so without printf.
 */
#include "reply.h"

#include <string.h>

#include "iso.h"
#include "panic.h"

#define RESULT_BYTES 80 /* {"result":{"received":…,"sent":…}} */

#define PUT(to, text) put(to, text, sizeof(text) - 1)

static char *
put(char *to, const char *text, size_t bytes)
{
	memcpy(to, text, bytes);
	return to + bytes;
}

static char *
put_number(char *to, uint64_t n)
{
	char digits[20];
	unsigned count = 0;

	do
		digits[count++] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	while (count > 0)
		*to++ = digits[--count];
	return to;
}

static const char *
phrase(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} phrases[] = {
		{ 200, "OK" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 404, "Not Found" },
		{ 408, "Request Timeout" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 417, "Expectation Failed" },
		{ 422, "Unprocessable Content" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].text;
	unreachable("a status without a phrase");
}

static char *
put_status(char *to, unsigned status)
{
	const char *text;

	if (LIKELY(status == 200))
		return PUT(to, "HTTP/1.1 200 OK\r\n");
	text = phrase(status);
	to = PUT(to, "HTTP/1.1 ");
	to = put_number(to, status);
	*to++ = ' ';
	to = put(to, text, strlen(text));
	return PUT(to, "\r\n");
}

static uint64_t
all_dropped(const struct reply *r)
{
	uint64_t all = r->dropped_late;

	for (int i = 0; i < DROP_REASONS; i++)
		all += r->dropped[i];
	return all;
}

/* X-Tranq-Dropped: 3; window=2; worker=1 */
static char *
put_dropped(char *to, const struct reply *r)
{
	to = PUT(to, "X-Tranq-Dropped: ");
	to = put_number(to, all_dropped(r));
	for (int i = 0; i < DROP_REASONS; i++) {
		const char *name = event_drop_name((enum drop_reason)i);

		if (r->dropped[i] == 0)
			continue;
		to = PUT(to, "; ");
		to = put(to, name, strlen(name));
		to = PUT(to, "=");
		to = put_number(to, r->dropped[i]);
	}
	if (r->dropped_late > 0) {
		to = PUT(to, "; worker=");
		to = put_number(to, r->dropped_late);
	}
	return PUT(to, "\r\n");
}

/* X-Tranq-Late: 5; archive=3; append=2 */
static char *
put_late(char *to, const struct reply *r)
{
	to = PUT(to, "X-Tranq-Late: ");
	to = put_number(to, r->archived + r->appended);
	if (r->archived > 0) {
		to = PUT(to, "; archive=");
		to = put_number(to, r->archived);
	}
	if (r->appended > 0) {
		to = PUT(to, "; append=");
		to = put_number(to, r->appended);
	}
	return PUT(to, "\r\n");
}

static char *
put_fields(char *to, const struct reply *r, const struct reply_how *how)
{
	if (all_dropped(r) > 0)
		to = put_dropped(to, r);
	if (r->archived + r->appended > 0)
		to = put_late(to, r);
	if (r->spooled > 0) {
		to = PUT(to, "X-Tranq-Spooled: ");
		to = put_number(to, r->spooled);
		to = PUT(to, "\r\n");
	}
	if (r->is_repeat)
		to = PUT(to, "Idempotent-Replayed: true\r\n");
	if (r->retry_after_s > 0) {
		to = PUT(to, "Retry-After: ");
		to = put_number(to, r->retry_after_s);
		to = PUT(to, "\r\n");
	}
	if (r->challenge != NULL)
		to = put(to, r->challenge, strlen(r->challenge));
	if (how->closes)
		return PUT(to, "Connection: close\r\n");
	if (how->keeps_alive)
		return PUT(to, "Connection: keep-alive\r\n");
	return to;
}

static size_t
compose_result(char *out, const struct reply *r)
{
	char *to = PUT(out, "{\"result\":{\"received\":");

	to = put_number(to, r->received);
	to = PUT(to, ",\"sent\":");
	to = put_number(to, r->sent);
	to = PUT(to, "}}");
	return (size_t)(to - out);
}

static char *
put_type(char *to, bool is_smile)
{
	if (UNLIKELY(is_smile))
		return PUT(to,
		    "\r\nContent-Type: application/x-jackson-smile\r\n"
		    "Content-Length: ");
	return PUT(to,
	    "\r\nContent-Type: application/json;"
	    "charset=UTF-8\r\nContent-Length: ");
}

size_t
reply_compose(char *out, const struct reply *r, const struct reply_how *how)
{
	char result[RESULT_BYTES], *to = put_status(out, r->status);
	const char *text = r->text;
	size_t bytes;

	to = PUT(to, "Date: ");
	to = put(to, how->date, REPLY_DATE_BYTES - 1);
	if (text != NULL) {
		bytes = strnlen(text, REPLY_TEXT_MAX);
		to = PUT(to,
		    "\r\nContent-Type: text/plain;"
		    "charset=UTF-8\r\nContent-Length: ");
	} else {
		bytes = compose_result(result, r);
		text = result;
		to = put_type(to, r->is_smile);
	}
	to = put_number(to, r->result != NULL ? r->result_bytes : bytes);
	to = PUT(to, "\r\n");
	to = put_fields(to, r, how);
	to = PUT(to, "\r\n");
	if (!how->is_head && r->result == NULL)
		to = put(to, text, bytes);
	must((size_t)(to - out) <= REPLY_BYTES_MAX);
	return (size_t)(to - out);
}

static char *
put_two(char *to, unsigned n)
{
	*to++ = (char)('0' + n / 10 % 10);
	*to++ = (char)('0' + n % 10);
	return to;
}

void
reply_date(int64_t wall_ms, char out[static REPLY_DATE_BYTES])
{
	static const char days[] = "MonTueWedThuFriSatSun";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int64_t day = iso_day_of(wall_ms);
	struct iso_date date = iso_date_of(day);
	unsigned second =
	    (unsigned)((wall_ms - day * ISO_DAY_MS) / ISO_SECOND_MS);
	unsigned year = (unsigned)date.year;
	char *to = put(out, days + 3 * (iso_weekday(day) - 1), 3);

	to = PUT(to, ", ");
	to = put_two(to, date.day);
	*to++ = ' ';
	to = put(to, months + 3 * (date.month - 1), 3);
	*to++ = ' ';
	to = put_two(put_two(to, year / 100), year);
	*to++ = ' ';
	to = put_two(to, second / 3600);
	*to++ = ':';
	to = put_two(to, second / 60 % 60);
	*to++ = ':';
	to = put_two(to, second % 60);
	put(to, " GMT", 5);
}

/*
 * load_compare - what arrived in tranq-sandbox, beside what was sent
 *
 * Process: tranq-load.
 *
 * Nothing else goes on in the meantime, so this waits in its calls.
 */
#include "load_compare.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "http_request.h"
#include "load_gzip.h"
#include "panic.h"

#define IO_SECONDS 20
#define WAIT_MIN_MS 100
#define WAIT_MAX_MS 2000
#define LOOKS_SAME 2 /* as often the same: nothing moves any more */
#define HEAD_MAX (16u * KiB)

struct fetch {
	struct load_ledger *ledger;
	unsigned ds;
	int fd;
	struct buf bytes;
	bool is_chunked;
	struct http_chunked chunked;
	int64_t left; /* of the body, -1: to the end of the connection */
	struct buf line; /* the beginning of one that is not complete */
};

static bool PRINTF_LIKE(2, 3) fail(char *error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, 256, format, args);
	va_end(args);
	return false;
}

static void
take_lines(struct fetch *f, const char *bytes, size_t count)
{
	const char *end = bytes + count, *stop;

	for (; bytes < end; bytes = stop + 1) {
		stop = memchr(bytes, '\n', (size_t)(end - bytes));
		if (stop == NULL) {
			buf_add(&f->line, bytes, (size_t)(end - bytes));
			return;
		}
		if (f->line.used > 0) {
			buf_add(&f->line, bytes, (size_t)(stop - bytes));
			load_ledger_arrived(
			    f->ledger, f->line.bytes, f->line.used, f->ds);
			buf_reset(&f->line);
		} else if (stop > bytes)
			load_ledger_arrived(
			    f->ledger, bytes, (size_t)(stop - bytes), f->ds);
	}
}

static bool
open_socket(struct fetch *f, const struct load_target *t, char *error)
{
	struct timeval patience = { .tv_sec = IO_SECONDS };

	f->fd = socket(t->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->fd < 0)
		return fail(error, "socket: %s", strerror(errno));
	setsockopt(f->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(f->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(f->fd, (const void *)&t->address, t->address_bytes) < 0)
		return fail(error, "%s: %s; does tranq-sandbox run?", t->host,
		    strerror(errno));
	return true;
}

static bool
send_query(struct fetch *f, const struct load_options *o, char *error)
{
	char text[1024];
	int n = snprintf(text, sizeof text,
	    "GET /sandbox/events?dataSource=%s&replicant=%u HTTP/1.1\r\n"
	    "Host: %s\r\nConnection: close\r\n\r\n",
	    f->ledger->ds[f->ds], o->replicant, o->sandbox.host);

	must(n > 0 && (size_t)n < sizeof text);
	if (send(f->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		return fail(error, "%s: %s", o->sandbox.host, strerror(errno));
	return true;
}

/* More bytes behind those that are there; 0 at the end, -1 when it failed. */
static ssize_t
receive(struct fetch *f)
{
	char *room = buf_room(&f->bytes, 64 * KiB);
	ssize_t n;

	if (room == NULL)
		return -1;
	do
		n = recv(f->fd, room, 64 * KiB, 0);
	while (n < 0 && errno == EINTR);
	f->bytes.used += (size_t)MAX_OF(n, 0);
	return n;
}

static bool
read_head(struct fetch *f, char *error)
{
	const char *end = NULL;
	char *head, *length;
	int status;

	while (end == NULL && f->bytes.used < HEAD_MAX) {
		if (receive(f) <= 0)
			return fail(error, "the sandbox gives no answer");
		end = memmem(f->bytes.bytes, f->bytes.used, "\r\n\r\n", 4);
	}
	if (end == NULL || sscanf(f->bytes.bytes, "HTTP/1.1 %d", &status) != 1)
		return fail(error, "the sandbox's answer is no HTTP");
	if (status != 200)
		return fail(error, "the sandbox answers %d for dataSource %s",
		    status, f->ledger->ds[f->ds]);
	head = strndup(f->bytes.bytes, (size_t)(end - f->bytes.bytes));
	must(head != NULL);
	f->is_chunked =
	    strcasestr(head, "\r\ntransfer-encoding: chunked") != NULL;
	length = strcasestr(head, "\r\ncontent-length:");
	f->left = length != NULL ? strtoll(length + 17, NULL, 10) : -1;
	free(head);
	http_chunked_init(&f->chunked);
	buf_consume(&f->bytes, (size_t)(end - f->bytes.bytes) + 4);
	return true;
}

/* Uses up the bytes that are there; false at the body's end, or with an
 * error. */
static bool
take_body(struct fetch *f, char *error)
{
	size_t count = f->bytes.used, used;
	enum http_result result = HTTP_NEED_MORE;

	if (f->is_chunked) {
		result = http_chunked_decode(
		    &f->chunked, f->bytes.bytes, f->bytes.used, &used, &count);
		if (result == HTTP_BAD)
			return fail(error, "the sandbox's answer is cut");
	} else if (f->left >= 0) {
		count = MIN_OF(count, (size_t)f->left);
		f->left -= (int64_t)count;
	}
	take_lines(f, f->bytes.bytes, count);
	buf_reset(&f->bytes);
	return result != HTTP_DONE && (f->is_chunked || f->left != 0);
}

static bool
read_body(struct fetch *f, char *error)
{
	ssize_t n = 1;

	while (take_body(f, error)) {
		n = receive(f);
		if (n <= 0)
			break;
	}
	if (*error == '\0' &&
	    (n < 0 || (n == 0 && (f->is_chunked || f->left > 0))))
		fail(error, "the sandbox's answer ends too early");
	if (*error == '\0' && f->line.used > 0)
		load_ledger_arrived(
		    f->ledger, f->line.bytes, f->line.used, f->ds);
	return *error == '\0';
}

static bool
fetch_ds(const struct load_options *o, struct load_ledger *l, unsigned ds,
    char *error)
{
	struct fetch f = { .ledger = l, .ds = ds, .fd = -1 };
	bool good;

	*error = '\0';
	buf_init(&f.bytes, MiB);
	buf_init(&f.line, 4 * LOAD_LINE_MAX);
	good = open_socket(&f, &o->sandbox, error) &&
	    send_query(&f, o, error) && read_head(&f, error) &&
	    read_body(&f, error);
	if (f.fd >= 0)
		close(f.fd);
	buf_free(&f.bytes);
	buf_free(&f.line);
	return good;
}

static bool
look(const struct load_options *o, struct load_ledger *l,
    struct load_verdict *v, char *error)
{
	load_ledger_restart(l);
	for (unsigned i = 0; i < l->ds_count; i++)
		if (!fetch_ds(o, l, i, error))
			return false;
	load_ledger_judge(l, v);
	return true;
}

static void
wait_ms(int64_t ms)
{
	struct timespec t = { .tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

bool
load_compare(const struct load_options *o, struct load_ledger *l,
    struct load_verdict *v, char *error)
{
	int64_t end = clock_mono_ms() + (int64_t)(o->settle_seconds * 1000);
	int64_t wait = WAIT_MIN_MS;
	struct load_verdict before;
	unsigned same = 0;
	bool good;

	*v = (struct load_verdict){ 0 };
	good = look(o, l, v, error);
	while ((!good || v->lost > 0 || same < LOOKS_SAME) &&
	    clock_mono_ms() < end) {
		wait_ms(wait);
		wait = MIN_OF(wait * 2, WAIT_MAX_MS);
		before = *v;
		same = good ? same + 1 : 0;
		good = look(o, l, v, error);
		if (!good || memcmp(&before, v, sizeof before) != 0)
			same = 0;
	}
	return good;
}

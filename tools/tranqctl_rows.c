/*
 * tranqctl_rows - rows out of archive files, a task's share at a time
 *
 * Process: tranqctl.
 */
#include "tranqctl_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "panic.h"
#include "unzstd.h"

#define IN_BYTES (256u * KiB)
#define OUT_BYTES (1u * MiB)

struct reading {
	const char *path;
	int fd;
	struct unzstd zstd;
	struct inflate_piece piece;
	char *in, *out;
	uint64_t skip; /* bytes of the file's text still to be passed over */
	uint64_t most; /* bytes of rows wanted in all */
	size_t whole; /* bytes of the buffer that are whole rows */
	bool is_over; /* the frame has ended */
	char *error;
};

static bool
fail(struct reading *r, const char *why)
{
	snprintf(r->error, 512, "%s: %s", r->path, why);
	return false;
}

/* More input; false at an error. */
static bool
fill(struct reading *r)
{
	ssize_t n;

	if (r->piece.bytes > 0)
		return true;
	do
		n = read(r->fd, r->in, IN_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail(r, strerror(errno));
	if (n == 0)
		return fail(r, "it ends in the middle");
	r->piece.from = r->in;
	r->piece.bytes = (size_t)n;
	return true;
}

/* Takes what was decompressed; ends at the last whole row below `most`. */
static bool
take(struct reading *r, struct buf *to, size_t bytes)
{
	size_t passed = (size_t)MIN_OF(r->skip, bytes);
	const char *text = r->out + passed, *end;

	r->skip -= passed;
	bytes -= passed;
	while (bytes > 0 && (r->whole == 0 || r->whole < r->most) &&
	    (end = memchr(text, '\n', bytes)) != NULL) {
		size_t row = (size_t)(end + 1 - text);

		if (r->whole > 0 && to->used + row > r->most) {
			r->most = r->whole; /* full */
			break;
		}
		buf_add(to, text, row);
		r->whole = to->used;
		text += row;
		bytes -= row;
	}
	if (r->whole == 0 || r->whole < r->most)
		buf_add(to, text, bytes); /* a row's beginning */
	return !to->failed || fail(r, "no memory for its rows");
}

static bool
is_full(const struct reading *r)
{
	return r->whole > 0 && r->whole >= r->most;
}

static bool
step(struct reading *r, struct buf *to)
{
	r->piece.to = r->out;
	r->piece.room = OUT_BYTES;
	if (!fill(r))
		return false;
	switch (unzstd_step(&r->zstd, &r->piece)) {
	case INFLATE_STEP_OVER: r->is_over = true; break;
	case INFLATE_STEP_MORE: break;
	case INFLATE_STEP_MALFORMED: return fail(r, r->piece.reason);
	case INFLATE_STEP_NO_MEMORY: return fail(r, "no memory");
	}
	return take(r, to, OUT_BYTES - r->piece.room);
}

static bool
read_file(struct reading *r, struct buf *to)
{
	r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0)
		return fail(r, strerror(errno));
	if (!unzstd_begin_body(&r->zstd))
		return fail(r, "no memory");
	if (!fill(r))
		return false;
	if (unzstd_begin_frame(&r->piece) != INFLATE_STEP_MORE)
		return fail(r, r->piece.reason);
	while (!r->is_over && !is_full(r))
		if (!step(r, to))
			return false;
	return true;
}

bool
rows_read(struct buf *to, char *const *paths, size_t count,
    struct rows_place *at, uint64_t most, char error[static 512])
{
	struct reading r = { .most = most, .error = error };
	bool good = true;

	r.in = must_malloc(IN_BYTES);
	r.out = must_malloc(OUT_BYTES);
	while (good && at->file < count && !is_full(&r)) {
		size_t before = r.whole;

		r.path = paths[at->file];
		r.skip = at->offset;
		r.is_over = false;
		r.piece = (struct inflate_piece){ 0 };
		good = read_file(&r, to);
		if (r.fd >= 0)
			close(r.fd);
		/* what of a row was read beyond the last whole one */
		to->used = r.whole;
		at->offset += r.whole - before;
		if (good && r.is_over && !is_full(&r)) {
			at->file++;
			at->offset = 0;
		}
	}
	unzstd_fini(&r.zstd);
	free(r.in);
	free(r.out);
	return good;
}

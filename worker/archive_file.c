/*
 * archive_file - one file of the archive while it is written
 *
 * Process: worker.   Owns: zstd (compression).
 */
#include "archive_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <zstd.h>

#include "fault.h"
#include "panic.h"
#include "spool_dir.h"

#define LEVEL 3 /* 300 MB/s a core, a sixth to a tenth of the JSON is left */

struct archive_file {
	char *dir, *path, *open_path;
	int fd;
	ZSTD_CCtx *context;
	char *out;
	size_t out_size;
	uint64_t written;
};

void
archive_file_free(struct archive_file **file)
{
	struct archive_file *f = *file;

	if (f == NULL)
		return;
	*file = NULL;
	if (f->fd >= 0) {
		close(f->fd);
		unlink(f->open_path);
	}
	ZSTD_freeCCtx(f->context);
	free(f->out);
	free(f->dir);
	free(f->path);
	free(f->open_path);
	free(f);
}

struct archive_file *
archive_file_new(const char *dir, const char *name)
{
	struct archive_file *f = must_calloc(1, sizeof *f);
	int error;

	f->dir = must_strdup(dir);
	f->path = must_format("%s/%s", dir, name);
	f->open_path = must_format("%s/.%s.tmp", dir, name);
	f->fd =
	    open(f->open_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	f->context = f->fd >= 0 ? ZSTD_createCCtx() : NULL;
	if (f->context == NULL) {
		error = f->fd >= 0 ? ENOMEM : errno;
		archive_file_free(&f);
		errno = error;
		return NULL;
	}
	ZSTD_CCtx_setParameter(f->context, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(f->context, ZSTD_c_checksumFlag, 1);
	f->out_size = ZSTD_CStreamOutSize();
	f->out = must_malloc(f->out_size);
	FAULT_POINT(ARCHIVE_OPENED);
	return f;
}

static bool
write_all(struct archive_file *f, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t n = write(f->fd, bytes, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		count -= (size_t)n;
		f->written += (uint64_t)n;
	}
	return true;
}

/* Takes all of the input; at the end, brings out all that is left. */
static bool
compress(struct archive_file *f, ZSTD_inBuffer *in, ZSTD_EndDirective end)
{
	size_t left;

	do {
		ZSTD_outBuffer out = { f->out, f->out_size, 0 };

		left = ZSTD_compressStream2(f->context, &out, in, end);
		if (ZSTD_isError(left)) {
			errno = ENOMEM; /* nothing else can go wrong */
			return false;
		}
		if (!write_all(f, f->out, out.pos))
			return false;
	} while (end == ZSTD_e_end ? left > 0 : in->pos < in->size);
	return true;
}

bool
archive_file_add(struct archive_file *f, const char *bytes, size_t count)
{
	ZSTD_inBuffer in = { bytes, count, 0 };

	return compress(f, &in, ZSTD_e_continue);
}

static bool
seal(struct archive_file *f)
{
	ZSTD_inBuffer nothing = { NULL, 0, 0 };

	FAULT_POINT(ARCHIVE_FILLED);
	if (!compress(f, &nothing, ZSTD_e_end))
		return false;
	FAULT_POINT(ARCHIVE_SYNC);
	if (fsync(f->fd) != 0)
		return false;
	FAULT_POINT(ARCHIVE_SYNCED);
	if (rename(f->open_path, f->path) != 0)
		return false;
	FAULT_POINT(ARCHIVE_NAMED);
	close(f->fd);
	f->fd = -1;
	return spool_dir_sync(f->dir);
}

bool
archive_file_seal(struct archive_file **file, uint64_t *size)
{
	bool good = seal(*file);
	int error = errno;

	*size = (*file)->written;
	archive_file_free(file);
	errno = error;
	return good;
}

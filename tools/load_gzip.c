/*
 * load_gzip - gzip for the load generator: files in, bodies out
 *
 * Process: tranq-load.   Owns: zlib.
 */
#include "load_gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "panic.h"

#define PACK_LEVEL 1
#define WINDOW_BITS_GZIP (15 + 16)

static bool
read_lines(gzFile f, load_line_fn *line, void *context)
{
	char *text = must_malloc(LOAD_LINE_MAX + 2);
	size_t n;
	int failed;

	errno = 0;
	while (gzgets(f, text, (int)LOAD_LINE_MAX + 2) != NULL) {
		n = strlen(text);
		if (n > LOAD_LINE_MAX) {
			errno = EMSGSIZE;
			break;
		}
		while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
			text[--n] = '\0';
		if (n > 0)
			line(context, text, n);
	}
	free(text);
	gzerror(f, &failed);
	if (failed != Z_OK && failed != Z_STREAM_END && errno == 0)
		errno = EIO;
	return errno == 0;
}

bool
load_gzip_read(const char *file, load_line_fn *line, void *context)
{
	gzFile f = gzopen(file, "rb");
	bool good;

	if (f == NULL)
		return false;
	gzbuffer(f, 256 * KiB);
	good = read_lines(f, line, context);
	gzclose(f);
	return good;
}

size_t
load_gzip_bound(size_t bytes)
{
	return compressBound(bytes) + 64;
}

size_t
load_gzip_pack(const char *in, size_t in_bytes, char *out, size_t out_bytes)
{
	static z_stream z;
	static bool is_ready;

	if (!is_ready)
		must(deflateInit2(&z, PACK_LEVEL, Z_DEFLATED, WINDOW_BITS_GZIP,
			 8, Z_DEFAULT_STRATEGY) == Z_OK);
	else
		must(deflateReset(&z) == Z_OK);
	is_ready = true;
	z.next_in = (const Bytef *)(const void *)in;
	z.avail_in = (uInt)in_bytes;
	z.next_out = (Bytef *)out;
	z.avail_out = (uInt)out_bytes;
	must(deflate(&z, Z_FINISH) == Z_STREAM_END);
	return out_bytes - z.avail_out;
}

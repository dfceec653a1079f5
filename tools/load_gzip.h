/*
 * load_gzip - gzip for the load generator: files in, bodies out
 *
 * Process: tranq-load.   Owns: zlib; no other file of it includes it.
 */
#pragma once

#include "base.h"

/* Calls `line` for each line of a file, gzip or not, its end taken off; the
 * text may be changed. False: it cannot be read (errno), or a line is longer
 * than LOAD_LINE_MAX (EMSGSIZE). */
#define LOAD_LINE_MAX MiB
typedef void load_line_fn(void *context, char *line, size_t bytes);
bool
load_gzip_read(const char *file, load_line_fn *line, void *context) MUST_CHECK;

/* What `bytes` may become at most. */
size_t load_gzip_bound(size_t bytes);
/* One gzip member at `out`; the same bytes give the same member. */
size_t
load_gzip_pack(const char *in, size_t in_bytes, char *out, size_t out_bytes);

/*
 * record - what a run did to its files, in the order in which it did it
 *
 * Written by preload_record.c, read by spool_cuts.c. A header, and entries one
 * behind the other, each at a multiple of eight.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define RECORD_MAGIC UINT64_C(0x6472726563303031)
#define RECORD_BYTES_MAX ((size_t)1 << 30) /* of the file, mostly a hole */

enum record_kind {
	RECORD_NOTHING, /* being written */
	RECORD_OPEN, /* a path; file, flags */
	RECORD_WRITE, /* bytes at offset, as the call begins */
	RECORD_WRITTEN, /* that write (at offset) is durable: O_DSYNC */
	RECORD_TRUNCATE, /* to offset */
	RECORD_SYNC, /* file: it has returned */
	RECORD_SYNC_DIR, /* a path */
	RECORD_MKDIR, /* a path */
	RECORD_UNLINK, /* a path, also of a folder */
	RECORD_RENAME, /* two paths, a NUL between them */
	RECORD_ANSWER, /* 200 leaves; offset: the client's port */
	RECORD_MARK, /* the program's own; offset: a number */
};

struct record_head {
	uint64_t magic;
	_Atomic uint64_t used; /* bytes, with the header */
};

struct record_entry {
	_Atomic uint32_t kind;
	uint32_t file; /* the opening that it goes through */
	uint64_t offset, length; /* of the data behind it */
	uint32_t flags, unused;
};

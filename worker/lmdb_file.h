/*
 * lmdb_file - reads LMDB's data file without LMDB, and believes nothing in it
 *
 * Process: worker, tranqctl. Reads only.
 *
 * LMDB trusts its pages: one flipped bit makes it read behind a page, run in
 * circles or hand out pages that are in use. So whoever opens a spool looks
 * at the file with this first, and whoever rescues one uses nothing else. A
 * page that cannot be believed is reported and passed over.
 *
 * The format is that of LMDB 0.9 (mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta;
 * MDB_DATA_VERSION 1) as 64-bit little-endian machines write it.
 */
#pragma once

#include "base.h"
#include "buf.h"

#define LMDB_FILE_KEY_MAX 511
#define LMDB_FILE_WHAT_BYTES 160

struct lmdb_file;

struct lmdb_file_tree {
	uint64_t root; /* UINT64_MAX: empty */
	uint64_t entries, branch_pages, leaf_pages, overflow_pages;
	unsigned depth, flags;
	bool is_free_list; /* keys are numbers */
};

/* Valid until the function that was called with it returns. */
struct lmdb_file_record {
	const char *key, *value; /* value NULL: it is on pages of its own */
	size_t key_bytes, value_bytes;
	uint64_t page; /* where the value begins */
	bool is_tree; /* its value says where another tree is */
};

struct lmdb_file_about {
	uint64_t txn, pages; /* that it has in use */
	unsigned page_bytes;
	bool is_empty; /* no record, no tree */
	int error; /* errno of the first read that failed; 0: none has */
};

/* What a walk calls; each may be NULL. */
struct lmdb_file_visit {
	/* false: no more of them */
	bool (*record)(void *context, const struct lmdb_file_record *);
	void (*damage)(void *context, uint64_t page, const char *what);
	void *context;
};

/* Opens it and takes its newest state. NULL with a phrase (what is wrong with
 * the file as a whole) in `error`; errno is ENOENT when it is not there or
 * empty, EILSEQ when it is no file of LMDB on a machine like this one, EBADMSG
 * when it is damaged, or open's or read's. */
struct lmdb_file *
lmdb_file_open(const char *path, char *error, size_t error_bytes);
/* For a rescue: takes whichever meta page is one; NULL: neither is. */
struct lmdb_file *lmdb_file_open_damaged(const char *path);
void lmdb_file_close(struct lmdb_file **);
/* Takes the state of that transaction; false when it is not there (any more).
 * A caller that has it pinned in LMDB may read it while another process
 * writes. */
bool lmdb_file_take(struct lmdb_file *, uint64_t txn);
struct lmdb_file_about lmdb_file_about(const struct lmdb_file *);

/* Goes through all that makes up the state: meta pages, every tree's pages and
 * their order, the list of free pages; not the values on pages of their own.
 * true: LMDB may be let at it. */
bool lmdb_file_check(struct lmdb_file *, const struct lmdb_file_visit *);
/* A named tree. false when there is none of that name (that can be read). */
bool
lmdb_file_find(struct lmdb_file *, const char *name, struct lmdb_file_tree *);
/* The records of the tree of trees. As lmdb_file_walk. */
bool lmdb_file_walk_names(struct lmdb_file *, const struct lmdb_file_visit *);
/* Its records in the order of their keys, those at or behind `from` (NULL:
 * all). true: no damage was met. */
bool lmdb_file_walk(struct lmdb_file *, const struct lmdb_file_tree *,
    const struct lmdb_file_record *from, const struct lmdb_file_visit *);
/* Appends the record's value; false when it cannot be read. (Without memory the
 * process ends: that must not pass for damage.) */
bool lmdb_file_value(
    struct lmdb_file *, const struct lmdb_file_record *, struct buf *to);

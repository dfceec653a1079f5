/*
 * spool_compact - a spool's file written anew, as small as what is in it
 *
 * Process: tranqctl.
 */
#include "spool_compact.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lmdb.h>

#include "lmdb_file.h"
#include "log_layout.h"
#include "panic.h"
#include "spool_check.h"
#include "spool_dir.h"

#define COMMIT_BYTES (64u * MiB) /* of values, in one transaction */
#define MAP_EXTRA (256u * MiB)
#define NAMES_MAX 16
#define WHAT_BYTES 300

struct compaction {
	const char *dir;
	char *path, *new_path;
	struct lmdb_file *file;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi to;
	char names[NAMES_MAX][LMDB_FILE_KEY_MAX + 1];
	unsigned name_count;
	size_t in_txn;
	struct buf value;
	uint64_t records;
	int code; /* the first error */
	char what[WHAT_BYTES]; /* damage */
};

static void
take_damage(void *context, uint64_t page, const char *what)
{
	struct compaction *c = context;

	if (c->what[0] == '\0')
		snprintf(
		    c->what, sizeof c->what, "page %" PRIu64 " %s", page, what);
}

/* ---- writing ---- */

static MDB_val
val(const void *data, size_t bytes)
{
	union {
		const void *from;
		void *to;
	} u = { .from = data };

	return (MDB_val){ .mv_size = bytes, .mv_data = u.to };
}

/* What has been put becomes durable from time to time: a transaction's pages
 * are held in memory. */
static int
commit_some(struct compaction *c)
{
	int rc = mdb_txn_commit(c->txn);

	c->txn = NULL;
	c->in_txn = 0;
	return rc != 0 ? rc : mdb_txn_begin(c->env, NULL, 0, &c->txn);
}

static bool
copy_record(void *context, const struct lmdb_file_record *r)
{
	struct compaction *c = context;
	MDB_val k = val(r->key, r->key_bytes), v;

	/* it is another file now, and no copy of a state that was before */
	if (r->key_bytes == strlen(LOG_META_FILE) &&
	    memcmp(r->key, LOG_META_FILE, r->key_bytes) == 0)
		return true;
	buf_reset(&c->value);
	if (!lmdb_file_value(c->file, r, &c->value)) {
		take_damage(c, r->page, "cannot be read");
		return false;
	}
	v = val(c->value.bytes, c->value.used);
	c->code = mdb_put(c->txn, c->to, &k, &v, MDB_APPEND);
	c->records++;
	c->in_txn += k.mv_size + v.mv_size;
	if (c->code == 0 && c->in_txn >= COMMIT_BYTES)
		c->code = commit_some(c);
	return c->code == 0;
}

static bool
take_name(void *context, const struct lmdb_file_record *r)
{
	struct compaction *c = context;

	if (!r->is_tree || c->name_count == NAMES_MAX ||
	    !spool_check_name(r->key, r->key_bytes)) {
		take_damage(c, r->page, "names what no spool has");
		return false;
	}
	memcpy(c->names[c->name_count], r->key, r->key_bytes);
	c->names[c->name_count++][r->key_bytes] = '\0';
	return true;
}

static bool
copy_tree(struct compaction *c, const char *name)
{
	struct lmdb_file_visit v = { copy_record, take_damage, c };
	struct lmdb_file_tree tree;

	if (!lmdb_file_find(c->file, name, &tree)) {
		take_damage(c, 0, "or what is below it cannot be read");
		return false;
	}
	c->code = mdb_dbi_open(c->txn, name, MDB_CREATE, &c->to);
	return c->code == 0 && lmdb_file_walk(c->file, &tree, NULL, &v) &&
	    c->code == 0;
}

static bool
copy_all(struct compaction *c)
{
	struct lmdb_file_visit v = { take_name, take_damage, c };

	if (!lmdb_file_walk_names(c->file, &v) || c->what[0] != '\0')
		return false;
	for (unsigned i = 0; i < c->name_count; i++)
		if (!copy_tree(c, c->names[i]))
			return false;
	c->code = mdb_txn_commit(c->txn);
	c->txn = NULL;
	return c->code == 0;
}

static bool
open_new(struct compaction *c)
{
	struct lmdb_file_about about = lmdb_file_about(c->file);
	size_t map = (size_t)about.pages * about.page_bytes * 2 + MAP_EXTRA;

	if (unlink(c->new_path) != 0 && errno != ENOENT) {
		c->code = errno;
		return false;
	}
	if ((c->code = mdb_env_create(&c->env)) != 0)
		return false;
	mdb_env_set_maxdbs(c->env, NAMES_MAX);
	mdb_env_set_mapsize(c->env, map);
	/* nobody else knows the file: no lock */
	if ((c->code = mdb_env_open(
		 c->env, c->new_path, MDB_NOSUBDIR | MDB_NOLOCK, 0600)) == 0)
		c->code = mdb_txn_begin(c->env, NULL, 0, &c->txn);
	return c->code == 0;
}

/* ---- the step from the old one to the new one ---- */

/* LMDB's lock file remembers transactions of the old one. */
static bool
publish(struct compaction *c, struct spool_compacted *result)
{
	char *lock = must_format("%s/lock.mdb", c->dir);
	int fd = open(c->new_path, O_RDWR | O_CLOEXEC);
	struct stat old, fresh;
	bool good;

	good = fd >= 0 && stat(c->path, &old) == 0 && fstat(fd, &fresh) == 0 &&
	    ((old.st_uid == fresh.st_uid && old.st_gid == fresh.st_gid) ||
		fchown(fd, old.st_uid, old.st_gid) == 0) &&
	    fchmod(fd, old.st_mode & 0777) == 0 && fsync(fd) == 0 &&
	    (unlink(lock) == 0 || errno == ENOENT) &&
	    rename(c->new_path, c->path) == 0 && spool_dir_sync(c->dir);
	c->code = good ? 0 : errno;
	if (good) {
		result->before_bytes = (uint64_t)old.st_size;
		result->after_bytes = (uint64_t)fresh.st_size;
	}
	if (fd >= 0)
		close(fd);
	free(lock);
	return good;
}

static void
explain(const struct compaction *c, char *error, size_t bytes)
{
	if (c->what[0] != '\0')
		snprintf(error, bytes,
		    "spool %s: it is damaged: %s; `tranqctl spool verify` says "
		    "more, `tranqctl spool export` brings out what can be "
		    "read",
		    c->dir, c->what);
	else
		snprintf(error, bytes, "spool %s: cannot be written anew: %s",
		    c->dir, mdb_strerror(c->code));
}

static bool
compact(struct compaction *c, struct spool_compacted *result)
{
	bool good = open_new(c) && copy_all(c);

	if (c->txn != NULL)
		mdb_txn_abort(c->txn);
	if (c->env != NULL)
		mdb_env_close(c->env);
	good = good && publish(c, result);
	if (!good)
		unlink(c->new_path);
	result->records = c->records;
	return good;
}

bool
spool_compact(
    const char *dir, struct spool_compacted *result, char *error, size_t bytes)
{
	struct compaction *c;
	char what[WHAT_BYTES];
	bool good = false;
	int lock_fd = spool_dir_lock(dir, 0);

	if (lock_fd < 0) {
		snprintf(error, bytes, "spool %s: %s", dir,
		    errno == EWOULDBLOCK ? "a worker runs on it; stop tranqd "
					   "first"
					 : strerror(errno));
		return false;
	}
	c = must_calloc(1, sizeof *c);
	c->dir = dir;
	c->path = must_format("%s/data.mdb", dir);
	c->new_path = must_format("%s/data.mdb.new", dir);
	buf_init(&c->value, SIZE_MAX);
	c->file = lmdb_file_open(c->path, what, sizeof what);
	if (c->file == NULL)
		snprintf(error, bytes, "spool %s: %s", dir, what);
	else if (!(good = compact(c, result)))
		explain(c, error, bytes);
	lmdb_file_close(&c->file);
	buf_free(&c->value);
	free(c->path);
	free(c->new_path);
	free(c);
	close(lock_fd);
	return good;
}

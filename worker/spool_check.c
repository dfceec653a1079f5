/*
 * spool_check - whether LMDB may be let at a spool's file
 *
 * Process: worker.
 */
#include "spool_check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lmdb_file.h"
#include "panic.h"

struct first_damage {
	char *to;
	size_t bytes;
	uint64_t count;
};

static void
take_damage(void *context, uint64_t page, const char *what)
{
	struct first_damage *d = context;

	if (d->count++ == 0)
		snprintf(d->to, d->bytes, "data.mdb: page %" PRIu64 " %s", page,
		    what);
}

bool
spool_check_name(const char *name, size_t bytes)
{
	static const char *const names[] = { "batch", "queue", "dead",
		"progress", "meta", "copy", "log", "keys", "keytime" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (bytes == strlen(names[i]) &&
		    memcmp(name, names[i], bytes) == 0)
			return true;
	return false;
}

/* Under another name a new one would be made beside it, empty. */
static bool
check_name(void *context, const struct lmdb_file_record *r)
{
	if (!spool_check_name(r->key, r->key_bytes))
		take_damage(context, r->page, "names what no spool has");
	return true;
}

static enum spool_file
check_open(struct lmdb_file *f, char *error, size_t bytes)
{
	struct first_damage damage = { .to = error, .bytes = bytes };
	struct lmdb_file_visit v = { NULL, take_damage, &damage };
	struct lmdb_file_visit names = { check_name, NULL, &damage };
	struct lmdb_file_tree meta;

	if (!lmdb_file_check(f, &v)) {
		errno = lmdb_file_about(f).error;
		return errno != 0 ? SPOOL_FILE_CLOSED : SPOOL_FILE_DAMAGED;
	}
	/* one that is whole and has nothing in it is one that is begun */
	if (lmdb_file_about(f).is_empty)
		return SPOOL_FILE_GOOD;
	lmdb_file_walk_names(f, &names);
	if (lmdb_file_find(f, "meta", &meta))
		return damage.count == 0 ? SPOOL_FILE_GOOD : SPOOL_FILE_DAMAGED;
	snprintf(error, bytes, "data.mdb is another program's");
	return SPOOL_FILE_FOREIGN;
}

enum spool_file
spool_check(const char *dir, char *error, size_t bytes)
{
	char *path = must_format("%s/data.mdb", dir);
	struct lmdb_file *f;
	enum spool_file found;
	int code;

	f = lmdb_file_open(path, error, bytes);
	if (f != NULL)
		found = check_open(f, error, bytes);
	else if (errno == ENOENT)
		found = SPOOL_FILE_NONE;
	else if (errno == EILSEQ)
		found = SPOOL_FILE_FOREIGN;
	else if (errno == EBADMSG)
		found = SPOOL_FILE_DAMAGED;
	else
		found = SPOOL_FILE_CLOSED;
	code = errno;
	lmdb_file_close(&f);
	free(path);
	errno = code;
	return found;
}

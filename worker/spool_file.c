/*
 * spool_file - a spool's data.mdb: looked at, or made, before it is opened
 *
 * Process: worker.
 */
#include "spool_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <lmdb.h>

#include "fault.h"
#include "panic.h"
#include "spool_check.h"
#include "spool_dir.h"

#define WHAT_BYTES 200
#define DATABASES_MAX 8

/* An environment with nothing in it but an empty "meta". Nobody else knows it,
 * so no lock. */
static int
write_fresh(MDB_env *env, const char *path)
{
	MDB_txn *txn;
	MDB_dbi meta;
	int rc;

	mdb_env_set_maxdbs(env, DATABASES_MAX);
	if ((rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, 0600)) !=
		0 ||
	    (rc = mdb_txn_begin(env, NULL, 0, &txn)) != 0)
		return rc;
	if ((rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &meta)) == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

/* It takes its name when it is whole: LMDB does not open one whose first pages
 * a power cut has torn. */
static int
make(const char *dir)
{
	char *path = must_format("%s/data.mdb", dir);
	char *fresh = must_format("%s.new", path);
	MDB_env *env = NULL;
	int rc = 0;

	if (unlink(fresh) != 0 && errno != ENOENT)
		rc = errno;
	if (rc == 0 && (rc = mdb_env_create(&env)) == 0)
		rc = write_fresh(env, fresh);
	if (env != NULL)
		mdb_env_close(env);
	FAULT_POINT(SPOOL_FRESH);
	if (rc == 0 && (rename(fresh, path) != 0 || !spool_dir_sync(dir)))
		rc = errno;
	free(path);
	free(fresh);
	return rc;
}

static void
explain(enum spool_file found, const char *dir, const char *ds,
    const char *what, char *error, size_t bytes)
{
	if (found == SPOOL_FILE_FOREIGN)
		snprintf(error, bytes,
		    "spool %s: %s: it is not a spool of this program, or "
		    "`tranqctl spool verify %s` says more; move the directory "
		    "away to begin anew",
		    dir, what, ds);
	else
		snprintf(error, bytes,
		    "spool %s is damaged: %s; run `tranqctl spool verify %s`, "
		    "bring out what can be read with `tranqctl spool export`, "
		    "then move the directory away to begin anew",
		    dir, what, ds);
}

bool
spool_file_ready(const char *dir, const char *ds, bool may_make, int *code,
    char *error, size_t bytes)
{
	char what[WHAT_BYTES] = "";
	enum spool_file found = spool_check(dir, what, sizeof what);

	*code = 0;
	switch (found) {
	case SPOOL_FILE_GOOD: return true;
	case SPOOL_FILE_NONE:
		*code = may_make ? make(dir) : ENOENT;
		return *code == 0;
	case SPOOL_FILE_CLOSED: *code = errno; return false;
	case SPOOL_FILE_FOREIGN:
	case SPOOL_FILE_DAMAGED: break;
	}
	explain(found, dir, ds, what, error, bytes);
	return false;
}

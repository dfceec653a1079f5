/*
 * spool_view - a spool to look into, whoever owns it
 *
 * Process: tranqctl.
 */
#include "spool_view.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "panic.h"
#include "spool_internal.h"

static int
open_tables(struct spool *s)
{
	struct {
		const char *name;
		MDB_dbi *to;
	} all[] = { { "batch", &s->batch }, { "dead", &s->dead },
		{ "progress", &s->progress } };
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if ((rc = mdb_dbi_open(txn, all[i].name, 0, all[i].to)) != 0) {
			mdb_txn_abort(txn);
			return rc == MDB_NOTFOUND ? MDB_INVALID : rc;
		}
	/* so that the tables stay open */
	if ((rc = mdb_txn_commit(txn)) != 0 ||
	    (rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->read)) != 0)
		return rc;
	mdb_txn_reset(s->read);
	return 0;
}

static int
open_to_read(struct spool *s)
{
	int rc;

	if ((rc = mdb_env_create(&s->env)) != 0)
		return rc;
	mdb_env_set_maxdbs(s->env, SPOOL_DATABASES_MAX);
	rc = mdb_env_open(s->env, s->dir, MDB_RDONLY | MDB_NOTLS, 0640);
	return rc != 0 ? rc : open_tables(s);
}

struct spool *
spool_view(const char *dir, char *error, size_t bytes)
{
	struct spool *s = must_calloc(1, sizeof *s);
	char *file = must_format("%s/data.mdb", dir);
	int rc = access(file, F_OK) == 0 ? 0 : errno;

	free(file);
	s->dir = must_strdup(dir);
	s->lock_fd = -1;
	if (rc == 0)
		rc = open_to_read(s);
	if (rc == 0)
		return s;
	error[0] = '\0';
	if (rc != ENOENT)
		snprintf(error, bytes,
		    "spool %s: cannot be read: %s; `tranqctl spool verify` "
		    "looks closer",
		    dir, mdb_strerror(rc));
	spool_close(&s);
	return NULL;
}

/*
 * spool_pin - keeps a running worker's pages in place while they are read
 *
 * Process: tranqctl.   Owns: a reader's place in LMDB's lock file.
 */
#include "spool_pin.h"

#include <stdio.h>
#include <stdlib.h>

#include <lmdb.h>

#include "panic.h"

struct spool_pin {
	MDB_env *env;
	MDB_txn *txn;
	bool is_held;
};

struct spool_pin *
spool_pin_open(const char *dir, char *error, size_t bytes)
{
	struct spool_pin *p = must_calloc(1, sizeof *p);
	int rc = mdb_env_create(&p->env);

	if (rc == 0)
		rc = mdb_env_open(p->env, dir, MDB_RDONLY | MDB_NOTLS, 0600);
	if (rc == 0)
		rc = mdb_txn_begin(p->env, NULL, MDB_RDONLY, &p->txn);
	if (rc == 0) {
		mdb_txn_reset(p->txn);
		return p;
	}
	snprintf(error, bytes,
	    "spool %s: its worker runs, and lock.mdb, which it shares, cannot "
	    "be used: %s; run this as tranqd.user, or stop tranqd first",
	    dir, mdb_strerror(rc));
	spool_pin_close(&p);
	return NULL;
}

void
spool_pin_close(struct spool_pin **pin)
{
	struct spool_pin *p = *pin;

	if (p == NULL)
		return;
	*pin = NULL;
	if (p->txn != NULL)
		mdb_txn_abort(p->txn);
	if (p->env != NULL)
		mdb_env_close(p->env);
	free(p);
}

bool
spool_pin_take(struct spool_pin *p, uint64_t *txn)
{
	must(!p->is_held);
	if (mdb_txn_renew(p->txn) != 0)
		return false;
	p->is_held = true;
	*txn = mdb_txn_id(p->txn);
	return true;
}

void
spool_pin_drop(struct spool_pin *p)
{
	if (p->is_held)
		mdb_txn_reset(p->txn);
	p->is_held = false;
}

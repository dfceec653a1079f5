/*
 * zk_code - what the library's codes mean, for a caller and for an operator
 *
 * Process: worker. Part of zk.c's adapter.
 */
#include "zk_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zookeeper/zookeeper.h>

#include "log.h"
#include "panic.h"

#define COMPLAIN_MS 60000

static enum result
result_of(int code)
{
	switch (code) {
	case ZOK: return RESULT_OK;
	case ZNONODE: return RESULT_GONE;
	case ZNODEEXISTS:
	case ZBADVERSION:
	case ZNOAUTH:
	case ZINVALIDACL:
	case ZAUTHFAILED:
	case ZBADARGUMENTS:
	case ZMARSHALLINGERROR:
	case ZNOTEMPTY:
	case ZNOCHILDRENFOREPHEMERALS:
	case ZUNIMPLEMENTED: return RESULT_REFUSED;
	default: return RESULT_RETRY;
	}
}

static enum zk_refusal
refusal_of(int code)
{
	switch (code) {
	case ZNODEEXISTS: return ZK_REFUSED_EXISTS;
	case ZBADVERSION: return ZK_REFUSED_VERSION;
	case ZNOAUTH:
	case ZINVALIDACL:
	case ZAUTHFAILED: return ZK_REFUSED_DENIED;
	default: return ZK_REFUSED_OTHER;
	}
}

void
zk_trouble_meet(struct zk *z, const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(z->trouble, sizeof z->trouble, format, args);
	va_end(args);
	free(z->trouble_path);
	z->trouble_path = path != NULL ? must_strdup(path) : NULL;
	if (log_may_repeat(&z->complained_trouble_ms, COMPLAIN_MS))
		log_warnx("ZooKeeper %s: %s", z->connect, z->trouble);
}

void
zk_trouble_forget(struct zk *z)
{
	z->trouble[0] = '\0';
	free(z->trouble_path);
	z->trouble_path = NULL;
}

static void
look_for_folder(struct zk_call *c)
{
	struct zk *z = c->zk;

	if (c->kind == ZK_CALL_CREATE && c->tries > 0 && z->folder[0] != '\0')
		zk_trouble_meet(z, c->path,
		    "cannot create %s: the folder %s of zookeeper.connect "
		    "does not exist; create it, or take it out of "
		    "zookeeper.connect",
		    c->path, z->folder);
}

static const char denied[] =
    "access is denied; look at zookeeper.auth.scheme and "
    "zookeeper.auth.credentials, and at the node's ACL";

const char *
zk_trouble(const struct zk *z)
{
	return z->trouble;
}

void
zk_code_finish(struct zk_call *c, int code)
{
	c->result = result_of(code);
	c->refusal = refusal_of(code);
	c->text = zerror(code);
	c->sets_watch =
	    code == ZOK || (code == ZNONODE && c->kind == ZK_CALL_EXISTS);
	if (code == ZNONODE)
		look_for_folder(c);
	if (code == ZNOAUTH) {
		c->text = denied;
		zk_trouble_meet(c->zk, c->path, "%s: %s", c->path, denied);
	}
	/* a mutex's nodes have another name each time */
	if (code == ZOK && c->zk->trouble_path != NULL &&
	    (c->kind == ZK_CALL_CREATE ||
		strcmp(c->path, c->zk->trouble_path) == 0))
		zk_trouble_forget(c->zk);
	zk_call_finish(c);
}

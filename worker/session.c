/*
 * session - the worker's ZooKeeper session, and its predecessor's
 *
 * Process: worker.
 */
#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "panic.h"

#define DOCUMENT "zookeeper-session"
#define HEX_DIGITS 16
#define TEXT_BYTES (HEX_DIGITS + 2 * ZK_PASSWORD_BYTES + 2)

struct session {
	struct zk *zk;
	struct spool *spool;
	struct zk_listener listener;
	uint64_t noted; /* number of the session that the spool knows */
};

/* "ID PASSWORD", both in hexadecimal. */
static void
print_identity(const struct zk_identity *id, char to[static TEXT_BYTES])
{
	int n = snprintf(to, TEXT_BYTES, "%0*" PRIx64 " ", HEX_DIGITS, id->id);

	for (size_t i = 0; i < sizeof id->password; i++)
		n += snprintf(
		    to + n, TEXT_BYTES - (size_t)n, "%02x", id->password[i]);
	must(n == TEXT_BYTES - 1);
}

static bool
read_identity(const char *text, struct zk_identity *id)
{
	unsigned byte;

	if (strlen(text) != TEXT_BYTES - 1 ||
	    sscanf(text, "%16" SCNx64, &id->id) != 1)
		return false;
	text += HEX_DIGITS + 1;
	for (size_t i = 0; i < sizeof id->password; i++, text += 2) {
		if (sscanf(text, "%2x", &byte) != 1)
			return false;
		id->password[i] = (unsigned char)byte;
	}
	return id->id != 0;
}

static bool
find_predecessor(struct spool *spool, struct zk_identity *id)
{
	char *text = spool_document(spool, DOCUMENT);
	bool found = text != NULL && read_identity(text, id);

	free(text);
	return found;
}

/* A failure costs a successor the session timeout, no more. */
static void
note(struct session *s, const struct zk_identity *id)
{
	char text[TEXT_BYTES], error[400];

	if (spool_failed(s->spool))
		return;
	print_identity(id, text);
	spool_begin(s->spool);
	spool_set_document(s->spool, DOCUMENT, text, strlen(text));
	if (spool_commit(s->spool, error, sizeof error) != RESULT_OK)
		log_error("%s", error);
}

static void
changed(struct zk_listener *l, enum zk_state state)
{
	struct session *s = l->context;
	struct zk_identity id;

	if (state != ZK_CONNECTED || zk_session(s->zk) == s->noted ||
	    !zk_identity(s->zk, &id))
		return;
	s->noted = zk_session(s->zk);
	note(s, &id);
}

struct session *
session_new(struct loop *loop, struct spool *spool, const struct ds_conf *ds)
{
	struct session *s = must_calloc(1, sizeof *s);
	struct zk_identity dead;
	bool found = find_predecessor(spool, &dead);
	struct zk_options options = { .connect = ds->zookeeper_connect,
		.timeout_ms = ds->zookeeper_timeout_ms,
		.scheme = ds->zookeeper_auth_scheme,
		.credentials = ds->zookeeper_auth_credentials };

	s->spool = spool;
	options.dead = found ? &dead : NULL;
	s->zk = zk_open_with(loop, &options);
	if (s->zk == NULL) {
		free(s);
		return NULL;
	}
	s->listener.changed = changed;
	s->listener.context = s;
	zk_listen(s->zk, &s->listener);
	return s;
}

void
session_free(struct session **session)
{
	struct session *s = *session;

	if (s == NULL)
		return;
	*session = NULL;
	zk_close(&s->zk);
	free(s);
}

struct zk *
session_zk(const struct session *s)
{
	return s->zk;
}

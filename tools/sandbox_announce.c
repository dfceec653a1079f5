/*
 * sandbox_announce - the sandbox in Curator's service discovery
 *
 * Process: tranq-sandbox.
 *
 * Each service has one ephemeral node. What is wanted and what is there are
 * apart: one call at a time brings them together, whatever the session does.
 */
#include "sandbox_announce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "buf.h"
#include "clock.h"
#include "json.h"
#include "log.h"
#include "panic.h"
#include "zk.h"

#define SESSION_MS 10000
#define RETRY_MS 500
#define UUID_BYTES 37
#define NODE_BYTES 4096

struct entry {
	struct entry *next, *previous;
	struct announce *announce;
	char *service, *path;
	char uuid[UUID_BYTES];
	unsigned port;
	bool is_wanted, is_there, is_stale; /* a node of another session */
	struct zk_call *call;
};

struct announce {
	struct loop *loop;
	struct announce_options options;
	struct zk *zk;
	struct zk_listener listener;
	uint64_t session;
	struct loop_timer retry_timer;
	struct entry entries; /* head of the ring */
};

static void step(struct entry *);

static void
make_uuid(char out[static UUID_BYTES])
{
	unsigned char b[16];

	must(getrandom(b, sizeof b, 0) == (ssize_t)sizeof b);
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(out, UUID_BYTES,
	    "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x%02x%02x%02x%02x",
	    b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
	    b[11], b[12], b[13], b[14], b[15]);
}

static void
free_entry(struct entry *e)
{
	e->previous->next = e->next;
	e->next->previous = e->previous;
	free(e->service);
	free(e->path);
	free(e);
}

/* Members in the order of Curator's serializer. */
static void
compose(const struct entry *e, struct buf *to)
{
	struct json *j = json_new_object();

	json_set_text(j, "name", e->service);
	json_set_text(j, "id", e->uuid);
	json_set_text(j, "address", e->announce->options.address);
	if (e->announce->options.tls_port != 0)
		json_set(j, "port", json_new_null());
	else
		json_set_int(j, "port", e->port);
	if (e->announce->options.tls_port != 0)
		json_set_int(j, "sslPort", e->announce->options.tls_port);
	else if (e->announce->options.has_tls_field)
		json_set_int(j, "sslPort", -1);
	else
		json_set(j, "sslPort", json_new_null());
	json_set(j, "payload", json_new_null());
	json_set_int(j, "registrationTimeUTC", clock_wall_ms());
	json_set_text(j, "serviceType", "DYNAMIC");
	json_set(j, "uriSpec", json_new_null());
	json_print(j, to);
	json_free(&j);
}

static void
retry_due(struct loop_timer *timer)
{
	struct announce *a = timer->context;

	for (struct entry *e = a->entries.next, *next; e != &a->entries;
	     e = next) {
		next = e->next;
		step(e);
	}
}

static void
retry_later(struct announce *a)
{
	if (!loop_timer_active(&a->retry_timer))
		loop_timer_start(a->loop, &a->retry_timer, RETRY_MS, retry_due);
}

static void
created(void *context, const struct zk_answer *answer)
{
	struct entry *e = context;

	e->call = NULL;
	if (answer->result == RESULT_OK) {
		e->is_there = true;
		step(e);
		return;
	}
	if (answer->result == RESULT_REFUSED &&
	    answer->refusal == ZK_REFUSED_EXISTS) {
		e->is_stale = true;
		step(e);
		return;
	}
	if (answer->result == RESULT_REFUSED)
		log_warnx("ZooKeeper: %s: %s", e->path, answer->text);
	retry_later(e->announce);
}

static void
deleted(void *context, const struct zk_answer *answer)
{
	struct entry *e = context;

	e->call = NULL;
	if (answer->result == RESULT_OK || answer->result == RESULT_GONE) {
		e->is_there = e->is_stale = false;
		step(e);
		return;
	}
	retry_later(e->announce);
}

static void
create(struct entry *e)
{
	struct zk_node node = { .path = e->path,
		.flags = ZK_EPHEMERAL | ZK_PARENTS };
	struct buf b;

	buf_init(&b, NODE_BYTES);
	compose(e, &b);
	node.bytes = b.bytes;
	node.byte_count = b.used;
	e->call = zk_create(e->announce->zk, &node, created, e);
	buf_free(&b);
}

static void
step(struct entry *e)
{
	if (e->call != NULL || !zk_is_connected(e->announce->zk))
		return;
	if (e->is_stale || (e->is_there && !e->is_wanted))
		e->call = zk_delete(e->announce->zk, e->path, -1, deleted, e);
	else if (e->is_wanted && !e->is_there)
		create(e);
	else if (!e->is_wanted)
		free_entry(e);
}

static void
session_changed(struct zk_listener *l, enum zk_state state)
{
	struct announce *a = l->context;
	uint64_t session = zk_session(a->zk);

	if (state != ZK_CONNECTED)
		return;
	for (struct entry *e = a->entries.next, *next; e != &a->entries;
	     e = next) {
		next = e->next;
		if (session != a->session)
			e->is_there = false;
		step(e);
	}
	a->session = session;
}

static void
add(struct announce *a, const char *service, unsigned port)
{
	struct entry *e = must_calloc(1, sizeof *e);

	e->announce = a;
	e->service = must_strdup(service);
	for (char *at = e->service; *at != '\0'; at++)
		if (*at == '/')
			*at = ':';
	make_uuid(e->uuid);
	e->path =
	    must_format("%s/%s/%s", a->options.discovery, e->service, e->uuid);
	e->port = port;
	e->is_wanted = true;
	e->next = &a->entries;
	e->previous = a->entries.previous;
	e->next->previous = e->previous->next = e;
	step(e);
}

struct announce *
sandbox_announce_new(struct loop *loop, const struct announce_options *options)
{
	struct announce *a = must_calloc(1, sizeof *a);

	a->loop = loop;
	a->options = *options;
	a->entries.next = a->entries.previous = &a->entries;
	a->retry_timer.context = a;
	a->listener.changed = session_changed;
	a->listener.context = a;
	a->zk = zk_open(loop, options->connect, SESSION_MS);
	if (a->zk == NULL) {
		free(a);
		return NULL;
	}
	zk_listen(a->zk, &a->listener);
	return a;
}

void
sandbox_announce_free(struct announce **announce)
{
	struct announce *a = *announce;

	if (a == NULL)
		return;
	*announce = NULL;
	zk_close(&a->zk);
	loop_timer_stop(&a->retry_timer);
	while (a->entries.next != &a->entries)
		free_entry(a->entries.next);
	free(a);
}

void
sandbox_announce_overlord(
    struct announce *a, const char *service, unsigned port)
{
	if (a != NULL)
		add(a, service, port);
}

void
sandbox_announce_firehose(struct announce *a, const char *service)
{
	if (a != NULL)
		add(a, service, a->options.task_port);
}

void
sandbox_announce_withdraw(struct announce *a, const char *service)
{
	if (a == NULL)
		return;
	for (struct entry *e = a->entries.next; e != &a->entries; e = e->next) {
		if (!e->is_wanted || strcmp(e->service, service) != 0)
			continue;
		e->is_wanted = false;
		step(e);
		return;
	}
}

bool
sandbox_announce_is_connected(const struct announce *a)
{
	return a != NULL && zk_is_connected(a->zk);
}

/*
 * curator_mutex - Curator's InterProcessSemaphoreMutex, shared with JVMs
 *
 * Process: worker.
 *
 * An attempt goes through the steps below, and starts anew when a node of its
 * own is gone. Every step may end with "not now"; whether a node was created
 * is then found out by its random name (Curator calls that protection).
 *
 * A node that is left behind would block all instances for as long as our
 * session lives, so removing one is never given up before the session is.
 */
#include "curator_mutex.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"
#include "loop.h"
#include "panic.h"

#define RETRY_MS 100 /* between tries of a step; half of it drawn */
#define NAME_BYTES 64
#define ERROR_MS 60000

enum step {
	STEP_IDLE,
	STEP_LOCK_CREATE,
	STEP_LOCK_FIND, /* was it created? */
	STEP_LOCK_WAIT, /* until it is the lowest */
	STEP_LEASE_CREATE,
	STEP_LEASE_FIND,
	STEP_LEASE_WAIT, /* until it is the only one */
	STEP_HELD,
};

/* One of the two nodes of an attempt. */
struct node {
	const char *folder; /* borrowed */
	char name[NAME_BYTES]; /* _c_{uuid}-lock- , without its number */
	char *path; /* with its number, when that is known */
};

/* A node on its way out; its path may not be known. */
struct leftover {
	struct curator_mutex *mutex;
	struct leftover *next;
	struct node node;
	struct zk_call *call;
	struct loop_timer timer;
};

struct curator_mutex {
	struct zk *zk;
	struct loop *loop;
	char *path, *locks, *leases;
	curator_mutex_lost_fn *lost;
	curator_mutex_acquired_fn *acquired;
	void *context;
	enum step step;
	struct node lock, lease;
	struct zk_call *call;
	struct zk_watch watch;
	struct zk_listener listener;
	struct loop_timer retry_timer, wait_timer;
	struct leftover *leftovers;
	int64_t complained_ms;
};

static void run_step(struct curator_mutex *);

/* ---- nodes ---------------------------------------------------------------- */

static void
fill_random(void *to, size_t bytes)
{
	if (getrandom(to, bytes, 0) != (ssize_t)bytes)
		fatal("getrandom");
}

static int64_t
retry_delay_ms(void)
{
	unsigned r;

	fill_random(&r, sizeof r);
	return RETRY_MS / 2 + r % (RETRY_MS / 2 + 1);
}

static void
node_name(struct node *n, const char *base)
{
	uint8_t u[16];

	fill_random(u, sizeof u);
	u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);
	u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
	snprintf(n->name, sizeof n->name,
	    "_c_%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x%02x%02x%02x%02x-%s-",
	    u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10],
	    u[11], u[12], u[13], u[14], u[15], base);
}

static bool
node_exists(const struct node *n)
{
	return n->name[0] != '\0';
}

static void
node_forget(struct node *n)
{
	n->name[0] = '\0';
	free(n->path);
	n->path = NULL;
}

static const char *
node_full_name(const struct node *n)
{
	return strrchr(n->path, '/') + 1;
}

/* By its name, among the children of its folder: true when it is there. */
static bool
node_found(struct node *n, const struct zk_answer *a)
{
	for (size_t i = 0; i < a->name_count; i++)
		if (strncmp(a->names[i], n->name, strlen(n->name)) == 0) {
			free(n->path);
			n->path = must_format("%s/%s", n->folder, a->names[i]);
			return true;
		}
	return false;
}

static struct zk_call *
node_create(struct curator_mutex *m, struct node *n, zk_done_fn *done)
{
	char *path = must_format("%s/%s", n->folder, n->name);
	struct zk_node z = {
		.path = path,
		.flags = ZK_EPHEMERAL | ZK_SEQUENTIAL | ZK_PARENTS,
	};
	struct zk_call *c = zk_create(m->zk, &z, done, m);

	free(path);
	return c;
}

/* ---- leftovers ------------------------------------------------------------ */

static void leftover_try(struct leftover *);

static void
leftover_end(struct leftover *o)
{
	struct leftover **p = &o->mutex->leftovers;

	while (*p != o)
		p = &(*p)->next;
	*p = o->next;
	zk_cancel(&o->call);
	loop_timer_stop(&o->timer);
	node_forget(&o->node);
	free(o);
}

static void
leftover_due(struct loop_timer *t)
{
	leftover_try(t->context);
}

/* True when there is nothing more to do for now. */
static bool
leftover_settled(struct leftover *o, const struct zk_answer *a)
{
	if (a->result == RESULT_OK)
		return false;
	if (a->result == RESULT_RETRY)
		loop_timer_start(
		    o->mutex->loop, &o->timer, retry_delay_ms(), leftover_due);
	else {
		if (a->result == RESULT_REFUSED)
			log_warnx("ZooKeeper: cannot remove %s of the mutex "
				  "%s: %s",
			    o->node.name, o->mutex->path, a->text);
		leftover_end(o);
	}
	return true;
}

static void
leftover_deleted(void *context, const struct zk_answer *a)
{
	struct leftover *o = context;

	o->call = NULL;
	if (!leftover_settled(o, a))
		leftover_end(o);
}

static void
leftover_listed(void *context, const struct zk_answer *a)
{
	struct leftover *o = context;

	o->call = NULL;
	if (leftover_settled(o, a))
		return;
	if (node_found(&o->node, a))
		leftover_try(o);
	else
		leftover_end(o);
}

/* Without the sync, a server that is behind could deny a node that the one
 * before it has made. */
static void
leftover_synced(void *context, const struct zk_answer *a)
{
	struct leftover *o = context;

	o->call = NULL;
	if (!leftover_settled(o, a))
		o->call = zk_children(
		    o->mutex->zk, o->node.folder, NULL, leftover_listed, o);
}

static void
leftover_try(struct leftover *o)
{
	struct zk *zk = o->mutex->zk;

	o->call = o->node.path != NULL
	    ? zk_delete(zk, o->node.path, -1, leftover_deleted, o)
	    : zk_sync(zk, o->node.folder, leftover_synced, o);
}

/* Takes the node over. */
static void
node_remove(struct curator_mutex *m, struct node *n)
{
	struct leftover *o;

	if (!node_exists(n))
		return;
	o = must_calloc(1, sizeof *o);
	o->mutex = m;
	o->node = *n;
	o->timer.context = o;
	o->next = m->leftovers;
	m->leftovers = o;
	n->path = NULL;
	node_forget(n);
	leftover_try(o);
}

/* ---- the steps ------------------------------------------------------------ */

static void
end_step(struct curator_mutex *m)
{
	zk_cancel(&m->call);
	zk_watch_stop(&m->watch);
	loop_timer_stop(&m->retry_timer);
}

static void
go(struct curator_mutex *m, enum step step)
{
	end_step(m);
	m->step = step;
	run_step(m);
}

static void
start_anew(struct curator_mutex *m)
{
	node_remove(m, &m->lock);
	node_remove(m, &m->lease);
	go(m, STEP_LOCK_CREATE);
}

static void
give_up(struct curator_mutex *m, enum result result)
{
	curator_mutex_release(m);
	m->acquired(m->context, result);
}

static void
retry_due(struct loop_timer *t)
{
	run_step(t->context);
}

static void
retry_later(struct curator_mutex *m)
{
	loop_timer_start(m->loop, &m->retry_timer, retry_delay_ms(), retry_due);
}

/* True when the step cannot go on with this answer. A node or folder that is
 * gone is the step's own matter. */
static bool
step_failed(struct curator_mutex *m, const struct zk_answer *a)
{
	if (a->result == RESULT_RETRY || a->result == RESULT_FULL) {
		retry_later(m);
		return true;
	}
	if (a->result != RESULT_REFUSED)
		return false;
	if (log_may_repeat(&m->complained_ms, ERROR_MS))
		log_warnx(
		    "ZooKeeper: mutex %s: %s: %s", m->path, a->path, a->text);
	give_up(m, RESULT_REFUSED);
	return true;
}

static struct node *
step_node(struct curator_mutex *m)
{
	return m->step < STEP_LEASE_CREATE ? &m->lock : &m->lease;
}

static void
node_created(void *context, const struct zk_answer *a)
{
	struct curator_mutex *m = context;
	struct node *n = step_node(m);

	m->call = NULL;
	if (a->result == RESULT_RETRY) {
		/* it may be there all the same */
		m->step++;
		retry_later(m);
		return;
	}
	if (a->result == RESULT_GONE) { /* its parents cannot be made */
		give_up(m, RESULT_REFUSED);
		return;
	}
	if (step_failed(m, a))
		return;
	n->path = must_strdup(a->path);
	go(m, m->step + 2);
}

static void
node_listed(void *context, const struct zk_answer *a)
{
	struct curator_mutex *m = context;

	m->call = NULL;
	if (step_failed(m, a))
		return;
	if (a->result == RESULT_OK && node_found(step_node(m), a))
		go(m, m->step + 1);
	else
		go(m, m->step - 1);
}

static void
node_synced(void *context, const struct zk_answer *a)
{
	struct curator_mutex *m = context;

	m->call = NULL;
	if (!step_failed(m, a))
		m->call = zk_children(
		    m->zk, step_node(m)->folder, NULL, node_listed, m);
}

/* What Curator sorts by: all behind the last "lock-". */
static const char *
sort_key(const char *name)
{
	const char *key = name, *at = name;

	while ((at = strstr(at, "lock-")) != NULL) {
		at += strlen("lock-");
		key = at;
	}
	return key;
}

/* The next lower one; NULL with *found when ours is the lowest. */
static const char *
next_lower(const struct node *ours, const struct zk_answer *a, bool *found)
{
	const char *key = sort_key(node_full_name(ours)), *best = NULL;

	*found = false;
	for (size_t i = 0; i < a->name_count; i++) {
		const char *k = sort_key(a->names[i]);

		if (strcmp(a->names[i], node_full_name(ours)) == 0)
			*found = true;
		else if (strcmp(k, key) < 0 &&
		    (best == NULL || strcmp(k, sort_key(best)) > 0))
			best = a->names[i];
	}
	return best;
}

static void
lower_watched(void *context, const struct zk_answer *a)
{
	struct curator_mutex *m = context;

	m->call = NULL;
	if (!step_failed(m, a) && a->result == RESULT_GONE)
		run_step(m);
}

static void
locks_listed(void *context, const struct zk_answer *a)
{
	struct curator_mutex *m = context;
	const char *lower;
	char *path;
	bool found;

	m->call = NULL;
	if (step_failed(m, a))
		return;
	lower = next_lower(&m->lock, a, &found);
	if (!found) {
		start_anew(m);
		return;
	}
	if (lower == NULL) {
		go(m, STEP_LEASE_CREATE);
		return;
	}
	path = must_format("%s/%s", m->locks, lower);
	/* get, not exists: that would leave a watch on a node that never
	 * comes back */
	m->call = zk_get(m->zk, path, &m->watch, lower_watched, m);
	free(path);
}

static void
leases_listed(void *context, const struct zk_answer *a)
{
	struct curator_mutex *m = context;
	bool found = false;

	m->call = NULL;
	if (step_failed(m, a))
		return;
	for (size_t i = 0; i < a->name_count; i++)
		if (strcmp(a->names[i], node_full_name(&m->lease)) == 0)
			found = true;
	if (!found) {
		start_anew(m);
		return;
	}
	if (a->name_count > 1)
		return; /* the watch wakes us */
	end_step(m);
	m->step = STEP_HELD;
	loop_timer_stop(&m->wait_timer);
	node_remove(m, &m->lock);
	m->acquired(m->context, RESULT_OK);
}

static void
node_changed(struct zk_watch *w)
{
	struct curator_mutex *m = w->context;

	run_step(m);
}

static void
run_step(struct curator_mutex *m)
{
	struct node *n = step_node(m);

	zk_cancel(&m->call);
	switch (m->step) {
	case STEP_LOCK_CREATE:
	case STEP_LEASE_CREATE:
		if (!node_exists(n))
			node_name(n, n == &m->lock ? "lock" : "lease");
		m->call = node_create(m, n, node_created);
		return;
	case STEP_LOCK_FIND:
	case STEP_LEASE_FIND:
		m->call = zk_sync(m->zk, n->folder, node_synced, m);
		return;
	case STEP_LOCK_WAIT:
		m->call = zk_children(m->zk, m->locks, NULL, locks_listed, m);
		return;
	case STEP_LEASE_WAIT:
		m->call =
		    zk_children(m->zk, m->leases, &m->watch, leases_listed, m);
		return;
	case STEP_IDLE:
	case STEP_HELD: return;
	}
}

/* ---- life ----------------------------------------------------------------- */

/* Our nodes go with the session. */
static void
session_changed(struct zk_listener *l, enum zk_state state)
{
	struct curator_mutex *m = l->context;
	bool held = m->step == STEP_HELD;

	if (state != ZK_LOST)
		return;
	while (m->leftovers != NULL)
		leftover_end(m->leftovers);
	node_forget(&m->lock);
	node_forget(&m->lease);
	if (held) {
		m->step = STEP_IDLE;
		if (m->lost != NULL)
			m->lost(m->context);
	} else if (m->step != STEP_IDLE) {
		go(m, STEP_LOCK_CREATE);
	}
}

static void
wait_due(struct loop_timer *t)
{
	give_up(t->context, RESULT_RETRY);
}

struct curator_mutex *
curator_mutex_new(
    struct zk *zk, const char *path, curator_mutex_lost_fn *lost, void *context)
{
	struct curator_mutex *m = must_calloc(1, sizeof *m);

	m->zk = zk;
	m->loop = zk_loop(zk);
	m->path = must_strdup(path);
	m->lock.folder = m->locks = must_format("%s/locks", path);
	m->lease.folder = m->leases = must_format("%s/leases", path);
	m->lost = lost;
	m->context = context;
	m->watch.fired = node_changed;
	m->watch.context = m->retry_timer.context = m->wait_timer.context = m;
	m->listener.changed = session_changed;
	m->listener.context = m;
	zk_listen(zk, &m->listener);
	return m;
}

void
curator_mutex_free(struct curator_mutex **mutex)
{
	struct curator_mutex *m = *mutex;

	if (m == NULL)
		return;
	*mutex = NULL;
	curator_mutex_release(m);
	/* the removals go on without us; asking twice does no harm */
	for (struct leftover *o = m->leftovers; o != NULL; o = o->next)
		if (o->node.path != NULL)
			zk_delete(m->zk, o->node.path, -1, NULL, NULL);
	while (m->leftovers != NULL)
		leftover_end(m->leftovers);
	zk_unlisten(&m->listener);
	free(m->path);
	free(m->locks);
	free(m->leases);
	free(m);
}

void
curator_mutex_acquire(struct curator_mutex *m, int64_t wait_ms,
    curator_mutex_acquired_fn *acquired)
{
	must(m->step == STEP_IDLE);
	m->acquired = acquired;
	loop_timer_start(m->loop, &m->wait_timer, wait_ms, wait_due);
	go(m, STEP_LOCK_CREATE);
}

void
curator_mutex_release(struct curator_mutex *m)
{
	loop_timer_stop(&m->wait_timer);
	end_step(m);
	m->step = STEP_IDLE;
	node_remove(m, &m->lease);
	node_remove(m, &m->lock);
}

bool
curator_mutex_held(const struct curator_mutex *m)
{
	return m->step == STEP_HELD;
}

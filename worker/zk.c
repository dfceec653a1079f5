/*
 * zk - a ZooKeeper session on the loop
 *
 * Process: worker.   Owns: the ZooKeeper client library (single-threaded).
 *
 * The library calls back from within its own functions: with its socket
 * closed and its number free for others, where zookeeper_close is not
 * allowed, or from a call that a user has just made. So its callbacks only
 * note down what to tell; zk_call.c tells it when the library is off the stack
 * and the loop watches the right socket again.
 *
 * A session lives while the server hears from it. The library knows that it
 * is over only when a server says so; when none can be asked, `lost_timer`
 * says it one session timeout after the last word from a server, about when
 * the servers do. The old handle then goes, so nothing that was meant
 * for the old session can reach a server in a new one.
 */
#include "zk_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <zookeeper/zookeeper.h>

#include "log.h"
#include "panic.h"

#define TIMEOUT_MS_MIN 100
#define TIMEOUT_MS_MAX (3600 * 1000)
#define CALLS_MAX 10000
#define CREATE_TRIES 3
#define REST_MS_MIN 50 /* between attempts to connect */
#define REST_MS_MAX 5000
#define STEADY_MS 1000 /* a connection that lasts that long was a good one */
#define COMPLAIN_MS 60000

static void settle(struct zk *);

/* ---- calls ---------------------------------------------------------------- */

/* The library hands its `data` back as const. */
static struct zk_call *
call_of(const void *data)
{
	union {
		const void *data;
		struct zk_call *call;
	} u = { .data = data };

	return u.call;
}

static void
void_done(int code, const void *data)
{
	struct zk_call *c = call_of(data);

	if (zk_call_answered(c))
		zk_code_finish(c, code);
}

static void
stat_done(int code, const struct Stat *stat, const void *data)
{
	struct zk_call *c = call_of(data);

	if (!zk_call_answered(c))
		return;
	if (code == ZOK)
		c->version = stat->version;
	zk_code_finish(c, code);
}

static void
data_done(int code, const char *bytes, int count, const struct Stat *stat,
    const void *data)
{
	struct zk_call *c = call_of(data);

	if (!zk_call_answered(c))
		return;
	if (code == ZOK) {
		/* a node without data has a count of -1 */
		c->answer_count = (size_t)MAX_OF(count, 0);
		c->answer_bytes = must_malloc(c->answer_count + 1);
		if (c->answer_count > 0)
			memcpy(c->answer_bytes, bytes, c->answer_count);
		c->answer_bytes[c->answer_count] = '\0';
		c->version = stat->version;
	}
	zk_code_finish(c, code);
}

static void
names_done(int code, const struct String_vector *names, const void *data)
{
	struct zk_call *c = call_of(data);

	if (!zk_call_answered(c))
		return;
	if (code == ZOK) {
		c->answer_count = (size_t)MAX_OF(names->count, 0);
		c->names = must_calloc(c->answer_count + 1, sizeof(char *));
		for (size_t i = 0; i < c->answer_count; i++)
			c->names[i] = must_strdup(names->data[i]);
	}
	zk_code_finish(c, code);
}

static void
sync_done(int code, const char *path UNUSED, const void *data)
{
	void_done(code, data);
}

static void
parent_done(int code UNUSED, const char *path UNUSED, const void *data UNUSED)
{
}

static void created(int, const char *, const void *);

/* Requests of a session are carried out in order, so the node itself can
 * follow its parents without waiting for their answers. */
static const struct ACL_vector *
acl_of(const struct zk *z)
{
	return z->scheme != NULL ? &ZOO_CREATOR_ALL_ACL : &ZOO_OPEN_ACL_UNSAFE;
}

static int
create_parents(struct zk_call *c)
{
	int code = ZOK;

	for (char *p = strchr(c->path + 1, '/'); p != NULL && code == ZOK;
	     p = strchr(p + 1, '/')) {
		*p = '\0';
		code = zoo_acreate(c->zk->handle, c->path, "", 0, acl_of(c->zk),
		    0, parent_done, NULL);
		*p = '/';
	}
	return code;
}

static int
send_create(struct zk_call *c)
{
	int mode = (c->flags & ZK_EPHEMERAL ? ZOO_EPHEMERAL : 0) |
	    (c->flags & ZK_SEQUENTIAL ? ZOO_SEQUENCE : 0);
	int code = c->tries > 0 ? create_parents(c) : ZOK;

	if (code != ZOK)
		return code;
	return zoo_acreate(c->zk->handle, c->path, c->bytes, (int)c->byte_count,
	    acl_of(c->zk), mode, created, c);
}

static int
send_kind(struct zk_call *c)
{
	zhandle_t *h = c->zk->handle;
	int watch = c->watch != NULL;

	switch (c->kind) {
	case ZK_CALL_GET: return zoo_aget(h, c->path, watch, data_done, c);
	case ZK_CALL_EXISTS:
		return zoo_aexists(h, c->path, watch, stat_done, c);
	case ZK_CALL_CHILDREN:
		return zoo_aget_children(h, c->path, watch, names_done, c);
	case ZK_CALL_CREATE: return send_create(c);
	case ZK_CALL_SET:
		return zoo_aset(h, c->path, c->bytes, (int)c->byte_count,
		    c->version, stat_done, c);
	case ZK_CALL_DELETE:
		return zoo_adelete(h, c->path, c->version, void_done, c);
	case ZK_CALL_SYNC: return zoo_async(h, c->path, sync_done, c);
	}
	unreachable("kind of call");
}

static void
call_send(struct zk_call *c)
{
	int code;

	c->state = ZK_CALL_SENT;
	c->in_library = true;
	code = send_kind(c);
	if (code != ZOK) {
		c->in_library = false;
		zk_code_finish(c, code);
	}
}

static void
created(int code, const char *path, const void *data)
{
	struct zk_call *c = call_of(data);

	if (!zk_call_answered(c))
		return;
	/* a parent may go again before the node is there: Curator's container
	 * nodes do */
	if (code == ZNONODE && (c->flags & ZK_PARENTS) != 0 &&
	    c->tries < CREATE_TRIES && c->zk->connected) {
		c->tries++;
		call_send(c);
		return;
	}
	if (code == ZOK)
		c->answer_path = must_strdup(path);
	zk_code_finish(c, code);
}

static void
send_waiting(struct zk *z)
{
	for (struct zk_call *c = z->calls; c != NULL; c = c->next)
		if (c->state == ZK_CALL_WAITING)
			call_send(c);
}

static struct zk_call *
call_start(struct zk_call *c, struct zk_watch *watch)
{
	struct zk *z = c->zk;

	zk_call_add(c, watch);
	if (z->call_count > CALLS_MAX || c->byte_count > ZK_BYTES_MAX) {
		zk_code_finish(c,
		    c->byte_count > ZK_BYTES_MAX ? ZBADARGUMENTS
						 : ZTHROTTLEDOP);
		return c;
	}
	if (z->connected && !z->expired) {
		call_send(c);
		settle(z);
	}
	return c;
}

struct zk_call *
zk_get(struct zk *z, const char *path, struct zk_watch *watch, zk_done_fn *done,
    void *context)
{
	return call_start(
	    zk_call_new(z, ZK_CALL_GET, path, done, context), watch);
}

struct zk_call *
zk_exists(struct zk *z, const char *path, struct zk_watch *watch,
    zk_done_fn *done, void *context)
{
	return call_start(
	    zk_call_new(z, ZK_CALL_EXISTS, path, done, context), watch);
}

struct zk_call *
zk_children(struct zk *z, const char *path, struct zk_watch *watch,
    zk_done_fn *done, void *context)
{
	return call_start(
	    zk_call_new(z, ZK_CALL_CHILDREN, path, done, context), watch);
}

struct zk_call *
zk_delete(struct zk *z, const char *path, int32_t version, zk_done_fn *done,
    void *context)
{
	struct zk_call *c = zk_call_new(z, ZK_CALL_DELETE, path, done, context);

	c->version = version;
	return call_start(c, NULL);
}

struct zk_call *
zk_sync(struct zk *z, const char *path, zk_done_fn *done, void *context)
{
	return call_start(
	    zk_call_new(z, ZK_CALL_SYNC, path, done, context), NULL);
}

static struct zk_call *
node_call(struct zk_call *c, const struct zk_node *node)
{
	c->version = node->version;
	c->flags = node->flags;
	c->byte_count = node->byte_count;
	c->bytes = must_malloc(node->byte_count + 1);
	if (node->byte_count > 0)
		memcpy(c->bytes, node->bytes, node->byte_count);
	return call_start(c, NULL);
}

struct zk_call *
zk_create(
    struct zk *z, const struct zk_node *node, zk_done_fn *done, void *context)
{
	return node_call(
	    zk_call_new(z, ZK_CALL_CREATE, node->path, done, context), node);
}

struct zk_call *
zk_set(
    struct zk *z, const struct zk_node *node, zk_done_fn *done, void *context)
{
	return node_call(
	    zk_call_new(z, ZK_CALL_SET, node->path, done, context), node);
}

/* ---- the connection ------------------------------------------------------- */

static uint64_t
random_below(uint64_t limit)
{
	uint64_t r = 0;

	(void)!getrandom(&r, sizeof r, 0);
	return limit > 0 ? r % limit : 0;
}

static int64_t
rest_most_ms(const struct zk *z)
{
	return MIN_OF(REST_MS_MAX, MAX_OF(z->timeout_ms / 4, 1));
}

/* The next attempt to connect is some time off: half of the rest is fixed,
 * half is drawn, so that many workers do not come back as one. */
static void
rest(struct zk *z)
{
	z->rest_ms =
	    MIN_OF(MAX_OF(z->rest_ms * 2, REST_MS_MIN), rest_most_ms(z));
	z->retry_ms = loop_now_ms(z->loop) + z->rest_ms / 2 +
	    (int64_t)random_below((uint64_t)z->rest_ms / 2 + 1);
}

static bool
complain(struct zk *z, const char *what)
{
	if (!log_may_repeat(&z->complained_ms, COMPLAIN_MS))
		return false;
	log_warnx("ZooKeeper %s: %s", z->connect, what);
	return true;
}

static void lost_due(struct loop_timer *);

static void
session_connected(struct zk *z)
{
	int granted = zoo_recv_timeout(z->handle);

	if (granted > 0)
		z->timeout_ms = granted;
	z->connected = true;
	z->heard_ms = z->connected_ms = loop_now_ms(z->loop);
	loop_timer_stop(&z->lost_timer);
	if (!z->has_session) {
		z->has_session = true;
		z->opened++;
		log_info("ZooKeeper %s: new session 0x%llx, timeout %d ms",
		    z->connect,
		    (unsigned long long)zoo_client_id(z->handle)->client_id,
		    granted);
	} else if (z->loss_told) {
		log_info("ZooKeeper %s: connected again", z->connect);
	}
	zk_tell_state(z, ZK_CONNECTED);
}

static void
session_suspended(struct zk *z)
{
	int64_t quiet_ms = loop_now_ms(z->loop) - z->heard_ms;

	if (!z->connected)
		return;
	z->connected = false;
	/* one that breaks at once is no reason to hurry */
	if (loop_now_ms(z->loop) - z->connected_ms >= STEADY_MS)
		z->rest_ms = 0;
	z->loss_told = complain(z, "connection lost");
	loop_timer_start(
	    z->loop, &z->lost_timer, z->timeout_ms - quiet_ms, lost_due);
	zk_tell_state(z, ZK_SUSPENDED);
}

static unsigned
events_of(int type)
{
	if (type == ZOO_CREATED_EVENT)
		return ZK_EVENT_CREATED;
	if (type == ZOO_DELETED_EVENT)
		return ZK_EVENT_DELETED;
	if (type == ZOO_CHANGED_EVENT)
		return ZK_EVENT_CHANGED;
	if (type == ZOO_CHILD_EVENT)
		return ZK_EVENT_CHILDREN;
	return 0;
}

/* The session of a process that has died lives (its handle is closed, which
 * ends it), or is over anyway. */
static void
dead_known(struct zk *z, int state)
{
	bool lives = state == ZOO_CONNECTED_STATE;

	if (lives)
		log_info("ZooKeeper %s: ends session 0x%llx of the process "
			 "before",
		    z->connect, (unsigned long long)z->dead.id);
	z->expired = lives || state == ZOO_EXPIRED_SESSION_STATE ||
	    state == ZOO_AUTH_FAILED_STATE;
}

/* From within the library, see the head of this file. */
static void
watched(zhandle_t *h, int type, int state, const char *path, void *context)
{
	struct zk *z = context;

	if (z->closed || h != z->handle)
		return;
	if (type == ZOO_SESSION_EVENT) {
		z->steady = false;
		if (z->dead.id != 0)
			dead_known(z, state);
		else if (state == ZOO_CONNECTED_STATE)
			session_connected(z);
		else if (state == ZOO_EXPIRED_SESSION_STATE ||
		    state == ZOO_AUTH_FAILED_STATE)
			z->expired = true;
		else
			session_suspended(z);
		return;
	}
	if (events_of(type) != 0)
		zk_tell_watches(z, events_of(type), path);
}

static void
library_log(const char *text)
{
	log_debug("zookeeper: %s", text);
}

/* From within the library. */
static void
auth_done(int code, const void *data)
{
	union {
		const void *data;
		struct zk *zk;
	} u = { .data = data };

	if (code == ZAUTHFAILED)
		zk_trouble_meet(u.zk, NULL,
		    "zookeeper.auth.scheme '%s' with "
		    "zookeeper.auth.credentials "
		    "is not accepted; give what the servers know",
		    u.zk->scheme);
	else if (code == ZOK && u.zk->trouble_path == NULL)
		zk_trouble_forget(u.zk);
}

static void
open_handle(struct zk *z)
{
	clientid_t dead = { .client_id = (int64_t)z->dead.id };
	char *servers = zk_address_bare(z->connect);

	memcpy(dead.passwd, z->dead.password, sizeof dead.passwd);
	zoo_set_debug_level(
	    log_debugging() ? ZOO_LOG_LEVEL_INFO : ZOO_LOG_LEVEL_ERROR);
	errno = 0;
	z->handle = zookeeper_init2(servers, watched, (int)z->asked_ms,
	    z->dead.id != 0 ? &dead : NULL, z, ZOO_NO_LOG_CLIENTENV,
	    library_log);
	free(servers);
	if (z->handle == NULL) {
		if (log_may_repeat(&z->complained_ms, COMPLAIN_MS))
			log_warn("ZooKeeper %s: no address for any of its "
				 "names",
			    z->connect);
		rest(z);
		return;
	}
	/* else it would ask for the names' addresses, blocking, every time
	 * that it is asked what it waits for */
	zoo_set_servers_resolution_delay(z->handle, -1);
	/* sent behind each connect, before any call */
	if (z->scheme != NULL && z->dead.id == 0)
		(void)zoo_add_auth(z->handle, z->scheme, z->credentials,
		    (int)strlen(z->credentials), auth_done, z);
}

static void
close_handle(struct zk *z)
{
	zhandle_t *h = z->handle;

	loop_io_stop(&z->io);
	z->connected = z->steady = false;
	if (h == NULL)
		return;
	/* what it still calls back is not a state of ours any more */
	z->handle = NULL;
	zookeeper_close(h);
}

static void
end_session(struct zk *z)
{
	bool had = z->has_session;

	z->expired = z->has_session = false;
	loop_timer_stop(&z->lost_timer);
	if (had) {
		log_warnx("ZooKeeper %s: session lost", z->connect);
		/* before the failures of its calls, so that nobody makes them
		 * anew in the belief that the session lives */
		zk_tell_state(z, ZK_LOST);
	}
	close_handle(z);
	if (z->dead.id != 0)
		z->dead.id = 0; /* our own begins at once */
	else
		rest(z);
}

static void
lost_due(struct loop_timer *t)
{
	struct zk *z = t->context;

	if (!z->connected)
		z->expired = true;
	settle(z);
}

static void
attempt_failed(struct zk *z, int code)
{
	if (!z->has_session)
		complain(z, "cannot connect, will go on trying");
	log_debug("ZooKeeper %s: %s", z->connect, zerror(code));
	z->steady = false;
	rest(z);
	/* names may have other addresses by now */
	if (!z->has_session && z->rest_ms >= rest_most_ms(z))
		close_handle(z);
}

static void poll_due(struct loop_timer *);
static void socket_ready(struct loop_io *, uint32_t);

static void
poll_in(struct zk *z, int64_t delay_ms)
{
	loop_timer_start(
	    z->loop, &z->poll_timer, MAX_OF(delay_ms, 1), poll_due);
}

/* The library may have closed its socket and made another of the same number,
 * of which epoll knows nothing. Only while it is steadily connected can the
 * watch be trusted. */
static void
watch_socket(struct zk *z, int fd, int interest)
{
	uint32_t events = (interest & ZOOKEEPER_READ ? EPOLLIN : 0) |
	    (interest & ZOOKEEPER_WRITE ? EPOLLOUT : 0);

	if (z->steady && loop_io_active(&z->io) && z->io.fd == fd) {
		loop_io_change(&z->io, events);
		return;
	}
	loop_io_stop(&z->io);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (!loop_io_start(z->loop, &z->io, fd, events, socket_ready))
		log_warn("ZooKeeper %s: cannot watch its socket", z->connect);
	z->steady = z->connected;
}

/* Asks the library what it waits for; this is also what makes it connect and
 * ping. */
static void
ask_interest(struct zk *z)
{
	struct timeval tv = { 0 };
	int fd = -1, interest = 0;
	int code = zookeeper_interest(z->handle, &fd, &interest, &tv);

	if (z->expired)
		return;
	if (code != ZOK) {
		attempt_failed(z, code);
		fd = -1;
	}
	if (fd < 0) {
		loop_io_stop(&z->io);
		z->steady = false;
	} else {
		watch_socket(z, fd, interest);
	}
	if (code == ZOK)
		poll_in(z, tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1);
	else
		poll_in(z, z->retry_ms - loop_now_ms(z->loop));
}

/* Makes the library forget what it had to send and wait for, which it does
 * when a connection fails: so one is made to fail. */
static void
scrub(struct zk *z)
{
	struct timeval tv;
	int fd = -1, interest;

	/* the first may be told to wait */
	for (int tries = 0; tries < 2 && fd < 0; tries++)
		if (zookeeper_interest(z->handle, &fd, &interest, &tv) != ZOK)
			return;
	if (fd < 0)
		return;
	shutdown(fd, SHUT_RDWR);
	zookeeper_process(z->handle, ZOOKEEPER_READ);
}

/* When a call cannot be sent the library closes its socket without a word,
 * and would go on with the rest of the call on the next connection; the
 * server takes that for garbage. */
static void
notice_state(struct zk *z)
{
	int state = z->handle != NULL ? zoo_state(z->handle) : 0;

	if (z->handle != NULL &&
	    (state == ZOO_EXPIRED_SESSION_STATE ||
		state == ZOO_AUTH_FAILED_STATE))
		z->expired = true;
	if (!z->connected || state == ZOO_CONNECTED_STATE)
		return;
	loop_io_stop(&z->io);
	session_suspended(z);
	if (!z->expired)
		scrub(z);
	attempt_failed(z, ZCONNECTIONLOSS);
}

/* After anything that may have changed what the library is up to. */
static void
settle(struct zk *z)
{
	notice_state(z);
	if (z->expired)
		end_session(z);
	if (z->connected) {
		send_waiting(z);
		notice_state(z);
	}
	if (!z->connected && loop_now_ms(z->loop) < z->retry_ms) {
		loop_io_stop(&z->io);
		poll_in(z, z->retry_ms - loop_now_ms(z->loop));
		return;
	}
	if (z->handle == NULL)
		open_handle(z);
	if (z->handle == NULL) {
		poll_in(z, z->retry_ms - loop_now_ms(z->loop));
		return;
	}
	ask_interest(z);
	if (z->expired)
		settle(z);
}

static void
socket_ready(struct loop_io *io, uint32_t epoll_events)
{
	struct zk *z = io->context;
	int events = 0, code;

	if (epoll_events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		events |= ZOOKEEPER_READ;
	if (epoll_events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		events |= ZOOKEEPER_WRITE;
	code = zookeeper_process(z->handle, events);
	if (code == ZOK && z->connected && (epoll_events & EPOLLIN))
		z->heard_ms = loop_now_ms(z->loop);
	else if (code != ZOK && code != ZNOTHING && !z->expired)
		attempt_failed(z, code);
	settle(z);
}

static void
poll_due(struct loop_timer *t)
{
	settle(t->context);
}

/* ---- opening and closing -------------------------------------------------- */

struct zk *
zk_open(struct loop *loop, const char *connect, int64_t timeout_ms)
{
	struct zk_options options = { .connect = connect,
		.timeout_ms = timeout_ms };

	return zk_open_with(loop, &options);
}

static void
set_credentials(struct zk *z, const struct zk_options *o)
{
	if (o->scheme == NULL || o->scheme[0] == '\0')
		return;
	z->scheme = must_strdup(o->scheme);
	z->credentials = must_strdup(o->credentials);
}

struct zk *
zk_open_with(struct loop *loop, const struct zk_options *options)
{
	char *complete = zk_address_complete(options->connect);
	struct zk *z;

	if (complete == NULL)
		return NULL;
	z = must_calloc(1, sizeof *z);
	z->loop = loop;
	z->connect = complete;
	z->folder = strchrnul(complete, '/');
	z->asked_ms = z->timeout_ms =
	    MIN_OF(MAX_OF(options->timeout_ms, TIMEOUT_MS_MIN), TIMEOUT_MS_MAX);
	if (options->dead != NULL)
		z->dead = *options->dead;
	set_credentials(z, options);
	z->io.fd = -1;
	z->io.context = z->poll_timer.context = z->lost_timer.context = z;
	zk_calls_init(z);
	settle(z);
	return z;
}

void
zk_close(struct zk **zk)
{
	struct zk *z = *zk;

	if (z == NULL)
		return;
	*zk = NULL;
	z->closed = true;
	close_handle(z);
	zk_calls_fini(z);
	loop_timer_stop(&z->poll_timer);
	loop_timer_stop(&z->lost_timer);
	free(z->connect);
	free(z->scheme);
	free(z->credentials);
	zk_trouble_forget(z);
	z->connect = z->scheme = z->credentials = NULL;
	if (!z->delivering)
		free(z);
}

bool
zk_identity(const struct zk *z, struct zk_identity *identity)
{
	const clientid_t *id;

	if (!z->has_session || z->handle == NULL)
		return false;
	id = zoo_client_id(z->handle);
	_Static_assert(sizeof id->passwd == ZK_PASSWORD_BYTES, "library's");
	identity->id = (uint64_t)id->client_id;
	memcpy(identity->password, id->passwd, sizeof identity->password);
	return true;
}

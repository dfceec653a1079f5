/*
 * zk - a ZooKeeper session on the loop
 *
 * Process: worker.   Owns: the ZooKeeper client library; nothing else
 * includes it.
 *
 * A session that has ended is replaced by a new one here, for as long as it
 * takes; callers learn it from a listener and forget what they believed:
 * their ephemeral nodes and watches are gone. All callbacks come from the
 * loop, never from inside a call into this module, and none after zk_close.
 *
 * A call that cannot be made or answered within the session timeout ends with
 * RESULT_RETRY; a write may have happened all the same.
 */
#pragma once

#include "base.h"
#include "loop.h"
#include "result.h"

/* What a znode may hold: the server's default limit, less the request. */
#define ZK_BYTES_MAX (1000 * KiB)

struct zk;
struct zk_call;

/* `connect` is Java's connect string: host[:port],host[:port][/folder], port
 * 2181 unless told. Returns at once; the server need not be there. NULL when
 * the text is no such thing. The library resolves names in the calling
 * thread: here, at each reconnect, and when a session is replaced. */
struct zk *zk_open(struct loop *, const char *connect, int64_t timeout_ms);

#define ZK_PASSWORD_BYTES 16

/* What a session is known to the servers by. */
struct zk_identity {
	uint64_t id;
	unsigned char password[ZK_PASSWORD_BYTES];
};

struct zk_options {
	const char *connect;
	int64_t timeout_ms;
	/* Before there is a session, that of a dead process (NULL: none) is
	 * ended, so that its ephemeral nodes go. */
	const struct zk_identity *dead;
	/* Who we are to the servers, "digest" and "user:password"; NULL or "":
	 * nobody. Nodes that are made belong to him alone then (the ACL
	 * CREATOR_ALL), else to everybody. */
	const char *scheme, *credentials;
};

/* The same; everything is copied. */
struct zk *zk_open_with(struct loop *, const struct zk_options *);
/* The session's; false while there is none. */
bool zk_identity(const struct zk *, struct zk_identity *);
/* From a callback too. Ends the session, so that its ephemeral nodes go at
 * once; waits up to 1.5 s for a server that does not answer. Watches and
 * listeners may be left as they are. */
void zk_close(struct zk **);

enum zk_state {
	ZK_CONNECTED, /* a new session, or the old one is connected again */
	ZK_SUSPENDED, /* no connection; the session may still live */
	ZK_LOST, /* the session is over, or may be */
};

/* The session that listeners were told of last: 1, 2, …; 0 while there is
 * none. A suspended session keeps its number. */
uint64_t zk_session(const struct zk *);
bool zk_is_connected(const struct zk *);
int64_t zk_timeout_ms(const struct zk *); /* as negotiated */
const char *zk_connect_text(const struct zk *);
/* What an operator has to mend (access denied, a folder that is not there);
 * "" while there is nothing. */
const char *zk_trouble(const struct zk *);
struct loop *zk_loop(const struct zk *);

struct zk_listener {
	void (*changed)(struct zk_listener *, enum zk_state);
	void *context; /* the caller's */
	struct zk *zk;
	struct zk_listener *next;
	bool due;
};

void zk_listen(struct zk *, struct zk_listener *);
void zk_unlisten(struct zk_listener *);

/* Fires once: the node has changed in the way watched, or the session is
 * lost. Set only when its call ends with RESULT_OK, or RESULT_GONE for
 * zk_exists. Zeroed at first; stays where it is until it fired or was
 * stopped. */
struct zk_watch {
	void (*fired)(struct zk_watch *);
	void *context; /* the caller's */
	struct zk *zk;
	struct zk_watch *next;
	struct zk_call *call; /* that will set it */
	char *path;
	unsigned events;
	bool due;
};

void zk_watch_stop(struct zk_watch *);

enum zk_refusal {
	ZK_REFUSED_OTHER,
	ZK_REFUSED_EXISTS, /* create: the node is there */
	ZK_REFUSED_VERSION, /* set, delete: the node has another version */
	ZK_REFUSED_DENIED, /* access control */
};

struct zk_answer {
	/* GONE: the node is not there; create, parents given: the folder of
	 * the connect string is not there */
	enum result result;
	enum zk_refusal refusal; /* of RESULT_REFUSED */
	const char *text; /* the library's word for it */
	const char *path; /* create: the node made; else as asked */
	const char *bytes; /* get; a NUL behind them, not counted */
	size_t byte_count;
	int32_t version; /* get, exists, set */
	const char *const *names; /* children, in no order */
	size_t name_count;
};

/* The answer is lent for the call. */
typedef void zk_done_fn(void *context, const struct zk_answer *);

/* To be cancelled by, until `done` is called. */
struct zk_call *zk_get(struct zk *, const char *path, struct zk_watch *,
    zk_done_fn *done, void *context);
struct zk_call *zk_exists(struct zk *, const char *path, struct zk_watch *,
    zk_done_fn *done, void *context);
struct zk_call *zk_children(struct zk *, const char *path, struct zk_watch *,
    zk_done_fn *done, void *context);
/* version -1: whatever it is. done may be NULL. */
struct zk_call *zk_delete(struct zk *, const char *path, int32_t version,
    zk_done_fn *done, void *context);
/* Reads after it see every write that was answered before it. */
struct zk_call *
zk_sync(struct zk *, const char *path, zk_done_fn *done, void *context);

enum zk_create_flags {
	ZK_PERSISTENT = 0,
	ZK_EPHEMERAL = 1,
	ZK_SEQUENTIAL = 2, /* ten digits are put behind the path */
	ZK_PARENTS = 4, /* missing ones are made, persistent */
};

struct zk_node {
	const char *path;
	const void *bytes; /* copied */
	size_t byte_count;
	int32_t version; /* set */
	enum zk_create_flags flags; /* create */
};

struct zk_call *
zk_create(struct zk *, const struct zk_node *, zk_done_fn *done, void *context);
struct zk_call *
zk_set(struct zk *, const struct zk_node *, zk_done_fn *done, void *context);

/* No callback then, and no watch; a write that is on its way may still
 * happen. Nulls the pointer; NULL is nothing to cancel. */
void zk_cancel(struct zk_call **);

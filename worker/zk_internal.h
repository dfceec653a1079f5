/*
 * zk_internal - what zk.c (the library) and zk_call.c (the users) share
 *
 * Process: worker. For these two files only.
 */
#pragma once

#include "zk.h"

enum zk_call_kind {
	ZK_CALL_GET,
	ZK_CALL_EXISTS,
	ZK_CALL_CHILDREN,
	ZK_CALL_CREATE,
	ZK_CALL_SET,
	ZK_CALL_DELETE,
	ZK_CALL_SYNC,
};

enum zk_call_state {
	ZK_CALL_WAITING, /* for a connection */
	ZK_CALL_SENT, /* the library has it */
	ZK_CALL_DONE, /* its event is queued */
	ZK_CALL_ABANDONED, /* nobody wants it: off the list, freed when nothing
			    * points to it any more */
};

struct zk_call {
	struct zk *zk;
	struct zk_call *next, *previous; /* in zk.calls: oldest first */
	enum zk_call_kind kind;
	enum zk_call_state state;
	bool in_library, has_event; /* what points to it beside the list */
	char *path, *bytes;
	size_t byte_count;
	int32_t version;
	enum zk_create_flags flags;
	unsigned tries;
	struct zk_watch *watch;
	zk_done_fn *done;
	void *context;
	uint64_t session; /* it was made in */
	int64_t due_ms;
	/* answer */
	enum result result;
	enum zk_refusal refusal;
	const char *text;
	bool sets_watch;
	char *answer_path, *answer_bytes;
	char **names;
	size_t answer_count; /* of bytes or names */
};

/* What a watch waits for, as bits. */
enum {
	ZK_EVENT_CREATED = 1,
	ZK_EVENT_DELETED = 2,
	ZK_EVENT_CHANGED = 4,
	ZK_EVENT_CHILDREN = 8,
};

struct zk_event;
struct _zhandle;

struct zk {
	struct loop *loop;
	char *connect; /* with all ports */
	const char *folder; /* its chroot, or empty */
	char *scheme, *credentials; /* NULL: none */
	char trouble[400]; /* zk_trouble */
	char *trouble_path; /* of the call that met it; NULL: no call did */
	int64_t asked_ms, timeout_ms; /* session timeout: asked for, granted */

	/* users: zk_call.c */
	struct zk_call *calls, *last_call;
	size_t call_count;
	struct zk_event *events, **events_end;
	struct zk_listener *listeners;
	struct zk_watch *watches;
	uint64_t session; /* that listeners know of */
	struct loop_timer call_timer, deliver_timer;
	bool delivering, closed;

	/* connection: zk.c */
	struct _zhandle *handle; /* NULL: to be opened at retry_ms */
	struct loop_io io;
	struct loop_timer poll_timer, lost_timer;
	bool connected, has_session, expired;
	bool
	    steady; /* nothing has happened to the socket since it is watched */
	uint64_t opened; /* sessions so far */
	struct zk_identity dead; /* to be ended first; id 0: none */
	int64_t connected_ms, heard_ms, retry_ms, rest_ms;
	bool loss_told; /* in the log */
	int64_t complained_ms, complained_trouble_ms;
};

void zk_calls_init(struct zk *);
/* Every event, call, watch and listener that is left; after the library is
 * closed. */
void zk_calls_fini(struct zk *);

struct zk_call *zk_call_new(
    struct zk *, enum zk_call_kind, const char *path, zk_done_fn *, void *);
/* Puts it in the list, with the watch that it is to set or NULL. */
void zk_call_add(struct zk_call *, struct zk_watch *);
/* The library is done with it; false: its answer is not wanted any more, and
 * the call may be gone. */
bool zk_call_answered(struct zk_call *);
/* Its answer is filled in: tells the user, later. */
void zk_call_finish(struct zk_call *);

/* The library has answered: fills the result in and finishes the call. */
void zk_code_finish(struct zk_call *, int code);
/* Something for an operator; said once a minute. path: of the call that met it
 * and takes it back when it succeeds, or NULL. */
void zk_trouble_meet(struct zk *, const char *path, const char *format, ...)
    PRINTF_LIKE(3, 4);
void zk_trouble_forget(struct zk *);

/* To be told to the users, later and in order. */
void zk_tell_state(struct zk *, enum zk_state);
void zk_tell_watches(struct zk *, unsigned events, const char *path);

/* Java's connect string in the exact form that the library wants: ports in,
 * spaces and trailing slashes out. New text, or NULL: no host in it. */
char *zk_address_complete(const char *text);
/* The same without the brackets around IPv6 addresses, which the library does
 * not know: its last colon is before the port. New text. */
char *zk_address_bare(const char *complete);

/*
 * overlord - the index service: takes tasks, knows their state and place
 *
 * Process: worker.   Before: http_client.
 * druid-api.md 5 has the requests and answers by version.
 *
 * Where it is: druid.overlord.url (several: the next one after a failure), or
 * what the given resolver finds.
 */
#pragma once

#include "base.h"
#include "conf.h"
#include "http_client.h"
#include "place.h"
#include "result.h"

struct overlord;
struct overlord_ask;

#define OVERLORD_WHY_BYTES 400

/* Finds the Overlord when there is no URL: overlord_found is called later,
 * from the loop. */
typedef void overlord_find_fn(void *context, struct overlord *);

struct overlord *overlord_new(struct http_client *, const struct ds_conf *,
    overlord_find_fn *find, void *context);
void overlord_free(struct overlord **);
/* The resolver's answer: "http://host:port", or NULL with the reason. */
void overlord_found(struct overlord *, const char *url, const char *why);
/* Where it was found before and did not serve; NULL: nowhere. Better than
 * nothing while nobody can be asked. Lent. */
const char *overlord_last(const struct overlord *);
/* For the status: where it is, or what was looked for and failed. Lent. */
const char *overlord_where(const struct overlord *);
/* Whether that has become another text since the last call. */
bool overlord_changed(struct overlord *);

/* RESULT_OK: it is there now, or has been before ("already exists").
 * RESULT_REFUSED: a definite no, `why` is Druid's own text.
 * RESULT_RETRY: not reached, or not now. */
typedef void overlord_submit_fn(void *context, enum result, const char *why);
/* task_json: consumed text. */
void overlord_submit(
    struct overlord *, char *task_json, overlord_submit_fn *, void *context);

enum task_state {
	TASK_UNKNOWN, /* not asked yet, or no answer */
	TASK_WAITING, /* no place yet */
	TASK_RUNNING,
	TASK_SUCCESS,
	TASK_FAILED,
	TASK_ABSENT, /* the Overlord does not know it */
};

const char *task_state_name(enum task_state);

struct task_status {
	enum task_state state;
	char host[256]; /* empty: no place known */
	struct place place;
	bool lacks_tls; /* has a place, which druid.tls.enable forbids */
	char error[256]; /* of a task that failed, Druid's own text */
};

/* RESULT_OK with the status; RESULT_RETRY when the Overlord was not reached. */
typedef void
overlord_status_fn(void *context, enum result, const struct task_status *);
/* A handle for overlord_cancel, good until the callback has begun. */
struct overlord_ask *overlord_status(struct overlord *, const char *task_id,
    overlord_status_fn *, void *context);
/* When the task closes its firehose, as its own payload says: wall ms, or
 * INT64_MAX when it says nothing. RESULT_RETRY: the Overlord was not reached,
 * or does not know the task. The handle is as above. */
typedef void
overlord_shutoff_fn(void *context, enum result, int64_t shutoff_ms);
struct overlord_ask *overlord_shutoff(struct overlord *, const char *task_id,
    overlord_shutoff_fn *, void *context);
/* Any other question, answered with a number below 500 that is neither a
 * redirect nor 401, 403 or 429; lent for the call. */
struct overlord_answer {
	int status;
	const char *body; /* with a NUL behind it */
	size_t body_bytes;
	const char *server; /* "http://host:port" of who answered: the leader */
};
/* RESULT_OK with the answer; RESULT_RETRY: none, `why` says it. */
typedef void overlord_answer_fn(void *context, enum result,
    const struct overlord_answer *, const char *why);
/* path: below the Overlord's URL, "status", "druid/indexer/v1/supervisor"; each
 * part escaped (http_escape). body: consumed JSON text, posted; NULL: GET. The
 * handle is as above. */
struct overlord_ask *overlord_call(struct overlord *, const char *path,
    char *body, overlord_answer_fn *, void *context);
/* GET /status, what the server says of itself. Who hands in tasks may not be
 * let see it, and a proxy may not have it, so 401 and 403 are answers too. */
struct overlord_ask *
overlord_self(struct overlord *, overlord_answer_fn *, void *context);
/* What a batch task says of itself at its end. */
struct task_report {
	/* It has published all of its rows, or had none to publish. True of a
	 * task that counts as failed: what made it fail came behind that. */
	bool is_complete;
	/* Rows that are not in the segments: not readable, or outside of its
	 * intervals; and those that are, but for a field. */
	uint64_t unparseable, thrown_away, with_error;
};

struct overlord_ask *overlord_report(struct overlord *, const char *task_id,
    overlord_answer_fn *, void *context);
/* What came of that; false: there is no report. */
bool overlord_read_report(
    const struct overlord_answer *, struct task_report *) MUST_CHECK;
void overlord_cancel(struct overlord_ask **);

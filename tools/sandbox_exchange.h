/*
 * sandbox_exchange - one request, from its head to its answer
 *
 * Process: tranq-sandbox.   After: sandbox_http.   Before: sandbox_push,
 * sandbox_overlord, sandbox_control.
 *
 * Faults that may strike any request are done here. An exchange may outlive
 * its client: a task goes on with a push whose client has left.
 */
#pragma once

#include "sandbox.h"
#include "sandbox_task.h"

enum exchange_route {
	ROUTE_CONTROL,
	ROUTE_OVERLORD,
	ROUTE_CHAT,
	ROUTE_ASTRAY /* to the Overlord's port for a task, or the reverse */
};

struct exchange {
	struct sandbox *sandbox;
	struct exchange *next, *previous;
	struct sandbox_request *request; /* NULL: the client has left */
	const struct http_request *head; /* the request's, or head_copy */
	const char *bytes;
	struct http_request head_copy;
	char *bytes_copy, *body_copy;
	enum exchange_route route;
	const char *body; /* once complete */
	size_t body_bytes, wire_bytes;
	bool is_gzip, is_inflated, is_complete;

	/* faults */
	bool is_hung, drops, drops_before;
	unsigned error_status; /* 0: none */
	int64_t delay_ms;

	/* of a push */
	struct task *task;
	struct producer *producer;
	enum producer_verdict verdict;
	bool is_smile; /* the body; JSON else */
	bool has_answer; /* known from the head: */
	enum answer answer;
	bool is_waiting; /* for room in the firehose's buffer */
	struct check_event *events; /* own, while it waits */
	size_t event_count, taken;

	/* of an answer that is given late */
	struct loop_timer timer;
	struct sandbox_reply reply;
};

/* sandbox_http's callbacks; the context is the sandbox. */
void sandbox_exchange_begin(void *sandbox, struct sandbox_request *);
void sandbox_exchange_finish(void *sandbox, struct sandbox_request *);
void sandbox_exchange_gone(void *sandbox, struct sandbox_request *);

/* Each answers, and ends the exchange. */
void sandbox_exchange_answer(
    struct exchange *, enum answer, const char *one, const char *two);
void sandbox_exchange_reply(struct exchange *, const struct sandbox_reply *);
void sandbox_exchange_json(struct exchange *, unsigned status, struct json **);
void
sandbox_exchange_text(struct exchange *, unsigned status, const char *text);
void sandbox_exchange_reset(struct exchange *);
/* Ends the exchange; its request is the caller's to answer. */
void sandbox_exchange_hand_over(struct exchange *);
/* Own copies of head and body, for what happens after the callback. */
void sandbox_exchange_keep(struct exchange *);

/* A task's exchanges, when its firehose closes, its process is killed, or
 * its buffer has room. */
void sandbox_exchange_task_closed(struct task *);
void sandbox_exchange_task_died(struct task *);
void sandbox_exchange_task_has_room(struct task *);
/* Faults were ended: what they held up goes on. */
void sandbox_exchange_faults_changed(struct sandbox *);
/* All but this one are reset. */
void sandbox_exchange_clear(struct sandbox *, struct exchange *but);

bool sandbox_exchange_field(const struct exchange *, const char *name,
    const char **value, size_t *bytes);
bool sandbox_exchange_is_method(const struct exchange *, const char *method);
/* A query parameter, decoded; false: it is not there, or longer than out. */
bool sandbox_exchange_query(
    const struct exchange *, const char *name, char *out, size_t size);

#define PATH_SEGMENTS_MAX 8

/* A path's segments, decoded; a slash at the end is ignored. */
struct path {
	char text[HTTP_TARGET_MAX + PATH_SEGMENTS_MAX];
	const char *segments[PATH_SEGMENTS_MAX];
	unsigned count;
};

/* The path behind `base`; false: not below it, or malformed. */
bool
sandbox_exchange_path(const struct exchange *, const char *base, struct path *);

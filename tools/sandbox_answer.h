/*
 * sandbox_answer - what a Druid of a given version says, word by word
 *
 * Process: tranq-sandbox. Pure. One table (druid-api.md 1.2 to 1.5, 5.1 and
 * 5.2), so that an answer that a real Druid gives otherwise is corrected in
 * one place.
 */
#pragma once

#include "base.h"
#include "buf.h"

/* 0.12.3 is 12003, 30.0.1 is 30000001: they compare as the releases do. */
#define DRUID(major, minor, patch) ((major)*1000000u + (minor)*1000u + (patch))
#define DRUID_GZIP_BODIES DRUID(0, 13, 0)
#define DRUID_PRODUCERS DRUID(0, 12, 0)
#define DRUID_IDLE_TIME DRUID(0, 13, 0)
#define DRUID_APPENDERATOR DRUID(0, 13, 0)
#define DRUID_NO_PUSH DRUID(31, 0, 0)
#define DRUID_SKIPS_RESTART DRUID(33, 0, 0)
#define DRUID_SUPERVISOR_ID DRUID(34, 0, 0) /* its own, not the dataSource's */
#define DRUID_BATCH DRUID(0, 17, 0) /* inputSource, inputFormat */
#define DRUID_STATUS_LONG DRUID(0, 13, 0)
#define DRUID_STATUS_GROUP DRUID(0, 16, 0)
#define DRUID_LOCATION_TLS DRUID(0, 11, 0)
#define DRUID_ID_ENCODED DRUID(0, 14, 0)
#define DRUID_LEADER_SCHEME DRUID(0, 10, 0)

enum answer {
	/* a task's chat handlers */
	ANSWER_PUSHED, /* $1 events */
	ANSWER_SKIPPED,
	ANSWER_SEQ_MISSING,
	ANSWER_SEQ_NO_NUMBER,
	ANSWER_PRODUCERS_FULL,
	ANSWER_BODY_MALFORMED, /* $1 why */
	ANSWER_ROW_MALFORMED, /* $1 the timestamp's value */
	ANSWER_FIREHOSE_CLOSED,
	ANSWER_MEDIA_TYPE,
	ANSWER_OTHER_TASK, /* $1 asked for, $2 here */
	ANSWER_NO_HANDLER, /* $1 name */
	ANSWER_SHUT_DOWN,
	ANSWER_SHUTOFF_TIME, /* $1 why */
	/* the Overlord */
	ANSWER_SUBMITTED, /* $1 id */
	ANSWER_TASK_EXISTS, /* $1 id */
	ANSWER_TASK_REFUSED, /* $1 why */
	ANSWER_TASK_TYPE, /* $1 type */
	ANSWER_TASK_ID_ILLEGAL, /* $1 why */
	ANSWER_JSON_BROKEN, /* $1 why */
	ANSWER_QUEUE_FULL, /* $1 most */
	ANSWER_STATUS_UNKNOWN, /* $1 id */
	ANSWER_TASK_UNKNOWN, /* $1 id */
	ANSWER_NO_REPORT, /* $1 id */
	ANSWER_KILLED, /* $1 id */
	ANSWER_LEADER,
	ANSWER_NO_LEADER,
	ANSWER_HEALTH,
	ANSWER_DRUID_STATUS, /* $1 version */
	ANSWER_DRUID_STATUS_KAFKA, /* $1 version */
	ANSWER_STATE_WRONG, /* $1 state */
	ANSWER_IDS_MISSING,
	ANSWER_ALL_KILLED, /* $1 dataSource */
	ANSWER_AWAY,
	ANSWER_REDIRECT,
	/* of supervisors */
	ANSWER_SUPERVISOR_ID, /* $1 id */
	ANSWER_SUPERVISOR_POSTED, /* $1 id, $2 whether it was started again */
	ANSWER_SUPERVISOR_UNKNOWN, /* $1 id */
	ANSWER_SUPERVISOR_ALREADY, /* $1 id, $2 "suspended" or "running" */
	ANSWER_SUPERVISOR_TYPE, /* $1 type */
	ANSWER_SUPERVISOR_REFUSED, /* $1 why */
	ANSWER_SUPERVISOR_STREAM, /* $1 the topic before, $2 the wanted one */
	ANSWER_SUPERVISOR_GROUPS, /* none, or none of these */
	ANSWER_SUPERVISOR_HANDED_OFF,
	/* all */
	ANSWER_UNAUTHORIZED,
	ANSWER_NOT_FOUND,
	ANSWER_METHOD,
	ANSWER_FAULT, /* $1 why */
	ANSWERS
};

struct sandbox_answer_row {
	enum answer answer;
	unsigned since; /* release */
	unsigned status;
	const char *type; /* content type, or NULL: no body */
	const char *body; /* $1, $2: arguments, within quotes escaped */
};

/* "30.0.1", "0.12.3", "24.0". False: none. */
bool sandbox_answer_version_parse(const char *text, unsigned *version);
/* The table's row for a release; every answer has one for each. */
const struct sandbox_answer_row *
sandbox_answer_row(enum answer, unsigned version);
/* The row's body with its arguments (NULL: not used by it). */
void sandbox_answer_compose(const struct sandbox_answer_row *, const char *one,
    const char *two, struct buf *);

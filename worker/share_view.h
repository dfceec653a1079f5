/*
 * share_view - what tranqds have agreed on of a topic that they share
 *
 * Process: worker. Pure.   After: pull_share reads it in ZooKeeper.
 *
 * A member is a log that was ever a partition: its number, whose log it is, and
 * where it is served. Numbers grow by one and never come again; a spool that is
 * lost leaves its number behind, and its successor is another member. Who is
 * alive leads his own partition; the lowest number that is alive stands in for
 * those that are not, and sees to Druid's supervisor.
 */
#pragma once

#include "endpoint.h"
#include "log_peers.h"
#include "spool.h"

#define SHARE_TOKEN_BYTES 40

/* One that is alive: it holds the number now. */
struct share_holder {
	bool is_there;
	char token[SHARE_TOKEN_BYTES]; /* of its process */
	struct endpoint at;
};

struct share_member {
	char log[SPOOL_IDENTITY_BYTES];
	struct endpoint at; /* where it was served last */
	uint64_t start, end; /* of its log, as it has said last */
	bool seeded; /* Druid has an offset of it */
	/* all of it is read, and it wants to know what is committed */
	bool suspends;
	int32_t version; /* of its node */
	struct share_holder holder;
};

struct share_view {
	unsigned count; /* numbers 0 to count - 1 */
	struct share_member all[LOG_PEERS_MAX];
};

/* A node's text. False: it makes no sense. */
bool share_view_read_member(
    struct share_member *, const char *bytes, size_t count) MUST_CHECK;
char *share_view_write_member(const struct share_member *); /* new */
bool share_view_read_holder(
    struct share_holder *, const char *bytes, size_t count) MUST_CHECK;
char *share_view_write_holder(const struct share_holder *);

/* −1: no member has this log. */
int share_view_of_log(const struct share_view *, const char *log);
/* Druid has offsets of some member: a supervisor was there. */
bool share_view_has_begun(const struct share_view *);
/* Somebody who is alive wants it. */
bool share_view_suspends(const struct share_view *);
/* "tq1:9094,tq2:9094", new: of all that Druid is to know of, by their numbers, so
 * that it is another text when one has got its offset: its supervisor, which has
 * heard of the partition by that, hands over to tasks that read it only when it is
 * made anew (Druid 33), or when their time is over. */
char *share_view_servers(const struct share_view *);

/* As one of them sees it. */
struct share_self {
	unsigned number; /* LOG_PEERS_MAX: he has none yet */
	bool holds; /* the number is his: he alone serves it */
	struct endpoint at;
};

/* Whether he is the one who sees to the supervisor. */
bool share_view_manages(const struct share_view *, const struct share_self *);
/* Who serves what: of partitions that Druid may know of. */
void share_view_peers(
    const struct share_view *, const struct share_self *, struct log_peers *);

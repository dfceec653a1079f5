/*
 * pull_share - the partitions of a topic, agreed on in ZooKeeper
 *
 * Process: worker.   After: pull_care.   Before: zk, share_view.
 *
 * Below `base`, a node of tranqd's own:
 *
 *   partitions/{n}   persistent, for ever: whose log it is (share_view.h)
 *   alive/{n}        ephemeral: who has the number now
 *
 * A log that has no number takes the next one by making its node; whoever makes
 * it first has it. The number is then kept in the spool (pull_share_stored), and
 * only then held, by alive/{n}. A log whose number has somebody else's log in
 * ZooKeeper, or is held by another process, serves nothing: one of the two is a
 * copy, and that is said. Who is killed between the steps finds his log's node
 * and goes on.
 *
 * While ZooKeeper is away all stays as it was agreed last.
 */
#pragma once

#include "json.h"
#include "loop.h"
#include "log_page.h"
#include "share_view.h"
#include "zk.h"

struct pull_share;

/* What must stay. */
struct pull_share_parts {
	struct loop *loop;
	struct zk *zk;
	const char *base;
	const char *log; /* our log's identity */
	struct endpoint at; /* where we serve it */
	/* Something is another one than before. */
	void (*changed)(void *context);
	void *context;
};

/* number: as the spool has it; −1: it has none. is_seeded: it was, by then, which
 * counts when ZooKeeper has lost what it knew. */
struct pull_share *
pull_share_new(const struct pull_share_parts *, int number, bool is_seeded);
void pull_share_free(struct pull_share **);
/* −1: it has none yet. */
int pull_share_number(const struct pull_share *);
/* The spool has it now. */
void pull_share_stored(struct pull_share *);
/* It is ours, and all is agreed on. */
bool pull_share_holds(const struct pull_share *);
/* We see to the supervisor: as far as ZooKeeper is there and says so now. */
bool pull_share_manages(const struct pull_share *);
/* Then, of a topic that Druid reads, the first partition that is alive and of
 * which it has no offset; −1: there is none. Offsets are stored before anybody
 * can read there, never afterwards. */
int pull_share_unseeded(const struct pull_share *);
const struct share_view *pull_share_view(const struct pull_share *);
struct share_self pull_share_self(const struct pull_share *);

/* What others are to know; in good time. */
void pull_share_tell(struct pull_share *, struct log_range);
void pull_share_suspend(struct pull_share *, bool);
/* Druid has an offset of the first so many members, or of this one. */
void pull_share_seeded(struct pull_share *, unsigned first, unsigned count);

/* A sentence about what is wrong; "": nothing. */
const char *pull_share_trouble(const struct pull_share *);

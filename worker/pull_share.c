/*
 * pull_share - the partitions of a topic, agreed on in ZooKeeper
 *
 * Process: worker.
 */
#include "pull_share.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "panic.h"

#define RETRY_MS 1000
#define RANGE_MS 10000 /* between two words on how far the log goes */
#define TROUBLE_BYTES 500
#define COMPLAIN_MS 60000

struct pull_share {
	struct pull_share_parts p;
	char *base;
	int number;
	bool is_stored;
	bool holds; /* alive/{number} is ours, as far as we know */
	uint64_t held_in; /* the session in which it was made; 0: it was not */
	uint64_t
	    tried_in; /* and that in which it was not there, and asked for */
	struct share_holder self; /* what we write there */
	struct share_view view, next; /* agreed; as it is being read */
	bool is_known; /* the view */
	char seen_at[LOG_PEERS_MAX]; /* of `next`: which are there */

	/* what we want to have written of ourselves, and of others */
	struct log_range range;
	bool range_is_due, suspends;
	bool seeded[LOG_PEERS_MAX];

	struct zk_call *call;
	unsigned at; /* the node that is asked for */
	bool is_due; /* look once more when the call is over */
	struct zk_listener listener;
	struct zk_watch partitions, alive, nodes[LOG_PEERS_MAX];
	struct loop_timer retry, range_timer;
	char trouble[TROUBLE_BYTES];
	int64_t complained_ms;
};

static void look(struct pull_share *);
static void read_member(struct pull_share *);
static void read_holder(struct pull_share *);

static void
set_trouble(struct pull_share *s, const char *text)
{
	if (strcmp(s->trouble, text) == 0)
		return;
	snprintf(s->trouble, sizeof s->trouble, "%s", text);
	s->p.changed(s->p.context);
}

static void
complain(struct pull_share *s, const char *text)
{
	if (log_may_repeat(&s->complained_ms, COMPLAIN_MS))
		log_error("%s", text);
	set_trouble(s, text);
}

static void
complain_of_refusal(struct pull_share *s)
{
	complain(s,
	    "pull: ZooKeeper refuses what tranqds agree in; look at "
	    "zookeeper.path, zookeeper.auth and the nodes' ACL");
}

/* ---- looking ---- */

static void
retry_due(struct loop_timer *t)
{
	look(t->context);
}

static void
try_again(struct pull_share *s)
{
	loop_timer_start(s->p.loop, &s->retry, RETRY_MS, retry_due);
}

/* At once, or when what is under way is over. */
static void
look_soon(struct pull_share *s)
{
	s->is_due = true;
	if (s->call == NULL)
		look(s);
}

static void
node_changed(struct zk_watch *w)
{
	look_soon(w->context);
}

static char *
node_path(const struct pull_share *s, const char *folder, unsigned number)
{
	return must_format("%s/%s/%u", s->base, folder, number);
}

static void
get(struct pull_share *s, const char *folder, struct zk_watch *w,
    zk_done_fn *done)
{
	char *path = node_path(s, folder, s->at);

	if (w != NULL)
		zk_watch_stop(w);
	s->call = zk_get(s->p.zk, path, w, done, s);
	free(path);
}

/* A number as a node's name; −1: none of ours. */
static int
number_of(const char *name)
{
	char *end;
	unsigned long n = strtoul(name, &end, 10);
	char text[16];

	if (end == name || *end != '\0' || n >= LOG_PEERS_MAX)
		return -1;
	snprintf(text, sizeof text, "%lu", n);
	return strcmp(text, name) == 0 ? (int)n : -1;
}

/* ---- deciding ---- */

static void
compute(struct pull_share *s)
{
	s->view = s->next;
	s->is_known = true;
	/* for the day when ZooKeeper has lost it */
	if (s->is_stored && s->number < (int)s->view.count &&
	    strcmp(s->view.all[s->number].log, s->p.log) == 0)
		s->seeded[s->number] |= s->view.all[s->number].seeded;
	s->p.changed(s->p.context);
}

/* What is there now, whoever was first; at once where that is another answer
 * than the last time. */
static void
look_after(struct pull_share *s, const struct zk_answer *a)
{
	s->call = NULL;
	if (a->result == RESULT_OK ||
	    (a->result == RESULT_REFUSED &&
		(a->refusal == ZK_REFUSED_EXISTS ||
		    a->refusal == ZK_REFUSED_VERSION))) {
		look(s);
		return;
	}
	if (a->result == RESULT_REFUSED)
		complain_of_refusal(s);
	try_again(s);
}

static void
written(void *context, const struct zk_answer *a)
{
	look_after(context, a);
}

static void
number_taken(void *context, const struct zk_answer *a)
{
	FAULT_POINT(SHARE_TAKEN);
	look_after(context, a); /* it is found there by its log */
}

static void
write_member(struct pull_share *s, unsigned number,
    const struct share_member *m, bool is_new)
{
	char *path = node_path(s, "partitions", number);
	char *text = share_view_write_member(m);
	struct zk_node node = { .path = path,
		.bytes = text,
		.byte_count = strlen(text),
		.version = m->version,
		.flags = (enum zk_create_flags)(ZK_PERSISTENT | ZK_PARENTS) };

	s->call = is_new ? zk_create(s->p.zk, &node, number_taken, s)
			 : zk_set(s->p.zk, &node, written, s);
	free(text);
	free(path);
}

static struct share_member
own_member(const struct pull_share *s)
{
	struct share_member m = {
		.at = s->p.at, .start = s->range.start, .end = s->range.end
	};

	snprintf(m.log, sizeof m.log, "%s", s->p.log);
	return m;
}

static void
take_number(struct pull_share *s, unsigned number)
{
	struct share_member m = own_member(s);

	m.seeded = number < LOG_PEERS_MAX && s->number == (int)number &&
	    s->seeded[number];
	if (number >= LOG_PEERS_MAX) {
		complain(s,
		    "pull: the topic has 64 partitions, and each spool that "
		    "was ever lost is one of them; there is no number for "
		    "this one. Give the dataSource another name");
		return;
	}
	FAULT_POINT(SHARE_TAKE);
	write_member(s, number, &m, true);
}

/* What is written of a member is not as it is to be. */
static bool
is_stale(const struct pull_share *s, unsigned number, struct share_member *m)
{
	const struct share_member *is = &s->view.all[number];

	*m = *is;
	m->seeded |= s->seeded[number];
	if ((int)number == s->number) {
		m->at = s->p.at;
		m->suspends = s->suspends;
		if (s->range_is_due || !is->seeded || s->suspends) {
			m->start = s->range.start;
			m->end = s->range.end;
		}
	}
	return m->seeded != is->seeded || m->suspends != is->suspends ||
	    m->start != is->start || m->end != is->end ||
	    m->at.port != is->at.port || strcmp(m->at.host, is->at.host) != 0;
}

static bool
write_stale(struct pull_share *s)
{
	struct share_member m;

	for (unsigned i = 0; i < s->view.count; i++)
		if (is_stale(s, i, &m)) {
			s->range_is_due &= (int)i != s->number;
			write_member(s, i, &m, false);
			return true;
		}
	return false;
}

static void
held(void *context, const struct zk_answer *a)
{
	struct pull_share *s = context;

	if (a->result == RESULT_OK)
		FAULT_POINT(SHARE_HELD);
	look_after(s, a);
}

static void
hold(struct pull_share *s)
{
	char *path = node_path(s, "alive", (unsigned)s->number);
	char *text = share_view_write_holder(&s->self);
	struct zk_node node = { .path = path,
		.bytes = text,
		.byte_count = strlen(text),
		.flags = (enum zk_create_flags)(ZK_EPHEMERAL | ZK_PARENTS) };

	s->tried_in = zk_session(s->p.zk);
	s->call = zk_create(s->p.zk, &node, held, s);
	free(text);
	free(path);
}

static void
complain_of_holder(struct pull_share *s, const struct share_holder *h)
{
	char *text = must_format(
	    "pull: partition %d is served by another tranqd, at %s:%u, that "
	    "has this log too: one of the two spools is a copy. This one "
	    "serves nothing; stop it, and give it an empty tranqd.dataDir "
	    "if it is the copy",
	    s->number, h->at.host, h->at.port);

	complain(s, text);
	free(text);
}

/* Clients would take the two for one. */
static bool
shares_address(struct pull_share *s)
{
	for (unsigned i = 0; i < s->view.count; i++) {
		const struct share_holder *h = &s->view.all[i].holder;
		char *text;

		if ((int)i == s->number || !h->is_there ||
		    h->at.port != s->p.at.port ||
		    strcmp(h->at.host, s->p.at.host) != 0)
			continue;
		text = must_format("pull: partition %u is served at %s:%u, "
				   "too: each tranqd needs a pull.advertise "
				   "of its own",
		    i, h->at.host, h->at.port);
		complain(s, text);
		free(text);
		return true;
	}
	return false;
}

/* Of our own number: ours, another's, or nobody's. true: something is written. */
static bool
look_at_holder(struct pull_share *s)
{
	const struct share_holder *h = &s->view.all[s->number].holder;

	if (!h->is_there) {
		hold(s);
		return true;
	}
	s->holds = strcmp(h->token, s->self.token) == 0;
	/* also when the answer to that was lost */
	if (s->holds && s->tried_in == zk_session(s->p.zk))
		s->held_in = s->tried_in;
	if (s->holds && s->held_in != zk_session(s->p.zk)) {
		/* of our last session, which ends by itself */
		try_again(s);
		return false;
	}
	if (!s->holds)
		complain_of_holder(s, h);
	else if (!shares_address(s))
		set_trouble(s, "");
	return false;
}

static bool
has_own_node(struct pull_share *s)
{
	const struct share_member *m = &s->view.all[s->number];
	char *text;

	if (s->number < (int)s->view.count && strcmp(m->log, s->p.log) == 0)
		return true;
	s->holds = false;
	if (s->number == (int)s->view.count) {
		/* ZooKeeper has lost it: Druid knows us by it all the same */
		take_number(s, (unsigned)s->number);
		return false;
	}
	if (s->number > (int)s->view.count) {
		complain(s,
		    "pull: ZooKeeper knows less partitions than this spool is "
		    "one of; start the other tranqds, too");
		try_again(s); /* there may be no node that could be watched */
		return false;
	}
	text = must_format("pull: this spool is partition %d, and ZooKeeper "
			   "has another log for that: %s, of %s:%u. Nothing is "
			   "served; remove %s/partitions/%d if that one is "
			   "gone for good",
	    s->number, m->log, m->at.host, m->at.port, s->base, s->number);
	complain(s, text);
	free(text);
	return false;
}

static void
decide(struct pull_share *s)
{
	compute(s);
	if (s->number < 0) {
		s->number = share_view_of_log(&s->view, s->p.log);
		if (s->number < 0)
			take_number(s, s->view.count);
		else
			s->p.changed(s->p.context); /* to be stored */
		return;
	}
	if (!s->is_stored || !has_own_node(s))
		return;
	if (!look_at_holder(s) && s->holds)
		(void)write_stale(s);
	s->p.changed(s->p.context);
}

/* ---- reading ---- */

static void
over(struct pull_share *s)
{
	s->call = NULL;
	if (s->is_due) {
		look(s);
		return;
	}
	decide(s);
}

/* Calls go on, or end here: nothing is known now. */
static bool
failed(struct pull_share *s, const struct zk_answer *a)
{
	s->call = NULL;
	if (a->result == RESULT_OK || a->result == RESULT_GONE)
		return false;
	if (a->result == RESULT_REFUSED)
		complain_of_refusal(s);
	try_again(s);
	return true;
}

static void
holder_read(void *context, const struct zk_answer *a)
{
	struct pull_share *s = context;
	struct share_holder *h = &s->next.all[s->at].holder;

	if (failed(s, a))
		return;
	*h = (struct share_holder){ .is_there = false };
	if (a->result == RESULT_OK &&
	    !share_view_read_holder(h, a->bytes, a->byte_count)) {
		complain(s,
		    "pull: a node below alive/ in ZooKeeper makes no sense; "
		    "nothing is agreed on until it does");
		try_again(s);
		return;
	}
	s->at++;
	read_holder(s);
}

static void
read_holder(struct pull_share *s)
{
	while (s->at < s->next.count && !s->seen_at[s->at])
		s->next.all[s->at++].holder.is_there = false;
	if (s->at < s->next.count)
		get(s, "alive", NULL, holder_read);
	else
		over(s);
}

static void
alive_read(void *context, const struct zk_answer *a)
{
	struct pull_share *s = context;

	if (failed(s, a))
		return;
	memset(s->seen_at, 0, sizeof s->seen_at);
	for (size_t i = 0; a->result == RESULT_OK && i < a->name_count; i++) {
		int n = number_of(a->names[i]);

		if (n >= 0)
			s->seen_at[n] = true;
	}
	s->at = 0;
	read_holder(s);
}

static void
read_alive(struct pull_share *s)
{
	char *path = must_format("%s/alive", s->base);

	zk_watch_stop(&s->alive);
	s->call = zk_children(s->p.zk, path, &s->alive, alive_read, s);
	free(path);
}

static void
member_read(void *context, const struct zk_answer *a)
{
	struct pull_share *s = context;
	struct share_member *m = &s->next.all[s->at];

	if (failed(s, a))
		return;
	*m = (struct share_member){ .version = a->version };
	if (a->result == RESULT_GONE && s->is_stored &&
	    (int)s->at == s->number) {
		take_number(s, s->at); /* ours, and somebody has removed it */
		return;
	}
	if (a->result != RESULT_OK ||
	    !share_view_read_member(m, a->bytes, a->byte_count)) {
		complain(s,
		    "pull: a node of a partition in ZooKeeper is not there or "
		    "makes no sense; nothing is agreed on until it does");
		try_again(s);
		return;
	}
	s->at++;
	read_member(s);
}

static void
read_member(struct pull_share *s)
{
	if (s->at < s->next.count)
		get(s, "partitions", &s->nodes[s->at], member_read);
	else
		read_alive(s);
}

/* Numbers have no holes, and none goes away. */
static void
partitions_read(void *context, const struct zk_answer *a)
{
	struct pull_share *s = context;
	int most = -1;

	if (failed(s, a))
		return;
	for (size_t i = 0; a->result == RESULT_OK && i < a->name_count; i++)
		most = MAX_OF(most, number_of(a->names[i]));
	s->next.count = (unsigned)(most + 1);
	s->at = 0;
	read_member(s);
}

static void
look(struct pull_share *s)
{
	char *path = must_format("%s/partitions", s->base);

	zk_cancel(&s->call);
	loop_timer_stop(&s->retry);
	s->is_due = false;
	zk_watch_stop(&s->partitions);
	s->call =
	    zk_children(s->p.zk, path, &s->partitions, partitions_read, s);
	free(path);
}

static void
session_changed(struct zk_listener *l, enum zk_state state)
{
	struct pull_share *s = l->context;

	if (state == ZK_CONNECTED)
		look(s);
	s->p.changed(s->p.context);
}

/* ---- what others ask ---- */

struct pull_share *
pull_share_new(const struct pull_share_parts *p, int number, bool is_seeded)
{
	struct pull_share *s = must_calloc(1, sizeof *s);
	struct zk_watch *all[] = { &s->partitions, &s->alive };

	s->p = *p;
	s->base = must_strdup(p->base);
	s->number = number;
	s->is_stored = number >= 0;
	if (number >= 0 && number < (int)LOG_PEERS_MAX)
		s->seeded[number] = is_seeded;
	snprintf(s->self.token, sizeof s->self.token, "%d-%" PRIx64,
	    (int)getpid(), (uint64_t)clock_mono_ns());
	s->self.at = p->at;
	for (size_t i = 0; i < ARRAY_LEN(all) + LOG_PEERS_MAX; i++) {
		struct zk_watch *w =
		    i < ARRAY_LEN(all) ? all[i] : &s->nodes[i - ARRAY_LEN(all)];

		w->fired = node_changed;
		w->context = s;
	}
	s->retry.context = s->range_timer.context = s;
	s->listener.changed = session_changed;
	s->listener.context = s;
	zk_listen(p->zk, &s->listener);
	if (zk_is_connected(p->zk))
		look(s);
	return s;
}

void
pull_share_free(struct pull_share **share)
{
	struct pull_share *s = *share;

	*share = NULL;
	if (s == NULL)
		return;
	zk_cancel(&s->call);
	zk_unlisten(&s->listener);
	zk_watch_stop(&s->partitions);
	zk_watch_stop(&s->alive);
	for (unsigned i = 0; i < LOG_PEERS_MAX; i++)
		zk_watch_stop(&s->nodes[i]);
	loop_timer_stop(&s->retry);
	loop_timer_stop(&s->range_timer);
	free(s->base);
	free(s);
}

int
pull_share_number(const struct pull_share *s)
{
	return s->number;
}

void
pull_share_stored(struct pull_share *s)
{
	if (s->is_stored)
		return;
	s->is_stored = true;
	look_soon(s);
}

bool
pull_share_holds(const struct pull_share *s)
{
	return s->is_known && s->is_stored && s->holds;
}

bool
pull_share_manages(const struct pull_share *s)
{
	struct share_self self = pull_share_self(s);

	return zk_is_connected(s->p.zk) && s->held_in == zk_session(s->p.zk) &&
	    share_view_manages(&s->view, &self);
}

int
pull_share_unseeded(const struct pull_share *s)
{
	/* as long as none is known to be, it is not known whether Druid has
	 * offsets: ZooKeeper may have lost what was agreed on */
	if (!pull_share_manages(s) || !share_view_has_begun(&s->view))
		return -1;
	for (unsigned i = 0; i < s->view.count; i++) {
		const struct share_member *m = &s->view.all[i];

		if (m->holder.is_there && !m->seeded && !s->seeded[i])
			return (int)i;
	}
	return -1;
}

const struct share_view *
pull_share_view(const struct pull_share *s)
{
	return &s->view;
}

struct share_self
pull_share_self(const struct pull_share *s)
{
	return (struct share_self){
		.number = s->number >= 0 ? (unsigned)s->number : LOG_PEERS_MAX,
		.holds = pull_share_holds(s),
		.at = s->p.at
	};
}

static void
range_due(struct loop_timer *t)
{
	struct pull_share *s = t->context;

	s->range_is_due = true;
	look_soon(s);
}

void
pull_share_tell(struct pull_share *s, struct log_range range)
{
	if (range.start == s->range.start && range.end == s->range.end)
		return;
	s->range = range;
	if (!loop_timer_active(&s->range_timer))
		loop_timer_start(
		    s->p.loop, &s->range_timer, RANGE_MS, range_due);
}

void
pull_share_suspend(struct pull_share *s, bool on)
{
	if (s->suspends == on)
		return;
	s->suspends = on;
	look_soon(s);
}

void
pull_share_seeded(struct pull_share *s, unsigned first, unsigned count)
{
	bool is_new = false;

	for (unsigned i = first; i < first + count && i < LOG_PEERS_MAX; i++) {
		is_new |= !s->seeded[i];
		s->seeded[i] = true;
	}
	if (is_new)
		look_soon(s);
}

const char *
pull_share_trouble(const struct pull_share *s)
{
	return s->trouble;
}

/*
 * post - a POST from its body to its answer
 *
 * Process: receiver.
 */
#include "post.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fault.h"
#include "offer.h"
#include "panic.h"
#include "request_key.h"
#include "settle.h"

#define RETRY_AFTER_S 1
#define DRAINING_RETRY_AFTER_S 10

static void
forget_shares(struct outlets *outlets, struct share *s)
{
	struct posts *ps = CONTAINER_OF(outlets, struct posts, outlets);
	struct share *next;

	for (; s != NULL; s = next) {
		next = s->next_waiting;
		must(s->post == NULL);
		post_free_share(ps, s);
	}
}

void
post_init(struct posts *ps, struct loop *loop, struct memory *memory,
    uint32_t incarnation)
{
	memset(ps, 0, sizeof *ps);
	ps->loop = loop;
	ps->memory = memory;
	ps->outlets.receiver_bell = -1;
	ps->outlets.forget_shares = forget_shares;
	ticket_init(&ps->tickets, incarnation);
	body_init(&ps->reader);
	content_init(&ps->content);
	answer_init(&ps->answer);
	if (incarnation > 1) /* acks for a predecessor's requests */
		settle_expect_strays(ps);
}

void
post_fini(struct posts *ps)
{
	must(ps->open == 0);
	loop_timer_stop(&ps->strays);
	settings_release(&ps->settings);
	while (ps->spare_posts != NULL) {
		struct post *p = ps->spare_posts;

		ps->spare_posts = p->next_spare;
		free(p);
	}
	while (ps->spare_shares != NULL) {
		struct share *s = ps->spare_shares;

		ps->spare_shares = s->next;
		free(s);
	}
	body_fini(&ps->reader);
	content_fini(&ps->content);
	answer_fini(&ps->answer);
	ticket_fini(&ps->tickets);
}

int64_t
post_wall_ms(struct posts *ps)
{
	if (ps->wall_ms == 0)
		ps->wall_ms = clock_wall_ms();
	return ps->wall_ms;
}

static void
count(_Atomic uint64_t *counter)
{
	uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, now + 1, memory_order_relaxed);
}

static enum post_state
refuse(struct reply *reply, unsigned status, const char *text)
{
	*reply = (struct reply){ .status = status, .text = text };
	if (status == 503)
		reply->retry_after_s = RETRY_AFTER_S;
	return POST_ANSWERED;
}

static enum post_state
refuse_full(struct posts *ps, const struct outlet *o, struct reply *reply)
{
	count(&o->channel.header->refused_full);
	snprintf(ps->text, sizeof ps->text, "Buffer full for dataSource '%s'\n",
	    o->channel.header->ds);
	return refuse(reply, 503, ps->text);
}

static enum post_state
refuse_draining(struct posts *ps, const struct outlet *o, struct reply *reply)
{
	count(&o->channel.header->refused_draining);
	snprintf(ps->text, sizeof ps->text,
	    "dataSource '%s' takes no more events here: it is being drained "
	    "(tranqctl drain); send them to another tranqd\n",
	    o->channel.header->ds);
	refuse(reply, 503, ps->text);
	reply->retry_after_s = DRAINING_RETRY_AFTER_S;
	return POST_ANSWERED;
}

static struct settings_ds *
find_ds(struct posts *ps, const struct route *r, struct reply *reply)
{
	struct settings_ds *ds =
	    settings_find(ps->settings, r->ds, r->ds_bytes);
	char name[BODY_SHOWN_BYTES];

	if (ds == NULL) {
		body_show(r->ds, r->ds_bytes, name);
		snprintf(ps->text, sizeof ps->text,
		    "No definition for dataSource '%s'\n", name);
		refuse(reply, 400, ps->text);
	} else if (ds->outlet == NULL) {
		snprintf(ps->text, sizeof ps->text,
		    "dataSource '%s' is not ready yet\n", ds->conf->name);
		refuse(reply, 503, ps->text);
		ds = NULL;
	} else if (UNLIKELY(channel_is_draining(&ds->outlet->channel))) {
		refuse_draining(ps, ds->outlet, reply);
		ds = NULL;
	}
	return ds;
}

bool
post_may_begin(struct posts *ps, const struct route *r, struct reply *reply)
{
	if (r->kind == ROUTE_REFUSED) {
		refuse(reply, r->status, r->text);
		return false;
	}
	return r->kind != ROUTE_POST || r->ds == NULL ||
	    find_ds(ps, r, reply) != NULL;
}

static bool
refuse_content(
    struct posts *ps, const struct body_input *in, struct reply *reply)
{
	if (in->to != NULL && ps->content.status == 400)
		count(&in->to->outlet->channel.header->refused_malformed);
	refuse(reply, ps->content.status, ps->content.error);
	return false;
}

/* The body as JSON, or who writes it. */
static bool
read_content(struct posts *ps, const struct post_input *in,
    struct body_input *to, struct reply *reply)
{
	struct content_input content = { .route = in->route,
		.conf = ps->settings->conf,
		.body = in->body,
		.bytes = in->bytes };

	return LIKELY(content_read(&ps->content, &content, to)) ||
	    refuse_content(ps, to, reply);
}

static bool
read_body(struct posts *ps, struct body_input *in, bool is_detailed,
    struct reply *reply)
{
	struct body_reader *r = &ps->reader;

	in->settings = ps->settings;
	in->now_ms = post_wall_ms(ps);
	if (is_detailed)
		in->drops_max =
		    (uint32_t)ps->settings->conf->http_max_detail_events;
	if (LIKELY(body_read(r, in)))
		return true;
	if (r->status == 0)
		return refuse_content(ps, in, reply);
	if (r->at_fault != NULL && r->at_fault->outlet != NULL)
		count(&r->at_fault->outlet->channel.header->refused_malformed);
	refuse(reply, r->status, r->error);
	return false;
}

/* What the worker has to know of a key that is not in the field. */
static void
complete_key(struct posts *ps, struct event_key *key)
{
	const struct conf *conf = ps->settings->conf;
	size_t bytes;
	const char *body = content_decoded(&ps->content, &bytes);

	request_key_bind(key, body, bytes);
	key->window_ms = conf->http_idempotency_window_ms;
	key->keys_max = (uint32_t)conf->http_idempotency_keys;
}

static struct post *
new_post(struct posts *ps, const struct post_input *in)
{
	struct post *p = ps->spare_posts;

	if (p != NULL)
		ps->spare_posts = p->next_spare;
	else
		p = must_malloc(sizeof *p);
	memset(p, 0, sizeof *p);
	p->posts = ps;
	p->owner = in->owner;
	p->is_async = in->route->is_async;
	p->is_keyed = in->key != NULL;
	p->is_smile = in->route->type == ROUTE_SMILE;
	p->is_detailed = in->route->is_detailed;
	p->body = in->body;
	p->settings = settings_hold(ps->settings);
	ps->open++;
	return p;
}

static struct share *
new_share(struct post *p, struct share **at)
{
	struct posts *ps = p->posts;
	struct share *s = ps->spare_shares;

	if (s != NULL)
		ps->spare_shares = s->next;
	else
		s = must_malloc(sizeof *s);
	memset(s, 0, sizeof *s);
	s->post = p;
	s->batches = s->few_batches;
	s->batch_size = SHARE_BATCHES_FEW;
	*at = s;
	return s;
}

void
post_free_share(struct posts *ps, struct share *s)
{
	if (s->batches != s->few_batches)
		free(s->batches);
	s->next = ps->spare_shares;
	ps->spare_shares = s;
}

static void
unblock(struct post *p)
{
	struct outlet *o = p->blocked_at;

	if (o == NULL)
		return;
	if (p->previous_blocked != NULL)
		p->previous_blocked->next_blocked = p->next_blocked;
	else
		o->first_blocked = p->next_blocked;
	if (p->next_blocked != NULL)
		p->next_blocked->previous_blocked = p->previous_blocked;
	else
		o->last_blocked = p->previous_blocked;
	p->next_blocked = p->previous_blocked = NULL;
	p->blocked_at = NULL;
	outlet_waited(o);
}

static void
block_at(struct post *p, struct outlet *o)
{
	if (p->blocked_at == o)
		return;
	unblock(p);
	p->blocked_at = o;
	p->previous_blocked = o->last_blocked;
	if (o->last_blocked != NULL)
		o->last_blocked->next_blocked = p;
	else
		o->first_blocked = p;
	o->last_blocked = p;
	outlet_wait(o);
}

/* What was kept while it waited for room. */
static void
drop_kept(struct post *p)
{
	body_free_plan(&p->plan);
	free(p->kept);
	p->kept = NULL;
	if (p->charged > 0)
		memory_credit(p->posts->memory, p->charged);
	p->charged = 0;
}

static void
end_offer(struct share *s)
{
	if (s->is_offering)
		channel_offers(&s->outlet->channel, -1);
	s->is_offering = false;
}

static void
end_share(struct posts *ps, struct share *s, const struct post *p)
{
	end_offer(s);
	if (p->ticket != 0 && p->is_begun && !s->is_settled) {
		outlet_waited(s->outlet);
		settle_expect_strays(ps);
	}
	s->post = NULL;
	if (!s->is_waiting)
		post_free_share(ps, s);
}

static void
end_post(struct post *p)
{
	struct posts *ps = p->posts;
	struct share *s, *next;

	for (s = p->shares; s != NULL; s = next) {
		next = s->next;
		end_share(ps, s, p);
	}
	loop_timer_stop(&p->timer);
	if (p->ticket != 0)
		ticket_end(&ps->tickets, p->ticket);
	unblock(p);
	drop_kept(p);
	drops_free(&p->drops);
	if (p->drops_charged > 0)
		memory_credit(ps->memory, p->drops_charged);
	settings_release(&p->settings);
	p->next_spare = ps->spare_posts;
	ps->spare_posts = p;
	ps->open--;
}

void
post_abandon(struct post *p)
{
	end_post(p);
}

void
post_answer(struct post *p, struct reply *reply)
{
	FAULT_POINT(ANSWER);
	if (reply->status == 200 && (p->is_smile || p->is_detailed))
		answer_compose(&p->posts->answer, reply,
		    p->is_detailed ? &p->drops : NULL, p->is_smile);
	p->posts->done(p->owner, reply);
	end_post(p);
}

/* What must be free before the first byte is written: all of a small share, a
 * block of one that goes piece by piece. */
static uint64_t
room_needed(const struct body_share *s)
{
	uint64_t half = s->ds->outlet->channel.events.size / 2;

	if (s->bytes <= half || !s->ds->conf->block_on_full)
		return s->bytes;
	return MIN_OF(s->bytes, s->ds->block_bytes_max);
}

/* The first outlet that has no room, that others wait at, or that is being
 * drained. */
static struct outlet *
find_full(const struct post *p, const struct body_plan *plan)
{
	for (unsigned i = 0; i < plan->share_count; i++) {
		const struct body_share *s = &plan->shares[i];
		struct outlet *o = s->ds->outlet;
		struct ring *ring = &o->channel.events;

		if (o->first_blocked != NULL && o->first_blocked != p)
			return o;
		/* in the ring it would wait for room in the spool */
		if (s->bytes > 0 &&
		    (channel_is_stopped(&o->channel) ||
			channel_is_draining(&o->channel)))
			return o;
		if (ring_free_bytes(ring) < room_needed(s))
			return o;
	}
	return NULL;
}

/* With 1: they will be written to, if they are not drained. */
static void
announce(const struct body_plan *plan, int more)
{
	for (unsigned i = 0; i < plan->share_count; i++)
		if (plan->shares[i].bytes > 0)
			channel_offers(
			    &plan->shares[i].ds->outlet->channel, more);
}

static void
begin_shares(struct post *p, struct body_plan *plan)
{
	struct share **at = &p->shares;

	p->is_begun = true;
	p->received = plan->received;
	p->not_durable = p->not_settled = plan->share_count;
	p->not_told = p->is_keyed ? plan->share_count : 0;
	for (unsigned i = 0; i < plan->share_count; i++) {
		struct body_share *from = &plan->shares[i];
		struct share *s = new_share(p, at);

		s->outlet = from->ds->outlet;
		s->is_offering = from->bytes > 0;
		s->events = from->events - from->late;
		p->late[from->policy] += from->late;
		for (int j = 0; j < DROP_REASONS; j++)
			p->dropped[j] += from->dropped[j];
		s->late = from->late;
		s->window_dropped = from->dropped[DROP_WINDOW];
		s->policy = from->policy;
		from->all = from->events + from->dropped[DROP_WINDOW];
		if (from->dropped[DROP_WINDOW] > 0)
			drops_log(&from->ds->note, from->ds->conf->name,
			    from->dropped[DROP_WINDOW], from->dropped_ms);
		count(&s->outlet->channel.header->requests);
		if (p->ticket != 0)
			outlet_wait(s->outlet);
		at = &s->next;
	}
}

/* The share is in the ring: from here on it waits for the ring's head. */
static void
share_written(struct share *s)
{
	struct outlet *o = s->outlet;

	end_offer(s);
	s->end = ring_tail(&o->channel.events);
	s->is_waiting = true;
	if (o->first_share == NULL)
		o->first_share = s;
	else
		o->last_share->next_waiting = s;
	o->last_share = s;
	outlet_wait(o);
}

/* Writes what there is room for. NULL: all is written. */
static struct outlet *
write_shares(struct post *p, struct body_plan *plan, bool large)
{
	struct share *s = p->shares;

	for (unsigned i = 0; i < plan->share_count; i++, s = s->next) {
		struct body_share *from = &plan->shares[i];

		if (from->bytes == 0 ||
		    (!large &&
			from->bytes > s->outlet->channel.events.size / 2))
			continue;
		if (!offer_share(
			plan, from, p->body, p->is_async ? 0 : p->ticket))
			return s->outlet;
		share_written(s);
	}
	return NULL;
}

/* NULL: all is written; else the outlet at which to wait. */
static struct outlet *
write_plan(struct post *p, struct body_plan *plan)
{
	if (!p->is_begun) {
		struct outlet *full;

		announce(plan, 1);
		channel_offers_fence();
		full = find_full(p, plan);
		if (full != NULL) {
			announce(plan, -1);
			return full;
		}
		begin_shares(p, plan);
		(void)write_shares(p, plan, false);
	}
	return write_shares(p, plan, true);
}

static int64_t
answer_ms(const struct body_plan *plan)
{
	int64_t ms = 0;

	for (unsigned i = 0; i < plan->share_count; i++)
		ms = MAX_OF(ms, plan->shares[i].ds->conf->firehose_retry_ms);
	return ms;
}

static void
await_answer(struct post *p, const struct body_plan *plan)
{
	loop_timer_start(
	    p->posts->loop, &p->timer, answer_ms(plan), settle_timer_due);
	p->timer.context = p;
}

static void
blocked_too_long(struct loop_timer *timer)
{
	struct post *p = timer->context;
	struct reply reply;

	refuse_full(p->posts, p->blocked_at, &reply);
	post_answer(p, &reply);
}

bool
post_try_write(struct post *p)
{
	struct outlet *full = write_plan(p, &p->plan);
	struct posts *ps = p->posts;
	struct reply reply;

	if (full != NULL && !p->is_begun &&
	    channel_is_draining(&full->channel)) {
		refuse_draining(ps, full, &reply);
		post_answer(p, &reply);
		return false;
	}
	if (full != NULL) {
		block_at(p, full);
		return false;
	}
	unblock(p);
	await_answer(p, &p->plan);
	drop_kept(p);
	ps->written(p->owner);
	return true;
}

/* Whether a share may wait for room: it may not when its dataSource says so,
 * or when it could never be written whole. */
static enum post_state
may_wait(struct posts *ps, const struct body_plan *plan, struct outlet *full,
    struct reply *reply)
{
	enum post_state state = POST_BLOCKED;

	if (UNLIKELY(channel_is_draining(&full->channel)))
		return refuse_draining(ps, full, reply);
	for (unsigned i = 0; i < plan->share_count; i++) {
		const struct body_share *s = &plan->shares[i];
		struct outlet *o = s->ds->outlet;

		if (s->ds->conf->block_on_full)
			continue;
		if (s->bytes <= o->channel.events.size) {
			if (o == full ||
			    ring_free_bytes(&o->channel.events) < s->bytes)
				state = refuse_full(ps, o, reply);
			continue;
		}
		snprintf(ps->text, sizeof ps->text,
		    "The request's events for dataSource '%s' are larger than "
		    "tranqd.ringBytes (%llu bytes), and "
		    "tranquility.blockOnFull is false\n",
		    o->channel.header->ds,
		    (unsigned long long)o->channel.events.size);
		return refuse(reply, 413, ps->text);
	}
	return state;
}

/* No room: keeps the plan and waits, or gives up. */
static enum post_state
begin_blocked(struct post *p, struct outlet *full, struct reply *reply)
{
	struct posts *ps = p->posts;
	enum post_state state = POST_BLOCKED;

	if (!p->is_begun)
		state = may_wait(ps, &ps->reader.plan, full, reply);
	if (state == POST_ANSWERED) {
		end_post(p);
		return state;
	}
	body_take_plan(&ps->reader, &p->plan);
	block_at(p, full);
	loop_timer_start(ps->loop, &p->timer,
	    p->settings->conf->http_block_timeout_ms, blocked_too_long);
	p->timer.context = p;
	return POST_BLOCKED;
}

static void
refuse_memory(struct post *p, struct reply *reply)
{
	refuse(reply, 503,
	    "Too many requests wait: http.bodyMemoryBytes is used up\n");
	end_post(p);
}

bool
post_keep(struct post *p, const char *body, struct reply *reply)
{
	struct posts *ps = p->posts;
	size_t size = 0, plan = body_plan_bytes(&p->plan);

	p->kept = content_take(&ps->content, p->body, &size);
	p->body = p->kept != NULL ? p->kept : body;
	if (memory_charge(ps->memory, size + plan)) {
		p->charged = size + plan;
		return true;
	}
	refuse_memory(p, reply);
	return false;
}

/* For the answer; false: no memory for them, the post is over. */
static bool
keep_drops(struct post *p, struct reply *reply)
{
	size_t bytes;

	body_take_drops(&p->posts->reader, &p->drops);
	bytes = drops_bytes(&p->drops);
	if (!memory_charge(p->posts->memory, bytes)) {
		refuse_memory(p, reply);
		return false;
	}
	p->drops_charged = bytes;
	return true;
}

static enum post_state
write_first(struct posts *ps, struct post *p, struct reply *reply)
{
	struct outlet *full;

	if ((!p->is_async || p->is_keyed) &&
	    (p->ticket = ticket_new(&ps->tickets, p)) == 0) {
		end_post(p);
		return refuse(reply, 503, "Too many requests wait\n");
	}
	ps->reader.plan.key.ticket = p->ticket;
	full = write_plan(p, &ps->reader.plan);
	if (full != NULL)
		return begin_blocked(p, full, reply);
	await_answer(p, &ps->reader.plan);
	return POST_WAITS;
}

static enum post_state
answer_empty(struct posts *ps, const struct route *r, struct reply *reply)
{
	static const struct drops none;
	bool is_smile = r->type == ROUTE_SMILE;

	*reply = (struct reply){ .status = 200 };
	if (is_smile || r->is_detailed)
		answer_compose(&ps->answer, reply,
		    r->is_detailed ? &none : NULL, is_smile);
	return POST_ANSWERED;
}

enum post_state
post_begin(struct posts *ps, const struct post_input *in, struct post **post,
    struct reply *reply)
{
	struct body_input body = { 0 };
	enum post_state state;
	struct post *p;

	*post = NULL;
	if (in->route->ds != NULL &&
	    (body.to = find_ds(ps, in->route, reply)) == NULL)
		return POST_ANSWERED;
	if (!read_content(ps, in, &body, reply))
		return POST_ANSWERED;
	FAULT_POINT(INFLATED);
	if (in->key != NULL) {
		complete_key(ps, in->key);
		body.key = in->key;
	}
	if (!read_body(ps, &body, in->route->is_detailed, reply))
		return POST_ANSWERED;
	FAULT_POINT(SCANNED);
	if (ps->reader.plan.received == 0)
		return answer_empty(ps, in->route, reply);
	p = new_post(ps, in);
	p->body = content_json(&ps->content, &body);
	if (p->is_detailed && !keep_drops(p, reply))
		return POST_ANSWERED;
	state = write_first(ps, p, reply);
	if (state != POST_ANSWERED)
		*post = p;
	return state;
}

bool
post_needs_removed(const struct posts *ps)
{
	const struct outlet *o;
	const struct post *p;

	for (o = ps->outlets.first; o != NULL; o = o->next)
		for (p = o->first_blocked; p != NULL; p = p->next_blocked)
			for (unsigned i = 0; i < p->plan.share_count; i++)
				if (p->plan.shares[i].bytes > 0 &&
				    !p->plan.shares[i].ds->outlet->is_current)
					return true;
	return false;
}

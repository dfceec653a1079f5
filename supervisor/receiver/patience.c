/*
 * patience - how long a connection may be slow, and who goes first
 *
 * Process: receiver.
 */
#include "patience.h"

#include "exchange.h"

#define SWEEP_MIN_MS 20
/* When connections are short: who has just come is not sent away at once, or
 * a flood would let nobody finish. */
#define STILL_MIN_MS 300
#define LOOKS_MAX 64 /* for who can go, from the row's head on */

static void sweep_due(struct loop_timer *);

static const struct conf *
conf_of(const struct connection *c)
{
	return exchange_conf(c->all);
}

void
patience_leave(struct connection *c)
{
	struct connections *all = c->all;

	if (c->older != NULL)
		c->older->newer = c->newer;
	else
		all->oldest = c->newer;
	if (c->newer != NULL)
		c->newer->older = c->older;
	else
		all->newest = c->older;
}

static void
link_newest(struct connection *c)
{
	struct connections *all = c->all;

	c->moved_ms = loop_now_ms(all->loop);
	c->older = all->newest;
	c->newer = NULL;
	if (all->newest != NULL)
		all->newest->newer = c;
	else
		all->oldest = c;
	all->newest = c;
}

void
patience_touch(struct connection *c)
{
	c->trickle = 0;
	if (c->all->newest == c) {
		c->moved_ms = loop_now_ms(c->all->loop);
		return;
	}
	patience_leave(c);
	link_newest(c);
}

void
patience_received(struct connection *c, size_t bytes)
{
	int64_t still = loop_now_ms(c->all->loop) - c->moved_ms;
	int64_t rate = conf_of(c)->http_body_rate_min;

	if (c->own != NULL && !c->has_head)
		return;
	c->trickle += bytes;
	if (c->own == NULL || c->trickle >= (uint64_t)(still * rate / 1000))
		patience_touch(c);
}

static void
head_over(struct loop_timer *timer)
{
	connection_time_out(timer->context,
	    "The request's head did not come within http.headTimeout\n");
}

/* The timer is free here: it is otherwise of the handshake before, of memory
 * that is waited for, and of the end. */
void
patience_watch_head(struct connection *c)
{
	int64_t limit = conf_of(c)->http_head_timeout_ms;

	if (c->own == NULL || c->has_head || exchange_is_busy(c)) {
		loop_timer_stop(&c->timer);
		c->is_head_timed = false;
		return;
	}
	if (c->is_head_timed || limit == 0)
		return;
	c->is_head_timed = true;
	c->timer.context = c;
	loop_timer_start(c->all->loop, &c->timer, limit, head_over);
}

static void
start_sweep(struct connections *all)
{
	int64_t idle = exchange_conf(all)->http_idle_timeout_ms, delay;

	loop_timer_stop(&all->sweep);
	if (idle == 0 || all->oldest == NULL)
		return;
	delay = all->oldest->moved_ms + idle - loop_now_ms(all->loop);
	all->sweep.context = all;
	loop_timer_start(
	    all->loop, &all->sweep, MAX_OF(delay, SWEEP_MIN_MS), sweep_due);
}

static void
sweep_due(struct loop_timer *timer)
{
	struct connections *all = timer->context;
	int64_t idle = exchange_conf(all)->http_idle_timeout_ms;
	int64_t now = loop_now_ms(all->loop);
	struct connection *c;

	while ((c = all->oldest) != NULL && now - c->moved_ms >= idle) {
		/* they have deadlines of their own */
		if (c->post != NULL || c->is_parked)
			patience_touch(c);
		else
			connection_time_out(c,
			    "The request did not come within "
			    "http.idleTimeout, or slower than "
			    "http.bodyRateMin\n");
	}
	start_sweep(all);
}

void
patience_enter(struct connection *c)
{
	link_newest(c);
	if (!loop_timer_active(&c->all->sweep))
		start_sweep(c->all);
}

void
patience_settings_changed(struct connections *all)
{
	start_sweep(all);
}

void
patience_fini(struct connections *all)
{
	loop_timer_stop(&all->sweep);
}

/* Handshakes have a limit of their own, and a time-out; so have those whose
 * events are under way. They step back, or they would be looked at each time,
 * and many of them would hide who is silent. */
static struct connection *
find_still(struct connections *all)
{
	int64_t before = loop_now_ms(all->loop) - STILL_MIN_MS;
	struct connection *c;

	for (unsigned looks = 0; looks < LOOKS_MAX && (c = all->oldest) != NULL;
	     looks++) {
		if (c->moved_ms > before)
			return NULL;
		if (c->post == NULL && !c->is_handshaking)
			return c;
		patience_touch(c);
	}
	return NULL;
}

bool
patience_can_make_room(struct connections *all)
{
	return find_still(all) != NULL;
}

void
patience_make_room(struct connections *all)
{
	struct connection *c = find_still(all);

	if (c == NULL)
		return;
	all->counters.evicted++;
	connection_destroy(c);
}

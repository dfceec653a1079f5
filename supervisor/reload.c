/*
 * reload - brings a new configuration into force without losing a request
 *
 * Process: supervisor.   After: control or SIGHUP asks.
 * Owns:    the configuration that is not in force (any more) while it runs.
 * Fails:   before receivers are told: undone, and whoever asked is told why.
 */
#include "reload.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "log.h"
#include "panic.h"
#include "sealed.h"

#include "notify.h"
#include "supervisor.h"
#include "vault.h"

#define REPORT_MAX MiB
#define MARGIN_MS (10 * 1000)
#define NAMES_MAX 12 /* in one part of the answer */

/*
 * What is said.
 */

/* A line for the askers and for the log. */
static void report(struct supervisor *s, enum log_level level,
    const char *format, ...) PRINTF_LIKE(3, 4);

static void
report(struct supervisor *s, enum log_level level, const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (level == LOG_LEVEL_ERROR)
		log_error("reload: %s", line);
	else
		log_warnx("reload: %s", line);
	buf_addf(&s->reload.report, "%s%s\n",
	    level == LOG_LEVEL_WARN ? "warning: " : "", line);
}

static void
report_problems(struct supervisor *s, const struct conf_problems *p)
{
	for (unsigned i = 0; i < p->count; i++)
		report(s, LOG_LEVEL_ERROR, "%s", p->lines[i]);
	for (unsigned i = 0; i < p->warning_count; i++)
		report(s, LOG_LEVEL_WARN, "%s", p->warnings[i]);
}

static void
answer(struct supervisor *s, bool good, const char *text)
{
	struct reload *r = &s->reload;

	if (good)
		log_info("%s", text);
	else
		log_error("reload: %s", text);
	for (unsigned i = 0; i < r->now.count; i++)
		control_answer(
		    s->control, r->now.tickets[i], good, text, &r->report);
	r->now.count = 0;
	r->last_wall_ms = clock_wall_ms();
	r->last_good = good;
	snprintf(r->last_text, sizeof r->last_text, "%s", text);
	if (!supervisor_stopping(s))
		notify_send(good ? "READY=1\nSTATUS=running"
				 : "READY=1\nSTATUS=running; the last reload "
				   "failed");
}

/* "2 added (a, b)" */
static void
add_part(struct supervisor *s, struct buf *to, enum source_change change,
    const char *word)
{
	unsigned count = 0;

	for (unsigned i = 0; i < s->source_count; i++)
		if (s->sources[i]->change == change)
			count++;
	buf_addf(
	    to, "%s%u %s", change == SOURCE_ADDED ? "" : ", ", count, word);
	if (count == 0 || change == SOURCE_SAME)
		return;
	for (unsigned i = 0, n = 0; i < s->source_count && n < NAMES_MAX; i++)
		if (s->sources[i]->change == change)
			buf_addf(to, "%s%s", n++ == 0 ? " (" : ", ",
			    s->sources[i]->name);
	buf_add_text(to, count > NAMES_MAX ? ", …)" : ")");
}

/*
 * The configuration.
 */

/* The new configuration, or NULL with all problems reported. */
static struct conf *
read_configuration(struct supervisor *s)
{
	struct conf_problems problems = { 0 };
	struct conf *then = vault_load(s->options.file, s->conf, &problems);

	report_problems(s, &problems);
	conf_problems_free(&problems);
	return then;
}

/*
 * Steps.
 */

static void
time_over(struct loop_timer *t)
{
	struct supervisor *s = CONTAINER_OF(t, struct supervisor, reload.timer);

	s->reload.late = true;
	supervisor_look(s);
}

static void
enter(struct supervisor *s, enum reload_phase phase, int64_t limit_ms)
{
	struct reload *r = &s->reload;

	r->phase = phase;
	r->late = false;
	loop_timer_start(s->loop, &r->timer, limit_ms, time_over);
	supervisor_look(s);
}

static void
mark(struct source *src, const struct conf *then)
{
	size_t bytes = strlen(src->name);
	const struct ds_conf *old = conf_find(src->conf, src->name, bytes);
	const struct ds_conf *new = conf_find(then, src->name, bytes);

	must(old != NULL);
	src->was_pulled = source_is_pulled(src);
	if (new == NULL)
		src->change = SOURCE_REMOVED;
	else if (new->digest != old->digest || !vault_same(new, old))
		src->change = SOURCE_CHANGED;
	else
		src->change = SOURCE_SAME;
}

/* Channels and spool directory of what is new; nothing is started yet. */
static bool
make_added(struct supervisor *s, const struct conf *then, struct trouble *t)
{
	for (unsigned i = 0; i < then->ds_count; i++) {
		const char *name = then->ds[i].name;
		struct source *src;

		if (supervisor_find(s, name) != NULL)
			continue;
		if (!prepare_spool(then, name, &s->identity, t))
			return false;
		src = source_new(s, then, name, t);
		if (src == NULL)
			return false;
		src->change = SOURCE_ADDED;
		supervisor_add(s, src);
	}
	return true;
}

/* Frees what was added (or removed) and is at rest. */
static void
free_resting(struct supervisor *s, enum source_change change)
{
	for (unsigned i = s->source_count; i-- > 0;) {
		struct source *src = s->sources[i];

		if (src->change != change || !child_at_rest(&src->worker))
			continue;
		supervisor_take_out(s, src);
		source_free(&src);
	}
}

static void
end_reload(struct supervisor *s, bool good, const char *text)
{
	struct reload *r = &s->reload;

	loop_timer_stop(&r->timer);
	for (unsigned i = 0; i < s->source_count; i++) {
		s->sources[i]->change = SOURCE_SAME;
		s->sources[i]->conf = s->conf;
	}
	conf_free(&r->other);
	answer(s, good, text);
	r->phase = RELOAD_IDLE;
	supervisor_look(s);
}

static void
start_workers(struct supervisor *s)
{
	for (unsigned i = 0; i < s->source_count; i++) {
		struct source *src = s->sources[i];

		if (src->change == SOURCE_ADDED)
			child_start(&src->worker);
		if (src->change == SOURCE_CHANGED) {
			src->conf = s->reload.other;
			child_reload(&src->worker, RELOAD_SETTLE_MS);
		}
		/* it may get on now, whatever was missing */
		if (src->change == SOURCE_SAME &&
		    src->worker.state == CHILD_FAILED)
			child_start(&src->worker);
	}
}

static void
begin(struct supervisor *s)
{
	struct reload *r = &s->reload;
	struct trouble trouble;

	FAULT_POINT(RELOAD);
	r->count++;
	r->now = r->next;
	r->next.count = 0;
	r->again = false;
	buf_reset(&r->report);
	notify_reloading();
	r->other = read_configuration(s);
	loop_waited(s->loop);
	if (r->other == NULL) {
		end_reload(s, false,
		    "the configuration is not good; nothing was changed");
		return;
	}
	for (unsigned i = 0; i < s->source_count; i++)
		mark(s->sources[i], r->other);
	if (!prepare_limits(r->other, s->front_count, &trouble) ||
	    !make_added(s, r->other, &trouble)) {
		report(s, LOG_LEVEL_ERROR, "%s", trouble.text);
		free_resting(s, SOURCE_ADDED);
		end_reload(s, false, "not possible; nothing was changed");
		return;
	}
	FAULT_POINT(RELOAD_ADDED);
	start_workers(s);
	FAULT_POINT(RELOAD_WORKERS);
	enter(s, RELOAD_WORKERS, RELOAD_SETTLE_MS + RELOAD_READY_MS);
}

static void
undo(struct supervisor *s)
{
	for (unsigned i = 0; i < s->source_count; i++) {
		struct source *src = s->sources[i];

		if (src->change == SOURCE_ADDED)
			child_stop(&src->worker, RELOAD_SETTLE_MS);
		if (src->change != SOURCE_CHANGED)
			continue;
		src->conf = s->conf;
		child_reload(&src->worker, RELOAD_SETTLE_MS);
	}
	enter(s, RELOAD_UNDO, RELOAD_SETTLE_MS + MARGIN_MS);
}

static void
tell_front(struct supervisor *s, struct front *f, int text_fd)
{
	const struct conf *then = s->conf;
	struct order_message m = { .order = ORDER_CONF,
		.value = s->reload.number };

	if (f->child.pid == 0)
		return; /* it will be born with it */
	prepare_limits_of(f->child.pid);
	for (unsigned i = 0; i < s->source_count; i++)
		if (s->sources[i]->change == SOURCE_ADDED)
			m.index++;
	f->told = true;
	child_order(&f->child, &m, text_fd, then->keys_fd);
	m.order = ORDER_CHANNEL;
	for (unsigned i = 0; i < then->ds_count; i++) {
		const struct source *src = supervisor_find(s, then->ds[i].name);

		if (src->change != SOURCE_ADDED)
			continue;
		m.index = i;
		child_order(
		    &f->child, &m, src->channels[f->index].fd, src->bell);
	}
}

/* The configuration's text in memory that receivers read; -1 with errno. */
static int
text_in_memory(const struct conf *conf)
{
	char *text = conf_text(conf);
	int fd = sealed_new("tranqd-conf", text, strlen(text));

	free(text);
	return fd;
}

static uint64_t
events_left(struct source *src)
{
	child_counters(&src->worker, NULL);
	return src->worker.counters.spool_events;
}

/* delivery.mode auto goes on with what there is. */
static bool
goes_on_pulling(const struct source *src, const struct conf *then)
{
	const struct ds_conf *ds =
	    conf_find(then, src->name, strlen(src->name));

	return ds != NULL && (ds->is_auto || ds->delivery == DELIVERY_PULL);
}

/* Druid's supervisors that nobody cares for any more. */
static void
warn_of_supervisors(struct supervisor *s)
{
	for (unsigned i = 0; i < s->source_count; i++) {
		struct source *src = s->sources[i];

		if (!src->was_pulled || goes_on_pulling(src, s->reload.other))
			continue;
		if (events_left(src) > 0) /* else it was drained */
			report(s, LOG_LEVEL_WARN,
			    "%s: its supervisor stays in Druid, and what is "
			    "not committed in the spool; take it back and run "
			    "`tranqctl drain %s` first",
			    src->name, src->name);
	}
}

/* From here on the new configuration is the one in force. */
static void
commit(struct supervisor *s)
{
	struct reload *r = &s->reload;
	int fd = text_in_memory(r->other);
	struct conf *old = s->conf;

	FAULT_POINT(RELOAD_COMMIT);
	if (fd < 0) {
		snprintf(r->failure, sizeof r->failure,
		    "no memory for the configuration's text; nothing was "
		    "changed");
		undo(s);
		return;
	}
	warn_of_supervisors(s);
	s->conf = r->other;
	r->other = old;
	r->number++;
	for (unsigned i = 0; i < s->front_count; i++)
		tell_front(s, &s->fronts[i], fd);
	if (s->feeder != NULL)
		child_reload(&s->feeder->child, RELOAD_FEED_MS);
	FAULT_POINT(RELOAD_TOLD);
	close(fd);
	supervisor_apply_log(s);
	enter(s, RELOAD_RECEIVERS,
	    s->conf->http_block_timeout_ms + RELOAD_TAKE_MS);
}

/* The first worker for which the reload cannot be; NULL: none. Sets `ready`
 * when all are. */
static const struct source *
look_at_workers(const struct supervisor *s, bool *ready)
{
	*ready = true;
	for (unsigned i = 0; i < s->source_count; i++) {
		const struct source *src = s->sources[i];

		if (src->change != SOURCE_ADDED &&
		    src->change != SOURCE_CHANGED)
			continue;
		if (src->worker.state == CHILD_FAILED)
			return src;
		if (src->worker.state == CHILD_READY)
			continue;
		*ready = false;
		if (s->reload.late)
			return src;
	}
	return NULL;
}

static void
advance_workers(struct supervisor *s)
{
	struct reload *r = &s->reload;
	bool ready;
	const struct source *bad = look_at_workers(s, &ready);

	if (bad != NULL) {
		snprintf(r->failure, sizeof r->failure,
		    "the worker of %s %s (its log lines say why); nothing "
		    "was changed",
		    bad->name,
		    bad->worker.state == CHILD_FAILED
			? "refuses its new configuration"
			: "does not become ready in time");
		undo(s);
	} else if (ready) {
		commit(s);
	}
}

static void
advance_receivers(struct supervisor *s)
{
	bool all = true;

	for (unsigned i = 0; i < s->front_count; i++) {
		struct front *f = &s->fronts[i];

		if (!f->told)
			continue;
		all = false;
		if (!s->reload.late)
			continue;
		log_error("%s[%d]: does not take the new configuration, it is "
			  "killed and started anew with it",
		    f->child.name, (int)f->child.pid);
		supervisor_kill(&f->child, SIGKILL);
	}
	s->reload.late = false;
	if (!all)
		return;
	FAULT_POINT(RELOAD_REMOVE);
	for (unsigned i = 0; i < s->source_count; i++)
		if (s->sources[i]->change == SOURCE_REMOVED)
			child_stop(
			    &s->sources[i]->worker, s->conf->drain_timeout_ms);
	enter(s, RELOAD_REMOVALS, s->conf->drain_timeout_ms + MARGIN_MS);
}

static void
say_what_stays(struct supervisor *s, struct source *src)
{
	uint64_t events = events_left(src);

	if (events > 0)
		report(s, LOG_LEVEL_WARN,
		    "%s is removed, but %llu events still wait in "
		    "%s/spool/%s; they are delivered when it is configured "
		    "again",
		    src->name, (unsigned long long)events, s->conf->data_dir,
		    src->name);
}

static void
advance_removals(struct supervisor *s)
{
	struct buf text;

	for (unsigned i = 0; i < s->source_count; i++)
		if (s->sources[i]->change == SOURCE_REMOVED &&
		    !child_at_rest(&s->sources[i]->worker))
			return;
	for (unsigned i = 0; i < s->source_count; i++)
		if (s->sources[i]->change == SOURCE_REMOVED)
			say_what_stays(s, s->sources[i]);
	buf_init(&text, MiB);
	buf_add_text(&text, "reloaded: ");
	add_part(s, &text, SOURCE_ADDED, "added");
	add_part(s, &text, SOURCE_CHANGED, "changed");
	add_part(s, &text, SOURCE_REMOVED, "removed");
	add_part(s, &text, SOURCE_SAME, "unchanged");
	free_resting(s, SOURCE_REMOVED);
	FAULT_POINT(RELOAD_DONE);
	end_reload(s, true, buf_must_text(&text));
	buf_free(&text);
}

/* Over when added ones are gone and changed ones have their old
 * configuration again, READY or not. */
static void
advance_undo(struct supervisor *s)
{
	free_resting(s, SOURCE_ADDED);
	for (unsigned i = 0; i < s->source_count; i++) {
		const struct source *src = s->sources[i];

		if (src->change == SOURCE_ADDED ||
		    (src->change == SOURCE_CHANGED &&
			src->worker.state == CHILD_STOPPING))
			return;
	}
	end_reload(s, false, s->reload.failure);
}

void
reload_advance(struct supervisor *s)
{
	static void (*const steps[])(struct supervisor *) = {
		[RELOAD_IDLE] = NULL,
		[RELOAD_WORKERS] = advance_workers,
		[RELOAD_RECEIVERS] = advance_receivers,
		[RELOAD_REMOVALS] = advance_removals,
		[RELOAD_UNDO] = advance_undo,
	};
	const struct reload *r = &s->reload;

	if (supervisor_stopping(s))
		return;
	if (r->phase == RELOAD_IDLE && r->again)
		begin(s);
	else if (steps[r->phase] != NULL)
		steps[r->phase](s);
}

/* How long a reload that is asked for now may take. */
static int64_t
longest_ms(const struct supervisor *s)
{
	int64_t once = RELOAD_SETTLE_MS * 2 + RELOAD_READY_MS +
	    s->conf->http_block_timeout_ms + RELOAD_TAKE_MS +
	    s->conf->drain_timeout_ms + 3 * MARGIN_MS;

	/* the one that runs comes first */
	return s->reload.phase == RELOAD_IDLE ? once : 2 * once;
}

void
reload_ask(struct supervisor *s, uint64_t ticket)
{
	struct reload *r = &s->reload;

	if (ticket == 0)
		log_info("SIGHUP: reloading %s", s->options.file);
	if (supervisor_stopping(s)) {
		control_answer(
		    s->control, ticket, false, "tranqd is stopping", NULL);
		return;
	}
	if (ticket != 0 && r->next.count == RELOAD_ASKERS) {
		control_answer(s->control, ticket, false,
		    "too many wait for the next reload; try again", NULL);
		return;
	}
	if (ticket != 0) {
		r->next.tickets[r->next.count++] = ticket;
		control_delay(s->control, ticket, longest_ms(s));
	}
	r->again = true;
	supervisor_look(s);
}

void
reload_init(struct supervisor *s)
{
	s->reload = (struct reload){ .phase = RELOAD_IDLE, .number = 1 };
	buf_init(&s->reload.report, REPORT_MAX);
}

void
reload_abandon(struct supervisor *s)
{
	struct reload *r = &s->reload;

	loop_timer_stop(&r->timer);
	if (r->phase != RELOAD_IDLE)
		answer(s, false, "given up: tranqd is stopping");
	for (unsigned i = 0; i < r->next.count; i++)
		control_answer(s->control, r->next.tickets[i], false,
		    "tranqd is stopping", NULL);
	r->next.count = 0;
	r->again = false;
}

void
reload_fini(struct supervisor *s)
{
	conf_free(&s->reload.other);
	buf_free(&s->reload.report);
}

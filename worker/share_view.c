/*
 * share_view - what tranqds have agreed on of a topic that they share
 *
 * Process: worker. Pure.
 */
#include "share_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json.h"
#include "panic.h"

/* ---- texts ---- */

static void
put_endpoint(struct json *j, const struct endpoint *at)
{
	json_set_text(j, "host", at->host);
	json_set_int(j, "port", at->port);
}

static bool
get_endpoint(const struct json *j, struct endpoint *at)
{
	int64_t port = json_get_int(j, "port", 0);

	*at = (struct endpoint){ .port = (unsigned)port };
	snprintf(at->host, sizeof at->host, "%s", json_get_text(j, "host", ""));
	return at->host[0] != '\0' && port > 0 && port <= UINT16_MAX;
}

static uint64_t
get_offset(const struct json *j, const char *name)
{
	return (uint64_t)MAX_OF(json_get_int(j, name, 0), 0);
}

bool
share_view_read_member(struct share_member *m, const char *bytes, size_t count)
{
	struct json *j = json_parse(bytes, count, NULL);
	bool good = get_endpoint(j, &m->at);

	snprintf(m->log, sizeof m->log, "%s", json_get_text(j, "log", ""));
	m->start = get_offset(j, "start");
	m->end = MAX_OF(get_offset(j, "end"), m->start);
	m->seeded = json_get_bool(j, "seeded", false);
	m->suspends = json_get_bool(j, "suspends", false);
	json_free(&j);
	return good && m->log[0] != '\0';
}

static char *
to_text(struct json *j)
{
	char *text = json_to_text(j);

	json_free(&j);
	return text;
}

char *
share_view_write_member(const struct share_member *m)
{
	struct json *j = json_new_object();

	json_set_text(j, "log", m->log);
	put_endpoint(j, &m->at);
	json_set_int(j, "start", (int64_t)m->start);
	json_set_int(j, "end", (int64_t)m->end);
	json_set_bool(j, "seeded", m->seeded);
	if (m->suspends)
		json_set_bool(j, "suspends", true);
	return to_text(j);
}

bool
share_view_read_holder(struct share_holder *h, const char *bytes, size_t count)
{
	struct json *j = json_parse(bytes, count, NULL);
	bool good = get_endpoint(j, &h->at);

	h->is_there = true;
	snprintf(
	    h->token, sizeof h->token, "%s", json_get_text(j, "token", ""));
	json_free(&j);
	return good;
}

char *
share_view_write_holder(const struct share_holder *h)
{
	struct json *j = json_new_object();

	json_set_text(j, "token", h->token);
	put_endpoint(j, &h->at);
	return to_text(j);
}

/* ---- all of them ---- */

int
share_view_of_log(const struct share_view *v, const char *log)
{
	for (unsigned i = 0; i < v->count; i++)
		if (strcmp(v->all[i].log, log) == 0)
			return (int)i;
	return -1;
}

bool
share_view_has_begun(const struct share_view *v)
{
	for (unsigned i = 0; i < v->count; i++)
		if (v->all[i].seeded)
			return true;
	return false;
}

bool
share_view_suspends(const struct share_view *v)
{
	for (unsigned i = 0; i < v->count; i++)
		if (v->all[i].holder.is_there && v->all[i].suspends)
			return true;
	return false;
}

/* Whether Druid is to know of it: before there are any offsets it has to see what
 * there is, and later what has one. */
static bool
is_shown(const struct share_view *v, unsigned number)
{
	return v->all[number].seeded || !share_view_has_begun(v);
}

char *
share_view_servers(const struct share_view *v)
{
	struct buf b;
	char *text;

	buf_init(&b, LOG_PEERS_MAX * (ENDPOINT_HOST_BYTES + 16));
	for (unsigned i = 0; i < v->count; i++) {
		const struct endpoint *at = &v->all[i].at;
		bool is_ipv6 = strchr(at->host, ':') != NULL;

		if (!is_shown(v, i))
			continue;
		buf_addf(&b, "%s%s%s%s:%u", b.used > 0 ? "," : "",
		    is_ipv6 ? "[" : "", at->host, is_ipv6 ? "]" : "", at->port);
	}
	text = must_strdup(buf_text(&b));
	buf_free(&b);
	return text;
}

/* ---- as one of them sees it ---- */

static bool
is_alive(
    const struct share_view *v, const struct share_self *self, unsigned number)
{
	return v->all[number].holder.is_there ||
	    (number == self->number && self->holds);
}

/* The lowest one that is alive; −1: none. */
static int
first_alive(const struct share_view *v, const struct share_self *self)
{
	for (unsigned i = 0; i < v->count; i++)
		if (is_alive(v, self, i))
			return (int)i;
	return -1;
}

bool
share_view_manages(const struct share_view *v, const struct share_self *self)
{
	return self->holds && first_alive(v, self) == (int)self->number;
}

static int32_t
node_of(const struct share_view *v, const struct share_self *self, int number)
{
	const struct endpoint *at;

	if (number < 0)
		return -1;
	at = (unsigned)number == self->number && self->holds
	    ? &self->at
	    : &v->all[number].holder.at;
	return log_peers_node(at->host, at->port);
}

/* Somebody has our number: he leads it. Nobody else may serve our log. */
static int32_t
leader_of(
    const struct share_view *v, const struct share_self *self, unsigned number)
{
	if (is_alive(v, self, number))
		return node_of(v, self, (int)number);
	if (number == self->number && first_alive(v, self) < 0)
		return -1;
	return node_of(v, self, first_alive(v, self));
}

static void
add_brokers(const struct share_view *v, const struct share_self *self,
    struct log_peers *to)
{
	/* as many as there are members: there is room */
	if (!log_peers_add_broker(to, self->at.host, self->at.port))
		return;
	for (unsigned i = 0; i < v->count; i++) {
		const struct share_holder *h = &v->all[i].holder;

		if (h->is_there &&
		    !log_peers_add_broker(to, h->at.host, h->at.port))
			return;
	}
}

void
share_view_peers(const struct share_view *v, const struct share_self *self,
    struct log_peers *to)
{
	memset(to, 0, sizeof *to);
	to->is_shared = true;
	to->own = self->number;
	to->node = log_peers_node(self->at.host, self->at.port);
	add_brokers(v, self, to);
	for (unsigned i = 0; i < v->count; i++) {
		const struct share_member *m = &v->all[i];

		if (!is_shown(v, i))
			continue;
		to->all[to->count++] = (struct log_peer){ .number = i,
			.leader = leader_of(v, self, i),
			.start = m->start,
			.end = m->end };
	}
}

/*
 * conf_pull - what the properties pull.* come to
 *
 * Process: all. Pure.
 */
#include "conf_pull.h"

#include <ctype.h>
#include <string.h>

#include "conf_digest.h"
#include "conf_reader.h"
#include "conf_value.h"
#include "panic.h"

/* It becomes a part of URLs, of tasks' names and of file names. */
static bool
is_in_names(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("-.", c));
}

static bool
is_name(const char *text)
{
	size_t bytes = 0;

	while (is_in_names(text[bytes]))
		bytes++;
	return bytes <= CONF_PULL_INSTANCE_MAX && text[bytes] == '\0';
}

void
conf_pull_read(struct conf_reader *r, const struct conf *c)
{
	size_t mark = conf_reader_enter(r, "properties.pull.instance");

	if (!is_name(c->pull_instance))
		conf_reader_problem(r,
		    "'%.*s' is no name; give letters, digits, - and ., %d at "
		    "most",
		    conf_reader_cut(c->pull_instance), c->pull_instance,
		    CONF_PULL_INSTANCE_MAX);
	conf_reader_leave(r, mark);
}

static void
read_retain(struct conf_reader *r, struct ds_conf *ds)
{
	size_t mark = conf_reader_enter(r, "properties.pull.retain");
	const char *text = ds->pull_retain;
	int64_t value = 0;

	ds->retain_ms = ds->retain_bytes = 0;
	if (conf_value_read(CONF_PERIOD, text, &value))
		ds->retain_ms = value;
	else if (conf_value_read(CONF_SIZE, text, &value))
		ds->retain_bytes = value;
	else if (*text != '\0')
		value = -1;
	if (value < 0)
		conf_reader_problem(r,
		    "'%.*s' is neither a time nor a size; give one such as P1D "
		    "or 10GiB",
		    conf_reader_cut(text), text);
	else if (ds->retain_bytes >= ds->spool_bytes_max)
		conf_reader_problem(r,
		    "'%.*s' would fill the spool; give less than "
		    "spool.bytesMax, or raise that",
		    conf_reader_cut(text), text);
	conf_reader_leave(r, mark);
}

static void
check_committed(struct conf_reader *r, const struct ds_conf *ds)
{
	const char *url = ds->committed_url;
	size_t mark = conf_reader_enter(r, "properties.pull.committed.url");

	if (*url != '\0' && strncmp(url, "http://", 7) != 0 &&
	    strncmp(url, "https://", 8) != 0)
		conf_reader_problem(r,
		    "'%.*s' is no URL; give one such as "
		    "http://127.0.0.1:3000/rpc/committed?id={supervisor}",
		    conf_reader_cut(url), url);
	conf_reader_leave(r, mark);
}

/* It becomes a line of a request. */
static void
check_authorization(struct conf_reader *r, const struct ds_conf *ds)
{
	const char *text = ds->committed_authorization;
	size_t mark =
	    conf_reader_enter(r, "properties.pull.committed.authorization");

	while (*text != '\0' && !iscntrl((unsigned char)*text))
		text++;
	if (*text != '\0')
		conf_reader_problem(r,
		    "it has a control character, such as the end of a line; "
		    "give one line, such as Bearer TOKEN");
	conf_reader_leave(r, mark);
}

/* As in a spec that was written for Druid's own Kafka ingestion. */
static void
check_type(struct conf_reader *r, const struct ds_conf *ds)
{
	const char *type = json_get_text(ds->tuning, "type", "");
	size_t mark = conf_reader_enter(r, "spec.tuningConfig.type");

	if (strcmp(type, "kafka") == 0 && ds->delivery != DELIVERY_PULL &&
	    !ds->is_auto)
		conf_reader_problem(r,
		    "'kafka' goes with the property delivery.mode pull; set "
		    "that, or give realtime");
	conf_reader_leave(r, mark);
}

void
conf_pull_read_ds(
    struct conf_reader *r, const struct conf *c, struct ds_conf *ds)
{
	size_t mark;

	read_retain(r, ds);
	check_committed(r, ds);
	check_authorization(r, ds);
	check_type(r, ds);
	if (ds->delivery != DELIVERY_PULL || *c->pull_listen != '\0')
		return;
	mark = conf_reader_enter(r, "properties.delivery.mode");
	conf_reader_problem(r,
	    "'pull' needs the global property pull.listen, from where Druid "
	    "pulls; give its HOST:PORT, such as 0.0.0.0:9094");
	conf_reader_leave(r, mark);
}

uint64_t
conf_pull_digest(uint64_t digest, const struct conf *c)
{
	const char *const texts[] = { c->pull_listen, c->pull_advertise,
		c->pull_instance, c->pull_tls ? "tls" : "",
		*c->pull_auth_file != '\0' ? "sasl" : "" };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		digest = conf_digest_add(digest, texts[i]);
	return digest;
}

void
conf_pull_address(const struct conf *c, unsigned port, struct endpoint *to)
{
	const char *text =
	    c->pull_advertise[0] != '\0' ? c->pull_advertise : c->pull_listen;

	must(endpoint_parse(text, to));
	if (to->port == 0)
		to->port = port;
}

char *
conf_pull_servers(const struct conf *c, unsigned port)
{
	struct endpoint at;
	bool is_v6;

	conf_pull_address(c, port, &at);
	is_v6 = strchr(at.host, ':') != NULL;
	return must_format(
	    "%s%s%s:%u", is_v6 ? "[" : "", at.host, is_v6 ? "]" : "", at.port);
}

char *
conf_pull_instance(const struct conf *c, unsigned port)
{
	struct endpoint at;
	char *name;

	if (*c->pull_instance != '\0')
		return must_strdup(c->pull_instance);
	conf_pull_address(c, port, &at);
	name = must_format("%s-%u", at.host, at.port);
	for (char *p = name; *p != '\0'; p++)
		if (!is_in_names(*p))
			*p = '-';
	return name;
}

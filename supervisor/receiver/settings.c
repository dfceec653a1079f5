/*
 * settings - a configuration made ready for use, counted by who uses it
 *
 * Process: receiver.
 */
#include "settings.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "clock.h"
#include "iso.h"
#include "log.h"
#include "panic.h"

#include "receiver_keys.h"

static void
make_member(struct settings_ds *s)
{
	const char *column = s->conf->timestamp_column;
	struct buf b;

	buf_init(&b, 64 * KiB + 8 * strlen(column));
	buf_add_json_string(&b, column, strlen(column));
	buf_add(&b, ":", 1);
	must_afford(buf_text(&b) != NULL);
	s->member = b.bytes;
	s->member_bytes = b.used;
}

static void
make_hash(struct settings_ds *s)
{
	const struct ds_conf *c = s->conf;
	bool is_schemaless = c->dimension_count == 0;
	char **names = is_schemaless ? c->exclusions : c->dimensions;
	size_t count = is_schemaless ? c->exclusion_count : c->dimension_count;

	s->is_hashed = c->partitions > 1;
	partition_hash_init(
	    &s->hash, is_schemaless, (const char *const *)names, count);
}

struct line_parser_spec
settings_lines_spec(const struct ds_conf *conf)
{
	return (struct line_parser_spec){ .format = conf->text_spec,
		.dimensions = conf->dimensions_spec,
		.form = conf->is_input_format || conf->text_spec == NULL
		    ? LINE_PARSER_INPUT_FORMAT
		    : LINE_PARSER_PARSE_SPEC };
}

static void
deliver(struct settings_ds *s, enum delivery_mode mode)
{
	struct ds_conf c = *s->conf;

	if (c.is_auto)
		conf_deliver(&c, mode);
	s->delivery = c.delivery;
	s->no_window = c.no_window;
	s->late = c.late;
	s->window_now = INT64_MIN;
}

void
settings_follow(struct settings_ds *s)
{
	enum delivery_mode mode = channel_delivery(&s->outlet->channel);

	if (UNLIKELY(mode != s->delivery) && s->conf->is_auto)
		deliver(s, mode);
}

static void
make_ds(struct settings_ds *s, const struct ds_conf *conf)
{
	const char *missing = conf->timestamp_missing;
	struct line_parser_spec spec = settings_lines_spec(conf);
	struct line_parser_problem problem = { .where = "" };
	char why[TIMESTAMP_WHY_BYTES];

	s->conf = conf;
	s->column_bytes = strlen(conf->timestamp_column);
	s->format =
	    timestamp_format_new(conf->timestamp_format, clock_wall_ms(), why);
	must(s->format != NULL);
	if (missing != NULL) {
		must(iso_parse(
		    missing, strlen(missing), ISO_T_OR_SPACE, &s->missing_ms));
		s->has_missing = true;
	}
	deliver(s, conf->delivery);
	make_member(s);
	make_hash(s);
	s->lines = line_parser_compile(&spec, &problem);
	must(s->lines != NULL);
}

struct settings *
settings_new(const struct conf *conf, struct conf *owned)
{
	struct settings *s = must_calloc(1, sizeof *s);

	s->conf = conf;
	s->owned = owned;
	s->references = 1;
	s->ds = must_calloc(conf->ds_count, sizeof s->ds[0]);
	for (unsigned i = 0; i < conf->ds_count; i++)
		make_ds(&s->ds[i], &conf->ds[i]);
	return s;
}

static void
use_auth(struct settings *s, const struct settings *before,
    const struct receiver_keys *k, struct conf_problems *problems)
{
	if (k->auth_bytes == 0)
		return;
	if (before != NULL && before->auth != NULL &&
	    auth_is_from(before->auth, k->auth, k->auth_bytes))
		s->auth = auth_hold(before->auth);
	else
		s->auth = auth_new(s->conf, k->auth, k->auth_bytes, problems);
}

bool
settings_secure(struct settings *s, const struct settings *before, int keys_fd)
{
	struct conf_problems problems = { 0 };
	struct receiver_keys keys;
	bool good;

	if (keys_fd < 0)
		return true;
	if (!receiver_keys_open(&keys, keys_fd)) {
		log_error("certificates and passwords cannot be read");
		return false;
	}
	if (keys.tls.pem_bytes > 0)
		s->tls = tls_new(s->conf, &keys.tls, &problems);
	use_auth(s, before, &keys, &problems);
	receiver_keys_close(&keys);
	good = problems.count == 0;
	for (unsigned i = 0; i < problems.count; i++)
		log_error("%s", problems.lines[i]);
	conf_problems_free(&problems);
	return good;
}

struct settings *
settings_hold(struct settings *s)
{
	s->references++;
	return s;
}

void
settings_release(struct settings **settings)
{
	struct settings *s = *settings;

	*settings = NULL;
	if (s == NULL || --s->references > 0)
		return;
	for (unsigned i = 0; i < s->conf->ds_count; i++) {
		struct settings_ds *ds = &s->ds[i];

		outlet_release(&ds->outlet);
		partition_hash_fini(&ds->hash);
		timestamp_format_free(&ds->format);
		free(ds->member);
		line_parser_free(&ds->lines);
	}
	free(s->ds);
	tls_free(&s->tls);
	auth_release(&s->auth);
	conf_free(&s->owned);
	free(s);
}

void
settings_attach(struct settings_ds *ds, struct outlet *o)
{
	outlet_release(&ds->outlet);
	ds->outlet = o;
	ds->block_bytes_max = o->block_bytes_max;
}

struct settings_ds *
settings_find(struct settings *s, const char *name, size_t bytes)
{
	const struct ds_conf *found = conf_find(s->conf, name, bytes);

	return found != NULL ? &s->ds[found - s->conf->ds] : NULL;
}

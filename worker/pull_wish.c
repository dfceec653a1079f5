/*
 * pull_wish - what of the configuration makes a pull supervisor
 *
 * Process: worker, supervisor. Pure.
 */
#include "pull_wish.h"

#include <stdlib.h>

#include "conf_pull.h"
#include "heritage.h"
#include "panic.h"

/* tranqctl password makes lines of both; the longer one. */
#define SASL_MECHANISM "SCRAM-SHA-512"

void
pull_wish_init(struct pull_wish *p, const struct conf *conf,
    const struct ds_conf *ds, unsigned port)
{
	p->servers = conf_pull_servers(conf, port);
	p->wish = (struct kafka_spec_wish){ .ds = ds,
		.servers = p->servers,
		.topic = ds->name,
		.tls = conf->pull_tls,
		.sasl_mechanism =
		    *conf->pull_auth_file != '\0' ? SASL_MECHANISM : NULL,
		.task_duration_ms = ds->pull_task_ms,
		.completion_timeout_ms = ds->pull_completion_ms };
}

void
pull_wish_fini(struct pull_wish *p)
{
	free(p->servers);
	p->servers = NULL;
}

int64_t
pull_wish_task_ms(const struct ds_conf *ds)
{
	struct period given;

	return period_parse(json_get_text(ds->io, "taskDuration", ""), &given)
	    ? period_ms(&given)
	    : ds->pull_task_ms;
}

/* Texts, new. */
static struct json *
problems_of(const struct conf *conf, const struct ds_conf *ds)
{
	struct json *found = json_new_array(), *spec;
	struct pull_wish p;

	pull_wish_init(&p, conf, ds, 0);
	p.wish.instance = p.wish.log = "";
	p.wish.id = ds->name;
	p.wish.partitions = 1;
	spec = kafka_spec_make(&p.wish, found);
	json_free(&spec);
	pull_wish_fini(&p);
	return found;
}

char *
worker_no_pull(const struct conf *conf, const struct ds_conf *ds)
{
	struct json *found;
	char *first = NULL;

	if (*conf->pull_listen == '\0')
		return must_strdup("pull.listen is not set; set it, and "
				   "pull.advertise, so that Druid can pull");
	if (ds->archive_all)
		return must_strdup(
		    "archive.all cannot be with pull; take it out");
	found = problems_of(conf, ds);
	if (json_size(found) > 0)
		first = must_strdup(json_text(json_at(found, 0), ""));
	json_free(&found);
	return first;
}

static void
check(const struct conf *conf, const struct ds_conf *ds,
    struct conf_problems *problems)
{
	struct json *found = problems_of(conf, ds);

	for (size_t i = 0; i < json_size(found); i++)
		conf_problem(problems, "%s: dataSource '%s': %s", conf->file,
		    ds->name, json_text(json_at(found, i), ""));
	json_free(&found);
}

void
worker_check(const struct conf *conf, struct conf_problems *problems)
{
	/* with problems there may be members that are not there */
	bool is_whole = problems->count == 0;

	for (unsigned i = 0; is_whole && i < conf->ds_count; i++)
		if (conf->ds[i].delivery == DELIVERY_PULL)
			check(conf, &conf->ds[i], problems);
}

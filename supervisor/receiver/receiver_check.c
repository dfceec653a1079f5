/*
 * receiver_check - what of a configuration the receiver cannot do
 *
 * Process: supervisor. Pure.
 */
#include "receiver_check.h"

#include "settings.h"

struct lines_check {
	const struct conf *conf;
	const struct ds_conf *ds;
	struct conf_problems *problems;
};

static void
report_lines(void *context, const struct line_parser_problem *p)
{
	const struct lines_check *c = context;

	conf_problem(c->problems, "%s: %s%s%s: %s", c->conf->file,
	    c->ds->text_spec_at, p->where[0] == '\0' ? "" : ".", p->where,
	    p->why);
}

static void
check_lines(const struct conf *conf, const struct ds_conf *ds,
    struct conf_problems *problems)
{
	struct lines_check check = { conf, ds, problems };
	struct line_parser_spec spec = settings_lines_spec(ds);
	struct line_parser_problem first = { .where = "" };
	struct line_parser *lines;

	spec.report = report_lines;
	spec.context = &check;
	lines = line_parser_compile(&spec, &first);
	line_parser_free(&lines);
}

void
receiver_check(const struct conf *conf, struct conf_problems *problems)
{
	for (unsigned i = 0; i < conf->ds_count; i++)
		check_lines(conf, &conf->ds[i], problems);
}

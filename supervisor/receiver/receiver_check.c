/*
 * receiver_check - what of a configuration the receiver cannot do
 *
 * Process: supervisor. Pure.
 */
#include "receiver_check.h"

#include "settings.h"

static void
check_lines(const struct conf *conf, const struct ds_conf *ds,
    struct conf_problems *problems)
{
	struct line_parser_problem p;
	struct line_parser *lines = settings_compile_lines(ds, &p);

	if (lines == NULL)
		conf_problem(problems, "%s: %s%s%s: %s", conf->file,
		    ds->text_spec_at, p.where[0] == '\0' ? "" : ".", p.where,
		    p.why);
	line_parser_free(&lines);
}

void
receiver_check(const struct conf *conf, struct conf_problems *problems)
{
	for (unsigned i = 0; i < conf->ds_count; i++)
		check_lines(conf, &conf->ds[i], problems);
}

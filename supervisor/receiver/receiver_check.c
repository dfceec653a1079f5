/*
 * receiver_check - what of a configuration the receiver cannot do
 *
 * Process: supervisor. Pure.
 */
#include "receiver_check.h"

#include <string.h>

#include "settings.h"
#include "timestamp.h"

static void
check_time(const struct conf *conf, const struct ds_conf *ds,
    struct conf_problems *problems)
{
	enum timestamp_format format;
	int64_t ms;

	if (ds->timestamp_format != NULL &&
	    !timestamp_format_parse(ds->timestamp_format, &format))
		conf_problem(problems,
		    "%s: dataSource '%s': timestampSpec.format '%s' is not "
		    "read; use auto, iso, posix, millis, micro, nano or ruby "
		    "(Joda patterns come with a later version)",
		    conf->file, ds->name, ds->timestamp_format);
	if (ds->timestamp_missing != NULL &&
	    !timestamp_parse(TIMESTAMP_AUTO, SCAN_STRING, ds->timestamp_missing,
		strlen(ds->timestamp_missing), &ms))
		conf_problem(problems,
		    "%s: dataSource '%s': timestampSpec.missingValue '%s' is "
		    "not a time; write it as ISO 8601",
		    conf->file, ds->name, ds->timestamp_missing);
}

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
	for (unsigned i = 0; i < conf->ds_count; i++) {
		check_time(conf, &conf->ds[i], problems);
		check_lines(conf, &conf->ds[i], problems);
	}
}

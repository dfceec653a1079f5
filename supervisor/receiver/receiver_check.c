/*
 * receiver_check - what of a configuration the receiver cannot do
 *
 * Process: supervisor. Pure.
 */
#include "receiver_check.h"

#include <string.h>

#include "timestamp.h"

static bool
check_ds(const struct conf *conf, const struct ds_conf *ds,
    struct conf_problems *problems)
{
	enum timestamp_format format;
	int64_t ms;
	bool good = true;

	if (!timestamp_format_parse(ds->timestamp_format, &format)) {
		conf_problem(problems,
		    "%s: dataSource '%s': timestampSpec.format '%s' is not "
		    "read; use auto, iso, posix, millis, micro, nano or ruby "
		    "(Joda patterns come with a later version)",
		    conf->file, ds->name, ds->timestamp_format);
		good = false;
	}
	if (ds->timestamp_missing != NULL &&
	    !timestamp_parse(TIMESTAMP_AUTO, SCAN_STRING, ds->timestamp_missing,
		strlen(ds->timestamp_missing), &ms)) {
		conf_problem(problems,
		    "%s: dataSource '%s': timestampSpec.missingValue '%s' is "
		    "not a time; write it as ISO 8601",
		    conf->file, ds->name, ds->timestamp_missing);
		good = false;
	}
	return good;
}

bool
receiver_check(const struct conf *conf, struct conf_problems *problems)
{
	bool good = true;

	for (unsigned i = 0; i < conf->ds_count; i++)
		good = check_ds(conf, &conf->ds[i], problems) && good;
	return good;
}

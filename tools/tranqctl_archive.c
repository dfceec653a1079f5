/*
 * tranqctl_archive - tranqctl archive list | reindex
 *
 * Process: tranqctl.
 */
#include "tranqctl_archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "panic.h"
#include "tranqctl_files.h"
#include "tranqctl_reindex.h"

/* Files of one interval in one state. */
struct line {
	const char *ds, *interval, *state;
	uint64_t files, events, bytes;
};

static const char *
state_of(const struct archived *f)
{
	return f->is_done ? "done" : f->is_planned ? "submitted" : "sealed";
}

static struct json *
line_json(const struct line *l)
{
	struct json *j = json_new_object();

	json_set_text(j, "dataSource", l->ds);
	json_set_text(j, "interval", l->interval);
	json_set_text(j, "state", l->state);
	json_set_int(j, "files", (int64_t)l->files);
	json_set_int(j, "events", (int64_t)l->events);
	json_set_int(j, "bytes", (int64_t)l->bytes);
	return j;
}

static void
print_line(const struct line *l)
{
	printf("%-20s %-49s %-9s %6llu %12llu %14llu\n", l->ds, l->interval,
	    l->state, (unsigned long long)l->files,
	    (unsigned long long)l->events, (unsigned long long)l->bytes);
}

static void
put_line(const struct line *l, struct json *to)
{
	if (to != NULL)
		json_append(to, line_json(l));
	else
		print_line(l);
}

static void
list_state(const struct archived_list *files, size_t from, size_t to,
    const char *state, struct json *out)
{
	struct line l = { .ds = files->all[from].ds,
		.interval = files->all[from].interval,
		.state = state };

	for (size_t i = from; i < to; i++) {
		const struct archived *f = &files->all[i];

		if (strcmp(state_of(f), state) != 0)
			continue;
		l.files++;
		l.events += f->events;
		l.bytes += f->bytes;
	}
	if (l.files > 0)
		put_line(&l, out);
}

static void
list_files(const struct archived_list *files, struct json *out)
{
	static const char *const states[] = { "sealed", "submitted", "done" };

	for (size_t from = 0, to; from < files->count; from = to) {
		const char *interval = files->all[from].interval;

		for (to = from; to < files->count &&
		     strcmp(files->all[to].interval, interval) == 0;
		     to++)
			;
		for (size_t i = 0; i < ARRAY_LEN(states); i++)
			list_state(files, from, to, states[i], out);
	}
}

/* What still waits in the spool for its file. */
static void
list_open(const struct json *status, const char *ds, struct json *out)
{
	const struct json *all = json_get(status, "dataSources");

	for (size_t i = 0; i < json_size(all); i++) {
		const struct json *late =
		    json_get(json_get(json_at(all, i), "beams"), "late");
		const struct json *waiting = json_get(late, "waiting");
		struct line l = { .ds = ds, .interval = "-", .state = "open" };

		if (strcmp(json_get_text(json_at(all, i), "name", ""), ds) !=
			0 ||
		    strcmp(json_get_text(late, "policy", ""), "archive") != 0)
			continue;
		l.events = (uint64_t)json_get_int(waiting, "events", 0);
		l.bytes = (uint64_t)json_get_int(waiting, "bytes", 0);
		if (l.events > 0)
			put_line(&l, out);
	}
}

static void
list_ds(const struct archive_arguments *a, const char *ds, struct json *out)
{
	struct archived_list files = { 0 };

	files_read(&files, a->conf->archive_path, ds, NULL);
	list_files(&files, out);
	list_open(a->status, ds, out);
	files_free(&files);
}

static enum archive_outcome
list(const struct archive_arguments *a, const char *ds)
{
	struct json *out = a->as_json ? json_new_array() : NULL;
	struct buf text;

	if (out == NULL)
		printf("%-20s %-49s %-9s %6s %12s %14s\n", "DATASOURCE",
		    "INTERVAL", "STATE", "FILES", "EVENTS", "BYTES");
	for (unsigned i = 0; i < a->conf->ds_count; i++)
		if (ds == NULL || strcmp(ds, a->conf->ds[i].name) == 0)
			list_ds(a, a->conf->ds[i].name, out);
	if (out != NULL) {
		buf_init(&text, SIZE_MAX);
		json_print_pretty(out, &text);
		printf("%.*s\n", (int)text.used, text.bytes);
		buf_free(&text);
	}
	json_free(&out);
	return ARCHIVE_GOOD;
}

static enum archive_outcome
reindex(const struct archive_arguments *a, const struct ds_conf *ds,
    const char *interval)
{
	struct reindex r = { .conf = a->conf,
		.ds = ds,
		.overlord = a->overlord,
		.replaces = a->replaces,
		.prints = a->prints };
	enum archive_outcome outcome = ARCHIVE_GOOD;
	struct archived_list files = { 0 };
	char *last = NULL;

	files_read(&files, a->conf->archive_path, ds->name, interval);
	for (size_t i = 0; i < files.count && outcome == ARCHIVE_GOOD; i++) {
		struct archived *f = &files.all[i];

		if ((f->is_done && !(a->replaces && interval != NULL)) ||
		    (last != NULL && strcmp(last, f->interval) == 0))
			continue;
		last = f->interval;
		r.interval = last;
		if (!reindex_interval(&r))
			outcome = ARCHIVE_FAILED;
	}
	if (last == NULL)
		fprintf(
		    stderr, "nothing of %s is to be brought in\n", ds->name);
	files_free(&files);
	return outcome;
}

enum archive_outcome
archive_command(const struct archive_arguments *a)
{
	char *slash = a->count > 2 ? strchr(a->words[2], '/') : NULL;
	const char *what = a->count > 0 ? a->words[0] : "";
	const char *ds = a->count > 1 ? a->words[1] : NULL;
	const struct ds_conf *found =
	    ds != NULL ? conf_find(a->conf, ds, strlen(ds)) : NULL;

	if (ds != NULL && found == NULL) {
		fprintf(stderr, "tranqctl: no dataSource '%s' in %s\n", ds,
		    a->conf->file);
		return ARCHIVE_WRONG_USE;
	}
	if (slash != NULL)
		*slash = '_'; /* as Druid writes it; the folder has that */
	if (strcmp(what, "list") == 0 && a->count <= 2)
		return list(a, ds);
	if (strcmp(what, "reindex") == 0 && found != NULL && a->count <= 3)
		return reindex(a, found, a->count > 2 ? a->words[2] : NULL);
	fputs("usage: tranqctl -c FILE archive list [DATASOURCE]\n"
	      "       tranqctl -c FILE archive reindex [--replace] [--print] "
	      "[--overlord URL] DATASOURCE [INTERVAL]\n",
	    stderr);
	return ARCHIVE_WRONG_USE;
}

/*
 * tranqctl_files - the files of an archive
 *
 * Process: tranqctl.
 */
#include "tranqctl_files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "panic.h"

#define SUFFIX ".ndjson.zst"

struct folder {
	const char *ds, *interval;
	char *path;
	bool is_done, is_planned;
};

void
files_free(struct archived_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->all[i].ds);
		free(l->all[i].interval);
		free(l->all[i].name);
	}
	free(l->all);
	*l = (struct archived_list){ 0 };
}

/* {first id}-{identity}-{events}.ndjson.zst */
static bool
read_name(const char *name, uint64_t *events)
{
	const char *dash = strrchr(name, '-');
	char *end;

	if (name[0] == '.' || dash == NULL)
		return false;
	*events = strtoull(dash + 1, &end, 10);
	return end != dash + 1 && strcmp(end, SUFFIX) == 0;
}

static void
add_file(struct archived_list *l, const struct folder *f, const char *name)
{
	char *path = must_format("%s/%s", f->path, name);
	uint64_t events;
	struct stat s;

	if (read_name(name, &events) && stat(path, &s) == 0 &&
	    S_ISREG(s.st_mode)) {
		if (l->count == l->size) {
			l->size = MAX_OF(l->size * 2, 64u);
			l->all =
			    must_realloc(l->all, l->size * sizeof l->all[0]);
		}
		l->all[l->count++] =
		    (struct archived){ .ds = must_strdup(f->ds),
			    .interval = must_strdup(f->interval),
			    .name = must_strdup(name),
			    .bytes = (uint64_t)s.st_size,
			    .events = events,
			    .is_done = f->is_done,
			    .is_planned = f->is_planned };
	}
	free(path);
}

static void
read_folder(struct archived_list *l, const struct folder *f)
{
	DIR *dir = opendir(f->path);
	struct dirent *e;

	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL)
		add_file(l, f, e->d_name);
	closedir(dir);
}

static void
read_interval(struct archived_list *l, const char *top, const char *ds,
    const char *interval)
{
	struct folder f = { .ds = ds, .interval = interval };
	char *plan;

	f.path = must_format("%s/%s/%s", top, ds, interval);
	plan = must_format("%s/%s", f.path, FILES_PLAN);
	f.is_planned = access(plan, F_OK) == 0;
	read_folder(l, &f);
	free(f.path);
	f.path = must_format("%s/%s/%s/done", top, ds, interval);
	f.is_done = true;
	f.is_planned = false;
	read_folder(l, &f);
	free(f.path);
	free(plan);
}

static int
compare(const void *a, const void *b)
{
	const struct archived *x = a, *y = b;
	int order = strcmp(x->ds, y->ds);

	if (order == 0)
		order = strcmp(x->interval, y->interval);
	return order != 0 ? order : strcmp(x->name, y->name);
}

void
files_read(struct archived_list *l, const char *top, const char *ds,
    const char *interval)
{
	char *path = must_format("%s/%s", top, ds);
	DIR *dir = opendir(path);
	struct dirent *e;

	free(path);
	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL)
		if (e->d_name[0] != '.' &&
		    (interval == NULL || strcmp(e->d_name, interval) == 0))
			read_interval(l, top, ds, e->d_name);
	closedir(dir);
	if (l->count > 0)
		qsort(l->all, l->count, sizeof l->all[0], compare);
}

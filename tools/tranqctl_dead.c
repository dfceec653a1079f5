/*
 * tranqctl_dead - tranqctl deadletters list | show | export | requeue | drop
 *
 * Process: tranqctl.
 */
#include "tranqctl_dead.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "ctl.h"
#include "dead_letter.h"
#include "heritage.h"
#include "iso.h"
#include "json.h"
#include "ndjson.h"
#include "panic.h"
#include "partition.h"
#include "spool_view.h"

#define ERROR_BYTES 600
#define LOCK_WAIT_MS 1000
#define QUARANTINED "quarantined"
#define LETTERS_A_COMMIT 32

struct run {
	const struct dead_arguments *a;
	const char *ds;
	uint64_t key; /* ORDER_DEAD_ALL: all of them */
	struct json *list; /* as JSON; NULL: as a table */
	uint64_t letters, events;
	uint64_t found;
	bool failed;
};

typedef void letter_fn(struct run *, struct spool *, const struct spool_dead *);

static void
complain(struct run *r, const char *text)
{
	fprintf(stderr, "tranqctl: %s\n", text);
	r->failed = true;
}

static char *
dir_of(const struct run *r)
{
	return must_format("%s/spool/%s", r->a->conf->data_dir, r->ds);
}

/* Calls it for each of the dataSource's dead letters that is meant. */
static void
for_each(struct run *r, letter_fn *call)
{
	char error[ERROR_BYTES], *dir = dir_of(r);
	struct spool *s = spool_view(dir, error, sizeof error);
	struct spool_dead d = { .id =
				    r->key == ORDER_DEAD_ALL ? 0 : r->key - 1 };

	free(dir);
	if (s == NULL) {
		if (error[0] != '\0')
			complain(r, error);
		return;
	}
	while (!r->failed && spool_next_dead(s, d.id, &d) &&
	    (r->key == ORDER_DEAD_ALL || d.id == r->key))
		call(r, s, &d);
	spool_close(&s);
}

/* ---- list and show ---- */

static void
interval_of(const struct spool_dead *d, char to[static 2 * ISO_BYTES])
{
	char start[ISO_BYTES], end[ISO_BYTES];

	iso_format(d->start, start);
	iso_format(d->end, end);
	snprintf(to, 2 * ISO_BYTES, "%s/%s", start, end);
}

static struct json *
letter_json(const struct run *r, const struct spool_dead *d)
{
	char interval[2 * ISO_BYTES], when[ISO_BYTES], key[24];
	struct json *j = json_new_object();

	interval_of(d, interval);
	iso_format(d->buried_ms, when);
	snprintf(key, sizeof key, "%" PRIu64, d->id);
	json_set_text(j, "dataSource", r->ds);
	json_set_text(j, "key", key);
	json_set_text(j, "reason", spool_why_name(d->why));
	json_set_text(j, "interval", interval);
	if (d->partition != PARTITION_LATE)
		json_set_int(j, "partition", partition_number(d->partition));
	json_set_int(j, "events", d->events);
	json_set_int(j, "bytes", d->bytes);
	if (d->buried_ms != 0)
		json_set_text(j, "at", when);
	json_set_text(j, "text", d->text);
	return j;
}

static void
list_letter(struct run *r, struct spool *s UNUSED, const struct spool_dead *d)
{
	char interval[2 * ISO_BYTES], when[ISO_BYTES] = "-";

	if (r->list != NULL) {
		json_append(r->list, letter_json(r, d));
		return;
	}
	interval_of(d, interval);
	if (d->buried_ms != 0)
		iso_format(d->buried_ms, when);
	printf("%-20s %-20" PRIu64 " %-10s %-49s %8u %10u  %s\n", r->ds, d->id,
	    spool_why_name(d->why), interval, d->events, d->bytes, when);
}

/* ---- files of the quarantine, beside them ---- */

/* What the file says of itself, new; NULL: it says nothing. */
static struct json *
read_head(const char *path)
{
	FILE *f = fopen(path, "re");
	struct json *head = NULL;
	char *line = NULL;
	size_t size = 0;
	ssize_t bytes;

	if (f == NULL)
		return NULL;
	if ((bytes = getline(&line, &size, f)) > 0)
		head = json_parse(line, (size_t)bytes, NULL);
	free(line);
	fclose(f);
	return head;
}

static void
list_file(struct run *r, const char *dir, const char *name)
{
	char *path = must_format("%s/%s", dir, name);
	struct json *head = read_head(path), *j;
	const char *at = json_get_text(head, "at", "-");
	int64_t events = json_get_int(head, "events", 0);
	struct stat st = { .st_size = 0 };

	if (stat(path, &st) == 0 && r->list == NULL) {
		printf("%-20s %-20s %-10s %-49s %8" PRId64 " %10lld  %s\n",
		    r->ds, name, QUARANTINED, "-", events,
		    (long long)st.st_size, at);
	} else if (r->list != NULL) {
		j = json_new_object();
		json_set_text(j, "dataSource", r->ds);
		json_set_text(j, "reason", QUARANTINED);
		json_set_text(j, "file", path);
		json_set_int(j, "events", events);
		json_set_int(j, "bytes", st.st_size);
		json_set_text(j, "at", at);
		json_set_text(j, "text", json_get_text(head, "lastDeath", ""));
		json_append(r->list, j);
	}
	json_free(&head);
	free(path);
}

static int
is_quarantined(const struct dirent *e)
{
	size_t bytes = strlen(e->d_name);

	return bytes > 5 && strcmp(e->d_name + bytes - 5, ".json") == 0;
}

static void
list_files_of(struct run *r)
{
	char *dir =
	    must_format("%s/quarantine/%s", r->a->conf->data_dir, r->ds);
	struct dirent **names;
	int count = scandir(dir, &names, is_quarantined, alphasort);

	for (int i = 0; i < count; i++) {
		list_file(r, dir, names[i]->d_name);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
	free(dir);
}

static void
list_of(struct run *r, const char *ds)
{
	r->ds = ds;
	for_each(r, list_letter);
	list_files_of(r);
}

static void
print_json(const struct json *j)
{
	struct buf text;

	buf_init(&text, SIZE_MAX);
	json_print_pretty(j, &text);
	printf("%.*s\n", (int)text.used, text.bytes);
	buf_free(&text);
}

static enum dead_outcome
list(struct run *r, const char *only)
{
	const struct conf *conf = r->a->conf;

	r->key = ORDER_DEAD_ALL;
	if (r->a->as_json)
		r->list = json_new_array();
	else
		printf("%-20s %-20s %-10s %-49s %8s %10s  %s\n", "DATASOURCE",
		    "KEY", "REASON", "INTERVAL", "EVENTS", "BYTES", "WHEN");
	if (only != NULL)
		list_of(r, only);
	for (unsigned i = 0; only == NULL && i < conf->ds_count; i++)
		list_of(r, conf->ds[i].name);
	if (r->list != NULL)
		print_json(r->list);
	json_free(&r->list);
	return r->failed ? DEAD_FAILED : DEAD_GOOD;
}

static void
cannot_write(struct run *r)
{
	fprintf(
	    stderr, "tranqctl: cannot write the events: %s\n", strerror(errno));
	r->failed = true;
}

/* Those behind it are written all the same. */
static void
write_events(struct run *r, struct spool *s, const struct spool_dead *d)
{
	struct batch_view view;
	struct buf lines;
	unsigned refused;
	uint32_t *places;
	bool damaged;
	size_t bytes;
	char *value = spool_load(s, d->id, &bytes, &damaged);

	r->found++;
	if (value == NULL) {
		fprintf(stderr, "tranqctl: %s %" PRIu64 ": cannot be read%s\n",
		    r->ds, d->id,
		    damaged ? ", it is damaged; look at the disk, 'tranqctl "
			      "spool verify' says more"
			    : "");
		return;
	}
	batch_view_own(value, bytes, &view);
	buf_init(&lines, SIZE_MAX);
	/* those are dead letters by themselves */
	places = spool_refused_places(s, &view, &refused);
	r->events += ndjson_add_without(
	    &lines, view.body, view.header->body_bytes, places, refused);
	free(places);
	if (lines.failed)
		complain(r, "no memory for the events");
	else if (fwrite(lines.bytes, 1, lines.used, stdout) != lines.used)
		cannot_write(r);
	buf_free(&lines);
	free(value);
	r->letters++;
}

static void
show_letter(struct run *r, struct spool *s, const struct spool_dead *d)
{
	struct json *j = letter_json(r, d);

	print_json(j);
	json_free(&j);
	fflush(stdout);
	write_events(r, s, d);
}

static enum dead_outcome
show(struct run *r, letter_fn *how)
{
	for_each(r, how);
	if (!r->failed && fflush(stdout) != 0)
		cannot_write(r);
	if (!r->failed && r->found == 0 && r->key != ORDER_DEAD_ALL)
		complain(r, "no such dead letter; 'tranqctl deadletters list'");
	if (!r->failed && how == write_events)
		fprintf(stderr,
		    "%" PRIu64 " events of %" PRIu64 " dead letters\n",
		    r->events, r->letters);
	return r->failed || r->letters < r->found ? DEAD_FAILED : DEAD_GOOD;
}

/* ---- requeue and drop, with no daemon ---- */

/* false: it stays. */
static bool
change_one(struct run *r, struct spool *s, const struct ds_conf *ds,
    const struct spool_dead *d, bool drops)
{
	enum dead_letter_fate fate;
	struct spool_entry e;
	char *value;

	if (drops) {
		spool_drop_dead(s, d->id);
	} else {
		fate = dead_letter_fate(ds, d, clock_wall_ms());
		if (fate == DEAD_LETTER_STAYS)
			return false;
		/* the next worker deals it to a lane of its own accord */
		value = dead_letter_requeue(s, d, fate, 0, &e);
		if (value == NULL)
			return false;
		free(value);
	}
	r->letters++;
	r->events += d->events;
	return true;
}

static bool
change_all(struct run *r, struct spool *s, const struct ds_conf *ds, bool drops,
    uint64_t *stay)
{
	bool all = r->key == ORDER_DEAD_ALL, is_last = false;
	struct spool_dead d = { .id = all ? 0 : r->key - 1 };
	char error[ERROR_BYTES];

	while (!is_last) {
		spool_begin(s);
		for (int i = 0; i < LETTERS_A_COMMIT && !is_last; i++) {
			is_last = !spool_next_dead(s, d.id, &d) ||
			    (!all && d.id != r->key);
			if (!is_last && !change_one(r, s, ds, &d, drops))
				++*stay;
			is_last |= !all;
		}
		if (spool_commit(s, error, sizeof error) != RESULT_OK) {
			complain(r, error);
			return false;
		}
	}
	return true;
}

static enum dead_outcome
change_here(struct run *r, bool drops)
{
	const struct ds_conf *ds = conf_find(r->a->conf, r->ds, strlen(r->ds));
	char error[ERROR_BYTES] = "", *dir = dir_of(r);
	struct spool_options options = { .dir = dir,
		.ds = r->ds,
		.bytes_max = ds->spool_bytes_max,
		.now_ms = clock_wall_ms(),
		.lock_wait_ms = LOCK_WAIT_MS };
	struct spool *s = spool_view(dir, error, sizeof error);
	uint64_t stay = 0;

	if (s != NULL) { /* it is there: nothing is to be made */
		spool_close(&s);
		s = spool_open(&options, error, sizeof error);
	}
	free(dir);
	if (s == NULL) {
		complain(r, error[0] != '\0' ? error : "there is no spool");
		return DEAD_FAILED;
	}
	if (change_all(r, s, ds, drops, &stay) && r->letters + stay == 0 &&
	    r->key != ORDER_DEAD_ALL)
		complain(r, "no such dead letter; 'tranqctl deadletters list'");
	spool_close(&s);
	if (r->failed)
		return DEAD_FAILED;
	printf("%s %" PRIu64 " dead letters (%" PRIu64 " events)",
	    drops ? "dropped" : "requeued", r->letters, r->events);
	if (stay > 0)
		printf("; %" PRIu64 " stay: " ORDER_DEAD_STAY, stay);
	puts("");
	return stay > 0 && r->letters == 0 ? DEAD_FAILED : DEAD_GOOD;
}

/* ---- requeue and drop ---- */

static enum dead_outcome
change(struct run *r, bool drops)
{
	const struct conf *conf = r->a->conf;
	enum dead_outcome outcome = DEAD_FAILED;
	struct ctl_answer answer;
	char key[24] = "all", *line;

	if (conf_find(conf, r->ds, strlen(r->ds)) == NULL) {
		fprintf(stderr, "tranqctl: no dataSource '%s' in %s\n", r->ds,
		    conf->file);
		return DEAD_WRONG_USE;
	}
	if (r->key != ORDER_DEAD_ALL)
		snprintf(key, sizeof key, "%" PRIu64, r->key);
	line = must_format("%s %s %s %s", ctl_name(CTL_DEADLETTERS),
	    drops ? "drop" : "requeue", r->ds, key);
	switch (ctl_ask(conf_control_socket(conf), line, &answer)) {
	case CTL_DONE:
		puts(answer.text);
		outcome = DEAD_GOOD;
		break;
	case CTL_NO_DAEMON: outcome = change_here(r, drops); break;
	case CTL_REFUSED:
	case CTL_BROKEN: fprintf(stderr, "tranqctl: %s\n", answer.text); break;
	}
	ctl_answer_free(&answer);
	free(line);
	return outcome;
}

static bool
read_key(struct run *r, const char *word)
{
	char *end;

	r->key = ORDER_DEAD_ALL;
	if (word == NULL)
		return r->a->all;
	errno = 0;
	r->key = strtoull(word, &end, 10);
	return !r->a->all && errno == 0 && *end == '\0' && r->key != 0 &&
	    r->key != ORDER_DEAD_ALL;
}

static enum dead_outcome
usage(void)
{
	fputs("usage: tranqctl -c FILE deadletters list [DATASOURCE]\n"
	      "       tranqctl -c FILE deadletters show DATASOURCE KEY\n"
	      "       tranqctl -c FILE deadletters export | requeue | drop "
	      "DATASOURCE KEY | --all\n",
	    stderr);
	return DEAD_WRONG_USE;
}

/* One that the configuration has no more may have left something. */
static bool
is_known(const struct run *r)
{
	static const char *const folders[] = { "spool", "quarantine" };
	const struct conf *conf = r->a->conf;
	bool is_known = conf_find(conf, r->ds, strlen(r->ds)) != NULL;

	for (size_t i = 0; i < ARRAY_LEN(folders) && !is_known; i++) {
		char *dir =
		    must_format("%s/%s/%s", conf->data_dir, folders[i], r->ds);

		is_known = access(dir, F_OK) == 0 || errno != ENOENT;
		free(dir);
	}
	return is_known;
}

enum dead_outcome
dead_command(const struct dead_arguments *a)
{
	const char *what = a->count > 0 ? a->words[0] : "";
	struct run r = { .a = a, .ds = a->count > 1 ? a->words[1] : NULL };

	if (r.ds != NULL && (r.ds[0] == '.' || strchr(r.ds, '/') != NULL)) {
		fprintf(stderr, "tranqctl: '%s' is no name of a dataSource\n",
		    r.ds);
		return DEAD_WRONG_USE;
	}
	if (r.ds != NULL && !is_known(&r)) {
		fprintf(stderr,
		    "tranqctl: no dataSource '%s' in %s, and nothing of it in "
		    "%s\n",
		    r.ds, a->conf->file, a->conf->data_dir);
		return DEAD_WRONG_USE;
	}
	if (strcmp(what, "list") == 0 && a->count <= 2)
		return list(&r, r.ds);
	if (r.ds == NULL || a->count > 3 ||
	    !read_key(&r, a->count == 3 ? a->words[2] : NULL))
		return usage();
	if (strcmp(what, "show") == 0)
		return show(&r, show_letter);
	if (strcmp(what, "export") == 0)
		return show(&r, write_events);
	if (strcmp(what, "requeue") == 0)
		return change(&r, false);
	if (strcmp(what, "drop") == 0)
		return change(&r, true);
	return usage();
}

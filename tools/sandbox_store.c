/*
 * sandbox_store - the events that arrived, in order, by dataSource
 *
 * Process: tranq-sandbox.
 *
 * A dataSource is a list of chunks, filled with runs: a head that names the
 * task, and the events of one push behind it, a line each. Reading is copying
 * runs.
 */
#include "sandbox_store.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define CHUNK_BYTES (1u * MiB)
#define READ_BYTES (256u * KiB)

struct run {
	const struct store_source *source;
	size_t bytes; /* that follow, before padding */
};

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(max_align_t) char bytes[];
};

struct store_ds {
	struct store_ds *next;
	char *name;
	struct store_source *sources;
	struct chunk *first, *last;
};

struct store_cursor {
	const struct store *store;
	uint64_t generation;
	struct store_query query;
	char *task;
	const struct chunk *at, *last;
	size_t offset, last_used;
	size_t run_offset; /* within the run at offset */
};

void
sandbox_store_init(struct store *s, bool keeps, uint64_t kept_bytes_max)
{
	*s = (struct store){ .keeps = keeps, .kept_bytes_max = kept_bytes_max };
	text_map_init(&s->by_name);
}

static void
free_ds(struct store_ds *ds)
{
	for (struct store_source *s = ds->sources, *next; s != NULL; s = next) {
		next = s->next;
		free(s->task);
		free(s);
	}
	for (struct chunk *c = ds->first, *next; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(ds->name);
	free(ds);
}

void
sandbox_store_clear(struct store *s)
{
	for (struct store_ds *ds = s->first, *next; ds != NULL; ds = next) {
		next = ds->next;
		free_ds(ds);
	}
	text_map_fini(&s->by_name);
	s->first = NULL;
	s->kept_bytes = 0;
	s->is_truncated = false;
	s->generation++;
}

static struct store_ds *
get_ds(struct store *s, const char *name)
{
	struct store_ds *ds = text_map_get(&s->by_name, name, strlen(name));

	if (ds != NULL)
		return ds;
	ds = must_calloc(1, sizeof *ds);
	ds->name = must_strdup(name);
	ds->next = s->first;
	s->first = ds;
	text_map_set(&s->by_name, name, strlen(name), ds);
	return ds;
}

struct store_source *
sandbox_store_add_source(
    struct store *s, const char *ds, const char *task, unsigned replicant)
{
	struct store_source *source = must_calloc(1, sizeof *source);

	source->ds = get_ds(s, ds);
	source->task = must_strdup(task);
	source->replicant = replicant;
	source->next = source->ds->sources;
	source->ds->sources = source;
	return source;
}

static size_t
run_size(size_t bytes)
{
	const size_t align = _Alignof(max_align_t);

	return (sizeof(struct run) + bytes + align - 1) / align * align;
}

static char *
new_run(struct store *s, struct store_source *source, size_t bytes)
{
	struct store_ds *ds = source->ds;
	size_t need = run_size(bytes);
	struct chunk *c = ds->last;
	struct run *run;

	if (s->kept_bytes + need > s->kept_bytes_max) {
		s->is_truncated = true;
		return NULL;
	}
	if (c == NULL || c->size - c->used < need) {
		size_t size = MAX_OF(need, CHUNK_BYTES);

		c = must_malloc(sizeof *c + size);
		*c = (struct chunk){ .size = size };
		if (ds->last != NULL)
			ds->last->next = c;
		else
			ds->first = c;
		ds->last = c;
	}
	run = (struct run *)(void *)(c->bytes + c->used);
	*run = (struct run){ .source = source, .bytes = bytes };
	c->used += need;
	s->kept_bytes += need;
	return (char *)(run + 1);
}

/* White space between tokens may hold line ends: a line each is promised. */
static void
copy_line(char *to, const char *event, size_t bytes)
{
	char *end = to + bytes;

	memcpy(to, event, bytes);
	while ((to = memchr(to, '\n', (size_t)(end - to))) != NULL)
		*to++ = ' ';
	*end = '\n';
}

static void
keep_events(struct store *s, struct store_source *source, const char *body,
    const struct check_event *events, size_t count)
{
	size_t bytes = 0;
	char *to;

	for (size_t i = 0; i < count; i++)
		bytes += events[i].is_outside ? 0 : events[i].bytes + 1;
	if (bytes == 0 || (to = new_run(s, source, bytes)) == NULL)
		return;
	for (size_t i = 0; i < count; i++) {
		if (events[i].is_outside)
			continue;
		copy_line(to, body + events[i].at, events[i].bytes);
		to += events[i].bytes + 1;
	}
}

void
sandbox_store_add_events(struct store *s, struct store_source *source,
    const char *body, const struct check_event *events, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!events[i].is_outside)
			digest_add(&source->digest, body + events[i].at,
			    events[i].bytes);
	if (s->keeps)
		keep_events(s, source, body, events, count);
}

static struct digest
sum_sources(const struct store_ds *ds, unsigned replicant)
{
	struct digest d = { 0 };

	for (const struct store_source *s = ds->sources; s != NULL; s = s->next)
		if (s->replicant == replicant ||
		    replicant == STORE_ANY_REPLICANT)
			digest_merge(&d, &s->digest);
	return d;
}

/* ---- reading ---- */

struct store_cursor *
sandbox_store_open(struct store *s, const struct store_query *query)
{
	struct store_cursor *c = must_calloc(1, sizeof *c);
	const struct store_ds *ds =
	    text_map_get(&s->by_name, query->ds, strlen(query->ds));

	c->store = s;
	c->generation = s->generation;
	c->query = *query;
	c->task = must_strdup(query->task);
	c->query.task = c->task;
	c->query.ds = NULL;
	if (ds != NULL && ds->first != NULL) {
		c->at = ds->first;
		c->last = ds->last;
		c->last_used = ds->last->used;
	}
	return c;
}

void
sandbox_store_close(struct store_cursor **cursor)
{
	struct store_cursor *c = *cursor;

	*cursor = NULL;
	if (c == NULL)
		return;
	free(c->task);
	free(c);
}

static bool
is_wanted(const struct store_query *q, const struct store_source *s)
{
	if (q->replicant != STORE_ANY_REPLICANT && q->replicant != s->replicant)
		return false;
	if (q->lost >= 0 && (q->lost == 1) != s->is_lost)
		return false;
	return strncmp(s->task, q->task, strlen(q->task)) == 0;
}

/* The run the cursor stands at, or NULL at the end. */
static const struct run *
current_run(struct store_cursor *c)
{
	while (c->at != NULL) {
		bool is_last = c->at == c->last;

		if (c->offset < (is_last ? c->last_used : c->at->used))
			return (const struct run *)(const void *)(c->at->bytes +
			    c->offset);
		c->at = is_last ? NULL : c->at->next;
		c->offset = 0;
	}
	return NULL;
}

static void
wrap_line(const struct store_source *s, const char *line, size_t bytes,
    struct buf *to)
{
	buf_add_text(to, "{\"task\":");
	buf_add_json_string(to, s->task, strlen(s->task));
	buf_addf(to, ",\"replicant\":%u,\"lost\":%s,\"event\":", s->replicant,
	    s->is_lost ? "true" : "false");
	buf_add(to, line, bytes);
	buf_add_text(to, "}\n");
}

/* Lines of the run, up to READ_BYTES in the buffer; true: all are read. */
static bool
read_run(struct store_cursor *c, const struct run *run, struct buf *to)
{
	const char *lines = (const char *)(run + 1);

	if (!c->query.is_wrapped && c->run_offset == 0 &&
	    run->bytes <= READ_BYTES) {
		buf_add(to, lines, run->bytes);
		return true;
	}
	while (c->run_offset < run->bytes && to->used < READ_BYTES) {
		const char *line = lines + c->run_offset;
		const char *end =
		    memchr(line, '\n', run->bytes - c->run_offset);
		size_t bytes;

		must(end != NULL);
		bytes = (size_t)(end - line);
		if (c->query.is_wrapped)
			wrap_line(run->source, line, bytes, to);
		else
			buf_add(to, line, bytes + 1);
		c->run_offset += bytes + 1;
	}
	return c->run_offset == run->bytes;
}

void
sandbox_store_read(struct store_cursor *c, struct buf *to)
{
	const struct run *run;

	if (c->generation != c->store->generation)
		return;
	while (to->used < READ_BYTES && (run = current_run(c)) != NULL) {
		if (is_wanted(&c->query, run->source) && !read_run(c, run, to))
			return;
		c->run_offset = 0;
		c->offset += run_size(run->bytes);
	}
}

/* ---- report ---- */

static void
set_digest(struct json *j, const struct digest *d)
{
	char text[DIGEST_BYTES];

	digest_format(d, text);
	json_set_int(j, "events", (int64_t)d->events);
	json_set_int(j, "bytes", (int64_t)d->bytes);
	json_set_text(j, "digest", text);
}

static struct json *
report_ds(const struct store_ds *ds)
{
	struct digest first = sum_sources(ds, 0);
	struct digest all = sum_sources(ds, STORE_ANY_REPLICANT);
	struct json *j = json_new_object(), *tasks = json_new_object();
	uint64_t lost = 0;

	set_digest(j, &first);
	json_set_int(j, "eventsOfAllReplicants", (int64_t)all.events);
	for (const struct store_source *s = ds->sources; s != NULL;
	     s = s->next) {
		struct json *task = json_new_object();

		set_digest(task, &s->digest);
		json_set_int(task, "replicant", s->replicant);
		json_set_bool(task, "lost", s->is_lost);
		json_set(tasks, s->task, task);
		if (s->is_lost && s->replicant == 0)
			lost += s->digest.events;
	}
	json_set_int(j, "lostEvents", (int64_t)lost);
	json_set(j, "tasks", tasks);
	return j;
}

struct json *
sandbox_store_report(const struct store *s)
{
	struct json *j = json_new_object();

	for (const struct store_ds *ds = s->first; ds != NULL; ds = ds->next)
		json_set(j, ds->name, report_ds(ds));
	return j;
}

/*
 * spool_survey - goes through a spool as it lies on the disk, damaged or not
 *
 * Process: tranqctl.
 */
#include "spool_survey.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "lmdb_file.h"
#include "panic.h"
#include "record_batch.h"
#include "spool_check.h"
#include "spool_internal.h"
#include "spool_keys.h"
#include "spool_pin.h"

#define WHAT_BYTES 300
#define TAKE_TRIES 1000

/* What a list says of a batch. */
struct place {
	uint64_t id;
	uint32_t events, bytes;
	enum spool_survey_place place;
	bool is_seen;
};

/* An event that has left its batch. */
struct mark {
	uint64_t id;
	uint32_t event;
};

struct survey {
	struct spool_survey *s;
	struct lmdb_file *file;
	struct spool_pin *pin; /* NULL: nobody writes */
	int lock_fd;
	struct place *places; /* sorted by id and kind */
	size_t count, size;
	struct mark *marks; /* sorted */
	size_t mark_count, mark_size;
	uint32_t *refused; /* of one batch, with room for all marks */
	struct spool_totals totals;
	/* the next record, where one after the other is read */
	struct buf value;
	char key[LMDB_FILE_KEY_MAX];
	size_t key_bytes;
	bool has_value, found, done;
	/* of the log: what `meta` says, and what has been found */
	struct log_meta log[LOG_PAGE_PARTITIONS_MAX];
	struct log_meta seen[LOG_PAGE_PARTITIONS_MAX];
};

/* ---- telling ---- */

static void tell(struct survey *v, const char *format, ...) PRINTF_LIKE(2, 3);

static void
tell(struct survey *v, const char *format, ...)
{
	char what[WHAT_BYTES];
	va_list args;

	if (v->s->damage == NULL)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	v->s->damage(v->s->context, what);
}

static void
page_damaged(void *context, uint64_t page, const char *what)
{
	struct survey *v = context;

	v->s->bad_pages++;
	tell(v, "page %" PRIu64 " %s", page, what);
}

/* ---- the lists ---- */

static void
add_place(struct survey *v, const struct place *p)
{
	if (v->count == v->size) {
		v->size = MAX_OF(v->size * 2, 256u);
		v->places =
		    must_realloc(v->places, v->size * sizeof v->places[0]);
	}
	v->places[v->count++] = *p;
}

static bool
bad_record(struct survey *v, const char *list)
{
	v->s->other++;
	tell(v, "a record of '%s' has another form than this program writes",
	    list);
	return true;
}

static bool
take_queued(void *context, const struct lmdb_file_record *r)
{
	struct survey *v = context;
	struct queue_key key;
	struct queue_value value;
	struct spool_entry e;

	if (r->value == NULL || r->key_bytes != sizeof key ||
	    r->value_bytes != sizeof value)
		return bad_record(v, "queue");
	memcpy(&key, r->key, sizeof key);
	memcpy(&value, r->value, sizeof value);
	e = spool_entry_of(&key, &value);
	add_place(v,
	    &(struct place){ .id = e.id,
		.events = e.events,
		.bytes = e.bytes,
		.place = SURVEY_WAITING });
	return true;
}

static bool
take_dead(void *context, const struct lmdb_file_record *r)
{
	struct survey *v = context;
	struct place p = { .place = SURVEY_DEAD };

	if (r->value == NULL || r->key_bytes != sizeof p.id ||
	    r->value_bytes < sizeof p.events)
		return bad_record(v, "dead");
	memcpy(&p.id, r->key, sizeof p.id);
	memcpy(&p.events, r->value, sizeof p.events);
	p.id = be64toh(p.id);
	add_place(v, &p);
	return true;
}

static bool
take_copy(void *context, const struct lmdb_file_record *r)
{
	struct survey *v = context;
	struct place p = { .place = SURVEY_COPY };
	struct copy_value c;

	if (r->value == NULL || r->key_bytes != sizeof p.id ||
	    r->value_bytes != sizeof c)
		return bad_record(v, "copy");
	memcpy(&p.id, r->key, sizeof p.id);
	memcpy(&c, r->value, sizeof c);
	p.id = be64toh(p.id);
	p.events = c.events;
	p.bytes = c.bytes;
	if (c.where == SPOOL_LEFT) /* else another list has it */
		add_place(v, &p);
	return true;
}

static bool
take_key(void *context, const struct lmdb_file_record *r)
{
	if (r->value == NULL || r->key_bytes != EVENT_KEY_BYTES ||
	    !spool_key_is_row(r->value, r->value_bytes))
		return bad_record(context, "keys");
	return true;
}

static bool
take_keytime(void *context, const struct lmdb_file_record *r)
{
	if (r->key_bytes != sizeof(int64_t) + EVENT_KEY_BYTES)
		return bad_record(context, "keytime");
	return true;
}

static bool
check_name(void *context, const struct lmdb_file_record *r)
{
	if (!spool_check_name(r->key, r->key_bytes))
		page_damaged(context, r->page, "names what no spool has");
	return true;
}

static bool
take_mark(void *context, const struct lmdb_file_record *r)
{
	struct survey *v = context;
	struct progress_key key;

	if (r->key_bytes != sizeof key)
		return bad_record(v, "progress");
	memcpy(&key, r->key, sizeof key);
	if (key.replicant != htobe32(SPOOL_REFUSED_MARK))
		return true;
	if (v->mark_count == v->mark_size) {
		v->mark_size = MAX_OF(v->mark_size * 2, 64u);
		v->marks =
		    must_realloc(v->marks, v->mark_size * sizeof v->marks[0]);
	}
	v->marks[v->mark_count++] =
	    (struct mark){ be64toh(key.id), be32toh(key.event) };
	return true;
}

/* "log:N" */
static void
take_log_meta(struct survey *v, const struct lmdb_file_record *r)
{
	char name[LOG_META_NAME_BYTES];

	for (unsigned i = 0; i < LOG_PAGE_PARTITIONS_MAX; i++) {
		snprintf(name, sizeof name, LOG_META_PARTITION, i);
		if (r->value != NULL && r->value_bytes == sizeof v->log[i] &&
		    r->key_bytes == strlen(name) &&
		    memcmp(r->key, name, r->key_bytes) == 0)
			memcpy(&v->log[i], r->value, sizeof v->log[i]);
	}
}

static bool
take_meta(void *context, const struct lmdb_file_record *r)
{
	struct survey *v = context;

	for (const struct spool_total *t = spool_totals_table; t->name != NULL;
	     t++)
		if (r->value != NULL && r->value_bytes == sizeof(uint64_t) &&
		    r->key_bytes == strlen(t->name) &&
		    memcmp(r->key, t->name, r->key_bytes) == 0)
			memcpy((char *)&v->totals + t->offset, r->value,
			    r->value_bytes);
	if (r->key_bytes > 4 && memcmp(r->key, "log:", 4) == 0)
		take_log_meta(v, r);
	return true;
}

/* The sum that `tranqctl status` shows, as far as the spool knows it. */
static void
check_accounts(struct survey *v)
{
	const struct spool_totals *t = &v->totals;
	uint64_t elsewhere = t->sent + t->dropped_window + t->dead +
	    t->quarantined + t->archived + t->appended + t->dropped_dead;

	for (size_t i = 0; i < v->count; i++)
		if (v->places[i].place == SURVEY_WAITING)
			elsewhere += v->places[i].events;
	for (size_t i = 0; i < ARRAY_LEN(v->log); i++)
		elsewhere += v->log[i].events;
	if (t->received == elsewhere)
		return;
	v->s->other++;
	tell(v,
	    "the accounts do not hold: %" PRIu64 " events received, %" PRIu64
	    " elsewhere",
	    t->received, elsewhere);
}

static int
compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (int)x->place - (int)y->place;
}

static void
read_lists(struct survey *v)
{
	static const struct {
		const char *name;
		bool (*record)(void *, const struct lmdb_file_record *);
	} lists[] = { { "queue", take_queued }, { "dead", take_dead },
		{ "copy", take_copy }, { "progress", take_mark },
		{ "keys", take_key }, { "keytime", take_keytime },
		{ "meta", take_meta } };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct lmdb_file_visit visit = { lists[i].record, NULL, v };
		struct lmdb_file_tree tree;

		if (lmdb_file_find(v->file, lists[i].name, &tree))
			lmdb_file_walk(v->file, &tree, NULL, &visit);
	}
	if (v->count > 0)
		qsort(v->places, v->count, sizeof v->places[0], compare);
	v->refused = must_calloc(v->mark_count, sizeof v->refused[0]);
	check_accounts(v);
}

/* Those of one batch. */
static unsigned
find_refused(struct survey *v, uint64_t id)
{
	size_t low = 0, high = v->mark_count;
	unsigned count = 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (v->marks[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < v->mark_count && v->marks[low].id == id; low++)
		v->refused[count++] = v->marks[low].event;
	return count;
}

static struct place *
find_place(struct survey *v, uint64_t id)
{
	size_t low = 0, high = v->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (v->places[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < v->count && v->places[low].id == id ? &v->places[low]
							 : NULL;
}

/* ---- the batches ---- */

static void
count_batch(struct survey *v, const struct spool_survey_batch *b)
{
	struct spool_survey_sum *sum = &v->s->sums[b->place];

	sum->batches++;
	sum->events += b->events;
	sum->bytes += b->bytes;
}

static void
batch_damaged(
    struct survey *v, const struct spool_survey_batch *b, const char *what)
{
	v->s->bad_batches++;
	v->s->bad_events += b->events;
	tell(v, "batch %" PRIu64 " (%u events): %s", b->id, b->events, what);
}

/* One whose value is in v->value, if it could be read. */
static void
take_batch(struct survey *v)
{
	struct spool_survey_batch b = { .place = SURVEY_LOST,
		.bytes = v->value.used };
	struct batch_view view;
	struct place *p;

	if (v->key_bytes != sizeof b.id) {
		bad_record(v, "batch");
		return;
	}
	memcpy(&b.id, v->key, sizeof b.id);
	b.id = be64toh(b.id);
	p = find_place(v, b.id);
	/* beside a worker: it has come since the lists were read */
	if (p == NULL && v->pin != NULL)
		return;
	if (p != NULL) {
		p->is_seen = true;
		b.place = p->place;
		b.events = p->events;
	}
	if (!v->has_value)
		batch_damaged(v, &b, "its pages cannot be read");
	else if (!batch_view(v->value.bytes, v->value.used, &view) ||
	    view.header->id != b.id)
		batch_damaged(v, &b, "its bytes do not fit their checksum");
	else
		b.view = &view;
	b.refused = v->refused;
	b.refused_count = find_refused(v, b.id);
	if (p == NULL && b.view != NULL) {
		b.events = view.header->events;
		v->s->other++;
		tell(v, "batch %" PRIu64 " (%u events) stands in no list", b.id,
		    b.events);
	}
	count_batch(v, &b);
	if (v->s->batch != NULL)
		v->done = !v->s->batch(v->s->context, &b);
}

/* ---- the log ---- */

/* Offsets grow from batch to batch, and stay within what `meta` says. */
static bool
is_in_place(const struct survey *v, unsigned partition, uint64_t first,
    const struct record_batch_head *head)
{
	const struct log_meta *m = &v->log[partition];

	return head->first == first && first >= v->seen[partition].next &&
	    (v->pin != NULL || (first >= m->start && head->next <= m->next));
}

static void
count_seen(struct survey *v, const struct spool_survey_batch *b, uint64_t next)
{
	struct log_meta *seen = &v->seen[b->partition];

	seen->next = MAX_OF(seen->next, next);
	seen->batches++;
	seen->events += b->events;
	seen->bytes += v->value.used;
}

static void
take_logged(struct survey *v)
{
	struct spool_survey_batch b = { .place = SURVEY_LOG,
		.bytes = v->value.used };
	struct record_batch_head head = { 0 };
	struct log_trailer trailer;
	struct log_key key;
	size_t bytes = log_value_read(v->value.bytes, v->value.used, &trailer);

	memcpy(&key, v->key, sizeof key);
	b.partition = be32toh(key.partition);
	b.id = log_key_first(&key);
	if (v->key_bytes != sizeof key ||
	    b.partition >= LOG_PAGE_PARTITIONS_MAX) {
		bad_record(v, LOG_DATABASE);
		return;
	}
	if (!v->has_value)
		batch_damaged(v, &b, "its pages cannot be read");
	else if (record_batch_check(v->value.bytes, bytes, &head) !=
		RECORD_BATCH_GOOD ||
	    head.bytes != bytes)
		batch_damaged(v, &b, "its bytes do not fit their checksum");
	else if (!is_in_place(v, b.partition, b.id, &head))
		batch_damaged(v, &b, "it stands in a wrong place of the log");
	else {
		b.records = v->value.bytes;
		b.records_bytes = bytes;
		b.events = head.records;
	}
	count_seen(v, &b, b.records != NULL ? head.next : b.id + 1);
	count_batch(v, &b);
	if (v->s->batch != NULL)
		v->done = !v->s->batch(v->s->context, &b);
}

/* Whether what was found is what `meta` says; nobody has written meanwhile. */
static void
check_log(struct survey *v)
{
	for (unsigned i = 0; i < LOG_PAGE_PARTITIONS_MAX; i++) {
		const struct log_meta *m = &v->log[i], *seen = &v->seen[i];

		if (m->batches == seen->batches && m->bytes == seen->bytes)
			continue;
		v->s->other++;
		tell(v,
		    "partition %u of the log has %" PRIu64 " batches (%" PRIu64
		    " bytes), and not %" PRIu64 " (%" PRIu64 ")",
		    i, seen->batches, seen->bytes, m->batches, m->bytes);
	}
}

/* ---- record after record ---- */

static bool
read_record(void *context, const struct lmdb_file_record *r)
{
	struct survey *v = context;

	v->key_bytes = r->key_bytes;
	memcpy(v->key, r->key, r->key_bytes);
	buf_reset(&v->value);
	v->has_value = lmdb_file_value(v->file, r, &v->value);
	v->found = true;
	return false;
}

/* Takes hold of what is newest; false when the worker is too fast, or gone
 * wrong. */
static bool
take_newest(struct survey *v)
{
	uint64_t txn;

	if (v->pin == NULL)
		return true;
	for (int i = 0; i < TAKE_TRIES; i++) {
		if (!spool_pin_take(v->pin, &txn))
			return false;
		if (lmdb_file_take(v->file, txn))
			return true;
		spool_pin_drop(v->pin);
	}
	return false;
}

static void
let_go(struct survey *v)
{
	if (v->pin != NULL)
		spool_pin_drop(v->pin);
}

struct tree_reader {
	const char *name;
	void (*take)(struct survey *);
};

static const struct tree_reader trees[] = { { "batch", take_batch },
	{ LOG_DATABASE, take_logged } };

struct tree_walk {
	struct survey *v;
	const struct tree_reader *tree;
};

static bool
read_and_take(void *context, const struct lmdb_file_record *r)
{
	struct tree_walk *w = context;

	(void)read_record(w->v, r);
	w->tree->take(w->v);
	return !w->v->done;
}

/* Beside a worker: the pages are held while one record is read and not while
 * somebody takes it. */
static void
walk_beside(struct survey *v, const struct tree_reader *reader)
{
	struct lmdb_file_visit visit = { read_record, NULL, v };
	char key[LMDB_FILE_KEY_MAX + 1] = { 0 };
	struct lmdb_file_record from = { .key = key, .key_bytes = 1 };
	struct lmdb_file_tree tree;

	while (!v->done && take_newest(v)) {
		v->found = false;
		if (lmdb_file_find(v->file, reader->name, &tree))
			lmdb_file_walk(v->file, &tree, &from, &visit);
		let_go(v);
		if (!v->found)
			return;
		reader->take(v);
		/* the first key behind it is itself and a NUL */
		memcpy(key, v->key, v->key_bytes);
		key[v->key_bytes] = '\0';
		from.key_bytes = v->key_bytes + 1;
	}
}

static void
read_batches(struct survey *v)
{
	struct lmdb_file_tree tree;

	buf_init(&v->value, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(trees) && !v->done; i++) {
		struct tree_walk walk = { v, &trees[i] };
		struct lmdb_file_visit visit = { read_and_take, NULL, &walk };

		if (v->pin != NULL)
			walk_beside(v, &trees[i]);
		else if (lmdb_file_find(v->file, trees[i].name, &tree))
			lmdb_file_walk(v->file, &tree, NULL, &visit);
	}
	buf_free(&v->value);
	if (v->pin == NULL && !v->done)
		check_log(v);
	/* a running worker has sent them meanwhile */
	for (size_t i = 0; v->pin == NULL && !v->done && i < v->count; i++) {
		const struct place *p = &v->places[i];
		struct spool_survey_batch b = {
			.id = p->id, .place = p->place, .events = p->events
		};

		if (p->is_seen || (i > 0 && p[-1].id == p->id))
			continue;
		batch_damaged(v, &b, "it is not there");
		count_batch(v, &b);
	}
}

/* ---- the whole ---- */

/* Nobody begins to write while we read; false: somebody does write. */
static bool
hold_off(struct survey *v)
{
	char *path = must_format("%s/owner.lock", v->s->dir);

	v->lock_fd = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	return v->lock_fd < 0 || flock(v->lock_fd, LOCK_SH | LOCK_NB) == 0 ||
	    errno != EWOULDBLOCK;
}

/* A worker may write the one meta page while the other is read. */
static struct lmdb_file *
open_file(struct survey *v, const char *path, char *what, size_t bytes)
{
	struct lmdb_file *f = lmdb_file_open(path, what, bytes);

	for (int i = 0; f == NULL && errno == EBADMSG && v->s->is_running &&
	     i < TAKE_TRIES;
	     i++)
		f = lmdb_file_open(path, what, bytes);
	return f;
}

static bool
begin_file(struct survey *v, char *error, size_t bytes)
{
	char *path = must_format("%s/data.mdb", v->s->dir);
	char what[WHAT_BYTES];
	int code;

	v->file = open_file(v, path, what, sizeof what);
	code = errno;
	if (v->file == NULL && (code == EILSEQ || code == EBADMSG) &&
	    !v->s->is_running &&
	    (v->file = lmdb_file_open_damaged(path)) != NULL) {
		v->s->bad_pages++;
		tell(v, "%s; what the other one says is gone by", what);
	}
	free(path);
	if (v->file == NULL)
		snprintf(error, bytes, "spool %s: %s%s%s", v->s->dir, what,
		    code == EILSEQ || code == EBADMSG ? "" : ": ",
		    code == EILSEQ || code == EBADMSG ? "" : strerror(code));
	return v->file != NULL;
}

static bool
begin(struct survey *v, char *error, size_t bytes)
{
	v->s->is_running = !hold_off(v);
	if (!begin_file(v, error, bytes))
		return false;
	if (v->s->is_running &&
	    (v->pin = spool_pin_open(v->s->dir, error, bytes)) == NULL)
		return false;
	if (take_newest(v))
		return true;
	snprintf(error, bytes,
	    "spool %s: its worker writes faster than it can be read; try "
	    "again",
	    v->s->dir);
	return false;
}

bool
spool_survey(struct spool_survey *s, char *error, size_t bytes)
{
	struct survey v = { .s = s, .lock_fd = -1 };
	struct lmdb_file_visit pages = { NULL, page_damaged, &v };
	struct lmdb_file_visit names = { check_name, NULL, &v };
	struct lmdb_file_about about;
	bool good = begin(&v, error, bytes);

	if (good) {
		about = lmdb_file_about(v.file);
		s->txn = about.txn;
		s->pages = about.pages;
		s->page_bytes = about.page_bytes;
		lmdb_file_check(v.file, &pages);
		lmdb_file_walk_names(v.file, &names);
		read_lists(&v);
		let_go(&v);
		if (s->reads_batches)
			read_batches(&v);
	}
	spool_pin_close(&v.pin);
	lmdb_file_close(&v.file);
	if (v.lock_fd >= 0)
		close(v.lock_fd);
	free(v.places);
	free(v.marks);
	free(v.refused);
	return good;
}

bool
spool_survey_is_whole(const struct spool_survey *s)
{
	return s->bad_pages + s->bad_batches + s->other == 0;
}

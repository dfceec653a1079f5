/*
 * spool_cuts - what a power cut leaves of a spool, at every moment of a run
 *
 * usage: spool_cuts run FOLDER COMMITS SEED
 *        spool_cuts script RECORD UNDER IMAGE MOST SEED
 *        spool_cuts worker RECORD UNDER IMAGE MOST SEED EVENTS
 *
 * `run`, under preload_record, does to a spool in FOLDER/spool all that a
 * worker does to one, and marks the digest of each state that was committed.
 * The other two take such a record, and rebuild in the folder IMAGE what may
 * be on the disk at each of its entries: names up to any moment since their
 * folder was synced; of each file what it was at its last sync, and any part
 * of what was written since, by sectors or pages, with or without the new size.
 * Each is opened by spool_open, and has to hold
 *   script  exactly the last state that was committed, or the one that was
 *           being committed;
 *   worker  (data/spool/a, data/archive/a; requests of EVENTS events each with
 *           ids PORT-REQUEST-EVENT) every event that was answered 200, each
 *           once in the spool and once in the archive at most, and no other.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "record.h"
#include "batch.h"
#include "buf.h"
#include "checksum.h"
#include "lmdb_file.h"
#include "log_layout.h"
#include "ndjson.h"
#include "panic.h"
#include "record_batch.h"
#include "partition.h"
#include "spool.h"
#include "spool_check.h"
#include "spool_dead.h"
#include "spool_log.h"
#include "spool_survey.h"

#define NOW_MS INT64_C(1763806800123)
#define SPOOL_BYTES ((int64_t)64 * MiB)
#define ERROR_BYTES 600
/* While files are made: few moments, and none is left out. */
#define FIRST_MOMENTS 30
#define FIRST_VARIANTS 25
#define VARIANTS 5 /* of a moment: nothing, all, and so many less two */

/* ---- numbers that a seed gives ---- */

static uint64_t random_state;

static uint32_t
rnd(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 11) % below);
}

static void
seed_with(const char *text)
{
	random_state = strtoull(text, NULL, 10) * 0x9e3779b97f4a7c15u + 1;
}

static NORETURN void die(const char *format, ...) PRINTF_LIKE(1, 2);

static char where[512]; /* for who dies by a signal */

static void
die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: ", where);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/* ---- a spool's state as a number ---- */

static bool
add_record(void *context, const struct lmdb_file_record *r)
{
	uint32_t *crc = context;

	*crc = checksum_crc32c(*crc, r->key, r->key_bytes);
	if (r->value != NULL)
		*crc = checksum_crc32c(*crc, r->value, r->value_bytes);
	return true;
}

struct digest {
	struct lmdb_file *file;
	struct buf value;
	uint64_t sum;
	uint64_t records;
};

static bool
digest_record(void *context, const struct lmdb_file_record *r)
{
	/* each opening counts itself, and an image is another file */
	static const char *const changes[] = { "openings", LOG_META_FILE };
	struct digest *d = context;
	uint32_t crc = 0;

	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		if (r->key_bytes == strlen(changes[i]) &&
		    memcmp(r->key, changes[i], r->key_bytes) == 0)
			return true;
	buf_reset(&d->value);
	if (!lmdb_file_value(d->file, r, &d->value))
		die("a value cannot be read");
	add_record(&crc, r);
	crc = checksum_crc32c(crc, d->value.bytes, d->value.used);
	d->sum = d->sum * 0x100000001b3u + crc;
	d->records++;
	return true;
}

static uint64_t
digest_of(const char *dir)
{
	static const char *const names[] = { "batch", "queue", "dead",
		"progress", "copy", "log", "keys", "keytime", "meta" };
	char *path = must_format("%s/data.mdb", dir), what[ERROR_BYTES];
	struct digest d = { .file = lmdb_file_open(path, what, sizeof what) };
	struct lmdb_file_visit visit = { digest_record, NULL, &d };
	struct lmdb_file_tree tree;

	if (d.file == NULL)
		die("%s", what);
	if (spool_check(dir, what, sizeof what) != SPOOL_FILE_GOOD)
		die("%s", what);
	buf_init(&d.value, SIZE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		d.sum = d.sum * 31 + d.records;
		if (lmdb_file_find(d.file, names[i], &tree))
			lmdb_file_walk(d.file, &tree, NULL, &visit);
	}
	buf_free(&d.value);
	lmdb_file_close(&d.file);
	free(path);
	return d.sum;
}

static struct spool *
open_spool(const char *dir)
{
	struct spool_options o = { .dir = dir,
		.ds = "a",
		.bytes_max = SPOOL_BYTES,
		.now_ms = NOW_MS,
		.lock_wait_ms = 1 };
	char error[ERROR_BYTES];
	struct spool *s = spool_open(&o, error, sizeof error);

	if (s == NULL)
		die("not opened: %s", error);
	return s;
}

/* ---- run: what a worker does to a spool ---- */

#define LIVE_MAX 120

struct live {
	struct spool_entry e;
	bool has_copy, is_late;
};

struct script {
	struct spool *spool;
	const char *dir;
	void (*mark)(uint64_t);
	struct live live[LIVE_MAX];
	unsigned count;
	uint64_t events;
	struct spool_cursor cursor;
	struct record_batch records; /* of the batch that goes into the log */
};

static void
put_one(struct script *s)
{
	static const unsigned sizes[] = { 1, 1, 2, 30, 60, 900 };
	unsigned events = sizes[rnd(ARRAY_LEN(sizes))] + rnd(3);
	struct interval interval = { 3600000, 7200000 };
	struct batch *b = batch_new(interval, rnd(3), 100);
	struct batch_seal seal = { .generation = 1, .now_ms = NOW_MS };
	struct spool_totals more = { .received = events };
	struct live *l = &s->live[s->count++];
	struct batch_view v;
	size_t bytes;
	char *value;

	*l = (struct live){ .has_copy = rnd(6) == 0 };
	seal.id = spool_take_id(s->spool, events);
	seal.lane = rnd(4);
	for (unsigned i = 0; i < events; i++) {
		char text[64];
		struct event e = { .timestamp_ms = interval.start };

		e.bytes = (unsigned)snprintf(text, sizeof text,
			      "{\"event\":%u,\"x\":%u}", i, rnd(1u << 30)) &
		    EVENT_BYTES_MAX;
		batch_add(b, &e, text, 5, 0);
	}
	value = batch_seal(&b, &seal, &bytes);
	batch_view_own(value, bytes, &v);
	l->e = (struct spool_entry){
		.at = { interval.start, interval.end, v.header->partition,
		    seal.lane },
		.id = seal.id,
		.events = events,
		.bytes = (uint32_t)bytes,
		.sealed_ms = NOW_MS,
	};
	spool_put(s->spool, value, bytes);
	if (l->has_copy)
		spool_put_copy(s->spool, &l->e);
	spool_count(s->spool, &more);
	s->events += events;
	free(value);
}

static void
log_one(struct script *s)
{
	static const unsigned sizes[] = { 1, 2, 30, 900 };
	unsigned events = sizes[rnd(ARRAY_LEN(sizes))] + rnd(3);
	struct spool_totals more = { .received = events };
	size_t bytes;
	char *value;

	for (unsigned i = 0; i < events; i++) {
		char text[64];

		record_batch_add(&s->records, NOW_MS + i, text,
		    (size_t)snprintf(text, sizeof text,
			"{\"event\":%u,\"x\":%u}", i, rnd(1u << 30)));
	}
	value = record_batch_seal(&s->records, NULL, &bytes);
	spool_log_put(s->spool, rnd(2), value, bytes, NOW_MS);
	spool_count(s->spool, &more);
	free(value);
}

/* Up to somewhere in what there is, in one go or not. */
static void
trim_log(struct script *s)
{
	unsigned partition = rnd(2);
	struct log_range r = spool_log_range(s->spool, partition);

	if (r.end > r.start)
		spool_log_trim(s->spool, partition,
		    r.start + 1 + rnd((uint32_t)(r.end - r.start)),
		    1 + rnd(10));
}

static void
change_one(struct script *s)
{
	unsigned at = rnd(s->count);
	struct live *l = &s->live[at];
	struct spool_progress p = { .chunk = rnd(9), .attempt = rnd(9) };
	struct spool_lane late = { l->e.at.start, l->e.at.end, PARTITION_LATE,
		1 + rnd(3) };

	switch (rnd(8)) {
	case 0: spool_set_progress(s->spool, l->e.id, 0, &p); return;
	case 1:
		if (!l->is_late)
			spool_move(s->spool, &l->e, &late);
		else
			return;
		l->e.at = late;
		l->is_late = true;
		return;
	case 2: spool_bury(s->spool, &l->e, SPOOL_WHY_CLOSED, NOW_MS); break;
	default:
		if (l->is_late)
			spool_remove_late(s->spool, &l->e, LATE_ARCHIVE);
		else
			spool_remove(s->spool, &l->e);
	}
	if (l->has_copy)
		spool_copied(s->spool, l->e.id);
	s->events -= l->e.events;
	s->live[at] = s->live[--s->count];
}

static void
set_others(struct script *s)
{
	char text[4000];
	size_t bytes = rnd(sizeof text);

	s->cursor.generation = 1;
	s->cursor.position += rnd(100000);
	spool_set_cursor(s->spool, rnd(2), &s->cursor);
	if (rnd(4) != 0)
		return;
	memset(text, 'a' + (int)rnd(26), bytes);
	spool_set_document(s->spool, "beams", text, bytes);
}

static void
do_commit(struct script *s, unsigned number)
{
	char error[ERROR_BYTES];
	struct spool_log_counts logged;

	spool_begin(s->spool);
	for (unsigned n = rnd(5); n > 0 && s->count < LIVE_MAX; n--)
		put_one(s);
	for (unsigned n = rnd(5); n > 0 && s->count > 0; n--)
		change_one(s);
	for (unsigned n = rnd(4); n > 0; n--)
		log_one(s);
	if (rnd(3) == 0)
		trim_log(s);
	set_others(s);
	if (spool_commit(s->spool, error, sizeof error) != RESULT_OK)
		die("commit %u: %s", number, error);
	logged = spool_log_counts(s->spool);
	if (spool_batches(s->spool) - logged.batches != s->count ||
	    spool_events(s->spool) - logged.events != s->events)
		die("commit %u: not what was put into it", number);
	s->mark(digest_of(s->dir));
}

static int
run(const char *folder, unsigned commits)
{
	void *mark = dlsym(RTLD_DEFAULT, "record_mark");
	char *dir = must_format("%s/spool", folder);
	struct script *s = must_calloc(1, sizeof *s);

	if (mark == NULL)
		die("not recorded: LD_PRELOAD preload_record.so");
	memcpy(&s->mark, &mark, sizeof mark);
	s->dir = dir;
	record_batch_init(&s->records);
	s->spool = open_spool(dir);
	s->mark(digest_of(dir));
	for (unsigned i = 1; i <= commits; i++) {
		do_commit(s, i);
		if (i % 97 != 0)
			continue;
		spool_close(&s->spool); /* a restart */
		s->spool = open_spool(dir);
	}
	spool_close(&s->spool);
	free(s);
	free(dir);
	return 0;
}

/* ---- a disk that remembers what it has been told to keep ---- */

#define NAMES_MAX 256
#define PENDING_MAX 4096

struct inode {
	char *bytes;
	size_t size, room; /* as of the last sync */
	const struct record_entry *pending[PENDING_MAX];
	unsigned count;
};

struct name_op {
	enum record_kind kind;
	const char *path, *to;
	struct inode *inode;
	bool is_durable;
};

struct name {
	const char *path;
	struct inode *inode; /* NULL: a folder */
};

struct disk {
	const char *under;
	struct inode **files; /* by number of opening */
	unsigned file_max;
	struct name_op ops[NAMES_MAX * 16];
	unsigned op_count;
	unsigned first_pending; /* all before it are durable */
};

struct names {
	struct name all[NAMES_MAX];
	unsigned count;
};

static struct name *
find_name(struct names *n, const char *path)
{
	for (unsigned i = 0; i < n->count; i++)
		if (strcmp(n->all[i].path, path) == 0)
			return &n->all[i];
	return NULL;
}

static void
set_name(struct names *n, const char *path, struct inode *inode)
{
	struct name *at = find_name(n, path);

	if (at == NULL) {
		if (n->count == NAMES_MAX)
			die("too many names");
		at = &n->all[n->count++];
	}
	*at = (struct name){ path, inode };
}

static void
apply_name(struct names *n, const struct name_op *o)
{
	struct name *at = find_name(n, o->path);
	struct inode *inode = at != NULL ? at->inode : NULL;

	switch (o->kind) {
	case RECORD_OPEN:
	case RECORD_MKDIR: set_name(n, o->path, o->inode); return;
	case RECORD_RENAME:
		if (at == NULL)
			return;
		*at = n->all[--n->count];
		set_name(n, o->to, inode);
		return;
	default:
		if (at != NULL)
			*at = n->all[--n->count];
	}
}

/* The names when those that nobody has synced are there up to `last`. */
static void
names_at(const struct disk *d, unsigned last, struct names *n)
{
	n->count = 0;
	for (unsigned i = 0; i < d->op_count; i++)
		if (d->ops[i].is_durable || i < last)
			apply_name(n, &d->ops[i]);
}

static void
add_name_op(struct disk *d, const struct name_op *o)
{
	if (d->op_count == ARRAY_LEN(d->ops))
		die("too many changes of names");
	d->ops[d->op_count++] = *o;
}

static void
open_file(struct disk *d, const struct record_entry *e)
{
	const char *path = (const char *)(e + 1);
	static struct names now;
	struct name *at;
	struct inode *inode;

	names_at(d, UINT32_MAX, &now);
	at = find_name(&now, path);
	if (at != NULL) {
		inode = at->inode;
	} else {
		inode = must_calloc(1, sizeof *inode);
		add_name_op(d,
		    &(struct name_op){
			.kind = RECORD_OPEN, .path = path, .inode = inode });
	}
	if (e->file >= d->file_max) {
		d->file_max = e->file * 2 + 64;
		d->files =
		    must_realloc(d->files, d->file_max * sizeof d->files[0]);
	}
	d->files[e->file] = inode;
	if ((e->flags & O_TRUNC) != 0 && at != NULL)
		die("%s is overwritten, not replaced", path);
}

/* Bytes `from` to `to` of a write. */
static void
write_part(
    struct inode *f, const struct record_entry *e, uint64_t from, uint64_t to)
{
	uint64_t end = e->offset + to;

	if (end > f->room) {
		size_t room = MAX_OF(end * 2, (uint64_t)64 * KiB);

		f->bytes = must_realloc(f->bytes, room);
		memset(f->bytes + f->room, 0, room - f->room);
		f->room = room;
	}
	memcpy(f->bytes + e->offset + from, (const char *)(e + 1) + from,
	    to - from);
	f->size = MAX_OF(f->size, end);
}

static void
truncate_to(struct inode *f, uint64_t size)
{
	if (size < f->size)
		memset(f->bytes + size, 0, f->size - size);
	if (size > f->room)
		die("a file is made longer by ftruncate");
	f->size = size;
}

static void
apply_whole(struct inode *f, const struct record_entry *e)
{
	if (e->kind == RECORD_TRUNCATE)
		truncate_to(f, e->offset);
	else
		write_part(f, e, 0, e->length);
}

static void
sync_file(struct inode *f)
{
	for (unsigned i = 0; i < f->count; i++)
		apply_whole(f, f->pending[i]);
	f->count = 0;
}

static void
sync_one(struct inode *f, const struct record_entry *written)
{
	for (unsigned i = 0; i < f->count; i++) {
		if (f->pending[i] != written)
			continue;
		apply_whole(f, written);
		memmove(&f->pending[i], &f->pending[i + 1],
		    (--f->count - i) * sizeof f->pending[0]);
		return;
	}
}

static bool
is_in(const char *path, const char *dir, size_t bytes)
{
	return strncmp(path, dir, bytes) == 0 && path[bytes] == '/' &&
	    strchr(path + bytes + 1, '/') == NULL;
}

static void
sync_dir(struct disk *d, const char *path)
{
	size_t bytes = strlen(path);
	char plain[4096];

	/* "a/b/.." */
	snprintf(plain, sizeof plain, "%s", path);
	if (bytes > 3 && strcmp(plain + bytes - 3, "/..") == 0) {
		plain[bytes - 3] = '\0';
		*strrchr(plain, '/') = '\0';
		bytes = strlen(plain);
	}
	for (unsigned i = 0; i < d->op_count; i++) {
		struct name_op *o = &d->ops[i];

		if (is_in(o->path, plain, bytes) ||
		    (o->to != NULL && is_in(o->to, plain, bytes)))
			o->is_durable = true;
	}
	while (d->first_pending < d->op_count &&
	    d->ops[d->first_pending].is_durable)
		d->first_pending++;
}

static void
take_entry(struct disk *d, const void *record, const struct record_entry *e)
{
	const char *text = (const char *)(e + 1);
	struct inode *f =
	    e->file != 0 && e->kind != RECORD_OPEN ? d->files[e->file] : NULL;

	switch (e->kind) {
	case RECORD_OPEN: open_file(d, e); break;
	case RECORD_WRITE:
	case RECORD_TRUNCATE:
		if (f->count == PENDING_MAX)
			die("too many writes without a sync");
		f->pending[f->count++] = e;
		break;
	case RECORD_WRITTEN:
		sync_one(f, (const void *)((const char *)record + e->offset));
		break;
	case RECORD_SYNC: sync_file(f); break;
	case RECORD_SYNC_DIR: sync_dir(d, text); break;
	case RECORD_MKDIR:
	case RECORD_UNLINK:
	case RECORD_RENAME:
		add_name_op(d,
		    &(struct name_op){ .kind = e->kind,
			.path = text,
			.to = e->kind == RECORD_RENAME ? text + strlen(text) + 1
						       : NULL });
		break;
	default: break;
	}
}

/* ---- an image: one of the things that may be on the disk ---- */

enum amount { NOTHING, ALL, SOME };

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static void
apply_some(struct inode *f, const struct record_entry *e)
{
	uint64_t unit = rnd(2) == 0 ? 512 : 4096, at = 0, next;
	unsigned how = rnd(3); /* none of it, all of it, parts */

	if (how == 0)
		return;
	if (how == 1 || e->kind == RECORD_TRUNCATE) {
		apply_whole(f, e);
		return;
	}
	for (; at < e->length; at = next) {
		/* units are the disk's, not the write's */
		next = MIN_OF(((e->offset + at) / unit + 1) * unit - e->offset,
		    e->length);
		if (rnd(2) == 0)
			write_part(f, e, at, next);
	}
}

/* The file as it may be; the caller frees its bytes. */
static struct inode
content_of(const struct inode *f, enum amount amount)
{
	struct inode c = { .size = f->size, .room = f->room };
	size_t most = f->size;

	c.bytes = must_calloc(1, f->room + 1);
	if (f->size > 0)
		memcpy(c.bytes, f->bytes, f->size);
	for (unsigned i = 0; i < f->count && amount != NOTHING; i++) {
		const struct record_entry *e = f->pending[i];

		if (e->kind == RECORD_WRITE)
			most = MAX_OF(most, e->offset + e->length);
		if (amount == ALL)
			apply_whole(&c, e);
		else
			apply_some(&c, e);
	}
	if (amount != SOME)
		return c;
	if (rnd(4) == 0) { /* the size has not come, the bytes have */
		c.size = MIN_OF(c.size, f->size);
	} else if (rnd(3) == 0 && most > c.size) { /* and the reverse */
		if (most > c.room) {
			c.bytes = must_realloc(c.bytes, most);
			memset(c.bytes + c.room, 0, most - c.room);
			c.room = most;
		}
		c.size = most;
	}
	return c;
}

static void
write_image_file(const char *path, const struct inode *f, enum amount amount)
{
	struct inode c = content_of(f, amount);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	size_t at = 0;

	while (fd >= 0 && at < c.size) {
		ssize_t n = write(fd, c.bytes + at, c.size - at);

		if (n <= 0)
			die("%s: %s", path, strerror(errno));
		at += (size_t)n;
	}
	if (fd < 0 || close(fd) != 0)
		die("%s: %s", path, strerror(errno));
	free(c.bytes);
}

/* What of it matters after a power cut. */
static bool
is_of_interest(const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	return (strstr(path, "/spool") != NULL ||
		   strstr(path, "/archive") != NULL) &&
	    strcmp(name, "lock.mdb") != 0 && strcmp(name, "owner.lock") != 0 &&
	    name[0] != '.';
}

/* Folders first: a name is there when those above it are. */
static void
write_image(const struct disk *d, const char *image, enum amount amount)
{
	unsigned pending = d->op_count - d->first_pending;
	unsigned last = amount == NOTHING ? 0
	    : amount == ALL               ? d->op_count
					  : d->first_pending + rnd(pending + 1);
	static struct names names;

	nftw(image, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (mkdir(image, 0700) != 0)
		die("%s: %s", image, strerror(errno));
	names_at(d, last, &names);
	/* short paths first */
	for (size_t bytes = 0; bytes < 512; bytes++)
		for (unsigned i = 0; i < names.count; i++) {
			const struct name *n = &names.all[i];
			char path[4096], *slash;

			if (strlen(n->path) != bytes ||
			    (n->inode != NULL && !is_of_interest(n->path)))
				continue;
			snprintf(path, sizeof path, "%s%s", image,
			    n->path + strlen(d->under));
			slash = strrchr(path, '/');
			*slash = '\0';
			if (access(path, F_OK) != 0)
				continue;
			*slash = '/';
			if (n->inode == NULL)
				mkdir(path, 0700);
			else
				write_image_file(path, n->inode, amount);
		}
}

/* ---- what is to be found in it ---- */

struct expectation {
	uint64_t *digests; /* of the states that were committed, in turn */
	unsigned count, reached;
	/* of a worker */
	unsigned events; /* in a request */
	uint32_t answered[65536]; /* requests, by port */
	bool is_worker;
};

static void
check_script(const char *image, const struct expectation *x)
{
	char *dir = must_format("%s/spool", image);
	struct spool *s = open_spool(dir);
	uint64_t found;

	if (x->reached == 0) {
		if (spool_batches(s) != 0)
			die("events from nowhere");
	} else {
		found = digest_of(dir);
		if (found != x->digests[x->reached - 1] &&
		    (x->reached == x->count || found != x->digests[x->reached]))
			die("it is neither the state of commit %u nor the "
			    "next",
			    x->reached - 1);
	}
	spool_close(&s);
	free(dir);
}

struct seen {
	const char *where;
	unsigned char *counts; /* of events, by request and event */
	size_t size;
};

#define PORTS_MAX 16
#define REQUESTS_MAX 4096

static struct {
	unsigned port;
	unsigned char *spool, *archive;
} ports[PORTS_MAX];
static unsigned port_count;

static unsigned
port_index(unsigned port)
{
	for (unsigned i = 0; i < port_count; i++)
		if (ports[i].port == port)
			return i;
	die("an event of port %u, from nowhere", port);
}

static void
count_lines(const struct expectation *x, const char *text, size_t bytes,
    bool in_archive)
{
	const char *at = text, *end = text + bytes;
	static const char mark[] = "\"id\": \"";

	while (
	    (at = memmem(at, (size_t)(end - at), mark, strlen(mark))) != NULL) {
		unsigned port, request, event, index;
		unsigned char *count;

		at += strlen(mark);
		if (sscanf(at, "%u-%u-%u\"", &port, &request, &event) != 3 ||
		    request >= REQUESTS_MAX || event >= x->events)
			die("an event from nowhere: %.40s", at);
		index = port_index(port);
		count =
		    (in_archive ? ports[index].archive : ports[index].spool) +
		    request * x->events + event;
		if (++*count > 1)
			die("event %u-%u-%u is there twice", port, request,
			    event);
	}
}

static const struct expectation *counting;

static bool
count_records(const struct spool_survey_batch *b, struct buf *lines)
{
	struct record_batch_reader r;
	struct record_batch_record record;

	if (b->records == NULL ||
	    !record_batch_open(&r, b->records, b->records_bytes, SIZE_MAX))
		die("the log's batch %" PRIu64 " is damaged", b->id);
	buf_reset(lines);
	while (record_batch_next(&r, &record)) {
		buf_add(lines, record.value, record.bytes);
		buf_add_text(lines, "\n");
	}
	record_batch_close(&r);
	count_lines(counting, lines->bytes, lines->used, false);
	return true;
}

static bool
count_batch(void *context, const struct spool_survey_batch *b)
{
	struct buf *lines = context;

	if (b->place == SURVEY_LOG)
		return count_records(b, lines);
	if (b->view == NULL || b->place != SURVEY_WAITING)
		die("batch %" PRIu64 " is damaged, or no batch", b->id);
	buf_reset(lines);
	ndjson_add(lines, b->view->body, b->view->header->body_bytes);
	count_lines(counting, lines->bytes, lines->used, false);
	return true;
}

static int
count_file(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	size_t bytes = (size_t)st->st_size, room;
	char *from, *to;
	FILE *f;

	(void)at;
	if (kind != FTW_F || strstr(path, ".zst") == NULL ||
	    strrchr(path, '/')[1] == '.')
		return 0;
	f = fopen(path, "r");
	from = must_malloc(bytes);
	if (f == NULL || fread(from, 1, bytes, f) != bytes)
		die("%s: %s", path, strerror(errno));
	fclose(f);
	room = 4 * (size_t)MiB;
	to = must_malloc(room);
	room = ZSTD_decompress(to, room, from, bytes);
	if (ZSTD_isError(room))
		die("%s: %s", path, ZSTD_getErrorName(room));
	count_lines(counting, to, room, true);
	free(from);
	free(to);
	return 0;
}

static void
make_dirs(const char *path)
{
	char part[4096];

	snprintf(part, sizeof part, "%s/", path);
	for (char *p = part + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(part, 0700);
		*p = '/';
	}
}

static void
check_worker(const char *image, const struct expectation *x)
{
	char *dir = must_format("%s/data/spool/a", image);
	char *archive = must_format("%s/data/archive/a", image);
	char error[ERROR_BYTES];
	struct buf lines;
	struct spool_survey survey = { .dir = dir,
		.reads_batches = true,
		.batch = count_batch,
		.context = &lines };
	struct spool *s;

	make_dirs(dir);
	s = open_spool(dir);
	spool_close(&s);
	buf_init(&lines, SIZE_MAX);
	for (unsigned i = 0; i < port_count; i++) {
		memset(ports[i].spool, 0, REQUESTS_MAX * x->events);
		memset(ports[i].archive, 0, REQUESTS_MAX * x->events);
	}
	counting = x;
	if (!spool_survey(&survey, error, sizeof error))
		die("%s", error);
	if (!spool_survey_is_whole(&survey))
		die("it is damaged");
	nftw(archive, count_file, 16, FTW_PHYS);
	for (unsigned i = 0; i < port_count; i++)
		for (size_t n = 0;
		     n < x->answered[ports[i].port] * (size_t)x->events; n++)
			if (ports[i].spool[n] + ports[i].archive[n] == 0)
				die("event %u-%zu-%zu was answered 200 and is "
				    "nowhere",
				    ports[i].port, n / x->events,
				    n % x->events);
	buf_free(&lines);
	free(dir);
	free(archive);
}

/* ---- through the record ---- */

static const char *
map_record(const char *path)
{
	int fd = open(path, O_RDONLY);
	const char *r = fd < 0
	    ? MAP_FAILED
	    : mmap(NULL, RECORD_BYTES_MAX, PROT_READ, MAP_SHARED, fd, 0);

	if (r == MAP_FAILED ||
	    ((const struct record_head *)(const void *)r)->magic !=
		RECORD_MAGIC)
		die("%s is no record", path);
	return r;
}

static const struct record_entry *
entry_at(const char *record, uint64_t *at)
{
	const struct record_head *h = (const void *)record;
	const struct record_entry *e = (const void *)(record + *at);

	if (*at + sizeof *e > h->used)
		return NULL;
	*at += (sizeof *e + e->length + 7) / 8 * 8;
	return e;
}

#define FIRST_ENTRY (sizeof(struct record_head) + sizeof(uint64_t))

/* Marks, ports, and how many moments there are. */
static unsigned
look_through(const char *record, struct expectation *x)
{
	uint64_t at = FIRST_ENTRY;
	const struct record_entry *e;
	unsigned moments = 0;

	while ((e = entry_at(record, &at)) != NULL) {
		if (e->kind == RECORD_MARK) {
			x->digests = must_realloc(
			    x->digests, (x->count + 1) * sizeof x->digests[0]);
			x->digests[x->count++] = e->offset;
		} else if (e->kind == RECORD_ANSWER &&
		    x->answered[e->offset]++ == 0) {
			if (port_count == PORTS_MAX)
				die("too many connections");
			ports[port_count].port = (unsigned)e->offset;
			ports[port_count].spool =
			    must_calloc(REQUESTS_MAX, x->events);
			ports[port_count++].archive =
			    must_calloc(REQUESTS_MAX, x->events);
		}
		moments += e->kind != RECORD_MARK && e->kind != RECORD_ANSWER;
	}
	memset(x->answered, 0, sizeof x->answered);
	return moments;
}

static void
check_moment(const struct disk *d, const char *image,
    const struct expectation *x, uint64_t at, unsigned variants, unsigned *cuts)
{
	for (unsigned v = 0; v < variants; v++) {
		enum amount amount = v < SOME ? (enum amount)v : SOME;

		snprintf(where, sizeof where,
		    "cut %u (at byte %" PRIu64 " of the record, %s)", *cuts, at,
		    amount == NOTHING   ? "nothing but what was synced"
			: amount == ALL ? "all that was written"
					: "some of what was written");
		write_image(d, image, amount);
		if (x->is_worker)
			check_worker(image, x);
		else
			check_script(image, x);
		++*cuts;
	}
}

static void
check_all(const char *record, struct disk *d, const char *image,
    struct expectation *x, unsigned most)
{
	unsigned moments = look_through(record, x), moment = 0, cuts = 0;
	unsigned stride = MAX_OF(moments * VARIANTS / most, 1u);
	unsigned shift = rnd(stride);
	const struct record_entry *e;
	uint64_t at = FIRST_ENTRY, answers = 0;

	while ((e = entry_at(record, &at)) != NULL) {
		if (e->kind == RECORD_MARK) {
			x->reached++;
			continue;
		}
		if (e->kind == RECORD_ANSWER) {
			x->answered[e->offset]++;
			answers++;
			continue;
		}
		if (moment < FIRST_MOMENTS)
			check_moment(d, image, x, at, FIRST_VARIANTS, &cuts);
		else if (moment % stride == shift)
			check_moment(d, image, x, at, VARIANTS, &cuts);
		moment++;
		take_entry(d, record, e);
	}
	check_moment(d, image, x, at, VARIANTS, &cuts);
	printf("%u moments, %u cuts, %u commits, %" PRIu64 " answers\n",
	    moments, cuts, x->count, answers);
}

static void
died(int signal_number)
{
	static const char text[] = ": died by a signal\n";

	(void)!write(2, where, strlen(where));
	(void)!write(2, text, sizeof text - 1);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

int
main(int argc, char **argv)
{
	static struct expectation x;
	static struct disk d;

	signal(SIGSEGV, died);
	signal(SIGBUS, died);
	signal(SIGABRT, died);
	if (argc == 5 && strcmp(argv[1], "run") == 0) {
		seed_with(argv[4]);
		return run(argv[2], (unsigned)atoi(argv[3]));
	}
	x.is_worker = argc == 8 && strcmp(argv[1], "worker") == 0;
	if (!x.is_worker && !(argc == 7 && strcmp(argv[1], "script") == 0)) {
		fputs("usage: see spool_cuts.c\n", stderr);
		return 2;
	}
	x.events = x.is_worker ? (unsigned)atoi(argv[7]) : 1;
	d.under = argv[3];
	seed_with(argv[6]);
	check_all(
	    map_record(argv[2]), &d, argv[4], &x, (unsigned)atoi(argv[5]));
	return 0;
}

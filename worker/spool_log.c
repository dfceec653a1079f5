/*
 * spool_log - the log in a spool: what Druid pulls, by offset
 *
 * Process: worker.
 */
#include "spool_log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "log.h"
#include "record_batch.h"
#include "spool_internal.h"

/* Far beyond what the clock gives in this millennium. */
#define NEXT_MAX ((uint64_t)INT64_MAX >> 4)
#define AHEAD_MS INT64_C(86400000) /* that a clock may have gone back */

static uint64_t
clock_offset(int64_t wall_ms)
{
	return (uint64_t)MAX_OF(wall_ms / 1000, 1) << LOG_FIRST_SHIFT;
}

static void
partition_name(unsigned partition, char to[static LOG_META_NAME_BYTES])
{
	snprintf(to, LOG_META_NAME_BYTES, LOG_META_PARTITION, partition);
}

/* ---- opening ---- */

static struct log_file
look_at_file(const struct spool *s)
{
	char *path = must_format("%s/data.mdb", s->dir);
	struct log_file f = { 0 };
	struct statx x;

	if (statx(AT_FDCWD, path, 0, STATX_INO | STATX_BTIME, &x) == 0) {
		f.inode = x.stx_ino;
		if (x.stx_mask & STATX_BTIME) {
			f.born_s = x.stx_btime.tv_sec;
			f.born_ns = x.stx_btime.tv_nsec;
		}
	}
	free(path);
	return f;
}

/* A copy may be older than what was shown to consumers since: nothing that they
 * have seen may come again under another event. */
static void
leave_behind(struct spool *s)
{
	uint64_t at_least = clock_offset(s->options.now_ms);

	for (unsigned i = 0; i < s->now.log_partitions; i++)
		if (s->now.log[i].next != 0)
			s->now.log[i].next =
			    MAX_OF(s->now.log[i].next, at_least);
	log_warnx("spool %s: data.mdb is not the file that its log was written "
		  "to last: a copy, or restored from one. Its offsets go on at "
		  "%" PRIu64 ", so that none comes twice; what was added after "
		  "the copy was made is missing in it",
	    s->dir, at_least);
}

static int
read_partitions(struct spool *s, MDB_txn *txn)
{
	for (unsigned i = 0; i < LOG_PAGE_PARTITIONS_MAX; i++) {
		struct log_meta *m = &s->now.log[i];
		char name[LOG_META_NAME_BYTES];
		MDB_val k, v;

		partition_name(i, name);
		k = spool_val(name, strlen(name));
		if (mdb_get(txn, s->meta, &k, &v) != 0)
			continue;
		if (v.mv_size != sizeof *m)
			return MDB_CORRUPTED;
		memcpy(m, v.mv_data, sizeof *m);
		if (m->next == 0 || m->next > NEXT_MAX || m->start > m->next ||
		    m->first > m->start)
			return MDB_CORRUPTED;
		s->now.log_partitions = i + 1;
		s->now.log_batches += m->batches;
		s->now.log_events += m->events;
		s->now.log_bytes += m->bytes;
	}
	return 0;
}

int
spool_log_read(struct spool *s, MDB_txn *txn)
{
	struct log_file before;
	int rc = mdb_dbi_open(txn, LOG_DATABASE, 0, &s->log);

	s->has_log = rc == 0;
	s->log_identity[0] = '\0';
	if (!s->has_log)
		return rc == MDB_NOTFOUND ? 0 : rc;
	s->log_file = look_at_file(s);
	if ((rc = read_partitions(s, txn)) != 0)
		return rc;
	if (!spool_get_meta(s, txn, LOG_META_IDENTITY, s->log_identity,
		sizeof s->log_identity))
		return MDB_CORRUPTED;
	s->log_identity[sizeof s->log_identity - 1] = '\0';
	/* none: `tranqctl spool compact` has made the file */
	if (spool_get_meta(s, txn, LOG_META_FILE, &before, sizeof before) &&
	    memcmp(&before, &s->log_file, sizeof before) != 0) {
		s->log_is_copy = true;
		leave_behind(s);
	}
	return 0;
}

void
spool_log_store(struct spool *s)
{
	bool changed = false;

	for (unsigned i = 0; i < s->now.log_partitions; i++) {
		const struct log_meta *m = &s->now.log[i];
		char name[LOG_META_NAME_BYTES];

		if (memcmp(m, &s->durable.log[i], sizeof *m) == 0)
			continue;
		partition_name(i, name);
		spool_set_meta(s, name, m, sizeof *m);
		changed = true;
	}
	if (changed)
		spool_set_meta(
		    s, LOG_META_FILE, &s->log_file, sizeof s->log_file);
}

/* ---- changing ---- */

static bool
have_log(struct spool *s)
{
	if (s->has_log || s->error != 0)
		return s->error == 0;
	spool_note(
	    s, mdb_dbi_open(s->write, LOG_DATABASE, MDB_CREATE, &s->log));
	if (!spool_make_identity(s->log_identity))
		spool_note(s, errno);
	spool_set_meta(
	    s, LOG_META_IDENTITY, s->log_identity, sizeof s->log_identity);
	s->log_file = look_at_file(s);
	s->has_log = s->error == 0;
	return s->has_log;
}

static void
begin_partition(struct spool *s, unsigned partition, int64_t now_ms)
{
	struct log_meta *m = &s->now.log[partition];

	m->first = m->start = m->next = clock_offset(now_ms);
	m->sealed_ms = m->reach_ms = INT64_MIN;
	s->now.log_partitions = MAX_OF(s->now.log_partitions, partition + 1);
}

void
spool_log_begin(struct spool *s, unsigned partitions, int64_t now_ms)
{
	must(partitions <= LOG_PAGE_PARTITIONS_MAX);
	for (unsigned i = 0; i < partitions && have_log(s); i++)
		if (s->now.log[i].next == 0)
			begin_partition(s, i, now_ms);
}

static void
store_batch(struct spool *s, const struct log_key *key, const char *batch,
    size_t bytes, const struct log_trailer *trailer)
{
	MDB_val k = spool_val(key, sizeof *key);
	MDB_val v = { .mv_size = bytes + sizeof *trailer };
	/* offsets only grow: appending fills pages from left to right; only
	 * the last partition's are the last keys, too */
	int rc = mdb_put(s->write, s->log, &k, &v, MDB_RESERVE | MDB_APPEND);

	if (rc == MDB_KEYEXIST) {
		v = (MDB_val){ .mv_size = bytes + sizeof *trailer };
		rc = mdb_put(
		    s->write, s->log, &k, &v, MDB_RESERVE | MDB_NOOVERWRITE);
	}
	spool_note(s, rc);
	if (rc != 0)
		return;
	memcpy(v.mv_data, batch, bytes);
	memcpy((char *)v.mv_data + bytes, trailer, sizeof *trailer);
}

uint64_t
spool_log_put(struct spool *s, unsigned partition, char *batch, size_t bytes,
    int64_t sealed_ms)
{
	struct log_meta *m = &s->now.log[partition];
	struct record_batch_head head;
	struct log_trailer trailer;
	struct log_key key;
	uint64_t first;

	must(partition < LOG_PAGE_PARTITIONS_MAX);
	must(record_batch_look(batch, bytes, &head) == RECORD_BATCH_GOOD);
	if (!have_log(s))
		return 0;
	if (m->next == 0)
		begin_partition(s, partition, sealed_ms);
	first = m->next;
	record_batch_set_first(batch, first);
	m->sealed_ms = MAX_OF(m->sealed_ms, sealed_ms);
	m->reach_ms = MAX_OF(m->reach_ms, head.max_ms);
	trailer =
	    (struct log_trailer){ m->sealed_ms, m->reach_ms, m->bytes_ever };
	key = log_key_of(partition, first);
	store_batch(s, &key, batch, bytes, &trailer);
	bytes += sizeof trailer;
	m->next += head.next - head.first;
	m->bytes_ever += bytes;
	m->batches++;
	m->events += head.records;
	m->bytes += bytes;
	s->now.log_batches++;
	s->now.log_events += head.records;
	s->now.log_bytes += bytes;
	return first;
}

bool
spool_log_take(struct spool *s, const struct spool_entry *e)
{
	uint64_t id = htobe64(e->id);
	MDB_val k = spool_val(&id, sizeof id);
	uint32_t events;

	if (s->error != 0 || !spool_leave_queue(s, e, SPOOL_LEFT, &events))
		return false;
	if (!spool_copy_left(s, e->id, SPOOL_LEFT))
		spool_note(s, mdb_del(s->write, s->batch, &k, NULL));
	return s->error == 0;
}

/* ---- finding ---- */

struct found {
	struct spool_log_entry entry;
	struct log_trailer trailer;
};

/* Where the batch behind the cursor's begins; the partition's end when there is
 * none. */
static uint64_t
next_first(MDB_cursor *cursor, unsigned partition, const struct log_meta *m)
{
	struct log_key key;
	MDB_val k, v;

	if (mdb_cursor_get(cursor, &k, &v, MDB_NEXT) != 0 ||
	    k.mv_size != sizeof key)
		return m->next;
	memcpy(&key, k.mv_data, sizeof key);
	return key.partition == htobe32(partition) ? log_key_first(&key)
						   : m->next;
}

/* What its head says; of a damaged one, what its neighbours say. */
static void
read_entry(MDB_cursor *cursor, unsigned partition, const struct log_meta *m,
    const MDB_val *v, struct found *f)
{
	struct spool_log_entry *e = &f->entry;
	struct record_batch_head head;
	size_t bytes = log_value_read(v->mv_data, v->mv_size, &f->trailer);

	e->bytes = (uint32_t)v->mv_size;
	e->sealed_ms = f->trailer.sealed_ms;
	if (record_batch_look(v->mv_data, bytes, &head) == RECORD_BATCH_GOOD &&
	    head.first == e->first && head.next <= m->next) {
		e->next = head.next;
		e->events = head.records;
		return;
	}
	e->next = next_first(cursor, partition, m);
	e->events = (uint32_t)MIN_OF(e->next - e->first, (uint64_t)UINT32_MAX);
}

/* The first batch at or behind that offset. */
static bool
find(struct spool *s, MDB_txn *txn, const struct log_meta *m,
    unsigned partition, uint64_t from, struct found *f)
{
	struct log_key key = log_key_of(partition, from), at;
	MDB_val k = spool_val(&key, sizeof key), v;
	MDB_cursor *cursor;
	bool found;

	*f = (struct found){ .entry.first = 0 };
	if (spool_open_cursor(txn, s->log, &cursor) != 0)
		return false;
	found = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE) == 0 &&
	    k.mv_size == sizeof at;
	if (found) {
		memcpy(&at, k.mv_data, sizeof at);
		found = at.partition == key.partition;
	}
	if (found) {
		f->entry.first = log_key_first(&at);
		read_entry(cursor, partition, m, &v, f);
	}
	mdb_cursor_close(cursor);
	return found;
}

/* ---- removing ---- */

static void
remove_batch(
    struct spool *s, unsigned partition, const struct spool_log_entry *e)
{
	struct log_meta *m = &s->now.log[partition];
	struct log_key key = log_key_of(partition, e->first);
	MDB_val k = spool_val(&key, sizeof key);
	uint64_t events = MIN_OF(e->events, m->events);

	spool_note(s, mdb_del(s->write, s->log, &k, NULL));
	m->batches--;
	m->events -= events;
	m->bytes -= e->bytes;
	s->now.log_batches--;
	s->now.log_events -= events;
	s->now.log_bytes -= e->bytes;
	s->now.totals.sent += events;
}

bool
spool_log_trim(
    struct spool *s, unsigned partition, uint64_t floor, unsigned batches_max)
{
	struct log_meta *m = &s->now.log[partition];
	struct found f;
	bool more;

	must(partition < LOG_PAGE_PARTITIONS_MAX);
	floor = MIN_OF(floor, m->next);
	if (s->error != 0 || !s->has_log || floor <= m->start)
		return false;
	while ((more = find(s, s->write, m, partition, 0, &f)) &&
	    f.entry.next <= floor && batches_max-- > 0 && s->error == 0)
		remove_batch(s, partition, &f.entry);
	m->start = more ? MIN_OF(floor, f.entry.first) : floor;
	return more && f.entry.next <= floor;
}

bool
spool_log_jump(
    struct spool *s, unsigned partition, uint64_t asked, int64_t now_ms)
{
	struct log_meta *m = &s->now.log[partition];
	uint64_t at_least = clock_offset(now_ms);

	must(partition < LOG_PAGE_PARTITIONS_MAX);
	if (asked <= clock_offset(now_ms + AHEAD_MS))
		at_least = MAX_OF(at_least, asked);
	if (s->error != 0 || m->next == 0 || m->next >= at_least)
		return false;
	m->next = at_least;
	return true;
}

/* ---- looking ---- */

const char *
spool_log_identity(const struct spool *s)
{
	return s->log_identity;
}

bool
spool_log_is_copy(const struct spool *s)
{
	return s->log_is_copy;
}

struct log_range
spool_log_range(const struct spool *s, unsigned partition)
{
	const struct log_meta *m = &s->durable.log[partition];

	must(partition < LOG_PAGE_PARTITIONS_MAX);
	return (struct log_range){ m->start, m->next };
}

struct spool_log_counts
spool_log_counts(const struct spool *s)
{
	return (struct spool_log_counts){ s->durable.log_batches,
		s->durable.log_events, s->durable.log_bytes };
}

/* As of the last commit. */
static bool
look(struct spool *s, unsigned partition, uint64_t from, struct found *f)
{
	MDB_txn *txn = s->has_log ? spool_look(s) : NULL;
	bool found;

	must(partition < LOG_PAGE_PARTITIONS_MAX);
	if (txn == NULL)
		return false;
	found = find(s, txn, &s->durable.log[partition], partition, from, f);
	spool_looked(s);
	return found;
}

bool
spool_log_next(struct spool *s, unsigned partition, uint64_t from,
    struct spool_log_entry *e)
{
	struct found f;

	if (!look(s, partition, from, &f))
		return false;
	*e = f.entry;
	return true;
}

typedef bool reached_fn(const struct log_trailer *, int64_t);

/* Where the first batch begins that has reached something; the end when none
 * has. By halves: trailers only grow. */
static uint64_t
search(
    struct spool *s, unsigned partition, reached_fn *has_reached, int64_t what)
{
	struct log_range r = spool_log_range(s, partition);
	uint64_t low = r.start, high = r.end, first = high;
	struct found f;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		bool found = look(s, partition, middle, &f);

		if (found && !has_reached(&f.trailer, what)) {
			low = f.entry.first + 1;
			continue;
		}
		if (found)
			first = f.entry.first;
		high = middle;
	}
	return first;
}

static bool
is_sealed_at(const struct log_trailer *t, int64_t wall_ms)
{
	return t->sealed_ms >= wall_ms;
}

uint64_t
spool_log_sealed_at(struct spool *s, unsigned partition, int64_t wall_ms)
{
	return search(s, partition, is_sealed_at, wall_ms);
}

static bool
has_before(const struct log_trailer *t, int64_t bytes)
{
	return t->bytes_before >= (uint64_t)bytes;
}

uint64_t
spool_log_bytes_behind(struct spool *s, unsigned partition, uint64_t bytes)
{
	const struct log_meta *m = &s->durable.log[partition];

	must(partition < LOG_PAGE_PARTITIONS_MAX);
	if (m->bytes <= bytes)
		return m->start;
	return search(
	    s, partition, has_before, (int64_t)(m->bytes_ever - bytes));
}

/*
 * spool_keys - requests with an Idempotency-Key, as the spool knows them
 *
 * Process: worker.
 *
 * A row is the fixed part of struct spool_key, the askers and the batches.
 */
#include "spool_keys.h"

#include <stdlib.h>
#include <string.h>

#include "spool_internal.h"

#define KEYS "keys"
#define KEYTIME "keytime"
#define WORDS "keywords" /* in `meta` */
#define FIXED offsetof(struct spool_key, askers)

struct keytime_key {
	uint64_t came; /* big-endian */
	uint8_t key[EVENT_KEY_BYTES];
};

_Static_assert(FIXED == 72, "on disk");
_Static_assert(sizeof(struct spool_asker) == 16, "on disk");
_Static_assert(sizeof(struct keytime_key) == 24, "on disk");

static size_t
row_bytes(const struct spool_key *k)
{
	return FIXED + k->asker_count * sizeof k->askers[0] +
	    k->batch_count * sizeof k->batches[0];
}

static bool
read_row(const void *value, size_t bytes, struct spool_key *k)
{
	const char *at = value;
	size_t askers;

	if (bytes < FIXED)
		return false;
	memcpy(k, at, FIXED);
	if (k->asker_count > SPOOL_KEY_ASKERS ||
	    k->batch_count > SPOOL_KEY_BATCHES || bytes != row_bytes(k))
		return false;
	askers = k->asker_count * sizeof k->askers[0];
	memcpy(k->askers, at + FIXED, askers);
	memcpy(k->batches, at + FIXED + askers,
	    k->batch_count * sizeof k->batches[0]);
	return true;
}

bool
spool_key_is_row(const void *value, size_t bytes)
{
	struct spool_key k;

	return read_row(value, bytes, &k);
}

int
spool_keys_read(struct spool *s, MDB_txn *txn)
{
	int rc = mdb_dbi_open(txn, KEYS, 0, &s->keys);
	MDB_stat stat;

	if (rc == 0)
		rc = mdb_dbi_open(txn, KEYTIME, 0, &s->keytime);
	if (rc == 0)
		rc = mdb_stat(txn, s->keys, &stat);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? 0 : rc;
	s->now.has_keys = true;
	s->now.keys = stat.ms_entries;
	return 0;
}

static bool
have_keys(struct spool *s)
{
	if (s->now.has_keys || s->error != 0)
		return s->error == 0;
	spool_note(s, mdb_dbi_open(s->write, KEYS, MDB_CREATE, &s->keys));
	spool_note(s, mdb_dbi_open(s->write, KEYTIME, MDB_CREATE, &s->keytime));
	s->now.has_keys = s->error == 0;
	return s->now.has_keys;
}

static bool
find(struct spool *s, MDB_txn *txn, const uint8_t *key, struct spool_key *to)
{
	MDB_val k = spool_val(key, EVENT_KEY_BYTES), v;

	return mdb_get(txn, s->keys, &k, &v) == 0 &&
	    read_row(v.mv_data, v.mv_size, to);
}

bool
spool_key(struct spool *s, const uint8_t key[static EVENT_KEY_BYTES],
    struct spool_key *to)
{
	MDB_txn *txn;
	bool found;

	if (!s->durable.has_keys || (txn = spool_look(s)) == NULL)
		return false;
	found = find(s, txn, key, to);
	spool_looked(s);
	return found;
}

bool
spool_key_now(struct spool *s, const uint8_t key[static EVENT_KEY_BYTES],
    struct spool_key *to)
{
	return s->error == 0 && s->now.has_keys && find(s, s->write, key, to);
}

static struct keytime_key
keytime_of(int64_t came_ms, const uint8_t *key)
{
	struct keytime_key k = { .came = htobe64(spool_sortable(came_ms)) };

	memcpy(k.key, key, sizeof k.key);
	return k;
}

/* The row is new, or takes the place of one that was forgotten. */
static void
enter(struct spool *s, const uint8_t *key, const struct spool_key *from)
{
	struct keytime_key at = keytime_of(from->came_ms, key), before_at;
	MDB_val k = spool_val(&at, sizeof at), v = spool_val("", 0);
	struct spool_key before;

	if (find(s, s->write, key, &before)) {
		if (before.came_ms == from->came_ms)
			return;
		before_at = keytime_of(before.came_ms, key);
		k = spool_val(&before_at, sizeof before_at);
		spool_note(s, mdb_del(s->write, s->keytime, &k, NULL));
		k = spool_val(&at, sizeof at);
	} else {
		s->now.keys++;
	}
	spool_note(s, mdb_put(s->write, s->keytime, &k, &v, 0));
}

void
spool_set_key(struct spool *s, const uint8_t key[static EVENT_KEY_BYTES],
    const struct spool_key *from)
{
	char row[sizeof *from];
	MDB_val k = spool_val(key, EVENT_KEY_BYTES);
	MDB_val v = spool_val(row, row_bytes(from));
	size_t askers = from->asker_count * sizeof from->askers[0];

	if (!have_keys(s))
		return;
	memcpy(row, from, FIXED);
	memcpy(row + FIXED, from->askers, askers);
	memcpy(row + FIXED + askers, from->batches,
	    from->batch_count * sizeof from->batches[0]);
	enter(s, key, from);
	if (s->error == 0)
		spool_note(s, mdb_put(s->write, s->keys, &k, &v, 0));
}

static int
forget(struct spool *s, MDB_cursor *cursor, const struct keytime_key *at)
{
	MDB_val k = spool_val(at->key, sizeof at->key);
	int rc = mdb_del(s->write, s->keys, &k, NULL);

	if (rc == 0)
		s->now.keys--;
	return rc != 0 && rc != MDB_NOTFOUND ? rc : mdb_cursor_del(cursor, 0);
}

/* One of a length that cannot be is damage; it goes. */
static bool
is_due(const struct spool *s, const MDB_val *k, int64_t before_ms,
    uint64_t keys_max, struct keytime_key *at, bool *is_old)
{
	*is_old = true;
	memset(at, 0, sizeof *at);
	if (k->mv_size != sizeof *at)
		return true;
	memcpy(at, k->mv_data, sizeof *at);
	*is_old = be64toh(at->came) < spool_sortable(before_ms);
	return *is_old || s->now.keys > keys_max;
}

unsigned
spool_forget_keys(
    struct spool *s, int64_t before_ms, uint64_t keys_max, unsigned most)
{
	struct keytime_key at;
	MDB_cursor *cursor;
	unsigned early = 0;
	bool is_old;
	MDB_val k, v;
	int rc;

	if (!have_keys(s))
		return 0;
	rc = spool_open_cursor(s->write, s->keytime, &cursor);
	if (rc != 0) {
		spool_note(s, rc);
		return 0;
	}
	rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
	while (rc == 0 && most-- > 0 &&
	    is_due(s, &k, before_ms, keys_max, &at, &is_old)) {
		if ((rc = forget(s, cursor, &at)) != 0)
			break;
		early += !is_old;
		rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
	}
	mdb_cursor_close(cursor);
	spool_note(s, rc == MDB_NOTFOUND ? 0 : rc);
	return early;
}

void
spool_set_key_words(struct spool *s, const void *words, size_t bytes)
{
	spool_set_meta(s, WORDS, words, bytes);
}

void *
spool_key_words(struct spool *s, size_t *bytes)
{
	MDB_val k = spool_val(WORDS, strlen(WORDS)), v;
	MDB_txn *txn = spool_look(s);
	void *words = NULL;

	if (txn == NULL)
		return NULL;
	if (mdb_get(txn, s->meta, &k, &v) == 0) {
		words = must_malloc(v.mv_size);
		memcpy(words, v.mv_data, v.mv_size);
		*bytes = v.mv_size;
	}
	spool_looked(s);
	return words;
}

uint64_t
spool_key_count(const struct spool *s)
{
	return s->durable.keys;
}

/*
 * feed_topic - a dataSource's log as a topic: partitions, offsets, batches
 *
 * Process: feed.
 * Owns:    one LMDB environment a topic, read only, opened when it is first
 *          asked for.
 */
#include "feed_topic.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "panic.h"
#include "record_batch.h"

#define RETRY_MS 1000
#define COMPLAIN_MS 60000
/* A search by time: batches in one look, and in that of who has none left. */
#define SEARCH_BATCHES 1024u
#define SEARCH_BATCHES_LEAST 16u

/* ---- all of them ---- */

bool
feed_topic_init_all(
    struct feed_topics *t, const struct conf *conf, const int *page_fds)
{
	bool good = true;

	*t = (struct feed_topics){ .count = conf->ds_count };
	t->all = must_calloc(conf->ds_count, sizeof t->all[0]);
	for (unsigned i = 0; i < conf->ds_count; i++) {
		struct feed_topic *to = &t->all[i];

		to->name = conf->ds[i].name;
		to->dir = must_format("%s/spool/%s", conf->data_dir, to->name);
		to->page = log_page_attach(page_fds[i]);
		if (to->page == NULL)
			log_warn("%s: the page of its log", to->name);
		close(page_fds[i]);
		good = good && to->page != NULL;
	}
	return good;
}

void
feed_topic_fini_all(struct feed_topics *t)
{
	for (unsigned i = 0; i < t->count; i++) {
		log_view_close(&t->all[i].view);
		log_page_detach(&t->all[i].page);
		free(t->all[i].peers);
		free(t->all[i].dir);
	}
	free(t->all);
	*t = (struct feed_topics){ .all = NULL };
}

/* As strcmp, of a text without its NUL. */
static int
compare(struct kafka_text name, const char *other)
{
	size_t bytes = strlen(other);
	int by_bytes = memcmp(name.at, other, MIN_OF(name.bytes, bytes));

	if (by_bytes != 0)
		return by_bytes;
	return (name.bytes > bytes) - (name.bytes < bytes);
}

struct feed_topic *
feed_topic_find(struct feed_topics *t, struct kafka_text name)
{
	unsigned low = 0, high = t->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		int order = compare(name, t->all[middle].name);

		if (order == 0)
			return &t->all[middle];
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- partitions ---- */

/* What the worker has agreed on last. */
static void
look_at_peers(struct feed_topic *t)
{
	static struct log_peers fresh;

	if (!log_page_peers(t->page, &t->peers_version, &fresh))
		return;
	if (!fresh.is_shared) {
		free(t->peers);
		t->peers = NULL;
		return;
	}
	if (t->peers == NULL)
		t->peers = must_malloc(sizeof *t->peers);
	*t->peers = fresh;
}

/* Until it is told with whom the topic is shared, our log may be any partition:
 * there is none. */
static bool
is_told(const struct feed_topic *t)
{
	return t->peers_version != 0;
}

static unsigned
count_parts(const struct feed_topic *t)
{
	unsigned count = LOG_PAGE_PARTITIONS_MAX;

	if (!is_told(t))
		return 0;
	if (t->peers != NULL)
		return t->peers->count;
	while (count > 0 && log_page_range(t->page, count - 1).end == 0)
		count--;
	return count;
}

unsigned
feed_topic_partitions(struct feed_topic *t)
{
	look_at_peers(t);
	t->partitions = count_parts(t);
	return t->partitions;
}

static void
shared_part(const struct feed_topic *t, const struct log_peer *peer,
    struct feed_topic_part *to)
{
	bool leads = peer->leader == t->peers->node;

	*to = (struct feed_topic_part){ .number = (int32_t)peer->number,
		.leader = peer->leader,
		.is_ours = leads && peer->number == t->peers->own,
		.range = { peer->start, peer->end } };
	to->stands_in = leads && !to->is_ours;
	if (!to->is_ours)
		return;
	to->range = log_page_range(t->page, 0);
	to->asked = t->asked[0];
}

void
feed_topic_part(
    const struct feed_topic *t, unsigned at, struct feed_topic_part *to)
{
	if (t->peers != NULL) {
		must(at < t->peers->count);
		shared_part(t, &t->peers->all[at], to);
		return;
	}
	*to = (struct feed_topic_part){ .number = (int32_t)at,
		.leader = -1,
		.is_ours = true,
		.range = log_page_range(t->page, at),
		.asked = t->asked[at] };
}

static enum kafka_error
find_own(
    const struct feed_topic *t, unsigned number, struct feed_topic_part *to)
{
	if (number >= LOG_PAGE_PARTITIONS_MAX)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	feed_topic_part(t, number, to);
	/* one that is not there yet, before one that is, is there */
	return to->range.end > 0 || number < count_parts(t)
	    ? KAFKA_OK
	    : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

/* KAFKA_OK: ours, or one that we stand in for. */
static enum kafka_error
find_part(struct feed_topic *t, int32_t number, struct feed_topic_part *to)
{
	const struct log_peer *peer;

	if (t == NULL || number < 0)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	look_at_peers(t);
	if (!is_told(t))
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	if (t->peers == NULL)
		return find_own(t, (unsigned)number, to);
	peer = log_peers_find(t->peers, number);
	if (peer == NULL)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	shared_part(t, peer, to);
	return to->is_ours || to->stands_in ? KAFKA_OK : KAFKA_NOT_LEADER;
}

/* Where the partition is in our own log. */
static unsigned
index_of(const struct feed_topic *t, int32_t number)
{
	return t->peers != NULL ? 0 : (unsigned)number;
}

/* ---- looks ---- */

/* The spool that is open is the one that the worker has open. */
static bool
open_view(struct feed_topic *t, int64_t now_ms)
{
	char identity[LOG_PAGE_IDENTITY_BYTES] = "", error[256];
	uint64_t opening = log_page_opening(t->page, identity);

	if (t->view != NULL && t->opening != opening)
		log_view_close(&t->view);
	if (t->view != NULL)
		return true;
	if (opening == 0 || now_ms < t->retry_ms)
		return false;
	t->view = log_view_open(t->dir, error, sizeof error);
	if (t->view != NULL) {
		t->opening = opening;
		t->log_number += strcmp(identity, t->identity) != 0;
		memcpy(t->identity, identity, sizeof t->identity);
		return true;
	}
	t->retry_ms = now_ms + RETRY_MS;
	if (log_may_repeat(&t->complained_ms, COMPLAIN_MS))
		log_error("%s: its log cannot be served: %s", t->name, error);
	return false;
}

static void
complain_of_view(struct feed_topic *t)
{
	if (log_may_repeat(&t->complained_ms, COMPLAIN_MS))
		log_error("%s: its log cannot be read: %s", t->name,
		    log_view_trouble(t->view));
}

bool
feed_topic_begin(struct feed_topic *t, int64_t now_ms)
{
	if (!open_view(t, now_ms))
		return false;
	if (log_view_begin(t->view))
		return true;
	complain_of_view(t);
	log_view_close(&t->view);
	t->retry_ms = now_ms + RETRY_MS;
	return false;
}

void
feed_topic_end(struct feed_topic *t)
{
	log_view_end(t->view);
}

/* ---- Fetch ---- */

static void
complain_of_damage(struct feed_topics *all, struct feed_topic *t,
    unsigned partition, const struct log_batch *b)
{
	all->damaged++;
	if (log_may_repeat(&t->damaged_ms, COMPLAIN_MS))
		log_error("%s: a batch of partition %u, offsets %llu to %llu, "
			  "is damaged on the disk and is passed over; look "
			  "at the disk",
		    t->name, partition, (unsigned long long)b->first,
		    (unsigned long long)b->next - 1);
}

static bool
is_whole(const struct log_batch *b)
{
	struct record_batch_head head;

	return record_batch_check(b->bytes, b->size, &head) ==
	    RECORD_BATCH_GOOD &&
	    head.bytes == b->size && head.first == b->first;
}

/* Within a look, which may be newer than the page: what comes behind a place
 * that is no more is not what was asked for, or promised. */
static bool
is_removed(const struct feed_topic *t, unsigned partition, uint64_t offset)
{
	return log_view_range(t->view, partition).start > offset;
}

/* What a batch of that size would be too much for. */
static bool
is_full(
    const struct feed_topic_wish *w, const struct feed_piece *p, size_t size)
{
	return p->left > 0 ? p->left + size > w->bytes_max
			   : size > w->bytes_max && !w->is_first;
}

/* Whole batches from the offset on, as far as they are durable, good, and
 * within what is wanted. */
static void
measure(struct feed_topics *all, struct feed_topic *t,
    const struct feed_topic_wish *w, const struct log_range *range,
    struct feed_piece *p)
{
	struct log_batch b;
	enum log_found found =
	    log_view_at(t->view, p->partition, (uint64_t)w->offset, &b);

	for (; found == LOG_FOUND && b.next <= range->end;
	     found = log_view_next(t->view, p->partition, &b)) {
		if (is_full(w, p, b.size)) {
			/* a part of the batch is there, too: waiting for more
			 * would bring nothing */
			if (w->is_guess)
				p->left = MAX_OF(p->left, w->bytes_max);
			return;
		}
		if (*w->batches_left == 0)
			return;
		if (!w->is_guess && !is_whole(&b)) {
			complain_of_damage(all, t, p->partition, &b);
			if (p->left > 0)
				return;
			continue;
		}
		if (p->left == 0)
			p->at = b.first;
		p->log_number = t->log_number;
		p->left += b.size;
		--*w->batches_left;
	}
	if (found == LOG_FAILED)
		complain_of_view(t);
}

static void
complain_of_offset(
    struct feed_topic *t, const struct feed_topic_wish *w, struct log_range r)
{
	if (w->offset > 0 && (uint64_t)w->offset > r.end) {
		log_page_note_beyond(
		    t->page, index_of(t, w->partition), (uint64_t)w->offset);
		if (log_may_repeat(&t->beyond_ms, COMPLAIN_MS))
			log_error("%s: a consumer asks partition %d for offset "
				  "%lld, the log ends at %llu: he knows "
				  "another log, or this spool is an old copy; "
				  "set his offsets anew (resetOffsets of "
				  "Druid's supervisor)",
			    t->name, w->partition, (long long)w->offset,
			    (unsigned long long)r.end);
	} else if (log_may_repeat(&t->before_ms, COMPLAIN_MS)) {
		log_warnx("%s: a consumer asks partition %d for offset %lld, "
			  "the log begins at %llu: what is before it was "
			  "removed, or never was",
		    t->name, w->partition, (long long)w->offset,
		    (unsigned long long)r.start);
	}
}

enum kafka_error
feed_topic_fetch(struct feed_topics *all, struct feed_topic *t,
    const struct feed_topic_wish *w, struct log_range *range,
    struct feed_piece *piece)
{
	struct feed_topic_part part;
	enum kafka_error error = find_part(t, w->partition, &part);

	*range = (struct log_range){ 0, 0 };
	if (error != KAFKA_OK)
		return error;
	*piece = (struct feed_piece){ .topic = t,
		.partition = index_of(t, w->partition) };
	*range = part.range;
	if (part.stands_in) /* wherever: nothing is here, until it is back */
		return KAFKA_OK;
	if (w->offset < 0 || (uint64_t)w->offset < range->start ||
	    (uint64_t)w->offset > range->end) {
		complain_of_offset(t, w, *range);
		return KAFKA_OFFSET_OUT_OF_RANGE;
	}
	t->asked[piece->partition] = (uint64_t)w->offset;
	if (!w->has_look || (uint64_t)w->offset == range->end ||
	    *w->batches_left == 0)
		return KAFKA_OK;
	if (is_removed(t, piece->partition, (uint64_t)w->offset)) {
		complain_of_offset(
		    t, w, log_view_range(t->view, piece->partition));
		return KAFKA_OFFSET_OUT_OF_RANGE;
	}
	measure(all, t, w, range, piece);
	return KAFKA_OK;
}

/* ---- what is sent ---- */

unsigned
feed_topic_gather(const struct feed_piece *p, struct feed_gather *g)
{
	struct log_batch b;
	uint64_t left = p->left;
	size_t skip = p->skip;
	enum log_found found;

	g->count = 0;
	if (p->log_number != p->topic->log_number ||
	    is_removed(p->topic, p->partition, p->at))
		return 0;
	found = log_view_at(p->topic->view, p->partition, p->at, &b);
	while (left > 0 && g->count < FEED_TOPIC_IOVS) {
		if (found != LOG_FOUND || b.size <= skip ||
		    b.size - skip > left || (skip > 0 && b.first != p->at))
			return 0;
		/* what is written is only read */
		g->iovs[g->count].iov_base =
		    (void *)(uintptr_t)(b.bytes + skip);
		g->iovs[g->count].iov_len = b.size - skip;
		g->first[g->count] = b.first;
		g->next[g->count++] = b.next;
		left -= b.size - skip;
		skip = 0;
		if (left > 0 && g->count < FEED_TOPIC_IOVS)
			found = log_view_next(p->topic->view, p->partition, &b);
	}
	return g->count;
}

void
feed_topic_sent(struct feed_piece *p, const struct feed_gather *g, size_t bytes)
{
	must(bytes <= p->left);
	p->left -= bytes;
	for (unsigned i = 0; i < g->count && bytes > 0; i++) {
		size_t all = g->iovs[i].iov_len;

		if (bytes < all) {
			p->skip += bytes;
			p->at = g->first[i];
			return;
		}
		bytes -= all;
		p->skip = 0;
		p->at = g->next[i];
	}
}

/* ---- ListOffsets ---- */

/* Its first record that is as late; the batch's beginning when it cannot be
 * taken apart. */
static void
find_record(const struct log_batch *b, int64_t time_ms, uint64_t *unpack_left,
    struct feed_topic_place *place)
{
	struct record_batch_reader reader;
	struct record_batch_record record;

	place->offset = (int64_t)b->first;
	place->time_ms = -1;
	if (b->size > *unpack_left || !is_whole(b))
		return;
	if (!record_batch_open(&reader, b->bytes, b->size, *unpack_left)) {
		*unpack_left = 0; /* the attempt may have cost all of it */
		return;
	}
	*unpack_left -=
	    MIN_OF((uint64_t)(reader.end - reader.next), *unpack_left);
	while (record_batch_next(&reader, &record)) {
		if (record.timestamp_ms < time_ms)
			continue;
		place->offset = (int64_t)record.offset;
		place->time_ms = record.timestamp_ms;
		break;
	}
	record_batch_close(&reader);
}

/* When the search is given up, what comes out is a place before the right one,
 * so that nothing is left out. */
static enum kafka_error
search(struct feed_topic *t, unsigned partition, int64_t time_ms,
    struct feed_topic_search *s, struct feed_topic_place *place)
{
	struct log_range range = log_page_range(t->page, partition);
	enum log_found found;
	uint64_t from = range.start;
	struct log_batch b;

	do {
		unsigned batches = MIN_OF(SEARCH_BATCHES,
		    MAX_OF(s->batches_left, SEARCH_BATCHES_LEAST));

		if (!feed_topic_begin(t, s->now_ms))
			return KAFKA_STORAGE_ERROR;
		found = log_view_find_time(
		    t->view, partition, time_ms, batches, &from, &b);
		s->batches_left -= MIN_OF(batches, s->batches_left);
		if (found == LOG_FOUND && b.next <= range.end)
			find_record(&b, time_ms, &s->unpack_left, place);
		if (found == LOG_FAILED)
			complain_of_view(t);
		feed_topic_end(t);
	} while (found == LOG_MORE && s->batches_left > 0);
	if (found == LOG_MORE)
		place->offset = (int64_t)MIN_OF(from, range.end);
	return found == LOG_FAILED ? KAFKA_STORAGE_ERROR : KAFKA_OK;
}

enum kafka_error
feed_topic_place(struct feed_topic *t, int32_t partition, int64_t time_ms,
    struct feed_topic_search *s, struct feed_topic_place *place)
{
	struct feed_topic_part part;
	enum kafka_error error = find_part(t, partition, &part);

	*place = (struct feed_topic_place){ -1, -1 };
	if (error != KAFKA_OK)
		return error;
	if (time_ms == KAFKA_EARLIEST)
		place->offset = (int64_t)part.range.start;
	else if (time_ms == KAFKA_LATEST)
		place->offset = (int64_t)part.range.end;
	else if (time_ms < 0)
		return KAFKA_UNSUPPORTED_VERSION; /* a newer kind of place */
	else if (part.is_ours)
		return search(t, index_of(t, partition), time_ms, s, place);
	return KAFKA_OK;
}

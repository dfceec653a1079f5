/*
 * fake_log - a log in memory in place of log_view.c, for tests of the feed
 *
 * Each program has one log, of partition 0, and whatever directory is opened,
 * it is that one. Pages that a look has shown are unreadable when it has ended:
 * each look copies what it shows and frees that at its end.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "log_view.h"
#include "panic.h"
#include "record_batch.h"

#define FAKE_LOG_BATCHES 5000

struct fake_log {
	struct {
		char *bytes;
		size_t size;
		uint64_t first, next;
		int64_t max_ms;
	} batches[FAKE_LOG_BATCHES];
	unsigned begin, end; /* of the batches that are there */
	uint64_t next;
	unsigned views, looks; /* that are open */
	unsigned opened, searches;
	bool is_unreadable, cannot_open;
};

static struct fake_log fake_log;

struct log_view {
	char *shown[FAKE_LOG_BATCHES];
	unsigned shown_count;
	unsigned at; /* the batch that was shown last */
};

struct log_view *
log_view_open(const char *dir, char *error, size_t bytes)
{
	must(dir[0] != '\0');
	if (fake_log.cannot_open) {
		snprintf(error, bytes, "it shall not be opened");
		return NULL;
	}
	fake_log.views++;
	fake_log.opened++;
	return must_calloc(1, sizeof(struct log_view));
}

void
log_view_close(struct log_view **view)
{
	fake_log.views -= *view != NULL;
	free(*view);
	*view = NULL;
}

const char *
log_view_trouble(const struct log_view *v UNUSED)
{
	return "it shall not be read";
}

bool
log_view_begin(struct log_view *v UNUSED)
{
	if (fake_log.is_unreadable)
		return false;
	fake_log.looks++;
	must(fake_log.looks == 1);
	return true;
}

void
log_view_end(struct log_view *v)
{
	must(fake_log.looks == 1);
	fake_log.looks--;
	while (v->shown_count > 0)
		free(v->shown[--v->shown_count]);
}

static struct log_range
fake_log_range(void)
{
	return (struct log_range){ fake_log.begin < fake_log.end
		    ? fake_log.batches[fake_log.begin].first
		    : fake_log.next,
		fake_log.next };
}

struct log_range
log_view_range(struct log_view *v UNUSED, unsigned partition)
{
	must(fake_log.looks == 1 && partition == 0);
	return fake_log_range();
}

static enum log_found
fake_log_show(struct log_view *v, unsigned at, struct log_batch *to)
{
	char *copy;

	must(fake_log.looks == 1);
	if (at >= fake_log.end)
		return LOG_NOT_THERE;
	copy = must_malloc(fake_log.batches[at].size);
	memcpy(copy, fake_log.batches[at].bytes, fake_log.batches[at].size);
	v->shown[v->shown_count++] = copy;
	v->at = at;
	*to = (struct log_batch){ .first = fake_log.batches[at].first,
		.next = fake_log.batches[at].next,
		.bytes = copy,
		.size = fake_log.batches[at].size };
	return LOG_FOUND;
}

enum log_found
log_view_at(struct log_view *v, unsigned partition, uint64_t offset,
    struct log_batch *to)
{
	unsigned at = fake_log.begin;

	must(partition == 0);
	while (at < fake_log.end && fake_log.batches[at].next <= offset)
		at++;
	return fake_log_show(v, at, to);
}

enum log_found
log_view_next(struct log_view *v, unsigned partition, struct log_batch *to)
{
	must(partition == 0);
	return fake_log_show(v, v->at + 1, to);
}

/* One batch a call, so that the caller has to go on. */
enum log_found
log_view_find_time(struct log_view *v, unsigned partition, int64_t time_ms,
    unsigned batches, uint64_t *from, struct log_batch *to)
{
	enum log_found found = log_view_at(v, partition, *from, to);

	must(batches > 0);
	fake_log.searches++;
	if (found != LOG_FOUND || fake_log.batches[v->at].max_ms >= time_ms)
		return found;
	*from = to->next;
	return LOG_MORE;
}

/* A batch of `records` of which each has so many bytes and a time of its own,
 * from time_ms on. */
static inline void
fake_log_add(unsigned records, size_t bytes, int64_t time_ms)
{
	struct record_batch batch;
	unsigned at = fake_log.end++;
	char *value = must_malloc(bytes);

	must(at < FAKE_LOG_BATCHES);
	record_batch_init(&batch);
	for (unsigned i = 0; i < records; i++) {
		memset(value, 'a' + (int)((fake_log.next + i) % 26), bytes);
		record_batch_add(&batch, time_ms + i, value, bytes);
	}
	fake_log.batches[at].bytes =
	    record_batch_seal(&batch, NULL, &fake_log.batches[at].size);
	record_batch_set_first(fake_log.batches[at].bytes, fake_log.next);
	fake_log.batches[at].first = fake_log.next;
	fake_log.next += records;
	fake_log.batches[at].next = fake_log.next;
	fake_log.batches[at].max_ms = time_ms + records - 1;
	record_batch_free(&batch);
	free(value);
}

/* A new one, whose first offset comes. */
static void
fake_log_begin(uint64_t first)
{
	for (unsigned i = 0; i < fake_log.end; i++)
		free(fake_log.batches[i].bytes);
	fake_log = (struct fake_log){ .next = first };
}

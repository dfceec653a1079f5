/*
 * body - a request's bytes become a plan: its events, by dataSource
 *
 * Process: receiver. Pure but for the memory that it keeps.
 * After:   inflate.c.   Before: offer.c writes the plan's shares.
 * Owns:    the plan; events point into the caller's bytes by offset.
 * Fails:   with a status and a sentence; then nothing of the body is taken.
 */
#pragma once

#include "base.h"
#include "drops.h"
#include "event.h"
#include "json_scan.h"
#include "settings.h"

#define BODY_ERROR_BYTES 512
#define BODY_SHOWN_BYTES 68u
#define BODY_PLACE_BYTES 64

struct body_event {
	uint32_t at; /* the object in the body */
	uint32_t bytes : 31, is_late : 1;
	/* what its milliseconds replace; time_bytes 0: they are inserted as
	 * the first member, and time_at is 1 when others follow */
	uint32_t time_at, time_bytes;
	uint32_t next; /* of the same share */
	int32_t hash;
	int64_t ms;
};

/* A dataSource's part of the plan. `bytes` is what it takes in the ring, cut
 * into blocks as offer.c cuts it. */
struct body_share {
	struct settings_ds *ds;
	uint32_t first, last, events;
	uint32_t decided; /* keyed: ordinals that are written or dropped */
	uint32_t all; /* keyed, once it is begun: events, dropped ones too */
	uint32_t late; /* of them, kept by `policy` */
	enum late_policy policy;
	uint32_t dropped[DROP_REASONS];
	int64_t dropped_ms; /* of one of them */
	uint64_t bytes;
	uint64_t block_bytes; /* of the block that is filled now */
};

struct body_plan {
	struct body_event *events;
	struct body_share *shares;
	uint32_t event_count, event_capacity;
	unsigned share_count, share_capacity;
	uint32_t received; /* dropped ones too */
	/* of a request with an Idempotency-Key: the events' ordinals */
	bool is_keyed;
	struct event_key key;
	uint32_t *ordinals;
	uint32_t ordinal_capacity;
};

struct body_input {
	const char *bytes; /* JSON_SCAN_PADDING readable ones behind them */
	size_t count;
	struct settings *settings;
	struct settings_ds *to; /* of all events; NULL: each names its own */
	int64_t now_ms; /* wall time, for the window */
	uint32_t drops_max; /* dropped events to be listed */
	const struct event_key *key; /* NULL: none */
	/* the text that the JSON was made of, of `to`'s format: what is wrong
	 * is told by its line; NULL: none */
	const char *lines;
	size_t lines_bytes;
	/* Writes the events out as JSON and hands them on one by one; NULL:
	 * they are read from `bytes`. False: they are malformed, or the sink
	 * wanted no more. */
	bool (*write_events)(void *context, struct json_sink *);
	void *context;
};

struct body_reader {
	struct body_plan plan;
	struct drops drops;
	/* after a failure; `at_fault`: the dataSource, when it is known.
	 * status 0: what is wrong is known to who writes the events */
	unsigned status;
	char error[BODY_ERROR_BYTES]; /* ends with a newline */
	const struct settings_ds *at_fault;
	/* private */
	const struct body_input *in; /* while it is read */
	char place[BODY_PLACE_BYTES];
	struct json_scan scan;
	uint64_t mark;
	bool is_ready;
};

void body_init(struct body_reader *);
void body_fini(struct body_reader *);
/* Reads a JSON body. False: see status and error. */
bool body_read(struct body_reader *, const struct body_input *) MUST_CHECK;
/* Gives the plan, or the list of dropped events, away. */
void body_take_plan(struct body_reader *, struct body_plan *);
void body_take_drops(struct body_reader *, struct drops *);
void body_free_plan(struct body_plan *);
size_t body_plan_bytes(const struct body_plan *); /* memory that it holds */
/* A client's text for a message: at most 64 bytes of it, whole characters,
 * nothing that would disturb a terminal, and "..." when it goes on. */
void
body_show(const char *text, size_t bytes, char out[static BODY_SHOWN_BYTES]);
/* Digits (and sign) of an event's milliseconds. */
unsigned body_digits(int64_t ms);
/* Bytes of a block's head, and of an event with its head, in the ring. */
static inline size_t
body_head_bytes(const struct body_plan *p)
{
	return sizeof(struct event_block) +
	    (UNLIKELY(p->is_keyed) ? sizeof(struct event_key) : 0);
}

static inline size_t
body_record_bytes(const struct body_plan *p, size_t json_bytes)
{
	return event_record_bytes(json_bytes) +
	    (UNLIKELY(p->is_keyed) ? EVENT_ORDINAL_BYTES : 0);
}

/* Bytes of the object as it is offered. */
uint32_t
body_event_bytes(const struct body_event *, const struct settings_ds *);

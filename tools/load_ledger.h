/*
 * load_ledger - what became of each event that was sent, and what arrived
 *
 * Process: tranq-load. Pure.
 *
 * Events are numbered from 0; request r has the `batch` events from r * batch
 * on (the last one fewer). An event carries the id "RUN-NUMBER", the number in
 * LEDGER_DIGITS digits. All events of a request share its fate.
 */
#pragma once

#include <stdio.h>

#include "base.h"

#define LEDGER_RUN_BYTES 24 /* the NUL included */
#define LEDGER_DIGITS 12
#define LEDGER_EVENTS_MAX UINT64_C(500000000)
#define LEDGER_DS_MAX 64
#define LEDGER_DS_BYTES 128

enum load_fate {
	FATE_NONE, /* never sent */
	FATE_ANSWERED, /* 200 */
	FATE_REFUSED, /* another answer: nothing is promised */
	FATE_UNKNOWN, /* no answer */
};

struct load_ledger {
	char run[LEDGER_RUN_BYTES];
	uint64_t batch, events; /* planned */
	uint64_t requests;
	uint8_t *fates; /* of each request */
	uint8_t *sends; /* how often it was sent, up to 255 */
	/* where event n belongs: ds[n % ds_count] when mixed, else
	 * ds[request % ds_count] */
	char ds[LEDGER_DS_MAX][LEDGER_DS_BYTES];
	unsigned ds_count;
	bool is_mixed;
	uint64_t dropped; /* events that 200 answers said were dropped */

	/* arrivals */
	uint8_t *arrivals; /* of each event, up to 255 */
	uint64_t foreign; /* events of other runs */
	uint64_t extra; /* of this run, but never sent */
	uint64_t misrouted; /* in another dataSource than sent to */
};

struct load_verdict {
	uint64_t answered, refused, unknown; /* events sent, by fate */
	uint64_t arrived; /* different events */
	uint64_t missing; /* answered and not there, dropped ones too */
	uint64_t lost; /* missing, but for those counted as dropped */
	uint64_t doubled; /* more often than they were sent */
	uint64_t client_doubled; /* more than once, but the client sent again */
	uint64_t unknown_arrived, refused_arrived;
	uint64_t extra, foreign, misrouted;
};

/* False: more events than LEDGER_EVENTS_MAX, or a batch of 0. Names are
 * copied; at least one. */
bool load_ledger_init(struct load_ledger *, const char *run, uint64_t batch,
    uint64_t events) MUST_CHECK;
bool load_ledger_add_ds(struct load_ledger *, const char *name) MUST_CHECK;
void load_ledger_fini(struct load_ledger *);

uint64_t load_ledger_events_of(const struct load_ledger *, uint64_t request);
unsigned load_ledger_ds_of(const struct load_ledger *, uint64_t event);
void load_ledger_sent(struct load_ledger *, uint64_t request);
void load_ledger_settle(struct load_ledger *, uint64_t request, enum load_fate);

/* The plan ends before `request`: there was no time for more. */
void load_ledger_cut(struct load_ledger *, uint64_t request);

/* Forgets the arrivals, to look once more. */
void load_ledger_restart(struct load_ledger *);
/* One event's text as it arrived in dataSource number `ds`. */
void load_ledger_arrived(
    struct load_ledger *, const char *event, size_t bytes, unsigned ds);
void load_ledger_judge(const struct load_ledger *, struct load_verdict *);
/* Nothing that was promised is missing, nothing is there that should not. */
bool load_verdict_good(const struct load_verdict *);

/* One line a run of requests with the same fate; read gives back the same.
 * False: the file is not such a record, or could not be written. */
bool load_ledger_write(const struct load_ledger *, FILE *) MUST_CHECK;
bool load_ledger_read(struct load_ledger *, FILE *) MUST_CHECK;

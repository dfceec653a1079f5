/*
 * load_corpus - the events that bodies are made of
 *
 * Process: tranq-load.
 *
 * Each is the inside of a JSON object, without its braces, with a time of
 * CORPUS_TIME_BYTES in it (2026-11-22T10:00:00.000Z) that is written anew.
 */
#pragma once

#include "base.h"

#define CORPUS_TIME_BYTES 24
#define CORPUS_BYTES_MAX (512u * MiB)

struct corpus_event {
	char *text;
	uint32_t bytes;
	uint32_t time_at;
	int64_t age_ms; /* how long before now it happened */
};

struct load_corpus {
	struct corpus_event *events;
	size_t count, size, bytes;
};

/* Like Wikipedia's edits, some 400 bytes each; always the same ones. */
void
load_corpus_generate(struct load_corpus *, size_t count, double spread_seconds);
/* Of a file with one JSON object a line whose `time` is an ISO 8601 time.
 * The times are moved and stretched or shrunk to the last `spread_seconds`.
 * False: with a sentence in `error` (256 bytes). */
bool load_corpus_replay(struct load_corpus *, const char *file,
    double spread_seconds, char *error) MUST_CHECK;
void load_corpus_fini(struct load_corpus *);

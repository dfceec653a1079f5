/*
 * load_body - whole requests, made before the clock starts
 *
 * Process: tranq-load.
 *
 * A request is one of a few templates with its events' ids (and, once a
 * second, their times) written over: all are of fixed width. The same request
 * with the same base time is the same bytes however often it is made, so a
 * request that was sent in part need not be kept.
 */
#pragma once

#include "load_corpus.h"
#include "load_ledger.h"
#include "load_options.h"

struct load_body;

/* Keeps the ledger and the options, not the corpus. NULL: a batch is larger
 * than there is room for. */
struct load_body *load_body_new(const struct load_options *,
    const struct load_ledger *, const struct load_corpus *);
void load_body_free(struct load_body **);
/* Compresses the first requests ahead of time, as many as fit. */
void load_body_prepare(struct load_body *, int64_t base_ms);
/* Head and body; valid until the next call. base_ms: wall time that the
 * events' ages count from. */
const char *load_body_get(
    struct load_body *, uint64_t request, int64_t base_ms, size_t *bytes);
/* Bytes of a corpus that is large enough for variety, in events. */
size_t load_body_corpus_count(uint64_t batch);

/*
 * sandbox_push - a task's chat handler: push-events and shutdown
 *
 * Process: tranq-sandbox.   After: sandbox_exchange.   Before: sandbox_check,
 * sandbox_task, sandbox_store. druid-api.md 1.2 to 1.5.
 */
#pragma once

#include "sandbox_exchange.h"

/* Which task the request is for. */
void sandbox_push_locate(struct exchange *);
/* What Druid does before it reads the body: finds the handler, checks the
 * headers, records the producer's sequence. */
void sandbox_push_begin(struct exchange *);
/* The body is complete: answers, or waits for room. */
void sandbox_push_finish(struct exchange *);
/* The firehose has room again. */
void sandbox_push_continue(struct exchange *);
/* The firehose was closed while the push waited. */
void sandbox_push_refused(struct exchange *);
/* The client left before the body was complete. */
void sandbox_push_cut(struct exchange *);

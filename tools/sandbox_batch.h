/*
 * sandbox_batch - a batch task (index_parallel with rows inline)
 *
 * Process: tranq-sandbox.
 *
 * PENDING while a realtime task has its interval locked, RUNNING, then SUCCESS
 * with all of its rows or FAILED with none. Refuses what Druid would refuse,
 * and counts as violations what differs from druid-api.md 6.1.
 */
#pragma once

#include "sandbox_spec.h"

struct task;

/* As sandbox_spec_read, of a task of that type. */
enum spec_result sandbox_batch_read(
    const struct json *task, struct spec_context *, struct spec *);
/* The task may run: it has a slot. */
void sandbox_batch_run(struct task *);

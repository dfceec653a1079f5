/*
 * sandbox_lock - the intervals that a task has locked
 *
 * Process: tranq-sandbox. Pure.
 *
 * A realtime task locks its interval with its first row, one of any time each
 * segment's interval with that interval's first row; until they are handed
 * off. Tasks of one type share a dataSource's locks, tasks of different types
 * exclude each other: in Druid the one that comes second fails.
 */
#pragma once

#include "base.h"
#include "granularity.h"

struct task;

struct locks {
	struct interval *held;
	size_t count, size;
	struct interval last; /* that was asked for */
};

/* For a row of that time. False: a task of the other type has the lock. */
bool sandbox_lock_take(struct task *, int64_t ms);
void sandbox_lock_fini(struct locks *);

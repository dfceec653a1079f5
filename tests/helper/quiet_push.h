/*
 * quiet_push - what push.c asks of dispatch and the beams, besides where events
 * go: nothing happens there
 *
 * For a test that plays dispatch itself (dispatch_partitions, dispatch_binds,
 * dispatch_is_spread, dispatch_lane, dispatch_sealed) and has intake talk to it
 * by a real push. Include once.
 */
#pragma once

#include "push.h"

void
dispatch_free(struct dispatch **d UNUSED)
{
}

void
dispatch_replay(struct dispatch *d UNUSED)
{
}

void
dispatch_warm(struct dispatch *d UNUSED, struct interval interval UNUSED)
{
}

void
dispatch_look_again(struct dispatch *d UNUSED)
{
}

void
dispatch_run(struct dispatch *d UNUSED)
{
}

bool
dispatch_wants_commit(const struct dispatch *d UNUSED)
{
	return false;
}

void
dispatch_write(struct dispatch *d UNUSED)
{
}

void
dispatch_written(struct dispatch *d UNUSED)
{
}

void
dispatch_hold(struct dispatch *d UNUSED)
{
}

struct delivery_counts
dispatch_counts(const struct dispatch *d UNUSED)
{
	return (struct delivery_counts){ 0 };
}

struct json *
dispatch_describe(const struct dispatch *d UNUSED)
{
	return NULL;
}

unsigned
dispatch_overdue(const struct dispatch *d UNUSED)
{
	return 0;
}

bool
dispatch_changed(struct dispatch *d UNUSED)
{
	return false;
}

void
beam_cluster_look(struct beam_cluster *c UNUSED)
{
}

const char *
beam_cluster_note(const struct beam_cluster *c UNUSED)
{
	return "";
}

bool
beam_cluster_changed(struct beam_cluster *c UNUSED)
{
	return false;
}

bool
beam_cluster_is_making(const struct beam_cluster *c UNUSED)
{
	return false;
}

uint64_t
beam_cluster_tasks_created(const struct beam_cluster *c UNUSED)
{
	return 0;
}

/*
 * late_policy - what becomes of events outside the window: late.policy
 *
 * Process: all. Pure.
 */
#pragma once

#include "base.h"

enum late_policy {
	LATE_DROP, /* dropped and counted, as Tranquility does */
	LATE_ARCHIVE, /* written to files (worker/archive.c) */
	LATE_APPEND, /* brought in by batch tasks (worker/append.c) */
	LATE_POLICIES
};

bool late_policy_parse(const char *name, enum late_policy *); /* any case */
const char *late_policy_name(enum late_policy);

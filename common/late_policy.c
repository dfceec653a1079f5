/*
 * late_policy - what becomes of events outside the window: late.policy
 *
 * Process: all. Pure.
 */
#include "late_policy.h"

#include <strings.h>

#include "panic.h"

static const char *const names[LATE_POLICIES] = { "drop", "archive", "append" };

bool
late_policy_parse(const char *name, enum late_policy *policy)
{
	for (unsigned i = 0; i < LATE_POLICIES; i++) {
		if (strcasecmp(name, names[i]) != 0)
			continue;
		*policy = (enum late_policy)i;
		return true;
	}
	return false;
}

const char *
late_policy_name(enum late_policy policy)
{
	must((unsigned)policy < LATE_POLICIES);
	return names[policy];
}

/*
 * delivery_mode - how a dataSource's events get to Druid: delivery.mode
 *
 * Process: all. Pure.
 */
#include "delivery_mode.h"

#include <strings.h>

static const char *const names[DELIVERY_MODES] = { [DELIVERY_PUSH] = "push",
	[DELIVERY_PULL] = "pull",
	[DELIVERY_APPEND] = "append" };

bool
delivery_mode_parse(const char *name, enum delivery_mode *mode)
{
	for (int i = 0; i < DELIVERY_MODES; i++)
		if (strcasecmp(name, names[i]) == 0) {
			*mode = (enum delivery_mode)i;
			return true;
		}
	return false;
}

const char *
delivery_mode_name(enum delivery_mode mode)
{
	return names[mode];
}

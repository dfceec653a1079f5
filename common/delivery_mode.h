/*
 * delivery_mode - how a dataSource's events get to Druid: delivery.mode
 *
 * Process: all. Pure.
 */
#pragma once

#include "base.h"

enum delivery_mode {
	DELIVERY_PUSH, /* realtime tasks, Druid up to 30 (worker/push.c) */
	DELIVERY_PULL, /* Druid reads the log (worker/log_delivery.c) */
	DELIVERY_APPEND, /* batch tasks (worker/append_delivery.c) */
	DELIVERY_MODES
};

bool delivery_mode_parse(const char *name, enum delivery_mode *); /* any case */
const char *delivery_mode_name(enum delivery_mode);

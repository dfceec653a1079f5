/*
 * sandbox_overlord - the Overlord's API
 *
 * Process: tranq-sandbox.   After: sandbox_exchange.   Before: sandbox_task.
 * druid-api.md 4.3, 5.1 and 5.2.
 */
#pragma once

#include "sandbox_exchange.h"

/* The task that the path names, for faults that are aimed at one. */
void sandbox_overlord_locate(struct exchange *);
void sandbox_overlord_handle(struct exchange *);

/*
 * realm - the folders that are this worker's own, and the fence around them
 *
 * Process: worker.
 */
#pragma once

#include "heritage.h"

/* Before anything is opened; for good (confine.h). */
void realm_enter(const struct heritage *);

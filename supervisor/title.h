/*
 * title - what ps shows of a process
 *
 * Process: supervisor notes the place at its start, children write.
 */
#pragma once

#include "base.h"

void title_init(int argc, char **argv);
/* Bounded by the room that arguments and environment had. */
void title_set(const char *format, ...) PRINTF_LIKE(1, 2);

/*
 * clock - the two clocks; pure code gets its time as an argument
 *
 * Process: all. Wall time is milliseconds since 1970 UTC, monotonic time is
 * milliseconds (or nanoseconds) since an arbitrary start.
 */
#pragma once

#include <stdint.h>

int64_t clock_wall_ms(void);
int64_t clock_mono_ms(void);
int64_t clock_mono_ns(void);

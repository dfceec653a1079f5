/*
 * conf_value - one property's value: from text, and checked
 *
 * Process: all. Internal to conf*.c. Pure.
 */
#pragma once

#include "conf_property.h"

#define CONF_WHY_BYTES 512
#define CONF_TEXT_BYTES_MAX 4096

/* A value that is not wrong is stored at `base` (a text there is freed);
 * otherwise `why` says what is wrong and what to do. */
bool conf_value_set(const struct conf_property *, void *base, const char *text,
    char why[static CONF_WHY_BYTES]) MUST_CHECK;
/* What its values look like: "a whole number, 0 to 65535". */
void conf_value_wanted(
    const struct conf_property *, char out[static CONF_WHY_BYTES]);
/* A BOOL, INT, SIZE or PERIOD; false: it is none. */
bool conf_value_read(enum conf_type, const char *text, int64_t *) MUST_CHECK;
/* An INT, SIZE or PERIOD as people write it: 5, 64MiB, PT10M. */
void conf_value_format(enum conf_type, int64_t, char out[static PERIOD_BYTES]);

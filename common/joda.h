/*
 * joda - times in text, as a pattern of Joda's DateTimeFormat has them
 *
 * Process: all. Pure, but for what ICU knows of zones.
 * A pattern is compiled once and then only read; reading allocates nothing.
 *
 * It takes what DateTimeFormat.forPattern(pattern).withZoneUTC() of Joda 2.12
 * takes, in English, and gives the same time: number fields of any width up to
 * their most digits, names in three spellings (May, MAY, may), fields that are
 * not there from 1970, or from 2000 when the year is missing, a wrong day of
 * the week as a shift within that week. Not read are years before Christ.
 */
#pragma once

#include "base.h"

#define JODA_WHY_BYTES 256

struct joda;

/* `now`: yy is a year from 80 before to 19 after the one that it lies in. NULL:
 * `why` says where in the pattern what is wrong, and what to do. */
struct joda *
joda_new(const char *pattern, int64_t now, char why[static JODA_WHY_BYTES]);
void joda_free(struct joda **);
/* False: not such a text, or no such time (30 February, an hour that the
 * clocks of its zone skip). Without a zone in the text it is UTC. */
bool
joda_read(const struct joda *, const char *text, size_t bytes, int64_t *ms);

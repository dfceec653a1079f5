/*
 * conf_digest - one number for everything that a dataSource's worker goes by
 *
 * Process: all. Pure. But for conf_digest_json internal to conf*.c.
 */
#pragma once

#include "conf.h"

/* Of the spec (the order of members does not count) and the effective
 * properties. */
uint64_t conf_digest(const struct ds_conf *);
/* Of that and what stands in a file that a property names. */
uint64_t conf_digest_add(uint64_t digest, const char *text);
/* Of a document; the order of members does not count. */
uint64_t conf_digest_json(const struct json *);

/*
 * yaml - YAML documents, for the configuration
 *
 * Process: all.   Owns: libyaml; nothing else includes it.
 *
 * A document becomes what json_parse would have made of the same in JSON:
 *   - plain true, false, null (also True, TRUE, ~ and nothing at all), decimal
 *     whole numbers and decimal fractions have their type; every other plain
 *     scalar is text, and so are yes, no, on, off, 0x1F, 017, 1_000, 1:30 and
 *     dates, about which readers of YAML do not agree. In quotes or in a block
 *     (| and >) all is text.
 *   - keys are scalars and stay as they are written; none may come twice
 *   - aliases are written out; a plain key << takes members over from one map
 *     or a list of them, the earlier ones and the map's own first
 *   - tags are refused, and so is a second document
 * Depth is bounded, and the size of what aliases are written out to.
 */
#pragma once

#include "json.h"

#define YAML_DEPTH_MAX 256
/* Of all values, aliases written out and anchors kept: a value counts
 * YAML_VALUE_BYTES and its text. */
#define YAML_BYTES_MAX (64u * MiB)
#define YAML_VALUE_BYTES 16

/* New document, or NULL with the error filled in (line and column count from
 * 1); its text says what is wrong; what to do. */
struct json *
yaml_parse(const char *text, size_t bytes, struct json_error *) MUST_CHECK;

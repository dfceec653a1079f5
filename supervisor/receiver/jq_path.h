/*
 * jq_path - the jq fields of a flattenSpec
 *
 * Process: receiver.   Owns: libjq; nothing else includes it.
 *
 * A jq program has no bound of its own, and one that does not end would stop
 * a receiver. So only programs are taken whose work is bounded by the event's
 * size: paths, iteration, map, select, conditions, arithmetic, the usual
 * functions of one argument; not def, reduce, foreach, recursion, ranges,
 * loops, regular expressions, assignment, `*` (it repeats strings), `;`,
 * computed names of members. What is refused is named when the program is
 * compiled. Iterations inside each
 * other multiply: an event for which the product is too large is malformed.
 */
#pragma once

#include "json_index.h"
#include "line_text.h"

#define JQ_PATH_WHY_BYTES 160
#define JQ_PATH_PROGRAM_BYTES_MAX 512
#define JQ_PATH_EVENT_BYTES_MAX (1u * MiB)
/* Values of the event to the power of the program's iterations. */
#define JQ_PATH_STEPS_MAX 4e6

struct jq_path;

/* NULL with the reason. */
struct jq_path *
jq_path_compile(const char *program, char why[JQ_PATH_WHY_BYTES]);
void jq_path_free(struct jq_path **);

enum jq_path_result {
	JQ_PATH_VALUE,
	JQ_PATH_NONE, /* no value, null, or an error in the program's run */
	JQ_PATH_TOO_LONG, /* too much work for an event of this size */
	JQ_PATH_NO_ROOM, /* in the output */
	JQ_PATH_NO_MEMORY,
};

/* Appends the program's first value as JSON text. Numbers are doubles, as jq
 * has them. */
enum jq_path_result
jq_path_read(struct jq_path *, const struct json_index *, struct line_out *);

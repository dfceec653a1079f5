/*
 * json_path - JsonPath expressions of a flattenSpec, compiled and read
 *
 * Process: receiver. Pure.
 *
 * What Jayway's JsonPath 2.4 makes of an expression with errors suppressed,
 * odd cases included (`$..[0].a`, existence of indefinite paths): names in
 * dots or brackets, several names, indices, negative ones, lists of them,
 * slices, wildcards, deep scan, and filters with == != === !== < <= > >=, &&,
 * ||, !, parentheses and existence. What is left out is refused when the path
 * is compiled, with the reason: functions, =~, in, size and other word
 * operators, JSON literals, slice steps.
 */
#pragma once

#include "json_index.h"

#define JSON_PATH_WHY_BYTES 160
/* Values that a path may look at in an event: so much work and no more. */
#define JSON_PATH_STEPS(nodes) (10000 + 256 * (uint64_t)(nodes))

struct json_path;

/* NULL with the reason, a clause to be put behind the path. */
struct json_path *
json_path_compile(const char *expression, char why[JSON_PATH_WHY_BYTES]);
void json_path_free(struct json_path **);
/* A definite path has one value or none, any other a list. */
bool json_path_is_definite(const struct json_path *);

/* A value that a path leads to: a node, or an object made of those members of
 * the node that the path's last step names. */
struct json_path_hit {
	uint32_t node;
	bool is_merged;
};

struct json_path_hits {
	struct json_path_hit *list;
	uint32_t count, capacity;
	uint64_t steps_left;
};

enum json_path_result {
	JSON_PATH_OK,
	JSON_PATH_TOO_LONG, /* the steps are used up */
	JSON_PATH_NO_MEMORY,
};

/* Sets the hits. */
enum json_path_result json_path_read(const struct json_path *,
    const struct json_index *, struct json_path_hits *);
/* The names that a merged hit has, in order, for i from 0; NULL: no more. */
const char *
json_path_merged_name(const struct json_path *, unsigned i, size_t *bytes);

/*
 * json_path_internal - a compiled path; for json_path*.c only
 *
 * Process: receiver.
 */
#pragma once

#include "json_path.h"

#define JSON_PATH_TOKENS_MAX 64
#define JSON_PATH_SCANS_MAX 4 /* `..` of one path: each recurses */
#define JSON_PATH_LIST_MAX 64 /* names or indices of one bracket */
#define JSON_PATH_NEST_MAX 16 /* parentheses and filters in filters */

enum json_path_kind {
	PATH_MEMBER, /* names, one or more */
	PATH_ELEMENT, /* indices, one or more */
	PATH_SLICE,
	PATH_WILDCARD,
	PATH_SCAN, /* `..`; the token behind it says what is looked for */
	PATH_FILTER,
};

struct json_path_name {
	char *text;
	size_t bytes;
};

struct json_path_token {
	enum json_path_kind kind;
	bool is_last;
	/* no token before this one can lead to several values */
	bool is_upstream_definite;
	unsigned count; /* of names or indices */
	struct json_path_name *names;
	int32_t *indices;
	int32_t from, to;
	bool has_from, has_to;
	struct json_path_filter *filter;
};

struct json_path {
	struct json_path_token *tokens;
	unsigned count;
	bool is_definite;
	bool is_root; /* from $, else from @ */
};

enum json_path_filter_kind {
	FILTER_OR,
	FILTER_AND,
	FILTER_NOT,
	FILTER_COMPARE,
	FILTER_EXISTS,
};

enum json_path_operator {
	OPERATOR_EQ,
	OPERATOR_SAME, /* === */
	OPERATOR_NE,
	OPERATOR_NOT_SAME,
	OPERATOR_LT,
	OPERATOR_LE,
	OPERATOR_GT,
	OPERATOR_GE,
};

enum json_path_value_kind {
	VALUE_UNDEFINED, /* a path that leads nowhere */
	VALUE_NULL,
	VALUE_BOOL,
	VALUE_NUMBER, /* text as Java prints it */
	VALUE_STRING,
	VALUE_NODE, /* an object or array */
	VALUE_OTHER, /* the list of an indefinite path: equals nothing */
	VALUE_PATH, /* in the compiled filter only */
};

struct json_path_value {
	enum json_path_value_kind kind;
	bool is_true;
	uint32_t node;
	struct java_string text;
	char number[JAVA_NUMBER_BYTES]; /* what text may point to */
};

struct json_path_operand {
	struct json_path_value value; /* unless VALUE_PATH */
	struct json_path *path;
	char *text; /* of a literal */
};

/* A tree: OR and AND have left and right, NOT has left. */
struct json_path_filter {
	enum json_path_filter_kind kind;
	struct json_path_filter *left, *right;
	enum json_path_operator op;
	struct json_path_operand a, b;
	bool should_exist;
};

/* The text that is compiled. */
struct json_path_source {
	const char *at, *end;
	const char *start; /* of the whole expression, for messages */
	unsigned nest;
	char *why;
};

/* False, with the reason, for the caller to return. */
bool json_path_fail(struct json_path_source *, const char *format, ...)
    PRINTF_LIKE(2, 3);
void json_path_skip_blanks(struct json_path_source *);
/* A path from $ or @ to the source's end. NULL with the reason. */
struct json_path *json_path_compile_source(struct json_path_source *);
/* From behind `?` to behind the closing parenthesis. NULL with the reason. */
struct json_path_filter *json_path_filter_compile(struct json_path_source *);
void json_path_filter_free(struct json_path_filter **);
/* A quoted text from its quote to behind it; new text. NULL: with reason. */
char *json_path_quoted(struct json_path_source *, size_t *bytes);

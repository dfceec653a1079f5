/*
 * json - JSON documents: configuration, control, Overlord and ZooKeeper data
 *
 * Process: all.   Owns: jansson; nothing else includes it. Events never come
 * through here (json_scan reads them).
 *
 * A `struct json *` that a function returns with "new" in its comment belongs
 * to the caller; all others are borrowed from the document. Members keep the
 * order of the document.
 */
#pragma once

#include "base.h"
#include "buf.h"

struct json;

struct json_error {
	int line, column;
	char text[160];
};

/* New document, or NULL with the error filled in (line and column count from
 * 1). Duplicate members are refused. Any JSON value may stand at the top. */
struct json *json_parse(const char *text, size_t bytes, struct json_error *);
void json_free(struct json **);
struct json *json_clone(const struct json *); /* new, deep */

bool json_is_object(const struct json *); /* NULL is of no type */
bool json_is_array(const struct json *);
bool json_is_text(const struct json *);
bool json_is_number(const struct json *);
bool json_is_int(const struct json *);
bool json_is_bool(const struct json *);
bool json_is_null(const struct json *);
const char *json_type_name(const struct json *); /* "an object", "a number" … */

/* NULL when it is not there or `object` is no object. */
struct json *json_get(const struct json *object, const char *name);
struct json *json_at(const struct json *array, size_t index);
size_t json_size(const struct json *); /* of an array or object, else 0 */
const char *json_text(const struct json *, const char *otherwise);
int64_t json_int(const struct json *, int64_t otherwise);
double json_number(const struct json *, double otherwise);
bool json_bool(const struct json *, bool otherwise);
/* Shorthand for json_text(json_get(object, name), otherwise) and so on. */
const char *json_get_text(
    const struct json *object, const char *name, const char *otherwise);
int64_t
json_get_int(const struct json *object, const char *name, int64_t otherwise);
bool json_get_bool(const struct json *object, const char *name, bool otherwise);

/* Members in the document's order: for (m = json_first(o); m; m =
 * json_next(o, m)) … json_member_name(m), json_member(m). */
struct json_member;
struct json_member *json_first(const struct json *object);
struct json_member *json_next(const struct json *object, struct json_member *);
const char *json_member_name(struct json_member *);
struct json *json_member(struct json_member *);

/* Builders; new values. The setters take over `value`. Text that is not UTF-8
 * becomes an empty string. */
struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_text(const char *);
struct json *json_new_int(int64_t);
struct json *json_new_number(double);
struct json *json_new_bool(bool);
struct json *json_new_null(void);
void json_set(struct json *object, const char *name, struct json *value);
void json_set_text(struct json *object, const char *name, const char *text);
void json_set_int(struct json *object, const char *name, int64_t);
void json_set_bool(struct json *object, const char *name, bool);
/* As iso_format writes it. */
void json_set_time(struct json *object, const char *name, int64_t ms);
void json_remove(struct json *object, const char *name);
void json_append(struct json *array, struct json *value);
bool json_same(const struct json *, const struct json *);

/* Compact, members in order; marks the buffer as failed when it is full. */
void json_print(const struct json *, struct buf *);
/* Indented by two, for people. */
void json_print_pretty(const struct json *, struct buf *);
/* New text, to be freed by the caller. */
char *json_to_text(const struct json *);

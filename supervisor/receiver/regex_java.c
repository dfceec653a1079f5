/*
 * regex_java - regular expressions of Java's kind as PCRE2 reads them
 *
 * Process: receiver. Pure.
 */
#include "regex_java.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "panic.h"

struct rewriter {
	const char *start, *p;
	struct buf out;
	bool in_class;
	char *why;
};

/* \p{…} of ASCII characters, and the POSIX class that says the same. */
static const struct {
	const char *java, *posix;
} classes[] = { { "Lower", "lower" }, { "Upper", "upper" },
	{ "ASCII", "ascii" }, { "Alpha", "alpha" }, { "Digit", "digit" },
	{ "Alnum", "alnum" }, { "Punct", "punct" }, { "Graph", "graph" },
	{ "Print", "print" }, { "Blank", "blank" }, { "Cntrl", "cntrl" },
	{ "XDigit", "xdigit" }, { "Space", "space" } };

static bool
refuse(struct rewriter *r, const char *format, ...) PRINTF_LIKE(2, 3);

/* False, for the caller to return. */
static bool
refuse(struct rewriter *r, const char *format, ...)
{
	va_list args;
	size_t used;

	va_start(args, format);
	vsnprintf(r->why, REGEX_JAVA_WHY_BYTES, format, args);
	va_end(args);
	used = strlen(r->why);
	snprintf(r->why + used, REGEX_JAVA_WHY_BYTES - used, " (character %d)",
	    (int)(r->p - r->start) + 1);
	return false;
}

static void
copy(struct rewriter *r, size_t bytes)
{
	buf_add(&r->out, r->p, bytes);
	r->p += bytes;
}

/* The code unit of \uXXXX at p. */
static bool
read_unit(const char *p, unsigned *unit)
{
	char digits[5] = "";

	if (p[0] != '\\' || p[1] != 'u')
		return false;
	for (unsigned i = 0; i < 4; i++) {
		if (!isxdigit((unsigned char)p[2 + i]))
			return false;
		digits[i] = p[2 + i];
	}
	*unit = (unsigned)strtoul(digits, NULL, 16);
	return true;
}

static bool
rewrite_unit(struct rewriter *r)
{
	unsigned unit, low;

	if (!read_unit(r->p, &unit))
		return refuse(r, "\\u needs four hexadecimal digits");
	if (unit >= 0xd800 && unit <= 0xdbff && read_unit(r->p + 6, &low) &&
	    low >= 0xdc00 && low <= 0xdfff) {
		unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
		r->p += 6;
	} else if (unit >= 0xd800 && unit <= 0xdfff) {
		return refuse(r, "half a surrogate pair matches nothing");
	}
	r->p += 6;
	buf_addf(&r->out, "\\x{%x}", unit);
	return true;
}

/* \p{Alpha}; others are PCRE2's to judge. */
static bool
rewrite_property(struct rewriter *r)
{
	const char *name = r->p + 3;
	const char *caret = r->p[1] == 'P' ? "^" : "";

	for (size_t i = 0; r->p[2] == '{' && i < ARRAY_LEN(classes); i++) {
		size_t bytes = strlen(classes[i].java);

		if (strncmp(name, classes[i].java, bytes) != 0 ||
		    name[bytes] != '}')
			continue;
		buf_addf(&r->out, r->in_class ? "[:%s%s:]" : "[[:%s%s:]]",
		    caret, classes[i].posix);
		r->p = name + bytes + 1;
		return true;
	}
	copy(r, 2);
	return true;
}

/* \Q … \E; in a class its characters are escaped one by one. */
static bool
rewrite_quotation(struct rewriter *r)
{
	const char *end = strstr(r->p, "\\E");
	size_t bytes = end == NULL ? strlen(r->p) : (size_t)(end - r->p) + 2;

	copy(r, bytes);
	return true;
}

static bool
rewrite_escape(struct rewriter *r)
{
	switch (r->p[1]) {
	case '\0': return refuse(r, "a backslash escapes nothing");
	case 'u': return rewrite_unit(r);
	case 'p':
	case 'P': return rewrite_property(r);
	case 'Q': return rewrite_quotation(r);
	default: copy(r, 2); return true;
	}
}

static bool
rewrite_in_class(struct rewriter *r)
{
	switch (*r->p) {
	case '[':
		return refuse(r,
		    "classes inside a class are not supported; write one "
		    "class, or \\[ for the bracket");
	case '&':
		if (r->p[1] == '&')
			return refuse(r,
			    "intersections (&&) of classes are not supported; "
			    "write the class out, or use (?=…)");
		break;
	case ']': r->in_class = false; break;
	default: break;
	}
	copy(r, 1);
	return true;
}

static bool
rewrite_one(struct rewriter *r)
{
	if (*r->p == '\\')
		return rewrite_escape(r);
	if (r->in_class)
		return rewrite_in_class(r);
	if (*r->p == '(' && r->p[1] == '*')
		return refuse(r, "(* begins nothing in Java's patterns");
	if (*r->p == '[') {
		r->in_class = true;
		copy(r, r->p[1] == '^' ? 2 : 1);
		/* a first ] is no end to either, in Java an error */
		if (*r->p == ']')
			return refuse(r, "']' first in a class; write \\]");
		return true;
	}
	copy(r, 1);
	return true;
}

char *
regex_java_rewrite(const char *pattern, char why[REGEX_JAVA_WHY_BYTES])
{
	struct rewriter r = { .start = pattern, .p = pattern, .why = why };

	*why = '\0';
	buf_init(&r.out, SIZE_MAX / 2);
	while (*r.p != '\0') {
		if (!rewrite_one(&r)) {
			buf_free(&r.out);
			return NULL;
		}
	}
	must_afford(buf_text(&r.out) != NULL);
	return r.out.bytes;
}

char *
regex_java_literal(const char *pattern)
{
	char *out = must_malloc(strlen(pattern) + 1), *end = out;

	for (; *pattern != '\0'; pattern++) {
		if (*pattern == '\\' && ispunct((unsigned char)pattern[1])) {
			pattern++;
		} else if (strchr("\\[](){}.*+?^$|", *pattern) != NULL) {
			free(out);
			return NULL;
		}
		*end++ = *pattern;
	}
	*end = '\0';
	return out;
}

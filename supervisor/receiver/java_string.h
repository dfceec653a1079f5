/*
 * java_string - what Java makes of text and numbers: order, hashes, digits
 *
 * Process: receiver. Pure. For partition_hash, which must come to the same
 * numbers as a JVM. Texts are UTF-8 as in a scanned body; a lone surrogate, as
 * \u escapes can name one, is written in three bytes like any other unit.
 */
#pragma once

#include "base.h"

/* What java_string_of_number may write. */
#define JAVA_NUMBER_BYTES 32

struct java_string {
	const char *text;
	size_t bytes;
	bool is_escaped; /* a JSON string's raw bytes with escapes in them */
};

/* String.hashCode */
int32_t java_string_hash(struct java_string);
/* The sign of String.compareTo: order of UTF-16 code units. */
int java_string_compare(struct java_string, struct java_string);
/* Escapes resolved, into `out`, at least as long. Returns the bytes written.
 * Other than json_unescape it keeps lone surrogates. */
size_t java_string_unescape(struct java_string, char *out);

/* How Java prints the number that Jackson reads from a JSON literal: one with
 * a fraction or exponent is a double, any other an integer of any size. The
 * text is the literal itself or in `out`. A byte that is no part of a number
 * must be readable behind the literal.
 *
 * A double's digits are those of java_double.h.
 */
struct java_string java_string_of_number(
    const char *literal, size_t bytes, char out[static JAVA_NUMBER_BYTES]);

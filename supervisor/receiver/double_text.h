/*
 * double_text - the shortest text that reads back to the same number
 *
 * Process: receiver. Pure.
 *
 * Laid out as Java does: 0.1, 100.0, 1.0E7, 5.0E-4, so that a number's text in
 * a dimension is the one that Jackson would have written.
 */
#pragma once

#include "base.h"

#define DOUBLE_TEXT_BYTES 32 /* the longest is 25; no NUL is written */

/* The number must be finite. Both return the end of the text. */
char *double_text_write(char *to, double);
/* As above, for readers that know it as a float: 0.1f is 0.1. */
char *double_text_write_float(char *to, float);

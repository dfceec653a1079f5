/*
 * regex_java - regular expressions of Java's kind as PCRE2 reads them
 *
 * Process: receiver. Pure. Part of regex_line.
 *
 * Druid's patterns are java.util.regex's. Nearly all mean the same to PCRE2;
 * \uXXXX and \p{Alpha} and its kin are rewritten, and what PCRE2 would read
 * otherwise without complaint (a bracket or && inside a class) is refused.
 */
#pragma once

#include "base.h"

#define REGEX_JAVA_WHY_BYTES 160

/* New text, or NULL with the reason. */
char *regex_java_rewrite(const char *pattern, char why[REGEX_JAVA_WHY_BYTES]);
/* The text that the pattern stands for when it is one without any operator,
 * new; else NULL. */
char *regex_java_literal(const char *pattern);

/*
 * base64 - bytes as text (RFC 4648, the standard alphabet)
 *
 * Process: receiver, feed, tools. Pure.
 */
#pragma once

#include "base.h"

#define BASE64_BYTES(count) (((count) + 2) / 3 * 4)

/* BASE64_BYTES(count) characters, without a NUL; where they end. `bytes` may be
 * the last part of where they go. */
char *base64_write(char *to, const unsigned char *bytes, size_t count);
/* Padding is not asked for. At most bytes * 3 / 4 come out. False: it is not
 * base64, or not as it is written. */
bool base64_read(const char *text, size_t bytes, void *to, size_t *used);

/*
 * kafka_hex - frames as hexadecimal text, with spaces where one likes them
 */
#pragma once

#include <string.h>

#include "base.h"
#include "panic.h"

static inline unsigned
kafka_hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = strchr(digits, c);

	must(c != '\0' && at != NULL);
	return (unsigned)(at - digits);
}

static inline size_t
kafka_hex(const char *text, uint8_t *to, size_t room)
{
	size_t used = 0;

	for (; *text != '\0'; text++) {
		if (*text == ' ')
			continue;
		must(used < room);
		to[used++] = (uint8_t)(kafka_hex_digit(text[0]) << 4 |
		    kafka_hex_digit(text[1]));
		text++;
	}
	return used;
}

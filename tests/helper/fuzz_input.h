/*
 * fuzz_input - the bytes of a fuzzer, taken one after the other
 */
#pragma once

#include <fcntl.h>
#include <string.h>

#include "base.h"
#include "log.h"
#include "panic.h"

struct fuzz_input {
	const uint8_t *at, *end;
};

/* Little-endian; behind the end come zeros. bytes <= 8 */
static inline uint64_t UNUSED
fuzz_number(struct fuzz_input *in, size_t bytes)
{
	uint64_t n = 0;

	bytes = MIN_OF(bytes, (size_t)(in->end - in->at));
	if (bytes > 0)
		memcpy(&n, in->at, bytes);
	in->at += bytes;
	return n;
}

static inline uint8_t UNUSED
fuzz_byte(struct fuzz_input *in)
{
	return (uint8_t)fuzz_number(in, 1);
}

/* Up to and without the next newline, which is passed; new, with a NUL. */
static inline char *UNUSED
fuzz_line(struct fuzz_input *in)
{
	size_t left = (size_t)(in->end - in->at);
	const uint8_t *stop = left > 0 ? memchr(in->at, '\n', left) : NULL;
	size_t bytes = stop != NULL ? (size_t)(stop - in->at) : left;
	char *line = must_calloc(1, bytes + 1);

	if (bytes > 0)
		memcpy(line, in->at, bytes);
	in->at += bytes + (stop != NULL);
	return line;
}

/* What is wrong with a hostile input is said in the log: millions of lines. A
 * panic's place is in the stack that the sanitizers print. */
static inline void UNUSED
fuzz_silence(void)
{
	static bool is_silent;

	if (!is_silent)
		log_use(open("/dev/null", O_WRONLY | O_CLOEXEC),
		    LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	is_silent = true;
}

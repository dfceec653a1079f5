/*
 * result - how an operation that may have to be tried again ended
 *
 * Process: all.
 */
#pragma once

enum result {
	RESULT_OK,
	RESULT_RETRY, /* not now: a dependency or the disk; try again */
	RESULT_FULL, /* a bound from the configuration is reached */
	RESULT_REFUSED, /* a definite no: the same again would fail again */
	RESULT_GONE, /* what was asked for is not there (any more) */
};

const char *result_name(enum result);

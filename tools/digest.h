/*
 * digest - what a set of events is, whatever their order
 *
 * Process: tools. Pure. Who sends events and who received them each add what
 * they saw; equal digests mean that nothing was lost, added or changed (by
 * accident: the hash has no secret).
 */
#pragma once

#include "base.h"

/* Longest text of digest_format, the NUL included. */
#define DIGEST_BYTES 96

struct digest {
	uint64_t events, bytes;
	uint64_t sum, xor; /* of the events' hashes */
};

uint64_t digest_hash(const char *event, size_t bytes);
void digest_add(struct digest *, const char *event, size_t bytes);
void digest_merge(struct digest *to, const struct digest *from);
/* "events-sum-xor", numbers in decimal and hexadecimal. */
void digest_format(const struct digest *, char out[static DIGEST_BYTES]);

/*
 * hash_budget - how much time may go into slow hashes of passwords
 *
 * Process: receiver, feed. Pure.
 *
 * A second at once, and a tenth of the time: passwords that are always new keep
 * nobody waiting who is in.
 */
#pragma once

#include "base.h"

#define HASH_BUDGET_MS 1000 /* at once */
#define HASH_BUDGET_SHARE 10 /* one part of the time in so many */

struct hash_budget {
	int64_t left_ns, at_ms;
};

void hash_budget_init(struct hash_budget *);
/* Whether there is any left; one hash may cost more than there is. */
bool hash_budget_has(struct hash_budget *, int64_t now_ms);
void hash_budget_spend(struct hash_budget *, int64_t ns);

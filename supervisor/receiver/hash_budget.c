/*
 * hash_budget - how much time may go into slow hashes of passwords
 *
 * Process: receiver, feed. Pure.
 */
#include "hash_budget.h"

#define MS_NS 1000000
#define MOST_NS ((int64_t)HASH_BUDGET_MS * MS_NS)

void
hash_budget_init(struct hash_budget *b)
{
	*b = (struct hash_budget){ .left_ns = MOST_NS };
}

bool
hash_budget_has(struct hash_budget *b, int64_t now_ms)
{
	int64_t passed_ms = MAX_OF(
	    0, MIN_OF(now_ms - b->at_ms, HASH_BUDGET_MS * HASH_BUDGET_SHARE));

	b->at_ms = now_ms;
	b->left_ns =
	    MIN_OF(b->left_ns + passed_ms * MS_NS / HASH_BUDGET_SHARE, MOST_NS);
	return b->left_ns > 0;
}

void
hash_budget_spend(struct hash_budget *b, int64_t ns)
{
	b->left_ns -= ns;
}

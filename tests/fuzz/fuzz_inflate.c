/*
 * fuzz_inflate - any bytes as a compressed body
 *
 * The first byte chooses coding and limits. One inflater lives through all
 * inputs, as in a receiver; what it says must not depend on what it held
 * before, so each input is read again by a new one. (The reason may: which of
 * two faults is met first depends on the room there is. With zstd that may be
 * "too large" or "malformed": a used context has room for more than a frame
 * says it holds.)
 */
#include "inflate.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define PADDING 64

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
check_result(const struct inflater *f, const struct inflate_input *in,
    enum inflate_result result)
{
	size_t dense = MAX_OF(in->bytes * in->max_ratio, INFLATE_FREE_BYTES);

	must(result != INFLATE_NO_MEMORY);
	must((result == INFLATE_MALFORMED) == (f->reason != NULL));
	must(result != INFLATE_TOO_DENSE || in->max_ratio > 0);
	/* never more memory than the limits allow for */
	must(f->size <= in->max_bytes + 1 + in->padding);
	must(in->max_ratio == 0 || f->size <= dense + 1 + in->padding);
	if (result != INFLATE_DONE)
		return;
	must(f->used <= in->max_bytes);
	must(in->max_ratio == 0 || f->used <= dense);
	memset(f->bytes + f->used, 0, in->padding);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const size_t limits[] = { 0, 100, 4 * MiB, 64 * MiB };
	static const size_t ratios[] = { 0, 1, 1000, SIZE_MAX / 4 };
	static struct inflater kept;
	struct inflater fresh;
	struct inflate_input in = { .padding = PADDING };
	enum inflate_result first, second;

	if (bytes == 0)
		return 0;
	in.coding = INFLATE_GZIP + *data % 3;
	in.max_bytes = limits[*data / 3 % 4];
	in.max_ratio = ratios[*data / 12 % 4];
	/* a copy, so that ASan sees its end */
	in.bytes = bytes - 1;
	in.from = memcpy(malloc(bytes), data + 1, bytes - 1);
	inflate_trim(&kept, 100);
	first = inflate_decode(&kept, &in);
	if (in.max_ratio <= 1000)
		check_result(&kept, &in, first);
	inflate_init(&fresh);
	second = inflate_decode(&fresh, &in);
	must(first == second ||
	    (in.coding == INFLATE_ZSTD && first != INFLATE_DONE &&
		second != INFLATE_DONE));
	if (first == INFLATE_DONE) {
		must(kept.used == fresh.used);
		must(memcmp(kept.bytes, fresh.bytes, kept.used) == 0);
	}
	inflate_fini(&fresh);
	free((void *)(uintptr_t)in.from);
	return 0;
}

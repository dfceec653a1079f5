/*
 * seeds - a fuzz entry run over its seeds, for `make test`
 *
 * Each seed is run as it is and in VARIANTS variants that are the same in
 * every run: bytes changed, cut out, doubled, the end cut off. That is no
 * fuzzing (`make fuzz` does that); it shows that the entry is alive and what
 * it guards still holds.
 *
 * fuzz_X reads tests/fuzz/seeds/X below the current folder, fuzz_smile also
 * tests/golden/smile; or the files that it is given.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base.h"
#include "panic.h"

#define SEED_BYTES_MAX (256u * KiB)
#define VARIANTS 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char running[512]; /* for who looks at a crash */

static void
crashed(int sig)
{
	ssize_t done UNUSED;

	done = write(STDERR_FILENO, running, strlen(running));
	signal(sig, SIG_DFL);
	raise(sig);
}

/* A generator of its own, so that variants never change. */
static uint32_t
draw(uint64_t *state, size_t below)
{
	*state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return below == 0 ? 0 : (uint32_t)((*state >> 33) % below);
}

/* Changes the bytes in place; their new count. */
static size_t
vary(uint8_t *b, size_t bytes, uint64_t *state)
{
	static const uint8_t nasty[] = { 0, 0xff, 0x80, '"', '\\', '\n', ',',
		'[', '{', '\t' };
	size_t at = draw(state, bytes), n = draw(state, 16);

	if (bytes == 0)
		return 0;
	n = MIN_OF(n, bytes - at);
	switch (draw(state, 5)) {
	case 0: b[at] = (uint8_t)(b[at] ^ 1u << draw(state, 8)); break;
	case 1: b[at] = nasty[draw(state, sizeof nasty)]; break;
	case 2: memmove(b + at, b + at + n, bytes - at - n); return bytes - n;
	case 3: memmove(b + at + n, b + at, bytes - at); return bytes + n;
	case 4: return at;
	}
	return bytes;
}

/* The entry gets memory of the exact length, as from a fuzzer. */
static void
run(const uint8_t *b, size_t bytes)
{
	uint8_t *exact = must_malloc(MAX_OF(bytes, 1u));

	memcpy(exact, b, bytes);
	(void)LLVMFuzzerTestOneInput(exact, bytes);
	free(exact);
}

static void
run_seed(const char *path, const uint8_t *seed, size_t bytes)
{
	uint8_t *b = must_malloc(2 * bytes + 64);
	uint64_t state = bytes;

	for (unsigned variant = 0; variant <= VARIANTS; variant++) {
		size_t n = bytes;

		memcpy(b, seed, bytes);
		snprintf(
		    running, sizeof running, "%s, variant %u\n", path, variant);
		for (unsigned i = 0; variant > 0 && i <= variant % 4; i++)
			n = vary(b, n, &state);
		run(b, n);
	}
	free(b);
}

static unsigned
run_file(const char *path)
{
	uint8_t *bytes = must_malloc(SEED_BYTES_MAX);
	FILE *f = fopen(path, "rb");
	size_t count;

	if (f == NULL) {
		perror(path);
		exit(1);
	}
	count = fread(bytes, 1, SEED_BYTES_MAX, f);
	must(feof(f) && !ferror(f));
	fclose(f);
	run_seed(path, bytes, count);
	free(bytes);
	return 1;
}

static unsigned
run_folder(const char *folder, const char *name)
{
	char *path = must_format("%s/%s", folder, name);
	DIR *all = opendir(path);
	const struct dirent *entry;
	unsigned count = 0;

	while (all != NULL && (entry = readdir(all)) != NULL) {
		char *file = must_format("%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.')
			count += run_file(file);
		free(file);
	}
	if (all != NULL)
		closedir(all);
	free(path);
	return count;
}

int
main(int count, char **arguments)
{
	const char *name = strrchr(arguments[0], '_');
	unsigned seeds = 0;

	signal(SIGABRT, crashed);
	signal(SIGSEGV, crashed);
	for (int i = 1; i < count; i++)
		seeds += run_file(arguments[i]);
	if (count == 1 && name != NULL)
		seeds = run_folder("tests/fuzz/seeds", name + 1);
	if (count == 1 && name != NULL && strcmp(name, "_smile") == 0)
		seeds += run_folder("tests/golden", name + 1);
	if (seeds == 0) {
		fprintf(stderr, "%s: no seeds\n", arguments[0]);
		return 1;
	}
	/* as cmocka says it, for tests/run */
	printf("[  PASSED  ] %u test(s).\n", seeds);
	return 0;
}

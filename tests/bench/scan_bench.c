/*
 * scan_bench - how fast json_scan reads: GB/s and ns an event, one core
 *
 * Over the wiki sample when it is there ($TRANQ_SHARED or ../shared), else
 * over events made here. Prints, asserts nothing.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base.h"
#include "json_scan.h"

#define SAMPLE "data/wikiticker-2015-09-12-sampled.json.gz"
#define BODY_MAX (64u * MiB)
#define ROUNDS 40
#define MADE_EVENTS 40000

struct body {
	char *text;
	size_t bytes;
};

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* False: the sample is not there. */
static bool
read_sample(struct body *b)
{
	const char *shared = getenv("TRANQ_SHARED");
	char command[4096];
	FILE *pipe;

	(void)snprintf(command, sizeof(command),
	    "gzip -dc '%s/" SAMPLE "' 2>/dev/null",
	    shared != NULL ? shared : "../shared");
	pipe = popen(command, "r");
	if (pipe == NULL)
		return false;
	b->bytes = fread(b->text, 1, BODY_MAX, pipe);
	return pclose(pipe) == 0 && b->bytes > 0;
}

static void
make_events(struct body *b)
{
	b->bytes = 0;
	for (unsigned i = 0; i < MADE_EVENTS; i++)
		b->bytes += (size_t)snprintf(b->text + b->bytes,
		    BODY_MAX - b->bytes,
		    "{\"time\":\"2015-09-12T00:%02u:%02u.%03uZ\",\"channel\":"
		    "\"#en.wikipedia\",\"cityName\":null,\"comment\":\"edit "
		    "%u of a page\",\"isNew\":false,\"isRobot\":%s,"
		    "\"namespace\":\"Main\",\"page\":\"Page %u\",\"user\":"
		    "\"user%u\",\"delta\":%d,\"added\":%u,\"deleted\":0}\n",
		    i / 60 % 60, i % 60, i % 1000, i,
		    i % 3 == 0 ? "true" : "false", i % 977, i % 131,
		    (int)(i % 400) - 200, i % 400);
}

static void
bench(const struct body *b, enum json_scan_cpu cpu, const char *name)
{
	double best = 0, start, seconds;
	uint64_t events = 0, fields = 0;
	struct json_scan s;

	json_scan_init(&s, b->text, b->bytes);
	if (!json_scan_use(&s, cpu)) {
		printf("%-6s not on this machine\n", name);
		return;
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		enum json_scan_result result;

		json_scan_reset(&s, b->text, b->bytes);
		events = fields = 0;
		start = now();
		while ((result = json_scan_next(&s)) == JSON_SCAN_EVENT) {
			events++;
			fields += s.field_count;
		}
		seconds = now() - start;
		if (result != JSON_SCAN_END)
			printf(
			    "malformed at %u: %s\n", s.error_offset, s.error);
		if (best == 0 || seconds < best)
			best = seconds;
	}
	printf("%-6s %6.2f GB/s %7.1f ns an event %5.2f ns a field\n", name,
	    (double)b->bytes / best / 1e9, best / (double)events * 1e9,
	    best / (double)fields * 1e9);
	json_scan_fini(&s);
}

int
main(void)
{
	struct body b = { calloc(1, BODY_MAX + JSON_SCAN_PADDING), 0 };
	bool sampled;

	if (b.text == NULL)
		return 1;
	sampled = read_sample(&b);
	if (!sampled)
		make_events(&b);
	printf("%s, %.1f MB, best of %d\n",
	    sampled ? "wiki sample" : "made events", (double)b.bytes / 1e6,
	    ROUNDS);
	bench(&b, JSON_SCAN_AVX2, "avx2");
	bench(&b, JSON_SCAN_SSE2, "sse2");
	bench(&b, JSON_SCAN_PLAIN, "plain");
	free(b.text);
	return 0;
}

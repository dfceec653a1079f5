/*
 * time_bench - ns to read a time, and to find its bucket; one core
 *
 *     gcc -O2 -std=gnu11 -D_GNU_SOURCE -iquote common \
 *         tests/bench/time_bench.c build/obj/common.a -licui18n -licuuc \
 *         -ljansson
 *
 * Prints, asserts nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "granularity.h"
#include "json.h"
#include "timestamp.h"

#define ROUNDS 2000000
#define START INT64_C(1790000000000) /* 2026 */

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
bench_text(const char *format, const char *text)
{
	char why[TIMESTAMP_WHY_BYTES];
	struct timestamp_format *f = timestamp_format_new(format, START, why);
	size_t bytes = strlen(text);
	bool is_number = strspn(text, "0123456789") == bytes;
	double start = now();
	int64_t ms = 0, sum = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (is_number)
			(void)timestamp_read_number(f, text, bytes, &ms);
		else
			(void)timestamp_read_text(f, text, bytes, &ms);
		sum += ms;
	}
	printf("%6.1f ns  %-28s %s%s\n", (now() - start) / ROUNDS * 1e9, format,
	    text, sum == 0 ? " (refused)" : "");
	timestamp_format_free(&f);
}

/* Times a second apart; `near`: as the receiver and the worker ask. */
static void
bench_bucket(const char *text, bool near)
{
	char why[GRANULARITY_WHY_BYTES];
	struct json *j = json_parse(text, strlen(text), NULL);
	struct interval last = { 0, 0 };
	struct granularity g;
	int64_t sum = 0;
	double start;

	if (!granularity_read(j, &g, why)) {
		puts(why);
		exit(1);
	}
	start = now();
	for (unsigned i = 0; i < ROUNDS; i++) {
		int64_t ms = START + (int64_t)i * 1000;

		sum += near ? granularity_bucket_near(&g, &last, ms).start
			    : granularity_truncate(&g, ms);
	}
	printf("%6.1f ns  %-8s %s%s\n", (now() - start) / ROUNDS * 1e9,
	    near ? "near" : "truncate", text, sum == 0 ? " " : "");
	json_free(&j);
}

int
main(void)
{
	static const char *const objects[] = { "\"HOUR\"", "\"MONTH\"",
		"{\"type\":\"period\",\"period\":\"PT6H\",\"timeZone\":\"+05:"
		"30\"}",
		"{\"type\":\"period\",\"period\":\"P1D\",\"timeZone\":"
		"\"America/Los_Angeles\"}",
		"{\"type\":\"period\",\"period\":\"P1M\",\"timeZone\":"
		"\"Europe/Paris\"}" };

	bench_text("millis", "1442018818771");
	bench_text("auto", "1442018818771");
	bench_text("auto", "2015-09-12T00:46:58.771Z");
	bench_text("iso", "2015-09-12T00:46:58Z");
	bench_text("auto", "2015-09-12 00:46:58.771");
	bench_text("ruby", "1442018818.771");
	bench_text("auto", "2015-09-12 00:46:58 UTC");
	bench_text("auto", "2015-09-12 00:46:58 Europe/Paris");
	bench_text("yyyy-MM-dd HH:mm:ss", "2015-09-12 00:46:58");
	bench_text("yyyy-MM-dd HH:mm:ss ZZZ", "2015-09-12 00:46:58 Asia/Tokyo");
	bench_text("dd/MMM/yyyy:HH:mm:ss Z", "12/Sep/2015:00:46:58 +0200");
	bench_text(
	    "EEE MMM dd HH:mm:ss z yyyy", "Sat Sep 12 00:46:58 PDT 2015");
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		bench_bucket(objects[i], false);
		bench_bucket(objects[i], true);
	}
	return 0;
}

/*
 * fuzz_granularity - buckets of any object hold their times and follow one
 * another
 *
 * The bytes choose a period or duration object and a time. Buckets beyond
 * 200,000 years may be cut by the ends of 64 bits: there they only have to hold
 * their time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "granularity.h"
#include "json.h"
#include "panic.h"

#define REACH_MS INT64_C(6000000000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const zones[] = { "UTC", "America/Los_Angeles",
	"Europe/Paris", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
	"America/Sao_Paulo", "Asia/Amman", "America/Havana", "Pacific/Apia",
	"Africa/Casablanca", "America/St_Johns", "+05:30", "-03:00", "PST",
	"Europe/Dublin" };
static const char units[][4] = { "Y", "M", "W", "D", "TH", "TM", "TS" };

struct input {
	uint8_t is_duration, unit, count, zone, has_origin;
	uint8_t more_unit; /* of a second field, if any */
	int32_t origin_minutes;
	int64_t ms;
	int64_t duration;
} __attribute__((packed));

static void
print_object(const struct input *in, char *out, size_t bytes)
{
	char origin[64] = "", second[16] = "";
	const char *unit = units[in->unit % ARRAY_LEN(units)];

	if (in->has_origin & 1)
		snprintf(origin, sizeof origin, ",\"origin\":%lld",
		    (long long)in->origin_minutes * 60000);
	if (in->more_unit < 7 && in->more_unit > in->unit % ARRAY_LEN(units))
		snprintf(second, sizeof second, "%s1%s",
		    units[in->more_unit][0] == 'T' && *unit != 'T' ? "T" : "",
		    units[in->more_unit] + (units[in->more_unit][0] == 'T'));
	if (in->is_duration & 1)
		snprintf(out, bytes,
		    "{\"type\":\"duration\",\"duration\":%lld%s}",
		    (long long)(in->duration), origin);
	else
		snprintf(out, bytes,
		    "{\"type\":\"period\",\"period\":\"P%s%u%s%s\","
		    "\"timeZone\":\"%s\"%s}",
		    *unit == 'T' ? "T" : "", in->count, unit + (*unit == 'T'),
		    second, zones[in->zone % ARRAY_LEN(zones)], origin);
}

static void
check(const struct granularity *g, int64_t ms)
{
	struct interval b = granularity_bucket(g, ms), last = { 0, 0 };

	must(b.start <= ms && (ms < b.end || ms == INT64_MAX));
	if (ms < -REACH_MS || ms > REACH_MS)
		return;
	must(granularity_truncate(g, ms) == b.start);
	must(granularity_truncate(g, b.start) == b.start);
	must(granularity_truncate(g, b.end - 1) == b.start);
	must(granularity_truncate(g, b.end) == b.end);
	must(granularity_next(g, b.start) == b.end);
	must(granularity_cycle(g, b.start) < 1000);
	must(granularity_bucket_near(g, &last, b.end - 1).start == b.start);
	must(granularity_bucket_near(g, &last, b.end).start == b.end);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[256], why[GRANULARITY_WHY_BYTES];
	struct granularity g;
	struct input in;
	struct json *j;

	if (size < sizeof in)
		return 0;
	memcpy(&in, data, sizeof in);
	print_object(&in, text, sizeof text);
	j = json_parse(text, strlen(text), NULL);
	must(j != NULL);
	if (granularity_read(j, &g, why))
		check(&g, in.ms);
	else
		must(strlen(why) > 0);
	json_free(&j);
	return 0;
}

/*
 * fuzz_time - times that ICU writes, read by timestampSpec's formats
 *
 * The bytes choose a pattern, a zone and a time of the years 1 to 9999. ICU
 * writes it by its own patterns, the Joda pattern that means the same must read
 * it: the same instant where the text has an offset or a zone's name, else the
 * instant that UTC's clocks show so. Days follow the Gregorian rule for ever,
 * weeks are ISO's, names are English.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <unicode/ucal.h>
#include <unicode/udat.h>

#include "fuzz_input.h"
#include "timestamp.h"

#define FIRST_MS INT64_C(-62135596800000) /* 0001-01-01 */
#define LAST_MS INT64_C(253370764800000) /* 9999-01-01 */
#define NOW_MS INT64_C(1790000000000) /* 2026 */
#define TEXT_MAX 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct pattern {
	const char *joda, *icu;
	int64_t precision_ms;
	enum { IN_UTC, WITH_OFFSET, WITH_NAME } zone;
} patterns[] = {
	{ "iso", "uuuu-MM-dd'T'HH:mm:ss.SSSxxx", 1, WITH_OFFSET },
	{ "auto", "uuuu-MM-dd HH:mm:ss.SSSxx", 1, WITH_OFFSET },
	{ "auto", "uuuu-MM-dd'T'HH:mm:ss", 1000, IN_UTC },
	{ "auto", "uuuu-MM-dd HH:mm:ss VV", 1000, WITH_NAME },
	{ "iso", "uuuu-DDD'T'HH:mm", 60000, IN_UTC },
	{ "iso", "YYYY-'W'ww-e", 86400000, IN_UTC },
	{ "yyyy-MM-dd HH:mm:ss.SSS", "uuuu-MM-dd HH:mm:ss.SSS", 1, IN_UTC },
	{ "yyyy-MM-dd'T'HH:mm:ssZ", "uuuu-MM-dd'T'HH:mm:ssxx", 1000,
	    WITH_OFFSET },
	{ "yyyy-MM-dd'T'HH:mm:ss.SSSZZ", "uuuu-MM-dd'T'HH:mm:ss.SSSxxx", 1,
	    WITH_OFFSET },
	{ "yyyy-MM-dd HH:mm ZZZ", "uuuu-MM-dd HH:mm VV", 60000, WITH_NAME },
	{ "EEE MMM d HH:mm:ss yyyy", "EEE MMM d HH:mm:ss uuuu", 1000, IN_UTC },
	{ "EEEE, MMMM dd, yyyy hh:mm:ss a", "EEEE, MMMM dd, uuuu hh:mm:ss a",
	    1000, IN_UTC },
	{ "dd/MMM/yyyy:HH:mm:ss Z", "dd/MMM/uuuu:HH:mm:ss xx", 1000,
	    WITH_OFFSET },
	{ "yyyy-DDD HH:mm", "uuuu-DDD HH:mm", 60000, IN_UTC },
	{ "xxxx-'W'ww-e HH", "YYYY-'W'ww-e HH", 3600000, IN_UTC },
	{ "yyyyMMddHHmmss", "uuuuMMddHHmmss", 1000, IN_UTC },
	{ "kk:mm yyyy/M/d", "kk:mm uuuu/M/d", 60000, IN_UTC },
	{ "K:mm a, d.M.yyyy", "K:mm a, d.M.uuuu", 60000, IN_UTC },
};

static const char *const zones[] = { "UTC", "America/Los_Angeles",
	"Europe/Paris", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
	"America/Sao_Paulo", "Asia/Amman", "America/Havana", "Pacific/Apia",
	"Africa/Casablanca", "America/St_Johns", "Africa/Monrovia",
	"Europe/Dublin", "Antarctica/Troll", "Pacific/Kiritimati" };

struct writer {
	UDateFormat *icu;
	struct timestamp_format *joda;
};

static void
widen(const char *text, UChar to[static TEXT_MAX])
{
	size_t i = 0;

	must(strlen(text) < TEXT_MAX);
	for (; text[i] != '\0'; i++)
		to[i] = (unsigned char)text[i];
	to[i] = 0;
}

static void
make(struct writer *w, const struct pattern *p, const char *zone)
{
	UChar pattern[TEXT_MAX], zone_id[TEXT_MAX];
	char why[TIMESTAMP_WHY_BYTES];
	UErrorCode error = U_ZERO_ERROR;
	UCalendar *calendar;

	widen(p->icu, pattern);
	widen(p->zone == IN_UTC ? "UTC" : zone, zone_id);
	w->icu = udat_open(UDAT_PATTERN, UDAT_PATTERN, "en_US", zone_id, -1,
	    pattern, -1, &error);
	must(U_SUCCESS(error));
	calendar = ucal_clone(udat_getCalendar(w->icu), &error);
	/* proleptic, with the weeks of ISO 8601 */
	ucal_setGregorianChange(calendar, -1e18, &error);
	ucal_setAttribute(calendar, UCAL_FIRST_DAY_OF_WEEK, UCAL_MONDAY);
	ucal_setAttribute(calendar, UCAL_MINIMAL_DAYS_IN_FIRST_WEEK, 4);
	udat_setCalendar(w->icu, calendar);
	ucal_close(calendar);
	must(U_SUCCESS(error));
	w->joda = timestamp_format_new(p->joda, NOW_MS, why);
	must(w->joda != NULL);
}

static const struct writer *
writer_of(unsigned pattern, unsigned zone)
{
	static struct writer made[ARRAY_LEN(patterns)][ARRAY_LEN(zones)];
	struct writer *w = &made[pattern][zone];

	if (w->icu == NULL)
		make(w, &patterns[pattern], zones[zone]);
	return w;
}

static size_t
write_text(const struct writer *w, int64_t ms, char text[static TEXT_MAX])
{
	UErrorCode error = U_ZERO_ERROR;
	UChar wide[TEXT_MAX];
	int32_t n =
	    udat_format(w->icu, (UDate)ms, wide, TEXT_MAX, NULL, &error);

	must(U_SUCCESS(error) && n > 0 && n < TEXT_MAX);
	for (int32_t i = 0; i < n; i++)
		text[i] = (char)wide[i];
	return (size_t)n;
}

/* Of the zone, as ICU knows it; seconds of it (clocks that went by the sun)
 * are in no text. */
static int64_t
offset_of(const struct writer *w, int64_t ms)
{
	UErrorCode error = U_ZERO_ERROR;
	UCalendar *c = ucal_clone(udat_getCalendar(w->icu), &error);
	int64_t offset;

	ucal_setMillis(c, (UDate)ms, &error);
	offset = ucal_get(c, UCAL_ZONE_OFFSET, &error) +
	    (int64_t)ucal_get(c, UCAL_DST_OFFSET, &error);
	must(U_SUCCESS(error));
	ucal_close(c);
	return offset;
}

static int64_t
cut(int64_t local, int64_t precision)
{
	int64_t over = local % precision;

	return local - (over < 0 ? over + precision : over);
}

static void
check(const struct pattern *p, const struct writer *w, int64_t ms)
{
	char text[TEXT_MAX], again[TEXT_MAX];
	size_t bytes = write_text(w, ms, text);
	int64_t offset = offset_of(w, ms), read = 0;

	must(timestamp_read_text(w->joda, text, bytes, &read));
	if (p->zone == WITH_NAME) {
		/* clocks that show a time twice: the first counts */
		must(write_text(w, read, again) == bytes);
		must(memcmp(text, again, bytes) == 0);
		must(read <= ms);
		return;
	}
	if (offset % 60000 == 0)
		must(read == cut(ms + offset, p->precision_ms) - offset);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input in = { data, data + bytes };
	unsigned pattern = fuzz_byte(&in) % ARRAY_LEN(patterns);
	unsigned zone = fuzz_byte(&in) % ARRAY_LEN(zones);
	uint64_t span = (uint64_t)(LAST_MS - FIRST_MS);
	int64_t ms = FIRST_MS + (int64_t)(fuzz_number(&in, 8) % span);

	/* zones are of our time; before, clocks went by the sun */
	if (patterns[pattern].zone == WITH_NAME && ms < 0)
		ms = -ms;
	check(&patterns[pattern], writer_of(pattern, zone), ms);
	return 0;
}

/*
 * hash_rows - tranqd's partition hashes beside those of Tranquility
 *
 *   hash_rows CONFIGURATION <LINES
 *
 * Reads the lines that Hashes.java writes, takes each event through the
 * receiver's own body reader, and compares. Exit code 1 when any differs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "clock.h"
#include "conf.h"
#include "partition.h"
#include "receiver_check.h"

#define SHOWN_MAX 20
#define RING_BYTES (4u << 20) /* a block is a quarter */

static const unsigned counts[] = { 2, 3, 7, 100 };

static struct outlets outlets;

static struct settings *
load(const char *file)
{
	struct conf_problems problems = { 0 };
	struct conf *conf = conf_load(file, &problems);
	struct settings *s;

	if (conf != NULL)
		receiver_check(conf, &problems);
	for (unsigned i = 0; i < problems.count; i++)
		fprintf(stderr, "%s\n", problems.lines[i]);
	if (conf == NULL || problems.count > 0)
		exit(2);
	s = settings_new(conf, conf);
	outlets.receiver_bell = bell_new();
	for (unsigned i = 0; i < conf->ds_count; i++)
		settings_attach(&s->ds[i],
		    outlet_new(&outlets,
			channel_create(conf->ds[i].name, 0, 1, RING_BYTES),
			bell_new()));
	return s;
}

/* Whether the event's hash and picks are those of the line. */
static bool
is_same(struct body_reader *reader, struct settings *s, char *line)
{
	static char body[1 << 20];
	const char *name = strsep(&line, "\t");
	int32_t wanted = (int32_t)strtol(strsep(&line, "\t"), NULL, 10), hash;
	char *picks = strsep(&line, "\t"), *event = line, *at = picks;
	struct body_input in = { .bytes = body,
		.count = strlen(event),
		.settings = s,
		.to = settings_find(s, name, strlen(name)),
		.now_ms = clock_wall_ms() };

	memcpy(body, event, in.count + 1);
	if (!body_read(reader, &in) || reader->plan.event_count != 1) {
		printf("%s: %snot one event: %s\n", name,
		    reader->status != 0 ? reader->error : "", event);
		return false;
	}
	hash = reader->plan.events[0].hash;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		unsigned pick = (unsigned)strtoul(at, &at, 10);

		at += *at == ',';
		if (hash == wanted && partition_pick(hash, counts[i]) == pick)
			continue;
		printf("%s: %d and not %d, of %u %u and not %u: %s\n", name,
		    hash, wanted, counts[i], partition_pick(hash, counts[i]),
		    pick, event);
		return false;
	}
	return true;
}

int
main(int argc, char **argv)
{
	static char line[1 << 20];
	struct body_reader reader;
	struct settings *s;
	unsigned long rows = 0, bad = 0;

	if (argc != 2)
		return 2;
	s = load(argv[1]);
	body_init(&reader);
	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		rows++;
		if (!is_same(&reader, s, line) && ++bad == SHOWN_MAX)
			break;
	}
	printf("%lu rows, %lu of them differ\n", rows, bad);
	body_fini(&reader);
	return bad > 0 || rows == 0;
}

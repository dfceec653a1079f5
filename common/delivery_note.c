/*
 * delivery_note - the file that says which way a dataSource's events went
 *
 * Process: worker, supervisor.
 */
#include "delivery_note.h"

#include <stdio.h>
#include <string.h>

#include "line_file.h"

#define NAME "delivery"
#define WITH_KAFKA "kafka"

void
delivery_note_print(
    const struct delivery_note *n, char to[static DELIVERY_NOTE_BYTES])
{
	const char *mode = delivery_mode_name(n->mode);

	if (n->druid[0] == '\0')
		snprintf(to, DELIVERY_NOTE_BYTES, "%s\n", mode);
	else
		snprintf(to, DELIVERY_NOTE_BYTES, "%s %s%s\n", mode, n->druid,
		    n->has_kafka ? " " WITH_KAFKA : "");
}

bool
delivery_note_parse(const char *text, struct delivery_note *to)
{
	char copy[DELIVERY_NOTE_BYTES], *rest = copy, *mode, *druid, *kafka;
	size_t bytes = strlen(text);

	memset(to, 0, sizeof *to);
	/* one that is cut off is none */
	if (bytes == 0 || bytes >= sizeof copy || text[bytes - 1] != '\n')
		return false;
	memcpy(copy, text, bytes);
	copy[bytes - 1] = '\0';
	mode = strsep(&rest, " ");
	druid = strsep(&rest, " ");
	kafka = strsep(&rest, " ");
	if (!delivery_mode_parse(mode, &to->mode) || rest != NULL ||
	    (druid != NULL && strlen(druid) >= sizeof to->druid) ||
	    (kafka != NULL && strcmp(kafka, WITH_KAFKA) != 0))
		return false;
	if (druid != NULL)
		strcpy(to->druid, druid);
	to->has_kafka = kafka != NULL;
	return true;
}

bool
delivery_note_read(const char *dir, struct delivery_note *to)
{
	char text[DELIVERY_NOTE_BYTES + 1];

	return line_file_read(dir, NAME, text, sizeof text) &&
	    delivery_note_parse(text, to);
}

bool
delivery_note_write(const char *dir, const struct delivery_note *n)
{
	char text[DELIVERY_NOTE_BYTES];

	delivery_note_print(n, text);
	return line_file_write(dir, NAME, text);
}

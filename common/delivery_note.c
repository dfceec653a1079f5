/*
 * delivery_note - the file that says which way a dataSource's events went
 *
 * Process: worker, supervisor.
 */
#include "delivery_note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "panic.h"

#define NAME "delivery"
#define DRAFT "delivery.new"
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
	char *path = must_format("%s/" NAME, dir);
	char text[DELIVERY_NOTE_BYTES + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t bytes;

	free(path);
	if (fd < 0)
		return false;
	bytes = read(fd, text, sizeof text - 1);
	close(fd);
	if (bytes < 0)
		return false;
	text[bytes] = '\0';
	return delivery_note_parse(text, to);
}

/* In the folder, which is synced at the end. */
static bool
put(int dir, const char *text)
{
	ssize_t bytes = (ssize_t)strlen(text), written;
	int fd = openat(dir, DRAFT,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good;

	if (fd < 0)
		return false;
	written = write(fd, text, (size_t)bytes);
	if (written >= 0 && written < bytes)
		errno = ENOSPC;
	good = written == bytes && fsync(fd) == 0;
	close(fd);
	return good && renameat(dir, DRAFT, dir, NAME) == 0 && fsync(dir) == 0;
}

bool
delivery_note_write(const char *dir, const struct delivery_note *n)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), error;
	char text[DELIVERY_NOTE_BYTES];

	if (fd < 0)
		return false;
	delivery_note_print(n, text);
	error = put(fd, text) ? 0 : errno;
	close(fd);
	errno = error;
	return error == 0;
}

/*
 * vitals - what the kernel says of a process that has gone silent
 *
 * Process: supervisor.
 * Fails:   what cannot be read is left out; nothing depends on it but a text
 *          and how long a wait for the disk is borne.
 */
#include "vitals.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES 512

/* The beginning of a file of /proc/PID; "" when it cannot be read. */
static void
read_proc(pid_t pid, const char *name, char text[FILE_BYTES])
{
	char path[64];
	ssize_t bytes = 0;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		bytes = read(fd, text, FILE_BYTES - 1);
		close(fd);
	}
	text[MAX_OF(bytes, 0)] = '\0';
	text[strcspn(text, "\n")] = '\0';
}

/* proc(5): the name of the program in parentheses, which may have any in it,
 * the state, ten numbers, user and system time in ticks. */
static void
read_stat(const char *stat, struct vitals *v)
{
	const char *end = strrchr(stat, ')');
	unsigned long user = 0, system = 0;

	v->state = '?';
	v->cpu_ms = 0;
	if (end == NULL ||
	    sscanf(end, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		&v->state, &user, &system) != 3)
		return;
	v->cpu_ms = (int64_t)((user + system) * 1000) / sysconf(_SC_CLK_TCK);
}

static const char *
state_text(char state)
{
	switch (state) {
	case 'R': return "runs";
	case 'S': return "sleeps";
	case 'D': return "waits for the disk";
	case 'T': return "is stopped (SIGSTOP)";
	case 't': return "is held by a debugger";
	/* else we would have been told of its end */
	case 'Z': return "is dead, and held by a debugger";
	default: return "is in an unknown state";
	}
}

void
vitals_read(pid_t pid, struct vitals *v)
{
	char stat[FILE_BYTES], where[FILE_BYTES];

	read_proc(pid, "stat", stat);
	/* where in the kernel; "0" when it is not in it */
	read_proc(pid, "wchan", where);
	read_stat(stat, v);
	if (where[0] == '\0' || strcmp(where, "0") == 0)
		snprintf(v->text, sizeof v->text, "%s", state_text(v->state));
	else
		snprintf(v->text, sizeof v->text, "%s, in %.64s",
		    state_text(v->state), where);
}

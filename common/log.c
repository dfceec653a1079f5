/*
 * log - one line an occurrence, with process and dataSource
 *
 * Process: all. Each line is one write(2), so that lines of several
 * processes in one file never mix.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "iso.h"
#include "panic.h"

#define LINE_BYTES 4096
#define TEXT_BYTES (LINE_BYTES - 512) /* of one message */
/* A reader may be slow for a moment. The first line that it has not taken is
 * waited for so long, and none behind it. */
#define PATIENCE_MS 1000

static enum log_level level = LOG_LEVEL_INFO;
static enum log_format format_of_lines = LOG_FORMAT_TEXT;
static int fd = STDERR_FILENO;
static char *path;
static char process[32] = "tranqd";
static char ds_name[128];
/* lines that could not be written: of this process and its children */
static _Atomic uint64_t *lost_by_all;

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const char *const format_names[] = { "text", "json" };

static bool
find_name(const char *const *names, size_t count, const char *name, int *out)
{
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(names[i], name) == 0) {
			*out = (int)i;
			return true;
		}
	}
	return false;
}

bool
log_level_parse(const char *name, enum log_level *out)
{
	int i;

	if (!find_name(level_names, ARRAY_LEN(level_names), name, &i))
		return false;
	*out = (enum log_level)i;
	return true;
}

bool
log_format_parse(const char *name, enum log_format *out)
{
	int i;

	if (!find_name(format_names, ARRAY_LEN(format_names), name, &i))
		return false;
	*out = (enum log_format)i;
	return true;
}

static int
open_log(const char *name)
{
	return open(
	    name, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC, 0640);
}

/* Standard error; a pipe by a description of our own, since that we do not wait
 * for its reader is no business of others who write to it. */
static int
own_stderr(void)
{
	struct stat s;
	int own = -1;

	if (fstat(STDERR_FILENO, &s) == 0 && S_ISFIFO(s.st_mode))
		own = open("/proc/self/fd/2",
		    O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
	return own >= 0 ? own : STDERR_FILENO;
}

static void
use_fd(int opened)
{
	if (fd != STDERR_FILENO)
		close(fd);
	fd = opened;
}

/* For a number that is shown only: without memory there is none. */
static void
share_lost(void)
{
	void *at;

	if (lost_by_all != NULL)
		return;
	at = mmap(NULL, sizeof *lost_by_all, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (at != MAP_FAILED)
		lost_by_all = at;
}

bool
log_init(const struct log_options *options)
{
	bool to_file = options->file != NULL && options->file[0] != '\0';
	int opened = to_file ? open_log(options->file) : own_stderr();

	if (opened < 0)
		return false;
	level = options->level;
	format_of_lines = options->format;
	free(path);
	path = to_file ? strdup(options->file) : NULL;
	use_fd(opened);
	share_lost();
	return true;
}

void
log_reopen(void)
{
	int opened;

	if (path == NULL)
		return;
	if ((opened = open_log(path)) < 0) {
		log_warn("log.file %s: cannot be opened again, lines go on to "
			 "the old file",
		    path);
		return;
	}
	use_fd(opened);
}

void
log_use(int opened, enum log_level at, enum log_format format)
{
	free(path);
	path = NULL;
	level = at;
	format_of_lines = format;
	use_fd(opened);
}

enum log_level
log_settings(enum log_format *format)
{
	*format = format_of_lines;
	return level;
}

void
log_process(const char *name, const char *ds)
{
	snprintf(process, sizeof process, "%s", name);
	snprintf(ds_name, sizeof ds_name, "%s", ds != NULL ? ds : "");
}

int
log_fd(void)
{
	return fd;
}

/* Bytes of the UTF-8 sequence that begins here; 0: it is none. */
static size_t
utf8_bytes(const unsigned char *c)
{
	size_t bytes = c[0] < 0x80 ? 1
	    : c[0] < 0xc2          ? 0
	    : c[0] < 0xe0          ? 2
	    : c[0] < 0xf0          ? 3
	    : c[0] < 0xf5          ? 4
				   : 0;

	for (size_t i = 1; i < bytes; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* too long for what they say, surrogates, beyond the last one */
	if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) ||
	    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
		return 0;
	return bytes;
}

/* Appends with JSON's escapes; returns the new length. Druid's texts, cut
 * anywhere, come through here: bytes that are no UTF-8 would spoil the line. */
static size_t
add_escaped(char *line, size_t used, const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	/* room for one escape and what closes the line */
	while (*c != '\0' && used + 12 < LINE_BYTES) {
		size_t bytes = utf8_bytes(c);

		if (*c == '"' || *c == '\\')
			line[used++] = '\\';
		if (bytes == 0 || *c < 0x20) {
			used += (size_t)snprintf(line + used, LINE_BYTES - used,
			    "\\u%04x", bytes == 0 ? 0xfffd : *c);
			c++;
			continue;
		}
		memcpy(line + used, c, bytes);
		used += bytes;
		c += bytes;
	}
	return used;
}

static size_t
compose_json(char *line, const char *time, enum log_level at, const char *text)
{
	size_t used = (size_t)snprintf(line, LINE_BYTES,
	    "{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\","
	    "\"pid\":%d,",
	    time, level_names[at], process, (int)getpid());

	if (ds_name[0] != '\0') {
		used += (size_t)snprintf(
		    line + used, LINE_BYTES - used, "\"dataSource\":\"");
		used = add_escaped(line, used, ds_name);
		used += (size_t)snprintf(line + used, LINE_BYTES - used, "\",");
	}
	used +=
	    (size_t)snprintf(line + used, LINE_BYTES - used, "\"message\":\"");
	used = add_escaped(line, used, text);
	return used + (size_t)snprintf(line + used, LINE_BYTES - used, "\"}\n");
}

static size_t
compose_text(char *line, const char *time, enum log_level at, const char *text)
{
	int used = snprintf(line, LINE_BYTES, "%s %s %s[%d]%s%s: %s\n", time,
	    level_names[at], process, (int)getpid(), ds_name[0] ? " " : "",
	    ds_name, text);

	if (used >= LINE_BYTES)
		used = LINE_BYTES - 1;
	/* one occurrence, one line, whatever the text has in it */
	for (int i = 0; i < used; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	line[used - 1] = '\n';
	return (size_t)used;
}

/* As write(2), and -1 when there is no room until then: a pipe may have no
 * reader any more, a terminal may be stopped, who reads a socket may hang. */
static ssize_t
write_until(const char *text, size_t bytes, int64_t until_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int64_t left;
	ssize_t written;

	do {
		left = MAX_OF(until_ms - clock_mono_ms(), 0);
		if (poll(&p, 1, (int)left) == 0) {
			errno = EAGAIN;
			return -1;
		}
		/* another process may have been quicker */
		written = write(fd, text, bytes);
	} while (
	    written < 0 && left > 0 && (errno == EAGAIN || errno == EINTR));
	return written;
}

/* False with errno. */
static bool
write_line(enum log_level at, const char *text, int patience_ms)
{
	static bool cut; /* the last one, by a full disk */
	int64_t until_ms = clock_mono_ms() + patience_ms;
	char line[LINE_BYTES], time[ISO_BYTES];
	size_t bytes;
	ssize_t written;

	iso_format(clock_wall_ms(), time);
	bytes = format_of_lines == LOG_FORMAT_JSON
	    ? compose_json(line, time, at, text)
	    : compose_text(line, time, at, text);
	if (cut && write_until("\n", 1, until_ms) != 1)
		return false;
	cut = false;
	written = write_until(line, bytes, until_ms);
	cut = written > 0 && written < (ssize_t)bytes;
	if (cut)
		errno = ENOSPC;
	return written == (ssize_t)bytes;
}

/* A full disk, or a pipe that nobody reads, costs lines and nothing else. That
 * it did is said when there is room again. */
static void
emit(enum log_level at, const char *text)
{
	static unsigned long lost;
	static int why;
	int saved = errno, patience_ms = lost > 0 ? 0 : PATIENCE_MS;
	char gap[128];

	if (lost > 0) {
		snprintf(gap, sizeof gap,
		    "%lu lines could not be written here: %s", lost,
		    strerror(why));
		if (write_line(LOG_LEVEL_WARN, gap, 0))
			lost = 0;
	}
	if (lost > 0 || !write_line(at, text, patience_ms)) {
		lost++;
		why = errno;
		if (lost_by_all != NULL)
			atomic_fetch_add_explicit(
			    lost_by_all, 1, memory_order_relaxed);
	}
	errno = saved;
}

uint64_t
log_lost(void)
{
	return lost_by_all == NULL
	    ? 0
	    : atomic_load_explicit(lost_by_all, memory_order_relaxed);
}

void
log_line(enum log_level at, const char *format, va_list args)
{
	char text[TEXT_BYTES];

	if (at > level)
		return;
	vsnprintf(text, sizeof text, format, args);
	emit(at, text);
}

bool
log_debugging(void)
{
	return level >= LOG_LEVEL_DEBUG;
}

static void
print_with_errno(char text[TEXT_BYTES], const char *format, va_list args)
{
	int saved = errno;
	int used = vsnprintf(text, TEXT_BYTES, format, args);

	if (used >= 0 && used < TEXT_BYTES)
		snprintf(text + used, (size_t)(TEXT_BYTES - used), ": %s",
		    strerror(saved));
	errno = saved;
}

/* The reason of an end is found where a panic's is. */
static NORETURN void
end_with(const char *text)
{
	emit(LOG_LEVEL_ERROR, text);
	panic_words(text);
	exit(EX_TEMPFAIL);
}

#define LOG_FUNCTION(name, at)              \
	void name(const char *format, ...)  \
	{                                   \
		va_list args;               \
                                            \
		va_start(args, format);     \
		log_line(at, format, args); \
		va_end(args);               \
	}

LOG_FUNCTION(log_warnx, LOG_LEVEL_WARN)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)

void
log_warn(const char *format, ...)
{
	char text[TEXT_BYTES];
	va_list args;

	if (LOG_LEVEL_WARN > level)
		return;
	va_start(args, format);
	print_with_errno(text, format, args);
	va_end(args);
	emit(LOG_LEVEL_WARN, text);
}

void
fatal(const char *format, ...)
{
	char text[TEXT_BYTES];
	va_list args;

	va_start(args, format);
	print_with_errno(text, format, args);
	va_end(args);
	end_with(text);
}

void
fatalx(const char *format, ...)
{
	char text[TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	end_with(text);
}

bool
log_may_repeat(int64_t *last_ms, int64_t period_ms)
{
	int64_t now = clock_mono_ms();

	if (*last_ms != 0 && now - *last_ms < period_ms)
		return false;
	*last_ms = now;
	return true;
}

/*
 * log - one line an occurrence, with process and dataSource
 *
 * Process: all. Text: "2026-11-22T10:00:00.000Z level process[pid]
 * dataSource: message". JSON: one object a line with the same members.
 */
#pragma once

#include <stdarg.h>

#include "base.h"

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_options {
	enum log_level level;
	enum log_format format;
	const char *file; /* NULL or empty: standard error */
};

bool log_level_parse(const char *name, enum log_level *level);
bool log_format_parse(const char *name, enum log_format *format);

/* Opens the file; false with errno when it cannot be opened (the log stays
 * where it was). Copies what it keeps. */
bool log_init(const struct log_options *) MUST_CHECK;
/* Opens the file again under its name, after a rotation. */
void log_reopen(void);
/* Name of this process in every line ("supervisor", "receiver 0", "worker"),
 * and the dataSource it serves or NULL. Copied. */
void log_process(const char *name, const char *ds);
/* Lines go to this descriptor from now on (taken over); a child gets it from
 * the supervisor, since it may not be able to open the file itself. */
void log_use(int opened, enum log_level, enum log_format);
enum log_level log_settings(enum log_format *);
/* Lines of this process and its children that could not be written: neither a
 * full disk nor a pipe that nobody reads stops anybody. */
uint64_t log_lost(void);
/* The descriptor lines go to, to be kept open when others are closed. */
int log_fd(void);

/* With errno's text behind the message. */
void log_warn(const char *format, ...) PRINTF_LIKE(1, 2);
void log_warnx(const char *format, ...) PRINTF_LIKE(1, 2);
void log_error(const char *format, ...) PRINTF_LIKE(1, 2);
void log_info(const char *format, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *format, ...) PRINTF_LIKE(1, 2);
bool log_debugging(void);
void log_line(enum log_level, const char *format, va_list) PRINTF_LIKE(2, 0);

/* Log as an error (with errno's text, or without) and exit with status 75
 * (EX_TEMPFAIL: the dependency or the disk; see heritage.h). */
NORETURN void fatal(const char *format, ...) PRINTF_LIKE(1, 2);
NORETURN void fatalx(const char *format, ...) PRINTF_LIKE(1, 2);

/* At most one line a period for a message that would repeat itself: true
 * when it may be said now. `last_ms` is the caller's, 0 at first. */
bool log_may_repeat(int64_t *last_ms, int64_t period_ms);

/*
 * test_log - lines as people and programs read them
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "iso.h"
#include "json.h"
#include "log.h"
#include "panic.h"

#define LINE_MAX_BYTES 4096

static char dir[] = "/tmp/test_log_XXXXXX";
static char file[64], rotated[64];
static char text[8 * LINE_MAX_BYTES];

static const char *
read_file(const char *path)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	return text;
}

static void
begin(enum log_level level, enum log_format format)
{
	struct log_options o = {
		.level = level, .format = format, .file = file
	};

	unlink(file);
	assert_true(log_init(&o));
	log_process("worker", "wikipedia");
}

/* The only line of the file, without its end. */
static char *
only_line(void)
{
	char *line, *end;

	read_file(file);
	line = text;
	end = strchr(line, '\n');
	if (end == NULL || end[1] != '\0')
		fail_msg("not one line: '%s'", line);
	*end = '\0';
	return line;
}

/* Time and pid are what they should be; returns what is behind the time. */
static const char *
after_time(const char *line)
{
	int64_t ms, now = clock_wall_ms();
	const char *end = strchr(line, ' ');

	assert_non_null(end);
	assert_int_equal(end - line, 24);
	assert_true(iso_parse(line, (size_t)(end - line), ISO_T, &ms));
	assert_true(ms <= now && ms > now - 60000);
	return end + 1;
}

static void
check_text(const char *expected)
{
	char whole[LINE_MAX_BYTES];

	snprintf(whole, sizeof whole, expected, (int)getpid());
	assert_string_equal(after_time(only_line()), whole);
}

static void
test_text(void **state)
{
	(void)state;
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("%d batches, %s", 3, "on their way");
	check_text("info worker[%d] wikipedia: 3 batches, on their way");
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_process("supervisor", NULL);
	log_warnx("no disk");
	check_text("warn supervisor[%d]: no disk");
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	errno = ENOSPC;
	log_warn("spool %s", "x");
	assert_int_equal(errno, ENOSPC); /* kept */
	check_text("warn worker[%d] wikipedia: spool x: No space left on "
		   "device");
}

static void
test_levels(void **state)
{
	static const unsigned lines[] = { 1, 3, 4, 5 };

	(void)state;
	for (unsigned level = 0; level < ARRAY_LEN(lines); level++) {
		unsigned count = 0;

		begin((enum log_level)level, LOG_FORMAT_TEXT);
		log_error("e");
		log_warn("w");
		log_warnx("w");
		log_info("i");
		log_debug("d");
		for (const char *c = read_file(file); *c != '\0'; c++)
			count += *c == '\n';
		assert_int_equal(count, lines[level]);
		assert_int_equal(log_debugging(), level == LOG_LEVEL_DEBUG);
	}
}

static void
test_names(void **state)
{
	enum log_level level;
	enum log_format format;

	(void)state;
	assert_true(log_level_parse("warn", &level));
	assert_int_equal(level, LOG_LEVEL_WARN);
	assert_true(log_level_parse("DEBUG", &level));
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_false(log_level_parse("loud", &level));
	assert_false(log_level_parse("", &level));
	assert_true(log_format_parse("Json", &format));
	assert_int_equal(format, LOG_FORMAT_JSON);
	assert_false(log_format_parse("xml", &format));
}

/* One occurrence is one line, also when Druid's answer has many. */
static void
test_text_stays_one_line(void **state)
{
	(void)state;
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("it said %s", "<html>\r\n\t<b>\033[31mno\n</html>\x7f");
	check_text("info worker[%d] wikipedia: it said <html>   <b> [31mno "
		   "</html> ");
}

static struct json *
parse_line(void)
{
	struct json_error e;
	char *line = only_line();
	struct json *j = json_parse(line, strlen(line), &e);

	if (j == NULL)
		fail_msg("%s: '%s'", e.text, line);
	return j;
}

static void
check_message(const char *message, const char *expected)
{
	struct json *j;

	begin(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_error("%s", message);
	j = parse_line();
	assert_string_equal(json_get_text(j, "message", NULL), expected);
	json_free(&j);
}

static void
test_json(void **state)
{
	struct json *j;
	int64_t ms;
	const char *time;

	(void)state;
	begin(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_info("3 batches");
	j = parse_line();
	assert_int_equal(json_size(j), 6);
	assert_string_equal(json_get_text(j, "level", ""), "info");
	assert_string_equal(json_get_text(j, "process", ""), "worker");
	assert_string_equal(json_get_text(j, "dataSource", ""), "wikipedia");
	assert_string_equal(json_get_text(j, "message", ""), "3 batches");
	assert_int_equal(json_get_int(j, "pid", 0), getpid());
	time = json_get_text(j, "time", "");
	assert_true(iso_parse(time, strlen(time), ISO_T, &ms));
	json_free(&j);

	begin(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	log_process("receiver 0", NULL);
	log_info("x");
	j = parse_line();
	assert_null(json_get(j, "dataSource"));
	json_free(&j);
}

static void
test_json_escapes(void **state)
{
	(void)state;
	check_message("a \"b\" \\ c", "a \"b\" \\ c");
	check_message("two\nlines\tand \001", "two\nlines\tand \001");
	check_message("žluťoučký 한국 😀", "žluťoučký 한국 😀");
	/* cut in the middle of a character, and what was never UTF-8 */
	check_message("cut \xf0\x9f\x98",
	    "cut \xef\xbf\xbd\xef\xbf\xbd"
	    "\xef\xbf\xbd");
	check_message("\xe9t\xe9", "\xef\xbf\xbdt\xef\xbf\xbd");
	check_message("\xc0\x80 \xed\xa0\x80",
	    "\xef\xbf\xbd\xef\xbf\xbd "
	    "\xef\xbf\xbd\xef\xbf\xbd"
	    "\xef\xbf\xbd");
}

/* However long, and however many escapes it needs: a whole line. */
static void
test_long_lines(void **state)
{
	static const char *const kinds[] = { "x", "\"", "\001", "ž" };
	char message[2 * LINE_MAX_BYTES];

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (size_t more = 0; more < 9; more++) {
			struct json *j;

			memset(message, 'a', more);
			message[more] = '\0';
			while (strlen(message) < LINE_MAX_BYTES + 100)
				strcat(message, kinds[k]);
			begin(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
			log_info("%s", message);
			j = parse_line();
			assert_true(
			    strlen(json_get_text(j, "message", "")) > 500);
			json_free(&j);
			begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
			log_info("%s", message);
			assert_true(strlen(only_line()) < LINE_MAX_BYTES);
		}
	}
}

static void
test_rotation(void **state)
{
	(void)state;
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("first");
	assert_int_equal(rename(file, rotated), 0);
	log_info("second"); /* still to the old file */
	log_reopen();
	log_info("third");
	assert_non_null(strstr(only_line(), "third"));
	read_file(rotated);
	assert_non_null(strstr(text, "first"));
	assert_non_null(strstr(text, "second"));
	log_reopen(); /* nothing was rotated: it goes on at the end */
	log_info("fourth");
	read_file(file);
	assert_non_null(strstr(text, "third"));
	assert_non_null(strstr(text, "fourth"));
}

/* The name cannot be opened any more: lines go on to the file that is open. */
static void
test_reopen_fails(void **state)
{
	(void)state;
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	assert_int_equal(rename(file, rotated), 0);
	assert_int_equal(mkdir(file, 0700), 0);
	log_reopen();
	log_info("after");
	read_file(rotated);
	assert_non_null(strstr(text, file));
	assert_non_null(strstr(text, "after"));
	assert_int_equal(rmdir(file), 0);
}

/* A full disk: what is lost is told when there is room. */
static void
test_disk_is_full(void **state)
{
	uint64_t before = log_lost();

	(void)state;
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_use(open("/dev/full", O_WRONLY), LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("one");
	log_info("two");
	assert_int_equal(log_lost(), before + 2);
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_info("three");
	log_info("four");
	read_file(file);
	assert_non_null(strstr(text,
	    "2 lines could not be written here: No space left on device\n"));
	assert_null(strstr(text, "two"));
	assert_non_null(strstr(text, "wikipedia: three\n"));
	assert_non_null(strstr(text, "wikipedia: four\n"));
	assert_int_equal(log_lost(), before + 2);
}

/* The disk took half a line: the next begins on a line of its own. */
static void
test_cut_line(void **state)
{
	struct rlimit old, limit;

	(void)state;
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 40;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	log_info("a line that is longer than what there is room for");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	log_info("whole");
	read_file(file);
	assert_int_equal(text[40], '\n');
	assert_non_null(strstr(text + 41, "1 lines could not be written"));
	assert_non_null(strstr(text + 41, "wikipedia: whole\n"));
}

/* Lines to a standard error that nobody reads, until some are lost, and one
 * more when all of them are read; returns how many were lost. An alarm ends who
 * waits. */
static uint64_t
write_unread(int reader, int writer)
{
	struct log_options o = { .level = LOG_LEVEL_INFO };
	uint64_t before = log_lost(), lost;
	int saved = dup(STDERR_FILENO), flags;

	alarm(20);
	assert_true(dup2(writer, STDERR_FILENO) >= 0);
	assert_true(log_init(&o));
	for (int i = 0; i < 100000 && log_lost() < before + 3; i++)
		log_info("line %d", i);
	lost = log_lost() - before;
	while (recv(reader, text, sizeof text - 1, MSG_DONTWAIT) > 0 ||
	    (errno == ENOTSOCK && read(reader, text, sizeof text - 1) > 0))
		;
	log_info("the last one");
	flags = fcntl(STDERR_FILENO, F_GETFL);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	alarm(0);
	/* whoever writes there too is not concerned */
	assert_int_equal(flags & O_NONBLOCK, 0);
	text[read(reader, text, sizeof text - 1)] = '\0';
	close(reader);
	close(writer);
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	return lost;
}

static void
test_nobody_reads(void **state)
{
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(write_unread(ends[0], ends[1]), 3);
	assert_non_null(strstr(
	    text, "3 lines could not be written here: Resource temporarily "));
	assert_non_null(strstr(text, "the last one\n"));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(write_unread(ends[0], ends[1]), 3);
	assert_non_null(strstr(text, "3 lines could not be written here: "));
	assert_non_null(strstr(text, "the last one\n"));
}

#define WRITERS 3
#define LINES_OF_EACH 5000

/* By several processes, and none waits for another's. */
static void
write_much(int writer)
{
	struct log_options o = { .level = LOG_LEVEL_INFO };

	must(dup2(writer, STDERR_FILENO) >= 0);
	must(log_init(&o));
	for (int i = 0; i < WRITERS; i++)
		if (fork() == 0) {
			for (int n = 0; n < LINES_OF_EACH; n++)
				log_info("line %d <", n);
			_exit(0);
		}
	_exit(0);
}

/* A reader that is slower than those who write loses no line, and none is in
 * another. */
static void
test_slow_reader(void **state)
{
	unsigned lines = 0, ends_of_lines = 0;
	char bytes[16], last = '\n';
	ssize_t count;
	int ends[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_true(fcntl(ends[0], F_SETPIPE_SZ, 4096) > 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		write_much(ends[1]);
	close(ends[1]);
	while ((count = read(ends[0], bytes, sizeof bytes)) > 0)
		for (ssize_t i = 0; i < count; last = bytes[i++]) {
			lines += last == '\n' && bytes[i] == '2';
			ends_of_lines += last == '<' && bytes[i] == '\n';
		}
	assert_int_equal(lines, WRITERS * LINES_OF_EACH);
	assert_int_equal(ends_of_lines, WRITERS * LINES_OF_EACH);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(ends[0]);
}

static void
test_init_fails(void **state)
{
	struct log_options o = { .level = LOG_LEVEL_ERROR,
		.file = "/nowhere/at/all" };

	(void)state;
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	assert_false(log_init(&o));
	assert_int_equal(errno, ENOENT);
	log_info("as before");
	assert_non_null(strstr(only_line(), "as before"));
}

/* A child writes where its supervisor said. */
static void
test_handed_over(void **state)
{
	enum log_format format;
	int fd = open(rotated, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	(void)state;
	begin(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
	log_use(fd, LOG_LEVEL_DEBUG, LOG_FORMAT_JSON);
	assert_int_equal(log_fd(), fd);
	assert_int_equal(log_settings(&format), LOG_LEVEL_DEBUG);
	assert_int_equal(format, LOG_FORMAT_JSON);
	log_reopen(); /* it has no name here */
	log_debug("x");
	read_file(rotated);
	assert_int_equal(text[0], '{');
	assert_string_equal(read_file(file), "");
}

static int
status_of(void (*end)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		end();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
end_with_errno(void)
{
	errno = EACCES;
	fatal("spool");
}

static void
end_without(void)
{
	fatalx("no memory");
}

static void
test_fatal(void **state)
{
	(void)state;
	begin(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	assert_int_equal(status_of(end_with_errno), EX_TEMPFAIL);
	assert_non_null(strstr(only_line(), ": spool: Permission denied"));
	begin(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
	assert_int_equal(status_of(end_without), EX_TEMPFAIL);
	assert_non_null(strstr(only_line(), ": no memory"));
}

static void
test_may_repeat(void **state)
{
	int64_t last = 0;

	(void)state;
	assert_true(log_may_repeat(&last, 3600 * 1000));
	assert_false(log_may_repeat(&last, 3600 * 1000));
	assert_true(log_may_repeat(&last, 0));
	last = clock_mono_ms() - 5000;
	assert_true(log_may_repeat(&last, 5000));
}

static int
make_dir(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(file, sizeof file, "%s/log", dir);
	snprintf(rotated, sizeof rotated, "%s/log.1", dir);
	return 0;
}

static int
remove_dir(void **state)
{
	(void)state;
	unlink(file);
	unlink(rotated);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_text_stays_one_line),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_escapes),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_reopen_fails),
		cmocka_unit_test(test_disk_is_full),
		cmocka_unit_test(test_cut_line),
		cmocka_unit_test(test_nobody_reads),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_init_fails),
		cmocka_unit_test(test_handed_over),
		cmocka_unit_test(test_fatal),
		cmocka_unit_test(test_may_repeat),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}

/*
 * main - tranqd's command line
 *
 * Process: supervisor.   Before: supervisor.c.
 * Fails:   with the codes of sysexits.h: 64 wrong use, 78 bad configuration,
 *          69, 71, 73, 77 what cannot be had (supervisor/prepare.c), 74 what
 *          cannot be printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "fault.h"
#include "heritage.h"
#include "log.h"
#include "panic.h"

#include "supervisor.h"
#include "title.h"
#include "vault.h"

/* More than any configuration needs: of each of its dataSources at most some
 * hundred KiB are shown. */
#define SHOWN_BYTES_MAX (1024u * MiB)

struct arguments {
	const char *file;
	const char *pid_file;
	bool daemonize;
};

typedef int command_fn(const struct arguments *);

static const char usage_text[] =
    "usage: tranqd start -c FILE [--daemonize] [--pid-file FILE]\n"
    "       tranqd check | config -c FILE\n"
    "       tranqd version | help\n";

static const char help_text[] =
    "\n"
    "tranqd takes events over HTTP and delivers them to Apache Druid.\n"
    "\n"
    "  start     run in the foreground, or behind it with --daemonize\n"
    "  check     read and check the whole configuration, start nothing\n"
    "  config    print, as JSON, the configuration that would be in effect:\n"
    "            every property, its value and where it comes from\n"
    "  server    start, by the name that Tranquility's launcher has for it\n"
    "  -c FILE   the configuration (JSON or YAML, as Tranquility Server's);\n"
    "            Tranquility's -configFile FILE is the same\n"
    "\n"
    "A running daemon is asked and stopped with tranqctl. Signals: TERM and\n"
    "INT drain and stop, QUIT stops at once, HUP reads the configuration\n"
    "again, USR1 opens the log file again.\n"
    "\n"
    "Exit codes: 0 good, 64 wrong use, 69 port or run directory taken, 71\n"
    "memory or descriptors, 73 and 77 a file or directory, 74 output, 78\n"
    "configuration.\n";

static int
usage(void)
{
	fputs(usage_text, stderr);
	return EX_USAGE;
}

static void
print_problems(const struct conf_problems *p)
{
	for (unsigned i = 0; i < p->count; i++)
		fprintf(stderr, "%s\n", p->lines[i]);
	for (unsigned i = 0; i < p->warning_count; i++)
		fprintf(stderr, "warning: %s\n", p->warnings[i]);
}

/* Checked whole, problems printed; NULL when there are any. `to_run`: by
 * children too, who shall not find secrets in it. */
static struct conf *
load(const char *file, bool to_run)
{
	struct conf_problems problems = { 0 };
	struct conf *conf = to_run
	    ? vault_load(file, NULL, &problems)
	    : conf_load_checked(file, vault_check, &problems);

	print_problems(&problems);
	conf_problems_free(&problems);
	return conf;
}

static void
print_way(const char *obstacle, unsigned count)
{
	printf("delivery.mode auto (%u dataSource%s): push up to Druid 30, "
	       "from 31 on %s%s\n",
	    count, count == 1 ? "" : "s",
	    *obstacle == '\0' ? "pull, or append where Druid's Kafka extension "
				"is not loaded"
			      : "append; for pull: ",
	    obstacle);
}

static int
compare_texts(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

/* What delivery.mode auto means, once for those for which it is the same. */
static void
print_ways(const struct conf *conf)
{
	char **obstacles = must_calloc(conf->ds_count, sizeof obstacles[0]);
	unsigned count = 0, same;

	for (unsigned i = 0; i < conf->ds_count; i++) {
		char *one;

		if (!conf->ds[i].is_auto)
			continue;
		one = worker_no_pull(conf, &conf->ds[i]);
		obstacles[count++] = one != NULL ? one : must_strdup("");
	}
	qsort(obstacles, count, sizeof obstacles[0], compare_texts);
	for (unsigned i = 0; i < count; i += same) {
		for (same = 1; i + same < count; same++)
			if (strcmp(obstacles[i], obstacles[i + same]) != 0)
				break;
		print_way(obstacles[i], same);
	}
	while (count > 0)
		free(obstacles[--count]);
	free(obstacles);
}

static int
do_check(const struct arguments *a)
{
	struct conf *conf;

	if (a->file == NULL || a->daemonize || a->pid_file != NULL)
		return usage();
	conf = load(a->file, false);
	if (conf == NULL)
		return EX_CONFIG;
	printf("%s: good, %u dataSource%s\n", a->file, conf->ds_count,
	    conf->ds_count == 1 ? "" : "s");
	print_ways(conf);
	conf_free(&conf);
	return EX_OK;
}

static int
do_config(const struct arguments *a)
{
	struct json *shown;
	struct buf text;
	struct conf *conf;
	int code = EX_OK;

	if (a->file == NULL || a->daemonize || a->pid_file != NULL)
		return usage();
	conf = load(a->file, false);
	if (conf == NULL)
		return EX_CONFIG;
	shown = conf_show(conf);
	buf_init(&text, SHOWN_BYTES_MAX);
	json_print_pretty(shown, &text);
	must_afford(!text.failed);
	if (puts(buf_text(&text)) < 0 || fflush(stdout) != 0) {
		fprintf(
		    stderr, "tranqd: standard output: %s\n", strerror(errno));
		code = EX_IOERR;
	}
	buf_free(&text);
	json_free(&shown);
	conf_free(&conf);
	return code;
}

/* The waiting parent of --daemonize: ends when the daemon is up (0) or gone
 * (its exit code). */
static NORETURN void
wait_for_start(pid_t pid, int ready_fd)
{
	char byte;
	int status;

	if (read(ready_fd, &byte, 1) == 1)
		_exit(EX_OK);
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	_exit(EX_SOFTWARE);
}

/* Standard error stays when it is the log. */
static void
let_go_of_terminal(const struct conf *conf)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (conf->log_file[0] != '\0')
		dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

static bool
counts_from_here(const char *path)
{
	return path[0] != '\0' && path[0] != '/';
}

/* Out of the way of an unmount, unless a path of the configuration counts from
 * here. */
static void
leave_directory(const struct conf *conf)
{
	const char *const paths[] = { conf->run_dir, conf->data_dir,
		conf_control_socket(conf), conf->log_file, conf->archive_path,
		conf->https_certificate_file, conf->https_key_file,
		conf->https_key_store_path, conf->https_client_ca,
		conf->http_auth_file, conf->pull_auth_file };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (counts_from_here(paths[i]))
			return;
	for (unsigned i = 0; i < conf->ds_count; i++)
		if (counts_from_here(conf->ds[i].tls_trust_path) ||
		    counts_from_here(conf->ds[i].tls_key_path))
			return;
	if (chdir("/") < 0)
		log_warn("/");
}

/* Goes behind; returns in the daemon only. The descriptor to say READY on. */
static int
go_behind(const struct conf *conf)
{
	int ready[2];
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		fatal("pipe");
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		fatal("fork");
	if (pid > 0) {
		close(ready[1]);
		wait_for_start(pid, ready[0]);
	}
	close(ready[0]);
	setsid();
	leave_directory(conf);
	let_go_of_terminal(conf);
	return ready[1];
}

static int
do_start(const struct arguments *a)
{
	struct supervisor_options options = {
		.pid_file = a->pid_file, .ready_fd = -1, .complain_fd = -1
	};
	struct conf *conf;
	char *file;
	int code;

	if (a->file == NULL)
		return usage();
	conf = load(a->file, true);
	if (conf == NULL)
		return EX_CONFIG;
	/* a reload must find it, wherever we are */
	file = realpath(a->file, NULL);
	if (file == NULL)
		fatal("%s", a->file);
	options.file = file;
	fault_open();
	if (conf->log_file[0] != '\0')
		options.complain_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (a->daemonize)
		options.ready_fd = go_behind(conf);
	code = supervisor_run(&options, &conf);
	free(file);
	return code;
}

static int
do_version(const struct arguments *a UNUSED)
{
	puts("tranqd " TRANQD_VERSION);
	return EX_OK;
}

static int
do_help(const struct arguments *a UNUSED)
{
	fputs(usage_text, stdout);
	fputs(help_text, stdout);
	return EX_OK;
}

/* Tranquility's launcher had this one too. */
static int
do_kafka(const struct arguments *a UNUSED)
{
	fputs("tranqd: kafka: reading topics is not in this version; let "
	      "Druid read them itself (its Kafka ingestion), or send the "
	      "events over HTTP to 'tranqd server'\n",
	    stderr);
	return EX_USAGE;
}

/* Not in the help: the README's table is made from it. */
static int
do_properties(const struct arguments *a UNUSED)
{
	conf_print_properties();
	return EX_OK;
}

#ifdef TRANQ_FAULTS
/* For tests, in their program only. */
static int
do_faults(const struct arguments *a UNUSED)
{
	fault_print();
	return EX_OK;
}
#endif

/* Not in the help: conf/tranqd.json.example is made from it. */
static int
do_example(const struct arguments *a UNUSED)
{
	conf_print_example();
	return EX_OK;
}

/* Not in the help: conf/tranqd.yaml.example is made from it. */
static int
do_commented(const struct arguments *a UNUSED)
{
	conf_print_commented();
	return EX_OK;
}

static const struct {
	const char *name;
	command_fn *run;
} commands[] = {
	{ "start", do_start },
	{ "server", do_start },
	{ "kafka", do_kafka },
	{ "check", do_check },
	{ "config", do_config },
	{ "version", do_version },
	{ "help", do_help },
	{ "properties", do_properties },
	{ "example", do_example },
	{ "example-yaml", do_commented },
	{ "--version", do_version },
	{ "--help", do_help },
	{ "-h", do_help },
#ifdef TRANQ_FAULTS
	{ "faults", do_faults },
#endif
};

/* Long options may have one dash: Tranquility's launcher gets -configFile. */
static bool
parse(int argc, char **argv, struct arguments *a)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "configFile", required_argument, NULL, 'c' },
		{ "daemonize", no_argument, NULL, 'd' },
		{ "pid-file", required_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while (
	    (option = getopt_long_only(argc, argv, "c:", longs, NULL)) != -1) {
		switch (option) {
		case 'c': a->file = optarg; break;
		case 'd': a->daemonize = true; break;
		case 'p': a->pid_file = optarg; break;
		default: return false;
		}
	}
	return optind == argc;
}

int
main(int argc, char **argv)
{
	struct arguments a = { 0 };

	title_init(argc, argv);
	if (argc < 2)
		return usage();
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		/* getopt's messages begin with the program's name */
		argv[1] = argv[0];
		if (!parse(argc - 1, argv + 1, &a))
			return usage();
		return commands[i].run(&a);
	}
	return usage();
}

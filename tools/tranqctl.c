/*
 * tranqctl - asks a running tranqd, reloads it, stops it
 *
 * Process: tranqctl.
 * Fails:   exit 1 the daemon said no (or broke off), 2 wrong use, 3 nobody is
 *          there.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "ctl.h"
#include "json.h"
#include "panic.h"
#include "tranqctl_archive.h"
#include "tranqctl_dead.h"
#include "tranqctl_drain.h"
#include "trust_store.h"
#include "tranqctl_output.h"
#include "tranqctl_password.h"
#include "tranqctl_spool.h"

#define DEFAULT_SOCKET "/run/tranqd/control.sock"
/* After the daemon's last word, for the process to go. */
#define END_MS 5000

enum { EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, EXIT_NO_DAEMON };

struct arguments {
	const char *socket, *file;
	bool json, prints, replaces, all, undo;
	const char *overlord, *timeout;
	const char *command;
	char **words; /* behind the command */
	int word_count;
};

static void
print_usage(FILE *to)
{
	fputs("usage: tranqctl [-s SOCKET | -c FILE] COMMAND\n\n", to);
	for (int i = 0; i < CTL_COMMANDS; i++)
		if (i != CTL_DEADLETTERS && i != CTL_DRAIN) /* below */
			fprintf(to, "  %-8s  %s\n",
			    ctl_name((enum ctl_command)i),
			    ctl_text((enum ctl_command)i));
	fputs("  archive   list [DATASOURCE]: late events in files\n"
	      "            reindex [--replace] [--print] [--overlord URL] "
	      "DATASOURCE [INTERVAL]:\n"
	      "            brings them in by batch tasks; called again, goes "
	      "on\n"
	      "  spool     verify DATASOURCE: every page and batch of its "
	      "spool\n"
	      "            export DATASOURCE: its events, one a line, as far "
	      "as they can be read\n"
	      "            compact DATASOURCE: its file written anew, while "
	      "tranqd does not run\n"
	      "  deadletters  what cannot be delivered, with and without a "
	      "daemon:\n"
	      "            list [DATASOURCE]; show DATASOURCE KEY\n"
	      "            export | requeue | drop DATASOURCE KEY | --all\n"
	      "  drain     [DATASOURCE]: no more events are taken, what waits "
	      "goes to Druid; ends\n"
	      "            when all is there. For good, until drain --undo "
	      "[DATASOURCE]\n"
	      "  password  NAME: reads a password, prints lines for "
	      "pull.auth.file\n"
	      "  help      this text\n"
	      "  version   of this program\n\n"
	      "  -s SOCKET  the daemon's control socket "
	      "(" DEFAULT_SOCKET ")\n"
	      "  -c FILE    the daemon's configuration, to find the socket\n"
	      "  --json     status as JSON, for programs; archive and "
	      "deadletters list too\n"
	      "  --all      export, requeue, drop: all of the dataSource's\n"
	      "  --undo     drain: events are taken again\n"
	      "  --timeout PERIOD  drain: how long it waits "
	      "(" DRAIN_TIMEOUT "), then exit code 1\n"
	      "  --print    reindex: the tasks, submitting nothing\n"
	      "  --replace  reindex: what Druid has of the interval goes, the "
	      "files\n"
	      "             (done ones too, with INTERVAL) take its place\n"
	      "  --overlord URL  reindex: of the Overlord or a Router\n\n"
	      "Exit codes: 0 done, 1 the daemon said no, 2 wrong use, "
	      "3 no daemon there.\n",
	    to);
}

static bool
parse(int argc, char **argv, struct arguments *a)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "all", no_argument, NULL, 'a' },
		{ "print", no_argument, NULL, 'p' },
		{ "replace", no_argument, NULL, 'r' },
		{ "overlord", required_argument, NULL, 'o' },
		{ "undo", no_argument, NULL, 'u' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while (
	    (option = getopt_long(argc, argv, "s:c:jhV", longs, NULL)) != -1) {
		switch (option) {
		case 's': a->socket = optarg; break;
		case 'c': a->file = optarg; break;
		case 'j': a->json = true; break;
		case 'a': a->all = true; break;
		case 'p': a->prints = true; break;
		case 'r': a->replaces = true; break;
		case 'o': a->overlord = optarg; break;
		case 'u': a->undo = true; break;
		case 't': a->timeout = optarg; break;
		case 'h': a->command = "help"; return true;
		case 'V': a->command = "version"; return true;
		default: return false;
		}
	}
	if (optind >= argc || (a->socket != NULL && a->file != NULL))
		return false;
	a->command = argv[optind];
	a->words = argv + optind + 1;
	a->word_count = argc - optind - 1;
	if (a->word_count > 0 && strcmp(a->command, "archive") != 0 &&
	    strcmp(a->command, "spool") != 0 &&
	    strcmp(a->command, "password") != 0 &&
	    strcmp(a->command, "drain") != 0 &&
	    strcmp(a->command, "deadletters") != 0)
		return false;
	return true;
}

/* The socket's path, to be freed; NULL when the configuration cannot be read
 * (said so). */
static char *
find_socket(const struct arguments *a)
{
	struct conf_problems problems = { 0 };
	char *path;

	if (a->file == NULL)
		return must_strdup(
		    a->socket != NULL ? a->socket : DEFAULT_SOCKET);
	path = conf_load_socket(a->file, &problems);
	for (unsigned i = 0; i < problems.count; i++)
		fprintf(stderr, "tranqctl: %s\n", problems.lines[i]);
	if (path == NULL)
		fprintf(stderr,
		    "tranqctl: %s does not say where the control socket is; "
		    "give it with -s\n",
		    a->file);
	conf_problems_free(&problems);
	return path;
}

static void
print_status(struct ctl_answer *answer, bool as_json)
{
	struct json_error error;
	struct json *document =
	    json_parse(answer->body.bytes, answer->body.used, &error);
	struct buf text;

	buf_init(&text, CTL_BODY_MAX);
	if (document == NULL)
		buf_add(&text, answer->body.bytes, answer->body.used);
	else if (as_json)
		json_print_pretty(document, &text);
	else
		output_status(document, &text);
	if (as_json)
		buf_add_text(&text, "\n");
	fwrite(text.bytes, 1, text.used, stdout);
	buf_free(&text);
	json_free(&document);
}

static int
done(enum ctl_command command, const struct arguments *a,
    struct ctl_answer *answer)
{
	if (command == CTL_STATUS) {
		print_status(answer, a->json);
		return EXIT_DONE;
	}
	if (answer->body.used > 0)
		fwrite(answer->body.bytes, 1, answer->body.used, stderr);
	puts(answer->text);
	/* its files and its locks are free when the process has gone */
	if (command == CTL_STOP && answer->pid > 0 &&
	    !ctl_wait_for_end(answer->pid, END_MS)) {
		fprintf(stderr, "tranqctl: pid %d is still there\n",
		    (int)answer->pid);
		return EXIT_REFUSED;
	}
	return EXIT_DONE;
}

static int
ask(enum ctl_command command, const struct arguments *a, const char *path)
{
	struct ctl_answer answer;
	int code = EXIT_REFUSED;

	switch (ctl_ask(path, ctl_name(command), &answer)) {
	case CTL_DONE: code = done(command, a, &answer); break;
	case CTL_REFUSED:
	case CTL_BROKEN:
		if (answer.body.used > 0)
			fwrite(answer.body.bytes, 1, answer.body.used, stderr);
		fprintf(stderr, "tranqctl: %s: %s\n", ctl_name(command),
		    answer.text);
		break;
	case CTL_NO_DAEMON:
		fprintf(stderr,
		    "tranqctl: no tranqd at %s: %s; start it, or say where "
		    "its socket is with -s SOCKET or -c FILE\n",
		    path, answer.text);
		code = EXIT_NO_DAEMON;
		break;
	}
	ctl_answer_free(&answer);
	return code;
}

/* The daemon's status, new; NULL when it does not run or has none. */
static struct json *
ask_status(const char *path)
{
	struct ctl_answer answer;
	struct json *status = NULL;

	if (ctl_ask(path, ctl_name(CTL_STATUS), &answer) == CTL_DONE)
		status = json_parse(answer.body.bytes, answer.body.used, NULL);
	ctl_answer_free(&answer);
	return status;
}

/* The configuration, for what works on files; NULL: said why. */
static struct conf *
load_conf(const struct arguments *a)
{
	struct conf_problems problems = { 0 };
	struct conf *conf = NULL;

	if (a->file == NULL)
		fprintf(stderr,
		    "tranqctl: %s: give the configuration with -c FILE\n",
		    a->command);
	else
		conf = conf_load_checked(a->file, trust_store_load, &problems);
	for (unsigned i = 0; i < problems.count; i++)
		fprintf(stderr, "tranqctl: %s\n", problems.lines[i]);
	conf_problems_free(&problems);
	return conf;
}

static int
do_password(const struct arguments *a)
{
	switch (password_command(a->words, a->word_count)) {
	case PASSWORD_GOOD: return EXIT_DONE;
	case PASSWORD_BAD: return EXIT_REFUSED;
	case PASSWORD_WRONG_USE: break;
	}
	return EXIT_USAGE;
}

static int
do_spool(const struct arguments *a)
{
	struct conf *conf = load_conf(a);
	struct spool_arguments spool = {
		.conf = conf, .words = a->words, .count = a->word_count
	};
	int code = EXIT_USAGE;

	if (conf == NULL)
		return EXIT_USAGE;
	switch (spool_command(&spool)) {
	case SPOOL_GOOD: code = EXIT_DONE; break;
	case SPOOL_BAD: code = EXIT_REFUSED; break;
	case SPOOL_WRONG_USE: break;
	}
	conf_free(&conf);
	return code;
}

static int
do_dead(const struct arguments *a)
{
	struct conf *conf = load_conf(a);
	struct dead_arguments dead = { .conf = conf,
		.words = a->words,
		.count = a->word_count,
		.as_json = a->json,
		.all = a->all };
	int code = EXIT_USAGE;

	if (conf == NULL)
		return EXIT_USAGE;
	switch (dead_command(&dead)) {
	case DEAD_GOOD: code = EXIT_DONE; break;
	case DEAD_FAILED: code = EXIT_REFUSED; break;
	case DEAD_WRONG_USE: break;
	}
	conf_free(&conf);
	return code;
}

static int
do_archive(const struct arguments *a)
{
	struct archive_arguments archive = { .words = a->words,
		.count = a->word_count,
		.as_json = a->json,
		.prints = a->prints,
		.replaces = a->replaces,
		.overlord = a->overlord };
	struct conf *conf = load_conf(a);
	struct json *status;
	int code = EXIT_USAGE;

	if (conf == NULL)
		return EXIT_USAGE;
	archive.conf = conf;
	archive.status = status = ask_status(conf_control_socket(conf));
	switch (archive_command(&archive)) {
	case ARCHIVE_GOOD: code = EXIT_DONE; break;
	case ARCHIVE_FAILED: code = EXIT_REFUSED; break;
	case ARCHIVE_WRONG_USE: break;
	}
	json_free(&status);
	conf_free(&conf);
	return code;
}

static int
do_drain(const struct arguments *a)
{
	struct drain_arguments drain = {
		.ds = a->words[0], .undo = a->undo, .timeout = a->timeout
	};
	char *path;
	int code = EXIT_USAGE;

	if (a->word_count > 1) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	path = find_socket(a);
	if (path == NULL)
		return EXIT_USAGE;
	drain.socket = path;
	switch (drain_command(&drain)) {
	case DRAIN_GOOD: code = EXIT_DONE; break;
	case DRAIN_LEFT: code = EXIT_REFUSED; break;
	case DRAIN_NO_DAEMON: code = EXIT_NO_DAEMON; break;
	case DRAIN_WRONG_USE: break;
	}
	free(path);
	return code;
}

int
main(int argc, char **argv)
{
	struct arguments a = { 0 };
	enum ctl_command command;
	const char *rest;
	char *path;
	int code;

	if (!parse(argc, argv, &a)) {
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(a.command, "help") == 0) {
		print_usage(stdout);
		return EXIT_DONE;
	}
	if (strcmp(a.command, "version") == 0) {
		puts("tranqctl " TRANQD_VERSION);
		return EXIT_DONE;
	}
	if (strcmp(a.command, "password") == 0)
		return do_password(&a);
	if (strcmp(a.command, "archive") == 0)
		return do_archive(&a);
	if (strcmp(a.command, "spool") == 0)
		return do_spool(&a);
	if (strcmp(a.command, "deadletters") == 0)
		return do_dead(&a);
	if (strcmp(a.command, "drain") == 0)
		return do_drain(&a);
	if (!ctl_parse(a.command, &command, &rest) || rest[0] != '\0') {
		fprintf(stderr, "tranqctl: no command '%s'\n", a.command);
		print_usage(stderr);
		return EXIT_USAGE;
	}
	path = find_socket(&a);
	if (path == NULL)
		return EXIT_USAGE;
	code = ask(command, &a, path);
	free(path);
	return code;
}

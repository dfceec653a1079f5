/*
 * tranqctl_password - tranqctl password NAME: lines for pull.auth.file
 *
 * Process: tranqctl.
 */
#include "tranqctl_password.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "buf.h"
#include "panic.h"
#include "scram.h"

#define PASSWORD_MAX 1024
#define SALT_BYTES 16
/* What a client computes once a connection, and a thief for each guess. */
#define ITERATIONS 16384

static void
complain(const char *what)
{
	fprintf(stderr, "tranqctl: password: %s\n", what);
}

/* One line without its end; false: there is none, or it is too long. */
static bool
read_line(char to[static PASSWORD_MAX + 2])
{
	size_t bytes;

	if (fgets(to, PASSWORD_MAX + 2, stdin) == NULL)
		return false;
	bytes = strlen(to);
	if (bytes > 0 && to[bytes - 1] == '\n')
		to[--bytes] = '\0';
	return bytes <= PASSWORD_MAX;
}

static struct termios shown;

/* Whoever breaks it off sees again what he types. */
static void
broken_off(int sig)
{
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	(void)raise(sig);
}

static void
hide_what_is_typed(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const struct sigaction once = { .sa_handler = broken_off,
		.sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
	struct termios hidden = shown;

	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)sigaction(signals[i], &once, NULL);
	hidden.c_lflag &= (tcflag_t)~ECHO;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
}

/* On a terminal nothing of it is seen, and it is typed twice. NULL, or why
 * there is no password. */
static const char *
ask(char to[static PASSWORD_MAX + 2])
{
	static const char nothing[] = "no password of 1 to 1024 bytes came";
	char again[PASSWORD_MAX + 2];
	const char *why = NULL;

	if (tcgetattr(STDIN_FILENO, &shown) < 0)
		return read_line(to) ? NULL : nothing;
	hide_what_is_typed();
	fputs("Password: ", stderr);
	if (!read_line(to))
		why = nothing;
	fputs("\nAgain: ", stderr);
	if (why == NULL && (!read_line(again) || strcmp(to, again) != 0))
		why = "the two are not the same";
	fputs("\n", stderr);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	explicit_bzero(again, sizeof again);
	return why;
}

static void
print(const char *name, const char *password)
{
	struct scram_secret s = { .iterations = ITERATIONS,
		.salt_bytes = SALT_BYTES };
	struct buf line;

	buf_init(&line, KiB);
	for (unsigned hash = 0; hash < SCRAM_HASHES; hash++) {
		s.hash = hash;
		scram_random(s.salt, SALT_BYTES);
		scram_make(&s, password, strlen(password));
		buf_reset(&line);
		scram_print(&s, &line);
		printf("%s:%s\n", name, buf_must_text(&line));
	}
	buf_free(&line);
}

enum password_outcome
password_command(char *const *words, int count)
{
	char password[PASSWORD_MAX + 2] = "";
	enum password_outcome outcome = PASSWORD_BAD;
	const char *why;

	if (count != 1 || words[0][0] == '\0' || words[0][0] == '#' ||
	    strpbrk(words[0], ":\n") != NULL) {
		complain("give one NAME, without a colon; the password is "
			 "read from standard input");
		return PASSWORD_WRONG_USE;
	}
	why = ask(password);
	if (why != NULL) {
		complain(why);
	} else if (password[0] == '\0') {
		complain("an empty password is none");
	} else {
		print(words[0], password);
		outcome = fflush(stdout) == 0 ? PASSWORD_GOOD : PASSWORD_BAD;
	}
	explicit_bzero(password, sizeof password);
	return outcome;
}

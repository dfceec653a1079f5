/*
 * spawn - forks one child and makes it a process of its own
 *
 * Process: supervisor up to the fork, the child behind it.
 * Before:  receiver_main, worker_main, feed_main.
 *
 * The child keeps the descriptors of its heritage and nothing else: above all
 * not the supervisor's ends of its siblings' control sockets, whose end of
 * file is how a sibling learns that the supervisor is gone.
 */
#include "spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "panic.h"
#include "environment.h"
#include "privileges.h"
#include "title.h"
#include "vault.h"

void
spawn_keep(struct spawn_plan *p, int fd)
{
	if (fd < 0)
		return;
	must(p->keep_count < SPAWN_KEEP_MAX);
	p->keep[p->keep_count++] = fd;
}

static int
compare_fds(const void *a, const void *b)
{
	int left = *(const int *)a, right = *(const int *)b;

	return (left > right) - (left < right);
}

static void
close_all_but(int *keep, unsigned count)
{
	unsigned next = STDERR_FILENO + 1;

	qsort(keep, count, sizeof keep[0], compare_fds);
	for (unsigned i = 0; i < count; i++) {
		unsigned fd = (unsigned)keep[i];

		if (fd > next)
			must(close_range(next, fd - 1, 0) == 0);
		next = MAX_OF(next, fd + 1);
	}
	must(close_range(next, ~0u, 0) == 0);
}

/* Orders come over the control socket only (heritage.h); signals that are for
 * the supervisor and reach the whole group must not end children that still
 * have something to drain. */
static void
reset_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGTERM, SIGINT, SIGHUP,
		SIGQUIT, SIGUSR1, SIGXFSZ };
	sigset_t none;

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	must(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

/* Our copy of the configuration is nobody else's, so it may be written to. */
static void
open_vault(const struct ds_conf *own)
{
	if (own != NULL && !vault_open((struct ds_conf *)(uintptr_t)own))
		fatal("secrets of dataSource %s", own->name);
}

static NORETURN void
live(struct child *c, struct spawn_plan *p)
{
	struct heritage *h = &p->heritage;

	close_all_but(p->keep, p->keep_count);
	reset_signals();
	FAULT_POINT(BORN);
	log_process(p->process, p->ds);
	environment_reduce();
	title_set("tranqd: %s", p->title);
	prctl(PR_SET_NAME, p->name);
	h->life = life_attach(c->life_fd);
	if (h->life == NULL)
		fatal("life page");
	close(c->life_fd);
	panic_keep(h->life->panic, sizeof h->life->panic);
	open_vault(h->ds);
	privileges_drop(p->identity);
	privileges_hide(h->conf->core_dumps);
	exit(p->door(h));
}

pid_t
spawn_fork(struct child *c, struct spawn_plan *p)
{
	int ends[2], error;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		0, ends) < 0)
		return -1;
	p->heritage.control_fd = ends[1];
	p->heritage.incarnation = c->incarnation;
	spawn_keep(p, ends[1]);
	spawn_keep(p, c->life_fd);
	spawn_keep(p, log_fd());
	fflush(NULL);
	FAULT_POINT(FORK);
	pid = fork();
	if (pid == 0)
		live(c, p);
	error = errno;
	FAULT_POINT(FORKED);
	close(ends[1]);
	if (pid < 0)
		close(ends[0]);
	else
		c->control_fd = ends[0];
	errno = error;
	return pid;
}

/*
 * mutex_user - takes our curator_mutex again and again, see MutexUser.java
 *
 *   mutex_user CONNECT PATH ROUNDS HOLD_MS FILE
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "curator_mutex.h"
#include "loop.h"

#define WAIT_MS 60000

struct user {
	struct loop *loop;
	struct zk *zk;
	struct curator_mutex *mutex;
	struct loop_timer timer;
	int rounds, left, hold_ms, violations;
	const char *file;
	int turns_fd;
};

static void acquired(void *, enum result);

static void
leave(struct loop_timer *t)
{
	struct user *u = t->context;

	unlink(u->file);
	curator_mutex_release(u->mutex);
	if (--u->left == 0)
		loop_stop(u->loop);
	else
		curator_mutex_acquire(u->mutex, WAIT_MS, acquired);
}

static void
acquired(void *context, enum result result)
{
	struct user *u = context;
	int fd;

	if (result != RESULT_OK) {
		printf("c: %s\n", result_name(result));
		exit(3);
	}
	fd = open(u->file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		u->violations++;
	else
		close(fd);
	if (write(u->turns_fd, "c", 1) != 1)
		u->violations++;
	loop_timer_start(u->loop, &u->timer, u->hold_ms, leave);
}

static void
lost(void *context)
{
	(void)context;
	printf("c: lost\n");
	exit(4);
}

int
main(int argc, char **argv)
{
	struct user u = { 0 };
	char turns[4096];

	if (argc != 6) {
		fprintf(stderr,
		    "usage: mutex_user CONNECT PATH ROUNDS HOLD_MS FILE\n");
		return 2;
	}
	u.rounds = u.left = atoi(argv[3]);
	u.hold_ms = atoi(argv[4]);
	u.file = argv[5];
	snprintf(turns, sizeof turns, "%s.turns", u.file);
	u.turns_fd = open(turns, O_CREAT | O_APPEND | O_WRONLY, 0600);
	u.timer.context = &u;
	u.loop = loop_new();
	u.zk = zk_open(u.loop, argv[1], 20000);
	u.mutex = curator_mutex_new(u.zk, argv[2], lost, &u);
	curator_mutex_acquire(u.mutex, WAIT_MS, acquired);
	loop_run(u.loop);
	curator_mutex_free(&u.mutex);
	zk_close(&u.zk);
	loop_free(&u.loop);
	printf("c: %d rounds, %d violations\n", u.rounds, u.violations);
	return u.violations == 0 ? 0 : 1;
}

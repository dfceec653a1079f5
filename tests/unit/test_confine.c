/*
 * test_confine - filters are made whole or not at all; and who cannot be
 * confined: for want of memory or descriptors it ends, where a container
 * refuses it goes on with the rest
 *
 * Links: common. The source is included, since nobody else may look into a
 * filter.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include "confine.c" /* NOLINT(bugprone-suspicious-include) */

#define ENOUGH (4 * MiB)
#define A_STEP (16 * KiB)
#define TEMPFAIL 75

static struct life *page;

static void
need_seccomp(void)
{
	if (confine_obstacle() != NULL || !has_filters())
		skip();
}

static size_t
address_space(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	size_t pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu", &pages), 1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void
limit(int what, size_t to)
{
	struct rlimit l;

	must(getrlimit((__rlimit_resource_t)what, &l) == 0);
	l.rlim_cur = to;
	must(setrlimit((__rlimit_resource_t)what, &l) == 0);
}

static bool
same(const struct confine *a, const struct confine *b)
{
	for (size_t i = 0; i < ARRAY_LEN(a->filters); i++)
		if (a->filters[i].len != b->filters[i].len ||
		    memcmp(a->filters[i].filter, b->filters[i].filter,
			a->filters[i].len * sizeof a->filters[i].filter[0]) !=
			0)
			return false;
	return true;
}

enum outcome { WHOLE, NONE, PART };

/* What confine_new makes of so much room. */
static int
make_within(const struct confine *whole, size_t bytes)
{
	pid_t pid = fork();
	struct confine *c;
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(20);
		limit(RLIMIT_AS, address_space() + bytes);
		c = confine_new();
		_exit(c == NULL ? NONE : same(c, whole) ? WHOLE : PART);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
test_little_memory(void **state)
{
	struct confine *whole;
	size_t refused = 0;

	(void)state;
	need_seccomp();
	whole = confine_new();
	assert_non_null(whole);
	for (size_t bytes = 0; bytes < ENOUGH; bytes += A_STEP) {
		int outcome = make_within(whole, bytes);

		if (outcome == NONE || outcome == TEMPFAIL)
			refused++;
		else
			assert_int_equal(outcome, WHOLE);
	}
	assert_true(refused > 0);
	assert_int_equal(make_within(whole, ENOUGH), WHOLE);
	confine_free(&whole);
}

/* As a container does: the call is answered with the error. */
static void
refuse(int call, int error)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_LEN(rules), rules };

	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0);
}

struct obstacle {
	int call, error; /* 0: none */
	int descriptors; /* so many more; -1: as many as it likes */
};

/* The exit status of a worker that is confined and then sees to it that the
 * page says so. */
static int
confine_child(const struct obstacle *o, const char *confined)
{
	struct confine *c = confine_new();
	struct confine_plan plan = { .kind = CONFINE_WORKER, .life = page };
	pid_t pid;
	int status, next;

	assert_non_null(c);
	page->panic[0] = page->confined[0] = '\0';
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		panic_keep(page->panic, sizeof page->panic);
		must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
		if (o->call != 0)
			refuse(o->call, o->error);
		next = dup(STDERR_FILENO);
		close(next);
		if (o->descriptors >= 0)
			limit(RLIMIT_NOFILE, (size_t)(next + o->descriptors));
		confine_self(c, &plan);
		_exit(strstr(page->confined, confined) != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	confine_free(&c);
	return WEXITSTATUS(status);
}

static void
test_refused(void **state)
{
	static const int errors[] = { EPERM, EACCES, ENOSYS, EINVAL, EOPNOTSUPP,
		E2BIG };
	bool landlock = landlock_abi() > 0;

	(void)state;
	need_seccomp();
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		struct obstacle o = { SYS_seccomp, errors[i], -1 };

		assert_int_equal(
		    confine_child(&o, landlock ? "landlock" : ""), 0);
		assert_null(strstr(page->confined, "seccomp"));
		o.call = SYS_landlock_create_ruleset;
		assert_int_equal(confine_child(&o, "seccomp"), 0);
		assert_string_equal(page->confined, "seccomp");
		o.call = SYS_landlock_restrict_self;
		assert_int_equal(confine_child(&o, "seccomp"), 0);
		assert_string_equal(page->confined, "seccomp");
		assert_string_equal(page->panic, "");
	}
}

static void
check_ends(struct obstacle o, const char *without)
{
	assert_int_equal(confine_child(&o, ""), TEMPFAIL);
	assert_string_equal(page->confined, "");
	assert_ptr_equal(strstr(page->panic, without), page->panic);
	assert_non_null(strstr(page->panic, "cannot be had"));
}

static void
test_lacks(void **state)
{
	(void)state;
	need_seccomp();
	check_ends((struct obstacle){ SYS_seccomp, ENOMEM, -1 }, "seccomp");
	if (landlock_abi() == 0)
		return;
	check_ends((struct obstacle){ SYS_landlock_restrict_self, ENOMEM, -1 },
	    "Landlock");
	check_ends(
	    (struct obstacle){ SYS_landlock_add_rule, ENOMEM, -1 }, "Landlock");
	/* for the rules; for a folder that they are about */
	check_ends((struct obstacle){ .descriptors = 0 }, "Landlock");
	check_ends((struct obstacle){ .descriptors = 1 }, "Landlock");
}

static int
make_page(void **state)
{
	int fd = life_create();

	(void)state;
	page = fd >= 0 ? life_attach(fd) : NULL;
	close(fd);
	return page == NULL;
}

static int
drop_page(void **state)
{
	(void)state;
	life_detach(&page);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_little_memory),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lacks),
	};

	return cmocka_run_group_tests(tests, make_page, drop_page);
}

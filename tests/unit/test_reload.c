/*
 * test_reload - reloads by a whole supervisor with stub children: in order, all
 * or nothing, and nothing left over
 *
 * Links: supervisor but main.c, receiver_check, common.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "stub_children.h"
#include "supervisor_place.h"

#define REPEATS 200

static void
test_refusal_waits_for_reload(void **state UNUSED)
{
	struct daemon d = { .port = 0 };

	make_place(&d);
	write_conf(&d, "a:PT10M b:PT10M", "");
	flag(&d, "refuse", "a", true);
	launch(&d);
	wait_for_state(&d, "a", "failed");
	assert_int_equal(look(&d, "a").deaths, 1);
	flag(&d, "refuse", "a", false);
	assert_reload(&d, CTL_DONE,
	    "reloaded: 0 added, 0 changed, 0 removed, 2 unchanged");
	wait_for_state(&d, "a", "ready");
	stop(&d);
}

static void
test_reload_in_order(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct seen same;

	start(&d, "a:PT10M b:PT10M c:PT10M d:PT10M");
	same = look(&d, "d");
	forget_story(&d);
	write_conf(&d, "new:PT10M b:PT5M c:PT10M d:PT10M", "");
	assert_reload(&d, CTL_DONE,
	    "reloaded: 1 added (new), 1 changed (b), 1 removed (a), "
	    "2 unchanged");
	/* servable before receivers know; removed after they have forgotten */
	assert_story(&d,
	    (const char *const[]){ "new ready", "channel new", "taken 2 (4)",
		"taken 2 (4)", "a stop", NULL });
	assert_story(&d,
	    (const char *const[]){ "b stop", "b start 2 window 300000",
		"b ready", "taken 2", NULL });
	assert_int_equal(look(&d, "d").pid, same.pid);
	assert_int_equal(look(&d, "d").restarts, 0);
	assert_string_equal(look(&d, "a").state, "");
	assert_true(is_there(&d, "data/spool/a"));
	assert_int_equal(children_of(d.pid), 6);
	/* a receiver that is born now has it from its birth */
	kill((pid_t)look(&d, "receiver0").pid, SIGKILL);
	wait_for_state(&d, "receiver0", "ready");
	stop(&d);
}

static void
test_removed_spool_is_mentioned(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct ctl_answer a;

	start(&d, "a:PT10M b:PT10M");
	write_conf(&d, "b:PT10M", "");
	assert_int_equal(ask(&d, "reload", &a), CTL_DONE);
	assert_non_null(strstr(buf_text(&a.body),
	    "warning: a is removed, but 2 events still wait in"));
	ctl_answer_free(&a);
	stop(&d);
}

static void
test_bad_configuration_changes_nothing(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct ctl_answer a;
	struct seen before;
	FILE *f;

	start(&d, "a:PT10M");
	before = look(&d, "a");
	write_conf(&d, "a:PT10M b:never c:PT99Z", ",\"http.wrong\":1");
	assert_int_equal(ask(&d, "reload", &a), CTL_REFUSED);
	assert_string_equal(
	    a.text, "the configuration is not good; nothing was changed");
	/* every problem at once */
	assert_non_null(
	    strstr(buf_text(&a.body), "dataSources[1].spec.tuningConfig"));
	assert_non_null(
	    strstr(buf_text(&a.body), "dataSources[2].spec.tuningConfig"));
	assert_non_null(strstr(buf_text(&a.body), "http.wrong"));
	ctl_answer_free(&a);
	f = fopen(d.file, "w");
	fputs("{ not JSON", f);
	fclose(f);
	assert_reload(&d, CTL_REFUSED,
	    "the configuration is not good; nothing was changed");
	unlink(d.file);
	assert_reload(&d, CTL_REFUSED,
	    "the configuration is not good; nothing was changed");
	assert_int_equal(look(&d, "a").pid, before.pid);
	assert_string_equal(look(&d, "b").state, "");
	stop(&d);
}

static void
test_refused_reload_is_undone(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	char *story;

	start(&d, "a:PT10M b:PT10M");
	forget_story(&d);
	flag(&d, "refuse", "c", true);
	write_conf(&d, "a:PT5M c:PT10M", "");
	assert_reload(&d, CTL_REFUSED,
	    "the worker of c refuses its new configuration (its log lines say "
	    "why); nothing was changed");
	wait_for_state(&d, "a", "ready");
	assert_string_equal(look(&d, "b").state, "ready");
	assert_string_equal(look(&d, "c").state, "");
	/* the last one has the old window again */
	story = read_file(d.story);
	assert_non_null(strstr(story, "window 600000"));
	assert_null(strstr(story, "taken"));
	free(story);
	flag(&d, "refuse", "c", false);
	assert_reload(&d, CTL_DONE,
	    "reloaded: 1 added (c), 1 changed (a), 1 removed (b), 0 "
	    "unchanged");
	stop(&d);
}

static void
test_restart_property_keeps_its_value(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct ctl_answer a;

	start(&d, "a:PT10M");
	forget_story(&d);
	write_conf(&d, "a:PT5M b:PT10M",
	    ",\"http.port.enable\":false,\"log.level\":\"debug\"");
	assert_int_equal(ask(&d, "reload", &a), CTL_DONE);
	assert_string_equal(a.text,
	    "reloaded: 1 added (b), 1 changed (a), 0 removed, 0 unchanged");
	assert_non_null(strstr(buf_text(&a.body),
	    "warning: http.port.enable: keeps its old value until tranqd is "
	    "restarted"));
	ctl_answer_free(&a);
	/* log.level is applied live, in all children: debug is 3 */
	await_story(&d, (const char *const[]){ "log 3", "log 3", NULL });
	/* a new receiver still has the listening socket */
	kill((pid_t)look(&d, "receiver0").pid, SIGKILL);
	wait_for_state(&d, "receiver0", "ready");
	stop(&d);
}

static void
test_deaf_receiver_is_replaced(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	struct seen before;

	make_place(&d);
	write_conf(&d, "a:PT10M", ",\"http.blockTimeout\":\"PT0.001S\"");
	launch(&d);
	wait_for_start(&d);
	before = look(&d, "receiver1");
	flag(&d, "deaf", "receiver1", true);
	write_conf(
	    &d, "a:PT10M b:PT10M", ",\"http.blockTimeout\":\"PT0.001S\"");
	assert_reload(&d, CTL_DONE,
	    "reloaded: 1 added (b), 0 changed, 0 removed, 1 unchanged");
	assert_true(look(&d, "receiver1").pid != before.pid);
	assert_int_equal(look(&d, "receiver0").restarts, 0);
	stop(&d);
}

static void
test_reloads_queue(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	pid_t asker;
	int code;

	start(&d, "a:PT10M");
	flag(&d, "slow", "b", true);
	write_conf(&d, "a:PT10M b:PT10M", "");
	asker = fork();
	if (asker == 0) {
		struct ctl_answer a;

		_exit(ask(&d, "reload", &a) == CTL_DONE &&
			    strstr(a.text, "1 added (b)") != NULL
			? 0
			: 1);
	}
	wait_for_state(&d, "b", "starting");
	write_conf(&d, "a:PT10M b:PT10M c:PT10M", "");
	kill(d.pid, SIGHUP);
	flag(&d, "slow", "b", false);
	assert_int_equal(waitpid(asker, &code, 0), asker);
	assert_int_equal(code, 0);
	wait_for_state(&d, "c", "ready");
	stop(&d);
}

static void
test_stop_during_reload(void **state UNUSED)
{
	struct daemon d = { .port = 0 };
	pid_t asker;
	int code;

	start(&d, "a:PT10M c:PT10M");
	flag(&d, "slow", "b", true);
	write_conf(&d, "a:PT5M b:PT10M", "");
	asker = fork();
	if (asker == 0) {
		struct ctl_answer a;

		_exit(ask(&d, "reload", &a) == CTL_REFUSED &&
			    strcmp(a.text, "given up: tranqd is stopping") == 0
			? 0
			: 1);
	}
	wait_for_state(&d, "b", "starting");
	stop(&d);
	assert_int_equal(waitpid(asker, &code, 0), asker);
	assert_int_equal(code, 0);
}

/* 200 reloads, each of which adds, changes and removes one, with a kill of
 * the changed worker before it and of a receiver now and then. */
static void
test_nothing_is_left_over(void **state UNUSED)
{
	static const char *const turns[] = { "a:PT5M b:PT10M",
		"a:PT10M c:PT10M" };
	static const char *const answers[] = {
		"reloaded: 1 added (b), 1 changed (a), 1 removed (c), 0 "
		"unchanged",
		"reloaded: 1 added (c), 1 changed (a), 1 removed (b), 0 "
		"unchanged"
	};
	struct daemon d = { .port = 0 };
	unsigned fds, maps;
	char path[64], *text;

	start(&d, "a:PT10M c:PT10M");
	snprintf(path, sizeof path, "/proc/%d/maps", (int)d.pid);
	fds = fds_of(d.pid);
	text = read_file(path);
	maps = count_in(text, "memfd:tranqd");
	free(text);
	for (int i = 0; i < REPEATS; i++) {
		pid_t pid = (pid_t)look(&d, "a").pid;

		if (pid > 0)
			kill(pid, SIGKILL);
		if (i % 50 == 0)
			kill((pid_t)look(&d, "receiver1").pid, SIGKILL);
		write_conf(&d, turns[i % 2], "");
		assert_reload(&d, CTL_DONE, answers[i % 2]);
	}
	assert_true(look(&d, "a").restarts >= REPEATS);
	assert_int_equal(look(&d, "receiver0").restarts, 0);
	wait_for_state(&d, "receiver1", "ready");
	assert_int_equal(look(&d, "receiver1").deaths, REPEATS / 50);
	assert_int_equal(fds_of(d.pid), fds);
	text = read_file(path);
	assert_int_equal(count_in(text, "memfd:tranqd"), maps);
	free(text);
	assert_int_equal(children_of(d.pid), 4);
	assert_story(&d, (const char *const[]){ NULL });
	stop(&d);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusal_waits_for_reload),
		cmocka_unit_test(test_reload_in_order),
		cmocka_unit_test(test_removed_spool_is_mentioned),
		cmocka_unit_test(test_bad_configuration_changes_nothing),
		cmocka_unit_test(test_refused_reload_is_undone),
		cmocka_unit_test(test_restart_property_keeps_its_value),
		cmocka_unit_test(test_deaf_receiver_is_replaced),
		cmocka_unit_test(test_reloads_queue),
		cmocka_unit_test(test_stop_during_reload),
		cmocka_unit_test(test_nothing_is_left_over),
	};

	title_init(argc, argv);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

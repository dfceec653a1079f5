/*
 * test_choice - the way of delivery.mode auto: by Druid, configuration, log;
 * what follows from it, and the note of it
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
#include <sys/stat.h>
#include <unistd.h>

#include "choice.h"
#include "delivery_note.h"
#include "one_ds.h"

#define NO_PULL "pull.listen is not set; set it"

struct choice_row {
	const char *version; /* NULL: not known */
	bool has_kafka;
	bool can_pull;
	enum delivery_mode now;
	uint64_t log_events;
	enum delivery_mode wanted;
	const char *why, *better; /* is in there; "": nothing is */
};

static const struct choice_row rows[] = {
	{ "30.0.1", true, true, DELIVERY_PUSH, 0, DELIVERY_PUSH,
	    "Druid 30.0.1 has realtime tasks", "" },
	{ "0.23.0", false, false, DELIVERY_PUSH, 0, DELIVERY_PUSH,
	    "Druid 0.23.0", "" },
	{ "31.0.0", true, true, DELIVERY_PUSH, 0, DELIVERY_PULL, "Druid 31.0.0",
	    "" },
	{ "38.0.0-SNAPSHOT", true, true, DELIVERY_APPEND, 0, DELIVERY_PULL,
	    "Druid 38.0.0-SNAPSHOT", "" },
	{ "31.0.0", true, false, DELIVERY_PUSH, 0, DELIVERY_APPEND,
	    "pull cannot be", "for pull: " NO_PULL },
	{ "31.0.0", false, true, DELIVERY_PUSH, 0, DELIVERY_APPEND,
	    "is not loaded", "for pull: load druid-kafka-indexing-service" },
	{ "31.0.0", false, false, DELIVERY_APPEND, 0, DELIVERY_APPEND,
	    "is not loaded", "loadList); " NO_PULL },
	/* not known: as it is */
	{ NULL, false, true, DELIVERY_PUSH, 0, DELIVERY_PUSH,
	    "has not said its version: it broke", "push goes on" },
	{ NULL, false, false, DELIVERY_APPEND, 0, DELIVERY_APPEND, "it broke",
	    "append goes on" },
	{ NULL, false, false, DELIVERY_PULL, 7, DELIVERY_PULL, "it broke",
	    "pull goes on" },
	{ "2024.05.0-iap", true, true, DELIVERY_PUSH, 0, DELIVERY_PUSH,
	    "'2024.05.0-iap'", "set delivery.mode" },
	{ "2024.05.0-iap", true, true, DELIVERY_PULL, 0, DELIVERY_PULL,
	    "'2024.05.0-iap'", "set delivery.mode" },
	/* what pull has taken is brought to Druid by pull alone */
	{ "30.0.1", true, true, DELIVERY_PULL, 5, DELIVERY_PULL,
	    "the log has 5 events", "set delivery.mode to push" },
	{ "30.0.1", true, true, DELIVERY_PULL, 0, DELIVERY_PUSH, "30.0.1", "" },
	{ "31.0.0", true, false, DELIVERY_PULL, 5, DELIVERY_PULL,
	    "without them append", NO_PULL },
	{ "31.0.0", false, true, DELIVERY_PULL, 0, DELIVERY_APPEND, "31.0.0",
	    "load druid-kafka-indexing-service" },
	/* old ones of another time do not matter */
	{ "30.0.1", true, true, DELIVERY_PUSH, 5, DELIVERY_PUSH, "30.0.1", "" },
	{ "31.0.0", false, true, DELIVERY_APPEND, 5, DELIVERY_APPEND, "31.0.0",
	    "load druid-kafka-indexing-service" },
};

static bool
says(const char *text, const char *wanted)
{
	return *wanted == '\0' ? *text == '\0' : strstr(text, wanted) != NULL;
}

static void
test_choices(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct choice_row *r = &rows[i];
		struct druid_facts druid = { .has_kafka = r->has_kafka };
		struct choice_facts f = { .now = r->now,
			.druid = r->version != NULL ? &druid : NULL,
			.trouble = r->version != NULL ? "" : "it broke",
			.no_pull = r->can_pull ? NULL : NO_PULL,
			.log_events = r->log_events };
		struct choice c;

		assert_true(r->version == NULL ||
		    druid_read_version(r->version, &druid));
		choice_make(&f, &c);
		if (c.mode != r->wanted || !says(c.why, r->why) ||
		    !says(c.better, r->better))
			fail_msg("row %zu: %s, '%s', '%s'", i,
			    delivery_mode_name(c.mode), c.why, c.better);
	}
}

/* ---- what follows ---- */

static struct ds_conf
delivered(const struct conf *conf, enum delivery_mode mode)
{
	struct ds_conf ds = conf->ds[0];

	conf_deliver(&ds, mode);
	assert_int_equal(ds.delivery, mode);
	return ds;
}

static struct conf *
conf_with(const char *properties)
{
	char *all = must_format("\"druid.overlord.url\":\"http://a:1\"%s%s",
	    *properties != '\0' ? "," : "", properties);
	struct conf *conf = one_ds(NULL, all);

	free(all);
	assert_true(conf->ds[0].is_auto);
	assert_int_equal(conf->ds[0].delivery, DELIVERY_PUSH);
	return conf;
}

static void
test_what_follows(void **state)
{
	struct conf *conf = conf_with("\"late.policy\":\"archive\"");
	struct ds_conf ds;

	(void)state;
	assert_false(conf->ds[0].no_window);
	ds = delivered(conf, DELIVERY_APPEND);
	assert_true(ds.no_window && ds.late == LATE_APPEND);
	ds = delivered(conf, DELIVERY_PULL);
	assert_true(ds.no_window && ds.late == LATE_ARCHIVE);
	ds = delivered(conf, DELIVERY_PUSH);
	assert_true(!ds.no_window && ds.late == LATE_ARCHIVE);
	conf_free(&conf);
}

static void
test_what_follows_of_any_time(void **state)
{
	struct conf *conf =
	    conf_with("\"task.type\":\"index_realtime_appenderator\"");
	struct ds_conf ds;

	(void)state;
	assert_true(conf->ds[0].any_time && conf->ds[0].no_window);
	ds = delivered(conf, DELIVERY_APPEND);
	assert_true(!ds.any_time && ds.no_window && ds.late == LATE_APPEND);
	ds = delivered(conf, DELIVERY_PUSH);
	assert_true(ds.any_time && ds.no_window && ds.late == LATE_DROP);
	conf_free(&conf);
}

static void
test_given_modes_are_not_auto(void **state)
{
	static const char *const given[] = { "push", "append", "AUTO" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(given); i++) {
		char *p = must_format("\"druid.overlord.url\":\"http://a:1\","
				      "\"delivery.mode\":\"%s\"",
		    given[i]);
		struct conf *conf = one_ds(NULL, p);

		assert_int_equal(conf->ds[0].is_auto, i == 2);
		conf_free(&conf);
		free(p);
	}
}

/* ---- the note ---- */

static void
test_note_texts(void **state)
{
	static const char *const good[] = { "push\n", "pull 34.0.1 kafka\n",
		"append 31.0.0\n", "push 2024.05.0-iap kafka\n" };
	static const char *const bad[] = { "", "\n", "push", "auto\n",
		"pull 34.0.1 kafka", "pull 34.0.1 k\n", "pull 34.0.1 kafka x\n",
		"pull "
		"34.0.1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaaaa\n" };
	char text[DELIVERY_NOTE_BYTES];
	struct delivery_note n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(delivery_note_parse(good[i], &n));
		delivery_note_print(&n, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (delivery_note_parse(bad[i], &n))
			fail_msg("taken: %s", bad[i]);
}

static void
test_note_file(void **state)
{
	char dir[] = "/tmp/test-choice-XXXXXX";
	struct delivery_note n = {
		.mode = DELIVERY_PULL, .druid = "34.0.1", .has_kafka = true
	};
	struct delivery_note got;
	char *path, *draft;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = must_format("%s/delivery", dir);
	draft = must_format("%s/delivery.new", dir);
	assert_false(delivery_note_read(dir, &got));
	assert_true(delivery_note_write(dir, &n));
	assert_true(delivery_note_read(dir, &got));
	assert_int_equal(got.mode, DELIVERY_PULL);
	assert_string_equal(got.druid, "34.0.1");
	assert_true(got.has_kafka);
	/* one that cannot be written leaves the one before */
	assert_int_equal(mkdir(draft, 0700), 0);
	n.mode = DELIVERY_PUSH;
	assert_false(delivery_note_write(dir, &n));
	assert_int_equal(errno, EISDIR);
	assert_true(delivery_note_read(dir, &got));
	assert_int_equal(got.mode, DELIVERY_PULL);
	assert_int_equal(rmdir(draft), 0);
	assert_true(delivery_note_write(dir, &n));
	assert_true(delivery_note_read(dir, &got));
	assert_int_equal(got.mode, DELIVERY_PUSH);
	/* neither a link nor a pipe is followed, or waited for */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/zero", path), 0);
	assert_false(delivery_note_read(dir, &got));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_false(delivery_note_read(dir, &got));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_false(delivery_note_write(dir, &n));
	assert_int_equal(errno, ENOENT);
	free(path);
	free(draft);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_what_follows),
		cmocka_unit_test(test_what_follows_of_any_time),
		cmocka_unit_test(test_given_modes_are_not_auto),
		cmocka_unit_test(test_note_texts),
		cmocka_unit_test(test_note_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

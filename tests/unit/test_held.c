/*
 * test_held - batches in memory, bounded, from the spool when they are gone
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "held.h"
#include "panic.h"

#define EVENTS 10

/* ---- the spool, as held sees it ---- */

static struct {
	unsigned loads;
	bool damaged, failing;
} fake;

static char *
make_value(uint64_t id, size_t *bytes)
{
	struct interval hour = { 0, 3600000 };
	struct batch *b = batch_new(hour, 0, 1000);
	struct batch_seal seal = { .id = id, .now_ms = 1 };

	for (unsigned i = 0; i < EVENTS; i++) {
		struct event e = { .bytes = 100 };
		char text[101];

		memset(text, ' ', sizeof text);
		batch_add(b, &e, text, 0, 0);
	}
	return batch_seal(&b, &seal, bytes);
}

char *
spool_load(struct spool *s, uint64_t id, size_t *bytes, bool *damaged)
{
	(void)s;
	fake.loads++;
	*damaged = fake.damaged;
	return fake.damaged || fake.failing ? NULL : make_value(id, bytes);
}

/* ---- */

static struct spool_entry
entry(uint64_t id)
{
	return (struct spool_entry){ .id = id, .events = EVENTS };
}

static size_t
keep(struct held_cache *c, uint64_t id)
{
	struct spool_entry e = entry(id);
	size_t bytes;
	char *value = make_value(id, &bytes);

	held_keep(c, &e, value, bytes);
	return bytes;
}

static struct held *
take(struct held_cache *c, uint64_t id)
{
	struct spool_entry e = entry(id);
	bool damaged = true;
	struct held *h = held_take(c, NULL, &e, &damaged);

	assert_int_equal(damaged, fake.damaged);
	if (h != NULL)
		assert_int_equal(h->view.header->id, id);
	return h;
}

static void
begin(struct held_cache *c, size_t bytes_max)
{
	memset(&fake, 0, sizeof fake);
	held_init(c, bytes_max);
}

static void
test_kept(void **state)
{
	struct held_cache c;
	struct held *a, *b;
	size_t bytes;

	(void)state;
	begin(&c, MiB);
	bytes = keep(&c, 5);
	assert_int_equal(c.bytes, bytes);
	a = take(&c, 5);
	b = take(&c, 5); /* two that send it share it */
	assert_ptr_equal(a, b);
	assert_int_equal(a->users, 2);
	assert_int_equal(fake.loads, 0);
	assert_int_equal(a->entry.events, EVENTS);
	held_release(&c, &a);
	assert_null(a);
	assert_int_equal(b->users, 1);
	held_release(&c, &b);
	held_release(&c, &b); /* NULL is harmless */
	assert_int_equal(c.bytes, bytes); /* there is room for it */
	held_fini(&c);
}

static void
test_from_the_spool(void **state)
{
	struct held_cache c;
	struct held *a;

	(void)state;
	begin(&c, MiB);
	a = take(&c, 7);
	assert_int_equal(fake.loads, 1);
	held_release(&c, &a);
	a = take(&c, 7);
	assert_int_equal(fake.loads, 1);
	held_release(&c, &a);
	fake.damaged = true;
	assert_null(take(&c, 8));
	fake.damaged = false;
	fake.failing = true;
	assert_null(take(&c, 8)); /* not now */
	fake.failing = false;
	a = take(&c, 8);
	assert_non_null(a);
	held_release(&c, &a);
	held_fini(&c);
}

/* The newest that nobody sends go first: the oldest are sent next. */
static void
test_bound(void **state)
{
	struct held_cache c;
	struct held *first, *last;
	size_t bytes;

	(void)state;
	begin(&c, MiB);
	bytes = keep(&c, 1);
	held_fini(&c);
	begin(&c, 3 * bytes);
	for (uint64_t id = 1; id <= 5; id++)
		keep(&c, id);
	assert_int_equal(c.bytes, 3 * bytes);
	first = take(&c, 1);
	assert_int_equal(fake.loads, 0);
	last = take(&c, 5); /* in use, they stay beyond the bound */
	assert_int_equal(fake.loads, 1);
	assert_int_equal(c.bytes, 3 * bytes);
	held_release(&c, &first);
	held_release(&c, &last);
	assert_true(c.bytes <= 3 * bytes);
	held_fini(&c);
}

static void
test_all_in_use(void **state)
{
	struct held_cache c;
	struct held *all[5];

	(void)state;
	begin(&c, 1);
	for (uint64_t id = 0; id < 5; id++)
		all[id] = take(&c, id);
	for (uint64_t id = 0; id < 5; id++)
		assert_int_equal(all[id]->view.header->events, EVENTS);
	for (uint64_t id = 0; id < 5; id++)
		held_release(&c, &all[id]);
	assert_int_equal(c.bytes, 0);
	assert_true(TAILQ_EMPTY(&c.list));
	keep(&c, 9); /* no room for any: gone at once */
	assert_int_equal(c.bytes, 0);
	held_fini(&c);
}

static void
test_forget(void **state)
{
	struct held_cache c;
	struct held *a;

	(void)state;
	begin(&c, MiB);
	keep(&c, 1);
	held_forget(&c, 1);
	assert_int_equal(c.bytes, 0);
	held_forget(&c, 1); /* not there: harmless */
	keep(&c, 2);
	a = take(&c, 2);
	held_forget(&c, 2); /* somebody still sends it */
	assert_int_equal(a->view.header->id, 2);
	held_release(&c, &a);
	assert_int_equal(c.bytes, 0);
	held_fini(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_from_the_spool),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_all_in_use),
		cmocka_unit_test(test_forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * test_event - blocks of events as they lie in the ring
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "event.h"

/* A block of its own, and behind it bytes that are none of its. */
struct sample {
	_Alignas(8) char bytes[1024];
	struct event_block *block;
};

static void
begin(struct sample *s)
{
	memset(s->bytes, 'x', sizeof s->bytes);
	s->block = (void *)s->bytes;
	*s->block = (struct event_block){ .magic = EVENT_BLOCK_MAGIC,
		.bytes = sizeof *s->block,
		.ticket = 77,
		.dropped = { 3 } };
}

static struct event *
add(struct sample *s, const char *text)
{
	struct event *e = (void *)(s->bytes + s->block->bytes);

	*e = (struct event){ .timestamp_ms = 1000 + s->block->events,
		.hash = -5,
		.bytes = strlen(text) & EVENT_BYTES_MAX };
	memcpy(e + 1, text, strlen(text));
	s->block->bytes += (uint32_t)event_record_bytes(strlen(text));
	s->block->events++;
	return e;
}

static void
test_sizes(void **state)
{
	(void)state;
	assert_int_equal(event_padded(0), 0);
	assert_int_equal(event_padded(1), 8);
	assert_int_equal(event_padded(8), 8);
	assert_int_equal(event_record_bytes(9), sizeof(struct event) + 16);
}

static void
test_walk(void **state)
{
	static const char *const texts[] = { "{}", "{\"a\":12}", "",
		"{\"b\":\"seventeen\"}" };
	struct event_reader r;
	struct event_block head;
	struct sample s;
	struct event e;
	bool damaged;

	(void)state;
	begin(&s);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		add(&s, texts[i]);
	assert_true(event_open(&r, s.bytes, sizeof s.bytes, &head));
	assert_int_equal(head.ticket, 77);
	assert_int_equal(head.events, 4);
	assert_int_equal(head.dropped[DROP_WINDOW], 3);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *text = event_next(&r, &e, &damaged);

		assert_non_null(text);
		assert_false(damaged);
		assert_int_equal(e.timestamp_ms, 1000 + i);
		assert_int_equal(e.hash, -5);
		assert_int_equal(e.bytes, strlen(texts[i]));
		assert_memory_equal(text, texts[i], e.bytes);
	}
	assert_null(event_next(&r, &e, &damaged));
	assert_false(damaged);
	assert_null(event_next(&r, &e, &damaged));
}

static void
test_empty_block(void **state)
{
	struct event_reader r;
	struct event_block head;
	struct sample s;
	struct event e;
	bool damaged = true;

	(void)state;
	begin(&s);
	assert_true(event_open(&r, s.bytes, sizeof head, &head));
	assert_null(event_next(&r, &e, &damaged));
	assert_false(damaged);
}

static void
test_no_blocks(void **state)
{
	struct event_reader r;
	struct event_block head;
	struct sample s;

	(void)state;
	begin(&s);
	add(&s, "{}");
	assert_true(event_open(&r, s.bytes, s.block->bytes, &head));
	assert_false(event_open(&r, s.bytes, s.block->bytes - 8u, &head));
	assert_false(event_open(&r, s.bytes, sizeof head - 8, &head));
	assert_false(event_open(&r, s.bytes, 0, &head));
	s.block->bytes += 4;
	assert_false(event_open(&r, s.bytes, sizeof s.bytes, &head));
	s.block->bytes = sizeof head - 8;
	assert_false(event_open(&r, s.bytes, sizeof s.bytes, &head));
	s.block->bytes = UINT32_MAX - 7;
	assert_false(event_open(&r, s.bytes, sizeof s.bytes, &head));
	s.block->bytes = sizeof head;
	s.block->magic ^= 1;
	assert_false(event_open(&r, s.bytes, sizeof s.bytes, &head));
}

/* Lengths that do not fit into the block end it there. */
static void
test_damage(void **state)
{
	static const uint32_t lengths[] = { 9, 1000, UINT32_MAX,
		UINT32_MAX - 7 };
	struct event_reader r;
	struct event_block head;
	struct sample s;
	struct event e;
	bool damaged;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		begin(&s);
		add(&s, "{}");
		add(&s, "12345678")->bytes = lengths[i] & EVENT_BYTES_MAX;
		assert_true(event_open(&r, s.bytes, sizeof s.bytes, &head));
		assert_non_null(event_next(&r, &e, &damaged));
		assert_null(event_next(&r, &e, &damaged));
		assert_true(damaged);
	}
	begin(&s);
	add(&s, "{}");
	s.block->bytes += 8; /* half of an event's head */
	assert_true(event_open(&r, s.bytes, sizeof s.bytes, &head));
	assert_non_null(event_next(&r, &e, &damaged));
	assert_null(event_next(&r, &e, &damaged));
	assert_true(damaged);
}

/* The writer changes its mind after the check. */
static void
test_changed_under_way(void **state)
{
	struct event_reader r;
	struct event_block head;
	struct sample s;
	struct event e, *first, *second;
	bool damaged;

	(void)state;
	begin(&s);
	first = add(&s, "first");
	second = add(&s, "second");
	assert_true(event_open(&r, s.bytes, s.block->bytes, &head));
	s.block->bytes = UINT32_MAX - 7;
	s.block->events = UINT32_MAX;
	assert_int_equal(head.events, 2);
	assert_non_null(event_next(&r, &e, &damaged));
	first->bytes = EVENT_BYTES_MAX;
	assert_int_equal(e.bytes, 5);
	assert_ptr_equal(event_next(&r, &e, &damaged), second + 1);
	assert_int_equal(e.bytes, 6);
	assert_null(event_next(&r, &e, &damaged));
	assert_false(damaged);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_empty_block),
		cmocka_unit_test(test_no_blocks),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_changed_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

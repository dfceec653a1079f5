/*
 * test_receiver_keys - a receiver and the worker's word on a request with an
 * Idempotency-Key
 */
#include "receiver_rig.h"

#define TIME "\"column\":\"time\",\"format\":\"auto\""
#define RESULT(received, sent) \
	"{\"result\":{\"received\":" #received ",\"sent\":" #sent "}}"
#define OLD "{\"time\":1577836800000,\"page\":\"x\"}"
#define OTHERS_BATCH ((UINT64_C(1) << 63) | 1)

static struct rig rig;

static void
start(void)
{
	struct buf b;

	buf_init(&b, MiB);
	rig_add_ds(&b, "a", TIME, "");
	rig_start(&rig, rig_conf_text(buf_text(&b), ""));
	buf_free(&b);
}

/* Posts one event under a key; what the worker reads of it is taken. */
static int
post_keyed(const char *target, const char *event)
{
	int fd = rig_connect(&rig);
	char head[300];

	snprintf(head, sizeof head,
	    "POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
	    "Idempotency-Key: k\r\nContent-Length: %zu\r\n\r\n",
	    target, strlen(event));
	rig_say(fd, head);
	rig_say(fd, event);
	rig_forget(&rig.ds[0]);
	rig_take(&rig.ds[0]);
	return fd;
}

static void
tell(enum ack_kind kind, struct ack_key word)
{
	struct ack ack;

	word.ticket = rig.ds[0].key_ticket;
	word.kind = (uint32_t)kind;
	memcpy(&ack, &word, sizeof ack);
	assert_true(channel_ack(&rig.ds[0].channel, &ack));
	channel_ring_receiver(&rig.ds[0].channel);
}

/* All of the repeat is outside the window by now, so that it has nothing to
 * wait for but what the first one had. */
static void
the_word_comes_behind_the_commit(void **state UNUSED)
{
	struct rig_answer a;
	int fd;

	start();
	fd = post_keyed("/v1/post/a", OLD);
	assert_int_equal(rig.ds[0].dropped, 1);
	rig_commit(&rig.ds[0]);
	rig_expect_silence(fd);
	tell(ACK_KEY_REPEAT, (struct ack_key){ .events = 1 });
	rig_expect_silence(fd);
	rig_ack(&rig.ds[0], rig.ds[0].key_ticket, OTHERS_BATCH, 1, ACK_SENT);
	rig_read(fd, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, RESULT(1, 1));
	assert_true(rig_has(&a, "Idempotent-Replayed: true"));
	assert_false(rig_has(&a, "X-Tranq-Dropped: 1; window=1"));
	close(fd);
	rig_stop(&rig);
}

static void
async_has_sent_nothing(void **state UNUSED)
{
	char event[100];
	int fd;

	start();
	channel_answer_durable(&rig.ds[0].channel, true);
	fd = post_keyed(
	    "/v1/post/a?async=true", rig_event(event, sizeof event, "x"));
	tell(ACK_KEY_FIRST, (struct ack_key){ .events = 1, .sent = 1 });
	rig_expect_silence(fd);
	rig_commit(&rig.ds[0]);
	rig_expect(fd, 200, RESULT(1, 0));
	close(fd);
	rig_stop(&rig);
}

/* It is another process's word. */
static void
a_word_of_more_events_than_there_are(void **state UNUSED)
{
	char event[100];
	int fd;

	start();
	fd = post_keyed("/v1/post/a", rig_event(event, sizeof event, "x"));
	tell(ACK_KEY_FIRST, (struct ack_key){ .events = UINT32_MAX });
	rig_commit(&rig.ds[0]);
	rig_ack(&rig.ds[0], rig.ds[0].key_ticket, 1, 1, ACK_SENT);
	rig_expect(fd, 200, RESULT(1, 1));
	close(fd);
	rig_stop(&rig);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_word_comes_behind_the_commit),
		cmocka_unit_test(async_has_sent_nothing),
		cmocka_unit_test(a_word_of_more_events_than_there_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

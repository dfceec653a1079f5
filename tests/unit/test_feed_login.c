/*
 * test_feed_login - consumers that log in
 */
#include "clock.h"
#include "feed_rig.h"

#define SECRET                                              \
	"user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"     \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n"

static void
start_secure(bool offers_plain)
{
	struct conf_problems problems = { 0 };

	start_feed("");
	rig.server->users =
	    feed_users_new("file", SECRET, sizeof SECRET - 1, &problems);
	assert_non_null(rig.server->users);
	rig.server->offers_plain = offers_plain;
	connect_peer(&peer);
}

static int16_t
handshake(struct peer *p, const char *mechanism, int16_t version)
{
	struct buf *b = begin(p, KAFKA_SASL_HANDSHAKE, version);
	struct kafka_reader r;

	kafka_wire_put_string(b, kafka_wire_text(mechanism));
	end(p);
	flush(p);
	r = answer(p, p->correlation);
	return kafka_wire_i16(&r);
}

static int16_t
authenticate(struct peer *p, const char *token, size_t bytes)
{
	struct buf *b = begin(p, KAFKA_SASL_AUTHENTICATE, 1);
	struct kafka_reader r;

	kafka_wire_put_bytes(b, token, bytes);
	end(p);
	flush(p);
	r = answer(p, p->correlation);
	return kafka_wire_i16(&r);
}

static void
test_login(void **state)
{
	struct kafka_reader r;

	(void)state;
	start_secure(true);
	/* versions are told to anybody */
	(void)begin(&peer, KAFKA_API_VERSIONS, 0);
	end(&peer);
	flush(&peer);
	r = answer(&peer, 1);
	assert_int_equal(kafka_wire_i16(&r), 0);
	assert_int_equal(handshake(&peer, "PLAIN", 1), 0);
	assert_int_equal(authenticate(&peer, "\0user\0pencil", 12), 0);
	put_metadata(&peer, "foo");
	flush(&peer);
	(void)answer(&peer, peer.correlation);
	assert_int_equal(rig.server->counters.unauthorized, 0);
	stop_feed();
}

static void
test_no_login(void **state)
{
	(void)state;
	start_secure(true);
	put_metadata(&peer, "foo");
	flush(&peer);
	AWAIT(has_closed(&peer));
	assert_int_equal(peer.used, 0);
	assert_int_equal(rig.server->counters.unauthorized, 1);
	disconnect(&peer);
	/* no token before it is said what kind it is */
	connect_peer(&peer);
	assert_int_equal(authenticate(&peer, "\0user\0pencil", 12), 34);
	AWAIT(has_closed(&peer));
	disconnect(&peer);
	/* no long request */
	connect_peer(&peer);
	assert_int_equal(send(peer.fd, "\x00\x00\x40\x01", 4, 0), 4);
	AWAIT(has_closed(&peer));
	stop_feed();
}

static void
test_wrong_password(void **state)
{
	int64_t began;

	(void)state;
	start_secure(true);
	assert_int_equal(handshake(&peer, "PLAIN", 1), 0);
	began = clock_mono_ms();
	assert_int_equal(authenticate(&peer, "\0user\0pencils", 13), 58);
	assert_true(clock_mono_ms() - began >= FEED_SERVE_REFUSE_MS - 20);
	AWAIT(has_closed(&peer));
	assert_int_equal(rig.server->counters.unauthorized, 1);
	stop_feed();
}

static void
test_mechanisms(void **state)
{
	(void)state;
	start_secure(false);
	/* nobody has a secret of that kind; passwords are not to be sent */
	assert_int_equal(handshake(&peer, "SCRAM-SHA-512", 1), 33);
	AWAIT(has_closed(&peer));
	disconnect(&peer);
	connect_peer(&peer);
	assert_int_equal(handshake(&peer, "PLAIN", 1), 33);
	AWAIT(has_closed(&peer));
	disconnect(&peer);
	connect_peer(&peer);
	assert_int_equal(handshake(&peer, "SCRAM-SHA-256", 1), 0);
	assert_int_equal(authenticate(&peer, "n,,n=user,r=abc", 15), 0);
	assert_int_equal(authenticate(&peer, "c=biws,r=abc,p=AAAA", 19), 58);
	AWAIT(has_closed(&peer));
	stop_feed();
}

/* The old way: behind SaslHandshake 0 a frame is a token. */
static void
test_raw_tokens(void **state)
{
	(void)state;
	start_secure(true);
	assert_int_equal(handshake(&peer, "PLAIN", 0), 0);
	kafka_wire_put_bytes(&peer.out, "\0user\0pencil", 12);
	flush(&peer);
	AWAIT(has_answer(&peer));
	assert_int_equal(kafka_wire_frame_size(peer.in + peer.taken), 0);
	peer.taken += 4;
	put_metadata(&peer, "foo");
	flush(&peer);
	(void)answer(&peer, peer.correlation);
	disconnect(&peer);
	connect_peer(&peer);
	assert_int_equal(handshake(&peer, "PLAIN", 0), 0);
	kafka_wire_put_bytes(&peer.out, "\0user\0wrong", 11);
	flush(&peer);
	AWAIT(has_closed(&peer));
	assert_int_equal(peer.used, peer.taken);
	stop_feed();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_no_login),
		cmocka_unit_test(test_wrong_password),
		cmocka_unit_test(test_mechanisms),
		cmocka_unit_test(test_raw_tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

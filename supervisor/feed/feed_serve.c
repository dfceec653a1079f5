/*
 * feed_serve - a client's frame becomes an answer, or has to wait
 *
 * Process: feed.
 */
#include "feed_serve.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "panic.h"

#define COMPLAIN_MS 60000
#define NAME_SHOWN 64

void
feed_serve_init(struct feed_server *s)
{
	buf_init(&s->head, FEED_SERVE_HEAD_MAX);
}

void
feed_serve_fini(struct feed_server *s)
{
	buf_free(&s->head);
	feed_topic_fini_all(&s->topics);
	feed_users_free(&s->users);
}

void
feed_serve_client_init(
    const struct feed_server *s, struct feed_client *c, const char *peer)
{
	*c = (struct feed_client){ .login = s->users != NULL ? FEED_LOGIN_NONE
							     : FEED_LOGIN_DONE,
		.peer = peer };
}

void
feed_serve_client_fini(struct feed_client *c)
{
	kafka_sasl_free(&c->sasl);
}

/* ---- ApiVersions, Metadata, ListOffsets ---- */

static void
answer_api_versions(struct feed_server *s)
{
	unsigned count;
	const struct kafka_answer_api *apis =
	    kafka_answer_apis(s->users != NULL, &count);

	kafka_answer_api_versions(&s->head, &s->request, apis, count);
}

/* One that has no room is left out; its partitions then have no leader for whom
 * asks for all topics. */
static void
add_broker(struct feed_server *s, const struct kafka_answer_broker *b)
{
	unsigned at = 0;

	while (at < s->broker_count && s->brokers[at].node < b->node)
		at++;
	if ((at < s->broker_count && s->brokers[at].node == b->node) ||
	    s->broker_count == FEED_SERVE_BROKERS_MAX)
		return;
	memmove(&s->brokers[at + 1], &s->brokers[at],
	    (s->broker_count - at) * sizeof s->brokers[0]);
	s->brokers[at] = *b;
	s->broker_count++;
}

/* Ourselves, and those with whom the topic is shared. */
static void
add_brokers_of(struct feed_server *s, struct feed_topic *t)
{
	if (t == NULL || t->partitions == 0 || t->peers == NULL)
		return;
	for (unsigned i = 0; i < t->peers->broker_count; i++) {
		const struct log_broker *b = &t->peers->brokers[i];

		add_broker(s,
		    &(struct kafka_answer_broker){
			b->node, (int32_t)b->port, kafka_wire_text(b->host) });
	}
}

static void
put_brokers(struct feed_server *s, unsigned topics)
{
	const struct kafka_request *q = &s->request;
	struct kafka_answer_cluster cluster = { .id = s->cluster,
		.brokers = s->brokers };

	s->broker_count = 0;
	add_broker(s, &s->self);
	for (unsigned i = 0; q->all_topics && i < s->topics.count; i++)
		add_brokers_of(s, &s->topics.all[i]);
	for (unsigned i = 0; !q->all_topics && i < q->topic_count; i++)
		add_brokers_of(
		    s, feed_topic_find(&s->topics, q->topics[i].name));
	cluster.broker_count = s->broker_count;
	cluster.controller = s->brokers[0].node;
	kafka_answer_metadata(&s->head, q, &cluster, topics);
}

/* NULL: there is none of that name. */
static void
put_topic(struct feed_server *s, struct kafka_text name, struct feed_topic *t)
{
	unsigned partitions = t != NULL ? t->partitions : 0;
	struct feed_topic_part part;

	kafka_answer_metadata_topic(&s->head, &s->request, name,
	    partitions > 0 ? KAFKA_OK : KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
	    partitions);
	for (unsigned i = 0; i < partitions; i++) {
		feed_topic_part(t, i, &part);
		kafka_answer_metadata_partition(&s->head, &s->request,
		    part.number, t->peers != NULL ? part.leader : s->self.node);
	}
	kafka_answer_metadata_topic_end(&s->head, &s->request);
}

static void
put_all_topics(struct feed_server *s)
{
	unsigned count = 0;

	for (unsigned i = 0; i < s->topics.count; i++)
		count += s->topics.all[i].partitions > 0;
	put_brokers(s, count);
	for (unsigned i = 0; i < s->topics.count; i++) {
		struct feed_topic *t = &s->topics.all[i];

		if (t->partitions > 0)
			put_topic(s, kafka_wire_text(t->name), t);
	}
}

/* Before the answer: what the workers tell meanwhile is not in it. */
static void
look_at_topics(struct feed_server *s)
{
	const struct kafka_request *q = &s->request;

	for (unsigned i = 0; q->all_topics && i < s->topics.count; i++)
		(void)feed_topic_partitions(&s->topics.all[i]);
	for (unsigned i = 0; !q->all_topics && i < q->topic_count; i++) {
		struct feed_topic *t =
		    feed_topic_find(&s->topics, q->topics[i].name);

		if (t != NULL)
			(void)feed_topic_partitions(t);
	}
}

static void
answer_metadata(struct feed_server *s)
{
	const struct kafka_request *q = &s->request;

	look_at_topics(s);
	if (q->all_topics) {
		put_all_topics(s);
	} else {
		put_brokers(s, q->topic_count);
		for (unsigned i = 0; i < q->topic_count; i++)
			put_topic(s, q->topics[i].name,
			    feed_topic_find(&s->topics, q->topics[i].name));
	}
	kafka_answer_metadata_end(&s->head, q);
}

static void
answer_list_offsets(struct feed_server *s, int64_t now_ms)
{
	const struct kafka_request *q = &s->request;
	struct feed_topic_search search = { now_ms, FEED_TOPIC_UNPACK_MAX,
		FEED_TOPIC_SEARCH_MAX };

	kafka_answer_offsets(&s->head, q);
	for (unsigned i = 0; i < q->topic_count; i++) {
		const struct kafka_request_topic *asked = &q->topics[i];
		struct feed_topic *t = feed_topic_find(&s->topics, asked->name);

		kafka_answer_topic(&s->head, asked->name, asked->count);
		for (unsigned p = 0; p < asked->count; p++) {
			const struct kafka_request_partition *of =
			    &q->partitions[asked->first + p];
			struct feed_topic_place place;
			enum kafka_error error = feed_topic_place(
			    t, of->index, of->offset, &search, &place);

			kafka_answer_offsets_partition(&s->head, q, of->index,
			    error, place.time_ms, place.offset);
		}
	}
}

/* ---- Fetch ---- */

/* What came together of it. */
struct fetch {
	uint64_t bytes, bytes_max;
	unsigned batches_left;
	bool has_error, is_guess;
};

static void
fetch_partition(struct feed_server *s, struct feed_topic *t, bool has_look,
    const struct kafka_request_partition *of, struct fetch *f)
{
	struct feed_topic_wish wish = { .partition = of->index,
		.offset = of->offset,
		.batches_left = &f->batches_left,
		.is_first = f->bytes == 0,
		.has_look = has_look,
		.is_guess = f->is_guess };
	struct kafka_answer_fetched fetched = { .index = of->index };
	struct feed_piece piece = { .left = 0 };
	struct log_range range;
	uint64_t left = f->bytes_max - MIN_OF(f->bytes, f->bytes_max);

	wish.bytes_max = MIN_OF(left, (uint64_t)MAX_OF(of->bytes_max, 0));
	fetched.error = feed_topic_fetch(&s->topics, t, &wish, &range, &piece);
	fetched.start = fetched.end = -1;
	if (fetched.error == KAFKA_OK) {
		fetched.start = (int64_t)range.start;
		fetched.end = (int64_t)range.end;
	} else {
		f->has_error = true;
		piece.left = 0;
	}
	fetched.record_bytes = (uint32_t)piece.left;
	kafka_answer_fetch_partition(&s->head, &s->request, &fetched);
	if (piece.left == 0)
		return;
	f->bytes += piece.left;
	piece.head_at = s->head.used;
	s->pieces[s->piece_count++] = piece;
	if (s->piece_count == FEED_SERVE_PIECES_MAX)
		f->batches_left = 0;
}

static void
fetch_topics(struct feed_server *s, int64_t now_ms, struct fetch *f)
{
	const struct kafka_request *q = &s->request;

	kafka_answer_fetch(&s->head, q);
	for (unsigned i = 0; i < q->topic_count; i++) {
		const struct kafka_request_topic *asked = &q->topics[i];
		struct feed_topic *t = feed_topic_find(&s->topics, asked->name);
		bool has_look = t != NULL && feed_topic_partitions(t) > 0 &&
		    feed_topic_begin(t, now_ms);

		kafka_answer_topic(&s->head, asked->name, asked->count);
		for (unsigned p = 0; p < asked->count; p++)
			fetch_partition(s, t, has_look,
			    &q->partitions[asked->first + p], f);
		if (has_look)
			feed_topic_end(t);
	}
}

/* How long to wait when there is nothing, or only errors: whoever is told so at
 * once asks again at once. */
static int64_t
wait_of(const struct kafka_request *q, const struct fetch *f)
{
	int64_t wait_ms =
	    MIN_OF(MAX_OF(q->max_wait_ms, 0), FEED_SERVE_WAIT_MAX_MS);

	return f->has_error ? MAX_OF(wait_ms, FEED_SERVE_ERROR_MS) : wait_ms;
}

/* Whether there may be as much as he waits for. Checksums are computed when it
 * is sent, and not each time that more has come. */
static bool
is_worth_it(struct feed_server *s, uint64_t least, struct feed_call *c)
{
	struct fetch guess = { .bytes_max = FEED_TOPIC_FETCH_MAX,
		.batches_left = FEED_TOPIC_GUESS_BATCHES,
		.is_guess = true };
	size_t begin = s->head.used;

	if (least <= 1)
		return true;
	fetch_topics(s, c->now_ms, &guess);
	s->head.used = begin;
	s->piece_count = 0;
	c->wait_ms = wait_of(&s->request, &guess);
	return guess.bytes >= least || guess.batches_left == 0 ||
	    c->wait_ms == 0;
}

static enum feed_served
serve_fetch(struct feed_server *s, struct feed_call *c, size_t begin)
{
	const struct kafka_request *q = &s->request;
	struct fetch f = { .bytes_max =
			       MIN_OF((uint64_t)MAX_OF(q->bytes_max, 0),
				   FEED_TOPIC_FETCH_MAX),
		.batches_left = FEED_TOPIC_FETCH_BATCHES };
	uint64_t least = (uint64_t)MAX_OF(q->bytes_min, 1);
	bool may_wait = !c->is_late && q->partition_count > 0;

	least = MIN_OF(least, MAX_OF(f.bytes_max, 1));
	if (may_wait && !is_worth_it(s, least, c))
		return FEED_WAITS;
	fetch_topics(s, c->now_ms, &f);
	c->wait_ms = wait_of(q, &f);
	if (may_wait && f.bytes == 0 && c->wait_ms > 0)
		return FEED_WAITS;
	s->counters.fetches++;
	s->counters.fetches_empty += f.bytes == 0;
	s->counters.fetch_errors += f.has_error;
	s->counters.record_bytes += f.bytes;
	kafka_answer_end(&s->head, begin, f.bytes);
	return FEED_ANSWERED;
}

/* ---- who he is ---- */

static const char *const *
mechanisms(const struct feed_server *s)
{
	static const char *names[KAFKA_SASL_MECHANISMS + 1];
	unsigned count = 0;

	for (unsigned m = 0; s->users != NULL && m < KAFKA_SASL_MECHANISMS; m++)
		if (kafka_sasl_is_usable(m, s->users) &&
		    (m != KAFKA_SASL_PLAIN || s->offers_plain))
			names[count++] = kafka_sasl_name(m);
	names[count] = NULL;
	return names;
}

static void
say_refused(struct feed_server *s, const struct feed_client *c, const char *why)
{
	s->counters.unauthorized++;
	if (log_may_repeat(&s->said_login_ms, COMPLAIN_MS))
		log_warnx("a consumer at %s cannot log in as '%.*s': %s (more "
			  "may fail, status counts them)",
		    c->peer, NAME_SHOWN,
		    c->sasl != NULL ? kafka_sasl_user(c->sasl) : "", why);
}

static enum feed_served
serve_handshake(struct feed_server *s, struct feed_client *c,
    struct feed_call *call, size_t begin)
{
	const struct kafka_request *q = &s->request;
	enum kafka_sasl_mechanism m = kafka_sasl_find(q->sasl);
	char nonce[KAFKA_SASL_NONCE_BYTES + 1];
	enum kafka_error error = KAFKA_OK;

	if (c->login != FEED_LOGIN_NONE)
		error = KAFKA_ILLEGAL_SASL_STATE;
	else if (m == KAFKA_SASL_MECHANISMS ||
	    !kafka_sasl_is_usable(m, s->users) ||
	    (m == KAFKA_SASL_PLAIN && !s->offers_plain))
		error = KAFKA_UNSUPPORTED_MECHANISM;
	kafka_answer_sasl_handshake(&s->head, error, mechanisms(s));
	kafka_answer_end(&s->head, begin, 0);
	if (error != KAFKA_OK) {
		say_refused(
		    s, c, "he asks for a mechanism that is not offered");
		call->wait_ms = FEED_SERVE_REFUSE_MS;
		return FEED_REFUSED;
	}
	kafka_sasl_nonce(nonce);
	c->sasl = kafka_sasl_new(m, s->users, nonce);
	c->login = q->version == 0 ? FEED_LOGIN_RAW : FEED_LOGIN_TOKENS;
	return FEED_ANSWERED;
}

static void
logged_in(struct feed_client *c)
{
	log_debug("consumer at %s logged in as '%.*s'", c->peer, NAME_SHOWN,
	    kafka_sasl_user(c->sasl));
	kafka_sasl_free(&c->sasl);
	c->login = FEED_LOGIN_DONE;
}

static enum feed_served
serve_authenticate(struct feed_server *s, struct feed_client *c,
    struct feed_call *call, size_t begin)
{
	const struct kafka_request *q = &s->request;
	enum kafka_sasl_result result = KAFKA_SASL_FAILED;
	enum kafka_error error = KAFKA_AUTHENTICATION_FAILED;
	struct buf token;

	buf_init(&token, KAFKA_SASL_TOKEN_MAX);
	if (c->login == FEED_LOGIN_TOKENS)
		result =
		    kafka_sasl_take(c->sasl, q->sasl, call->now_ms, &token);
	else
		error = KAFKA_ILLEGAL_SASL_STATE;
	call->wait_ms = result == KAFKA_SASL_BUSY ? FEED_SERVE_BUSY_MS
						  : FEED_SERVE_REFUSE_MS;
	if (result != KAFKA_SASL_BUSY) {
		bool is_good = result != KAFKA_SASL_FAILED;

		kafka_answer_sasl_authenticate(&s->head, q,
		    is_good ? KAFKA_OK : error,
		    is_good ? NULL : "Authentication failed",
		    (struct kafka_text){ token.bytes, token.used });
		kafka_answer_end(&s->head, begin, 0);
	}
	buf_free(&token);
	switch (result) {
	case KAFKA_SASL_BUSY: return FEED_BUSY;
	case KAFKA_SASL_DONE: logged_in(c); /* fallthrough */
	case KAFKA_SASL_MORE: return FEED_ANSWERED;
	case KAFKA_SASL_FAILED: break;
	}
	say_refused(s, c, "name or password is wrong");
	return FEED_REFUSED;
}

/* The frame itself is the token, and so is what is sent back. */
static enum feed_served
serve_raw_token(
    struct feed_server *s, struct feed_client *c, struct feed_call *call)
{
	size_t begin = kafka_wire_frame_begin(&s->head);
	enum kafka_sasl_result result = kafka_sasl_take(c->sasl,
	    (struct kafka_text){ call->frame, call->bytes }, call->now_ms,
	    &s->head);

	kafka_wire_frame_end(&s->head, begin, 0);
	switch (result) {
	case KAFKA_SASL_BUSY:
		call->wait_ms = FEED_SERVE_BUSY_MS;
		return FEED_BUSY;
	case KAFKA_SASL_DONE: logged_in(c); /* fallthrough */
	case KAFKA_SASL_MORE: return FEED_ANSWERED;
	case KAFKA_SASL_FAILED: break;
	}
	say_refused(s, c, "name or password is wrong");
	buf_reset(&s->head);
	call->wait_ms = FEED_SERVE_REFUSE_MS;
	return FEED_REFUSED;
}

/* ---- a frame ---- */

/* Kafka's own brokers close the connection then, too. */
static enum feed_served
serve_unserved(
    struct feed_server *s, const struct feed_client *c, enum kafka_verdict v)
{
	const char *name = kafka_request_name(s->request.api);

	s->counters.requests_refused++;
	if (!log_may_repeat(&s->said_request_ms, COMPLAIN_MS))
		return FEED_ENDED;
	if (v == KAFKA_MALFORMED)
		log_warnx("a client at %s sends what is no request of Kafka's "
			  "protocol",
		    c->peer);
	else
		log_warnx("a client at %s asks for %s (API %d) of version %d, "
			  "which a feed does not have: it can be read, with "
			  "partitions assigned by the consumer; there are no "
			  "groups, and nothing is produced",
		    c->peer, name != NULL ? name : "what is not known",
		    s->request.api, s->request.version);
	return FEED_ENDED;
}

static enum feed_served
serve_request(struct feed_server *s, struct feed_client *c,
    struct feed_call *call, size_t begin)
{
	switch (s->request.api) {
	case KAFKA_API_VERSIONS: answer_api_versions(s); break;
	case KAFKA_SASL_HANDSHAKE: return serve_handshake(s, c, call, begin);
	case KAFKA_SASL_AUTHENTICATE:
		return serve_authenticate(s, c, call, begin);
	case KAFKA_METADATA: answer_metadata(s); break;
	case KAFKA_LIST_OFFSETS: answer_list_offsets(s, call->now_ms); break;
	case KAFKA_FETCH: return serve_fetch(s, call, begin);
	default: unreachable("a request that is not served was taken");
	}
	kafka_answer_end(&s->head, begin, 0);
	return FEED_ANSWERED;
}

/* Before he is known, a client may ask for versions and log in. */
static bool
is_allowed(const struct feed_client *c, int16_t api)
{
	return c->login == FEED_LOGIN_DONE || api == KAFKA_API_VERSIONS ||
	    api == KAFKA_SASL_HANDSHAKE || api == KAFKA_SASL_AUTHENTICATE;
}

enum feed_served
feed_serve(struct feed_server *s, struct feed_client *c, struct feed_call *call)
{
	enum kafka_verdict verdict;
	enum feed_served served;

	buf_reset(&s->head);
	s->piece_count = 0;
	call->wait_ms = 0;
	if (c->login == FEED_LOGIN_RAW)
		return serve_raw_token(s, c, call);
	verdict = kafka_request_read(&s->request, call->frame, call->bytes);
	if (verdict != KAFKA_TAKEN && verdict != KAFKA_TOO_NEW)
		return serve_unserved(s, c, verdict);
	if (!is_allowed(c, s->request.api)) {
		say_refused(s, c, "he does not log in (pull.auth.file)");
		return FEED_ENDED;
	}
	served = serve_request(
	    s, c, call, kafka_answer_begin(&s->head, &s->request));
	return s->head.failed ? FEED_ENDED : served;
}

void
feed_serve_count(
    struct feed_server *s, const struct feed_call *call, int change)
{
	struct kafka_request *q = &s->request;

	must(kafka_request_read(q, call->frame, call->bytes) == KAFKA_TAKEN);
	for (unsigned i = 0; i < q->topic_count; i++) {
		struct feed_topic *t =
		    feed_topic_find(&s->topics, q->topics[i].name);

		if (t != NULL)
			t->waiters += (unsigned)change;
	}
}

bool
feed_serve_is_due(struct feed_server *s, const struct feed_call *call)
{
	struct kafka_request *q = &s->request;

	must(kafka_request_read(q, call->frame, call->bytes) == KAFKA_TAKEN);
	for (unsigned i = 0; i < q->topic_count; i++) {
		const struct feed_topic *t =
		    feed_topic_find(&s->topics, q->topics[i].name);

		if (t != NULL && t->has_changed)
			return true;
	}
	return false;
}

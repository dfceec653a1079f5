/*
 * fuzz_post - bodies of any kind on their way into the rings, and a worker that
 * was taken over at the other end
 *
 * The input is a row of steps: a body with its type and coding, and what the
 * worker does to the shared memory: acks, positions, any bytes. Each post is
 * answered once, at most; what lies in a ring is blocks of events, each one a
 * JSON object; the receiver neither ends nor reads outside, and holds nothing
 * when all is over.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf.h"
#include "fuzz_input.h"
#include "post.h"
#include "receiver_check.h"
#include "settle.h"

#define POSTS_MAX 8
#define RING_BYTES 65536
#define MEMORY_MAX (8u * MiB)
#define NOW_MS INT64_C(1763805600000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct {
	struct conf *conf;
	struct loop *loop;
	struct memory memory;
	struct posts posts;
	struct channel workers[2]; /* the other ends */
	struct post *open[POSTS_MAX];
	char *bodies[POSTS_MAX]; /* of blocked ones */
	uint64_t last_ticket;
} rig;

/* ---- the owner of the posts ---- */

static unsigned
slot_of(const void *owner)
{
	return (unsigned)((struct post *const *)owner - rig.open);
}

static void
check_reply(const struct reply *r)
{
	char head[REPLY_BYTES_MAX], date[REPLY_DATE_BYTES];
	const struct reply_how how = { .date = date };

	reply_date(NOW_MS, date);
	must(r->status >= 200 && r->status < 600);
	must(r->status != 200 || r->sent <= r->received);
	must(reply_compose(head, r, &how) <= sizeof head);
}

static void
done(void *owner, const struct reply *r)
{
	unsigned i = slot_of(owner);

	must(i < POSTS_MAX && rig.open[i] != NULL);
	check_reply(r);
	rig.open[i] = NULL;
	free(rig.bodies[i]);
	rig.bodies[i] = NULL;
}

static void
written(void *owner)
{
	unsigned i = slot_of(owner);

	must(i < POSTS_MAX && rig.open[i] != NULL);
	free(rig.bodies[i]);
	rig.bodies[i] = NULL;
}

static unsigned
free_slot(void)
{
	unsigned i = 0;

	while (i < POSTS_MAX && rig.open[i] != NULL)
		i++;
	return i;
}

static void
choose_route(struct route *r, uint8_t kind)
{
	static const char *const names[] = { "foo", "bar", NULL, "none" };

	*r = (struct route){ .kind = ROUTE_POST,
		.ds = names[kind & 3],
		.type = (enum route_type)((kind >> 2) % 3),
		.coding = kind & 0x80 ? INFLATE_ZSTD : INFLATE_IDENTITY,
		.is_async = kind & 0x20,
		.is_detailed = kind & 0x40 };
	if ((kind & 0xc0) == 0xc0)
		r->coding = INFLATE_GZIP;
	if (r->type == ROUTE_TEXT && r->ds == NULL)
		r->ds = "foo";
	r->ds_bytes = r->ds != NULL ? strlen(r->ds) : 0;
}

static void
begin(struct fuzz_input *in)
{
	unsigned i = free_slot();
	struct route route;
	struct post_input input = { .route = &route };
	struct reply reply = { 0 };
	char *body;

	choose_route(&route, fuzz_byte(in));
	input.bytes = fuzz_number(in, 2);
	input.bytes = MIN_OF(input.bytes, (size_t)(in->end - in->at));
	if (i == POSTS_MAX)
		return;
	body = must_malloc(input.bytes + JSON_SCAN_PADDING);
	memcpy(body, in->at, input.bytes);
	memset(body + input.bytes, '}', JSON_SCAN_PADDING);
	in->at += input.bytes;
	input.body = body;
	input.owner = &rig.open[i];
	switch (post_begin(&rig.posts, &input, &rig.open[i], &reply)) {
	case POST_ANSWERED:
		must(rig.open[i] == NULL);
		check_reply(&reply);
		break;
	case POST_WAITS:
		if (rig.open[i]->ticket != 0)
			rig.last_ticket = rig.open[i]->ticket;
		break;
	case POST_BLOCKED:
		rig.bodies[i] = body;
		if (!post_keep(rig.open[i], body, &reply)) {
			check_reply(&reply);
			rig.open[i] = NULL;
			rig.bodies[i] = NULL;
			break;
		}
		return;
	}
	free(body);
}

/* ---- the worker ---- */

static void
check_event(const char *text, size_t bytes)
{
	char *copy = must_malloc(bytes + JSON_SCAN_PADDING);
	struct json_scan s;

	memcpy(copy, text, bytes);
	memset(copy + bytes, 0, JSON_SCAN_PADDING);
	json_scan_init(&s, copy, bytes);
	must(json_scan_next(&s) == JSON_SCAN_EVENT);
	must(s.event == 0 && s.event_bytes == bytes);
	must(json_scan_next(&s) == JSON_SCAN_END);
	json_scan_fini(&s);
	free(copy);
}

static void
check_block(struct event_reader *reader, const struct event_block *head)
{
	struct event e;
	const char *text;
	bool damaged;
	uint32_t events = 0;

	while ((text = event_next(reader, &e, &damaged)) != NULL) {
		check_event(text, e.bytes);
		events++;
	}
	must(!damaged && events == head->events);
}

/* As an honest one: what the receiver has written is looked at. */
static void
take_all(struct channel *c)
{
	struct event_reader reader;
	struct event_block head;
	const void *at;
	uint64_t available;

	while ((at = ring_peek(&c->events, &available)) != NULL) {
		must(event_open(&reader, at, available, &head));
		check_block(&reader, &head);
		if (head.ticket != 0)
			rig.last_ticket = head.ticket;
		ring_take(&c->events, head.bytes);
	}
	ring_advance(&c->events, ring_taken(&c->events));
}

static void
send_ack(struct fuzz_input *in, struct channel *c)
{
	uint8_t how = fuzz_byte(in);
	struct ack ack = { .ticket = rig.last_ticket,
		.kind = how & 3,
		.events = how >> 4,
		.batch = fuzz_byte(in) };

	if (how & 4)
		ack.ticket = fuzz_number(in, 8);
	if (how & 8)
		ack.events = (uint32_t)fuzz_number(in, 4);
	(void)!channel_ack(c, &ack); /* the ring may be full */
}

static void
poke(struct fuzz_input *in, struct channel *c)
{
	uint64_t value = fuzz_number(in, 8);

	switch (fuzz_byte(in) % 5) {
	case 0: atomic_store(&c->events.control->head, value); break;
	case 1: atomic_store(&c->acks.control->tail, value); break;
	case 2: atomic_fetch_add(&c->events.control->head, value % 200); break;
	case 3: atomic_fetch_add(&c->acks.control->tail, value % 200); break;
	default:
		/* any byte of the two pages before the rings */
		((char *)c->header)[value % 8192] = (char)fuzz_byte(in);
	}
}

/* ---- the rig ---- */

/* New: a dataSource's entry. */
static char *
ds_text(const char *name, const char *parse_spec, const char *properties)
{
	return must_format(
	    "{\"spec\":{\"dataSchema\":{\"dataSource\":\"%s\",\"parser\":{"
	    "\"type\":\"string\",\"parseSpec\":{\"timestampSpec\":{"
	    "\"column\":\"t\",\"format\":\"auto\",\"missingValue\":"
	    "\"2025-11-22T10:00:00Z\"},%s}},\"metricsSpec\":[{\"type\":"
	    "\"count\",\"name\":\"n\"}],\"granularitySpec\":{"
	    "\"segmentGranularity\":\"HOUR\",\"queryGranularity\":{"
	    "\"type\":\"period\",\"period\":\"P1D\",\"timeZone\":"
	    "\"Europe/Paris\"}}}},\"properties\":{%s}}",
	    name, parse_spec, properties);
}

/* One with everything that the receiver does by itself, one of csv lines. */
static char *
conf_text_new(void)
{
	char *foo = ds_text("foo",
	    "\"format\":\"json\",\"flattenSpec\":{\"fields\":[{\"type\":"
	    "\"path\",\"name\":\"p\",\"expr\":\"$.a.b[0]\"}]},"
	    "\"dimensionsSpec\":{\"dimensions\":[]}",
	    "\"late.policy\":\"archive\",\"task.partitions\":2");
	char *bar = ds_text("bar",
	    "\"format\":\"csv\",\"columns\":[\"t\",\"a\",\"b\"],"
	    "\"listDelimiter\":\";\",\"dimensionsSpec\":{"
	    "\"dimensions\":[\"a\",\"b\"]}",
	    "");
	char *text = must_format(
	    "{\"dataSources\":[%s,%s],\"properties\":{"
	    "\"druid.overlord.url\":\"http://x\",\"tranqd.receivers\":1}}",
	    foo, bar);

	free(foo);
	free(bar);
	return text;
}

static void
set_up(void)
{
	struct conf_problems problems = { 0 };
	char *text;

	if (rig.conf != NULL)
		return;
	fuzz_silence();
	text = conf_text_new();
	rig.conf = conf_parse("test.json", text, strlen(text), &problems);
	free(text);
	must(rig.conf != NULL && rig.conf->ds_count == 2);
	receiver_check(rig.conf, &problems);
	must(problems.count == 0);
	conf_problems_free(&problems);
	rig.loop = loop_new();
}

static void
attach(struct settings_ds *ds, struct channel *worker)
{
	int fd = channel_create(ds->conf->name, 0, 1, RING_BYTES);
	struct outlet *o;

	must(fd >= 0 && channel_attach(worker, dup(fd), -1, -1));
	o = outlet_new(&rig.posts.outlets, fd, bell_new());
	must(o != NULL);
	settings_attach(ds, o);
}

static void
begin_rig(void)
{
	struct settings *s;

	memory_init(&rig.memory, MEMORY_MAX);
	post_init(&rig.posts, rig.loop, &rig.memory, 1);
	rig.posts.done = done;
	rig.posts.written = written;
	s = settings_new(rig.conf, NULL);
	for (unsigned i = 0; i < 2; i++)
		attach(&s->ds[i], &rig.workers[i]);
	rig.posts.settings = s;
}

/* The client is gone. */
static void
abandon(unsigned i)
{
	if (rig.open[i] != NULL)
		post_abandon(rig.open[i]);
	rig.open[i] = NULL;
	free(rig.bodies[i]);
	rig.bodies[i] = NULL;
}

static void
time_is_up(unsigned i)
{
	struct loop_timer *t;

	if (rig.open[i] == NULL)
		return;
	t = &rig.open[i]->timer;
	must(loop_timer_active(t));
	loop_timer_stop(t);
	t->due(t);
}

static void
end_rig(void)
{
	for (unsigned i = 0; i < POSTS_MAX; i++)
		abandon(i);
	post_fini(&rig.posts);
	must(rig.memory.used == 0);
	memory_fini(&rig.memory);
	for (unsigned i = 0; i < 2; i++) {
		close(rig.workers[i].memory_fd);
		channel_detach(&rig.workers[i]);
	}
}

/* What it has come for is taken, so that the receiver may sleep. */
static void
settle(void)
{
	settle_posts(&rig.posts);
	for (unsigned i = 0; i < 2; i++) {
		struct outlet *o = rig.posts.settings->ds[i].outlet;

		must(o->waiters == 0 ||
		    ring_consumer_may_sleep(&o->channel.acks));
		ring_consumer_awake(&o->channel.acks);
	}
}

static void
step(struct fuzz_input *in, bool *is_honest)
{
	uint8_t what = fuzz_byte(in);
	struct channel *c = &rig.workers[what >> 7];

	rig.posts.wall_ms = NOW_MS;
	switch (what % 8) {
	case 1: send_ack(in, c); break;
	case 2:
		if (*is_honest)
			take_all(c);
		break;
	case 3:
		poke(in, c);
		*is_honest = false;
		break;
	case 4: time_is_up(what >> 3 & 7); break;
	case 5: abandon(what >> 3 & 7); break;
	case 6: settle(); break;
	default: begin(in);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input in = { data, data + bytes };
	bool is_honest = true;

	set_up();
	begin_rig();
	while (in.at < in.end)
		step(&in, &is_honest);
	settle();
	if (is_honest)
		for (unsigned i = 0; i < 2; i++)
			take_all(&rig.workers[i]);
	end_rig();
	return 0;
}

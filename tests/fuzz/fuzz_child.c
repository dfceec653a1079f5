/*
 * fuzz_child - a receiver or worker that was taken over, as the supervisor sees
 * it
 *
 * The input is what such a process does: messages on its socket, any bytes in
 * its life page and in the header of a channel; and between that what happens
 * to it in the supervisor's table of states. The supervisor must go on, hear
 * whole messages only and keep no descriptor of them; what it prints as the
 * status must be JSON, without control characters of the child's. No process is
 * started.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz_input.h"
#include "json.h"
#include "one_ds.h"
#include "status.h"
#include "supervisor.h"

#define LOOKS_MAX 30 /* of one input: each is 30 ms under sanitizers */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct {
	struct supervisor supervisor;
	struct front front; /* the receiver that was taken over */
	struct channel_header *header; /* as a receiver has it */
	int other_end; /* the child's */
	unsigned said; /* whole messages that may still be heard */
	int64_t now_ms;
	pid_t last_pid;
	bool fork_fails;
} rig;

/* ---- the child's outside ---- */

static pid_t
spawn(struct child *c)
{
	int ends[2];

	if (rig.fork_fails) {
		errno = EAGAIN;
		return -1;
	}
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		 0, ends) == 0);
	c->control_fd = ends[0];
	if (rig.other_end >= 0)
		close(rig.other_end);
	rig.other_end = ends[1];
	rig.said = 0;
	return ++rig.last_pid;
}

static int64_t
queue(struct child *c UNUSED, int64_t now_ms UNUSED)
{
	return 0;
}

static void
examine(struct child *c UNUSED, struct vitals *v)
{
	v->state = 'R';
}

static void
kill_it(struct child *c, int number UNUSED)
{
	must(c->pid > 0);
}

static void
changed(struct child *c UNUSED)
{
}

static void
report(struct child *c UNUSED, const struct order_message *m UNUSED)
{
	must(rig.said > 0);
	rig.said--;
}

static const struct child_ops ops = { .spawn = spawn,
	.queue = queue,
	.examine = examine,
	.kill = kill_it,
	.changed = changed,
	.report = report };

/* ---- once ---- */

static void
set_up_supervisor(struct supervisor *s)
{
	static struct source *source;
	struct trouble t;

	s->options.file = "test.json";
	s->loop = loop_new();
	s->conf = one_ds(NULL, "\"druid.overlord.url\":\"http://x\"");
	s->phase = SUPERVISOR_RUNNING;
	s->fronts = &rig.front;
	s->front_count = 1;
	source = source_new(s, s->conf, "foo", &t);
	must(source != NULL);
	s->sources = &source;
	s->source_count = 1;
}

static void
set_up(void)
{
	struct supervisor *s = &rig.supervisor;
	void *at;

	if (s->loop != NULL)
		return;
	fuzz_silence();
	set_up_supervisor(s);
	at = mmap(NULL, sizeof *rig.header, PROT_READ | PROT_WRITE, MAP_SHARED,
	    s->sources[0]->channels[0].fd, 0);
	must(at != MAP_FAILED);
	rig.header = at;
	rig.other_end = -1;
}

/* ---- what it does ---- */

static void
say(struct fuzz_input *in)
{
	struct order_message m[2] = { 0 };
	uint8_t how = fuzz_byte(in);
	int fd = how & 1 ? rig.other_end : -1;
	size_t bytes = sizeof m[0];
	bool is_sent;

	if (rig.other_end < 0)
		return;
	m[0].order = how & 2 ? fuzz_byte(in) % 8 : (uint32_t)fuzz_number(in, 4);
	m[0].index = (uint32_t)fuzz_number(in, 4);
	m[0].value = fuzz_number(in, 8);
	if (how & 4) { /* a length that no order has */
		bytes = fuzz_byte(in) % sizeof m;
		is_sent = send(rig.other_end, m, bytes,
			      MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes;
	} else {
		is_sent = order_send(rig.other_end, m, fd, how & 8 ? fd : -1);
	}
	rig.said += is_sent && bytes == sizeof m[0];
}

static void
scribble(struct fuzz_input *in, void *to, size_t bytes)
{
	size_t at = fuzz_number(in, 2) * 8 % bytes;
	size_t n = MIN_OF((size_t)fuzz_byte(in), bytes - at);

	n = MIN_OF(n, (size_t)(in->end - in->at));
	memcpy((char *)to + at, in->at, n);
	in->at += n;
}

/* Nothing ends in it, and a publication may never be over. */
static void
fill(struct fuzz_input *in, struct life *life)
{
	memset(life, fuzz_byte(in), sizeof *life);
}

static void
publish(struct fuzz_input *in, struct life *life)
{
	char *text = fuzz_line(in);
	struct counters c = { 0 };

	for (size_t i = 0; i < sizeof c / sizeof(uint64_t) && i < 8; i++)
		((uint64_t *)&c)[fuzz_byte(in) %
		    (sizeof c / sizeof(uint64_t))] = fuzz_number(in, 8);
	life_publish(life, &c, text);
	free(text);
}

static void
happen(struct fuzz_input *in)
{
	struct child *c = &rig.front.child;
	uint8_t what = fuzz_byte(in);

	rig.now_ms += (int64_t)fuzz_number(in, 2);
	rig.fork_fails = what & 0x80;
	switch (what % 8) {
	case 0: child_start(c); break;
	case 1: child_stop(c, (int64_t)fuzz_number(in, 2)); break;
	case 2: child_reload(c, (int64_t)fuzz_number(in, 2)); break;
	case 3:
		if (c->pid > 0)
			child_reaped(c, (int)fuzz_number(in, 2));
		break;
	default: child_check(c, rig.now_ms, 1000);
	}
}

/* ---- what is seen ---- */

static unsigned
count_descriptors(void)
{
	DIR *all = opendir("/proc/self/fd");
	unsigned count = 0;

	must(all != NULL);
	while (readdir(all) != NULL)
		count++;
	closedir(all);
	return count;
}

static void
check_plain(const struct json *object, const char *name)
{
	const char *text = json_get_text(object, name, "");

	for (; *text != '\0'; text++)
		must(*text >= ' ' && *text <= '~');
}

static void
check_status(const struct json *status)
{
	const struct json *receiver = json_at(json_get(status, "receivers"), 0);

	must(json_size(json_get(status, "dataSources")) == 1);
	must(receiver != NULL);
	check_plain(receiver, "confined");
	check_plain(receiver, "silence");
	check_plain(json_get(receiver, "lastDeath"), "lastWords");
}

static void
look(void)
{
	static char text[LIFE_TEXT_BYTES];
	struct supervisor *s = &rig.supervisor;
	struct json_error error;
	struct buf status;
	struct json *j;

	loop_poll(s->loop);
	loop_once(s->loop);
	child_counters(&rig.front.child, text);
	must(memchr(text, '\0', sizeof text) != NULL);
	child_silence(&rig.front.child, text, sizeof text);
	buf_init(&status, CTL_BODY_MAX);
	status_print(s, &status);
	must(!status.failed);
	j = json_parse(status.bytes, status.used, &error);
	must(j != NULL);
	check_status(j);
	json_free(&j);
	buf_free(&status);
}

static void
run(struct fuzz_input *in)
{
	struct life *life = rig.supervisor.sources[0]->worker.life;
	unsigned looks = 0;

	while (in->at < in->end) {
		uint8_t what = fuzz_byte(in);

		switch (what % 8) {
		case 0: say(in); break;
		case 1: scribble(in, rig.front.child.life, sizeof *life); break;
		case 2: scribble(in, life, sizeof *life); break;
		case 3: scribble(in, rig.header, sizeof *rig.header); break;
		case 4:
			publish(in, what & 8 ? life : rig.front.child.life);
			break;
		case 5: happen(in); break;
		case 6: fill(in, what & 8 ? life : rig.front.child.life); break;
		default:
			if (looks++ < LOOKS_MAX)
				look();
		}
	}
	look();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_input in = { data, data + bytes };
	struct child *c = &rig.front.child;
	unsigned descriptors;

	set_up();
	descriptors = count_descriptors();
	memset(rig.supervisor.sources[0]->worker.life, 0, sizeof(struct life));
	memset(rig.header, 0, sizeof *rig.header);
	rig.now_ms = 1000000;
	must(child_init(c, rig.supervisor.loop, &ops, NULL));
	child_name(c, "receiver %d", 0);
	run(&in);
	child_stop(c, 0);
	if (c->pid > 0)
		child_reaped(c, 0);
	must(child_at_rest(c));
	child_fini(c);
	if (rig.other_end >= 0)
		close(rig.other_end);
	rig.other_end = -1;
	must(count_descriptors() == descriptors);
	return 0;
}

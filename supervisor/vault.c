/*
 * vault - reads the configuration where none of its secrets can stay behind
 *
 * Process: supervisor, its short-lived reader, workers.
 * Before:  prepare.c and receiver_keys check and read what is named.
 * Fails:   as the configuration does, with a line for each problem; a reader
 *          that dies is one.
 */
#include "vault.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "conf_secret.h"
#include "heritage.h"
#include "log.h"
#include "panic.h"
#include "receiver_keys.h"
#include "sealed.h"
#include "trust_store.h"

#include "prepare.h"

/* Problems, warnings, and a document of at most CONF_BYTES_MAX, which may grow
 * by escapes. */
#define TEXT_BYTES_MAX (16u * CONF_BYTES_MAX)

/* What the reader says, as order_message. */
enum word {
	/* first: the text, and the receivers' keys, if any */
	WORD_TEXT = 1,
	/* the feed's keys */
	WORD_FEED_KEYS,
	/* secrets of dataSource `index` */
	WORD_SECRETS,
	/* all is said */
	WORD_END,
};

/* What each part of the text begins with; it ends with a NUL. */
enum { TAG_PROBLEM = 'P', TAG_WARNING = 'W', TAG_DOCUMENT = 'D' };

void
vault_check(struct conf *conf, struct conf_problems *problems)
{
	int fd;

	prepare_check(conf, problems);
	/* read again when all is good: it goes with what is kept then */
	for (unsigned i = 0; i < RECEIVER_KEYS_KINDS; i++)
		if (receiver_keys_load(conf, i, &fd, problems) && fd >= 0)
			close(fd);
}

/*
 * The reader.
 */

/* Properties that take effect at a restart only keep their values. */
static struct conf *
keep_restart_properties(const struct conf *now, const struct conf *then,
    struct conf_problems *problems)
{
	static const char *const names[] = {
#define RESTART_IS_RESTART(name) name,
#define RESTART_IS_LIVE(name)
#define GLOBAL_PROPERTY(type, member, name, def, low, high, reload, text) \
	RESTART_IS_##reload(name)
#define DS_PROPERTY(...)
#include "properties.def"
#undef GLOBAL_PROPERTY
#undef DS_PROPERTY
	};
	const struct json *old = json_get(now->document, "properties");
	struct json *document = json_clone(then->document);
	struct json *to = json_get(document, "properties");
	struct conf_problems none = { 0 };
	struct conf *kept;
	char *text;

	if (!json_is_object(to)) {
		json_set(document, "properties", json_new_object());
		to = json_get(document, "properties");
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct json *value = json_get(old, names[i]);

		json_remove(to, names[i]);
		if (value != NULL)
			json_set(to, names[i], json_clone(value));
	}
	text = json_to_text(document);
	kept = conf_parse(then->file, text, strlen(text), &none);
	if (kept != NULL)
		trust_store_load(kept, &none);
	for (unsigned i = 0; i < none.count; i++)
		conf_problem(problems, "%s", none.lines[i]);
	free(text);
	json_free(&document);
	conf_problems_free(&none);
	return kept;
}

/* Problems say whether it can be used. */
static struct conf *
read_whole(
    const char *file, const struct conf *now, struct conf_problems *problems)
{
	struct conf *then = conf_load_checked(file, vault_check, problems);
	struct conf *kept;
	char *names;

	if (then != NULL && now != NULL &&
	    (names = conf_restart_needed(now, then)) != NULL) {
		conf_warning(problems,
		    "%s: keeps its old value until tranqd is restarted", names);
		free(names);
		kept = keep_restart_properties(now, then, problems);
		conf_free(&then);
		then = kept;
	}
	if (then != NULL)
		(void)!(receiver_keys_load(then, RECEIVER_KEYS_OF_RECEIVER,
			    &then->keys_fd, problems) &&
		    receiver_keys_load(then, RECEIVER_KEYS_OF_FEED,
			&then->feed_keys_fd, problems));
	return then;
}

static void
add_part(struct buf *to, char tag, const char *text)
{
	buf_add(to, &tag, 1);
	buf_add(to, text, strlen(text) + 1);
}

static void
say(int to, enum word word, unsigned index, int fd0, int fd1)
{
	const struct order_message m = { .order = word, .index = index };
	struct pollfd room = { .fd = to, .events = POLLOUT };

	while (!order_send(to, &m, fd0, fd1)) {
		/* ETOOMANYREFS: the supervisor takes some out just now */
		if (errno != EAGAIN && errno != ETOOMANYREFS)
			fatal("configuration's reader");
		poll(&room, 1, errno == EAGAIN ? -1 : 1);
	}
}

static void
say_text(int to, const struct conf *conf, const struct conf_problems *p)
{
	struct buf text;
	char *document;
	int fd;

	buf_init(&text, TEXT_BYTES_MAX);
	for (unsigned i = 0; i < p->warning_count; i++)
		add_part(&text, TAG_WARNING, p->warnings[i]);
	for (unsigned i = 0; i < p->count; i++)
		add_part(&text, TAG_PROBLEM, p->lines[i]);
	if (conf != NULL) {
		document = conf_secret_hide(conf);
		add_part(&text, TAG_DOCUMENT, document);
		free(document);
	}
	must_afford(!text.failed);
	fd = sealed_new("tranqd-conf", text.bytes, text.used);
	if (fd < 0)
		fatal("no memory or descriptor for the configuration's "
		      "text; raise the limits (ulimit -n, -v)");
	say(to, WORD_TEXT, 0, fd, conf != NULL ? conf->keys_fd : -1);
	close(fd);
	buf_free(&text);
}

/* Most dataSources have those of the whole file, and share one descriptor's
 * memory. */
static void
say_secrets(int to, const struct conf *conf, unsigned index)
{
	struct ds_conf *ds = &conf->ds[index];
	struct buf packed;

	buf_init(&packed, CONF_SECRET_BYTES_MAX);
	for (unsigned i = 0; i < index && ds->secrets_fd < 0; i++)
		if (conf->ds[i].secrets_fd >= 0 &&
		    conf_secret_same(&conf->ds[i], ds))
			ds->secrets_fd = conf->ds[i].secrets_fd;
	if (ds->secrets_fd < 0 && conf_secret_pack(ds, &packed)) {
		ds->secrets_fd =
		    sealed_new("tranqd-secrets", packed.bytes, packed.used);
		if (ds->secrets_fd < 0)
			fatal("no memory or descriptor for secrets of %s; "
			      "raise the limits (ulimit -n, -v)",
			    ds->name);
	}
	buf_free(&packed);
	if (ds->secrets_fd >= 0)
		say(to, WORD_SECRETS, index, ds->secrets_fd, -1);
}

/* All that it has had in hand goes with it. */
static NORETURN void
be_reader(const char *file, const struct conf *now, int to, pid_t supervisor)
{
	struct conf_problems problems = { 0 };
	struct conf *conf;

	/* no core file, no debugger, and nothing of us when it is gone: it
	 * holds siblings' sockets (spawn.c) */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != supervisor ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		_exit(EXIT_FAILURE);
	conf = read_whole(file, now, &problems);
	if (problems.count > 0)
		conf = NULL;
	say_text(to, conf, &problems);
	if (conf != NULL && conf->feed_keys_fd >= 0)
		say(to, WORD_FEED_KEYS, 0, conf->feed_keys_fd, -1);
	for (unsigned i = 0; conf != NULL && i < conf->ds_count; i++)
		say_secrets(to, conf, i);
	say(to, WORD_END, 0, -1, -1);
	_exit(EXIT_SUCCESS);
}

/*
 * The supervisor.
 */

/* What is made of what the reader says. */
struct hearing {
	const char *file;
	struct conf_problems *problems;
	struct conf *conf;
	bool has_lost, is_whole;
};

static void
take_document(struct hearing *h, const char *text)
{
	struct conf_problems none;

	conf_free(&h->conf);
	h->conf = conf_parse(h->file, text, strlen(text), &none);
	/* the reader has found it good: one of us is wrong */
	for (unsigned i = 0; i < none.count; i++)
		conf_problem(h->problems, "%s", none.lines[i]);
	conf_problems_free(&none);
}

static void
take_text(struct hearing *h, int fd)
{
	size_t count = 0;
	const char *bytes = sealed_map(fd, TEXT_BYTES_MAX, &count);
	const char *at = bytes;

	if (bytes == NULL) {
		conf_problem(h->problems,
		    "%s: no memory for what has been read of it: %s; try "
		    "again, or raise the limits (ulimit -v)",
		    h->file, strerror(errno));
		return;
	}
	for (; at < bytes + count; at += strlen(at) + 1)
		switch (*at) {
		case TAG_PROBLEM:
			conf_problem(h->problems, "%s", at + 1);
			break;
		case TAG_WARNING:
			conf_warning(h->problems, "%s", at + 1);
			break;
		case TAG_DOCUMENT: take_document(h, at + 1); break;
		default: unreachable("a part that no reader makes");
		}
	sealed_unmap(&bytes, count);
}

/* Nobody shall go by a configuration whose secrets did not come. */
static void
lose(struct hearing *h)
{
	if (!h->has_lost)
		conf_problem(h->problems,
		    "%s: no descriptors for all that was read of it; raise "
		    "the limit (LimitNOFILE in the unit, ulimit -n)",
		    h->file);
	h->has_lost = true;
}

/* The descriptor that is kept is none any more. */
static void
hear(struct hearing *h, const struct order_message *m, int fds[2])
{
	/* each word but the last comes with one at least */
	if (fds[0] < 0 && m->order != WORD_END) {
		lose(h);
		return;
	}
	switch (m->order) {
	case WORD_TEXT:
		take_text(h, fds[0]);
		if (h->conf != NULL) {
			h->conf->keys_fd = fds[1];
			fds[1] = -1;
		}
		break;
	case WORD_FEED_KEYS:
		if (h->conf == NULL)
			break;
		h->conf->feed_keys_fd = fds[0];
		fds[0] = -1;
		break;
	case WORD_SECRETS:
		if (h->conf == NULL || m->index >= h->conf->ds_count)
			break;
		h->conf->ds[m->index].secrets_fd = fds[0];
		fds[0] = -1;
		break;
	case WORD_END: h->is_whole = true; break;
	default: unreachable("a word that no reader says");
	}
}

/* Until the end, the reader's or its time's. */
static void
listen_to(struct hearing *h, int from)
{
	int64_t left, until = clock_mono_ms() + VAULT_READ_MS;
	struct pollfd in = { .fd = from, .events = POLLIN };
	struct order_message m;
	int got = -1, fds[2];

	while (
	    !h->is_whole && got != 0 && (left = until - clock_mono_ms()) > 0) {
		if (poll(&in, 1, (int)left) < 0 && errno != EINTR)
			return;
		got = order_receive(from, &m, &fds[0], &fds[1]);
		if (got > 0)
			hear(h, &m, fds);
		for (int i = 0; i < 2; i++)
			if (fds[i] >= 0)
				close(fds[i]);
	}
}

/* It is over with it, as it is with its memory when this returns. */
static void
end_reader(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

struct conf *
vault_load(
    const char *file, const struct conf *now, struct conf_problems *problems)
{
	struct hearing h = { .file = file, .problems = problems };
	pid_t pid = -1, self = getpid();
	int ends[2], error = 0;

	*problems = (struct conf_problems){ 0 };
	/* of how many dataSources is known when they have been read */
	heritage_raise_files();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		0, ends) == 0) {
		fflush(NULL);
		pid = fork();
		if (pid == 0)
			be_reader(file, now, ends[1], self);
		error = errno;
		close(ends[1]);
		if (pid > 0) {
			listen_to(&h, ends[0]);
			end_reader(pid);
		}
		close(ends[0]);
	} else {
		error = errno;
	}
	if (pid < 0)
		conf_problem(problems,
		    "%s: no process or descriptor to read it: %s; try again, "
		    "or raise the limits (ulimit -n, -u)",
		    file, strerror(error));
	else if (!h.is_whole)
		conf_problem(problems,
		    "%s: the process that reads it has died, or has not come "
		    "to an end in %d s; see the log, and whether the disk "
		    "answers",
		    file, VAULT_READ_MS / 1000);
	if (problems->count > 0)
		conf_free(&h.conf);
	return h.conf;
}

bool
vault_same(const struct ds_conf *a, const struct ds_conf *b)
{
	const char *one, *other;
	size_t bytes = 0, others = 0;
	bool same;

	if (a->secrets_fd < 0 || b->secrets_fd < 0)
		return a->secrets_fd < 0 && b->secrets_fd < 0;
	one = sealed_map(a->secrets_fd, CONF_SECRET_BYTES_MAX, &bytes);
	other = sealed_map(b->secrets_fd, CONF_SECRET_BYTES_MAX, &others);
	same = one != NULL && other != NULL && bytes == others &&
	    memcmp(one, other, bytes) == 0;
	sealed_unmap(&one, bytes);
	sealed_unmap(&other, others);
	return same;
}

bool
vault_open(struct ds_conf *ds)
{
	const char *bytes;
	size_t count;

	if (ds->secrets_fd < 0)
		return true;
	bytes = sealed_map(ds->secrets_fd, CONF_SECRET_BYTES_MAX, &count);
	if (bytes == NULL)
		return false;
	conf_secret_unpack(ds, bytes, count);
	close(ds->secrets_fd);
	ds->secrets_fd = -1;
	return true;
}

/*
 * feed_stage - a feed process on a stage: a supervisor and a worker that do as
 * they are told
 *
 * usage: feed_stage CONF
 *
 * CONF is a configuration with pull.listen and one dataSource, whose spool is
 * made in its data folder. Lines of standard input, each answered by a line
 * "ok START END PORT PID" (offsets of partition 0; of the feed):
 *
 *   put BATCHES RECORDS BYTES CODEC   record n is {"n":n,"pad":"xx…"} with so many
 *                   x, and of the time 1700000000000 + n ms; n from 0 on;
 *                   the batches go to the partitions in turn
 *   trim OFFSET     what lies before it is removed
 *   kill            the feed is killed, and another one born
 *   stop            the same, asked to end
 *   away, back      the worker is away; it is back
 *   leave           the worker is killed: the page is as it was, the spool is
 *                   nobody's
 *   open            another one opens the spool, whatever that is by now
 *   quiet BATCHES RECORDS BYTES CODEC   as put, but the page is not told
 *   tell            it is
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel.h"
#include "clock.h"
#include "compression.h"
#include "feed_check.h"
#include "heritage.h"
#include "log.h"
#include "log_page.h"
#include "panic.h"
#include "port.h"
#include "receiver_keys.h"
#include "record_batch.h"
#include "spool_internal.h"
#include "spool_log.h"

#define FIRST_MS INT64_C(1700000000000)
#define VALUE_MAX (8 * MiB)
#define READY_MS 20000

static struct {
	struct conf *conf;
	struct confine *confine;
	struct log_page *page;
	struct spool *spool;
	int page_fd, bell, listen_fd, keys_fd, life_fd, control;
	unsigned port;
	pid_t feed;
	uint64_t put; /* records */
	unsigned partitions, next; /* where the next batch goes */
} stage;

static NORETURN void
die(const char *what, const char *why)
{
	fprintf(stderr, "feed_stage: %s: %s\n", what, why);
	exit(1);
}

static void
read_conf(const char *file)
{
	struct conf_problems problems = { 0 };
	struct trouble trouble;

	stage.conf = conf_load(file, &problems);
	if (stage.conf != NULL)
		feed_check(stage.conf, &problems);
	if (stage.conf == NULL || problems.count > 0)
		die(file, problems.lines[0]);
	if (!receiver_keys_load(
		stage.conf, RECEIVER_KEYS_OF_FEED, &stage.keys_fd, &problems))
		die(file, problems.lines[0]);
	stage.listen_fd =
	    port_open(stage.conf, PORT_PULL, &stage.port, &trouble);
	if (stage.listen_fd < 0)
		die("pull.listen", trouble.text);
	conf_problems_free(&problems);
}

static void
commit(void)
{
	char error[600];

	if (spool_commit(stage.spool, error, sizeof error) != RESULT_OK)
		die("commit", error);
}

static void
open_spool(void)
{
	char *dir = must_format("%s/spool", stage.conf->data_dir);
	char *path = must_format("%s/%s", dir, stage.conf->ds[0].name);
	struct spool_options o = { .dir = path,
		.ds = stage.conf->ds[0].name,
		.bytes_max = (int64_t)4096 * MiB,
		.now_ms = clock_wall_ms() };
	char error[600];

	if ((mkdir(dir, 0700) < 0 && errno != EEXIST) ||
	    (mkdir(path, 0700) < 0 && errno != EEXIST))
		die(path, strerror(errno));
	stage.spool = spool_open(&o, error, sizeof error);
	if (stage.spool == NULL)
		die(path, error);
	spool_begin(stage.spool);
	spool_log_begin(stage.spool, stage.partitions, clock_wall_ms());
	commit();
	free(path);
	free(dir);
}

/* ---- the feed ---- */

static NORETURN void
be_feed(int control)
{
	int page = dup(stage.page_fd), keys = -1;
	struct heritage h = { .conf = stage.conf,
		.confine = stage.confine,
		.control_fd = control,
		.listen_fds = { -1, -1, dup(stage.listen_fd) },
		.page_fd = -1,
		.feed_bell = stage.bell,
		.page_fds = &page,
		.pull_port = stage.port };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	close(STDIN_FILENO);
	/* the spool is not ours to own */
	close(stage.spool->lock_fd);
	if (stage.keys_fd >= 0)
		keys = dup(stage.keys_fd);
	h.keys_fd = keys;
	h.life = life_attach(stage.life_fd);
	must(h.life != NULL);
	log_process("feed", NULL);
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	exit(feed_main(&h));
}

static void
start_feed(void)
{
	struct order_message m;
	int ends[2], fds[2];
	struct pollfd ready;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
	ready = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	fflush(NULL);
	stage.feed = fork();
	must(stage.feed >= 0);
	if (stage.feed == 0) {
		close(ends[0]);
		be_feed(ends[1]);
	}
	close(ends[1]);
	stage.control = ends[0];
	while (poll(&ready, 1, READY_MS) == 1 &&
	    order_receive(ends[0], &m, &fds[0], &fds[1]) > 0)
		if (m.order == ORDER_READY)
			return;
	die("feed", "does not become ready");
}

static void
end_feed(bool gently)
{
	struct order_message stop = { .order = ORDER_STOP, .value = 5000 };
	int code;

	if (gently)
		must(order_send(stage.control, &stop, -1, -1));
	else
		kill(stage.feed, SIGKILL);
	must(waitpid(stage.feed, &code, 0) == stage.feed);
	if (gently && code != 0)
		die("feed", "does not end as it is asked to");
	close(stage.control);
}

/* ---- the worker ---- */

static void
tell(void)
{
	for (unsigned i = 0; i < stage.partitions; i++)
		log_page_tell(stage.page, i, spool_log_range(stage.spool, i));
	log_page_ring(stage.page, stage.bell);
}

static void
back(void)
{
	tell();
	log_page_open(stage.page, spool_log_identity(stage.spool));
	log_page_ring(stage.page, stage.bell);
}

static void
put_batch(unsigned records, size_t bytes, struct compression *codec)
{
	static char value[VALUE_MAX + 64], pad[VALUE_MAX];
	struct record_batch batch;
	size_t size;
	char *sealed;

	memset(pad, 'x', sizeof pad);
	record_batch_init(&batch);
	for (unsigned i = 0; i < records; i++) {
		int used = snprintf(value, sizeof value,
		    "{\"n\":%llu,\"pad\":\"%.*s\"}",
		    (unsigned long long)stage.put, (int)bytes, pad);

		record_batch_add(&batch, FIRST_MS + (int64_t)stage.put++, value,
		    (size_t)used);
	}
	sealed = record_batch_seal(&batch, codec, &size);
	record_batch_free(&batch);
	spool_begin(stage.spool);
	(void)spool_log_put(
	    stage.spool, stage.next, sealed, size, clock_wall_ms());
	stage.next = (stage.next + 1) % stage.partitions;
	commit();
	free(sealed);
}

static void
put(const char *arguments)
{
	unsigned batches, records, bytes;
	enum compression_codec codec;
	struct compression *packer;
	char name[16];

	if (sscanf(arguments, "%u %u %u %15s", &batches, &records, &bytes,
		name) != 4 ||
	    bytes > VALUE_MAX || !compression_of_name(name, &codec))
		die(arguments, "BATCHES RECORDS BYTES CODEC");
	packer = codec != COMPRESSION_NONE ? compression_new(codec) : NULL;
	for (unsigned i = 0; i < batches; i++)
		put_batch(records, bytes, packer);
	if (packer != NULL)
		compression_free(&packer);
}

static void
trim(const char *arguments)
{
	uint64_t floor = strtoull(arguments, NULL, 10);
	bool more;

	do {
		spool_begin(stage.spool);
		more = spool_log_trim(stage.spool, 0, floor, 100);
		commit();
	} while (more);
	tell();
}

static void
obey(char *line)
{
	char *rest = line;
	const char *what = strsep(&rest, " \n");

	if (strcmp(what, "put") == 0 || strcmp(what, "quiet") == 0)
		put(rest);
	if (strcmp(what, "put") == 0 || strcmp(what, "tell") == 0)
		tell();
	if (strcmp(what, "trim") == 0)
		trim(rest);
	if (strcmp(what, "away") == 0)
		log_page_close(stage.page);
	if (strcmp(what, "back") == 0)
		back();
	if (strcmp(what, "leave") == 0)
		spool_close(&stage.spool);
	if (strcmp(what, "open") == 0) {
		open_spool();
		back();
	}
	if (strcmp(what, "kill") == 0 || strcmp(what, "stop") == 0) {
		end_feed(strcmp(what, "stop") == 0);
		start_feed();
	}
}

static void
answer(void)
{
	struct log_range range = log_page_range(stage.page, 0);

	printf("ok %llu %llu %u %d\n", (unsigned long long)range.start,
	    (unsigned long long)range.end, stage.port, (int)stage.feed);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	char line[256];

	if (argc != 2)
		die("usage", "feed_stage CONF");
	signal(SIGPIPE, SIG_IGN);
	read_conf(argv[1]);
	stage.partitions = (unsigned)stage.conf->ds[0].pull_partitions;
	if (stage.conf->confine && confine_obstacle() == NULL)
		stage.confine = confine_new();
	stage.page_fd = log_page_create();
	stage.page = log_page_attach(stage.page_fd);
	stage.bell = bell_new();
	stage.life_fd = life_create();
	must(stage.page != NULL && stage.bell >= 0 && stage.life_fd >= 0);
	open_spool();
	start_feed();
	back();
	log_page_tell_peers(
	    stage.page, &(struct log_peers){ .is_shared = false });
	answer();
	while (fgets(line, sizeof line, stdin) != NULL) {
		obey(line);
		answer();
	}
	end_feed(true);
	spool_close(&stage.spool);
	return 0;
}

/*
 * zk_fixture - what the tests with a real ZooKeeper share
 */
#include "zk_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "panic.h"

#define LINKS_MAX 64
#define TICK_MS 20

struct link {
	struct proxy *proxy;
	int client_fd, server_fd;
	struct loop_io client, server;
};

struct proxy {
	struct fixture *fixture;
	struct loop_io listener;
	int port, server_port, accepted, cut_at;
	bool held, has_cut;
	struct link *links[LINKS_MAX];
};

/* ---- fixture -------------------------------------------------------------- */

const char *
fixture_server(void)
{
	const char *server = getenv("TRANQ_TEST_ZK");

	if (server == NULL || strrchr(server, ':') == NULL) {
		printf(
		    "skipped: no ZooKeeper, see tests/helper/zookeeper.py\n");
		return NULL;
	}
	return server;
}

int
fixture_server_port(void)
{
	return atoi(strrchr(fixture_server(), ':') + 1);
}

bool
fixture_order(const char *word)
{
	const char *pipe = getenv("TRANQ_TEST_ZK_CONTROL");
	char line[32];
	int fd, n;

	if (pipe == NULL || (fd = open(pipe, O_WRONLY | O_CLOEXEC)) < 0)
		return false;
	n = snprintf(line, sizeof line, "%s\n", word);
	must(write(fd, line, (size_t)n) == n);
	close(fd);
	return true;
}

static void
tick(struct loop_timer *t)
{
	struct fixture *f = t->context;

	loop_timer_start(f->loop, t, TICK_MS, tick);
}

void
fixture_init(struct fixture *f)
{
	*f = (struct fixture){ .loop = loop_new() };
	f->tick.context = f;
	loop_timer_start(f->loop, &f->tick, TICK_MS, tick);
}

void
fixture_fini(struct fixture *f)
{
	loop_timer_stop(&f->tick);
	loop_free(&f->loop);
}

void
fixture_turn(struct fixture *f)
{
	f->turns++;
	loop_once(f->loop);
}

void
fixture_run(struct fixture *f, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end)
		fixture_turn(f);
}

void
fixture_folder(char *path, size_t bytes)
{
	static int number;

	snprintf(path, bytes, "/test-%d-%lld-%d", (int)getpid(),
	    (long long)clock_mono_ns(), ++number);
}

void
told_done(void *context, const struct zk_answer *a)
{
	struct told *t = context;

	t->call = NULL;
	t->times++;
	t->result = a->result;
	t->refusal = a->refusal;
	t->version = a->version;
	t->byte_count = a->byte_count;
	t->name_count = a->name_count;
	snprintf(t->path, sizeof t->path, "%s", a->path);
	if (a->bytes != NULL && a->byte_count < sizeof t->bytes)
		memcpy(t->bytes, a->bytes, a->byte_count + 1);
	for (size_t i = 0; i < a->name_count && i < ARRAY_LEN(t->names); i++)
		snprintf(t->names[i], sizeof t->names[i], "%s", a->names[i]);
}

/* ---- proxy ---------------------------------------------------------------- */

static void
link_end(struct link *l)
{
	struct proxy *p = l->proxy;

	for (int i = 0; i < LINKS_MAX; i++)
		if (p->links[i] == l)
			p->links[i] = NULL;
	loop_io_stop(&l->client);
	loop_io_stop(&l->server);
	close(l->client_fd);
	close(l->server_fd);
	free(l);
}

/* False: the link is gone. */
static bool
pass(struct link *l, int from, int to)
{
	char bytes[65536];
	ssize_t n = read(from, bytes, sizeof bytes);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n > 0 && from == l->server_fd && l->proxy->cut_at > 0 &&
	    --l->proxy->cut_at == 0) {
		l->proxy->has_cut = true;
		n = 0;
	}
	/* what the tests send fits any socket's buffer */
	if (n <= 0 || send(to, bytes, (size_t)n, MSG_NOSIGNAL) != n) {
		link_end(l);
		return false;
	}
	return true;
}

static void
client_ready(struct loop_io *io, uint32_t events UNUSED)
{
	struct link *l = io->context;

	pass(l, l->client_fd, l->server_fd);
}

static void
server_ready(struct loop_io *io, uint32_t events UNUSED)
{
	struct link *l = io->context;

	pass(l, l->server_fd, l->client_fd);
}

/* A connection that breaks is reported whatever is asked for, so a held one is
 * not watched at all. */
static void
link_watch(struct link *l, bool on)
{
	struct loop *loop = l->proxy->fixture->loop;

	if (!on) {
		loop_io_stop(&l->client);
		loop_io_stop(&l->server);
		return;
	}
	must(loop_io_start(
	    loop, &l->client, l->client_fd, EPOLLIN, client_ready));
	must(loop_io_start(
	    loop, &l->server, l->server_fd, EPOLLIN, server_ready));
}

static struct sockaddr_in
local_address(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static void
client_arrived(struct loop_io *io, uint32_t events UNUSED)
{
	struct proxy *p = io->context;
	struct sockaddr_in a = local_address(p->server_port);
	int client = accept4(io->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), at = 0;
	struct link *l;

	p->accepted++;
	if (client < 0 || connect(server, (void *)&a, sizeof a) < 0) {
		close(client);
		close(server);
		return;
	}
	l = must_calloc(1, sizeof *l);
	l->proxy = p;
	l->client.context = l->server.context = l;
	while (p->links[at] != NULL)
		must(++at < LINKS_MAX);
	p->links[at] = l;
	l->client.fd = l->server.fd = -1;
	l->client_fd = client;
	l->server_fd = server;
	if (!p->held)
		link_watch(l, true);
}

void
proxy_listen(struct proxy *p, bool on)
{
	struct sockaddr_in a = local_address(p->port);
	socklen_t length = sizeof a;
	int fd = p->listener.fd, one = 1;

	if (on == (fd >= 0))
		return;
	if (!on) {
		loop_io_stop(&p->listener);
		close(fd);
		return;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	must(bind(fd, (void *)&a, sizeof a) == 0);
	must(listen(fd, 64) == 0);
	must(getsockname(fd, (void *)&a, &length) == 0);
	p->port = ntohs(a.sin_port);
	must(loop_io_start(
	    p->fixture->loop, &p->listener, fd, EPOLLIN, client_arrived));
}

struct proxy *
proxy_new(struct fixture *f, int server_port)
{
	struct proxy *p = must_calloc(1, sizeof *p);

	p->fixture = f;
	p->server_port = server_port;
	p->listener.fd = -1;
	p->listener.context = p;
	proxy_listen(p, true);
	return p;
}

void
proxy_cut(struct proxy *p)
{
	for (int i = 0; i < LINKS_MAX; i++)
		if (p->links[i] != NULL)
			link_end(p->links[i]);
}

void
proxy_free(struct proxy **proxy)
{
	struct proxy *p = *proxy;

	*proxy = NULL;
	proxy_cut(p);
	proxy_listen(p, false);
	free(p);
}

void
proxy_hold(struct proxy *p, bool on)
{
	if (p->held == on)
		return;
	p->held = on;
	for (int i = 0; i < LINKS_MAX; i++)
		if (p->links[i] != NULL)
			link_watch(p->links[i], !on);
}

int
proxy_port(const struct proxy *p)
{
	return p->port;
}

void
proxy_cut_answer(struct proxy *p, int n)
{
	p->cut_at = n;
	p->has_cut = false;
}

bool
proxy_has_cut(const struct proxy *p)
{
	return p->has_cut;
}

int
proxy_accepted(const struct proxy *p)
{
	return p->accepted;
}

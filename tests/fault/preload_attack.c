/*
 * preload_attack - what somebody would try who has taken a process over
 *
 * LD_PRELOAD. The file that TRANQ_TEST_ATTACK names is mapped once, at start.
 * A test writes into it which process is to do what, and reads what came of
 * it; the process does it where it would sleep (epoll_wait). What it does is
 * done by system calls of its own, not by anything of tranqd.
 * tests/helper/attack.py has the same layout and names.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define LOOK_MS 10
#define MAPPED_MAX 64

struct order {
	_Atomic uint32_t pid; /* who; he sets 0 when it is done */
	int32_t result; /* 0 or more; -1: see error */
	int32_t error;
	int32_t number; /* a pid, a port, a descriptor */
	char what[32];
	char path[256];
};

typedef int wait_fn(int, struct epoll_event *, int, int);
typedef void *map_fn(void *, size_t, int, int, int, off_t);

static struct order *order;
/* Memory that this process shares with others: rings, its page of life. */
static struct {
	void *at;
	size_t bytes;
} mapped[MAPPED_MAX];
static unsigned mapped_count;

static void __attribute__((constructor)) open_order(void)
{
	const char *path = getenv("TRANQ_TEST_ATTACK");
	int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(
	    NULL, sizeof *order, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		abort();
	order = at;
	close(fd);
}

/* ---- the attacks: each returns what the system call did ---- */

static long
read_file(void)
{
	char byte;
	int fd = open(order->path, O_RDONLY);

	return fd < 0 ? -1 : read(fd, &byte, 1);
}

static long
write_file(void)
{
	int fd = open(order->path, O_WRONLY | O_APPEND);

	return fd < 0 ? -1 : write(fd, "x", 1);
}

static long
make_file(void)
{
	return open(order->path, O_WRONLY | O_CREAT | O_EXCL, 0666);
}

static long
open_newer(void)
{
	struct open_how how = { .flags = O_RDONLY };

	return syscall(SYS_openat2, AT_FDCWD, order->path, &how, sizeof how);
}

static long
look_at_file(void)
{
	struct stat s;

	return stat(order->path, &s);
}

static long
list_folder(void)
{
	return open(order->path, O_RDONLY | O_DIRECTORY);
}

static long
make_folder(void)
{
	return mkdir(order->path, 0777);
}

static long
remove_file(void)
{
	return unlink(order->path);
}

static long
change_mode(void)
{
	return chmod(order->path, 0777);
}

static long
make_link(void)
{
	return symlink("/etc/passwd", order->path);
}

static long
connect_tcp(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)order->number),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -1 : connect(fd, (void *)&to, sizeof to);
}

static long
connect_unix(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(to.sun_path, order->path,
	    strnlen(order->path, sizeof to.sun_path - 1));
	return fd < 0 ? -1 : connect(fd, (void *)&to, sizeof to);
}

static long
bind_tcp(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_port = htons((uint16_t)order->number);
	return fd < 0 ? -1 : bind(fd, (void *)&at, sizeof at);
}

static long
listen_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -1 : listen(fd, 1);
}

static long
raw_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static long
run_program(void)
{
	char *arguments[] = { order->path, NULL };

	return execv(order->path, arguments);
}

static long
fork_self(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid;
}

static long
trace_other(void)
{
	return ptrace(PTRACE_ATTACH, order->number, 0, 0);
}

static long
read_other(void)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { &order, 1 };

	return process_vm_readv(order->number, &here, 1, &there, 1, 0);
}

static long
kill_other(void)
{
	return kill(order->number, SIGKILL);
}

static long
kill_thread_of_other(void)
{
	return syscall(SYS_tgkill, order->number, order->number, SIGKILL);
}

static long
kill_all(void)
{
	return kill(-1, SIGKILL);
}

static long
kill_by_descriptor(void)
{
	long fd = syscall(SYS_pidfd_open, order->number, 0);

	return fd < 0 ? -1
		      : syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}

/* A descriptor that sends SIGKILL when it is ready. */
static long
kill_by_owner(void)
{
	int ends[2];

	if (pipe2(ends, 0) < 0)
		return -1;
	return fcntl(ends[0], F_SETOWN, order->number);
}

static long
limit_other(void)
{
	struct rlimit none = { 0, 0 };

	return prlimit(order->number, RLIMIT_CPU, &none, NULL);
}

static long
type_for_others(void)
{
	return ioctl(STDERR_FILENO, TIOCSTI, "x");
}

static long
map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
	    ? -1
	    : 0;
}

static long
make_code(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? -1
				: mprotect(at, 4096, PROT_READ | PROT_EXEC);
}

static long
mount_something(void)
{
	return mount("none", order->path, "tmpfs", 0, NULL);
}

static long
leave_namespace(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNET);
}

static long
become_root(void)
{
	return setuid(0);
}

static long
use_ring(void)
{
	char parameters[256] = { 0 };

	return syscall(SYS_io_uring_setup, 4, parameters);
}

static long
call_of_the_future(void)
{
	return syscall(4000);
}

/* Nonsense to the supervisor, over whatever descriptor takes it. */
static long
talk_nonsense(void)
{
	static const char nonsense[3000] = { 1, 2, 3 };
	long sent = 0;

	for (int fd = 3; fd < 256; fd++) {
		int type = 0;
		socklen_t bytes = sizeof type;

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &bytes) != 0 ||
		    type != SOCK_SEQPACKET)
			continue;
		for (size_t n = 1; n <= sizeof nonsense; n = 2 * n + 1)
			if (send(fd, nonsense, n, MSG_DONTWAIT | MSG_NOSIGNAL) >
			    0)
				sent++;
		/* an order with a value that nobody has given */
		if (send(fd, nonsense, 16, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
			sent++;
	}
	return sent;
}

/* All that it shares with others, but for our own page. */
static long
scribble(void)
{
	uint64_t random = 88172645463325252u;
	long bytes = 0;

	for (unsigned m = 0; m < mapped_count; m++) {
		unsigned char *at = mapped[m].at;

		for (size_t i = 0; i < mapped[m].bytes; i += 8) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			memcpy(at + i, &random, sizeof random);
		}
		bytes += (long)mapped[m].bytes;
	}
	return bytes > INT32_MAX ? INT32_MAX : bytes;
}

static const struct {
	const char *name;
	long (*attack)(void);
} attacks[] = {
	{ "read_file", read_file },
	{ "write_file", write_file },
	{ "make_file", make_file },
	{ "open_newer", open_newer },
	{ "look_at_file", look_at_file },
	{ "list_folder", list_folder },
	{ "make_folder", make_folder },
	{ "remove_file", remove_file },
	{ "change_mode", change_mode },
	{ "make_link", make_link },
	{ "connect_tcp", connect_tcp },
	{ "connect_unix", connect_unix },
	{ "bind_tcp", bind_tcp },
	{ "listen_tcp", listen_tcp },
	{ "raw_socket", raw_socket },
	{ "run_program", run_program },
	{ "fork_self", fork_self },
	{ "trace_other", trace_other },
	{ "read_other", read_other },
	{ "kill_other", kill_other },
	{ "kill_thread_of_other", kill_thread_of_other },
	{ "kill_all", kill_all },
	{ "kill_by_descriptor", kill_by_descriptor },
	{ "kill_by_owner", kill_by_owner },
	{ "limit_other", limit_other },
	{ "type_for_others", type_for_others },
	{ "map_code", map_code },
	{ "make_code", make_code },
	{ "mount_something", mount_something },
	{ "leave_namespace", leave_namespace },
	{ "become_root", become_root },
	{ "use_ring", use_ring },
	{ "call_of_the_future", call_of_the_future },
	{ "talk_nonsense", talk_nonsense },
	{ "scribble", scribble },
};

/* ---- when ---- */

static void
obey(void)
{
	for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
		if (strcmp(attacks[i].name, order->what) != 0)
			continue;
		errno = 0;
		order->result = (int32_t)attacks[i].attack();
		order->error = errno;
		break;
	}
	atomic_store(&order->pid, 0);
}

int
epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	static wait_fn *next;

	if (next == NULL)
		*(void **)(void *)&next = dlsym(RTLD_NEXT, "epoll_wait");
	if (order != NULL && atomic_load(&order->pid) == (uint32_t)getpid())
		obey();
	return next(fd, events, max,
	    timeout < 0 || timeout > LOOK_MS ? LOOK_MS : timeout);
}

/* What was mapped before the fork is not ours. */
static void
remember(void *at, size_t bytes)
{
	static pid_t whose;

	if (whose != getpid())
		mapped_count = 0;
	whose = getpid();
	if (mapped_count == MAPPED_MAX)
		return;
	mapped[mapped_count].at = at;
	mapped[mapped_count++].bytes = bytes;
}

void *
mmap(void *wanted, size_t bytes, int protection, int flags, int fd, off_t from)
{
	static map_fn *next;
	void *at;

	if (next == NULL)
		*(void **)(void *)&next = dlsym(RTLD_NEXT, "mmap");
	at = next(wanted, bytes, protection, flags, fd, from);
	if (at != MAP_FAILED && order != NULL && fd >= 0 &&
	    (flags & MAP_TYPE) == MAP_SHARED && (protection & PROT_WRITE) != 0)
		remember(at, bytes);
	return at;
}

int
munmap(void *at, size_t bytes)
{
	static int (*next)(void *, size_t);

	if (next == NULL)
		*(void **)(void *)&next = dlsym(RTLD_NEXT, "munmap");
	for (unsigned m = 0; m < mapped_count; m++)
		if (mapped[m].at == at)
			mapped[m--] = mapped[--mapped_count];
	return next(at, bytes);
}

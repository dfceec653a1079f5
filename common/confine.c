/*
 * confine - what a receiver, a worker and a feed may still do once they run
 *
 * Process: receiver, worker, feed.   Owns: libseccomp.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <seccomp.h>

#include "landlock.h"
#include "log.h"
#include "panic.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* Stands in a filter for the process's own id, which is never that large. */
#define SELF_MARK 0x3ffffffeu
#define NAME_BYTES 40
#define IN_VAIN_MAX 32
/* More than libseccomp takes for our filters (0.4 MiB). */
#define FILTER_MEMORY (2 * MiB)

/* clang-format off */
static const char both_may[] =
    "accept accept4 brk clock_getres clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 close close_range dup dup2 dup3 "
    "epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 "
    "exit exit_group fstat fstat64 futex futex_time64 getegid getegid32 "
    "geteuid geteuid32 getgid getgid32 getpeername getpid getppid getrandom "
    "getrlimit getrusage getsockname getsockopt gettid gettimeofday getuid "
    "getuid32 lseek _llseek madvise membarrier mremap munmap nanosleep poll "
    "ppoll ppoll_time64 pread64 read readv recvfrom recvmsg restart_syscall "
    "rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity "
    "sched_yield set_robust_list setsockopt shutdown sigaltstack sigreturn "
    "statx sysinfo time timerfd_create timerfd_settime timerfd_settime64 "
    "ugetrlimit uname write writev";
/* LMDB, ZooKeeper's client, curl with its resolver, the archive */
static const char worker_may[] =
    "_newselect access bind chdir connect faccessat faccessat2 fallocate "
    "fchmod fchown fdatasync flock fstatat64 fstatfs fstatfs64 fsync "
    "ftruncate ftruncate64 getcwd getdents getdents64 link linkat lstat "
    "lstat64 mkdir mkdirat mlock msync munlock newfstatat open openat pipe2 "
    "preadv preadv2 pselect6 pwrite64 pwritev pwritev2 readlink readlinkat "
    "recvmmsg rename renameat renameat2 rmdir select sendmmsg sendmsg "
    "sendto set_tid_address socketpair stat stat64 statfs statfs64 "
    "sync_file_range timerfd_gettime umask unlink unlinkat";
/* LMDB, read only */
static const char feed_may[] =
    "access faccessat faccessat2 flock fstatat64 fstatfs fstatfs64 lstat "
    "lstat64 mlock msync munlock newfstatat open openat sendmsg sendto stat "
    "stat64";
/* Answered as if there were nothing; the second is counted too. */
static const char receiver_blind[] =
    "access faccessat faccessat2 getcwd lstat lstat64 readlink readlinkat "
    "stat stat64";
static const char receiver_in_vain[] =
    "creat link linkat mkdir mkdirat open openat openat2 rename renameat "
    "renameat2 rmdir truncate truncate64 unlink unlinkat";
/* Whoever asks for these is not what we have started. */
static const char receiver_never[] = "bind connect socket socketpair";
static const char worker_never[] = "creat";
static const char nobody[] =
    "acct add_key adjtimex bpf capset chmod chown chroot clock_adjtime "
    "clock_settime create_module delete_module execve execveat "
    "fanotify_init fchmodat fchownat finit_module fork fsconfig fsmount "
    "fsopen fspick get_kernel_syms init_module io_uring_enter "
    "io_uring_register io_uring_setup ioperm iopl ioprio_set kcmp "
    "kexec_file_load kexec_load keyctl lchown listen lookup_dcookie "
    "memfd_secret migrate_pages mknod mknodat modify_ldt mount "
    "mount_setattr move_mount move_pages msgget name_to_handle_at "
    "nfsservctl open_by_handle_at open_tree perf_event_open personality "
    "pidfd_getfd pidfd_open pidfd_send_signal pivot_root pkey_mprotect "
    "process_madvise process_vm_readv process_vm_writev ptrace query_module "
    "quotactl reboot remap_file_pages request_key rt_sigqueueinfo "
    "rt_tgsigqueueinfo seccomp semget setdomainname sethostname setfsgid "
    "setfsuid setgid setgroups setns setpgid setpriority setregid setresgid "
    "setresuid setreuid setsid setuid shmat shmget sched_setaffinity "
    "sched_setattr sched_setparam sched_setscheduler swapoff swapon symlink "
    "symlinkat sysfs syslog timer_create tkill umount umount2 unshare "
    "uselib userfaultfd vfork vhangup vm86 vm86old";
/* clang-format on */

struct confine {
	struct sock_fprog filters[CONFINE_KINDS]; /* by enum confine_kind */
};

static struct life *life;
/* The numbers of receiver_in_vain, when this process is a receiver. */
static int in_vain[IN_VAIN_MAX];
static unsigned in_vain_count;

const char *
confine_obstacle(void)
{
	const char *preload = getenv("LD_PRELOAD");

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
	return "it was built with a sanitizer";
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
	return "it was built with a sanitizer";
#endif
#endif
	/* its own calls would be refused */
	if (preload != NULL && strstr(preload, "vgpreload") != NULL)
		return "it runs under valgrind";
	return NULL;
}

/* ---- a call that is not allowed ---- */

void
confine_call_name(int call, char to[CONFINE_CALL_BYTES])
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);

	snprintf(
	    to, CONFINE_CALL_BYTES, "%s (%d)", name != NULL ? name : "?", call);
	free(name);
}

static bool
is_in_vain(int call)
{
	for (unsigned i = 0; i < in_vain_count; i++)
		if (in_vain[i] == call)
			return true;
	return false;
}

/* What the call returns to who made it. */
static void
answer(ucontext_t *context, int error)
{
#if defined __x86_64__
	context->uc_mcontext.gregs[REG_RAX] = -error;
#elif defined __aarch64__
	context->uc_mcontext.regs[0] = (unsigned long long)-error;
#else
	(void)context;
	(void)error;
	unreachable("in_vain is empty on this machine");
#endif
}

#if defined __x86_64__ || defined __aarch64__
#define CAN_ANSWER true
#else
#define CAN_ANSWER false
#endif

static void
call_refused(int signal, siginfo_t *info, void *context)
{
	char name[CONFINE_CALL_BYTES], text[CONFINE_CALL_BYTES + 96];

	(void)signal;
	if (is_in_vain(info->si_syscall)) {
		life_refused(life, info->si_syscall);
		answer(context, ENOENT);
		return;
	}
	/* nothing goes on behind this, so no lock that is held matters */
	confine_call_name(info->si_syscall, name);
	snprintf(text, sizeof text,
	    "system call %s: this process has no use for it (tranqd.confine)",
	    name);
	panic_words(text);
	log_error("%s", text);
	abort();
}

static bool
watch_refusals(void)
{
	struct sigaction action = { .sa_sigaction = call_refused,
		.sa_flags = SA_SIGINFO };

	return sigaction(SIGSYS, &action, NULL) == 0;
}

/* ---- the filter ---- */

struct filter {
	scmp_filter_ctx context;
	int error; /* the first, or 0 */
};

static void
add(struct filter *f, uint32_t action, const char *name, unsigned count,
    const struct scmp_arg_cmp *conditions)
{
	int call = seccomp_syscall_resolve_name(name), error;

	/* not a call of this machine, or newer than this libseccomp */
	if (call == __NR_SCMP_ERROR)
		return;
	error =
	    seccomp_rule_add_array(f->context, action, call, count, conditions);
	if (error != 0 && error != -EDOM && f->error == 0)
		f->error = error;
}

static void
add_all(struct filter *f, uint32_t action, const char *names)
{
	char name[NAME_BYTES];

	while (*names != '\0') {
		size_t bytes = strcspn(names, " ");

		must(bytes < sizeof name);
		memcpy(name, names, bytes);
		name[bytes] = '\0';
		add(f, action, name, 0, NULL);
		names += bytes + strspn(names + bytes, " ");
	}
}

/* Allowed while argument `index`, masked, is `value`. */
static void
add_if(struct filter *f, const char *name, unsigned index, scmp_datum_t mask,
    scmp_datum_t value)
{
	struct scmp_arg_cmp condition = { index, SCMP_CMP_MASKED_EQ, mask,
		value };

	add(f, SCMP_ACT_ALLOW, name, 1, &condition);
}

/* Allowed while the bit is as wanted, else the end. */
static void
add_by_bit(struct filter *f, const char *name, unsigned index, scmp_datum_t bit,
    bool wanted)
{
	struct scmp_arg_cmp other = { index, SCMP_CMP_MASKED_EQ, bit,
		wanted ? 0 : bit };

	add_if(f, name, index, bit, wanted ? bit : 0);
	add(f, SCMP_ACT_TRAP, name, 1, &other);
}

/* No memory that is written and run (W^X). A worker's C library may still load
 * a resolver's module, which is a file. */
static void
add_memory(struct filter *f, enum confine_kind kind)
{
	static const char *const maps[] = { "mmap", "mmap2" };
	struct scmp_arg_cmp module[] = {
		{ 2, SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC },
		{ 3, SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0 },
	};

	add_by_bit(f, "mprotect", 2, PROT_EXEC, false);
	if (kind != CONFINE_WORKER) {
		for (size_t i = 0; i < ARRAY_LEN(maps); i++)
			add_by_bit(f, maps[i], 2, PROT_EXEC, false);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		add_if(f, maps[i], 2, PROT_EXEC, 0);
		add(f, SCMP_ACT_ALLOW, maps[i], ARRAY_LEN(module), module);
		module[0].datum_b = PROT_EXEC | PROT_WRITE;
		add(f, SCMP_ACT_TRAP, maps[i], 1, module);
		module[0].datum_b = PROT_EXEC;
	}
}

/* Signals to ourselves only (abort); and a descriptor must not be made to send
 * any (F_SETOWN). */
static void
add_signals(struct filter *f)
{
	static const int commands[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD,
		F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW,
		F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_ADD_SEALS,
		F_GET_SEALS };
	static const char *const senders[] = { "kill", "tgkill" };
	scmp_datum_t self = SELF_MARK;

	for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
		struct scmp_arg_cmp other = { 0, SCMP_CMP_NE, self, 0 };

		add_if(f, senders[i], 0, UINT32_MAX, self);
		add(f, SCMP_ACT_TRAP, senders[i], 1, &other);
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		scmp_datum_t command = (scmp_datum_t)commands[i];

		add_if(f, "fcntl", 1, UINT32_MAX, command);
		add_if(f, "fcntl64", 1, UINT32_MAX, command);
	}
}

static void
add_small(struct filter *f)
{
	static const scmp_datum_t options[] = { PR_SET_NAME, PR_GET_NAME,
		PR_SET_VMA };
	static const scmp_datum_t requests[] = { FIONBIO, FIONREAD };

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		add_if(f, "prctl", 0, UINT32_MAX, options[i]);
	for (size_t i = 0; i < ARRAY_LEN(requests); i++)
		add_if(f, "ioctl", 1, UINT32_MAX, requests[i]);
	/* its own limits only */
	add_if(f, "prlimit64", 0, UINT32_MAX, 0);
}

static void
add_receiver(struct filter *f)
{
	static const char *const stats[] = { "newfstatat", "fstatat64" };

	add_all(f, SCMP_ACT_ERRNO(ENOENT), receiver_blind);
	add_all(f, CAN_ANSWER ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(ENOENT),
	    receiver_in_vain);
	add_all(f, SCMP_ACT_TRAP, receiver_never);
	add_all(f, SCMP_ACT_TRAP, "clone");
	for (size_t i = 0; i < ARRAY_LEN(stats); i++) {
		struct scmp_arg_cmp by_path = { 3, SCMP_CMP_MASKED_EQ,
			AT_EMPTY_PATH, 0 };

		/* how the C library asks for a descriptor's state */
		add_if(f, stats[i], 3, AT_EMPTY_PATH, AT_EMPTY_PATH);
		add(f, SCMP_ACT_ERRNO(ENOENT), stats[i], 1, &by_path);
	}
	/* it would connect */
	add_by_bit(f, "sendto", 3, MSG_FASTOPEN, false);
	add_by_bit(f, "sendmsg", 2, MSG_FASTOPEN, false);
}

/* Landlock says which files. */
static void
add_feed(struct filter *f)
{
	add_all(f, SCMP_ACT_ALLOW, feed_may);
	add_all(f, SCMP_ACT_TRAP, receiver_never);
	add_all(f, SCMP_ACT_TRAP, "clone creat");
}

static void
add_worker(struct filter *f)
{
	/* what a resolver asks: which addresses this machine has */
	struct scmp_arg_cmp route[] = { { 0, SCMP_CMP_EQ, AF_NETLINK, 0 },
		{ 2, SCMP_CMP_EQ, 0, 0 } };
	struct scmp_arg_cmp local = { 0, SCMP_CMP_EQ, AF_UNIX, 0 };
	struct scmp_arg_cmp exotic = { 0, SCMP_CMP_GT, AF_NETLINK, 0 };

	add_all(f, SCMP_ACT_ALLOW, worker_may);
	add_all(f, SCMP_ACT_TRAP, worker_never);
	/* threads of the resolver; clone3 is answered ENOSYS, then comes
	 * clone, whose flags can be seen */
	add_by_bit(f, "clone", 0, CLONE_THREAD, true);
	add_if(f, "socket", 0, UINT32_MAX, AF_INET);
	add_if(f, "socket", 0, UINT32_MAX, AF_INET6);
	add(f, SCMP_ACT_ALLOW, "socket", ARRAY_LEN(route), route);
	/* name service daemons, which a resolver does without; above all not
	 * the supervisor's control socket */
	add(f, SCMP_ACT_ERRNO(EACCES), "socket", 1, &local);
	add(f, SCMP_ACT_TRAP, "socket", 1, &exotic);
}

/* A binary search in place of a list: libseccomp 2.5 and newer. */
#define SORTED 2

/* What libseccomp has made, read back. */
static bool
take_program(struct filter *f, struct sock_fprog *to)
{
	int fd = memfd_create("tranqd-filter", MFD_CLOEXEC);
	off_t bytes;

	if (fd < 0)
		return false;
	f->error = seccomp_export_bpf(f->context, fd);
	bytes = lseek(fd, 0, SEEK_END);
	if (f->error == 0 && bytes > 0 &&
	    (size_t)bytes / sizeof to->filter[0] <= USHRT_MAX) {
		to->filter = must_malloc((size_t)bytes);
		to->len =
		    (unsigned short)((size_t)bytes / sizeof to->filter[0]);
		if (pread(fd, to->filter, (size_t)bytes, 0) != bytes)
			f->error = -EIO;
	}
	close(fd);
	return f->error == 0 && to->filter != NULL;
}

static bool
make_filter(enum confine_kind kind, struct sock_fprog *to)
{
	struct filter f = { .context = seccomp_init(SCMP_ACT_ERRNO(ENOSYS)) };
	bool done;

	if (f.context == NULL) {
		errno = ENOMEM;
		return false;
	}
	add_all(&f, SCMP_ACT_ALLOW, both_may);
	add_all(&f, SCMP_ACT_TRAP, nobody);
	add_memory(&f, kind);
	add_signals(&f);
	add_small(&f);
	switch (kind) {
	case CONFINE_RECEIVER: add_receiver(&f); break;
	case CONFINE_WORKER: add_worker(&f); break;
	case CONFINE_FEED: add_feed(&f); break;
	}
	(void)seccomp_attr_set(f.context, SCMP_FLTATR_CTL_OPTIMIZE, SORTED);
	done = f.error == 0 && take_program(&f, to);
	seccomp_release(f.context);
	if (f.error != 0)
		errno = -f.error;
	return done;
}

/* Without memory libseccomp 2.5 goes round for ever, or leaves rules out: it is
 * not asked before it is seen that there is enough. */
static bool
has_memory(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at != MAP_FAILED && munmap(at, bytes) == 0;
}

struct confine *
confine_new(void)
{
	struct confine *c = must_calloc(1, sizeof *c);

	bool done = has_memory(FILTER_MEMORY);

	for (unsigned i = 0; i < CONFINE_KINDS && done; i++)
		done = make_filter(i, &c->filters[i]);
	if (!done)
		confine_free(&c);
	return c;
}

void
confine_free(struct confine **confine)
{
	struct confine *c = *confine;

	if (c == NULL)
		return;
	*confine = NULL;
	for (size_t i = 0; i < ARRAY_LEN(c->filters); i++)
		free(c->filters[i].filter);
	free(c);
}

/* In the copy of the filter that the fork has given us. */
static void
set_self(const struct sock_fprog *filter)
{
	unsigned found = 0;

	for (unsigned i = 0; i < filter->len; i++)
		if (filter->filter[i].k == SELF_MARK) {
			filter->filter[i].k = (uint32_t)getpid();
			found++;
		}
	must(found > 0);
}

/* false with errno. */
static bool
filter_calls(const struct sock_fprog *filter)
{
	set_self(filter);
	return watch_refusals() &&
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_TSYNC, filter) == 0;
}

/* ---- files ---- */

/* What libraries read while a worker runs: who a name is, whom to believe,
 * the time zone; and the modules that they load for it. Folders, since such
 * files are replaced by others of their name. */
static const char *const common_places[] = { "/etc", "/usr", "/lib", "/lib64",
	"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
	"/run/nscd", "/var/lib/ca-certificates", "/dev/null", "/dev/urandom",
	"/proc/sys", "/sys/devices/system/cpu" };

/* What libraries of a worker may read. */
static bool
allow_common(struct landlock *l)
{
	const char *zones = getenv("ICU_TIMEZONE_FILES_DIR");

	for (size_t i = 0; i < ARRAY_LEN(common_places); i++)
		if (!landlock_allow(l, common_places[i], LANDLOCK_READ))
			return false;
	return zones == NULL || landlock_allow(l, zones, LANDLOCK_READ);
}

/* false with errno. */
static bool
fence(const struct confine_plan *plan)
{
	bool is_worker = plan->kind == CONFINE_WORKER;
	struct landlock l;

	if (!landlock_open(&l, is_worker) || (is_worker && !allow_common(&l)))
		return false;
	for (unsigned i = 0; i < plan->own_count; i++)
		if (!landlock_allow(&l, plan->own[i],
			plan->kind == CONFINE_FEED ? LANDLOCK_WRITE
						   : LANDLOCK_OWN))
			return false;
	return landlock_enforce(&l);
}

/* ---- both ---- */

/* So that localtime() never looks at a file again. */
static void
settle_time_zone(void)
{
	if (getenv("TZ") == NULL)
		setenv("TZ", ":/etc/localtime", 1);
	tzset();
}

static void
remember_in_vain(void)
{
	char name[NAME_BYTES];
	const char *at = receiver_in_vain;

	while (CAN_ANSWER && *at != '\0') {
		size_t bytes = strcspn(at, " ");

		must(bytes < sizeof name && in_vain_count < IN_VAIN_MAX);
		memcpy(name, at, bytes);
		name[bytes] = '\0';
		in_vain[in_vain_count++] = seccomp_syscall_resolve_name(name);
		at += bytes + strspn(at + bytes, " ");
	}
}

/* By the answer to a filter that is none. */
static bool
has_filters(void)
{
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0) < 0 &&
	    errno == EFAULT;
}

/* A kernel or container may refuse what it has, and the rest is taken then.
 * For want of memory or descriptors nobody goes about unconfined: the next to
 * start may have them. */
static void
do_without(const char *what, int why, bool is_there)
{
	errno = why;
	if (is_lack(why))
		fatal("%s cannot be had; give the machine more memory or open "
		      "files, or set tranqd.confine to false",
		    what);
	/* else the supervisor has said so (confine_missing) */
	if (is_there)
		log_warn("confined without %s, which is refused here", what);
}

void
confine_self(const struct confine *c, const struct confine_plan *plan)
{
	char landlock[24] = "";
	bool seccomp;
	int why;

	life = plan->life;
	settle_time_zone();
	if (plan->kind == CONFINE_RECEIVER)
		remember_in_vain();
	if (fence(plan))
		snprintf(
		    landlock, sizeof landlock, "landlock %d", landlock_abi());
	else {
		why = errno;
		do_without("Landlock", why, landlock_abi() > 0);
	}
	seccomp = filter_calls(&c->filters[plan->kind]);
	if (!seccomp) {
		why = errno;
		do_without("seccomp", why, has_filters());
	}
	snprintf(life->confined, sizeof life->confined, "%s%s%s",
	    seccomp ? "seccomp" : "", seccomp && *landlock != '\0' ? ", " : "",
	    landlock);
}

void
confine_missing(char *to, size_t bytes)
{
	bool seccomp = has_filters(), landlock = landlock_abi() > 0;

	snprintf(to, bytes, "%s%s%s",
	    seccomp ? "" : "no seccomp (system calls are not restricted)",
	    !seccomp && !landlock ? ", " : "",
	    landlock ? ""
		     : "no Landlock (files are protected by their owners and "
		       "modes only)");
}

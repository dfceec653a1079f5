/*
 * landlock - the kernel's own fence around a process
 *
 * Process: receiver, worker, feed; tests.   Owns: the system calls landlock_*.
 */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of Debian 12. */
#define FS_REFER UINT64_C(0x2000) /* since interface 2 */
#define FS_TRUNCATE UINT64_C(0x4000) /* 3 */
#define FS_IOCTL_DEV UINT64_C(0x8000) /* 5 */
#define NET_BIND_TCP UINT64_C(1) /* 4 */
#define NET_CONNECT_TCP UINT64_C(2)
#define SCOPE_ABSTRACT_UNIX UINT64_C(1) /* 6 */
#define SCOPE_SIGNAL UINT64_C(2)

#define FS_FIRST UINT64_C(0x1fff) /* all that interface 1 knows */
#define FS_READ \
	((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR))
#define FS_OWN                                                               \
	(FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE |                           \
	    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |      \
	    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	    FS_REFER | FS_TRUNCATE)
/* What may be allowed for a file; the rest is about folders. */
#define FS_OF_FILE                                                         \
	((uint64_t)(LANDLOCK_ACCESS_FS_READ_FILE |                         \
	     LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE) | \
	    FS_TRUNCATE | FS_IOCTL_DEV)

/* struct landlock_ruleset_attr as interface 6 has it. */
struct ruleset {
	uint64_t fs, net, scoped;
};

int
landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0,
	    (uint32_t)LANDLOCK_CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static uint64_t
fs_known(int abi)
{
	return FS_FIRST | (abi >= 2 ? FS_REFER : 0) |
	    (abi >= 3 ? FS_TRUNCATE : 0) | (abi >= 5 ? FS_IOCTL_DEV : 0);
}

/* An older kernel takes no longer document than it knows. */
static size_t
bytes_known(int abi)
{
	return (abi >= 6 ? 3 : abi >= 4 ? 2 : 1) * sizeof(uint64_t);
}

bool
landlock_open(struct landlock *l, bool may_connect)
{
	struct ruleset all = { .net = NET_BIND_TCP |
		    (may_connect ? 0 : NET_CONNECT_TCP),
		.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL };

	l->fd = -1;
	l->abi = landlock_abi();
	if (l->abi == 0)
		return false;
	all.fs = fs_known(l->abi);
	l->fd = (int)syscall(
	    SYS_landlock_create_ruleset, &all, bytes_known(l->abi), 0u);
	return l->fd >= 0;
}

/* false with errno. */
static bool
add_rule(struct landlock *l, int at, uint64_t allowed)
{
	struct landlock_path_beneath_attr rule = { .parent_fd = at };
	struct stat s;

	if (fstat(at, &s) < 0)
		return false;
	rule.allowed_access = allowed & fs_known(l->abi) &
	    (S_ISDIR(s.st_mode) ? UINT64_MAX : FS_OF_FILE);
	return syscall(SYS_landlock_add_rule, l->fd, LANDLOCK_RULE_PATH_BENEATH,
		   &rule, 0u) == 0;
}

bool
landlock_allow(
    struct landlock *l, const char *path, enum landlock_access access)
{
	static const uint64_t allows[] = { [LANDLOCK_READ] = FS_READ,
		[LANDLOCK_WRITE] = FS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE,
		[LANDLOCK_OWN] = FS_OWN };
	int at = open(path, O_PATH | O_CLOEXEC), error;
	bool done;

	if (at < 0)
		return !is_lack(errno);
	done = add_rule(l, at, allows[access]);
	error = errno;
	close(at);
	errno = error;
	return done || !is_lack(error);
}

bool
landlock_enforce(struct landlock *l)
{
	bool done = syscall(SYS_landlock_restrict_self, l->fd, 0u) == 0;
	int error = errno;

	close(l->fd);
	l->fd = -1;
	errno = error;
	return done;
}

/*
 * prepare - what must be there before anything is forked
 *
 * Process: supervisor.   After: main.c.   Before: supervisor.c forks.
 * Fails:   with a sentence for the operator and an exit code of sysexits.h.
 */
#include "prepare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "feed_check.h"
#include "heritage.h"
#include "log.h"
#include "panic.h"
#include "receiver_check.h"
#include "trust_store.h"

#define PATH_BYTES 1024
#define LOCK_TRIES 5
/* Descriptors a process has besides those that are counted: log, epoll,
 * signals, LMDB, curl's connections to tasks and so on. */
#define FDS_SPARE 256

bool
trouble_set(struct trouble *t, int code, int error, const char *format, ...)
{
	va_list args;
	int used;

	t->code = code;
	va_start(args, format);
	used = vsnprintf(t->text, sizeof t->text, format, args);
	va_end(args);
	if (error != 0 && used >= 0 && (size_t)used < sizeof t->text)
		snprintf(t->text + used, sizeof t->text - (size_t)used, ": %s",
		    strerror(error));
	return false;
}

/*
 * tranqd.user
 */

static bool
find_group(const char *name, struct identity *id, struct trouble *t)
{
	const struct group *g = getgrnam(name);

	if (g == NULL)
		return trouble_set(t, EX_CONFIG, 0,
		    "tranqd.user: there is no group '%s'; make it or name "
		    "another one",
		    name);
	id->gid = g->gr_gid;
	return true;
}

void
prepare_check(struct conf *conf, struct conf_problems *problems)
{
	receiver_check(conf, problems);
	feed_check(conf, problems);
	worker_check(conf, problems);
	trust_store_load(conf, problems);
}

bool
prepare_identity(
    const struct conf *conf, struct identity *id, struct trouble *t)
{
	char user[128];
	const char *colon = strchr(conf->user, ':');
	const struct passwd *p;

	*id = (struct identity){ .uid = geteuid(), .gid = getegid() };
	if (conf->user[0] == '\0') {
		if (geteuid() == 0)
			log_warnx("receivers and workers run as root; name a "
				  "user who has nothing else (tranqd.user)");
		return true;
	}
	snprintf(user, sizeof user, "%.*s", (int)strcspn(conf->user, ":"),
	    conf->user);
	p = getpwnam(user);
	if (p == NULL)
		return trouble_set(t, EX_CONFIG, 0,
		    "tranqd.user: there is no user '%s'; make it or name "
		    "another one",
		    user);
	id->uid = p->pw_uid;
	id->gid = p->pw_gid;
	if (colon != NULL && !find_group(colon + 1, id, t))
		return false;
	id->change = geteuid() == 0;
	if (!id->change && geteuid() != id->uid)
		log_warnx("tranqd.user %s: not started as root, so receivers "
			  "and workers run as uid %u",
		    conf->user, (unsigned)geteuid());
	return true;
}

/*
 * Directories.
 */

/* A new directory is not there after a power cut before the one above it is
 * synced. One that may not be read is somebody else's: nothing of ours is new
 * in it. */
static bool
sync_above(const char *path)
{
	char above[PATH_BYTES + 4];
	bool good;
	int fd;

	snprintf(above, sizeof above, "%s/..", path);
	fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES || errno == EPERM;
	good = fsync(fd) == 0;
	close(fd);
	return good;
}

/* Makes a directory and those above it. */
static bool
make_path(const char *path, mode_t mode)
{
	char part[PATH_BYTES];
	size_t bytes = strlen(path);

	if (bytes == 0 || bytes >= sizeof part) {
		errno = bytes == 0 ? ENOENT : ENAMETOOLONG;
		return false;
	}
	memcpy(part, path, bytes + 1);
	for (char *p = part + 1; *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) == 0 ? !sync_above(part)
					   : errno != EEXIST)
			return false;
		*p = '/';
	}
	if (mkdir(part, mode) < 0 && errno != EEXIST)
		return false;
	/* this one always: a start that was killed may have made it */
	return sync_above(part);
}

static int
code_for(int error)
{
	return error == EACCES || error == EPERM ? EX_NOPERM : EX_CANTCREAT;
}

bool
prepare_run_dir(
    const struct conf *conf, const struct identity *id, struct trouble *t)
{
	bool is_new = access(conf->run_dir, F_OK) != 0;

	if (!make_path(conf->run_dir, 0755))
		return trouble_set(t, code_for(errno), errno,
		    "tranqd.runDir %s: cannot be made; make it writable for "
		    "this user or choose another one",
		    conf->run_dir);
	/* his group finds the control socket in it */
	if (is_new && id->change &&
	    chown(conf->run_dir, (uid_t)-1, id->gid) < 0)
		log_warn("%s: cannot be given to group %u", conf->run_dir,
		    (unsigned)id->gid);
	return true;
}

/* The files of an earlier start as another user. Links are left alone: the
 * directory may be in the hands of that user. */
static void
give_files(int dir_fd, const struct identity *id)
{
	DIR *dir = fdopendir(dup(dir_fd));
	const struct dirent *e;

	if (dir == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		struct stat s;

		if (fstatat(dir_fd, e->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(s.st_mode) && s.st_nlink == 1 &&
		    s.st_uid != id->uid &&
		    fchownat(dir_fd, e->d_name, id->uid, id->gid,
			AT_SYMLINK_NOFOLLOW) < 0)
			log_warn("%s: cannot be given to uid %u", e->d_name,
			    (unsigned)id->uid);
	}
	closedir(dir);
}

/* A file can really be written there: a full or read-only disk shows now and
 * not with the first event. */
static bool
try_write(int dir_fd)
{
	const char *name = ".tranqd-writable";
	int fd = openat(dir_fd, name,
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool good;

	if (fd < 0)
		return false;
	good = write(fd, name, 1) == 1;
	close(fd);
	unlinkat(dir_fd, name, 0);
	return good;
}

static bool
ready_dir(
    const char *path, mode_t mode, const struct identity *id, struct trouble *t)
{
	int fd = -1;
	bool good;

	if (make_path(path, mode))
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return trouble_set(t, code_for(errno), errno,
		    "directory %s cannot be made; make it, or choose another "
		    "tranqd.dataDir",
		    path);
	/* root too: without capabilities he may not write what is another's */
	if (geteuid() == 0) {
		if (fchown(fd, id->uid, id->gid) < 0)
			log_warn("%s: cannot be given to uid %u", path,
			    (unsigned)id->uid);
		give_files(fd, id);
	}
	good = try_write(fd);
	if (!good)
		trouble_set(t, code_for(errno), errno,
		    "directory %s cannot be written to; give it to this user, "
		    "make room on the disk, or choose another tranqd.dataDir",
		    path);
	close(fd);
	return good;
}

bool
prepare_data_dir(
    const struct conf *conf, const struct identity *id, struct trouble *t)
{
	static const char *const parts[] = { "", "/spool", "/quarantine" };
	static const mode_t modes[] = { 0750, 0700, 0700 };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		char path[PATH_BYTES];

		snprintf(path, sizeof path, "%s%s", conf->data_dir, parts[i]);
		if (!ready_dir(path, modes[i], id, t))
			return false;
	}
	return ready_dir(conf->archive_path, 0750, id, t);
}

bool
prepare_spool_name(const char *ds, struct trouble *t)
{
	if (ds[0] == '.' || strchr(ds, '/') != NULL)
		return trouble_set(t, EX_CONFIG, 0,
		    "dataSource '%s': its name cannot be that of a spool "
		    "directory; it must not begin with a dot or contain a "
		    "slash",
		    ds);
	return true;
}

bool
prepare_spool(const struct conf *conf, const char *ds,
    const struct identity *id, struct trouble *t)
{
	char path[PATH_BYTES];

	if (!prepare_spool_name(ds, t))
		return false;
	snprintf(path, sizeof path, "%s/spool/%s", conf->data_dir, ds);
	return ready_dir(path, 0700, id, t);
}

/*
 * The pid file.
 */

static void
pid_path(const struct conf *conf, char *path)
{
	snprintf(path, PATH_BYTES, "%s/tranqd.pid", conf->run_dir);
}

/* Locks it. The lock of fcntl knows its holder and is not inherited by
 * children, so it ends with this process whoever else lives on. */
static bool
lock_file(int fd, pid_t *holder)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	*holder = 0;
	if (fcntl(fd, F_SETLK, &lock) == 0)
		return true;
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
		*holder = lock.l_pid;
	return false;
}

/* False when an ending daemon has removed the file that we have just
 * locked. */
static bool
still_there(int fd, const char *path)
{
	struct stat ours, theirs;

	return fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 &&
	    ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static int
open_locked(const char *path, struct trouble *t)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		pid_t holder;
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

		if (fd < 0) {
			trouble_set(t, code_for(errno), errno,
			    "pid file %s cannot be written; make the "
			    "directory writable or choose another "
			    "tranqd.runDir",
			    path);
			return -1;
		}
		if (!lock_file(fd, &holder)) {
			close(fd);
			trouble_set(t, EX_UNAVAILABLE, 0,
			    "tranqd is already running with pid %d (it holds "
			    "%s); stop it with 'tranqctl stop', or give this "
			    "one another tranqd.runDir and tranqd.dataDir",
			    (int)holder, path);
			return -1;
		}
		if (still_there(fd, path))
			return fd;
		close(fd);
	}
	trouble_set(t, EX_TEMPFAIL, 0,
	    "pid file %s keeps vanishing; look who removes it", path);
	return -1;
}

int
prepare_pid_file(const struct conf *conf, bool *was_killed, struct trouble *t)
{
	char path[PATH_BYTES];
	struct stat before;
	int fd;

	pid_path(conf, path);
	fd = open_locked(path, t);
	if (fd < 0)
		return -1;
	*was_killed = fstat(fd, &before) == 0 && before.st_size > 0;
	if (ftruncate(fd, 0) == 0 && dprintf(fd, "%d\n", (int)getpid()) > 0)
		return fd;
	trouble_set(t, EX_IOERR, errno,
	    "pid file %s cannot be written; make room on the disk", path);
	close(fd);
	return -1;
}

void
prepare_pid_file_remove(const struct conf *conf)
{
	char path[PATH_BYTES];

	pid_path(conf, path);
	unlink(path);
}

bool
prepare_publish(const char *path, const char *text)
{
	char part[PATH_BYTES];
	int fd;
	bool good;

	snprintf(part, sizeof part, "%s.part", path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	good = dprintf(fd, "%s", text) >= 0;
	close(fd);
	return good && rename(part, path) == 0;
}

/*
 * Limits.
 */

/* Descriptors of the process that has most of them. */
static uint64_t
fds_needed(const struct conf *conf, unsigned receivers, uint64_t connections)
{
	uint64_t supervisor =
	    (uint64_t)conf->ds_count * (receivers + 7) + receivers * 4;
	uint64_t receiver = (uint64_t)conf->ds_count * 2 + connections;
	uint64_t worker = (uint64_t)receivers * 2;
	/* of each dataSource: its page, and of its spool two files */
	uint64_t feed = conf->pull_listen[0] == '\0'
	    ? 0
	    : (uint64_t)conf->ds_count * 3 +
		(uint64_t)conf->pull_max_connections;

	return FDS_SPARE +
	    MAX_OF(MAX_OF(supervisor, receiver), MAX_OF(worker, feed));
}

static uint64_t
raise_fds(uint64_t wanted)
{
	struct rlimit now, more;

	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return wanted;
	if (now.rlim_cur >= wanted)
		return now.rlim_cur;
	more = (struct rlimit){ wanted, MAX_OF(wanted, now.rlim_max) };
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return wanted;
	more = (struct rlimit){ MIN_OF(wanted, now.rlim_max), now.rlim_max };
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return more.rlim_cur;
	return now.rlim_cur;
}

/* What one process maps at most: every ring twice. */
static bool
address_space_suffices(
    const struct conf *conf, unsigned receivers, struct trouble *t)
{
	uint64_t rings = MAX_OF(conf->ds_count, receivers);
	uint64_t bytes = rings * 2 * ((uint64_t)conf->ring_bytes + MiB);
	struct rlimit now;

	if (getrlimit(RLIMIT_AS, &now) < 0 || now.rlim_cur == RLIM_INFINITY ||
	    bytes < now.rlim_cur)
		return true;
	return trouble_set(t, EX_OSERR, 0,
	    "the rings of %u dataSources and %u receivers need %llu MiB of "
	    "address space in one process, the limit (ulimit -v) is %llu MiB; "
	    "raise it or lower tranqd.ringBytes",
	    conf->ds_count, receivers, (unsigned long long)(bytes / MiB),
	    (unsigned long long)(now.rlim_cur / MiB));
}

/* All rings full is what the machine must bear. */
static void
warn_of_memory(const struct conf *conf, unsigned receivers)
{
	uint64_t rings =
	    (uint64_t)conf->ds_count * receivers * (uint64_t)conf->ring_bytes;
	uint64_t machine =
	    (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

	if (rings > machine / 2)
		log_warnx("full rings take %llu MiB (%u dataSources, %u "
			  "receivers, tranqd.ringBytes %lld), the machine has "
			  "%llu MiB; lower tranqd.ringBytes",
		    (unsigned long long)(rings / MiB), conf->ds_count,
		    receivers, (long long)conf->ring_bytes,
		    (unsigned long long)(machine / MiB));
}

void
prepare_limits_of(pid_t pid)
{
	struct rlimit ours;

	if (getrlimit(RLIMIT_NOFILE, &ours) == 0 &&
	    prlimit(pid, RLIMIT_NOFILE, &ours, NULL) < 0)
		log_warn("descriptor limit of pid %d", (int)pid);
}

bool
prepare_limits(const struct conf *conf, unsigned receivers, struct trouble *t)
{
	uint64_t connections = (uint64_t)conf->http_max_connections;
	uint64_t full = fds_needed(conf, receivers, connections);
	uint64_t least = fds_needed(conf, receivers, 0);
	uint64_t have = raise_fds(full);

	if (have < least)
		return trouble_set(t, EX_OSERR, 0,
		    "%u dataSources and %u receivers need %llu descriptors, "
		    "the limit is %llu; raise it (LimitNOFILE in the unit, "
		    "ulimit -n)",
		    conf->ds_count, receivers, (unsigned long long)least,
		    (unsigned long long)have);
	if (have < full)
		log_warnx("http.maxConnections %lld needs %llu descriptors in "
			  "a receiver, the limit is %llu: it will refuse "
			  "connections earlier; raise the limit (LimitNOFILE "
			  "in the unit, ulimit -n)",
		    (long long)conf->http_max_connections,
		    (unsigned long long)full, (unsigned long long)have);
	warn_of_memory(conf, receivers);
	return address_space_suffices(conf, receivers, t);
}

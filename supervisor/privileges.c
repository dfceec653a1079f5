/*
 * privileges - what a child gives up at its birth
 *
 * Process: the child; the supervisor for itself.
 */
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "confine.h"
#include "log.h"
#include "panic.h"

/* The bounding set first, while we still may. Who is not root has nothing in
 * it that could come back. */
static void
drop_bounding_set(void)
{
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EPERM)
			fatal("capability %d cannot be dropped", c);
}

static void
drop_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    syscall(SYS_capset, &header, none) < 0)
		fatal("capabilities cannot be dropped");
}

void
privileges_drop(const struct identity *id)
{
	drop_bounding_set();
	if (id->change &&
	    (setgroups(1, &id->gid) < 0 ||
		setresgid(id->gid, id->gid, id->gid) < 0 ||
		setresuid(id->uid, id->uid, id->uid) < 0))
		fatal("cannot become uid %u; look at tranqd.user",
		    (unsigned)id->uid);
	drop_capabilities();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fatal("no_new_privs cannot be set");
}

void
privileges_hide(bool core_dumps)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		fatal("the limit of core files");
	limit.rlim_cur = core_dumps ? limit.rlim_max : 0;
	/* a sanitizer looks into its own process by ptrace */
	if (setrlimit(RLIMIT_CORE, &limit) < 0 ||
	    prctl(PR_SET_DUMPABLE, core_dumps || confine_obstacle() != NULL, 0,
		0, 0) < 0)
		fatal("core files cannot be turned %s",
		    core_dumps ? "on" : "off");
}

bool
privileges_confine(
    const struct conf *conf, struct confine **confine, struct trouble *t)
{
	const char *obstacle = confine_obstacle();
	char lacks[256];

	if (!conf->confine || obstacle != NULL) {
		log_warnx("receivers and workers are not confined: %s",
		    !conf->confine ? "tranqd.confine is false" : obstacle);
		return true;
	}
	*confine = confine_new();
	if (*confine == NULL)
		return trouble_set(t, EX_OSERR, errno,
		    "receivers and workers cannot be confined; raise the "
		    "limits (ulimit -n, -v), or set tranqd.confine to false");
	confine_missing(lacks, sizeof lacks);
	if (lacks[0] != '\0')
		log_warnx("receivers and workers are confined less than they "
			  "should be; this kernel or container has %s",
		    lacks);
	return true;
}

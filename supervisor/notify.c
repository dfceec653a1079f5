/*
 * notify - tells systemd how we are (sd_notify's protocol)
 *
 * Process: supervisor.
 */
#include "notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

void
notify_send(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t bytes;
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@'))
		return;
	bytes = strlen(path);
	if (bytes >= sizeof to.sun_path)
		return;
	memcpy(to.sun_path, path, bytes);
	if (path[0] == '@')
		to.sun_path[0] = '\0'; /* abstract */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const void *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)) <
	    0)
		log_warn("NOTIFY_SOCKET %s", path);
	close(fd);
}

void
notify_alive(void)
{
	if (getenv("WATCHDOG_USEC") != NULL)
		notify_send("WATCHDOG=1");
}

void
notify_reloading(void)
{
	char state[96];

	snprintf(state, sizeof state,
	    "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading",
	    (long long)(clock_mono_ns() / 1000));
	notify_send(state);
}

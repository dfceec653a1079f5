/*
 * port - the listening sockets that all receivers share
 *
 * Process: supervisor makes it, receivers accept.
 */
#include "port.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "panic.h"

static const char *const names[] = {
	[PORT_HTTP] = "http.port",
	[PORT_HTTPS] = "https.port",
};

static int64_t
configured(const struct conf *conf, enum port_kind kind)
{
	return kind == PORT_HTTP ? conf->http_port : conf->https_port;
}

static int
refused(const struct conf *conf, enum port_kind kind, struct trouble *t)
{
	int error = errno;
	const char *address =
	    conf->http_address[0] != '\0' ? conf->http_address : "*";
	int code = error == EACCES ? EX_NOPERM : EX_UNAVAILABLE;
	const char *remedy = "look at http.address and the port";

	if (error == EADDRINUSE)
		remedy = "another program listens there; stop it (ss -ltnp "
			 "names it) or choose another port";
	else if (error == EACCES)
		remedy = "ports below 1024 need root or "
			 "CAP_NET_BIND_SERVICE; choose another port";
	else if (error == EADDRNOTAVAIL)
		remedy = "this machine does not have that address; choose "
			 "another http.address";
	trouble_set(t, code, error, "%s %s:%lld cannot be opened; %s",
	    names[kind], address, (long long)configured(conf, kind), remedy);
	return -1;
}

/* Bound and listening, or -1 with errno. */
static int
listen_at(const struct sockaddr *at, socklen_t bytes)
{
	int on = 1, off = 0, error;
	int fd = socket(
	    at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
	if (at->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, at, bytes) == 0 && listen(fd, PORT_BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* All addresses: one socket for IPv6 and IPv4, or for IPv4 where the kernel
 * has no IPv6. */
static int
listen_everywhere(unsigned port)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_ANY_INIT,
		.sin6_port = htons((uint16_t)port) };
	struct sockaddr_in four = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_ANY),
		.sin_port = htons((uint16_t)port) };
	int fd = listen_at((const void *)&six, sizeof six);

	if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
		fd = listen_at((const void *)&four, sizeof four);
	return fd;
}

static int
listen_by_name(const struct conf *conf, enum port_kind kind, struct trouble *t)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV },
			*found;
	char port[16];
	int fd, why;

	snprintf(port, sizeof port, "%lld", (long long)configured(conf, kind));
	why = getaddrinfo(conf->http_address, port, &hints, &found);
	if (why == EAI_MEMORY)
		panic_no_memory();
	if (why != 0) {
		trouble_set(t, EX_CONFIG, 0,
		    "http.address %s: %s; write an address of this machine",
		    conf->http_address, gai_strerror(why));
		return -1;
	}
	fd = listen_at(found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return fd < 0 ? refused(conf, kind, t) : fd;
}

static unsigned
port_of(int fd)
{
	struct sockaddr_storage at;
	socklen_t bytes = sizeof at;

	must(getsockname(fd, (void *)&at, &bytes) == 0);
	if (at.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)(const void *)&at)
				 ->sin6_port);
	return ntohs(((const struct sockaddr_in *)(const void *)&at)->sin_port);
}

const char *
port_name(enum port_kind kind)
{
	return names[kind];
}

bool
port_is_enabled(const struct conf *conf, enum port_kind kind)
{
	return kind == PORT_HTTP ? conf->http_port_enable
				 : conf->https_port_enable;
}

int
port_open(const struct conf *conf, enum port_kind kind, unsigned *port,
    struct trouble *t)
{
	int fd;

	must(port_is_enabled(conf, kind));
	if (conf->http_address[0] != '\0') {
		fd = listen_by_name(conf, kind, t);
	} else {
		fd = listen_everywhere((unsigned)configured(conf, kind));
		if (fd < 0)
			fd = refused(conf, kind, t);
	}
	if (fd >= 0)
		*port = port_of(fd);
	return fd;
}

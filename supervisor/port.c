/*
 * port - the listening sockets that all receivers share, and the feed's
 *
 * Process: supervisor makes it, receivers and the feed accept.
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

#include "endpoint.h"
#include "panic.h"

/* The property, and the file that has the number. */
static const struct {
	const char *property, *file, *address;
} names[] = {
	[PORT_HTTP] = { "http.port", "http.port", "http.address" },
	[PORT_HTTPS] = { "https.port", "https.port", "http.address" },
	[PORT_PULL] = { "pull.listen", "pull.port", "pull.listen" },
};

/* Where to listen, as it is configured. */
static void
configured(const struct conf *conf, enum port_kind kind, struct endpoint *at)
{
	if (kind == PORT_PULL) {
		must(endpoint_parse(conf->pull_listen, at));
		if (endpoint_is_everywhere(at))
			at->host[0] = '\0';
		return;
	}
	*at = (struct endpoint){ .port = (unsigned)(kind == PORT_HTTP
					 ? conf->http_port
					 : conf->https_port) };
	snprintf(at->host, sizeof at->host, "%s", conf->http_address);
}

static int
refused(const struct endpoint *at, enum port_kind kind, struct trouble *t)
{
	int error = errno;
	const char *address = at->host[0] != '\0' ? at->host : "*";
	int code = error == EACCES ? EX_NOPERM : EX_UNAVAILABLE;
	const char *remedy = "look at the address and the port";

	if (error == EADDRINUSE)
		remedy = "another program listens there; stop it (ss -ltnp "
			 "names it) or choose another port";
	else if (error == EACCES)
		remedy = "ports below 1024 need root or "
			 "CAP_NET_BIND_SERVICE; choose another port";
	else if (error == EADDRNOTAVAIL)
		remedy = "this machine does not have that address; choose "
			 "another ";
	trouble_set(t, code, error, "%s %s:%u cannot be opened; %s%s",
	    names[kind].property, address, at->port, remedy,
	    error == EADDRNOTAVAIL ? names[kind].address : "");
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
listen_by_name(
    const struct endpoint *at, enum port_kind kind, struct trouble *t)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV },
			*found;
	char port[16];
	int fd, why;

	snprintf(port, sizeof port, "%u", at->port);
	why = getaddrinfo(at->host, port, &hints, &found);
	if (why == EAI_MEMORY)
		panic_no_memory();
	if (why != 0) {
		trouble_set(t, EX_CONFIG, 0,
		    "%s %s: %s; write an address of this machine",
		    names[kind].address, at->host, gai_strerror(why));
		return -1;
	}
	fd = listen_at(found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return fd < 0 ? refused(at, kind, t) : fd;
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
	return names[kind].file;
}

bool
port_is_enabled(const struct conf *conf, enum port_kind kind)
{
	switch (kind) {
	case PORT_HTTP: return conf->http_port_enable;
	case PORT_HTTPS: return conf->https_port_enable;
	case PORT_PULL: return conf->pull_listen[0] != '\0';
	case PORT_KINDS: break;
	}
	unreachable("a port of no kind");
}

int
port_open(const struct conf *conf, enum port_kind kind, unsigned *port,
    struct trouble *t)
{
	struct endpoint at;
	int fd;

	must(port_is_enabled(conf, kind));
	configured(conf, kind, &at);
	if (at.host[0] != '\0') {
		fd = listen_by_name(&at, kind, t);
	} else {
		fd = listen_everywhere(at.port);
		if (fd < 0)
			fd = refused(&at, kind, t);
	}
	if (fd >= 0)
		*port = port_of(fd);
	return fd;
}

/*
 * place - which of a server's ports is spoken to
 *
 * Process: worker. Pure.
 */
#include "place.h"

#include <stdlib.h>
#include <string.h>

#include "panic.h"

#define PORT_MAX 65535

static bool
is_port(int port)
{
	return port > 0 && port <= PORT_MAX;
}

bool
place_choose(struct place *p, bool tls_only, int port, int tls_port)
{
	p->is_tls = is_port(tls_port) && (tls_only || !is_port(port));
	p->port = p->is_tls ? tls_port : port;
	return p->is_tls || (!tls_only && is_port(port));
}

char *
place_text(const char *host, int port)
{
	bool is_ipv6 = strchr(host, ':') != NULL && host[0] != '[';

	return must_format(
	    "%s%s%s:%d", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", port);
}

char *
place_url(const char *host, const struct place *p)
{
	char *text = place_text(host, p->port);
	char *url = must_format("%s://%s", p->is_tls ? "https" : "http", text);

	free(text);
	return url;
}

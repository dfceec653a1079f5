/*
 * feed_check - what of a configuration the feed cannot do, or should not
 *
 * Process: supervisor.
 */
#include "feed_check.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "endpoint.h"

static bool
is_open(const struct conf *c, const struct endpoint *listen)
{
	return !endpoint_is_loopback(listen) && !c->pull_tls &&
	    c->pull_auth_file[0] == '\0';
}

bool
feed_check_is_open(const struct conf *c)
{
	struct endpoint listen;

	return c->pull_listen[0] != '\0' &&
	    endpoint_parse(c->pull_listen, &listen) && is_open(c, &listen);
}

/* Consumers look it up for themselves, so it is only a sign. */
static void
look_up(const struct conf *c, const char *host, struct conf_problems *p)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	int why = getaddrinfo(host, NULL, &hints, &found);

	if (why == 0)
		freeaddrinfo(found);
	else
		conf_warning_of(p, c, "pull.advertise",
		    "%s is not known on this machine (%s); Druid's Overlord "
		    "and all its workers must reach this machine by it",
		    host, gai_strerror(why));
}

static void
check_advertised(const struct conf *c, const struct endpoint *listen,
    struct conf_problems *p)
{
	struct endpoint advertised;

	if (c->pull_advertise[0] == '\0') {
		if (endpoint_is_everywhere(listen))
			conf_problem_of(p, c, "pull.advertise",
			    "not set, and pull.listen is every address; "
			    "give the HOST:PORT by which Druid's Overlord "
			    "and all its workers reach this machine");
		return;
	}
	if (!endpoint_parse(c->pull_advertise, &advertised)) {
		conf_problem_of(p, c, "pull.advertise",
		    "'%.80s' is no HOST:PORT", c->pull_advertise);
	} else if (endpoint_is_everywhere(&advertised)) {
		conf_problem_of(p, c, "pull.advertise",
		    "'%.80s' is no address that anybody could connect to; "
		    "give this machine's own name or address",
		    c->pull_advertise);
	} else if (endpoint_is_loopback(&advertised) &&
	    !endpoint_is_loopback(listen)) {
		conf_warning_of(p, c, "pull.advertise",
		    "'%.80s' sends consumers on other machines to "
		    "themselves; give this machine's own name or address",
		    c->pull_advertise);
	} else {
		look_up(c, advertised.host, p);
	}
}

void
feed_check(const struct conf *c, struct conf_problems *p)
{
	struct endpoint listen;

	if (c->pull_listen[0] == '\0')
		return;
	if (!endpoint_parse(c->pull_listen, &listen)) {
		conf_problem_of(p, c, "pull.listen",
		    "'%.80s' is no HOST:PORT; give an address of this machine "
		    "and a port, as in 127.0.0.1:9094",
		    c->pull_listen);
		return;
	}
	check_advertised(c, &listen, p);
	if (is_open(c, &listen) && !c->pull_insecure)
		conf_problem_of(p, c, "pull.listen",
		    "'%.80s' lets everybody in the network read all events; "
		    "give pull.auth.file or pull.tls, or set pull.insecure "
		    "if the network is yours alone",
		    c->pull_listen);
}

/*
 * load_options - what the load generator is asked to do
 *
 * Process: tranq-load.
 */
#include "load_options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <math.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_ledger.h"

#define SECONDS_MAX 86400.0
#define CONNECTIONS_MAX 60000
#define BATCH_MAX 1000000
#define EVENTS_DEFAULT 100000
#define SECONDS_DEFAULT 600.0

static const char usage_text[] =
    "tranq-load: sends events to tranqd and checks what became of them\n"
    "\n"
    "  --url URL            tranqd, http://127.0.0.1:8200 by default\n"
    "  --data-source NAMES  comma-separated, wikipedia by default; requests\n"
    "                       go to them in turn\n"
    "  --mixed              events name their dataSource themselves, in turn\n"
    "  --connections N      10\n"
    "  --events TOTAL       100000, unless --seconds is given\n"
    "  --seconds S          how long to send at most, 600\n"
    "  --batch N            events a request, 100\n"
    "  --rate N             events a second; 0: as fast as it goes. With a\n"
    "                       rate latency counts from when a request was due\n"
    "  --async              ?async=true\n"
    "  --gzip               bodies are compressed, at start where they fit\n"
    "  --array | --lines    body is one JSON array, or (default) lines\n"
    "  --format NAME        json; text (JSON lines as text/plain), csv or tsv\n"
    "                       (columns: id, then an event's members), smile\n"
    "  --generate           events like Wikipedia's edits (default)\n"
    "  --replay FILE        events of a file, one JSON object a line, .gz\n"
    "                       too; their `time` is moved to end now\n"
    "  --spread S           times are spread over so many seconds, 60\n"
    "  --retry              requests are sent again until 200 or a 4xx\n"
    "  --twice              each request has an Idempotency-Key and is sent\n"
    "                       once more after its 200, on another connection;\n"
    "                       no event may arrive twice, by --retry neither\n"
    "  --timeout S          how long an answer may take, 120\n"
    "  --record FILE        writes what became of each request\n"
    "  --compare URL        tranq-sandbox: waits until all that was answered\n"
    "                       200 is there; 1 if it is not, or there twice\n"
    "  --settle S           how long --compare waits, 60\n"
    "  --replicant N        compares with what replicant N got, 0\n"
    "  --check FILE         sends nothing, compares with a --record file\n"
    "  --json               the report as one line of JSON\n"
    "  --i-own-this-host    allows a target that is not loopback\n"
    "\n"
    "exit: 0 good, 1 events lost, doubled, extra or misrouted, 2 bad options,\n"
    "3 nothing was answered 200\n";

static NORETURN void PRINTF_LIKE(1, 2) refuse(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "tranq-load: ");
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "; --help tells more\n");
	exit(2);
}

static double
read_number(const char *option, const char *text, double low, double high)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !isfinite(value) || value < low ||
	    value > high)
		refuse("--%s %s: give a number from %.0f to %.0f", option, text,
		    low, high);
	return value;
}

static bool
is_loopback(const struct sockaddr_storage *s)
{
	const struct sockaddr_in *v4 = (const void *)s;
	const struct sockaddr_in6 *v6 = (const void *)s;

	if (s->ss_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return s->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

/* Splits "http://HOST:PORT/" and looks the host up. */
static void
read_target(const char *option, const char *url, struct load_target *t)
{
	struct addrinfo wanted = { .ai_socktype = SOCK_STREAM }, *found;
	char host[256], *port;
	int failed;

	if (strncmp(url, "http://", 7) != 0 || strlen(url + 7) >= sizeof host)
		refuse("--%s %s: give http://HOST:PORT", option, url);
	strcpy(host, url + 7);
	host[strcspn(host, "/")] = '\0';
	strcpy(t->host, host);
	port = strrchr(host, ':');
	if (port == NULL || port[1] == '\0' || strchr(port, ']') != NULL)
		refuse("--%s %s: give a port, http://HOST:PORT", option, url);
	*port++ = '\0';
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		memmove(host, host + 1, strlen(host));
	}
	failed = getaddrinfo(host, port, &wanted, &found);
	if (failed != 0)
		refuse("--%s %s: %s", option, url, gai_strerror(failed));
	memcpy(&t->address, found->ai_addr, found->ai_addrlen);
	t->address_bytes = found->ai_addrlen;
	freeaddrinfo(found);
}

static void
check_target(const struct load_options *o, const struct load_target *t)
{
	if (t->address_bytes > 0 && !is_loopback(&t->address) && !o->owns_host)
		refuse("%s is not on this machine; load is for hosts of your "
		       "own, say --i-own-this-host if it is one",
		    t->host);
}

enum load_option {
	OPTION_URL = 256,
	OPTION_DATA_SOURCE,
	OPTION_MIXED,
	OPTION_CONNECTIONS,
	OPTION_EVENTS,
	OPTION_SECONDS,
	OPTION_BATCH,
	OPTION_RATE,
	OPTION_ASYNC,
	OPTION_GZIP,
	OPTION_ARRAY,
	OPTION_LINES,
	OPTION_FORMAT,
	OPTION_GENERATE,
	OPTION_REPLAY,
	OPTION_SPREAD,
	OPTION_RETRY,
	OPTION_TWICE,
	OPTION_TIMEOUT,
	OPTION_RECORD,
	OPTION_COMPARE,
	OPTION_SETTLE,
	OPTION_REPLICANT,
	OPTION_CHECK,
	OPTION_JSON,
	OPTION_OWN,
	OPTION_HELP,
};

static const struct option known[] = {
	{ "url", required_argument, NULL, OPTION_URL },
	{ "data-source", required_argument, NULL, OPTION_DATA_SOURCE },
	{ "mixed", no_argument, NULL, OPTION_MIXED },
	{ "connections", required_argument, NULL, OPTION_CONNECTIONS },
	{ "events", required_argument, NULL, OPTION_EVENTS },
	{ "seconds", required_argument, NULL, OPTION_SECONDS },
	{ "batch", required_argument, NULL, OPTION_BATCH },
	{ "rate", required_argument, NULL, OPTION_RATE },
	{ "async", no_argument, NULL, OPTION_ASYNC },
	{ "gzip", no_argument, NULL, OPTION_GZIP },
	{ "array", no_argument, NULL, OPTION_ARRAY },
	{ "lines", no_argument, NULL, OPTION_LINES },
	{ "format", required_argument, NULL, OPTION_FORMAT },
	{ "generate", no_argument, NULL, OPTION_GENERATE },
	{ "replay", required_argument, NULL, OPTION_REPLAY },
	{ "spread", required_argument, NULL, OPTION_SPREAD },
	{ "retry", no_argument, NULL, OPTION_RETRY },
	{ "twice", no_argument, NULL, OPTION_TWICE },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "record", required_argument, NULL, OPTION_RECORD },
	{ "compare", required_argument, NULL, OPTION_COMPARE },
	{ "settle", required_argument, NULL, OPTION_SETTLE },
	{ "replicant", required_argument, NULL, OPTION_REPLICANT },
	{ "check", required_argument, NULL, OPTION_CHECK },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "i-own-this-host", no_argument, NULL, OPTION_OWN },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

/* Options with a number or a name behind them. */
static void
take_value(struct load_options *o, int option, const char *value)
{
	const char *name = known[option - OPTION_URL].name;

	switch (option) {
	case OPTION_URL: read_target(name, value, &o->url); break;
	case OPTION_COMPARE:
		read_target(name, value, &o->sandbox);
		o->compares = true;
		break;
	case OPTION_DATA_SOURCE: o->data_sources = value; break;
	case OPTION_CONNECTIONS:
		o->connections =
		    (unsigned)read_number(name, value, 1, CONNECTIONS_MAX);
		break;
	case OPTION_EVENTS:
		o->events = (uint64_t)read_number(
		    name, value, 1, (double)LEDGER_EVENTS_MAX);
		break;
	case OPTION_SECONDS:
		o->seconds = read_number(name, value, 0, SECONDS_MAX);
		break;
	case OPTION_BATCH:
		o->batch = (uint64_t)read_number(name, value, 1, BATCH_MAX);
		break;
	case OPTION_RATE: o->rate = read_number(name, value, 0, 1e9); break;
	case OPTION_FORMAT:
		if (!load_format_parse(value, &o->format))
			refuse("--format is json, text, csv, tsv or smile");
		break;
	case OPTION_REPLAY: o->replay = value; break;
	case OPTION_SPREAD:
		o->spread_seconds = read_number(name, value, 0, SECONDS_MAX);
		break;
	case OPTION_TIMEOUT:
		o->timeout_seconds = read_number(name, value, 1, SECONDS_MAX);
		break;
	case OPTION_SETTLE:
		o->settle_seconds = read_number(name, value, 0, SECONDS_MAX);
		break;
	case OPTION_REPLICANT:
		o->replicant = (unsigned)read_number(name, value, 0, 99);
		break;
	case OPTION_RECORD: o->record = value; break;
	case OPTION_CHECK: o->check = value; break;
	}
}

static void
take_switch(struct load_options *o, int option)
{
	switch (option) {
	case OPTION_MIXED: o->is_mixed = true; break;
	case OPTION_ASYNC: o->is_async = true; break;
	case OPTION_GZIP: o->is_gzip = true; break;
	case OPTION_ARRAY: o->is_array = true; break;
	case OPTION_LINES: o->is_array = false; break;
	case OPTION_GENERATE: o->replay = NULL; break;
	case OPTION_RETRY: o->retries = true; break;
	case OPTION_TWICE: o->is_twice = true; break;
	case OPTION_JSON: o->prints_json = true; break;
	case OPTION_OWN: o->owns_host = true; break;
	case OPTION_HELP: fputs(usage_text, stdout); exit(0);
	}
}

static void
set_defaults(struct load_options *o)
{
	*o = (struct load_options){
		.data_sources = "wikipedia",
		.connections = 10,
		.batch = 100,
		.spread_seconds = 60,
		.settle_seconds = 60,
		.timeout_seconds = 120,
		.seconds = -1,
	};
	read_target("url", "http://127.0.0.1:8200", &o->url);
}

void
load_options_read(struct load_options *o, int argc, char **argv)
{
	int option;

	set_defaults(o);
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == '?')
			refuse("that is no option");
		if (known[option - OPTION_URL].has_arg == required_argument)
			take_value(o, option, optarg);
		else
			take_switch(o, option);
	}
	if (optind < argc)
		refuse("%s is no option", argv[optind]);
	check_target(o, &o->url);
	check_target(o, &o->sandbox);
	if (o->format != LOAD_JSON && o->format != LOAD_SMILE &&
	    (o->is_mixed || o->is_array))
		refuse("text has no dataSource in it and is no array, so "
		       "--format goes with neither --mixed nor --array");
	if (o->check != NULL && !o->compares)
		refuse("--check wants --compare too");
	if (o->events == 0 && o->seconds < 0)
		o->events = EVENTS_DEFAULT;
	if (o->seconds < 0)
		o->seconds = SECONDS_DEFAULT;
}

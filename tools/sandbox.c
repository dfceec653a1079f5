/*
 * sandbox - tranq-sandbox: a stand-in Druid to try tranqd out
 *
 * Process: tranq-sandbox.   Wiring and options only.
 *
 *   sandbox_http → sandbox_exchange ┬ sandbox_push → sandbox_check →
 *                                   │    sandbox_task → sandbox_store
 *                                   ├ sandbox_overlord ┬ sandbox_spec →
 *                                   │                  │    sandbox_task
 *                                   │                  └ sandbox_supervise →
 *                                   │                       sandbox_supervisor
 *                                   └ sandbox_control
 */
#include "sandbox.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "panic.h"
#include "sandbox_announce.h"
#include "sandbox_exchange.h"
#include "sandbox_task.h"

#define VERSION "30.0.1"
#define KEEP_BYTES (INT64_C(4) * 1024 * MiB)
#define HANDOFF_MS 100

enum option_id {
	OPTION_PORT = 256,
	OPTION_PEON_PORT,
	OPTION_TLS_PORT,
	OPTION_ADDRESS,
	OPTION_PORT_FILE,
	OPTION_ZOOKEEPER,
	OPTION_DISCOVERY_PATH,
	OPTION_OVERLORD_SERVICE,
	OPTION_BUFFER,
	OPTION_DRAIN,
	OPTION_START_DELAY,
	OPTION_HANDLER_DELAY,
	OPTION_HANDOFF_DELAY,
	OPTION_BATCH_DELAY,
	OPTION_EVENTS,
	OPTION_KEEP_BYTES,
	OPTION_CHECK,
	OPTION_CHUNK,
	OPTION_DRUID,
	OPTION_NO_KAFKA,
	OPTION_NO_PRODUCERS,
	OPTION_QUEUE,
	OPTION_BASIC_AUTH,
	OPTION_SEED,
	OPTION_HELP
};

static const struct option long_options[] = {
	{ "port", required_argument, NULL, OPTION_PORT },
	{ "peon-port", required_argument, NULL, OPTION_PEON_PORT },
	{ "tls-port", required_argument, NULL, OPTION_TLS_PORT },
	{ "address", required_argument, NULL, OPTION_ADDRESS },
	{ "port-file", required_argument, NULL, OPTION_PORT_FILE },
	{ "zookeeper", required_argument, NULL, OPTION_ZOOKEEPER },
	{ "discovery-path", required_argument, NULL, OPTION_DISCOVERY_PATH },
	{ "overlord-service", required_argument, NULL,
	    OPTION_OVERLORD_SERVICE },
	{ "buffer", required_argument, NULL, OPTION_BUFFER },
	{ "drain", required_argument, NULL, OPTION_DRAIN },
	{ "start-delay", required_argument, NULL, OPTION_START_DELAY },
	{ "handler-delay", required_argument, NULL, OPTION_HANDLER_DELAY },
	{ "handoff-delay", required_argument, NULL, OPTION_HANDOFF_DELAY },
	{ "batch-delay", required_argument, NULL, OPTION_BATCH_DELAY },
	{ "events", required_argument, NULL, OPTION_EVENTS },
	{ "keep-bytes", required_argument, NULL, OPTION_KEEP_BYTES },
	{ "check", required_argument, NULL, OPTION_CHECK },
	{ "chunk-events", required_argument, NULL, OPTION_CHUNK },
	{ "druid", required_argument, NULL, OPTION_DRUID },
	{ "no-kafka", no_argument, NULL, OPTION_NO_KAFKA },
	{ "no-producer-headers", no_argument, NULL, OPTION_NO_PRODUCERS },
	{ "queue", required_argument, NULL, OPTION_QUEUE },
	{ "basic-auth", required_argument, NULL, OPTION_BASIC_AUTH },
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
    "tranq-sandbox: a stand-in Druid (Overlord and realtime tasks in one\n"
    "process) to try tranqd out. It prints its URL when it serves.\n"
    "\n"
    "  --port N               Overlord and tasks; 0 (default): a free one\n"
    "  --peon-port N          tasks on a port of their own; 0: a free one\n"
    "  --tls-port N           Overlord and tasks are said to be at this TLS\n"
    "                         port only (a proxy's that you run before it)\n"
    "  --address A            address to bind and to be found at\n"
    "                         (127.0.0.1)\n"
    "  --port-file FILE       the port's number goes there as well\n"
    "  --zookeeper HOST:PORT  announces itself there, as Druid does\n"
    "  --discovery-path PATH  /druid/discovery\n"
    "  --overlord-service S   druid/overlord\n"
    "  --buffer EVENTS        size of a firehose's buffer (as its task says)\n"
    "  --drain EVENTS         how many a second a task takes out of it\n"
    "                         (0: all at once)\n"
    "  --start-delay MS       a task is PENDING this long (0)\n"
    "  --handler-delay MS     RUNNING before its firehose is there (0)\n"
    "  --handoff-delay MS     RUNNING after its firehose is closed (100)\n"
    "  --batch-delay MS       a batch task is RUNNING this long (0)\n"
    "  --events keep|count    keep what arrives, or only count it\n"
    "  --keep-bytes N         most to be kept (4 GiB)\n"
    "  --check full|fast      judge each push with two parsers, or with one\n"
    "  --chunk-events N       more in one push are a violation (0: any)\n"
    "  --druid VERSION        answer as that Druid (" VERSION ")\n"
    "  --no-kafka             without Druid's Kafka extension\n"
    "  --no-producer-headers  ignore X-Firehose-Producer-*\n"
    "  --queue TASKS          more that are not done are refused (0: any)\n"
    "  --basic-auth USER:PW   401 for requests without them\n"
    "  --seed N               for faults that strike by chance\n"
    "\n"
    "GET /sandbox/stats, GET /sandbox/events?dataSource=X, POST\n"
    "/sandbox/fault, POST /sandbox/supervisor, POST /sandbox/reset …: see\n"
    "tools/sandbox_control.h, tools/sandbox_fault.h and\n"
    "tools/sandbox_supervisor.h.\n";

NORETURN static void
wrong(const char *option, const char *value, const char *want)
{
	fprintf(stderr, "tranq-sandbox: --%s %s: must be %s\n", option, value,
	    want);
	exit(EX_USAGE);
}

static int64_t
number(const char *option, const char *text, int64_t max)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || n < 0 || n > max)
		wrong(option, text, "a number");
	return n;
}

static bool
choice(const char *option, const char *text, const char *yes, const char *no)
{
	bool is_yes = strcmp(text, yes) == 0;

	if (!is_yes && strcmp(text, no) != 0)
		wrong(option, text, "one of the words in --help");
	return is_yes;
}

/* "Basic " and the text in base64 (RFC 4648). */
static char *
basic_authorization(const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t bytes = strlen(text);
	char *out = must_malloc(sizeof "Basic " + (bytes + 2) / 3 * 4);
	char *to = stpcpy(out, "Basic ");

	for (size_t i = 0; i < bytes; i += 3) {
		uint32_t group = 0;

		for (size_t j = 0; j < 3; j++)
			group = group << 8 |
			    (i + j < bytes ? (unsigned char)text[i + j] : 0);
		for (unsigned j = 0; j < 4; j++)
			*to++ = i + j > bytes
			    ? '='
			    : digits[group >> (18 - 6 * j) & 63];
	}
	*to = '\0';
	return out;
}

bool
sandbox_options_druid(struct sandbox_options *o, const char *version)
{
	char text[DRUID_TEXT_BYTES];

	if (snprintf(text, sizeof text, "%s", version) >= (int)sizeof text ||
	    !sandbox_answer_version_parse(version, &o->version))
		return false;
	memcpy(o->version_text, text, sizeof text);
	return true;
}

static void
set_text_option(struct sandbox_options *o, int option, const char *value)
{
	switch (option) {
	case OPTION_ADDRESS: o->address = value; return;
	case OPTION_PORT_FILE: o->port_file = value; return;
	case OPTION_ZOOKEEPER: o->zookeeper = value; return;
	case OPTION_DISCOVERY_PATH: o->discovery_path = value; return;
	case OPTION_OVERLORD_SERVICE: o->overlord_service = value; return;
	case OPTION_EVENTS:
		o->counts_only = choice("events", value, "count", "keep");
		return;
	case OPTION_CHECK:
		o->checks_fully = choice("check", value, "full", "fast");
		return;
	case OPTION_DRUID:
		if (!sandbox_options_druid(o, value))
			wrong("druid", value, "like 30.0.1");
		return;
	case OPTION_NO_KAFKA: o->has_no_kafka = true; return;
	case OPTION_BASIC_AUTH:
		free(o->authorization);
		o->authorization = basic_authorization(value);
		return;
	case OPTION_NO_PRODUCERS: o->ignores_producers = true; return;
	case OPTION_HELP: fputs(help, stdout); exit(0);
	default: exit(EX_USAGE); /* getopt has said why */
	}
}

static bool
set_number_option(struct sandbox_options *o, int option, const char *value)
{
	static const int64_t any = INT64_MAX;

	switch (option) {
	case OPTION_PORT:
		o->port = (unsigned)number("port", value, 65535);
		return true;
	case OPTION_PEON_PORT:
		o->has_peon_port = true;
		o->peon_port = (unsigned)number("peon-port", value, 65535);
		return true;
	case OPTION_TLS_PORT:
		o->tls_port = (unsigned)number("tls-port", value, 65535);
		return true;
	case OPTION_BUFFER: o->buffer = number("buffer", value, any); break;
	case OPTION_DRAIN:
		o->drain_rate = number("drain", value, 1000000000);
		break;
	case OPTION_START_DELAY:
		o->start_delay_ms = number("start-delay", value, any);
		break;
	case OPTION_HANDLER_DELAY:
		o->handler_delay_ms = number("handler-delay", value, any);
		break;
	case OPTION_HANDOFF_DELAY:
		o->handoff_delay_ms = number("handoff-delay", value, any);
		break;
	case OPTION_BATCH_DELAY:
		o->batch_delay_ms = number("batch-delay", value, any);
		break;
	case OPTION_KEEP_BYTES:
		o->keep_bytes = number("keep-bytes", value, any);
		break;
	case OPTION_CHUNK:
		o->chunk_events = number("chunk-events", value, any);
		break;
	case OPTION_QUEUE: o->queue_tasks = number("queue", value, any); break;
	case OPTION_SEED: o->seed = number("seed", value, any); break;
	default: return false;
	}
	return true;
}

static void
read_options(struct sandbox_options *o, int argc, char **argv)
{
	int option;

	*o = (struct sandbox_options){ .address = "127.0.0.1",
		.discovery_path = "/druid/discovery",
		.overlord_service = "druid/overlord",
		.handoff_delay_ms = HANDOFF_MS,
		.keep_bytes = KEEP_BYTES,
		.seed = 1 };
	must(sandbox_options_druid(o, VERSION));
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (!set_number_option(o, option, optarg))
			set_text_option(o, option, optarg);
	if (optind < argc) {
		fprintf(
		    stderr, "tranq-sandbox: %s is no option\n", argv[optind]);
		exit(EX_USAGE);
	}
	snprintf(o->url_host, sizeof o->url_host,
	    strchr(o->address, ':') != NULL ? "[%s]" : "%s", o->address);
}

static unsigned
listen_at(struct sandbox *s, unsigned port)
{
	unsigned bound = sandbox_http_listen(s->http, s->options.address, port);

	if (bound == 0)
		fatal("%s:%u", s->options.address, port);
	return bound;
}

static void
start_http(struct sandbox *s)
{
	const struct sandbox_http_options o = { .loop = s->loop,
		.inflates = s->options.version >= DRUID_GZIP_BODIES,
		.begin = sandbox_exchange_begin,
		.finish = sandbox_exchange_finish,
		.gone = sandbox_exchange_gone,
		.context = s };

	s->http = sandbox_http_new(&o);
	s->port = listen_at(s, s->options.port);
	s->task_port = s->options.has_peon_port
	    ? listen_at(s, s->options.peon_port)
	    : s->port;
}

static void
start_announce(struct sandbox *s)
{
	const struct announce_options o = { .connect = s->options.zookeeper,
		.discovery = s->options.discovery_path,
		.address = s->options.address,
		.task_port = s->task_port,
		.tls_port = s->options.tls_port,
		.has_tls_field = s->options.version >= DRUID_LOCATION_TLS };

	if (s->options.zookeeper == NULL)
		return;
	s->announce = sandbox_announce_new(s->loop, &o);
	if (s->announce == NULL)
		wrong("zookeeper", s->options.zookeeper, "HOST:PORT");
	sandbox_announce_overlord(
	    s->announce, s->options.overlord_service, s->port);
}

static void
tell(const struct sandbox *s)
{
	FILE *f;

	if (s->options.port_file != NULL) {
		f = fopen(s->options.port_file, "w");
		if (f == NULL || fprintf(f, "%u\n", s->port) < 0 ||
		    fclose(f) != 0)
			fatal("%s", s->options.port_file);
	}
	printf("http://%s:%u\n", s->options.url_host, s->port);
	fflush(stdout);
}

static void
signal_arrived(void *context, const struct signalfd_siginfo *info UNUSED)
{
	struct sandbox *s = context;

	loop_stop(s->loop);
}

static void
start(struct sandbox *s)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	s->loop = loop_new();
	s->started_ms = loop_now_ms(s->loop);
	if (!loop_signals_start(s->loop, &signals, signal_arrived, s))
		fatal("signals");
	sandbox_fault_init(&s->faults, (uint64_t)s->options.seed);
	sandbox_check_init(&s->check, s->options.checks_fully, &s->violations);
	sandbox_store_init(&s->store, !s->options.counts_only,
	    (uint64_t)s->options.keep_bytes);
	sandbox_supervisor_init(&s->supervisors, &s->store, &s->violations);
	start_http(s);
	start_announce(s);
}

static void
stop(struct sandbox *s)
{
	sandbox_exchange_clear(s, NULL);
	sandbox_task_clear(s);
	sandbox_announce_free(&s->announce);
	sandbox_http_free(&s->http);
	sandbox_supervisor_clear(&s->supervisors);
	sandbox_store_clear(&s->store);
	sandbox_check_fini(&s->check);
	loop_free(&s->loop);
	free(s->options.authorization);
}

int
main(int argc, char **argv)
{
	static struct sandbox s;

	log_process("sandbox", NULL);
	read_options(&s.options, argc, argv);
	start(&s);
	tell(&s);
	loop_run(s.loop);
	stop(&s);
	return 0;
}

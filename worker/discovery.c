/*
 * discovery - where a service is, as announced in ZooKeeper (Curator)
 *
 * Process: worker.
 */
#include "discovery.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "json.h"
#include "log.h"
#include "panic.h"

#define PORT_MAX 65535
#define FIREHOSE "firehose:"

struct discovery {
	struct zk *zk;
	char *root, *path; /* of all services, of this one */
	struct zk_call *call;
	discovery_done_fn *done;
	void *context;
	char **instances; /* still to be tried */
	size_t instance_count;
	bool refused; /* one was there, and of no use */
};

/* ---- documents ------------------------------------------------------------ */

/* A port that is not there is null, absent, 0 or -1. */
static bool
parse_port(const struct json *top, const char *name, int *port)
{
	const struct json *j = json_get(top, name);

	*port = 0;
	if (j == NULL || json_is_null(j))
		return true;
	if (!json_is_int(j) || json_int(j, 0) > PORT_MAX)
		return false;
	*port = (int)MAX_OF(json_int(j, 0), 0);
	return true;
}

static const char *
parse_place(const struct json *top, struct discovery_place *p)
{
	const char *address = json_get_text(top, "address", "");
	size_t n = strlen(address);

	if (!json_is_object(top))
		return "not a JSON object";
	if (n == 0 || n >= sizeof p->host)
		return "no \"address\", or one that is too long";
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)address[i] <= ' ' ||
		    strchr("/?#@\\", address[i]) != NULL)
			return "an \"address\" that is no host name";
	if (!parse_port(top, "port", &p->port) ||
	    !parse_port(top, "sslPort", &p->tls_port))
		return "a \"port\" or \"sslPort\" that is no port number";
	if (p->port == 0 && p->tls_port == 0)
		return "neither \"port\" nor \"sslPort\"";
	memcpy(p->host, address, n + 1);
	return NULL;
}

bool
discovery_parse(const char *text, size_t bytes, struct discovery_place *place,
    const char **why)
{
	struct json_error e;
	struct json *top = json_parse(text, bytes, &e);

	memset(place, 0, sizeof *place);
	*why = top == NULL ? "not JSON" : parse_place(top, place);
	json_free(&top);
	return *why == NULL;
}

/* ---- looking up ----------------------------------------------------------- */

void
discovery_cancel(struct discovery **discovery)
{
	struct discovery *d = *discovery;

	if (d == NULL)
		return;
	*discovery = NULL;
	zk_cancel(&d->call);
	for (size_t i = 0; i < d->instance_count; i++)
		free(d->instances[i]);
	free(d->instances);
	free(d->root);
	free(d->path);
	free(d);
}

static void
end(struct discovery *d, const struct discovery_answer *a)
{
	discovery_done_fn *done = d->done;
	void *context = d->context;

	discovery_cancel(&d);
	done(context, a);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Firehoses are many, come and go, and are not what somebody misspelt. */
static void
services_listed(void *context, const struct zk_answer *z)
{
	struct discovery_answer a = { .result = RESULT_GONE };
	const char **names = must_calloc(z->name_count + 1, sizeof *names);
	struct discovery *d = context;
	size_t count = 0;

	d->call = NULL;
	for (size_t i = 0; i < z->name_count; i++)
		if (strncmp(z->names[i], FIREHOSE, strlen(FIREHOSE)) != 0)
			names[count++] = z->names[i];
	qsort(names, count, sizeof *names, compare_names);
	a.names = names;
	a.name_count = MIN_OF(count, DISCOVERY_NAMES_MAX);
	if (z->result == RESULT_RETRY)
		a.result = RESULT_RETRY;
	end(d, &a);
	free(names);
}

static void
nothing_found(struct discovery *d)
{
	struct discovery_answer a = { .result = RESULT_REFUSED };

	if (d->refused)
		end(d, &a);
	else
		d->call = zk_children(d->zk, d->root, NULL, services_listed, d);
}

static void try_one(struct discovery *);

static void
instance_read(void *context, const struct zk_answer *z)
{
	struct discovery *d = context;
	struct discovery_answer a = { .result = z->result };
	const char *why = NULL;

	d->call = NULL;
	if (z->result == RESULT_RETRY) {
		end(d, &a);
		return;
	}
	if (z->result == RESULT_OK &&
	    discovery_parse(z->bytes, z->byte_count, &a.place, &why)) {
		end(d, &a);
		return;
	}
	/* it left between the list and the look: that is no fault */
	if (z->result != RESULT_GONE) {
		log_warnx("ZooKeeper: service announcement %s: %s", z->path,
		    why != NULL ? why : z->text);
		d->refused = true;
	}
	try_one(d);
}

static void
try_one(struct discovery *d)
{
	unsigned r = 0;
	size_t at;
	char *name, *path;

	if (d->instance_count == 0) {
		nothing_found(d);
		return;
	}
	(void)!getrandom(&r, sizeof r, 0);
	at = r % d->instance_count;
	name = d->instances[at];
	d->instances[at] = d->instances[--d->instance_count];
	path = must_format("%s/%s", d->path, name);
	d->call = zk_get(d->zk, path, NULL, instance_read, d);
	free(path);
	free(name);
}

static void
instances_listed(void *context, const struct zk_answer *z)
{
	struct discovery *d = context;
	struct discovery_answer a = { .result = z->result };

	d->call = NULL;
	if (z->result == RESULT_RETRY || z->result == RESULT_REFUSED) {
		if (z->result == RESULT_REFUSED)
			log_warnx(
			    "ZooKeeper: cannot read %s: %s", z->path, z->text);
		end(d, &a);
		return;
	}
	d->instances = must_calloc(z->name_count + 1, sizeof(char *));
	for (size_t i = 0; i < z->name_count; i++)
		d->instances[i] = must_strdup(z->names[i]);
	d->instance_count = z->name_count;
	try_one(d);
}

struct discovery *
discovery_find(struct zk *zk, const char *path, const char *service,
    discovery_done_fn *done, void *context)
{
	struct discovery *d = must_calloc(1, sizeof *d);
	char *name = must_strdup(service);
	size_t n = strlen(path);

	while (n > 0 && path[n - 1] == '/')
		n--;
	d->zk = zk;
	d->done = done;
	d->context = context;
	d->root = n == 0
	    ? must_strdup("/")
	    : must_format("%s%.*s", path[0] == '/' ? "" : "/", (int)n, path);
	for (char *p = name; *p != '\0'; p++)
		if (*p == '/')
			*p = ':';
	d->path = must_format("%s/%s", n == 0 ? "" : d->root, name);
	free(name);
	d->call = zk_children(zk, d->path, NULL, instances_listed, d);
	return d;
}

/*
 * conf - the configuration file: Tranquility's server.json and our additions
 *
 * Process: all.
 *
 * The whole file is checked before anybody hears of it, so that one look at
 * the list of problems is enough to mend them all.
 */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf_digest.h"
#include "conf_property.h"
#include "conf_pull.h"
#include "conf_reader.h"
#include "conf_spec.h"
#include "panic.h"
#include "yaml.h"

#define RECEIVERS_MAX 256

/* What the reading of one document needs. */
struct reading {
	struct conf_reader reader;
	struct conf *conf;
	struct ds_conf shared; /* global values of dataSources' properties */
	struct json *places; /* dataSource's name → path of its entry */
};

static void
check_members(struct conf_reader *r, const struct json *object,
    const char *first, const char *second)
{
	char hint[CONF_PATH_BYTES];

	for (struct json_member *m = json_first(object); m != NULL;
	     m = json_next(object, m)) {
		const char *name = json_member_name(m);
		struct conf_nearest nearest = { .name = name };
		size_t mark;

		if (strcmp(name, first) == 0 || strcmp(name, second) == 0)
			continue;
		conf_reader_offer(&nearest, first);
		conf_reader_offer(&nearest, second);
		mark = conf_reader_enter(r, name);
		conf_reader_problem(r,
		    "nothing that belongs here%s; only %s and "
		    "%s do, take it out",
		    conf_reader_hint(&nearest, hint), first, second);
		conf_reader_leave(r, mark);
	}
}

static void
check_druid(struct conf_reader *r, const struct ds_conf *ds)
{
	size_t mark;

	if (*ds->zookeeper_connect != '\0' || *ds->overlord_url != '\0')
		return;
	mark = conf_reader_enter(r, "properties");
	conf_reader_problem(r,
	    "neither zookeeper.connect nor druid.overlord.url "
	    "is set; give zookeeper.connect (such as localhost:2181) to find "
	    "Druid and share tasks with other instances, or druid.overlord.url "
	    "(such as http://localhost:8090) to run one instance alone");
	conf_reader_leave(r, mark);
}

/* Properties that only make sense together. */
static void
check_security(struct conf_reader *r, const struct ds_conf *ds)
{
	bool has_user = *ds->basic_user != '\0';
	bool has_password = *ds->basic_password != '\0';
	size_t mark = conf_reader_enter(r, "properties");

	/* as Tranquility, which says nothing */
	if (has_user != has_password)
		conf_reader_warning(r,
		    "no user is given to Druid: %s is missing; give both or "
		    "none",
		    has_user ? "druidBeam.basicAuthPass"
			     : "druidBeam.basicAuthUser");
	if ((*ds->zookeeper_auth_scheme == '\0') !=
	    (*ds->zookeeper_auth_credentials == '\0'))
		conf_reader_problem(r,
		    "of zookeeper.auth.scheme and zookeeper.auth.credentials "
		    "one is missing; give both (such as digest and "
		    "user:password) or none");
	else if (strcmp(ds->zookeeper_auth_scheme, "digest") == 0 &&
	    strchr(ds->zookeeper_auth_credentials, ':') == NULL)
		conf_reader_problem(r,
		    "zookeeper.auth.credentials has no colon; with the scheme "
		    "digest it is user:password");
	if (ds->tls_enable && strcasestr(ds->overlord_url, "http://") != NULL)
		conf_reader_problem(r,
		    "druid.overlord.url is a plain http:// URL, and "
		    "druid.tls.enable is true; give https://, or set "
		    "druid.tls.enable to false");
	conf_reader_leave(r, mark);
}

static bool
makes_any_time(const struct ds_conf *ds)
{
	return strcmp(ds->task_type, "index_realtime_appenderator") == 0;
}

/* What task.type and the rest have to say of each other. */
static void
check_task_type(struct conf_reader *r, struct ds_conf *ds)
{
	size_t mark = conf_reader_enter(r, "properties.task.replicants");

	ds->any_time = makes_any_time(ds);
	if (ds->any_time && ds->replicants > 1)
		conf_reader_problem(r,
		    "'%lld' cannot be with task.type "
		    "index_realtime_appenderator: each replicant would publish "
		    "segments of its own, and each event would count more than "
		    "once; give 1",
		    (long long)ds->replicants);
	conf_reader_leave(r, mark);
	mark = conf_reader_enter(r, "spec.tuningConfig.type");
	if (!ds->any_time &&
	    strcmp(json_get_text(ds->tuning, "type", ""),
		"realtime_appenderator") == 0)
		conf_reader_problem(r,
		    "'realtime_appenderator' goes with the property task.type "
		    "index_realtime_appenderator; set that, or give realtime");
	conf_reader_leave(r, mark);
}

void
conf_deliver(struct ds_conf *ds, enum delivery_mode mode)
{
	ds->delivery = mode;
	/* which tasks those would be is of no matter to append */
	ds->any_time = makes_any_time(ds) && mode != DELIVERY_APPEND;
	ds->no_window = ds->any_time || mode != DELIVERY_PUSH;
	must(late_policy_parse(ds->late_policy, &ds->late));
	if (mode == DELIVERY_APPEND)
		ds->late = LATE_APPEND;
}

static void
read_delivery(struct conf_reader *r, struct ds_conf *ds)
{
	size_t mark = conf_reader_enter(r, "properties.delivery.mode");

	ds->is_auto = strcasecmp(ds->delivery_mode, "auto") == 0;
	must(ds->is_auto ||
	    delivery_mode_parse(ds->delivery_mode, &ds->delivery));
	conf_deliver(ds, ds->is_auto ? DELIVERY_PUSH : ds->delivery);
	conf_reader_leave(r, mark);
}

static void
read_late(struct conf_reader *r, struct ds_conf *ds)
{
	size_t mark = conf_reader_enter(r, "properties.late.policy");
	enum late_policy policy;

	must(late_policy_parse(ds->late_policy, &policy));
	if (ds->no_window && policy != LATE_DROP)
		conf_reader_warning(r,
		    "has no effect with %s, no event is late there; take it "
		    "out",
		    ds->any_time ? "task.type index_realtime_appenderator"
			: ds->delivery == DELIVERY_PULL
			? "delivery.mode pull"
			: "delivery.mode append");
	conf_reader_leave(r, mark);
	mark = conf_reader_enter(r, "properties.archive.all");
	if (ds->any_time && ds->archive_all)
		conf_reader_problem(r,
		    "'true' cannot be with task.type "
		    "index_realtime_appenderator: its batches have events of "
		    "any interval, and the archive is kept by interval; take "
		    "it out");
	if (ds->delivery == DELIVERY_PULL && ds->archive_all)
		conf_reader_problem(r,
		    "'true' cannot be with delivery.mode pull: the log's "
		    "batches have events of any interval, and the archive is "
		    "kept by interval; take it out");
	conf_reader_leave(r, mark);
}

/* The path stands on the entry. */
static void
check_name(struct reading *in, const char *key, const char *name)
{
	const char *other = json_get_text(in->places, name, NULL);

	if (key != NULL && strcmp(key, name) != 0)
		conf_reader_problem(&in->reader,
		    "the key is not the same as "
		    "spec.dataSchema.dataSource '%.*s'; make them the same",
		    conf_reader_cut(name), name);
	if (other != NULL)
		conf_reader_problem(&in->reader,
		    "dataSource '%.*s' is in %s "
		    "already; take one out",
		    conf_reader_cut(name), name, other);
	else
		json_set_text(in->places, name, in->reader.path);
}

static void
read_ds(struct reading *in, const char *key, const struct json *entry)
{
	struct conf *conf = in->conf;
	struct ds_conf *ds = &conf->ds[conf->ds_count++];
	struct conf_reader *r = &in->reader;
	const struct json *spec = conf_spec_get(entry, "spec");
	size_t mark;

	ds->secrets_fd = -1;
	conf_property_copy_ds(ds, &in->shared);
	if (!json_is_object(entry)) {
		conf_reader_problem(r,
		    "%s, not an object; give {\"spec\": …, "
		    "\"properties\": …}",
		    json_type_name(entry));
		return;
	}
	check_members(r, entry, "spec", "properties");
	mark = conf_reader_enter(r, "spec");
	if (json_is_object(spec))
		conf_spec_read(r, spec, ds);
	else
		conf_reader_problem(r,
		    "%s; give the dataSource's ingestion spec "
		    "{\"dataSchema\": …, \"tuningConfig\": …}",
		    spec == NULL ? "missing" : json_type_name(spec));
	conf_reader_leave(r, mark);
	conf_property_read_ds(r, json_get(entry, "properties"), ds);
	check_druid(r, ds);
	check_security(r, ds);
	check_task_type(r, ds);
	read_delivery(r, ds);
	read_late(r, ds);
	conf_pull_read_ds(r, conf, ds);
	if (ds->name != NULL)
		check_name(in, key, ds->name);
	if (ds->data_schema != NULL)
		ds->digest = conf_digest(ds);
	if (ds->delivery == DELIVERY_PULL || ds->is_auto)
		ds->digest = conf_pull_digest(ds->digest, conf);
}

static void
read_map(struct reading *in, const struct json *map)
{
	size_t mark;

	for (struct json_member *m = json_first(map); m != NULL;
	     m = json_next(map, m)) {
		mark = conf_reader_enter(&in->reader, json_member_name(m));
		read_ds(in, json_member_name(m), json_member(m));
		conf_reader_leave(&in->reader, mark);
	}
}

static void
read_list(struct reading *in, const struct json *list)
{
	size_t mark;

	for (size_t i = 0; i < json_size(list); i++) {
		mark = conf_reader_enter_index(&in->reader, i);
		read_ds(in, NULL, json_at(list, i));
		conf_reader_leave(&in->reader, mark);
	}
}

static void
read_data_sources(struct reading *in, const struct json *all)
{
	struct conf_reader *r = &in->reader;
	size_t mark = conf_reader_enter(r, "dataSources");
	size_t count = json_size(all);

	if (!json_is_array(all) && !json_is_object(all)) {
		conf_reader_problem(r,
		    "%s; give a list of {\"spec\": …, "
		    "\"properties\": …}, or an object of them by name",
		    all == NULL ? "missing" : json_type_name(all));
		count = 0;
	} else if (count == 0)
		conf_reader_problem(r, "empty; give one dataSource at least");
	if (count > CONF_DS_MAX) {
		conf_reader_problem(r,
		    "%zu are more than the %d that one "
		    "instance serves; spread them over several instances",
		    count, CONF_DS_MAX);
		count = 0;
	}
	in->conf->ds = must_calloc(count, sizeof in->conf->ds[0]);
	if (count > 0 && json_is_object(all))
		read_map(in, all);
	else if (count > 0)
		read_list(in, all);
	conf_reader_leave(r, mark);
}

static int
compare_ds(const void *a, const void *b)
{
	const struct ds_conf *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static unsigned
core_count(void)
{
	cpu_set_t cores;

	if (sched_getaffinity(0, sizeof cores, &cores) < 0)
		return 1;
	return (unsigned)MIN_OF(MAX_OF(CPU_COUNT(&cores), 1), RECEIVERS_MAX);
}

/* What follows from the values. */
static void
resolve(struct conf_reader *r, struct conf *conf)
{
	struct sockaddr_un address;
	size_t mark = conf_reader_enter(r, "properties");

	conf->receiver_count =
	    conf->receivers > 0 ? (unsigned)conf->receivers : core_count();
	conf->control_path = *conf->control_socket != '\0'
	    ? must_strdup(conf->control_socket)
	    : must_format("%s/control.sock", conf->run_dir);
	conf->archive_path = *conf->archive_dir != '\0'
	    ? must_strdup(conf->archive_dir)
	    : must_format("%s/archive", conf->data_dir);
	if (!conf->http_port_enable && !conf->https_port_enable)
		conf_reader_warning(r,
		    "http.port.enable and https.port.enable are false, so no "
		    "event can come in; set one to true to take events");
	if (strlen(conf->control_path) >= sizeof address.sun_path) {
		conf_reader_enter(r, "tranqd.controlSocket");
		conf_reader_problem(r,
		    "'%.*s' is longer than the %zu bytes that "
		    "a socket's path may have; choose a shorter one, or a "
		    "shorter tranqd.runDir",
		    conf_reader_cut(conf->control_path), conf->control_path,
		    sizeof address.sun_path - 1);
	}
	conf_reader_leave(r, mark);
}

static void
read_all(struct reading *in)
{
	const struct json *document = in->conf->document;

	if (!json_is_object(document)) {
		conf_reader_problem(&in->reader,
		    "%s, not an object; give "
		    "{\"dataSources\": …, \"properties\": …}",
		    json_type_name(document));
		return;
	}
	check_members(&in->reader, document, "dataSources", "properties");
	conf_property_read_global(&in->reader, json_get(document, "properties"),
	    in->conf, &in->shared);
	conf_pull_read(&in->reader, in->conf);
	read_data_sources(in, conf_spec_get(document, "dataSources"));
}

/* Only what says where the control socket is. */
static void
read_socket(struct reading *in)
{
	static const char *const names[] = { "tranqd.runDir",
		"tranqd.controlSocket" };
	const struct json *all = json_get(in->conf->document, "properties");
	struct json *few = json_new_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (json_get(all, names[i]) != NULL)
			json_set(
			    few, names[i], json_clone(json_get(all, names[i])));
	conf_property_read_global(&in->reader, few, in->conf, &in->shared);
	json_free(&few);
}

static void
read_document(struct conf *conf, struct conf_problems *problems,
    void (*read)(struct reading *))
{
	struct reading in = {
		.reader = { .file = conf->file,
		    .problems = problems,
		    .references = conf->references },
		.conf = conf,
		.places = json_new_object(),
	};

	conf_property_set_defaults(conf, &in.shared);
	read(&in);
	resolve(&in.reader, conf);
	conf_property_free_ds(&in.shared);
	json_free(&in.places);
}

/* White space, and the mark that Windows' editors put in front. */
static size_t
blank_bytes(const char *text, size_t bytes)
{
	static const char mark[] = "\xef\xbb\xbf";
	size_t at = 0;

	if (bytes >= 3 && memcmp(text, mark, 3) == 0)
		at = 3;
	while (at < bytes && text[at] != '\0' &&
	    strchr(" \t\r\n", text[at]) != NULL)
		at++;
	return at;
}

static struct json *
read_json(const char *file, const char *text, size_t bytes,
    struct conf_problems *problems)
{
	struct json_error e;
	bool has_mark = bytes > 0 && (unsigned char)*text == 0xef;
	struct json *document =
	    json_parse(text + 3 * has_mark, bytes - 3 * has_mark, &e);
	const char *near;
	bool is_twice;

	if (document != NULL)
		return document;
	is_twice = strstr(e.text, "duplicate") != NULL;
	/* what stands there may be a password; a name is none */
	near = is_twice ? NULL : strstr(e.text, " near ");
	conf_problem(problems, "%s: line %d, column %d: %.*s; %s", file,
	    MAX_OF(e.line, 1), MAX_OF(e.column, 1),
	    near != NULL ? (int)(near - e.text) : (int)strlen(e.text), e.text,
	    is_twice ? "take one of the two out" : "mend it there");
	return NULL;
}

/* Aliases may make much of little, and the document goes on as JSON. */
static bool
check_expanded(const char *file, const struct json *document,
    struct conf_problems *problems)
{
	char *text = json_to_text(document);
	bool good = strlen(text) <= CONF_BYTES_MAX;

	free(text);
	if (!good)
		conf_problem(problems,
		    "%s: larger than %u MiB with its aliases written out; take "
		    "anchors out, or spread the dataSources over several "
		    "instances",
		    file, CONF_BYTES_MAX / MiB);
	return good;
}

static struct json *
read_yaml(const char *file, const char *text, size_t bytes,
    struct conf_problems *problems)
{
	struct json_error e;
	struct json *document = yaml_parse(text, bytes, &e);

	if (document == NULL)
		conf_problem(problems,
		    "%s: line %d, column %d: %s (read as YAML, since JSON "
		    "begins with a brace)",
		    file, e.line, e.column, e.text);
	else if (!check_expanded(file, document, problems))
		json_free(&document);
	return document;
}

/* JSON begins with a brace or a bracket; all else is YAML. */
static struct json *
read_text(const char *file, const char *text, size_t bytes,
    struct conf_problems *problems)
{
	size_t at = blank_bytes(text, bytes);

	if (bytes > CONF_BYTES_MAX)
		conf_problem(problems,
		    "%s: larger than %u MiB; is this the configuration?", file,
		    CONF_BYTES_MAX / MiB);
	else if (at == bytes)
		conf_problem(problems,
		    "%s: empty; give the configuration, in JSON or YAML", file);
	else if (text[at] == '{' || text[at] == '[')
		return read_json(file, text, bytes, problems);
	else
		return read_yaml(file, text, bytes, problems);
	return NULL;
}

/* What is done with a document. */
struct how {
	void (*read)(struct reading *);
	conf_check *check; /* or NULL */
};

/* conf has its file's name; NULL when there is a problem. */
static struct conf *
parse(struct conf *conf, const char *text, size_t bytes,
    struct conf_problems *problems, const struct how *how)
{
	*problems = (struct conf_problems){ 0 };
	conf->references = json_new_object();
	conf->document = read_text(conf->file, text, bytes, problems);
	if (conf->document != NULL)
		read_document(conf, problems, how->read);
	if (conf->document != NULL && how->check != NULL)
		how->check(conf, problems);
	if (problems->count > 0) {
		conf_free(&conf);
		return NULL;
	}
	if (conf->ds_count > 0)
		qsort(conf->ds, conf->ds_count, sizeof conf->ds[0], compare_ds);
	return conf;
}

static struct conf *
new_conf(const char *file)
{
	struct conf *conf = must_calloc(1, sizeof *conf);

	conf->file = must_strdup(file);
	conf->keys_fd = conf->feed_keys_fd = -1;
	return conf;
}

struct conf *
conf_parse(const char *file, const char *text, size_t bytes,
    struct conf_problems *problems)
{
	static const struct how how = { read_all, NULL };

	return parse(new_conf(file), text, bytes, problems, &how);
}

/* Up to CONF_BYTES_MAX + 1 bytes; false with errno. */
static bool
read_file(const char *file, struct buf *to)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	int error;

	if (fd < 0)
		return false;
	while (to->used <= CONF_BYTES_MAX) {
		char *room = buf_room(to, 64 * KiB);

		must_afford(room != NULL);
		n = read(fd, room, 64 * KiB);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		to->used += (size_t)n;
	}
	error = errno;
	close(fd);
	errno = error;
	return n >= 0;
}

static struct conf *
load(const char *file, struct conf_problems *problems, const struct how *how)
{
	struct conf *conf = NULL;
	struct buf text;

	*problems = (struct conf_problems){ 0 };
	buf_init(&text, CONF_BYTES_MAX + 128 * KiB);
	if (read_file(file, &text))
		conf = parse(new_conf(file), buf_must_text(&text), text.used,
		    problems, how);
	else
		conf_problem(problems,
		    "%s: cannot be read: %s; give the path of "
		    "the configuration with -c",
		    file, strerror(errno));
	buf_free(&text);
	return conf;
}

struct conf *
conf_load(const char *file, struct conf_problems *problems)
{
	return conf_load_checked(file, NULL, problems);
}

struct conf *
conf_load_checked(
    const char *file, conf_check *check, struct conf_problems *problems)
{
	return load(file, problems, &(struct how){ read_all, check });
}

char *
conf_load_socket(const char *file, struct conf_problems *problems)
{
	struct conf *conf =
	    load(file, problems, &(struct how){ read_socket, NULL });
	char *path = NULL;

	if (conf != NULL)
		path = must_strdup(conf->control_path);
	conf_free(&conf);
	return path;
}

static void
free_stores(struct conf *c)
{
	struct conf_store *s;

	while ((s = c->stores) != NULL) {
		c->stores = s->next;
		free(s->pem);
		free(s);
	}
}

void
conf_free(struct conf **conf)
{
	struct conf *c = *conf;

	if (c == NULL)
		return;
	*conf = NULL;
	for (unsigned i = 0; i < c->ds_count; i++) {
		conf_spec_free(&c->ds[i]);
		conf_property_free_ds(&c->ds[i]);
		if (c->ds[i].secrets_fd >= 0)
			close(c->ds[i].secrets_fd);
	}
	if (c->keys_fd >= 0)
		close(c->keys_fd);
	if (c->feed_keys_fd >= 0)
		close(c->feed_keys_fd);
	free_stores(c);
	conf_property_free(c);
	json_free(&c->document);
	json_free(&c->references);
	free(c->control_path);
	free(c->archive_path);
	free(c->ds);
	free(c->file);
	free(c);
}

char *
conf_text(const struct conf *conf)
{
	return json_to_text(conf->document);
}

const struct ds_conf *
conf_find(const struct conf *conf, const char *name, size_t bytes)
{
	unsigned low = 0, high = conf->ds_count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;
		const char *at = conf->ds[middle].name;
		size_t at_bytes = strlen(at);
		int order = memcmp(name, at, MIN_OF(bytes, at_bytes));

		if (order == 0 && bytes == at_bytes)
			return &conf->ds[middle];
		if (order < 0 || (order == 0 && bytes < at_bytes))
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

const char *
conf_control_socket(const struct conf *conf)
{
	return conf->control_path;
}

char *
conf_restart_needed(const struct conf *now, const struct conf *then)
{
	char *names = NULL, *longer;

	for (unsigned i = 0; i < conf_property_count; i++) {
		const struct conf_property *p = &conf_properties[i];

		if (!p->is_global || p->reload != CONF_RESTART ||
		    conf_property_same(p, now, then))
			continue;
		longer = must_format("%s%s%s", names != NULL ? names : "",
		    names != NULL ? ", " : "", p->name);
		free(names);
		names = longer;
	}
	return names;
}

/*
 * conf_value - one property's value: from text, and checked
 *
 * Process: all. Pure.
 */
#include "conf_value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "panic.h"

static bool PRINTF_LIKE(2, 3)
    because(char why[static CONF_WHY_BYTES], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, CONF_WHY_BYTES, format, args);
	va_end(args);
	return false;
}

static bool
read_whole_number(const char *text, const char **end, int64_t *value)
{
	char *stop;

	if (!isdigit((unsigned char)text[text[0] == '-']))
		return false;
	errno = 0;
	*value = strtoll(text, &stop, 10);
	*end = stop;
	return errno == 0;
}

static bool
read_bool(const char *text, int64_t *value)
{
	*value = strcasecmp(text, "true") == 0;
	return *value != 0 || strcasecmp(text, "false") == 0;
}

static bool
read_int(const char *text, int64_t *value)
{
	const char *end;

	return read_whole_number(text, &end, value) && *end == '\0';
}

static const struct {
	const char *name;
	int64_t bytes;
} units[] = {
	{ "TiB", (int64_t)MiB *MiB },
	{ "GiB", (int64_t)KiB *MiB },
	{ "MiB", MiB },
	{ "KiB", KiB },
	{ "", 1 },
	{ "B", 1 },
	{ "T", (int64_t)MiB *MiB },
	{ "G", (int64_t)KiB *MiB },
	{ "M", MiB },
	{ "K", KiB },
	{ "TB", INT64_C(1000000000000) },
	{ "GB", INT64_C(1000000000) },
	{ "MB", INT64_C(1000000) },
	{ "KB", INT64_C(1000) },
};

static bool
read_size(const char *text, int64_t *value)
{
	const char *end;

	if (!read_whole_number(text, &end, value))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcasecmp(end, units[i].name) == 0)
			return !__builtin_mul_overflow(
			    *value, units[i].bytes, value);
	return false;
}

static bool
read_period(const char *text, int64_t *value)
{
	struct period p;

	if (!period_parse(strcmp(text, "0") == 0 ? "PT0S" : text, &p))
		return false;
	*value = period_ms(&p);
	return true;
}

static const struct {
	bool (*read)(const char *text, int64_t *value);
	const char *wanted;
} kinds[] = {
	[CONF_BOOL] = { read_bool, "true or false" },
	[CONF_INT] = { read_int, "a whole number" },
	[CONF_SIZE] = { read_size,
	    "a size: bytes, or a whole number with KiB, MiB or GiB" },
	[CONF_PERIOD] = { read_period,
	    "an ISO 8601 period such as PT10M, PT0.5S or P1D" },
	[CONF_CALENDAR] = { read_period,
	    "an ISO 8601 period such as PT10M, PT0.5S or P1D" },
};

bool
conf_value_read(enum conf_type type, const char *text, int64_t *value)
{
	return kinds[type].read(text, value);
}

void
conf_value_format(
    enum conf_type type, int64_t value, char out[static PERIOD_BYTES])
{
	struct period p;

	if (type == CONF_PERIOD || type == CONF_CALENDAR) {
		p = period_of_ms(value);
		period_format(&p, out);
		return;
	}
	for (size_t i = 0; type == CONF_SIZE && i < 4; i++) {
		if (value == 0 || value % units[i].bytes != 0)
			continue;
		snprintf(out, PERIOD_BYTES, "%" PRId64 "%s",
		    value / units[i].bytes, units[i].name);
		return;
	}
	snprintf(out, PERIOD_BYTES, "%" PRId64, value);
}

static bool
check_limits(const struct conf_property *p, const char *text, int64_t value,
    char why[static CONF_WHY_BYTES])
{
	char low[PERIOD_BYTES], high[PERIOD_BYTES];

	if (p->minimum == 0 && p->maximum == 0)
		return true;
	if (value >= p->minimum && value <= p->maximum)
		return true;
	conf_value_format(p->type, p->minimum, low);
	conf_value_format(p->type, p->maximum, high);
	return because(why, "'%.*s' is out of range; give %s to %s",
	    conf_reader_cut(text), text, low, high);
}

static const struct choice {
	const char *property;
	const char *names[5];
} choices[] = {
	{ "log.level", { "error", "warn", "info", "debug" } },
	{ "log.format", { "text", "json" } },
	{ "https.clientAuth", { "need", "want" } },
	{ "druid.tls.protocol", { "TLSv1.2", "TLSv1.3", "TLS" } },
	{ "druidBeam.overlordLocator", { "curator" } },
	{ "druidBeam.taskLocator", { "curator", "overlord" } },
	{ "serialization.format", { "json", "smile" } },
	{ "task.type", { "index_realtime", "index_realtime_appenderator" } },
	{ "delivery.mode", { "auto", "push", "pull", "append" } },
	{ "pull.supervisor", { "manage", "observe", "off" } },
	{ "pull.compression", { "none", "gzip", "lz4", "zstd" } },
	{ "late.policy", { "drop", "archive", "append" } },
};

static const struct choice *
find_choice(const struct conf_property *p)
{
	for (size_t i = 0; i < ARRAY_LEN(choices); i++)
		if (strcmp(choices[i].property, p->name) == 0)
			return &choices[i];
	return NULL;
}

/* "error, warn, info or debug" */
static void
list_choices(const struct choice *c, char *out, size_t bytes)
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; c->names[i] != NULL && used < bytes; i++)
		used += (size_t)snprintf(out + used, bytes - used, "%s%s",
		    i == 0                        ? ""
			: c->names[i + 1] == NULL ? " or "
						  : ", ",
		    c->names[i]);
}

static bool
read_choice(const struct choice *c, const char *text, char **value,
    char why[static CONF_WHY_BYTES])
{
	char known[128];

	for (size_t i = 0; c->names[i] != NULL; i++) {
		if (strcasecmp(text, c->names[i]) != 0)
			continue;
		*value = must_strdup(c->names[i]);
		return true;
	}
	list_choices(c, known, sizeof known);
	return because(why, "'%.*s' is not known; give %s",
	    conf_reader_cut(text), text, known);
}

void
conf_value_wanted(
    const struct conf_property *p, char out[static CONF_WHY_BYTES])
{
	const struct choice *c = find_choice(p);
	char low[PERIOD_BYTES], high[PERIOD_BYTES];

	if (c != NULL) {
		list_choices(c, out, CONF_WHY_BYTES);
		return;
	}
	if (conf_property_is_text(p)) {
		snprintf(out, CONF_WHY_BYTES, "%s", p->meaning);
		return;
	}
	if (p->minimum == 0 && p->maximum == 0) {
		snprintf(out, CONF_WHY_BYTES, "%s", kinds[p->type].wanted);
		return;
	}
	conf_value_format(p->type, p->minimum, low);
	conf_value_format(p->type, p->maximum, high);
	snprintf(out, CONF_WHY_BYTES, "%s, %s to %s", kinds[p->type].wanted,
	    low, high);
}

static bool
has_space(const char *text)
{
	for (; *text != '\0'; text++)
		if (isspace((unsigned char)*text) ||
		    iscntrl((unsigned char)*text))
			return true;
	return false;
}

/* host, host:port, [v6], [v6]:port; what stands before end. */
static bool
check_host_port(const char *at, const char *end)
{
	const char *host = at;
	long port = 0;

	if (at < end && *at == '[') {
		at = memchr(at, ']', (size_t)(end - at));
		if (at == NULL || at - host < 3)
			return false;
		at++;
	} else {
		for (; at < end && *at != ':'; at++)
			if (!isalnum((unsigned char)*at) &&
			    strchr("-._", *at) == NULL)
				return false;
		if (at == host)
			return false;
	}
	if (at == end)
		return true;
	if (*at++ != ':' || at == end)
		return false;
	for (; at < end && isdigit((unsigned char)*at) && port < 65536; at++)
		port = port * 10 + (*at - '0');
	return at == end && port >= 1 && port <= 65535;
}

static bool
check_url(const char *url, char why[static CONF_WHY_BYTES])
{
	const char *host = strstr(url, "://");
	const char *end;

	if (strncasecmp(url, "http://", 7) != 0 &&
	    strncasecmp(url, "https://", 8) != 0)
		return because(why,
		    "'%.*s' is not an http:// or https:// URL; give "
		    "http://HOST:PORT, several with commas between them",
		    conf_reader_cut(url), url);
	host += 3;
	end = host + strcspn(host, "/?#");
	if (memchr(host, '@', (size_t)(end - host)) != NULL)
		return because(why,
		    "no place for user and password; give them in "
		    "druidBeam.basicAuthUser and druidBeam.basicAuthPass");
	if (strpbrk(host, "?#") != NULL || has_space(url))
		return because(why,
		    "'%.*s' has a query, a fragment or white space; give "
		    "http://HOST:PORT, with a path at most",
		    conf_reader_cut(url), url);
	if (!check_host_port(host, end))
		return because(why,
		    "'%.*s' has no valid host and port; give http://HOST:PORT",
		    conf_reader_cut(url), url);
	return true;
}

/* The comma-separated parts of `text`, trimmed, each through `check` and
 * joined again with what it `lacks`. */
static bool
read_list(const char *text, char **value, char why[static CONF_WHY_BYTES],
    bool (*check)(const char *, char why[static CONF_WHY_BYTES]))
{
	char *copy = must_strdup(text), *rest = copy, *part;
	struct buf list;
	bool good = true;

	buf_init(&list, 2 * CONF_TEXT_BYTES_MAX);
	while (good && (part = strsep(&rest, ",")) != NULL) {
		part += strspn(part, " \t");
		for (size_t n = strlen(part);
		     n > 0 && strchr(" \t", part[n - 1]) != NULL;)
			part[--n] = '\0';
		if (*part == '\0') {
			good = because(why,
			    "an entry is empty; take the needless comma out");
			break;
		}
		good = check(part, why);
		buf_addf(&list, "%s%s", list.used > 0 ? "," : "", part);
	}
	free(copy);
	if (good)
		*value = must_strdup(buf_must_text(&list));
	buf_free(&list);
	return good;
}

static bool
read_urls(const char *text, char **value, char why[static CONF_WHY_BYTES])
{
	return read_list(text, value, why, check_url);
}

static bool
check_server(const char *server, char why[static CONF_WHY_BYTES])
{
	if (check_host_port(server, server + strlen(server)))
		return true;
	return because(why,
	    "'%.*s' is no ZooKeeper server; give HOST:PORT, several with "
	    "commas "
	    "between them, a chroot behind the last",
	    conf_reader_cut(server), server);
}

/* The C client wants a port with each server, Java's does not. */
static char *
add_ports(const char *servers)
{
	char *copy = must_strdup(servers), *rest = copy, *part;
	char *result = must_strdup(""), *longer;

	while ((part = strsep(&rest, ",")) != NULL) {
		const char *tail = strrchr(part, ']');
		bool has_port = strchr(tail != NULL ? tail : part, ':') != NULL;

		longer = must_format("%s%s%s%s", result,
		    result[0] != '\0' ? "," : "", part,
		    has_port ? "" : ":2181");
		free(result);
		result = longer;
	}
	free(copy);
	return result;
}

static bool
check_path(const char *path, char why[static CONF_WHY_BYTES])
{
	size_t n = strlen(path);

	if (path[0] == '/' && path[n - 1] != '/' &&
	    strstr(path, "//") == NULL && !has_space(path))
		return true;
	return because(why,
	    "'%.*s' is no ZooKeeper path; give one that starts with a slash "
	    "and "
	    "does not end with one",
	    conf_reader_cut(path), path);
}

static bool
read_servers(const char *text, char **value, char why[static CONF_WHY_BYTES])
{
	const char *chroot = strchrnul(text, '/');
	char *servers = strndup(text, (size_t)(chroot - text)), *list, *full;
	bool good;

	must_afford(servers != NULL);
	good = read_list(servers, &list, why, check_server);
	free(servers);
	if (!good)
		return false;
	if (strcmp(chroot, "/") == 0)
		chroot++;
	if (*chroot != '\0' && !check_path(chroot, why)) {
		free(list);
		return false;
	}
	full = add_ports(list);
	*value = must_format("%s%s", full, chroot);
	free(full);
	free(list);
	return true;
}

static bool
read_path(const char *text, char **value, char why[static CONF_WHY_BYTES])
{
	if (!check_path(text, why))
		return false;
	*value = must_strdup(text);
	return true;
}

static bool
read_service(const char *text, char **value, char why[static CONF_WHY_BYTES])
{
	if (has_space(text))
		return because(why,
		    "'%.*s' has white space in it; give the name that Druid "
		    "announces (druid.service of the Overlord)",
		    conf_reader_cut(text), text);
	*value = must_strdup(text);
	return true;
}

static bool
read_user(const char *text, char **value, char why[static CONF_WHY_BYTES])
{
	const char *colon = strchr(text, ':');

	if (has_space(text) || colon == text ||
	    (colon != NULL &&
		(colon[1] == '\0' || strchr(colon + 1, ':') != NULL)))
		return because(why,
		    "'%.*s' is not USER or USER:GROUP; give one "
		    "of these",
		    conf_reader_cut(text), text);
	*value = must_strdup(text);
	return true;
}

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if (iscntrl((unsigned char)*text))
			return true;
	return false;
}

/* RFC 7617 */
static bool
read_basic_user(const char *text, char **value, char why[static CONF_WHY_BYTES])
{
	if (strchr(text, ':') != NULL || has_control(text))
		return because(why,
		    "'%.*s' has a colon or a control character in it, which "
		    "Basic authentication has no room for; give another user",
		    conf_reader_cut(text), text);
	*value = must_strdup(text);
	return true;
}

static bool
read_secret(const char *text, char **value, char why[static CONF_WHY_BYTES])
{
	if (has_control(text))
		return because(why,
		    "a line end or another control character in it; is it the "
		    "right text?");
	*value = must_strdup(text);
	return true;
}

/* Texts that must look like something. Those that may not be empty have a
 * default. */
static const struct text_rule {
	const char *property;
	bool (*read)(const char *, char **, char why[static CONF_WHY_BYTES]);
	bool is_required;
} text_rules[] = {
	{ "druid.overlord.url", read_urls, false },
	{ "zookeeper.connect", read_servers, false },
	{ "zookeeper.path", read_path, true },
	{ "druid.discovery.curator.path", read_path, true },
	{ "druid.selectors.indexing.serviceName", read_service, true },
	{ "druidBeam.basicAuthUser", read_basic_user, false },
	{ "druidBeam.basicAuthPass", read_secret, false },
	{ "tranqd.user", read_user, false },
	{ "tranqd.runDir", NULL, true },
	{ "tranqd.dataDir", NULL, true },
};

static bool
read_text(const struct conf_property *p, const char *text, char **value,
    char why[static CONF_WHY_BYTES])
{
	const struct choice *choice = find_choice(p);
	const struct text_rule *rule = NULL;

	if (strlen(text) > CONF_TEXT_BYTES_MAX)
		return because(why, "longer than %d bytes; shorten it",
		    CONF_TEXT_BYTES_MAX);
	if (choice != NULL)
		return read_choice(choice, text, value, why);
	for (size_t i = 0; i < ARRAY_LEN(text_rules); i++)
		if (strcmp(text_rules[i].property, p->name) == 0)
			rule = &text_rules[i];
	if (rule != NULL && rule->is_required && *text == '\0')
		return because(why, "empty; take it out for the default '%s'",
		    p->otherwise);
	if (rule != NULL && rule->read != NULL && *text != '\0')
		return rule->read(text, value, why);
	*value = must_strdup(text);
	return true;
}

static bool
set_text(const struct conf_property *p, char *member, const char *text,
    char why[static CONF_WHY_BYTES])
{
	char *value, *old;

	if (!read_text(p, text, &value, why))
		return false;
	memcpy(&old, member, sizeof old);
	free(old);
	memcpy(member, &value, sizeof value);
	return true;
}

bool
conf_value_set(const struct conf_property *p, void *base, const char *text,
    char why[static CONF_WHY_BYTES])
{
	char *member = (char *)base + p->offset;
	struct period period;
	int64_t value;
	bool yes;

	if (conf_property_is_text(p))
		return set_text(p, member, text, why);
	if (!kinds[p->type].read(text, &value))
		return because(why, "'%.*s' cannot be read; give %s",
		    conf_reader_cut(text), text, kinds[p->type].wanted);
	if (!check_limits(p, text, value, why))
		return false;
	yes = value != 0;
	if (p->type == CONF_BOOL)
		memcpy(member, &yes, sizeof yes);
	else if (p->type == CONF_CALENDAR) {
		if (!period_parse(text, &period))
			period = (struct period){ 0 }; /* it is "0" */
		memcpy(member, &period, sizeof period);
	} else
		memcpy(member, &value, sizeof value);
	return true;
}

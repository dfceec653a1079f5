/*
 * zk_address - Java's connect string in the form that the C library wants
 *
 * Process: worker. Pure.
 *
 * Java's client takes 2181 for a port that is left out, and spaces around
 * commas.
 */
#include "zk_internal.h"

#include <ctype.h>
#include <string.h>

#include "buf.h"
#include "panic.h"

#define CONNECT_BYTES_MAX (64 * KiB)

static bool
has_port(const char *host, size_t bytes)
{
	const char *colon = memrchr(host, ':', bytes);
	const char *bracket = memrchr(host, ']', bytes);

	return colon != NULL && (bracket == NULL || colon > bracket);
}

char *
zk_address_complete(const char *text)
{
	const char *slash = strchr(text, '/');
	const char *end = slash != NULL ? slash : text + strlen(text);
	struct buf b;
	char *out = NULL;

	buf_init(&b, SIZE_MAX);
	while (text < end) {
		size_t n = strcspn(text, ",/"), used = n;
		const char *host = text;

		text += n + (text[n] == ',');
		for (; used > 0 && isspace((unsigned char)*host); used--)
			host++;
		while (used > 0 && isspace((unsigned char)host[used - 1]))
			used--;
		if (used == 0)
			continue;
		buf_add_text(&b, b.used > 0 ? "," : "");
		buf_add(&b, host, used);
		buf_add_text(&b, has_port(host, used) ? "" : ":2181");
	}
	if (b.used > 0 && slash != NULL) {
		size_t n = strlen(slash);

		while (n > 0 &&
		    (slash[n - 1] == '/' ||
			isspace((unsigned char)slash[n - 1])))
			n--;
		buf_add(&b, slash, n);
	}
	if (b.used > 0 && b.used < CONNECT_BYTES_MAX)
		out = must_strdup(buf_must_text(&b));
	buf_free(&b);
	return out;
}

char *
zk_address_bare(const char *complete)
{
	size_t servers = strcspn(complete, "/");
	char *bare = must_strdup(complete), *to = bare;

	for (size_t i = 0; complete[i] != '\0'; i++)
		if (i >= servers || strchr("[]", complete[i]) == NULL)
			*to++ = complete[i];
	*to = '\0';
	return bare;
}

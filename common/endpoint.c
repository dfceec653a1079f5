/*
 * endpoint - "host:port" as text
 *
 * Process: all. Pure.
 */
#include "endpoint.h"

#include <ctype.h>
#include <string.h>

#define PORT_MAX 65535u

/* Digits up to the end. */
static bool
read_port(const char *text, unsigned *port)
{
	*port = 0;
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (!isdigit((unsigned char)*text))
			return false;
		*port = *port * 10 + (unsigned)(*text - '0');
		if (*port > PORT_MAX)
			return false;
	}
	return true;
}

bool
endpoint_parse(const char *text, struct endpoint *e)
{
	const char *host = text, *rest;
	size_t bytes;

	*e = (struct endpoint){ .port = 0 };
	if (*text == '[') {
		host++;
		bytes = strspn(host, "0123456789abcdefABCDEF:.%");
		if (bytes == 0 || host[bytes] != ']')
			return false;
		rest = host + bytes + 1;
	} else {
		bytes = strcspn(host, ":");
		rest = host + bytes;
		for (size_t i = 0; i < bytes; i++)
			if (!isalnum((unsigned char)host[i]) &&
			    strchr("-._", host[i]) == NULL &&
			    !(host[i] == '*' && bytes == 1))
				return false;
	}
	if (bytes >= sizeof e->host)
		return false;
	memcpy(e->host, host, bytes);
	if (*rest == '\0')
		return bytes > 0;
	return *rest == ':' && read_port(rest + 1, &e->port);
}

bool
endpoint_is_everywhere(const struct endpoint *e)
{
	static const char *const names[] = { "", "*", "0.0.0.0", "::" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(e->host, names[i]) == 0)
			return true;
	return false;
}

bool
endpoint_is_loopback(const struct endpoint *e)
{
	/* 127.example is a name, and of any machine */
	bool is_number = e->host[strspn(e->host, "0123456789.")] == '\0';

	return strcmp(e->host, "localhost") == 0 ||
	    (is_number && strncmp(e->host, "127.", 4) == 0) ||
	    strcmp(e->host, "::1") == 0;
}

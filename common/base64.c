/*
 * base64 - bytes as text (RFC 4648, the standard alphabet)
 *
 * Process: receiver, feed, tools. Pure.
 */
#include "base64.h"

char *
base64_write(char *to, const unsigned char *bytes, size_t count)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned b;

	for (; count >= 3; count -= 3, bytes += 3) {
		b = (unsigned)bytes[0] << 16 | (unsigned)bytes[1] << 8 |
		    bytes[2];
		*to++ = letters[b >> 18];
		*to++ = letters[b >> 12 & 63];
		*to++ = letters[b >> 6 & 63];
		*to++ = letters[b & 63];
	}
	if (count == 0)
		return to;
	b = (unsigned)bytes[0] << 16;
	if (count > 1)
		b |= (unsigned)bytes[1] << 8;
	*to++ = letters[b >> 18];
	*to++ = letters[b >> 12 & 63];
	*to++ = '=';
	*to = '=';
	if (count > 1)
		to[-1] = letters[b >> 6 & 63];
	return to + 1;
}

static int
sextet_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
base64_read(const char *text, size_t bytes, void *to, size_t *used)
{
	unsigned bits = 0, count = 0;
	unsigned char *out = to;

	while (bytes > 0 && text[bytes - 1] == '=')
		bytes--;
	*used = 0;
	for (size_t i = 0; i < bytes; i++) {
		int sextet = sextet_of(text[i]);

		if (sextet < 0)
			return false;
		bits = bits << 6 | (unsigned)sextet;
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		out[(*used)++] = (unsigned char)(bits >> count);
		bits &= (1u << count) - 1;
	}
	return bits == 0 && count < 6;
}

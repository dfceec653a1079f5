/*
 * tls_suites - protocols and cipher suites, as Jetty takes them, for OpenSSL
 *
 * Process: supervisor (to check), receiver. Pure.
 */
#include "tls_suites.h"

#include <openssl/ssl.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "buf.h"
#include "panic.h"

#define LIST_BYTES_MAX (64u * KiB)
#define SUITES_MAX 256
#define SEPARATORS ", \t\r\n"

/* Without a choice of the user: forward secrecy and AEAD, which is what
 * today's clients speak. */
#define SAFE "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20"
/* What may be chosen: all that has a key and a certificate behind it. */
#define POSSIBLE "ALL:!aNULL:!eNULL:!PSK:!SRP"
#define SAFE13                                                 \
	"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:" \
	"TLS_AES_128_GCM_SHA256"
#define POSSIBLE13 SAFE13 ":TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256"

#define INCLUDE_SUITES "https.includeCipherSuites"
#define EXCLUDE_SUITES "https.excludeCipherSuites"
#define INCLUDE_PROTOCOLS "https.includeProtocols"
#define EXCLUDE_PROTOCOLS "https.excludeProtocols"

/*
 * Protocols.
 */

enum protocol { TLS12 = 1, TLS13 = 2, TOO_OLD = 4, UNKNOWN = 0 };

static enum protocol
protocol_of(const char *name)
{
	static const struct {
		const char *name;
		enum protocol protocol;
	} known[] = {
		{ "TLSv1.2", TLS12 },
		{ "TLSv1.3", TLS13 },
		{ "TLSv1.1", TOO_OLD },
		{ "TLSv1", TOO_OLD },
		{ "TLS", TOO_OLD },
		{ "SSL", TOO_OLD },
		{ "SSLv2", TOO_OLD },
		{ "SSLv2Hello", TOO_OLD },
		{ "SSLv3", TOO_OLD },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcasecmp(name, known[i].name) == 0)
			return known[i].protocol;
	return UNKNOWN;
}

/* The protocols of a list, as bits. */
static unsigned
read_protocols(const struct conf *conf, const char *property, const char *list,
    struct conf_problems *problems)
{
	char *copy = must_strdup(list), *rest = NULL;
	unsigned all = 0;

	for (char *name = strtok_r(copy, SEPARATORS, &rest); name != NULL;
	     name = strtok_r(NULL, SEPARATORS, &rest)) {
		enum protocol p = protocol_of(name);

		if (p == UNKNOWN)
			conf_problem_of(problems, conf, property,
			    "'%.40s' is no protocol; give TLSv1.2 or TLSv1.3",
			    name);
		else if (p == TOO_OLD &&
		    strcmp(property, INCLUDE_PROTOCOLS) == 0)
			conf_warning_of(problems, conf, property,
			    "%s is not safe any more and is not offered; take "
			    "it out",
			    name);
		all |= p;
	}
	free(copy);
	return all;
}

static bool
select_protocols(const struct conf *conf, struct tls_suites *s,
    struct conf_problems *problems)
{
	unsigned before = problems->count;
	unsigned included = read_protocols(
	    conf, INCLUDE_PROTOCOLS, conf->https_include_protocols, problems);
	unsigned excluded = read_protocols(
	    conf, EXCLUDE_PROTOCOLS, conf->https_exclude_protocols, problems);

	if (included == 0)
		included = TLS12 | TLS13;
	s->has_tls12 = (included & ~excluded & TLS12) != 0;
	s->has_tls13 = (included & ~excluded & TLS13) != 0;
	if (problems->count == before && !s->has_tls12 && !s->has_tls13)
		conf_problem_of(problems, conf,
		    *conf->https_exclude_protocols != '\0' ? EXCLUDE_PROTOCOLS
							   : INCLUDE_PROTOCOLS,
		    "no protocol is left; let TLSv1.2 or TLSv1.3 be one");
	return problems->count == before;
}

/*
 * Cipher suites.
 */

/* Pointers into OpenSSL's own table. */
struct suite {
	const char *standard, *name;
	bool is_tls13, is_chosen;
};

struct choice {
	const struct conf *conf;
	struct conf_problems *problems;
	struct suite suites[SUITES_MAX];
	unsigned count;
	/* chosen ones, the best first */
	unsigned order[SUITES_MAX], chosen;
};

static void
list_suites(struct choice *c, const char *tls12, const char *tls13)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	STACK_OF(SSL_CIPHER) * all;

	if (ctx == NULL || SSL_CTX_set_cipher_list(ctx, tls12) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, tls13) != 1) {
		SSL_CTX_free(ctx); /* none is left: that is told */
		return;
	}
	all = SSL_CTX_get_ciphers(ctx);
	for (int i = 0; i < sk_SSL_CIPHER_num(all) && c->count < SUITES_MAX;
	     i++) {
		const SSL_CIPHER *cipher = sk_SSL_CIPHER_value(all, i);
		struct suite *s = &c->suites[c->count++];

		s->name = SSL_CIPHER_get_name(cipher);
		s->standard = SSL_CIPHER_standard_name(cipher);
		s->is_tls13 =
		    strcmp(SSL_CIPHER_get_version(cipher), "TLSv1.3") == 0;
	}
	SSL_CTX_free(ctx);
}

/* Older Java names begin with SSL_ where the standard has TLS_. */
static bool
is_named(const struct suite *s, const char *name)
{
	return strcasecmp(name, s->standard) == 0 ||
	    strcasecmp(name, s->name) == 0 ||
	    (strncasecmp(name, "SSL_", 4) == 0 &&
		strcasecmp(name + 4, s->standard + 4) == 0);
}

static bool
fits(const struct suite *s, const char *name, const regex_t *pattern)
{
	return is_named(s, name) ||
	    regexec(pattern, s->standard, 0, NULL, 0) == 0 ||
	    regexec(pattern, s->name, 0, NULL, 0) == 0;
}

static void
take(struct choice *c, unsigned i, bool is_in)
{
	if (is_in && !c->suites[i].is_chosen)
		c->order[c->chosen++] = i;
	c->suites[i].is_chosen = is_in;
}

/* How many suites the entry names. */
static unsigned
apply_entry(
    struct choice *c, const char *property, const char *name, bool is_in)
{
	char *whole = must_format("^(%s)$", name), why[100];
	unsigned count = 0;
	regex_t pattern;
	int error = regcomp(&pattern, whole, REG_EXTENDED | REG_NOSUB);

	free(whole);
	if (error != 0) {
		regerror(error, &pattern, why, sizeof why);
		conf_problem_of(c->problems, c->conf, property,
		    "'%.80s' is no regular expression: %s; mend it, or write "
		    "the suites' names",
		    name, why);
		return 0;
	}
	for (unsigned i = 0; i < c->count; i++) {
		if (!fits(&c->suites[i], name, &pattern))
			continue;
		take(c, i, is_in);
		count++;
	}
	regfree(&pattern);
	return count;
}

static void
apply(struct choice *c, const char *property, const char *list, bool is_in)
{
	char *copy = must_strdup(list), *rest = NULL;

	for (char *name = strtok_r(copy, SEPARATORS, &rest); name != NULL;
	     name = strtok_r(NULL, SEPARATORS, &rest)) {
		unsigned before = c->problems->count;

		if (apply_entry(c, property, name, is_in) == 0 && is_in &&
		    c->problems->count == before)
			conf_warning_of(c->problems, c->conf, property,
			    "'%.80s' fits no cipher suite of this OpenSSL; "
			    "'openssl ciphers -stdname' lists them",
			    name);
	}
	free(copy);
}

static char *
joined(const struct choice *c, bool is_tls13)
{
	struct buf list;

	buf_init(&list, LIST_BYTES_MAX);
	for (unsigned i = 0; i < c->chosen; i++) {
		const struct suite *s = &c->suites[c->order[i]];

		if (s->is_chosen && s->is_tls13 == is_tls13)
			buf_addf(&list, "%s%s", list.used > 0 ? ":" : "",
			    is_tls13 ? s->standard : s->name);
	}
	must_afford(buf_text(&list) != NULL);
	return list.bytes;
}

/* Whoever names suites of one protocol only does not want the other. */
static void
drop_empty(struct tls_suites *s)
{
	s->has_tls12 = s->has_tls12 && *s->tls12 != '\0';
	s->has_tls13 = s->has_tls13 && *s->tls13 != '\0';
}

static void
choose(struct choice *c, struct tls_suites *s)
{
	const char *included = c->conf->https_include_cipher_suites;

	s->is_ordered = included[strspn(included, SEPARATORS)] != '\0';
	list_suites(c, s->is_ordered ? POSSIBLE : SAFE,
	    s->is_ordered ? POSSIBLE13 : SAFE13);
	if (s->is_ordered)
		apply(c, INCLUDE_SUITES, included, true);
	for (unsigned i = 0; !s->is_ordered && i < c->count; i++)
		take(c, i, true);
	apply(c, EXCLUDE_SUITES, c->conf->https_exclude_cipher_suites, false);
}

bool
tls_suites_select(const struct conf *conf, struct tls_suites *s,
    struct conf_problems *problems)
{
	unsigned before = problems->count;
	struct choice *c;

	*s = (struct tls_suites){ .tls12 = NULL };
	if (!select_protocols(conf, s, problems))
		return false;
	c = must_calloc(1, sizeof *c);
	c->conf = conf;
	c->problems = problems;
	choose(c, s);
	s->tls12 = joined(c, false);
	s->tls13 = joined(c, true);
	free(c);
	drop_empty(s);
	if (problems->count == before && !s->has_tls12 && !s->has_tls13)
		conf_problem_of(problems, conf,
		    s->is_ordered ? INCLUDE_SUITES : EXCLUDE_SUITES,
		    "no cipher suite is left for the protocols that are used; "
		    "let more be used");
	if (problems->count == before)
		return true;
	tls_suites_free(s);
	return false;
}

void
tls_suites_free(struct tls_suites *s)
{
	free(s->tls12);
	free(s->tls13);
	*s = (struct tls_suites){ .tls12 = NULL };
}

/*
 * receiver_keys - the files with certificates and passwords that receivers
 * and the feed need and may not read
 *
 * Process: vault's reader, receiver, feed.
 */
#include "receiver_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth.h"
#include "buf.h"
#include "conf_file.h"
#include "feed_users.h"
#include "panic.h"
#include "tls_store.h"
#include "trust_store.h"

#define FILE_SPARE (32u * KiB) /* that conf_file reads ahead */
#define MAGIC 0x7379656b74717274u

/* In front of the texts, which follow in this order. */
struct keys_header {
	uint64_t magic;
	uint64_t pem_bytes, client_ca_bytes, auth_bytes;
	unsigned char tickets[TLS_TICKET_KEY_BYTES];
};

/* The texts while they are gathered. */
struct gathering {
	const struct conf *conf;
	enum receiver_keys_kind kind;
	struct conf_problems *problems;
	struct buf pem, client_ca, auth;
};

static void
forget(struct buf *b)
{
	if (b->bytes != NULL)
		explicit_bzero(b->bytes, b->used);
	buf_free(b);
}

/* False: told. */
static bool
read_file(const struct gathering *g, const char *property, const char *path,
    struct buf *to)
{
	/* room for all at once: growing would leave copies behind */
	must_afford(buf_room(to, RECEIVER_KEYS_FILE_MAX + FILE_SPARE) != NULL);
	if (!conf_file_read(path, to, RECEIVER_KEYS_FILE_MAX)) {
		conf_problem_of(g->problems, g->conf, property,
		    "%s: cannot be read: %s; name a file of at most %u MiB "
		    "that tranqd, as it is started, may read",
		    path, conf_file_why(errno), RECEIVER_KEYS_FILE_MAX / MiB);
		return false;
	}
	if (to->used == 0)
		conf_problem_of(g->problems, g->conf, property,
		    "%s: empty; name the right file", path);
	return to->used > 0;
}

static bool
read_pair(struct gathering *g, struct tls_store_file *file,
    struct tls_store_file *key)
{
	bool good;

	buf_init(&file->bytes, 2 * RECEIVER_KEYS_FILE_MAX);
	buf_init(&key->bytes, 2 * RECEIVER_KEYS_FILE_MAX);
	good = read_file(g, file->property, file->path, &file->bytes);
	if (*key->path != '\0')
		good =
		    read_file(g, key->property, key->path, &key->bytes) && good;
	good = good &&
	    tls_store_read(g->conf, file, *key->path != '\0' ? key : NULL,
		&g->pem, g->problems);
	forget(&file->bytes);
	forget(&key->bytes);
	return good;
}

static bool
check_store_type(const struct gathering *g)
{
	static const char *const known[] = { "", "PKCS12", "PEM", "JKS",
		"JCEKS", "P12" };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcasecmp(g->conf->https_key_store_type, known[i]) == 0)
			return true;
	conf_problem_of(g->problems, g->conf, "https.keyStoreType",
	    "'%.40s' is not read; give PKCS12 or PEM, and a store of that "
	    "type",
	    g->conf->https_key_store_type);
	return false;
}

static bool
gather_certificate(struct gathering *g)
{
	const struct conf *c = g->conf;
	struct tls_store_file file = { .property = "https.certificateFile",
		.path = c->https_certificate_file };
	struct tls_store_file key = { .property = "https.keyFile",
		.path = c->https_key_file };

	if (*c->https_key_store_path != '\0') {
		if (*file.path != '\0' || *key.path != '\0') {
			conf_problem_of(g->problems, c, "https.keyStorePath",
			    "https.certificateFile or https.keyFile is given "
			    "too; take one of the two out");
			return false;
		}
		file.property = "https.keyStorePath";
		file.path = c->https_key_store_path;
		if (!check_store_type(g))
			return false;
	}
	if (*file.path == '\0') {
		conf_problem_of(g->problems, c,
		    g->kind == RECEIVER_KEYS_OF_FEED ? "pull.tls"
						     : "https.port.enable",
		    "there is no certificate; give https.certificateFile and "
		    "https.keyFile, or https.keyStorePath");
		return false;
	}
	return read_pair(g, &file, &key);
}

/* False: told. */
static bool
gather_client_ca(struct gathering *g)
{
	const char *path = g->conf->https_client_ca;
	char why[TRUST_STORE_WHY_BYTES], *pem;
	struct buf bytes;

	if (*path == '\0')
		return true;
	buf_init(&bytes, 2 * RECEIVER_KEYS_FILE_MAX);
	if (!read_file(g, "https.clientCA", path, &bytes)) {
		buf_free(&bytes);
		return false;
	}
	pem = trust_store_pem(&bytes, path, "", false, why);
	if (pem != NULL)
		buf_add_text(&g->client_ca, pem);
	else
		conf_problem_of(g->problems, g->conf, "https.clientCA",
		    "%s: %s", path, why);
	buf_free(&bytes);
	free(pem);
	return g->client_ca.used > 0;
}

static bool
gather_https(struct gathering *g, struct tls_material *m)
{
	const struct conf *c = g->conf;
	bool good = gather_certificate(g);
	struct tls *tls;

	good = gather_client_ca(g) && good;
	if (!good)
		return false;
	m->pem = g->pem.bytes;
	m->pem_bytes = g->pem.used;
	m->client_ca = g->client_ca.bytes;
	m->client_ca_bytes = g->client_ca.used;
	/* new at each reload: what was encrypted with the old ones is
	 * negotiated anew, under the new rules */
	if (getrandom(m->tickets, sizeof m->tickets, 0) !=
	    (ssize_t)sizeof m->tickets)
		panic_at(__FILE__, __LINE__, __func__, "getrandom");
	tls = tls_new(c, m, g->problems);
	good = tls != NULL;
	tls_free(&tls);
	return good;
}

static bool
gather_auth(struct gathering *g)
{
	const char *path = g->conf->http_auth_file;
	struct auth *auth;
	bool good;

	if (*path == '\0')
		return true;
	if (!read_file(g, "http.auth.file", path, &g->auth))
		return false;
	auth = auth_new(g->conf, g->auth.bytes, g->auth.used, g->problems);
	good = auth != NULL;
	auth_release(&auth);
	return good;
}

static bool
gather_feed_users(struct gathering *g)
{
	const char *path = g->conf->pull_auth_file;
	struct feed_users *users;
	bool good;

	if (*path == '\0')
		return true;
	if (!read_file(g, "pull.auth.file", path, &g->auth))
		return false;
	users = feed_users_new(path, g->auth.bytes, g->auth.used, g->problems);
	good = users != NULL;
	feed_users_free(&users);
	return good;
}

/* False: told. */
static bool
gather(struct gathering *g, struct tls_material *material)
{
	const struct conf *c = g->conf;
	bool good = true;

	if (g->kind == RECEIVER_KEYS_OF_RECEIVER) {
		if (c->https_port_enable)
			good = gather_https(g, material);
		return gather_auth(g) && good;
	}
	if (c->pull_listen[0] == '\0')
		return true;
	if (c->pull_tls)
		good = gather_https(g, material);
	return gather_feed_users(g) && good;
}

static bool
write_all(int fd, const void *bytes, size_t count)
{
	const char *at = bytes;

	while (count > 0) {
		ssize_t n = write(fd, at, count);

		if (n < 0 && errno != EINTR)
			return false;
		at += MAX_OF(n, 0);
		count -= (size_t)MAX_OF(n, 0);
	}
	return true;
}

/* -1 with errno. */
static int
pack(const struct gathering *g, const struct tls_material *m)
{
	struct keys_header header = { .magic = MAGIC,
		.pem_bytes = g->pem.used,
		.client_ca_bytes = g->client_ca.used,
		.auth_bytes = g->auth.used };
	int error,
	    fd = memfd_create("tranqd-keys", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	bool good;

	if (fd < 0)
		return -1;
	memcpy(header.tickets, m->tickets, sizeof header.tickets);
	good = write_all(fd, &header, sizeof header) &&
	    write_all(fd, g->pem.bytes, g->pem.used) &&
	    write_all(fd, g->client_ca.bytes, g->client_ca.used) &&
	    write_all(fd, g->auth.bytes, g->auth.used);
	error = errno;
	explicit_bzero(&header, sizeof header);
	if (good) {
		must(fcntl(fd, F_ADD_SEALS,
			 F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
		return fd;
	}
	close(fd);
	errno = error;
	return -1;
}

bool
receiver_keys_load(const struct conf *conf, enum receiver_keys_kind kind,
    int *fd, struct conf_problems *problems)
{
	struct gathering g = {
		.conf = conf, .kind = kind, .problems = problems
	};
	struct tls_material material = { .pem = NULL };
	bool good;

	*fd = -1;
	buf_init(&g.pem, RECEIVER_KEYS_FILE_MAX);
	buf_init(&g.client_ca, 2 * RECEIVER_KEYS_FILE_MAX);
	buf_init(&g.auth, 2 * RECEIVER_KEYS_FILE_MAX);
	good = gather(&g, &material);
	if (good && g.pem.used + g.auth.used > 0) {
		*fd = pack(&g, &material);
		good = *fd >= 0;
		if (!good)
			conf_problem(problems,
			    "%s: no memory for certificates and passwords: %s",
			    conf->file, strerror(errno));
	}
	forget(&g.pem);
	forget(&g.client_ca);
	forget(&g.auth);
	explicit_bzero(&material, sizeof material);
	return good;
}

bool
receiver_keys_open(struct receiver_keys *k, int fd)
{
	struct keys_header header;
	const char *at;
	struct stat st;

	*k = (struct receiver_keys){ .memory = NULL };
	if (fstat(fd, &st) < 0)
		return false;
	errno = EBADMSG;
	if (st.st_size < (off_t)sizeof header ||
	    st.st_size > 4 * (off_t)RECEIVER_KEYS_FILE_MAX)
		return false;
	k->bytes = (size_t)st.st_size;
	k->memory = mmap(NULL, k->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (k->memory == MAP_FAILED) {
		k->memory = NULL;
		return false;
	}
	memcpy(&header, k->memory, sizeof header);
	must(header.magic == MAGIC &&
	    sizeof header + header.pem_bytes + header.client_ca_bytes +
		    header.auth_bytes ==
		k->bytes);
	at = (const char *)k->memory + sizeof header;
	k->tls.pem = at;
	k->tls.pem_bytes = header.pem_bytes;
	k->tls.client_ca = at + header.pem_bytes;
	k->tls.client_ca_bytes = header.client_ca_bytes;
	memcpy(k->tls.tickets, header.tickets, sizeof header.tickets);
	k->auth = at + header.pem_bytes + header.client_ca_bytes;
	k->auth_bytes = header.auth_bytes;
	return true;
}

void
receiver_keys_close(struct receiver_keys *k)
{
	if (k->memory != NULL)
		munmap(k->memory, k->bytes);
	explicit_bzero(k, sizeof *k);
}

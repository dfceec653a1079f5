/*
 * receiver_keys - the files with certificates and passwords that receivers
 * need and may not read
 *
 * Process: vault's reader, at start and at each reload, and `tranqd check` read
 * and check them; receivers get them as one sealed piece of memory (a memfd),
 * with the configuration that they belong to.
 */
#pragma once

#include "base.h"
#include "conf.h"
#include "tls.h"

/* Larger files are none of these. */
#define RECEIVER_KEYS_FILE_MAX (4u * MiB)

/* Reads what the configuration names, and makes of it what a receiver would,
 * so that one who gets it can use it. *fd: for receivers, or -1 when they need
 * nothing. False: problems, and *fd is -1. */
bool receiver_keys_load(
    const struct conf *, int *fd, struct conf_problems *) MUST_CHECK;

struct receiver_keys {
	struct tls_material tls; /* pem_bytes 0: https is not enabled */
	const char *auth; /* the text of http.auth.file */
	size_t auth_bytes; /* 0: there is none */
	/* private */
	void *memory;
	size_t bytes;
};

/* What came with `fd`, which stays the caller's. False with errno. */
bool receiver_keys_open(struct receiver_keys *, int fd) MUST_CHECK;
void receiver_keys_close(struct receiver_keys *);

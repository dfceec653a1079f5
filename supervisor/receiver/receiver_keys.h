/*
 * receiver_keys - the files with certificates and passwords that receivers
 * and the feed need and may not read
 *
 * Process: vault's reader, at start and at each reload, and `tranqd check` read
 * and check them; receivers and the feed get each their own as one sealed piece
 * of memory (a memfd), with the configuration that they belong to.
 */
#pragma once

#include "base.h"
#include "conf.h"
#include "tls.h"

/* Larger files are none of these. */
#define RECEIVER_KEYS_FILE_MAX (4u * MiB)

enum receiver_keys_kind {
	RECEIVER_KEYS_OF_RECEIVER, /* https.*, http.auth.file */
	RECEIVER_KEYS_OF_FEED, /* https.* when pull.tls is, pull.auth.file */
};
#define RECEIVER_KEYS_KINDS 2

/* Reads what the configuration names, and makes of it what a receiver (or the
 * feed) would, so that one who gets it can use it. *fd: for him, or -1 when he
 * needs nothing. False: problems, and *fd is -1. */
bool receiver_keys_load(const struct conf *, enum receiver_keys_kind, int *fd,
    struct conf_problems *) MUST_CHECK;

struct receiver_keys {
	struct tls_material tls; /* pem_bytes 0: https is not enabled */
	const char *auth; /* the text of http.auth.file, or pull.auth.file */
	size_t auth_bytes; /* 0: there is none */
	/* private */
	void *memory;
	size_t bytes;
};

/* What came with `fd`, which stays the caller's. False with errno. */
bool receiver_keys_open(struct receiver_keys *, int fd) MUST_CHECK;
void receiver_keys_close(struct receiver_keys *);

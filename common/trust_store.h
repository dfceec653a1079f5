/*
 * trust_store - by which certificates Druid is believed, and ours for it
 *
 * Process: vault's reader, at start and reload, and `tranqd check`; workers find
 * the result in their ds_conf (vault_open), so that they need not be allowed to
 * read the files.
 * Also tranqctl, which submits tasks itself (archive reindex).
 * With OpenSSL.
 */
#pragma once

#include "conf.h"

#define TRUST_STORE_BYTES_MAX (4u * MiB)

/* Reads the files that druid.tls.* names into druid_trust and druid_key, and
 * makes them count in the digest: a file that has been replaced is a change.
 * Adds a line for each problem. Of a ds_conf with problems the name may be
 * NULL (conf_check). */
void trust_store_load(struct conf *, struct conf_problems *);

#define TRUST_STORE_WHY_BYTES 512

/* The certificates in a file's bytes (PEM, PKCS#12, or one in DER), or, with
 * `with_key`, a private key behind them, as PEM, new; NULL with the reason.
 * path: for the reason only. */
char *
trust_store_pem(const struct buf *bytes, const char *path, const char *password,
    bool with_key, char why[static TRUST_STORE_WHY_BYTES]);

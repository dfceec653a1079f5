/*
 * conf_secret - what of a configuration only one worker may know
 *
 * Process: vault's reader takes it apart, each worker gets its own part.
 *
 * All SECRET properties of properties.def are secrets, and the private key that
 * druid.tls.keyStorePath names; the certificates that are read from files go
 * with them. Pure.
 */
#pragma once

#include "buf.h"
#include "conf.h"

/* What stands for a secret in a configuration without them. It looks like one
 * (user:password), so that checks of what belongs together hold. */
#define CONF_SECRET_HIDDEN "hidden:hidden"

/* More than conf_secret_pack makes. */
#define CONF_SECRET_BYTES_MAX (64u * MiB)

/* The document as JSON, to be freed, without secrets and without properties
 * that have no effect; conf_parse makes of it the same configuration but for
 * them (and for what comes from files: druid_trust, druid_key). */
char *conf_secret_hide(const struct conf *);
/* Adds a dataSource's secrets; false: it has none. */
bool conf_secret_pack(const struct ds_conf *, struct buf *) MUST_CHECK;
/* Whether two of one configuration have the same. */
bool conf_secret_same(const struct ds_conf *, const struct ds_conf *);
/* Into a dataSource what conf_secret_pack made; druid_trust and druid_key point
 * to it. */
void conf_secret_unpack(struct ds_conf *, const char *bytes, size_t count);

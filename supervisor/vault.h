/*
 * vault - reads the configuration where none of its secrets can stay behind
 *
 * Process: supervisor, its short-lived reader, workers.
 *
 * What a process has once had in its memory its children inherit: parsed,
 * freed, or on the stack. So the supervisor never has a secret. A process of
 * its own, forked for it, reads the file and all that it refers to, gives the
 * supervisor the configuration without secrets (conf_secret.h), and each
 * dataSource's secrets in sealed memory, which the supervisor keeps as
 * descriptors and does not map for longer than to compare them. A worker gets
 * the one that is its own, receivers none; what is theirs comes in
 * receiver_keys' memory, made there too.
 */
#pragma once

#include "conf.h"

/* A conf_check of the whole: all that the processes will need, files of
 * certificates and passwords with it. */
void vault_check(struct conf *, struct conf_problems *);
/* As conf_load_checked, with vault_check; a conf without secrets that has
 * their descriptors. `now`: the configuration in force, from which it keeps
 * RESTART properties, with a warning; NULL: none is. It waits for the reader,
 * VAULT_READ_MS at most. */
struct conf *vault_load(const char *file, const struct conf *now,
    struct conf_problems *) MUST_CHECK;
/* In the worker, before anything else uses its dataSource: its secrets are put
 * where they belong. False with errno. */
bool vault_open(struct ds_conf *) MUST_CHECK;
/* Whether two dataSources have the same secrets. */
bool vault_same(const struct ds_conf *, const struct ds_conf *);

#define VAULT_READ_MS (60 * 1000)

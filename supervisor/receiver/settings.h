/*
 * settings - a configuration made ready for use, counted by who uses it
 *
 * Process: receiver. A reload makes a new one; requests keep the one that
 * they began with.
 */
#pragma once

#include "base.h"
#include "conf.h"
#include "drops.h"
#include "auth.h"
#include "line_parser.h"
#include "outlet.h"
#include "partition_hash.h"
#include "timestamp.h"
#include "tls.h"

struct settings_ds {
	const struct ds_conf *conf;
	struct outlet *outlet; /* NULL: its channel has not come yet */
	uint64_t block_bytes_max;
	struct timestamp_format *format;
	/* is_hashed: whatever the worker says, channel_wants_hashes */
	bool has_missing, is_hashed;
	int64_t missing_ms;
	size_t column_bytes; /* of conf->timestamp_column */
	char *member; /* "column": as it is inserted into an event */
	size_t member_bytes;
	struct partition_hash_spec hash;
	struct line_parser *lines; /* of text/plain */
	/* by the way that is in force (settings_follow) */
	enum delivery_mode delivery;
	bool no_window;
	enum late_policy late;
	/* body.c: events accepted at `window_now`, the bucket of
	 * queryGranularity that the last one fell into, this body's share */
	struct interval window;
	int64_t window_now;
	struct interval query_bucket;
	uint64_t mark;
	uint32_t share;
	struct drops_note note;
};

struct settings {
	const struct conf *conf;
	struct settings_ds *ds; /* conf->ds_count, in its order */
	struct tls *tls; /* NULL: HTTPS is not served */
	struct auth *auth; /* NULL: everybody may send */
	/* private */
	struct conf *owned;
	unsigned references;
};

/* `owned`: the same conf when it is to be freed with the settings, or NULL.
 * The configuration must have passed receiver_check. One reference is the
 * caller's. Outlets are attached apart. */
struct settings *settings_new(const struct conf *, struct conf *owned);
/* How a dataSource's text is read. */
struct line_parser_spec settings_lines_spec(const struct ds_conf *);
/* TLS and authentication, from what came with the configuration; -1: nothing
 * did. Who is known stays so if nothing has changed since `before` (NULL: there
 * was nothing). False, and logged: it cannot be used. */
bool settings_secure(
    struct settings *, const struct settings *before, int keys_fd) MUST_CHECK;
struct settings *settings_hold(struct settings *);
void settings_release(struct settings **);
/* Takes over the caller's reference to the outlet. */
void settings_attach(struct settings_ds *, struct outlet *);
/* Before a body's events are looked at: with delivery.mode auto the worker may
 * have found another way to Druid. */
void settings_follow(struct settings_ds *);
struct settings_ds *
settings_find(struct settings *, const char *name, size_t bytes);

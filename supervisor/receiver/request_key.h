/*
 * request_key - the field Idempotency-Key, by which a client names a request
 *
 * Process: receiver. Pure, with OpenSSL's hash.
 * After:   http_request.c, auth.c.   Before: post.c.
 *
 * draft-ietf-httpapi-idempotency-key-header: the value is a string in quotes;
 * most clients write none, and both name the same. It goes no further than
 * here: what it stands for is a hash of it and of who sends it.
 */
#pragma once

#include "base.h"
#include "event.h"
#include "secret_hash.h"

#define REQUEST_KEY_MAX 255u

/* who: of auth_who, or NULL. False: it is no key. */
bool request_key_read(const char *value, size_t bytes, const uint8_t *who,
    struct event_key *) MUST_CHECK;
/* Notes which body it was sent with, after its content coding. */
void request_key_bind(struct event_key *, const void *body, size_t bytes);

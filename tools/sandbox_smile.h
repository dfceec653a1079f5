/*
 * sandbox_smile - a push in Smile becomes the JSON that is judged and kept
 *
 * Process: tranq-sandbox. Pure.   Before: sandbox_check.
 */
#pragma once

#include "base.h"

/* New text, a JSON array with JSON_SCAN_PADDING readable bytes behind its
 * `*count`, to be freed. NULL when the body is not one Smile document that is
 * an array of objects: *error says why. body: with SMILE_PADDING readable
 * bytes behind it. */
char *sandbox_smile_json(
    const char *body, size_t bytes, size_t *count, const char **error);

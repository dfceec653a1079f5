/*
 * conf_reference - ${env:NAME} and ${file:/path} in the values of properties
 *
 * Process: all. Internal to conf*.c.
 *
 * They are replaced where the configuration is read (vault's reader), and read
 * again by each reload. The document gets what they stand for, so that what is
 * made of it, for supervisor and receivers without its secrets, needs neither
 * the files, which they may not be allowed to read, nor a second look, which
 * may see something else. "$${" is
 * a plain "${".
 */
#pragma once

#include "base.h"

#define CONF_REFERENCE_WHY_BYTES 512

bool conf_reference_is_in(const char *text);
/* The text with all that it refers to, new; NULL with the reason. A file's last
 * line end is cut off. No more than CONF_TEXT_BYTES_MAX come of it. */
char *conf_reference_expand(
    const char *text, char why[static CONF_REFERENCE_WHY_BYTES]);
/* What expands to the text, new. */
char *conf_reference_escape(const char *text);

/*
 * tranqctl_password - tranqctl password NAME: lines for pull.auth.file
 *
 * Process: tranqctl. Needs no daemon and no configuration.
 */
#pragma once

#include "base.h"

enum password_outcome { PASSWORD_GOOD, PASSWORD_BAD, PASSWORD_WRONG_USE };

/* words: what stands behind `password`. The password is read from standard
 * input, without showing it on a terminal; what is kept of it goes to standard
 * output. */
enum password_outcome password_command(char *const *words, int count);

/*
 * notify - tells systemd how we are (sd_notify's protocol)
 *
 * Process: supervisor. Does nothing when $NOTIFY_SOCKET is not set.
 */
#pragma once

#include "base.h"

/* `state`: lines such as "READY=1\nSTATUS=…". */
void notify_send(const char *state);
/* For systemd's watchdog (WatchdogSec in the unit), if it wants to know. */
void notify_alive(void);
/* RELOADING=1 with the time that Type=notify-reload asks for. */
void notify_reloading(void);

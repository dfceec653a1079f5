/*
 * sandbox_control - what tests and people ask the sandbox: /sandbox/…
 *
 * Process: tranq-sandbox.   After: sandbox_exchange.
 *
 *   GET  /sandbox/events?dataSource=X[&task=PREFIX][&replicant=N|any]
 *                       [&lost=true|false][&all=true]
 *   GET  /sandbox/stats
 *   GET  /sandbox/fault        POST /sandbox/fault
 *   POST /sandbox/reset
 *
 * No fault strikes these.
 */
#pragma once

#include "sandbox_exchange.h"

void sandbox_control_handle(struct exchange *);

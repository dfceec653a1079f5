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
 *   POST /sandbox/druid {"version": "34.0.0", "kafka": true}
 *                       from now on it is that one
 *   GET  /sandbox/supervisor        what its Kafka supervisors are, and what
 *                                   Druid tells nobody: offsets stored, …
 *   POST /sandbox/supervisor        {"id": …, "do": …}: sandbox_supervisor.h
 *   GET  /sandbox/committed?id=ID   its row of the metadata store, or null
 *   POST /sandbox/read?supervisor=ID&partition=P&to=OFFSET[&from=OFFSET]
 *                     [&group=NAME]
 *                       the group that reads it has read on, to before that
 *                       offset; the body has what it read, as an array of
 *                       events, or nothing. 409: none reads it, or not there
 *
 * No fault strikes these.
 */
#pragma once

#include "sandbox_exchange.h"

void sandbox_control_handle(struct exchange *);

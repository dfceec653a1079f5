/*
 * sandbox - what the parts of the stand-in Druid share
 *
 * Process: tranq-sandbox. One process, one loop: the Overlord and all tasks.
 */
#pragma once

#include "base.h"
#include "loop.h"
#include "sandbox_answer.h"
#include "sandbox_check.h"
#include "sandbox_fault.h"
#include "sandbox_http.h"
#include "sandbox_store.h"
#include "sandbox_supervisor.h"
#include "sandbox_violation.h"
#include "text_map.h"

#define DRUID_TEXT_BYTES 40

struct task;
struct exchange;
struct announce;

struct sandbox_options {
	const char *address, *port_file;
	char url_host[64]; /* the same as it stands in a URL */
	unsigned port, peon_port; /* 0: any free one */
	bool has_peon_port;
	unsigned tls_port; /* where others take TLS for it; 0: nowhere */
	const char *zookeeper; /* connect string, or NULL */
	const char *discovery_path, *overlord_service;
	int64_t buffer; /* events of a firehose; 0: as its spec says */
	int64_t drain_rate; /* events a second; 0: at once */
	int64_t start_delay_ms, handler_delay_ms, handoff_delay_ms;
	int64_t batch_delay_ms;
	int64_t chunk_events; /* more in one push are a violation; 0: none */
	int64_t keep_bytes;
	int64_t queue_tasks; /* more that are not done are refused; 0: none */
	int64_t seed;
	char *authorization; /* header value that is wanted, or NULL */
	bool counts_only, checks_fully, ignores_producers;
	unsigned version;
	char version_text[DRUID_TEXT_BYTES];
	bool has_no_kafka; /* extension */
};

struct sandbox_counts {
	uint64_t pushes, skipped, gzip, smile, clipped, wire_bytes;
	uint64_t overlord_requests;
	uint64_t pushes_by_status[600];
};

struct sandbox {
	struct sandbox_options options;
	struct loop *loop;
	struct sandbox_http *http;
	unsigned port, task_port; /* as bound */
	int64_t started_ms;

	struct faults faults;
	struct violations violations;
	struct check check;
	struct store store;
	struct supervisors supervisors;
	struct sandbox_counts counts;

	struct text_map tasks_by_id, handlers; /* struct task */
	struct task *tasks; /* in order of submission */
	struct task *last_task;
	struct exchange *exchanges; /* being handled */
	struct announce *announce; /* NULL: no ZooKeeper */
};

/* It is that Druid from now on. false: that is no version. */
bool sandbox_options_druid(struct sandbox_options *, const char *version);

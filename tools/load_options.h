/*
 * load_options - what the load generator is asked to do
 *
 * Process: tranq-load.
 */
#pragma once

#include <netinet/in.h>

#include "base.h"
#include "load_format.h"

struct load_target {
	char host[256]; /* as written, with the port, for the Host field */
	struct sockaddr_storage address;
	socklen_t address_bytes;
};

struct load_options {
	struct load_target url, sandbox;
	bool compares;
	const char *data_sources; /* comma-separated */
	bool is_mixed, is_async, is_gzip, is_array, retries, is_twice,
	    prints_json;
	bool owns_host;
	unsigned connections;
	uint64_t events; /* 0: as many as there is time for */
	double seconds; /* for sending */
	uint64_t batch;
	enum load_format format;
	double rate; /* events a second; 0: as fast as it goes */
	const char *replay; /* file, or NULL: generated events */
	double spread_seconds, settle_seconds, timeout_seconds;
	const char *record, *check; /* files, or NULL */
	unsigned replicant; /* to compare with */
};

/* Ends the process (2) with a sentence when they make no sense. */
void load_options_read(struct load_options *, int argc, char **argv);

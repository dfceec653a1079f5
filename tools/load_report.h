/*
 * load_report - what the load generator tells at its end
 *
 * Process: tranq-load.
 */
#pragma once

#include "load_ledger.h"
#include "load_run.h"

struct load_report {
	const struct load_options *options;
	const struct load_ledger *ledger;
	const struct load_stats *stats; /* NULL: nothing was sent */
	const struct load_verdict *verdict; /* NULL: nothing was compared */
};

/* To standard output: for people, or one line of JSON. */
void load_report_print(const struct load_report *);

/*
 * tranqctl_output - the status document as tables for people
 *
 * Process: tranqctl. Pure: all times are in the document.
 */
#pragma once

#include "buf.h"
#include "json.h"

/* What is not in the document (an older daemon's) is printed as "-". */
void output_status(const struct json *document, struct buf *);

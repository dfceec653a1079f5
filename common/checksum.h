/*
 * checksum - CRC-32C (Castagnoli), as iSCSI and Kafka have it
 *
 * Process: worker, feed, tranqctl. Pure. RFC 3720 appendix B.4 has the test
 * vectors.
 */
#pragma once

#include "base.h"

/* Of `bytes` bytes behind those that gave `before` (0 at first). */
uint32_t checksum_crc32c(uint32_t before, const void *at, size_t bytes);

/*
 * checksum - CRC-32C (Castagnoli), as iSCSI and Kafka have it
 *
 * Process: worker, feed, tranqctl. Pure.
 */
#include "checksum.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t
by_bits(uint32_t crc, const unsigned char *at, size_t bytes)
{
	for (; bytes > 0; bytes--, at++) {
		crc ^= *at;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (POLYNOMIAL & (0u - (crc & 1)));
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const unsigned char *at, size_t bytes)
{
	uint64_t wide = crc, word;

	for (; bytes >= 8; bytes -= 8, at += 8) {
		memcpy(&word, at, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; bytes > 0; bytes--, at++)
		crc = __builtin_ia32_crc32qi(crc, *at);
	return crc;
}
#endif

/* For processors without the instruction. */
static uint32_t
by_table(uint32_t crc, const unsigned char *at, size_t bytes)
{
	static uint32_t table[256];

	if (table[1] == 0) {
		for (unsigned i = 0; i < 256; i++) {
			unsigned char byte = (unsigned char)i;

			table[i] = by_bits(0, &byte, 1);
		}
	}
	for (; bytes > 0; bytes--, at++)
		crc = table[(crc ^ *at) & 0xff] ^ crc >> 8;
	return crc;
}

uint32_t
checksum_crc32c(uint32_t before, const void *at, size_t bytes)
{
	uint32_t crc = ~before;

#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~by_instruction(crc, at, bytes);
#endif
	return ~by_table(crc, at, bytes);
}

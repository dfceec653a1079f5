/*
 * compression - the codecs of Kafka's record batches: gzip, lz4, zstd
 *
 * Process: worker (packs), tranqctl and tests (unpack).
 * Owns:    liblz4, and for packing zlib and zstd (what clients send is
 *          inflated by the receiver, under other bounds).
 *
 * Each result is one stream as Kafka's consumers want it: gzip one member (RFC
 * 1952), zstd one frame with its content's size, lz4 one frame of version 01
 * with independent blocks of 64 KiB (linked ones end a Druid task).
 */
#pragma once

#include "base.h"
#include "buf.h"

/* The numbers are those of a record batch's attributes; 2, snappy, is not
 * used. */
enum compression_codec {
	COMPRESSION_NONE = 0,
	COMPRESSION_GZIP = 1,
	COMPRESSION_LZ4 = 3,
	COMPRESSION_ZSTD = 4,
};

struct compression;

/* "none", "gzip", "lz4", "zstd"; "unknown" for another number. */
const char *compression_name(enum compression_codec);
/* false: it is no name of one. */
bool compression_of_name(const char *name, enum compression_codec *) MUST_CHECK;
/* Whether that number is a codec that can be unpacked here. */
bool compression_is_known(unsigned number);

/* What is kept from one packing to the next: a codec's working memory. */
struct compression *compression_new(enum compression_codec);
void compression_free(struct compression **);
enum compression_codec compression_codec(const struct compression *);
/* Appends the packed form of `bytes` bytes to `to`. false: it does not fit into
 * to->max, or there is no memory; `to` is as it was. */
bool compression_pack(struct compression *, const void *from, size_t bytes,
    struct buf *to) MUST_CHECK;
/* Appends what the stream was made from, at most to->max bytes in all. false: it
 * is no whole stream of that codec, it is more, or something stands behind it;
 * what has been appended is no good then. */
bool compression_unpack(enum compression_codec, const void *from, size_t bytes,
    struct buf *to) MUST_CHECK;

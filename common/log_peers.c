/*
 * log_peers - the partitions of a topic that several tranqds share, and who
 * serves them
 *
 * Process: all. Pure.
 */
#include "log_peers.h"

#include <stdio.h>
#include <string.h>

#include "checksum.h"

int32_t
log_peers_node(const char *host, unsigned port)
{
	char text[ENDPOINT_HOST_BYTES + 16];
	int bytes = snprintf(text, sizeof text, "%s:%u", host, port);

	return (int32_t)(checksum_crc32c(0, text, (size_t)bytes) & INT32_MAX);
}

void
log_peers_bound(struct log_peers *p)
{
	p->count = MIN_OF(p->count, LOG_PEERS_MAX);
	p->broker_count = MIN_OF(p->broker_count, LOG_PEERS_MAX);
	for (unsigned i = 0; i < p->broker_count; i++)
		p->brokers[i].host[ENDPOINT_HOST_BYTES - 1] = '\0';
	for (unsigned i = 0; i < p->count; i++)
		p->all[i].end = MAX_OF(p->all[i].start, p->all[i].end);
}

const struct log_peer *
log_peers_find(const struct log_peers *p, int64_t number)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->all[i].number == number)
			return &p->all[i];
	return NULL;
}

bool
log_peers_add_broker(struct log_peers *p, const char *host, unsigned port)
{
	int32_t node = log_peers_node(host, port);
	unsigned at = 0;
	struct log_broker *b;

	while (at < p->broker_count && p->brokers[at].node < node)
		at++;
	if (at < p->broker_count && p->brokers[at].node == node)
		return true;
	if (p->broker_count == LOG_PEERS_MAX)
		return false;
	b = &p->brokers[at];
	memmove(b + 1, b, (p->broker_count - at) * sizeof *b);
	p->broker_count++;
	*b = (struct log_broker){ .node = node, .port = port };
	snprintf(b->host, sizeof b->host, "%s", host);
	return true;
}

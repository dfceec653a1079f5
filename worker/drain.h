/*
 * drain - a dataSource is emptied before its machine goes away
 *
 * Process: worker.   After: tranqctl drain, by the supervisor.
 *
 * From the order on receivers begin no request any more (channel_drain); what is
 * in rings and spool goes to Druid, and late events do not wait for more of
 * them. Drained is who has nothing left, and to whom nothing can come: no
 * receiver is at a request, the rings are empty, the spool is, and the delivery
 * has done what it has to (delivery.h, is_dry). That is found anew after a
 * restart; that it is being drained is on the disk (drain_mark.h).
 */
#pragma once

#include "channel.h"
#include "delivery.h"
#include "heritage.h"
#include "late.h"
#include "loop.h"
#include "spool.h"

/* The counter `drain`. */
enum drain_state { DRAIN_OFF, DRAIN_ON, DRAIN_DONE };

struct drain;

struct drain_parts {
	struct loop *loop;
	const char *dir; /* the spool's */
	struct spool *spool;
	struct late *late;
	struct delivery *delivery;
	struct channel *channels;
	unsigned channel_count;
};

/* Says to all what the disk says. */
struct drain *drain_new(const struct drain_parts *);
void drain_free(struct drain **);
/* ORDER_DRAIN: durable when it returns. What there is to report. */
struct order_message drain_order(struct drain *, const struct order_message *);
enum drain_state drain_state(const struct drain *);
/* At the end of a turn. takes: what comes in the rings is taken now. True: the
 * state has become another one. */
bool drain_look(struct drain *, bool takes);
/* The member "drain" of the status document; nothing when it is off. */
void drain_describe(const struct drain *, struct json *to);

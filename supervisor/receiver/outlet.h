/*
 * outlet - the receiver's end of one channel, and who waits at it
 *
 * Process: receiver. Kept over reloads as long as a configuration or a request
 * needs it.
 */
#pragma once

#include "base.h"
#include "channel.h"
#include "event.h"

struct share;
struct post;
struct outlets;

struct outlet {
	struct channel channel;
	uint64_t block_bytes_max; /* a quarter of the ring */
	unsigned references;
	bool is_current; /* in the configuration of now */

	/* written and not durable yet, by ring position */
	struct share *first_share, *last_share;
	/* not written yet: no room */
	struct post *first_blocked, *last_blocked;
	unsigned waiters; /* all of them, and shares that wait for acks */

	/* private */
	struct outlets *all;
	struct outlet *next, *next_active, *next_dirty;
	uint64_t head_seen;
	bool is_active, is_dirty;
};

/* All of them; the three lists run through the outlets. */
struct outlets {
	struct outlet *first, *active, *dirty;
	int receiver_bell;
	/* frees the shares of an outlet that goes; their posts are over */
	void (*forget_shares)(struct outlets *, struct share *first);
};

/* By the dataSource's name; NULL: none. */
struct outlet *outlet_find(struct outlets *, const char *ds);
/* Maps a channel, or finds the outlet that has it already; both descriptors
 * are taken over. NULL, with a reason logged: it cannot be mapped. One
 * reference is the caller's. */
struct outlet *outlet_new(struct outlets *, int memory_fd, int worker_bell);
struct outlet *outlet_hold(struct outlet *);
void outlet_release(struct outlet **);

/* Somebody waits here now: the outlet is looked at in every turn. */
void outlet_wait(struct outlet *);
void outlet_waited(struct outlet *);
/* Something was committed: outlets_ring tells its worker. */
void outlet_mark_dirty(struct outlet *);
void outlets_ring(struct outlets *);
/* Position up to which all is durable, as read now. */
uint64_t outlet_head(struct outlet *);
/* Calls `look` for each outlet at which somebody waits. */
void outlets_each_active(
    struct outlets *, void (*look)(struct outlet *, void *), void *context);
/* Whether nothing has come since outlet_head; then the workers ring the bell
 * when something does. */
bool outlets_may_sleep(struct outlets *);
void outlets_awake(struct outlets *);

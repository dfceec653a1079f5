/*
 * heritage - everything that crosses the fork, and how children end
 *
 * Process: supervisor fills it before fork, children read it. Nothing else of
 * the supervisor's memory may be used by a child.
 */
#pragma once

#include "base.h"
#include "conf.h"
#include "confine.h"
#include "life.h"

/* Exit codes of children (sysexits.h where it has a name for it). */
enum child_exit {
	/* stopped as asked, or the supervisor is gone */
	CHILD_DRAINED = 0,
	/* own bug (EX_SOFTWARE) */
	CHILD_PANIC = 70,
	/* dependency or disk (EX_TEMPFAIL) */
	CHILD_TEMPFAIL = 75,
	/* do not restart before a reload (EX_CONFIG) */
	CHILD_BAD_CONFIG = 78,
};

/*
 * Orders and reports on the control socket between supervisor and child
 * (SOCK_SEQPACKET, one message a packet; descriptors by SCM_RIGHTS). Children
 * ignore SIGTERM, SIGINT, SIGHUP, SIGQUIT and SIGUSR1 (a terminal or an init
 * system sends them to the whole group): what to do comes from here only, and
 * the end of the file means that the supervisor is gone.
 *
 * A reload, as a receiver sees it: ORDER_CONF, then `index` ORDER_CHANNELs; a
 * dataSource of the new configuration for which none came keeps the channel
 * that it has under its name. When all are there, the receiver uses the new
 * configuration for every request that begins from then on; requests begun
 * before are finished as they were begun (their channels stay mapped until
 * then). ORDER_CONF_TAKEN means: never again will an event be offered to a
 * dataSource that is not in the new configuration; so it waits for requests
 * that still have to offer some (at most http.blockTimeout; the supervisor
 * waits 10 s longer, then kills). The removed worker drains only after that.
 * A second ORDER_CONF comes only after the confirmation of the first.
 */
enum order {
	/* child → supervisor: replayed, serving */
	ORDER_READY = 1,
	/* → child: drain, then exit; `value` is the time for it in ms, 0
	 * means at once. A second one may shorten the time. `index`: 0, or
	 * ORDER_STOP_HAND_OVER */
	ORDER_STOP,
	/* → child: order_take_log does it */
	ORDER_REOPEN_LOG,
	/* → receiver: memfd with the configuration's text, and one with the
	 * keys that go with it, if any; `index`: number of ORDER_CHANNELs
	 * that follow, `value`: number of the configuration */
	ORDER_CONF,
	/* → receiver: memfd and worker's bell of dataSource `index` in the
	 * new configuration */
	ORDER_CHANNEL,
	/* receiver → supervisor: as above; `value` as it came */
	ORDER_CONF_TAKEN,
	/* → worker: dead letters; `index`: ORDER_DEAD_REQUEUE or
	 * ORDER_DEAD_DROP, `value`: the key of one, or ORDER_DEAD_ALL */
	ORDER_DEAD,
	/* worker → supervisor: done. `index`: letters, `value`: their events,
	 * and from bit 32 on letters that stay */
	ORDER_DEAD_DONE,
	/* → worker: `index`: ORDER_DRAIN_ON or ORDER_DRAIN_OFF */
	ORDER_DRAIN,
	/* worker → supervisor: `index` as it came, and it is durable; `value`: 0,
	 * or errno, why nothing has changed */
	ORDER_DRAIN_DONE,
	/* worker → supervisor: a successor is to take over at once, for
	 * delivery.mode auto has another way */
	ORDER_RENEW,
	/* → child: nothing to do. That its loop turns is the answer (life.h) */
	ORDER_PING,
};

/* To a worker: a successor takes over rings and spool at once; end what is on
 * its way to Druid, and take nothing more. */
#define ORDER_STOP_HAND_OVER 1

#define ORDER_DEAD_REQUEUE 0
#define ORDER_DEAD_DROP 1
#define ORDER_DEAD_ALL UINT64_MAX
/* Why a dead letter stays. */
#define ORDER_DEAD_STAY                                                   \
	"their interval is over and late.policy is drop (set archive or " \
	"append, or export them), or they cannot be read"

#define ORDER_DRAIN_OFF 0
#define ORDER_DRAIN_ON 1

struct order_message {
	uint32_t order;
	uint32_t index;
	uint64_t value;
};

/* Where clients come in. The supervisor opens them. */
enum port_kind { PORT_HTTP, PORT_HTTPS, PORT_PULL, PORT_KINDS };

/* A dataSource's channels, one for each receiver (worker's side), or one for
 * each dataSource (receiver's side; NULL memory: −1, not there yet). */
struct heritage_channel {
	int memory_fd; /* channel's memfd */
	int worker_bell; /* eventfd */
	int receiver_bell;
};

struct heritage {
	const struct conf *conf;
	const struct confine *confine; /* NULL: it is off */
	const struct ds_conf *ds; /* worker: its own; receiver: NULL */
	unsigned index; /* receiver: which one of conf.receiver_count */
	uint32_t incarnation; /* counts this child's starts */
	uint64_t generation; /* worker: of its channels */
	int control_fd;
	/* receiver: HTTP; feed: PULL; -1: not enabled, or another's */
	int listen_fds[PORT_KINDS];
	/* receiver, feed: what it may not read itself (receiver_keys.h); -1:
	 * nothing is needed */
	int keys_fd;
	/* receiver: how many connections each one has open, by index, in
	 * memory that all of them share; NULL: it is alone */
	_Atomic uint32_t *crowd;
	struct life *life;
	struct heritage_channel *channels;
	unsigned channel_count;
	/* worker: the page that says how far its log is durable (log_page.h),
	 * and the bell of the feed that waits for it; others: -1 */
	int page_fd;
	int feed_bell; /* feed: its own */
	int *page_fds; /* feed: one for each of the conf's dataSources */
	unsigned pull_port; /* feed, worker: where the feed listens */
};

/* The three doors into the child's code; they return the exit code. */
int receiver_main(const struct heritage *);
int worker_main(const struct heritage *);
int feed_main(const struct heritage *);

/* A conf_check: what workers cannot do with it. After those that read files and
 * addresses. */
void worker_check(const struct conf *, struct conf_problems *);
/* What stands in the configuration against pull, and what to do: new text; NULL:
 * nothing does. */
char *worker_no_pull(const struct conf *, const struct ds_conf *);

/* For whom each connection, or each secret, is a descriptor: as many open files
 * as may be. */
void heritage_raise_files(void);

/* One message, with up to 2 descriptors (-1: none). false with errno. */
bool order_send(int control_fd, const struct order_message *, int fd0, int fd1);
/* 1: one received (descriptors not sent are -1; all are when this process has
 * no room for one of them); 0: the other side is gone; -1: nothing there now. */
int order_receive(int control_fd, struct order_message *, int *fd0, int *fd1);
/* ORDER_REOPEN_LOG: lines go to the descriptor that came with it, which is
 * taken over, with the level and format in its value. */
void order_take_log(const struct order_message *, int fd);
uint64_t order_log_value(void); /* the supervisor's own, for that order */

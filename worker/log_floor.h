/*
 * log_floor - up to where Druid has committed what it pulled from the log
 *
 * Process: worker. Pure: fed with what the Overlord answers; time is an
 * argument. kafka-pull.md 5.5 has the reasons.
 *
 * No answer of Druid says what is committed. Its status has the offsets that
 * the tasks of each group started at; M is the least of them, over all groups
 * that read or publish. The floor of a partition moves only when
 *
 *   1. the supervisor runs, a group reads the partition, and M is the same in
 *      all answers of the same leader for `agree_ms`;
 *   2. every group ever seen to start below M has left the list, and one of
 *      its tasks has succeeded; or all have failed, and a group that came
 *      later reads the same again;
 *   3. M has been agreed once more since: the floor becomes the M before, from
 *      which a group has succeeded, so that its own commit proves it.
 *
 * Or when the supervisor is suspended and no group is left: then its lag is
 * counted from what is committed. Two answers must say the same.
 *
 * Where there is a source that knows what is committed (committed.h) no other
 * generation is waited for: in each answer of a supervisor that runs and whose
 * tasks read the partition, the floor becomes what the source has said before, or
 * M if that is less.
 *
 * It never goes down. When M, or what the source says, is below it (offsets were
 * reset in Druid), nothing may be removed until it has been led past again. What
 * is unknown removes nothing.
 */
#pragma once

#include "json.h"
#include "overlord.h"

#define LOG_FLOOR_AGREE_MS 60000
/* Groups that are remembered at most; then nothing moves until some are done,
 * or the supervisor is suspended. */
#define LOG_FLOOR_GROUPS_MAX 256
#define LOG_FLOOR_TASKS_MAX 64 /* of a group */

struct log_floor;

/* topic: what the supervisor must read for its offsets to be ours. agree_ms:
 * LOG_FLOOR_AGREE_MS, or less where tasks live for minutes only. */
struct log_floor *
log_floor_new(const char *topic, unsigned partitions, int64_t agree_ms);
void log_floor_free(struct log_floor **);

/* What must be in the spool with all that was removed by it; new. */
struct json *log_floor_document(const struct log_floor *);
/* Whether that is another one than at the last call. */
bool log_floor_changed(struct log_floor *);
/* Into a new one. false: it makes no sense or is of another topic, and
 * nothing of it counts. */
bool log_floor_restore(struct log_floor *, const struct json *) MUST_CHECK;

/* An answer to GET supervisor/{id}/status, or NULL: none came, or none that is
 * of use. leader: whose; now_ms: monotonic. */
void log_floor_status(struct log_floor *, const struct json *status,
    const char *leader, int64_t now_ms);
/* Tasks whose status counts next: ids, lent until the next status. */
unsigned
log_floor_asks(const struct log_floor *, const char **task_ids, unsigned max);
void log_floor_task(struct log_floor *, const char *task_id, enum task_state);

/* From now on there is a source, which has the word. */
void log_floor_ask_source(struct log_floor *);
/* What it says: offsets by partition, {"0": 120000}; NULL: nothing any more. It
 * counts at the next status. */
void log_floor_committed(struct log_floor *, const struct json *offsets);

/* Events below are committed and may go; 0: not known, or not to be removed
 * now. */
uint64_t log_floor_removable(const struct log_floor *, unsigned partition);
/* What is committed, by the answers of a supervisor that is suspended and has no
 * tasks; UINT64_MAX: not known. */
uint64_t log_floor_exact(const struct log_floor *, unsigned partition);
/* The highest floor there was, whatever holds removal up. */
uint64_t log_floor_known(const struct log_floor *, unsigned partition);
/* Sentences for the status about what holds it up. */
void log_floor_describe(const struct log_floor *, struct json *notes);

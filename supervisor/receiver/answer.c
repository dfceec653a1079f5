/*
 * answer - the result of a post that asks for more than the short JSON
 *
 * Process: receiver. Pure.
 */
#include "answer.h"

#include "panic.h"

#define ANSWER_BYTES_MAX (32u * MiB) /* http.maxDetailEvents bounds it first */
#define KEPT_BYTES (64u * KiB)

void
answer_init(struct answer *a)
{
	buf_init(&a->json, ANSWER_BYTES_MAX);
	buf_init(&a->smile, ANSWER_BYTES_MAX);
}

void
answer_fini(struct answer *a)
{
	buf_free(&a->json);
	buf_free(&a->smile);
}

static void
empty(struct buf *b)
{
	if (b->size > KEPT_BYTES)
		buf_free(b);
	buf_reset(b);
}

/* Those that the list has no room for, and those that the worker dropped. */
static uint64_t
not_listed(const struct reply *r, const struct drops *drops)
{
	uint64_t all = r->dropped_late;

	for (int i = 0; i < DROP_REASONS; i++)
		all += r->dropped[i];
	return all - MIN_OF(all, drops->count - drops_kept(drops));
}

/* Late events that are kept; nothing when there are none. */
static void
print_late(struct buf *b, const struct reply *r, const struct drops *drops)
{
	uint64_t late = r->archived + r->appended;

	if (late == 0)
		return;
	buf_add_text(b, ",\"late\":");
	drops_print(drops, true, b);
	late -= MIN_OF(late, drops_kept(drops));
	if (late > 0)
		buf_addf(
		    b, ",\"lateNotListed\":%llu", (unsigned long long)late);
}

static void
print_detail(struct buf *b, const struct reply *r, const struct drops *drops)
{
	uint64_t more = not_listed(r, drops);

	buf_addf(b,
	    ",\"spooled\":%llu,\"dropped\":", (unsigned long long)r->spooled);
	drops_print(drops, false, b);
	if (more > 0)
		buf_addf(
		    b, ",\"droppedNotListed\":%llu", (unsigned long long)more);
	print_late(b, r, drops);
}

void
answer_compose(
    struct answer *a, struct reply *r, const struct drops *drops, bool is_smile)
{
	struct buf *b = &a->json;

	empty(&a->json);
	empty(&a->smile);
	buf_addf(b, "{\"result\":{\"received\":%llu,\"sent\":%llu",
	    (unsigned long long)r->received, (unsigned long long)r->sent);
	if (drops != NULL)
		print_detail(b, r, drops);
	buf_add_text(b, "}}");
	if (is_smile && !b->failed) {
		if (!smile_writer_transcode(
			&a->writer, b->bytes, b->used, &a->smile))
			return;
		b = &a->smile;
	}
	if (b->failed)
		return;
	r->result = b->bytes;
	r->result_bytes = b->used;
	r->is_smile = is_smile;
}

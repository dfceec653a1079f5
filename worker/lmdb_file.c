/*
 * lmdb_file - reads LMDB's data file without LMDB, and believes nothing in it
 *
 * Process: worker, tranqctl.
 *
 * Pages are read by pread: a file that is cut off or a bad sector gives an
 * error, where a mapping would give SIGBUS.
 */
#include "lmdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "panic.h"

#define MAGIC 0xbeefc0deu
#define VERSION 1u
#define PAGE_MIN 512u
#define PAGE_MAX 32768u
#define DEPTH_MAX 32 /* LMDB's own bound (CURSOR_STACK) */
#define NO_PAGE UINT64_MAX
#define META_PAGES 2
#define TREES_MAX 64

enum page_flags { P_BRANCH = 1, P_LEAF = 2, P_OVERFLOW = 4, P_META = 8 };
enum node_flags { F_BIGDATA = 1, F_SUBDATA = 2 };
/* Keys that are numbers; the file was made under its own name. Others change
 * how LMDB reads a tree, and no spool has them. */
enum tree_flags { T_INTEGERKEY = 0x08, T_NOSUBDIR = 0x4000 };

struct page_head {
	uint64_t number;
	uint16_t unused, flags;
	union {
		struct {
			uint16_t lower, upper; /* bounds of the free space */
		};
		uint32_t pages; /* of an overflow page */
	};
};

struct node_head { /* child: low, high and flags make up a page's number */
	uint16_t low, high, flags, key_bytes;
};

struct tree_record {
	uint32_t page_bytes; /* of the free list's: the whole file's */
	uint16_t flags, depth;
	uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};

struct meta_record {
	uint32_t magic, version;
	uint64_t address, map_bytes;
	struct tree_record free_list, top;
	uint64_t last_page, txn;
};

_Static_assert(sizeof(struct page_head) == 16, "as LMDB writes it");
_Static_assert(sizeof(struct node_head) == 8, "as LMDB writes it");
_Static_assert(sizeof(struct tree_record) == 48, "as LMDB writes it");
_Static_assert(sizeof(struct meta_record) == 136, "as LMDB writes it");

struct lmdb_file {
	int fd;
	unsigned page_bytes;
	int error; /* of reading: the first */
	uint64_t file_pages; /* whole ones */
	struct meta_record meta;
	unsigned char *used; /* a bit a page, while it is checked */
	char *pages[DEPTH_MAX]; /* the way down to where a walk is */
};

/* A walk's state. */
struct walk {
	struct lmdb_file *f;
	const struct lmdb_file_tree *tree;
	const struct lmdb_file_visit *visit;
	const struct lmdb_file_record *from;
	struct lmdb_file_tree seen; /* counted on the way */
	bool whole, stopped;
	char last[LMDB_FILE_KEY_MAX], floor[LMDB_FILE_KEY_MAX];
	struct lmdb_file_record last_key, floor_key; /* in them */
};

/* ---- the file as a whole ---- */

static bool
read_at(struct lmdb_file *f, void *to, size_t bytes, uint64_t at)
{
	char *out = to;

	while (bytes > 0) {
		ssize_t n = pread(f->fd, out, bytes, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && f->error == 0)
			f->error = errno;
		if (n <= 0)
			return false;
		out += n;
		at += (uint64_t)n;
		bytes -= (size_t)n;
	}
	return true;
}

/* What wrote it, judged by where LMDB's mark is: behind a page's head. */
static bool
check_first(const char *first, char *error, size_t bytes)
{
	uint32_t at_12, at_16;
	struct meta_record m;

	memcpy(&at_12, first + 12, sizeof at_12);
	memcpy(&at_16, first + 16, sizeof at_16);
	memcpy(&m, first + 16, sizeof m);
	if (at_16 == MAGIC && m.version == VERSION)
		return true;
	if (at_16 == MAGIC)
		snprintf(error, bytes,
		    "data.mdb has LMDB's data version %u, this program reads "
		    "%u (LMDB 0.9)",
		    m.version, VERSION);
	else if (at_12 == MAGIC || at_12 == __builtin_bswap32(MAGIC))
		snprintf(error, bytes,
		    "data.mdb was written by a 32-bit machine; take it to one "
		    "that is of its kind");
	else if (at_16 == __builtin_bswap32(MAGIC))
		snprintf(error, bytes,
		    "data.mdb was written by a machine of the other byte "
		    "order; take it to one that is of its kind");
	else
		snprintf(error, bytes,
		    "data.mdb is no file of LMDB, or its first page is "
		    "damaged");
	return false;
}

/* Which of the two is the newest state; what cannot be right is an error: LMDB
 * would take the wrong one without a word. */
static bool
choose_meta(const struct page_head *heads, const struct meta_record *all,
    unsigned *newest, char *error, size_t bytes)
{
	for (unsigned i = 0; i < META_PAGES; i++) {
		const struct meta_record *m = &all[i];

		if (heads[i].number == i && heads[i].flags == P_META &&
		    m->magic == MAGIC && m->version == VERSION &&
		    m->free_list.page_bytes == all[0].free_list.page_bytes)
			continue;
		snprintf(error, bytes, "data.mdb: meta page %u is damaged", i);
		return false;
	}
	*newest = all[1].txn > all[0].txn;
	/* a transaction writes the one that the last has not */
	if ((all[0].txn == 0 && all[1].txn == 0) ||
	    ((all[0].txn & 1) == 0 && (all[1].txn & 1) == 1 &&
		(all[0].txn + 1 == all[1].txn || all[1].txn + 1 == all[0].txn)))
		return true;
	snprintf(error, bytes,
	    "data.mdb: the meta pages are damaged: transactions %" PRIu64
	    " and %" PRIu64 " cannot be neighbours",
	    all[0].txn, all[1].txn);
	return false;
}

static bool
read_metas(struct lmdb_file *f, struct page_head heads[META_PAGES],
    struct meta_record metas[META_PAGES])
{
	char page[sizeof *heads + sizeof *metas];

	for (unsigned i = 0; i < META_PAGES; i++) {
		if (!read_at(f, page, sizeof page, (uint64_t)i * f->page_bytes))
			return false;
		memcpy(&heads[i], page, sizeof *heads);
		memcpy(&metas[i], page + sizeof *heads, sizeof *metas);
	}
	return true;
}

static bool
read_size(struct lmdb_file *f, uint64_t *bytes)
{
	struct stat s;

	if (fstat(f->fd, &s) != 0)
		return false;
	*bytes = (uint64_t)s.st_size;
	return true;
}

static bool
read_head(struct lmdb_file *f, char *error, size_t bytes)
{
	char first[sizeof(struct page_head) + sizeof(struct meta_record)];
	struct page_head heads[META_PAGES];
	struct meta_record metas[META_PAGES];
	uint64_t size = 0;
	unsigned newest;

	if (!read_size(f, &size) || (size > 0 && size < sizeof first) ||
	    (size > 0 && !read_at(f, first, sizeof first, 0))) {
		if (size >= sizeof first) {
			snprintf(error, bytes, "data.mdb cannot be read");
			return false;
		}
		snprintf(error, bytes,
		    "data.mdb is no file of LMDB, it is too short for one");
		errno = EILSEQ;
		return false;
	}
	if (size == 0) {
		snprintf(error, bytes, "data.mdb is empty");
		errno = ENOENT;
		return false;
	}
	errno = EILSEQ;
	if (!check_first(first, error, bytes))
		return false;
	errno = EBADMSG;
	memcpy(&metas[0], first + sizeof *heads, sizeof metas[0]);
	f->page_bytes = metas[0].free_list.page_bytes;
	if (f->page_bytes < PAGE_MIN || f->page_bytes > PAGE_MAX ||
	    (f->page_bytes & (f->page_bytes - 1)) != 0) {
		snprintf(error, bytes, "data.mdb: meta page 0 is damaged");
		return false;
	}
	f->file_pages = size / f->page_bytes;
	if (!read_metas(f, heads, metas)) {
		snprintf(error, bytes, "data.mdb is cut off");
		errno = EBADMSG;
		return false;
	}
	if (!choose_meta(heads, metas, &newest, error, bytes))
		return false;
	f->meta = metas[newest];
	return true;
}

struct lmdb_file *
lmdb_file_open(const char *path, char *error, size_t bytes)
{
	struct lmdb_file *f = must_calloc(1, sizeof *f);
	int code;

	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0) {
		code = errno;
		snprintf(error, bytes, "data.mdb cannot be opened");
	} else if (read_head(f, error, bytes)) {
		for (unsigned i = 0; i < DEPTH_MAX; i++)
			f->pages[i] = must_malloc(f->page_bytes);
		return f;
	} else {
		code = errno;
	}
	lmdb_file_close(&f);
	errno = code;
	return NULL;
}

/* One that is in its place, for pages of that size. */
static bool
read_one_meta(
    struct lmdb_file *f, unsigned i, unsigned page_bytes, struct meta_record *m)
{
	char page[sizeof(struct page_head) + sizeof *m];
	struct page_head head;

	if (!read_at(f, page, sizeof page, (uint64_t)i * page_bytes))
		return false;
	memcpy(&head, page, sizeof head);
	memcpy(m, page + sizeof head, sizeof *m);
	return head.number == i && head.flags == P_META && m->magic == MAGIC &&
	    m->version == VERSION && m->free_list.page_bytes == page_bytes;
}

struct lmdb_file *
lmdb_file_open_damaged(const char *path)
{
	struct lmdb_file *f = must_calloc(1, sizeof *f);
	struct meta_record m;
	uint64_t size = 0;

	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	for (unsigned bytes = PAGE_MIN; bytes <= PAGE_MAX; bytes *= 2)
		for (unsigned i = 0; f->fd >= 0 && i < META_PAGES; i++)
			if (read_one_meta(f, i, bytes, &m) &&
			    (f->page_bytes == 0 || m.txn > f->meta.txn)) {
				f->page_bytes = bytes;
				f->meta = m;
			}
	if (f->page_bytes == 0 || !read_size(f, &size)) {
		lmdb_file_close(&f);
		return NULL;
	}
	f->error = 0;
	f->file_pages = size / f->page_bytes;
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		f->pages[i] = must_malloc(f->page_bytes);
	return f;
}

void
lmdb_file_close(struct lmdb_file **file)
{
	struct lmdb_file *f = *file;

	if (f == NULL)
		return;
	*file = NULL;
	if (f->fd >= 0)
		close(f->fd);
	for (unsigned i = 0; i < DEPTH_MAX; i++)
		free(f->pages[i]);
	free(f);
}

bool
lmdb_file_take(struct lmdb_file *f, uint64_t txn)
{
	struct page_head heads[META_PAGES];
	struct meta_record metas[META_PAGES];
	uint64_t size;

	if (!read_metas(f, heads, metas) || !read_size(f, &size))
		return false;
	for (unsigned i = 0; i < META_PAGES; i++) {
		if (heads[i].number != i || metas[i].magic != MAGIC ||
		    metas[i].txn != txn)
			continue;
		f->meta = metas[i];
		f->file_pages = size / f->page_bytes;
		return true;
	}
	return false;
}

struct lmdb_file_about
lmdb_file_about(const struct lmdb_file *f)
{
	return (struct lmdb_file_about){ .txn = f->meta.txn,
		.pages = f->meta.last_page + 1,
		.page_bytes = f->page_bytes,
		.is_empty = f->meta.top.entries == 0,
		.error = f->error };
}

/* ---- a walk through one tree ---- */

static void
tell(struct walk *w, uint64_t page, const char *format, ...) PRINTF_LIKE(3, 4);

static void
tell(struct walk *w, uint64_t page, const char *format, ...)
{
	char what[LMDB_FILE_WHAT_BYTES];
	va_list args;

	w->whole = false;
	if (w->visit->damage == NULL)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	w->visit->damage(w->visit->context, page, what);
}

static int
compare(const struct walk *w, const struct lmdb_file_record *a,
    const struct lmdb_file_record *b)
{
	uint64_t x, y;
	int order;

	if (w->tree->is_free_list && a->key_bytes == sizeof x &&
	    b->key_bytes == sizeof y) {
		memcpy(&x, a->key, sizeof x);
		memcpy(&y, b->key, sizeof y);
		return x < y ? -1 : x > y;
	}
	order = memcmp(a->key, b->key, MIN_OF(a->key_bytes, b->key_bytes));
	if (order != 0)
		return order;
	return a->key_bytes < b->key_bytes ? -1 : a->key_bytes > b->key_bytes;
}

static void
keep_key(struct lmdb_file_record *to, char room[LMDB_FILE_KEY_MAX],
    const struct lmdb_file_record *r)
{
	memcpy(room, r->key, r->key_bytes);
	*to =
	    (struct lmdb_file_record){ .key = room, .key_bytes = r->key_bytes };
}

/* Each page belongs to one place. */
static bool
use(struct walk *w, uint64_t page, uint64_t count)
{
	struct lmdb_file *f = w->f;
	bool is_free_of_use = true;

	if (page < META_PAGES || count > f->meta.last_page + 1 ||
	    page > f->meta.last_page + 1 - count) {
		tell(w, page, "is not one of the file's %" PRIu64,
		    f->meta.last_page + 1);
		return false;
	}
	for (uint64_t p = page; f->used != NULL && p < page + count; p++) {
		is_free_of_use &= (f->used[p / 8] >> p % 8 & 1) == 0;
		f->used[p / 8] |= (unsigned char)(1u << p % 8);
	}
	if (!is_free_of_use)
		tell(w, page, "is used twice");
	return is_free_of_use;
}

/* Its nodes lie in it and not one over the other, as far as their sizes say;
 * node_at looks at each. */
static bool
check_layout(struct walk *w, uint64_t page, const char *bytes, unsigned depth)
{
	const struct page_head *h = (const void *)bytes;
	unsigned want = depth + 1 == w->tree->depth ? P_LEAF : P_BRANCH;

	if (h->number != page)
		tell(w, page, "says that it is page %" PRIu64, h->number);
	else if (h->flags != want)
		tell(w, page, "is marked %#x where a %s should be", h->flags,
		    want == P_LEAF ? "leaf" : "branch");
	else if (h->lower < sizeof *h || h->lower > h->upper ||
	    h->upper > w->f->page_bytes || (h->lower & 1) != 0)
		tell(w, page, "has bounds (%u, %u) that cannot be", h->lower,
		    h->upper);
	else
		return true;
	return false;
}

static unsigned
node_count(const char *bytes)
{
	const struct page_head *h = (const void *)bytes;

	return (h->lower - (unsigned)sizeof *h) / 2;
}

/* A node of a page whose layout is right: its key and where the rest is. NULL:
 * it is damaged, said so. */
static const struct node_head *
node_at(struct walk *w, uint64_t page, const char *bytes, unsigned i,
    struct lmdb_file_record *r)
{
	const struct page_head *h = (const void *)bytes;
	bool is_leaf = h->flags == P_LEAF;
	const struct node_head *n;
	uint64_t size = sizeof *n;
	uint16_t at;

	memcpy(&at, bytes + sizeof *h + 2 * (size_t)i, sizeof at);
	if (at < h->upper || (at & 1) != 0 ||
	    at + sizeof *n > w->f->page_bytes) {
		tell(w, page, "node %u lies at %u", i, at);
		return NULL;
	}
	n = (const void *)(bytes + at);
	*r = (struct lmdb_file_record){ .key = (const char *)(n + 1),
		.key_bytes = n->key_bytes,
		.page = page };
	size += n->key_bytes;
	if (is_leaf) {
		r->value_bytes = (uint32_t)n->low | (uint32_t)n->high << 16;
		r->is_tree = n->flags == F_SUBDATA;
		size +=
		    n->flags == F_BIGDATA ? sizeof(uint64_t) : r->value_bytes;
		if (n->flags != 0 && n->flags != F_BIGDATA && !r->is_tree) {
			tell(w, page, "node %u is marked %#x", i, n->flags);
			return NULL;
		}
	}
	if (n->key_bytes > LMDB_FILE_KEY_MAX ||
	    (n->key_bytes == 0 && (is_leaf || i > 0)) ||
	    at + size > w->f->page_bytes) {
		tell(w, page, "node %u does not lie in its page", i);
		return NULL;
	}
	r->value = r->key + n->key_bytes;
	return n;
}

/* LMDB moves nodes by their sizes when it deletes one: any that lie over each
 * other would leave the page. */
static bool
check_sizes(struct walk *w, uint64_t page, const char *bytes)
{
	const struct page_head *h = (const void *)bytes;
	uint64_t sum = 0;

	for (unsigned i = 0; i < node_count(bytes); i++) {
		struct node_head n;
		uint16_t at;
		uint64_t size = sizeof n;

		memcpy(&at, bytes + sizeof *h + 2 * (size_t)i, sizeof at);
		if (at + sizeof n > w->f->page_bytes)
			continue; /* node_at says so */
		memcpy(&n, bytes + at, sizeof n);
		size += n.key_bytes;
		if (h->flags == P_LEAF)
			size += n.flags == F_BIGDATA
			    ? sizeof(uint64_t)
			    : (uint32_t)n.low | (uint32_t)n.high << 16;
		sum += (size + 1) / 2 * 2;
	}
	if (sum <= w->f->page_bytes - h->upper)
		return true;
	tell(w, page, "has nodes that lie over each other");
	return false;
}

static bool
check_overflow(struct walk *w, struct lmdb_file_record *r)
{
	uint64_t count =
	    (sizeof(struct page_head) - 1 + r->value_bytes) / w->f->page_bytes +
	    1;
	struct page_head h;

	memcpy(&r->page, r->value, sizeof r->page);
	r->value = NULL;
	w->seen.overflow_pages += count;
	if (!use(w, r->page, count))
		return false;
	if (r->page + count > w->f->file_pages)
		tell(w, r->page, "and those behind it are cut off");
	else if (!read_at(w->f, &h, sizeof h, r->page * w->f->page_bytes))
		tell(w, r->page, "cannot be read: %s", strerror(errno));
	else if (h.number != r->page || h.flags != P_OVERFLOW ||
	    h.pages != count)
		tell(w, r->page,
		    "is not the head of a value of %" PRIu64 " pages", count);
	else
		return true;
	return false;
}

static bool
check_order(struct walk *w, uint64_t page, const struct lmdb_file_record *r)
{
	if ((w->last_key.key == NULL || compare(w, r, &w->last_key) > 0) &&
	    (w->floor_key.key == NULL || compare(w, r, &w->floor_key) >= 0))
		return true;
	tell(w, page, "is not in the order of its keys");
	return false;
}

static void
visit_leaf(struct walk *w, uint64_t page, const char *bytes)
{
	unsigned count = node_count(bytes);
	bool is_ordered = true;

	w->seen.leaf_pages++;
	for (unsigned i = 0; i < count && !w->stopped; i++) {
		struct lmdb_file_record r;
		const struct node_head *n = node_at(w, page, bytes, i, &r);

		w->seen.entries++;
		if (n == NULL)
			continue;
		/* told once a page; the record may be good for all that */
		if (is_ordered && (is_ordered = check_order(w, page, &r))) {
			keep_key(&w->last_key, w->last, &r);
			w->floor_key.key = NULL;
		}
		if (w->from != NULL && compare(w, &r, w->from) < 0)
			continue;
		if (n->flags == F_BIGDATA && !check_overflow(w, &r))
			continue;
		if (w->visit->record != NULL)
			w->stopped = !w->visit->record(w->visit->context, &r);
	}
}

static void visit_page(struct walk *, uint64_t page, unsigned depth);

/* The last child whose keys may begin at or before `from`. */
static unsigned
first_child(struct walk *w, uint64_t page, const char *bytes, unsigned count)
{
	unsigned first = 0;

	for (unsigned i = 1; w->from != NULL && i < count; i++) {
		struct lmdb_file_record r;

		if (node_at(w, page, bytes, i, &r) == NULL ||
		    compare(w, &r, w->from) > 0)
			break;
		first = i;
	}
	return first;
}

static void
visit_branch(struct walk *w, uint64_t page, const char *bytes, unsigned depth)
{
	unsigned count = node_count(bytes);

	w->seen.branch_pages++;
	if (count == 0)
		tell(w, page, "is a branch without children");
	for (unsigned i = first_child(w, page, bytes, count);
	     i < count && !w->stopped; i++) {
		struct lmdb_file_record r;
		const struct node_head *n = node_at(w, page, bytes, i, &r);

		if (n == NULL)
			continue;
		if (i > 0 && check_order(w, page, &r))
			keep_key(&w->floor_key, w->floor, &r);
		visit_page(w,
		    n->low | (uint64_t)n->high << 16 | (uint64_t)n->flags << 32,
		    depth + 1);
	}
}

static void
visit_page(struct walk *w, uint64_t page, unsigned depth)
{
	char *bytes = w->f->pages[depth];

	if (!use(w, page, 1))
		return;
	if (page >= w->f->file_pages)
		tell(w, page, "is cut off");
	else if (!read_at(
		     w->f, bytes, w->f->page_bytes, page * w->f->page_bytes))
		tell(w, page, "cannot be read: %s", strerror(errno));
	else if (!check_layout(w, page, bytes, depth))
		return;
	else if (!check_sizes(w, page, bytes) && w->f->used != NULL)
		return; /* a rescue takes what it can */
	else if (depth + 1 == w->tree->depth)
		visit_leaf(w, page, bytes);
	else
		visit_branch(w, page, bytes, depth);
}

/* Whether what the tree says of itself is what was seen. */
static void
check_counts(struct walk *w)
{
	const struct lmdb_file_tree *t = w->tree, *s = &w->seen;

	if (w->whole && !w->stopped && w->from == NULL &&
	    (t->entries != s->entries || t->branch_pages != s->branch_pages ||
		t->leaf_pages != s->leaf_pages ||
		t->overflow_pages != s->overflow_pages))
		tell(w, t->root,
		    "heads a tree of %" PRIu64 " records, %" PRIu64
		    " are said to be there",
		    s->entries, t->entries);
}

bool
lmdb_file_walk(struct lmdb_file *f, const struct lmdb_file_tree *tree,
    const struct lmdb_file_record *from, const struct lmdb_file_visit *visit)
{
	struct walk *w = must_calloc(1, sizeof *w);
	bool whole;

	w->f = f;
	w->tree = tree;
	w->visit = visit;
	w->from = from;
	w->whole = true;
	if ((tree->flags & ~(unsigned)T_NOSUBDIR) !=
	    (tree->is_free_list ? T_INTEGERKEY : 0u))
		tell(w, 0, "or a page of names marks a tree %#x", tree->flags);
	if (tree->root != NO_PAGE) {
		if (tree->depth == 0 || tree->depth > DEPTH_MAX)
			tell(w, tree->root, "heads a tree of depth %u",
			    tree->depth);
		else
			visit_page(w, tree->root, 0);
	}
	check_counts(w);
	whole = w->whole;
	free(w);
	return whole;
}

static struct lmdb_file_tree
tree_of(const struct tree_record *t)
{
	return (struct lmdb_file_tree){ .root = t->root,
		.entries = t->entries,
		.branch_pages = t->branch_pages,
		.leaf_pages = t->leaf_pages,
		.overflow_pages = t->overflow_pages,
		.depth = t->depth,
		.flags = t->flags };
}

bool
lmdb_file_walk_names(struct lmdb_file *f, const struct lmdb_file_visit *visit)
{
	struct lmdb_file_tree top = tree_of(&f->meta.top);

	return lmdb_file_walk(f, &top, NULL, visit);
}

/* ---- one record ---- */

struct search {
	const char *name;
	struct lmdb_file_tree *to;
	bool found;
};

static bool
look_at(void *context, const struct lmdb_file_record *r)
{
	struct search *s = context;
	struct tree_record t;

	if (r->key_bytes != strlen(s->name) ||
	    memcmp(r->key, s->name, r->key_bytes) != 0)
		return true;
	if (!r->is_tree || r->value_bytes != sizeof t || r->value == NULL)
		return false;
	memcpy(&t, r->value, sizeof t);
	*s->to = tree_of(&t);
	s->found = true;
	return false;
}

bool
lmdb_file_find(struct lmdb_file *f, const char *name, struct lmdb_file_tree *to)
{
	struct search s = { .name = name, .to = to };
	struct lmdb_file_visit v = { .record = look_at, .context = &s };

	lmdb_file_walk_names(f, &v);
	return s.found;
}

bool
lmdb_file_value(
    struct lmdb_file *f, const struct lmdb_file_record *r, struct buf *to)
{
	char *room = buf_room(to, r->value_bytes);

	must_afford(room != NULL);
	if (r->value != NULL)
		memcpy(room, r->value, r->value_bytes);
	else if (!read_at(f, room, r->value_bytes,
		     r->page * f->page_bytes + sizeof(struct page_head)))
		return false;
	to->used += r->value_bytes;
	return true;
}

/* ---- all of it ---- */

struct check {
	struct lmdb_file *f;
	const struct lmdb_file_visit *visit;
	bool whole;
	struct lmdb_file_tree trees[TREES_MAX];
	unsigned tree_count;
	unsigned char *marks; /* a bit a page: it is in use, or free */
	struct buf list; /* of free pages */
};

static void
tell_damage(void *context, uint64_t page, const char *what)
{
	struct check *c = context;

	c->whole = false;
	if (c->visit->damage != NULL)
		c->visit->damage(c->visit->context, page, what);
}

static bool
collect_tree(void *context, const struct lmdb_file_record *r)
{
	struct check *c = context;
	struct tree_record t;

	if (!r->is_tree)
		return true; /* another program's */
	if (r->value == NULL || r->value_bytes != sizeof t ||
	    c->tree_count == TREES_MAX) {
		tell_damage(c, r->page, "holds something else than a tree");
		return true;
	}
	memcpy(&t, r->value, sizeof t);
	c->trees[c->tree_count++] = tree_of(&t);
	return true;
}

static bool
mark(struct check *c, uint64_t page)
{
	unsigned char *byte = &c->marks[page / 8];
	bool was = (*byte >> page % 8 & 1) != 0;

	*byte |= (unsigned char)(1u << page % 8);
	return !was;
}

/* A page that is free and in use would be overwritten. */
static bool
check_free(void *context, const struct lmdb_file_record *r)
{
	struct check *c = context;
	uint64_t count = 0, page;

	buf_reset(&c->list);
	if (!lmdb_file_value(c->f, r, &c->list) ||
	    c->list.used < sizeof count) {
		tell_damage(c, r->page, "holds no list of free pages");
		return true;
	}
	memcpy(&count, c->list.bytes, sizeof count);
	if (r->key_bytes != sizeof count ||
	    count > c->list.used / sizeof page - 1) {
		tell_damage(c, r->page, "holds a damaged list of free pages");
		return true;
	}
	for (uint64_t i = 1; i <= count; i++) {
		memcpy(&page, c->list.bytes + i * sizeof page, sizeof page);
		if (page < META_PAGES || page > c->f->meta.last_page)
			tell_damage(
			    c, r->page, "lists a free page that is not there");
		else if (!mark(c, page))
			tell_damage(c, page, "is listed as free and in use");
	}
	return true;
}

/* Pages behind the file's end were given back before they were written. */
static void
check_end(struct check *c)
{
	for (uint64_t p = c->f->file_pages; p <= c->f->meta.last_page; p++) {
		if (!mark(c, p))
			continue;
		tell_damage(c, p, "and what is behind it is cut off");
		return;
	}
}

bool
lmdb_file_check(struct lmdb_file *f, const struct lmdb_file_visit *visit)
{
	struct check c = { .f = f, .visit = visit, .whole = true };
	struct lmdb_file_visit trees = { collect_tree, tell_damage, &c },
			       pages = { NULL, tell_damage, &c },
			       lists = { check_free, NULL, &c };
	struct lmdb_file_tree top = tree_of(&f->meta.top),
			      free_list = tree_of(&f->meta.free_list);

	if (f->meta.last_page < META_PAGES - 1 ||
	    f->meta.last_page > f->meta.map_bytes / f->page_bytes ||
	    f->meta.last_page / 8 > f->file_pages * f->page_bytes) {
		tell_damage(&c, 0, "or 1 says how long the file is, wrongly");
		return false;
	}
	c.marks = must_calloc(f->meta.last_page / 8 + 1, 1);
	buf_init(&c.list, SIZE_MAX);
	free_list.is_free_list = true;
	f->used = c.marks;
	lmdb_file_walk(f, &top, NULL, &trees);
	for (unsigned i = 0; i < c.tree_count; i++)
		lmdb_file_walk(f, &c.trees[i], NULL, &pages);
	lmdb_file_walk(f, &free_list, NULL, &pages);
	f->used = NULL;
	if (c.whole) { /* so all that is in use is known */
		lmdb_file_walk(f, &free_list, NULL, &lists);
		check_end(&c);
	}
	buf_free(&c.list);
	free(c.marks);
	return c.whole;
}

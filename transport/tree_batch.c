/*
 * Sending a batch: a thread of ours writes the tar into a pipe while the
 * provider's call reads from it. Contents go first, the control files last,
 * made from what arrived whole; the sandbox checks, applies and reads back
 * (transport/apply.sh).
 */
#include "transport/tree_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge/lib/digest.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/plan.h"
#include "transport/apply.sh.h"
#include "transport/batch_script.h"
#include "transport/listing.h"
#include "transport/putback.sh.h"
#include "transport/tar.h"

enum {
	BUFFER = 128 * 1024,
	ANSWER_LIMIT = 1 << 28,
	REFUSAL_LIMIT = 300,	/* bytes shown of what the tools said */
};

struct sending {
	struct tree *t;
	struct batch *b;
	struct batch_places places;
	int pipe[2];
	struct tar_writer *tar;
	struct hasher *hasher;
	char *buf;
	uint64_t files, bytes, wire;
	int result;
};

/* --- the tar ----------------------------------------------------------- */

static int to_pipe(void *ctx, const void *buf, size_t len)
{
	struct sending *s = ctx;

	s->wire += len;
	return io_write_full(s->pipe[1], buf, len);
}

static ssize_t from_pipe(void *ctx, void *buf, size_t len)
{
	struct sending *s = ctx;
	ssize_t n = read(s->pipe[0], buf, len);

	return n < 0 ? -errno : n;
}

static int write_member(struct sending *s, guint i)
{
	const struct batch_op *op = g_ptr_array_index(s->b->ops, i);
	struct entry e = op->entry;

	e.path = batch_place(&s->places, i)->staged;
	/* What is below a directory must get into it, and it into its place. */
	if (e.type == ENTRY_DIR)
		e.mode |= 0700;
	return tar_write_header(s->tar, &e);
}

/* Streams FD; *WHOLE says whether it was what the header promised. */
static int write_bytes(struct sending *s, struct batch_op *op, int fd,
	bool *whole)
{
	int64_t left = op->entry.size;
	int r = 0;

	while (r == 0 && left > 0) {
		ssize_t n = io_read_full(
			fd, s->buf, (size_t)MIN(left, (int64_t)BUFFER));

		if (n <= 0)
			break;
		hasher_update(s->hasher, s->buf, (size_t)n);
		r = tar_write_data(s->tar, s->buf, (size_t)n);
		left -= n;
		s->bytes += (uint64_t)n;
		if (s->b->progress)
			s->b->progress(s->b->ctx, s->bytes);
	}
	hasher_final(s->hasher, &op->entry.digest);
	*whole = left == 0;
	return r;
}

static int send_file(struct sending *s, guint i)
{
	struct batch_op *op = g_ptr_array_index(s->b->ops, i);
	int reason = -EIO;
	autofd int fd = s->b->open(s->b->ctx, op, &reason);
	struct stat st;
	bool whole = false;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size != op->entry.size) {
		op->result = BATCH_SKIPPED;
		return 0;
	}
	r = write_member(s, i);
	if (r == 0)
		r = write_bytes(s, op, fd, &whole);
	if (r < 0)
		return r;
	if (!whole || (s->b->still_same && !s->b->still_same(s->b->ctx, op)))
		op->result = BATCH_SKIPPED;
	else
		op->entry.flags |= ENTRY_HASHED;
	s->files++;
	return 0;
}

static int send_controls(struct sending *s)
{
	struct batch_script c;
	const struct {
		const char *path;
		GString **text;
	} members[] = {
		{ "c/files", &c.files }, { "c/want-files", &c.want_files },
		{ "c/dirs", &c.dirs }, { "c/want-dirs", &c.want_dirs },
		{ "c/below", &c.below }, { "c/parents", &c.parents },
		{ "c/touched", &c.touched }, { "c/do", &c.commands },
	};
	int r = 0;

	batch_script_init(&c, s->b, &s->places);
	for (size_t i = 0; r == 0 && i < G_N_ELEMENTS(members); i++)
		r = tar_write_file(s->tar, members[i].path, 0600,
			(*members[i].text)->str, (*members[i].text)->len);
	batch_script_release(&c);
	if (r == 0 && s->b->keep)
		r = tar_write_file(s->tar, "c/keep", 0600, "", 0);
	return r;
}

static int produce(struct sending *s)
{
	int r = 0;

	for (guint i = 0; r == 0 && i < s->b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(s->b->ops, i);

		if (batch_place(&s->places, i)->kind == PLACE_NONE)
			continue;
		if (op->kind == BATCH_PUT && op->entry.type == ENTRY_FILE) {
			r = send_file(s, i);
		} else {
			r = write_member(s, i);
			s->files += op->kind == BATCH_PUT;
		}
	}
	if (r == 0)
		r = send_controls(s);
	return r == 0 ? tar_writer_finish(s->tar) : r;
}

static void *run_producer(void *arg)
{
	struct sending *s = arg;
	struct sink out = { .write = to_pipe, .ctx = s };

	pthread_setname_np(pthread_self(), "pack");
	s->tar = tar_writer_new(&out, s->t->subsecond);
	s->hasher = hasher_new();
	s->buf = g_malloc(BUFFER);
	s->result = produce(s);
	tar_writer_free(s->tar);
	hasher_free(s->hasher);
	g_free(s->buf);
	close(s->pipe[1]);
	return NULL;
}

static int exchange(struct sending *s, const struct call *call,
	struct sink *out, GError **err)
{
	struct source in = { .read = from_pipe, .ctx = s };
	g_autofree char *number =
		g_strdup_printf("%" G_GUINT64_FORMAT, s->b->number);
	const char *more[] = { number, NULL };
	pthread_t thread;
	int r;

	if (pipe2(s->pipe, O_CLOEXEC) < 0)
		return fail_errno(err, -errno, "send: make a pipe");
	r = pthread_create(&thread, NULL, run_producer, s);
	if (r != 0) {
		close(s->pipe[0]);
		close(s->pipe[1]);
		return fail_errno(err, -r, "send: start a thread");
	}
	r = tree_run(s->t, "a batch", script_apply, more, call, &in, out, err);
	close(s->pipe[0]);	/* ends a producer nobody listens to */
	pthread_join(thread, NULL);
	return r;
}

/* --- the answer -------------------------------------------------------- */

struct answer_records {
	GHashTable *now;	/* path -> struct record (E, D) */
	GHashTable *old;	/* path -> struct record (O) */
	GString *errors;
};

static void free_record(gpointer data)
{
	record_clear(data);
	g_free(data);
}

static int parse_records(struct answer_records *a, const char *text,
	size_t left, bool ended)
{
	struct record r;
	int ret;

	while ((ret = record_parse(&text, &left, false, &r)) == 1) {
		if (r.kind == 'X')
			g_string_append_printf(a->errors, "%s%s",
				a->errors->len ? "; " : "", r.target);
		if (r.path) {
			struct record *own = g_memdup2(&r, sizeof(r));

			g_hash_table_replace(
				r.kind == 'O' ? a->old : a->now, own->path,
				own);
			r = (struct record){ 0 };
		}
		record_clear(&r);
	}
	/* The list of an "other" answer has no end record. */
	return ended ? ret : left == 0 ? 0 : ret;
}

static bool is_as_sent(const struct tree *t, const struct batch_op *op,
	const struct entry *now)
{
	const int64_t second = 1000000000;

	if (now->type != op->entry.type)
		return false;
	if (op->entry.type == ENTRY_LINK)
		return true;
	if (now->size != op->entry.size)
		return false;
	return t->subsecond ? now->mtime_ns == op->entry.mtime_ns
			    : now->mtime_ns / second ==
			op->entry.mtime_ns / second;
}

static bool is_old_as_expected(const struct batch_op *op,
	const struct record *old)
{
	return !old || op->expect_any || op->expect.type != ENTRY_FILE ||
		(old->e.size == op->expect.size &&
			old->e.mtime_ns == op->expect.mtime_ns);
}

static void set_remote(struct batch_op *op, const struct record *r)
{
	plan_entry_clear(&op->remote);
	if (!r)
		return;
	op->remote = r->e;
	op->remote.path = NULL;
	op->remote.target = r->e.type == ENTRY_LINK
		? g_strdup(op->kind == BATCH_PUT && op->entry.target
					? op->entry.target
					: op->expect.target ? op->expect.target
							    : "")
		: NULL;
}

/* Paths at which the batch itself puts something after its deletes. */
static GHashTable *find_refilled(const struct batch *b)
{
	GHashTable *paths = g_hash_table_new(g_str_hash, g_str_equal);

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(b->ops, i);

		if (op->kind == BATCH_PUT)
			g_hash_table_add(paths, op->path);
	}
	return paths;
}

static bool same_identity(const struct entry *a, const struct entry *b)
{
	if (a->type != b->type || a->mode != b->mode)
		return false;
	return a->type == ENTRY_DIR ||
		(a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
			a->ino == b->ino &&
			(a->type == ENTRY_LINK || a->size == b->size));
}

/* The sandbox has exactly what it had: its tools could not do it. */
static bool is_untouched(const struct batch_op *op, const struct record *now)
{
	struct entry absent = { 0 };

	return op->kind == BATCH_MOVE
		? !now : same_identity(now ? &now->e : &absent, &op->expect);
}

static void settle_op(const struct tree *t, struct batch_op *op,
	const struct answer_records *a, GHashTable *refilled)
{
	const char *at = op->kind == BATCH_MOVE ? op->to : op->path;
	const struct record *now = g_hash_table_lookup(a->now, at);
	bool done = false;

	set_remote(op, now);
	switch (op->kind) {
	case BATCH_MOVE:
		done = now && (now->e.type == op->expect.type ||
				g_hash_table_contains(refilled, op->to));
		break;
	case BATCH_DELETE:
		done = !now || g_hash_table_contains(refilled, op->path);
		break;
	case BATCH_PUT:
		done = now && is_as_sent(t, op, &now->e);
		break;
	case BATCH_MKDIR:
		done = now && now->e.type == ENTRY_DIR;
		break;
	case BATCH_CHMOD:
		done = now && now->e.type == ENTRY_FILE;
		break;
	}
	op->result = done			? BATCH_DONE
		: is_untouched(op, now)		? BATCH_REFUSED
		: op->kind == BATCH_DELETE	? BATCH_DIVERGED
						: BATCH_SKIPPED;
}

/* Somebody wrote between the check and the rename: their bytes go back into
 * place, and the next listing tells the rest of the story. */
static int put_back(struct tree *t, GPtrArray *paths, const struct call *call,
	GError **err)
{
	GString *list = tree_path_list(paths);
	struct text_source text = { .text = list->str, .len = list->len };
	struct source in = text_source(&text);
	int r = tree_run(t, "putting back", script_putback, NULL, call, &in,
		NULL, err);

	g_string_free(list, TRUE);
	return r;
}

static int take_done(struct tree *t, struct batch *b,
	const struct answer_records *a, const struct call *call, GError **err)
{
	g_autoptr(GPtrArray) raced = g_ptr_array_new();
	g_autoptr(GHashTable) refilled = find_refilled(b);
	bool undone = false;

	for (guint i = 0; i < b->ops->len; i++) {
		struct batch_op *op = g_ptr_array_index(b->ops, i);

		if (op->result != BATCH_TODO)
			continue;
		settle_op(t, op, a, refilled);
		undone |= op->result == BATCH_SKIPPED ||
			op->result == BATCH_REFUSED;
		if ((op->kind == BATCH_PUT || op->kind == BATCH_DELETE) &&
			!is_old_as_expected(op,
				g_hash_table_lookup(a->old, op->path))) {
			op->result = BATCH_DIVERGED;
			g_ptr_array_add(raced, op->path);
		}
	}
	if (undone && a->errors->len) {
		g_autofree char *line = g_strndup(a->errors->str,
			MIN(strcspn(a->errors->str, "\n"), REFUSAL_LIMIT));

		g_free(b->refusal);
		b->refusal = path_display(line);
		log_write(LOG_WARNING, "the sandbox could not apply all: %s",
			b->refusal);
	}
	return raced->len ? put_back(t, raced, call, err) : 0;
}

/* Whether a directory above PATH is none, but a link, say. */
static bool is_below_other(const struct answer_records *a, const char *path)
{
	g_autofree char *at = path_parent(path);

	while (*at) {
		const struct record *r = g_hash_table_lookup(a->now, at);
		char *up;

		if (r && r->kind == 'D' && r->e.type != ENTRY_DIR)
			return true;
		up = path_parent(at);
		g_free(at);
		at = up;
	}
	return false;
}

/* Nothing was done because something is not as expected: which. */
static int take_other(struct tree *t, struct batch *b,
	const struct answer_records *a, GError **err)
{
	g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GHashTable) emptied =
		g_hash_table_new(g_str_hash, g_str_equal);
	guint found = 0;

	/* As they were named in the check, before any is struck out. */
	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(b->ops, i);

		g_ptr_array_add(paths, batch_before_moves(b, op->path,
			op->kind == BATCH_MOVE ? i : b->ops->len));
		if (op->kind == BATCH_MOVE || op->kind == BATCH_DELETE)
			g_hash_table_add(emptied, op->path);
	}
	for (guint i = 0; i < b->ops->len; i++) {
		struct batch_op *op = g_ptr_array_index(b->ops, i);
		const struct record *now = g_hash_table_lookup(
			a->now, g_ptr_array_index(paths, i));
		const struct record *to =
			op->to && !g_hash_table_contains(emptied, op->to)
			? g_hash_table_lookup(a->now, op->to) : NULL;
		struct entry absent = { 0 };

		if (op->result != BATCH_TODO)
			continue;
		if (!is_below_other(a, g_ptr_array_index(paths, i)) &&
			(op->expect_any || (!to &&
				same_identity(now ? &now->e : &absent,
					&op->expect))))
			continue;
		set_remote(op, now);
		/* Gone already is what a delete is for. */
		op->result = op->kind == BATCH_DELETE && !now ? BATCH_DONE
							     : BATCH_DIVERGED;
		found++;
	}
	return found ? 1 : tree_garbled(t, "a batch", err);
}

/* 0: applied; 1: some diverged, the rest is to be sent again. */
static int take_answer(struct tree *t, struct batch *b, const GString *text,
	const struct call *call, GError **err)
{
	struct answer_records a = { 0 };
	const char *newline = strchr(text->str, '\n');
	g_autofree char *word = newline
		? g_strndup(text->str, (gsize)(newline - text->str))
		: g_strdup(text->str);
	bool other = !strcmp(word, "other");
	int r;

	if (!strcmp(word, "gone"))
		return tree_gone(t, err);
	if (g_str_has_prefix(word, "failed ")) {
		g_autofree char *why = path_display(word + strlen("failed "));

		return fail(err, FAIL_REMOTE,
			"the sandbox could not take a batch: %s; everything "
			"is kept here, free space or permissions there", why);
	}
	if (!newline || (!other && strcmp(word, "done")))
		return tree_garbled(t, "a batch", err);
	a.now = g_hash_table_new_full(
		g_str_hash, g_str_equal, NULL, free_record);
	a.old = g_hash_table_new_full(
		g_str_hash, g_str_equal, NULL, free_record);
	a.errors = g_string_new(NULL);
	if (parse_records(&a, newline + 1,
		    text->len - (size_t)(newline + 1 - text->str), !other) < 0)
		r = tree_garbled(t, "a batch", err);
	else
		r = other ? take_other(t, b, &a, err)
			  : take_done(t, b, &a, call, err);
	if (r == 0 && !other)
		__atomic_store_n(&t->least, b->number, __ATOMIC_RELEASE);
	g_hash_table_destroy(a.now);
	g_hash_table_destroy(a.old);
	g_string_free(a.errors, TRUE);
	return r;
}

static int send_once(struct tree *t, struct batch *b, const struct call *call,
	struct batch_stats *stats, GError **err)
{
	struct sending s = { .t = t, .b = b };
	struct answer a = {
		.text = g_string_new(NULL), .limit = ANSWER_LIMIT,
	};
	struct sink out = answer_sink(&a);
	int r;

	batch_places_init(&s.places, b);
	r = exchange(&s, call, &out, err);
	batch_places_release(&s.places);
	if (r == 0)
		r = take_answer(t, b, a.text, call, err);
	g_string_free(a.text, TRUE);
	stats->files += s.files;
	stats->bytes += s.bytes;
	stats->wire_bytes += s.wire;
	return r;
}

static guint count_todo(const struct batch *b)
{
	guint n = 0;

	for (guint i = 0; i < b->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(b->ops, i);

		n += op->result == BATCH_TODO;
	}
	return n;
}

/* A new try of a batch whose outcome is unknown: all is to be done again, but
 * for what was found diverged, and what did not arrive whole: the sandbox may
 * have gone by the first try, in which it was not. */
static void reset_results(struct batch *b)
{
	for (guint i = 0; i < b->ops->len; i++) {
		struct batch_op *op = g_ptr_array_index(b->ops, i);

		if (op->result == BATCH_REFUSED)
			op->result = BATCH_TODO;
	}
}

int tree_apply(struct tree *t, struct batch *b, const struct call *call,
	struct batch_stats *stats, GError **err)
{
	int r = 1;

	*stats = (struct batch_stats){ 0 };
	reset_results(b);
	while (r == 1 && count_todo(b))
		r = send_once(t, b, call, stats, err);
	return r < 0 ? -EIO : 0;
}

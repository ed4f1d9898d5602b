/*
 * Assets: extra directories of this machine that go to RUNTIME/KEY in the
 * sandbox, one way, links as they are or followed. What was sent is remembered
 * by stat identity, so that only changes travel the next time; what is gone
 * from the source goes there too. Assets never come back.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/mirror/state.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/plan.h"

struct assets {
	struct session *s;
	struct batch *batch;
	struct manifest *old;	/* rows as sent before */
	struct manifest *now;	/* rows to be kept; unsorted until stored */
	GHashTable *files;	/* batch_op -> absolute path (char *) */
	GHashTable *seen;	/* row paths that exist now */
	struct prepare_result *result;
	GError **err;
};

static int open_asset(void *ctx, const struct batch_op *op, int *reason)
{
	struct assets *a = ctx;
	const char *path = g_hash_table_lookup(a->files, op);
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		*reason = -errno;
	return fd;
}

/* The row as it was sent before still describes the source. */
static bool is_unchanged(const struct assets *a, const struct entry *e)
{
	const struct entry *old = manifest_find(a->old, e->path);

	return old && old->type == e->type && old->mode == e->mode &&
		(e->type == ENTRY_DIR ||
			(old->size == e->size && old->mtime_ns == e->mtime_ns &&
				old->ctime_ns == e->ctime_ns &&
				old->ino == e->ino)) &&
		g_strcmp0(old->target, e->target) == 0;
}

static void add_op(struct assets *a, const struct entry *e,
	const char *absolute)
{
	g_autofree char *path =
		path_join(a->s->options->runtime_dir, e->path);
	struct batch_op *op = batch_add(a->batch,
		e->type == ENTRY_DIR ? BATCH_MKDIR : BATCH_PUT, path);

	plan_entry_set(&op->entry, e);
	op->entry.mode &= 0777;
	op->expect_any = true;
	if (e->type == ENTRY_FILE)
		g_hash_table_insert(a->files, op, g_strdup(absolute));
}

/* One entry of the walk at ABSOLUTE, kept under ROW. */
static void take(struct assets *a, const char *row, const char *absolute,
	const struct stat *st)
{
	g_autofree char *target = NULL;
	struct entry e = { 0 };

	entry_from_stat(&e, st);
	e.path = row;
	if (e.type == ENTRY_SPECIAL || path_check(row, strlen(row)) < 0) {
		a->result->special++;
		return;
	}
	if (e.type == ENTRY_LINK) {
		char buf[PATH_MAX];
		ssize_t n = readlink(absolute, buf, sizeof(buf) - 1);

		if (n < 0)
			return;
		e.target = target = g_strndup(buf, (gsize)n);
	}
	g_hash_table_add(a->seen, g_strdup(row));
	manifest_add(a->now, &e);
	if (!is_unchanged(a, &e))
		add_op(a, &e, absolute);
}

static int walk(struct assets *a, const char *key, const char *dir,
	bool follow)
{
	char *roots[] = { (char *)dir, NULL };
	FTS *fts = fts_open(roots,
		(follow ? FTS_LOGICAL : FTS_PHYSICAL) | FTS_NOCHDIR, NULL);
	size_t skip = strlen(dir);
	FTSENT *f;

	if (!fts)
		return fail_errno(a->err, -errno, "asset %s: open %s", key,
			dir);
	while ((f = fts_read(fts))) {
		const char *rest = f->fts_path + skip;
		g_autofree char *row = NULL;

		if (f->fts_info == FTS_DP || f->fts_info == FTS_DC)
			continue;
		if (f->fts_info == FTS_DNR || f->fts_info == FTS_ERR ||
			f->fts_info == FTS_NS) {
			g_autofree char *shown = path_display(f->fts_path);

			log_write(LOG_WARNING, "asset %s: %s: %s; left out",
				key, shown, g_strerror(f->fts_errno));
			a->result->unreadable++;
			continue;
		}
		while (*rest == '/')
			rest++;
		row = *rest ? g_strconcat(key, "/", rest, NULL)
			    : g_strdup(key);
		take(a, row, f->fts_accpath, f->fts_statp);
	}
	fts_close(fts);
	return 0;
}

static int add_list(struct assets *a, char **list, bool follow)
{
	for (; *list; list++) {
		g_auto(GStrv) pair = g_strsplit(*list, "=", 2);
		struct stat st;

		if (stat(pair[1], &st) < 0)
			return fail_errno(a->err, -errno, "asset %s: %s",
				pair[0], pair[1]);
		if (!S_ISDIR(st.st_mode))
			return fail(a->err, FAIL_LOCAL,
				"asset %s: %s is not a directory", pair[0],
				pair[1]);
		if (walk(a, pair[0], pair[1], follow) < 0)
			return -EIO;
	}
	return 0;
}

static void delete_missing(struct assets *a)
{
	for (size_t i = manifest_count(a->old); i-- > 0;) {
		const struct entry *old = manifest_at(a->old, i);
		g_autofree char *path = NULL;
		struct batch_op *op;

		if (g_hash_table_contains(a->seen, old->path))
			continue;
		path = path_join(a->s->options->runtime_dir, old->path);
		op = batch_add(a->batch, BATCH_DELETE, path);
		op->entry.type = old->type;
		op->expect.type = old->type;
		op->expect_any = true;
	}
}

static int send_batch(struct assets *a)
{
	struct batch_stats stats = { 0 };
	struct call call = session_call(a->s);
	g_autofree char *last = state_get(a->s->state, "batch");
	g_autofree char *next = NULL;

	a->batch->number = (last ? strtoull(last, NULL, 10) : 0) + 1;
	next = g_strdup_printf("%" PRIu64, a->batch->number);
	if (state_set(a->s->state, "batch", next, a->err) < 0)
		return -EIO;
	if (tree_apply(a->s->tree, a->batch, &call, &stats, a->err) < 0 ||
		session_note_applied(a->s, a->err) < 0)
		return -EIO;
	for (guint i = 0; i < a->batch->ops->len; i++) {
		struct batch_op *op = g_ptr_array_index(a->batch->ops, i);
		g_autofree char *shown = path_display(op->path);

		if (op->result != BATCH_DONE && op->kind != BATCH_DELETE)
			return fail(a->err, FAIL_REMOTE,
				"asset file %s: was not stored in the sandbox; "
				"prepare again", shown);
	}
	a->result->sent_files += stats.files;
	a->result->sent_bytes += stats.bytes;
	a->result->wire_bytes += stats.wire_bytes;
	a->result->batches++;
	struct counters add = {
		.batches = 1, .files = stats.files, .bytes = stats.bytes,
	};

	session_count(a->s, &add);
	return 0;
}

int assets_send(struct session *s, struct prepare_result *r, GError **err)
{
	bool damaged = false;
	struct assets a = {
		.s = s, .batch = batch_new(1), .result = r, .err = err,
		.old = session_load_table(s, STATE_ASSETS_LOCAL, &damaged),
		.now = manifest_new(),
		.files = g_hash_table_new_full(NULL, NULL, NULL, g_free),
		.seen = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, NULL),
	};
	int ret;

	a.batch->open = open_asset;
	a.batch->ctx = &a;
	ret = add_list(&a, s->options->assets, false);
	if (ret == 0)
		ret = add_list(&a, s->options->assets_follow, true);
	if (ret == 0)
		delete_missing(&a);
	if (ret == 0 && a.batch->ops->len)
		ret = send_batch(&a);
	manifest_sort(a.now);
	if (ret == 0 && a.batch->ops->len)
		ret = state_store(s->state, STATE_ASSETS_LOCAL, a.now, err);
	batch_free(a.batch);
	manifest_free(a.old);
	manifest_free(a.now);
	g_hash_table_destroy(a.files);
	g_hash_table_destroy(a.seen);
	return ret < 0 ? -EIO : 0;
}

/*
 * Stubs in the flows: what has to be fetched before a batch, and what becomes
 * of stubs whose files the sandbox changed.
 */
#include "fs/sync/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/mirror/mirror.h"
#include "fs/mirror/state.h"
#include "fs/mirror/want.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/path.h"
#include "merge/plan.h"

/* --- before a batch --------------------------------------------------------- */

/* Each once. */
static void add_node(GArray *nodes, GHashTable *known, uint64_t id)
{
	if (!id || g_hash_table_contains(known, &id))
		return;
	g_hash_table_add(known, g_memdup2(&id, sizeof(id)));
	g_array_append_val(nodes, id);
}

/* What C overwrites or deletes in the sandbox may be the only place that has
 * the bytes of a stub: of another name, or renamed over something. */
static void add_destroyed(struct session *s, const struct mirror_change *c,
	GArray *nodes, GHashTable *known)
{
	struct entry row = { 0 };

	if (!c->acked_path || (c->path && !c->content))
		return;
	if (state_find(s->state, STATE_ACK_MIRROR, c->acked_path, &row) &&
		row.type == ENTRY_FILE)
		add_node(nodes, known,
			mirror_find_stub(s->mirror, row.ino, NULL));
	plan_entry_clear(&row);
}

int stubs_before_batch(struct session *s, const struct mirror_changes *changes,
	const struct batch *batch, GError **err)
{
	g_autoptr(GArray) nodes = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	g_autoptr(GHashTable) known = g_hash_table_new_full(
		g_int64_hash, g_int64_equal, g_free, NULL);
	uint64_t files, bytes;
	int r;

	mirror_stub_count(s->mirror, &files, &bytes);
	if (!files)
		return 0;
	for (guint i = 0; i < batch->ops->len; i++) {
		const struct batch_op *op = g_ptr_array_index(batch->ops, i);

		if (op->kind == BATCH_PUT)
			add_node(nodes, known,
				mirror_stub_at(s->mirror, op->path));
	}
	for (guint i = 0; i < changes->list->len; i++)
		add_destroyed(s, g_ptr_array_index(changes->list, i), nodes,
			known);
	if (!nodes->len)
		return 0;
	r = fetch_nodes(s, (const uint64_t *)(void *)nodes->data, nodes->len,
		err);
	for (guint i = 0; r == 0 && i < changes->list->len; i++)
		mirror_describe(s->mirror,
			g_ptr_array_index(changes->list, i));
	return r < 0 ? r : 1;
}

/* --- a refresh --------------------------------------------------------------- */

struct follow {
	struct session *s;
	const struct manifest *ack_mirror, *ack_remote;
	GHashTable *changed;	/* path -> what is listed, or NULL */
	char *root;		/* where to act: "/proc/self/fd/N" */
	int root_fd;
	GPtrArray *done;	/* paths that are dealt with */
	GHashTable *dropped;	/* paths whose rows are gone */
	GPtrArray *bared;	/* of those, rows of ack_remote that a dropped
				 * stub had covered: they come again */
};

static int remove_rows(struct follow *f, const char *path, GError **err)
{
	return state_remove(f->s->state, STATE_ACK_MIRROR, path, err) < 0 ||
			state_remove(f->s->state, STATE_ACK_REMOTE, path,
				err) < 0
		? -EIO : 0;
}

/* The stub was renamed over something else, which the sandbox still has. */
static int bare(struct follow *f, const char *path, GError **err)
{
	const struct entry *covered = manifest_find(f->ack_remote, path);

	if (!covered || g_hash_table_contains(f->changed, path))
		return 0;
	g_ptr_array_add(f->bared, (gpointer)covered);
	g_hash_table_add(f->dropped, (gpointer)covered->path);
	return remove_rows(f, covered->path, err);
}

/* Every name of the stub goes; what it stood for is gone. */
static int drop_stub(struct follow *f, uint64_t ino, const char *row_path,
	GError **err)
{
	char *path = NULL;
	int r = 0;

	while (r == 0 && mirror_find_stub(f->s->mirror, ino, &path)) {
		r = beneath_unlink(f->root_fd, path, 0);
		/* Unmounted, the node table learns of it by a reload. */
		if (r == 0 && strcmp(path, row_path) &&
			bare(f, path, err) < 0) {
			g_free(path);
			return -EIO;
		}
		if (r == 0 && !f->s->mounted_at)
			r = 1;
		g_clear_pointer(&path, g_free);
	}
	g_free(path);
	if (r < 0)
		return fail_errno(err, r, "remove a file that the sandbox "
			"removed");
	return remove_rows(f, row_path, err);
}

/* The rows first: what an interruption leaves on disk is put right by them. */
static int store_rows(struct follow *f, const struct entry *row,
	const struct entry *listed, GError **err)
{
	struct state *state = f->s->state;
	int r;

	if (state_begin(state, err) < 0)
		return -EIO;
	r = state_put(state, STATE_ACK_MIRROR, row, err);
	if (r == 0)
		r = state_put(state, STATE_ACK_REMOTE, listed, err);
	if (r < 0) {
		state_rollback(state);
		return r;
	}
	return state_commit(state, err);
}

/* Size, mtime and (unless the mount's user changed it) mode of the stub at
 * PATH. */
static int set_stub(struct follow *f, const char *path,
	const struct entry *was, const struct entry *listed)
{
	g_autofree char *whole = g_strdup_printf("%s/%s", f->root, path);
	struct stat st;
	int r = beneath_stat(f->root_fd, path, &st);

	if (r < 0)
		return r;
	if (truncate(whole, listed->size) < 0)
		return -errno;
	if ((st.st_mode & 0777) == (was->mode & 0777u))
		r = beneath_chmod(f->root_fd, path, (listed->mode & 0777u) |
			(listed->size ? st.st_mode & S_ISVTX : 0));
	return r < 0 ? r : beneath_set_mtime(
				   f->root_fd, path, listed->mtime_ns);
}

/* The stub stands for the new version from now on. */
static int turn_stub(struct follow *f, const struct entry *was,
	const struct entry *listed, GError **err)
{
	g_autofree char *path = NULL;
	struct entry row = *was;
	int r;

	if (!mirror_find_stub(f->s->mirror, was->ino, &path))
		return 0;
	row.size = listed->size;
	row.mtime_ns = listed->mtime_ns;
	row.mode = listed->mode & 0777;
	row.flags = 0;
	r = store_rows(f, &row, listed, err);
	if (r < 0)
		return r;
	r = set_stub(f, path, was, listed);
	if (r < 0) {
		g_autofree char *shown = path_display(path);

		return fail_errno(err, r, "refresh %s", shown);
	}
	return 0;
}

static int follow_one(struct follow *f, const char *path,
	const struct entry *listed, GError **err)
{
	const struct entry *was = manifest_find(f->ack_mirror, path);
	bool turned = listed && listed->type == ENTRY_FILE;
	int r;

	if (!was || was->type != ENTRY_FILE ||
		!mirror_find_stub(f->s->mirror, was->ino, NULL))
		return 0;
	r = turned ? turn_stub(f, was, listed, err)
		   : drop_stub(f, was->ino, path, err);
	if (r == 0 && (turned || !listed))
		g_ptr_array_add(f->done, (gpointer)path);
	if (r == 0 && !turned)
		g_hash_table_add(f->dropped, (gpointer)path);
	return r;
}

static int follow_all(struct follow *f, GError **err)
{
	GHashTableIter it;
	gpointer path, listed;
	int r = 0;

	g_hash_table_iter_init(&it, f->changed);
	while (r == 0 && g_hash_table_iter_next(&it, &path, &listed))
		r = follow_one(f, path, listed, err);
	return r;
}

/* TABLE without the dropped ones. */
static void forget_rows(const struct follow *f, struct manifest **table)
{
	struct manifest *kept;

	if (!g_hash_table_size(f->dropped))
		return;
	kept = manifest_new();
	for (size_t i = 0; i < manifest_count(*table); i++) {
		const struct entry *e = manifest_at(*table, i);

		if (!g_hash_table_contains(f->dropped, e->path))
			manifest_add(kept, e);
	}
	manifest_sort(kept);
	manifest_free(*table);
	*table = kept;
}

int stubs_follow(struct session *s, struct manifest **ack_mirror,
	const struct manifest *ack_remote, GHashTable *changed, GError **err)
{
	struct follow f = {
		.s = s, .ack_mirror = *ack_mirror, .ack_remote = ack_remote,
		.changed = changed, .bared = g_ptr_array_new(),
		.root_fd = s->mirror_fd, .done = g_ptr_array_new(),
		.dropped = g_hash_table_new(g_str_hash, g_str_equal),
	};
	autofd int mount_fd = -1;
	uint64_t files, bytes;
	int r = session_load(s, err);

	if (r == 0)
		mirror_stub_count(s->mirror, &files, &bytes);
	if (r == 0 && files && s->mounted_at) {
		mount_fd = open(s->mounted_at,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		f.root_fd = mount_fd;
		if (mount_fd < 0)
			r = fail_errno(err, -errno, "open the mount at %s",
				s->mounted_at);
	}
	if (r == 0 && files) {
		f.root = g_strdup_printf("/proc/self/fd/%d", f.root_fd);
		__atomic_store_n(&s->refresh_tid, (int)syscall(SYS_gettid),
			__ATOMIC_RELEASE);
		r = follow_all(&f, err);
		__atomic_store_n(&s->refresh_tid, 0, __ATOMIC_RELEASE);
	}
	for (guint i = 0; i < f.done->len; i++)
		g_hash_table_remove(changed, g_ptr_array_index(f.done, i));
	for (guint i = 0; i < f.bared->len; i++) {
		const struct entry *e = g_ptr_array_index(f.bared, i);

		g_hash_table_insert(
			changed, (gpointer)e->path, (gpointer)e);
	}
	forget_rows(&f, ack_mirror);
	/* Below the node table's back. */
	if (r == 0 && !s->mounted_at && (f.done->len ||
					g_hash_table_size(f.dropped)))
		r = session_reload_mirror(s, err);
	g_ptr_array_free(f.done, TRUE);
	g_ptr_array_free(f.bared, TRUE);
	g_hash_table_destroy(f.dropped);
	g_free(f.root);
	return r < 0 ? -EIO : 0;
}

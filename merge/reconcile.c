/*
 * The walk: all four manifests in step, path by path, each row decided on its
 * own where both sides are files, links or nothing, and together with what is
 * below where a directory is involved.
 */
#include "merge/reconcile_internal.h"

#include <string.h>

#include "merge/diff.h"
#include "merge/exclude.h"
#include "merge/lib/path.h"

bool same_content(const struct entry *a, const struct entry *b)
{
	if (!a || !b)
		return a == b;
	if (a->type != b->type)
		return false;
	if ((a->flags | b->flags) & ENTRY_UNREADABLE)
		return true;
	return entry_same_content(a, b);
}

enum change content_change(const struct entry *was, const struct entry *is)
{
	if (!was)
		return is ? ADDED : SAME;
	if (!is)
		return DELETED;
	return same_content(was, is) ? SAME : MODIFIED;
}

bool perm_changed(const struct entry *was, const struct entry *is)
{
	return was && is && was->type != ENTRY_LINK && is->type != ENTRY_LINK &&
		entry_perm(was) != entry_perm(is);
}

const char *kind_of(const struct entry *e)
{
	switch ((enum entry_type)(e ? e->type : ENTRY_FILE)) {
	case ENTRY_DIR:
		return "dir";
	case ENTRY_LINK:
		return "link";
	case ENTRY_SPECIAL:
		return "special";
	case ENTRY_ABSENT:
	case ENTRY_FILE:
		break;
	}
	return "file";
}

static bool is_type(const struct entry *e, enum entry_type type)
{
	return e && e->type == type;
}

static struct row row_of(const struct diff_step *s)
{
	return (struct row){
		.path = s->path, .bo = s->at[0], .bt = s->at[1],
		.o = s->at[2], .t = s->at[3],
	};
}

struct row row_at(const struct reconcile_input *in, const char *path)
{
	return (struct row){
		.path = path,
		.bo = manifest_find(in->base_ours, path),
		.bt = manifest_find(in->base_theirs, path),
		.o = manifest_find(in->ours, path),
		.t = manifest_find(in->theirs, path),
	};
}

/* --- subtrees ------------------------------------------------------------ */

/* Whether anything below DIR differs between two manifests. */
static bool subtree_changed(const struct manifest *was,
	const struct manifest *is, const char *dir)
{
	const struct manifest *sides[] = { was, is };
	struct diff d;
	struct diff_step s;

	diff_init_n(&d, sides, 2);
	d.next[0] = manifest_lower_bound(was, dir);
	d.next[1] = manifest_lower_bound(is, dir);
	while (diff_next(&d, &s) && path_is_within(s.path, dir))
		if (strcmp(s.path, dir) &&
			content_change(s.a, s.b) != SAME)
			return true;
	return false;
}

/* Their subtree at DIR (or only what changed of it) as a copy beside. */
static void copy_tree(struct rec *r, const struct row *w, bool changed_only,
	const char *why)
{
	const struct reconcile_input *in = r->in;
	g_autofree char *root =
		conflict_copy_path(w->path, in->name, 1, in->name_max);
	size_t i = manifest_lower_bound(in->theirs, w->path);
	struct plan_op *op = plan_add(r->main, PLAN_MKDIR, root);

	plan_entry_set(&op->after, w->t);
	op->list = PLAN_CONFLICTS;
	op->kind = "dir";
	op->word = "copied";
	op->subject = g_strdup(w->path);
	op->copy = g_strdup(root);
	op->why = g_strdup(why);
	for (i++; i < manifest_count(in->theirs); i++) {
		const struct entry *t = manifest_at(in->theirs, i);
		g_autofree char *to = NULL;

		if (!path_is_within(t->path, w->path))
			break;
		if (t->type == ENTRY_SPECIAL || (t->type != ENTRY_DIR &&
				changed_only &&
				content_change(manifest_find(in->base_theirs,
						       t->path), t) == SAME))
			continue;
		/* Unchanged directories come only as parents. */
		if (t->type == ENTRY_DIR && changed_only)
			continue;
		to = path_rebase(t->path, w->path, root);
		op = plan_add(r->main,
			t->type == ENTRY_DIR ? PLAN_MKDIR : PLAN_PUT, to);
		plan_entry_set(&op->after, t);
		if (t->type == ENTRY_FILE)
			op->after.mode &= 0666;
		op->from = g_strdup(t->path);
		op->subject = g_strdup(w->path);
		op->kind = kind_of(t);
		op->word = "copied";
	}
}

/* --- directories ---------------------------------------------------------- */

/* Both have the directory: its mode. */
static void merge_dir_mode(struct rec *r, const struct row *w)
{
	bool ours = perm_changed(w->bo, w->o), theirs =
		perm_changed(w->bt, w->t);
	struct plan_op *op;

	if (!theirs || entry_perm(w->o) == entry_perm(w->t))
		return;
	if (ours) {
		report(r, w->path, w->o, PLAN_KEPT_LOCAL, "mode",
			"both changed its permissions");
		return;
	}
	op = plan_add(r->main, PLAN_CHMOD, w->path);
	plan_entry_set(&op->before, w->o);
	plan_entry_set(&op->after, w->t);
	op->list = PLAN_APPLIED;
	op->kind = "dir";
	op->word = "mode";
}

/* Only they have it. */
static void take_their_dir(struct rec *r, const struct row *w)
{
	struct plan_op *op;

	if (w->bt) {
		/* We deleted it; what is below asks for it if need be. */
		if (w->bt->type == ENTRY_DIR)
			return;
	}
	if (g_hash_table_contains(r->made, w->path))
		return;		/* for a file that was renamed into it */
	need_parents(r, w->path);
	op = plan_add(r->main, PLAN_MKDIR, w->path);
	plan_entry_set(&op->after, w->t);
	op->list = PLAN_APPLIED;
	op->kind = "dir";
	op->word = "created";
	g_hash_table_add(r->made, (gpointer)w->path);
}

/* Only we have it. */
static void settle_our_dir(struct rec *r, const struct row *w)
{
	if (w->bo && w->bo->type == ENTRY_DIR)
		delete_ours(r, w, r->late);	/* if it is empty by then */
}

/* Ours is a file, link or special file; theirs a directory. True: what is
 * below was dealt with. */
static bool file_against_dir(struct rec *r, const struct row *w)
{
	const struct reconcile_input *in = r->in;
	bool base_is_dir = is_type(w->bo, ENTRY_DIR);
	struct plan_op *op;

	if (w->o->flags & ENTRY_UNREADABLE) {
		r->incomplete = true;
		report(r, w->path, w->o, PLAN_HELD, "held",
			"cannot be read here");
		return true;
	}
	if (base_is_dir) {
		/* We replaced a directory. */
		if (subtree_changed(in->base_theirs, in->theirs, w->path) &&
			in->on_conflict != CONFLICT_OURS)
			copy_tree(r, w, true,
				"you replaced the directory, the sandbox "
				"changed files in it");
		return true;
	}
	if (w->bo && same_content(w->bo, w->o)) {
		op = plan_add(r->main, PLAN_MKDIR, w->path);
		plan_entry_set(&op->before, w->o);
		plan_entry_set(&op->after, w->t);
		op->list = PLAN_APPLIED;
		op->kind = "dir";
		op->word = "written";
		op->why = g_strdup("became a directory in the sandbox");
		g_hash_table_add(r->made, (gpointer)w->path);
		return false;
	}
	if (in->on_conflict != CONFLICT_OURS)
		copy_tree(r, w, false,
			"a directory in the sandbox, a file here");
	return true;
}

/* Everything of ours below DIR goes, children first. */
static void clear_our_tree(struct rec *r, const char *dir)
{
	const struct manifest *ours = r->in->ours;
	size_t first = manifest_lower_bound(ours, dir) + 1, i = first;

	while (i < manifest_count(ours) &&
		path_is_within(manifest_at(ours, i)->path, dir))
		i++;
	while (i-- > first) {
		struct row w = row_at(r->in, manifest_at(ours, i)->path);

		delete_ours(r, &w, r->early);
	}
}

/* Ours is a directory; theirs a file, link or special file. */
static bool dir_against_file(struct rec *r, const struct row *w)
{
	const struct reconcile_input *in = r->in;
	struct plan_op *op;

	if (w->t->type == ENTRY_SPECIAL) {
		report(r, w->path, w->t, PLAN_HELD, "held",
			"a special file in the sandbox is never created");
		return true;
	}
	if (w->bt && w->bt->type != ENTRY_DIR && same_content(w->bt, w->t))
		return true;	/* only we changed it */
	if (is_type(w->bo, ENTRY_DIR) &&
		!subtree_changed(in->base_ours, in->ours, w->path)) {
		clear_our_tree(r, w->path);
		op = put_theirs(r, w, "written");
		if (op)
			op->gate_deletion = true;
		return true;
	}
	put_copy(r, w, "a file in the sandbox, a directory here");
	return true;
}

/* Something in the row is or was a directory on a side. True: what is below
 * was dealt with, too. */
static bool reconcile_dir(struct rec *r, const struct row *w)
{
	bool od = is_type(w->o, ENTRY_DIR), td = is_type(w->t, ENTRY_DIR);

	if (od && (w->o->flags & ENTRY_UNREADABLE)) {
		if (subtree_changed(r->in->base_theirs, r->in->theirs,
			    w->path)) {
			r->incomplete = true;
			report(r, w->path, w->o, PLAN_HELD, "held",
				"cannot be read here");
		}
		return true;
	}
	if (od && td)
		merge_dir_mode(r, w);
	else if (td && !w->o)
		take_their_dir(r, w);
	else if (od && !w->t)
		settle_our_dir(r, w);
	else if (td)
		return file_against_dir(r, w);
	else
		return dir_against_file(r, w);
	if (od)
		g_hash_table_add(r->made, (gpointer)w->path);
	return false;
}

/* --- .git ------------------------------------------------------------------ */

/* Whether PATH is the ".git" directory of a repository. */
static bool is_git_dir(const struct row *w)
{
	return !strcmp(path_name(w->path), ".git") &&
		(is_type(w->o, ENTRY_DIR) || is_type(w->t, ENTRY_DIR));
}

/* The index changes by merely looking (git status): that is no work. */
static bool is_git_noise(const char *dir, const char *path)
{
	const char *rest = path + strlen(dir);

	return !strcmp(rest, "/index") || g_str_has_suffix(rest, ".lock") ||
		!strcmp(rest, "/FETCH_HEAD") ||
		!strcmp(rest, "/COMMIT_EDITMSG");
}

static bool git_changed(const struct manifest *was, const struct manifest *is,
	const char *dir)
{
	const struct manifest *sides[] = { was, is };
	struct diff d;
	struct diff_step s;

	diff_init_n(&d, sides, 2);
	d.next[0] = manifest_lower_bound(was, dir);
	d.next[1] = manifest_lower_bound(is, dir);
	while (diff_next(&d, &s) && path_is_within(s.path, dir)) {
		bool dirs = (!s.a || s.a->type == ENTRY_DIR) &&
			(!s.b || s.b->type == ENTRY_DIR);

		if (!dirs && !is_git_noise(dir, s.path) &&
			content_change(s.a, s.b) != SAME)
			return true;
	}
	return false;
}

/* A lock of git's own, in a .git directory. */
static bool is_git_lock(const char *path)
{
	return g_str_has_suffix(path, ".lock");
}

/* A git at work here: its lock below DIR, or NULL. */
static const char *find_git_lock(const struct manifest *m, const char *dir)
{
	for (size_t i = manifest_lower_bound(m, dir); i < manifest_count(m);
		i++) {
		const struct entry *e = manifest_at(m, i);

		if (!path_is_within(e->path, dir))
			break;
		if (e->type == ENTRY_FILE && is_git_lock(e->path))
			return e->path;
	}
	return NULL;
}

/* Nothing is written into a repository that somebody else writes: everything
 * that they did there waits, with its old baseline. */
static void hold_git(struct rec *r, const char *dir, const char *lock)
{
	const struct manifest *sides[] = { r->in->base_theirs, r->in->theirs };
	g_autofree char *why = g_strdup_printf("git is at work here (%s); "
		"restore again when it has ended", lock);
	struct diff d;
	struct diff_step s;

	diff_init_n(&d, sides, 2);
	d.next[0] = manifest_lower_bound(sides[0], dir);
	d.next[1] = manifest_lower_bound(sides[1], dir);
	while (diff_next(&d, &s) && path_is_within(s.path, dir))
		if (content_change(s.a, s.b) != SAME)
			report(r, s.path, s.b ? s.b : s.a, PLAN_HELD, "held",
				why);
}

/* True when the unit is settled as a whole. */
static bool reconcile_git(struct rec *r, const struct row *w)
{
	const struct reconcile_input *in = r->in;
	bool ours = git_changed(in->base_ours, in->ours, w->path);
	bool theirs = git_changed(in->base_theirs, in->theirs, w->path);
	const char *lock = theirs ? find_git_lock(in->ours, w->path) : NULL;
	struct plan_op *op;

	if (lock) {
		hold_git(r, w->path, lock);
		return true;
	}
	if (!ours || !w->o)
		return false;	/* theirs, file by file */
	if (!theirs || !w->t)
		return true;
	op = plan_add(r->main, PLAN_GIT, w->path);
	plan_entry_set(&op->before, w->o);
	op->list = PLAN_MERGED;
	op->kind = "git";
	op->word = "united";
	op->why = g_strdup_printf("both sides changed the repository; the "
		"sandbox's branches are under refs/sandmount/%s", in->name);
	return true;
}

/* Whether PATH is a lock within a .git directory: those of a git that runs in
 * the sandbox, or was killed there, must not stop the one here. */
static bool is_lock_in_git(const char *path)
{
	const char *at = strstr(path, ".git/");

	return at && (at == path || at[-1] == '/') && is_git_lock(path);
}

/* In a repository that only they worked in, our index is as if unchanged. */
static struct row without_git_noise(const struct rec *r, const struct row *w)
{
	const char *at = strstr(w->path, ".git/");
	struct row own = *w;

	if (r->in->git_per_file || !at || !w->o || !w->bo ||
		w->o->type != ENTRY_FILE || w->bo->type != ENTRY_FILE ||
		(at != w->path && at[-1] != '/'))
		return own;
	g_autofree char *dir =
		g_strndup(w->path, (gsize)(at - w->path) + 4);

	if (is_git_noise(dir, w->path))
		own.bo = w->o;
	return own;
}

/* --- the walk --------------------------------------------------------------- */

static bool touches_dir(const struct row *w)
{
	return is_type(w->o, ENTRY_DIR) || is_type(w->t, ENTRY_DIR);
}

/* True: skip what is below. */
static bool reconcile_row(struct rec *r, const struct row *given)
{
	struct row w = *given;

	if (exclude_match(r->in->exclude, w.path, touches_dir(&w)))
		return touches_dir(&w);
	if (!r->in->git_per_file && is_git_dir(&w) && reconcile_git(r, &w))
		return true;
	if (touches_dir(&w))
		return reconcile_dir(r, &w);
	if (!r->in->git_per_file && is_lock_in_git(w.path))
		return false;
	w = without_git_noise(r, &w);
	if (!is_renamed(r, w.path))
		reconcile_file(r, &w);
	else if (g_hash_table_contains(r->leaving, w.path))
		delete_ours(r, &w, r->late);
	return false;
}

struct plan *reconcile(const struct reconcile_input *in)
{
	const struct manifest *sides[] = { in->base_ours, in->base_theirs,
		in->ours, in->theirs };
	struct rec r = {
		.in = in,
		.early = plan_new(), .main = plan_new(), .late = plan_new(),
		.made = g_hash_table_new(g_str_hash, g_str_equal),
		.done = g_hash_table_new(g_str_hash, g_str_equal),
		.leaving = g_hash_table_new(g_str_hash, g_str_equal),
		.incomplete = in->gates.base_damaged,
	};
	struct diff d;
	struct diff_step s;
	struct plan *p;

	reconcile_renames(&r);
	diff_init_n(&d, sides, 4);
	while (diff_next(&d, &s)) {
		struct row w = row_of(&s);

		if (reconcile_row(&r, &w))
			diff_skip_below(&d);
	}
	fix_names(&r);
	p = finish_plan(&r);
	g_hash_table_destroy(r.made);
	g_hash_table_destroy(r.done);
	g_hash_table_destroy(r.leaving);
	g_hash_table_destroy(r.ours_renames);
	g_hash_table_destroy(r.theirs_renames);
	return p;
}

/*
 * .git changed on both sides: ours stays. Their objects and packs that we lack
 * are added (they are named by content and never change), and their branches
 * become refs/sandmount/NAME/BRANCH, so that no commit is lost: also what only
 * a detached HEAD, a stash or a tag leads to, as .../HEAD, .../stash and
 * .../tags/TAG. The same for the repositories of submodules inside.
 */
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <string.h>
#include <unistd.h>

#include "merge/apply_internal.h"
#include "merge/git_library.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

enum { REF_LIMIT = 1 << 22, SHA1_HEX = 40, SHA256_HEX = 64 };

struct unit {
	struct plan *plan;
	const struct apply_options *o;
	const char *dir;	/* ".../.git" */
	unsigned staged;
	GError **err;
};

/* A small file's text, or NULL. SIDE: theirs, or else ours. */
static char *read_text(const struct unit *u, const char *path, bool theirs)
{
	const struct content *c = u->o->content;
	autofd int fd = theirs
		? c->open_theirs(c->ctx, path, NULL, NULL)
		: beneath_open(u->o->root_fd, path, O_RDONLY, 0);
	char *text;
	ssize_t n;

	if (fd < 0)
		return NULL;
	text = g_malloc0(REF_LIMIT + 1);
	n = io_read_full(fd, text, REF_LIMIT);
	if (n < 0)
		g_clear_pointer(&text, g_free);
	return text;
}

static bool is_oid(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return s[n] == '\0' && (n == SHA1_HEX || n == SHA256_HEX);
}

static char *unit_path(const struct unit *u, const char *rest)
{
	return g_strconcat(u->dir, "/", rest, NULL);
}

/* --- objects ------------------------------------------------------------- */

static void add_objects(struct unit *u)
{
	g_autofree char *objects = unit_path(u, "objects");
	const struct manifest *theirs = u->o->theirs;
	size_t i = manifest_lower_bound(theirs, objects);

	for (; i < manifest_count(theirs); i++) {
		const struct entry *t = manifest_at(theirs, i);
		struct plan_op *op;

		if (!path_is_within(t->path, objects))
			break;
		if (t->type != ENTRY_FILE ||
			manifest_find(u->o->ours, t->path) ||
			g_str_has_suffix(t->path, "/info/alternates"))
			continue;
		op = plan_add(u->plan, PLAN_PUT, t->path);
		plan_entry_set(&op->after, t);
		op->from = g_strdup(t->path);
		op->kind = "git";
		op->word = "united";
	}
}

/* --- refs ------------------------------------------------------------------ */

/* What NAME (refs/…) of theirs is called below refs/sandmount/SESSION/, or NULL
 * when it is not kept. */
static const char *kept_name(const char *name)
{
	if (g_str_has_prefix(name, "refs/heads/"))
		return name + strlen("refs/heads/");
	if (g_str_has_prefix(name, "refs/tags/") ||
		!strcmp(name, "refs/stash"))
		return name + strlen("refs/");
	return !strcmp(name, "HEAD") ? name : NULL;
}

static void read_packed(const struct unit *u, bool theirs, GHashTable *refs)
{
	g_autofree char *path = unit_path(u, "packed-refs");
	g_autofree char *packed = read_text(u, path, theirs);
	g_auto(GStrv) lines = g_strsplit(packed ? packed : "", "\n", -1);

	for (char **l = lines; *l; l++) {
		char *name = strchr(*l, ' ');

		if (!name || **l == '#' || **l == '^')
			continue;
		*name++ = '\0';
		if (is_oid(*l) && kept_name(name))
			g_hash_table_replace(
				refs, g_strdup(name), g_strdup(*l));
	}
}

/* One loose reference, when it is no symbolic one. */
static void read_loose(const struct unit *u, bool theirs, const char *path,
	GHashTable *refs)
{
	g_autofree char *text = read_text(u, path, theirs);
	const char *name = path + strlen(u->dir) + 1;

	if (text && is_oid(g_strstrip(text)) && kept_name(name))
		g_hash_table_replace(refs, g_strdup(name), g_strdup(text));
}

/* NAME (refs/heads/…, HEAD where it is detached) -> oid, of a side. */
static GHashTable *read_refs(const struct unit *u, bool theirs)
{
	GHashTable *refs = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, g_free);
	const struct manifest *m = theirs ? u->o->theirs : u->o->ours;
	g_autofree char *head = unit_path(u, "HEAD");
	g_autofree char *dir = unit_path(u, "refs");

	read_packed(u, theirs, refs);
	for (size_t i = manifest_lower_bound(m, dir); i < manifest_count(m);
		i++) {
		const struct entry *e = manifest_at(m, i);

		if (!path_is_within(e->path, dir))
			break;
		if (e->type == ENTRY_FILE)
			read_loose(u, theirs, e->path, refs);
	}
	read_loose(u, theirs, head, refs);
	return refs;
}

static int stage_ref(struct unit *u, size_t index, const char *oid,
	char **name)
{
	g_autofree char *text = g_strconcat(oid, "\n", NULL);
	autofd int fd = -1;
	int r;

	*name = g_strdup_printf("ref-%zu-%u", index, u->staged++);
	beneath_unlink(u->o->staging_fd, *name, 0);
	fd = beneath_open(u->o->staging_fd, *name,
		O_WRONLY | O_CREAT | O_EXCL, 0600);
	r = fd < 0 ? fd : io_write_full(fd, text, strlen(text));
	return r < 0 ? fail_errno(u->err, r, "keep a reference") : 0;
}

static int add_ref(struct unit *u, size_t index, const char *ref,
	const char *oid)
{
	g_autofree char *name = g_strdup_printf("refs/sandmount/%s/%s",
		u->o->name, kept_name(ref));
	g_autofree char *path = unit_path(u, name);
	g_autofree char *text = g_strconcat(oid, "\n", NULL);
	const struct entry *ours = manifest_find(u->o->ours, path);
	struct plan_op *op;
	int valid = 0;

	git_library_start();
	git_reference_name_is_valid(&valid, name);
	if (!valid || path_check(path, strlen(path)) < 0)
		return 0;
	op = plan_add(u->plan, PLAN_PUT, path);
	plan_entry_set(&op->before, ours);
	op->after = (struct entry){
		.type = ENTRY_FILE, .mode = 0644, .flags = ENTRY_HASHED,
		.size = (int64_t)strlen(text), .mtime_ns = io_wall_ns(),
	};
	digest_bytes(text, strlen(text), &op->after.digest);
	op->source = PLAN_FROM_STAGED;
	op->kind = "git";
	op->word = "united";
	return stage_ref(u, index, oid, &op->from);
}

static int add_refs(struct unit *u, size_t index)
{
	g_autoptr(GHashTable) theirs = read_refs(u, true);
	g_autoptr(GHashTable) ours = read_refs(u, false);
	GHashTableIter it;
	gpointer ref, oid;
	int r = 0;

	g_hash_table_iter_init(&it, theirs);
	while (r == 0 && g_hash_table_iter_next(&it, &ref, &oid))
		if (g_strcmp0(g_hash_table_lookup(ours, ref), oid))
			r = add_ref(u, index, ref, oid);
	return r;
}

/* A repository: has HEAD and a directory for objects. */
static bool is_repository(const struct manifest *m, const char *dir)
{
	g_autofree char *head = g_strconcat(dir, "/HEAD", NULL);
	g_autofree char *objects = g_strconcat(dir, "/objects", NULL);
	const struct entry *e = manifest_find(m, objects);

	return e && e->type == ENTRY_DIR && manifest_find(m, head);
}

/* TOP and the submodules' repositories inside it; a set of paths. */
static GPtrArray *find_repositories(const struct manifest *m, const char *top)
{
	GPtrArray *dirs = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *modules = g_strconcat(top, "/modules", NULL);

	g_ptr_array_add(dirs, g_strdup(top));
	for (size_t i = manifest_lower_bound(m, modules);
		i < manifest_count(m); i++) {
		const struct entry *e = manifest_at(m, i);

		if (!path_is_within(e->path, modules))
			break;
		if (e->type == ENTRY_DIR && is_repository(m, e->path))
			g_ptr_array_add(dirs, g_strdup(e->path));
	}
	return dirs;
}

int resolve_git(struct plan *p, size_t i, const struct apply_options *o,
	GError **err)
{
	struct unit u = { .plan = p, .o = o, .err = err };
	g_autoptr(GPtrArray) dirs = NULL;
	int r = 0;

	plan_at(p, i)->action = PLAN_REPORT;
	if (!o->theirs || !o->ours)
		return 0;
	dirs = find_repositories(o->theirs, plan_at(p, i)->path);
	for (guint k = 0; r == 0 && k < dirs->len; k++) {
		u.dir = g_ptr_array_index(dirs, k);
		add_objects(&u);
		r = add_refs(&u, i);
	}
	return r;
}

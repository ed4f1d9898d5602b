/*
 * .git changed on both sides: ours stays. Their objects and packs that we lack
 * are added (they are named by content and never change), and their branches
 * become refs/sandmount/NAME/BRANCH, so that no commit is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <git2.h>
#include <string.h>
#include <unistd.h>

#include "merge/apply_internal.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"

enum { REF_LIMIT = 1 << 22, OID_HEX = 40 };

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
	for (int i = 0; i < OID_HEX; i++)
		if (!g_ascii_isxdigit(s[i]))
			return false;
	return s[OID_HEX] == '\0';
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

/* NAME (refs/heads/…) -> oid, from loose files and packed-refs of a side. */
static GHashTable *read_refs(const struct unit *u, bool theirs)
{
	GHashTable *refs = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, g_free);
	const struct manifest *m = theirs ? u->o->theirs : u->o->ours;
	g_autofree char *heads = unit_path(u, "refs/heads");
	g_autofree char *packed_path = unit_path(u, "packed-refs");
	g_autofree char *packed = read_text(u, packed_path, theirs);
	g_auto(GStrv) lines = g_strsplit(packed ? packed : "", "\n", -1);

	for (char **l = lines; *l; l++) {
		char *name = strchr(*l, ' ');

		if (!name || **l == '#' || **l == '^')
			continue;
		*name++ = '\0';
		if (is_oid(*l) && g_str_has_prefix(name, "refs/heads/"))
			g_hash_table_replace(
				refs, g_strdup(name), g_strdup(*l));
	}
	for (size_t i = manifest_lower_bound(m, heads);
		i < manifest_count(m); i++) {
		const struct entry *e = manifest_at(m, i);
		g_autofree char *text = NULL;

		if (!path_is_within(e->path, heads))
			break;
		if (e->type != ENTRY_FILE)
			continue;
		text = read_text(u, e->path, theirs);
		if (text && is_oid(g_strstrip(text)))
			g_hash_table_replace(refs,
				g_strdup(e->path + strlen(u->dir) + 1),
				g_strdup(text));
	}
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
		u->o->name, ref + strlen("refs/heads/"));
	g_autofree char *path = unit_path(u, name);
	g_autofree char *text = g_strconcat(oid, "\n", NULL);
	const struct entry *ours = manifest_find(u->o->ours, path);
	struct plan_op *op;
	int valid = 0;

	git_libgit2_init();
	git_reference_name_is_valid(&valid, name);
	git_libgit2_shutdown();
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

int resolve_git(struct plan *p, size_t i, const struct apply_options *o,
	GError **err)
{
	g_autofree char *dir = g_strdup(plan_at(p, i)->path);
	struct unit u = { .plan = p, .o = o, .dir = dir, .err = err };

	plan_at(p, i)->action = PLAN_REPORT;
	if (!o->theirs || !o->ours)
		return 0;
	add_objects(&u);
	return add_refs(&u, i);
}

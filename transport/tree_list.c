#include "transport/tree_internal.h"

#include <errno.h>
#include <string.h>

#include "merge/exclude.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "transport/again.sh.h"
#include "transport/list.sh.h"
#include "transport/listing.h"

/* Some three million entries; what is not a listing at all must not take the
 * memory of this machine. */
enum {
	LISTING_LIMIT = 1 << 29,
	LISTING_TRIES = 6,
	BUSY_WAIT_US = 500000,
};

void tree_listing_free(struct tree_listing *l)
{
	if (!l)
		return;
	manifest_free(l->entries);
	if (l->gone)
		g_ptr_array_free(l->gone, TRUE);
	g_free(l->id);
	g_free(l);
}

/* What the records say before it is put together. */
struct build {
	const struct exclude *exclude;
	GPtrArray *entries;	 /* struct record */
	GHashTable *links;	 /* path -> target, of records that are kept */
	GHashTable *unreadable;	 /* paths */
	GHashTable *present;	 /* paths of `entries` */
	GPtrArray *minus;	 /* char *, of "-E" records */
};

static void free_record(gpointer data)
{
	record_clear(data);
	g_free(data);
}

static void take_record(struct build *b, struct record *r)
{
	if (r->kind == 'E' && r->sign == '-') {
		g_ptr_array_add(b->minus, g_steal_pointer(&r->path));
	} else if (r->kind == 'E') {
		struct record *own = g_memdup2(r, sizeof(*r));

		g_ptr_array_add(b->entries, own);
		g_hash_table_add(b->present, own->path);
		*r = (struct record){ 0 };
	} else if (r->kind == 'L' && r->sign != '-') {
		g_hash_table_replace(b->links, g_steal_pointer(&r->path),
			g_steal_pointer(&r->target));
	} else if (r->kind == 'U' && r->sign != '-') {
		g_hash_table_add(b->unreadable, g_steal_pointer(&r->path));
	}
	record_clear(r);
}

static int parse_all(struct build *b, const char *text, size_t left,
	bool delta)
{
	struct record r;
	int ret;

	while ((ret = record_parse(&text, &left, delta, &r)) == 1)
		take_record(b, &r);
	return ret;
}

static bool is_left_out(const struct build *b, const char *path, bool is_dir)
{
	return exclude_match(b->exclude, path, is_dir);
}

static void finish_listing(struct build *b, struct tree_listing *l)
{
	for (guint i = 0; i < b->entries->len; i++) {
		struct record *r = g_ptr_array_index(b->entries, i);
		struct entry *e = &r->e;

		if (is_left_out(b, e->path, e->type == ENTRY_DIR))
			continue;
		if (e->type == ENTRY_LINK) {
			e->target = g_hash_table_lookup(b->links, e->path);
			if (!e->target)
				e->target = "";
		}
		if (g_hash_table_contains(b->unreadable, e->path))
			e->flags |= ENTRY_UNREADABLE;
		manifest_add(l->entries, e);
	}
	manifest_sort(l->entries);
	for (guint i = 0; i < b->minus->len; i++) {
		const char *path = g_ptr_array_index(b->minus, i);

		if (!g_hash_table_contains(b->present, path) &&
			!is_left_out(b, path, false))
			g_ptr_array_add(l->gone, g_strdup(path));
	}
}

static int parse_listing(const struct tree *t, const char *text, size_t len,
	const struct exclude *exclude, struct tree_listing *l, GError **err)
{
	struct build b = {
		.exclude = exclude,
		.entries = g_ptr_array_new_with_free_func(free_record),
		.links = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, g_free),
		.unreadable = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, NULL),
		.present = g_hash_table_new(g_str_hash, g_str_equal),
		.minus = g_ptr_array_new_with_free_func(g_free),
	};
	int r = parse_all(&b, text, len, !l->full);

	if (r < 0)
		r = tree_garbled(t, "a listing", err);
	else
		finish_listing(&b, l);
	g_hash_table_destroy(b.present);
	g_ptr_array_free(b.entries, TRUE);
	g_hash_table_destroy(b.links);
	g_hash_table_destroy(b.unreadable);
	g_ptr_array_free(b.minus, TRUE);
	return r;
}

/* The first line says what follows. */
static int take_answer(const struct tree *t, const GString *text,
	const char *since, const struct exclude *exclude,
	struct tree_listing *l, GError **err)
{
	/* Empty lines were signs of life. */
	const char *at = text->str + strspn(text->str, "\n");
	const char *newline = strchr(at, '\n');
	size_t left = text->len - (size_t)(at - text->str);
	size_t head = newline ? (size_t)(newline - at) : left;
	g_autofree char *word = g_strndup(at, head);

	if (!strcmp(word, "gone"))
		return tree_gone(t, err);
	if (g_str_has_prefix(word, "failed ")) {
		g_autofree char *why = path_display(word + strlen("failed "));

		return fail(err, FAIL_REMOTE,
			"listing the sandbox failed there: %s", why);
	}
	if (!strcmp(word, "busy"))
		return fail(err, FAIL_REMOTE,
			"listing the sandbox: listings that were given up "
			"still run there; try again in a while");
	l->full = !strcmp(word, "full");
	if (!strcmp(word, "same") && since) {
		g_free(l->id);
		l->id = g_strdup(since);
	} else if (!l->full && strcmp(word, "delta")) {
		return tree_garbled(t, "a listing", err);
	}
	if (!newline)
		return tree_garbled(t, "a listing", err);
	return parse_listing(t, newline + 1, left - head - 1, exclude, l, err);
}

/* NAME as a pattern of find that matches nothing else. */
static char *find_pattern(const char *name)
{
	GString *s = g_string_new(NULL);

	for (; *name; name++) {
		if (strchr("*?[\\", *name))
			g_string_append_c(s, '\\');
		g_string_append_c(s, *name);
	}
	return g_string_free(s, FALSE);
}

/* Runs the listing: with the script the first time, and when the sandbox has
 * lost it. */
/* After the empty lines that are signs of life. */
static bool is_busy(const char *answer)
{
	return !strcmp(answer + strspn(answer, "\n"), "busy\n");
}

static int ask(struct tree *t, GPtrArray *args, struct answer *a,
	const struct call *call, GError **err)
{
	struct sink sink = answer_sink(a);
	bool lost = true, busy = false;
	int r = 0;

	/* Busy: a listing that was given up still runs there. */
	for (int i = 0; r == 0 && (lost || busy) && i < LISTING_TRIES; i++) {
		bool kept = __atomic_load_n(&t->kept, __ATOMIC_ACQUIRE);

		if (busy)
			g_usleep(BUSY_WAIT_US);
		g_free(args->pdata[0]);
		args->pdata[0] = g_strdup(kept && i == 0 ? "" : script_list);
		g_string_truncate(a->text, 0);
		r = tree_run(t, "a listing", script_again,
			(const char *const *)args->pdata, call, NULL, &sink,
			err);
		lost = !strcmp(a->text->str, "lost\n");
		busy = is_busy(a->text->str);
	}
	__atomic_store_n(&t->kept, r == 0 && !lost, __ATOMIC_RELEASE);
	return r;
}

int tree_list(struct tree *t, const char *since, const struct exclude *exclude,
	const struct call *call, struct tree_listing **out, GError **err)
{
	g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
	struct answer a = {
		.text = g_string_new(NULL), .limit = LISTING_LIMIT,
	};
	struct tree_listing *l = g_new0(struct tree_listing, 1);
	const char *const *names =
		exclude ? exclude_literal_names(exclude) : NULL;
	int r;

	l->entries = manifest_new();
	l->gone = g_ptr_array_new_with_free_func(g_free);
	l->id = io_random_hex(6);
	g_ptr_array_add(args, NULL);	/* the script */
	g_ptr_array_add(args, g_strdup(since ? since : ""));
	g_ptr_array_add(args, g_strdup(l->id));
	g_ptr_array_add(args, g_strdup(t->has_printf ? "yes" : "no"));
	for (; names && *names; names++)
		g_ptr_array_add(args, find_pattern(*names));
	g_ptr_array_add(args, NULL);
	r = ask(t, args, &a, call, err);
	l->bytes = a.text->len;
	if (r == 0)
		r = take_answer(t, a.text, since, exclude, l, err);
	g_string_free(a.text, TRUE);
	if (r == 0)
		*out = l;
	else
		tree_listing_free(l);
	return r < 0 ? -EIO : 0;
}

/* mirror SRC DST: make DST equal SRC by the same scan, plan and apply that a
 * restore uses, with DST's own state as the baseline, so that SRC wins. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "merge/apply.h"
#include "merge/lib/beneath.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "merge/reconcile.h"
#include "merge/scan.h"
#include "transport/json.h"

struct mirroring {
	int src, dst, trash;
	char *trash_name;	/* in dst's parent-to-be: below dst */
	struct manifest *ours, *theirs;
	struct plan *plan;
};

static int open_theirs(void *ctx, const char *path, const struct entry *want,
	GError **err)
{
	struct mirroring *m = ctx;
	int fd = beneath_open(m->src, path, O_RDONLY | O_NONBLOCK, 0);

	(void)want;
	if (fd < 0)
		fail_errno(err, fd, "open %s", path);
	return fd;
}

static int open_base(void *ctx, const struct digest *digest)
{
	(void)ctx;
	(void)digest;
	return -ENOENT;
}

static int open_dir(const char *path, bool make, GError **err)
{
	g_autofree char *shown = path_display(path);
	int fd;

	if (make && g_mkdir_with_parents(path, 0755) < 0)
		return fail_errno(err, -errno, "create %s", shown);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? fail_errno(err, -errno, "%s", shown) : fd;
}

static int plan_and_apply(struct mirroring *m, char **preserve, GError **err)
{
	struct scan_options so = { .hash = SCAN_HASH_CHANGED };
	struct content content = {
		.open_theirs = open_theirs, .open_base = open_base, .ctx = m,
	};
	struct apply_options ao = {
		.root_fd = m->dst, .trash_fd = m->trash,
		.staging_fd = m->trash, .id = "mirror", .name = "mirror",
		.content = &content, .no_sync = true,
	};
	struct reconcile_input in = {
		.name = "mirror", .trust_links = true, .review_off = true,
		.git_per_file = true,
		.preserve_absent = (const char *const *)preserve,
		.gates = { .allow_deletes = true },
	};

	if (scan_tree(m->src, &so, &m->theirs, NULL, err) < 0 ||
		scan_tree(m->dst, &so, &m->ours, NULL, err) < 0)
		return -EIO;
	in.base_ours = in.base_theirs = in.ours = m->ours;
	in.theirs = m->theirs;
	m->plan = reconcile(&in);
	if (resolve_plan(m->plan, &ao, err) < 0)
		return -EIO;
	return apply_plan(m->plan, &ao, err);
}

static int run(const char *src, const char *dst, char **preserve,
	struct mirroring *m, GError **err)
{
	int r;

	m->src = open_dir(src, false, err);
	if (m->src < 0)
		return -EIO;
	m->dst = open_dir(dst, true, err);
	if (m->dst < 0)
		return -EIO;
	/* Replaced files are set aside until everything went well; a scan
	 * leaves out names of this form. */
	m->trash_name = io_temp_name();
	r = beneath_mkdir(m->dst, m->trash_name, 0700);
	if (r == 0)
		r = m->trash = beneath_open(m->dst, m->trash_name,
			O_RDONLY | O_DIRECTORY, 0);
	if (r < 0)
		return fail_errno(err, r, "write in %s", dst);
	return plan_and_apply(m, preserve, err);
}

static int print_result(const struct mirroring *m, bool json)
{
	size_t applied = plan_list_count(m->plan, PLAN_APPLIED);
	size_t deleted = plan_list_count(m->plan, PLAN_DELETED);
	int code = plan_exit_code(m->plan) == 4 ? EXIT_FAILED : EXIT_DONE;

	for (size_t i = 0; i < plan_count(m->plan); i++) {
		const struct plan_op *op = plan_at(m->plan, i);
		g_autofree char *path = path_display(op->path);

		if (op->outcome == PLAN_FAILED)
			fprintf(stderr, "sandmount: mirror: %s: %s\n", path,
				op->error);
	}
	if (json) {
		struct json *j = json_new_object();

		json_put_int(j, "applied", (int64_t)applied);
		json_put_int(j, "deleted", (int64_t)deleted);
		cli_print_json(j);
		json_free(j);
	}
	return code;
}

int cmd_mirror(int argc, char **argv)
{
	gboolean json = FALSE;
	g_auto(GStrv) preserve = NULL;
	const GOptionEntry options[] = {
		{ "preserve-absent", 0, 0, G_OPTION_ARG_FILENAME_ARRAY,
			&preserve, "never delete this name in DST", "P" },
		{ "json", 0, 0, G_OPTION_ARG_NONE, &json,
			"one JSON object on standard output", NULL },
		{ 0 },
	};
	struct mirroring m = { .src = -1, .dst = -1, .trash = -1 };
	g_autoptr(GError) why = NULL;
	int code = EXIT_DONE;

	if (!cli_parse(&argc, &argv, "SRC DST",
		    "Makes directory DST equal to SRC.", options, &code))
		return code;
	if (argc != 3)
		return cli_usage("mirror: give SRC and DST");
	code = run(argv[1], argv[2], preserve, &m, &why) < 0
		? cli_fail(why) : print_result(&m, json);
	/* With failures the old versions stay where they were set aside. */
	if (m.trash_name && m.dst >= 0 && code == EXIT_DONE)
		beneath_remove_all(m.dst, m.trash_name);
	else if (m.trash_name && m.dst >= 0)
		beneath_unlink(m.dst, m.trash_name, AT_REMOVEDIR);
	if (m.trash >= 0)
		close(m.trash);
	if (m.dst >= 0)
		close(m.dst);
	if (m.src >= 0)
		close(m.src);
	manifest_free(m.ours);
	manifest_free(m.theirs);
	plan_free(m.plan);
	g_free(m.trash_name);
	return code;
}

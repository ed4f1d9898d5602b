/*
 * The repository asked is one in memory only, with ROOT as its working
 * directory: opening the user's own would need its owner to be ours, believe
 * its configuration, and fail where there is none. Its configuration is a text
 * in a memfd, because libgit2 takes configuration from files, and without one
 * of its own would look for the user's.
 *
 * info/exclude and core.excludesFile have the same (lowest) place among the
 * rules, so the second, which must be kept from finding the user's file, is
 * where the first goes.
 */
#include "merge/git_ignore.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <git2.h>
#include <git2/sys/repository.h>

#include "merge/git_guard.h"
#include "merge/lib/fail.h"
#include "merge/lib/io.h"
#include "merge/lib/log.h"
#include "merge/lib/mutex.h"
#include "merge/lib/path.h"

struct git_ignore {
	struct mutex lock;
	git_repository *repo; /* owned; guarded by lock */
	struct git_guard *guard; /* owned; guarded by lock */
	bool complained;      /* guarded by lock */
	int config_fd;	      /* owned; libgit2 reads them by name in /proc */
	int exclude_fd;
};

/* A readable file in memory with TEXT, or a negative errno. */
static int memory_file(const char *text, size_t len)
{
	autofd int fd = memfd_create("sandmount-git", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = io_write_full(fd, text, len);
	return r < 0 ? r : steal_fd(&fd);
}

static int git_fail(GError **err, const char *what, const char *root_path)
{
	const git_error *e = git_error_last();
	g_autofree char *shown = path_display(root_path);

	return fail(err, FAIL_LOCAL, "%s of %s: %s; check the directory, or "
		"leave out --gitignore", what, shown,
		e && e->message ? e->message : "unknown error of libgit2");
}

/* The path of info/exclude of the repository whose working directory
 * ROOT_PATH is; g_free it. A linked worktree has it elsewhere, which libgit2
 * knows, unless it declines to open a repository of another user. */
static char *exclude_path(const char *root_path)
{
	git_repository *repo = NULL;
	git_buf info = { 0 };
	char *path = NULL;

	if (git_repository_open_ext(&repo, root_path,
		    GIT_REPOSITORY_OPEN_NO_SEARCH, NULL) == 0 &&
		git_repository_item_path(&info, repo,
			GIT_REPOSITORY_ITEM_INFO) == 0)
		path = g_build_filename(info.ptr, "exclude", NULL);
	git_buf_dispose(&info);
	git_repository_free(repo);
	return path ? path
		    : g_build_filename(root_path, ".git/info/exclude", NULL);
}

static int copy_excludes(const char *root_path)
{
	g_autofree char *path = exclude_path(root_path);
	g_autofree char *text = NULL;
	gsize len = 0;

	/* Mostly there is none; one that cannot be read has no rules. */
	if (!g_file_get_contents(path, &text, &len, NULL))
		len = 0;
	if (!git_guard_allows_text(text, len)) {
		g_autofree char *shown = path_display(path);

		log_write(LOG_WARNING, "%s cannot be read: its rules do not "
			"count; remove lines such as '!\\'", shown);
		len = 0;
	}
	return memory_file(text ? text : "", len);
}

static int write_config(const char *root_path, struct git_ignore *g)
{
	g_autofree char *text = NULL;

	g->exclude_fd = copy_excludes(root_path);
	if (g->exclude_fd < 0)
		return g->exclude_fd;
	text = g_strdup_printf("[core]\n"
			       "\tignoreCase = false\n"
			       "\tattributesFile = /dev/null\n"
			       "\texcludesFile = /proc/self/fd/%d\n",
		g->exclude_fd);
	g->config_fd = memory_file(text, strlen(text));
	return g->config_fd < 0 ? g->config_fd : 0;
}

static int make_repo(struct git_ignore *g, const char *root_path)
{
	g_autofree char *file =
		g_strdup_printf("/proc/self/fd/%d", g->config_fd);
	git_config *config = NULL;
	int r;

	r = git_config_new(&config);
	if (r == 0)
		r = git_config_add_file_ondisk(config, file,
			GIT_CONFIG_LEVEL_LOCAL, NULL, 0);
	if (r == 0)
		r = git_repository_new(&g->repo);
	if (r == 0)
		r = git_repository_set_config(g->repo, config);
	if (r == 0)
		r = git_repository_set_workdir(g->repo, root_path, 0);
	git_config_free(config);
	return r;
}

struct git_ignore *git_ignore_new(const char *root_path, GError **err)
{
	struct git_ignore *g;
	int ignored, r;

	if (git_libgit2_init() < 0) {
		git_fail(err, "ignore rules", root_path);
		return NULL;
	}
	g = g_new0(struct git_ignore, 1);
	g->config_fd = g->exclude_fd = -1;
	g->guard = git_guard_new(root_path);
	/* A leaf: nothing is locked while it is held, anything may be held. */
	mutex_init(&g->lock, RANK_LOG);
	if (!g_file_test(root_path, G_FILE_TEST_IS_DIR)) {
		fail_errno(err, -ENOTDIR, "ignore rules of %s", root_path);
		goto fail;
	}
	r = write_config(root_path, g);
	if (r < 0) {
		fail_errno(err, r, "memory for the ignore rules");
		goto fail;
	}
	/* The first question makes libgit2 read the configuration. */
	if (make_repo(g, root_path) < 0 ||
		(git_guard_allows(g->guard, "") &&
			git_ignore_path_is_ignored(&ignored, g->repo, "a") <
				0)) {
		git_fail(err, "ignore rules", root_path);
		goto fail;
	}
	return g;
fail:
	git_ignore_free(g);
	return NULL;
}

void git_ignore_free(struct git_ignore *g)
{
	if (!g)
		return;
	git_repository_free(g->repo);
	git_guard_free(g->guard);
	if (g->config_fd >= 0)
		close(g->config_fd);
	if (g->exclude_fd >= 0)
		close(g->exclude_fd);
	git_libgit2_shutdown();
	mutex_destroy(&g->lock);
	g_free(g);
}

/* libgit2 has a rule of its own against ".git". */
static bool is_in_git_dir(const char *path)
{
	for (const char *p = path; (p = strstr(p, ".git")); p += 4)
		if ((p == path || p[-1] == '/') && (!p[4] || p[4] == '/'))
			return true;
	return false;
}

bool git_ignore_match(struct git_ignore *g, const char *path, bool is_dir)
{
	/* A trailing '/' says that it is a directory, whatever the disk says:
	 * the path may be one that only the sandbox has. */
	g_autofree char *asked = g_strconcat(path, is_dir ? "/" : "", NULL);
	int ignored = 0;
	bool complain = false;

	if (is_in_git_dir(path))
		return false;
	mutex_lock(&g->lock);
	if (!git_guard_allows(g->guard, path) ||
		git_ignore_path_is_ignored(&ignored, g->repo, asked) < 0) {
		complain = !g->complained;
		g->complained = true;
		ignored = 0;
	}
	mutex_unlock(&g->lock);
	if (complain) {
		g_autofree char *shown = path_display(path);

		log_write(LOG_WARNING, "git's ignore rules for %s cannot be "
			"read: taken as not ignored; look for a .gitignore "
			"with a line such as '!\\' or that is no file", shown);
	}
	return ignored;
}

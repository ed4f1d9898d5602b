#include "fs/cli/cli.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "merge/lib/fail.h"
#include "merge/lib/path.h"

/* The octal escapes of mountinfo. */
static char *unescape(const char *s)
{
	GString *out = g_string_new(NULL);

	for (; *s; s++) {
		if (*s == '\\' && s[1] && s[2] && s[3]) {
			g_string_append_c(out, (char)((s[1] - '0') * 64 +
				(s[2] - '0') * 8 + (s[3] - '0')));
			s += 3;
		} else {
			g_string_append_c(out, *s);
		}
	}
	return g_string_free(out, FALSE);
}

/* The file system type mounted at PATH last, or NULL. */
static char *type_at(const char *path)
{
	g_autofree char *text = NULL;
	char *type = NULL;

	if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL))
		return NULL;
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

	for (char **l = lines; *l; l++) {
		g_auto(GStrv) words = g_strsplit(*l, " ", -1);
		g_autofree char *at = NULL;

		if (g_strv_length(words) < 10)
			continue;
		at = unescape(words[4]);
		if (strcmp(at, path))
			continue;
		for (char **w = words; *w; w++)
			if (!strcmp(*w, "-") && w[1]) {
				g_free(type);
				type = g_strdup(w[1]);
				break;
			}
	}
	return type;
}

enum mount_kind mount_kind(const char *path)
{
	g_autofree char *type = type_at(path);
	struct statvfs st;

	if (!type)
		return MOUNT_NONE;
	if (strcmp(type, "fuse.sandmount"))
		return MOUNT_OTHER;
	/* Not stat: the kernel may know the root's attributes by heart. */
	return statvfs(path, &st) < 0 && errno == ENOTCONN ? MOUNT_DEAD
							   : MOUNT_OURS;
}

static int by_helper(const char *mountpoint, bool lazy, GError **err)
{
	const char *argv[] = { "fusermount3", "-u", lazy ? "-z" : mountpoint,
		lazy ? mountpoint : NULL, NULL };
	g_autofree char *why = NULL;
	g_autoptr(GError) spawn = NULL;
	int status;

	if (!g_spawn_sync(NULL, (char **)argv, NULL,
		    G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
		    NULL, NULL, &why, &status, &spawn))
		return fail(err, FAIL_LOCAL,
			"unmount %s: fusermount3: %s; install fuse3",
			mountpoint, spawn->message);
	if (g_spawn_check_wait_status(status, NULL))
		return 0;
	g_strchomp(why);
	return fail(err, FAIL_FAILED, "unmount %s: %s%s", mountpoint, why,
		strstr(why, "busy")
			? "; close what uses it (`fuser -vm` shows it) and try "
			  "again" : "");
}

int unmount(const char *mountpoint, bool lazy, GError **err)
{
	if (geteuid() != 0)
		return by_helper(mountpoint, lazy, err);
	if (umount2(mountpoint, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) ==
		0)
		return 0;
	if (errno == EBUSY)
		return fail(err, FAIL_FAILED,
			"unmount %s: is busy; close what uses it (`fuser -vm "
			"%s` shows it) and try again", mountpoint, mountpoint);
	return fail_errno(err, -errno, "unmount %s", mountpoint);
}

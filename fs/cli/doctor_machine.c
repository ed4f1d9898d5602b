/* The checks of this machine. */
#include "fs/cli/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fs/cli/cli.h"
#include "fs/cli/status_text.h"
#include "merge/lib/io.h"
#include "merge/lib/path.h"
#include "transport/json.h"

const struct doctor_paths doctor_real_paths = {
	.dev_fuse = "/dev/fuse", .fuse_conf = "/etc/fuse.conf",
	.proc = "/proc",
};

/* --- FUSE ------------------------------------------------------------------ */

static void check_device(struct findings *f, const struct doctor_paths *p)
{
	int fd = open(p->dev_fuse, O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		findings_add(f, FINDING_OK, "FUSE device", NULL,
			"%s can be opened", p->dev_fuse);
	} else if (errno == EACCES || errno == EPERM) {
		findings_add(f, FINDING_FAILED, "FUSE device",
			"sudo chmod 0666 /dev/fuse   (in a container: start it "
			"with --device /dev/fuse --cap-add SYS_ADMIN)",
			"%s may not be opened by you", p->dev_fuse);
	} else {
		findings_add(f, FINDING_FAILED, "FUSE device",
			"sudo modprobe fuse   (in a container: start it with "
			"--device /dev/fuse --cap-add SYS_ADMIN; without FUSE, "
			"`sandmount prepare` and `restore` work)",
			"%s: %s", p->dev_fuse, g_strerror(errno));
	}
}

static void check_helper(struct findings *f)
{
	g_autofree char *path = g_find_program_in_path("fusermount3");
	struct stat st;

	if (!path) {
		findings_add(f, geteuid() == 0 ? FINDING_WARNING
					       : FINDING_FAILED,
			"fusermount3", "sudo apt-get install fuse3",
			"is not installed");
		return;
	}
	if (geteuid() != 0 && stat(path, &st) == 0 &&
		(!(st.st_mode & S_ISUID) || st.st_uid != 0)) {
		g_autofree char *mend = g_strdup_printf(
			"sudo chown root %s && sudo chmod u+s %s", path, path);

		findings_add(f, FINDING_FAILED, "fusermount3", mend,
			"%s is not set-user-ID root, so that you cannot mount",
			path);
		return;
	}
	findings_add(f, FINDING_OK, "fusermount3", NULL, "%s", path);
}

static void check_fuse_conf(struct findings *f, const struct doctor_paths *p)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	bool allowed = false;

	if (!g_file_get_contents(p->fuse_conf, &text, NULL, NULL)) {
		findings_add(f, FINDING_NOTE, "fuse.conf", NULL,
			"%s cannot be read; only -o allow_other needs it",
			p->fuse_conf);
		return;
	}
	lines = g_strsplit(text, "\n", -1);
	for (char **l = lines; *l; l++)
		allowed |= !strcmp(g_strstrip(*l), "user_allow_other");
	if (allowed)
		findings_add(f, FINDING_OK, "fuse.conf", NULL,
			"user_allow_other is set");
	else
		findings_add(f, FINDING_NOTE, "fuse.conf",
			"echo user_allow_other | sudo tee -a /etc/fuse.conf",
			"user_allow_other is not set; only -o allow_other "
			"needs it");
}

void doctor_fuse(struct findings *f, const struct doctor_paths *p)
{
	check_device(f, p);
	check_helper(f);
	check_fuse_conf(f, p);
}

/* --- limits ------------------------------------------------------------------ */

static void check_open_files(struct findings *f)
{
	enum { NEEDED = 256, GOOD = 1024 };
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	findings_add(f, r.rlim_cur < NEEDED ? FINDING_FAILED
				: r.rlim_cur < GOOD ? FINDING_WARNING
						    : FINDING_OK,
		"open files",
		r.rlim_cur < GOOD ? "ulimit -n 65536   (for good: a line "
				    "\"* - nofile 65536\" in "
				    "/etc/security/limits.conf)" : NULL,
		"at most %" PRIu64 " at once", (uint64_t)r.rlim_cur);
}

static int64_t read_number(const char *proc, const char *name)
{
	g_autofree char *file = g_build_filename(proc, name, NULL);
	g_autofree char *text = NULL;

	if (!g_file_get_contents(file, &text, NULL, NULL))
		return -1;
	return g_ascii_strtoll(text, NULL, 10);
}

static void check_inotify(struct findings *f, const struct doctor_paths *p)
{
	static const struct {
		const char *name, *file, *mend;
		int64_t good;
	} limits[] = {
		{ "inotify watches", "sys/fs/inotify/max_user_watches",
			"echo fs.inotify.max_user_watches=524288 | sudo tee "
			"/etc/sysctl.d/60-inotify.conf && sudo sysctl --system",
			65536 },
		{ "inotify instances", "sys/fs/inotify/max_user_instances",
			"echo fs.inotify.max_user_instances=512 | sudo tee -a "
			"/etc/sysctl.d/60-inotify.conf && sudo sysctl --system",
			128 },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
		int64_t n = read_number(p->proc, limits[i].file);
		bool good = n >= limits[i].good;

		if (n < 0)
			continue;
		findings_add(f, good ? FINDING_OK : FINDING_WARNING,
			limits[i].name, good ? NULL : limits[i].mend,
			"%" PRId64 " for you%s", n, good ? ""
			: "; editors that watch a large tree will miss "
			  "changes");
	}
}

/* --- directories --------------------------------------------------------------- */

static void check_disk(struct findings *f, const char *dir)
{
	enum { MB_NEEDED = 100, MB_GOOD = 1000 };
	struct statvfs v;
	g_autofree char *shown = path_display(dir);
	uint64_t free_bytes;
	enum finding_level level;

	if (statvfs(dir, &v) < 0)
		return;
	free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	level = free_bytes < MB_NEEDED * UINT64_C(1000000) ? FINDING_FAILED
		: free_bytes < MB_GOOD * UINT64_C(1000000) ? FINDING_WARNING
							   : FINDING_OK;
	g_autofree char *text = bytes_text(free_bytes);

	findings_add(f, level, "disk",
		level == FINDING_OK ? NULL
			: "XDG_STATE_HOME=/a/larger/disk sandmount ...   (or "
			  "`sandmount forget` old sessions)",
		"%s free in %s, where the mirrors are", text, shown);
}

/* Whether files in DIR can be exchanged in one step, as a restore does. */
static bool can_exchange(int dir)
{
	bool ok;

	if (mkdirat(dir, ".doctor-a", 0700) < 0 ||
		mkdirat(dir, ".doctor-b", 0700) < 0)
		ok = false;
	else
		ok = renameat2(dir, ".doctor-a", dir, ".doctor-b",
			RENAME_EXCHANGE) == 0;
	unlinkat(dir, ".doctor-a", AT_REMOVEDIR);
	unlinkat(dir, ".doctor-b", AT_REMOVEDIR);
	return ok;
}

static void check_state(struct findings *f)
{
	g_autofree char *dir = session_state_dir();
	g_autofree char *shown = path_display(dir);
	g_autofree char *word = NULL;
	autofd int fd = -1;

	if (g_mkdir_with_parents(dir, 0700) == 0)
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || faccessat(AT_FDCWD, dir, W_OK | X_OK, 0) < 0) {
		word = g_strdup_printf("sudo chown -R \"$(id -un)\" %s", shown);
		findings_add(f, FINDING_FAILED, "state directory", word,
			"%s: %s", shown, g_strerror(errno));
		return;
	}
	if (flock(fd, LOCK_SH | LOCK_NB) < 0 && errno != EWOULDBLOCK)
		findings_add(f, FINDING_FAILED, "state directory",
			"XDG_STATE_HOME=/a/local/disk sandmount ...",
			"%s: its file system has no locks (%s)", shown,
			g_strerror(errno));
	else if (!can_exchange(fd))
		findings_add(f, FINDING_NOTE, "state directory", NULL,
			"%s: its file system cannot exchange two files; a "
			"slower way is taken", shown);
	else
		findings_add(f, FINDING_OK, "state directory", NULL, "%s",
			shown);
	check_disk(f, dir);
}

static void check_runtime(struct findings *f)
{
	g_autofree char *socket = session_socket_path("a-name-of-session");
	g_autofree char *dir = g_path_get_dirname(socket);
	g_autofree char *shown = path_display(dir);
	const char *mend = "export XDG_RUNTIME_DIR=/run/user/$(id -u)";
	struct stat st;

	if (strlen(socket) + 48 >= sizeof(((struct sockaddr_un *)0)->sun_path))
		findings_add(f, FINDING_WARNING, "control sockets", mend,
			"the path %s is long; sessions with long names cannot "
			"be reached", shown);
	else if (stat(dir, &st) == 0 &&
		(st.st_uid != geteuid() || (st.st_mode & 077)))
		findings_add(f, FINDING_WARNING, "control sockets", mend,
			"%s is open to others", shown);
	else
		findings_add(f, FINDING_OK, "control sockets", NULL, "%s",
			shown);
}

/* --- the rest ------------------------------------------------------------------ */

static void check_clock(struct findings *f)
{
	enum { YEAR_2024 = 1704067200 };
	g_autoptr(GDateTime) now = g_date_time_new_now_local();
	g_autofree char *text = g_date_time_format(now, "%F %T %Z");
	bool good = time(NULL) > YEAR_2024;

	findings_add(f, good ? FINDING_OK : FINDING_WARNING, "clock",
		good ? NULL : "sudo timedatectl set-ntp true", "%s%s", text,
		good ? "" : ": is in the past");
}

static void check_tools(struct findings *f)
{
	static const struct {
		const char *program, *needed_for, *mend;
	} tools[] = {
		{ "git", "merging by git mergetool", "sudo apt-get install git" },
		{ "ssh", "the provider ssh",
			"sudo apt-get install openssh-client" },
		{ "notify-send", "notifications after an unmount",
			"sudo apt-get install libnotify-bin" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(tools); i++) {
		g_autofree char *path =
			g_find_program_in_path(tools[i].program);

		findings_add(f, path ? FINDING_OK : FINDING_NOTE,
			tools[i].program, path ? NULL : tools[i].mend,
			"%s%s", path ? path : "is not there; only needed for ",
			path ? "" : tools[i].needed_for);
	}
}

static void check_config(struct findings *f)
{
	g_autofree char *file = cli_config_file();
	g_autofree char *shown = path_display(file);
	g_autofree char *text = NULL;
	g_autoptr(GError) why = NULL;
	struct stat st;
	struct json *j;
	gsize len;

	if (!g_file_get_contents(file, &text, &len, NULL)) {
		findings_add(f, FINDING_NOTE, "config file", NULL,
			"%s: none; sandmount-config(5) shows one", shown);
		return;
	}
	j = json_parse(text, len, &why);
	if (!j || json_kind_of(j) != JSON_OBJECT) {
		g_autofree char *mend = g_strdup_printf("$EDITOR %s", shown);

		findings_add(f, FINDING_FAILED, "config file", mend, "%s: %s",
			shown, why ? why->message : "is no JSON object");
	} else if (strstr(text, "\"apiKey\"") && stat(file, &st) == 0 &&
		(st.st_mode & 077)) {
		g_autofree char *mend =
			g_strdup_printf("chmod 600 %s", shown);

		findings_add(f, FINDING_WARNING, "config file", mend,
			"%s: holds an API key and others may read it", shown);
	} else {
		findings_add(f, FINDING_OK, "config file", NULL, "%s", shown);
	}
	json_free(j);
}

void doctor_machine(struct findings *f, const struct doctor_paths *p)
{
	check_open_files(f);
	check_inotify(f, p);
	check_state(f);
	check_runtime(f);
	check_clock(f);
	check_tools(f);
	check_config(f);
}

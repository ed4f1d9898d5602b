/*
 * Mounting, the request loop, unmounting.
 */
#include "fs/fuse/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "fs/fuse/loop.h"
#include "merge/lib/fail.h"

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	struct adapter *a = userdata;

	a->no_opendir = conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT;
	/* Without HANDLE_KILLPRIV the kernel takes setuid bits away itself, by
	 * the rights of whoever writes, which only it knows. */
	conn->want |= conn->capable &
		(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS |
			FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS |
			FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_ASYNC_READ);
	conn->want &= ~(unsigned)FUSE_CAP_HANDLE_KILLPRIV;
	/* Write-through: the mirror has every byte when write(2) returns.
	 * Splicing costs two more system calls a request. */
	conn->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE |
		FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
		FUSE_CAP_SPLICE_MOVE);
	conn->max_background = 64;
}

const struct fuse_lowlevel_ops adapter_ops = {
	.init = op_init,
	.lookup = op_lookup,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.symlink = op_symlink,
	.rename = op_rename,
	.link = op_link,
	.open = op_open,
	.create = op_create,
	.read = op_read,
	.write = op_write,
	.release = op_release,
	.fsync = op_fsync,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.setxattr = op_setxattr,
	.removexattr = op_removexattr,
	.fallocate = op_fallocate,
	.copy_file_range = op_copy_range,
	.lseek = op_lseek,
};

static void add_option(struct fuse_args *args, const char *option)
{
	fuse_opt_add_arg(args, "-o");
	fuse_opt_add_arg(args, option);
}

/* A comma would begin another option. */
static char *fs_name(const char *name)
{
	return g_strdelimit(g_strdup_printf("fsname=sandmount:%s", name), ",\\",
		'_');
}

static int build_args(struct fuse_args *args, const struct adapter_options *o)
{
	g_autofree char *fsname = fs_name(o->name);

	fuse_opt_add_arg(args, "sandmount");
	add_option(args, fsname);
	add_option(args, "subtype=sandmount");
	add_option(args, "default_permissions");
	add_option(args, o->read_only ? "ro" : "rw");
	if (o->allow_other)
		add_option(args, "allow_other");
	if (o->debug)
		add_option(args, "debug");
	for (char *const *w = o->fuse_options; w && *w; w++)
		add_option(args, *w);
	return 0;
}

static int check_device(GError **err)
{
	if (access("/dev/fuse", R_OK | W_OK) == 0)
		return 0;
	if (errno == ENOENT)
		return fail(err, FAIL_LOCAL,
			"/dev/fuse: is not there; load the fuse module "
			"(modprobe fuse), or work without a mount: `sandmount "
			"prepare` and `sandmount restore`");
	return fail(err, FAIL_LOCAL,
		"/dev/fuse: %s; ask for access to it, or work without a mount: "
		"`sandmount prepare` and `sandmount restore`",
		g_strerror(errno));
}

struct adapter *adapter_mount(struct mirror *m,
	const struct adapter_options *o, GError **err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct adapter *a;

	if (check_device(err) < 0)
		return NULL;
	a = g_new0(struct adapter, 1);
	a->mirror = m;
	a->options = *o;
	a->mountpoint = g_strdup(o->mountpoint);
	build_args(&args, o);
	a->session = fuse_session_new(
		&args, &adapter_ops, sizeof(adapter_ops), a);
	fuse_opt_free_args(&args);
	if (!a->session) {
		fail(err, FAIL_USAGE,
			"mount %s: libfuse refuses the mount options; see "
			"mount.fuse3(8) for those that -o takes",
			o->mountpoint);
		goto fail;
	}
	if (fuse_session_mount(a->session, a->mountpoint) != 0) {
		fail(err, FAIL_LOCAL,
			"mount %s: FUSE refused; see that fusermount3 is "
			"installed (package fuse3) and the mount point is "
			"yours", o->mountpoint);
		goto fail;
	}
	a->mounted = true;
	return a;
fail:
	adapter_free(a);
	return NULL;
}

int adapter_loop(struct adapter *a, GError **err)
{
	int r = loop_run(a->session);

	return r < 0 ? fail_errno(err, r, "serving the mount at %s",
			       a->mountpoint)
		     : 0;
}

void adapter_free(struct adapter *a)
{
	if (!a)
		return;
	if (a->session && a->mounted)
		fuse_session_unmount(a->session);
	if (a->session)
		fuse_session_destroy(a->session);
	g_free(a->mountpoint);
	g_free(a);
}

char *adapter_library(void)
{
	return g_strdup_printf("libfuse %s", fuse_pkgversion());
}

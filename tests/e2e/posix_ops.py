#!/usr/bin/env python3
"""posix_ops.py DIR [FILTER]: runs the scenarios of posix_cases in DIR and
prints, as JSON, what each step gave: a value, "ok" or the name of an errno.
posix_ops.py --serve DIR: runs steps as they come, one a line.

A scenario is a list of lines, each one step, run in a fresh directory:

    [@USER] [T PATH,PATH:] OPERATION ARGUMENT...

@a and @b run the step as one of two ordinary users (their uids below), without
it root or whoever runs this does. T reports in addition which of ctime (c) and
mtime (m) the step changed on each path. $255, $256, $4096 in an argument are
names or a path of that length; ^NAME means "do not follow the last link".
"""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import re
import socket
import stat
import struct
import sys
import zlib

USERS = {"a": 65533, "b": 65532}
SHARED_GROUP = 65531  # of user a only, in addition
AT_FDCWD, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH = -100, 0x400, 0x1000
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64,
                           ctypes.c_int64]
LONG = {"$empty": "", "$255": "n" * 255, "$256": "n" * 256, "$4096": "/".join(["d" * 254] * 17)}
KINDS = {"reg": stat.S_IFREG, "fifo": stat.S_IFIFO, "chr": stat.S_IFCHR,
         "blk": stat.S_IFBLK, "sock": stat.S_IFSOCK}


def call(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "call")
    return result


def flags_of(words):
    return sum({getattr(os, "O_" + w) for w in words.split("|")})


def file_type(mode):
    for name, f in (("file", stat.S_ISREG), ("dir", stat.S_ISDIR),
                    ("link", stat.S_ISLNK), ("fifo", stat.S_ISFIFO),
                    ("sock", stat.S_ISSOCK), ("chr", stat.S_ISCHR),
                    ("blk", stat.S_ISBLK)):
        if f(mode):
            return name
    return "?"


def show(st):
    """Attributes that must be equal; sizes of directories are the disk's."""
    size = st.st_size if not stat.S_ISDIR(st.st_mode) else 0
    return (f"{file_type(st.st_mode)} {stat.S_IMODE(st.st_mode):04o} "
            f"{st.st_nlink} {st.st_uid}:{st.st_gid} {size}")


def when(word):
    """A time for utimensat: now, omit or nanoseconds."""
    special = {"now": (1 << 30) - 1, "omit": (1 << 30) - 2}
    if word in special:
        return (0, special[word])
    return divmod(int(word), 1000000000)


def utimens(fd, path, a, m, flags):
    times = struct.pack("4q", *when(a), *when(m))
    call(LIBC.utimensat(fd, None if path is None else os.fsencode(path), times,
                        flags))


def split_caret(path):
    return (path[1:], False) if path.startswith("^") else (path, True)


class Runner:
    """The operations; each returns a value or raises OSError."""

    def __init__(self):
        self.files = {}

    def close_all(self):
        for fd in self.files.values():
            os.close(fd)
        self.files.clear()

    # --- names
    def mkdir(self, p, mode="0755"):
        os.mkdir(p, int(mode, 8))

    def rmdir(self, p):
        os.rmdir(p)

    def create(self, p, mode="0644", text=""):
        fd = os.open(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY, int(mode, 8))
        os.write(fd, text.encode())
        os.close(fd)

    def open(self, p, flags, mode="0644"):
        os.close(os.open(p, flags_of(flags), int(mode, 8)))

    def unlink(self, p):
        os.unlink(p)

    def symlink(self, target, p):
        os.symlink(target, p)

    def link(self, a, b):
        os.link(a, b, follow_symlinks=False)

    def linkfollow(self, a, b):
        call(LIBC.linkat(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b),
                         AT_SYMLINK_FOLLOW))

    def rename(self, a, b):
        os.rename(a, b)

    def rename2(self, a, b, flags):
        bits = {"noreplace": 1, "exchange": 2, "both": 3, "whiteout": 4}[flags]
        call(LIBC.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b),
                            bits))

    def mkfifo(self, p, mode="0644"):
        os.mkfifo(p, int(mode, 8))

    def mknod(self, p, kind, mode="0644"):
        os.mknod(p, KINDS[kind] | int(mode, 8), os.makedev(1, 3))

    def bind(self, p):
        s = socket.socket(socket.AF_UNIX)
        try:
            s.bind(p)
        finally:
            s.close()

    def talk(self, p):
        """Through a socket in the directory, and a fifo beside it."""
        with socket.socket(socket.AF_UNIX) as s, \
                socket.socket(socket.AF_UNIX) as c:
            s.bind(p)
            s.listen(1)
            c.connect(p)
            t, _ = s.accept()
            c.send(b"word")
            got = t.recv(10).decode()
            t.close()
            return got

    def fifotalk(self, p):
        r = os.open(p, os.O_RDONLY | os.O_NONBLOCK)
        w = os.open(p, os.O_WRONLY)
        os.write(w, b"word")
        got = os.read(r, 10).decode()
        os.close(w)
        os.close(r)
        return got

    # --- attributes
    def chmod(self, p, mode):
        os.chmod(p, int(mode, 8))

    def chown(self, p, u, g):
        p, follow = split_caret(p)
        u = USERS.get(u, u)
        g = {"shared": SHARED_GROUP, **USERS}.get(g, g)
        os.chown(p, int(u), int(g), follow_symlinks=follow)

    def truncate(self, p, n):
        os.truncate(p, int(n))

    def utimens(self, p, a, m):
        p, follow = split_caret(p)
        utimens(AT_FDCWD, p, a, m, 0 if follow else 0x100)

    def stat(self, p):
        p, follow = split_caret(p)
        return show(os.stat(p, follow_symlinks=follow))

    def times(self, p):
        p, follow = split_caret(p)
        st = os.stat(p, follow_symlinks=follow)
        return f"{st.st_atime_ns} {st.st_mtime_ns}"

    def readlink(self, p):
        return os.readlink(p)

    def access(self, p, how):
        bits = sum({"r": 4, "w": 2, "x": 1}[c] for c in how if c != "f")
        return os.access(p, bits, effective_ids=True)

    def ls(self, p):
        return sorted(os.listdir(p))

    def types(self, p):
        with os.scandir(p) as it:
            return sorted((e.name, "d" if e.is_dir(follow_symlinks=False) else
                           "l" if e.is_symlink() else "-") for e in it)

    def same(self, a, b):
        return os.path.samestat(os.lstat(a), os.lstat(b))

    def read(self, p):
        fd = os.open(p, os.O_RDONLY)
        try:
            return os.read(fd, 1 << 20).decode("latin-1")
        finally:
            os.close(fd)

    def write(self, p, text):
        fd = os.open(p, os.O_WRONLY)
        try:
            return os.write(fd, text.encode())
        finally:
            os.close(fd)

    def statfs(self, p):
        s = os.statvfs(p)
        return (s.f_namemax, s.f_bsize, s.f_blocks > s.f_bfree > 0)

    def pathconf(self, p, name):
        return os.pathconf(p, name)

    def umask(self, mode):
        os.umask(int(mode, 8))

    # --- open files, by number
    def hopen(self, n, p, flags, mode="0644"):
        if n in self.files:
            os.close(self.files.pop(n))
        self.files[n] = os.open(p, flags_of(flags), int(mode, 8))

    def hclose(self, n):
        os.close(self.files.pop(n))

    def hread(self, n, size):
        return os.read(self.files[n], int(size)).decode("latin-1")

    def hpread(self, n, size, off):
        return os.pread(self.files[n], int(size), int(off)).decode("latin-1")

    def hwrite(self, n, text):
        return os.write(self.files[n], text.encode())

    def hpwrite(self, n, text, off):
        return os.pwrite(self.files[n], text.encode(), int(off))

    def hstat(self, n):
        return show(os.fstat(self.files[n]))

    def hblocks(self, n):
        """Whether fewer blocks than its size are in use."""
        st = os.fstat(self.files[n])
        return st.st_blocks * 512 < st.st_size

    def htruncate(self, n, size):
        os.ftruncate(self.files[n], int(size))

    def hchmod(self, n, mode):
        os.fchmod(self.files[n], int(mode, 8))

    def hchown(self, n, u, g):
        os.fchown(self.files[n], int(USERS.get(u, u)), int(USERS.get(g, g)))

    def hutimens(self, n, a, m):
        call(LIBC.futimens(self.files[n],
                           struct.pack("4q", *when(a), *when(m))))
        st = os.fstat(self.files[n])
        return f"{st.st_mtime_ns}"

    def hseek(self, n, off, whence):
        ways = {"set": 0, "cur": 1, "end": 2, "data": 3, "hole": 4}
        if ways[whence] > 2 and stat.S_ISDIR(os.fstat(self.files[n]).st_mode):
            return "a directory"  # here file systems differ
        return os.lseek(self.files[n], int(off), ways[whence])

    def hfallocate(self, n, mode, off, size):
        bits = {"alloc": 0, "keep": 1, "punch": 3, "collapse": 8, "zero": 16,
                "zerokeep": 17, "insert": 32, "punchonly": 2, "bad": 1 << 20}
        call(LIBC.fallocate(self.files[n], bits[mode], int(off), int(size)))

    def hcopy(self, n, off, to, to_off, size):
        return os.copy_file_range(self.files[n], self.files[to], int(size),
                                  int(off), int(to_off))

    def hsync(self, n):
        os.fsync(self.files[n])
        os.fdatasync(self.files[n])

    def hlinkat(self, n, p):
        call(LIBC.linkat(AT_FDCWD, f"/proc/self/fd/{self.files[n]}".encode(),
                         AT_FDCWD, os.fsencode(p), AT_SYMLINK_FOLLOW))

    def hlist(self, n):
        return sorted(os.listdir(self.files[n]))

    def hopenat(self, n, p, flags):
        os.close(os.open(p, flags_of(flags), 0o644, dir_fd=self.files[n]))

    def hmap(self, n, off, text):
        """Writes TEXT at OFF through a shared mapping."""
        size = os.fstat(self.files[n]).st_size
        if size < int(off) + len(text):
            return "too short"
        with mmap.mmap(self.files[n], size) as m:
            m[int(off):int(off) + len(text)] = text.encode()
            m.flush()

    def hflock(self, n, how):
        bits = {"sh": fcntl.LOCK_SH, "ex": fcntl.LOCK_EX, "un": fcntl.LOCK_UN}
        fcntl.flock(self.files[n], bits[how] | fcntl.LOCK_NB)

    def hofd(self, n, kind, start, size):
        """An open-file-description lock: conflicts within one process too."""
        kinds = {"rd": fcntl.F_RDLCK, "wr": fcntl.F_WRLCK, "un": fcntl.F_UNLCK}
        lock = struct.pack("hhqqi4x", kinds[kind], 0, int(start), int(size), 0)
        fcntl.fcntl(self.files[n], 37, lock)  # F_OFD_SETLK

    def childlock(self, n, p, start, size):
        """A POSIX lock on N; whether another process is refused one on P."""
        fcntl.lockf(self.files[n], fcntl.LOCK_EX | fcntl.LOCK_NB, int(size),
                    int(start))
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                fd = os.open(p, os.O_RDWR)
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(start))
            except OSError as e:
                code = e.errno
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        fcntl.lockf(self.files[n], fcntl.LOCK_UN, int(size), int(start))
        return errno.errorcode.get(os.waitstatus_to_exitcode(status), "free")

    def appenders(self, p, count, lines):
        """COUNT processes append LINES lines each: how many whole ones came."""
        pids = []
        for _ in range(int(count)):
            pid = os.fork()
            if pid == 0:
                fd = os.open(p, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
                for _ in range(int(lines)):
                    os.write(fd, b"a line of this\n")
                os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)
        with open(p, "rb") as f:
            return sum(line == b"a line of this\n" for line in f)

    def makers(self, p, count):
        """COUNT processes create P exclusively: how many succeeded."""
        pids = []
        for _ in range(int(count)):
            pid = os.fork()
            if pid == 0:
                try:
                    os.open(p, os.O_WRONLY | os.O_EXCL | os.O_CREAT, 0o644)
                except FileExistsError:
                    os._exit(1)
                os._exit(0)
            pids.append(pid)
        return sum(os.waitpid(pid, 0)[1] == 0 for pid in pids)

    def fill(self, p, count):
        os.mkdir(p)
        for i in range(int(count)):
            os.close(os.open(f"{p}/f{i}", os.O_CREAT | os.O_WRONLY, 0o644))

    def walk_removing(self, p):
        """Removes while listing: every name comes exactly once."""
        seen = []
        with os.scandir(p) as it:
            for e in it:
                seen.append(e.name)
                os.unlink(f"{p}/{e.name}")
        return (len(seen), len(set(seen)), os.listdir(p))

    def walk_adding(self, p):
        """Makes others while listing: the old ones come exactly once."""
        seen = []
        with os.scandir(p) as it:
            for i, e in enumerate(it):
                seen.append(e.name)
                if i < 50:
                    os.close(os.open(f"{p}/new{i}", os.O_CREAT, 0o644))
        old = [n for n in seen if n.startswith("f")]
        return (len(old), len(set(old)), len(seen) == len(set(seen)))


def clock_passes():
    """Waits until a change made now has another time than one made before."""
    probe = "../.probe"
    open(probe, "w").close()
    first = os.stat(probe).st_ctime_ns
    while True:
        os.utime(probe, ns=(0, 0))
        if os.stat(probe).st_ctime_ns > first + 4000000:
            break
    os.unlink(probe)


def stamps(paths):
    got = {}
    for p in paths:
        name, follow = split_caret(p)
        try:
            st = os.stat(name, follow_symlinks=follow)
            got[p] = (st.st_ctime_ns, st.st_mtime_ns)
        except OSError:
            got[p] = None
    return got


def changed(before, after):
    out = []
    for p, old in before.items():
        new = after[p]
        if old is None or new is None:
            out.append(f"{p}:-")
        else:
            out.append(f"{p}:" + ("c" if old[0] != new[0] else "") +
                       ("m" if old[1] != new[1] else ""))
    return " ".join(out)


STEP = re.compile(r"(?:@(\w) )?(?:T (\S+): )?(\S+)(?: (.*))?$")


def become(user):
    if user:
        os.setgroups([SHARED_GROUP] if user == "a" else [])
        os.setegid(USERS[user])
        os.seteuid(USERS[user])


def become_root(user):
    if user:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])


def step(runner, line):
    user, timed, op, rest = STEP.match(line).groups()
    args = rest.split() if rest else []
    for short, full in LONG.items():
        args = [a.replace(short, full) for a in args]
    paths = timed.split(",") if timed else []
    if paths:
        before = stamps(paths)
        clock_passes()
    become(user)
    try:
        got = getattr(runner, op)(*args)
        got = "ok" if got is None else got
        if isinstance(got, str) and len(got) > 300:
            got = f"{len(got)} {zlib.crc32(got.encode('latin-1'))}"
    except OSError as e:
        got = errno.errorcode.get(e.errno, str(e))
    except KeyError as e:
        got = f"no handle {e}"
    finally:
        become_root(user)
    return [got, changed(before, stamps(paths))] if paths else got


def run_scenario(lines):
    runner = Runner()
    os.umask(0o022)
    got = [step(runner, line) for line in lines]
    runner.close_all()
    return got


def serve(top):
    """Runs steps as they come, one a line, each with an answer in JSON; an
    empty line closes all files."""
    runner = Runner()
    os.umask(0o022)
    os.chdir(top)
    for line in sys.stdin:
        line = line.rstrip("\n")
        if not line:
            runner.close_all()
        print(json.dumps(step(runner, line) if line else "ok"), flush=True)


def main():
    if sys.argv[1] == "--serve":
        serve(sys.argv[2])
        return
    import posix_cases
    os.chdir(sys.argv[1])
    top = os.getcwd()
    wanted = re.compile(sys.argv[2] if len(sys.argv) > 2 else "")
    root = os.geteuid() == 0
    results = {}
    for i, (name, lines) in enumerate(posix_cases.scenarios()):
        if not wanted.search(name) or not (
                root or not any(l.startswith("@") for l in lines)):
            continue
        os.mkdir(f"s{i}")
        os.chdir(f"s{i}")
        results[name] = list(zip(lines, run_scenario(lines)))
        os.chdir(top)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()

"""What a disk has when the power fails: a run of a program is recorded with
strace, every call that changes a file, and replayed on a model of the tree up
to any point.

Modelled: a file keeps the bytes it had at its last fsync or fdatasync, a new
one none. Names, by MODES:

 strict	each directory as of its own last fsync, all that POSIX promises
 ordered	all names as of the last fsync of anything: a journal that keeps
	the order (ext4, XFS, btrfs)
 names	all names and no bytes that were not synced: delayed allocation
 all	everything, as after a kill

The sandbox is another machine: what happened there stays. Not modelled: a disk
that lies about fsync, blocks of one write that arrive in part (SQLite's and our
own checksums are for that), the shared memory of SQLite, which the first to
open the database makes anew.
"""
import copy
import os
import re
import stat
import subprocess

MODES = ["strict", "ordered", "names", "all"]
CALLS = ("open,openat,openat2,creat,write,pwrite64,writev,ftruncate,fsync,"
         "fdatasync,sync,syncfs,rename,renameat,renameat2,unlink,unlinkat,"
         "rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,fchmod,fchmodat,"
         "chmod,utimensat,copy_file_range,ioctl,chdir,fchdir")
LINE = re.compile(r"(\d+) +(?:(\w+)\((.*)\) += (-?\d+)|<\.\.\. (\w+) resumed>"
                  r"(.*)\) += (-?\d+)|(\w+)\((.*) <unfinished \.\.\.>)")
TIMES = re.compile(r"\{tv_sec=(-?\d+), tv_nsec=(\d+)\}|(UTIME_\w+)")


def can_record():
    try:
        return subprocess.run(["strace", "-o", "/dev/null", "true"],
                              capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def record(words, log, **more):
    """Runs WORDS; the calls are in the file LOG then."""
    return subprocess.run(
        ["strace", "-f", "-y", "-xx", "-s", "100000000", "-o", str(log), "-e",
         f"trace={CALLS}", *words], **more)


def split(text):
    """The arguments of a call."""
    out, depth, at, quoted = [], 0, 0, False
    for i, c in enumerate(text):
        if c == '"':
            quoted = not quoted
        elif not quoted and c in "[{<(":
            depth += 1
        elif not quoted and c in "]}>)":
            depth -= 1
        elif not quoted and c == "," and not depth:
            out.append(text[at:i].strip())
            at = i + 1
    return out + [text[at:].strip()]


def raw(text):
    """The bytes that \\xNN... in quotes or angle brackets stand for."""
    m = re.search(r'["<]((?:\\x[0-9a-f]{2})*)[">]', text)
    return bytes.fromhex(m[1].replace("\\x", "")) if m else None


def calls(log):
    """(name, arguments, result, process) of each, in the order of their ends."""
    begun = {}
    with open(log, errors="replace") as f:
        for line in f:
            m = LINE.match(line)
            if not m:
                continue
            pid = m[1]
            if m[8]:
                begun[pid] = (m[8], m[9])
            elif m[5]:
                name, text = begun.pop(pid, (m[5], ""))
                yield name, split(text + m[6]), int(m[7]), pid
            else:
                yield m[2], split(m[3]), int(m[4]), pid


class Node:
    """A file, directory or link, and what of it is lasting."""

    def __init__(self, kind, mode=0o644, target=b""):
        self.kind, self.mode, self.target = kind, mode, target
        self.mtime = None
        self.data, self.synced = bytearray(), b""
        self.names, self.synced_names = {}, {}

    def sync(self):
        self.synced = bytes(self.data)
        self.synced_names = dict(self.names)


class Disk:
    """The tree below TOP; what is below REMOTE lasts at once."""

    def __init__(self, top, remote):
        self.top, self.remote = os.fsencode(str(top)), os.fsencode(str(remote))
        self.root = self.load(self.top)
        self.cwd, self.opens = {}, {}
        self.changes = 0        # that the machine's own disk saw
        self.ordered = None     # all names at the last fsync

    def load(self, path):
        st = os.lstat(path)
        if stat.S_ISLNK(st.st_mode):
            n = Node("link", target=os.readlink(path))
        elif stat.S_ISDIR(st.st_mode):
            n = Node("dir", st.st_mode & 0o7777)
            n.names = {name: self.load(os.path.join(path, name))
                       for name in os.listdir(path)}
        else:
            n = Node("file", st.st_mode & 0o7777)
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    n.data = bytearray(f.read())
        n.mtime = st.st_mtime_ns
        n.sync()
        return n

    # --- names -------------------------------------------------------------

    def full(self, pid, at, text):
        """The path that a directory argument and a path argument mean."""
        path = raw(text)
        if path is None:
            return None
        if not path.startswith(b"/"):
            base = raw(at) if at else None
            if base is None or (at and at.startswith("AT_FDCWD")):
                base = base or self.cwd.get(pid, self.remote)
            path = os.path.join(base, path)
        return os.path.normpath(path)

    def within(self, path):
        return path is not None and (path == self.top or
                                     path.startswith(self.top + b"/"))

    def find(self, path):
        n = self.root
        if not self.within(path):
            return None
        for part in path[len(self.top):].split(b"/"):
            if part:
                n = n.names.get(part) if n and n.kind == "dir" else None
        return n

    def parent(self, path):
        return self.find(os.path.dirname(path)), os.path.basename(path)

    # --- calls -------------------------------------------------------------

    def do(self, name, args, result, pid):
        """Whether it changed what the machine's own disk has."""
        if result < 0:
            return False
        method = getattr(self, f"do_{self.ALIAS.get(name, name)}", None)
        path = method(pid, args, result) if method else None
        if path is None:
            return False
        own = not (path + b"/").startswith(self.remote + b"/")
        self.changes += own
        return own

    ALIAS = {"openat2": "openat", "fdatasync": "fsync", "pwrite64": "pwrite",
             "syncfs": "sync"}

    def do_chdir(self, pid, args, _):
        self.cwd[pid] = self.full(pid, None, args[0])

    def do_fchdir(self, pid, args, _):
        self.cwd[pid] = raw(args[0])

    def do_open(self, pid, args, result):
        return self.opened(self.full(pid, None, args[0]), " ".join(args[1:]))

    def do_creat(self, pid, args, result):
        return self.opened(self.full(pid, None, args[0]), "O_CREAT|O_TRUNC")

    def do_openat(self, pid, args, result):
        path = self.full(pid, args[0], args[1])
        made = self.opened(path, " ".join(args[2:]))
        self.opens[pid, result] = self.find(path)
        return made

    def opened(self, path, how):
        if not self.within(path):
            return None
        d, name = self.parent(path)
        n = self.find(path)
        if n is None and "O_CREAT" in how and d:
            modes = re.findall(r"\b0[0-7]{3}\b", how)
            d.names[name] = Node("file", int(modes[-1], 8) if modes else 0o644)
            return path
        if n and "O_TRUNC" in how and n.data:
            n.data = bytearray()
            return path
        return None

    def at_fd(self, text):
        path = raw(text)
        return path, self.find(path)

    def do_write(self, pid, args, result):
        """Each file here is written from its beginning to its end."""
        path, n = self.at_fd(args[0])
        if not n or n.kind != "file":
            return None
        n.data += raw(args[1])[:result]
        return path

    def do_writev(self, pid, args, result):
        path, n = self.at_fd(args[0])
        if not n or n.kind != "file":
            return None
        for part in re.findall(r'iov_base="([^"]*)"', args[1]):
            n.data += bytes.fromhex(part.replace("\\x", ""))
        return path

    def do_pwrite(self, pid, args, result):
        path, n = self.at_fd(args[0])
        if not n:
            return None
        self.put(n, raw(args[1])[:result], int(args[3]))
        return path

    @staticmethod
    def put(n, data, at):
        if len(n.data) < at:
            n.data += b"\0" * (at - len(n.data))
        n.data[at:at + len(data)] = data

    def do_ftruncate(self, pid, args, result):
        path, n = self.at_fd(args[0])
        if not n:
            return None
        size = int(args[1])
        n.data = n.data[:size] + b"\0" * (size - len(n.data))
        return path

    def do_copy_file_range(self, pid, args, result):
        _, a = self.at_fd(args[0])
        path, b = self.at_fd(args[2])
        if not a or not b or "NULL" not in args[1] + args[3]:
            return None
        at = len(b.data)
        b.data += a.data[at:at + result]
        return path

    def do_ioctl(self, pid, args, result):
        if "CLONE" not in args[1]:
            return None
        path, b = self.at_fd(args[0])
        _, a = self.at_fd(args[2])
        if not a or not b:
            return None
        b.data = bytearray(a.data)
        return path

    def do_fsync(self, pid, args, result):
        path, n = self.at_fd(args[0])
        if not n:
            return None
        n.sync()
        self.keep_order()
        return path

    def do_sync(self, pid, args, result):
        for n in nodes(self.root):
            n.sync()
        self.keep_order()
        return self.top

    def keep_order(self):
        self.ordered = {id(n): dict(n.names) for n in nodes(self.root)}

    def move(self, a, b, exchange=False):
        if not self.within(a) or not self.within(b):
            return None
        (da, na), (db, nb) = self.parent(a), self.parent(b)
        if not da or not db or na not in da.names:
            return None
        if exchange:
            da.names[na], db.names[nb] = db.names[nb], da.names[na]
        elif da.names[na] is not db.names.get(nb):
            db.names[nb] = da.names.pop(na)
        return a

    def do_rename(self, pid, args, result):
        return self.move(self.full(pid, None, args[0]),
                         self.full(pid, None, args[1]))

    def do_renameat(self, pid, args, result):
        return self.move(self.full(pid, args[0], args[1]),
                         self.full(pid, args[2], args[3]))

    def do_renameat2(self, pid, args, result):
        return self.move(self.full(pid, args[0], args[1]),
                         self.full(pid, args[2], args[3]),
                         "EXCHANGE" in args[4])

    def gone(self, path):
        if not self.within(path):
            return None
        d, name = self.parent(path)
        return path if d and d.names.pop(name, None) else None

    def do_unlink(self, pid, args, result):
        return self.gone(self.full(pid, None, args[0]))

    do_rmdir = do_unlink

    def do_unlinkat(self, pid, args, result):
        return self.gone(self.full(pid, args[0], args[1]))

    def new(self, path, node):
        if not self.within(path):
            return None
        d, name = self.parent(path)
        if not d or not node:
            return None
        d.names[name] = node
        return path

    def do_mkdir(self, pid, args, result):
        return self.new(self.full(pid, None, args[0]),
                        Node("dir", int(args[1], 8) & 0o755))

    def do_mkdirat(self, pid, args, result):
        return self.new(self.full(pid, args[0], args[1]),
                        Node("dir", int(args[2], 8) & 0o755))

    def do_link(self, pid, args, result):
        return self.new(self.full(pid, None, args[1]),
                        self.find(self.full(pid, None, args[0])))

    def do_linkat(self, pid, args, result):
        return self.new(self.full(pid, args[2], args[3]),
                        self.find(self.full(pid, args[0], args[1])))

    def do_symlink(self, pid, args, result):
        return self.new(self.full(pid, None, args[1]),
                        Node("link", target=raw(args[0])))

    def do_symlinkat(self, pid, args, result):
        return self.new(self.full(pid, args[1], args[2]),
                        Node("link", target=raw(args[0])))

    def chmod(self, path, mode, pid=None):
        m = re.fullmatch(rb"/proc/self/fd/(\d+)", path)
        n = self.opens.get((pid, int(m[1]))) if m else self.find(path)
        if n:
            n.mode = int(mode, 8)
            return path
        return None

    def do_fchmod(self, pid, args, result):
        return self.chmod(raw(args[0]), args[1])

    def do_chmod(self, pid, args, result):
        return self.chmod(self.full(pid, None, args[0]), args[1], pid)

    def do_fchmodat(self, pid, args, result):
        return self.chmod(self.full(pid, args[0], args[1]), args[2], pid)

    def do_utimensat(self, pid, args, result):
        path = raw(args[0]) if args[1] == "NULL" else \
            self.full(pid, args[0], args[1])
        n = self.find(path) if path else None
        times = TIMES.findall(args[2])
        if n and len(times) == 2 and times[1][0]:
            n.mtime = int(times[1][0]) * 10**9 + int(times[1][1])
            return path
        return None

    # --- after the power failed -------------------------------------------

    def store(self, mode):
        """TOP becomes what the disk has."""
        if mode == "ordered" and self.ordered is None:
            mode = "strict"
        self.store_dir(self.root, self.top, mode, False)

    def names_of(self, n, mode, remote):
        if mode == "strict" and not remote:
            return n.synced_names
        if mode == "ordered" and not remote:
            return self.ordered.get(id(n), n.synced_names)
        return n.names

    def store_dir(self, n, path, mode, remote):
        remote = remote or path == self.remote
        names = self.names_of(n, mode, remote)
        for name in os.listdir(path):
            at = os.path.join(path, name)
            if name not in names or names[name].kind != "dir" or \
                    not os.path.isdir(at) or os.path.islink(at):
                remove(at)
        for name, child in names.items():
            at = os.path.join(path, name)
            if child.kind == "dir":
                os.makedirs(at, exist_ok=True)
                self.store_dir(child, at, mode, remote)
                os.chmod(at, child.mode)
            elif child.kind == "link":
                os.symlink(child.target, at)
            elif not name.endswith(b"-shm"):
                with open(at, "wb") as f:
                    f.write(child.data if remote or mode == "all"
                            else child.synced)
                os.chmod(at, child.mode)
            if child.mtime is not None and child.kind != "dir" and \
                    os.path.lexists(at):
                os.utime(at, ns=(child.mtime, child.mtime),
                         follow_symlinks=False)


def nodes(n):
    yield n
    for child in n.names.values():
        yield from nodes(child)


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        for name in os.listdir(path):
            remove(os.path.join(path, name))
        os.rmdir(path)
    else:
        os.unlink(path)


class Recording:
    """A disk before a run, and the run's calls."""

    def __init__(self, before, log):
        self.before = before
        self.calls = list(calls(log))

    def replay(self, count=None):
        """The disk after the first COUNT changes, or all of them."""
        disk = copy.deepcopy(self.before)
        for call in self.calls:
            if disk.changes == count:
                break
            disk.do(*call)
        return disk

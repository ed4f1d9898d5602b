"""The mount against a plain directory: the same random operations give the
same results, errno by errno, and afterwards the sandbox is equal."""
import ctypes
import errno
import mmap
import os
import random
import resource
import stat
import subprocess

import pytest

from conftest import tree, write

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100
SEEDS = int(os.environ.get("SANDMOUNT_SEEDS", "6"))
STEPS = int(os.environ.get("SANDMOUNT_STEPS", "400"))


def renameat2(a, b, flags):
    if LIBC.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b),
                      flags):
        raise OSError(ctypes.get_errno(), "renameat2")


NAMES = ["a", "b", "c", "d", "d/x", "d/y", "e", "e/x", "e/f", "e/f/z", "gone/q"]


def operation(rng):
    """A random operation as a function of the top directory."""
    p, q = rng.choice(NAMES), rng.choice(NAMES)
    data = bytes([rng.randrange(256)]) * rng.randrange(1, 5000)
    off = rng.randrange(8000)
    kind = rng.randrange(18)

    def run(top):
        path, other = f"{top}/{p}", f"{top}/{q}"
        if kind == 0:
            with open(path, "wb") as f:
                f.write(data)
        elif kind == 1:
            with open(path, "ab") as f:
                f.write(data)
        elif kind == 2:
            with open(path, "r+b") as f:
                f.seek(off)
                f.write(data)
        elif kind == 3:
            os.truncate(path, off)
        elif kind == 4:
            os.unlink(path)
        elif kind == 5:
            os.mkdir(path, 0o755)
        elif kind == 6:
            os.rmdir(path)
        elif kind in (7, 8):
            os.rename(path, other)
        elif kind == 9:
            renameat2(path, other, 1)
        elif kind == 10:
            renameat2(path, other, 2)
        elif kind == 11:
            os.symlink(q, path)
        elif kind == 12:
            os.link(path, other, follow_symlinks=False)
        elif kind == 13:
            os.chmod(path, rng_mode)
        elif kind == 14:
            os.utime(path, ns=(1000000001, 2000000002 + off))
        elif kind == 15:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            os.unlink(path)
            os.write(fd, data)
            os.lseek(fd, 0, 0)
            got = os.read(fd, 10000)
            size = os.fstat(fd).st_size
            os.close(fd)
            return got, size
        elif kind == 16:
            return sorted(os.listdir(path))
        else:
            st = os.lstat(path)
            return (stat.S_IFMT(st.st_mode), st.st_mode & 0o777, st.st_nlink
                    if not stat.S_ISDIR(st.st_mode) else 0,
                    st.st_size if stat.S_ISREG(st.st_mode) else 0)
        return None

    rng_mode = rng.choice([0o644, 0o600, 0o755, 0o444])
    return (kind, p, q), run


def outcome(run, top):
    try:
        return run(top)
    except OSError as e:
        return errno.errorcode[e.errno]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_operations(world, seed):
    rng = random.Random(seed)
    plain = world.top / "plain"
    plain.mkdir()
    world.mount()
    log = []
    for step in range(STEPS):
        what, run = operation(rng)
        log.append(what)
        here, there = outcome(run, plain), outcome(run, world.mnt)
        assert here == there, (step, what, log[-10:])
        if step % 100 == 99:
            assert tree(plain) == tree(world.mnt)
            if rng.random() < 0.7:
                world.run("flush", "box", check=0, timeout=60)
                assert tree(world.remote) == tree(plain)
    world.run("flush", "box", check=0, timeout=60)
    assert tree(world.remote) == tree(plain)
    world.umount()
    assert tree(world.local) == tree(plain)


def test_single_things(world):
    write(world.local / "f", "hello\n")
    world.mount()
    f = world.mnt / "f"
    # A shared writable mapping reaches the file.
    with open(f, "r+b") as h, mmap.mmap(h.fileno(), 6) as m:
        m[0:5] = b"HELLO"
    assert f.read_text() == "HELLO\n"
    # An unlinked open file keeps its bytes; the name is free at once.
    h = open(f, "rb")
    os.unlink(f)
    write(f, "another\n")
    assert h.read() == b"HELLO\n" and os.fstat(h.fileno()).st_nlink == 0
    h.close()
    # Appends of several processes do not overwrite one another.
    procs = [subprocess.Popen(["sh", "-c", 'for i in 1 2 3 4 5 6 7 8 9; do '
                               'echo line >>"$1"; done', "sh",
                               str(world.mnt / "log")]) for _ in range(4)]
    for p in procs:
        p.wait()
    assert (world.mnt / "log").read_text() == "line\n" * 36
    # Hard links share bytes and count.
    os.link(f, world.mnt / "g")
    write(world.mnt / "g", "shared\n")
    assert f.read_text() == "shared\n" and f.stat().st_nlink == 2
    assert f.stat().st_ino == (world.mnt / "g").stat().st_ino
    # No extended attributes, said cleanly.
    with pytest.raises(OSError) as e:
        os.setxattr(f, "user.x", b"1")
    assert e.value.errno == errno.ENOTSUP
    # Times to the nanosecond, sparse files, big offsets.
    os.utime(f, ns=(1, 1234567890123456789))
    assert f.stat().st_mtime_ns == 1234567890123456789
    with open(world.mnt / "big", "wb") as h:
        h.seek(5 << 30)
        h.write(b"x")
    assert (world.mnt / "big").stat().st_size == (5 << 30) + 1
    assert (world.mnt / "big").stat().st_blocks < 1000
    os.unlink(world.mnt / "big")
    # fifos are local and not sent; 255-byte names.
    os.mkfifo(world.mnt / "fifo")
    write(world.mnt / ("n" * 255), "long\n")
    with pytest.raises(OSError) as e:
        write(world.mnt / ("n" * 256), "too long\n")
    assert e.value.errno == errno.ENAMETOOLONG
    with pytest.raises(OSError):
        os.mkdir(world.mnt / ".sandmount")
    world.run("flush", "box", check=0, timeout=60)
    assert not (world.remote / "fifo").exists()
    r = world.umount(check=3).json
    assert [line["path"] for line in r["held"]] == ["fifo"]
    assert (world.local / "g").read_text() == "shared\n"


def test_more_open_files_than_one_program_may_have(world):
    """The daemon's limit is not that of whoever mounts."""
    was = resource.getrlimit(resource.RLIMIT_NOFILE)
    if was[0] < 600:
        pytest.skip(f"only {was[0]} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, was[1]))
    try:
        world.mount()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, was)
    held = [open(world.mnt / f"f{i}", "w") for i in range(300)]
    for i, f in enumerate(held):
        f.write(f"{i}\n")
        f.close()
    world.umount()
    assert (world.local / "f299").read_text() == "299\n"


def test_inode_numbers_stay(world):
    write(world.local / "d" / "f", "f\n")
    world.mount()
    before = (world.mnt / "d" / "f").stat().st_ino
    world.umount()
    world.mount()
    assert (world.mnt / "d" / "f").stat().st_ino == before
    world.umount()


def test_directory_offsets_survive_changes(world):
    for i in range(2000):
        write(world.local / "d" / f"f{i:04}", "x")
    world.mount()
    seen = []
    with os.scandir(world.mnt / "d") as it:
        for n, e in enumerate(it):
            seen.append(e.name)
            if n == 100:
                os.unlink(world.mnt / "d" / "f1999")
                write(world.mnt / "d" / "new", "n")
    assert len(seen) == len(set(seen))
    assert set(seen) >= {f"f{i:04}" for i in range(1999)}
    world.umount()


class Reader:
    """One open directory, by libc."""

    def __init__(self, path):
        LIBC.opendir.restype = LIBC.readdir.restype = ctypes.c_void_p
        LIBC.telldir.restype = ctypes.c_long
        self.dir = ctypes.c_void_p(LIBC.opendir(os.fsencode(path)))
        assert self.dir

    def take(self, most=None):
        """Up to MOST further names, or all that are left."""
        found = []
        while most is None or len(found) < most:
            entry = LIBC.readdir(self.dir)
            if not entry:
                break
            # Before the name: inode, offset, length and type.
            found.append(ctypes.string_at(entry + 19).decode())
        return [name for name in found if name not in (".", "..")]

    def tell(self):
        return LIBC.telldir(self.dir)

    def seek(self, place):
        LIBC.seekdir(self.dir, ctypes.c_long(place))

    def close(self):
        LIBC.closedir(self.dir)


def test_two_readers_continue_where_they_were(world):
    name = "a name that is long enough for several answers {:04}".format
    for i in range(1200):
        write(world.local / "d" / name(i), "")
    world.mount()
    d = world.mnt / "d"
    one, two = Reader(d), Reader(d)
    begun = one.take(301)
    place = one.tell()
    first = two.take(900)
    for i in range(0, 1200, 30):
        os.unlink(d / name(i))
    for i in range(1200, 1700):
        write(d / name(i), "")
    os.rename(d / name(1), d / "renamed")
    late = Reader(d)
    assert sorted(late.take()) == sorted(os.listdir(d))
    one.seek(place)
    stay = {name(i) for i in range(2, 1200) if i % 30}
    for seen in (begun + one.take(), first + two.take()):
        assert len(seen) == len(set(seen))
        assert set(seen) >= stay
    one.seek(place)
    again = one.take()
    assert stay <= {*begun, *again}
    assert place < 2 ** 31
    for reader in (one, two, late):
        reader.close()
    world.umount()

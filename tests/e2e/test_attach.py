"""A workspace that only the sandbox has: stubs, and their bytes when opened."""
import ctypes
import errno
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest

from conftest import tree, write

LINK = """#!/bin/sh
case $* in
*'fill.$4'*) echo fetch >>"$0.fetches" ;;
esac
while [ -e "$0.hold" ]; do sleep 0.05; done
[ ! -e "$0.down" ] || exit 9
exec "$@"
"""


class Link:
    """The way to the sandbox: counts fetches, can hang and be cut."""

    def __init__(self, world):
        self.world = world
        self.script = world.top / "link"
        write(self.script, LINK, 0o755)
        write(world.top / "config" / "sandmount" / "config.json",
              json.dumps({"commands": {"link": [str(self.script)]}}))
        self.spec = f"command:link:{world.remote}"

    def _flag(self, name):
        return self.script.with_name(self.script.name + name)

    def set(self, name, on):
        if on:
            self._flag(name).touch()
        else:
            self._flag(name).unlink(missing_ok=True)

    @property
    def fetches(self):
        file = self._flag(".fetches")
        return file.read_text().count("\n") if file.exists() else 0

    def mount(self, *options, check=0):
        return self.world.run("mount", "--json", "--name", "box", *options,
                              self.spec, self.world.mnt, check=check)


@pytest.fixture
def link(world):
    link = Link(world)
    yield link
    link.set(".hold", False)
    link.set(".down", False)


def fill(world, dirs=6, files=32):
    for d in range(dirs):
        for i in range(files):
            write(world.remote / f"d{d}" / f"f{i}", f"{d} {i}\n" * (i + 1),
                  0o755 if i % 7 == 0 else 0o644)
    write(world.remote / "d0" / "sub" / "empty", "")
    write(world.remote / "big", os.urandom(3 << 20))
    os.symlink("d0/f1", world.remote / "link")
    write(world.remote / "closed", "closed\n", 0o400)
    os.utime(world.remote / "d1" / "f1", ns=(10**18, 10**18 + 123456789))


def stats(top):
    found = {}
    for base, dirs, files in os.walk(top):
        if base == str(top):
            dirs[:] = [d for d in dirs if d != ".sandmount"]
        for name in files:
            st = os.lstat(os.path.join(base, name))
            rel = os.path.relpath(os.path.join(base, name), top)
            found[rel] = (st.st_mode, st.st_size, st.st_mtime_ns)
    return found


def mirror(world):
    return world.session() / "mirror"


def stubs(world):
    """Names of files in the mirror that are marked as not here."""
    top = mirror(world)
    return {os.path.relpath(os.path.join(base, f), top)
            for base, _, files in os.walk(top) for f in files
            if os.lstat(os.path.join(base, f)).st_mode & 0o101000 == 0o101000}


def check_mirror(world, want):
    """Every file of the mirror is a stub or has the bytes of WANT."""
    for base, _, files in os.walk(mirror(world)):
        for f in files:
            path = os.path.join(base, f)
            st = os.lstat(path)
            if st.st_mode & 0o1000 or os.path.islink(path):
                continue
            with open(path, "rb") as file:
                rel = os.path.relpath(path, mirror(world))
                assert file.read() == want[os.fsencode(rel)][2], rel


def wait(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_listing_fetches_nothing(world, link):
    fill(world)
    link.mount()
    fetches = link.fetches
    assert stats(world.mnt) == stats(world.remote)
    subprocess.run(["ls", "-lR", world.mnt], check=True, capture_output=True)
    assert link.fetches == fetches
    fetched = world.status()["fetched"]
    assert fetched["files"] == 0
    assert fetched["not_here_files"] == 6 * 32 + 2
    assert len(stubs(world)) == 6 * 32 + 2
    world.umount()


def test_contents(world, link):
    fill(world)
    want = tree(world.remote)
    link.mount()
    assert tree(world.mnt) == want
    assert not stubs(world)
    assert world.status()["unsent"]["files"] == 0
    assert world.status()["fetched"]["files"] == 6 * 32 + 2
    world.umount()
    link.mount()
    fetches = link.fetches
    assert tree(world.mnt) == want
    assert link.fetches == fetches
    assert stats(world.mnt) == stats(world.remote)
    world.umount()
    assert tree(world.remote) == want


def test_grep_in_tens_of_commands(world, link):
    dirs = int(os.environ.get("ATTACH_FILES", 2000)) // 50
    for d in range(dirs):
        (world.remote / f"d{d:03}").mkdir()
        for i in range(50):
            (world.remote / f"d{d:03}" / f"f{i:02}").write_text(
                f"needle {d} {i}\n")
    link.mount()
    fetches = link.fetches
    done = subprocess.run(["grep", "-r", "needle", world.mnt],
                          capture_output=True, check=True)
    assert done.stdout.count(b"\n") == dirs * 50
    assert 0 < link.fetches - fetches < 40
    world.umount()


@pytest.mark.parametrize("seed", range(int(os.environ.get("ATTACH_KILLS", 2))))
def test_killed_while_filling(world, link, seed):
    rng = random.Random(seed)
    fill(world)
    want = tree(world.remote)
    names = sorted(os.fsdecode(p) for p, e in want.items() if e[0] == "file")
    for _ in range(3):
        link.mount()
        readers = [subprocess.Popen(
            ["cat", "--", *[world.mnt / n for n in rng.sample(names, 60)]],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for _ in range(3)]
        time.sleep(rng.uniform(0.0, 0.3))   # the instant of the kill
        os.kill(world.daemon_pid(), signal.SIGKILL)
        world.wait_state("crashed")
        check_mirror(world, want)
        for r in readers:
            r.wait(60)
    link.mount()
    assert tree(world.mnt) == want
    world.umount()
    assert tree(world.remote) == want


def test_hanging_sandbox(world, link):
    fill(world)
    link.mount("--timeout", "600")
    (world.mnt / "d5" / "f3").read_bytes()
    link.set(".hold", True)
    waiting = [subprocess.Popen(["cat", world.mnt / f"d{d}" / f"f{i}"],
                                stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
               for d in range(4) for i in range(20)]
    # The rest of the mount goes on.
    assert (world.mnt / "d5" / "f3").read_bytes() == b"5 3\n" * 4
    assert len(os.listdir(world.mnt / "d1")) == 32
    write(world.mnt / "new", "new\n")
    os.rename(world.mnt / "d1" / "f30", world.mnt / "d1" / "g30")
    assert (world.mnt / "new").read_text() == "new\n"
    for p, sig in zip(waiting[:9], [signal.SIGINT, signal.SIGTERM,
                                    signal.SIGKILL] * 3):
        wait(lambda p=p: "request_wait" in wchan(p.pid) or
             "fuse" in wchan(p.pid) or wchan(p.pid) == "0")
        p.send_signal(sig)
        assert p.wait(60) == -sig
    assert all(p.poll() is None for p in waiting[9:])
    # A signal that is handled does not disturb.
    for p in waiting[9:20]:
        p.send_signal(signal.SIGWINCH)
        p.send_signal(signal.SIGCHLD)
    link.set(".hold", False)
    for p in waiting[9:]:
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0, err
        d, i = p.args[1].parent.name[1:], p.args[1].name[1:]
        assert out == f"{d} {i}\n".encode() * (int(i) + 1)
    world.run("flush", "box", check=0)
    world.umount()
    assert (world.remote / "d1" / "g30").exists()


def wchan(pid):
    try:
        with open(f"/proc/{pid}/wchan") as f:
            return f.read()
    except OSError:
        return ""


def test_deadline(world, link):
    fill(world)
    link.mount("--timeout", "12")
    link.set(".hold", True)
    with pytest.raises(OSError) as e:
        (world.mnt / "d0" / "f0").read_bytes()
    assert e.value.errno in (errno.EIO, errno.ETIMEDOUT)
    assert "d0/f0" in stubs(world)
    link.set(".hold", False)
    wait(lambda: readable(world.mnt / "d0" / "f0"))
    assert (world.mnt / "d0" / "f0").read_bytes() == b"0 0\n"
    world.umount()


def readable(path):
    try:
        path.read_bytes()
        return True
    except OSError:
        return False


def test_sandbox_gone(world, link):
    fill(world)
    link.mount()
    link.set(".down", True)
    with pytest.raises(OSError) as e:
        (world.mnt / "big").read_bytes()
    assert e.value.errno == errno.EIO
    with pytest.raises(OSError):
        os.truncate(world.mnt / "big", 5)
    os.truncate(world.mnt / "d2" / "f2", 0)     # needs no bytes
    assert "big" in stubs(world) and "d2/f2" not in stubs(world)
    link.set(".down", False)
    assert (world.mnt / "big").read_bytes() == (
        world.remote / "big").read_bytes()
    world.umount()
    assert (world.remote / "d2" / "f2").read_bytes() == b""


def change(world):
    """Everything that can be done to a file that is not here."""
    m = world.mnt
    with open(m / "d0" / "f1", "ab") as f:
        f.write(b"appended")
    with open(m / "d0" / "f2", "r+b") as f:
        f.seek(3)
        f.write(b"XYZ")
    (m / "d0" / "f3").write_text("rewritten")
    os.truncate(m / "d0" / "f14", 7)
    os.truncate(m / "d0" / "f5", 5000)
    os.utime(m / "d0" / "f13", ns=(10**18, 10**18))
    metadata(world)


def metadata(world):
    """… without its bytes."""
    m = world.mnt
    os.rename(m / "d1" / "f1", m / "moved")
    os.link(m / "d1" / "f2", m / "linked")
    os.unlink(m / "d1" / "f2")
    os.rename(m / "d1" / "f3", m / "d1" / "f4")
    os.chmod(m / "d1" / "f5", 0o1600)
    os.unlink(m / "d1" / "f6")
    os.rename(m / "d2", m / "d9")
    os.rename(m / "d9" / "f1", m / "d9" / "g1")
    os.rename(m / "d3" / "f1", m / "t")
    os.rename(m / "d3" / "f2", m / "d3" / "f1")
    os.rename(m / "t", m / "d3" / "f2")
    write(m / "t", "saved as editors do\n")
    os.rename(m / "t", m / "d4" / "f8")
    exchange(m / "d4" / "f1", m / "d4" / "f2")


def exchange(a, b):
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.renameat2(-100, os.fsencode(str(a)), -100,
                          os.fsencode(str(b)), 2) == 0, ctypes.get_errno()


def model(before, with_data):
    """What change() makes of the tree BEFORE."""
    t = dict(before)

    def bytes_of(path):
        return t[path][2]

    def put(path, data):
        t[path] = (t[path][0], t[path][1], data)

    if with_data:
        put(b"d0/f1", bytes_of(b"d0/f1") + b"appended")
        old = bytes_of(b"d0/f2")
        put(b"d0/f2", old[:3] + b"XYZ" + old[6:])
        put(b"d0/f3", b"rewritten")
        put(b"d0/f14", bytes_of(b"d0/f14")[:7])
        put(b"d0/f5", bytes_of(b"d0/f5").ljust(5000, b"\0"))
    t[b"moved"] = t.pop(b"d1/f1")
    t[b"linked"] = t.pop(b"d1/f2")
    t[b"d1/f4"] = t.pop(b"d1/f3")
    t[b"d1/f5"] = ("file", 0o600, t[b"d1/f5"][2])
    del t[b"d1/f6"]
    for path in [p for p in t if p == b"d2" or p.startswith(b"d2/")]:
        t[b"d9" + path[2:]] = t.pop(path)
    t[b"d9/g1"] = t.pop(b"d9/f1")
    t[b"d3/f1"], t[b"d3/f2"] = t[b"d3/f2"], t[b"d3/f1"]
    t[b"d4/f8"] = ("file", 0o644, b"saved as editors do\n")
    t[b"d4/f1"], t[b"d4/f2"] = t[b"d4/f2"], t[b"d4/f1"]
    return t


def test_changes_on_stubs(world, link):
    fill(world)
    want = model(tree(world.remote), True)
    link.mount()
    change(world)
    world.run("flush", "box", check=0)
    assert tree(world.remote) == want
    assert tree(world.mnt) == want
    world.umount()
    assert tree(world.remote) == want


@pytest.mark.parametrize("cut", [False, True])
def test_killed_with_changes_on_stubs(world, link, cut):
    """The daemon dies before, or (perhaps) while, the changes are sent."""
    fill(world)
    want = model(tree(world.remote), False)
    link.mount()
    link.set(".down", cut)
    link.set(".hold", not cut)
    metadata(world)
    os.kill(world.daemon_pid(), signal.SIGKILL)
    world.wait_state("crashed")
    link.set(".down", False)
    link.set(".hold", False)
    link.mount()
    world.run("flush", "box", check=0)
    assert tree(world.remote) == want
    assert tree(world.mnt) == want
    world.umount()


def test_changed_in_the_sandbox_meanwhile(world, link):
    fill(world)
    link.mount()
    os.stat(world.mnt / "d0" / "f7")
    write(world.remote / "d0" / "f7", "longer than it was before\n" * 40)
    write(world.remote / "d0" / "f9", "short\n")
    os.unlink(world.remote / "d0" / "f11")
    for name in ("f7", "f9"):
        assert (world.mnt / "d0" / name).read_bytes() == (
            world.remote / "d0" / name).read_bytes()
        assert os.stat(world.mnt / "d0" / name).st_size == os.stat(
            world.remote / "d0" / name).st_size
    with pytest.raises(OSError):
        (world.mnt / "d0" / "f11").read_bytes()
    assert world.status()["unsent"]["files"] == 0
    world.run("refresh", "box", check=0)
    assert not (world.mnt / "d0" / "f11").exists()
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


@pytest.mark.parametrize("mounted", [True, False])
def test_refresh_of_stubs(world, link, mounted):
    fill(world)
    link.mount()
    os.rename(world.mnt / "d2" / "f1", world.mnt / "renamed")
    os.chmod(world.mnt / "d2" / "f3", 0o600)
    world.run("flush", "box", check=0)
    if not mounted:
        world.umount()
    for i in range(20):
        write(world.remote / "d1" / f"f{i}", f"agent {i}\n" * 100)
    write(world.remote / "renamed", "agent\n" * 9)
    write(world.remote / "d2" / "f3", "agent\n" * 7)
    os.chmod(world.remote / "d3" / "f3", 0o700)
    for i in range(20, 25):
        os.unlink(world.remote / "d1" / f"f{i}")
    os.unlink(world.remote / "d1" / "f25")
    (world.remote / "d1" / "f25").mkdir()
    os.unlink(world.remote / "d1" / "f26")
    os.symlink("f1", world.remote / "d1" / "f26")
    write(world.remote / "d1" / "f27", "")
    if mounted:
        os.stat(world.mnt / "d1" / "f3")
        world.run("refresh", "box", check=0)
    else:
        link.mount()
    assert stats(world.mnt) == stats(world.remote)
    # Only what is no file came.
    assert world.status()["fetched"]["files"] <= 1
    assert world.status()["unsent"]["files"] == 0
    assert tree(world.mnt) == tree(world.remote)
    world.umount()
    assert (world.remote / "d2" / "f3").stat().st_mode & 0o777 == 0o600


def test_sandbox_changes_what_moved_here(world, link):
    fill(world)
    link.mount()
    link.set(".hold", True)
    os.rename(world.mnt / "d2" / "f1", world.mnt / "renamed")
    os.rename(world.mnt / "d3", world.mnt / "d8")
    write(world.remote / "d2" / "f1", "agent\n" * 9)
    write(world.remote / "d3" / "f1", "agent\n" * 8)
    link.set(".hold", False)
    world.run("refresh", "box", check=0)
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    assert (world.mnt / "renamed").read_text() == "agent\n" * 9
    assert (world.mnt / "d8" / "f1").read_text() == "agent\n" * 8
    assert not (world.mnt / "d2" / "f1").exists()
    world.umount()


def test_git_status(world, link):
    repo = world.remote
    fill(world)
    for args in (["init", "-q"], ["add", "-A"],
                 ["-c", "user.name=a", "-c", "user.email=a@b", "-c",
                  "gc.auto=0", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", repo, *args], check=True,
                       capture_output=True, env=world.env)
    write(repo / "d1" / "f1", "changed by the agent\n")
    link.mount()
    env = dict(world.env, GIT_OPTIONAL_LOCKS="0")
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", world.mnt, "status",
         "--porcelain"], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == " M d1/f1\n"
    world.umount()


def test_prefetch_all(world, link):
    fill(world)
    want = tree(world.remote)
    link.mount("--prefetch", "all")
    assert not stubs(world)
    link.set(".down", True)
    assert tree(world.mnt) == want
    link.set(".down", False)
    world.umount()


def test_prepare_brings_everything(world, link):
    fill(world)
    world.run("prepare", "--name", "box", link.spec, check=0)
    assert not stubs(world)
    got = tree(mirror(world))
    assert {p: e[2] for p, e in got.items()} == {
        p: e[2] for p, e in tree(world.remote).items()}


def test_sticky_bit_of_a_user(world, link):
    fill(world)
    link.mount()
    m = world.mnt
    for name in ("d0/f0", "d0/f1"):
        if name == "d0/f1":
            (m / name).read_bytes()
        os.chmod(m / name, 0o1640)
        assert os.stat(m / name).st_mode & 0o7777 == 0o1640
    fd = os.open(m / "made", os.O_CREAT | os.O_WRONLY, 0o1644)
    os.write(fd, b"made")
    os.close(fd)
    os.mknod(m / "node", 0o101600)
    write(m / "node", "node")
    world.umount()
    assert "made" not in stubs(world) and "node" not in stubs(world)
    link.mount()
    assert (m / "made").read_bytes() == b"made"
    assert (m / "node").read_bytes() == b"node"
    assert (m / "d0" / "f0").read_bytes() == b"0 0\n"
    assert (m / "d0" / "f1").read_bytes() == b"0 1\n" * 2
    world.umount()
    assert tree(world.mnt) == {}
    assert (world.remote / "made").read_bytes() == b"made"


def test_many_waiting_threads(world, link):
    """Reads of one process that wait do not stand in one another's way."""
    fill(world)
    link.mount()
    link.set(".hold", True)
    got = {}

    def read(d, i):
        got[d, i] = (world.mnt / f"d{d}" / f"f{i}").read_bytes()

    threads = [threading.Thread(target=read, args=(d, i))
               for d in range(6) for i in range(32)]
    for t in threads:
        t.start()
    assert len(os.listdir(world.mnt)) == 9
    link.set(".hold", False)
    for t in threads:
        t.join(60)
    assert got == {(d, i): f"{d} {i}\n".encode() * (i + 1)
                   for d in range(6) for i in range(32)}
    world.umount()


def test_sandbox_removed_what_a_batch_needs(world, link):
    """The bytes of a file that was renamed over another are gone there."""
    fill(world)
    link.mount()
    link.set(".hold", True)
    os.rename(world.mnt / "d1" / "f3", world.mnt / "d1" / "f4")
    write(world.mnt / "new", "new\n")
    os.unlink(world.remote / "d1" / "f3")
    link.set(".hold", False)
    world.run("flush", "box", check=0)
    assert (world.remote / "new").read_bytes() == b"new\n"
    assert not (world.mnt / "d1" / "f3").exists()
    assert tree(world.mnt) == tree(world.remote)
    world.umount()

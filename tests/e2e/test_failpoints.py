"""The process is killed at each point where something becomes lasting or is
told to another party; whoever comes after it finds nothing lost, nothing done
twice and nothing left over.

Each scenario is run once to list the points it passes, then once for each of a
spread choice of them with the process killed there: SHARE of them, or as many
as SANDMOUNT_POINTS says, or "all". Each point is a life of a session.
"""
import errno
import os
import pathlib
import signal
import subprocess

import pytest

import conftest
import proof
from conftest import World, tree, write

POINTS = os.environ.get("SANDMOUNT_POINTS")
DIED = (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENODEV)


@pytest.fixture(scope="module", autouse=True)
def program():
    """The variant of the program with the points compiled in."""
    top = pathlib.Path(__file__).parents[2]
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "BUILD")}
    build = top / "build" / "failpoints"
    subprocess.run(["make", "-s", "-j2", "FAILPOINTS=1", "OPT=-O1 -g",
                    f"BUILD={build}", "all"], cwd=top, env=env, check=True,
                   stdout=subprocess.DEVNULL)
    old = conftest.SANDMOUNT
    conftest.SANDMOUNT = str(build / "sandmount")
    yield
    conftest.SANDMOUNT = old


class Scenario:
    """One life of a session, with the env of the process to be killed."""

    def __init__(self, top):
        self.world = World(top)
        self.log = top / "points"
        self.env = {"SANDMOUNT_FAILPOINT_LOG": str(self.log)}

    def close(self):
        self.world.clean()

    def seed(self):
        w = self.world
        for i in range(6):
            write(w.local / f"d{i % 2}" / f"f{i}", f"base {i}\n" * 20)
        write(w.local / "big", b"\1" * 50000)
        write(w.local / "run.sh", "#!/bin/sh\n", 0o755)
        os.symlink("d0/f0", w.local / "link")

    def passed(self):
        return self.log.read_text().split() if self.log.exists() else []


def settle(w):
    """Ends what an earlier process left; all of it must come home."""
    r = w.run("recover")
    assert r.code == 0, r
    assert not w.is_mounted()


def no_leftovers(w):
    for top in (w.local, w.remote):
        left = [p for p in tree(top) if b".sandmount-" in p or
                p.endswith(b".conflict")]
        assert not left, left
    known = {"session.json", "state.db", "state.db-wal", "state.db-shm",
             "mirror", "base", "parts", "trash", "log", "lock", "report.json"}
    left = [p for p in os.listdir(w.session()) if p not in known]
    left += os.listdir(w.session() / "parts")
    assert not left, left


def same_everywhere(w, want=None):
    local = tree(w.local)
    assert tree(w.remote) == local
    if want is not None:
        assert local == want
    no_leftovers(w)


# --- prepare ----------------------------------------------------------------


def prepare(s):
    w = s.world
    s.seed()
    before = tree(w.local)
    write(w.remote / "stale", "to be deleted\n")
    write(w.remote / "d0" / "f0", "other\n")
    w.run("prepare", "--name", "box", "--local", w.local, w.spec, env=s.env)
    yield
    assert tree(w.local) == before
    w.prepare()
    same_everywhere(w, before)
    r = w.restore().json
    assert not r["applied"] and not r["deleted"]


# --- restore ----------------------------------------------------------------


def agent_works(w):
    write(w.remote / "d0" / "f0", "agent\n" * 30)
    write(w.remote / "new" / "deep" / "file", "agent's\n")
    os.unlink(w.remote / "d1" / "f1")
    os.rename(w.remote / "d1" / "f3", w.remote / "d0" / "moved")
    os.chmod(w.remote / "d1" / "f5", 0o755)
    os.unlink(w.remote / "link")
    os.symlink("d0/f2", w.remote / "link")
    write(w.remote / "big", b"\2" * 60000)


def old_or_new(w, old, new):
    for path, entry in tree(w.local).items():
        name = path.split(b"/")[-1]
        if name.startswith(b".sandmount-"):
            continue
        found = {"old": old.get(path), "new": new.get(path)}
        assert entry in found.values() or entry[0] == "dir", path


def restore(s):
    w = s.world
    s.seed()
    w.prepare()
    old = tree(w.local)
    agent_works(w)
    new = tree(w.remote)
    w.run("restore", "box", env=s.env)
    yield
    old_or_new(w, old, new)
    settle(w)
    if tree(w.local) == old:    # killed before it had begun
        w.restore()
    same_everywhere(w, new)
    r = w.restore().json
    assert not r["applied"] and not r["deleted"]


def undo(s):
    w = s.world
    s.seed()
    w.prepare()
    old = tree(w.local)
    agent_works(w)
    new = tree(w.remote)
    w.restore()
    w.run("restore", "--undo", "box", env=s.env)
    yield
    old_or_new(w, old, new)
    assert w.run("recover").code == 0
    if tree(w.local) != old:    # killed before it had begun
        assert tree(w.local) == new
        w.restore("--undo")
    assert tree(w.local) == old
    no_leftovers(w)


# --- a mount ----------------------------------------------------------------


class Mounted:
    """Work in a mount, and what must be there of it: FILES holds for each
    path the contents that it may have."""

    def __init__(self, w):
        self.w = w
        self.files = {}
        self.alive = True
        for p in w.local.rglob("*"):
            if p.is_file() and not p.is_symlink():
                rel = str(p.relative_to(w.local))
                self.files[rel] = [p.read_bytes()]

    def do(self, act, done, maybe):
        """DONE: what holds once ACT returned; MAYBE: also possible when the
        daemon died in it."""
        if not self.alive:
            return
        try:
            act()
        except OSError as e:
            assert e.errno in DIED, e
            self.alive = False
            for path, more in maybe.items():
                self.files[path] = self.files.get(path, [None]) + more
        else:
            self.files.update(done)

    def write(self, path, data):
        steps = [data[:n] for n in range(0, len(data) + 1,
                                         max(1, len(data)))]
        self.do(lambda: write(self.w.mnt / path, data), {path: [data]},
                {path: steps})

    def remove(self, path):
        self.do(lambda: os.unlink(self.w.mnt / path), {path: [None]},
                {path: [None]})

    def rename(self, a, b):
        data = self.files.get(a, [None])
        self.do(lambda: os.rename(self.w.mnt / a, self.w.mnt / b),
                {a: [None], b: data}, {a: [None], b: data})

    def check(self, top):
        for path, allowed in self.files.items():
            at = top / path
            got = at.read_bytes() if at.exists() else None
            assert got in allowed, (path, got, allowed)


def mount(s, how):
    w = s.world
    s.seed()
    r = w.run("mount", "--json", "--name", "box", "--local", w.local, w.spec,
              w.mnt, env=s.env)
    m = Mounted(w)
    m.alive = r.code == 0
    m.write("new.txt", b"one\n" * 10)
    m.write("d0/f0", b"changed\n" * 10)
    m.write("big", b"\3" * 90000)
    m.rename("d1/f1", "d0/renamed")
    m.remove("d0/f2")
    w.run("flush", "box")
    m.write("new.txt", b"two\n" * 10)
    m.write("tmp~", b"saved\n")
    m.rename("tmp~", "d0/f4")
    w.run("flush", "box")
    if r.code == 0:
        write(w.remote / "agent", "agent\n")
        m.files["agent"] = [b"agent\n"]
    w.run("refresh", "box")
    m.write("last", b"last\n")
    w.run("umount", w.mnt)
    yield
    if r.code != 0 and not m.alive and w.run("status", "box").code:
        # Killed before the session was: nothing to take up.
        w.mount()
    elif how == "mount":
        w.mount()
        m.check(w.mnt)
    else:
        settle(w)
        m.check(w.local)
        w.mount()
        m.check(w.mnt)
    r = w.umount().json
    assert not r["conflicts"] and not r["held"], r
    m.check(w.local)
    m.check(w.remote)
    same_everywhere(w)


def mount_again(s):
    yield from mount(s, "mount")


def mount_recover(s):
    yield from mount(s, "recover")


def recover(s):
    """The recovery of a crash is killed as well."""
    w = s.world
    s.seed()
    w.mount()
    m = Mounted(w)
    m.write("unsent", b"unsent\n" * 10)
    m.rename("d0/f0", "d1/renamed")
    m.remove("d0/f2")
    m.write("big", b"\4" * 70000)
    write(w.remote / "agent", "agent\n")
    m.files["agent"] = [b"agent\n"]
    os.kill(w.daemon_pid(), signal.SIGKILL)
    w.wait_state("crashed")
    w.run("recover", env=s.env)
    yield
    settle(w)
    m.check(w.local)
    same_everywhere(w)


SHARE = {prepare: 5, restore: 8, undo: 4, mount_again: 2, mount_recover: 2,
         recover: 4}


def run(scenario, top, point=None):
    """Runs SCENARIO, killed at POINT; the points it passed."""
    top.mkdir()
    s = Scenario(top)
    if point:
        s.env["SANDMOUNT_FAILPOINT"] = point
    try:
        steps = scenario(s)
        next(steps)
        passed = s.passed()
        for _ in steps:
            pass
    finally:
        s.close()
    return passed


def choose(points, n):
    """N of them, evenly spread; the same ones for the same list."""
    n = min(n, len(points))
    return [points[(2 * i + 1) * len(points) // (2 * n)] for i in range(n)]


@pytest.mark.parametrize("scenario", SHARE, ids=lambda f: f.__name__)
def test_killed_at_each_point(scenario, tmp_path):
    points = list(dict.fromkeys(run(scenario, tmp_path / "all")))
    assert len(points) > 20, points
    if POINTS != "all":
        points = choose(points, int(POINTS or SHARE[scenario]))
    died = 0
    for i, point in enumerate(points):
        try:
            passed = run(scenario, tmp_path / f"at{i}", point)
        except BaseException as e:
            e.args = (f"killed at {point}: {e}", *e.args[1:])
            raise
        died += point in passed
        proof.count("kill points survived", point in passed)
    assert died, points

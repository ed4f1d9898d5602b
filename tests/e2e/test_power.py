"""The power fails at any call that changes a file; what the disk then has
(power.py says what is modelled) is as good as promised: each local path is old
or new, nothing completed is lost, the next command finishes.

SPREAD points of each scenario, spread evenly, each with one of the models in
turn; or as many as SANDMOUNT_CUTS says, or "all" with each model.
"""
import os

import pytest

import conftest
import power
import proof
from conftest import World, tree, write
from test_failpoints import agent_works, choose, old_or_new

CUTS = os.environ.get("SANDMOUNT_CUTS")
SPREAD = 5

pytestmark = pytest.mark.skipif(not power.can_record(),
                                reason="strace cannot record here")


class Scenario:
    """prepare() is not recorded, ARGS is, check() looks at what is left."""

    def __init__(self, top):
        top.mkdir()
        self.w = w = World(top)
        for i in range(6):
            write(w.local / f"d{i % 2}" / f"f{i}", f"base {i}\n" * 20)
        write(w.local / "big", b"\1" * 50000)
        write(w.local / "run.sh", "#!/bin/sh\n", 0o755)
        os.symlink("d0/f0", w.local / "link")
        self.prepare()
        self.old = tree(w.local)

    def record(self):
        before = power.Disk(self.w.top, self.w.remote)
        log = self.w.top.with_name("calls")
        done = power.record([conftest.SANDMOUNT, *map(str, self.args)], log,
                            env=self.w.env, capture_output=True, timeout=300)
        assert done.returncode == 0, done
        return power.Recording(before, log)


def no_temporaries(w):
    for top in (w.local, w.remote):
        left = [p for p in tree(top) if b".sandmount-" in p or
                p.endswith(b".conflict")]
        assert not left, left


def same_everywhere(w, want):
    assert tree(w.local) == want
    assert tree(w.remote) == want
    no_temporaries(w)


class Prepare(Scenario):
    def prepare(self):
        w = self.w
        self.args = ["prepare", "--name", "box", "--local", w.local, w.spec]

    def check(self):
        w = self.w
        assert tree(w.local) == self.old
        w.run(*self.args, check=0)
        same_everywhere(w, self.old)
        r = w.restore().json
        assert not r["applied"] and not r["deleted"], r


class Restore(Scenario):
    def prepare(self):
        self.w.prepare()
        agent_works(self.w)
        self.new = tree(self.w.remote)
        self.args = ["restore", "box"]

    def check(self):
        w = self.w
        old_or_new(w, self.old, self.new)
        assert w.run("recover").code == 0
        if tree(w.local) == self.old:   # before it had begun
            w.restore()
        same_everywhere(w, self.new)
        kept = [p.read_bytes() for p in w.session().glob("trash/**/*")
                if p.is_file() and not p.is_symlink()]
        for path, entry in self.old.items():
            if entry[0] == "file" and self.new.get(path, entry)[2] != entry[2]:
                assert entry[2] in kept, path


class Undo(Scenario):
    def prepare(self):
        w = self.w
        w.prepare()
        self.base = tree(w.local)
        agent_works(w)
        w.restore()
        self.args = ["restore", "--undo", "box"]

    def check(self):
        w = self.w
        old_or_new(w, self.base, self.old)
        assert w.run("recover").code == 0
        if tree(w.local) != self.base:
            assert tree(w.local) == self.old
            w.restore("--undo")
        assert tree(w.local) == self.base
        no_temporaries(w)


class Send(Scenario):
    """A batch and its acknowledgement; what the user wrote is in the mirror
    and not yet on the disk."""

    def prepare(self):
        w = self.w
        w.prepare()
        mirror = w.session() / "mirror"
        write(mirror / "unsent", b"unsent\n" * 10)
        write(mirror / "big", b"\4" * 70000)
        os.rename(mirror / "d0" / "f0", mirror / "d1" / "renamed")
        os.unlink(mirror / "d0" / "f2")
        self.new = tree(mirror)
        self.args = ["flush", "box"]

    def record(self):
        made = super().record()
        mirror = os.fsencode(str(self.w.session() / "mirror"))
        before, old = made.before, self.old
        top = before.find(mirror)
        for node, path in self.walk(top, b""):
            was = old.get(path, (None, 0, b""))
            node.synced = was[2]
        names = {p for p in old if b"/" not in p}
        top.synced_names = {n: c for n, c in top.names.items() if n in names}
        return made

    def walk(self, node, path):
        for name, child in node.names.items():
            at = os.path.join(path, name)
            if child.kind == "file":
                yield child, at
            yield from self.walk(child, at)

    def check(self):
        """What had arrived in the sandbox stays; the rest may be as it was,
        or lost as on any disk."""
        w = self.w
        arrived = {p: e for p, e in tree(w.remote).items()
                   if self.old.get(p) != e}
        w.run("flush", "box", check=0)
        there = tree(w.remote)
        for path, entry in arrived.items():
            assert there.get(path) == entry, path
        assert tree(w.session() / "mirror") == there
        w.restore()
        same_everywhere(w, there)


class Refresh(Scenario):
    """The sandbox's work comes into the mirror."""

    def prepare(self):
        self.w.prepare()
        agent_works(self.w)
        self.new = tree(self.w.remote)
        self.args = ["refresh", "box"]

    def check(self):
        w = self.w
        assert tree(w.local) == self.old
        w.run("refresh", "box", check=0)
        assert tree(w.session() / "mirror") == self.new
        w.restore()
        same_everywhere(w, self.new)


def points(last):
    if CUTS == "all":
        return [(n, m) for n in range(last + 1) for m in power.MODES]
    chosen = choose(range(last + 1), int(CUTS or SPREAD))
    return [(n, power.MODES[i % len(power.MODES)])
            for i, n in enumerate(chosen)]


@pytest.mark.parametrize("kind", [Prepare, Restore, Undo, Send, Refresh],
                         ids=lambda k: k.__name__.lower())
def test_power_fails(tmp_path, kind):
    s = kind(tmp_path / "w")
    try:
        made = s.record()
        end = made.replay()
        after = [tree(top) for top in (s.w.local, s.w.remote)]
        end.store("all")
        # The model itself: with everything done it is what the disk has.
        differ = {p: (a.get(p), b.get(p))
                  for a, b in zip(after, [tree(s.w.local), tree(s.w.remote)])
                  for p in {*a, *b} if a.get(p) != b.get(p)}
        assert not differ
        assert end.changes > 30
        for n, mode in points(end.changes):
            made.replay(n).store(mode)
            try:
                s.check()
            except BaseException as e:
                e.args = (f"cut after change {n}, {mode}: {e}", *e.args[1:])
                raise
            proof.count("power failures survived")
    finally:
        s.w.clean()

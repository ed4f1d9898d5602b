"""Two writers, one in the mount and one in the sandbox, work on the same files,
while the line between them (a provider's pipe; HTTP to E2B's and Cloudflare's
kind of server) delays, cuts, damages, lies, does things twice and late, and the
daemon is killed; a model knows what each of them has completed. When the line is good again, both sides and then the
local directory are the same, and everything completed is there: in place,
merged, or in a conflict copy; once, and no copy of a copy.

Each edit is one step for whoever looks at it (an append, a slot overwritten, a
rename, a deletion), so that what it supersedes is exactly what was there then.

SANDMOUNT_WRITERS_MINUTES goes on with further seeds for that long.
"""
import os
import random
import re
import signal
import time

import pytest

import badline
import proof
from conftest import World, tree, write

MINUTES = float(os.environ.get("SANDMOUNT_WRITERS_MINUTES", "0"))
LINES_TO = {"pipe": 3, "e2b": 2, "cloudflare": 2}   # and rounds
EDITS = 14
TOKEN = re.compile(rb"<[ms]\d+>")
SLOT = 16       # bytes, the newline included
LINES = 30      # of a file of slots: the first ten are the mount's
LOGS = ["log", "d/log", "d/e/log"]
SLOTS = ["slots", "d/slots", "x/y/slots"]


def slot(text=b""):
    return text.ljust(SLOT - 1, b".") + b"\n"


class Writer:
    """One side. MUST holds each completed token that nothing superseded, and
    the path it was written at."""

    def __init__(self, letter, top, rng, must):
        self.letter, self.top, self.rng, self.must = letter, top, rng, must
        self.last = {}      # (path, slot) -> token
        self.count = 0
        self.own = []       # names only this side gives

    def token(self):
        self.count += 1
        return b"<%s%d>" % (self.letter.encode(), self.count)

    def in_place(self, fd, path):
        """Whether PATH still is the file that FD is: else somebody put another
        in its place in this very moment, and what was written may have been
        meant for nobody."""
        try:
            there = os.stat(self.top / path)
        except FileNotFoundError:
            return False
        return os.fstat(fd).st_ino == there.st_ino

    def open(self, path, flags):
        try:
            return os.open(self.top / path, flags)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def append(self):
        path = self.rng.choice(LOGS + self.own)
        fd = self.open(path, os.O_WRONLY | os.O_APPEND)
        if fd is None:
            return
        token = self.token()
        os.write(fd, token + b"\n")
        if self.in_place(fd, path):
            self.must[token] = path
        os.close(fd)

    def overwrite(self):
        path = self.rng.choice(SLOTS)
        n = self.rng.randrange(10) + (0 if self.letter == "m" else LINES - 10)
        fd = self.open(path, os.O_RDWR)
        if fd is None:
            return
        token = self.token()
        before = os.pread(fd, SLOT, n * SLOT)
        os.pwrite(fd, slot(token), n * SLOT)
        if self.in_place(fd, path):
            for old in TOKEN.findall(before):
                self.must.pop(old, None)
            old = self.last.get((path, n))
            self.must.pop(old, None)
            self.must[token] = path
        else:
            self.must.pop(self.last.get((path, n)), None)
        self.last[path, n] = token
        os.close(fd)

    def create(self):
        token = self.token()
        where = self.rng.choice(["", "d/", "x/", f"new{self.letter}/"])
        path = f"{where}{self.letter}{self.count}"
        at = self.top / path
        at.parent.mkdir(parents=True, exist_ok=True)
        temp = at.with_name(f".{at.name}~")
        temp.write_bytes(token + b"\n")
        os.rename(temp, at)
        self.must[token] = path
        self.own.append(path)

    def rename(self):
        if not self.own:
            return
        old = self.rng.choice(self.own)
        new = f"{old}r"
        try:
            os.rename(self.top / old, self.top / new)
        except FileNotFoundError:
            return
        self.own.remove(old)
        self.own.append(new)

    def delete(self):
        path = self.rng.choice(self.own + LOGS)
        fd = self.open(path, os.O_RDONLY)
        if fd is None:
            return
        try:
            os.unlink(self.top / path)
        except FileNotFoundError:
            os.close(fd)
            return
        gone = TOKEN.findall(os.pread(fd, 1 << 20, 0))
        if os.fstat(fd).st_nlink:   # another one went
            gone = [t for t, p in self.must.items() if p == path]
        os.close(fd)
        for token in gone:
            self.must.pop(token, None)
        if path in self.own:
            self.own.remove(path)

    def edit(self):
        self.rng.choices([self.append, self.overwrite, self.create,
                          self.rename, self.delete], [6, 6, 2, 1, 1])[0]()


class Run:
    def __init__(self, top, kind, seed):
        top.mkdir()
        self.w = w = World(top)
        self.seed = seed
        self.rng = random.Random(seed)
        self.line = badline.make(kind, w)
        for path in LOGS:
            write(w.local / path, "")
        for path in SLOTS:
            write(w.local / path, slot() * LINES)
        self.must = {}
        self.writers = [Writer("m", w.mnt, self.rng, self.must),
                        Writer("s", w.remote, self.rng, self.must)]
        self.mount()

    def mount(self):
        w = self.w
        w.run("mount", "--name", "box", "--timeout", "120", "--local", w.local,
              self.line.spec, w.mnt, check=0)

    def crash(self):
        """The daemon is killed; `mount` takes the session up again."""
        pid = self.w.daemon_pid()
        self.line.off()
        os.kill(pid, signal.SIGKILL)
        self.w.wait_state("crashed")
        self.mount()

    def round(self):
        self.line.on(self.seed)
        for _ in range(EDITS):
            self.rng.choice(self.writers).edit()
            what = self.rng.random()
            if what < 0.12:
                self.w.run("refresh", "box")
            elif what < 0.24:
                self.w.run("flush", "box")
        if self.rng.random() < 0.25:
            self.crash()

    def settle(self):
        """Both sides are the same, and stay so."""
        self.line.off()
        end = time.monotonic() + 400
        while True:
            done = [self.w.run(c, "box") for c in
                    ("flush", "refresh", "flush")]
            here, there = tree(self.w.mnt), tree(self.w.remote)
            if not any(r.code for r in done) and here == there:
                return here
            assert time.monotonic() < end, (done, {
                p: (here.get(p), there.get(p)) for p in {*here, *there}
                if here.get(p) != there.get(p)})

    def check(self, found):
        where = {}
        for path, entry in found.items():
            tokens = TOKEN.findall(entry[2])
            assert path.count(b".conflict") < 2, path
            assert b".sandmount" not in path, path
            assert len(tokens) == len(set(tokens)), (path, entry)
            for token in tokens:
                where.setdefault(token, []).append(path)
        lost = {t: p for t, p in self.must.items() if t not in where}
        assert not lost, (lost, found)

    def finish(self):
        r = self.w.run("umount", self.w.mnt)
        assert r.code in (0, 3), r
        local = tree(self.w.local)
        assert local == tree(self.w.remote)
        self.check(local)


def run(top, kind, seed):
    r = Run(top, kind, seed)
    try:
        for _ in range(LINES_TO[kind]):
            r.round()
            r.check(r.settle())
            proof.count("completed writes of two writers", len(r.must))
        r.finish()
    except BaseException as e:
        e.args = (f"{kind}, seed {seed}: {e}", *e.args[1:])
        raise
    finally:
        faults = r.line.faults()
        r.w.clean()
        r.line.close()
    proof.count("schedules of faults", 1)
    proof.count("faults of the line", faults)


@pytest.mark.parametrize("kind", LINES_TO)
def test_two_writers(tmp_path, kind):
    run(tmp_path / "w", kind, 1)


@pytest.mark.skipif(not MINUTES, reason="set SANDMOUNT_WRITERS_MINUTES")
def test_two_writers_for_long(tmp_path):
    end = time.monotonic() + MINUTES * 60
    seed = 1000
    while time.monotonic() < end:
        kind = list(LINES_TO)[seed % len(LINES_TO)]
        run(tmp_path / str(seed), kind, seed)
        seed += 1

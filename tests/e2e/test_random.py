"""Long random sequences of operations by several processes give the same on the
mount as on a plain directory, errno by errno, and after a flush the sandbox is
equal. A failure is shrunk to a short script.

SANDMOUNT_RANDOM_SEEDS and SANDMOUNT_RANDOM_STEPS say how many and how long;
SANDMOUNT_RANDOM_HOURS goes on with further seeds for that long.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import time

import pytest

from conftest import tree

OPS = pathlib.Path(__file__).with_name("posix_ops.py")
SEEDS = int(os.environ.get("SANDMOUNT_RANDOM_SEEDS", "3"))
STEPS = int(os.environ.get("SANDMOUNT_RANDOM_STEPS", "800"))
HOURS = float(os.environ.get("SANDMOUNT_RANDOM_HOURS", "0"))
WORKERS = 3
SHRINK_RUNS = 400

NAMES = ["a", "b", "c", "d", "d/x", "d/y", "d/z", "e", "e/x", "e/f", "e/f/z",
         "e/f/y", "gone/q", "l/x"]
DIRS = [".", "d", "e", "e/f"]
MODES = ["0755", "0700", "0711", "0777"]
FLAGS = ["RDONLY", "RDWR", "WRONLY", "RDWR|CREAT", "WRONLY|CREAT|TRUNC",
         "WRONLY|APPEND", "RDWR|CREAT|EXCL", "RDWR|TRUNC", "RDONLY|DIRECTORY",
         "RDWR|NOFOLLOW"]


def word(rng):
    return rng.choice("abcdefgh") * rng.choice([1, 7, 300, 5000])


# How often, and what: $p and $q names, $d a directory, $h and $k handles, $o an
# offset, $n a length, $w a word, $m a mode, $f flags.
STEPS_TABLE = [
    (6, "create $p $m $w"), (3, "mkdir $p $m"), (4, "unlink $p"),
    (2, "rmdir $p"), (8, "rename $p $q"), (2, "rename2 $p $q noreplace"),
    (3, "rename2 $p $q exchange"), (3, "link $p $q"), (2, "symlink $q $p"),
    (2, "symlink d l"), (2, "chmod $p $m"), (3, "truncate $p $o"),
    (2, "utimens $p 5 $o"), (1, "utimens ^$p 7 $o"), (4, "stat ^$p"),
    (2, "stat $p"), (1, "readlink $p"), (3, "ls $d"),
    (1, "types $d"), (3, "read $p"), (3, "write $p $w"), (6, "hopen $h $p $f"),
    (1, "hopen $h $d TMPFILE|RDWR"), (1, "hlinkat $h $p"), (2, "hclose $h"),
    (3, "hread $h $n"), (2, "hpread $h $n $o"), (5, "hwrite $h $w"),
    (3, "hpwrite $h $w $o"), (3, "hstat $h"), (2, "htruncate $h $o"),
    (1, "hchmod $h $m"), (1, "hfallocate $h alloc $o $n"),
    (1, "hfallocate $h keep $o $n"), (1, "hfallocate $h punch $o $n"),
    (1, "hcopy $h $o $k $o $n"), (1, "hseek $h $o data"),
    (1, "hseek $h $o hole"), (1, "hmap $h 0 mapped"), (1, "hsync $h"),
]


def fill(rng, line):
    parts = {"p": lambda: rng.choice(NAMES), "q": lambda: rng.choice(NAMES),
             "d": lambda: rng.choice(DIRS), "h": lambda: str(rng.randrange(3)),
             "k": lambda: str(rng.randrange(3)), "w": lambda: word(rng),
             "o": lambda: str(rng.choice([0, 1, 100, 4096, 5000, 12288])),
             "n": lambda: str(rng.choice([1, 200, 4096, 9000])),
             "m": lambda: rng.choice(MODES), "f": lambda: rng.choice(FLAGS)}
    out, rest = "", line
    while "$" in rest:
        before, rest = rest.split("$", 1)
        out += before + parts[rest[0]]()
        rest = rest[1:]
    return out + rest


def make_steps(seed, count):
    """COUNT pairs of a worker's number and a line for it."""
    rng = random.Random(seed)
    weights = [w for w, _ in STEPS_TABLE]
    lines = [line for _, line in STEPS_TABLE]
    return [(rng.randrange(WORKERS),
             fill(rng, rng.choices(lines, weights)[0])) for _ in range(count)]


class Side:
    """Several processes that work in one directory."""

    def __init__(self, top):
        self.top = top
        top.mkdir()
        self.workers = [subprocess.Popen(
            [sys.executable, "-B", str(OPS), "--serve", str(top)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(WORKERS)]

    def do(self, worker, line):
        w = self.workers[worker]
        w.stdin.write(line + "\n")
        w.stdin.flush()
        return json.loads(w.stdout.readline())

    def close_files(self):
        for i in range(WORKERS):
            self.do(i, "")

    def stop(self):
        for w in self.workers:
            w.stdin.close()
            w.wait(60)
            w.stdout.close()


class Pair:
    """The plain directory and the mount; each run in fresh directories."""

    def __init__(self, world):
        self.plain_top = world.top / "plain"
        self.plain_top.mkdir()
        self.mount_top = world.mnt
        self.number = 0

    def run(self, steps):
        """The first difference of a run, or None; and its directories."""
        self.number += 1
        plain = Side(self.plain_top / f"run{self.number}")
        mount = Side(self.mount_top / f"run{self.number}")
        found = None
        try:
            for i, (worker, line) in enumerate(steps):
                want, got = plain.do(worker, line), mount.do(worker, line)
                if want != got:
                    found = (i, f"{line}: plain {want}, mount {got}")
                    break
            plain.close_files()
            mount.close_files()
            if not found and tree(plain.top) != tree(mount.top):
                found = (len(steps) - 1, "the trees differ")
        finally:
            plain.stop()
            mount.stop()
        return found


def shrink(pair, steps):
    """Fewer steps, at the last of which there still is a difference."""
    size, runs = max(len(steps) // 2, 1), 0
    while runs < SHRINK_RUNS:
        at, smaller = 0, False
        while at < len(steps) and runs < SHRINK_RUNS:
            fewer = steps[:at] + steps[at + size:]
            runs += 1
            found = pair.run(fewer)
            if found and fewer[found[0]] == steps[-1]:
                steps, smaller = fewer[:found[0] + 1], True
            else:
                at += size
        if size == 1 and not smaller:
            break
        size = max(size // 2, 1)
    return steps


def check(world, pair, seed):
    steps = make_steps(seed, STEPS)
    found = pair.run(steps)
    if found:
        short = shrink(pair, steps[:found[0] + 1])
        final = pair.run(short)
        script = "\n".join(f"process {w}: {line}" for w, line in short)
        pytest.fail(f"seed {seed}: {found[1]}\nshrunk: "
                    f"{final[1] if final else 'not seen again'}\n{script}",
                    pytrace=False)
    world.run("flush", "box", check=0, timeout=120)
    assert tree(world.remote) == tree(pair.plain_top), f"seed {seed}"


def test_several_processes(world):
    world.mount()
    pair = Pair(world)
    for seed in range(SEEDS):
        check(world, pair, seed)
    seed, end = SEEDS, time.monotonic() + HOURS * 3600
    while time.monotonic() < end:
        check(world, pair, seed)
        seed += 1
    world.umount()
    assert tree(world.local) == tree(pair.plain_top)


def test_a_difference_is_shrunk(world):
    """The test itself: a mount that differs is caught and cut down."""
    pair = Pair(world)
    pair.mount_top = world.top / "other"
    pair.mount_top.mkdir()
    steps = make_steps(1, 60) + [(0, "statfs .")]

    class Liar(Side):
        def do(self, worker, line):
            got = super().do(worker, line)
            return "wrong" if line.startswith("statfs") and \
                self.top.parent == pair.mount_top else got

    globals()["Side"], real = Liar, Side
    try:
        assert shrink(pair, steps) == [(0, "statfs .")]
    finally:
        globals()["Side"] = real

"""A sandbox that lies: in listings, in archives, in names. Nothing leaves the
mirror and the local directory, nothing is deleted on its word alone, no memory
without bound, no terminal escapes on the user's terminal.

SANDMOUNT_HOSTILE=1 runs all cases; else a third of each table, and not those
that take hundreds of megabytes."""
import gzip
import io
import json
import os
import pathlib
import resource
import shutil
import stat
import subprocess
import sys
import tarfile

import pytest

import conftest
import proof
from conftest import tree, wait_for, write

ALL = "SANDMOUNT_HOSTILE" in os.environ
EACH = 1 if ALL else 3      # of the tables below
HERE = pathlib.Path(__file__).parent
CORPUS = HERE.parent / "fuzz" / "corpus"
TIME = "2026-01-02 03:04:05.123456789 +0000"


class Liar:
    def __init__(self, world):
        self.w = world
        self.lie_file = world.top / "lie"
        write(world.top / "config" / "sandmount" / "config.json", json.dumps(
            {"commands": {"liar": ["/usr/bin/python3", str(HERE / "liar.py"),
                                   str(self.lie_file)]}}))
        for i in range(5):
            write(world.local / f"d{i % 2}" / f"f{i}", f"base {i}\n")
        write(world.top / "outside", "outside\n")
        world.run("prepare", "--name", "box", "--timeout", "20", "--local",
                  world.local, f"command:liar:{world.remote}", check=0)
        self.before = tree(world.local)
        self.top_before = set(os.listdir(world.top))

    def lie(self, kind, text):
        data = text if isinstance(text, bytes) else text.encode()
        self.lie_file.write_bytes(kind.encode() + b"\n" + data)

    def run(self, *args, memory=1 << 30):
        """A command that may not take more than MEMORY."""
        done = subprocess.run(
            [conftest.SANDMOUNT, *args], env=self.w.env, timeout=300,
            capture_output=True, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_AS, (memory, memory)))
        for text in (done.stdout, done.stderr):
            bad = [c for c in text if (c < 32 and c not in b"\n\t") or
                   c == 127]
            assert not bad, text
            assert "\x9b" not in text.decode(errors="replace"), text
        assert done.returncode in (0, 1, 3, 4), done
        return done

    def unharmed(self):
        """What was there before is there, and nothing outside."""
        now = tree(self.w.local)
        for path, entry in self.before.items():
            assert now.get(path) == entry, path
        assert (self.w.top / "outside").read_text() == "outside\n"
        new = set(os.listdir(self.w.top)) - self.top_before - {"lie"}
        assert not new, new
        for top in (self.w.local, self.w.session() / "mirror"):
            for p in top.rglob("*"):
                st = p.lstat()
                assert not st.st_mode & 0o7000, p
                assert (stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode)
                        or stat.S_ISLNK(st.st_mode)), p

    def honest_again(self):
        self.lie_file.unlink()
        r = self.run("restore", "--json", "box")
        assert r.returncode == 0, r
        assert tree(self.w.local) == tree(self.w.remote)


@pytest.fixture
def liar(world):
    yield Liar(world)
    proof.count("hostile cases")


big = pytest.mark.skipif(not ALL, reason="takes long: set SANDMOUNT_HOSTILE=1")


# --- listings ----------------------------------------------------------------


def entry(name, mode="81a4", size=3, ino=99):
    return f"E {mode} {size} {TIME} {TIME} {ino} ./{name}\n"


def listing(*records):
    return "full\n" + "".join(records) + "Z\n"


LISTINGS = {
    "dotdot": listing(entry("../escape")),
    "dotdot-middle": listing(entry("d0/../../escape")),
    "absolute": listing(entry("x").replace("./x", "/etc/x")),
    "empty-name": listing(entry("")),
    "no-end": "full\n" + entry("x"),
    "cut": listing(entry("x"))[:-20],
    "garbage": "full\n\0\1\2\3" + "x" * 5000,
    "numbers": listing(entry("x", size=10 ** 30)),
    "nothing": "",
    "other-word": "\x1b]0;evil\x07\n",
    "gone": "gone\n",
    "failed": "failed \x1b[31mevil\x07\x9b31m\n",
    "error-record": listing("X \x1b[2Jevil\n"),
}


@pytest.mark.parametrize("name", sorted(LISTINGS)[::EACH])
def test_listing_that_makes_no_sense(liar, name):
    liar.lie("list", LISTINGS[name])
    liar.run("refresh", "box")
    r = liar.run("restore", "box")
    assert r.returncode in (0, 4), r
    liar.run("status", "box")
    liar.run("log", "box")
    liar.unharmed()
    liar.honest_again()
    assert tree(liar.w.local) == liar.before


@pytest.mark.parametrize("text", [listing(), "delta\nZ\n", "delta\n" + "".join(
    f"-{entry(f'd{i % 2}/f{i}')}" for i in range(5)) + "Z\n"],
    ids=["empty", "no-change", "delta"])
def test_listing_that_claims_all_is_deleted(liar, text):
    liar.lie("list", text)
    liar.run("refresh", "box")
    liar.run("restore", "box")
    if tree(liar.w.local) != liar.before:
        # Files that are said to be deleted one by one may have been: they are
        # in the trash.
        assert text.startswith("delta")
        liar.run("restore", "--undo", "box")
    liar.unharmed()


def test_names_are_never_printed_raw(liar):
    evil = "\x1b]0;evil\x07\x1b[31m\rname\x9b\u202e"
    liar.lie("list", listing(*(entry(f"d{i % 2}/f{i}") for i in range(5)),
                             entry("d0", "41ed"), entry("d1", "41ed"),
                             entry(evil, "41ed"), entry(evil + "/p", "11a4"),
                             entry(evil + "/link", "a1ff"),
                             f"L ./{evil}/link//{evil}\n",
                             f"U ./{evil}\n"))
    for command in (["refresh", "box"], ["diff", "box"], ["restore", "box"],
                    ["status", "box"], ["log", "box"], ["list"]):
        liar.run(*command)
    liar.unharmed()


@big
def test_endless_listing(liar):
    liar.lie("list endless", "full\n" + entry("x" * 200) * 100)
    r = liar.run("refresh", "box", memory=4 << 30)
    assert r.returncode != 0
    liar.unharmed()
    liar.honest_again()


# --- archives ----------------------------------------------------------------


def tar(*members):
    """Each (name, type, data or target, mode)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as t:
        for name, kind, data, mode in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, mode, 1700000000
            if kind == tarfile.REGTYPE:
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
            else:
                info.linkname = data
                t.addfile(info)
    return out.getvalue()


def header(name, size, kind):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


REG, LNK, SYM, CHR, DIR = (tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE,
                           tarfile.CHRTYPE, tarfile.DIRTYPE)
ARCHIVES = {
    "dotdot": tar(("../escape", REG, b"x", 0o644)),
    "dotdot-middle": tar(("d0/../../escape", REG, b"x", 0o644)),
    "absolute": tar(("/tmp/sandmount-escape", REG, b"x", 0o644)),
    "hard-link-out": tar(("new", LNK, "/etc/passwd", 0o644)),
    "hard-link-up": tar(("new", LNK, "../../../outside", 0o644)),
    "through-link": tar(("new", SYM, "..", 0o777),
                        ("new/escape", REG, b"x", 0o644)),
    "link-over-folder": tar(("d0", SYM, "../..", 0o777),
                            ("d0/escape", REG, b"x", 0o644)),
    "link-then-file": tar(("new", SYM, "../../outside", 0o777),
                          ("new", REG, b"evil", 0o644)),
    "device": tar(("new", CHR, "", 0o666)),
    "setuid": tar(("new", REG, b"x", 0o6755)),
    "twice": tar(("new", REG, b"one", 0o644), ("new", REG, b"two", 0o644)),
    "not-asked-for": tar(("d0/f0", REG, b"evil\n", 0o644),
                         ("d1/f1", REG, b"evil\n", 0o644)),
    "cut": tar(("new", REG, b"x" * 5000, 0o644))[:2000],
    "not-tar": b"\x1b]0;evil\x07" * 1000,
    "nothing": b"",
    "huge-name": header("new", 1 << 33, b"L"),
    "huge-pax": header("new", 1 << 33, b"x"),
    "huge-size": header("new", 1 << 60, REG) + b"x" * 4096,
    "sparse-bomb": (CORPUS / "tar" / "sparse-bomb").read_bytes(),
    "many-members": gzip.compress(tar(*((f"m{i}", REG, b"", 0o644)
                                        for i in range(20000))), 1),
}


@pytest.mark.parametrize("name", sorted(ARCHIVES)[::EACH])
def test_archive_that_lies(liar, name):
    write(liar.w.remote / "new", "new\n")
    liar.lie("fetch", ARCHIVES[name])
    liar.run("refresh", "box")
    liar.run("restore", "box")
    liar.run("status", "box")
    liar.run("log", "box")
    liar.unharmed()
    assert not os.path.lexists("/tmp/sandmount-escape")


@big
def test_endless_archive(liar):
    write(liar.w.remote / "new", "new\n")
    liar.lie("fetch endless", tar(("new", REG, b"x" * 4096, 0o644))[:4608])
    r = liar.run("refresh", "box")
    assert r.returncode != 0
    liar.unharmed()
    liar.honest_again()


# --- sizes -------------------------------------------------------------------


def test_archive_of_more_than_was_asked_for(liar):
    write(liar.w.remote / "new", "new\n")
    liar.lie("fetch", ARCHIVES["many-members"])
    r = liar.run("refresh", "box")
    assert r.returncode == 1 and b"refused" in r.stderr, r
    liar.unharmed()
    liar.honest_again()


def test_hole_larger_than_the_disk(liar):
    """A file that could never come home is refused by its name, at once."""
    with open(liar.w.remote / "hole", "wb") as f:
        f.truncate(shutil.disk_usage(liar.w.remote).free + (1 << 40))
    r = liar.run("restore", "box")
    assert r.returncode == 4, r
    liar.unharmed()
    os.unlink(liar.w.remote / "hole")
    liar.run("restore", "box")
    assert tree(liar.w.local) == tree(liar.w.remote)


@big
def test_folder_of_many(liar):
    folder = "".join(entry(f"many/name-of-a-file-{i:07}", ino=i + 1000)
                     for i in range(200000))
    liar.lie("list", listing(entry("many", "41ed"), folder))
    r = liar.run("refresh", "box")
    liar.run("restore", "box")
    assert r.returncode in (0, 1), r
    # It is a complete listing, of a sandbox that has deleted all else: what
    # that deletes here is in the trash.
    if not (liar.w.local / "d0").exists():
        liar.run("restore", "box", "--undo")
    liar.unharmed()


# --- while it is written -------------------------------------------------------


SWAPS = """
import os, sys
os.chdir(sys.argv[1])
outside = sys.argv[2]
print("ready", flush=True)
while True:
    for a in ("d0", "d1"):
        try:
            os.rename(a, "aside")
            os.symlink(outside, a)
            os.unlink(a)
            os.rename("aside", a)
        except OSError:
            pass
"""


def test_links_in_the_place_of_folders(world):
    """While a restore writes at home, somebody there puts links that lead out
    in the place of its folders, and takes them away: nothing is written or
    deleted where they lead."""
    for i in range(40):
        write(world.local / f"d{i % 2}" / f"f{i}", f"base {i}\n")
    world.prepare()
    outside = world.top / "outside"
    for i in range(40):
        write(outside / f"f{i}", f"base {i}\n")
    before = tree(outside)
    for i in range(40):
        if i % 4:
            write(world.remote / f"d{i % 2}" / f"f{i}", f"agent {i}\n")
        else:
            os.unlink(world.remote / f"d{i % 2}" / f"f{i}")
    swapper = subprocess.Popen(
        [sys.executable, "-c", SWAPS, str(world.local), str(outside)],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        assert swapper.stdout.readline() == b"ready\n"
        for _ in range(3):
            r = world.restore(check=None)
            assert r.code in (0, 1, 3, 4), r
            assert tree(outside) == before
    finally:
        swapper.kill()
        swapper.wait()
        swapper.stdout.close()
    for name in ("d0", "d1", "aside"):      # killed between two steps
        if (world.local / name).is_symlink():
            os.unlink(world.local / name)
    wait_for(lambda: world.restore(check=None).code in (0, 3))
    assert tree(outside) == before
    # A folder that was away when it was looked at was deleted, and came back
    # as it had been: each file is one of the two, and whole.
    for i in range(40):
        for top in (world.local, world.remote):
            at = top / f"d{i % 2}" / f"f{i}"
            assert not at.exists() or at.read_text() in (
                f"base {i}\n", f"agent {i}\n"), at
    proof.count("hostile cases")

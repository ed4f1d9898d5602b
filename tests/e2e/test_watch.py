"""The sandbox's changes as the mount's watchers, readers and caches see them."""
import mmap
import os
import shutil
import subprocess
import time

import pytest

from conftest import remove, tree, write

LIMIT = 60
WATCHED = "create,modify,close_write,move,delete,attrib"


class Watch:
    """inotifywait on the mount; events as (names, path) in their order."""

    def __init__(self, world):
        self.world = world
        self.p = subprocess.Popen(
            ["inotifywait", "-m", "-r", "-e", WATCHED, "--format", "%e|%w%f",
             str(world.mnt)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True)
        for line in self.p.stderr:
            if "Watches established" in line:
                break

    def events(self):
        """What happened so far: up to a mark made now."""
        mark = self.world.mnt / "mark"
        mark.write_text("")
        got = []
        for line in self.p.stdout:
            names, path = line.rstrip("\n").split("|")
            path = os.path.relpath(path, self.world.mnt)
            if path == "mark":
                break
            got.append((names.replace(",ISDIR", "/").replace(
                "CLOSE_WRITE,CLOSE", "CLOSE_WRITE"), path))
        mark.unlink()
        self.p.kill()
        self.p.wait()
        self.p.stdout.close()
        self.p.stderr.close()
        return got


@pytest.fixture
def box(world):
    if not shutil.which("inotifywait"):
        pytest.skip("no inotifywait here")
    write(world.local / "file", "one\n")
    write(world.local / "same", "1234\n")
    write(world.local / "gone", "gone\n")
    write(world.local / "mode", "mode\n", 0o644)
    (world.local / "empty").mkdir()
    os.symlink("file", world.local / "link")
    world.mount("--poll", "3600")
    return world


def refresh(box):
    box.run("flush", "box", check=0)
    box.run("refresh", "box", check=0)
    assert tree(box.mnt) == tree(box.remote)
    assert box.status()["unsent"]["files"] == 0


def test_exact_events(box):
    steps = [
        (lambda: write(box.remote / "new", "new\n"),
         [("CREATE", "new"), ("MODIFY", "new"), ("CLOSE_WRITE", "new")]),
        (lambda: write(box.remote / "file", "two and more\n"),
         [("MODIFY", "file"), ("CLOSE_WRITE", "file")]),
        (lambda: write(box.remote / "same", "5678\n"),
         [("MODIFY", "same"), ("CLOSE_WRITE", "same")]),
        (lambda: remove(box.remote / "gone"), [("DELETE", "gone")]),
        (lambda: (box.remote / "mode").chmod(0o755), [("ATTRIB", "mode")]),
        (lambda: remove(box.remote / "empty"), [("DELETE/", "empty")]),
    ]
    for act, want in steps:
        watch = Watch(box)
        act()
        refresh(box)
        # What happens to the file itself has no name below it.
        got = [e for e in watch.events() if e[1] in (p for _, p in want)]
        assert got == want
    watch = Watch(box)
    (box.remote / "dir").mkdir()
    refresh(box)
    assert ("CREATE/", "dir") in watch.events()
    watch = Watch(box)
    remove(box.remote / "link")
    os.symlink("new", box.remote / "link")
    remove(box.remote / "same")
    write(box.remote / "same" / "inside", "a directory now\n")
    refresh(box)
    seen = {p for _, p in watch.events()}
    assert "link" in seen and "same" in seen


def test_caches_are_right_at_once(box):
    assert not (box.mnt / "later").exists()      # a cached "there is none"
    assert (box.mnt / "file").read_text() == "one\n"
    inode = (box.mnt / "file").stat().st_ino
    write(box.remote / "later", "now\n")
    write(box.remote / "file", "two, and longer than one\n")
    remove(box.remote / "gone")
    refresh(box)
    assert (box.mnt / "later").read_text() == "now\n"
    assert (box.mnt / "file").read_text() == "two, and longer than one\n"
    assert (box.mnt / "file").stat().st_ino == inode
    assert not (box.mnt / "gone").exists()
    assert (box.mnt / "file").stat().st_mtime_ns == \
        (box.remote / "file").stat().st_mtime_ns
    assert sorted(os.listdir(box.mnt)) == sorted(
        n for n in os.listdir(box.remote) if n != ".sandmount")


def test_open_files(box):
    """A file that stays open shows the new content, by read and by mmap; a
    deleted one keeps its own."""
    size = 3 * 4096
    write(box.remote / "page", b"a" * size)
    refresh(box)
    with open(box.mnt / "page", "rb") as f, open(box.mnt / "gone") as gone:
        view = mmap.mmap(f.fileno(), size, prot=mmap.PROT_READ)
        assert view[:] == b"a" * size
        write(box.remote / "page", b"b" * size)
        remove(box.remote / "gone")
        refresh(box)
        assert view[:] == b"b" * size
        f.seek(0)
        assert f.read() == b"b" * size
        assert gone.read() == "gone\n"
        view.close()
    # Through a handle from before, what is written goes to the new content.
    with open(box.mnt / "page", "r+b", buffering=0) as f:
        write(box.remote / "page", b"c" * size)
        refresh(box)
        f.write(b"mine")
    box.run("flush", "box", check=0)
    assert (box.remote / "page").read_bytes() == b"mine" + b"c" * (size - 4)


def test_tail_follows(box):
    tail = subprocess.Popen(["tail", "-n", "+1", "-f", str(box.mnt / "file")],
                            stdout=subprocess.PIPE, text=True)
    assert tail.stdout.readline() == "one\n"
    with open(box.remote / "file", "a") as f:
        f.write("two\n")
    refresh(box)
    assert tail.stdout.readline() == "two\n"
    tail.kill()
    tail.wait()


def test_writes_while_the_sandbox_writes(box):
    """Nothing that the mount's user writes is taken for the sandbox's."""
    end = time.monotonic() + 4
    i = 0
    while time.monotonic() < end:
        i += 1
        write(box.remote / "theirs", f"{i}\n")
        write(box.mnt / "mine", f"{i}\n")
        box.run("refresh", "box", check=0)
    box.run("flush", "box", check=0)
    box.run("refresh", "box", check=0)
    assert tree(box.mnt) == tree(box.remote)
    assert (box.remote / "mine").read_text() == f"{i}\n"
    assert (box.mnt / "theirs").read_text() == f"{i}\n"
    box.umount()

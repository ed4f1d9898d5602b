"""Renames done in the sandbox are renames in the mount."""
import contextlib
import os
import pathlib
import shutil

import pytest

from conftest import remove, tree, write
from test_attach import link, stubs, wait   # noqa: F401
from test_watch import Watch


@pytest.fixture
def box(world, link):
    if not shutil.which("inotifywait"):
        pytest.skip("no inotifywait here")
    write(world.local / "file", "one\n")
    link.mount("--poll", "3600", "--local", world.local)
    return world


def is_looked_at(box):
    """Whether a command runs in the sandbox (those held up do not)."""
    for p in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = p.read_bytes()
        except OSError:
            continue
        # The daemon was told of it, too.
        if os.fsencode(box.remote) in words and b"/link\0" not in words \
                and b"sandmount\0mount\0" not in words:
            return True
    return False


@contextlib.contextmanager
def unseen(box, link):
    """Several steps in the sandbox of which no listing sees only some."""
    link.set(".hold", True)
    wait(lambda: not is_looked_at(box))
    yield
    link.set(".hold", False)


def refresh(box):
    box.run("refresh", "box", check=0)
    box.run("flush", "box", check=0)
    assert tree(box.mnt) == tree(box.remote)
    assert box.status()["unsent"]["files"] == 0


def fill(box):
    for name in ("a", "b", "open", "edited", "dir/x", "dir/sub/y", "old/1"):
        write(box.remote / name, f"{name}\n" * 20)
    os.symlink("a", box.remote / "dir" / "link")
    refresh(box)


def move(box, old, new):
    (box.remote / new).parent.mkdir(parents=True, exist_ok=True)
    os.rename(box.remote / old, box.remote / new)


def test_watchers_see_moves(box, link):
    fill(box)
    inode = {n: (box.mnt / n).stat().st_ino for n in ("a", "dir", "dir/x",
                                                      "dir/sub/y", "old/1")}
    fetched = box.status()["fetched"]["files"]
    with open(box.mnt / "open") as f:
        watch = Watch(box)
        with unseen(box, link):
            move(box, "a", "renamed")
            move(box, "dir", "moved")
            move(box, "moved/x", "moved/z")       # inside what moved
            move(box, "old/1", "new/deep/1")      # into what is new
            move(box, "open", "opened")
        refresh(box)
        events = watch.events()
        assert f.read() == "open\n" * 20
    for kind, old, new in [("", "a", "renamed"), ("/", "dir", "moved"),
                           ("", "moved/x", "moved/z"),
                           ("", "open", "opened")]:
        assert ("MOVED_FROM" + kind, old) in events, events
        assert ("MOVED_TO" + kind, new) in events, events
    assert not [e for e in events if e[0].startswith("DELETE")]
    for old, new in [("a", "renamed"), ("dir", "moved"), ("dir/x", "moved/z"),
                     ("dir/sub/y", "moved/sub/y"), ("old/1", "new/deep/1")]:
        assert (box.mnt / new).stat().st_ino == inode[old]
    assert box.status()["fetched"]["files"] == fetched
    # What was moved is still what it was: a change of it is one file.
    write(box.mnt / "moved" / "sub" / "y", "changed here\n")
    write(box.remote / "moved" / "z", "changed there\n")
    refresh(box)
    assert (box.remote / "moved" / "sub" / "y").read_text() == "changed here\n"
    box.umount()
    assert tree(box.local) == tree(box.remote)


def test_moves_over_and_around(box):
    """Rotated logs, and a rename with a change: the end is right, whatever the
    way."""
    fill(box)
    for n in (2, 1, 0):
        write(box.remote / f"log.{n}", f"log {n}\n" * (n + 1))
    refresh(box)
    watch = Watch(box)
    remove(box.remote / "log.2")
    move(box, "log.1", "log.2")
    move(box, "log.0", "log.1")
    write(box.remote / "log.0", "fresh\n")
    os.rename(box.remote / "a", box.remote / "t")        # they change places
    os.rename(box.remote / "b", box.remote / "a")
    os.rename(box.remote / "t", box.remote / "b")
    move(box, "edited", "edited too")
    with open(box.remote / "edited too", "a") as f:
        f.write("and more\n")
    move(box, "dir", "moved")
    remove(box.remote / "moved" / "x")
    write(box.remote / "moved" / "new", "new\n")
    (box.remote / "dir").mkdir()
    write(box.remote / "dir" / "x", "another\n")
    refresh(box)
    events = watch.events()
    assert ("CLOSE_WRITE", "log.0") in events
    refresh(box)
    box.umount()
    assert tree(box.local) == tree(box.remote)


def test_moved_there_and_changed_here(box):
    fill(box)
    box.run("refresh", "box", check=0)
    write(box.mnt / "dir" / "x", "changed here\n")
    write(box.mnt / "taken", "of the mount\n")
    os.unlink(box.mnt / "b")
    move(box, "dir", "moved")
    move(box, "a", "taken")
    move(box, "b", "b2")
    for _ in range(2):
        box.run("flush", "box")
        box.run("refresh", "box", check=0)
    refresh(box)
    found = {e[2] for e in tree(box.mnt).values()}
    for text in ("changed here\n", "of the mount\n", "a\n" * 20, "b\n" * 20,
                 "dir/sub/y\n" * 20):
        assert text.encode() in found, text


def test_moves_of_stubs(world, link):
    for name in ("f", "dir/x", "dir/y"):
        write(world.remote / name, f"{name}\n")
    link.mount("--poll", "3600")
    with unseen(world, link):
        move(world, "f", "g")
        move(world, "dir", "moved")
    world.run("refresh", "box", check=0)
    assert stubs(world) == {"g", "moved/x", "moved/y"}
    assert tree(world.mnt) == tree(world.remote)
    assert world.status()["unsent"]["files"] == 0
    world.umount()
    assert (world.remote / "moved" / "x").read_text() == "dir/x\n"

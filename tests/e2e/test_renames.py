"""Renames that the mount saw, in the merge that ends it."""
import os
import signal

import pytest

from conftest import paths, tree, wait_for, write

TEXT = "".join(f"line {i}\n" for i in range(1, 31))


def edit(text, n, word):
    return text.replace(f"line {n}\n", f"{word} {n}\n")


@pytest.fixture
def box(world):
    for name in ("f", "h", "d/x", "d/y"):
        write(world.local / name, f"{name}\n" + TEXT)
    world.mount("--poll", "3600")
    return world


def rename(box, a, b):
    """In the mount, and sent: as a move."""
    os.rename(box.mnt / a, box.mnt / b)
    box.run("flush", "box", check=0)


def text(top, name):
    return (top / name).read_text()


def test_file_renamed_and_edited_there_edited_here(box):
    """Steps, an edit on either side, one file at the end."""
    rename(box, "f", "temporary name")
    write(box.mnt / "temporary name", edit("f\n" + TEXT, 3, "theirs"))
    rename(box, "temporary name", "e")
    write(box.local / "f", edit("f\n" + TEXT, 25, "mine"))
    (box.local / "f").chmod(0o755)
    report = box.umount(check=0).json
    assert report["conflicts"] == [] and paths(report, "merged") == ["e"]
    assert text(box.local, "e") == edit(edit("f\n" + TEXT, 3, "theirs"), 25,
                                        "mine")
    assert os.access(box.local / "e", os.X_OK)
    assert not (box.local / "f").exists()
    assert sorted(os.listdir(box.local)) == ["d", "e", "h"]


def test_same_lines_keep_both(box):
    rename(box, "f", "g")
    write(box.mnt / "g", edit("f\n" + TEXT, 3, "theirs"))
    write(box.local / "f", edit("f\n" + TEXT, 3, "mine"))
    report = box.umount(check=0).json
    assert paths(report, "kept_local") == ["f"]
    assert "renamed it to g" in report["kept_local"][0]["why"]
    assert text(box.local, "f") == edit("f\n" + TEXT, 3, "mine")
    assert text(box.local, "g") == edit("f\n" + TEXT, 3, "theirs")


def test_directory(box):
    """What was edited goes along, what was added here stays."""
    rename(box, "d", "e")
    write(box.mnt / "e" / "x", edit("d/x\n" + TEXT, 3, "theirs"))
    rename(box, "e/y", "e/z")
    write(box.mnt / "e" / "z", edit("d/y\n" + TEXT, 3, "theirs"))
    write(box.local / "d" / "x", edit("d/x\n" + TEXT, 25, "mine"))
    write(box.local / "d" / "y", edit("d/y\n" + TEXT, 25, "mine"))
    write(box.local / "d" / "new", "new\n")
    report = box.umount(check=0).json
    assert report["conflicts"] == []
    for name, was in (("x", "d/x\n"), ("z", "d/y\n")):
        assert text(box.local, f"e/{name}") == edit(
            edit(was + TEXT, 3, "theirs"), 25, "mine")
    assert os.listdir(box.local / "d") == ["new"]
    assert paths(report, "kept_local") == ["d/new"]


def test_both_to_one_name(box):
    rename(box, "f", "g")
    write(box.mnt / "g", edit("f\n" + TEXT, 3, "theirs"))
    os.rename(box.local / "f", box.local / "g")
    write(box.local / "g", edit("f\n" + TEXT, 25, "mine"))
    rename(box, "h", "i")
    write(box.mnt / "i", edit("h\n" + TEXT, 3, "theirs"))
    os.rename(box.local / "h", box.local / "i")
    write(box.local / "i", edit("h\n" + TEXT, 3, "mine"))
    report = box.umount(check=3).json
    assert text(box.local, "g") == edit(edit("f\n" + TEXT, 3, "theirs"), 25,
                                        "mine")
    assert text(box.local, "i") == edit("h\n" + TEXT, 3, "mine")
    assert text(box.local, "i.box.conflict") == edit("h\n" + TEXT, 3, "theirs")
    assert paths(report, "conflicts") == ["i"]


def test_undo_and_again(box):
    """The facts come back with the baseline."""
    rename(box, "f", "g")
    write(box.mnt / "g", edit("f\n" + TEXT, 3, "theirs"))
    write(box.local / "f", edit("f\n" + TEXT, 25, "mine"))
    before = tree(box.local)
    box.restore(check=0)
    after = tree(box.local)
    assert b"g" in after and b"f" not in after
    box.restore("--undo", check=0)
    assert tree(box.local) == before
    box.umount(check=0)
    assert tree(box.local) == after


def test_after_a_kill(box):
    rename(box, "f", "g")
    write(box.mnt / "g", edit("f\n" + TEXT, 3, "theirs"))
    write(box.local / "f", edit("f\n" + TEXT, 25, "mine"))
    pid = box.daemon_pid()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: box.status()["state"] == "crashed")
    box.run("recover", "box", check=0)
    assert text(box.local, "g") == edit(edit("f\n" + TEXT, 3, "theirs"), 25,
                                        "mine")
    assert not (box.local / "f").exists()


def test_renamed_in_the_sandbox_then_edited(box):
    """A rename that a refresh followed is a fact, too."""
    os.rename(box.remote / "f", box.remote / "g")
    box.run("refresh", "box", check=0)
    write(box.remote / "g", edit("f\n" + TEXT, 3, "theirs"))
    write(box.local / "f", edit("f\n" + TEXT, 25, "mine"))
    box.umount(check=0)
    assert text(box.local, "g") == edit(edit("f\n" + TEXT, 3, "theirs"), 25,
                                        "mine")
    assert not (box.local / "f").exists()


def test_restored_facts_are_of_the_past(box):
    """A name that is used again after a restore is a new file."""
    rename(box, "f", "g")
    box.restore(check=0)
    write(box.mnt / "f", "another f\n" + TEXT)
    box.restore(check=0)
    os.unlink(box.mnt / "f")
    write(box.local / "f", edit("another f\n" + TEXT, 25, "mine"))
    report = box.umount(check=0).json
    assert paths(report, "kept_local") == ["f"]
    assert text(box.local, "f") == edit("another f\n" + TEXT, 25, "mine")
    assert text(box.local, "g") == "f\n" + TEXT

"""Paths that the sandbox cannot write: the others go on, nothing is sent again
and again, everything says so, and it ends when the sandbox can."""
import json
import os

import pytest

from conftest import tree, wait_for, write

MV = """#!/bin/sh
for arg; do
	case $arg in ./locked/* | */./locked/*)
		[ -e "$MV_MAY" ] && continue
		echo "mv: $arg: Permission denied" >&2
		exit 1
	esac
done
exec {mv} "$@"
"""


@pytest.fixture
def box(world):
    """Its `mv` refuses what is in locked/ until the file `may` is there."""
    shim, may = world.top / "shim", world.top / "may"
    write(shim / "mv", MV.format(mv="/bin/mv"), 0o755)
    config = world.top / "config" / "sandmount" / "config.json"
    write(config, json.dumps({"commands": {"strict": [
        "env", f"PATH={shim}:{os.environ['PATH']}", f"MV_MAY={may}"]}}))
    write(world.local / "locked" / "old", "old\n")
    write(world.local / "free", "free\n")
    world.may = may
    may.touch()
    world.run("mount", "--name", "box", "--local", world.local, "--poll",
              "3600", f"command:strict:{world.remote}", world.mnt, check=0)
    may.unlink()
    return world


def test_others_go_on_and_it_is_said(box):
    write(box.mnt / "locked" / "new", "new\n")
    write(box.mnt / "locked" / "large", "x" * (2 << 20))
    (box.mnt / "locked" / "old").unlink()
    write(box.mnt / "free", "changed\n")
    done = box.run("flush", "box", check=4)
    assert "could not write locked/" in done.err
    assert "Permission denied" in done.err
    assert (box.remote / "free").read_text() == "changed\n"
    assert (box.remote / "locked" / "old").read_text() == "old\n"
    wait_for(lambda: "Permission denied" in
             (box.status()["last_error"] or ""))
    status = box.status()
    assert status["state"] == "mounted"
    assert status["unsent"]["files"] >= 2

    # A new change is sent at once, and not the large file with it.
    before = box.status()["sent"]["bytes"]
    write(box.mnt / "free", "again\n")
    wait_for(lambda: (box.remote / "free").read_text() == "again\n")

    box.may.touch()
    box.run("flush", "box", check=0)
    assert tree(box.mnt) == tree(box.remote)
    status = box.status()
    assert status["last_error"] is None and status["unsent"]["files"] == 0
    assert before <= status["sent"]["bytes"]


def test_it_is_tried_again_by_itself(box):
    write(box.mnt / "locked" / "new", "new\n")
    wait_for(lambda: box.status()["last_error"])
    box.may.touch()
    wait_for((box.remote / "locked" / "new").exists, seconds=120)
    wait_for(lambda: box.status()["last_error"] is None)


def test_restore_goes_both_ways_all_the_same(box):
    write(box.mnt / "locked" / "new", "new\n")
    write(box.remote / "theirs", "theirs\n")
    done = box.umount(check=4)
    assert "could not write locked/new" in done.out + done.err
    assert (box.local / "locked" / "new").read_text() == "new\n"
    assert (box.local / "theirs").read_text() == "theirs\n"
    box.may.touch()
    box.restore(check=0)
    assert tree(box.local) == tree(box.remote)

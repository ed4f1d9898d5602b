"""Large files: what a refresh brings of them, and when."""
import os
import signal

import pytest

from conftest import remove, tree, write
from test_attach import link, mirror, stubs, wait   # noqa: F401
from test_watch import Watch

LARGE = (4 << 20) + 1


def refresh(world):
    world.run("refresh", "box", check=0)


def fetched(world):
    return world.status()["fetched"]


def test_new_large_files_become_stubs(world, link):
    write(world.remote / "first", "first\n")
    link.mount("--poll", "3600")
    fetches = link.fetches
    write(world.remote / "dir" / "sub" / "big", os.urandom(LARGE), 0o640)
    write(world.remote / "closed", os.urandom(LARGE), 0o400)
    write(world.remote / "small", "small\n" * 1000)
    watch = Watch(world)
    refresh(world)
    events = watch.events()
    for name in ("closed", "small"):
        assert ("CREATE", name) in events and ("CLOSE_WRITE", name) in events
        assert ("MODIFY", name) in events
    # The small one came at once, the large ones are here in name only.
    assert stubs(world) >= {"closed", "dir/sub/big"}
    assert "small" not in stubs(world)
    assert link.fetches == fetches
    for name in ("closed", "dir/sub/big"):
        here, there = (os.lstat(d / name) for d in (world.mnt, world.remote))
        assert (here.st_mode, here.st_size, here.st_mtime_ns) == (
            there.st_mode, there.st_size, there.st_mtime_ns)
    assert world.status()["unsent"]["files"] == 0
    assert tree(world.mnt) == tree(world.remote)
    assert link.fetches > fetches
    world.umount()
    link.mount()
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def test_large_files_that_change(world, link):
    write(world.remote / "big", os.urandom(LARGE))
    write(world.remote / "open", os.urandom(LARGE))
    write(world.remote / "mine", os.urandom(LARGE))
    link.mount("--poll", "3600")
    want = tree(world.remote)
    assert tree(world.mnt) == want
    mine = os.urandom(LARGE)
    with open(world.mnt / "open", "rb") as f:
        for name in ("big", "open", "mine"):
            write(world.remote / name, os.urandom(LARGE + 1))
        inode = (world.mnt / "big").stat().st_ino
        link.set(".hold", True)
        write(world.mnt / "mine", mine)
        link.set(".hold", False)
        watch = Watch(world)
        refresh(world)
        assert ("MODIFY", "big") in watch.events()
        assert "big" in stubs(world)
        assert (world.mnt / "big").stat().st_ino == inode
        # Whoever has it open sees the new bytes, not an error.
        assert f.read() == (world.remote / "open").read_bytes()
    assert (world.mnt / "mine").read_bytes() == mine
    assert (world.mnt / "big").read_bytes() == (
        world.remote / "big").read_bytes()
    world.run("flush", "box", check=0)
    refresh(world)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def test_large_files_come_home(world):
    write(world.local / "old", os.urandom(LARGE))
    world.mount("--poll", "3600")
    write(world.remote / "new", os.urandom(LARGE))
    write(world.remote / "old", os.urandom(LARGE))
    write(world.remote / "late", os.urandom(LARGE))
    refresh(world)
    # Behind the refresh, without anybody opening them.
    wait(lambda: not stubs(world))
    remove(world.remote / "late")
    world.umount()
    assert tree(world.local) == tree(world.remote)


@pytest.mark.parametrize("local", [False, True])
def test_killed_before_the_bytes_came(world, link, local):
    """What was only a stub when the daemon died is whole, or gone, later."""
    options = ("--local", world.local) if local else ()
    write((world.local if local else world.remote) / "x", "x\n")
    link.mount("--poll", "3600", *options)
    write(world.remote / "big", os.urandom(LARGE))
    write(world.remote / "gone", os.urandom(LARGE))
    write(world.remote / "changed", os.urandom(LARGE))
    refresh(world)
    link.set(".hold", True)
    os.kill(world.daemon_pid(), signal.SIGKILL)
    world.wait_state("crashed")
    remove(world.remote / "gone")
    write(world.remote / "changed", os.urandom(LARGE))
    link.set(".hold", False)
    link.mount("--poll", "3600", *options)
    assert tree(world.mnt) == tree(world.remote)
    assert world.status()["unsent"]["files"] == 0
    world.umount()
    if local:
        assert tree(world.local) == tree(world.remote)


def test_large_file_of_both_sides(world, link):
    write(world.remote / "x", "x\n")
    link.mount("--poll", "3600")
    ours, theirs = os.urandom(LARGE), os.urandom(LARGE)
    write(world.remote / "new", theirs)
    link.set(".hold", True)
    write(world.mnt / "new", ours)
    link.set(".hold", False)
    refresh(world)
    world.run("flush", "box", check=0)
    assert (world.mnt / "new").read_bytes() == ours
    assert (world.remote / "new").read_bytes() == ours
    assert (world.mnt / "new.box.conflict").read_bytes() == theirs
    assert tree(world.mnt) == tree(world.remote)
    world.umount()

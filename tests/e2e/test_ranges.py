"""Large files of the sandbox, read by ranges while they are not here."""
import errno
import os
import signal
import subprocess

import pytest

from conftest import remove, tree, write
from test_attach import link, mirror, stubs, wait   # noqa: F401

MIB = 1 << 20
LARGE = 17 * MIB
AT = 16 * MIB + 777         # behind what comes with the first bytes


def fetched(world):
    return world.status()["fetched"]["bytes"]


def read_at(path, off, size):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, size, off)
    finally:
        os.close(fd)


def parts(world):
    return sorted(os.listdir(world.session() / "parts"))


def large(world, name="big", size=LARGE):
    data = os.urandom(size)
    write(world.remote / name, data)
    return data


def test_the_end_of_a_huge_file(world, link):
    size = 5 << 30
    with open(world.remote / "huge", "wb") as f:
        f.truncate(size)
        f.seek(size - 100)
        f.write(b"the end\n" * 12)
    link.mount("--poll", "3600")
    assert read_at(world.mnt / "huge", size - 100, 200) == (
        b"the end\n" * 12).ljust(100, b"\0")
    done = subprocess.run(["tail", "-c", "104", world.mnt / "huge"],
                          check=True, capture_output=True)
    assert done.stdout == read_at(world.remote / "huge", size - 104, 104)
    assert 0 < fetched(world) <= 32 * MIB
    assert stubs(world) == {"huge"}
    # Of what is missing nobody is told that it is a hole.
    fd = os.open(world.mnt / "huge", os.O_RDONLY)
    assert os.lseek(fd, 5 * MIB, os.SEEK_DATA) == 5 * MIB
    assert os.lseek(fd, 0, os.SEEK_HOLE) == size
    os.close(fd)
    world.umount()


def test_from_begin_to_end(world, link):
    data = large(world)
    write(world.remote / "words", (b"x" * 63 + b"\n") * (LARGE // 64)
          + b"needle\n")
    link.mount("--poll", "3600")
    assert (world.mnt / "big").read_bytes() == data
    # What is whole is a file like any other.
    wait(lambda: not stubs(world) & {"big"} and not parts(world), 180)
    subprocess.run(["cp", world.mnt / "words", world.top / "copy"], check=True)
    done = subprocess.run(["grep", "-c", "needle", world.mnt / "words"],
                          capture_output=True, check=True)
    assert done.stdout == b"1\n"
    assert (world.top / "copy").read_bytes() == (
        world.remote / "words").read_bytes()
    wait(lambda: not stubs(world), 180)
    # Nothing came twice.
    assert fetched(world) < 2 * LARGE + 4 * MIB
    with open(world.mnt / "big", "r+b") as f:
        f.write(b"changed")
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def test_two_readers(world, link):
    data = large(world)
    link.mount("--poll", "3600")
    readers = [subprocess.Popen(
        ["dd", f"if={world.mnt / 'big'}", "bs=1M", f"skip={skip}",
         "status=none"], stdout=subprocess.PIPE) for skip in (0, 0, 10)]
    for r, skip in zip(readers, (0, 0, 10)):
        assert r.communicate(timeout=120)[0] == data[skip * MIB:]
        assert r.returncode == 0
    assert fetched(world) < LARGE + 4 * MIB
    world.umount()


def test_changes_need_all_of_it(world, link):
    want = {n: large(world, n) for n in ("append", "cut", "time", "gone")}
    link.mount("--poll", "3600")
    m = world.mnt
    held = {n: os.open(m / n, os.O_RDONLY) for n in want}
    for n, fd in held.items():
        assert os.pread(fd, 10, AT) == want[n][AT:AT + 10]
    assert stubs(world) == set(want)
    with open(m / "append", "ab") as f:
        f.write(b"more")
    os.truncate(m / "cut", AT + 5)
    os.utime(m / "time", ns=(10**18, 10**18))
    os.rename(m / "time", m / "moved")
    os.link(m / "gone", m / "linked")
    os.unlink(m / "gone")
    world.run("flush", "box", check=0)
    assert tree(m) == tree(world.remote)
    assert (world.remote / "append").read_bytes() == want["append"] + b"more"
    assert (world.remote / "cut").read_bytes() == want["cut"][:AT + 5]
    assert (world.remote / "moved").read_bytes() == want["time"]
    assert (world.remote / "linked").read_bytes() == want["gone"]
    # Who has it open sees what happened to it, as on a disk.
    assert os.pread(held["cut"], 10, AT) == want["cut"][AT:AT + 5]
    assert os.pread(held["append"], 10, LARGE) == b"more"
    for fd in held.values():
        os.close(fd)
    world.umount()


def test_moved_while_it_is_read(world, link):
    data = large(world)
    link.mount("--poll", "3600")
    fd = os.open(world.mnt / "big", os.O_RDONLY)
    assert os.pread(fd, 10, 0) == data[:10]
    os.rename(world.mnt / "big", world.mnt / "other")
    world.run("flush", "box", check=0)
    assert os.pread(fd, 10, AT) == data[AT:AT + 10]
    os.chmod(world.mnt / "other", 0o600)
    world.run("flush", "box", check=0)
    assert os.pread(fd, LARGE, 0) == data[:LARGE]
    os.close(fd)
    world.umount()
    assert tree(world.remote)[b"other"] == ("file", 0o600, data)


@pytest.mark.parametrize("how", ["replaced", "in place", "shorter", "gone"])
def test_changed_between_two_ranges(world, link, how):
    data = large(world)
    link.mount("--poll", "3600")
    fd = os.open(world.mnt / "big", os.O_RDONLY)
    assert os.pread(fd, 10, 0) == data[:10]
    there = world.remote / "big"
    new = os.urandom(100 if how == "shorter" else LARGE)
    if how == "gone":
        os.unlink(there)
    elif how == "in place":
        with open(there, "r+b") as f:
            f.write(new)
    else:
        write(world.remote / "new", new)
        os.rename(world.remote / "new", there)
    with pytest.raises(OSError) as e:
        os.pread(fd, 10, AT)
    assert e.value.errno in (errno.ESTALE, errno.EIO)
    if how != "gone":
        # Not from the other version, later either.
        assert (world.mnt / "big").read_bytes() == new
        if how == "shorter":
            assert os.pread(fd, 10, AT) == b""
        else:
            with pytest.raises(OSError) as e:
                os.pread(fd, 10, AT + 9 * 4096)
            assert e.value.errno == errno.ESTALE
    os.close(fd)
    world.run("refresh", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    assert world.status()["unsent"]["files"] == 0
    world.umount()


def test_refreshed_while_it_is_read(world, link):
    data = large(world)
    link.mount("--poll", "3600")
    fd = os.open(world.mnt / "big", os.O_RDONLY)
    assert os.pread(fd, 10, 0) == data[:10]
    new = large(world)
    world.run("refresh", "box", check=0)
    with pytest.raises(OSError) as e:
        os.pread(fd, 10, AT)
    assert e.value.errno == errno.ESTALE
    os.close(fd)
    assert read_at(world.mnt / "big", AT, 10) == new[AT:AT + 10]
    assert (world.mnt / "big").read_bytes() == new
    world.umount()


@pytest.mark.parametrize("changed", [False, True])
def test_killed_in_the_middle(world, link, changed):
    data = large(world)
    link.mount("--poll", "3600")
    assert read_at(world.mnt / "big", AT, 10) == data[AT:AT + 10]
    wait(lambda: len(parts(world)) == 1)
    os.kill(world.daemon_pid(), signal.SIGKILL)
    world.wait_state("crashed")
    assert stubs(world) == {"big"}
    if changed:
        data = large(world)
    link.mount("--poll", "3600")
    before = fetched(world)
    assert read_at(world.mnt / "big", AT, 10) == data[AT:AT + 10]
    if not changed:     # only the proof that it is the same came
        assert fetched(world) - before <= 8 * MIB
    assert (world.mnt / "big").read_bytes() == data
    wait(lambda: not stubs(world), 180)
    assert world.status()["unsent"]["files"] == 0
    world.umount()
    link.mount("--poll", "3600")
    assert (world.mnt / "big").read_bytes() == data
    world.umount()


def test_cut_off(world, link):
    data = large(world)
    link.mount("--poll", "3600")
    fd = os.open(world.mnt / "big", os.O_RDONLY)
    assert os.pread(fd, 10, 0) == data[:10]
    link.set(".down", True)
    with pytest.raises(OSError) as e:
        os.pread(fd, 10, AT)
    assert e.value.errno == errno.EIO
    # What is here is here.
    assert os.pread(fd, 10, 4096) == data[4096:4106]
    link.set(".down", False)
    assert os.pread(fd, 10, AT) == data[AT:AT + 10]
    os.close(fd)
    world.umount()


def test_interrupted(world, link):
    large(world)
    link.mount("--poll", "3600")
    read_at(world.mnt / "big", 0, 10)
    link.set(".hold", True)
    p = subprocess.Popen(["tail", "-c", "10", world.mnt / "big"],
                         stdout=subprocess.DEVNULL)
    os.listdir(world.mnt)
    p.send_signal(signal.SIGTERM)
    assert p.wait(60) == -signal.SIGTERM
    link.set(".hold", False)
    world.umount()


def test_a_large_program(world, link):
    """A program larger than the least; it runs from the mount."""
    program = b"#!/bin/sh\necho it ran\nexit 7\n"
    write(world.remote / "run", program.ljust(LARGE, b"\n"), 0o755)
    link.mount("--poll", "3600")
    done = subprocess.run([world.mnt / "run"], capture_output=True)
    assert (done.returncode, done.stdout) == (7, b"it ran\n")
    world.umount()
    remove(world.remote / "run")

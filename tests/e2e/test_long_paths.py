"""Trees deeper than the bytes that one system call takes: the mount and the
local directory hold them; what the sandbox's tools cannot be told of is said and
comes home all the same."""
import os

import pytest

from conftest import wait_for, write

NAME = "d" * 199


def go_down(top, levels, make=False):
    """A descriptor of the directory so many levels below TOP."""
    fd = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        if make:
            os.mkdir(NAME, 0o755, dir_fd=fd)
        new = os.open(NAME, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = new
    return fd


def put(fd, name, text):
    f = os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=fd)
    os.write(f, text)
    os.close(f)


def get(fd, name):
    f = os.open(name, os.O_RDONLY, dir_fd=fd)
    text = os.read(f, 1000)
    os.close(f)
    return text


@pytest.mark.parametrize("levels", [25, 60])
def test_deep_in_the_mount(world, levels):
    world.mount()
    fd = go_down(world.mnt, levels, make=True)
    put(fd, "f", b"deep\n")
    os.link("f", "g", src_dir_fd=fd, dst_dir_fd=fd)
    os.rename("g", "h", src_dir_fd=fd, dst_dir_fd=fd)
    os.symlink("f", "l", dir_fd=fd)
    os.rename("f", world.mnt / "up", src_dir_fd=fd)
    os.rename(world.mnt / "up", "f", dst_dir_fd=fd)
    os.unlink("h", dir_fd=fd)
    os.chmod("f", 0o640, dir_fd=fd)
    os.utime("f", ns=(1, 2), dir_fd=fd)
    assert sorted(os.listdir(fd)) == ["f", "l"]
    assert os.readlink("l", dir_fd=fd) == "f"
    os.close(fd)

    # The others go on; it is said what stays here, and why.
    write(world.mnt / "near", "near\n")
    done = world.run("flush", "box", check=4)
    assert "not sent: " in done.err and "bytes of path" in done.err
    assert (world.remote / "near").read_text() == "near\n"
    wait_for(lambda: "bytes of path" in (world.status()["last_error"] or ""))
    assert world.status()["unsent"]["files"] > 0

    # Nothing is lost: it comes home, and is there after the next mount.
    world.umount(check=4)
    fd = go_down(world.local, levels)
    assert get(fd, "f") == b"deep\n" and os.readlink("l", dir_fd=fd) == "f"
    assert os.stat("f", dir_fd=fd).st_mode & 0o777 == 0o640
    os.close(fd)
    world.mount()
    fd = go_down(world.mnt, levels)
    assert get(fd, "f") == b"deep\n"
    # A shorter path goes there.
    os.rename("f", world.mnt / "f", src_dir_fd=fd)
    os.unlink("l", dir_fd=fd)
    os.close(fd)
    for level in reversed(range(levels)):
        fd = go_down(world.mnt, level)
        os.rmdir(NAME, dir_fd=fd)
        os.close(fd)
    world.run("flush", "box", check=0)
    assert (world.remote / "f").read_text() == "deep\n"
    world.umount()
    assert sorted(os.listdir(world.local)) == ["f", "near"]
    assert sorted(set(os.listdir(world.remote)) - {".sandmount"}) == [
        "f", "near"]


def test_deep_at_home(world):
    fd = go_down(world.local, 30, make=True)
    put(fd, "f", b"deep\n")
    os.close(fd)
    write(world.local / "near", "near\n")
    r = world.mount()
    assert r.json["skipped"] > 0
    assert (world.remote / "near").read_text() == "near\n"
    fd = go_down(world.mnt, 30)
    assert get(fd, "f") == b"deep\n"
    put(fd, "f", b"changed\n")
    os.close(fd)
    world.umount(check=4)
    fd = go_down(world.local, 30)
    assert get(fd, "f") == b"changed\n"
    os.close(fd)

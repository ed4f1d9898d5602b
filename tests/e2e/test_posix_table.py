"""The scenarios of posix_cases and posix_stories give the same on the mount as
on a plain directory of the same disk, step by step."""
import errno
import json
import os
import pathlib
import subprocess
import sys

import pytest

from conftest import write

OPS = pathlib.Path(__file__).with_name("posix_ops.py")


def results(top):
    done = subprocess.run([sys.executable, "-B", OPS, top,
                           os.environ.get("SANDMOUNT_CASES", "")],
                          check=True, stdout=subprocess.PIPE, timeout=1200)
    return json.loads(done.stdout)


def differences(plain, mount):
    for name, steps in plain.items():
        for (line, want), (_, got) in zip(steps, mount[name]):
            if want != got:
                yield f"{name}: {line}: plain {want}, mount {got}"
                break


def open_to_users(path):
    """Lets ordinary users through to PATH, as far as it is ours to do so."""
    for d in (path, *path.parents):
        if not d.stat().st_mode & 0o001:
            if d == pathlib.Path("/") or d.stat().st_uid != os.geteuid():
                pytest.skip(f"{d} is not searchable by other users")
            d.chmod(d.stat().st_mode | 0o055)


def test_like_a_plain_directory(world):
    plain = world.top / "plain"
    plain.mkdir()
    root = os.geteuid() == 0
    if root:
        open_to_users(plain)
    world.mount("--no-restore", *(["-o", "allow_other"] if root else []))
    inside = world.mnt / "top"
    inside.mkdir()
    want = results(plain)
    got = results(inside)
    found = list(differences(want, got))
    assert want and not found, "\n".join(
        [f"{len(found)} of {len(want)} differ", *found[:40]])


@pytest.mark.parametrize("call", [
    lambda f: os.setxattr(f, "user.x", b"1"),
    lambda f: os.getxattr(f, "user.x"),
    lambda f: os.listxattr(f),
    lambda f: os.removexattr(f, "user.x")])
def test_extended_attributes_are_refused_cleanly(world, call):
    write(world.local / "f", "text")
    world.mount("--no-restore")
    for _ in range(2):
        with pytest.raises(OSError) as e:
            call(world.mnt / "f")
        assert e.value.errno == errno.ENOTSUP


def test_tools_that_copy_attributes_are_content(world):
    write(world.local / "d" / "f", "text", 0o640)
    os.symlink("f", world.local / "d" / "l")
    world.mount("--no-restore")
    done = subprocess.run(
        ["sh", "-ec", "cp -a d e; cp -p --preserve=all d/f g; mv d h; "
         "tar -C e -cf t . && mkdir x && tar -C x --xattrs -xf t; "
         "cmp x/f h/f; test -L x/l"],
        cwd=world.mnt, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (world.mnt / "e" / "f").stat().st_mtime_ns == \
        (world.mnt / "h" / "f").stat().st_mtime_ns

"""--cache-limit: what the sandbox has goes back to stubs, and nothing else."""
import os
import random
import signal
import subprocess

from conftest import SANDMOUNT, tree, write
from test_attach import check_mirror, link, mirror, stubs, wait  # noqa: F401

SIZE = 256 << 10
LIMIT = 6 * SIZE


def used(world):
    top = mirror(world)
    return sum(os.lstat(os.path.join(base, f)).st_blocks * 512
               for base, _, files in os.walk(top) for f in files)


def fill(world, files=12):
    for i in range(files):
        write(world.remote / f"f{i:02}", os.urandom(SIZE),
              0o400 if i % 5 == 0 else 0o644)


def mount(world, link, *more):
    link.mount("--poll", "3600", "--cache-limit", f"{LIMIT // 1024}K", *more)


def refresh(world, check=0):
    world.run("refresh", "box", check=check)


def test_oldest_clean_content_goes(world, link):
    fill(world)
    want = tree(world.remote)
    mount(world, link)
    for i in (3, 1, 0, 2, 4, 5, 6, 7, 8, 9, 10, 11):
        (world.mnt / f"f{i:02}").read_bytes()
    with open(world.mnt / "f03", "rb") as held:
        link.set(".hold", True)
        write(world.mnt / "unsent", os.urandom(2 * SIZE))
        link.set(".hold", False)
        refresh(world)
        assert used(world) <= LIMIT + 2 * SIZE
        here = set(os.listdir(mirror(world))) - stubs(world)
        # What is open stays, and so does what was opened last.
        assert {"f03", "f11"} <= here and "f01" not in here
        assert held.read() == want[b"f03"][2]
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    refresh(world)
    assert used(world) <= LIMIT
    # Evicted, changed on one side or the other, and back again.
    with open(world.mnt / "f02", "ab") as f:
        f.write(b"more")
    write(world.remote / "f06", os.urandom(SIZE))
    refresh(world)
    world.run("flush", "box", check=0)
    assert (world.remote / "f02").read_bytes() == want[b"f02"][2] + b"more"
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def test_nothing_goes_without_the_sandbox(world, link):
    fill(world)
    mount(world, link)
    (world.mnt / "f01").read_bytes()
    (world.mnt / "f02").read_bytes()
    refresh(world)
    link.set(".down", True)
    refresh(world, check=1)
    before = stubs(world)
    assert not {"f01", "f02"} & before
    write(world.mnt / "unsent", os.urandom(8 * SIZE))   # above the limit
    refresh(world, check=1)
    assert stubs(world) == before and used(world) > LIMIT
    (world.mnt / "f01").read_bytes()
    link.set(".down", False)
    refresh(world)
    world.run("flush", "box", check=0)
    refresh(world)
    assert used(world) <= LIMIT
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def test_killed_while_evicting(world, link):
    rng = random.Random(7)
    fill(world, 24)
    want = tree(world.remote)
    for _ in range(3):
        mount(world, link)
        for name in rng.sample(sorted(want), 16):
            (world.mnt / os.fsdecode(name)).read_bytes()
        asked = subprocess.Popen(
            [SANDMOUNT, "refresh", "box"], env=world.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Some are gone, others are just going.
        wait(lambda: used(world) < 12 * SIZE or asked.poll() is not None)
        os.kill(world.daemon_pid(), signal.SIGKILL)
        asked.wait(60)
        world.wait_state("crashed")
        check_mirror(world, want)
    mount(world, link)
    assert tree(world.mnt) == want
    assert world.status()["unsent"]["files"] == 0
    world.umount()
    assert tree(world.remote) == want


def test_usage(world, link):
    for bad in ("", "5X", "-1", "0", "99999999999T"):
        assert link.mount("--cache-limit", bad, check=None).code == 2, bad
    assert link.mount("--cache-limit", "1G", "--local", world.local,
                      check=None).code == 2

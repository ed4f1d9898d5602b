"""Killed at random instants: the next command finishes, nothing is lost."""
import os
import random
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import SANDMOUNT, tree, write


def kill_after(world, seconds, *args):
    p = subprocess.Popen([SANDMOUNT, *map(str, args)], env=world.env,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         stdin=subprocess.DEVNULL)
    time.sleep(seconds)     # the instant of the kill, not a wait for a state
    p.send_signal(signal.SIGKILL)
    p.wait()


@pytest.mark.parametrize("seed", range(6))
def test_restore_killed(world, seed):
    rng = random.Random(seed)
    for i in range(200):
        write(world.local / f"d{i % 7}" / f"f{i}", f"base {i}\n")
    world.prepare()
    for i in range(200):
        path = world.remote / f"d{i % 7}" / f"f{i}"
        if i % 5 == 0:
            os.unlink(path)
        elif i % 3:
            write(path, f"agent {i}\n" * 50)
    write(world.local / "d1" / "f1", "base 1\nlocal\n")
    want = tree(world.remote)
    want[b"d1/f1"] = None
    for _ in range(4):
        kill_after(world, rng.uniform(0.01, 0.35), "restore", "box")
        for path, (kind, _, data) in tree(world.local).items():
            if kind == "file" and not path.split(b"/")[-1].startswith(
                    b".sandmount") and not path.endswith(b".conflict"):
                i = int(path.split(b"f")[-1])
                assert data in (b"base %d\n" % i, b"agent %d\n" % i * 50,
                                b"base 1\nlocal\n"), path
    r = world.restore(check=None)
    assert r.code in (0, 3), r
    got = tree(world.local)
    leftovers = [p for p in got if b".sandmount" in p]
    assert not leftovers
    for path, entry in want.items():
        if entry is not None:
            assert got[path] == entry, path
    assert got[b"d1/f1"][2] == b"base 1\nlocal\n"
    again = world.restore(check=None).json
    assert not again["applied"] and not again["deleted"]


@pytest.mark.parametrize("seed", range(4))
def test_prepare_killed(world, seed):
    rng = random.Random(100 + seed)
    for i in range(300):
        write(world.local / f"d{i % 9}" / f"f{i}", f"{i}\n" * 30)
    for _ in range(3):
        kill_after(world, rng.uniform(0.005, 0.3), "prepare", "--name", "box",
                   "--local", world.local, world.spec)
    before = tree(world.local)
    world.prepare()
    assert tree(world.local) == before
    assert tree(world.remote) == before
    assert not any(world.restore().json[k] for k in ("applied", "deleted"))


@pytest.mark.parametrize("seed", range(4))
def test_mount_killed_while_written(world, seed):
    rng = random.Random(200 + seed)
    for i in range(50):
        write(world.local / f"f{i}", f"base {i}\n")
    model = {f"f{i}": f"base {i}\n" for i in range(50)}
    world.mount()
    for round_ in range(3):
        for _ in range(60):
            name = f"f{rng.randrange(70)}"
            if rng.random() < 0.2 and name in model:
                os.unlink(world.mnt / name)
                del model[name]
            elif rng.random() < 0.2 and name in model:
                to = f"g{rng.randrange(20)}"
                os.rename(world.mnt / name, world.mnt / to)
                model[to] = model.pop(name)
            else:
                text = f"{round_} {rng.random()}\n"
                write(world.mnt / name, text)
                model[name] = text
        if rng.random() < 0.5:
            world.run("flush", "box")
        os.kill(world.daemon_pid(), signal.SIGKILL)
        world.wait_state("crashed")
        world.mount()
        seen = {p.name: p.read_text() for p in world.mnt.iterdir()}
        assert seen == model
    world.umount()
    for top in (world.local, world.remote):
        seen = {p.name: p.read_text() for p in top.iterdir() if p.is_file()}
        assert seen == model


def test_temporaries_in_the_mirror_go(world):
    """What a session killed while it wrote into the mirror left there goes to
    the trash; a file of the user's with such a name is the user's."""
    write(world.local / "d" / "f", "base\n")
    world.prepare()
    mirror = world.session() / "mirror"
    left = [".sandmount-0123456789abcdef-0.tmp",
            "d/.sandmount-0123456789abcdef-17.tmp"]
    own = [".sandmount-0123456789abcdef-.tmp", "d/.sandmount-other-0.tmp"]
    for i, name in enumerate(left + own):
        write(mirror / name, f"bytes {i}\n")
    with sqlite3.connect(world.session() / "state.db") as db:
        db.execute("REPLACE INTO meta VALUES('mirror-writing', ?)",
                   ("0123456789abcdef",))
    db.close()
    world.run("flush", "box", check=0)
    for name in left:
        assert not (mirror / name).exists()
        assert not (world.remote / name).exists()
    for i, name in enumerate(own):
        text = f"bytes {i + len(left)}\n"
        assert (mirror / name).read_text() == text
        assert (world.remote / name).read_text() == text
    trash = [p.read_text() for p in world.session().glob("trash/**/*.tmp")]
    assert sorted(trash) == ["bytes 0\n", "bytes 1\n"]
    # With no such note every file is the user's.
    write(mirror / left[0], "mine\n")
    world.run("flush", "box", check=0)
    assert (mirror / left[0]).read_text() == "mine\n"

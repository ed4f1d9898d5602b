"""Progress: a bar on a terminal, lines elsewhere when asked, never with
--json."""
import json
import os
import re
import subprocess

from conftest import SANDMOUNT, write
from terminal import Terminal


def bar(what, text):
    return re.search(rf"{what}  \[[=>]*> *\]  +\d+%  [\d.]+ (.?B|bytes) of "
                     r"8\.4 MB", text)


def big(path, megabytes=8):
    write(path, os.urandom(megabytes << 20))


def prepare(world, *options):
    return [SANDMOUNT, "prepare", "--name", "box", "--local", world.local,
            *options, world.spec]


def test_bar_on_a_terminal(world):
    big(world.local / "big")
    with Terminal(prepare(world), env=world.env) as t:
        assert t.wait() == 0
        assert bar("sending", t.text), t.text
        # The bar is gone before the result is printed.
        assert re.search(rb"\r\x1b\[Kbox is prepared: 1 file",
                         t.raw), t.raw


def test_bar_while_fetching(world):
    """Everything of an attached sandbox, and what came in since."""
    big(world.remote / "big")
    with Terminal([SANDMOUNT, "prepare", "--name", "box", world.spec],
                  env=world.env) as t:
        assert t.wait() == 0
        assert bar("fetching", t.text), t.text
    big(world.remote / "more", 4)
    big(world.remote / "and more", 4)
    with Terminal([SANDMOUNT, "refresh", "box"], env=world.env) as t:
        assert t.wait() == 0
        assert bar("fetching", t.text), t.text


def test_never_on_a_terminal(world):
    big(world.local / "big")
    with Terminal(prepare(world, "--progress", "never"), env=world.env) as t:
        assert t.wait() == 0
        assert t.text.startswith("box is prepared"), t.text


def test_json_never_shows_progress(world):
    big(world.local / "big")
    with Terminal(prepare(world, "--json", "--progress", "always"),
                  env=world.env) as t:
        assert t.wait() == 0
        assert t.text.startswith("{") and t.text.count("\n") == 1, t.text


def test_plain_lines_in_a_pipe(world):
    big(world.local / "big")
    done = subprocess.run([str(a) for a in prepare(
        world, "--progress", "always")], env=world.env, capture_output=True,
        text=True, check=True)
    assert "\r" not in done.stderr and "\x1b" not in done.stderr
    lines = done.stderr.splitlines()
    assert any(re.match(r"sending +\d+%  .* of 8\.4 MB", x) for x in lines)
    assert re.match(r"sending  100%  8\.4 MB of 8\.4 MB",
                    [x for x in lines if x.startswith("sending")][-1])
    assert world.run("restore", "box", check=0).err == ""
    assert world.run("restore", "--progress", "sometimes", "box",
                     check=2).err.startswith("sandmount: --progress: ")


def test_flush_and_umount_show_the_daemons_progress(world):
    """A sandbox whose commands wait at a gate."""
    gate = world.top / "gate"
    write(world.top / "slow", f"#!/bin/sh\n"
          f"while [ -e {gate} ]; do sleep 0.1; done\nexec \"$@\"\n", 0o755)
    write(world.top / "config" / "sandmount" / "config.json", json.dumps(
        {"commands": {"slow": [str(world.top / "slow")]}}))
    write(world.local / "a", "a\n")
    world.run("mount", "--name", "box", "--local", world.local,
              f"command:slow:{world.remote}", world.mnt, check=0)
    for command in ("flush", "umount"):
        gate.touch()
        big(world.mnt / command)
        with Terminal([SANDMOUNT, command, "box"], env=world.env) as t:
            t.wait_for(r"sending .*of 8\.4 MB")
            gate.unlink()
            assert t.wait() == 0, t.text
    assert (world.local / "umount").stat().st_size == 8 << 20

"""Commands in the sandbox from the mount: streams, codes, signals, orphans."""
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from conftest import SANDMOUNT, wait_for, write
from test_userlands import configure, make_path

LIMIT = 60


def lives(pid):
    """Whether the process runs (a zombie does not)."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def start(world, *argv, **streams):
    return subprocess.Popen([SANDMOUNT, "exec", "box", "--", *argv],
                            env=world.env, **streams)


def pid_in(path):
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"),
          f"{path.name} was not written")
    return int(path.read_text())


def test_code_and_streams(world):
    write(world.local / "sub" / "a", "a\n")
    world.mount()
    r = world.run("exec", "box", "--", "sh", "-c",
                  "echo out; echo err >&2; exit 7")
    assert (r.code, r.out, r.err) == (7, "out\n", "err\n")
    assert world.run("exec", world.mnt, "true").code == 0
    r = world.run("exec", "box", "--", "sh", "-c", "kill -9 $$")
    assert (r.code, r.out, r.err) == (128 + 9, "", "")
    r = world.run("exec", "box", "--", "no-such-command")
    assert r.code == 127
    assert "no-such-command" in r.err
    assert world.run("exec", "box", "--", "printf", "%s|", "a b", "", "*",
                     "'\"$x").out == "a b||*|'\"$x|"


def test_where_the_caller_stands(world):
    write(world.local / "sub" / "deep" / "a", "a\n")
    world.mount()
    for cwd, below in ((world.mnt, ""), (world.mnt / "sub" / "deep",
                                         "/sub/deep"),
                       (world.local / "sub", "/sub"), (world.home, "")):
        r = world.run("exec", "box", "--", "pwd", cwd=cwd, check=0)
        assert r.out == f"{world.remote}{below}\n"
    shutil.rmtree(world.remote / "sub")
    r = world.run("exec", "box", "--", "pwd", cwd=world.local / "sub")
    assert r.code == 255
    assert "has no directory" in r.err


def test_flushes_before_and_refreshes_after(world):
    write(world.local / "in.txt", "old\n")
    world.mount()
    write(world.mnt / "in.txt", "just written\n")
    world.run("exec", "box", "--", "sh", "-c", "cat in.txt >out.txt",
              check=0)
    assert (world.mnt / "out.txt").read_text() == "just written\n"


def test_without_a_mount(world):
    write(world.local / "a", "a\n")
    world.prepare()
    r = world.run("exec", "box", "--", "cat", "a", check=0)
    assert r.out == "a\n"
    assert world.run("exec", "nobox", "--", "true").code == 255
    assert world.run("exec", "box").code == 255
    shutil.rmtree(world.remote)
    r = world.run("exec", "box", "--", "echo", "x")
    assert (r.code, r.out) == (255, "")


def test_binary_output_and_input(world):
    """100 MB of all byte values pass unchanged, both ways."""
    world.mount()
    block = bytes(range(256)) * 256
    size = 100 << 20
    digest = hashlib.sha256(block * (size // len(block))).hexdigest()
    blob = world.top / "blob"
    with open(blob, "wb") as f:
        for _ in range(size // len(block)):
            f.write(block)
    with open(blob, "rb") as f:
        p = start(world, "cat", stdin=f, stdout=subprocess.PIPE)
        got = hashlib.sha256()
        for chunk in iter(lambda: p.stdout.read(1 << 20), b""):
            got.update(chunk)
        assert p.wait(LIMIT) == 0
    assert got.hexdigest() == digest
    blob.unlink()
    p = start(world, "sh", "-c", "cat >&2; echo done", stdin=subprocess.PIPE,
              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = p.communicate(block, LIMIT)
    assert (p.returncode, out, err) == (0, b"done\n", block)


def test_input_is_passed_as_it_comes(world):
    world.mount()
    p = start(world, "sh", "-c", "read x; echo \"got $x\"; read y; echo end",
              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    p.stdin.write(b"one\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"got one\n"
    p.stdin.close()
    assert p.stdout.read() == b"end\n"
    assert p.wait(LIMIT) == 0


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_signal_reaches_the_whole_group(world, sig):
    world.mount()
    child, own = world.top / "child", world.top / "own"
    p = start(world, "sh", "-c",
              f"sleep 1000 & echo $! >{child}; echo $$ >{own}; wait",
              stdin=subprocess.DEVNULL)
    pids = [pid_in(child), pid_in(own)]
    p.send_signal(sig)
    assert p.wait(LIMIT) == 128 + sig
    for pid in pids:
        wait_for(lambda: not lives(pid), f"{pid} outlives the signal")


def test_a_command_may_handle_its_signal(world):
    world.mount()
    ready = world.top / "ready"
    p = start(world, "sh", "-c", f"trap 'echo caught; exit 9' INT; "
              f"sleep 1000 & echo $! >{ready}; wait",
              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    child = pid_in(ready)
    p.send_signal(signal.SIGINT)
    assert p.stdout.read() == b"caught\n"
    assert p.wait(LIMIT) == 9
    wait_for(lambda: not lives(child), "the rest of the group stays")


def test_killed_exec_leaves_no_orphan(world):
    world.mount()
    own = world.top / "own"
    p = start(world, "sh", "-c", f"echo $$ >{own}; exec sleep 1000",
              stdin=subprocess.DEVNULL)
    pid = pid_in(own)
    p.kill()
    p.wait()
    end = time.monotonic() + 150
    while lives(pid):
        assert time.monotonic() < end, "it outlives its exec"
        time.sleep(0.1)


def test_reader_gone_ends_the_command(world):
    world.mount()
    own = world.top / "own"
    p = start(world, "sh", "-c", f"echo $$ >{own}; while :; do echo y; done",
              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
              stderr=subprocess.DEVNULL)
    pid = pid_in(own)
    p.stdout.close()
    p.wait(LIMIT)
    wait_for(lambda: not lives(pid), "it writes to nobody")


def test_leftovers(world):
    """What stays in the group ends with the command; a daemon of its own
    session stays and does not hold exec up."""
    world.mount()
    left, own = world.top / "left", world.top / "own"
    world.run("exec", "box", "--", "sh", "-c",
              f"sleep 1000 & echo $! >{left}; "
              f"setsid sh -c 'echo $$ >{own}; exec sleep 1000' & "
              f"while [ ! -s {own} ]; do :; done", check=0, timeout=LIMIT)
    wait_for(lambda: not lives(pid_in(left)), "a leftover stays")
    daemon = pid_in(own)
    assert lives(daemon)
    os.kill(daemon, signal.SIGKILL)


@pytest.mark.parametrize("kind", ["busybox", "toybox"])
def test_userlands(world, kind):
    if not shutil.which(kind):
        pytest.skip(f"no {kind} here")
    path = make_path(world, kind)
    for tool in ("setsid", "sleep", "kill"):
        target = shutil.which(kind)
        if not (path / tool).exists():
            os.symlink(target, path / tool)
    spec = configure(world, ["env", f"PATH={path}"])
    world.run("mount", "--name", "box", "--local", world.local, spec,
              world.mnt, check=0)
    r = world.run("exec", "box", "--", "sh", "-c", "echo o; echo e >&2; exit 3")
    assert (r.code, r.out, r.err) == (3, "o\n", "e\n")
    own = world.top / "own"
    p = start(world, "sh", "-c", f"echo $$ >{own}; exec sleep 1000",
              stdin=subprocess.DEVNULL)
    pid = pid_in(own)
    p.send_signal(signal.SIGINT)
    assert p.wait(LIMIT) == 130
    wait_for(lambda: not lives(pid), "it outlives the signal")

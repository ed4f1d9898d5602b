"""Everything stands still, or runs out, for a while: the daemon, the connection,
descriptors, the disk of the state. Work on what is here goes
on or fails by its proper errno, and arrives afterwards, once.

SANDMOUNT_FREEZE_SECONDS says for how long (0.5 unless given)."""
import errno
import os
import resource
import signal
import subprocess
import time

import pytest

import conftest
from conftest import tree, wait_for, write
from test_attach import Link

SECONDS = float(os.environ.get("SANDMOUNT_FREEZE_SECONDS", "0.5"))


@pytest.fixture
def link(world):
    link = Link(world)
    yield link
    link.set(".hold", False)


def mount(world, link, *options):
    return world.run("mount", "--name", "box", "--local", world.local,
                     *options, link.spec, world.mnt, check=0)


def children(pid):
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)],
                         capture_output=True, text=True).stdout
    return [int(p) for p in out.split()]


def flush(world):
    wait_for(lambda: world.run("flush", "box").code == 0)


def test_silent_connection(world, link):
    """Nobody answers: work goes on, and all of it arrives, once."""
    write(world.local / "log", "0\n")
    mount(world, link)
    link.set(".hold", True)
    end = time.monotonic() + SECONDS
    count = 0
    while count < 200 or time.monotonic() < end:
        count += 1
        with open(world.mnt / "log", "a") as f:
            f.write(f"{count}\n")
        write(world.mnt / f"f{count % 7}", f"{count}\n")
        assert (world.mnt / f"f{count % 7}").read_text() == f"{count}\n"
    os.rename(world.mnt / "f1", world.mnt / "moved")
    link.set(".hold", False)
    flush(world)
    want = "".join(f"{i}\n" for i in range(count + 1))
    assert (world.remote / "log").read_text() == want
    assert tree(world.remote) == tree(world.mnt)
    world.umount()
    assert tree(world.local) == tree(world.remote)


def test_provider_stopped(world, link):
    """The provider's process is stopped in the middle of a batch."""
    write(world.local / "log", "0\n")
    mount(world, link)
    daemon = world.daemon_pid()
    link.set(".hold", True)
    write(world.mnt / "big", os.urandom(1 << 20))
    wait_for(lambda: children(daemon))
    stopped = children(daemon)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    link.set(".hold", False)
    with open(world.mnt / "log", "a") as f:
        f.write("1\n")
    assert (world.mnt / "log").read_text() == "0\n1\n"
    time.sleep(SECONDS)     # how long it stands still
    for pid in stopped:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    flush(world)
    assert tree(world.remote) == tree(world.mnt)
    world.umount()
    assert tree(world.local) == tree(world.remote)


def test_daemon_stopped(world):
    """Its callers wait, can be killed, and go on when it does."""
    write(world.local / "a", "a\n")
    world.mount("--poll", "3600")
    daemon = world.daemon_pid()
    os.kill(daemon, signal.SIGSTOP)
    try:
        writer = subprocess.Popen(["sh", "-c", 'echo new >"$1/new"', "sh",
                                   str(world.mnt)])
        reader = subprocess.Popen(["cat", str(world.mnt / "not-there")],
                                  stderr=subprocess.DEVNULL)
        time.sleep(SECONDS)     # how long it stands still
        assert writer.poll() is None
        reader.kill()
        assert reader.wait(60) == -signal.SIGKILL
    finally:
        os.kill(daemon, signal.SIGCONT)
    assert writer.wait(60) == 0
    world.run("flush", "box", check=0)
    assert (world.remote / "new").read_text() == "new\n"
    world.umount()
    assert tree(world.local) == tree(world.remote)


def test_two_processes_on_a_session(world, link):
    """The second is told so, and changes nothing."""
    write(world.local / "a", "a\n")
    link.set(".hold", True)
    words = ["prepare", "--name", "box", "--local", str(world.local),
             link.spec]
    first = subprocess.Popen([conftest.SANDMOUNT, *words], env=world.env,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
    lock = world.session() / "lock"
    wait_for(lambda: lock.exists() and lock.read_text() == f"{first.pid}\n")
    for words in (words, ["restore", "box"]):
        r = world.run(*words)
        assert r.code == 1 and str(first.pid) in r.err, r
    link.set(".hold", False)
    assert first.wait(60) == 0, first.stderr.read()
    first.stderr.close()
    assert tree(world.remote) == tree(world.local)


def test_no_descriptors_left(world):
    """Who opens too many files gets an error; the rest goes on."""
    for i in range(100):
        write(world.local / f"f{i}", f"{i}\n")
    done = subprocess.run(
        [conftest.SANDMOUNT, "mount", "--name", "box", "--local", world.local,
         world.spec, world.mnt], env=world.env, capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                              (64, 64)))
    assert done.returncode == 0, done
    held = []
    with pytest.raises(OSError) as e:
        for i in range(100):
            held.append(os.open(world.mnt / f"f{i}", os.O_RDONLY))
    assert e.value.errno in (errno.EMFILE, errno.ENFILE, errno.EIO)
    for fd in held:
        os.close(fd)
    write(world.mnt / "after", "after\n")
    flush(world)
    assert (world.remote / "after").read_text() == "after\n"
    world.umount()
    assert tree(world.local) == tree(world.remote)


@pytest.fixture
def small(world):
    """A file system of 8 MB for the state."""
    small = world.top / "small"
    small.mkdir()
    if os.geteuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(small)],
            capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    world.env["XDG_STATE_HOME"] = str(small)
    yield small
    subprocess.run(["fusermount3", "-u", "-z", str(world.mnt)],
                   capture_output=True)
    subprocess.run(["umount", "-l", str(small)])


def test_disk_of_the_mirror_is_full(world, small):
    write(world.local / "a", "a\n")
    world.mount()
    with pytest.raises(OSError) as e:
        write(world.mnt / "big", os.urandom(16 << 20))
    assert e.value.errno == errno.ENOSPC
    (world.mnt / "big").unlink()
    write(world.mnt / "fits", "fits\n")
    flush(world)
    assert (world.remote / "fits").read_text() == "fits\n"
    world.umount()
    assert tree(world.local) == tree(world.remote)


def test_several_mounts(world):
    """Each has its own session, daemon and sandbox."""
    boxes = []
    for i in range(3):
        top = world.top / f"m{i}"
        local, remote, mnt = top / "local", top / "remote", top / "mnt"
        for d in (local, remote, mnt):
            d.mkdir(parents=True)
        write(local / "a", f"{i}\n")
        world.run("mount", "--name", f"box{i}", "--local", local,
                  f"local:{remote}", mnt, check=0)
        boxes.append((local, remote, mnt))
    try:
        for i, (_, _, mnt) in enumerate(boxes):
            write(mnt / "new", f"new {i}\n")
        for i, (local, remote, mnt) in enumerate(boxes):
            world.run("flush", f"box{i}", check=0)
            assert (remote / "new").read_text() == f"new {i}\n"
    finally:
        for _, _, mnt in boxes:
            world.run("umount", mnt)
    for i, (local, remote, _) in enumerate(boxes):
        assert tree(local) == tree(remote)
        assert (local / "new").read_text() == f"new {i}\n"

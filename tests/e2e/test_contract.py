"""What every provider must do, the same for all. A test's name after "test_"
is the feature's name in the table of the README."""
import hashlib
import os
import random
import re
import signal
import subprocess
import threading
import time

import pytest

import contract
import sandboxes
from conftest import SANDMOUNT, paths, remove, tree, wait_for, write


def pytest_generate_tests(metafunc):
    """Each feature with each provider that can have it."""
    feature = metafunc.function.__name__[len("test_"):]
    can = []
    for provider, kind in sandboxes.PROVIDERS.items():
        if feature in kind.limits:
            contract.note(feature, provider, "impossible",
                          kind.limits[feature])
        else:
            can.append(provider)
    metafunc.parametrize("box", can, indirect=True)


@pytest.fixture
def box(request, world):
    feature = request.node.originalname[len("test_"):]
    request.node.user_properties.append(("contract",
                                         (feature, request.param)))
    box = sandboxes.PROVIDERS[request.param](world)
    yield box
    world.clean()
    box.close()


def prepare(world, box, *options, check=0):
    return world.run("prepare", "--json", "--name", "box", "--local",
                     world.local, *options, box.spec, check=check)


def mount(world, box, *options):
    return world.run("mount", "--name", "box", "--local", world.local,
                     *options, box.spec, world.mnt, check=0)


def flush(world):
    world.run("flush", "box", check=0)


def sample(top):
    for i in range(12):
        write(top / f"dir{i % 3}" / f"file{i}", f"{i}\n" * 20)
    write(top / "run.sh", "#!/bin/sh\necho run\n", 0o755)
    write(top / "blob", bytes(range(256)) * 64)
    (top / "empty").mkdir()
    os.symlink("dir0/file0", top / "link")
    os.symlink("nowhere", top / "dangling")


def test_prepare(world, box):
    sample(world.local)
    box.put({"old": b"goes\n", "dir0/file0": b"replaced\n"})
    r = prepare(world, box).json
    assert r["sent"]["files"] == 16
    assert box.tree() == tree(world.local)
    assert prepare(world, box).json["sent"]["files"] == 0
    write(world.local / "run.sh", "#!/bin/sh\n", 0o755)
    remove(world.local / "dir1" / "file1")
    assert prepare(world, box).json["sent"]["files"] == 1
    assert box.tree() == tree(world.local)


def test_batches(world, box):
    sample(world.local)
    mount(world, box)
    mnt = world.mnt
    write(mnt / "dir0" / "file0", "edited\n")
    write(mnt / "new" / "deep" / "file", "new\n")
    os.rename(mnt / "dir1", mnt / "new" / "moved")
    os.rename(mnt / "dir2" / "file2", mnt / "dir2" / "renamed")
    remove(mnt / "link")
    os.symlink("run.sh", mnt / "link")
    os.chmod(mnt / "run.sh", 0o644)
    remove(mnt / "blob")
    remove(mnt / "empty")
    write(mnt / "empty", "a file now\n")
    flush(world)
    assert box.tree() == tree(mnt)
    world.umount()
    assert box.tree() == tree(world.local)


def test_refresh(world, box):
    sample(world.local)
    mount(world, box)
    box.put({"theirs/new": b"new\n", "run.sh": b"#!/bin/sh\nexit 1\n"})
    box.sh(f"cd {box.root} && rm blob && mv dir1 moved && ln -s run.sh l2 && "
           "chmod 600 dir0/file0")
    world.run("refresh", "box", check=0)
    assert (world.mnt / "theirs" / "new").read_text() == "new\n"
    assert tree(world.mnt) == box.tree()
    world.umount()
    assert tree(world.local) == box.tree()


def test_fetch(world, box):
    """Attached, without a local directory."""
    box.put({"a": b"a\n", "d/b": bytes(range(256)) * 1000, "d/e/c": b""})
    box.sh(f"cd {box.root} && chmod 755 a && ln -s d/b link")
    world.run("mount", "--name", "box", box.spec, world.mnt, check=0)
    assert tree(world.mnt) == box.tree()
    write(world.mnt / "d" / "mine", "mine\n")
    flush(world)
    assert box.tree()[b"d/mine"][2] == b"mine\n"
    world.umount()


def test_exec(world, box):
    write(world.local / "sub" / "a", "a\n")
    mount(world, box)
    r = world.run("exec", "box", "--", "sh", "-c",
                  'echo out; echo err >&2; exit 7')
    assert (r.code, r.out, r.err) == (7, "out\n", "err\n")
    r = world.run("exec", "box", "--", "sh", "-c",
                  'printf "%s|" "$@"; cat a; echo made >b', "sh", "it's",
                  "two\nlines", "", cwd=world.mnt / "sub", check=0)
    assert r.out == "it's|two\nlines||a\n"
    assert (world.mnt / "sub" / "b").read_text() == "made\n"
    data = random.Random(1).randbytes(300000)
    r = subprocess.run([SANDMOUNT, "exec", "box", "--", "cat"], input=data,
                       env=world.env, capture_output=True, timeout=300)
    assert r.returncode == 0 and r.stdout == data
    world.umount()


def test_restore(world, box):
    sample(world.local)
    write(world.local / "both", "base\n")
    prepare(world, box)
    box.put({"dir0/file0": b"theirs\n", "both": b"theirs\n", "new/n": b"n\n"})
    box.sh(f"rm {box.root}/blob")
    write(world.local / "both", "ours\n")
    write(world.local / "mine", "mine\n")
    r = world.restore(check=3).json
    assert paths(r, "applied") == ["dir0/file0", "new", "new/n"]
    assert paths(r, "deleted") == ["blob"]
    assert paths(r, "conflicts") == ["both"]
    assert (world.local / "both").read_text() == "ours\n"
    assert (world.local / "both.box.conflict").read_text() == "theirs\n"
    world.restore("--undo")
    assert (world.local / "blob").exists()


NAMES = [b"sp ace", b" lead", b"trail ", b"-dash", b"--help", b"new\nline",
         b"tab\tbed", b"\xff\xfe", b"\xc3\xa4 \xe2\x82\xac", b"q'uo\"te",
         b"\\back\\", b"$x`y`$(z)", b"*?[a]", b"#hash", b"%41", b"a:b",
         b"~tilde", b"!bang", b"&and;semi|pipe", b"\x01\x1b[31m", b"l" * 255]


def test_names(world, box):
    for n in NAMES:
        with open(os.path.join(os.fsencode(world.local), n), "wb") as f:
            f.write(n)
        d = os.path.join(os.fsencode(world.local), b"in", n)
        os.makedirs(d)
        os.symlink(n, os.path.join(d, b"link"))
    mount(world, box)
    assert box.tree() == tree(world.local)
    # And what the sandbox makes of them.
    box.sh(f"cd {box.root} && cp -R in out && for f in ./*; do "
           '[ ! -f "$f" ] || echo more >>"$f"; done')
    world.run("refresh", "box", check=0)
    assert tree(world.mnt) == box.tree()
    world.umount()
    assert tree(world.local) == box.tree()


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_large_files(world, box):
    data = random.Random(2).randbytes(1 << 20) * 24
    write(world.local / "large", data)
    mount(world, box)
    want = hashlib.sha256(data).hexdigest()
    assert box.sh(f"sha256sum <{box.root}/large").split()[0] == want.encode()
    with open(world.mnt / "large", "r+b") as f:
        f.seek(10 << 20)
        f.write(b"in the middle")
    flush(world)
    want = digest(world.mnt / "large")
    assert box.sh(f"sha256sum <{box.root}/large").split()[0] == want.encode()
    box.sh(f"cd {box.root} && cat large large >twice && rm large")
    world.run("refresh", "box", check=0)
    assert (world.mnt / "twice").stat().st_size == 2 * len(data)
    world.umount()
    whole = digest(world.local / "twice")
    assert box.sh(f"sha256sum <{box.root}/twice").split()[0] == whole.encode()


class Hang:
    """Every command about the workspace hangs: the mark it reads first is a
    pipe that nobody writes to."""

    def __init__(self, box):
        self.box = box
        self.cd = f"cd {box.root}/.sandmount/.session-*"
        self.id = box.sh(f"{self.cd} && cat mark").decode().strip()
        box.sh(f"{self.cd} && rm mark && mkfifo mark")

    def hanging(self):
        """Whether a command hangs there now."""
        return bool(self.box.sh(
            f"grep -l 'session-{self.id}/mar[k]' /proc/[0-9]*/cmdline "
            "2>/dev/null || true").strip())

    def end(self):
        self.box.sh(f"{self.cd} && rm mark && echo {self.id} >mark")


def test_deadline(world, box):
    write(world.local / "a", "a\n")
    # A deadline that no command misses on a machine as busy as this one.
    took = time.monotonic()
    prepare(world, box)
    took = time.monotonic() - took
    mount(world, box, "--timeout", str(int(5 + 2 * took)))
    hang = Hang(box)
    write(world.mnt / "b", "b\n")
    assert (world.mnt / "b").read_text() == "b\n"
    world.wait_state("offline", seconds=60 + 5 * took)
    assert re.search("within|no byte", world.status()["last_error"])
    assert (world.mnt / "a").read_text() == "a\n"
    hang.end()
    world.wait_state("mounted")
    flush(world)
    assert box.tree() == tree(world.mnt)
    # What hung was ended, not left behind.
    wait_for(lambda: not hang.hanging())
    world.umount()


def test_cancellation(world, box):
    """A command that was started by `exec` and is interrupted ends in the
    sandbox as well."""
    write(world.local / "a", "a\n")
    mount(world, box)
    p = subprocess.Popen(
        [SANDMOUNT, "exec", "box", "--", "sh", "-c",
         "echo $$ >started; sleep 3600.5"], env=world.env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    running = "grep -l '3600[.]5' /proc/[0-9]*/cmdline 2>/dev/null || true"
    wait_for(lambda: box.sh(f"cat {box.root}/started 2>/dev/null || true"))
    pid = box.sh(f"cat {box.root}/started").decode().strip()
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=120)
    assert p.returncode == 130
    wait_for(lambda: f"/proc/{pid}/" not in box.sh(running).decode())
    world.umount()


def test_gone_and_back(world, box):
    write(world.local / "a", "a\n")
    mount(world, box)
    box.stop()
    write(world.mnt / "b", "b\n")
    world.wait_state("offline")
    assert world.status()["last_error"]
    assert world.status()["unsent"]["files"] == 1
    box.start()
    world.wait_state("mounted")
    flush(world)
    assert box.tree() == tree(world.mnt)
    # Gone for good: the work comes home all the same.
    box.stop()
    write(world.mnt / "c", "c\n")
    remove(world.mnt / "a")
    world.umount(check=4)
    assert tree(world.local).keys() == {b"b", b"c"}
    assert (world.local / "c").read_text() == "c\n"
    # And is sent when it is back.
    box.start()
    prepare(world, box)
    assert box.tree() == tree(world.local)


def test_replaced(world, box):
    for i in range(5):
        write(world.local / f"f{i}", f"{i}\n")
    mount(world, box)
    box.replace()
    write(world.mnt / "new", "new\n")
    before = tree(world.mnt)
    world.wait_state("offline")
    world.umount(check=4)
    # An empty sandbox is no wish to delete.
    assert tree(world.local) == before
    prepare(world, box)
    assert box.tree() == before


def test_older_state(world, box):
    """Its disk comes back as it was at an earlier time, from a snapshot: what
    is missing since then was not deleted, what is old is no edit."""
    for i in range(5):
        write(world.local / f"f{i}", f"{i}\n")
    mount(world, box)
    box.sh(f"cp -a {box.root} {box.root}.snapshot")
    write(world.mnt / "new", "new\n")
    write(world.mnt / "f0", "edited\n")
    remove(world.mnt / "f1")
    flush(world)
    before = tree(world.mnt)
    assert box.tree() == before
    box.sh(f"mv {box.root} {box.root}.gone && "
           f"mv {box.root}.snapshot {box.root}")
    r = world.run("refresh", "box")
    assert r.code != 0 and "older state" in r.err, r
    world.wait_state("offline")
    world.umount(check=None)
    assert tree(world.local) == before
    prepare(world, box)
    assert box.tree() == before
    # And that is a beginning like any other.
    mount(world, box)
    write(world.mnt / "f2", "edited\n")
    flush(world)
    assert box.tree() == tree(world.mnt)
    world.umount()


def test_expiry(world, box):
    """When its life ends is told; what was not sent goes home all the same."""
    write(world.local / "a", "a\n")
    write(world.local / "b", "b\n")
    mount(world, box)
    assert world.status()["expires_at"]
    box.expire()
    write(world.mnt / "new", "new\n")
    remove(world.mnt / "a")
    assert world.run("flush", "box").code != 0
    world.wait_state("offline")
    assert world.status()["last_error"]
    before = tree(world.mnt)
    world.umount(check=4)
    assert tree(world.local) == before


def test_concurrent_commands(world, box):
    write(world.local / "a", "a\n")
    mount(world, box)
    done = {}

    def run(i):
        r = world.run("exec", "box", "--", "sh", "-c",
                      f"cat a; echo {i} >made{i}; echo {i}")
        done[i] = (r.code, r.out, r.err)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for i in range(3):
        write(world.mnt / f"mine{i}", f"{i}\n" * 100)
        flush(world)
    for t in threads:
        t.join()
    for i in range(3):
        assert done[i] == (0, f"a\n{i}\n", "")
        assert (world.mnt / f"made{i}").read_text() == f"{i}\n"
    world.run("refresh", "box", check=0)
    assert box.tree() == tree(world.mnt)
    world.umount()


def test_faults(world, box):
    """Connections that are cut while batches go out."""
    write(world.local / "a", "a\n")
    mount(world, box)
    for n in range(2):
        for i in range(40):
            write(world.mnt / f"d{n}" / f"f{i}", f"{n} {i}\n" * 3000)
        p = subprocess.Popen([SANDMOUNT, "flush", "box"], env=world.env,
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        box.cut()
        p.wait(300)
    wait_for(lambda: world.run("flush", "box").code == 0, seconds=120)
    assert box.tree() == tree(world.mnt)
    world.umount()
    assert tree(world.local) == box.tree()

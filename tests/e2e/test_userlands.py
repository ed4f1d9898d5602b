"""The same round trip over GNU, busybox and toybox tools, and through
connections that lie, break and stall, by the `command` provider."""
import os
import shutil
import subprocess

import pytest

from conftest import paths, remove, tree, write

TOOLS = ("tar find stat xargs sort mkdir rm mv ln cat chmod sed cmp comm "
         "sha256sum grep cp readlink rmdir printf env tr wc head").split()


def make_path(world, kind):
    """A PATH whose tools are of one userland; sh included."""
    bin_dir = world.top / f"bin-{kind}"
    bin_dir.mkdir()
    box = shutil.which(kind) if kind in ("busybox", "toybox") else None
    have = subprocess.run([box] if kind == "toybox" else [box, "--list"],
                          capture_output=True, text=True
                          ).stdout.split() if box else []
    for tool in TOOLS + ["sh"]:
        if box and tool in have:
            os.symlink(box, bin_dir / tool)
        elif shutil.which(tool):
            os.symlink(shutil.which(tool), bin_dir / tool)
    if kind == "bsdtar":
        (bin_dir / "tar").unlink()
        os.symlink(shutil.which("bsdtar"), bin_dir / "tar")
    return bin_dir


def configure(world, argv):
    words = ", ".join('"%s"' % w for w in argv)
    write(world.top / "config" / "sandmount" / "config.json",
          '{"commands": {"x": [%s]}}' % words)
    return f"command:x:{world.remote}"


@pytest.mark.parametrize("kind", ["gnu", "busybox", "toybox", "bsdtar"])
def test_round_trip(world, kind):
    if kind != "gnu" and not shutil.which(kind):
        pytest.skip(f"no {kind} here")
    spec = configure(world, ["env", f"PATH={make_path(world, kind)}"])
    names = [b"plain", b"sp ace", b"-dash", b"new\nline", b"\xff\xfe",
             b"q'uo\"te", b"\\back", b"$x`y`", b"l" * 200]
    for n in names:
        with open(os.path.join(os.fsencode(world.local), n), "wb") as f:
            f.write(n)
    deep = world.local / ("d" * 100) / ("e" * 100) / ("f" * 100)
    write(deep / "deep", "deep\n")
    write(world.local / "run.sh", "#!/bin/sh\n", 0o755)
    os.symlink("run.sh", world.local / "link")
    (world.local / "empty").mkdir()
    world.run("prepare", "--name", "box", "--local", world.local, spec,
              check=0)
    assert tree(world.local) == tree(world.remote)
    r = world.run("prepare", "--json", "--name", "box", "--local",
                  world.local, spec, check=0).json
    assert r["sent"]["files"] == 0, r
    # The sandbox works.
    write(world.remote / "run.sh", "#!/bin/sh\necho\n", 0o755)
    write(world.remote / "new" / "file", "new\n")
    remove(world.remote / "plain")
    os.symlink("new", world.remote / "link2")
    r = world.restore().json
    assert "run.sh" in paths(r, "applied")
    assert tree(world.local) == tree(world.remote)
    # The mount works.
    world.run("mount", "--name", "box", "--local", world.local, spec,
              world.mnt, check=0)
    os.rename(world.mnt / "new", world.mnt / "moved")
    os.rename(world.mnt / ("d" * 100), world.mnt / "moved" / "d")
    write(world.mnt / "moved" / "file", "again\n")
    remove(world.mnt / "sp ace")
    os.rename(world.mnt / "run.sh", world.mnt / "run2.sh")
    remove(world.mnt / "empty")
    write(world.mnt / "empty", "now a file\n")
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()
    assert tree(world.local) == tree(world.remote)


@pytest.mark.parametrize("kind", ["gnu", "busybox", "toybox"])
def test_attach(world, kind):
    if kind != "gnu" and not shutil.which(kind):
        pytest.skip(f"no {kind} here")
    spec = configure(world, ["env", f"PATH={make_path(world, kind)}"])
    for n in (b"plain", b"sp ace", b"-dash", b"new\nline", b"\xff\xfe",
              b"q'uo\"te", b"\\back", b"$x`y`", b"l" * 200, b"*"):
        with open(os.path.join(os.fsencode(world.remote), n), "wb") as f:
            f.write(n)
    os.link(world.remote / "plain", world.remote / "hard")
    write(world.remote / "d" / "e" / "sparse", b"")
    os.truncate(world.remote / "d" / "e" / "sparse", 1 << 20)
    world.run("mount", "--name", "box", spec, world.mnt, check=0)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()
    assert tree(world.session() / "mirror") == tree(world.remote)


def shim(world, body):
    """A command prefix that runs the real sh through BODY, a script that may
    use "$@"."""
    path = world.top / "shim"
    write(path, "#!/bin/bash\n" + body, 0o755)
    return configure(world, [str(path)])


def test_noise_before_the_answer(world):
    spec = shim(world, 'echo "Welcome to host"; echo "motd" >&2; exec "$@"\n')
    write(world.local / "a", "a")
    world.run("prepare", "--name", "box", "--local", world.local, spec,
              check=0)
    assert (world.remote / "a").read_text() == "a"


@pytest.mark.parametrize("keep", [0, 10, 60, 100, 200, 300, 500, 1000, 3000])
def test_answers_cut_anywhere_delete_nothing(world, keep):
    """Every answer of the sandbox is cut after KEEP bytes."""
    spec = shim(world, 'if [ -e %s ]; then "$@" | head -c %d; '
                'else exec "$@"; fi\n' % (world.top / "cut", keep))
    for i in range(30):
        write(world.local / f"d{i % 3}" / f"f{i}", f"{i}\n" * 20)
    world.run("prepare", "--name", "box", "--local", world.local, spec,
              check=0)
    before = tree(world.local)
    for i in range(0, 30, 2):
        write(world.remote / f"d{i % 3}" / f"f{i}", f"changed {i}\n" * 30)
    write(world.top / "cut", "")
    r = world.run("restore", "--json", "box")
    assert r.code == 4, r
    assert not r.json["deleted"]
    assert set(tree(world.local)) == set(before)
    remove(world.top / "cut")
    world.restore()
    assert tree(world.local) == tree(world.remote)


@pytest.mark.parametrize("keep", [0, 512, 1500, 20000, 60000])
def test_batches_cut_anywhere_arrive_later(world, keep):
    """What we send is cut after KEEP bytes."""
    spec = shim(world, 'if [ -e %s ]; then head -c %d | "$@"; '
                'else exec "$@"; fi\n' % (world.top / "cut", keep))
    write(world.local / "a", "a\n")
    world.run("mount", "--name", "box", "--local", world.local, spec,
              world.mnt, check=0)
    write(world.top / "cut", "")
    for i in range(40):
        write(world.mnt / f"f{i}", f"{i}\n" * 500)
    os.unlink(world.mnt / "a")
    world.run("flush", "box", check=4)
    assert world.status()["unsent"]["files"] > 0
    remove(world.top / "cut")
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()


def test_lost_answers_apply_once(world):
    """The sandbox does what it is told, but the answer never comes."""
    spec = shim(world, 'if [ -e %s ]; then "$@" >/dev/null; '
                'else exec "$@"; fi\n' % (world.top / "deaf"))
    write(world.local / "a", "a\n")
    world.run("mount", "--name", "box", "--local", world.local, spec,
              world.mnt, check=0)
    write(world.top / "deaf", "")
    write(world.mnt / "b", "b\n")
    os.rename(world.mnt / "a", world.mnt / "c")
    world.run("flush", "box", check=4)
    remove(world.top / "deaf")
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    r = world.umount().json
    assert not r["conflicts"], r
    assert tree(world.local) == tree(world.remote)


def test_a_stalled_sandbox_does_not_stall_the_mount(world):
    spec = shim(world, 'if [ -e %s ]; then sleep 60; else exec "$@"; fi\n'
                % (world.top / "stall"))
    write(world.local / "a", "a\n")
    world.run("mount", "--timeout", "2", "--name", "box", "--local",
              world.local, spec, world.mnt, check=0)
    write(world.top / "stall", "")
    write(world.mnt / "b", "b\n")
    assert (world.mnt / "b").read_text() == "b\n"
    world.wait_state("offline", seconds=30)
    assert (world.mnt / "a").read_text() == "a\n"
    remove(world.top / "stall")
    world.wait_state("mounted", seconds=60)
    world.run("flush", "box", check=0)
    assert (world.remote / "b").read_text() == "b\n"
    world.umount()


def test_files_that_change_while_they_are_sent(world):
    write(world.local / "a", "a\n")
    world.mount()
    writer = subprocess.Popen(
        ["sh", "-c", 'i=0; while [ ! -e "$1.stop" ]; do i=$((i+1)); '
         'echo "line $i" >>"$1"; done', "sh", str(world.mnt / "log")])
    for _ in range(5):
        world.run("flush", "box", check=None)
    write(world.mnt / "log.stop", "")
    writer.wait()
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    world.umount()
    assert tree(world.local) == tree(world.remote)

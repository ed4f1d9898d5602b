"""What is left out (--exclude, --gitignore) may change between two runs, and
while mounted: that never deletes or overwrites anything on any side."""
import os
import signal

import pytest

from conftest import paths, remove, tree, write


def sample(local):
    write(local / "a.txt", "a\n")
    write(local / "src" / "main.c", "int x;\n")
    write(local / "build" / "out.o", "object\n")
    write(local / "build" / "deep" / "er.o", "deeper\n")


def contents(top):
    return {k.decode(): v[2] for k, v in tree(top).items() if v[0] == "file"}


GROWN = {
    "literal": ["--exclude", "build"],
    "anchored": ["--exclude", "/build/"],
    "glob": ["--exclude", "bui*"],
    "gitignore": ["--gitignore"],
}


def ignore(local, how):
    if how == "gitignore":
        write(local / ".gitignore", "/build/\n")


@pytest.mark.parametrize("how", GROWN)
def test_grown_between_prepares(world, how):
    sample(world.local)
    world.prepare()
    ignore(world.local, how)
    write(world.local / "a.txt", "edited here\n")
    r = world.prepare(*GROWN[how]).json
    assert not r["resumed"] and r["deleted"] == 0
    assert (world.remote / "a.txt").read_text() == "edited here\n"
    assert contents(world.remote)["build/out.o"] == b"object\n"
    assert contents(world.local)["build/out.o"] == b"object\n"
    assert not (world.session() / "mirror" / "build").exists()
    write(world.remote / "build" / "out.o", "by the sandbox\n")
    os.unlink(world.remote / "build" / "deep" / "er.o")
    write(world.remote / "src" / "main.c", "int y;\n")
    r = world.restore().json
    assert paths(r, "applied") == ["src/main.c"]
    assert not r["deleted"] and not r["conflicts"] and not r["held"]
    assert contents(world.local)["build/out.o"] == b"object\n"
    assert contents(world.local)["build/deep/er.o"] == b"deeper\n"
    # And back: nothing was agreed on about it, so both are kept.
    r = world.prepare().json
    world.restore(check=3)
    here = contents(world.local)
    assert here["build/out.o"] == b"object\n"
    assert here["build/out.o.box.conflict"] == b"by the sandbox\n"
    assert here["build/deep/er.o"] == b"deeper\n"
    assert contents(world.remote)["build/out.o"] == b"by the sandbox\n"


def test_grown_with_unsent_work(world):
    """What the mount wrote and had not sent yet is sent all the same."""
    sample(world.local)
    world.mount()
    write(world.mnt / "build" / "out.o", "in the mount\n")
    write(world.mnt / "build" / "new.o", "new\n")
    os.kill(world.daemon_pid(), signal.SIGKILL)
    world.wait_state("crashed")
    world.mount("--exclude", "build")
    world.run("flush", "box", check=0)
    there = contents(world.remote)
    assert there["build/out.o"] == b"in the mount\n"
    assert there["build/new.o"] == b"new\n"
    assert there["build/deep/er.o"] == b"deeper\n"
    assert world.umount().json["deleted"] == []
    assert contents(world.local)["build/out.o"] == b"object\n"
    world.prepare()
    world.restore(check=3)
    here = contents(world.local)
    assert here["build/out.o"] == b"object\n"
    assert here["build/out.o.box.conflict"] == b"in the mount\n"
    assert here["build/new.o"] == b"new\n"
    assert here["build/deep/er.o"] == b"deeper\n"


def forget_listings(world):
    """The next listing is a full one, as after anything unexpected."""
    for f in (world.remote / ".sandmount").glob(".session-*/list.*"):
        f.unlink()


@pytest.mark.parametrize("how", GROWN)
def test_shrunk_between_prepares(world, how):
    sample(world.local)
    ignore(world.local, how)
    world.prepare(*GROWN[how])
    assert not (world.remote / "build").exists()
    write(world.remote / "build" / "theirs.o", "theirs\n")
    write(world.remote / "build" / "out.o", "another object\n")
    # Listed, and not looked at: no difference will tell of it.
    assert not any(world.restore().json[k] for k in ("applied", "deleted"))
    if how == "gitignore":
        os.unlink(world.local / ".gitignore")
        world.prepare("--gitignore")
    else:
        world.prepare()
    there = contents(world.remote)
    assert there["build/theirs.o"] == b"theirs\n"
    assert there["build/out.o"] == b"another object\n"
    world.restore(check=3)
    here = contents(world.local)
    assert here["build/theirs.o"] == b"theirs\n"
    assert here["build/out.o"] == b"object\n"
    assert here["build/out.o.box.conflict"] == b"another object\n"
    assert here["build/deep/er.o"] == b"deeper\n"
    there = contents(world.remote)
    assert there["build/theirs.o"] == b"theirs\n"
    assert there["build/out.o"] == b"another object\n"
    # From now on it is one workspace.
    world.prepare()
    assert contents(world.remote)["build/deep/er.o"] == b"deeper\n"


def test_shrunk_sends_what_was_left_out(world):
    sample(world.local)
    world.prepare("--exclude", "build")
    assert not (world.remote / "build").exists()
    r = world.prepare().json
    assert not r["resumed"] and r["sent"]["files"] == 2
    assert tree(world.local) == tree(world.remote)


def test_killed_between_two_extents(world):
    """A prepare with other options that did not get far changes nothing."""
    sample(world.local)
    world.prepare()
    (world.local / "a.txt").rename(world.top / "away")
    os.rename(world.remote, world.top / "elsewhere")
    world.remote.write_text("no directory\n")
    world.prepare("--exclude", "build", check=1)
    os.unlink(world.remote)
    os.rename(world.top / "elsewhere", world.remote)
    (world.top / "away").rename(world.local / "a.txt")
    r = world.restore().json
    assert not r["deleted"] and not r["held"]
    assert "build/out.o" in contents(world.remote)
    assert "build/out.o" in contents(world.local)


def test_gitignore_edited_while_mounted(world):
    sample(world.local)
    write(world.local / ".gitignore", "*.log\n")
    world.mount("--gitignore")
    write(world.local / ".gitignore", "*.log\nbuild/\n")
    write(world.remote / "src" / "main.c", "int y;\n")
    forget_listings(world)
    world.run("refresh", "box", check=0)
    assert (world.mnt / "src" / "main.c").read_text() == "int y;\n"
    assert (world.mnt / "build" / "out.o").read_text() == "object\n"
    assert (world.mnt / "build" / "deep" / "er.o").exists()
    write(world.mnt / "a.txt", "edited\n")
    write(world.mnt / "build" / "out.o", "in the mount\n")
    write(world.mnt / "build" / "new.o", "new\n")
    world.run("flush", "box", check=0)
    assert contents(world.remote)["build/out.o"] == b"in the mount\n"
    assert contents(world.remote)["build/new.o"] == b"new\n"
    r = world.umount().json
    assert not r["deleted"]
    assert (world.local / "a.txt").read_text() == "edited\n"
    assert (world.local / "build" / "out.o").read_text() == "object\n"
    # The line goes again: what the mount wrote was never lost.
    write(world.local / ".gitignore", "*.log\n")
    world.prepare("--gitignore")
    world.restore(check=3)
    assert (world.local / "build" / "new.o").read_text() == "new\n"
    assert (world.local / "build" / "out.o").read_text() == "object\n"
    assert (world.local / "build" / "out.o.box.conflict").read_text() == \
        "in the mount\n"
    assert (world.local / "build" / "deep" / "er.o").exists()


def test_excluded_in_the_mount(world):
    """What the mount makes under an excluded name goes to the sandbox and
    stays there; it is no work that waits."""
    sample(world.local)
    out = ["--exclude", "node_modules"]
    write(world.remote / "node_modules" / "theirs", "t\n")
    world.mount(*out)
    write(world.mnt / "node_modules" / "x" / "i.js", "x\n")
    world.run("flush", "box", check=0)
    assert (world.remote / "node_modules" / "x" / "i.js").exists()
    forget_listings(world)
    world.run("refresh", "box", check=0)
    assert (world.mnt / "node_modules" / "x" / "i.js").exists()
    # The sandbox changes what it was given, and so does the mount.
    write(world.remote / "node_modules" / "x" / "i.js", "sandbox\n")
    write(world.mnt / "node_modules" / "x" / "i.js", "mount\n")
    write(world.mnt / "node_modules" / "theirs", "mount\n")
    write(world.mnt / "a.txt", "after\n")
    world.run("flush", "box", check=0)
    assert (world.remote / "a.txt").read_text() == "after\n"
    world.umount()
    assert not (world.local / "node_modules").exists()
    write(world.local / "a.txt", "local again\n")
    r = world.prepare(*out).json
    assert not r["resumed"]
    assert (world.remote / "a.txt").read_text() == "local again\n"
    assert (world.remote / "node_modules" / "x" / "i.js").exists()
    assert (world.remote / "node_modules" / "theirs").exists()


def test_directory_that_became_a_file_at_home(world):
    """What is left out below it, in the mount only, does not go with it."""
    out = ["--exclude", "*.log"]
    write(world.local / "d" / "sent", "sent\n")
    world.mount(*out)
    write(world.mnt / "d" / "own.log", "only here\n")
    world.umount()
    assert not (world.local / "d" / "own.log").exists()
    remove(world.local / "d")
    write(world.local / "d", "a file\n")
    r = world.run("mount", "--name", "box", "--local", world.local, *out,
                  world.spec, world.mnt, check=1)
    assert "own.log" in r.err
    kept = world.session() / "mirror" / "d" / "own.log"
    assert kept.read_text() == "only here\n"
    os.rename(world.local / "d", world.local / "e")
    world.mount(*out)
    assert (world.mnt / "d" / "own.log").read_text() == "only here\n"
    assert (world.mnt / "e").read_text() == "a file\n"
    world.umount()
    assert (world.local / "e").read_text() == "a file\n"

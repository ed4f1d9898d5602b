"""A real repository of more than 10,000 files, and the sizes that whole-tree
tools fail on."""
import os
import shutil
import subprocess
import tarfile
import time

import pytest

from conftest import paths, tree, write


@pytest.fixture(scope="session")
def big_repo(tmp_path_factory):
    """More than 10,000 real files: the headers and Python files of this
    machine, as a git repository."""
    top = tmp_path_factory.mktemp("big") / "repo"
    top.mkdir()
    count = 0
    for source in ("/usr/include", "/usr/lib/python3", "/usr/lib/python3.11",
                   "/usr/share/perl", "/usr/share/doc", "/usr/lib/gcc"):
        for base, dirs, files in os.walk(source):
            dirs[:] = [d for d in dirs if d != "__pycache__"]
            to = top / "tree" / os.path.relpath(base, "/")
            for name in files:
                path = os.path.join(base, name)
                if not os.path.islink(path) and os.path.isfile(path) and \
                        os.path.getsize(path) < 200000:
                    to.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, to / name)
                    count += 1
            if count > 11000:
                break
    i = 0
    while count <= 10500:   # a bare machine has fewer
        write(top / "more" / f"d{i % 100}" / f"f{i}.c", f"int v{i};\n" * 20)
        i += 1
        count += 1
    write(top / "main.c", "int main(void) { return 0; }\n")
    write(top / "Makefile", "prog: main.c\n\tcp main.c prog\n")
    write(top / ".gitignore", "prog\n")
    for args in (["init", "-q"], ["config", "user.name", "t"],
                 ["config", "user.email", "t@example.org"],
                 # No collection in the background while the tree is copied.
                 ["config", "gc.auto", "0"], ["add", "-A"],
                 ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *args], cwd=top, check=True)
    return top


def git(top, *args):
    return subprocess.run(["git", *args], cwd=top, check=True, text=True,
                          capture_output=True).stdout


def test_real_repository(world, big_repo):
    shutil.copytree(big_repo, world.local, symlinks=True, dirs_exist_ok=True)
    git(world.local, "status")
    world.mount()
    assert git(world.mnt, "status", "--short") == ""
    write(world.mnt / "main.c", "int main(void) { return 1; }\n")
    write(world.mnt / "new" / "file.c", "int n;\n")
    subprocess.run(["make", "-s"], cwd=world.mnt, check=True)
    git(world.mnt, "add", "-A")
    git(world.mnt, "commit", "-q", "-m", "in the mount")
    world.run("flush", "box", check=0)
    world.umount()
    assert world.status()["state"] == "restored"
    here = tree(world.local, mtimes=True)
    there = tree(world.remote, mtimes=True)
    assert here == there
    assert (world.local / "prog").exists()
    assert git(world.local, "log", "-1", "--format=%s") == "in the mount\n"
    assert git(world.local, "status", "--short") == ""


def test_one_changed_file_moves_kilobytes(world, big_repo):
    shutil.copytree(big_repo, world.local, symlinks=True, dirs_exist_ok=True)
    world.prepare()
    write(world.remote / "main.c", "int main(void) { return 7; }\n")
    begin = time.monotonic()
    r = world.restore().json
    taken = time.monotonic() - begin
    assert paths(r, "applied") == ["main.c"]
    assert r["bytes_fetched"] < 4096
    print(f"restore of one file among 10,000: {taken:.2f} s")
    r = world.prepare().json
    assert r["sent"]["files"] == 0


def test_untar_is_a_bounded_number_of_batches(world):
    source = world.top / "src"
    for i in range(10000):
        path = source / f"d{i % 100}" / f"f{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {i}\n")
    archive = world.top / "a.tar"
    with tarfile.open(archive, "w") as t:
        t.add(source, "tree")
    write(world.local / "a", "a")
    world.mount()
    before = world.status()["sent"]["batches"]
    subprocess.run(["tar", "-xf", archive, "-C", world.mnt], check=True)
    world.run("flush", "box", check=0)
    batches = world.status()["sent"]["batches"] - before
    print(f"10,000 files: {batches} batches")
    assert batches <= 20
    assert tree(world.remote / "tree") == tree(source)
    # One save is one batch; idle is no traffic.
    before = world.status()["sent"]
    write(world.mnt / "a.tmp", "saved\n")
    os.rename(world.mnt / "a.tmp", world.mnt / "a")
    world.run("flush", "box", check=0)
    after = world.status()["sent"]
    assert after["batches"] - before["batches"] == 1
    assert after["files"] - before["files"] == 1
    time.sleep(1)   # nothing may happen in this time
    assert world.status()["sent"] == after
    world.umount()
    assert (world.local / "a").read_text() == "saved\n"


def test_sparse_file_over_2_gib(world):
    size = (2 << 30) + 12345
    with open(world.local / "sparse", "wb") as f:
        f.truncate(size)
        f.seek(size - 3)
        f.write(b"end")
    write(world.local / "a", "a")
    world.prepare(check=0)
    assert (world.remote / "sparse").stat().st_size == size
    with open(world.remote / "sparse", "rb") as f:
        f.seek(size - 3)
        assert f.read() == b"end"
    used = (world.session() / "mirror" / "sparse").stat().st_blocks
    assert used < 100000, "the mirror keeps holes"


def test_many_ignored_files(world):
    write(world.local / ".gitignore", "ignored/\n")
    for i in range(10000):
        path = world.local / "ignored" / f"d{i % 50}" / f"f{i}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    write(world.local / "a", "a")
    r = world.prepare("--gitignore").json
    assert r["sent"]["files"] == 2
    write(world.remote / "a", "b")
    world.restore()
    assert (world.local / "a").read_text() == "b"
    assert (world.local / "ignored" / "d1" / "f1").exists()

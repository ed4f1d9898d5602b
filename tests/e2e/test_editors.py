"""How editors save and tools work, on the mount: everything must be in the
sandbox after a flush and at home after the unmount, byte for byte.

`python3 tests/e2e/test_editors.py` prints the README's table of what was
tried, with the versions here. SANDMOUNT_EDITORS=all tries emacs, too.
"""
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from conftest import tree, write
from terminal import Terminal

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def run(*argv, cwd, env=None):
    subprocess.run([str(a) for a in argv], cwd=cwd, check=True, env=env,
                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                   stderr=subprocess.STDOUT, timeout=300)


def need(*programs):
    for p in programs:
        if shutil.which(p):
            return p
    pytest.skip(f"{programs[0]} is not installed")


# --- editors -------------------------------------------------------------

def vim(world, where):
    """In place, and by a backup that is renamed."""
    program = need("vim", "vim.tiny")
    for how in ("yes", "no"):
        run(program, "-u", "NONE", "-i", "NONE", "-n", "-es", "-c",
            f"set backup writebackup backupskip= backupcopy={how}", "-c",
            f"normal! Govim {how}", "-c", "wq", "text", cwd=where)
    text = (where / "text").read_text()
    assert text.endswith("vim yes\nvim no\n")
    assert "vim yes" in (where / "text~").read_text()


def nano(world, where):
    need("nano")
    with Terminal(["nano", "--ignorercfiles", "text"],
                  env=dict(world.env, TERM="xterm"), cwd=where) as t:
        t.wait_for("nano")
        t.type("typed in nano\r")
        t.wait_for("typed in nano")
        t.type("\x0f")
        t.wait_for("Write")
        t.type("\r")
        t.wait_for("Wrote")
        t.type("\x18")
        assert t.wait() == 0
    assert (where / "text").read_text().startswith("typed in nano\n")


def emacs(world, where):
    if os.environ.get("SANDMOUNT_EDITORS") != "all":
        pytest.skip("emacs only with SANDMOUNT_EDITORS=all")
    need("emacs")
    run("emacs", "-Q", "--batch", "text", "--eval",
        '(progn (goto-char (point-max)) (insert "emacs\\n") (save-buffer))',
        cwd=where, env=world.env)
    assert (where / "text").read_text().endswith("emacs\n")
    assert (where / "text~").exists()


def vscode(world, where):
    """Truncate and write; and its atomic way: temporary, fsync, rename."""
    with open(where / "text", "r+b") as f:
        f.truncate(0)
        f.write(b"saved by truncation\n")
    with open(where / "text.vsctmp", "wb") as f:
        f.write(b"saved atomically\n")
        os.fsync(f.fileno())
    os.chmod(where / "text.vsctmp", 0o644)
    os.rename(where / "text.vsctmp", where / "text")
    assert (where / "text").read_text() == "saved atomically\n"


def jetbrains(world, where):
    """Safe write: temporary beside it, the old one aside, exchange, delete."""
    for i in range(3):
        write(where / "text___jb_tmp___", f"save {i}\n")
        os.rename(where / "text", where / "text___jb_old___")
        os.rename(where / "text___jb_tmp___", where / "text")
        os.unlink(where / "text___jb_old___")
    assert sorted(os.listdir(where)) == ["text"]


# --- tools ---------------------------------------------------------------

def git(world, where):
    env = dict(world.env, GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b",
               GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b",
               GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")

    def g(*words):
        run("git", "-c", "gc.auto=0", *words, cwd=where, env=env)

    g("init", "-q", "-b", "main")
    g("add", "-A")
    g("commit", "-qm", "one")
    g("checkout", "-qb", "side")
    write(where / "side.txt", "side\n")
    g("add", "-A")
    g("commit", "-qm", "two")
    g("checkout", "-q", "main")
    write(where / "text", "main\n")
    g("commit", "-qam", "three")
    g("merge", "-q", "side", "-m", "four")
    write(where / "text", "stashed\n")
    g("stash")
    g("stash", "pop", "-q")
    g("checkout", "-q", "text")
    g("repack", "-adq")
    g("fsck", "--strict")
    g("diff", "--exit-code")


def npm(world, where):
    """What npm install does: a staging tree, renames, links in .bin."""
    top = where / "node_modules"
    for i in range(40):
        stage = top / f".pkg{i}-x1"
        write(stage / "package.json", f'{{"name":"pkg{i}"}}\n')
        write(stage / "lib" / "index.js", f"module.exports = {i}\n" * 5)
        write(stage / "cli.js", "#!/usr/bin/env node\n", 0o755)
        os.rename(stage, top / f"pkg{i}")
    (top / ".bin").mkdir()
    for i in range(0, 40, 4):
        os.symlink(f"../pkg{i}/cli.js", top / ".bin" / f"pkg{i}")
    shutil.rmtree(top / "pkg7")
    write(where / "package-lock.json.tmp", "{}\n")
    os.rename(where / "package-lock.json.tmp", where / "package-lock.json")


def cargo(world, where):
    """What cargo build does: a lock, hard links, incremental directories
    renamed, times set by hand."""
    target = where / "target" / "debug"
    (target / "deps").mkdir(parents=True)
    with open(target / ".cargo-lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for i in range(10):
            write(target / "deps" / f"lib{i}.rlib", os.urandom(5000))
            os.link(target / "deps" / f"lib{i}.rlib", target / f"lib{i}.rlib")
            part = target / "incremental" / f"c{i}-working"
            write(part / "dep-graph.bin", os.urandom(300))
            os.rename(part, target / "incremental" / f"c{i}")
            os.utime(target / f"lib{i}.rlib", (1600000000 + i,) * 2)
        for i in range(10):
            assert (target / f"lib{i}.rlib").stat().st_mtime == \
                1600000000 + i
            assert (target / f"lib{i}.rlib").stat().st_nlink == 2
        os.unlink(target / "deps" / "lib3.rlib")


# What is done, and how the version is asked where the program itself runs.
TRIED = [
    (vim, "vim: in place and by renamed backup", ["vim", "--version"]),
    (nano, "nano, on a terminal", ["nano", "--version"]),
    (emacs, "emacs, with backup (`SANDMOUNT_EDITORS=all`)",
     ["emacs", "--version"]),
    (vscode, "VS Code's two ways to save, by script", None),
    (jetbrains, "JetBrains' safe write, by script", None),
    (git, "git: commit, merge, stash, repack, fsck", ["git", "--version"]),
    (npm, "npm's staging, renames and links, by script", None),
    (cargo, "cargo's lock, hard links and renames, by script", None),
]


@pytest.mark.parametrize("work", [t[0] for t in TRIED],
                         ids=[t[0].__name__ for t in TRIED])
def test_work(world, work):
    write(world.local / "w" / "text", "first\n")
    world.mount()
    work(world, world.mnt / "w")
    world.run("flush", "box", check=0)
    want = tree(world.mnt)
    assert want == tree(world.remote)
    world.umount(check=3 if work is git else 0)
    home = tree(world.local)
    if work is git:     # what git could run is held back for a look
        held = {p for p in want if b"/.git/hooks" in p or
                p.endswith(b"/.git/config")}
        assert held
        want = {p: v for p, v in want.items() if p not in held}
        home = {p: v for p, v in home.items() if p not in held}
    assert home == want


def table():
    yield "| tried on the mount | version |"
    yield "| --- | --- |"
    for _, what, version in TRIED:
        text = ""
        if version and shutil.which(version[0]):
            text = subprocess.run(version, capture_output=True,
                                  text=True).stdout
            text = next((w for w in text.replace(",", " ").split()
                         if w[0].isdigit()), "")
        yield f"| {what} | {text or '–'} |"


def test_readme_lists_what_is_tried():
    text = README.read_text()
    for _, what, _ in TRIED:
        assert f"| {what} |" in text, what


if __name__ == "__main__":
    sys.exit(print("\n".join(table())))

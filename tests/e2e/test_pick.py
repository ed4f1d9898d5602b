"""restore -p: what is taken comes home, what is left is offered again."""
import os
import re
import signal
import subprocess

import pytest

from conftest import SANDMOUNT, remove, tree, write
from terminal import Terminal

TEXT = "".join(f"line {i}\n" for i in range(1, 41))


def edit(text, *lines, word="theirs"):
    for n in lines:
        text = text.replace(f"line {n}\n", f"{word} {n}\n")
    return text


@pytest.fixture
def box(world):
    write(world.local / "a.txt", TEXT)
    write(world.local / "run.sh", "#!/bin/sh\n", 0o644)
    write(world.local / "gone", "gone\n")
    write(world.local / "blob", b"\0one")
    world.prepare()
    return world


def pick(world, answers, code=None):
    """Answers as lines of standard input."""
    done = subprocess.run(
        [SANDMOUNT, "restore", "-p", "box"], input="\n".join(answers) + "\n",
        capture_output=True, text=True, env=world.env, timeout=300)
    if code is not None:
        assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout


def local(world, name="a.txt"):
    return (world.local / name).read_text()


def test_hunks(box):
    """Taken ones come home, left ones stay held and are offered again."""
    write(box.remote / "a.txt", edit(TEXT, 2, 20, 38))
    out = pick(box, ["y", "n", "y"], 3)
    assert out.count("Take this hunk") == 3
    assert "-line 2\n+theirs 2\n" in out and "@@ -17,7 +17,7 @@" in out
    assert local(box) == edit(TEXT, 2, 38)
    assert "2 of 3 changes" in out
    # The user works on; only the one that was left is asked about.
    write(box.local / "a.txt", edit(edit(TEXT, 2, 38), 10, word="mine"))
    out = pick(box, ["n"], 3)
    assert out.count("Take this hunk") == 1 and "+theirs 20\n" in out
    assert "Nothing was taken" in out
    out = pick(box, ["y"], 0)
    assert local(box) == edit(edit(TEXT, 2, 20, 38), 10, word="mine")
    assert pick(box, [], 0).count("[y,n") == 0


def test_left_hunks_come_with_a_plain_restore(box):
    """Next to one that was taken, too; nothing of either side is lost."""
    write(box.remote / "a.txt", TEXT.replace("line 5\n", "A\nB\n").replace(
        "line 7\n", "C\n"))
    out = pick(box, ["s", "n", "y"], 3)
    assert "Split into 2 hunks" in out
    assert local(box) == TEXT.replace("line 7\n", "C\n")
    write(box.local / "a.txt", edit(local(box), 30, word="mine"))
    report = box.restore(check=0).json
    assert report["conflicts"] == [] and report["held"] == []
    assert local(box) == edit(TEXT.replace("line 5\n", "A\nB\n").replace(
        "line 7\n", "C\n"), 30, word="mine")


def test_with_local_changes(box):
    """Both sides changed it: hunks of the merge; what is left stays mergeable
    against what it was left from."""
    write(box.remote / "a.txt", edit(TEXT, 2, 20))
    write(box.local / "a.txt", edit(TEXT, 30, word="mine"))
    out = pick(box, ["n", "y"], 3)
    assert "mine" not in out
    assert local(box) == edit(edit(TEXT, 20), 30, word="mine")
    report = box.restore(check=0).json
    assert local(box) == edit(edit(TEXT, 2, 20), 30, word="mine")
    assert report["conflicts"] == []


def test_whole_things(box):
    write(box.remote / "blob", b"\0two")
    write(box.remote / "new" / "deep" / "f", "new\n")
    write(box.remote / "new" / "g", "g\n")
    (box.remote / "run.sh").chmod(0o755)
    remove(box.remote / "gone")
    before = tree(box.local)
    out = pick(box, ["n"] * 5, 3)
    for words in ("Take the sandbox's version [y,n,q,a,d,?]",
                  "Take this deletion", "Take this, which is new",
                  "Take this change of permissions", "-gone\n", "+new\n"):
        assert words in out, out
    assert "Nothing was taken" in out and tree(box.local) == before
    # blob, gone, new/deep/f, new/g, run.sh: two of them.
    out = pick(box, ["y", "n", "n", "y", "n"], 3)
    assert (box.local / "blob").read_bytes() == b"\0two"
    assert local(box, "new/g") == "g\n" and local(box, "gone") == "gone\n"
    assert not (box.local / "new/deep").exists()
    assert not os.access(box.local / "run.sh", os.X_OK)
    out = pick(box, ["y", "y", "y"], 0)
    assert local(box, "new/deep/f") == "new\n"
    assert os.access(box.local / "run.sh", os.X_OK)
    assert not (box.local / "gone").exists()


def test_content_and_mode_apart(box):
    write(box.remote / "run.sh", "#!/bin/sh\necho\n", 0o755)
    pick(box, ["y", "n"], 3)
    assert local(box, "run.sh") == "#!/bin/sh\n"
    assert os.access(box.local / "run.sh", os.X_OK)
    out = pick(box, ["y"], 0)
    assert "permissions" not in out
    assert local(box, "run.sh") == "#!/bin/sh\necho\n"
    assert os.access(box.local / "run.sh", os.X_OK)


def test_keys(box):
    """a, d, q, ?, nonsense and the end of the input."""
    write(box.remote / "a.txt", edit(TEXT, 2, 20, 38))
    write(box.remote / "b.txt", "b\n")
    out = pick(box, ["?", "x", "n", "a", "q"], 3)
    assert out.count("print this help") == 2
    assert local(box) == edit(TEXT, 20, 38)
    assert not (box.local / "b.txt").exists()
    box.restore("--undo", check=0)
    assert local(box) == TEXT
    pick(box, ["y", "d", "y"], 3)
    assert local(box) == edit(TEXT, 2) and local(box, "b.txt") == "b\n"
    box.restore("--undo", check=0)
    out = pick(box, ["y"], 3)	# then the input ends
    assert local(box) == edit(TEXT, 2)
    assert not (box.local / "b.txt").exists()


def test_undo(box):
    write(box.remote / "a.txt", edit(TEXT, 2, 20))
    before = tree(box.local)
    pick(box, ["y", "n"], 3)
    box.restore("--undo", check=0)
    assert tree(box.local) == before
    out = pick(box, ["y", "y"], 0)
    assert out.count("Take this hunk") == 2
    assert local(box) == edit(TEXT, 2, 20)


def test_conflict(box):
    write(box.remote / "a.txt", edit(TEXT, 2))
    write(box.local / "a.txt", edit(TEXT, 2, word="mine"))
    out = pick(box, ["n"], 3)
    assert "beside yours as a.txt.box.conflict" in out
    assert not (box.local / "a.txt.box.conflict").exists()
    pick(box, ["y"], 3)
    assert local(box) == edit(TEXT, 2, word="mine")
    assert local(box, "a.txt.box.conflict") == edit(TEXT, 2)


def test_what_changes_while_asked_is_left(box):
    """On both sides: the answer is about what was seen."""
    write(box.remote / "a.txt", edit(TEXT, 2))
    write(box.remote / "b.txt", "b\n")
    with Terminal([SANDMOUNT, "restore", "-p", "box"], env=box.env) as t:
        t.wait_for(r"Take this hunk \[y,n,q,a,d,\?\]\? $")
        write(box.local / "a.txt", edit(TEXT, 30, word="mine"))
        t.type("y\n")
        t.wait_for(r"which is new \[y,n,q,a,d,\?\]\? $")
        write(box.remote / "b.txt", "another\n")
        t.type("y\n")
        assert t.wait() == 3
        assert t.text.count("changed since you were asked") == 2
    assert local(box) == edit(TEXT, 30, word="mine")
    assert not (box.local / "b.txt").exists()
    pick(box, ["a", "a"], 0)
    assert local(box) == edit(edit(TEXT, 2), 30, word="mine")
    assert local(box, "b.txt") == "another\n"


def test_mounted_on_a_terminal(world):
    """The session's process does it; control characters are shown tamed."""
    write(world.local / "a.txt", TEXT)
    world.mount("--poll", "3600")
    write(world.mnt / "a.txt", edit(TEXT, 2, 20).replace(
        "theirs 20", "\x1b]0;title\x07 20"))
    with Terminal([SANDMOUNT, "restore", "-p", "box"], env=world.env) as t:
        t.wait_for(r"\(1/2\) Take this hunk \[y,n,q,a,d,\?\]\? $")
        t.type("y\n")
        t.wait_for(r"\(2/2\) Take this hunk \[y,n,q,a,d,\?\]\? $")
        assert b"\x1b]0" not in t.raw and "^[]0;title^G 20" in t.text
        assert b"\x1b[32m" in t.raw
        t.type("n\n")
        assert t.wait() == 3
    assert local(world) == edit(TEXT, 2)
    assert world.status()["held"] == 1
    assert not (world.session() / "picking").exists()
    write(world.mnt / "b.txt", "later\n")
    world.umount(check=0)
    assert "\x1b]0;title\x07 20\n" in local(world)
    assert local(world, "b.txt") == "later\n"


def test_refused(world, box):
    """No terminal and no answers: usage; and what does not go together."""
    write(box.remote / "a.txt", edit(TEXT, 2))
    run = box.run("restore", "-p", "box", check=2)	# from /dev/null
    assert re.match(r"sandmount: restore -p: nobody is there to answer; ",
                    run.err)
    for other in ("--undo", "--dry-run", "--json"):
        assert "-p does not go together" in box.run(
            "restore", "-p", other, "box", check=2).err
    assert local(box) == TEXT


def test_repository_is_one_thing(world):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q", "-b", "main", world.local], check=True)
    write(world.local / "f", "f\n")
    for words in (["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, "-C", world.local, *words], check=True)
    world.prepare()
    write(world.remote / "f", "g\n")
    subprocess.run([*git, "-C", world.remote, "commit", "-qam", "two"],
                   check=True)
    out = pick(world, ["n", "y"], 3)
    assert out.count("in this repository") == 1
    def count():
        return subprocess.run(
            ["git", "-C", world.local, "rev-list", "--count", "HEAD"],
            check=True, capture_output=True, text=True).stdout.strip()
    assert count() == "1" and local(world, "f") == "g\n"
    pick(world, ["y"], 0)
    assert count() == "2"
    assert subprocess.run(["git", "-C", world.local, "status", "--porcelain"],
                          capture_output=True, check=True).stdout == b""


def test_killed_while_it_asks(box):
    """Nothing has happened yet, and nothing is in the way."""
    write(box.remote / "a.txt", edit(TEXT, 2, 20))
    with Terminal([SANDMOUNT, "restore", "-p", "box"], env=box.env) as t:
        t.wait_for("Take this hunk")
        t.child.send_signal(signal.SIGKILL)
        t.child.wait()
    assert local(box) == TEXT
    pick(box, ["y", "n"], 3)
    assert local(box) == edit(TEXT, 2)

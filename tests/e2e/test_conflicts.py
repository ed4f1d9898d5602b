"""Both sides changed it while mounted; what is held for review; settling."""
import os

import pytest

from conftest import SANDMOUNT, paths, remove, tree, write
from terminal import Terminal

TEXT = "".join(f"line {i}\n" for i in range(30))


def edit(n, word):
    return TEXT.replace(f"line {n}\n", f"{word} {n}\n")


@pytest.fixture
def box(world):
    """Mounted, and looked at only when told."""
    for name in ("a.txt", "b.txt", "sub/c.txt"):
        write(world.local / name, TEXT)
    write(world.local / "blob", b"\0one")
    write(world.local / "run.sh", "#!/bin/sh\n", 0o755)
    world.mount("--poll", "3600")
    return world


def both(box, path, ours, theirs):
    """Changes PATH on both sides before either can be exchanged."""
    write(box.remote / path, theirs)
    write(box.mnt / path, ours)


def settle(box):
    box.run("flush", "box", check=0)
    box.run("refresh", "box", check=0)
    box.run("flush", "box", check=0)
    assert tree(box.mnt) == tree(box.remote)


def conflicts(box, code):
    return box.run("conflicts", "box", "--json", check=code).json


def test_equal_is_equal(box):
    both(box, "a.txt", edit(1, "same"), edit(1, "same"))
    both(box, "new", "new\n", "new\n")
    settle(box)
    r = conflicts(box, 0)
    assert (r["name"], r["conflicts"], r["held"]) == ("box", [], [])
    assert sorted(os.listdir(box.mnt)) == sorted(
        ["a.txt", "b.txt", "sub", "blob", "run.sh", "new"])


def test_disjoint_edits_are_merged(box):
    both(box, "a.txt", edit(2, "mine"), edit(25, "theirs"))
    settle(box)
    text = (box.mnt / "a.txt").read_text()
    assert "mine 2\n" in text and "theirs 25\n" in text
    conflicts(box, 0)
    # And again, on top of what was merged.
    both(box, "a.txt", text.replace("line 5\n", "mine 5\n"),
         text.replace("line 20\n", "theirs 20\n"))
    settle(box)
    text = (box.mnt / "a.txt").read_text()
    for part in ("mine 2\n", "theirs 25\n", "mine 5\n", "theirs 20\n"):
        assert part in text
    box.umount()


def test_both_versions_stay_side_by_side(box):
    both(box, "a.txt", edit(3, "mine"), edit(3, "theirs"))
    both(box, "blob", b"\0mine", b"\0theirs")
    both(box, "added", "mine\n", "theirs\n")
    both(box, "run.sh", "#!/bin/sh\nmine\n", "#!/bin/sh\ntheirs\n")
    settle(box)
    for name, ours, theirs in (
            ("a.txt", edit(3, "mine"), edit(3, "theirs")),
            ("blob", "\0mine", "\0theirs"), ("added", "mine\n", "theirs\n"),
            ("run.sh", "#!/bin/sh\nmine\n", "#!/bin/sh\ntheirs\n")):
        assert (box.remote / name).read_text() == ours
        assert (box.mnt / f"{name}.box.conflict").read_text() == theirs
    assert not os.access(box.mnt / "run.sh.box.conflict", os.X_OK)
    r = conflicts(box, 3)
    assert paths(r, "conflicts") == ["a.txt", "added", "blob", "run.sh"]
    assert r["conflicts"][0]["copy"] == "a.txt.box.conflict"
    assert r["conflicts"][0]["kind"] == "file" and r["conflicts"][0]["why"]
    assert box.status()["conflicts"] == 4
    # Nothing more comes of it.
    before = tree(box.mnt)
    settle(box)
    assert tree(box.mnt) == before
    # The next version of theirs gets a name of its own, the copy none.
    both(box, "a.txt", edit(3, "mine again"), edit(3, "theirs again"))
    settle(box)
    assert (box.mnt / "a.txt.box.conflict").read_text() == edit(3, "theirs")
    assert (box.mnt / "a.txt.box.conflict2").read_text() == \
        edit(3, "theirs again")
    assert not [n for n in os.listdir(box.mnt) if n.count(".conflict") > 1]


def test_deleted_and_modified(box):
    remove(box.mnt / "a.txt")
    write(box.remote / "a.txt", edit(1, "theirs"))
    write(box.mnt / "b.txt", edit(1, "mine"))
    remove(box.remote / "b.txt")
    remove(box.remote / "sub")
    write(box.mnt / "sub" / "c.txt", edit(2, "mine"))
    settle(box)
    assert (box.mnt / "a.txt").read_text() == edit(1, "theirs")
    assert (box.remote / "b.txt").read_text() == edit(1, "mine")
    assert (box.remote / "sub" / "c.txt").read_text() == edit(2, "mine")
    conflicts(box, 0)


def test_resolve(box):
    for name in ("a.txt", "b.txt", "sub/c.txt", "blob"):
        both(box, name, f"mine {name}\0", f"theirs {name}\0")
    settle(box)
    run = box.run("conflicts", "box")
    assert run.code == 3 and "sub/c.txt" in run.out
    r = box.run("conflicts", "box", "resolve", "a.txt", "--take", "local",
                "--json", check=0).json
    assert paths(r, "resolved") == ["a.txt"]
    box.run("conflicts", "box", "resolve", "sub/*.txt", "--take", "sandbox",
            check=0)
    write(box.mnt / "b.txt", "merged by hand\n")
    box.run("conflicts", "box", "resolve", "b.txt", "--take", "merged",
            check=0)
    settle(box)
    assert (box.remote / "a.txt").read_text() == "mine a.txt\0"
    assert (box.remote / "sub/c.txt").read_text() == "theirs sub/c.txt\0"
    assert (box.remote / "b.txt").read_text() == "merged by hand\n"
    assert paths(conflicts(box, 3), "conflicts") == ["blob"]
    # A copy that was deleted by hand is settled, too.
    remove(box.mnt / "blob.box.conflict")
    conflicts(box, 0)
    settle(box)
    assert not [n for n in tree(box.remote) if b"conflict" in n]
    assert box.run("conflicts", "box", "resolve", "nothing", "--take",
                   "local").code == 1
    assert box.run("conflicts", "box", "resolve", "a.txt").code == 2
    assert box.run("conflicts", "box", "--take", "local").code == 2
    assert box.run("conflicts", "nobox").code == 2


def test_conflicts_outlive_the_mount(box):
    both(box, "blob", b"\0mine", b"\0theirs")
    settle(box)
    box.umount()
    assert paths(conflicts(box, 3), "conflicts") == ["blob"]
    box.run("conflicts", "box", "resolve", "**", "--take", "sandbox", check=0)
    conflicts(box, 0)
    box.restore()
    assert (box.local / "blob").read_bytes() == b"\0theirs"
    assert not (box.local / "blob.box.conflict").exists()


HELD = {".envrc": "export X=1\n", ".git/config": "[core]\n\tpager = evil\n",
        ".git/hooks/post-checkout": "#!/bin/sh\nevil\n",
        "deep/.vscode/tasks.json": "{}\n", ".husky/pre-commit": "evil\n",
        "x/.mcp.json": "{}\n"}


def test_held_while_mounted(box):
    for name, text in HELD.items():
        write(box.remote / name, text, 0o755)
    write(box.remote / "plain", "plain\n")
    box.run("refresh", "box", check=0)
    assert (box.mnt / "plain").read_text() == "plain\n"
    for name in HELD:
        assert not os.path.lexists(box.mnt / name), name
    r = conflicts(box, 3)
    assert paths(r, "held") == sorted(HELD)
    assert box.status()["held"] == len(HELD)
    # The sandbox keeps its own; another look changes nothing.
    box.run("flush", "box", check=0)
    box.run("refresh", "box", check=0)
    for name, text in HELD.items():
        assert (box.remote / name).read_text() == text
        assert not os.path.lexists(box.mnt / name), name
    # Let in, or thrown out.
    box.run("conflicts", "box", "resolve", ".envrc", "--take", "sandbox",
            check=0)
    box.run("conflicts", "box", "resolve", ".git/**", "--take", "local",
            check=0)
    box.run("flush", "box", check=0)
    assert (box.mnt / ".envrc").read_text() == HELD[".envrc"]
    assert not (box.remote / ".git" / "config").exists()
    assert not (box.remote / ".git" / "hooks" / "post-checkout").exists()
    rest = ["deep/.vscode/tasks.json", ".husky/pre-commit", "x/.mcp.json"]
    assert paths(conflicts(box, 3), "held") == sorted(rest)
    r = box.umount(check=3).json
    assert set(rest) <= set(paths(r, "held"))
    for name in rest:
        assert not os.path.lexists(box.local / name), name


def test_held_paths_are_the_users_to_write(box):
    """What the mount's user writes there is sent as ever, also where the
    sandbox's version is held; a held deletion keeps the file."""
    write(box.mnt / ".git" / "config", "[core]\n\tbare = false\n")
    write(box.mnt / ".envrc", "mine\n")
    settle(box)
    write(box.remote / ".git" / "config", "[core]\n\tpager = evil\n")
    remove(box.remote / ".envrc")
    box.run("refresh", "box", check=0)
    assert (box.mnt / ".git" / "config").read_text() == \
        "[core]\n\tbare = false\n"
    assert (box.mnt / ".envrc").read_text() == "mine\n"
    assert paths(conflicts(box, 3), "held") == [".envrc", ".git/config"]
    write(box.mnt / ".git" / "config", "[core]\n\tbare = true\n")
    box.run("flush", "box", check=0)
    assert (box.remote / ".git" / "config").read_text() == \
        "[core]\n\tbare = true\n"
    # The version that was held is still to be had.
    box.run("conflicts", "box", "resolve", ".git/config", "--take", "sandbox",
            check=0)
    box.run("conflicts", "box", "resolve", ".envrc", "--take", "local",
            check=0)
    settle(box)
    assert (box.remote / ".git" / "config").read_text() == \
        "[core]\n\tpager = evil\n"
    assert (box.remote / ".envrc").read_text() == "mine\n"
    conflicts(box, 0)


# --- what a restore left at home --------------------------------------------

@pytest.fixture
def home(world):
    """Three conflicts in the local directory, none in the workspace."""
    for name in ("a.txt", "b.txt", "sub/c.txt"):
        write(world.local / name, TEXT, 0o755)
    world.prepare()
    for name in ("a.txt", "b.txt", "sub/c.txt"):
        write(world.local / name, edit(3, "mine").replace("9\n", "mine too\n"))
        write(world.remote / name, edit(3, "theirs"))
    world.restore(check=3)
    return world


def test_conflicts_at_home_are_listed_and_settled(home):
    r = conflicts(home, 3)
    assert paths(r, "conflicts") == ["a.txt", "b.txt", "sub/c.txt"]
    assert {line["where"] for line in r["conflicts"]} == {"local"}
    assert home.status()["conflicts"] == 3
    mine = (home.local / "a.txt").read_text()
    home.run("conflicts", "box", "resolve", "a.txt", "--take", "local",
             check=0)
    assert (home.local / "a.txt").read_text() == mine
    home.run("conflicts", "box", "resolve", "sub/*", "--take", "sandbox",
             check=0)
    assert (home.local / "sub/c.txt").read_text() == edit(3, "theirs")
    assert os.access(home.local / "sub/c.txt", os.X_OK)
    trash = home.session() / "trash"
    assert mine in [p.read_text() for p in trash.rglob("sub/c.txt")]
    assert paths(conflicts(home, 3), "conflicts") == ["b.txt"]
    # By hand is as good.
    remove(home.local / "b.txt.box.conflict")
    conflicts(home, 0)
    # Nothing of it comes back.
    r = home.restore(check=0).json
    assert r["applied"] == [] and r["conflicts"] == []
    assert not [n for n in tree(home.local) if b"conflict" in n]
    assert home.status()["conflicts"] == 0


def test_a_directory_against_a_file_at_home(world):
    write(world.local / "x", "x\n")
    write(world.local / "y" / "inner", "y\n")
    world.prepare()
    write(world.local / "x", "mine\n")
    remove(world.remote / "x")
    write(world.remote / "x" / "deep" / "f", "theirs\n", 0o644)
    write(world.local / "y" / "mine", "mine\n")
    remove(world.remote / "y")
    write(world.remote / "y", "theirs\n")
    world.restore(check=3)
    r = conflicts(world, 3)
    assert {line["kind"] for line in r["conflicts"]} == {"dir", "file"}
    world.run("conflicts", "box", "resolve", "**", "--take", "sandbox",
              check=0)
    assert (world.local / "x" / "deep" / "f").read_text() == "theirs\n"
    assert (world.local / "y").read_text() == "theirs\n"
    assert sorted(os.listdir(world.local)) == ["x", "y"]
    conflicts(world, 0)


def test_mounted_while_conflicts_at_home_are_settled(world):
    write(world.local / "a.txt", TEXT)
    world.mount("--poll", "3600")
    write(world.local / "a.txt", edit(3, "mine"))
    write(world.mnt / "a.txt", edit(3, "theirs"))
    world.restore(check=3)
    assert (world.mnt / "a.txt").read_text() == edit(3, "theirs")
    world.run("conflicts", "box", "resolve", "a.txt", "--take", "sandbox",
              check=0)
    assert (world.local / "a.txt").read_text() == edit(3, "theirs")
    assert world.umount(check=0).json["conflicts"] == []


# --- on a terminal -----------------------------------------------------------

def talk(world, **env):
    return Terminal([SANDMOUNT, "conflicts", "box"],
                    env=dict(world.env, PAGER="cat", **env))


PROMPT = r"\[\?\]: $"


def answer(t, text, then):
    t.type(text + "\n")
    t.wait_for(then)
    t.raw = b""


def test_conversation_at_home(home):
    """One by each way, the editor being a script that sees markers."""
    editor = home.top / "my editor"
    write(editor, f"#!/bin/sh\ncp \"$1\" '{home.top}/seen'\n"
          "sed -i -e '/^<<<<<<< /d' -e '/^=======$/d' -e '/^>>>>>>> /d' "
          "\"$1\"\n", 0o755)
    mine = (home.local / "a.txt").read_text()
    with talk(home, EDITOR=f"'{editor}'", VISUAL="") as t:
        t.wait_for(r"\(1 of 3\) a\.txt: both sides changed the same lines")
        t.wait_for(PROMPT)
        answer(t, "d", r"\+theirs 3[\s\S]*" + PROMPT)
        answer(t, "x", r"no more questions[\s\S]*" + PROMPT)
        answer(t, "m", r"Settled[\s\S]*\(2 of 3\) b\.txt[\s\S]*" + PROMPT)
        answer(t, "n", r"\(3 of 3\) sub/c\.txt[\s\S]*" + PROMPT)
        answer(t, "s", r"Settled[\s\S]*conflict +b\.txt")
        assert t.wait() == 3
    seen = (home.top / "seen").read_text()
    assert "<<<<<<< yours\nmine 3\n" in seen
    assert "theirs 3\n>>>>>>> sandbox\n" in seen
    # What only one side changed is merged already, by the ancestor.
    assert seen.count("<<<<<<<") == 1 and "mine too" in seen
    text = (home.local / "a.txt").read_text()
    assert text == mine.replace("mine 3\n", "mine 3\ntheirs 3\n")
    assert (home.local / "sub/c.txt").read_text() == edit(3, "theirs")
    assert paths(conflicts(home, 3), "conflicts") == ["b.txt"]
    with talk(home) as t:
        t.wait_for(PROMPT)
        answer(t, "q", r"conflict +b\.txt")
        assert t.wait() == 3


def test_markers_and_changes_meanwhile(home):
    """An editor that leaves the markers; one that takes long while the file
    changes."""
    with talk(home, EDITOR="true", VISUAL="") as t:
        t.wait_for(PROMPT)
        answer(t, "m", r"markers are left[\s\S]*\[y/N\] $")
        answer(t, "", PROMPT)
        answer(t, "q", "conflict")
        assert t.wait() == 3
    slow = home.top / "slow"
    write(slow, f"#!/bin/sh\necho changed >'{home.local}/a.txt'\n"
          "echo merged >\"$1\"\n", 0o755)
    with talk(home, EDITOR=str(slow), VISUAL="") as t:
        t.wait_for(PROMPT)
        answer(t, "m", r"it changed meanwhile[\s\S]*" + PROMPT)
        answer(t, "q", "conflict")
        assert t.wait() == 3
    assert (home.local / "a.txt").read_text() == "changed\n"
    assert (home.local / "a.txt.box.conflict").exists()


def test_conversation_while_mounted(box):
    """In the workspace, with the user's mergetool; a held path."""
    write(box.home / ".gitconfig", "[merge]\n\ttool = mine\n"
          "[mergetool \"mine\"]\n\tcmd = cat \"$LOCAL\" \"$REMOTE\" >"
          "\"$MERGED\"\n\ttrustExitCode = true\n")
    both(box, "a.txt", edit(3, "mine"), edit(3, "theirs"))
    write(box.remote / ".envrc", "export X=1\n")
    settle_held = box.run("flush", "box").code
    box.run("refresh", "box", check=0)
    box.run("flush", "box", check=0)
    assert settle_held in (0, 4)
    with talk(box) as t:
        t.wait_for(r"\(1 of 2\) a\.txt[\s\S]*" + PROMPT)
        answer(t, "t", r"Settled[\s\S]*\(2 of 2\) \.envrc[\s\S]*" + PROMPT)
        answer(t, "s", r"nothing to look at")
        assert t.wait() == 0
    assert (box.mnt / "a.txt").read_text() == \
        edit(3, "mine") + edit(3, "theirs")
    assert (box.mnt / ".envrc").read_text() == "export X=1\n"
    assert not (box.mnt / "a.txt.box.conflict").exists()
    settle(box)

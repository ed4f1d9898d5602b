"""The main job on the local provider, with and without a mount."""
import os
import pathlib
import subprocess

from conftest import paths, tree, write


def sample(local):
    write(local / "README.md", "hello\n")
    write(local / "src" / "main.c", "int main(void)\n{\n\treturn 0;\n}\n")
    write(local / "bin" / "run.sh", "#!/bin/sh\necho run\n", 0o755)
    write(local / "data" / "blob", bytes(range(256)) * 100)
    (local / "empty").mkdir()
    os.symlink("src/main.c", local / "link.c")
    os.symlink("nowhere", local / "dangling")


def test_prepare_makes_sandbox_equal(world):
    sample(world.local)
    r = world.prepare().json
    assert tree(world.local) == tree(world.remote)
    assert r["sent"]["files"] == 6
    assert r["workspace_remote_dir"] == str(world.remote)
    assert r["identity"]["provider"] == "local"
    assert world.status()["state"] == "prepared"


def test_prepare_again_sends_nothing(world):
    sample(world.local)
    world.prepare()
    r = world.prepare().json
    assert r["sent"]["files"] == 0
    assert r["sent"]["batches"] == 0


def test_prepare_again_sends_only_the_difference(world):
    sample(world.local)
    world.prepare()
    write(world.local / "README.md", "hello again\n")
    os.unlink(world.local / "data" / "blob")
    r = world.prepare().json
    assert r["sent"]["files"] == 1
    assert r["deleted"] == 1
    assert tree(world.local) == tree(world.remote)


def test_prepare_replaces_what_was_there_but_preserved(world):
    sample(world.local)
    write(world.remote / "old.txt", "old")
    write(world.remote / "keep" / "me.txt", "me")
    write(world.remote / "README.md", "another\n")
    world.prepare("--preserve", "keep")
    assert not (world.remote / "old.txt").exists()
    assert (world.remote / "keep" / "me.txt").read_text() == "me"
    assert (world.remote / "README.md").read_text() == "hello\n"


def test_first_prepare_loses_nothing_of_the_sandbox(world):
    """Somebody worked there before: put aside, for good."""
    write(world.local / "same", "mine\n")
    write(world.remote / "same", "of the sandbox\n")
    write(world.remote / "dir" / "work", "an hour's\n")
    assert world.prepare().json["kept"] == 3
    for n in range(2):
        world.mount()
        write(world.mnt / "same", f"edit {n}\n")
        world.umount()
    [kept] = (world.remote / ".sandmount").glob("replaced-*/*")
    assert sorted(tree(kept)) == [b"dir", b"dir/work", b"same"]
    assert (kept / "same").read_text() == "of the sandbox\n"
    assert (kept / "dir" / "work").read_text() == "an hour's\n"
    # What a later batch replaces is not kept: it is at home.
    world.run("forget", "box", check=0)
    assert [p.name for p in (world.remote / ".sandmount").iterdir()
            if p.name.startswith("replaced-")] == [kept.parent.name]


def test_forget_after_a_first_prepare_loses_nothing(world):
    write(world.local / "same", "mine\n")
    write(world.remote / "same", "of the sandbox\n")
    world.prepare()
    world.run("forget", "box", check=0)
    [kept] = (world.remote / ".sandmount").glob("replaced-*/*/same")
    assert kept.read_text() == "of the sandbox\n"


def test_headless_round_trip(world):
    sample(world.local)
    world.prepare()
    write(world.remote / "src" / "main.c", "int main(void)\n{\n\treturn 1;\n}\n")
    write(world.remote / "new" / "file.txt", "from the agent\n")
    os.unlink(world.remote / "data" / "blob")
    r = world.restore().json
    assert paths(r, "applied") == ["new", "new/file.txt", "src/main.c"]
    assert paths(r, "deleted") == ["data/blob"]
    assert tree(world.local) == tree(world.remote)
    assert world.status()["state"] == "restored"
    again = world.restore().json
    assert not any(again[k] for k in ("applied", "deleted", "merged",
                                      "conflicts", "held"))


def test_mount_edit_unmount(world):
    sample(world.local)
    world.mount()
    assert world.is_mounted()
    assert tree(world.mnt) == tree(world.local)
    assert world.status()["state"] == "mounted"
    write(world.mnt / "src" / "main.c", "int main(void) { return 2; }\n")
    write(world.mnt / "notes.txt", "notes\n")
    os.rename(world.mnt / "data", world.mnt / "moved")
    os.unlink(world.mnt / "README.md")
    world.run("flush", "box", check=0)
    assert tree(world.mnt) == tree(world.remote)
    r = world.umount().json
    assert not world.is_mounted()
    assert "src/main.c" in paths(r, "applied")
    assert "README.md" in paths(r, "deleted")
    assert tree(world.local) == tree(world.remote)
    assert world.status()["state"] == "restored"


def test_plain_fusermount_restores(world):
    sample(world.local)
    world.mount()
    write(world.mnt / "late.txt", "unsent when unmounted\n")
    subprocess.run(["fusermount3", "-u", str(world.mnt)], check=True)
    world.wait_state("restored")
    assert (world.local / "late.txt").read_text() == "unsent when unmounted\n"
    assert (world.remote / "late.txt").read_text() == "unsent when unmounted\n"


def test_sandbox_and_mount_both_work(world):
    text = "".join(f"line {i}\n" for i in range(20))
    write(world.local / "both.txt", text)
    write(world.local / "clash.txt", "base\n")
    world.mount()
    write(world.mnt / "both.txt", text.replace("line 2\n", "mine 2\n"))
    world.run("flush", "box", check=0)
    write(world.remote / "both.txt",
          (world.remote / "both.txt").read_text().replace(
              "line 15\n", "theirs 15\n"))
    write(world.remote / "agent.txt", "by the agent\n")
    write(world.local / "both.txt", text.replace("line 9\n", "local 9\n"))
    write(world.local / "clash.txt", "local\n")
    write(world.mnt / "clash.txt", "mount\n")
    r = world.umount(check=3).json
    merged = (world.local / "both.txt").read_text()
    for part in ("mine 2\n", "theirs 15\n", "local 9\n"):
        assert part in merged
    assert (world.local / "agent.txt").read_text() == "by the agent\n"
    assert (world.local / "clash.txt").read_text() == "local\n"
    assert (world.local / "clash.txt.box.conflict").read_text() == "mount\n"
    assert paths(r, "merged") == ["both.txt"]
    assert paths(r, "conflicts") == ["clash.txt"]


def test_checkpoint_restore_while_mounted(world):
    sample(world.local)
    world.mount()
    write(world.mnt / "a.txt", "first\n")
    r = world.restore().json
    assert paths(r, "applied") == ["a.txt"]
    assert world.status()["state"] == "mounted"
    write(world.mnt / "a.txt", "second\n")
    write(world.remote / "from_agent.txt", "agent\n")
    r = world.umount().json
    assert paths(r, "applied") == ["a.txt", "from_agent.txt"]
    assert (world.local / "a.txt").read_text() == "second\n"


def test_undo(world):
    sample(world.local)
    before = tree(world.local, mtimes=True)
    world.prepare()
    write(world.remote / "src" / "main.c", "changed\n")
    os.unlink(world.remote / "data" / "blob")
    write(world.remote / "x" / "y" / "z", "new\n")
    world.restore()
    assert tree(world.local) == tree(world.remote)
    world.restore("--undo")
    assert tree(world.local, mtimes=True) == before
    world.restore()
    assert tree(world.local) == tree(world.remote)


def test_undo_after_a_restore_that_had_nothing_to_do(world):
    """As after `restore` and then `umount`: what is undone is the one that
    changed something."""
    write(world.local / "f", "old\n")
    world.mount()
    write(world.mnt / "f", "new\n")
    world.restore()
    assert (world.local / "f").read_text() == "new\n"
    world.umount()
    world.restore("--undo")
    assert (world.local / "f").read_text() == "old\n"
    # What was undone is offered again.
    world.restore()
    assert (world.local / "f").read_text() == "new\n"


def test_trash_outlives_its_session(world):
    """The same name for another sandbox: what was put aside stays."""
    write(world.local / "a", "mine\n")
    world.prepare()
    write(world.remote / "a", "the sandbox's\n")
    trash = pathlib.Path(world.restore().json["trash"])
    world.remote = world.top / "another"
    world.remote.mkdir()
    world.prepare()
    assert [p.read_text() for p in trash.rglob("a")] == ["mine\n"]


def test_dry_run_and_diff_change_nothing(world):
    sample(world.local)
    world.prepare()
    write(world.remote / "README.md", "other\n")
    before = tree(world.local, mtimes=True)
    r = world.restore("--dry-run").json
    assert paths(r, "applied") == ["README.md"]
    d = world.run("diff", "box")
    assert "-hello\n+other\n" in d.out
    assert tree(world.local, mtimes=True) == before
    r = world.restore().json
    assert paths(r, "applied") == ["README.md"]


def test_attach_without_local(world):
    sample(world.remote)
    world.run("mount", "--name", "box", world.spec, world.mnt, check=0)
    assert tree(world.mnt) == tree(world.remote)
    write(world.mnt / "made.txt", "here\n")
    world.umount()
    assert (world.remote / "made.txt").read_text() == "here\n"


def test_assets_and_runtime_dir(world):
    sample(world.local)
    skills = world.top / "skills"
    write(skills / "a" / "one.md", "one\n")
    os.symlink("a/one.md", skills / "link.md")
    r = world.prepare("--asset", f"skills={skills}", "--asset-follow",
                      f"flat={skills}").json
    base = world.remote / ".sandmount"
    assert r["asset_dirs"]["skills"] == str(base / "skills")
    assert os.readlink(base / "skills" / "link.md") == "a/one.md"
    assert (base / "flat" / "link.md").read_text() == "one\n"
    assert not os.path.islink(base / "flat" / "link.md")
    write(skills / "a" / "one.md", "two\n")
    os.unlink(skills / "link.md")
    r = world.prepare("--asset", f"skills={skills}", "--asset-follow",
                      f"flat={skills}").json
    assert (base / "skills" / "a" / "one.md").read_text() == "two\n"
    assert not os.path.lexists(base / "skills" / "link.md")
    assert not any(world.restore().json[k] for k in ("applied", "deleted"))
    assert not (world.local / ".sandmount").exists()


def test_preserve_absent(world):
    write(world.local / "a.txt", "a\n")
    write(world.local / "vendor" / "b.txt", "b\n")
    world.prepare()
    remove = world.remote / "vendor" / "b.txt"
    os.unlink(remove)
    os.rmdir(world.remote / "vendor")
    r = world.restore("--json").json
    assert paths(r, "deleted") == ["vendor", "vendor/b.txt"]
    world.restore("--undo")
    world.run("forget", "--force", "box", check=0)
    world.prepare("--preserve-absent", "vendor")
    os.unlink(world.remote / "vendor" / "b.txt")
    os.rmdir(world.remote / "vendor")
    r = world.restore().json
    assert paths(r, "deleted") == []
    assert (world.local / "vendor" / "b.txt").read_text() == "b\n"


def test_excludes(world):
    sample(world.local)
    write(world.local / "node_modules" / "x" / "i.js", "x\n")
    write(world.local / "src" / "build" / "o", "o\n")
    write(world.local / "build" / "keep", "nested only is out\n")
    write(world.remote / "node_modules" / "theirs", "t\n")
    world.prepare("--exclude", "node_modules", "--exclude", "/src/build")
    assert not (world.remote / "src" / "build").exists()
    assert (world.remote / "build" / "keep").exists()
    assert (world.remote / "node_modules" / "theirs").exists()
    write(world.remote / "node_modules" / "more", "m\n")
    r = world.restore().json
    assert not r["applied"] and not r["deleted"]
    assert (world.local / "node_modules" / "x" / "i.js").exists()
    assert not (world.local / "node_modules" / "more").exists()


def test_gitignore(world):
    sample(world.local)
    write(world.local / ".gitignore", "*.log\n/out/\n")
    write(world.local / "a.log", "log\n")
    write(world.local / "out" / "x", "x\n")
    for i in range(100):
        write(world.local / "out" / f"f{i}", "x\n")
    world.prepare("--gitignore")
    assert not (world.remote / "a.log").exists()
    assert not (world.remote / "out").exists()
    assert (world.remote / ".gitignore").exists()
    r = world.restore().json
    assert not r["applied"] and not r["deleted"]
    assert (world.local / "out" / "f5").exists()
